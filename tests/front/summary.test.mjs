// What a state comes to, and what a moved control has changed, in a language.

import assert from "node:assert/strict";
import { test } from "node:test";
import { changed } from "../../attn_lib/explorers/front/summary.mjs";
import { speaker } from "../../attn_lib/explorers/front/words.mjs";

const words = speaker({
  language: "en",
  words: {
    few: "{what}: {pairs} pairs, {share} %.",
    many: { by: "pairs", one: "One pair.", other: "{pairs} pairs." },
    none: "Nothing.",
    change: "Pairs: {pairs}, before {was_pairs}.",
    unchanged: "Nothing has changed.",
    dense: "a dense one",
  },
  labels: { kind: { label: "Kind", options: ["plain", "fancy"] } },
});

test("numbers are grouped and rounded, and words are the language's own", () => {
  const values = { pairs: 16384, share: /** @type {[number, number]} */ ([-12.5, 1]) };
  assert.equal(
    words.tell("few", { what: { word: "dense" }, ...values }),
    "a dense one: 16,384 pairs, −12.5 %.",
  );
  assert.equal(
    words.tell("few", { what: { option: ["kind", 1] }, ...values }),
    "fancy: 16,384 pairs, −12.5 %.",
  );
  assert.equal(words.tell("many", { pairs: 1 }), "One pair.");
  assert.equal(words.tell("many", { pairs: 1000 }), "1,000 pairs.");
});

test("what changed is told with the numbers before", () => {
  const told = (/** @type {string} */ name, /** @type {number} */ pairs) => ({
    name,
    values: { pairs },
  });
  assert.equal(changed(told("many", 10), told("many", 1200), words), "Pairs: 1,200, before 10.");
  assert.equal(changed(told("many", 10), told("many", 10), words), "Nothing has changed.");
  const none = { name: "none", values: {} };
  assert.equal(changed(told("many", 10), none, words), "Nothing.");
  assert.equal(changed(none, told("many", 10), words), "10 pairs.");
});
