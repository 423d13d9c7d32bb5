// What an explorer says: a sentence about what is pointed at, one about its state, and both to those
// who listen.

import { node, setText } from "./dom.mjs";
import { changed } from "./summary.mjs";

/** @import { Told, Words } from "./types.d.ts" */

const REST = 400;
const AGAIN = 60;

/** What a picture is called: the heading that it stands under, where there is one.
 * @param {HTMLElement} root @param {Words} words */
export function nameOf(root, words) {
  const heading = root.closest("section")?.querySelector("h1, h2, h3, h4");
  const label = heading?.firstChild?.textContent?.trim();
  return label ? words("named", { label }) : words("picture");
}

export class Voice {
  /** @param {Words} words @param {() => boolean} isMoving whether something moves by itself */
  constructor(words, isMoving) {
    this.isMoving = isMoving;
    this.words = words;
    const id = `ax-status-${Math.random().toString(36).slice(2)}`;
    this.status = node("p", { class: "ax-status", id });
    this.summary = node("p", { class: "ax-said ax-summary" });
    // A screen reader hears what a hand has done once, when it has come to rest: what a control has
    // changed, or the sentence about what is pointed at. Until then it can be read where it stands.
    this.live = node("p", { class: "ax-said", role: "status", "aria-live": "polite" });
    /** @type {Told | null} */
    this.told = null;
    /** What was told before a hand moved a control, until it has been said what that changed.
     * @type {Told | null} */
    this.before = null;
    this.hasActed = false;
    this.timer = 0;
  }

  /** A hand has chosen something. */
  act() {
    this.hasActed = true;
  }

  /** A hand has moved a control. */
  move() {
    this.hasActed = true;
    this.before ??= this.told;
  }

  /** What is pointed at.
   * @param {string} text */
  say(text) {
    setText(this.status, text);
    if (!this.hasActed) return;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.speak(text), REST);
  }

  /** @param {string} text */
  speak(text) {
    if (this.isMoving()) {
      this.timer = window.setTimeout(() => this.speak(text), REST);
      return;
    }
    const { before, told } = this;
    const isNew = before && told && before !== told;
    const heard = isNew ? changed(before, told, this.words) : text;
    if (isNew) this.before = null;
    if (heard !== this.live.textContent) {
      setText(this.live, heard);
      return;
    }
    // The same words are heard again only where they come anew.
    setText(this.live, "");
    this.timer = window.setTimeout(() => setText(this.live, heard), AGAIN);
  }

  /** What the state that is drawn comes to. */
  summarize() {
    if (this.told) setText(this.summary, this.words.tell(this.told.name, this.told.values));
  }

  stop() {
    clearTimeout(this.timer);
  }
}
