// In the book: every block of data on the page becomes an explorer.

import { Address } from "./address.mjs";
import { mount } from "./mount.mjs";
import { PageSource } from "./page_source.mjs";

/** @import { MakeView } from "./types.d.ts" */

/** LSHCircle → lsh-circle: the key of its state in the address.
 * @param {string} name */
export const slug = (name) =>
  name.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, "-").toLowerCase();

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
    const key = slug(root.dataset.explorer ?? "");
    seen[key] = (seen[key] ?? 0) + 1;
    const address = new Address(seen[key] > 1 ? `${key}-${seen[key]}` : key);
    const wording = JSON.parse(data(root, "application/json"));
    PageSource.open(data(root, "application/octet-stream"), wording).then((source) => {
      const { module } = source.spec;
      if (!Object.hasOwn(views, module)) return;
      mount(root, source, views[module], {
        start: JSON.parse(root.dataset.start ?? "{}"),
        address,
      });
      if (Object.keys(address.read()).length) root.scrollIntoView({ block: "nearest" });
    });
  }
}
