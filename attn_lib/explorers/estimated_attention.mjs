// A trained head's attention matrix, and the one that the Performer's features imply.

import { row, unsign } from "./front/arrays.mjs";
import { CurveChart } from "./front/curve_chart.mjs";
import { column, narrowColumn, side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { nearest } from "./front/numbers.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { signedTable } from "./front/theme.mjs";
import { twins } from "./front/twins.mjs";

/** @import { Tick } from "./front/chart.mjs" */
/** @import { MakeView } from "./front/types.d.ts" */

const COLOURS = ["local", "summary", "second"];

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const n = facts.cells;
  // Of a short text a cell is one token by one, of others two by two.
  const size = facts.tokens.length / n;
  const text = (/** @type {number} */ k) => facts.tokens.slice(size * k, size * (k + 1)).join(" ");
  const titles = /** @type {[string, string]} */ ([words("full"), words("estimate")]);
  const pictures = twins({
    n,
    labels: [words.labelled("full", "help"), words.labelled("estimate", "help")],
    titles,
    axes: words("axes"),
    onPick: choose,
    words,
    weight: (code) => unsign(code, facts),
    called: text,
    label: (k) => words("row_name", { i: size * k, token: text(k) }),
    size,
  });
  const readouts = new Readouts([words("error"), words("largest"), words("norms"), words("mean")]);
  const chart = new CurveChart({
    title: words("chart"),
    width: 280,
    height: 180,
    y: [-2, 1],
    yTicks: [-2, -1, 0, 1].map((power) => /** @type {Tick} */ ([power, words.number(10 ** power)])),
    words,
  });
  const names = [words("positive"), words("independent"), words("trig")];
  const legend = new Legend([
    ...COLOURS.map((colour, k) => /** @type {[string, string]} */ ([colour, names[k]])),
    ["ink", words("mean_line")],
  ]);
  const signed = (/** @type {number} */ code) => words.decimals(unsign(code, facts), 2);

  return {
    el: stage(
      hint(words("help"), words("hint"), words("edge")),
      narrowColumn(pictures.els[0]),
      narrowColumn(pictures.els[1]),
      column(side(readouts.el), side(chart.el, legend.el)),
    ),
    start: facts.start,
    limits: [n, n],
    rows: pictures.rows,
    layout: pictures.layout,
    draw(frame, { features }, theme) {
      pictures.paint([frame.full.values, frame.estimate.values], signedTable(theme, facts));
      const [error, near, top, q, k] = frame.facts.values;
      readouts.show([
        words.decimals(error, 2),
        words("largest_value", { near: words.decimals(near, 2), full: words.decimals(top, 2) }),
        words("norms_value", { q: words.decimals(q, 1), k: words.decimals(k, 1) }),
        words.decimals(frame.mean.values[0], 2),
      ]);
      chart.show({
        xs: facts.counts,
        isLog: true,
        xTicks: [4, 16, 64, 256, 1024],
        xLabel: words("chart_x"),
        lines: COLOURS.map((colour, r) => [colour, row(frame.errors, r)]),
        level: Math.log10(frame.mean.values[0]),
      });
      chart.mark(
        nearest(facts.counts.map((/** @type {number} */ m) => Math.abs(Math.log(m / features)))),
      );
    },
    point([i, j], frame, { features }, theme) {
      pictures.mark(i, j, theme);
      const [full, near] = [frame.full, frame.estimate].map(({ values }) =>
        signed(values[i * n + j]),
      );
      const places = { i: size * i, i2: size * i + 1, j: size * j, j2: size * j + 1 };
      say(words("cell", { ...places, query: text(i), key: text(j), m: features, full, near }));
    },
  };
};
