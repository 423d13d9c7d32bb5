// What flows between the blocks of a stack: how large it is, and how little it changes.

import { row } from "./front/arrays.mjs";
import { stepTicks } from "./front/chart.mjs";
import { CurveChart } from "./front/curve_chart.mjs";
import { side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { hint } from "./front/readouts.mjs";

/** @import { Tick } from "./front/chart.mjs" */
/** @import { Coded, MakeView } from "./front/types.d.ts" */

const COLOURS = ["local", "second", "lost-edge"];
const LOOKS = ["plain", "plain", "dashed"];

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const names = [words("post"), words("pre"), words("deep")];
  const shares = [0, 0.5, 1].map((value) => /** @type {Tick} */ ([value, words.number(value)]));
  const roots = [0, 0.5, 1].map(
    (power) => /** @type {Tick} */ ([power, words.number(Number((10 ** power).toPrecision(2)))]),
  );

  /** @param {string} title @param {[number, number]} y @param {Tick[]} yTicks @param {number} before blocks before the first point */
  const curves = (title, y, yTicks, before) =>
    new CurveChart({
      title: words(title),
      label: words.labelled(title, "help"),
      y,
      yTicks,
      onPick: (k, isFirm) => choose([0, Math.max(0, k - before)], isFirm),
      words,
    });
  const sizes = curves("sizes", facts.sizes, roots, 1);
  const cosines = curves("cosines", [0, 1], shares, 0);
  const costs = curves("costs", [0, facts.highest], shares, 0);
  const legend = new Legend(COLOURS.map((colour, r) => [colour, names[r]]));
  const last = side(costs.el);

  const lines = (/** @type {Coded} */ array) =>
    COLOURS.map(
      // DeepNorm's line would hide Post-LN's.
      (colour, r) => /** @type {[string, any, string]} */ ([colour, row(array, r), LOOKS[r]]),
    );
  const each = (/** @type {string[]} */ values) =>
    words.list(values.map((value, r) => words("named", { name: names[r], value })));
  /** @param {Coded} array @param {number} k */
  const twos = (array, k) => COLOURS.map((_, r) => words.decimals(row(array, r)[k], 2));

  return {
    el: stage(hint(words("help")), side(sizes.el, legend.el), side(cosines.el), last),
    start: facts.start,
    limits: [1, facts.most],
    layout() {},
    draw(frame, { model }) {
      const depth = frame.cosines.shape[1];
      const xs = Array.from({ length: depth + 1 }, (_, k) => k);
      const blocks = {
        xs: xs.slice(1),
        xTicks: stepTicks(xs.slice(1)),
        xLabel: words("cosines_x"),
      };
      sizes.show({
        xs,
        xTicks: stepTicks(xs),
        xLabel: words("sizes_x"),
        lines: lines(frame.sizes),
      });
      cosines.show({ ...blocks, lines: lines(frame.cosines) });
      costs.show({ ...blocks, lines: lines(frame.costs) });
      last.hidden = model !== "trained";
    },
    point([, at], frame, { model }) {
      const depth = frame.cosines.shape[1];
      const at0 = Math.min(at, depth - 1);
      const k = at0 + 1;
      sizes.mark(k);
      cosines.mark(at0);
      costs.mark(at0);
      const size = COLOURS.map((_, r) =>
        words.number(Number((10 ** row(frame.sizes, r)[k]).toPrecision(2))),
      );
      const [cosine, cost] = [twos(frame.cosines, at0), twos(frame.costs, at0)];
      sizes.say(words("size_note", { k, values: each(size) }));
      cosines.say(words("cosine_note", { k, values: each(cosine) }));
      costs.say(words("cost_note", { k, values: each(cost) }));
      const block = { k, depth, draws: facts.draws, post: size[0], pre: size[1] };
      const rest = {
        post_cosine: cosine[0],
        pre_cosine: cosine[1],
        post_cost: cost[0],
        pre_cost: cost[1],
      };
      say(words(model === "trained" ? "trained" : "start", { ...block, ...rest }));
    },
  };
};
