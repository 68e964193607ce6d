/** What a listener heard: a column for each session under its day, and the tracks of one of them. */

import * as api from "./api.js";
import { byId, count, h, icon } from "./dom.js";
import { DAYS } from "./listening.js";
import { hashOf } from "./state.js";

const DAY = 86_400_000;
const ICONS = { played: "play", skipped: "skip", liked: "like" };

let selected = "";

/** Draws the sessions of the weeks before `now`; the latest one is opened, or stays so. */
export function showTimeline(sessions, now) {
  const end = startOfDay(new Date(now - 1));
  const days = Array.from({ length: DAYS }, (_, n) => new Date(end - (DAYS - 1 - n) * DAY));
  const byDay = Map.groupBy(sessions, (it) => +startOfDay(it.start));
  const strip = byId("timeline");
  strip.replaceChildren(...days.map((day, n) => h("div", { class: "day" },
    h("span", { class: "date" }, n === 0 || day.getUTCDate() === 1 ? format(day, { day: "numeric", month: "short" }) : String(day.getUTCDate())),
    h("div", { class: "columns" }, (byDay.get(+day) ?? []).map((it) => column(it, sessions))))));
  strip.scrollLeft = strip.scrollWidth;
  const latest = sessions.at(-1);
  if (latest) open(latest, sessions);
  else byId("session").replaceChildren(h("p", { class: "none" }, "Nothing in these four weeks."));
}

function column(session, sessions) {
  return h("button", {
    type: "button", class: "column", tabindex: "-1", "data-session": session.id,
    "aria-label": `${moment(session.start)}: ${summary(session)}`,
    click: () => open(session, sessions),
    keydown: (event) => move(event, session, sessions),
  }, session.plays.map((it) => h("i", { class: `mark ${it.how}` })));
}

/** One stop for the tab key; the arrows go from session to session. */
function move(event, session, sessions) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const next = step && sessions[sessions.indexOf(session) + step];
  if (!next) return;
  event.preventDefault();
  open(next, sessions);
  buttonOf(next).focus();
}

async function open(session, sessions) {
  selected = session.id;
  for (const each of sessions) {
    const chosen = each === session;
    buttonOf(each).setAttribute("aria-pressed", String(chosen));
    buttonOf(each).tabIndex = chosen ? 0 : -1;
  }
  const tracks = await Promise.all(session.plays.map((it) => api.track(it.track)));
  if (selected !== session.id) return;
  byId("session").replaceChildren(
    h("h3", {}, moment(session.start)),
    h("p", { class: "note" }, summary(session)),
    h("ol", { tabindex: "0", "aria-label": "Tracks of the session" },
      session.plays.map((play, n) => row(play, tracks[n]))));
}

function row(play, track) {
  return h("li", { class: play.how },
    icon(ICONS[play.how]), h("span", { class: "hidden" }, `${play.how}: `),
    h("a", { href: hashOf({ track: play.track }), "data-track": play.track }, api.titleOf(track)),
    track.artist && h("span", { class: "artist" }, track.artist));
}

function summary(session) {
  const counts = Object.keys(ICONS)
    .map((how) => [session.plays.filter((it) => it.how === how).length, how])
    .filter(([number]) => number);
  return counts.map(([number, how]) => `${number} ${how}`).join(", ");
}

/** Of all the sessions, in words. */
export function listened(sessions) {
  const plays = sessions.flatMap((it) => it.plays);
  const skipped = plays.filter((it) => it.how === "skipped").length;
  if (!plays.length) return "nothing heard in the last four weeks";
  return `${count(plays.length, "play")} in four weeks, ${Math.round(100 * skipped / plays.length)} % of them skipped`;
}

const buttonOf = (session) => byId("timeline").querySelector(`[data-session="${CSS.escape(session.id)}"]`);
const startOfDay = (time) => new Date(Math.floor(time / DAY) * DAY);
const format = (time, parts) => time.toLocaleString("en-GB", { ...parts, timeZone: "UTC" });
const moment = (time) => format(time, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
