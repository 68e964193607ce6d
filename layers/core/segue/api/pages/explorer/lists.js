/** Every model's list beside the others: names, reasons, what they share, and what has moved. */

import { titleOf } from "./api.js";
import { byId, count, h, icon } from "./dom.js";
import { hashOf } from "./state.js";

const ABOUT = {
  popularity: "What everybody plays these weeks",
  autoencoder: "What sounds like their favourites",
  classifier: "What they would play to the end",
  hybrid: "All the evidence, weighed for them",
};
const ACTIONS = { play: "Play", skip: "Skip", like: "Like" };
const SAME = "no change";
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/** The lists as they are shown: of each model its answer, or the problem there was. */
let shown = [];

/**
 * @param {{model: {id: number, name: string}, answer?: object, problem?: Error}[]} lists
 * @param {boolean} compare mark what differs from the lists shown before
 * @param {(track: object, what: string) => void} act
 * @returns {string} what has changed, in words
 */
export function showLists(lists, compare, act) {
  const before = compare ? shown : [];
  const places = positions();
  const focus = focusedRow();
  shown = lists;
  const changes = lists.map((list) =>
    changesOf(
      list,
      before.find((it) => it.model.id === list.model.id),
    ),
  );
  byId("lists").replaceChildren(...lists.map((list, n) => column(list, changes[n], act)));
  if (compare) animate(places);
  if (focus) refocus(focus);
  const told = lists
    .map(({ model }, n) => [model, changes[n] && inWords(changes[n])])
    .filter(([, it]) => it && it !== SAME);
  return told.map(([model, it]) => `${capital(model.name)}: ${it}`).join("; ") || "No list has changed";
}

/** Where a track stands in each of the lists that have it. */
export function standings(id) {
  return shown.flatMap(({ model, answer }) => {
    const place = answer ? answer.tracks.findIndex((it) => it.track_id === id) : -1;
    return place < 0 ? [] : [{ model, place, reason: answer.tracks[place].reason }];
  });
}

/** While new ones are asked for. */
export function setBusy(busy) {
  byId("lists").setAttribute("aria-busy", String(busy));
}

export const capital = (name) => name[0].toUpperCase() + name.slice(1);

/** Of every track how it moved: "new", or by how many places up; and how many are gone. */
function changesOf({ answer }, before) {
  if (!answer || !before?.answer) return null;
  const ids = answer.tracks.map((it) => it.track_id);
  const old = before.answer.tracks.map((it) => it.track_id);
  const moves = new Map(ids.map((id, place) => [id, old.includes(id) ? old.indexOf(id) - place : "new"]));
  return { moves, gone: old.filter((id) => !ids.includes(id)).length };
}

function inWords({ moves, gone }) {
  const values = [...moves.values()];
  const parts = [
    [values.filter((it) => it === "new").length, "new"],
    [values.filter((it) => it > 0).length, "up"],
    [values.filter((it) => it < 0).length, "down"],
    [gone, "gone"],
  ].filter(([number]) => number);
  return parts.map(([number, what]) => `${number} ${what}`).join(", ") || SAME;
}

function column({ model, answer, problem }, changes, act) {
  const id = `model-${model.id}`;
  return h(
    "section",
    { class: `list m${model.id % 8}`, "aria-labelledby": id },
    h(
      "header",
      {},
      h("h3", { id }, h("i", { class: "dot" }), capital(model.name)),
      answer &&
        h(
          "span",
          { class: "took", title: "From request to answer, as this browser saw it" },
          `${Math.round(answer.took)} ms`,
        ),
      h("p", { class: "note" }, ABOUT[model.name] ?? `Model ${model.id}`),
      answer?.by === "cold-start" && h("p", { class: "cold" }, "Cold start: no plays to go by yet"),
      changes && h("p", { class: "changes" }, inWords(changes)),
    ),
    answer?.tracks.length > 0 &&
      h(
        "ol",
        {},
        answer.tracks.map((it, n) => row(it, n, changes?.moves.get(it.track_id), act)),
      ),
    answer?.tracks.length === 0 && h("p", { class: "none" }, "No track meets all that is asked for."),
    problem && h("p", { class: "none" }, problem.message),
  );
}

function row(track, place, move, act) {
  const title = titleOf(track);
  return h(
    "li",
    { "data-row": track.track_id, class: move === "new" ? "fresh" : null },
    h("span", { class: "place", "aria-hidden": "true" }, String(place + 1)),
    h(
      "a",
      {
        class: "title",
        href: hashOf({ track: track.track_id }),
        "data-track": track.track_id,
        "aria-keyshortcuts": "p s l",
        keydown: (event) => onKey(event, track, act),
      },
      title,
    ),
    overlap(track.track_id),
    h(
      "span",
      { class: "artist" },
      track.artist ?? "",
      track.explicit && h("abbr", { class: "tag", title: "explicit" }, "E"),
    ),
    moveMark(move),
    track.reason && h("p", { class: "reason" }, track.reason.text),
    h(
      "div",
      { class: "acts" },
      Object.entries(ACTIONS).map(([what, name]) =>
        h(
          "button",
          {
            type: "button",
            tabindex: "-1",
            class: what,
            "aria-label": `${name} ${title}`,
            title: name,
            click: () => act(track, what),
          },
          icon(what),
        ),
      ),
    ),
  );
}

/** A dot for each model, full where its list has the track. */
function overlap(id) {
  const holders = new Set(standings(id).map((it) => it.model.id));
  const label = `In ${holders.size} of ${count(shown.length, "list")}`;
  return h(
    "span",
    { class: "overlap", role: "img", "aria-label": label, title: label },
    shown.map(({ model }) => h("i", { class: `dot m${model.id % 8}${holders.has(model.id) ? "" : " off"}` })),
  );
}

function moveMark(move) {
  if (!move) return null;
  if (move === "new") return h("span", { class: "move new" }, "new");
  const places = Math.abs(move);
  return h(
    "span",
    { class: move > 0 ? "move up" : "move down" },
    h("span", { "aria-hidden": "true" }, `${move > 0 ? "▲" : "▼"} ${places}`),
    h("span", { class: "hidden" }, `${move > 0 ? "up" : "down"} ${places}`),
  );
}

/** P, S and L act on the track that has the focus; arrows go to the ones around it. */
function onKey(event, track, act) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const what = { p: "play", s: "skip", l: "like" }[event.key.toLowerCase()];
  const target = neighbour(event.key);
  if (!what && !target) return;
  event.preventDefault();
  if (what) act(track, what);
  else target.focus();
}

function neighbour(key) {
  const focus = focusedRow();
  const lists = [...document.querySelectorAll("#lists .list")];
  const across = { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0;
  const down = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
  if (!across && !down) return null;
  const links = lists[focus.list + across]?.querySelectorAll(".title") ?? [];
  return links[Math.min(focus.place + down, links.length - 1)];
}

function focusedRow() {
  const row = document.activeElement?.closest("#lists li");
  if (!row) return null;
  const list = row.closest(".list");
  return {
    list: [...list.parentElement.children].indexOf(list),
    place: [...row.parentElement.children].indexOf(row),
  };
}

/** To what now stands where the focus was, so that one can go on from there. */
function refocus({ list, place }) {
  const links = byId("lists").children[list]?.querySelectorAll(".title") ?? [];
  links[Math.min(place, links.length - 1)]?.focus({ preventScroll: true });
}

function positions() {
  return new Map(
    [...document.querySelectorAll("#lists li")].map((it) => [keyOf(it), it.getBoundingClientRect().top]),
  );
}

/** Rows glide to their new places, and new ones appear. */
function animate(before) {
  if (STILL.matches) return;
  for (const row of document.querySelectorAll("#lists li")) {
    const from = before.get(keyOf(row));
    const way = from === undefined ? 0 : from - row.getBoundingClientRect().top;
    const start = from === undefined ? { opacity: 0 } : { transform: `translateY(${way}px)` };
    if (from === undefined || way)
      row.animate([start, {}], { duration: 450, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}

const keyOf = (row) => `${row.closest(".list").className} ${row.dataset.row}`;

/** The same track stands out in all lists while it is pointed at or has the focus. */
function highlight(event) {
  const id = event.target.closest("[data-row]")?.dataset.row;
  for (const row of document.querySelectorAll("#lists li"))
    row.classList.toggle("same", row.dataset.row === id);
}

for (const kind of ["pointerover", "pointerleave", "focusin", "focusout"]) {
  byId("lists").addEventListener(kind, highlight);
}
