// What each mechanism was seen to learn, against how many numbers it keeps or a query reads.

import { node } from "./front/dom.mjs";
import { beside, side, stage } from "./front/layout.mjs";
import { hint } from "./front/readouts.mjs";
import { Scatter } from "./front/scatter.mjs";
import { members } from "./front/state.mjs";
import { Switches } from "./front/switches.mjs";

/** @import { Tick } from "./front/chart.mjs" */
/** @import { Look, Shape } from "./front/marks.mjs" */
/** @import { Series } from "./front/scatter.mjs" */
/** @import { Coded, Frame, MakeView } from "./front/types.d.ts" */

/** A colour and a look for each family. @type {[family: string, colour: string, look: Look][]} */
const FAMILIES = [
  ["reference", "ink", "full"],
  ["fewer_pairs", "local", "full"],
  ["mixed_positions", "lost-edge", "bare"],
  ["reordered_product", "second", "open"],
];
/** In the order of the mechanisms: one reference, four that see fewer pairs, two that mix positions,
 * four that reorder the product. @type {Shape[]} */
// biome-ignore format: a line a family
const SHAPES = [
  "disc",
  "square", "diamond", "up", "down",
  "plus", "cross",
  "disc", "square", "diamond", "up",
];
const VALUES = 3;
// What is said of a point: of its right answers, or of its loss.
const [PLAIN, OWN, BAR] = [
  ["point", "loss"],
  ["point_own", "loss_own"],
  ["point_bar", "loss"],
];

/** @type {MakeView} */
export const view = ({ facts, words, say, choose, put }) => {
  const names = facts.mechanisms;
  const labels = words.labels.mechanisms.options ?? [];
  const kinds = SHAPES.map((shape, m) => {
    const [, colour, look] =
      FAMILIES.find(([family]) => family === facts.families[m]) ?? FAMILIES[0];
    return { shape, look, colour };
  });
  const switches = new Switches({
    label: words.labels.mechanisms.label,
    groups: FAMILIES.map(([family]) => ({
      label: words(family),
      switches: names.flatMap((/** @type {string} */ name, /** @type {number} */ m) =>
        facts.families[m] === family ? [{ name, label: labels[m], kind: kinds[m] }] : [],
      ),
    })),
    onChange: (on) => put("mechanisms", members(names, on)),
    onLook: (name) => scatter.stress(name === null ? at[0] : names.indexOf(name)),
  });
  const scatter = new Scatter({
    words,
    onPick: (m, place, isFirm) => choose([m, place], isFirm),
  });
  const notes = hint();
  let at = facts.start;

  /** The numbers of one mechanism and value, as deep as the array goes.
   * @param {Coded} array @param {number} m @param {number} place */
  const of = (array, m, place) => {
    const cells = names.length * VALUES;
    return Array.from(
      { length: array.shape[0] },
      (_, k) => array.values[k * cells + m * VALUES + place],
    );
  };
  /** What each seed reached, in the test or at the end of training.
   * @param {Frame} frame @param {number} phase @param {boolean} isLoss */
  const seeds = ({ seeds: { values } }, phase, isLoss) => {
    const start = ((phase * names.length + at[0]) * VALUES + at[1]) * facts.seeds;
    const found = [...values.subarray(start, start + facts.seeds)].filter((score) => score >= 0);
    return words.list(
      found.map((score) => {
        if (!isLoss) return words.decimals((100 * score) / facts.unit, 1);
        return score === facts.astray ? words("astray") : words.decimals(score / facts.unit, 3);
      }),
    );
  };
  const percent = (/** @type {number} */ share) => words.decimals(100 * share, 1);
  /** The values of a mechanism that are recorded.
   * @param {Frame} frame @param {number} m */
  const recorded = (frame, m) => [0, 1, 2].filter((place) => of(frame.drawn, m, place)[0] >= 0);

  /** What is drawn of the mechanisms that are on.
   * @param {Frame} frame @param {number} axis @param {string[]} on @returns {Series[]} */
  const lines = (frame, axis, on) =>
    kinds.map((kind, m) => ({
      name: labels[m],
      kind,
      points: (on.includes(names[m]) ? recorded(frame, m) : []).map((place) => {
        const [mean, low, high] = of(frame.drawn, m, place);
        const [, ceiling] = of(frame.ceiling, m, place);
        const x = of(frame.numbers, m, place)[axis];
        return { place, x, y: [mean, low, high], ceiling: ceiling ? ceiling * facts.unit : null };
      }),
    }));

  /** @param {boolean} isLoss @returns {Tick[]} */
  const yTicks = (isLoss) => {
    const [low, high] = facts.losses;
    if (isLoss)
      return [low, (low + high) / 2, high].map((loss) => [loss, words.number(loss / facts.unit)]);
    return [0, 0.25, 0.5, 0.75, 1].map((share) => [
      share * facts.unit,
      words("percent", { share: words.whole(100 * share) }),
    ]);
  };

  /** How many values of how many bits are to be given back.
   * @param {number} pairs */
  const bound = (pairs) => {
    const [bits, numbers] = facts.needed[pairs];
    return words("bound", {
      pairs,
      values: words.whole(facts.values),
      bits: words.whole(bits),
      numbers: words.number(numbers),
      width: facts.width,
    });
  };

  return {
    el: stage(hint(words("help")), scatter.el, side(switches.el), notes),
    start: facts.start,
    limits: [names.length, VALUES],
    correct(told, frame, { task, axis, mechanisms }) {
      if (mechanisms.length === names.length || !("count" in told.values)) return told;
      const isLoss = task === facts.by_loss;
      const drawn = lines(frame, axis === "kept" ? 0 : 1, mechanisms);
      const points = drawn.flatMap(({ points: some }, m) =>
        some.map(({ x, y: [mean] }) => ({ m, x, mean })),
      );
      const { task: what, size } = told.values;
      if (!points.length) return { name: "alt_none", values: { task: what, size } };
      const by = points.map(({ mean }) => mean);
      const most = points[by.indexOf(Math.max(...by))];
      const least = points[by.indexOf(Math.min(...by))];
      const [best, worst] = isLoss ? [least, most] : [most, least];
      /** @param {number} mean @returns {[number, number]} */
      const shown = (mean) => {
        const [x, digits] = isLoss ? [mean / facts.unit, 2] : [(100 * mean) / facts.unit, 1];
        return [Number(x.toFixed(digits)), digits];
      };
      const [high, low] = [shown(most.mean), shown(least.mean)];
      const values = {
        ...told.values,
        count: drawn.filter(({ points: some }) => some.length).length,
        best: { option: /** @type {[string, number]} */ (["mechanisms", best.m]) },
        worst: { option: /** @type {[string, number]} */ (["mechanisms", worst.m]) },
        high,
        low,
        most: most.x,
        least: least.x,
      };
      const name = isLoss ? "alt_loss" : high[0] === low[0] ? "alt_even" : "alt";
      return { name, values };
    },
    layout: (width) => scatter.layout(beside(width)),
    draw(frame, { task, pairs, axis, mechanisms }) {
      const isLoss = task === facts.by_loss;
      const isRecall = frame.bound.values.length > 0;
      const isBound = axis === "kept" && isRecall;
      const [first, last] = facts.axis;
      const guess = facts.guess[task] ?? null;
      const series = lines(frame, axis === "kept" ? 0 : 1, mechanisms);
      scatter.show({
        title: words(isLoss ? "chart_loss" : "chart"),
        label: words.labelled(isLoss ? "chart_loss" : "chart", "help"),
        xLabel: words(axis === "kept" ? "kept_x" : "read_x"),
        xEnds: [isBound ? first : facts.near, last],
        yEnds: isLoss ? facts.losses : [0, facts.unit],
        yTicks: yTicks(isLoss),
        series,
        isPiled: !isLoss,
        level: guess === null ? null : guess * facts.unit,
        bound: isBound
          ? {
              ends: facts.axis,
              heights: frame.bound.values.map((share) => share * facts.unit),
              label: words("beyond"),
            }
          : null,
      });
      const hasSome = (/** @type {string} */ name) =>
        recorded(frame, names.indexOf(name)).length > 0;
      switches.show(mechanisms, hasSome);
      const hasBars = series.some(({ points }) => points.some(({ ceiling }) => ceiling !== null));
      const texts = [
        names.some(hasSome) ? words("marks", { seeds: facts.seeds }) : words("empty"),
        !isLoss && words("piled"),
        isRecall && pairs === facts.largest && words("best"),
        guess !== null && words("guess"),
        hasBars && words("bars"),
        isBound && bound(pairs),
      ];
      notes.replaceChildren(...texts.filter(Boolean).map((text) => node("span", {}, text || "")));
    },
    point([m, place], frame, { task, mechanisms }) {
      const found = scatter.mark(m, place);
      at = [m, found ?? place];
      const name = labels[m];
      if (found === null) {
        const isCauseless = !facts.both_ways.includes(task) && !facts.causal[m];
        if (!mechanisms.includes(names[m])) say(words("off", { name }));
        else say(words(isCauseless ? "causeless" : "untried", { name }));
        return;
      }
      const isLoss = task === facts.by_loss;
      const [kept, read] = of(frame.numbers, m, found);
      const [heads, value] = of(frame.knobs, m, found);
      const [parameters, own] = of(frame.learned, m, found);
      const [share, ceiling] = of(frame.ceiling, m, found);
      const sentence = own ? OWN : ceiling ? BAR : PLAIN;
      say(
        words(sentence[isLoss ? 1 : 0], {
          name,
          knob: words(names[m], { heads, value }),
          kept: words.whole(kept),
          read: words.whole(read),
          test: seeds(frame, 0, isLoss),
          train: seeds(frame, 1, isLoss),
          share: percent(share),
          ceiling: percent(ceiling),
          rate: frame.rate.values[m],
          parameters: words.whole(parameters),
          own: words.whole(own),
        }),
      );
    },
  };
};
