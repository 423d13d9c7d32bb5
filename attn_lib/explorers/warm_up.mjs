// Recorded training curves at a grid of learning rates and warm-up lengths.

import { CurveChart } from "./front/curve_chart.mjs";
import { setText } from "./front/dom.mjs";
import { side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { nearest } from "./front/numbers.mjs";
import { hint, Readouts } from "./front/readouts.mjs";

/** @import { Tick } from "./front/chart.mjs" */
/** @import { Coded, MakeView } from "./front/types.d.ts" */

/** The rows of one form, a seed each.
 * @param {Coded} array @param {number} form */
function seedsOf(array, form) {
  const [, count, length] = array.shape;
  return Array.from({ length: count }, (_, s) => {
    const start = (form * count + s) * length;
    return array.values.subarray(start, start + length);
  });
}

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { axis, steps, rates } = facts;
  const yTicks = [2.5, 3, 3.5].map((value) => /** @type {Tick} */ ([value, words.number(value)]));
  const curves = new CurveChart({
    title: words("curves"),
    label: words.labelled("curves", "help"),
    y: axis,
    yTicks,
    onPick: (k, isFirm) => choose([0, k], isFirm),
    words,
  });
  const finals = new CurveChart({ title: words("finals"), y: axis, yTicks, words });
  const legend = new Legend();
  const advice = hint(words("help"), "");
  const readouts = new Readouts([words("end", { name: words("post") }), ""]);

  /** From the best seed to the worst, at one place of the rows.
   * @param {Coded} array @param {number} form @param {number} k */
  const range = (array, form, k) => {
    const values = seedsOf(array, form).map((seed) => seed[k]);
    const [low, high] = [Math.min(...values), Math.max(...values)].map((x) => words.decimals(x, 2));
    return low === high ? low : words("range", { low, high });
  };
  const lines = (/** @type {Coded} */ array) =>
    // Post-LN on top.
    [1, 0].flatMap((form) =>
      seedsOf(array, form).map(
        (seed) => /** @type {[string, any]} */ ([form ? "second" : "local", seed]),
      ),
    );

  return {
    el: stage(advice, side(curves.el, legend.el), side(finals.el, readouts.el)),
    start: facts.start,
    limits: [1, steps.length],
    layout() {},
    draw(frame, { other }) {
      const name = words(other);
      setText(advice.lastChild, words("seeds", { seeds: frame.curves.shape[1] }));
      setText(readouts.labels[1], words("end", { name }));
      legend.show([
        ["local", words("post")],
        ["second", name],
      ]);
      const xTicks = [100, 200, 300].filter((step) => step <= steps[steps.length - 1] + 10);
      curves.show({ xs: steps, xTicks, xLabel: words("curves_x"), lines: lines(frame.curves) });
      finals.show({
        xs: rates,
        xTicks: rates,
        xLabel: words("finals_x"),
        isLog: true,
        lines: lines(frame.finals),
      });
    },
    point([, k], frame, { rate, warmup, other }) {
      curves.mark(k);
      const at = nearest(
        rates.map((/** @type {number} */ one) => Math.abs(Math.log(one / (1000 * Number(rate))))),
      );
      finals.mark(at);
      readouts.show([range(frame.finals, 0, at), range(frame.finals, 1, at)]);
      const losses = { post: range(frame.curves, 0, k), other: range(frame.curves, 1, k) };
      say(
        words(warmup ? "point" : "point_none", {
          rate,
          warmup,
          step: steps[k],
          name: words(other),
          ...losses,
        }),
      );
    },
  };
};
