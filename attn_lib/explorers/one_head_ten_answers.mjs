// A trained head's weights beside those that a mechanism gives it, and the errors of all ten.

import { unsign } from "./front/arrays.mjs";
import { setText } from "./front/dom.mjs";
import { stage } from "./front/layout.mjs";
import { hint } from "./front/readouts.mjs";
import { Scores } from "./front/scores.mjs";
import { signedTable } from "./front/theme.mjs";
import { twins } from "./front/twins.mjs";

/** @import { MakeView } from "./front/types.d.ts" */

/** @type {MakeView} */
export const view = ({ facts, words, say, choose, put }) => {
  const n = facts.cells;
  // Of a short text a cell is one token by one, of others two by two.
  const size = facts.tokens.length / n;
  const text = (/** @type {number} */ k) => facts.tokens.slice(size * k, size * (k + 1)).join(" ");
  const pictures = twins({
    n,
    width: 260,
    labels: [words.labelled("full", "help"), words.labelled("near", "help")],
    titles: [words("full"), words("near")],
    axes: words("axes"),
    onPick: choose,
    words,
    weight: (code) => unsign(code, facts),
    called: text,
    label: (k) => words("row_name", { i: size * k, token: text(k) }),
    size,
  });
  const scores = new Scores({
    count: facts.answers.length,
    onChoose: (k) => put("mechanism", facts.answers[k]),
  });
  const signed = (/** @type {number} */ code) => words.decimals(unsign(code, facts), 2);
  const length = (/** @type {number} */ error) => Math.min(1, error / facts.highest);

  return {
    el: stage(hint(words("help"), words("hint")), ...pictures.els, scores.el),
    start: facts.start,
    limits: [n, n],
    rows: pictures.rows,
    layout: pictures.layout,
    draw(frame, { mechanism }, theme) {
      pictures.paint([frame.full.values, frame.near.values], signedTable(theme, facts));
      setText(pictures.titles[1], words(mechanism));
      const rows = facts.answers.map((/** @type {string} */ name, /** @type {number} */ k) => {
        const [error, read] = [frame.errors.values[k], frame.read.values[k]];
        const shown = { value: words.decimals(error, 2), note: words.whole(read) };
        const said = words("row", { which: words(name), error: shown.value, read: shown.note });
        return { label: words(name), size: length(error), ...shown, said };
      });
      const [mean] = frame.mean.values;
      const [given, all] = [...frame.sizes.values].map(words.whole);
      scores.show(words("list", { given, all }), rows, facts.answers.indexOf(mechanism), {
        level: length(mean),
        note: words("mean_line", { mean: words.decimals(mean, 2) }),
      });
    },
    point([i, j], frame, { mechanism }, theme) {
      pictures.mark(i, j, theme);
      const [full, near] = [frame.full, frame.near].map(({ values }) => signed(values[i * n + j]));
      const places = { i: size * i, i2: size * i + 1, j: size * j, j2: size * j + 1 };
      const which = words(mechanism);
      say(words("cell", { ...places, query: text(i), key: text(j), which, full, near }));
    },
  };
};
