// A trained head's attention matrix, and what a rank of r can do in its place.

import { row, unsign } from "./front/arrays.mjs";
import { setText } from "./front/dom.mjs";
import { column, narrowColumn, side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { LineChart } from "./front/line_chart.mjs";
import { hint, Readouts } from "./front/readouts.mjs";
import { signedTable } from "./front/theme.mjs";
import { twins } from "./front/twins.mjs";

/** @import { MakeView, State } from "./front/types.d.ts" */

const COLOURS = ["merged", "second", "lost-edge"];
const SPECTRA = ["merged", "muted"];
const TICKS = [1, 4, 16, 64, 256];

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const n = facts.cells;
  let length = n;
  const pictures = twins({
    n,
    labels: [words.labelled("full", "help"), words.labelled("rebuilt", "help")],
    titles: [words("full"), words("rebuilt")],
    axes: words("axes"),
    onPick: choose,
    words,
    weight: (code) => unsign(code, facts),
    called: (k) => stretch({ length }, k).text,
    label(k) {
      const { places, text } = stretch({ length }, k);
      return words("row_name", { i: places, token: text });
    },
  });
  const advice = hint(words("help"), "");
  const readouts = new Readouts([
    words("share"),
    words("error"),
    words("negative"),
    words("sums"),
    words("mean"),
  ]);
  const spectrum = new LineChart({
    title: words("spectrum"),
    xLabel: words("spectrum_x"),
    ticks: TICKS,
    words,
  });
  const errors = new LineChart({
    title: words("errors"),
    xLabel: words("errors_x"),
    ticks: TICKS,
    logY: facts.errors,
    words,
  });
  const names = [words("svd"), words("random"), words("linformer")];
  const legend = new Legend([
    ...COLOURS.map((colour, k) => /** @type {[string, string]} */ ([colour, names[k]])),
    ["ink", words("mean")],
  ]);
  const spectra = new Legend([
    ["merged", words("full")],
    ["muted", words("control_is")],
  ]);
  const signed = (/** @type {number} */ code) => words.decimals(unsign(code, facts), 2);

  /** The tokens of a cell's side: their places, the first and the last; or the only one.
   * @param {State} state @param {number} k */
  const stretch = ({ length }, k) => {
    const size = length / n;
    const [first, last] = facts.stretches[length][k];
    if (size === 1) return { places: `${k}`, text: first };
    return { places: `${k * size}–${k * size + size - 1}`, text: words("more", { first, last }) };
  };

  return {
    el: stage(
      advice,
      narrowColumn(pictures.els[0], side(spectrum.el, spectra.el)),
      narrowColumn(pictures.els[1], side(errors.el, legend.el)),
      column(side(readouts.el)),
    ),
    start: facts.start,
    limits: [n, n],
    rows: pictures.rows,
    layout: pictures.layout,
    draw(frame, state, theme) {
      length = state.length;
      pictures.rows.size = length / n;
      pictures.paint([frame.full.values, frame.rebuilt.values], signedTable(theme, facts));
      setText(advice.lastChild, words("hint", { size: state.length / n }));
      const [share, error, negative, sums] = frame.facts.values;
      const rank = Math.min(state.rank, state.length);
      const [mean] = frame.mean.values;
      const shown = {
        share: words.decimals(share, 0),
        control: words.decimals(row(frame.spectrum, 1)[rank - 1], 0),
        error: words.decimals(error, 2),
      };
      readouts.show([
        words("share_value", { share: shown.share, control: shown.control }),
        words("error_value", { error: shown.error }),
        words("negative_value", { negative: words.decimals(negative, 0) }),
        words("sums_value", { sums: words.decimals(sums, 2) }),
        words("error_value", { error: words.decimals(mean, 2) }),
      ]);
      spectrum.show(
        frame.spectrum,
        SPECTRA,
        rank,
        words("spectrum_now", { rank, share: shown.share, control: shown.control }),
        { looks: ["plain", "thin"] },
      );
      const method = names[facts.methods.indexOf(state.method)];
      errors.show(
        frame.errors,
        COLOURS,
        rank,
        words("errors_now", { rank, error: shown.error, method }),
        { level: mean },
      );
    },
    point([i, j], frame, state, theme) {
      pictures.mark(i, j, theme);
      const [query, key] = [stretch(state, i), stretch(state, j)];
      const at = i * n + j;
      const [full, rebuilt] = [frame.full, frame.rebuilt].map(({ values }) => signed(values[at]));
      const rank = Math.min(state.rank, state.length);
      say(
        words("cell", {
          i: query.places,
          query: query.text,
          j: key.places,
          key: key.text,
          full,
          rebuilt,
          rank,
        }),
      );
    },
  };
};
