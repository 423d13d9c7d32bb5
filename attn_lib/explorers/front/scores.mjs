// Names in a column, each a button with a bar and numbers; a line where a bar would end that costs
// nothing. One of them is chosen.

import { node, setText } from "./dom.mjs";

/**
 * @typedef {object} Row
 * @property {string} label
 * @property {number} size of the bar, from 0 to 1
 * @property {string} value
 * @property {string} note
 * @property {string} said what a screen reader says of all this
 */

export class Scores {
  /** @param {{ count: number, onChoose: (k: number) => void }} plan */
  constructor({ count, onChoose }) {
    this.title = node("div", { class: "ax-small-title" });
    this.rows = Array.from({ length: count }, (_, k) => {
      const [label, fill, value, more] = ["label", "fill", "value", "note"].map((name) =>
        node("span", { class: `ax-score-${name}` }),
      );
      const line = node("span", { class: "ax-score-level" });
      const track = node("span", { class: "ax-score-track" }, fill, line);
      const attributes = { type: "button", class: "ax-score", onclick: () => onChoose(k) };
      for (const part of [label, track, value, more]) part.setAttribute("aria-hidden", "true");
      const said = node("span", { class: "ax-said" });
      const el = node("button", attributes, label, track, value, more, said);
      return { el, label, fill, line, value, more, said };
    });
    this.note = node("div", { class: "ax-chart-note" });
    this.el = node(
      "div",
      { class: "ax-scores" },
      this.title,
      node("div", { class: "ax-scores-rows" }, ...this.rows.map(({ el }) => el)),
      this.note,
    );
  }

  /** @param {string} title @param {Row[]} rows @param {number} chosen
   * @param {{ level: number, note: string }} compared a size to compare the bars with, and its name */
  show(title, rows, chosen, { level, note }) {
    setText(this.title, title);
    setText(this.note, note);
    rows.forEach((row, k) => {
      const { el, label, fill, line, value, more, said } = this.rows[k];
      el.setAttribute("aria-pressed", k === chosen);
      setText(said, row.said);
      setText(label, row.label);
      setText(value, row.value);
      setText(more, row.note);
      fill.style.transform = `scaleX(${row.size})`;
      line.style.left = `${100 * level}%`;
    });
  }
}
