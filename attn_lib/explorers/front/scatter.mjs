// Marks over a logarithmic x axis, joined by lines, each with a range and perhaps a ceiling.

import { AWAY, besideEachOther, neighbour, roomFor, stretchBelow } from "./apart.mjs";
import { decadeTicks, through } from "./chart.mjs";
import { node, setText, svg } from "./dom.mjs";
import { ARROWS, isModified, OWN_KEYS } from "./keys.mjs";
import { mark } from "./marks.mjs";
import { clamp, nearest } from "./numbers.mjs";

/** @import { Tick } from "./chart.mjs" */
/** @import { Look, Shape } from "./marks.mjs" */
/** @import { Words } from "./types.d.ts" */

/**
 * @typedef {object} Point
 * @property {number} place among the series' own; the larger, the larger the mark
 * @property {number} x
 * @property {[mean: number, low: number, high: number]} y
 * @property {number | null} ceiling
 */

/** @typedef {{ name: string, kind: { shape: Shape, look: Look, colour: string }, points: Point[] }} Series */
/**
 * @typedef {object} Plot
 * @property {[low: number, high: number]} xEnds
 * @property {[low: number, high: number]} yEnds
 * @property {Tick[]} yTicks
 * @property {string} title
 * @property {string} label what a screen reader says
 * @property {string} xLabel
 * @property {Series[]} series
 * @property {boolean} isPiled whether marks at the upper end are piled up, on what lies above it
 * @property {number | null} level a height to compare with
 * @property {{ ends: [low: number, high: number], heights: ArrayLike<number>, label: string } | null} bound
 *   nothing can lie above it; at even steps of the logarithm
 */

/** A mark on the page: its place, and where it is drawn for the sake of its neighbours.
 * @typedef {{ s: number, place: number, x: number, y: number, at: [x: number, y: number] }} Placed */

const HEIGHT = 404;
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 18, 10, 36];
const [SHELF, MOST] = [81, 480];
const SIZES = [3.2, 4.4, 5.6];
const LABEL = 60;

export class Scatter {
  /** @param {{ words: Words, onPick: (s: number, place: number, isFirm: boolean) => void }} plan */
  constructor({ words, onPick }) {
    this.words = words;
    this.onPick = onPick;
    this.width = 0;
    /** @type {Plot | null} */
    this.plot = null;
    /** @type {Placed[]} */
    this.placed = [];
    /** @type {Placed | null} */
    this.chosen = null;
    this.parts = {
      bound: svg("path", { class: "ax-bound" }),
      axes: svg("g", { class: "ax-chart-axes" }),
      level: svg("line", { class: "ax-chart-level" }),
      lines: svg("g", { class: "ax-chart-lines" }),
      marks: svg("g"),
      ring: svg("circle", { class: "ax-ring", r: 11 }),
      name: svg("text", { class: "ax-mark-name" }),
    };
    const role = { role: "application", tabindex: "0", ...OWN_KEYS };
    this.picture = svg(
      "svg",
      { class: "ax-chart ax-curves ax-scatter", ...role },
      ...Object.values(this.parts),
    );
    this.title = node("div", { class: "ax-small-title" });
    this.el = node("div", { class: "ax-scatter-box" }, this.title, this.picture);
    this.listen();
  }

  listen() {
    const { picture } = this;
    /** @param {PointerEvent} event @param {boolean} isFirm */
    const pick = (event, isFirm) => {
      if (!this.placed.length) return;
      const box = picture.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * this.width;
      const y = ((event.clientY - box.top) / box.height) * HEIGHT;
      const at = nearest(this.placed.map((one) => Math.hypot(one.at[0] - x, one.at[1] - y)));
      const { s, place } = this.placed[at];
      this.onPick(s, place, isFirm);
    };
    picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (event.pointerType === "mouse") pick(event, false);
    });
    picture.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) =>
      pick(event, true),
    );
    picture.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = ARROWS[event.key];
      if (!step || isModified(event)) return;
      event.preventDefault();
      const next = neighbour(this.placed, this.chosen, step);
      if (next) this.onPick(next.s, next.place, true);
    });
  }

  /** @param {number} available */
  layout(available) {
    const width = Math.round(Math.min(available, MOST));
    if (width === this.width) return;
    this.width = width;
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.el.style.width = `${width}px`;
    if (this.plot) this.show(this.plot);
  }

  /** @param {Plot} plot */
  show(plot) {
    this.plot = plot;
    if (!this.width) return;
    const { xEnds, yEnds, series } = plot;
    const [first, last] = xEnds.map(Math.log10);
    const [low, high] = yEnds;
    const right = this.width - RIGHT;
    const shelf = plot.isPiled ? SHELF : 0;
    const top = TOP + shelf;
    /** @param {number} power */
    const along = (power) => LEFT + ((power - first) / (last - first)) * (right - LEFT);
    const x = (/** @type {number} */ value) => along(Math.log10(value));
    /** @param {number} value */
    const y = (value) =>
      HEIGHT - BOTTOM - ((clamp(value, low, high) - low) / (high - low)) * (HEIGHT - top - BOTTOM);
    setText(this.title, plot.title);
    this.picture.setAttribute("aria-label", plot.label);
    this.drawAxes(plot, along, y, [first, last]);
    this.drawBound(plot, x, y);
    const placed = series.flatMap(({ points }, s) =>
      points.map((point) => ({ s, place: point.place, x: x(point.x), y: y(point.y[0]) })),
    );
    const places = besideEachOther(placed, top, shelf);
    this.placed = placed.map((one, k) => ({ ...one, at: places[k] }));
    this.drawSeries(series, y);
  }

  /** @param {Plot} plot @param {(power: number) => number} along @param {(y: number) => number} y
   * @param {[low: number, high: number]} powers */
  drawAxes({ yEnds, yTicks, xLabel, level }, along, y, powers) {
    const { axes } = this.parts;
    const [right, bottom] = [this.width - RIGHT, HEIGHT - BOTTOM];
    const write = (/** @type {string} */ content, /** @type {object} */ place) =>
      axes.append(svg("text", place, content));
    axes.replaceChildren();
    for (const [value, text] of yTicks) {
      axes.append(svg("line", { x1: LEFT, x2: right, y1: y(value), y2: y(value) }));
      write(text, { x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end" });
    }
    const isWide = along(1) - along(0) >= LABEL;
    for (const [power, text] of decadeTicks(powers, this.words.whole)) {
      const at = along(power);
      axes.append(svg("line", { x1: at, x2: at, y1: y(yEnds[1]), y2: bottom }));
      if (isWide || power % 2 === 0)
        write(text, { x: at, y: bottom + 14, "text-anchor": "middle" });
    }
    write(xLabel, { x: (LEFT + right) / 2, y: HEIGHT - 5, "text-anchor": "middle" });
    const line = this.parts.level;
    line.style.display = level === null ? "none" : "";
    if (level === null) return;
    const place = { x1: LEFT, x2: right, y1: y(level), y2: y(level) };
    for (const [name, value] of Object.entries(place)) line.setAttribute(name, String(value));
  }

  /** @param {Plot} plot @param {(x: number) => number} x @param {(y: number) => number} y */
  drawBound({ bound, yEnds }, x, y) {
    const shape = this.parts.bound;
    shape.setAttribute("d", "");
    if (!bound) return;
    const [xs, ys] = stretchBelow(bound, yEnds[1]);
    if (!xs.length) return;
    const [places, top] = [xs.map(x), y(yEnds[1])];
    const [first, last] = [places[0], places[places.length - 1]];
    shape.setAttribute("d", `${through([...places, first], [...ys.map(y), top])}Z`);
    if (last - first > 90)
      this.parts.axes.append(
        svg("text", { x: first + 7, y: top + 16, class: "ax-bound-name" }, bound.label),
      );
  }

  /** @param {Series[]} series @param {(y: number) => number} y */
  drawSeries(series, y) {
    const lines = [];
    const marks = [];
    for (const [s, { kind, points }] of series.entries()) {
      const own = this.placed.filter((one) => one.s === s);
      const style = `stroke: var(--ax-${kind.colour})`;
      if (own.length > 1) {
        // Lines end at their heights, also where the marks are piled up.
        const d = through(
          own.map(({ at }) => at[0]),
          own.map(({ y }) => y),
        );
        lines.push(svg("path", { d, class: "ax-line-thin", style, "data-series": s }));
      }
      // Larger ones first, so that smaller ones show on them.
      for (const [k, { at, place }] of [...own.entries()].reverse()) {
        const [to, middle] = at;
        const [, low, high] = points[k].y;
        const { ceiling } = points[k];
        const parts = svg("g", { "data-series": s, "data-place": place });
        const stroke = (/** @type {string} */ name, /** @type {string} */ d) =>
          parts.append(svg("path", { class: name, style, d }));
        if (high > low) stroke("ax-range", through([to, to], [y(low), y(high)]));
        if (ceiling !== null)
          stroke("ax-ceiling", through([to - 9, to + 9], [y(ceiling), y(ceiling)]));
        const sign = mark(kind, SIZES[place]);
        sign.setAttribute("transform", `translate(${to.toFixed(1)},${middle.toFixed(1)})`);
        parts.append(sign);
        marks.push(parts);
      }
    }
    this.parts.lines.replaceChildren(...lines);
    this.parts.marks.replaceChildren(...marks);
  }

  /** Marks the point of a series that is nearest to a place, and returns its place; null without one.
   * @param {number} s @param {number} place @returns {number | null} */
  mark(s, place) {
    const own = this.placed.filter((one) => one.s === s);
    const near = nearest(own.map((one) => Math.abs(one.place - place)));
    this.chosen = own[near] ?? null;
    const { ring, name } = this.parts;
    for (const part of [ring, name]) part.style.display = this.chosen ? "" : "none";
    this.stress(this.chosen ? s : null);
    if (!this.chosen || !this.plot) return null;
    const [x, y] = this.chosen.at;
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    setText(name, this.plot.series[s].name);
    const [side, drop] = roomFor(this.plot.series[s].name, [x, y], this.placed, this.width);
    name.setAttribute("text-anchor", side < 0 ? "end" : "start");
    name.setAttribute("x", x + side * AWAY);
    name.setAttribute("y", y + drop + 4);
    return this.chosen.place;
  }

  /** Draws the line of a series thicker than the others; of none, without one.
   * @param {number | null} s */
  stress(s) {
    for (const line of this.parts.lines.children)
      line.classList.toggle("ax-stressed", line.dataset.series === String(s));
  }
}
