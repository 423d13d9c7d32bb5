// One explorer on the page: its controls, its view, its state.

import { Address } from "./address.mjs";
import { digest } from "./arrays.mjs";
import { ControlKit } from "./controls.mjs";
import { node, setText } from "./dom.mjs";
import { parse, same } from "./state.mjs";
import { isDark, themeOf } from "./theme.mjs";
import { watch } from "./watch.mjs";
import { speaker } from "./words.mjs";

/** @import { Frame, MakeView, Pick, Source, State, Theme } from "./types.d.ts" */

/**
 * @typedef {object} Options
 * @property {State} start the values of the controls
 * @property {Address} [address] where the state is kept
 * @property {(name: string | null, state: State) => void} [onUser] told of what a reader's hand did; null: a reset
 */

const PATIENCE = 400;

/** @param {HTMLElement} root @param {Source} source @param {MakeView} makeView @param {Options} options */
export function mount(root, source, makeView, { start, address, onUser }) {
  const { spec } = source;
  const words = speaker(source.wording);
  const initial = { ...start };
  const state = { ...start };
  /** @type {State} */
  let drawn = {};
  /** @type {Theme | null} */
  let theme = null;
  /** @type {Frame | null} */
  let frame = null;
  /** @type {Pick | null} */
  let firm = null;
  let waiting = 0;
  let publishing = 0;

  const status = node("p", { class: "ax-status", role: "status", "aria-live": "polite" });
  const say = (/** @type {string} */ text) => setText(status, text);
  const view = makeView({ facts: spec.facts, words, say, choose, put });
  let pick = view.start;
  const kit = new ControlKit({ source, state, words, onChange: changed, onReset: reset });

  /** What tests read: which state is drawn, and digests of the arrays that it is drawn from. */
  function publish() {
    root.dataset.state = JSON.stringify(drawn);
    root.dataset.pick = JSON.stringify(pick);
    root.dataset.digest = Object.entries(frame ?? {})
      .map(([name, array]) => `${name}:${digest(array)}`)
      .join(",");
  }

  function point() {
    if (!frame || !theme) return;
    view.point(pick, frame, drawn, theme);
    root.dataset.pick = JSON.stringify(pick);
  }

  /** @param {Pick} next @param {boolean} isFirm whether to remember it */
  function choose(next, isFirm) {
    pick = next;
    if (isFirm) firm = next;
    point();
    if (isFirm) remember();
  }

  /** @param {string} name @param {any} value */
  function put(name, value) {
    state[name] = value;
    changed(name);
  }

  function remember() {
    if (!address) return;
    /** @type {Record<string, any>} */
    const values = {};
    for (const { name } of spec.controls)
      if (!same(state[name], initial[name])) values[name] = state[name];
    if (firm) values.at = firm.filter((k) => k !== null).join(",");
    address.write(values);
  }

  function repaint() {
    if (!frame || !theme) return;
    view.draw(frame, drawn, theme);
    point();
  }

  function draw() {
    waiting ||= window.setTimeout(() => say(words("waiting")), PATIENCE);
    const arrived = () => {
      clearTimeout(waiting);
      waiting = 0;
    };
    source.frame(
      state,
      (next, shown) => {
        arrived();
        frame = next;
        drawn = { ...shown };
        repaint();
        clearTimeout(publishing);
        publishing = window.setTimeout(publish);
      },
      (error) => {
        arrived();
        say(error);
      },
    );
  }

  /** @param {string | null} name */
  function changed(name) {
    kit.sync();
    draw();
    remember();
    onUser?.(name, state);
  }

  function reset() {
    kit.stop();
    Object.assign(state, initial);
    pick = view.start;
    firm = null;
    changed(null);
  }

  function load() {
    if (!address) return;
    const found = address.read();
    Object.assign(state, initial);
    for (const control of spec.controls)
      if (control.name in found) state[control.name] = parse(control, found[control.name]);
    const at = (found.at ?? "").split(",").filter(Boolean).map(Number);
    const isWhole =
      at.length === view.start.length || (at.length > 0 && view.start[at.length] === null);
    if (isWhole && at.every((k, d) => Number.isInteger(k) && k >= 0 && k < view.limits[d]))
      pick = firm = view.limits.map((_, d) => at[d] ?? null);
  }

  function retheme() {
    // No style sheet reaches a view that is not on the page yet, as JupyterLab makes them.
    if (!root.isConnected) return;
    const name = isDark() ? "dark" : "light";
    if (theme && root.dataset.theme === name) return;
    root.dataset.theme = name;
    theme = themeOf(root);
    repaint();
  }

  function layout() {
    if (!root.isConnected) return;
    if (!theme) retheme();
    const width = root.clientWidth - 2 * parseFloat(getComputedStyle(root).paddingLeft) - 2;
    if (width <= 0) return;
    view.layout(width);
    point();
  }

  const data = [...root.children].filter((el) => el.tagName === "SCRIPT");
  // The words come last, so that a longer sentence moves nothing away from under the pointer; the
  // style sheet keeps them in sight.
  root.replaceChildren(kit.el, node("div", {}, view.el, status), ...data);
  root.classList.add("ax-live");
  retheme();
  load();
  kit.sync();
  layout();
  draw();

  const stop = watch(root, {
    retheme,
    layout,
    readdress() {
      if (!address || !Address.hasState()) return;
      load();
      kit.sync();
      draw();
    },
  });

  return {
    root,
    /** @param {string} name @param {any} value */
    set(name, value) {
      if (same(state[name], value)) return;
      state[name] = value;
      kit.sync();
      draw();
    },
    close() {
      kit.stop();
      clearTimeout(waiting);
      clearTimeout(publishing);
      stop();
    },
  };
}
