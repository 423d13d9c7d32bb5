// How a stage is built, and shares its width.

import { node } from "./dom.mjs";

const SIDE = 264;
const NARROW = 536;
const BROAD = 860;

/** Whether there is room for columns side by side.
 * @param {number} width */
export const isBroad = (width) => width >= BROAD;

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

/** Parts that stand below each other where the stage is broad; elsewhere they flow with the others,
 * matrices first.
 * @param {...Node} parts */
export const column = (...parts) => node("div", { class: "ax-column" }, ...parts);

/** A column as wide as its matrix.
 * @param {...Node} parts */
export const narrowColumn = (...parts) =>
  node("div", { class: "ax-column ax-narrow-column" }, ...parts);

/** Where the next row of columns begins. */
export const nextRow = () => node("div", { class: "ax-next-row" });

/** A column whose bars have long names.
 * @param {...Node} parts */
export const wideSide = (...parts) => node("div", { class: "ax-side ax-wide" }, ...parts);
