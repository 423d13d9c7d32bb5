// The keys that a row sees, as stretches: neighbours, or keys at even steps.

/** @import { Words } from "./types.d.ts" */

/** `from` to `to` in steps of `step`; with `length` above 1, that many keys from each step on.
 * @typedef {{ from: number, to: number, step: number, length: number }} Stretch */

/** Rising places, as stretches.
 * @param {number[]} places @returns {Stretch[]} */
export function stretches(places) {
  /** @type {[from: number, to: number][]} */
  const blocks = [];
  for (const k of places) {
    const last = blocks[blocks.length - 1];
    if (last && k === last[1] + 1) last[1] = k;
    else blocks.push([k, k]);
  }
  const long = (/** @type {number} */ b) => blocks[b][1] - blocks[b][0] + 1;
  const apart = (/** @type {number} */ b) => blocks[b + 1][0] - blocks[b][0];
  /** @type {Stretch[]} */
  const found = [];
  for (let b = 0; b < blocks.length; ) {
    let end = b;
    while (end + 1 < blocks.length && long(end + 1) === long(b) && apart(end) === apart(b)) end++;
    // Two of a kind are no pattern yet.
    if (end - b < 2) end = b;
    const step = end > b ? apart(b) : 1;
    found.push({ from: blocks[b][0], to: blocks[end][1], step, length: long(b) });
    b = end + 1;
  }
  return found;
}

/** Where the stretches of a row begin, those with steps at each of them.
 * @param {Stretch[]} row */
export const beginnings = (row) =>
  row.flatMap(({ from, to, step, length }) => {
    if (step === 1) return [from];
    return Array.from({ length: (to - length + 1 - from) / step + 1 }, (_, k) => from + k * step);
  });

/** @param {Stretch} stretch @param {Words} words */
export function inWords({ from, to, step, length }, words) {
  if (from === to) return words.number(from);
  if (step === 1) return words("stretch", { from, to });
  if (length === 1) return words("stretch_steps", { from, to, step });
  return words("stretch_again", { from, until: from + length - 1, to, step });
}

/** All stretches of a row.
 * @param {number[]} places @param {Words} words */
export const keysInWords = (places, words) =>
  words.list(stretches(places).map((stretch) => inWords(stretch, words)));
