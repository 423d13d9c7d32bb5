// Keys that move a choice.

/** @type {Record<string, [rows: number, columns: number]>} */
export const ARROWS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** Keys with these belong to the browser.
 * @param {KeyboardEvent} event */
export const isModified = (event) => event.ctrlKey || event.metaKey || event.altKey;

/** JupyterLab would take a key from whatever lacks this attribute. */
export const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };
