// What cosFormer asks of a weight, one requirement at a time.

import { unsign } from "./front/arrays.mjs";
import { CurveChart } from "./front/curve_chart.mjs";
import { column, narrowColumn, side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { signedTable } from "./front/theme.mjs";
import { twins } from "./front/twins.mjs";

/** @import { Tick } from "./front/chart.mjs" */
/** @import { MakeView } from "./front/types.d.ts" */

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { n, tokens } = facts;
  const pictures = twins({
    n,
    labels: [words.labelled("full", "help"), words.labelled("weights", "help")],
    titles: [words("full"), words("weights")],
    axes: words("axes"),
    onPick: choose,
    words,
    weight: (code) => unsign(code, facts),
    called: (k) => tokens[k],
    label: (k) => words("row_name", { i: k, token: tokens[k] }),
  });
  const readouts = new Readouts([
    words("negative"),
    words("sums"),
    words("largest"),
    words("spread"),
    words("error"),
  ]);
  const ticks = facts.ticks.map(
    (/** @type {[number, number]} */ [at, value]) =>
      /** @type {Tick} */ ([at, words.number(value)]),
  );
  const chart = new CurveChart({
    title: words("chart"),
    width: 300,
    height: 200,
    y: facts.ends,
    yTicks: ticks,
    words,
  });
  const factor = new CurveChart({
    title: words("factor"),
    width: 300,
    height: 150,
    y: [-1, 1],
    yTicks: [-1, 0, 1].map((value) => /** @type {Tick} */ ([value, words.number(value)])),
    words,
  });
  const legend = new Legend([
    ["local", words("chart_full")],
    ["second", words("chart_weights")],
  ]);
  const signed = (/** @type {number} */ code) => words.decimals(unsign(code, facts), 2);

  return {
    el: stage(
      hint(words("help"), words("hint")),
      narrowColumn(pictures.els[0], side(chart.el, legend.el)),
      narrowColumn(pictures.els[1], side(factor.el)),
      column(side(readouts.el)),
    ),
    start: facts.start,
    limits: [n, n],
    rows: pictures.rows,
    layout: pictures.layout,
    draw(frame, _, theme) {
      /** @type {[ArrayLike<number>, ArrayLike<number>]} */
      const cells = [frame.full.values, frame.weights.values];
      const { zero } = facts;
      const tables = cells.map((codes) => {
        const sizes = Array.from(codes, (code) => Math.abs(code - zero));
        return signedTable(theme, { zero, top: Math.max(...sizes) });
      });
      pictures.paint(cells, tables);
      const [negative, sums, largest, spread, all] = frame.facts.values;
      const [error, mean] = frame.errors.values;
      const full = words.decimals(all, 1);
      readouts.show([
        words("negative_value", { negative: words.decimals(negative, 0) }),
        words("sums_value", { sums, n }),
        largest < 10 ? words.decimals(largest, 2) : words.whole(largest),
        spread < 0
          ? words("no_spread", { full })
          : words("spread_value", { spread: words.decimals(spread, 1), full }),
        words("error_value", {
          error: error < 10 ? words.decimals(error, 2) : words.whole(error),
          mean: words.decimals(mean, 2),
        }),
      ]);
      const places = {
        xs: Array.from({ length: n }, (_, apart) => apart),
        xTicks: [...[0, 16, 32, 48].filter((apart) => apart === 0 || apart < 0.9 * (n - 1)), n - 1],
        xLabel: words("chart_x"),
      };
      chart.show({
        ...places,
        lines: [
          ["local", frame.full_profile.values],
          ["second", frame.profile.values],
        ],
      });
      factor.show({ ...places, lines: [["second", frame.factor.values]] });
    },
    point([i, j], frame, _, theme) {
      pictures.mark(i, j, theme);
      const apart = Math.abs(i - j);
      chart.mark(apart);
      const [full, weight] = [frame.full, frame.weights].map(({ values }) =>
        signed(values[i * n + j]),
      );
      factor.mark(apart);
      const pair = { query: tokens[i], i, key: tokens[j], j, apart, full, weight };
      say(words("cell", { ...pair, factor: words.decimals(frame.factor.values[apart], 2) }));
    },
  };
};
