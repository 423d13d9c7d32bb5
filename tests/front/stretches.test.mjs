// The keys of a row as stretches, and the keys of a keyboard that lead through them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { strode } from "../../attn_lib/explorers/front/matrix.mjs";
import { beginnings, keysInWords, stretches } from "../../attn_lib/explorers/front/stretches.mjs";
import { speaker } from "../../attn_lib/explorers/front/words.mjs";

const words = speaker({
  language: "en",
  words: {
    comma: ", ",
    stretch: "{from} to {to}",
    stretch_steps: "{from} to {to} in steps of {step}",
    stretch_again: "{from} to {until}, again every {step} up to {to}",
  },
  labels: {},
});

/** @param {number} from @param {number} to */
const span = (from, to) => Array.from({ length: to - from + 1 }, (_, k) => from + k);

/** The places that stretches stand for.
 * @param {import("../../attn_lib/explorers/front/stretches.mjs").Stretch[]} found */
const places = (found) =>
  found.flatMap((one) =>
    beginnings([one]).flatMap((start) =>
      span(start, one.step === 1 ? one.to : start + one.length - 1),
    ),
  );

test("neighbours, even steps and blocks that come again are one stretch each", () => {
  /** @type {[number[], string][]} */
  const cases = [
    [[], ""],
    [[7], "7"],
    [[3, 4], "3 to 4"],
    [[0, 16], "0, 16"],
    [[0, 16, 32], "0 to 32 in steps of 16"],
    [[4, 20, 36, 52, 68, ...span(84, 100)], "4 to 68 in steps of 16, 84 to 100"],
    [[12, 13, 28, 29, 44, 45, 60], "12 to 13, again every 16 up to 45, 60"],
    [[1, 3, 4, 6], "1, 3 to 4, 6"],
  ];
  for (const [row, text] of cases) assert.equal(keysInWords(row, words), text);
});

test("stretches stand for the places that they were made from", () => {
  let seed = 5;
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed / 2 ** 31;
  };
  for (let trial = 0; trial < 300; trial++) {
    const share = random();
    const row = span(0, 40).filter(() => random() < share);
    assert.deepEqual(places(stretches(row)), row);
  }
});

/** @param {string} key @param {object} [more] @returns {any} */
const press = (key, more = {}) => ({
  key,
  altKey: false,
  ctrlKey: false,
  metaKey: false,
  shiftKey: false,
  ...more,
});

test("arrows lead from row to row, and from stretch to stretch", () => {
  const row = () => stretches([4, 20, 36, ...span(50, 60), 70]);
  /** @type {[string, [number, number], [number, number | null]][]} */
  const cases = [
    ["ArrowDown", [10, 20], [11, null]],
    ["ArrowUp", [0, 20], [0, null]],
    ["PageDown", [10, 20], [18, null]],
    ["ArrowRight", [10, 0], [10, 4]],
    ["ArrowRight", [10, 4], [10, 20]],
    ["ArrowRight", [10, 55], [10, 70]],
    ["ArrowRight", [10, 70], [10, 70]],
    ["ArrowLeft", [10, 70], [10, 50]],
    ["ArrowLeft", [10, 55], [10, 50]],
    ["ArrowLeft", [10, 2], [10, 4]],
  ];
  for (const [key, from, to] of cases)
    assert.deepEqual(strode(press(key), from, 128, row), to, `${key} ${from}`);
  assert.deepEqual(
    strode(press("ArrowLeft"), [3, 9], 128, () => []),
    [3, null],
  );
  assert.equal(strode(press("ArrowLeft", { shiftKey: true }), [3, 9], 128, row), null);
  assert.equal(strode(press("Home"), [3, 9], 128, row), null);
});
