/** The explorer: shows what the address says, and asks the service anew whenever that changes. */

import * as api from "./api.js";
import { combobox } from "./combobox.js";
import { showControls, showFault, startControls, wishOf } from "./controls.js";
import { byId, h, say } from "./dom.js";
import { recentEvents, send, sessionsOf } from "./listening.js";
import { setBusy, showLists } from "./lists.js";
import { hideNewcomer, isOurs, showNewcomer, startNewcomer } from "./newcomer.js";
import { follow, go, hashOf, read } from "./state.js";
import { listened, showTimeline } from "./timeline.js";
import { hideTrack, showTrack, startTrack } from "./track.js";

const SOME = 8;
const PAST_TENSE = { play: "Played", skip: "Skipped", like: "Liked" };

/** What the page knows of the service, of the listener that is shown, and of what was asked for. */
const page = {
  models: [],
  listener: null,
  events: [],
  asked: "",
  requests: 0,
  acting: Promise.resolve(),
  started: false,
};

async function start() {
  startControls();
  startTrack();
  startNewcomer();
  combobox(byId("find"), byId("found"), {
    search: (text) => api.findUsers(text, 8),
    show: (it) => [h("b", {}, String(it.user_id)), " ", h("span", {}, it.favourite_genres.join(", "))],
    pick: (it) => go({ listener: String(it.user_id), track: "" }),
  });
  document.querySelector(".skip-link").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  byId("erase").addEventListener("click", () => guarded(erase));
  await guarded(async () => {
    const [models, health] = await Promise.all([api.models(), api.health()]);
    page.models = models;
    const now = new Date(health.now).toLocaleDateString("en-GB", {
      day: "numeric",
      month: "long",
      year: "numeric",
      timeZone: "UTC",
    });
    byId("facts").textContent = `Recommendations as of ${now}, by bundle ${health.bundle}.`;
    follow((state) => guarded(() => show(state)));
    await show(read());
    page.started = true;
  });
}

/** @param {import("./state.js").State} state */
async function show(state) {
  refreshLinks();
  byId("trouble").hidden = true;
  byId("welcome").hidden = state.listener !== "";
  byId("listener").hidden = state.listener === "";
  if (!state.make) hideNewcomer();
  if (!state.track) hideTrack();
  if (state.listener) await showListener(state);
  else await showWelcome();
  if (state.make) await showNewcomer();
  if (state.track) await showTrack(state.track, state.listener ? actAndReturn : null);
}

async function showWelcome() {
  document.title = "Segue explorer";
  page.listener = null;
  if (byId("some").children.length) return;
  const users = await api.findUsers("", SOME);
  byId("some").replaceChildren(
    ...users.map((it) =>
      h(
        "li",
        {},
        h(
          "a",
          { href: hashOf({ listener: String(it.user_id) }) },
          h("b", {}, `Listener ${it.user_id}`),
          h("span", {}, it.favourite_genres.join(" · ")),
        ),
      ),
    ),
  );
}

async function showListener(state) {
  showControls(state);
  const isNew = page.listener !== state.listener;
  const wish = JSON.stringify(wishOf(state));
  if (!isNew && page.asked === wish) return;
  page.asked = wish;
  if (isNew) {
    clear(state.listener);
    await Promise.all([showProfile(state.listener), showHeard(state.listener), showAnswers(state, false)]);
  } else {
    const changes = await showAnswers(state, true);
    if (changes) say(changes);
  }
  refreshLinks();
}

/** Nothing of the listener before is left while the new one's answers are waited for. */
function clear(user) {
  document.title = `Listener ${user} · Segue explorer`;
  page.listener = user;
  page.events = [];
  byId("name").textContent = `Listener ${user}`;
  byId("erase").hidden = !isOurs(user);
  for (const id of ["profile", "timeline", "session", "lists"]) byId(id).replaceChildren();
  // Whoever has just chosen the listener goes on from here.
  if (page.started) byId("name").focus();
}

async function showProfile(user) {
  const profile = await api.profile(user).catch((problem) => {
    if (problem.status === 404) return { favourite_genres: [] };
    throw problem;
  });
  if (page.listener !== user) return;
  byId("profile").replaceChildren(
    ...profile.favourite_genres.map((it) => h("span", { class: "tag" }, it)),
    ...(profile.premium_user ? [h("span", { class: "tag" }, "premium")] : []),
    h("span", { id: "listened" }),
  );
  showCounts();
}

async function showHeard(user) {
  const { now } = await api.health();
  const events = await recentEvents(user, new Date(now));
  if (page.listener !== user) return;
  page.events = events;
  showTimeline(sessionsOf(events), new Date(now));
  showCounts();
}

function showCounts() {
  const text = byId("listened");
  if (text) text.textContent = listened(sessionsOf(page.events));
}

/** Asks all models at once; what has changed, in words, or null where nothing new is shown. */
async function showAnswers(state, compare) {
  const request = ++page.requests;
  setBusy(true);
  const wish = { user_id: state.listener, ...wishOf(state) };
  const lists = await Promise.all(
    page.models.map(async (model) => {
      try {
        return { model, answer: await api.predict(model.id, wish) };
      } catch (problem) {
        return { model, problem };
      }
    }),
  );
  if (request !== page.requests) return null;
  setBusy(false);
  const fault = lists.find((it) => it.problem?.field)?.problem;
  showFault(fault ?? null);
  return fault ? null : showLists(lists, compare, act);
}

/** From the dialog back to the lists, to see them follow. */
function actAndReturn(track, what) {
  hideTrack();
  act(track, what);
}

/** The listener plays, skips or likes a track, one after the other, however fast one clicks. */
function act(track, what) {
  page.acting = page.acting.then(() => guarded(() => sendAndFollow(track, what)));
}

/** An event is sent, and everything follows. */
async function sendAndFollow(track, what) {
  const state = read();
  await send(state.listener, track.track_id, what, page.events);
  const [changes] = await Promise.all([showAnswers(state, true), showHeard(state.listener)]);
  refreshLinks();
  say(`${PAST_TENSE[what]} ${api.titleOf(track)}. ${changes ?? ""}`);
}

async function erase() {
  const user = page.listener;
  await api.erase(user);
  go({ listener: "", track: "" });
  say(`${user} is erased: nothing is left of them.`);
}

/** Links to tracks, and to making a listener, lead from the present state. */
function refreshLinks() {
  for (const link of document.querySelectorAll("[data-track]"))
    link.href = hashOf({ track: link.dataset.track });
  for (const link of document.querySelectorAll("[data-make]")) link.href = hashOf({ make: true, track: "" });
}

/** What fails is said on top of the page. */
async function guarded(work) {
  try {
    await work();
  } catch (problem) {
    if (!(problem instanceof api.Problem)) throw problem;
    byId("trouble").hidden = false;
    byId("trouble").textContent = problem.message;
  }
}

start();
