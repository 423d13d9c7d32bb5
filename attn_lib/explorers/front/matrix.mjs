// A matrix of cells, drawn at whole device pixels, under a canvas of marks that takes the pointer.

import { node, setAttributes, setText } from "./dom.mjs";
import { ARROWS, OWN_KEYS } from "./keys.mjs";
import { clamp } from "./numbers.mjs";
import { pen } from "./pen.mjs";
import { beginnings, inWords } from "./stretches.mjs";

/** @import { Stretch } from "./stretches.mjs" */
/** @import { Words } from "./types.d.ts" */

/**
 * @typedef {object} Plan
 * @property {number} rows
 * @property {number} cols
 * @property {number} width at most, in CSS pixels
 * @property {string} label what a screen reader says
 * @property {string} rowLabel
 * @property {string} colLabel
 * @property {Node} [legend]
 * @property {(pick: [number, any], isFirm: boolean) => void} [onPick] none: the picture is only looked at;
 * null in place of a column is the whole row
 * @property {(i: number) => Stretch[]} [stretches] of the keys that a row sees: then arrows lead from
 * row to row and from stretch to stretch, and with Shift from cell to cell
 */

const FAR = 8;

/** Where a key leads from a cell: arrows to the next one, with Shift eight on; Home and End along
 * the row, with Ctrl to the corners; PageUp and PageDown eight rows.
 * @param {KeyboardEvent} event @param {[number, number]} pick @param {number} rows @param {number} cols
 * @param {[down: number, across: number]} [band] how many cells a step goes
 * @returns {[number, number] | null} */
export function stepped(event, [i, j], rows, cols, [down, across] = [1, 1]) {
  const { key, ctrlKey, shiftKey } = event;
  /** @type {Record<string, [number, number]>} */
  const places = {
    Home: [ctrlKey ? 0 : i, 0],
    End: [ctrlKey ? rows - 1 : i, cols - 1],
    PageUp: [i - FAR * down, j],
    PageDown: [i + FAR * down, j],
  };
  const isEnd = key === "Home" || key === "End";
  if (event.altKey || event.metaKey || (ctrlKey && !isEnd)) return null;
  const arrow = ARROWS[key];
  const far = shiftKey ? FAR : 1;
  const to = arrow ? [i + far * down * arrow[0], j + far * across * arrow[1]] : places[key];
  return to ? [clamp(to[0], 0, rows - 1), clamp(to[1], 0, cols - 1)] : null;
}

/** Where an arrow leads by rows and stretches: to a whole row, or to the next beginning in it.
 * @param {KeyboardEvent} event @param {[number, number]} pick @param {number} rows
 * @param {(i: number) => Stretch[]} stretches @returns {[number, number | null] | null} */
export function strode({ key, shiftKey, ctrlKey, altKey, metaKey }, [i, j], rows, stretches) {
  if (shiftKey || ctrlKey || altKey || metaKey) return null;
  /** @type {Record<string, number>} */
  const down = { ArrowUp: -1, ArrowDown: 1, PageUp: -FAR, PageDown: FAR };
  if (key in down) return [clamp(i + down[key], 0, rows - 1), null];
  if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
  const places = beginnings(stretches(i));
  if (!places.length) return [i, null];
  const next = key === "ArrowRight" ? places.find((k) => k > j) : places.findLast((k) => k < j);
  return [i, next ?? (key === "ArrowRight" ? places[places.length - 1] : places[0])];
}

export class Matrix {
  /** @param {Plan} plan */
  constructor({ rows, cols, label, rowLabel, colLabel, width, legend, onPick, stretches }) {
    this.stretches = stretches;
    /** How many cells a step goes, down and across: those that show one thing.
     * @type {[number, number]} */
    this.band = [1, 1];
    /** Whether a key led to the beginning of a stretch. */
    this.hasStridden = false;
    this.rows = rows;
    this.cols = cols;
    this.width = width;
    this.onPick = onPick;
    /** @type {[number, number]} */
    this.pick = [0, 0];
    /** @type {ArrayLike<number> | null} */
    this.cells = null;
    /** @type {Uint32Array} */
    this.table = new Uint32Array();
    this.cell = 0;
    this.ratio = 1;
    this.small = node("canvas", { width: cols, height: rows });
    this.pixels = this.small.getContext("2d").createImageData(cols, rows);
    this.colours = new Uint32Array(this.pixels.data.buffer);
    this.picture = node("canvas", { class: "ax-cells" });
    const role = onPick ? { role: "application", tabindex: "0", ...OWN_KEYS } : { role: "img" };
    this.marks = node("canvas", { class: "ax-marks", "aria-label": label, ...role }, label);
    this.frame = node("div", { class: "ax-canvases" }, this.picture, this.marks);
    this.axes = [rowLabel, colLabel].map((text) => node("span", {}, text));
    this.el = node(
      "div",
      { class: "ax-matrix" },
      node("div", { class: "ax-axes" }, ...this.axes),
      this.frame,
      legend,
    );
    if (onPick) this.listen();
  }

  listen() {
    const { rows, cols, marks } = this;
    /** @param {PointerEvent} event @returns {[number, number]} */
    const at = (event) => {
      const box = marks.getBoundingClientRect();
      const i = Math.floor(((event.clientY - box.top) / box.height) * rows);
      const j = Math.floor(((event.clientX - box.left) / box.width) * cols);
      return [clamp(i, 0, rows - 1), clamp(j, 0, cols - 1)];
    };
    marks.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "mouse" || event.buttons) this.choose(at(event), false);
    });
    marks.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) =>
      this.choose(at(event), true),
    );
    marks.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const stride = this.stretches && strode(event, this.pick, rows, this.stretches);
      // What Shift asks for by rows and stretches is the next cell.
      const { key, ctrlKey, altKey, metaKey } = event;
      const step = this.stretches ? { key, ctrlKey, altKey, metaKey, shiftKey: false } : event;
      const next =
        stride ?? stepped(/** @type {KeyboardEvent} */ (step), this.pick, rows, cols, this.band);
      if (!next) return;
      event.preventDefault();
      this.choose(next, true, !!stride && next[1] !== null);
    });
  }

  /** @param {[number, number | null]} pick @param {boolean} isFirm @param {boolean} [hasStridden] */
  choose(pick, isFirm, hasStridden = false) {
    if (pick[0] === this.pick[0] && pick[1] === this.pick[1] && !isFirm) return;
    this.pick = [pick[0], pick[1] ?? this.pick[1]];
    this.hasStridden = hasStridden;
    this.onPick?.(pick, isFirm);
  }

  /** A sentence about a cell, after one about the stretch that a key led to.
   * @param {string} sentence @param {number} i @param {number} j @param {Words} words */
  led(sentence, i, j, words) {
    if (!this.hasStridden || !this.stretches) return sentence;
    const row = this.stretches(i);
    const place = row.findIndex(({ from, to }) => from <= j && j <= to);
    if (place < 0) return sentence;
    const [keys, count] = [inWords(row[place], words), row.length];
    const stretch = words("stretch_at", { keys, place: place + 1, count });
    return words("sentences", { first: stretch, second: sentence });
  }

  /** @param {string} label what a screen reader says from now on */
  rename(label) {
    setAttributes(this.marks, { "aria-label": label });
    setText(this.marks, label);
  }

  /** @param {number} available */
  layout(available) {
    const ratio = window.devicePixelRatio || 1;
    const cell = Math.max(1, Math.floor((Math.min(available, this.width) * ratio) / this.cols));
    if (cell === this.cell && ratio === this.ratio) return;
    this.cell = cell;
    this.ratio = ratio;
    for (const canvas of [this.picture, this.marks]) {
      canvas.width = cell * this.cols;
      canvas.height = cell * this.rows;
    }
    this.frame.style.width = `${(cell * this.cols) / ratio}px`;
    this.frame.style.height = `${(cell * this.rows) / ratio}px`;
    this.el.style.width = this.frame.style.width;
    if (this.cells) this.paint(this.cells, this.table);
  }

  /** @param {ArrayLike<number>} cells a code each @param {Uint32Array} table a colour for each code */
  paint(cells, table) {
    this.cells = cells;
    this.table = table;
    if (!this.cell) return;
    const { colours } = this;
    for (let k = 0; k < colours.length; k++) colours[k] = table[cells[k]];
    this.small.getContext("2d").putImageData(this.pixels, 0, 0);
    const context = this.picture.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.small, 0, 0, this.picture.width, this.picture.height);
  }

  /** @param {(marks: ReturnType<typeof pen>) => void} draw with a pen that counts in cells */
  mark(draw) {
    if (!this.cell) return;
    const context = this.marks.getContext("2d");
    context.clearRect(0, 0, this.marks.width, this.marks.height);
    draw(pen(context, this.cell, this.ratio));
  }
}
