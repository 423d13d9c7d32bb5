// A few labelled bars; the rows are made once.

import { node, setText } from "./dom.mjs";

/** @import { Words } from "./types.d.ts" */

export class Bars {
  /** @param {{ count: number, words: Words }} plan */
  constructor({ count, words }) {
    this.words = words;
    this.title = node("div", { class: "ax-small-title" });
    this.rows = Array.from({ length: count }, () => {
      const [label, bar, value] = ["label", "fill", "value"].map((name) =>
        node("span", { class: `ax-bar-${name}` }),
      );
      const track = node("span", { class: "ax-bar-track" }, bar);
      return { label, bar, value, el: node("div", { class: "ax-bar" }, label, track, value) };
    });
    this.el = node("div", { class: "ax-bars" }, this.title, ...this.rows.map((row) => row.el));
  }

  /** @param {string} title @param {[label: string, value: number][]} items values from 0 to 1 */
  show(title, items) {
    setText(this.title, title);
    this.rows.forEach(({ label, bar, value, el }, k) => {
      el.style.visibility = k < items.length ? "" : "hidden";
      if (k >= items.length) return;
      const [name, size] = items[k];
      setText(label, name);
      bar.style.transform = `scaleX(${size})`;
      setText(value, this.words.decimals(size, 2));
    });
  }
}
