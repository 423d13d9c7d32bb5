// exp(x·y) and what random features make of it, along an angle or a length.

import { row } from "./front/arrays.mjs";
import { CurveChart } from "./front/curve_chart.mjs";
import { side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { hint, Readouts } from "./front/readouts.mjs";

/** @import { Tick } from "./front/chart.mjs" */
/** @import { MakeView } from "./front/types.d.ts" */

const POWERS = [-4, -2, 0, 2, 4, 6];
const LEAST_ERROR = -4;

/** A power of ten, written out.
 * @param {number} power */
export function powerOfTen(power) {
  if (power === 0) return "1";
  const raised = [...String(power)].map((digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]);
  return `10${raised.join("")}`;
}

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { bottom, points } = facts;
  const chart = new CurveChart({
    title: words("chart"),
    label: words.labelled("chart", "help"),
    y: [POWERS[0], POWERS[POWERS.length - 1]],
    yTicks: POWERS.map((power) => /** @type {Tick} */ ([power, powerOfTen(power)])),
    onPick: (k, isFirm) => choose([0, k], isFirm),
    words,
  });
  const legend = new Legend([
    ["local", words("true")],
    ["second", words("estimate")],
    ["reached", words("band")],
  ]);
  const readouts = new Readouts([words("says"), words("error"), words("negative")]);
  const number = (/** @type {number} */ power) =>
    power <= bottom ? words("below") : words.number(Number((10 ** power).toPrecision(2)));

  return {
    el: stage(hint(words("help"), words("floor")), chart.el, side(readouts.el, legend.el)),
    start: facts.start,
    limits: [1, points],
    layout() {},
    draw(frame, { sweep }) {
      const [first, last] = facts.ends[sweep];
      chart.show({
        xs: Array.from({ length: points }, (_, k) => first + ((last - first) * k) / (points - 1)),
        xTicks: facts.ticks[sweep],
        xLabel: words(sweep === "angle" ? "angle" : "length"),
        lines: [
          ["local", frame.true.values],
          ["second", frame.estimate.values],
        ],
        band: [row(frame.band, 0), row(frame.band, 1)],
      });
    },
    point([, k], frame, { sweep, features }) {
      chart.mark(k);
      const [exact, estimate, error] = [frame.true, frame.estimate, frame.error].map(
        ({ values }) => values[k],
      );
      readouts.show([
        estimate <= bottom ? words("below") : number(estimate - exact),
        error <= LEAST_ERROR ? words.number(0) : number(error),
        words("negative_value", { share: frame.negative.values[k] }),
      ]);
      const [low, high] = [0, 1].map((end) => number(row(frame.band, end)[k]));
      const point = {
        x: words.number(chart.xs[k]),
        m: features,
        true: number(exact),
        estimate: number(estimate),
        low,
        high,
      };
      say(words(sweep === "angle" ? "point_angle" : "point_length", point));
    },
  };
};
