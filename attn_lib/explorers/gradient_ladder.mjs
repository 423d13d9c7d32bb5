// How large the gradient is in every block of a stack, at the start of training.

import { row } from "./front/arrays.mjs";
import { decadeTicks, stepTicks } from "./front/chart.mjs";
import { CurveChart } from "./front/curve_chart.mjs";
import { side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { nearest } from "./front/numbers.mjs";
import { hint, Readouts } from "./front/readouts.mjs";

/** @import { MakeView } from "./front/types.d.ts" */

// A line for each kind of matrix, in the order of the frame's rows.
const COLOURS = ["muted", "second", "lost-edge", "local"];
const OUTER = COLOURS.length - 1;

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { axis, depths } = facts;
  const yTicks = decadeTicks(axis, words.number);
  const ladder = new CurveChart({
    title: words("ladder"),
    label: words.labelled("ladder", "help"),
    y: axis,
    yTicks,
    onPick: (k, isFirm) => choose([0, k], isFirm),
    words,
  });
  const last = new CurveChart({ title: words("last"), y: axis, yTicks, words });
  const legend = new Legend([
    ["local", words("outer")],
    ["lost-edge", words("inner")],
    ["second", words("out")],
    ["muted", words("qkv")],
    ["reached", words("band")],
  ]);
  const theory = new Legend();
  const readouts = new Readouts([words("value"), words("ratio"), words("slope")]);
  const number = (/** @type {number} */ power) =>
    words.number(Number((10 ** power).toPrecision(2)));

  return {
    el: stage(
      hint(words("help")),
      side(ladder.el, legend.el),
      side(last.el, theory.el, readouts.el),
    ),
    start: facts.start,
    limits: [1, facts.most],
    layout() {},
    draw(frame, { depth, norm }) {
      const xs = Array.from({ length: depth }, (_, k) => k + 1);
      ladder.show({
        xs,
        xTicks: stepTicks(xs),
        xLabel: words("ladder_x"),
        lines: COLOURS.map((colour, k) => [colour, row(frame.ladder, k)]),
        band: [row(frame.band, 0), row(frame.band, 1)],
      });
      last.show({
        xs: depths,
        xTicks: depths,
        xLabel: words("last_x"),
        isLog: true,
        lines: [
          ["muted", row(frame.last, 1)],
          ["local", row(frame.last, 0)],
        ],
      });
      theory.show([
        ["local", words("measured")],
        ["muted", words("theory", { power: facts.powers[norm] })],
      ]);
    },
    point([, at], frame, { depth, norm }) {
      const k = Math.min(at, depth - 1);
      const outer = row(frame.ladder, OUTER);
      const closest = nearest(
        depths.map((/** @type {number} */ other) => Math.abs(Math.log(other / depth))),
      );
      ladder.mark(k);
      last.mark(closest);
      last.say(
        words("note", { depth: depths[closest], value: number(row(frame.last, 0)[closest]) }),
      );
      readouts.show([
        number(outer[k]),
        number(outer[0] - outer[depth - 1]),
        words.decimals(frame.slope.values[0], 2),
      ]);
      const [low, high] = [0, 1].map((end) => number(row(frame.band, end)[k]));
      say(
        words("cell", {
          k: k + 1,
          depth,
          norm: words(norm),
          value: number(outer[k]),
          draws: facts.draws,
          low,
          high,
        }),
      );
    },
  };
};
