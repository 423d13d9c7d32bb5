// In the book: every block of data on the page becomes an explorer.

import { Address } from "./address.mjs";
import { mount } from "./mount.mjs";
import { PageSource } from "./page_source.mjs";

/** @import { MakeView } from "./types.d.ts" */

/** LSHCircle → lsh_circle: the name of its module.
 * @param {string} name */
export const stem = (name) =>
  name.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, "_").toLowerCase();

/** @param {Element} root @param {string} type */
const data = (root, type) => root.querySelector(`script[type='${type}']`)?.textContent ?? "";

/** @param {Document} page @param {Record<string, MakeView>} views every view, by the name of its module */
export function hydrate(page, views) {
  if (!("DecompressionStream" in window)) return;
  /** @type {Record<string, number>} */
  const seen = {};
  for (const root of /** @type {NodeListOf<HTMLElement>} */ (
    page.querySelectorAll(".attn-explorer[data-explorer]")
  )) {
    const name = stem(root.dataset.explorer ?? "");
    seen[name] = (seen[name] ?? 0) + 1;
    const slug = name.replaceAll("_", "-");
    const address = new Address(seen[name] > 1 ? `${slug}-${seen[name]}` : slug);
    const wording = JSON.parse(data(root, "application/json"));
    PageSource.open(data(root, "application/octet-stream"), wording).then((source) => {
      if (!Object.hasOwn(views, name)) return;
      mount(root, source, views[name], { start: JSON.parse(root.dataset.start ?? "{}"), address });
      if (Object.keys(address.read()).length) root.scrollIntoView({ block: "nearest" });
    });
  }
}
