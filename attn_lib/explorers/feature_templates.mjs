// The templates of Efficient Attention on real text, and how each word mixes them.

import { once, ranked, row, unroot } from "./front/arrays.mjs";
import { Bars } from "./front/bars.mjs";
import { setText } from "./front/dom.mjs";
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
import { Matrix } from "./front/matrix.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { largest as inWords, RowTable } from "./front/row_table.mjs";
import { namer, TokenStrip } from "./front/tokens.mjs";

/** @import { Coded, MakeView } from "./front/types.d.ts" */

const WIDTH = 384;
const BROAD_CELLS = 200;
const MOST = 4;

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { tokens, features } = facts;
  const n = tokens.length;
  // A feature is a band of rows or columns, so that all pictures have one size, where it comes out even.
  const band = n % features ? 1 : n / features;
  const name = namer(tokens);
  let at = facts.start;
  /** @type {string[][]} */
  let highest = [];
  const feature = (/** @type {number} */ k) => Math.floor(k / band);
  const two = (/** @type {number} */ code) => words.decimals(unroot(code), 2);
  const strip = () =>
    new TokenStrip({
      tokens,
      label: words("help"),
      onPick: (i, isFirm) => choose([i, at[1], null], isFirm),
    });
  /** @param {string} what @param {(pick: [number, number], isFirm: boolean) => void} onPick */
  const matrix = (what, onPick, rows = n, cols = n) =>
    new Matrix({
      rows,
      cols,
      width: WIDTH,
      label: words.labelled(what, "help"),
      rowLabel: words(what),
      colLabel: words("axes"),
      onPick,
    });
  const [ofTemplate, ofRow] = [strip(), strip()];
  const span = band * features;
  const templates = matrix(
    "templates",
    ([c, j], isFirm) => choose([at[0], feature(c), j], isFirm),
    span,
  );
  const mixtures = matrix(
    "mixtures",
    ([i, c], isFirm) => choose([i, feature(c), null], isFirm),
    n,
    span,
  );
  const weights = matrix("weights", ([i, j], isFirm) => choose([i, at[1], j], isFirm));
  const full = matrix("full", ([i, j], isFirm) => choose([i, at[1], j], isFirm));
  templates.band = [band, 1];
  mixtures.band = [1, band];
  const all = [templates, mixtures, weights, full];
  const titles = [hint(""), hint("")];
  const [mixed, reads, soft] = [0, 1, 2].map(() => new Bars({ count: MOST, words }));
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("weights"), words("full")],
    onGo: (i) => choose([i, at[1], null], true),
    label: (i) => words("row_name", { i, token: name(i) }),
  });
  const readouts = new Readouts([
    words("error"),
    words("mean"),
    words("spread"),
    words("spread_full"),
  ]);

  /** What each template is highest on: its heaviest words, each once. */
  const heaviest = once((array) =>
    Array.from({ length: features }, (_, c) => {
      const heavy = ranked(row(array, c), 6);
      return [...new Set(heavy.map(name))].slice(0, 3);
    }),
  );
  /** The largest of some shares, by name.
   * @param {ArrayLike<number>} shares @param {(k: number) => string} called @returns {[string, number][]} */
  const largest = (shares, called) =>
    ranked(shares, MOST)
      .filter((k) => unroot(shares[k]) >= 0.005)
      .map((k) => [called(k), unroot(shares[k])]);

  return {
    el: stage(
      hint(words("help")),
      column(titles[0], ofTemplate.el, titles[1], ofRow.el, side(readouts.el)),
      narrowColumn(all[0].el, all[1].el),
      narrowColumn(all[2].el, all[3].el),
      nextRow(),
      column(wideSide(mixed.el)),
      column(side(reads.el)),
      column(side(soft.el)),
    ),
    start: facts.start,
    limits: [n, features, n],
    rows,
    layout(width) {
      const room = isBroad(width) ? BROAD_CELLS : Math.min(shared(width, 2, 2), WIDTH);
      for (const one of all) one.layout(room * Math.min(1, one.cols / one.rows));
    },
    draw(frame, _, theme) {
      const [bands, columns] = [new Uint8Array(n * span), new Uint8Array(n * span)];
      for (let c = 0, k = 0; c < span; c++)
        for (let j = 0; j < n; j++, k++) bands[k] = frame.templates.values[feature(c) * n + j];
      for (let i = 0, k = 0; i < n; i++)
        for (let c = 0; c < span; c++, k++)
          columns[k] = frame.mixtures.values[i * features + feature(c)];
      templates.paint(bands, theme.ramp);
      mixtures.paint(columns, theme.ramp);
      weights.paint(frame.weights.values, theme.ramp);
      full.paint(frame.full.values, theme.ramp);
      rows.show((i) =>
        [frame.weights, frame.full].map((array) =>
          inWords([...row(array, i)].map(unroot), name, words),
        ),
      );
      highest = heaviest(frame.templates);
      const mean = (/** @type {number} */ k) =>
        [...row(frame.spread, k)].reduce((sum, x) => sum + x, 0) / n;
      const errors = [...frame.errors.values].map((x) => words.decimals(x, 2));
      readouts.show(
        [...errors, ...[0, 1].map((k) => words.decimals(mean(k), 1))].map((value) =>
          words("value", { value }),
        ),
      );
    },
    point([i, c, j], frame, _, theme) {
      at = [i, c, j];
      rows.mark(i);
      const ink = theme.hex("second");
      const cell = j ?? i;
      weights.pick = full.pick = [i, cell];
      templates.pick = [c * band, cell];
      mixtures.pick = [i, c * band];
      for (const one of [weights, full])
        one.mark((pen) => {
          pen.row(i, ink);
          if (j !== null) pen.box(i, j, ink);
        });
      templates.mark((pen) => pen.outline(c * band, 0, band, n, ink, 2));
      mixtures.mark((pen) => {
        pen.row(i, ink);
        pen.outline(i, c * band, 1, band, ink, 2);
      });
      ofTemplate.shade(frame.templates.values, c * n, theme, i, j);
      ofRow.shade(frame.weights.values, i * n, theme, i, j);
      const shown = [words("template_text", { feature: c }), words("row_text", { query: name(i) })];
      [ofTemplate, ofRow].forEach((strip, k) => {
        setText(titles[k], shown[k]);
        strip.el.setAttribute(
          "aria-label",
          words("labelled", { label: shown[k], help: words("help") }),
        );
      });
      const shares = row(frame.mixtures, i);
      const called = (/** @type {number} */ k) =>
        words("feature", { feature: k, tokens: words.list(highest[k]) });
      mixed.show(words("bars", { query: name(i) }), largest(shares, called));
      reads.show(words("here"), largest(row(frame.weights, i), name));
      soft.show(words("there"), largest(row(frame.full, i), name));
      const common = { query: name(i), i, feature: c, share: two(shares[c]) };
      if (j === null) {
        const [here, there] = [0, 1].map((k) => words.decimals(row(frame.spread, k)[i], 1));
        say(words("row", { ...common, tokens: words.list(highest[c]), here, there }));
      } else {
        const given = (/** @type {Coded} */ array, /** @type {number} */ k) =>
          two(row(array, k)[j]);
        const [weight, soft_, template] = [
          given(frame.weights, i),
          given(frame.full, i),
          given(frame.templates, c),
        ];
        say(words("cell", { ...common, key: name(j), j, weight, full: soft_, template }));
      }
    },
  };
};
