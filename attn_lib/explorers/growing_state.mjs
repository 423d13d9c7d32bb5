// A linear transformer reads a text: its state, and the row of weights that the state implies.

import { ranked, row, unroot } from "./front/arrays.mjs";
import { Bars } from "./front/bars.mjs";
import {
  column,
  isBroad,
  narrowColumn,
  nextRow,
  shared,
  side,
  stage,
  wideSide,
} from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { LineChart } from "./front/line_chart.mjs";
import { Matrix } from "./front/matrix.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { largest as inWords, RowTable } from "./front/row_table.mjs";
import { signedTable } from "./front/theme.mjs";
import { namer, TokenStrip } from "./front/tokens.mjs";

/** @import { Coded, MakeView } from "./front/types.d.ts" */

const COLOURS = ["second", "local"];
// g stands two columns wide beside G, with two free ones between.
const BESIDE = 4;
const BROAD_CELLS = 208;

/** @type {MakeView} */
export const view = ({ facts, words, say, choose, put }) => {
  const { tokens, width } = facts;
  const n = tokens.length;
  const cols = width + BESIDE;
  const name = namer(tokens);
  const strip = new TokenStrip({
    tokens,
    label: words.labelled("text", "help"),
    onPick: (j, isFirm) => choose([j], isFirm),
  });
  const [near, full] = ["weights", "full"].map(
    (what) =>
      new Matrix({
        rows: n,
        cols: n,
        width: 320,
        label: words.labelled(what, "help"),
        rowLabel: words(what),
        colLabel: words("axes"),
        onPick: ([, j], isFirm) => choose([j], isFirm),
      }),
  );
  const sums = new Matrix({
    rows: width,
    cols,
    width: 320,
    label: words("state"),
    rowLabel: words("state"),
    colLabel: words("axes"),
  });
  const bars = [new Bars({ count: 5, words }), new Bars({ count: 5, words })];
  // A row is there once its token has been read: to go to one is to read so far.
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("weights"), words("full")],
    onGo: (i) => put("time", i + 1),
    label: (i) => words("row_name", { i, token: name(i) }),
  });
  const readouts = new Readouts([
    words("largest"),
    words("spread"),
    words("ranks"),
    words("kept"),
    words("error"),
  ]);
  const [spreads, memory] = ["chart", "memory"].map(
    (title) =>
      new LineChart({
        title: words(title),
        xLabel: words("chart_x"),
        ticks: [1, 2, 4, 8, 16, 32],
        words,
      }),
  );
  /** @type {Coded} */
  const kept = {
    coding: "",
    shape: [2, n],
    bytes: new Uint8Array(),
    values: Float32Array.from(facts.kept.flat()),
  };
  const legend = new Legend([
    ["second", words("name_near")],
    ["local", words("name_full")],
  ]);
  const two = (/** @type {number} */ code) => words.decimals(unroot(code), 2);
  const pair = (/** @type {(string | number)[]} */ both) => ({ near: both[0], full: both[1] });

  return {
    el: stage(
      hint(words("help"), words("hint")),
      strip.el,
      narrowColumn(sums.el, side(memory.el)),
      narrowColumn(near.el, side(bars[0].el)),
      narrowColumn(full.el, side(bars[1].el)),
      column(side(spreads.el), side(legend.el)),
      nextRow(),
      column(wideSide(readouts.el)),
    ),
    start: facts.start,
    limits: [n],
    rows,
    layout(room) {
      const each = isBroad(room) ? BROAD_CELLS : shared(room, 3, 2);
      for (const one of [sums, near, full]) one.layout(each);
    },
    draw({ state, weights, full: exact, spread, errors, ranks }, { time }, theme) {
      const cells = new Uint8Array(width * cols).fill(facts.zero);
      for (let r = 0; r < width; r++) {
        const both = row(state, r);
        cells.set(both.subarray(0, width), r * cols);
        cells.fill(both[width], r * cols + width + 2, (r + 1) * cols);
      }
      sums.paint(cells, signedTable(theme, facts));
      const read = [weights, exact];
      [near, full].forEach((matrix, k) => {
        matrix.paint(
          read[k].values.map((code, at) => (at < time * n ? code : 0)),
          theme.ramp,
        );
      });
      rows.show(
        (i) => read.map((array) => inWords([...row(array, i)].map(unroot), name, words)),
        time,
      );
      rows.mark(time - 1);
      const now = read.map((array) => row(array, time - 1));
      const query = name(time - 1);
      now.forEach((codes, k) => {
        const top = ranked(codes, bars[k].rows.length).filter((j) => codes[j]);
        bars[k].show(
          words(k ? "bars_full" : "bars", { query }),
          top.map((j) => [name(j), unroot(codes[j])]),
        );
      });
      const largest = pair(now.map((codes) => two(Math.max(...codes))));
      const over = pair([0, 1].map((k) => words.decimals(row(spread, k)[time - 1], 1)));
      const numbers = pair([0, 1].map((k) => words.whole(row(kept, k)[time - 1])));
      const counts = [...ranks.values];
      const missed = pair([0, 1].map((k) => words.decimals(row(errors, k)[time - 1], 2)));
      readouts.show([
        words("pair", largest),
        words("pair", over),
        words("ranks_value", { near: counts[0], full: counts[1], control: counts[2] }),
        words("pair", numbers),
        words("pair", missed),
      ]);
      spreads.show(spread, COLOURS, time, words("chart_now", over));
      memory.show(kept, COLOURS, time, words("memory_now", numbers));
    },
    point([j], { weights, full: exact }, { time }, theme) {
      const i = time - 1;
      for (const one of [near, full]) {
        one.pick = [i, j];
        one.mark((pen) => {
          pen.row(i, theme.hex("second"));
          if (j <= i) pen.box(i, j, theme.hex("second"));
        });
      }
      strip.shade(weights.values, i * n, theme, j, i);
      strip.fade((k) => k > i);
      const [given, soft] = [weights, exact].map(({ values }) => two(values[i * n + j]));
      say(
        words(j > i ? "ahead" : "cell", {
          time,
          query: name(i),
          i,
          key: name(j),
          j,
          near: given,
          full: soft,
        }),
      );
    },
  };
};
