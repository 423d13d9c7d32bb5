// Who sees whom in a Longformer, and how far a token sees through several layers.

import { beside, column, isBroad, narrowColumn, side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { LightCone } from "./front/light_cone.mjs";
import { Matrix } from "./front/matrix.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { RowTable } from "./front/row_table.mjs";
import { keysInWords, stretches } from "./front/stretches.mjs";
import { namer, TokenStrip } from "./front/tokens.mjs";

/** @import { Frame, MakeView } from "./front/types.d.ts" */

// How a pair is joined.
const BROAD_CELLS = 336;
const GAP = 24;
const [APART, IN_WINDOW, BY_HUB, REACHED] = [0, 1, 2, 3];

/** For every pair: in how many layers j reaches i, and the global token on the way, or -1.
 * @param {Frame} frame @param {number[]} hubs @param {number} n */
export function arrivals({ steps, as_key, as_query }, hubs, n) {
  const layers = Uint8Array.from(steps.values);
  const through = new Int16Array(n * n).fill(-1);
  if (!hubs.length) return { layers, through };
  const isHub = (/** @type {number} */ k) => hubs.includes(k);
  for (let i = 0, at = 0; i < n; i++)
    for (let j = 0; j < n; j++, at++) {
      const meet = (/** @type {number} */ count, /** @type {number} */ g) => {
        if (count >= layers[at]) return;
        layers[at] = count;
        through[at] = g;
      };
      if (isHub(i) && as_query.values[at]) meet(1, i);
      if (isHub(j) && as_key.values[at]) meet(1, j);
      if (layers[at] > 2)
        for (const g of hubs)
          if (as_key.values[i * n + g] && as_query.values[g * n + j]) meet(2, g);
    }
  return { layers, through };
}

/** @type {MakeView} */
export const view = ({ facts, words, say, choose, put }) => {
  const { tokens } = facts;
  const n = tokens.length;
  const name = namer(tokens);
  /** @type {number[]} */
  let hubs = [];
  let found = { layers: new Uint8Array(n * n), through: new Int16Array(n * n) };
  const cells = new Uint8Array(n * n);
  const strip = new TokenStrip({
    tokens,
    label: words.labelled("text", "text_help"),
    onPick: (i, isFirm) => choose([i, null], isFirm),
    onToggle(k) {
      const others = hubs.filter((g) => g !== k);
      put(
        "global_tokens",
        others.length < hubs.length ? others : [...hubs, k].sort((a, b) => a - b),
      );
    },
  });
  const cone = new LightCone({
    cols: n,
    rowLabel: (layer) => (layer ? words("cone_layer", { layer }) : words("cone_text")),
    rowCount: words.whole,
  });
  const legend = new Legend();
  /** @param {number} i @param {number} layers */
  const within = (i, layers) =>
    [...found.layers.keys()].slice(0, n).filter((k) => found.layers[i * n + k] <= layers);
  const matrix = new Matrix({
    rows: n,
    cols: n,
    width: 448,
    label: words.labelled("matrix", "stride_help"),
    rowLabel: words("query"),
    colLabel: words("key"),
    legend: legend.el,
    onPick: choose,
    stretches: (i) => stretches(within(i, 1)),
  });
  const rows = new RowTable({
    words,
    count: n,
    heads: [words("keys_head"), words("reached_head")],
    onGo: (i) => choose([i, null], true),
    label: (i) => words("row_name", { i, token: name(i) }),
  });
  const readouts = new Readouts([
    words("pairs", { cells: words.whole(n * n) }),
    words("row"),
    words("field"),
    words("gaps"),
  ]);

  /** Which sentence a pair of tokens calls for.
   * @param {number} steps @param {boolean} isByHub @param {number} layers */
  function sentence(steps, isByHub, layers) {
    if (steps === facts.never) return "say_never";
    if (steps > layers) return isByHub ? "say_hub_far" : "say_far";
    if (steps <= 1) return isByHub ? "say_global" : "say_window";
    return isByHub ? "say_hops" : "say_steps";
  }

  return {
    el: stage(
      hint(words("text_help")),
      strip.el,
      column(cone.el, side(readouts.el)),
      narrowColumn(matrix.el),
    ),
    start: [facts.start, null],
    limits: [n, n],
    rows,
    correct(told, frame, { global_tokens, layers }) {
      if (!global_tokens.length) return told;
      const { layers: all } = arrivals(frame, global_tokens, n);
      const within = (/** @type {number} */ most) => all.filter((steps) => steps <= most).length;
      return { ...told, values: { ...told.values, pairs: within(1), joined: within(layers) } };
    },
    layout(width) {
      matrix.layout(isBroad(width) ? BROAD_CELLS : beside(width));
      cone.layout(isBroad(width) ? width - BROAD_CELLS - GAP : width);
    },
    draw(frame, { global_tokens, layers }, theme) {
      hubs = global_tokens;
      found = arrivals(frame, hubs, n);
      for (let at = 0; at < cells.length; at++) {
        const direct = found.through[at] < 0 ? IN_WINDOW : BY_HUB;
        cells[at] = found.layers[at] <= 1 ? direct : found.layers[at] <= layers ? REACHED : APART;
      }
      matrix.paint(cells, theme.table(["future", "merged", "summary", "reached"]));
      rows.show((i) =>
        [1, layers].map((most) => keysInWords(within(i, most), words) || words("none")),
      );
      legend.show([
        ["merged", words("window")],
        ...(hubs.length ? [/** @type {[string, string]} */ (["summary", words("global")])] : []),
        ["reached", words("reached", { layers })],
        ["future", words("unreached")],
      ]);
    },
    point([i, j], _, { layers, causal }, theme) {
      const row = found.layers.subarray(i * n, (i + 1) * n);
      const field = Array.from(row.keys()).filter((k) => row[k] <= layers);
      const read = row.filter((steps) => steps <= 1).length;
      const [first, last] = [field[0], field[field.length - 1]];
      const gaps = last - first + 1 - field.length;
      const shades = row.map((steps) =>
        steps <= layers ? Math.round(230 - (170 * steps) / (layers + 1)) : 0,
      );
      rows.mark(i);
      matrix.pick = [i, j ?? i];
      strip.shade(shades, 0, theme, i, j);
      strip.distinguish(
        (k) => hubs.includes(k),
        (k) => words("hub", { token: name(k) }),
      );
      cone.show({
        title: words("cone", { token: name(i), i }),
        layers,
        reached: (t, k) => row[k] <= t,
        reads: (m, k) => (cells[m * n + k] < REACHED ? cells[m * n + k] : APART),
        colours: ["merged", "summary"],
        theme,
      });
      matrix.mark((pen) => {
        pen.row(i, theme.hex("second"));
        if (j !== null) pen.box(i, j, theme.hex("second"));
      });
      const pairs = cells.filter((kind) => kind === IN_WINDOW || kind === BY_HUB).length;
      readouts.show([
        words("pairs_value", {
          pairs: words.whole(pairs),
          share: words.decimals((100 * pairs) / (n * n), 1),
        }),
        words("row_value", { row: read, n }),
        words("field_value", { field: field.length, n }),
        words("gaps_value", { gaps }),
      ]);
      const query = { token: name(i), i, layers };
      if (j === null) {
        const view = { row: read, field: field.length, first, last, gaps };
        say(words(gaps ? "say_row_gaps" : "say_row", { ...query, ...view }));
        return;
      }
      const [steps, g] = [row[j], found.through[i * n + j]];
      const pair = { ...query, key: name(j), j, steps, hub: g < 0 ? "" : name(g), g };
      const kind = causal && j > i ? "say_future" : sentence(steps, g >= 0, layers);
      say(matrix.led(words(kind, pair), i, j, words));
    },
  };
};
