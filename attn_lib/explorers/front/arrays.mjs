// Bytes to arrays, and codes to the numbers that they stand for; `_pack.py` is the other half.

/** @import { Coded } from "./types.d.ts" */

/** The last place of a half, by its exponent. */
const PLACES = Float64Array.from({ length: 32 }, (_, k) => 2 ** (Math.max(k, 1) - 25));

/** @param {number} bits */
export function halfToNumber(bits) {
  const exponent = (bits >> 10) & 31;
  const places = (bits & 1023) + (exponent ? 1024 : 0);
  return (bits & 0x8000 ? -places : places) * PLACES[exponent];
}

/** `values` is what the coding stands for, cell by cell; sqrt8 keeps its codes (see `unroot`).
 * @param {string} coding @param {number[]} shape @param {Uint8Array} bytes @returns {Coded} */
export function decode(coding, shape, bytes) {
  const size = shape.reduce((product, length) => product * length, 1);
  if (coding === "bits") {
    const values = new Uint8Array(size);
    for (let k = 0, at = 0; k < size; at++)
      for (let byte = bytes[at], end = Math.min(size, k + 8); k < end; k++, byte >>= 1)
        values[k] = byte & 1;
    return { coding, shape, bytes, values };
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (coding === "int32") {
    const values = new Int32Array(size);
    for (let k = 0; k < size; k++) values[k] = view.getInt32(4 * k, true);
    return { coding, shape, bytes, values };
  }
  if (coding === "float16") {
    const values = new Float32Array(size);
    for (let k = 0; k < size; k++) values[k] = halfToNumber(view.getUint16(2 * k, true));
    return { coding, shape, bytes, values };
  }
  return { coding, shape, bytes, values: bytes };
}

/** Row `k` of a matrix.
 * @param {Coded} array @param {number} k */
export function row(array, k) {
  const length = array.shape[array.shape.length - 1];
  return array.values.subarray(k * length, (k + 1) * length);
}

/** The places of some values, the largest first, of equal ones the earliest; the first `most`.
 * @param {ArrayLike<number>} values @param {number} [most] */
export function ranked(values, most = values.length) {
  /** @type {number[]} */
  const found = [];
  for (let k = 0; k < values.length; k++) {
    if (found.length === most && !(values[k] > values[found[most - 1]])) continue;
    let at = found.length < most ? found.length : most - 1;
    for (; at > 0 && values[k] > values[found[at - 1]]; at--) found[at] = found[at - 1];
    found[at] = k;
  }
  return found;
}

/** What is worked out once for an array.
 * @template T @param {(array: Coded) => T} work */
export function once(work) {
  /** @type {WeakMap<Coded, T>} */
  const known = new WeakMap();
  return (/** @type {Coded} */ array) => {
    const found = known.get(array) ?? work(array);
    known.set(array, found);
    return found;
  };
}

/** @param {number} code */
export const unroot = (code) => (code / 255) ** 2;

/** Codes about `zero` stand for numbers of either sign: their distance from it is the root.
 * @param {number} code @param {{ zero: number, top: number }} scale */
export const unsign = (code, { zero, top }) => Math.sign(code - zero) * ((code - zero) / top) ** 2;

/** FNV-1a, as in Python: what is drawn can be compared with what was computed.
 * @param {Uint8Array} bytes */
export function hash(bytes) {
  let value = 0x811c9dc5;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return (value >>> 0).toString(16).padStart(8, "0");
}

/** The hash of an array's bytes, worked out once.
 * @param {Coded} array */
export function digest(array) {
  array.digest ??= hash(array.bytes);
  return array.digest;
}
