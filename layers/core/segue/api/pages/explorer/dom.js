/** Builds elements. What the API says only ever becomes text, and is never parsed as HTML. */

const SHOWN_FOR = 12_000;
const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  play: "M4.5 2.5v11l9-5.5z",
  skip: "M3 3v10l7-5zM11 3h2v10h-2z",
  like: "M8 13.8 2.6 8.4a3.4 3.4 0 0 1 4.8-4.8l.6.6.6-.6a3.4 3.4 0 0 1 4.8 4.8z",
  close: "m4 2.6 4 4 4-4L13.4 4l-4 4 4 4-1.4 1.4-4-4-4 4L2.6 12l4-4-4-4z",
};

let silence;

/**
 * An element with attributes and children; of the attributes, functions are event listeners, and
 * what is false or null is left out.
 */
export function h(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

/** One of the icons; what it means has to be said beside it. */
export function icon(name) {
  const shape = svg("path", { d: ICONS[name] });
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, shape);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Says something at the bottom for a while; screen readers read it out. */
export function say(text) {
  clearTimeout(silence);
  byId("status").textContent = text;
  silence = setTimeout(() => byId("status").replaceChildren(), SHOWN_FOR);
}

/** "1 track", "2 tracks" */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(2).filter((it) => it !== null && it !== undefined && it !== false));
  return element;
}
