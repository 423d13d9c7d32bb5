// Numbers, kept in range.

/** @param {number} x @param {number} low @param {number} high */
export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

/** The place of the least of some numbers.
 * @param {number[]} values */
export const nearest = (values) => values.indexOf(Math.min(...values));
