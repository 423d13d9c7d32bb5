// All controls of an explorer, kept in line with its state, and its state with what there is.

import { node, setAttributes, setText } from "./dom.mjs";
import { button, part as makePart } from "./inputs.mjs";
import { isActive, same } from "./state.mjs";

/** @import { Part } from "./inputs.mjs" */
/** @import { Control, Source, State, Words } from "./types.d.ts" */

/**
 * @typedef {object} Plan
 * @property {Source} source
 * @property {State} state changed in place
 * @property {Words} words
 * @property {(name: string) => void} onChange
 * @property {() => void} onReset
 */

const BEAT = 500;

export class ControlKit {
  /** @param {Plan} plan */
  constructor({ source, state, words, onChange, onReset }) {
    this.source = source;
    this.state = state;
    this.words = words;
    this.onChange = onChange;
    /** @type {Part | null} */
    this.playing = null;
    this.timer = 0;
    // The view has the switches of members itself.
    this.parts = source.spec.controls
      .filter(({ kind }) => kind !== "members")
      .map((control) => makePart(control, words, this));
    this.el = node(
      "div",
      { class: "ax-controls", role: "group", "aria-label": words("controls") },
      ...this.parts.map((part) => part.el),
      button("ax-reset", onReset, words("reset")),
    );
  }

  /** @param {Part} part */
  read({ input, values }) {
    const number = Number(input.value);
    return this.source.isLive ? number : values[number];
  }

  /** @param {Part} part @param {any} value */
  put({ control }, value) {
    if (same(this.state[control.name], value)) {
      if (control.kind === "positions") this.sync();
      return;
    }
    this.state[control.name] = value;
    this.onChange(control.name);
  }

  /** The nearest value that there is.
   * @param {Control} control @param {any[]} values @param {any} value */
  snap(control, values, value) {
    const isFree = this.source.isLive && control.kind !== "choice";
    if (isFree || control.kind === "positions" || values.includes(value)) return value;
    if (control.kind !== "range")
      return values.includes(control.default) ? control.default : values[0];
    return values.reduce((best, next) =>
      Math.abs(next - value) < Math.abs(best - value) ? next : best,
    );
  }

  /** Brings every control in line with the state, and the state with what there is. */
  sync() {
    for (const part of this.parts) {
      const { control, input } = part;
      const active = isActive(control, this.state);
      if (input.disabled === active) {
        input.disabled = !active;
        part.el.classList.toggle("ax-off", !active);
        if (part.play) part.play.disabled = !active;
      }
      // An address may name any value, also of a control that has no effect here.
      const values = active ? this.source.choices(control, this.state) : control.grid;
      this.state[control.name] = this.snap(control, values, this.state[control.name]);
      if (active || part.values.length === 0) this.offer(part, values);
      this.show(part, this.state[control.name]);
    }
  }

  /** @param {Part} part @param {any} value */
  show(part, value) {
    const { control, input } = part;
    if (control.kind === "toggle") input.checked = value;
    else if (control.kind === "choice") {
      const place = part.values.indexOf(value);
      if (input.selectedIndex !== place) input.selectedIndex = place;
    } else if (control.kind === "positions") input.value = value.join(", ");
    else {
      const place = String(this.source.isLive ? value : part.values.indexOf(value));
      if (input.value !== place) input.value = place;
      const written = this.words.number(value);
      if (part.output) setText(part.output, written);
      setAttributes(input, { "aria-valuetext": written });
      this.dress(part);
    }
  }

  /** Every control and its value, in words: what stands on paper instead of them. */
  said() {
    return this.parts
      .filter(({ control }) => isActive(control, this.state))
      .map(({ control }) => {
        const { label, options } = this.words.labels[control.name];
        return `${label}: ${this.saidValue(control, options ?? [])}`;
      })
      .join(" · ");
  }

  /** @param {Control} control @param {string[]} options */
  saidValue(control, options) {
    const value = this.state[control.name];
    if (control.kind === "choice") return options[control.options?.indexOf(value) ?? 0];
    if (control.kind === "toggle") return options[Number(value)];
    if (control.kind === "positions") return this.words.list(value) || this.words("none");
    return this.words.number(value);
  }

  /** @param {Part} part @param {any[]} values */
  offer(part, values) {
    const { control, input } = part;
    if (same(part.values, values)) return;
    part.values = values;
    if (control.kind === "choice") {
      const labels = this.words.labels[control.name].options ?? [];
      const label = (/** @type {any} */ value) => labels[control.options?.indexOf(value) ?? 0];
      input.replaceChildren(
        ...values.map((value) => node("option", { value: String(value) }, label(value))),
      );
    } else if (control.kind === "range") {
      input.min = this.source.isLive ? control.low : 0;
      input.max = this.source.isLive ? control.high : values.length - 1;
      input.step = this.source.isLive ? control.step : 1;
    }
  }

  /** @param {Part} part */
  dress(part) {
    if (!part.play) return;
    const isPlaying = this.playing === part;
    const { label } = this.words.labels[part.control.name];
    setText(part.play, isPlaying ? "❚❚" : "▶");
    setAttributes(part.play, {
      "aria-label": this.words(isPlaying ? "pause_label" : "play_label", { label }),
    });
  }

  /** @param {Part} part */
  toggle(part) {
    const wasPlaying = this.playing === part;
    this.stop();
    if (wasPlaying) return;
    this.playing = part;
    this.dress(part);
    const { values } = part;
    this.timer = window.setInterval(() => {
      const now = this.state[part.control.name];
      this.put(part, values.find((value) => value > now) ?? values[0]);
    }, BEAT);
  }

  stop() {
    clearInterval(this.timer);
    const part = this.playing;
    this.playing = null;
    if (part) this.dress(part);
  }
}
