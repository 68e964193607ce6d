/**
 * What is shown, as it stands in the address: a link shares it, and the back button goes back.
 *
 * It stands behind the #, which browsers keep to themselves: no listener is named to a server's log.
 *
 * @typedef {{listener: string, track: string, make: boolean, k: number, novelty: string,
 *   diversity: number, explicit: boolean, filter: string,
 *   boosts: {where: string, factor: number}[]}} State
 */

/** @type {State} */
const DEFAULTS = {
  listener: "",
  track: "",
  make: false,
  k: 10,
  novelty: "any",
  diversity: 0,
  explicit: true,
  filter: "",
  boosts: [],
};

let shown = () => {};

/** @returns {State} */
export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return {
    listener: given.get("listener") ?? "",
    track: given.get("track") ?? "",
    make: given.has("make"),
    k: number(given.get("k"), 1, 50, DEFAULTS.k),
    novelty: given.get("novelty") === "new" ? "new" : "any",
    diversity: number(given.get("diversity"), 0, 1, DEFAULTS.diversity),
    explicit: given.get("explicit") !== "false",
    filter: given.get("filter") ?? "",
    boosts: given.getAll("boost").map(boostOf),
  };
}

/** The part of an address that shows the present state with these changes. */
export function hashOf(changes) {
  const { boosts, ...plain } = { ...read(), ...changes };
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(plain)) {
    if (value !== DEFAULTS[name]) parameters.set(name, value === true ? "" : value);
  }
  for (const { where, factor } of boosts) parameters.append("boost", `${factor}:${where}`);
  return `#${parameters}`;
}

/** Change what is shown, and where the back button goes. */
export function go(changes) {
  const hash = hashOf(changes);
  if (hash !== hashOf({})) history.pushState(null, "", hash);
  shown();
}

/** Have `show` called with the state whenever it changes, links followed included. */
export function follow(show) {
  shown = () => show(read());
  addEventListener("popstate", shown);
}

function number(text, least, greatest, otherwise) {
  const value = Number(text);
  return text && value >= least && value <= greatest ? value : otherwise;
}

function boostOf(text) {
  const [, factor, where] = /^([\d.]*):?(.*)$/s.exec(text);
  return { where, factor: number(factor, 0.01, 100, 2) };
}
