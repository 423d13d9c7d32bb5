// Sentences and numbers in a language. Every word comes from Python (`words.py`); what fills a
// template is text and never markup.

/** @import { Message, Values, Wording, Words } from "./types.d.ts" */

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

/** @param {Wording} wording @returns {Words} */
export function speaker({ language, words, labels }) {
  const rules = new Intl.PluralRules(language);
  const wholes = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat(language, { maximumFractionDigits: 4, useGrouping: false });
  /** @type {Map<number, Intl.NumberFormat>} */
  const fixed = new Map();

  const minus = (/** @type {string} */ text) => text.replace("-", "−");
  const whole = (/** @type {number} */ x) => minus(wholes.format(x));
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

  return Object.assign(speak, {
    labels,
    whole,
    number,
    /** @param {number} x @param {number} digits */
    decimals(x, digits) {
      let format = fixed.get(digits);
      if (!format) {
        const places = { minimumFractionDigits: digits, maximumFractionDigits: digits };
        format = new Intl.NumberFormat(language, { ...places, useGrouping: false });
        fixed.set(digits, format);
      }
      return minus(format.format(x));
    },
    /** @param {string[]} items */
    list: (items) => items.join(speak("comma")),
    /** @param {string} label @param {string} help */
    labelled: (label, help) => speak("labelled", { label: speak(label), help: speak(help) }),
  });
}
