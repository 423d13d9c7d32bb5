// Who sees whom in a Sparse Transformer, what it costs, and what two layers can carry.

import { beside, side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { LineChart } from "./front/line_chart.mjs";
import { Matrix } from "./front/matrix.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { RowTable } from "./front/row_table.mjs";
import { keysInWords, stretches } from "./front/stretches.mjs";

/** @import { Frame, MakeView } from "./front/types.d.ts" */

// A cell's class is its set (1 local, 2 summary, 3 both), plus one of these: whether two steps reach it.
const [REACHED, LOST] = [4, 8];

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { n, cells: all, pairs } = facts;
  const legend = new Legend();
  /** The keys that a row sees, by the present frame. @type {(i: number) => number[]} */
  let keys = () => [];
  const matrix = new Matrix({
    rows: n,
    cols: n,
    width: 512,
    label: words.labelled("matrix", "stride_help"),
    rowLabel: words("query"),
    colLabel: words("key"),
    legend: legend.el,
    onPick: choose,
    stretches: (i) => stretches(keys(i)),
  });
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("count_head"), words("keys_head")],
    onGo: (i) => choose([i, null], true),
  });
  const readouts = new Readouts([
    words("edges", { cells: words.whole(all) }),
    words("share"),
    words("row"),
    words("missed"),
  ]);
  const chart = new LineChart({
    title: words("chart"),
    xLabel: words("chart_x"),
    ticks: [1, 2, 4, 8, 16, 32, 64, 128],
    words,
  });
  const cells = new Uint8Array(n * n);
  const isApart = (/** @type {Frame} */ { edges }) => edges.values.length > 1;
  const share = (/** @type {number} */ edges) => words.decimals((100 * edges) / pairs, 1);
  const setNames = [words("set_stay"), words("set_local"), words("set_summary"), words("set_both")];
  /** @param {Frame} frame @param {number} i @param {number} j */
  const setAt = ({ local, summary }, i, j) =>
    local.values[i * n + j] + 2 * summary.values[i * n + j];

  /** What is counted, of the merged head or of the two sets apart.
   * @param {Frame} frame */
  function counts({ edges: { values: edges }, largest_row: { values: rows } }) {
    if (edges.length === 1)
      return [
        words("edges_value", { edges: words.whole(edges[0]) }),
        words("share_value", { share: share(edges[0]) }),
        words("row_value", { row: rows[0], n }),
      ];
    return [
      words("edges_apart", { local: words.whole(edges[0]), summary: words.whole(edges[1]) }),
      words("share_apart", { local: share(edges[0]), summary: share(edges[1]) }),
      words("row_apart", { local: rows[0], summary: rows[1], n }),
    ];
  }

  return {
    el: stage(hint(words("matrix_help")), matrix.el, side(readouts.el, chart.el)),
    start: facts.start,
    limits: [n, n],
    least: 1,
    rows,
    layout: (width) => matrix.layout(beside(width)),
    draw(frame, { stride }, theme) {
      for (let i = 0, k = 0; i < n; i++)
        for (let j = 0; j < n; j++, k++)
          cells[k] =
            j > i ? 0 : setAt(frame, i, j) + (frame.via.values[k] === facts.lost ? LOST : REACHED);
      keys = (i) => [...cells.keys()].slice(0, n).filter((j) => setAt(frame, i, j));
      rows.show((i) => {
        const seen = keys(i);
        return [words.whole(seen.length), keysInWords(seen, words) || words("none")];
      });
      const apart = isApart(frame);
      const sets = apart ? ["local", "summary", "both"] : ["merged", "merged", "merged"];
      const future = ["future", "future", "future", "future"];
      matrix.paint(
        cells,
        theme.table([...future, "reached", ...sets, "lost", "lost-edge", "lost-edge", "lost-edge"]),
      );
      /** @type {[string, string][]} */
      const merged = [["merged", words("merged")]];
      /** @type {[string, string][]} */
      const shades = [
        ["local", words("local")],
        ["summary", words("summary")],
        ["both", words("both")],
      ];
      /** @type {[string, string][]} */
      const losses = [
        ["reached", words("reached")],
        ["lost", words("lost")],
        ["lost-edge", words("lost_edge")],
      ];
      const hasLostEdges = cells.some((kind) => kind > LOST);
      legend.show([...(apart ? shades : merged), ...losses.slice(0, hasLostEdges ? 3 : 2)]);

      const { values: edges } = frame.edges;
      const missed = words("missed_value", {
        missed: words.whole(frame.unreachable.values[0]),
        pairs: words.whole(pairs),
      });
      readouts.show([...counts(frame), missed]);
      chart.show(
        frame.edges_by_stride,
        apart ? ["local", "summary"] : ["merged"],
        stride,
        apart
          ? words("chart_apart", {
              stride,
              local: words.whole(edges[0]),
              summary: words.whole(edges[1]),
            })
          : words("chart_now", { stride, edges: words.whole(edges[0]) }),
      );
    },
    point([i, j], frame, _, theme) {
      rows.mark(i);
      matrix.pick = [i, j ?? i];
      if (j === null) {
        matrix.mark((pen) => pen.row(i, theme.hex("path")));
        const seen = keys(i);
        const row = { i, count: seen.length, keys: keysInWords(seen, words) };
        say(words(seen.length ? "row_sees" : "row_blind", row));
        return;
      }
      const m = frame.via.values[i * n + j];
      const ink = theme.hex("path");
      const isDirect = m === facts.direct;
      matrix.mark((pen) => {
        pen.shade(i, 0, 1, n, theme.hex("beam"));
        pen.shade(0, j, n, 1, theme.hex("beam"));
        if (m < facts.direct) {
          pen.path(
            [
              [j, j],
              [m, j],
              [m, m],
              [i, m],
              [i, i],
            ],
            ink,
          );
          for (const k of [j, m, i]) pen.dot(k, k, ink);
          pen.box(m, j, ink);
          pen.box(i, m, ink);
        } else if (isDirect && i !== j) {
          pen.path(
            [
              [j, j],
              [i, j],
              [i, i],
            ],
            ink,
          );
          for (const k of [j, i]) pen.dot(k, k, ink);
        }
        pen.box(i, j, ink);
      });
      const named = (/** @type {number} */ to, /** @type {number} */ from) =>
        setNames[setAt(frame, to, from)];
      const isEdge = setAt(frame, i, j) > 0;
      const pair = { i, j, set: named(i, j) };
      const sentence = () => {
        if (j > i) return words("future", pair);
        if (m === facts.lost) return words(isEdge ? "unreached_edge" : "unreached", pair);
        if (isDirect && i === j) return words(isEdge ? "own" : "kept", pair);
        if (isDirect) return words("direct", pair);
        return words("hops", { i, m, j, first: named(m, j), second: named(i, m) });
      };
      say(matrix.led(sentence(), i, j, words));
    },
  };
};
