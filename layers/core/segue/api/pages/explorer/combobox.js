/** A text field that suggests what it finds (the combobox pattern of WAI-ARIA). */

import { h, say } from "./dom.js";

const PAUSE = 150;

/**
 * @param {HTMLInputElement} input
 * @param {HTMLUListElement} list
 * @param {(text: string) => Promise<object[]>} search
 * @param {(item: object) => (Node|string)[]} show what stands on an option
 * @param {(item: object) => void} pick
 */
export function combobox(input, list, { search, show, pick }) {
  let items = [];
  let active = -1;
  let latest = 0;
  let stale = false;
  let timer;

  list.setAttribute("role", "listbox");
  for (const [name, value] of Object.entries({
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": list.id,
  }))
    input.setAttribute(name, value);
  close();

  function close() {
    clearTimeout(timer);
    latest += 1;
    items = [];
    list.replaceChildren();
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    activate(-1);
  }

  function activate(place) {
    active = place;
    [...list.children].forEach((it, n) => it.setAttribute("aria-selected", String(n === place)));
    if (place < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", list.children[place].id);
    list.children[place]?.scrollIntoView({ block: "nearest" });
  }

  async function look() {
    clearTimeout(timer);
    const asked = ++latest;
    let found;
    try {
      found = await search(input.value.trim());
    } catch (problem) {
      say(problem.message);
      return;
    }
    if (asked !== latest) return;
    stale = false;
    items = found;
    list.replaceChildren(...items.map(option));
    if (!items.length) list.append(h("li", { class: "none" }, "Nothing found"));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(-1);
  }

  function option(item, place) {
    const attributes = {
      id: `${list.id}-${place}`,
      role: "option",
      "aria-selected": "false",
      // Before the field loses the focus, which would close the list.
      mousedown: (event) => event.preventDefault(),
      click: () => choose(item),
    };
    return h("li", attributes, ...show(item));
  }

  function choose(item) {
    close();
    input.value = "";
    pick(item);
  }

  input.addEventListener("input", () => {
    stale = true;
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
  });
  input.addEventListener("focus", look);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", async (event) => {
    if (["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) {
      event.preventDefault();
      // Whoever types fast means what they have typed, not what was found before.
      if (stale) await look();
      if (!items.length) return;
      if (event.key === "Enter") choose(items[Math.max(active, 0)]);
      else activate((active + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
}
