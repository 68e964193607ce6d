/** One track: what it sounds like, which lists have it and why, and its neighbours. */

import * as api from "./api.js";
import { byId, h, icon, svg } from "./dom.js";
import { capital, standings } from "./lists.js";
import { go, hashOf } from "./state.js";

// Of so many, the nearest are listed and the artists counted.
const NEIGHBOURS = 50;
const LISTED = 12;
// What is told of a track elsewhere on the page.
const TOLD = new Set(["explicit", "popularity"]);
const KEYS = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
/** How columns that go by names of their own are read. */
const READ = {
  duration_ms: [
    "length",
    (it) => `${Math.floor(it / 60_000)}:${String(Math.floor(it / 1000) % 60).padStart(2, "0")}`,
  ],
  tempo: ["tempo", (it) => `${Math.round(it)} bpm`],
  loudness: ["loudness", (it) => `${it.toFixed(1)} dB`],
  key: ["key", (it) => KEYS[it] ?? it],
};

/** Closing the dialog, however that is done, is a change of what is shown. */
export function startTrack() {
  const dialog = byId("track");
  dialog.addEventListener("close", () => go({ track: "" }));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

export function hideTrack() {
  byId("track").close();
}

/** Opens the dialog; `act` is null where there is no listener to act for. */
export async function showTrack(id, act) {
  const dialog = byId("track");
  if (!dialog.open) dialog.showModal();
  dialog.dataset.shown = id;
  const [track, neighbours] = await Promise.allSettled([
    api.trackWithAttributes(id),
    api.similar(id, NEIGHBOURS),
  ]);
  if (dialog.dataset.shown !== id) return;
  dialog.replaceChildren(
    ...(track.value ? content(track.value, neighbours, act) : [head(id), h("p", {}, track.reason.message)]),
  );
  dialog.scrollTop = 0;
}

function content(track, neighbours, act) {
  return [
    head(api.titleOf(track)),
    h("p", { class: "by" }, [track.artist, track.year].filter(Boolean).join(" · ")),
    h(
      "p",
      { class: "tags" },
      (track.genres ?? []).map((it) => h("span", { class: "tag" }, it)),
      track.explicit && h("span", { class: "tag" }, "explicit"),
      track.available === false && h("span", { class: "tag off" }, "not available"),
    ),
    act &&
      h(
        "div",
        { class: "acts" },
        ["play", "skip", "like"].map((what) =>
          h(
            "button",
            {
              type: "button",
              class: what,
              click: () => act(track, what),
            },
            icon(what),
            what[0].toUpperCase() + what.slice(1),
          ),
        ),
      ),
    ...sound(track.attributes ?? {}, track.popularity),
    ...listed(track.track_id),
    ...nearest(track, neighbours),
  ].filter(Boolean);
}

function head(title) {
  const close = h(
    "button",
    { type: "button", class: "close", "aria-label": "Close", click: hideTrack },
    icon("close"),
  );
  return h("div", { class: "dialog-head" }, h("h2", { id: "track-title" }, title), close);
}

/** Attributes between 0 and 1 as bars, other numbers in words; nothing where there are none. */
function sound(attributes, popularity) {
  const numbers = Object.entries(attributes).filter(
    ([name, it]) => typeof it === "number" && !TOLD.has(name),
  );
  const shares = numbers.filter(([name, it]) => !READ[name] && it >= 0 && it <= 1);
  const facts = numbers
    .filter(([name]) => READ[name])
    .map(([name, it]) => [READ[name][0], READ[name][1](it)]);
  if (popularity != null) facts.push(["popularity", `${Math.round(100 * popularity)} of 100`]);
  if (!shares.length && !facts.length) return [];
  return [
    h("h3", {}, "How it sounds"),
    shares.length > 0 && bars(shares),
    h(
      "dl",
      { class: "facts" },
      facts.map(([name, it]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(it)))),
    ),
  ];
}

function bars(shares) {
  const [height, left, width] = [22, 124, 220];
  const label = shares.map(([name, it]) => `${name} ${it.toFixed(2)}`).join(", ");
  return svg(
    "svg",
    {
      class: "bars",
      viewBox: `0 0 ${left + width + 46} ${height * shares.length}`,
      role: "img",
      "aria-label": label,
    },
    shares.map(([name, it], n) =>
      svg(
        "g",
        { transform: `translate(0 ${n * height})` },
        svg("text", { x: left - 10, y: 15, "text-anchor": "end" }, name),
        svg("rect", { class: "rail", x: left, y: 7, width, height: 8, rx: 4 }),
        svg("rect", { class: "bar", x: left, y: 7, width: Math.max(4, width * it), height: 8, rx: 4 }),
        svg("text", { x: left + width + 10, y: 15 }, it.toFixed(2)),
      ),
    ),
  );
}

function listed(id) {
  const found = standings(id);
  if (!found.length) return [];
  return [
    h("h3", {}, "Why it is recommended"),
    h(
      "ul",
      { class: "standings" },
      found.map(({ model, place, reason }) =>
        h(
          "li",
          {},
          h("i", { class: `dot m${model.id % 8}` }),
          h("b", {}, `${capital(model.name)}, place ${place + 1}`),
          reason &&
            h(
              "p",
              {},
              reason.text,
              h("span", { class: "share" }, ` (${percent(reason.share)} of what speaks for it)`),
            ),
        ),
      ),
    ),
  ];
}

function nearest(track, { value: tracks, reason: problem }) {
  if (problem) return [h("h3", {}, "Its neighbours"), h("p", {}, problem.message)];
  if (!tracks.length) return [];
  return [
    h("h3", {}, "Its neighbours"),
    artistsNear(track, tracks),
    h(
      "ol",
      { class: "neighbours" },
      tracks
        .slice(0, LISTED)
        .map((it) =>
          h(
            "li",
            {},
            h("a", { href: hashOf({ track: it.track_id }), "data-track": it.track_id }, api.titleOf(it)),
            h("span", { class: "artist" }, it.artist ?? ""),
            h("span", { class: "reason" }, it.reason?.text ?? ""),
            h(
              "span",
              { class: "score", title: "Cosine of the two in the autoencoder's latent space" },
              `${percent(it.score)} alike`,
            ),
          ),
        ),
    ),
  ];
}

/** Who else is like it: the artists of most of the nearest tracks, its own left out. */
function artistsNear({ artist }, tracks) {
  const others = tracks.filter((it) => it.artist && it.artist !== artist);
  const most = [...Map.groupBy(others, (it) => it.artist)]
    .sort(([, one], [, other]) => other.length - one.length)
    .slice(0, 4);
  if (!most.length) return null;
  const share = ([name, own], n) =>
    `${name} (${own.length}${n === 0 ? ` of the ${tracks.length} nearest tracks` : ""})`;
  return h("p", {}, `Artists like this one: ${most.map(share).join(", ")}.`);
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
