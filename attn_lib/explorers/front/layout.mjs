// How a stage is built, and shares its width.

import { node } from "./dom.mjs";

const SIDE = 264;
const NARROW = 536;

/** What a picture may take of the width, so that a column of numbers fits beside it.
 * @param {number} width */
export const beside = (width) => (width > 2.2 * SIDE ? width - SIDE : width);

/** The width of each of so many pictures in a row; on a narrow stage, of `few`.
 * @param {number} width @param {number} many @param {number} few */
export const shared = (width, many, few) =>
  width < NARROW ? (width - 16 * (few - 1)) / few : (width - 24 * (many - 1)) / many;

/** The parts of a picture, in their order.
 * @param {...Node} parts @returns {HTMLElement} */
export const stage = (...parts) => node("div", { class: "ax-stage" }, ...parts);

/** A column beside a picture.
 * @param {...Node} parts */
export const side = (...parts) => node("div", { class: "ax-side" }, ...parts);

/** A column whose bars have long names.
 * @param {...Node} parts */
export const wideSide = (...parts) => node("div", { class: "ax-side ax-wide" }, ...parts);
