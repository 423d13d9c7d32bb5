// What every line chart is made of: axes, lines, dots, a marker, and a note below.

import { node, setAttributes, setText, svg } from "./dom.mjs";

/** @typedef {{ width: number, height: number, left: number, right: number, top: number, bottom: number }} Size */
/** @typedef {(value: number) => number} Scale */
/** @typedef {[value: number, label: string]} Tick */

/** @param {{ title: string, label?: string, size: Size, attributes?: Record<string, any> }} plan */
export function chart({ title, label = title, size, attributes = { role: "img" } }) {
  const { width, height, left, right, top, bottom } = size;
  const parts = {
    axes: svg("g", { class: "ax-chart-axes" }),
    band: svg("path", { class: "ax-chart-band" }),
    level: svg("line", { class: "ax-chart-level", x1: left, x2: width - right }),
    marker: svg("line", { class: "ax-chart-marker", y1: top, y2: height - bottom }),
    lines: svg("g", { class: "ax-chart-lines" }),
    dots: svg("g"),
  };
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "ax-chart", "aria-label": label, ...attributes },
    ...Object.values(parts),
  );
  const note = node("div", { class: "ax-chart-note" });
  const el = node(
    "div",
    { class: "ax-chart-box" },
    node("div", { class: "ax-small-title" }, title),
    picture,
    note,
  );
  let written = "";

  parts.level.style.display = "none";

  return {
    ...parts,
    picture,
    el,
    /** @param {string} text */
    say: (text) => setText(note, text),
    /** Draws the axes.
     * @param {Scale} x @param {Scale} y @param {Tick[]} xTicks @param {Tick[]} yTicks @param {string} xLabel */
    scale(x, y, xTicks, yTicks, xLabel) {
      /** @type {[tag: string, place: object, text: string][]} */
      const wanted = [];
      for (const [value, text] of yTicks) {
        const at = y(value);
        wanted.push(["line", { x1: left, x2: width - right, y1: at, y2: at }, ""]);
        wanted.push(["text", { x: left - 5, y: at + 3.5, "text-anchor": "end" }, text]);
      }
      const middle = { "text-anchor": "middle" };
      for (const [value, text] of xTicks)
        wanted.push(["text", { x: x(value), y: height - bottom + 14, ...middle }, text]);
      const under = { x: (left + width - right) / 2, y: height - 4, ...middle };
      wanted.push(["text", under, xLabel]);
      const all = JSON.stringify(wanted);
      if (all === written) return;
      written = all;
      parts.axes.replaceChildren(...wanted.map(([tag, place, text]) => svg(tag, place, text)));
    },
    /** A height to compare the lines with; none without one.
     * @param {number | null} y */
    level(y) {
      parts.level.style.display = y === null ? "none" : "";
      if (y === null) return;
      setAttributes(parts.level, { y1: y, y2: y });
    },
    /** Draws lines of a colour each, with a dot each for `mark`. A look is "dashed" or "thin".
     * @param {[colour: string, d: string, look?: string][]} curves */
    draw(curves) {
      const fit = (/** @type {Element} */ group, /** @type {string} */ tag) => {
        while (group.children.length > curves.length) group.lastChild?.remove();
        while (group.children.length < curves.length) group.append(svg(tag));
        return [...group.children];
      };
      const [lines, dots] = [fit(parts.lines, "path"), fit(parts.dots, "circle")];
      curves.forEach(([colour, d, look], r) => {
        const style = `stroke: var(--ax-${colour})`;
        setAttributes(lines[r], { d, class: `ax-line-${look ?? "plain"}`, style });
        setAttributes(dots[r], { r: 3.5, style: `fill: var(--ax-${colour})` });
      });
    },
    /** Moves the marker, and the dots on the lines.
     * @param {number} x @param {number[]} ys */
    mark(x, ys = []) {
      setAttributes(parts.marker, { x1: x, x2: x });
      ys.forEach((y, r) => {
        setAttributes(parts.dots.children[r], { cx: x, cy: y });
      });
    },
  };
}

/** A line through some points, as SVG writes it.
 * @param {number[]} xs @param {number[]} ys */
export const through = (xs, ys) =>
  `M${xs.map((x, k) => `${x.toFixed(1)},${ys[k].toFixed(1)}`).join("L")}`;

/** Where an axis in logarithms has its labels: at the whole powers of ten.
 * @param {[low: number, high: number]} ends @param {(x: number) => string} write @returns {Tick[]} */
export function decadeTicks([low, high], write) {
  const first = Math.ceil(low);
  return Array.from({ length: Math.floor(high) - first + 1 }, (_, k) => [
    first + k,
    write(10 ** (first + k)),
  ]);
}

/** A few of some places that count up by one: the first, the last, and even steps between.
 * @param {number[]} xs */
export function stepTicks(xs) {
  const [first, last] = [xs[0], xs[xs.length - 1]];
  const step = [1, 2, 4, 8, 16].find((size) => (last - first) / size <= 5) ?? 16;
  const inner = xs.filter((x) => x % step === 0 && x > first && last - x >= step / 2 && x < last);
  return [first, ...inner, last];
}
