// Colours as canvases keep them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { between, ink, pack32, rgb, signedTable } from "../../attn_lib/explorers/front/theme.mjs";

/** @import { Theme } from "../../attn_lib/explorers/front/types.d.ts" */

test("a hexadecimal colour is its three bytes", () => {
  assert.deepEqual(rgb(" #0b6e99 "), [11, 110, 153]);
});

test("in memory a colour is red, green, blue, opaque", () => {
  const colours = Uint32Array.of(pack32([1, 2, 3]));
  assert.deepEqual([...new Uint8Array(colours.buffer)], [1, 2, 3, 255]);
});

test("a ramp begins and ends at its stops and passes through those between", () => {
  /** @type {[number, number, number][]} */
  const stops = [
    [0, 0, 0],
    [100, 50, 0],
    [200, 0, 255],
  ];
  assert.deepEqual(between(stops, 0), [0, 0, 0]);
  assert.deepEqual(between(stops, 0.5), [100, 50, 0]);
  assert.deepEqual(between(stops, 0.75), [150, 25, 128]);
  assert.deepEqual(between(stops, 1), [200, 0, 255]);
});

test("words on a colour are dark where it is light", () => {
  assert.equal(ink([255, 255, 255]), "#101418");
  assert.equal(ink([8, 54, 77]), "#ffffff");
});

test("codes of equal distance from zero are equally strong, in two hues", () => {
  const scale = Uint32Array.from({ length: 256 }, (_, code) => code);
  const theme = /** @type {Theme} */ (
    /** @type {unknown} */ ({
      ramp: scale,
      blend: () => scale.map((code) => 1000 + code),
    })
  );
  const table = signedTable(theme, { zero: 128, top: 127 });
  assert.equal(table[128], 0);
  assert.equal(table[255], 255);
  assert.equal(table[1], 1255);
  assert.equal(table[128 + 40], table[128 - 40] - 1000);
});
