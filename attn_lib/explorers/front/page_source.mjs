// Frames that lie in the page.

import { decode, hash } from "./arrays.mjs";
import { canonical } from "./state.mjs";

/** @import { Coded, Control, Filling, Frame, Place, Source, Spec, State, Told, Use, Wording } from "./types.d.ts" */

/** What a block of frames starts with (`_pack.py`).
 * @typedef {{ spec: Spec, names: string[], arrays: Place[], states: [any[], number[]][], sentences: string[][], told: [number, ...Filling[]][] }} Header */

/** @param {string} text base64 */
function bytes(text) {
  const characters = atob(text);
  const found = new Uint8Array(characters.length);
  for (let k = 0; k < found.length; k++) found[k] = characters.charCodeAt(k);
  return found;
}

/** @implements {Source} */
export class PageSource {
  /** @param {Header} header @param {Uint8Array} payload @param {Wording} wording */
  constructor(header, payload, wording) {
    this.spec = header.spec;
    this.wording = wording;
    this.isLive = false;
    this.names = header.names;
    this.states = header.states;
    this.sentences = header.sentences;
    this.told = header.told;
    this.places = header.arrays;
    this.payload = payload;
    /** @type {Coded[]} */
    this.arrays = [];
    this.indices = new Map(this.states.map(([values], k) => [JSON.stringify(values), k]));
    /** @type {Map<string, any[]>} */
    this.found = new Map();
  }

  /** Fails where the text is not the one that the page was built with.
   * @param {string} text base64 of a raw deflate stream @param {string} sum the text's hash @param {Wording} wording */
  static async open(text, sum, wording) {
    const packed = text.trim();
    if (hash(new TextEncoder().encode(packed)) !== sum)
      throw new Error("frames differ from those that the page was built with");
    const stream = new Blob([bytes(packed)])
      .stream()
      .pipeThrough(new DecompressionStream("deflate-raw"));
    const raw = await new Response(stream).arrayBuffer();
    const length = new DataView(raw).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(raw, 4, length)));
    return new PageSource(header, new Uint8Array(raw, 4 + length), wording);
  }

  /** The array at a place, decoded when it is first asked for.
   * @param {number} k */
  array(k) {
    if (!this.arrays[k]) {
      const [coding, shape, offset, length] = this.places[k];
      this.arrays[k] = decode(coding, shape, this.payload.subarray(offset, offset + length));
    }
    return this.arrays[k];
  }

  /** The values that the page carries, given those of the controls before this one.
   * @param {Control} control @param {State} state */
  choices(control, state) {
    const at = this.spec.controls.indexOf(control);
    const before = canonical(this.spec, state).slice(0, at);
    const key = JSON.stringify(before);
    let values = this.found.get(key);
    if (!values) {
      const carried = new Set();
      for (const [others] of this.states)
        if (before.every((value, k) => others[k] === value)) carried.add(others[at]);
      values = control.grid.filter((value) => carried.has(value));
      this.found.set(key, values);
    }
    return values;
  }

  /** @param {State} state @param {Use} use */
  frame(state, use) {
    const at = this.indices.get(JSON.stringify(canonical(this.spec, state)));
    if (at === undefined) return;
    const [, places] = this.states[at];
    const [sentence, ...fillings] = this.told[at];
    /** @type {Frame} */
    const frame = {};
    this.names.forEach((name, k) => {
      frame[name] = this.array(places[k]);
    });
    const [name, ...holes] = this.sentences[sentence];
    /** @type {Told["values"]} */
    const values = {};
    holes.forEach((hole, k) => {
      values[hole] = fillings[k];
    });
    use(frame, state, { name, values });
  }
}
