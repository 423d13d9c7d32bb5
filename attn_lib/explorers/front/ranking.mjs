// A table of things in order, of which one is picked: a row each, and a sentence where there is
// nothing to put in order.

import { node, setText } from "./dom.mjs";
import { ARROWS, isModified, OWN_KEYS } from "./keys.mjs";
import { clamp } from "./numbers.mjs";

/** A row has its cells, or one that says why it has none.
 * @typedef {{ id: number, name: string, cells: string[] }} Row */

export class Ranking {
  /** @param {{ heads: string[], count: number, onPick: (id: number, isFirm: boolean) => void }} plan */
  constructor({ heads, count, onPick }) {
    this.onPick = onPick;
    /** @type {Row[]} */
    this.shown = [];
    this.caption = node("caption");
    this.heads = heads.map((text) => node("th", { scope: "col" }, text));
    // One place in the order of the keyboard; the arrows move within.
    this.rows = Array.from({ length: count }, (_, rank) => {
      const button = node("button", {
        type: "button",
        ...OWN_KEYS,
        onclick: () => this.choose(rank),
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.step(event, rank),
      });
      const cells = heads.slice(1).map(() => node("td"));
      const el = node("tr", {}, node("th", { scope: "row" }, button), ...cells);
      return { button, cells, el };
    });
    this.el = node(
      "table",
      { class: "ax-ranking" },
      this.caption,
      node("thead", {}, node("tr", {}, ...this.heads)),
      node("tbody", {}, ...this.rows.map((row) => row.el)),
    );
  }

  /** @param {number} rank */
  choose(rank) {
    this.onPick(this.shown[rank].id, true);
  }

  /** @param {KeyboardEvent} event @param {number} rank */
  step(event, rank) {
    const by = ARROWS[event.key]?.[0];
    if (!by || isModified(event)) return;
    event.preventDefault();
    const next = clamp(rank + by, 0, this.rows.length - 1);
    this.choose(next);
    this.rows[next].button.focus();
  }

  /** @param {string} caption @param {string[]} heads @param {Row[]} rows in their order */
  show(caption, heads, rows) {
    this.shown = rows;
    setText(this.caption, caption);
    this.heads.forEach((head, k) => {
      setText(head, heads[k]);
    });
    this.rows.forEach(({ button, cells, el }, rank) => {
      const { name, cells: texts } = rows[rank];
      setText(button, name);
      const isAlone = texts.length === 1;
      el.classList.toggle("ax-absent", isAlone);
      cells[0].colSpan = isAlone ? cells.length : 1;
      cells.forEach((/** @type {HTMLElement} */ cell, /** @type {number} */ k) => {
        cell.hidden = k >= texts.length;
        setText(cell, texts[k] ?? "");
      });
    });
  }

  /** @param {number} id */
  mark(id) {
    this.rows.forEach(({ button, el }, rank) => {
      const isPicked = this.shown[rank].id === id;
      el.classList.toggle("ax-picked", isPicked);
      el.classList.toggle("ax-first", this.shown[rank].id === 0);
      button.setAttribute("aria-pressed", String(isPicked));
      button.tabIndex = isPicked ? 0 : -1;
    });
  }
}
