// Bytes to numbers: each coding of `_pack.py`, read back.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decode,
  digest,
  halfToNumber,
  ranked,
  row,
  unroot,
  unsign,
} from "../../attn_lib/explorers/front/arrays.mjs";

/** @param {number[]} bytes */
const bytes = (...bytes) => Uint8Array.from(bytes);

test("bits come lowest first, and the last byte may hold fewer", () => {
  const { values, shape } = decode("bits", [2, 5], bytes(0b10001101, 0b11111110));
  assert.deepEqual([...values], [1, 0, 1, 1, 0, 0, 0, 1, 0, 1]);
  assert.deepEqual(shape, [2, 5]);
});

test("whole numbers keep their sign and their order of bytes", () => {
  const data = bytes(1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 128);
  assert.deepEqual([...decode("int32", [3], data).values], [1, -1, -(2 ** 31)]);
});

test("a stretch in the middle of a buffer is read from its own start", () => {
  const all = bytes(9, 9, 9, 9, 2, 0, 0, 0);
  assert.deepEqual([...decode("int32", [1], all.subarray(4)).values], [2]);
});

test("half numbers are those of IEEE 754", () => {
  const cases = /** @type {const} */ ([
    [0x0000, 0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
  ]);
  for (const [code, value] of cases) assert.equal(halfToNumber(code), value);
  assert.ok(Object.is(halfToNumber(0x8000), -0));
  const halves = decode("float16", [2], bytes(0x00, 0x3c, 0x00, 0xc0));
  assert.deepEqual([...halves.values], [1, -2]);
});

test("roots and signed codes are undone", () => {
  assert.equal(unroot(255), 1);
  assert.equal(unroot(0), 0);
  assert.ok(Math.abs(unroot(51) - 0.04) < 1e-12);
  const scale = { zero: 128, top: 127 };
  assert.equal(unsign(255, scale), 1);
  assert.equal(unsign(128, scale), 0);
  assert.equal(unsign(1, scale), -1);
  assert.ok(unsign(127, scale) < 0);
});

test("the digest is FNV-1a, and is computed once", () => {
  const of = (/** @type {string} */ text) =>
    decode("uint8", [text.length], new TextEncoder().encode(text));
  assert.equal(digest(of("")), "811c9dc5");
  assert.equal(digest(of("a")), "e40c292c");
  const array = of("foobar");
  assert.equal(digest(array), "bf9cf968");
  array.bytes[0] = 0;
  assert.equal(digest(array), "bf9cf968");
});

test("a row is the last axis, whatever the shape", () => {
  const array = decode("uint8", [2, 3], bytes(1, 2, 3, 4, 5, 6));
  assert.deepEqual([...row(array, 1)], [4, 5, 6]);
});

test("equal values rank by their place", () => {
  assert.deepEqual(ranked([2, 7, 7, 1, 9]), [4, 1, 2, 0, 3]);
  assert.deepEqual(ranked([2, 7, 7, 1, 9], 3), [4, 1, 2]);
  assert.deepEqual(ranked([7, 7, 7, 7], 2), [0, 1]);
  assert.deepEqual(ranked(new Uint8Array()), []);
});
