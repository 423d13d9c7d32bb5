// What happens around an explorer: another theme, another width, another address.

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
  // In the next frame: a picture of another width has another height, which may take a scroll bar's
  // width from all others, and sizes that change while sizes are told are an error of the page.
  const sizes = new ResizeObserver(() => requestAnimationFrame(layout));
  sizes.observe(root);
  return () => {
    stop.abort();
    themes.disconnect();
    sizes.disconnect();
  };
}
