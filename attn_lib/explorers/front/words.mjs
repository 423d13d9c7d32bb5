// Sentences and numbers in a language. Every word comes from Python (`words.py`); what fills a
// template is text and never markup.

/** @import { Filling, Message, Values, Wording, Words } from "./types.d.ts" */

/** The form of a message for the number in its hole `by`.
 * @param {Message} message @param {Values} values @param {Intl.PluralRules} rules */
export function form(message, values, rules) {
  if (typeof message === "string") return message;
  return message[rules.select(Number(values[message.by]))] ?? message.other;
}

/** A template with its holes filled; a hole without a value stays as it is.
 * @param {string} template @param {Record<string, string>} values */
export const fill = (template, values) =>
  template.replace(/\{(\w+)\}/g, (hole, name) =>
    Object.hasOwn(values, name) ? values[name] : hole,
  );

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/** What writes numbers in a language, made once: the first of a page takes a browser long.
 * @param {string} language @param {Intl.NumberFormatOptions} options */
function formatOf(language, options) {
  const key = JSON.stringify([language, options]);
  const format = formats.get(key) ?? new Intl.NumberFormat(language, options);
  formats.set(key, format);
  return format;
}

/** @param {string} language */
export const shortOf = (language) =>
  formatOf(language, { maximumFractionDigits: 4, useGrouping: false });

/** @param {Wording} wording @returns {Words} */
export function speaker({ language, words, labels }) {
  const rules = new Intl.PluralRules(language);
  const short = shortOf(language);

  const minus = (/** @type {string} */ text) => text.replace("-", "−");

  /** What writes numbers with so many decimals, thousands set apart or not.
   * @param {boolean} useGrouping */
  function writer(useGrouping) {
    /** @type {Intl.NumberFormat[]} */
    const known = [];
    return (/** @type {number} */ x, /** @type {number} */ digits) => {
      known[digits] ??= formatOf(language, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
        useGrouping,
      });
      return minus(known[digits].format(x));
    };
  }
  const rounded = writer(true);
  const decimals = writer(false);
  const whole = (/** @type {number} */ x) => rounded(x, 0);
  const number = (/** @type {number} */ x) => minus(short.format(x));
  const text = (/** @type {string | number} */ value) =>
    typeof value === "number" ? number(value) : value;

  /** @param {string} name @param {Values} [values] */
  function speak(name, values = {}) {
    const filled = Object.fromEntries(
      Object.entries(values).map(([hole, value]) => [hole, text(value)]),
    );
    return fill(form(words[name], values, rules), filled);
  }

  /** @param {Filling} value */
  function filling(value) {
    if (typeof value === "string") return value;
    if (typeof value === "number") return rounded(value, 0);
    if (Array.isArray(value)) return rounded(...value);
    if ("word" in value) return speak(value.word);
    const [control, place] = value.option;
    return labels[control].options?.[place] ?? "";
  }

  return Object.assign(speak, {
    labels,
    /** @param {string} name @param {Record<string, Filling>} values */
    tell(name, values) {
      const counts = /** @type {Values} */ (values);
      const texts = Object.entries(values).map(([hole, value]) => [hole, filling(value)]);
      return fill(form(words[name], counts, rules), Object.fromEntries(texts));
    },
    /** @param {string} name */
    holes: (name) =>
      [...form(words[name], {}, rules).matchAll(/\{(\w+)\}/g)].map(([, hole]) => hole),
    whole,
    number,
    decimals,
    /** @param {string[]} items */
    list: (items) => items.join(speak("comma")),
    /** @param {string} label @param {string} help */
    labelled: (label, help) => speak("labelled", { label: speak(label), help: speak(help) }),
  });
}
