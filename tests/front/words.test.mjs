// Sentences and numbers, in more than one language.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fill, speaker } from "../../attn_lib/explorers/front/words.mjs";

/** @param {string} language @param {Record<string, any>} words */
const speak = (language, words) =>
  speaker({
    language,
    words: { comma: ", ", labelled: "{label}. {help}", ...words },
    labels: {},
  });

test("a hole is filled once, and what fills it is no template", () => {
  assert.equal(fill("{a} and {b}", { a: "{b}", b: "2" }), "{b} and 2");
  assert.equal(fill("{a} and {toString}", { a: "1" }), "1 and {toString}");
});

test("the number in a hole chooses the plural form of the language", () => {
  const rounds = { by: "r", one: "{r} round", other: "{r} rounds" };
  const english = speak("en", { rounds });
  assert.deepEqual(
    [0, 1, 2].map((r) => english("rounds", { r })),
    ["0 rounds", "1 round", "2 rounds"],
  );
  const few = { by: "r", one: "{r} kolo", few: "{r} kola", other: "{r} kol" };
  const czech = speak("cs", { rounds: few });
  assert.deepEqual(
    [1, 3, 5].map((r) => czech("rounds", { r })),
    ["1 kolo", "3 kola", "5 kol"],
  );
  const chinese = speak("zh", { rounds: { by: "r", other: "{r} 轮" } });
  assert.equal(chinese("rounds", { r: 1 }), "1 轮");
});

test("numbers are written as the language writes them, with a true minus", () => {
  const english = speak("en", { n: "{n}" });
  assert.equal(english("n", { n: 1024 }), "1024");
  assert.equal(english.whole(16384), "16,384");
  assert.equal(english.decimals(-0.5, 2), "−0.50");
  assert.equal(english.decimals(1234.56, 1), "1234.6");
  assert.equal(english.number(0.30000000000000004), "0.3");
  const german = speak("de", { n: "{n}" });
  assert.equal(german.whole(16384), "16.384");
  assert.equal(german.decimals(0.5, 2), "0,50");
});

test("lists and labels are put together by the language's own words", () => {
  const english = speak("en", { a: "A", b: "B" });
  assert.equal(english.list(["x", "y", "z"]), "x, y, z");
  assert.equal(english.labelled("a", "b"), "A. B");
  const chinese = speak("zh", { comma: "、", labelled: "{label}。{help}", a: "甲", b: "乙" });
  assert.equal(chinese.list(["x", "y"]), "x、y");
  assert.equal(chinese.labelled("a", "b"), "甲。乙");
});
