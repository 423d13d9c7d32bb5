// What the colours mean.

import { node } from "./dom.mjs";
import { same } from "./state.mjs";

/** @import { Words } from "./types.d.ts" */

/** @typedef {[colour: string, words: string]} Item */

export class Legend {
  /** @param {Item[]} items */
  constructor(items = []) {
    this.el = node("div", { class: "ax-legend" });
    /** @type {Item[]} */
    this.items = [];
    this.show(items);
  }

  /** Rebuilt only when something changes.
   * @param {Item[]} items */
  show(items) {
    if (same(items, this.items)) return;
    this.items = items;
    this.el.replaceChildren(
      ...items.map(([colour, words]) =>
        node("span", {}, node("i", { style: `background: var(--ax-${colour})` }), words),
      ),
    );
  }
}

/** The scale of weights: as far to the right as the root of the weight.
 * @param {Words} words */
export function rampLegend(words) {
  const ticks = [0, 0.01, 0.1, 0.25, 0.5, 1].map((weight) =>
    node("span", { style: `left: ${100 * Math.sqrt(weight)}%` }, words.number(weight)),
  );
  return node(
    "div",
    { class: "ax-ramp" },
    node("span", { class: "ax-ramp-label" }, words("ramp")),
    node("div", { class: "ax-ramp-scale" }, node("div", { class: "ax-ramp-bar" }), ...ticks),
  );
}
