// The elements of each kind of control, and what they say when they are moved.

import { node } from "./dom.mjs";
import { OWN_KEYS } from "./keys.mjs";
import { positions } from "./state.mjs";

/** @import { Control, Words } from "./types.d.ts" */

/**
 * A control on the page.
 *
 * @typedef {object} Part
 * @property {Control} control
 * @property {HTMLElement} el
 * @property {any} input
 * @property {HTMLElement | null} output where a slider's value stands
 * @property {HTMLButtonElement | null} play
 * @property {any[]} values those that are offered
 */

/**
 * @typedef {object} Ear
 * @property {(part: Part, value: any) => void} put
 * @property {(part: Part) => any} read the value that a slider stands at
 * @property {(part: Part) => void} toggle plays or pauses a slider
 * @property {() => void} stop
 */

/** @param {string} name @param {() => void} press @param {string} [text]
 * @returns {HTMLButtonElement} */
export const button = (name, press, text = "") =>
  node("button", { type: "button", class: `ax-button ${name}`, onclick: press, ...OWN_KEYS }, text);

/** @param {Control} control @param {Words} words @param {Ear} ear @returns {Part} */
export function part(control, words, ear) {
  const { label, help } = words.labels[control.name];
  const id = `ax-${control.name}-${Math.random().toString(36).slice(2)}`;
  const common = { id, "data-control": control.name, title: help, ...OWN_KEYS };
  const name = node("label", { for: id }, label);
  /** @type {Part} */
  const made = { control, el: name, input: null, output: null, play: null, values: [] };

  /** @param {string} kind @param {...Node} children */
  const box = (kind, ...children) => {
    made.el = node("div", { class: `ax-control${kind}` }, ...children);
  };
  /** @param {string} event @param {() => void} then */
  const listen = (event, then) => made.input.addEventListener(event, then);

  if (control.kind === "choice") {
    made.input = node("select", common);
    listen("change", () => ear.put(made, made.values[made.input.selectedIndex]));
    box("", name, made.input);
  } else if (control.kind === "toggle") {
    made.input = node("input", { type: "checkbox", ...common });
    listen("change", () => ear.put(made, made.input.checked));
    box(" ax-toggle", made.input, name);
  } else if (control.kind === "positions") {
    const plain = {
      type: "text",
      inputmode: "numeric",
      autocomplete: "off",
      placeholder: words("none"),
    };
    made.input = node("input", { ...plain, ...common });
    listen("change", () => ear.put(made, positions(control, made.input.value)));
    box("", name, made.input);
  } else {
    made.input = node("input", { type: "range", ...common });
    // Screen readers have the value from the slider itself.
    made.output = node("span", { class: "ax-value", "aria-hidden": "true" });
    listen("input", () => {
      ear.stop();
      ear.put(made, ear.read(made));
    });
    const row = node("div", { class: "ax-row" }, made.input);
    if (control.play) {
      made.play = button("ax-play", () => ear.toggle(made));
      row.prepend(made.play);
    }
    box(" ax-range", node("div", {}, name, " ", made.output), row);
  }
  return made;
}
