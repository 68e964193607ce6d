/** Listening events: from the service's to sessions, and from a visitor's clicks to the service. */

import * as api from "./api.js";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const DAYS = 28;

/** The name of what is made here, so that it can be told from what was there. */
export const newId = () => `explorer-${Math.random().toString(36).slice(2, 10)}`;

const SESSION = newId();

/** The beginning of the day (UTC) that a time lies in. */
export const startOfDay = (time) => new Date(Math.floor(time / DAY) * DAY);

/** The four weeks of days, the one that ends `now` or in which it is being the last. */
export function daysBefore(now) {
  const last = startOfDay(now - 1);
  return Array.from({ length: DAYS }, (_, n) => new Date(last - (DAYS - 1 - n) * DAY));
}

/**
 * The sessions in time order, each with its plays labelled as the service does it: skipped where a
 * SKIP of the track follows before the next PLAY, liked where its track is liked in the session.
 *
 * @param {api.Event[]} events
 * @returns {{id: string, start: Date, plays: {track: string, time: Date, how: string}[]}[]}
 */
export function sessionsOf(events) {
  const sessions = Map.groupBy(events, (it) => String(it.session_id));
  return [...sessions]
    .map(([id, own]) => sessionOf(id, own))
    .filter((it) => it.plays.length)
    .sort((one, other) => one.start - other.start);
}

function sessionOf(id, events) {
  // A skip that bears the time of the next play belongs to the play before it.
  events.sort((one, other) => timeOf(one) - timeOf(other) || isPlay(one) - isPlay(other));
  const liked = new Set(events.filter((it) => it.event_type === "LIKE").map((it) => it.track_id));
  const plays = [];
  for (const { event_type: type, track_id: track, timestamp } of events) {
    const how = liked.has(track) ? "liked" : "played";
    if (type === "PLAY") plays.push({ track, time: new Date(timestamp), how });
    else if (type === "SKIP" && plays.at(-1)?.track === track) plays.at(-1).how = "skipped";
  }
  return { id, start: plays[0]?.time, plays };
}

const timeOf = (event) => new Date(event.timestamp);
const isPlay = (event) => event.event_type === "PLAY";

/** The listener's events of the four weeks before the moment that recommendations are made as of. */
export function recentEvents(user, now) {
  return api.events(user, daysBefore(now)[0], now);
}

/**
 * Sends what the visitor has the listener do: "play", "skip" or "like".
 *
 * Recommendations go by what lies before `now`, which stands still on past data. So the events are
 * put between the last one and now, closer and closer.
 */
export async function send(user, track, what, events) {
  const { now } = await api.health();
  const last = events.at(-1);
  let time = Math.max(new Date(now) - 30 * MINUTE, last ? new Date(last.timestamp) : 0);
  const event = (type, id) => {
    time += Math.min(10_000, (new Date(now) - time) / 2);
    const timestamp = new Date(time).toISOString();
    return { session_id: SESSION, timestamp, track_id: id, event_type: type };
  };
  const playing = last?.session_id === SESSION && last.track_id === track;
  const sent = playing && what !== "play" ? [] : [event("PLAY", track)];
  if (what !== "play") sent.push(event(what.toUpperCase(), track));
  return check(await api.addEvents(user, sent));
}

/** Has a new listener play these tracks, one after the other. */
export async function sendPlays(user, tracks) {
  const sent = [];
  const { now } = await api.health();
  const start = new Date(now) - 40 * MINUTE;
  tracks.forEach((track, place) => {
    const timestamp = new Date(start + place * MINUTE).toISOString();
    sent.push({ session_id: SESSION, timestamp, track_id: track, event_type: "PLAY" });
  });
  return check(await api.addEvents(user, sent));
}

function check(receipt) {
  const remark = [...receipt.rejections, ...receipt.waiting][0];
  if (remark) throw new api.Problem({ title: "Not counted", detail: remark.reasons.join("; ") });
}
