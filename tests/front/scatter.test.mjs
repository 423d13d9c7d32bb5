// Marks that would cover each other: piled up at the top, side by side elsewhere.

import assert from "node:assert/strict";
import { test } from "node:test";
import { besideEachOther } from "../../attn_lib/explorers/front/apart.mjs";
import { outline } from "../../attn_lib/explorers/front/marks.mjs";

const TOP = 100;
const SHELF = 81;

/** @param {[x: number, y: number][]} places @param {number} a @param {number} b */
const apart = (places, a, b) =>
  Math.abs(places[a][0] - places[b][0]) >= 8 || Math.abs(places[a][1] - places[b][1]) >= 9;

test("marks apart from each other stay where they are", () => {
  const marks = [
    { s: 0, x: 10, y: 200 },
    { s: 1, x: 30, y: 200 },
    { s: 2, x: 10, y: 230 },
    { s: 3, x: 50, y: TOP },
  ];
  assert.deepEqual(
    besideEachOther(marks, TOP, SHELF),
    marks.map(({ x, y }) => [x, y]),
  );
});

test("at the top they are piled up in their order, with the same x", () => {
  const marks = [2, 0, 3, 1].map((s) => ({ s, x: 60 + s, y: TOP + 0.3 * s }));
  const places = besideEachOther(marks, TOP, SHELF);
  for (const [k, { s, x, y }] of marks.entries()) {
    assert.deepEqual(places[k], [x, s ? TOP - 9 * s : y]);
  }
});

test("elsewhere they move aside by little, and keep their heights", () => {
  const marks = [0, 1, 2].map((s) => ({ s, x: 60, y: 200 + s }));
  const places = besideEachOther(marks, TOP, SHELF);
  assert.deepEqual(places, [
    [60, 200],
    [68, 201],
    [52, 202],
  ]);
});

test("equal marks of one series stay together", () => {
  const marks = [
    { s: 0, x: 60, y: TOP },
    { s: 1, x: 60, y: TOP },
    { s: 1, x: 61, y: TOP + 1 },
    { s: 0, x: 60, y: TOP + 1 },
  ];
  const places = besideEachOther(marks, TOP, SHELF);
  assert.ok(apart(places, 0, 1));
  assert.deepEqual(places[2], [61, TOP + 1 - 9]);
  assert.deepEqual(places[3], [60, TOP + 1]);
});

test("a pile of eleven leaves no mark out", () => {
  const marks = Array.from({ length: 11 }, (_, s) => ({ s, x: 60, y: TOP }));
  const places = besideEachOther(marks, TOP, SHELF);
  const heights = places.map(([, y]) => y);
  assert.equal(new Set(heights).size, 10);
  assert.ok(Math.min(...heights) >= TOP - SHELF);
});

test("every shape is another one, and grows", () => {
  const shapes = /** @type {const} */ ([
    "disc",
    "square",
    "diamond",
    "up",
    "down",
    "plus",
    "cross",
  ]);
  assert.equal(new Set(shapes.map((shape) => outline(shape, 5))).size, shapes.length);
  for (const shape of shapes) assert.notEqual(outline(shape, 5), outline(shape, 6));
});
