// Lines through measured points over two logarithmic axes: one is compared with the others, and
// marked where it crosses the line that all are compared with.

import { chart, decadeTicks, through } from "./chart.mjs";
import { node, setText, svg } from "./dom.mjs";
import { clamp, nearest } from "./numbers.mjs";

/** @import { Scale, Tick } from "./chart.mjs" */
/** @import { Words } from "./types.d.ts" */

const SIZE = { width: 300, height: 290, left: 48, right: 18, top: 22, bottom: 36 };
const REACH = 30;
const SHORT = 2.5;

/**
 * Heights are powers of ten; a line stands only where it has points. The first line is the one that
 * the others are compared with.
 *
 * @typedef {object} Lines
 * @property {string} title
 * @property {string} xLabel
 * @property {number[]} xs
 * @property {[low: number, high: number]} axis the ends of the y axis, in powers of ten
 * @property {{ xs: number[], heights: number[] }[]} lines
 * @property {number[][]} marks where each line crosses the first
 * @property {string[]} labels of the last such mark of each line
 * @property {boolean} isDotted whether the points are shown
 */

/** The height of a line at x, straight between its points; null beyond them.
 * @param {number[]} xs @param {number[]} ys @param {number} x */
export function along(xs, ys, x) {
  const k = xs.findIndex((place) => place >= x);
  if (k < 0 || (k === 0 && xs[0] > x)) return null;
  if (k === 0) return ys[0];
  return ys[k - 1] + ((x - xs[k - 1]) / (xs[k] - xs[k - 1])) * (ys[k] - ys[k - 1]);
}

/** Where an axis in logarithms has its labels: at powers of ten, on a short one between them, too.
 * @param {[low: number, high: number]} ends @param {(x: number) => string} write @returns {Tick[]} */
export function logTicks([low, high], write) {
  const decades = decadeTicks([Math.floor(low), high], write).map(([power]) => power);
  return decades
    .flatMap((power) => (high - low < SHORT ? [1, 2, 5] : [1]).map((x) => x * 10 ** power))
    .map((x) => /** @type {Tick} */ ([Math.log10(x), write(x)]))
    .filter(([place]) => place >= low && place <= high);
}

export class MeasuredLines {
  /** @param {{ onPick: (line: number, isFirm: boolean) => void, words: Words }} plan */
  constructor({ onPick, words }) {
    this.words = words;
    this.chart = chart({ title: "", size: SIZE, attributes: { role: "img" } });
    const { picture, dots, lines } = this.chart;
    picture.classList.add("ax-measured");
    this.crossings = svg("g", { class: "ax-crossings" });
    dots.before(this.crossings);
    this.el = this.chart.el;
    this.title = this.el.firstElementChild;
    this.lines = lines;
    /** @type {{ xs: number[], ys: number[] }[]} */
    this.drawn = [];
    /** @type {number[][]} */
    this.marks = [];
    /** @type {string[]} */
    this.labels = [];
    /** @type {Scale} */
    this.x = (value) => value;
    this.isDotted = true;
    /** Which lines stand in the picture. */
    this.told = "";
    /** @param {PointerEvent} event @param {boolean} isFirm */
    const pick = (event, isFirm) => {
      const box = picture.getBoundingClientRect();
      const scale = SIZE.width / box.width;
      const found = this.nearestTo(
        (event.clientX - box.left) * scale,
        (event.clientY - box.top) * scale,
      );
      if (found !== null) onPick(found, isFirm);
    };
    picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "mouse") pick(event, false);
    });
    picture.addEventListener("click", (/** @type {PointerEvent} */ event) => pick(event, true));
  }

  /** @param {number} x @param {number} y */
  nearestTo(x, y) {
    const distances = this.drawn.map((line) => {
      const height = along(line.xs, line.ys, x);
      return height === null ? Infinity : Math.abs(height - y);
    });
    const best = nearest(distances);
    return distances[best] < REACH ? best : null;
  }

  /** @param {Lines} plan */
  show({ title, xLabel, xs, axis: [low, high], lines, marks, labels, isDotted }) {
    const { width, height, left, right, top, bottom } = SIZE;
    const [first, last] = [xs[0], xs[xs.length - 1]];
    setText(this.title, title);
    this.chart.picture.setAttribute("aria-label", title);
    this.x = (/** @type {number} */ value) =>
      left + (Math.log(value / first) / Math.log(last / first)) * (width - left - right);
    const y = (/** @type {number} */ power) =>
      height - bottom - ((clamp(power, low, high) - low) / (high - low)) * (height - top - bottom);
    const write = (/** @type {number} */ value) =>
      value < 1 ? this.words.number(value) : this.words.whole(value);
    const step = Math.ceil(xs.length / 6);
    const xTicks = xs.filter((_, k) => (xs.length - 1 - k) % step === 0);
    this.chart.scale(
      this.x,
      y,
      xTicks.map((value) => [value, this.words.whole(value)]),
      logTicks([low, high], write),
      xLabel,
    );
    this.drawn = lines.map((line) => ({ xs: line.xs.map(this.x), ys: line.heights.map(y) }));
    this.marks = marks;
    this.labels = labels;
    this.isDotted = isDotted;
  }

  /** Tells one line and one x from the others; the first line is told by itself.
   * @param {number} picked @param {number} at */
  mark(picked, at) {
    const { width, left, right } = SIZE;
    const order = this.drawn.map((_, r) => r).filter((r) => r !== 0 && r !== picked);
    if (picked) order.push(0);
    order.push(picked);
    const look = (/** @type {number} */ r) =>
      r === 0 ? "ax-first" : r === picked ? "ax-lead" : "ax-other";
    const told = JSON.stringify([picked, this.isDotted, this.drawn]);
    if (told !== this.told)
      this.lines.replaceChildren(...order.map((r) => this.line(r, picked, look(r))));
    this.told = told;
    const x = this.x(at);
    const isInside = x >= left - 1 && x <= width - right + 1;
    this.chart.marker.style.display = isInside ? "" : "none";
    this.chart.mark(x);
    this.chart.dots.replaceChildren(
      ...[...new Set([0, picked])].flatMap((r) => {
        const { xs, ys } = this.drawn[r];
        const cy = along(xs, ys, x);
        return cy === null
          ? []
          : [svg("g", { class: look(r) }, svg("circle", { cx: x, cy, r: 5 }))];
      }),
    );
    this.crossings.replaceChildren(...order.flatMap((r) => this.crossed(r, r === picked)));
  }

  /** @param {number} r @param {number} picked @param {string} look */
  line(r, picked, look) {
    const { xs, ys } = this.drawn[r];
    const path = xs.length ? [svg("path", { d: through(xs, ys) })] : [];
    const size = r === picked || r === 0 ? 3 : 1.6;
    const points = this.isDotted ? xs.map((x, k) => [x, ys[k]]) : [];
    const circles = points.map(([cx, cy]) => svg("circle", { cx, cy, r: size }));
    return svg("g", { class: look }, ...path, ...circles);
  }

  /** The marks where a line crosses the first: ticks; or rings, and the length of the last above.
   * @param {number} r @param {boolean} isPicked */
  crossed(r, isPicked) {
    const { top } = SIZE;
    const base = this.drawn[0];
    return this.marks[r].flatMap((length, k, all) => {
      const x = this.x(length);
      const y = along(base.xs, base.ys, x);
      if (y === null) return [];
      if (!isPicked) return [svg("line", { x1: x, x2: x, y1: y - 5, y2: y + 5 })];
      const ring = svg("circle", { cx: x, cy: y, r: 6.5 });
      if (k < all.length - 1) return [ring];
      const text = svg("text", { x, y: top - 8, "text-anchor": anchor(x) }, this.labels[r]);
      const lead = svg("path", { d: through([x, x], [top - 4, y - 6.5]) });
      return [lead, ring, text];
    });
  }
}

/** @param {number} x */
const anchor = (x) => (x < 70 ? "start" : x > SIZE.width - 40 ? "end" : "middle");

/** A line of the legend, drawn as it is in the chart.
 * @param {string} look @param {string} text */
export const sample = (look, text) =>
  node(
    "span",
    {},
    svg(
      "svg",
      { class: `ax-sample ${look}`, viewBox: "0 0 24 8", "aria-hidden": "true" },
      svg("path", { d: "M0,4L24,4" }),
    ),
    text,
  );
