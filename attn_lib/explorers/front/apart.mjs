// The geometry of a chart of marks: where they and their names go, so that they hide little of each
// other, which one is next, and where a bound ends.

import { clamp, nearest } from "./numbers.mjs";

const [BESIDE, APART] = [8, 9];
const STEP = 2;
const FARTHEST = 14;
const TOGETHER = 3;
const [DROP, LETTER] = [16, 8];
/** How far from its mark a name begins. */
export const AWAY = 15;

/** Where marks are drawn, so that those of different series cover each other as little as may be:
 * within `TOGETHER` of the top they are piled up, elsewhere they move a little to a side.
 * @param {{ s: number, x: number, y: number }[]} marks @param {number} top @param {number} shelf how high a pile may be
 * @returns {[x: number, y: number][]} */
export function besideEachOther(marks, top, shelf) {
  /** @type {[x: number, y: number][]} */
  const places = marks.map(({ x, y }) => [x, y]);
  /** @type {number[]} */
  const placed = [];
  const moves = Array.from({ length: FARTHEST / STEP + 1 }, (_, k) => [STEP * k, -STEP * k]).flat();
  const order = [...marks.keys()].sort((a, b) => marks[a].s - marks[b].s || a - b);
  for (const k of order) {
    const { s, x, y } = marks[k];
    // Of one series, larger marks show behind smaller ones.
    const twin = placed.find(
      (j) => marks[j].s === s && Math.hypot(marks[j].x - x, marks[j].y - y) < TOGETHER,
    );
    /** @type {[x: number, y: number][]} */
    const free =
      y - top < TOGETHER
        ? Array.from({ length: Math.floor(shelf / APART) + 1 }, (_, row) => [
            x,
            row ? top - APART * row : y,
          ])
        : moves.map((move) => [x + move, y]);
    const isFree = (/** @type {[x: number, y: number]} */ place) =>
      placed.every(
        (j) =>
          marks[j].s === s ||
          Math.abs(places[j][0] - place[0]) >= BESIDE ||
          Math.abs(places[j][1] - place[1]) >= APART,
      );
    if (twin === undefined) places[k] = free.find(isFree) ?? [x, y];
    else places[k] = [places[twin][0] + x - marks[twin].x, places[twin][1] + y - marks[twin].y];
    placed.push(k);
  }
  return places;
}

/** To which side of a place a name goes, and how far below it, so that it hides few marks.
 * @param {string} name @param {[x: number, y: number]} place
 * @param {{ at: [x: number, y: number] }[]} marks @param {number} end of the picture */
export function roomFor(name, [x, y], marks, end) {
  const width = AWAY + LETTER * name.length;
  const rooms = [0, DROP, -DROP].flatMap((drop) => [
    [1, drop],
    [-1, drop],
  ]);
  const hidden = rooms.map(([side, drop]) => {
    const left = side < 0 ? x - width : x;
    const under = marks.filter(
      ({ at }) => Math.abs(at[1] - y - drop) < 1.5 * APART && at[0] > left && at[0] < left + width,
    );
    return under.length + (left < 0 || left + width > end ? marks.length : 0);
  });
  return rooms[nearest(hidden)];
}

/** The mark that an arrow leads to: left and right within a series, up and down to another one.
 * @template {{ s: number, place: number }} T
 * @param {T[]} marks @param {T | null} chosen @param {[rows: number, columns: number]} step
 * @returns {T | undefined} */
export function neighbour(marks, chosen, [rows, columns]) {
  const from = chosen ?? marks[0];
  if (!from) return undefined;
  const series = [...new Set(marks.map(({ s }) => s))];
  const s = series[clamp(series.indexOf(from.s) + rows, 0, series.length - 1)];
  const own = marks.filter((one) => one.s === s);
  const near = nearest(own.map((one) => Math.abs(one.place - from.place)));
  return own[clamp(near + columns, 0, own.length - 1)];
}

/** The points of a bound, at even steps of the logarithm, up to the first at a height.
 * @param {{ ends: [low: number, high: number], heights: ArrayLike<number> }} bound @param {number} high
 * @returns {[xs: number[], ys: number[]]} */
export function stretchBelow({ ends: [low, top], heights }, high) {
  const step = (top / low) ** (1 / (heights.length - 1));
  const reached = Array.from(heights).findIndex((height) => height >= high);
  const xs = Array.from({ length: reached + 1 }, (_, k) => low * step ** k);
  return [xs, xs.map((_, k) => heights[k])];
}
