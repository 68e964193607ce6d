/** What a listener heard: a column for each session under its day, and the tracks of one of them. */

import * as api from "./api.js";
import { byId, count, h, icon } from "./dom.js";
import { daysBefore, startOfDay } from "./listening.js";
import { hashOf } from "./state.js";

const ICONS = { played: "play", skipped: "skip", liked: "like" };

let selected = "";

/** Draws the sessions of the four weeks before `now`, and opens the latest one. */
export function showTimeline(sessions, now) {
  const byDay = Map.groupBy(sessions, (it) => +startOfDay(it.start));
  const strip = byId("timeline");
  strip.replaceChildren(
    ...daysBefore(now).map((day, n) =>
      h(
        "div",
        { class: "day" },
        h(
          "span",
          { class: "date" },
          format(day, { day: "numeric", month: n === 0 || day.getUTCDate() === 1 ? "short" : undefined }),
        ),
        h(
          "div",
          { class: "columns" },
          (byDay.get(+day) ?? []).map((it) => column(it, sessions)),
        ),
      ),
    ),
  );
  strip.scrollLeft = strip.scrollWidth;
  const latest = sessions.at(-1);
  if (latest) open(latest, sessions);
  else byId("session").replaceChildren(h("p", { class: "none" }, "Nothing in these four weeks."));
}

function column(session, sessions) {
  return h(
    "button",
    {
      type: "button",
      class: "column",
      tabindex: "-1",
      "data-session": session.id,
      "aria-label": `${moment(session.start)}: ${summary(session)}`,
      click: () => open(session, sessions),
      keydown: (event) => move(event, session, sessions),
    },
    session.plays.map((it) => h("i", { class: `mark ${it.how}` })),
  );
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
    h(
      "ol",
      { tabindex: "0", "aria-label": "Tracks of the session" },
      session.plays.map((play, n) => row(play, tracks[n])),
    ),
  );
}

function row(play, track) {
  return h(
    "li",
    { class: play.how },
    icon(ICONS[play.how]),
    h("span", { class: "hidden" }, `${play.how}: `),
    h("a", { href: hashOf({ track: play.track }), "data-track": play.track }, api.titleOf(track)),
    track.artist && h("span", { class: "artist" }, track.artist),
  );
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
  return `${count(plays.length, "play")} in four weeks, ${Math.round((100 * skipped) / plays.length)} % of them skipped`;
}

const buttonOf = (session) => byId("timeline").querySelector(`[data-session="${CSS.escape(session.id)}"]`);
const format = (time, parts) => time.toLocaleString("en-GB", { ...parts, timeZone: "UTC" });
const moment = (time) =>
  format(time, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
