// A curve, and dots beside it: what theory says, and what was measured.

import { chart, through } from "./chart.mjs";
import { svg } from "./dom.mjs";
import { Legend } from "./legend.mjs";

/** @import { Words } from "./types.d.ts" */

const SIZE = { width: 260, height: 170, left: 34, right: 12, top: 8, bottom: 34 };

export class DottedCurve {
  /** @param {{ title: string, xLabel: string, x: number[], ticks: number[], words: Words }} plan */
  constructor({ title, xLabel, x, ticks, words }) {
    const { width, height, left, right, top, bottom } = SIZE;
    const [low, high] = [x[0], x[x.length - 1]];
    this.at = x;
    /** @param {number} value */
    this.x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
    /** @param {number} value */
    this.y = (value) => height - bottom - value * (height - top - bottom);
    this.chart = chart({ title, size: SIZE });
    this.chart.dots.setAttribute("class", "ax-chart-dots");
    this.chart.scale(
      this.x,
      this.y,
      ticks.map((value) => [value, words.whole(value)]),
      [0, 0.5, 1].map((value) => [value, words.number(value)]),
      xLabel,
    );
    this.legend = new Legend();
    this.el = this.chart.el;
    this.chart.picture.after(this.legend.el);
  }

  /** @param {ArrayLike<number>} line @param {ArrayLike<number>} dots below 0 where one is missing
   * @param {number} marked @param {string} note @param {[line: string, dots: string]} names */
  show(line, dots, marked, note, names) {
    const xs = this.at.map(this.x);
    this.chart.draw([["merged", through(xs, Array.from(line, this.y))]]);
    const seen = Array.from(dots, (y, k) => ({
      cx: xs[k].toFixed(1),
      cy: this.y(y).toFixed(1),
      r: 2.6,
      y,
    }));
    this.chart.dots.replaceChildren(
      ...seen.filter(({ y }) => y >= 0).map(({ y, ...place }) => svg("circle", place)),
    );
    this.chart.mark(xs[marked]);
    this.chart.say(note);
    this.legend.show([
      ["merged", names[0]],
      ["second", names[1]],
    ]);
  }
}
