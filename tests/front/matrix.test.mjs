// Where keys lead on a matrix.

import assert from "node:assert/strict";
import { test } from "node:test";
import { stepped } from "../../attn_lib/explorers/front/matrix.mjs";

/** @param {string} key @param {object} [more] @returns {any} */
const press = (key, more = {}) => ({
  key,
  altKey: false,
  ctrlKey: false,
  metaKey: false,
  shiftKey: false,
  ...more,
});

test("keys lead to cells, and no farther than the edge", () => {
  /** @type {[string, object, [number, number]][]} */
  const cases = [
    ["ArrowUp", {}, [9, 20]],
    ["ArrowRight", { shiftKey: true }, [10, 28]],
    ["ArrowDown", { shiftKey: true }, [15, 20]],
    ["Home", {}, [10, 0]],
    ["End", {}, [10, 31]],
    ["Home", { ctrlKey: true }, [0, 0]],
    ["End", { ctrlKey: true }, [15, 31]],
    ["PageUp", {}, [2, 20]],
    ["PageDown", {}, [15, 20]],
  ];
  for (const [key, more, to] of cases)
    assert.deepEqual(stepped(press(key, more), [10, 20], 16, 32), to, key);
});

test("keys of the browser stay the browser's", () => {
  for (const event of [
    press("ArrowUp", { ctrlKey: true }),
    press("Home", { altKey: true }),
    press("a"),
  ])
    assert.equal(stepped(event, [1, 1], 4, 4), null);
});
