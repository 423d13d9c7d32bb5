// Labelled numbers, and lines of advice.

import { node, setText } from "./dom.mjs";

/** Plain boxes: pages have ideas of their own about definition lists. */
export class Readouts {
  /** @param {string[]} labels */
  constructor(labels) {
    this.labels = labels.map((label) => node("div", { class: "ax-readout-label" }, label));
    this.values = labels.map(() => node("div", { class: "ax-readout" }));
    this.el = node(
      "div",
      { class: "ax-readouts" },
      ...labels.map((_, k) => node("div", {}, this.labels[k], this.values[k])),
    );
  }

  /** @param {string[]} texts */
  show(texts) {
    for (const [k, text] of texts.entries()) setText(this.values[k], text);
  }
}

/** Sentences above a picture, each an element of its own, with the style sheet's space between them.
 * @param {...string} sentences */
export const hint = (...sentences) =>
  node("div", { class: "ax-hint" }, ...sentences.map((sentence) => node("span", {}, sentence)));
