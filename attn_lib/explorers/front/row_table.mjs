// What a matrix shows, in a table that is made when it is asked for, and a field that goes to a row.

import { ranked } from "./arrays.mjs";
import { node } from "./dom.mjs";
import { OWN_KEYS } from "./keys.mjs";
import { clamp } from "./numbers.mjs";

/** @import { Words } from "./types.d.ts" */

/**
 * @typedef {object} Plan
 * @property {Words} words
 * @property {number} count of rows
 * @property {string[]} heads what each column holds
 * @property {(i: number) => void} onGo
 * @property {(i: number) => string} [label] what a row is called; its number, if nothing is said
 * @property {number} [size] how many tokens a row stands for
 */

const MOST = 8;
const LEAST = 0.005;

/** The largest weights of a row, each with its key.
 * @param {ArrayLike<number>} weights signed or not @param {(k: number) => string} called @param {Words} words
 * @param {number} [size] how many tokens a key stands for */
export function largest(weights, called, words, size = 1) {
  const sizes = Array.from(weights, Math.abs);
  const top = ranked(sizes, MOST);
  const seen = top.filter((k) => sizes[k] >= LEAST);
  const weight = (/** @type {number} */ k) => words.decimals(weights[k], 2);
  return seen.length
    ? words.list(
        seen.map((k) => words("weight_of", { key: called(k), j: k * size, weight: weight(k) })),
      )
    : words("none");
}

export class RowTable {
  /** @param {Plan} plan */
  constructor({ words, count, heads, onGo, label = words.number, size = 1 }) {
    this.count = count;
    this.size = size;
    this.there = count;
    this.heads = heads;
    this.words = words;
    this.label = label;
    this.isTyping = false;
    /** @type {(i: number) => string[]} */
    this.read = () => [];
    this.field = node("input", {
      type: "number",
      min: 0,
      max: size * count - 1,
      value: 0,
      inputmode: "numeric",
      ...OWN_KEYS,
      oninput: () => {
        this.isTyping = true;
      },
      onchange: () => {
        this.isTyping = false;
        const asked = Math.floor(Number(this.field.value) / this.size);
        const i = clamp(Number.isFinite(asked) ? asked : 0, 0, this.count - 1);
        this.mark(i);
        onGo(i);
      },
    });
    this.button = node(
      "button",
      { type: "button", "aria-expanded": "false", onclick: () => this.turn() },
      words("table"),
    );
    this.tools = node(
      "div",
      { class: "ax-tools" },
      node("label", {}, `${words("go")} `, this.field),
      this.button,
    );
    this.panel = node("div", {
      class: "ax-table",
      role: "region",
      "aria-label": words("table"),
      hidden: true,
    });
  }

  turn() {
    const isOpen = this.panel.hidden;
    this.panel.hidden = !isOpen;
    // What scrolls must be reached by keys.
    this.panel.tabIndex = isOpen ? 0 : -1;
    this.button.setAttribute("aria-expanded", String(isOpen));
    this.fill();
  }

  /** @param {(i: number) => string[]} read what stands in a row's columns
   * @param {number} [there] how many of the rows are there now */
  show(read, there = this.count) {
    this.read = read;
    this.there = there;
    this.field.max = this.size * this.count - 1;
    this.fill();
  }

  /** @param {number} i the row that is chosen */
  mark(i) {
    if (!this.isTyping) this.field.value = i * this.size;
  }

  fill() {
    if (this.panel.hidden) return;
    const heads = [this.words("row_head"), ...this.heads];
    const rows = Array.from({ length: this.there }, (_, i) =>
      node(
        "tr",
        {},
        node("th", { scope: "row" }, this.label(i)),
        ...this.read(i).map((text) => node("td", {}, text)),
      ),
    );
    this.panel.replaceChildren(
      node(
        "table",
        {},
        node(
          "thead",
          {},
          node("tr", {}, ...heads.map((text) => node("th", { scope: "col" }, text))),
        ),
        node("tbody", {}, ...rows),
      ),
    );
  }
}
