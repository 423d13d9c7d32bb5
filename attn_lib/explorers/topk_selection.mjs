// Top-k attention on text: which keys survive, and what becomes of the weight of the others.

import { row, unroot } from "./front/arrays.mjs";
import { node } from "./front/dom.mjs";
import { beside, column, isBroad, narrowColumn, side, stage } from "./front/layout.mjs";
import { Legend, rampLegend } from "./front/legend.mjs";
import { Matrix } from "./front/matrix.mjs";
import { RankedBars } from "./front/ranked_bars.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { largest, RowTable } from "./front/row_table.mjs";
import { keysInWords, stretches } from "./front/stretches.mjs";
import { namer, TokenStrip } from "./front/tokens.mjs";

/** @import { MakeView } from "./front/types.d.ts" */

// A cell's code, plus this where its pair is dropped.
const DROPPED = 256;
const BROAD_CELLS = 400;

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { n, tokens } = facts;
  const name = namer(tokens);
  const percent = (/** @type {number} */ x) => words.decimals(100 * x, x < 0.0995 ? 1 : 0);
  const strip = new TokenStrip({
    tokens,
    label: words.labelled("text", "text_help"),
    onPick: (i, isFirm) => choose([i, null], isFirm),
  });
  const legend = new Legend([
    ["lost-edge", words("dropped")],
    ["unread", words("unread")],
  ]);
  /** The keys that a row keeps, in their order. @type {(i: number) => number[]} */
  let keeps = () => [];
  const matrix = new Matrix({
    rows: n,
    cols: n,
    width: 448,
    label: words.labelled("matrix", "stride_help"),
    rowLabel: words("query"),
    colLabel: words("key"),
    legend: node("div", {}, rampLegend(words), legend.el),
    onPick: choose,
    stretches: (i) => stretches(keeps(i)),
  });
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("kept_head"), words("weights_head")],
    onGo: (i) => choose([i, null], true),
    label: (i) => words("row_name", { i, token: name(i) }),
  });
  const readouts = new Readouts([
    words("mass"),
    words("moved"),
    words("mean"),
    words("nobody"),
    words("pairs", { cells: words.whole(facts.cells) }),
  ]);
  /** @type {{ query: number, order: ArrayLike<number> }} */
  let now = { query: 0, order: [] };
  const bars = new RankedBars({
    count: n,
    label: words("bars_label"),
    words,
    onPick: (rank, isFirm) => choose([now.query, now.order[rank]], isFirm),
  });
  const cells = new Uint16Array(n * n);
  const ranks = new Uint8Array(n * n);

  return {
    el: stage(
      hint(words("text_help")),
      strip.el,
      narrowColumn(matrix.el),
      column(side(readouts.el, bars.el)),
    ),
    start: [facts.start, null],
    limits: [n, n],
    rows,
    layout: (width) => matrix.layout(isBroad(width) ? BROAD_CELLS : beside(width)),
    draw({ weights, order, scores, mass, head_moved, head_mean, chosen_by }, { topk }, theme) {
      for (let i = 0; i < n; i++)
        for (let rank = 0; rank < n; rank++) {
          const at = i * n + order.values[i * n + rank];
          ranks[at] = rank;
          cells[at] = weights.values[at] + (rank < topk ? 0 : DROPPED);
        }
      keeps = (i) => [...row(order, i).subarray(0, topk)].sort((a, b) => a - b);
      rows.show((i) => {
        const given = [...row(weights, i)].map((code, k) => (ranks[i * n + k] < topk ? code : 0));
        return [keysInWords(keeps(i), words), largest(given.map(unroot), name, words)];
      });
      const table = new Uint32Array(2 * DROPPED);
      table.set(theme.ramp);
      table.set(theme.blend(["ramp-0", "lost", "lost-edge"]), DROPPED);
      matrix.paint(cells, table);
      const held = [...mass.values].reduce((sum, x) => sum + x, 0) / n;
      readouts.show([
        words("mass_value", { mass: percent(held) }),
        words("moved_value", { moved: percent(head_moved.values[0]) }),
        words("moved_value", { moved: percent(head_mean.values[0]) }),
        words("nobody_value", {
          count: [...chosen_by.values].filter((count) => count === 0).length,
          n,
        }),
        words("pairs_value", { pairs: words.whole(n * topk) }),
      ]);
      bars.scale(Math.floor(Math.min(...scores.values)), Math.ceil(Math.max(...scores.values)));
    },
    point([i, j], { weights, order, scores, mass, moved, mean, chosen_by }, { topk }, theme) {
      const keys = row(order, i);
      const sorted = row(scores, i);
      const rank = j === null ? null : ranks[i * n + j];
      const score = (/** @type {number} */ k) => words.decimals(sorted[k], 1);
      now = { query: i, order: keys };
      rows.mark(i);
      matrix.pick = [i, j ?? i];
      strip.shade(weights.values, i * n, theme, i, j);
      strip.fade((k) => ranks[i * n + k] >= topk);
      matrix.mark((pen) => {
        for (let k = 0; k < n; k++)
          if (chosen_by.values[k] === 0) pen.shade(0, k, n, 1, theme.hex("unread"));
        pen.row(i, theme.hex("second"));
        if (j !== null) pen.box(i, j, theme.hex("second"));
      });
      const threshold = score(topk - 1);
      const note =
        rank === null
          ? words("bars_note", { threshold, topk, n })
          : words("bar", { key: name(j), rank: rank + 1, score: score(rank) });
      bars.show(words("bars", { token: name(i) }), sorted, topk, rank, note);
      const weight = (/** @type {number} */ k) =>
        words.decimals(unroot(weights.values[i * n + k]), 2);
      const query = { token: name(i), i };
      if (rank === null) {
        const best = [...keys.subarray(0, Math.min(3, topk))].map((k) =>
          words("top", { token: name(k), weight: weight(k) }),
        );
        const whole = {
          mass: words.decimals(mass.values[i], 2),
          moved: percent(moved.values[i]),
          mean: percent(mean.values[i]),
        };
        say(words("row", { ...query, ...whole, top: words.list(best) }));
      } else {
        const pair = {
          key: name(j),
          j,
          rank: rank + 1,
          score: score(rank),
          weight: weight(j),
          threshold,
        };
        const sentence = words(rank < topk ? "kept" : "lost", { ...query, ...pair });
        say(matrix.led(sentence, i, j, words));
      }
    },
  };
};
