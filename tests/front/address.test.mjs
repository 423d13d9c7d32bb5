// The state in the address: read back as it was written, whatever else stands there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readHash, writeHash } from "../../attn_lib/explorers/front/address.mjs";

test("what is written is read", () => {
  const values = { stride: 16, pattern: "fixed", at: "50,9", odd: "a&b=c #%é" };
  const hash = writeHash("", "sparse-patterns", values);
  const found = readHash(hash, "sparse-patterns");
  assert.deepEqual(found, { stride: "16", pattern: "fixed", at: "50,9", odd: "a&b=c #%é" });
});

test("each explorer leaves the entries of others alone", () => {
  const first = writeHash("", "a", { x: 1 });
  const both = writeHash(first, "a-2", { x: 2 });
  assert.equal(both, "#a.x=1&a-2.x=2");
  assert.deepEqual(readHash(both, "a"), { x: "1" });
  assert.deepEqual(readHash(both, "a-2"), { x: "2" });
  assert.equal(writeHash(both, "a", {}), "#a-2.x=2");
  assert.equal(writeHash(first, "a", {}), "");
});

test("the name of a heading is no state", () => {
  assert.deepEqual(readHash("#what-it-costs", "a"), {});
  assert.equal(writeHash("#what-it-costs", "a", { x: 1 }), "#a.x=1");
});

test("a mangled entry is as good as none", () => {
  assert.deepEqual(readHash("#a.x=%E0%A4%A&a.y=2&a.=3&b.z", "a"), { y: "2", "": "3" });
});

test("no entry reaches beyond its own names", () => {
  const found = readHash("#a.constructor=1&a.toString=2", "a");
  assert.equal(Object.keys(found).length, 2);
  assert.equal(Object.getPrototypeOf(found), Object.prototype);
});
