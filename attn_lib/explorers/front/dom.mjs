// Elements, made in one call.

/** An element; an attribute that is false, null or undefined is left out, `on…` listens.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string | null | undefined)} children
 * @returns {any} */
export function node(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "class") el.className = value;
    else el.setAttribute(name, value === true ? "" : String(value));
  }
  el.append(...children.filter((child) => child != null));
  return el;
}

/** @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string)} children
 * @returns {any} */
export function svg(tag, attributes = {}, ...children) {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, String(value));
  el.append(...children);
  return el;
}

/** Writes only what is new, so that nothing is laid out in vain.
 * @param {Element} el @param {string} text */
export const setText = (el, text) => {
  const { firstChild, lastChild } = el;
  if (firstChild instanceof Text && firstChild === lastChild) {
    if (firstChild.data !== text) firstChild.data = text;
  } else if (el.textContent !== text) el.textContent = text;
};

/** @param {Element} el @param {Record<string, string | number>} attributes */
export function setAttributes(el, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = String(value);
    if (el.getAttribute(name) !== text) el.setAttribute(name, text);
  }
}
