// What the press does to the one page before it prints it.

const paper = {
  /** Let what is too wide become smaller, and what is long go on over the page. @param {number} height of a page */
  fit(height) {
    const smaller = (element, inner, outer, least) => {
      const factor = (0.995 * outer) / inner;
      if (inner <= outer + 0.5 || factor < least) return;
      element.style.fontSize = `${factor * parseFloat(getComputedStyle(element).fontSize)}px`;
    };
    // What even small letters do not make narrow enough is folded.
    for (const pre of document.querySelectorAll("pre")) {
      pre.style.setProperty("white-space", "pre", "important");
      smaller(pre, pre.scrollWidth, pre.clientWidth, 0.75);
      pre.style.whiteSpace = "";
    }
    for (const table of document.querySelectorAll("table"))
      smaller(table, table.scrollWidth, table.parentElement.clientWidth, 0.7);
    for (const box of document.querySelectorAll(".math-scroll"))
      smaller(box.querySelector("math") ?? box, box.scrollWidth, box.clientWidth, 0.6);
    for (const picture of document.querySelectorAll(".paper-explorer svg")) {
      const { width, height: tall } = picture.viewBox.baseVal;
      picture.classList.toggle("paper-tall", tall > 0.85 * width);
    }
    const whole = ".cell_input, .cell_output, pre, table, .ask, .admonition, dl, .paper-unfolded";
    for (const block of document.querySelectorAll(whole))
      block.classList.toggle("paper-long", block.getBoundingClientRect().height > 0.4 * height);
  },

  /** What would be cut at the edge, in words. */
  cut() {
    const edge = document.body.getBoundingClientRect().right + 1;
    const found = [];
    for (const element of document.body.querySelectorAll("*")) {
      if (element.closest("svg") && element.tagName !== "svg") continue;
      const { right, width } = element.getBoundingClientRect();
      if (width && right > edge)
        found.push(
          `${element.closest("[id]")?.id} <${element.tagName.toLowerCase()}> by ${Math.ceil(right - edge)} px`,
        );
    }
    return found.slice(0, 12);
  },

  /** The characters for which there is no font: they look like one that nobody has. */
  missing() {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    [canvas.width, canvas.height] = [64, 48];
    const look = (sign, font) => {
      context.clearRect(0, 0, 64, 48);
      context.font = font;
      context.fillText(sign, 8, 36);
      return context.getImageData(0, 0, 64, 48).data.join();
    };
    const signs = new Set([...document.body.textContent].filter((sign) => sign > "~"));
    const font = `28px ${getComputedStyle(document.body).fontFamily}`;
    const none = look("\u{10FFFD}", font);
    return [...signs].filter((sign) => look(sign, font) === none);
  },

  /** The places whose page numbers stand in holes. */
  places() {
    return [...new Set([...document.querySelectorAll("[data-of]")].map((hole) => hole.dataset.of))];
  },

  /** Fill the holes. @param {Record<string, number>} numbers */
  number(numbers) {
    for (const hole of document.querySelectorAll("[data-of]"))
      hole.textContent = String(numbers[hole.dataset.of]);
  },
};
