// One explorer on the page: its controls, its view, its state.

import { Address } from "./address.mjs";
import { digest } from "./arrays.mjs";
import { ControlKit } from "./controls.mjs";
import { node, setText } from "./dom.mjs";
import { isBroad } from "./layout.mjs";
import { parse, parsePick, same } from "./state.mjs";
import { isDark, isStark, themeOf } from "./theme.mjs";
import { nameOf, Voice } from "./voice.mjs";
import { watch } from "./watch.mjs";
import { speaker } from "./words.mjs";

/** @import { Frame, MakeView, Pick, Source, State, Theme } from "./types.d.ts" */

/**
 * @typedef {object} Options
 * @property {State} start the values of the controls
 * @property {Address} [address] where the state is kept
 * @property {(draw: () => void) => void} [later] when it is first drawn; at once, if nothing is said
 * @property {(name: string | null, state: State) => void} [onUser] told of what a reader's hand did; null: a reset
 */

const PATIENCE = 400;

/** @param {HTMLElement} root @param {Source} source @param {MakeView} makeView @param {Options} options */
export function mount(root, source, makeView, { start, address, onUser, later = (job) => job() }) {
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
  let laidOut = "";

  const voice = new Voice(words, () => kit.playing !== null);
  const say = (/** @type {string} */ text) => voice.say(text);
  const view = makeView({ facts: spec.facts, words, say, choose, put });
  let pick = view.start;
  const kit = new ControlKit({ source, state, words, onChange: changed, onReset: reset });

  // Paper says how the controls are set, and the address that sets them so.
  const settings = node("p", { class: "ax-print" });
  const where = node("p", { class: "ax-print", translate: "no" });

  /** What tests read: which state is drawn, and digests of the arrays that it is drawn from. */
  function publish() {
    root.dataset.state = JSON.stringify(drawn);
    setText(settings, kit.said());
    sayWhere();
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
    voice.act();
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

  /** What the page has otherwise. */
  function values() {
    /** @type {Record<string, any>} */
    const found = {};
    for (const { name } of spec.controls)
      if (!same(state[name], initial[name])) found[name] = state[name];
    if (firm) found.at = firm.filter((k) => k !== null).join(",");
    return found;
  }

  function remember() {
    address?.write(values());
    sayWhere();
  }

  function sayWhere() {
    if (!address) return;
    const [first] = spec.controls;
    const moved = values();
    setText(
      where,
      address.of(Object.keys(moved).length ? moved : { [first.name]: state[first.name] }),
    );
  }

  function repaint() {
    if (!frame || !theme) return;
    view.draw(frame, drawn, theme);
    point();
    voice.summarize();
  }

  function draw() {
    waiting ||= window.setTimeout(() => say(words("waiting")), PATIENCE);
    const arrived = () => {
      clearTimeout(waiting);
      waiting = 0;
    };
    source.frame(
      state,
      (next, shown, sentence) => {
        arrived();
        frame = next;
        drawn = { ...shown };
        voice.told = view.correct?.(sentence, next, drawn) ?? sentence;
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
    voice.move();
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
    const at = parsePick(found.at ?? "", view);
    if (at) pick = firm = at;
  }

  function retheme() {
    // No style sheet reaches a view that is not on the page yet, as JupyterLab makes them.
    if (!root.isConnected) return;
    const name = isDark() ? "dark" : "light";
    const contrast = isStark() ? "more" : "";
    if (theme && root.dataset.theme === name && root.dataset.contrast === contrast) return;
    root.dataset.theme = name;
    root.dataset.contrast = contrast;
    theme = themeOf(root);
    repaint();
  }

  function layout() {
    if (!root.isConnected) return;
    if (!theme) retheme();
    const pad = parseFloat(getComputedStyle(root).getPropertyValue("--ax-pad"));
    const width = root.offsetWidth - 2 * pad - 4;
    if (width <= 0) return;
    const room = `${width} ${window.devicePixelRatio}`;
    if (room === laidOut) return;
    laidOut = room;
    root.classList.toggle("ax-broad", isBroad(width));
    view.layout(width);
    point();
  }

  const data = [...root.children].filter((el) => el.tagName === "SCRIPT");
  // The words come last, so that a longer sentence moves nothing away from under the pointer; the
  // style sheet keeps them in sight.
  const rows = view.rows ? [view.rows.tools, view.rows.panel] : [];
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", nameOf(root, words));
  // Whoever comes to a picture hears what is chosen in it.
  for (const picture of view.el.querySelectorAll("[role=application], [role=listbox]"))
    picture.setAttribute("aria-describedby", voice.status.id);
  const body = node("div", {}, view.el, voice.status, voice.live, ...rows, settings, where);
  let stop = () => {};
  function begin() {
    root.classList.add("ax-live");
    root.classList.toggle("ax-columns", !!view.el.querySelector(".ax-column"));
    root.replaceChildren(voice.summary, kit.el, body, ...data);
    load();
    kit.sync();
    draw();
    stop = watch(root, {
      retheme,
      layout,
      readdress() {
        if (!address || !Address.hasState()) return;
        load();
        kit.sync();
        draw();
      },
    });
  }

  // The still has the colours and the width too, and what stands around it is laid out by then.
  later(() => {
    layout();
    later(begin);
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
      voice.stop();
      stop();
    },
  };
}
