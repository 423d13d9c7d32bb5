// Two matrices side by side that are pointed at as one.

import { isBroad, shared } from "./layout.mjs";
import { Matrix } from "./matrix.mjs";
import { largest, RowTable } from "./row_table.mjs";

/** @import { Choose, Theme, Words } from "./types.d.ts" */

const BROAD_CELLS = 288;

/**
 * @typedef {object} Plan
 * @property {number} n
 * @property {[string, string]} labels
 * @property {[string, string]} titles
 * @property {string} axes
 * @property {number} [width]
 * @property {Choose} onPick
 * @property {Words} words
 * @property {(code: number) => number} weight what a code stands for
 * @property {(k: number) => string} called a row, or a column
 * @property {(k: number) => string} label a row in the table
 * @property {number} [size] how many tokens a row stands for
 */

/** @param {Plan} plan */
export function twins({ n, labels, titles, axes, width = 340, onPick, words, ...told }) {
  let column = 0;
  const rows = new RowTable({
    words,
    count: n,
    heads: titles,
    onGo: (i) => onPick([i, column], true),
    label: told.label,
    size: told.size,
  });
  const both = [0, 1].map(
    (k) =>
      new Matrix({
        rows: n,
        cols: n,
        width,
        label: labels[k],
        rowLabel: titles[k],
        colLabel: axes,
        onPick,
      }),
  );
  return {
    rows,
    els: both.map((matrix) => matrix.el),
    /** The elements that the titles stand in. */
    titles: both.map((matrix) => matrix.axes[0]),
    /** @param {number} available */
    layout(available) {
      const room = isBroad(available) ? BROAD_CELLS : shared(available, 2, 1);
      for (const matrix of both) matrix.layout(room);
    },
    /** @param {[ArrayLike<number>, ArrayLike<number>]} cells @param {Uint32Array | Uint32Array[]} tables for both, or each its own */
    paint(cells, tables) {
      both.forEach((matrix, k) => {
        matrix.paint(cells[k], Array.isArray(tables) ? tables[k] : tables);
      });
      rows.show((i) =>
        cells.map((codes) => {
          const row = Array.from({ length: n }, (_, j) => told.weight(codes[i * n + j]));
          return largest(row, told.called, words, rows.size);
        }),
      );
    },
    /** @param {number} i @param {number} j @param {Theme} theme */
    mark(i, j, theme) {
      column = j;
      rows.mark(i);
      for (const matrix of both) {
        matrix.pick = [i, j];
        matrix.mark((pen) => {
          pen.row(i, theme.hex("second"));
          pen.box(i, j, theme.hex("second"));
        });
      }
    },
  };
}
