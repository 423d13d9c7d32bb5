// Shapes that tell lines of a chart apart without their colours.

import { svg } from "./dom.mjs";

/** @typedef {"disc" | "square" | "diamond" | "up" | "down" | "plus" | "cross"} Shape */
/** @typedef {"full" | "open" | "bare"} Look full of its colour, open in the middle, or lines alone */

/** @param {...[x: number, y: number]} corners */
const polygon = (...corners) => `M${corners.map((corner) => corner.join(",")).join("L")}Z`;

/** The outline of a shape of so large a radius about (0, 0); all look about equally large.
 * @param {Shape} shape @param {number} radius */
export function outline(shape, radius) {
  const r = Number(radius.toFixed(2));
  const [a, b] = [0.87, 1.2].map((share) => Number((share * radius).toFixed(2)));
  switch (shape) {
    case "disc":
      return `M${-r},0a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0Z`;
    case "square":
      return polygon([-a, -a], [a, -a], [a, a], [-a, a]);
    case "diamond":
      return polygon([0, -b], [b, 0], [0, b], [-b, 0]);
    case "up":
      return polygon([0, -b], [b, a], [-b, a]);
    case "down":
      return polygon([0, b], [-b, -a], [b, -a]);
    case "plus":
      return `M${-b},0H${b}M0,${-b}V${b}`;
    case "cross":
      return `M${-a},${-a}L${a},${a}M${-a},${a}L${a},${-a}`;
  }
}

/** A mark about (0, 0).
 * @param {{ shape: Shape, look: Look, colour: string }} kind @param {number} radius */
export const mark = ({ shape, look, colour }, radius) =>
  svg("path", {
    d: outline(shape, radius),
    class: `ax-mark ax-mark-${look}`,
    style: `--ax-mark: var(--ax-${colour})`,
  });
