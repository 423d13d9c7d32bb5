// Frames that a kernel computes when asked.

import { decode } from "./arrays.mjs";
import { canonical } from "./state.mjs";

/** @import { Control, Frame, Model, Source, Spec, State, Told, Use, Wording } from "./types.d.ts" */

/** @typedef {{ key: string, state: State, use: Use, fail: (message: string) => void }} Wanted */

const CACHE_SIZE = 512;
const PATIENCE = 5000;

/** @implements {Source} */
export class KernelSource {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** @type {{ spec: Spec, wording: Wording }} */
    const { spec, wording } = model.get("_spec");
    this.spec = spec;
    this.wording = wording;
    this.isLive = true;
    /** @type {Map<string, [Frame, Told]>} */
    this.cache = new Map();
    this.prefix = Math.random().toString(36).slice(2);
    this.count = 0;
    /** @type {{ id: string, key: string, at: number } | null} */
    this.asked = null;
    /** @type {Wanted | null} */
    this.wanted = null;
    /** @param {any} message @param {DataView[]} buffers */
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
  }

  close() {
    this.model.off("msg:custom", this.onMessage);
  }

  /** @param {Control} control */
  choices(control) {
    return (control.kind === "choice" ? control.options : control.grid) ?? [];
  }

  /** One request at a time is under way; of those that come meanwhile the latest wins.
   * @param {State} state @param {Use} use @param {(message: string) => void} fail */
  frame(state, use, fail) {
    const key = JSON.stringify(canonical(this.spec, state));
    const wanted = { key, state: { ...state }, use, fail };
    this.wanted = wanted;
    const known = this.cache.get(key);
    if (known) use(known[0], state, known[1]);
    else if (!this.asked || performance.now() - this.asked.at > PATIENCE) this.ask(wanted);
  }

  /** @param {Wanted} wanted */
  ask({ key, state }) {
    const id = `${this.prefix}:${this.count++}`;
    this.asked = { id, key, at: performance.now() };
    this.model.send({ type: "frame", id, controls: state });
  }

  /** @param {any} message @param {DataView[]} buffers */
  receive(message, buffers) {
    if (message.type !== "frame" || message.id !== this.asked?.id || !this.asked || !this.wanted)
      return;
    const { key } = this.asked;
    const wanted = this.wanted;
    this.asked = null;
    if (message.error === undefined) this.keep(key, message, buffers);
    else if (key === wanted.key) {
      wanted.fail(message.error);
      return;
    }
    const known = this.cache.get(wanted.key);
    if (known) wanted.use(known[0], wanted.state, known[1]);
    else this.ask(wanted);
  }

  /** @param {string} key @param {{ arrays: [string, string, number[]][], told: [string, Told["values"]], words: Wording["words"] }} message @param {DataView[]} buffers */
  keep(key, { arrays, told: [name, values], words }, buffers) {
    Object.assign(this.wording.words, words);
    /** @type {Frame} */
    const frame = {};
    arrays.forEach(([name, coding, shape], k) => {
      const { buffer, byteOffset, byteLength } = buffers[k];
      frame[name] = decode(coding, shape, new Uint8Array(buffer, byteOffset, byteLength).slice());
    });
    const oldest = this.cache.keys().next().value;
    if (this.cache.size >= CACHE_SIZE && oldest !== undefined) this.cache.delete(oldest);
    this.cache.set(key, [frame, { name, values }]);
  }
}
