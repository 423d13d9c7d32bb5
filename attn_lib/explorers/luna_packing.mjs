// Tokens packed into a few slots and unpacked again, beside Linformer.

import { ranked, row, unroot } from "./front/arrays.mjs";
import { Bars } from "./front/bars.mjs";
import { setText } from "./front/dom.mjs";
import { column, isBroad, narrowColumn, shared, side, stage, wideSide } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { LineChart } from "./front/line_chart.mjs";
import { Matrix } from "./front/matrix.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { largest, RowTable } from "./front/row_table.mjs";
import { namer, TokenStrip } from "./front/tokens.mjs";

/** @import { MakeView } from "./front/types.d.ts" */

const COLOURS = ["merged", "second", "lost-edge"];
const BROAD_CELLS = 200;

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { tokens } = facts;
  const n = tokens.length;
  const name = namer(tokens);
  let at = facts.start;
  /** @type {string[][]} */
  let inSlots = [];
  const strip = new TokenStrip({
    tokens,
    label: words.labelled("text", "help"),
    onPick: (i, isFirm) => choose([i, at[1]], isFirm),
  });
  /** A slot is a band of rows, or of columns, so that all pictures have one size.
   * @param {string} what @param {(pick: [number, number], isFirm: boolean) => void} onPick */
  const matrix = (what, onPick) =>
    new Matrix({
      rows: n,
      cols: n,
      width: 320,
      label: words.labelled(what, "help"),
      rowLabel: words(what),
      colLabel: words("axes"),
      onPick,
    });
  const full = matrix("full", choose);
  const luna = matrix("luna", choose);
  const linformer = matrix("linformer", choose);
  const pack = matrix("pack", ([, j], isFirm) => choose([at[0], j], isFirm));
  const unpack = matrix("unpack", ([i], isFirm) => choose([i, at[1]], isFirm));
  const all = [full, luna, linformer, unpack, pack];
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("full"), words("luna"), words("name_linformer")],
    onGo: (i) => choose([i, at[1]], true),
    label: (i) => words("row_name", { i, token: name(i) }),
  });
  const bars = new Bars({ count: 6, words });
  const readouts = new Readouts([
    words("error_luna"),
    words("error_linformer"),
    words("error_best"),
    words("error_mean"),
  ]);
  const chart = new LineChart({
    title: words("chart"),
    xLabel: words("chart_x"),
    ticks: [1, 2, 4, 8, 16, 32],
    logY: facts.errors,
    words,
  });
  const names = [words("name_luna"), words("name_linformer"), words("name_best")];
  const legend = new Legend([
    ...COLOURS.map((colour, k) => /** @type {[string, string]} */ ([colour, names[k]])),
    ["ink", words("name_mean")],
  ]);
  const two = (/** @type {number} */ code) => words.decimals(unroot(code), 2);

  return {
    el: stage(
      hint(words("help")),
      strip.el,
      narrowColumn(full.el, luna.el),
      narrowColumn(linformer.el, unpack.el),
      column(pack.el, wideSide(bars.el)),
      column(side(chart.el, legend.el), side(readouts.el)),
    ),
    start: facts.start,
    limits: [n, n],
    rows,
    layout(width) {
      const room = isBroad(width) ? BROAD_CELLS : shared(width, 3, 2);
      for (const one of all) one.layout(room);
    },
    draw(frame, { slots }, theme) {
      const band = (/** @type {number} */ k) => Math.floor((k * slots) / n);
      const [bands, columns] = [new Uint8Array(n * n), new Uint8Array(n * n)];
      for (let i = 0, k = 0; i < n; i++)
        for (let j = 0; j < n; j++, k++) {
          bands[k] = frame.pack.values[band(i) * n + j];
          columns[k] = frame.unpack.values[i * slots + band(j)];
        }
      full.paint(frame.full.values, theme.ramp);
      luna.paint(frame.luna.values, theme.ramp);
      linformer.paint(frame.linformer.values, theme.ramp);
      pack.paint(bands, theme.ramp);
      unpack.paint(columns, theme.ramp);
      rows.show((i) =>
        [frame.full, frame.luna, frame.linformer].map((array) =>
          largest([...row(array, i)].map(unroot), name, words),
        ),
      );
      const title = words("linformer", { slots });
      setText(linformer.axes[0], title);
      const label = words("labelled", { label: title, help: words("help") });
      linformer.rename(label);
      // What is in a slot: its heaviest tokens, each word once.
      inSlots = Array.from({ length: slots }, (_, s) => {
        const slot = row(frame.pack, s);
        const heavy = ranked(slot, 6).filter(
          (j, _, [first]) => slot[j] && slot[j] >= slot[first] / 4,
        );
        return [...new Set(heavy.map(name))].slice(0, 4);
      });
      const errors = [0, 1, 2].map((k) => words.decimals(row(frame.errors, k)[slots - 1], 2));
      const [mean] = frame.mean.values;
      readouts.show(
        [...errors, words.decimals(mean, 2)].map((error) => words("error_value", { error })),
      );
      chart.show(
        frame.errors,
        COLOURS,
        slots,
        words("chart_now", { slots, luna: errors[0], linformer: errors[1] }),
        { level: mean },
      );
    },
    point([i, j], frame, _, theme) {
      at = [i, j];
      rows.mark(i);
      const ink = theme.hex("second");
      for (const one of all) one.pick = [i, j];
      for (const one of [full, luna, linformer])
        one.mark((pen) => {
          pen.row(i, ink);
          pen.box(i, j, ink);
        });
      pack.mark((pen) => pen.shade(0, j, n, 1, theme.hex("beam")));
      unpack.mark((pen) => pen.row(i, ink));
      strip.shade(frame.luna.values, i * n, theme, i, j);
      const share = row(frame.unpack, i);
      const best = ranked(share, bars.rows.length);
      const read = best.filter((s) => unroot(share[s]) >= 0.005);
      bars.show(
        words("bars", { query: name(i) }),
        read.map((s) => [
          words("slot", { slot: s, tokens: words.list(inSlots[s]) }),
          unroot(share[s]),
        ]),
      );
      const k = i * n + j;
      const given = {
        full: two(frame.full.values[k]),
        luna: two(frame.luna.values[k]),
        linformer: two(frame.linformer.values[k]),
      };
      say(
        words("cell", {
          query: name(i),
          i,
          key: name(j),
          j,
          slot: best[0],
          share: two(share[best[0]]),
          ...given,
        }),
      );
    },
  };
};
