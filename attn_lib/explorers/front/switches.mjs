// A legend whose entries are switches, in groups that can be switched together.

import { node, svg } from "./dom.mjs";
import { button } from "./inputs.mjs";
import { mark } from "./marks.mjs";

/** @import { Look, Shape } from "./marks.mjs" */

/** @typedef {{ name: string, label: string, kind: { shape: Shape, look: Look, colour: string } }} Switch */
/** @typedef {{ label: string, switches: Switch[] }} Group */

const RADIUS = 5;

export class Switches {
  /** @param {{ label: string, groups: Group[], onChange: (on: string[]) => void, onLook: (name: string | null) => void }} plan */
  constructor({ label, groups, onChange, onLook }) {
    /** @type {string[]} */
    this.on = [];
    this.onChange = onChange;
    /** @type {Map<string, HTMLButtonElement>} */
    this.buttons = new Map();
    this.heads = groups.map(({ label, switches }) => {
      const names = switches.map(({ name }) => name);
      const el = button("ax-switch-all", () => this.toggle(names), label);
      return { el, names };
    });
    const rows = groups.map(({ label, switches }, k) => {
      const buttons = switches.map(({ name, label, kind }) => {
        const sign = svg("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" });
        sign.append(mark(kind, RADIUS));
        const el = button("ax-switch", () => this.toggle([name]));
        el.append(sign, label);
        el.addEventListener("pointerenter", () => onLook(name));
        el.addEventListener("pointerleave", () => onLook(null));
        this.buttons.set(name, el);
        return el;
      });
      const role = { role: "group", "aria-label": label };
      return node("div", { class: "ax-switch-group", ...role }, this.heads[k].el, ...buttons);
    });
    this.el = node("div", { class: "ax-switches", role: "group", "aria-label": label }, ...rows);
  }

  /** Off if all of them are on, and on if not.
   * @param {string[]} names */
  toggle(names) {
    const areOn = names.every((name) => this.on.includes(name));
    const others = this.on.filter((name) => !names.includes(name));
    this.onChange(areOn ? others : [...others, ...names]);
  }

  /** @param {string[]} on @param {(name: string) => boolean} isThere whether there is anything to draw */
  show(on, isThere) {
    this.on = on;
    for (const [name, el] of this.buttons) {
      el.setAttribute("aria-pressed", String(on.includes(name)));
      el.classList.toggle("ax-switch-empty", !isThere(name));
    }
    for (const { el, names } of this.heads) {
      const count = names.filter((name) => on.includes(name)).length;
      el.setAttribute("aria-pressed", count === names.length ? "true" : count ? "mixed" : "false");
    }
  }
}
