// One token at the top and, layer by layer downwards, all that has gone into it.

import { node, setText } from "./dom.mjs";
import { clamp } from "./numbers.mjs";

/** @import { Theme } from "./types.d.ts" */

/**
 * @typedef {object} Cone
 * @property {string} title
 * @property {number} layers
 * @property {(t: number, j: number) => boolean} reached is j there t layers below the top?
 * @property {(m: number, j: number) => number} reads 0, or the place in `colours` of the line from m to j, from 1 on
 * @property {string[]} colours
 * @property {Theme} theme
 */

const [LEFT, RIGHT, TOP] = [46, 26, 10];

export class LightCone {
  /** @param {{ cols: number, rowLabel: (layer: number) => string, rowCount: (count: number) => string }} plan */
  constructor({ cols, rowLabel, rowCount }) {
    this.cols = cols;
    this.rowLabel = rowLabel;
    this.rowCount = rowCount;
    this.width = 0;
    this.title = node("div", { class: "ax-small-title" });
    this.canvas = node("canvas", { role: "img" });
    this.frame = node("div", { class: "ax-cone" }, this.canvas);
    this.el = node("div", { class: "ax-cone-box" }, this.title, this.frame);
  }

  /** @param {number} available */
  layout(available) {
    this.width = Math.min(available, 720);
    this.frame.style.width = `${this.width}px`;
  }

  /** @param {Cone} cone */
  show({ title, layers, reached, reads, colours, theme }) {
    setText(this.title, title);
    this.canvas.setAttribute("aria-label", title);
    if (!this.width) return;
    const rowHeight = clamp(200 / layers, 24, 60);
    const context = this.clear(rowHeight * layers + 2 * TOP);
    const step = (this.width - LEFT - RIGHT) / this.cols;
    const x = (/** @type {number} */ j) => LEFT + (j + 0.5) * step;
    const y = (/** @type {number} */ t) => TOP + t * rowHeight;
    const rows = Array.from({ length: layers + 1 }, (_, t) =>
      Array.from({ length: this.cols }, (_, j) => j).filter((j) => reached(t, j)),
    );
    colours.forEach((colour, k) => {
      context.strokeStyle = theme.hex(colour);
      context.globalAlpha = 0.38;
      context.lineWidth = 1;
      context.beginPath();
      for (let t = 0; t < layers; t++)
        for (const m of rows[t])
          for (const j of rows[t + 1])
            if (reads(m, j) === k + 1) {
              context.moveTo(x(m), y(t));
              context.lineTo(x(j), y(t + 1));
            }
      context.stroke();
    });
    context.globalAlpha = 1;
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const radius = Math.min(3, 0.42 * step);
    for (let t = 0; t <= layers; t++) {
      context.fillStyle = theme.hex("muted");
      context.textAlign = "left";
      context.fillText(this.rowLabel(layers - t), 0, y(t));
      context.textAlign = "right";
      context.fillText(this.rowCount(rows[t].length), this.width, y(t));
      const isThere = new Set(rows[t]);
      for (let j = 0; j < this.cols; j++) {
        context.fillStyle = theme.hex(isThere.has(j) ? "ink" : "line");
        context.beginPath();
        context.arc(x(j), y(t), isThere.has(j) ? radius : 0.5 * radius, 0, 7);
        context.fill();
      }
    }
  }

  /** @param {number} height @returns {CanvasRenderingContext2D} */
  clear(height) {
    const ratio = window.devicePixelRatio || 1;
    this.frame.style.height = `${height}px`;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    return context;
  }
}
