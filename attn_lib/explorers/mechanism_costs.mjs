// What each mechanism takes beside full attention: a line each, and a list at one length.

import { row } from "./front/arrays.mjs";
import { node, setText } from "./front/dom.mjs";
import { stage } from "./front/layout.mjs";
import { MeasuredLines, sample } from "./front/measured_lines.mjs";
import { Ranking } from "./front/ranking.mjs";
import { hint } from "./front/readouts.mjs";

/** @import { Coded, Frame, MakeView, State } from "./front/types.d.ts" */

/** The names of words: title, sentence, note, unit. @typedef {[string, string, string, string]} Kind */

const NAMES = [
  "full",
  "strided",
  "fixed",
  "explicit_sparse",
  "longformer",
  "reformer",
  "linformer",
  "performer",
  "luna",
  "efficient",
  "linear_transformer",
  "cosformer",
];
const REASONS = [
  "",
  "no_form",
  "only_causal",
  "not_measured",
  "too_slow",
  "outside",
  "no_step",
  "no_count",
];
const VERDICTS = ["", "everywhere", "nowhere", "from", "up_to", "often"];
const SAID = ["is_full", "is_everywhere", "is_nowhere", "is_from", "is_up_to", "is_often"];
/** @type {Record<string, Record<string, Kind>>} */
const KINDS = {
  reading: {
    time: ["read_time", "said_read_time", "note_time", "ms"],
    memory: ["read_memory", "said_read_memory", "note_memory", "mb"],
    operations: ["read_count", "said_read_count", "note_count", "billions"],
  },
  training: {
    time: ["train_time", "said_train_time", "note_time", "ms"],
    memory: ["train_memory", "said_train_memory", "note_memory", "mb"],
    operations: ["train_count", "said_train_count", "note_forward", "billions"],
  },
  writing: {
    time: ["write_time", "said_write_time", "note_step", "ms"],
    memory: ["write_memory", "said_write_memory", "note_kept", "mb"],
    operations: ["write_count", "said_write_count", "note_sums", "millions"],
  },
};

/** @param {State} state */
const isCausal = ({ doing, causal }) => doing === "writing" || causal;

/** @param {Frame} frame @param {number} r */
const crossingsOf = (frame, r) => [...row(frame.marks, r)].filter((length) => length >= 0);

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const names = NAMES.map((name) => words(name));
  const pick = (/** @type {number} */ r, /** @type {boolean} */ isFirm) => choose([r], isFirm);
  const lines = new MeasuredLines({ onPick: pick, words });
  const heads = [words("mechanism"), "", words("ratio"), words("less")];
  const ranking = new Ranking({ heads, count: NAMES.length, onPick: pick });
  const advice = hint(words("help"), words("marks"), "");
  const note = node("div", { class: "ax-legend" });
  const legend = node("div", { class: "ax-legend" });

  /** A number as so many figures and their power of ten.
   * @param {Coded} array @param {number} r */
  const number = (array, r) => {
    const [figures, power] = row(array, r);
    const x = figures * 10 ** power;
    return power < 0 ? words.decimals(x, -power) : words.whole(x);
  };
  /** @param {Frame} frame @param {number} r */
  const verdict = (frame, r) => ({
    n: words.whole(frame.said.values[r]),
    count: crossingsOf(frame, r).length,
  });
  /** @param {Frame} frame @param {number} r */
  const cells = (frame, r) => {
    if (!frame.present.values[r]) return [words(REASONS[frame.reasons.values[r]])];
    const kind = VERDICTS[frame.verdicts.values[r]];
    const where = kind ? words(kind, verdict(frame, r)) : "";
    const ratio = frame.present.values[0] ? number(frame.ratios, r) : "";
    return [number(frame.values, r), ratio, where];
  };

  return {
    el: stage(
      advice,
      node("div", { class: "ax-side" }, lines.el, legend, note),
      node("div", { class: "ax-ranking-box" }, ranking.el),
    ),
    start: facts.start,
    limits: [NAMES.length],
    layout() {},
    draw(frame, state) {
      const { doing, quantity, length } = state;
      const [title, , remark, unit] = KINDS[doing][quantity];
      const xs = /** @type {number[]} */ (facts.lengths[doing][quantity]);
      setText(advice.lastChild, words(isCausal(state) ? "all_causal" : "both_ways"));
      lines.show({
        title: words(title),
        xLabel: words("chart_x"),
        xs,
        axis: facts.axes[doing][quantity],
        isDotted: quantity !== "operations",
        marks: NAMES.map((_, r) => crossingsOf(frame, r)),
        labels: NAMES.map((_, r) => words("near", verdict(frame, r))),
        lines: NAMES.map((_, r) => {
          const known = xs.map((_, k) => k).filter((k) => row(frame.there, r)[k]);
          const heights = row(frame.curves, r);
          return { xs: known.map((k) => xs[k]), heights: known.map((k) => heights[k]) };
        }),
      });
      ranking.show(
        words("at", { n: words.whole(length) }),
        [heads[0], words(unit), heads[2], heads[3]],
        [...frame.order.values].map((r) => ({ id: r, name: names[r], cells: cells(frame, r) })),
      );
      const isSummed = quantity === "operations" && doing === "reading" && isCausal(state);
      const threads = facts.threads[doing === "writing" ? 1 : 0];
      setText(note, words(isSummed ? "note_sums" : remark, { threads }));
    },
    point([r], frame, { doing, quantity, length, head_dim: width }) {
      lines.mark(r, length);
      ranking.mark(r);
      legend.replaceChildren(
        sample("ax-first", names[0]),
        ...(r ? [sample("ax-lead", names[r])] : []),
        sample("ax-other", words("others")),
      );
      const n = words.whole(length);
      const [, sentence] = KINDS[doing][quantity];
      const name = names[r];
      if (!frame.present.values[r]) {
        const second = words(REASONS[frame.reasons.values[r]]);
        say(words("both", { first: words("absent", { name, n }), second }));
        return;
      }
      const ratio = number(frame.ratios, r);
      const second = frame.present.values[0]
        ? words(SAID[frame.verdicts.values[r]], { ratio, ...verdict(frame, r) })
        : words("alone");
      const first = words(sentence, { name, n, value: number(frame.values, r), width });
      say(words("both", { first, second }));
    },
  };
};
