// The landing page's small pictures: a knob each, moved by its slider or by a pointer that goes
// sideways over the picture. Numbers come from the page, and were computed when the book was built;
// what stands there is drawn anew here, as book/_ext/gallery.py draws it.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 200;
  const MARGIN = 6;
  const ABSENT = 255;

  const gallery = document.querySelector(".live-gallery");
  if (!gallery || !window.DecompressionStream) return;

  const rounded = (x) => Math.floor(10 * x + 0.5) / 10;

  function element(name, attributes) {
    const one = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    return one;
  }

  // Cells of one code that stand side by side are one stroke.
  function cells(picture, frame, { columns }) {
    const rows = frame.length / columns;
    const paths = new Map();
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; ) {
        const start = x;
        const code = frame[y * columns + x];
        while (x < columns && frame[y * columns + x] === code) x++;
        if (code) paths.set(code, `${paths.get(code) ?? ""}M${start} ${y}h${x - start}`);
      }
    const group = picture.querySelector("g");
    group.setAttribute("transform", `scale(1 ${columns / rows}) translate(0 .5)`);
    group.replaceChildren(
      ...[...paths]
        .sort(([a], [b]) => a - b)
        .map(([code, d]) => element("path", { class: `c${code}`, d })),
    );
  }

  function dots(picture, frame) {
    const place = (k) => [frame[3 * k], HEIGHT - frame[3 * k + 1], frame[3 * k + 2]];
    const places = Array.from({ length: frame.length / 3 }, (_, k) => place(k));
    const [cx, cy] = places.find(([, , code]) => code === 2);
    const met = places.filter(([, , code]) => code === 1);
    picture
      .querySelector(".spokes")
      .setAttribute("d", met.map(([x, y]) => `M${cx} ${cy}L${x} ${y}`).join(""));
    for (const [k, circle] of [...picture.querySelectorAll("circle")].entries())
      circle.setAttribute("class", `d${places[k][2]}`);
  }

  function lines(picture, frame, { layers }) {
    const paths = picture.querySelectorAll("path");
    let at = 0;
    for (const [k, [kind, count]] of layers.entries()) {
      const part = frame.subarray(at, at + count);
      at += count;
      if (kind === "mark") paths[k].setAttribute("d", `M${part[0]} 0v${HEIGHT}`);
      else if (kind === "bars") {
        const x = (bar) => rounded(((bar + 0.5) * HEIGHT) / count);
        paths[k].setAttribute(
          "d",
          Array.from(part, (height, bar) => `M${x(bar)} ${HEIGHT}v${-height}`).join(""),
        );
      } else {
        const step = HEIGHT / (count - 2);
        const points = Array.from(part.subarray(1), (height, point) =>
          height === ABSENT ? "" : `${rounded(point * step)} ${HEIGHT - height}`,
        );
        paths[k].setAttribute("class", `s${part[0]}`);
        paths[k].setAttribute("d", `M${points.filter(Boolean).join("L")}`);
      }
    }
  }

  function words(picture, frame) {
    for (const [k, word] of [...picture.querySelectorAll("span")].entries()) {
      word.dataset.shade = frame[k];
      word.classList.toggle("query", k === frame[frame.length - 1]);
    }
  }

  const DRAW = { cells, dots, lines, words };

  // The place of the knob that a pointer means: the word below it, the mark nearest to it, or as far
  // through all places as it is across the picture.
  function placeAt(event, picture, frames, { layers }) {
    const over = document.elementFromPoint(event.clientX, event.clientY);
    const word = picture.contains(over) ? over.closest("span") : null;
    if (picture.querySelector("span")) {
      const query = [...picture.querySelectorAll("span")].indexOf(word);
      return frames.findIndex((frame) => frame.at(-1) === query);
    }
    const { left, width } = picture.getBoundingClientRect();
    const share = (event.clientX - left) / width;
    if (layers.at(-1)?.[0] === "mark") {
      const x = share * (HEIGHT + 2 * MARGIN) - MARGIN;
      const away = frames.map((frame) => Math.abs(frame.at(-1) - x));
      return away.indexOf(Math.min(...away));
    }
    return Math.min(frames.length - 1, Math.max(0, Math.floor(share * frames.length)));
  }

  function start(card, frames, data) {
    const picture = card.querySelector(".live-picture");
    const input = card.querySelector("input");
    const sentence = card.querySelector(".live-said");
    let shown = -1;
    const show = () => {
      const place = Number(input.value);
      if (place === shown) return;
      shown = place;
      DRAW[card.dataset.kind](picture, frames[place], data);
      for (const hole of sentence.querySelectorAll("[data-hole]"))
        hole.textContent = data.said[hole.dataset.hole][place];
      input.setAttribute("aria-valuetext", sentence.textContent);
    };
    const point = (event) => {
      const place = placeAt(event, picture, frames, data);
      if (place < 0) return;
      input.value = place;
      show();
    };
    input.addEventListener("input", show);
    // A finger that goes up or down scrolls the page, and leaves the knob where it is.
    let from = { clientX: 0, clientY: 0 };
    picture.addEventListener("pointerdown", (event) => {
      from = event;
    });
    picture.addEventListener("pointermove", (event) => {
      const across = Math.abs(event.clientX - from.clientX);
      const along = Math.abs(event.clientY - from.clientY);
      if (event.pointerType === "mouse" || across > along) point(event);
    });
    picture.addEventListener("click", point);
    show();
    card.classList.add("is-live");
  }

  async function read() {
    const [texts, packed] = gallery.querySelectorAll("script");
    const bytes = Uint8Array.from(atob(packed.textContent), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const raw = new Uint8Array(await new Response(stream).arrayBuffer());
    let at = 0;
    const cards = gallery.querySelectorAll(".live");
    for (const [k, data] of JSON.parse(texts.textContent).entries()) {
      const frames = [];
      for (const size of data.sizes) {
        const frame = raw.slice(at, at + size);
        const before = frames.at(-1);
        at += size;
        // A frame travels as what differs from the one before.
        if (before?.length === size) for (let i = 0; i < size; i++) frame[i] ^= before[i];
        frames.push(frame);
      }
      start(cards[k], frames, data);
    }
  }

  read();
})();
