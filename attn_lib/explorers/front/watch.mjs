// What happens around an explorer: another theme, another width, another address.

import { node } from "./dom.mjs";
import { SYSTEM } from "./theme.mjs";

/** Calls back until the function that it returns is called.
 * @param {Element} root @param {{ retheme: () => void, layout: () => void, readdress: () => void }} then */
export function watch(root, { retheme, layout, readdress }) {
  const stop = new AbortController();
  const { signal } = stop;
  for (const query of SYSTEM) matchMedia(query).addEventListener("change", retheme, { signal });
  window.addEventListener("resize", layout, { signal });
  window.addEventListener("hashchange", readdress, { signal });
  const themes = new MutationObserver(retheme);
  themes.observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["data-theme", "theme", "class"],
  });
  themes.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "class"],
  });
  // As wide as the root, but never high: a picture of another width has another height, and a size
  // that changes while it is told is an error of the page.
  const gauge = node("div", {});
  root.append(gauge);
  const sizes = new ResizeObserver(layout);
  sizes.observe(gauge);
  return () => {
    stop.abort();
    themes.disconnect();
    sizes.disconnect();
    gauge.remove();
  };
}
