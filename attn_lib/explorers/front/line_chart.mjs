// Lines over a logarithmic x axis, with a marker at the current x.

import { chart, through } from "./chart.mjs";
import { clamp } from "./numbers.mjs";

/** @import { Scale } from "./chart.mjs" */
/** @import { Coded, Words } from "./types.d.ts" */

const SIZE = { width: 260, height: 160, left: 42, right: 14, top: 8, bottom: 34 };

/**
 * The y axis runs from 0 to `high`, or to the largest value; or it is logarithmic between the two
 * ends of `logY`, where what lies beyond is drawn at the edge.
 *
 * @typedef {object} Plan
 * @property {string} title
 * @property {string} xLabel
 * @property {number[]} ticks of the x axis; those beyond its end are left out
 * @property {[low: number, high: number] | null} [logY]
 * @property {number | null} [high]
 * @property {Words} words
 */

export class LineChart {
  /** @param {Plan} plan */
  constructor({ title, xLabel, ticks, logY = null, high = null, words }) {
    this.plan = { xLabel, ticks, logY, high };
    this.words = words;
    this.chart = chart({ title, size: SIZE });
    this.el = this.chart.el;
    /** @type {Coded | null} */
    this.array = null;
    /** @type {Scale} */
    this.x = (value) => value;
    /** @type {Scale} */
    this.y = (value) => value;
  }

  /** @param {Coded} array rows of equal length, at x = 1, 2, 3 …
   * @param {string[]} colours @param {number} x @param {string} note
   * @param {{ level?: number | null, looks?: string[] }} [more] a height to compare with, and the looks of the lines */
  show(array, colours, x, note, { level = null, looks = [] } = {}) {
    const [count, length] = array.shape;
    if (array !== this.array) {
      this.array = array;
      this.scale(array);
      const xs = Array.from({ length }, (_, k) => this.x(k + 1));
      const ys = (/** @type {number} */ r) =>
        xs.map((_, k) => this.y(array.values[r * length + k]));
      this.chart.draw(
        colours.slice(0, count).map((colour, r) => [colour, through(xs, ys(r)), looks[r]]),
      );
    }
    this.chart.level(level === null ? null : this.y(level));
    const heights = Array.from({ length: count }, (_, r) =>
      this.y(array.values[r * length + x - 1]),
    );
    this.chart.mark(this.x(x), heights);
    this.chart.say(note);
  }

  /** @param {Coded} array */
  scale(array) {
    const { width, height, left, right, top, bottom } = SIZE;
    const { logY, xLabel, ticks } = this.plan;
    const length = array.shape[1];
    const [low, high] = logY ?? [0, this.plan.high ?? Math.max(1, ...array.values)];
    /** @param {number} value */
    const part = (value) =>
      logY ? Math.log(clamp(value, low, high) / low) / Math.log(high / low) : value / high;
    this.x = (/** @type {number} */ value) =>
      left + (Math.log(value) / Math.log(length)) * (width - left - right);
    this.y = (/** @type {number} */ value) =>
      height - bottom - part(value) * (height - top - bottom);
    const decades = Array.from(
      { length: logY ? Math.round(Math.log10(high / low)) + 1 : 0 },
      (_, k) => low * 10 ** k,
    );
    const yTicks = logY ? decades : [0, high / 2, high].map(Math.round);
    this.chart.scale(
      this.x,
      this.y,
      ticks.filter((tick) => tick <= length).map((tick) => [tick, this.words.whole(tick)]),
      yTicks.map((tick) => [tick, this.words.number(tick)]),
      xLabel,
    );
  }
}
