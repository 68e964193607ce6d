/** What the models are asked for: the fields over the lists, and what is wrong with them. */

import { byId, h, icon } from "./dom.js";
import { go } from "./state.js";

// As many as the service takes.
const MOST_BOOSTS = 5;
const NEW_BOOST = { where: "", factor: 2 };

/** Has the fields change the state; what is typed counts when the field is left, or on Enter. */
export function startControls() {
  const form = byId("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => go(values(form)));
  form.diversity.addEventListener("input", () => showDiversity(form));
  byId("add-boost").addEventListener("click", () => {
    showBoosts([...boostsOf(form), NEW_BOOST]);
    byId("boosts").lastElementChild.querySelector("input").focus();
  });
}

/** @param {import("./state.js").State} state */
export function showControls(state) {
  const form = byId("controls");
  for (const name of ["k", "novelty", "diversity", "explicit", "filter"]) form[name].value = state[name];
  showDiversity(form);
  // Fields that are drawn anew would lose the focus.
  if (JSON.stringify(boostsOf(form)) !== JSON.stringify(state.boosts)) showBoosts(state.boosts);
}

/** What goes into the body of a prediction. */
export function wishOf(state) {
  const { k, novelty, diversity, explicit, filter } = state;
  const boosts = state.boosts.filter((it) => it.where);
  return { k, novelty, diversity, explicit, ...(filter && { filter }), ...(boosts.length && { boosts }) };
}

/** Shows a problem at the field that is at fault, with the place where it says one; null: none. */
export function showFault(problem) {
  for (const box of document.querySelectorAll("#controls .fault")) box.hidden = true;
  for (const field of document.querySelectorAll("#controls [aria-invalid]"))
    field.removeAttribute("aria-invalid");
  if (!problem) return;
  const { field, box } = placeOf(problem);
  field?.setAttribute("aria-invalid", "true");
  box.hidden = false;
  box.replaceChildren(
    ...markedText(field, problem.position),
    h("p", { role: "alert" }, problem.message.replace(`${problem.field}: `, "")),
  );
}

function placeOf({ field }) {
  const [, boost] = /^boosts\D*(\d+)/.exec(field) ?? [];
  const row = byId("boosts").children[boost];
  if (row) return { field: row.querySelector("input"), box: row.querySelector(".fault") };
  if (field === "filter") return { field: byId("filter"), box: byId("filter-fault") };
  return { field: byId("controls").elements[field], box: byId("other-fault") };
}

/** The text with the character at fault marked; at its end, where there should have been more. */
function markedText(field, position) {
  if (!field || position === null) return [];
  const text = [...field.value];
  const [before, fault, after] = [text.slice(0, position), text[position] ?? " ", text.slice(position + 1)];
  return [h("code", {}, before.join(""), h("mark", {}, fault), after.join(""))];
}

function showDiversity(form) {
  byId("diversity-shown").textContent = Number(form.diversity.value).toFixed(1);
}

function showBoosts(boosts) {
  byId("boosts").replaceChildren(...boosts.map(boostRow));
  byId("add-boost").disabled = boosts.length >= MOST_BOOSTS;
}

function boostRow({ where, factor }, place) {
  const [textId, factorId, faultId] = ["boost", "factor", "boost-fault"].map((it) => `${it}-${place}`);
  const remove = (event) => {
    event.target.closest(".boost").remove();
    showBoosts(boostsOf(byId("controls")));
    go(values(byId("controls")));
    byId("add-boost").focus();
  };
  return h(
    "div",
    { class: "boost" },
    h(
      "div",
      { class: "field wide" },
      h("label", { for: textId }, "Boost tracks with"),
      h("input", {
        id: textId,
        class: "where",
        type: "text",
        autocomplete: "off",
        spellcheck: "false",
        placeholder: 'genre == "rock"',
        "aria-describedby": faultId,
        value: where,
      }),
    ),
    h(
      "div",
      { class: "field narrow" },
      h("label", { for: factorId }, "by a factor of"),
      h("input", {
        id: factorId,
        class: "factor",
        type: "number",
        min: "0.01",
        max: "100",
        step: "any",
        value: factor,
      }),
    ),
    h(
      "button",
      { type: "button", class: "close", "aria-label": "Remove the boost", click: remove },
      icon("close"),
    ),
    h("div", { id: faultId, class: "fault", hidden: true }),
  );
}

function boostsOf(form) {
  return [...form.querySelectorAll(".boost")].map((row) => ({
    where: row.querySelector(".where").value.trim(),
    factor: Number(row.querySelector(".factor").value),
  }));
}

function values(form) {
  return {
    k: form.k.validity.valid && form.k.value ? Number(form.k.value) : 10,
    novelty: form.novelty.value,
    diversity: Number(form.diversity.value),
    explicit: form.explicit.value === "true",
    filter: form.filter.value.trim(),
    boosts: boostsOf(form),
  };
}
