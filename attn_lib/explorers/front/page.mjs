// In the book: every block of data on the page becomes an explorer.

import { Address } from "./address.mjs";
import { mount } from "./mount.mjs";
import { PageSource } from "./page_source.mjs";
import { shortOf } from "./words.mjs";

/** @import { MakeView } from "./types.d.ts" */

const NEAR = "100% 0px";
const IDLE = 1000;

/** Does a job in a task of its own, so that the page can answer in between, but before the rest.
 * @param {() => void} job */
export function soon(job) {
  const { scheduler } = /** @type {any} */ (window);
  if (scheduler?.postTask) scheduler.postTask(job, { priority: "user-blocking" });
  else setTimeout(job);
}

/** LSHCircle → lsh-circle: the key of its state in the address.
 * @param {string} name */
export const slug = (name) =>
  name.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, "-").toLowerCase();

/** @param {Element} root @param {string} type */
const data = (root, type) => root.querySelector(`script[type='${type}']`)?.textContent ?? "";

/** What the page carries for an explorer, and its view.
 * @param {HTMLElement} root @param {Record<string, MakeView>} views */
async function read(root, views) {
  const wording = JSON.parse(data(root, "application/json"));
  const { sum = "", explorer } = root.dataset;
  const opening = PageSource.open(data(root, "application/octet-stream"), sum, wording);
  // In another task than the elements, which need it.
  shortOf(wording.language);
  const source = await opening;
  const { module, name } = source.spec;
  if (name !== explorer || !Object.hasOwn(views, module)) throw new Error(`no view of ${name}`);
  return { source, view: views[module] };
}

/** The still stays, and a sentence beside it says why.
 * @param {Element} root */
const keepStill = (root) => root.classList.add("ax-unread");

/** @param {HTMLElement} root @param {Address} address @param {Record<string, MakeView>} views */
async function start(root, address, views) {
  const found = await read(root, views).catch(() => null);
  if (!found) {
    keepStill(root);
    return;
  }
  mount(root, found.source, found.view, {
    start: JSON.parse(root.dataset.start ?? "{}"),
    address,
    // Apart from making its elements, so that neither keeps the page from answering for long.
    later: soon,
  });
  if (Object.keys(address.read()).length) soon(() => root.scrollIntoView({ block: "nearest" }));
}

/** Calls the jobs one by one while the page has nothing else to do.
 * @param {(() => Promise<void>)[]} jobs */
function whenIdle(jobs) {
  const [job, ...rest] = jobs;
  if (!job) return;
  // Those after one that cannot be read are read all the same.
  const next = () => job().finally(() => whenIdle(rest));
  if ("requestIdleCallback" in window) requestIdleCallback(next, { timeout: IDLE });
  else setTimeout(next);
}

/** The first explorer of the page and those that the address names start at once, another when it
 * comes near, and the rest when there is time.
 * @param {Document} page @param {Record<string, MakeView>} views every view, by the name of its module */
export function hydrate(page, views) {
  /** @type {NodeListOf<HTMLElement>} */
  const roots = page.querySelectorAll(".attn-explorer[data-explorer]");
  if (!("DecompressionStream" in window)) {
    roots.forEach(keepStill);
    return;
  }
  /** @type {Record<string, number>} */
  const seen = {};
  /** @type {Map<Element, () => Promise<void>>} */
  const later = new Map();
  for (const root of roots) {
    const key = slug(root.dataset.explorer ?? "");
    seen[key] = (seen[key] ?? 0) + 1;
    const address = new Address(seen[key] > 1 ? `${key}-${seen[key]}` : key);
    /** @type {Promise<void> | undefined} */
    let started;
    const job = () => (started ??= start(root, address, views));
    later.set(root, job);
    if (later.size === 1 || Object.keys(address.read()).length) job();
  }
  const watcher = new IntersectionObserver(
    (near) => {
      for (const { target, isIntersecting } of near)
        if (isIntersecting) {
          watcher.unobserve(target);
          later.get(target)?.();
        }
    },
    { rootMargin: NEAR },
  );
  for (const root of later.keys()) watcher.observe(root);
  const rest = () => whenIdle([...later.values()]);
  if (page.readyState === "complete") rest();
  else window.addEventListener("load", rest, { once: true });
}
