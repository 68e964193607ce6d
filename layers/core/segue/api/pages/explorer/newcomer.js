/** A listener made on the spot, of a few genres and tracks, to see the cold start work. */

import * as api from "./api.js";
import { combobox } from "./combobox.js";
import { byId, h, icon, say } from "./dom.js";
import { newId, sendPlays } from "./listening.js";
import { go } from "./state.js";

// As many as fit on one screen; the others are found by name.
const GENRES = 24;

const genres = new Set();
const chosen = new Map();
let all = [];

/** Made here, so to be erased here. */
export const isOurs = (user) => user.startsWith("explorer-");

export function startNewcomer() {
  const dialog = byId("make");
  dialog.addEventListener("close", () => go({ make: false }));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const close = dialog.querySelector(".close");
  close.append(icon("close"));
  close.addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  byId("genre-find").addEventListener("input", showGenres);
  byId("make-it").addEventListener("click", make);
  combobox(byId("track-find"), byId("tracks-found"), {
    search: (text) => api.findTracks(text, 8),
    show: (it) => [h("b", {}, api.titleOf(it)), " ", h("span", {}, it.artist ?? "")],
    pick: (it) => {
      chosen.set(it.track_id, it);
      showChosen();
    },
  });
}

export async function showNewcomer() {
  if (byId("make").open) return;
  byId("make").showModal();
  genres.clear();
  chosen.clear();
  showChosen();
  fault(null);
  try {
    if (!all.length) all = await api.genres();
    showGenres();
  } catch (problem) {
    fault(problem);
  }
}

export function hideNewcomer() {
  byId("make").close();
}

function showGenres() {
  const text = byId("genre-find").value.trim().toLowerCase();
  const fitting = all.filter(({ genre }) => genre.toLowerCase().includes(text)).slice(0, GENRES);
  byId("genres").replaceChildren(
    ...fitting.map(({ genre }) =>
      h(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-pressed": String(genres.has(genre)),
          click: ({ currentTarget }) => {
            if (!genres.delete(genre)) genres.add(genre);
            currentTarget.setAttribute("aria-pressed", String(genres.has(genre)));
            allowMaking();
          },
        },
        genre,
      ),
    ),
  );
  allowMaking();
}

function showChosen() {
  byId("chosen").replaceChildren(
    ...[...chosen.values()].map((it) =>
      h(
        "li",
        {},
        h("b", {}, api.titleOf(it)),
        " ",
        h("span", { class: "artist" }, it.artist ?? ""),
        h(
          "button",
          {
            type: "button",
            class: "close",
            "aria-label": `Remove ${api.titleOf(it)}`,
            click: () => {
              chosen.delete(it.track_id);
              showChosen();
              byId("track-find").focus();
            },
          },
          icon("close"),
        ),
      ),
    ),
  );
  allowMaking();
}

function allowMaking() {
  byId("make-it").disabled = !genres.size && !chosen.size;
}

async function make() {
  const user = newId();
  byId("make-it").disabled = true;
  try {
    await api.saveProfile(user, [...genres]);
    if (chosen.size) await sendPlays(user, [...chosen.keys()]);
    say(`${user} is here.`);
    go({ listener: user, make: false, track: "" });
  } catch (problem) {
    fault(problem);
    allowMaking();
  }
}

function fault(problem) {
  byId("make-fault").hidden = !problem;
  byId("make-fault").textContent = problem?.message ?? "";
}
