// Frames that lie in the page.

import { decode } from "./arrays.mjs";
import { canonical } from "./state.mjs";

/** @import { Coded, Control, Frame, Place, Source, Spec, State, Use, Wording } from "./types.d.ts" */

/** What a block of frames starts with (`_pack.py`).
 * @typedef {{ spec: Spec, names: string[], arrays: Place[], states: [any[], number[]][] }} Header */

/** @implements {Source} */
export class PageSource {
  /** @param {Header} header @param {Uint8Array} payload @param {Wording} wording */
  constructor(header, payload, wording) {
    this.spec = header.spec;
    this.wording = wording;
    this.isLive = false;
    this.names = header.names;
    this.states = header.states;
    /** @type {Coded[]} */
    this.arrays = header.arrays.map(([coding, shape, offset, length]) =>
      decode(coding, shape, payload.subarray(offset, offset + length)),
    );
    this.frames = new Map(this.states.map(([values, places]) => [JSON.stringify(values), places]));
    /** @type {Map<string, any[]>} */
    this.found = new Map();
  }

  /** @param {string} text base64 of a raw deflate stream @param {Wording} wording */
  static async open(text, wording) {
    const packed = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const raw = await new Response(stream).arrayBuffer();
    const length = new DataView(raw).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(raw, 4, length)));
    return new PageSource(header, new Uint8Array(raw, 4 + length), wording);
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
    const places = this.frames.get(JSON.stringify(canonical(this.spec, state))) ?? [];
    /** @type {Frame} */
    const frame = {};
    this.names.forEach((name, k) => {
      frame[name] = this.arrays[places[k]];
    });
    use(frame, state);
  }
}
