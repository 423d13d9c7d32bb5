// With a kernel: controls are the model's traits, frames are asked for.

import { node } from "./dom.mjs";
import { KernelSource } from "./kernel_source.mjs";
import { mount } from "./mount.mjs";

/** @import { MakeView, Model } from "./types.d.ts" */

/** anywidget's module of an explorer with this view.
 * @param {MakeView} view */
export const widget = (view) => ({
  /** @param {{ model: Model, el: HTMLElement }} context */
  render({ model, el }) {
    let close = show(view, model, el);
    // Another language has other words throughout.
    const renew = () => {
      close();
      el.replaceChildren();
      close = show(view, model, el);
    };
    model.on("change:_spec", renew);
    return () => {
      model.off("change:_spec", renew);
      close();
    };
  },
});

/** @param {MakeView} view @param {Model} model @param {HTMLElement} el */
function show(view, model, el) {
  const source = new KernelSource(model);
  const names = source.spec.controls.map((control) => control.name);
  const start = Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const root = node("div", { class: "attn-explorer" });
  el.append(root);
  const explorer = mount(root, source, view, {
    start,
    onUser(_, state) {
      for (const name of names) model.set(name, state[name]);
      model.save_changes();
    },
  });
  const listeners = names.map(
    (name) => /** @type {const} */ ([`change:${name}`, () => explorer.set(name, model.get(name))]),
  );
  for (const [event, listen] of listeners) model.on(event, listen);
  return () => {
    for (const [event, listen] of listeners) model.off(event, listen);
    source.close();
    explorer.close();
  };
}
