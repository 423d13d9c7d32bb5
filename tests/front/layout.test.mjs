// Where things stand: ticks, lines, widths, and the geometry that single explorers bring.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decadeTicks, stepTicks, through } from "../../attn_lib/explorers/front/chart.mjs";
import { runs } from "../../attn_lib/explorers/front/disc.mjs";
import { beside, shared } from "../../attn_lib/explorers/front/layout.mjs";
import { along, logTicks } from "../../attn_lib/explorers/front/measured_lines.mjs";
import { clamp, nearest } from "../../attn_lib/explorers/front/numbers.mjs";
import { powerOfTen } from "../../attn_lib/explorers/kernel_features.mjs";
import { arrivals } from "../../attn_lib/explorers/longformer_window.mjs";
import { blocks } from "../../attn_lib/explorers/lsh_buckets.mjs";

/** @import { Coded } from "../../attn_lib/explorers/front/types.d.ts" */

const span = (/** @type {number} */ first, /** @type {number} */ last) =>
  Array.from({ length: last - first + 1 }, (_, k) => first + k);

test("an axis in logarithms is labelled at the powers of ten within it", () => {
  assert.deepEqual(decadeTicks([-1.6, 1.7], String), [
    [-1, "0.1"],
    [0, "1"],
    [1, "10"],
  ]);
});

test("a short axis in logarithms is labelled between the powers of ten, too", () => {
  const texts = (/** @type {[number, number]} */ ends) => logTicks(ends, String).map(([, x]) => x);
  assert.deepEqual(texts([0.4, 1.8]), ["5", "10", "20", "50"]);
  assert.deepEqual(texts([-1.6, 1.7]), ["0.1", "1", "10"]);
});

test("a line has heights between its points, and none beyond", () => {
  const heights = [0, 1, 2, 3, 7, 8].map((x) => along([1, 3, 7], [10, 20, 0], x));
  assert.deepEqual(heights, [null, 10, 15, 20, 0, null]);
  assert.equal(along([], [], 1), null);
});

test("an axis that counts has its ends and few labels between", () => {
  assert.deepEqual(stepTicks(span(1, 4)), [1, 2, 3, 4]);
  assert.deepEqual(stepTicks(span(1, 16)), [1, 4, 8, 12, 16]);
  assert.deepEqual(stepTicks(span(0, 48)), [0, 16, 32, 48]);
  for (let last = 2; last <= 48; last++) assert.ok(stepTicks(span(1, last)).length <= 7);
});

test("a line goes through its points", () => {
  assert.equal(through([0, 1.26], [2, 3]), "M0.0,2.0L1.3,3.0");
});

test("pictures in a row fit the row, with the gaps between them", () => {
  for (const width of [280, 358, 535]) assert.equal(2 * shared(width, 3, 2) + 16, width);
  for (const width of [536, 700, 1000]) assert.equal(3 * shared(width, 3, 2) + 48, width);
  assert.equal(shared(300, 2, 1), 300);
  for (const width of [280, 536, 700, 1000]) assert.ok(beside(width) <= width);
  assert.ok(beside(700) <= 700 - 264);
});

test("numbers are kept in range, and the nearest is the first of the least", () => {
  assert.deepEqual(
    [-1, 5, 99].map((x) => clamp(x, 0, 9)),
    [0, 5, 9],
  );
  assert.equal(nearest([3, 1, 1]), 1);
});

test("equal neighbours on a ring are one arc", () => {
  assert.deepEqual(runs([4, 4, 2, 2, 2, 4]), [
    [0, 2, 4],
    [2, 5, 2],
    [5, 6, 4],
  ]);
  assert.deepEqual(runs([]), []);
});

test("powers of ten are written small and high", () => {
  assert.deepEqual([-4, 0, 6, 10].map(powerOfTen), ["10⁻⁴", "1", "10⁶", "10¹⁰"]);
});

test("sorted tokens of one bucket are one block", () => {
  assert.deepEqual(blocks([1, 0, 1, 0], [1, 3, 0, 2]), [
    [0, 2],
    [2, 4],
  ]);
});

test("a global token joins in one layer what it sees, and in two what it does not", () => {
  const n = 3;
  const coded = (/** @type {number[]} */ values) =>
    /** @type {Coded} */ ({
      coding: "uint8",
      shape: [n, n],
      bytes: new Uint8Array(),
      values: Uint8Array.from(values),
    });
  const never = 255;
  const steps = coded([0, never, never, never, 0, never, never, never, 0]);
  const everybody = coded(Array(n * n).fill(1));
  const frame = { steps, as_key: everybody, as_query: everybody };
  const none = arrivals(frame, [], n);
  assert.deepEqual([...none.layers], [...steps.values]);
  assert.ok(none.through.every((g) => g === -1));
  const { layers, through } = arrivals(frame, [1], n);
  assert.deepEqual([...layers], [0, 1, 2, 1, 0, 1, 2, 1, 0]);
  assert.deepEqual([...through], [-1, 1, 1, 1, -1, 1, 1, 1, -1]);
});
