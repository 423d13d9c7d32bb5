// States of the controls: which of them count, and when two are the same.

/** @import { Control, Pick, Spec, State, View } from "./types.d.ts" */

/** @param {any} a @param {any} b */
export const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

/** @param {Control} control @param {State} state */
export const isActive = (control, state) =>
  Object.entries(control.when ?? {}).every(([name, values]) => values.includes(state[name]));

/** The value of a control that has no effect here counts as its default.
 * @param {Spec} spec @param {State} state */
export function canonical(spec, state) {
  const counts = (/** @type {Control} */ control) =>
    control.kind !== "positions" && control.kind !== "members" && isActive(control, state);
  return spec.controls.map((control) => (counts(control) ? state[control.name] : control.default));
}

/** The positions in a text, in rising order; what is none is left out.
 * @param {Control} control @param {string} text */
export function positions(control, text) {
  const found = new Set((text.match(/\d+/g) ?? []).map(Number));
  return [...found].filter((k) => k < (control.count ?? 0)).sort((a, b) => a - b);
}

/** Those of the options that are named, in their order.
 * @param {string[]} options @param {string[]} names */
export const members = (options, names) => options.filter((option) => names.includes(option));

/** The value of a control in a text.
 * @param {Control} control @param {string} text */
export function parse(control, text) {
  if (control.kind === "toggle") return text === "true";
  if (control.kind === "positions") return positions(control, text);
  if (control.kind === "members") return members(control.options ?? [], text.split(","));
  const value = typeof control.default === "number" ? Number(text) : text;
  return Number.isNaN(value) ? control.default : value;
}

/** What an address points at: a place for each of the view's, or as many as have to be named; null if it
 * is none of them.
 * @param {string} text numbers @param {View} view @returns {Pick | null} */
export function parsePick(text, { start, limits, least }) {
  const at = text.split(",").filter(Boolean).map(Number);
  const open = least ?? start.indexOf(null);
  const isWhole = at.length === start.length || (open > 0 && at.length === open);
  const isThere = at.every((k, d) => Number.isInteger(k) && k >= 0 && k < limits[d]);
  return isWhole && isThere ? limits.map((_, d) => at[d] ?? null) : null;
}
