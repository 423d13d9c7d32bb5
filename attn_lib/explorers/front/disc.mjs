// Points in a disc, in a ring of arcs where they lie on a circle. A point can be chosen, or walked to.

import { svg } from "./dom.mjs";
import { isModified, OWN_KEYS } from "./keys.mjs";
import { nearest } from "./numbers.mjs";

/** @import { Coded } from "./types.d.ts" */

const HALF = 160;
const RADIUS = 120;
const [INNER, OUTER] = [138, 152];

/** A place on the ring, as SVG writes it.
 * @param {number} degree @param {number} radius */
function at(degree, radius) {
  const angle = (degree * Math.PI) / 180;
  return `${(radius * Math.cos(angle)).toFixed(2)} ${(-radius * Math.sin(angle)).toFixed(2)}`;
}

/** Equal neighbours as one: from, to, and what they are.
 * @param {ArrayLike<number>} ring @returns {[first: number, last: number, bucket: number][]} */
export function runs(ring) {
  /** @type {[number, number, number][]} */
  const found = [];
  for (let a = 0; a < ring.length; a++)
    if (a === 0 || ring[a] !== ring[a - 1]) found.push([a, a + 1, ring[a]]);
    else found[found.length - 1][1] = a + 1;
  return found;
}

export class Disc {
  /** @param {{ label: string, onPick: (pick: [number], isFirm: boolean) => void }} plan */
  constructor({ label, onPick }) {
    this.onPick = onPick;
    this.pick = 0;
    /** @type {Coded | null} */
    this.xy = null;
    /** @type {[number, number][]} */
    this.points = [];
    this.arcs = svg("g");
    this.dots = svg("g");
    const viewBox = `${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`;
    this.el = svg(
      "svg",
      {
        viewBox,
        class: "ax-disc",
        role: "application",
        tabindex: "0",
        "aria-label": label,
        ...OWN_KEYS,
      },
      svg("circle", { r: 132, class: "ax-rim" }),
      this.arcs,
      this.dots,
    );
    /** @param {PointerEvent} event */
    const pointed = (event) => {
      const box = this.el.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 2 * HALF - HALF;
      const y = ((event.clientY - box.top) / box.height) * 2 * HALF - HALF;
      return nearest(this.points.map(([a, b]) => (a - x) ** 2 + (b - y) ** 2));
    };
    // A finger may want to scroll the page, which the browser finds out later, and then cancels: so
    // it chooses where it moves or is lifted, and one that was cancelled has chosen nothing.
    let before = 0;
    /** @type {Record<string, (event: PointerEvent) => void>} */
    const listeners = {
      pointerdown: (event) => {
        before = this.pick;
        if (event.pointerType === "mouse") this.choose(pointed(event), true);
      },
      pointermove: (event) => {
        if (event.pointerType === "mouse" || event.buttons) this.choose(pointed(event), false);
      },
      pointerup: (event) => {
        if (event.pointerType !== "mouse") this.choose(pointed(event), true);
      },
      pointercancel: () => this.choose(before, false),
    };
    for (const [type, listen] of Object.entries(listeners)) this.el.addEventListener(type, listen);
    this.el.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      /** @type {Record<string, number>} */
      const steps = { ArrowLeft: -1, ArrowUp: 1, ArrowRight: 1, ArrowDown: -1 };
      const step = steps[event.key];
      if (!step || isModified(event)) return;
      event.preventDefault();
      const { length } = this.points;
      this.choose((this.pick + step + length) % length, true);
    });
  }

  /** @param {number} k @param {boolean} isFirm */
  choose(k, isFirm) {
    if (k === this.pick && !isFirm) return;
    this.onPick([k], isFirm);
  }

  /** @param {Coded} xy pairs from -1 to 1, y upwards */
  place(xy) {
    if (xy === this.xy) return;
    this.xy = xy;
    this.points = Array.from({ length: xy.shape[0] }, (_, k) => [
      RADIUS * xy.values[2 * k],
      -RADIUS * xy.values[2 * k + 1],
    ]);
    this.dots.replaceChildren(...this.points.map(([cx, cy]) => svg("circle", { cx, cy, r: 5 })));
  }

  /** @param {ArrayLike<number>} ring a bucket for each degree @param {number} own the one that stands out */
  border(ring, own) {
    const arcs = runs(ring).map(([first, last, bucket], k) => {
      const large = last - first > 180 ? 1 : 0;
      const there = `M${at(first, INNER)} A${INNER} ${INNER} 0 ${large} 0 ${at(last, INNER)}`;
      const back = `L${at(last, OUTER)} A${OUTER} ${OUTER} 0 ${large} 1 ${at(first, OUTER)} Z`;
      return svg("path", {
        d: `${there} ${back}`,
        class: bucket === own ? "ax-own" : k % 2 ? "ax-odd" : "ax-even",
      });
    });
    this.arcs.replaceChildren(...arcs);
  }

  /** @param {string[]} classes */
  paint(classes) {
    [...this.dots.children].forEach((dot, k) => {
      dot.setAttribute("class", classes[k]);
    });
  }
}
