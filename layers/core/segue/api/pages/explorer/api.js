/**
 * The service's API, by relative addresses: a deployed stage lies below the root.
 *
 * @typedef {{track_id: string, title: ?string, artist: ?string, artist_id: ?string,
 *   genres: string[], year: ?number, explicit: boolean, popularity: number}} Track
 * @typedef {Track & {score: number, reason: ?{kind: string, share: number, text: string}}} Recommended
 * @typedef {{session_id: string|number, timestamp: string, track_id: ?string, event_type: string}} Event
 */

/** An error answer (RFC 9457). `field` and `position` say what of the request is at fault. */
export class Problem extends Error {
  constructor(body) {
    super(body.detail || body.title);
    this.title = body.title;
    this.status = body.status;
    this.field = body.field ?? "";
    this.position = body.position ?? null;
  }
}

/** Tracks by id, so that a name is asked for once. */
const tracks = new Map();

export const health = () => ask("GET", "health");
export const models = async () => (await ask("GET", "models")).models;
export const genres = async () => (await ask("GET", "genres")).genres;
export const profile = (user) => ask("GET", `users/${segment(user)}`);
export const erase = (user) => ask("DELETE", `users/${segment(user)}`);

export async function findUsers(text, limit) {
  return (await ask("GET", `users?${query({ query: text, limit })}`)).users;
}

export async function findTracks(text, limit) {
  return remember((await ask("GET", `tracks?${query({ query: text, limit })}`)).tracks);
}

export function saveProfile(user, favouriteGenres) {
  return ask("PUT", `users/${segment(user)}`, { favourite_genres: favouriteGenres });
}

export function addEvents(user, events) {
  return ask("POST", `users/${segment(user)}/events`, { events });
}

/** The listener's events between two times, however many pages they take. */
export async function events(user, from, to) {
  const found = [];
  const window = { from: from.toISOString(), to: to.toISOString() };
  let next = null;
  do {
    const path = `users/${segment(user)}/events?${query({ ...window, next })}`;
    const page = await ask("GET", path);
    found.push(...page.events);
    next = page.next;
  } while (next);
  return found;
}

/**
 * A model's list with reasons, how many milliseconds it took, and who answered.
 * @returns {Promise<{tracks: Recommended[], took: number, by: string}>}
 */
export async function predict(model, wish) {
  const start = performance.now();
  const response = await send("POST", `models/${model}/predict`, { ...wish, explain: true });
  const found = await response.json();
  const took = performance.now() - start;
  return { tracks: remember(found), took, by: response.headers.get("X-Segue-Answered-By") };
}

/** A track with its attributes. */
export const trackWithAttributes = (id) => ask("GET", `tracks/${segment(id)}`);

/** A track's name and the like. One that cannot be had goes by its id. */
export function track(id) {
  if (!tracks.has(id)) tracks.set(id, trackWithAttributes(id));
  return tracks.get(id).catch(() => {
    tracks.delete(id);
    return { track_id: id };
  });
}

/** The nearest tracks, nearest first, with reasons. */
export async function similar(id, k) {
  return remember(await ask("GET", `tracks/${segment(id)}/similar?${query({ k, explain: true })}`));
}

export const titleOf = (it) => it.title ?? it.track_id;

function remember(found) {
  for (const it of found) tracks.set(it.track_id, Promise.resolve(it));
  return found;
}

async function ask(method, path, body) {
  const response = await send(method, path, body);
  return response.status === 204 ? null : response.json();
}

async function send(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options).catch(() => {
    throw new Problem({ title: "No answer", detail: "The service does not answer. Is it running?" });
  });
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Problem({ title: response.statusText, status: response.status, ...told });
  }
  return response;
}

function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== "");
  return new URLSearchParams(given);
}

const segment = (id) => encodeURIComponent(id);
