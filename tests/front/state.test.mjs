// Which controls count, and what a text says of a control.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  canonical,
  isActive,
  parse,
  positions,
  same,
} from "../../attn_lib/explorers/front/state.mjs";

/** @import { Control, Spec } from "../../attn_lib/explorers/front/types.d.ts" */

/** @type {Control} */
const pattern = { name: "pattern", kind: "choice", default: "strided", grid: ["strided", "fixed"] };
/** @type {Control} */
const summary = {
  name: "summary",
  kind: "range",
  default: 1,
  grid: [1, 2, 4],
  when: { pattern: ["fixed"] },
};
/** @type {Control} */
const hubs = { name: "hubs", kind: "positions", default: [], grid: [[]], count: 8 };
/** @type {Spec} */
const spec = { name: "Toy", module: "toy", controls: [pattern, summary, hubs], facts: {} };

test("a control without effect counts as its default", () => {
  assert.ok(!isActive(summary, { pattern: "strided" }));
  const state = { pattern: "strided", summary: 4, hubs: [3] };
  assert.deepEqual(canonical(spec, state), ["strided", 1, []]);
  assert.deepEqual(canonical(spec, { ...state, pattern: "fixed" }), ["fixed", 4, []]);
});

test("members stand in the order of the options, and count for no frame", () => {
  /** @type {Control} */
  const control = {
    name: "drawn",
    kind: "members",
    default: ["a", "b", "c"],
    grid: [["a", "b", "c"]],
    options: ["a", "b", "c"],
  };
  assert.deepEqual(parse(control, "c,a,c,x"), ["a", "c"]);
  assert.deepEqual(parse(control, ""), []);
  const toy = { ...spec, controls: [control] };
  assert.deepEqual(canonical(toy, { drawn: ["b"] }), [["a", "b", "c"]]);
});

test("positions are whole, in range, in order, each once", () => {
  assert.deepEqual(positions(hubs, "5, 3 3;8 -1 x 0"), [0, 1, 3, 5]);
  assert.deepEqual(positions(hubs, "no number"), []);
});

test("a text becomes a value of its control's kind", () => {
  assert.equal(parse(summary, "4"), 4);
  assert.equal(parse(summary, "many"), 1);
  assert.equal(parse(pattern, "fixed"), "fixed");
  assert.equal(parse({ ...pattern, kind: "toggle" }, "true"), true);
  assert.equal(parse({ ...pattern, kind: "toggle" }, "yes"), false);
  assert.deepEqual(parse(hubs, "2,1"), [1, 2]);
});

test("equal lists are the same value", () => {
  assert.ok(same([1, 2], [1, 2]));
  assert.ok(!same([1, 2], [2, 1]));
  assert.ok(!same(1, "1"));
});
