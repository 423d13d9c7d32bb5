// A passage whose tokens can be pointed at and shaded.

import { node, setAttributes } from "./dom.mjs";
import { isModified, OWN_KEYS } from "./keys.mjs";
import { clamp } from "./numbers.mjs";

/** @import { Theme } from "./types.d.ts" */

/**
 * @typedef {object} Plan
 * @property {[text: string, joins: boolean][]} tokens whether one goes on the word before it
 * @property {string} label what a screen reader says
 * @property {(k: number, isFirm: boolean) => void} onPick
 * @property {(k: number) => void} [onToggle] a click, or Enter
 */

export class TokenStrip {
  /** @param {Plan} plan */
  constructor({ tokens, label, onPick, onToggle = () => {} }) {
    this.onPick = onPick;
    this.pick = 0;
    /** @type {number | null} */
    this.other = null;
    const prefix = `ax-${Math.random().toString(36).slice(2)}`;
    /** The colours that each token has now. @type {string[]} */
    this.colours = [];
    this.items = tokens.map(([text, joins], k) => {
      const item = node("span", {
        class: joins ? "ax-token ax-joins" : "ax-token",
        role: "option",
        id: `${prefix}-${k}`,
      });
      item.textContent = text;
      item.addEventListener("pointerenter", (/** @type {PointerEvent} */ event) => {
        if (event.pointerType === "mouse") this.choose(k, false);
      });
      item.addEventListener("click", () => {
        this.choose(k, true);
        onToggle(k);
      });
      return item;
    });
    this.el = node("div", {
      class: "ax-tokens",
      role: "listbox",
      tabindex: "0",
      "aria-label": label,
      ...OWN_KEYS,
    });
    for (const [k, item] of this.items.entries())
      this.el.append(...(tokens[k][1] || k === 0 ? [item] : [" ", item]));
    this.el.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        onToggle(this.pick);
        return;
      }
      const last = this.items.length - 1;
      /** @type {Record<string, number>} */
      const steps = {
        ArrowLeft: -1,
        ArrowUp: -1,
        ArrowRight: 1,
        ArrowDown: 1,
        Home: -last,
        End: last,
      };
      const step = steps[event.key];
      if (!step || isModified(event)) return;
      event.preventDefault();
      this.choose(clamp(this.pick + step, 0, last), true);
    });
  }

  /** @param {number} k @param {boolean} isFirm */
  choose(k, isFirm) {
    if (k === this.pick && !isFirm) return;
    this.onPick(k, isFirm);
  }

  /** @param {ArrayLike<number>} codes a token's place on the theme's ramp, from `start` on
   * @param {number} start @param {Theme} theme @param {number} pick @param {number | null} [other] */
  shade(codes, start, theme, pick, other) {
    this.items.forEach((item, k) => {
      const code = codes[start + k];
      const paper = theme.rampStyle[code];
      if (paper !== this.colours[k]) {
        this.colours[k] = paper;
        item.style.backgroundColor = paper;
        item.style.color = theme.rampInk[code];
      }
    });
    this.choosing(this.pick, this.other, false);
    this.choosing(pick, other ?? null, true);
    this.pick = pick;
    this.other = other ?? null;
    setAttributes(this.el, { "aria-activedescendant": this.items[pick].id });
  }

  /** @param {number} pick @param {number | null} other @param {boolean} isSo */
  choosing(pick, other, isSo) {
    this.items[pick].classList.toggle("ax-query", isSo);
    this.items[pick].setAttribute("aria-selected", String(isSo));
    if (other !== null) this.items[other].classList.toggle("ax-key", isSo);
  }

  /** Set apart the tokens for which `isSo(k)`, by look and by name.
   * @param {(k: number) => boolean} isSo @param {(k: number) => string} named */
  distinguish(isSo, named) {
    for (const [k, item] of this.items.entries()) {
      item.classList.toggle("ax-hub", isSo(k));
      if (isSo(k)) item.setAttribute("aria-label", named(k));
      else item.removeAttribute("aria-label");
    }
  }

  /** @param {(k: number) => boolean} isFaint */
  fade(isFaint) {
    for (const [k, item] of this.items.entries()) item.classList.toggle("ax-faint", isFaint(k));
  }
}

/** What tells a token's text from its place.
 * @param {[text: string, joins: boolean][]} tokens @returns {(k: number) => string} */
export const namer = (tokens) => (k) => tokens[k][0];
