// Curves over a linear or logarithmic x axis, with a band behind them and a marker at one point.

import { chart, through } from "./chart.mjs";
import { ARROWS, isModified, OWN_KEYS } from "./keys.mjs";
import { clamp, nearest } from "./numbers.mjs";

/** @import { Scale, Tick } from "./chart.mjs" */
/** @import { Words } from "./types.d.ts" */

/**
 * @typedef {object} Plan
 * @property {string} title
 * @property {string} [label] what a screen reader says, the title if nothing
 * @property {number} [width]
 * @property {number} [height]
 * @property {[low: number, high: number]} y the ends of the y axis
 * @property {Tick[]} yTicks
 * @property {(k: number, isFirm: boolean) => void} [onPick] none: the chart is only looked at
 * @property {Words} words
 */

/**
 * Heights come as they are to be drawn (logarithms, say), and are clamped to the axis.
 *
 * @typedef {object} Curves
 * @property {number[]} xs the places of the points
 * @property {number[]} xTicks
 * @property {string} xLabel
 * @property {boolean} [isLog]
 * @property {[colour: string, heights: ArrayLike<number>, look?: string][]} lines
 * @property {number | null} [level] a height to compare them with
 * @property {[lows: ArrayLike<number>, highs: ArrayLike<number>] | null} [band]
 */

const FAR = 4;

export class CurveChart {
  /** @param {Plan} plan */
  constructor({
    title,
    label = title,
    width = 320,
    height = 230,
    y: [low, high],
    yTicks,
    onPick,
    words,
  }) {
    this.size = { width, height, left: 46, right: 14, top: 8, bottom: 36 };
    this.ends = { low, high };
    this.yTicks = yTicks;
    this.words = words;
    this.at = 0;
    /** @type {number[]} */
    this.xs = [];
    /** @type {ArrayLike<number>[]} */
    this.heights = [];
    /** @type {Scale} */
    this.x = (value) => value;
    const role = onPick ? { role: "application", tabindex: "0", ...OWN_KEYS } : { role: "img" };
    this.chart = chart({
      title,
      label,
      size: this.size,
      attributes: { ...role, class: "ax-chart ax-curves" },
    });
    this.el = this.chart.el;
    this.say = this.chart.say;
    if (onPick) this.listen(onPick);
  }

  /** @param {(k: number, isFirm: boolean) => void} onPick */
  listen(onPick) {
    const { picture } = this.chart;
    /** @param {PointerEvent} event @param {boolean} isFirm */
    const pick = (event, isFirm) => {
      const box = picture.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * this.size.width;
      onPick(nearest(this.xs.map((value) => Math.abs(this.x(value) - x))), isFirm);
    };
    picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "mouse") pick(event, false);
    });
    picture.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) =>
      pick(event, true),
    );
    picture.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = ARROWS[event.key]?.[1];
      if (!step || isModified(event)) return;
      event.preventDefault();
      onPick(clamp(this.at + (event.shiftKey ? FAR : 1) * step, 0, this.xs.length - 1), true);
    });
  }

  /** @param {number} value */
  y(value) {
    const { height, top, bottom } = this.size;
    const { low, high } = this.ends;
    return (
      height - bottom - ((clamp(value, low, high) - low) / (high - low)) * (height - top - bottom)
    );
  }

  /** @param {Curves} curves */
  show({ xs, xTicks, xLabel, isLog = false, lines, band = null, level = null }) {
    const { width, left, right } = this.size;
    const [first, last] = [xs[0], xs[xs.length - 1]];
    /** @param {number} value */
    const part = (value) =>
      isLog ? Math.log(value / first) / Math.log(last / first) : (value - first) / (last - first);
    this.xs = xs;
    this.x = (/** @type {number} */ value) => left + part(value) * (width - left - right);
    this.heights = lines.map(([, heights]) => heights);
    const named = xTicks.map((value) => /** @type {Tick} */ ([value, this.words.whole(value)]));
    this.chart.scale(this.x, (value) => this.y(value), named, this.yTicks, xLabel);
    const places = xs.map(this.x);
    const ys = (/** @type {ArrayLike<number>} */ heights) => xs.map((_, k) => this.y(heights[k]));
    this.chart.draw(
      lines.map(([colour, heights, look]) => [colour, through(places, ys(heights)), look]),
    );
    this.chart.level(level === null ? null : this.y(level));
    const back = [...places].reverse();
    const edge =
      band && `${through([...places, ...back], [...ys(band[0]), ...ys(band[1]).reverse()])}Z`;
    this.chart.band.setAttribute("d", edge ?? "");
  }

  /** @param {number} k */
  mark(k) {
    this.at = k;
    this.chart.mark(
      this.x(this.xs[k]),
      this.heights.map((heights) => this.y(heights[k])),
    );
  }
}
