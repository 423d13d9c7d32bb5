// The state in the page's address: #key.name=value&…, beside those of other explorers.

const DELAY = 250;

// What a page says before it reads its own address.
const LEAVING = "book-leaves";

/** The entries of a hash that say something.
 * @param {string} hash */
const entries = (hash) =>
  hash
    .replace(/^#/, "")
    .split("&")
    .filter((entry) => entry.includes("="));

/** What a hash says under a key.
 * @param {string} hash @param {string} key */
export function readHash(hash, key) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const entry of entries(hash)) {
    const cut = entry.indexOf("=");
    const name = entry.slice(0, cut);
    if (!name.startsWith(`${key}.`)) continue;
    try {
      found[name.slice(key.length + 1)] = decodeURIComponent(entry.slice(cut + 1));
    } catch {
      // A mangled address is as good as none.
    }
  }
  return found;
}

/** A hash with these values under a key, and all that it said under others; empty if that is nothing.
 * @param {string} hash @param {string} key @param {Record<string, any>} values */
export function writeHash(hash, key, values) {
  const others = entries(hash).filter((entry) => !entry.startsWith(`${key}.`));
  const mine = Object.entries(values).map(
    ([name, value]) => `${key}.${name}=${encodeURIComponent(value)}`,
  );
  const all = [...others, ...mine].join("&");
  return all && `#${all}`;
}

export class Address {
  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.timer = 0;
    this.put = () => {};
    window.addEventListener(LEAVING, () => this.put());
  }

  read() {
    return readHash(location.hash, this.key);
  }

  /** Whether the address holds any explorer's state. */
  static hasState() {
    return entries(location.hash).length > 0;
  }

  /** The address of the page with these values alone.
   * @param {Record<string, any>} values */
  of(values) {
    return location.href.replace(/#.*/, "") + writeHash("", this.key, values);
  }

  /** Browsers limit how often a page may do this, so a drag writes once, at its end.
   * @param {Record<string, any>} values */
  write(values) {
    clearTimeout(this.timer);
    this.put = () => {
      clearTimeout(this.timer);
      this.put = () => {};
      const hash = writeHash(location.hash, this.key, values);
      if (!hash && !Address.hasState()) return;
      history.replaceState(history.state, "", hash || location.pathname + location.search);
    };
    this.timer = window.setTimeout(() => this.put(), DELAY);
  }
}
