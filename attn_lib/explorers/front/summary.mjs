// What the state comes to, in a sentence; and, after a control has moved, what has changed.

import { same } from "./state.mjs";

/** @import { Told, Words } from "./types.d.ts" */

/** What changed between two states: the numbers of both, or the new sentence where they have none in common.
 * @param {Told} before @param {Told} now @param {Words} words */
export function changed(before, now, words) {
  const isSame = before.name === now.name && same(before.values, now.values);
  if (isSame) return words("unchanged");
  const holes = words.holes("change");
  /** @type {Told["values"]} */
  const values = { ...now.values };
  for (const [hole, value] of Object.entries(before.values)) values[`was_${hole}`] = value;
  if (!holes.every((hole) => Object.hasOwn(values, hole))) return words.tell(now.name, now.values);
  // What the sentence speaks of may be what has not changed.
  const isTold = holes.some((hole) => !same(values[hole], before.values[hole] ?? values[hole]));
  return isTold ? words.tell("change", values) : words.tell(now.name, now.values);
}
