// Two matrices side by side that are pointed at as one.

import { shared } from "./layout.mjs";
import { Matrix } from "./matrix.mjs";

/** @import { Choose, Theme } from "./types.d.ts" */

/** @param {{ n: number, labels: [string, string], titles: [string, string], axes: string, onPick: Choose }} plan */
export function twins({ n, labels, titles, axes, onPick }) {
  const both = [0, 1].map(
    (k) =>
      new Matrix({
        rows: n,
        cols: n,
        width: 340,
        label: labels[k],
        rowLabel: titles[k],
        colLabel: axes,
        onPick,
      }),
  );
  return {
    els: both.map((matrix) => matrix.el),
    /** @param {number} width */
    layout(width) {
      for (const matrix of both) matrix.layout(shared(width, 2, 1));
    },
    /** @param {[ArrayLike<number>, ArrayLike<number>]} cells @param {Uint32Array | Uint32Array[]} tables for both, or each its own */
    paint(cells, tables) {
      both.forEach((matrix, k) => {
        matrix.paint(cells[k], Array.isArray(tables) ? tables[k] : tables);
      });
    },
    /** @param {number} i @param {number} j @param {Theme} theme */
    mark(i, j, theme) {
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
