// Which points share a bucket: angular hashing on a circle, and of real keys.

import { row } from "./front/arrays.mjs";
import { Disc } from "./front/disc.mjs";
import { node } from "./front/dom.mjs";
import { DottedCurve } from "./front/dotted_curve.mjs";
import { side, stage } from "./front/layout.mjs";
import { Legend } from "./front/legend.mjs";
import { hint, Readouts } from "./front/readouts.mjs";

/** @import { MakeView } from "./front/types.d.ts" */

/** @type {MakeView} */
export const view = ({ facts, words, say, choose }) => {
  const { angles, near, tokens } = facts;
  const disc = new Disc({ label: words.labelled("disc", "help"), onPick: choose });
  const legend = new Legend([
    ["path", words("chosen")],
    ["merged", words("now")],
    ["second", words("before")],
    ["unread", words("apart")],
  ]);
  const readouts = new Readouts([words("near"), words("far"), words("used")]);
  const chart = new DottedCurve({
    title: words("chart"),
    xLabel: words("chart_x"),
    x: angles,
    ticks: [0, 45, 90, 135, 180],
    words,
  });

  return {
    el: stage(
      hint(words("help")),
      node("div", { class: "ax-disc-box" }, disc.el, legend.el),
      side(readouts.el, chart.el),
    ),
    start: [facts.start],
    limits: [facts.most],
    layout() {},
    draw: ({ xy }) => disc.place(xy),
    point([asked], { xy, bucket, ring, degrees, theory, measured }, { points, buckets, rounds }) {
      const [n] = xy.shape;
      const i = asked % n;
      const last = rounds - 1;
      const now = row(bucket, last);
      disc.pick = i;
      disc.border(row(ring, last), now[i]);
      const angle = row(degrees, i);
      const others = Array.from(angle.keys()).filter((k) => k !== i);
      const neighbours = others.sort((a, b) => angle[a] - angle[b] || a - b).slice(0, near);
      const found = Array.from(angle.keys()).map((k) => {
        for (let r = 0; r < rounds; r++) if (row(bucket, r)[k] === row(bucket, r)[i]) return true;
        return false;
      });
      const kind = (/** @type {number} */ k) =>
        now[k] === now[i] ? "ax-now" : found[k] ? "ax-before" : "ax-apart";
      disc.paint(found.map((_, k) => (k === i ? "ax-chosen" : kind(k))));

      const [chance, seen] = [row(theory, last), row(measured, last)];
      const marked = Math.round(angle[neighbours[near - 1]] / (angles[1] - angles[0]));
      const note = { angle: angles[marked], theory: words.decimals(chance[marked], 2) };
      chart.show(
        chance,
        seen,
        marked,
        seen[marked] < 0
          ? words("chart_now", note)
          : words("chart_seen", { ...note, measured: words.decimals(seen[marked], 2) }),
        [words("theory"), words(points === "circle" ? "measured_circle" : "measured_keys")],
      );
      const counts = {
        near: neighbours.filter((k) => found[k]).length,
        near_all: near,
        far: others.filter((k) => found[k] && !neighbours.includes(k)).length,
        far_all: n - 1 - near,
      };
      readouts.show([
        words("of", { found: counts.near, all: counts.near_all }),
        words("of", { found: counts.far, all: counts.far_all }),
        words("used_value", { used: new Set(now).size, buckets }),
      ]);
      if (points === "circle")
        say(words("say_circle", { ...counts, r: rounds, at: (360 / n) * i }));
      else say(words("say_key", { ...counts, r: rounds, token: tokens[i], i }));
    },
  };
};
