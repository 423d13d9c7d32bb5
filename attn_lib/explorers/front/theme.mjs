// Light or dark, and the colours of each; the style sheet has them.

/** @import { Theme } from "./types.d.ts" */

/** @typedef {[red: number, green: number, blue: number]} Colour */

/** What the system says of colours, by which a picture is drawn. */
export const SYSTEM = [
  "(prefers-color-scheme: dark)",
  "(prefers-contrast: more)",
  "(forced-colors: active)",
];

const asked = (/** @type {string} */ query) => matchMedia(query).matches;

export function isDark() {
  const html = document.documentElement;
  // Then the system gives the page its colours, whatever theme it has chosen.
  if (asked("(forced-colors: active)")) return asked("(prefers-color-scheme: dark)");
  if (html.dataset.theme === "dark" || html.dataset.theme === "light")
    return html.dataset.theme === "dark";
  if (html.getAttribute("theme") === "dark") return true;
  const jupyter = document.body.dataset.jpThemeLight;
  if (jupyter !== undefined) return jupyter === "false";
  const code = document.body.dataset.vscodeThemeKind;
  if (code !== undefined) return code.includes("dark") || code === "vscode-high-contrast";
  return asked("(prefers-color-scheme: dark)");
}

/** Whether lines and letters must stand out as far as they can. */
export const isStark = () =>
  (document.body.dataset.vscodeThemeKind ?? "").includes("high-contrast") ||
  asked("(prefers-contrast: more)") ||
  asked("(forced-colors: active)");

/** @param {string} hex @returns {Colour} */
export function rgb(hex) {
  const value = parseInt(hex.trim().slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** A colour as a canvas keeps it: four bytes in one number.
 * @param {Colour} colour */
export const pack32 = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** The colour at `x` from 0 to 1 on the way along the stops.
 * @param {Colour[]} stops @param {number} x @returns {Colour} */
export function between(stops, x) {
  const place = x * (stops.length - 1);
  const k = Math.min(Math.floor(place), stops.length - 2);
  const mix = (/** @type {0 | 1 | 2} */ c) =>
    Math.round(stops[k][c] + (place - k) * (stops[k + 1][c] - stops[k][c]));
  return [mix(0), mix(1), mix(2)];
}

/** Black or white, whichever reads better on a colour.
 * @param {Colour} colour */
export function ink(colour) {
  const [r, g, b] = colour.map((c) => (c / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#101418" : "#ffffff";
}

/** A table made once for the same names.
 * @param {(names: string[]) => Uint32Array} make */
function kept(make) {
  /** @type {Map<string, Uint32Array>} */
  const found = new Map();
  return (/** @type {string[]} */ names) => {
    const key = names.join();
    const table = found.get(key) ?? make(names);
    found.set(key, table);
    return table;
  };
}

/** The colours that the style sheet gives an element now.
 * @param {Element} root @returns {Theme} */
export function themeOf(root) {
  const styles = getComputedStyle(root);
  /** @type {Record<string, string>} */
  const known = {};
  const hex = (/** @type {string} */ name) =>
    (known[name] ??= styles.getPropertyValue(`--ax-${name}`).trim());
  // 256 colours, from the first of the names to the last.
  const along = (/** @type {string[]} */ names) => {
    const stops = names.map((name) => rgb(hex(name)));
    return Array.from({ length: 256 }, (_, code) => between(stops, code / 255));
  };
  const ramp = along(["ramp-0", "ramp-1", "ramp-2", "ramp-3"]);
  return {
    hex,
    ramp: Uint32Array.from(ramp, pack32),
    rampStyle: ramp.map((colour) => `rgb(${colour.join(",")})`),
    rampInk: ramp.map(ink),
    blend: kept((names) => Uint32Array.from(along(names), pack32)),
    table: kept((names) => Uint32Array.from(names, (name) => pack32(rgb(hex(name))))),
  };
}

/** Colours of codes about `zero`: those below it in another hue.
 * @param {Theme} theme @param {{ zero: number, top: number }} scale */
export function signedTable(theme, { zero, top }) {
  const [above, below] = [theme.ramp, theme.blend(["ramp-0", "second"])];
  return Uint32Array.from({ length: 256 }, (_, code) => {
    const place = Math.min(255, Math.round((255 * Math.abs(code - zero)) / top));
    return (code < zero ? below : above)[place];
  });
}
