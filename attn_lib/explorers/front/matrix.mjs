// A matrix of cells, drawn at whole device pixels, under a canvas of marks that takes the pointer.

import { node } from "./dom.mjs";
import { ARROWS, isModified, OWN_KEYS } from "./keys.mjs";
import { clamp } from "./numbers.mjs";
import { pen } from "./pen.mjs";

/**
 * @typedef {object} Plan
 * @property {number} rows
 * @property {number} cols
 * @property {number} width at most, in CSS pixels
 * @property {string} label what a screen reader says
 * @property {string} rowLabel
 * @property {string} colLabel
 * @property {Node} [legend]
 * @property {(pick: [number, number], isFirm: boolean) => void} [onPick] none: the picture is only looked at
 */

const FAR = 8;

export class Matrix {
  /** @param {Plan} plan */
  constructor({ rows, cols, label, rowLabel, colLabel, width, legend, onPick }) {
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
    this.marks = node("canvas", { class: "ax-marks", "aria-label": label, ...role });
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
      const step = ARROWS[event.key];
      if (!step || isModified(event)) return;
      event.preventDefault();
      const far = event.shiftKey ? FAR : 1;
      const [i, j] = this.pick;
      this.choose(
        [clamp(i + far * step[0], 0, rows - 1), clamp(j + far * step[1], 0, cols - 1)],
        true,
      );
    });
  }

  /** @param {[number, number]} pick @param {boolean} isFirm */
  choose(pick, isFirm) {
    if (pick[0] === this.pick[0] && pick[1] === this.pick[1] && !isFirm) return;
    this.pick = pick;
    this.onPick?.(pick, isFirm);
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
