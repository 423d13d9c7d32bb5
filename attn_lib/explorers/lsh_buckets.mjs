// Reformer attention step by step: all pairs, sorted by bucket, cut into chunks, and computed.

import { row, unroot } from "./front/arrays.mjs";
import { node, setText } from "./front/dom.mjs";
import { beside, column, isBroad, narrowColumn, side, stage } from "./front/layout.mjs";
import { Legend, rampLegend } from "./front/legend.mjs";
import { LineChart } from "./front/line_chart.mjs";
import { Matrix } from "./front/matrix.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { largest, RowTable } from "./front/row_table.mjs";
import { keysInWords } from "./front/stretches.mjs";
import { namer, TokenStrip } from "./front/tokens.mjs";

/** @import { Coded, Frame, MakeView, State } from "./front/types.d.ts" */

// A cell's code, plus this where its pair is outside of what the picture computes.
const OUTSIDE = 256;
const BROAD_CELLS = 400;
const KINDS = ["sorted", "chunked", "computed"];

/** Whether round `r` lets i see j: j stands in the chunk of i, or in the one before.
 * @param {Frame} frame @param {number} r @param {number} i @param {number} j */
function sees({ chunk }, r, i, j) {
  const chunks = row(chunk, r);
  const back = chunks[i] - chunks[j];
  return i !== j && (back === 0 || back === 1);
}

/** In how many of the first rounds.
 * @param {Frame} frame @param {number} rounds @param {number} i @param {number} j */
function times(frame, rounds, i, j) {
  let count = 0;
  for (let r = 0; r < rounds; r++) if (sees(frame, r, i, j)) count++;
  return count;
}

/** Whether the picture computes a pair.
 * @param {Frame} frame @param {State} state @param {number} i @param {number} j */
function inside(frame, { picture, rounds }, i, j) {
  if (picture === "full") return true;
  if (picture === "chunked") return sees(frame, rounds - 1, i, j);
  if (picture === "computed") return times(frame, rounds, i, j) > 0;
  const buckets = row(frame.bucket, rounds - 1);
  return buckets[i] === buckets[j];
}

/** Where the sorted tokens of one bucket begin and end.
 * @param {ArrayLike<number>} buckets @param {number[]} order @returns {[number, number][]} */
export function blocks(buckets, order) {
  const starts = order.flatMap((k, a) =>
    a === 0 || buckets[k] !== buckets[order[a - 1]] ? [a] : [],
  );
  return starts.map((start, b) => [start, starts[b + 1] ?? order.length]);
}

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { n, tokens } = facts;
  const name = namer(tokens);
  const order = Array.from({ length: n }, (_, k) => k);
  const cells = new Uint16Array(n * n);
  const strip = new TokenStrip({
    tokens,
    label: words.labelled("text", "text_help"),
    onPick: (i, isFirm) => choose([i, null], isFirm),
  });
  const legend = new Legend();
  const matrix = new Matrix({
    rows: n,
    cols: n,
    width: 448,
    label: words.labelled("matrix", "text_help"),
    rowLabel: words("query"),
    colLabel: words("key"),
    legend: node("div", {}, rampLegend(words), legend.el),
    onPick: ([a, b], isFirm) => choose([order[a], order[b]], isFirm),
  });
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("met_head"), words("weights_head")],
    onGo: (i) => choose([i, null], true),
    label: (i) => words("row_name", { i, token: name(i) }),
  });
  const readouts = new Readouts([
    words("shown"),
    words("caught"),
    words("pairs", { cells: words.whole(facts.cells) }),
    words("error"),
    words("mean"),
  ]);
  const chart = new LineChart({
    title: words("chart"),
    xLabel: words("chart_x"),
    ticks: [1, 2, 4, 8],
    high: 100,
    words,
  });
  const lines = new Legend([
    ["merged", words("curve_weight")],
    ["second", words("curve_pairs")],
  ]);
  const percent = (/** @type {number} */ x) => words.decimals(x, 0);

  /** @param {string} picture @returns {[string, string][]} */
  function colours(picture) {
    if (picture === "full") return [];
    const box =
      picture === "sorted" ? [words("bucket")] : picture === "chunked" ? [words("chunk")] : [];
    return [
      ["lost-edge", words("dropped")],
      ...box.map((text) => /** @type {[string, string]} */ (["path", text])),
    ];
  }

  /** @param {Frame} frame @param {State} state */
  function shown(frame, { picture, rounds }) {
    const used = (/** @type {Coded} */ array) => new Set(row(array, rounds - 1)).size;
    if (picture === "full") return words("shown_full");
    if (picture === "sorted")
      return words("shown_sorted", { r: rounds, count: used(frame.bucket) });
    if (picture === "chunked")
      return words("shown_chunked", { r: rounds, count: used(frame.chunk) });
    return words("shown_computed", { r: rounds });
  }

  return {
    el: stage(
      hint(words("text_help")),
      strip.el,
      narrowColumn(matrix.el),
      column(side(readouts.el, chart.el, lines.el)),
    ),
    start: [facts.start, null],
    limits: [n, n],
    rows,
    layout: (width) => matrix.layout(isBroad(width) ? BROAD_CELLS : beside(width)),
    draw(frame, state, theme) {
      const { picture, rounds: r } = state;
      const isSorted = picture === "sorted" || picture === "chunked";
      const places = row(frame.place, r - 1);
      const place = (/** @type {number} */ k) => (isSorted ? places[k] : k);
      for (let i = 0; i < n; i++) {
        order[place(i)] = i;
        for (let j = 0; j < n; j++)
          cells[place(i) * n + place(j)] =
            frame.weights.values[i * n + j] + (inside(frame, state, i, j) ? 0 : OUTSIDE);
      }
      const table = new Uint32Array(2 * OUTSIDE);
      table.set(theme.ramp);
      table.set(theme.blend(["reached", "lost", "lost-edge"]), OUTSIDE);
      matrix.paint(cells, table);
      setText(matrix.axes[0], words(isSorted ? "query_sorted" : "query"));
      setText(matrix.axes[1], words(isSorted ? "key_sorted" : "key"));
      legend.show(colours(picture));
      rows.show((i) => {
        const met = [...order.keys()].filter((k) => times(frame, r, i, k));
        const given = [...row(frame.weights, i)].map(unroot);
        return [keysInWords(met, words) || words("none"), largest(given, name, words)];
      });

      const kind = KINDS.indexOf(picture);
      const caught = kind < 0 ? 100 : row(frame.caught, kind)[r - 1];
      const pairs = kind < 0 ? facts.cells : row(frame.pairs, kind)[r - 1];
      readouts.show([
        shown(frame, state),
        words("caught_value", { caught: percent(caught) }),
        words("pairs_value", {
          pairs: words.whole(pairs),
          share: percent((100 * pairs) / facts.cells),
        }),
        words.decimals(kind < 0 ? 0 : row(frame.errors, kind)[r - 1], 2),
        words.decimals(frame.mean.values[0], 2),
      ]);
      const [weight, share] = [0, 1].map((k) => percent(row(frame.curves, k)[r - 1]));
      chart.show(
        frame.curves,
        ["merged", "second"],
        r,
        words("chart_now", { r, caught: weight, share }),
      );
    },
    point([i, j], frame, state, theme) {
      const { picture, rounds: r, bucket_size } = state;
      const place = (/** @type {number} */ k) => order.indexOf(k);
      const [bucket, chunk] = [row(frame.bucket, r - 1), row(frame.chunk, r - 1)];
      rows.mark(i);
      matrix.pick = [place(i), place(j ?? i)];
      strip.shade(frame.weights.values, i * n, theme, i, j);
      strip.fade((k) => k !== i && !inside(frame, state, i, k));
      matrix.mark((pen) => {
        if (picture === "sorted")
          for (const [a, b] of blocks(bucket, order))
            pen.outline(a, a, b - a, b - a, theme.hex("path"));
        if (picture === "chunked")
          for (let a = 0; a < n; a += bucket_size) {
            const before = Math.max(0, a - bucket_size);
            const end = Math.min(n, a + bucket_size);
            pen.outline(a, before, end - a, end - before, theme.hex("path"));
          }
        pen.row(place(i), theme.hex("second"));
        if (j !== null) pen.box(place(i), place(j), theme.hex("second"));
      });
      const query = { token: name(i), i, r };
      const weight = (/** @type {number} */ k) => unroot(frame.weights.values[i * n + k]);
      if (j === null) {
        const met = order.filter((k) => times(frame, r, i, k));
        const mass = Math.min(100, 100 * met.reduce((sum, k) => sum + weight(k), 0));
        say(
          words("row", {
            ...query,
            bucket: bucket[i],
            chunk: chunk[i],
            count: met.length,
            mass: percent(mass),
          }),
        );
      } else if (j === i) say(words("itself", query));
      else {
        const met = times(frame, r, i, j);
        const pair = {
          ...query,
          key: name(j),
          j,
          weight: words.decimals(weight(j), 2),
          times: met,
        };
        const homes = { a: bucket[i], b: bucket[j], c: chunk[i], d: chunk[j] };
        say(words(met > 1 ? "pair" : met ? "pair_once" : "pair_never", { ...pair, ...homes }));
      }
    },
  };
};
