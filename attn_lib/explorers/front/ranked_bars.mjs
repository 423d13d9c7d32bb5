// Bars in falling order, a line at the last one that is kept; a bar can be pointed at.

import { node, setAttributes, setText, svg } from "./dom.mjs";
import { clamp } from "./numbers.mjs";

/** @import { Scale } from "./chart.mjs" */
/** @import { Words } from "./types.d.ts" */

const SIZE = { width: 260, height: 150, left: 34, right: 6, top: 8, bottom: 8 };

export class RankedBars {
  /** @param {{ count: number, label: string, onPick: (rank: number, isFirm: boolean) => void, words: Words }} plan */
  constructor({ count, label, onPick, words }) {
    const { width, height, left, right } = SIZE;
    const step = (width - left - right) / count;
    this.words = words;
    this.base = 0;
    this.ends = [0, 0];
    /** @type {Scale} */
    this.y = (value) => value;
    this.title = node("div", { class: "ax-small-title" });
    this.axes = svg("g", { class: "ax-chart-axes" });
    this.bars = Array.from({ length: count }, (_, rank) =>
      svg("rect", { x: left + rank * step, width: 0.78 * step }),
    );
    this.line = svg("line", { class: "ax-threshold", x1: left, x2: width - right });
    const attributes = {
      viewBox: `0 0 ${width} ${height}`,
      class: "ax-chart ax-ranked",
      role: "img",
      "aria-label": label,
    };
    const picture = svg("svg", attributes, this.axes, ...this.bars, this.line);
    this.note = node("div", { class: "ax-chart-note" });
    this.el = node("div", { class: "ax-chart-box" }, this.title, picture, this.note);
    /** @param {PointerEvent} event @param {boolean} isFirm */
    const pick = (event, isFirm) => {
      const box = picture.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      onPick(clamp(Math.floor((x - left) / step), 0, count - 1), isFirm);
    };
    picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "mouse") pick(event, false);
    });
    picture.addEventListener("click", (/** @type {PointerEvent} */ event) => pick(event, true));
  }

  /** The axis, from `low` to `high`; it stays while the bars change.
   * @param {number} low @param {number} high */
  scale(low, high) {
    if (this.ends[0] === low && this.ends[1] === high) return;
    this.ends = [low, high];
    const { width, height, left, right, top, bottom } = SIZE;
    this.y = (/** @type {number} */ value) =>
      height - bottom - ((value - low) / (high - low || 1)) * (height - top - bottom);
    this.axes.replaceChildren();
    for (const value of [low, ...(low < 0 && high > 0 ? [0] : []), high]) {
      const y = this.y(value);
      const text = svg(
        "text",
        { x: left - 5, y: y + 3.5, "text-anchor": "end" },
        this.words.whole(value),
      );
      this.axes.append(svg("line", { x1: left, x2: width - right, y1: y, y2: y }), text);
    }
    this.base = this.y(low);
  }

  /** @param {string} title @param {ArrayLike<number>} values in falling order @param {number} kept how many are
   * @param {number | null} marked a rank @param {string} note */
  show(title, values, kept, marked, note) {
    setText(this.title, title);
    setText(this.note, note);
    this.bars.forEach((bar, rank) => {
      const y = this.y(values[rank]);
      setAttributes(bar, {
        y,
        height: Math.max(0.5, this.base - y),
        class: `${rank < kept ? "ax-kept" : "ax-dropped"}${rank === marked ? " ax-marked" : ""}`,
      });
    });
    const threshold = this.y(values[kept - 1]);
    setAttributes(this.line, { y1: threshold, y2: threshold });
  }
}
