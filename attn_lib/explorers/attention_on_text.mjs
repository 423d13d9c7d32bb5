// Real attention on real text: who looks at whom, in the words and in the matrix.

import { ranked, row, unroot } from "./front/arrays.mjs";
import { Bars } from "./front/bars.mjs";
import { beside, column, isBroad, narrowColumn, side, stage } from "./front/layout.mjs";
import { rampLegend } from "./front/legend.mjs";
import { Matrix } from "./front/matrix.mjs";
import { hint } from "./front/readouts.mjs";
import { largest, RowTable } from "./front/row_table.mjs";
import { namer, TokenStrip } from "./front/tokens.mjs";

/** @import { MakeView } from "./front/types.d.ts" */

const BROAD_CELLS = 400;

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { tokens } = facts;
  const n = tokens.length;
  const name = namer(tokens);
  const strip = new TokenStrip({
    tokens,
    label: words.labelled("text", "text_help"),
    onPick: (i, isFirm) => choose([i, null], isFirm),
  });
  const matrix = new Matrix({
    rows: n,
    cols: n,
    width: 448,
    label: words.labelled("matrix", "text_help"),
    rowLabel: words("query"),
    colLabel: words("key"),
    legend: rampLegend(words),
    onPick: choose,
  });
  const bars = new Bars({ count: 8, words });
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("weights_head")],
    onGo: (i) => choose([i, null], true),
    label: (i) => words("row_name", { i, token: name(i) }),
  });

  return {
    el: stage(hint(words("text_help")), strip.el, narrowColumn(matrix.el), column(side(bars.el))),
    start: [facts.start, null],
    limits: [n, n],
    rows,
    layout: (width) => matrix.layout(isBroad(width) ? BROAD_CELLS : beside(width)),
    draw({ weights }, _, theme) {
      matrix.paint(weights.values, theme.ramp);
      rows.show((i) => [largest([...row(weights, i)].map(unroot), name, words)]);
    },
    point([i, j], { weights, effective }, _, theme) {
      rows.mark(i);
      matrix.pick = [i, j ?? i];
      strip.shade(weights.values, i * n, theme, i, j);
      matrix.mark((pen) => {
        pen.row(i, theme.hex("second"));
        if (j !== null) pen.box(i, j, theme.hex("second"));
      });
      const given = row(weights, i);
      const seen = ranked(given, bars.rows.length).filter((k) => unroot(given[k]) >= 0.005);
      bars.show(
        words("bars", { token: name(i) }),
        seen.map((k) => [name(k), unroot(given[k])]),
      );
      const weight = (/** @type {number} */ k) => words.decimals(unroot(given[k]), 2);
      const query = { token: name(i), i, effective: words.decimals(effective.values[i], 1) };
      if (j === null) {
        const best = seen
          .slice(0, 3)
          .map((k) => words("top", { token: name(k), weight: weight(k) }));
        say(words("row", { ...query, top: words.list(best) }));
      } else say(words("cell", { ...query, key: name(j), j, weight: weight(j) }));
    },
  };
};
