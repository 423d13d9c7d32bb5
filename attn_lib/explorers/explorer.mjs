// The pixels of every explorer. Python computes; this module decodes, looks up and draws.
//
// The same text is anywidget's ES module, where a kernel answers, and, with its export replaced, the
// classic script of the book's pages, where the frames of the whole grid lie in the page.
// To add an explorer: write its Python file, and a function of the same name in VIEWS.

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

function node(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "class") el.className = value;
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.filter((child) => child != null));
  return el;
}

function svg(tag, attributes = {}) {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  return el;
}

const setText = (el, text) => {
  if (el.textContent !== text) el.textContent = text;
};

// Templates come from Python; what fills them is text and never markup.
const fill = (template, values) =>
  template.replace(/\{(\w+)\}/g, (hole, name) => (name in values ? String(values[name]) : hole));

const whole = (x) => x.toLocaleString("en-US");
const decimals = (x, digits) => x.toFixed(digits);

// Arrays ----------------------------------------------------------------------------------------

function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// `values` is what the coding stands for, cell by cell; sqrt8 keeps its codes (see `unroot`).
function decode(coding, shape, bytes) {
  const size = shape.reduce((product, length) => product * length, 1);
  let values = bytes;
  if (coding === "bits") {
    values = new Uint8Array(size);
    for (let k = 0; k < size; k++) values[k] = (bytes[k >> 3] >> (k & 7)) & 1;
  } else if (coding === "int32" || coding === "float16") {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    values = coding === "int32" ? new Int32Array(size) : new Float32Array(size);
    for (let k = 0; k < size; k++)
      values[k] = coding === "int32" ? view.getInt32(4 * k, true) : halfToNumber(view.getUint16(2 * k, true));
  }
  return { coding, shape, bytes, values };
}

const unroot = (code) => (code / 255) ** 2;

// Codes about `zero` stand for numbers of either sign: their distance from it is the root.
const unsign = (code, { zero, top }) => Math.sign(code - zero) * ((code - zero) / top) ** 2;

// FNV-1a, as in Python: a test compares what is drawn with what was computed.
function digest(array) {
  if (array.digest === undefined) {
    let value = 0x811c9dc5;
    for (const byte of array.bytes) value = Math.imul(value ^ byte, 0x01000193);
    array.digest = (value >>> 0).toString(16).padStart(8, "0");
  }
  return array.digest;
}

// Where frames come from ------------------------------------------------------------------------

// The value of a control that has no effect here counts as its default.
function canonical(spec, state) {
  const counts = (control) => control.kind !== "positions" && isActive(control, state);
  return spec.controls.map((control) => (counts(control) ? state[control.name] : control.default));
}

function isActive(control, state) {
  return Object.entries(control.when ?? {}).every(([name, values]) => values.includes(state[name]));
}

class PageSource {
  constructor(header, payload) {
    this.spec = header.spec;
    this.isLive = false;
    this.arrays = header.arrays.map(([coding, shape, offset, length]) => {
      return decode(coding, shape, payload.subarray(offset, offset + length));
    });
    this.names = header.names;
    this.found = new Map();
    this.states = header.states;
    this.frames = new Map(this.states.map(([values, places]) => [JSON.stringify(values), places]));
  }

  static async open(text) {
    const packed = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const raw = await new Response(stream).arrayBuffer();
    const length = new DataView(raw).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(raw, 4, length)));
    return new PageSource(header, new Uint8Array(raw, 4 + length));
  }

  // The values that the page carries, given those of the controls before this one.
  choices(control, state) {
    const at = this.spec.controls.indexOf(control);
    const before = canonical(this.spec, state).slice(0, at);
    const key = JSON.stringify(before);
    if (!this.found.has(key)) {
      const values = new Set();
      for (const [others] of this.states)
        if (before.every((value, k) => others[k] === value)) values.add(others[at]);
      this.found.set(key, control.grid.filter((value) => values.has(value)));
    }
    return this.found.get(key);
  }

  frame(state, use) {
    const places = this.frames.get(JSON.stringify(canonical(this.spec, state)));
    const frame = {};
    this.names.forEach((name, k) => {
      frame[name] = this.arrays[places[k]];
    });
    use(frame, state);
  }
}

const CACHE_SIZE = 512;
const PATIENCE = 5000;

class KernelSource {
  constructor(model) {
    this.model = model;
    this.spec = model.get("_spec");
    this.isLive = true;
    this.cache = new Map();
    this.prefix = Math.random().toString(36).slice(2);
    this.count = 0;
    this.asked = null;
    this.wanted = null;
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
  }

  close() {
    this.model.off("msg:custom", this.onMessage);
  }

  choices(control) {
    return control.kind === "choice" ? control.options.map(([value]) => value) : control.grid;
  }

  // One request at a time is under way; of those that come meanwhile the latest wins.
  frame(state, use, fail) {
    const key = JSON.stringify(canonical(this.spec, state));
    this.wanted = { key, state: { ...state }, use, fail };
    if (this.cache.has(key)) use(this.cache.get(key), state);
    else if (!this.asked || performance.now() - this.asked.at > PATIENCE) this.ask();
  }

  ask() {
    const { key, state } = this.wanted;
    const id = `${this.prefix}:${this.count++}`;
    this.asked = { id, key, at: performance.now() };
    this.model.send({ type: "frame", id, controls: state });
  }

  receive(message, buffers) {
    if (message.type !== "frame" || !this.asked || message.id !== this.asked.id) return;
    const { key } = this.asked;
    this.asked = null;
    if (message.error !== undefined) {
      if (key === this.wanted.key) {
        this.wanted.fail(message.error);
        return;
      }
    } else {
      const frame = {};
      message.arrays.forEach(([name, coding, shape], k) => {
        const { buffer, byteOffset, byteLength } = buffers[k];
        frame[name] = decode(coding, shape, new Uint8Array(buffer, byteOffset, byteLength).slice());
      });
      if (this.cache.size >= CACHE_SIZE) this.cache.delete(this.cache.keys().next().value);
      this.cache.set(key, frame);
    }
    if (this.cache.has(this.wanted.key)) this.wanted.use(this.cache.get(this.wanted.key), this.wanted.state);
    else this.ask();
  }
}

// Colours ---------------------------------------------------------------------------------------

function isDark() {
  const html = document.documentElement;
  if (html.dataset.theme === "dark" || html.dataset.theme === "light") return html.dataset.theme === "dark";
  if (html.getAttribute("theme") === "dark") return true;
  const jupyter = document.body.dataset.jpThemeLight;
  if (jupyter !== undefined) return jupyter === "false";
  const code = document.body.dataset.vscodeThemeKind;
  if (code !== undefined) return code.includes("dark");
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function rgb(hex) {
  const value = parseInt(hex.trim().slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

const pack32 = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

// The colour at `x` from 0 to 1 on the way along the stops.
function between(stops, x) {
  const place = x * (stops.length - 1);
  const k = Math.min(Math.floor(place), stops.length - 2);
  return stops[k].map((low, c) => Math.round(low + (place - k) * (stops[k + 1][c] - low)));
}

class Theme {
  constructor(root) {
    const styles = getComputedStyle(root);
    const known = {};
    this.hex = (name) => (known[name] ??= styles.getPropertyValue(`--ax-${name}`).trim());
    const stops = [0, 1, 2, 3].map((k) => rgb(this.hex(`ramp-${k}`)));
    this.ramp = new Uint32Array(256);
    this.rampStyle = [];
    this.rampInk = [];
    for (let code = 0; code < 256; code++) {
      const colour = between(stops, code / 255);
      this.ramp[code] = pack32(colour);
      this.rampStyle.push(`rgb(${colour.join(",")})`);
      const [r, g, b] = colour.map((c) => (c / 255) ** 2.2);
      this.rampInk.push(0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? "#101418" : "#ffffff");
    }
  }

  // 256 colours, from the first of the names to the last.
  blend(names) {
    const stops = names.map((name) => rgb(this.hex(name)));
    return Uint32Array.from({ length: 256 }, (_, code) => pack32(between(stops, code / 255)));
  }

  table(names) {
    return Uint32Array.from(names, (name) => pack32(rgb(this.hex(name))));
  }
}

// Primitives: matrix, tokens, bars, chart, legend, readouts ---------------------------------------

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// A canvas of cells, drawn at whole device pixels, under a canvas of marks that takes the pointer.
class Matrix {
  constructor({ rows, cols, label, help, rowLabel, colLabel, width, legend, onPick }) {
    Object.assign(this, { rows, cols, width, onPick });
    this.pick = [0, 0];
    this.cells = null;
    this.small = node("canvas", { width: cols, height: rows });
    this.pixels = this.small.getContext("2d").createImageData(cols, rows);
    this.words = new Uint32Array(this.pixels.data.buffer);
    this.picture = node("canvas", { class: "ax-cells" });
    this.marks = node("canvas", {
      class: "ax-marks",
      role: "application",
      tabindex: "0",
      "aria-label": `${label}. ${help}`,
      "data-lm-suppress-shortcuts": "true",
    });
    this.frame = node("div", { class: "ax-canvases" }, this.picture, this.marks);
    this.el = node(
      "div",
      { class: "ax-matrix" },
      node("div", { class: "ax-axes" }, node("span", {}, rowLabel), node("span", {}, colLabel)),
      this.frame,
      legend,
    );
    const at = (event) => {
      const box = this.marks.getBoundingClientRect();
      const i = Math.floor(((event.clientY - box.top) / box.height) * rows);
      const j = Math.floor(((event.clientX - box.left) / box.width) * cols);
      return [clamp(i, 0, rows - 1), clamp(j, 0, cols - 1)];
    };
    this.marks.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || event.buttons) this.choose(at(event), false);
    });
    this.marks.addEventListener("pointerdown", (event) => this.choose(at(event), true));
    this.marks.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const far = event.shiftKey ? 8 : 1;
      const [i, j] = this.pick;
      this.choose([clamp(i + far * step[0], 0, rows - 1), clamp(j + far * step[1], 0, cols - 1)], true);
    });
  }

  choose(pick, isFirm) {
    if (pick[0] === this.pick[0] && pick[1] === this.pick[1] && !isFirm) return;
    this.pick = pick;
    this.onPick(pick, isFirm);
  }

  layout(available) {
    const ratio = window.devicePixelRatio || 1;
    const cell = Math.max(1, Math.floor((Math.min(available, this.width) * ratio) / this.cols));
    if (cell === this.cell && ratio === this.ratio) return;
    this.cell = cell;
    this.ratio = ratio;
    for (const canvas of [this.picture, this.marks]) {
      canvas.width = cell * this.cols;
      canvas.height = cell * this.rows;
    }
    this.frame.style.width = `${(cell * this.cols) / ratio}px`;
    this.frame.style.height = `${(cell * this.rows) / ratio}px`;
    this.el.style.width = this.frame.style.width;
    if (this.cells) this.paint(this.cells, this.table);
  }

  paint(cells, table) {
    this.cells = cells;
    this.table = table;
    if (!this.cell) return;
    const { words } = this;
    for (let k = 0; k < words.length; k++) words[k] = table[cells[k]];
    this.small.getContext("2d").putImageData(this.pixels, 0, 0);
    const context = this.picture.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.small, 0, 0, this.picture.width, this.picture.height);
  }

  // `draw(pen)` with a pen that counts in cells.
  mark(draw) {
    if (!this.cell) return;
    const context = this.marks.getContext("2d");
    context.clearRect(0, 0, this.marks.width, this.marks.height);
    const { cell, ratio } = this;
    draw({
      row: (i, colour) => {
        context.strokeStyle = colour;
        context.lineWidth = ratio;
        context.strokeRect(ratio / 2, i * cell - ratio / 2, this.marks.width - ratio, cell + ratio);
      },
      shade: (i, j, height, width, colour) => {
        context.fillStyle = colour;
        context.fillRect(j * cell, i * cell, width * cell, height * cell);
      },
      box: (i, j, colour, thick = 2) => {
        const w = thick * ratio;
        context.strokeStyle = colour;
        context.lineWidth = w;
        context.strokeRect(j * cell - w / 2, i * cell - w / 2, cell + w, cell + w);
      },
      outline: (i, j, height, width, colour, thick = 1) => {
        context.strokeStyle = colour;
        context.lineWidth = thick * ratio;
        context.strokeRect(j * cell, i * cell, width * cell, height * cell);
      },
      path: (points, colour, thick = 2) => {
        context.strokeStyle = colour;
        context.lineWidth = thick * ratio;
        context.lineJoin = "round";
        context.beginPath();
        points.forEach(([i, j], k) => context[k ? "lineTo" : "moveTo"]((j + 0.5) * cell, (i + 0.5) * cell));
        context.stroke();
      },
      dot: (i, j, colour, radius = 3) => {
        context.fillStyle = colour;
        context.beginPath();
        context.arc((j + 0.5) * cell, (i + 0.5) * cell, radius * ratio, 0, 7);
        context.fill();
      },
    });
  }
}

// A passage whose tokens can be pointed at and shaded.
class TokenStrip {
  constructor({ tokens, label, help, onPick, onToggle = () => {} }) {
    this.onPick = onPick;
    this.pick = 0;
    const prefix = `ax-${Math.random().toString(36).slice(2)}`;
    this.items = tokens.map(([text, joins], k) => {
      const item = node("span", { class: joins ? "ax-token ax-joins" : "ax-token", role: "option", id: `${prefix}-${k}` });
      item.textContent = text;
      item.addEventListener("pointerenter", (event) => {
        if (event.pointerType === "mouse") this.choose(k, false);
      });
      item.addEventListener("click", () => {
        this.choose(k, true);
        onToggle(k);
      });
      return item;
    });
    this.el = node("div", {
      class: "ax-tokens",
      role: "listbox",
      tabindex: "0",
      "aria-label": `${label}. ${help}`,
      "data-lm-suppress-shortcuts": "true",
    });
    this.items.forEach((item, k) => this.el.append(...(tokens[k][1] || k === 0 ? [item] : [" ", item])));
    this.el.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        onToggle(this.pick);
        return;
      }
      const last = this.items.length - 1;
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -last, End: last }[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.choose(clamp(this.pick + step, 0, last), true);
    });
  }

  choose(k, isFirm) {
    if (k === this.pick && !isFirm) return;
    this.onPick(k, isFirm);
  }

  // `codes` holds a byte a token from `start` on: its place on the theme's ramp.
  shade(codes, start, theme, pick, other) {
    this.items[this.pick].setAttribute("aria-selected", "false");
    this.pick = pick;
    this.items.forEach((item, k) => {
      const code = codes[start + k];
      item.style.backgroundColor = theme.rampStyle[code];
      item.style.color = theme.rampInk[code];
      item.classList.toggle("ax-query", k === pick);
      item.classList.toggle("ax-key", k === other);
    });
    this.items[pick].setAttribute("aria-selected", "true");
    this.el.setAttribute("aria-activedescendant", this.items[pick].id);
  }

  // Set apart the tokens for which `isSo(k)`.
  distinguish(isSo) {
    this.items.forEach((item, k) => item.classList.toggle("ax-hub", isSo(k)));
  }

  fade(isFaint) {
    this.items.forEach((item, k) => item.classList.toggle("ax-faint", isFaint(k)));
  }
}

// A few labelled bars; the rows are made once.
class Bars {
  constructor({ count, label = "" }) {
    this.title = node("div", { class: "ax-small-title" }, label);
    this.rows = Array.from({ length: count }, () => {
      const parts = ["ax-bar-label", "ax-bar-fill", "ax-bar-value"].map((name) => node("span", { class: name }));
      const track = node("span", { class: "ax-bar-track" }, parts[1]);
      return { parts, el: node("div", { class: "ax-bar" }, parts[0], track, parts[2]) };
    });
    this.el = node("div", { class: "ax-bars" }, this.title, ...this.rows.map((row) => row.el));
  }

  // `items` are [label, value from 0 to 1].
  show(title, items) {
    setText(this.title, title);
    this.rows.forEach(({ parts: [label, bar, value], el }, k) => {
      el.style.visibility = k < items.length ? "" : "hidden";
      if (k >= items.length) return;
      setText(label, items[k][0]);
      bar.style.transform = `scaleX(${items[k][1]})`;
      setText(value, decimals(items[k][1], 2));
    });
  }
}

// Lines over a logarithmic x axis, with a marker at the current x. The y axis runs from 0 to `high`,
// or to the largest value; or it is logarithmic between the two ends of `logY`, where what lies
// beyond is drawn at the edge.
class LineChart {
  constructor({ title, xLabel, ticks, logY = null, high = null }) {
    this.logY = logY;
    this.high = high;
    this.size = { width: 260, height: 160, left: 42, right: 14, top: 8, bottom: 34 };
    const { width, height } = this.size;
    this.svg = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "ax-chart", role: "img", "aria-label": title });
    this.axes = svg("g", { class: "ax-chart-axes" });
    this.lines = svg("g", { class: "ax-chart-lines" });
    this.marker = svg("line", { class: "ax-chart-marker" });
    this.dots = svg("g");
    this.svg.append(this.axes, this.marker, this.lines, this.dots);
    this.note = node("div", { class: "ax-chart-note" });
    this.el = node("div", { class: "ax-chart-box" }, node("div", { class: "ax-small-title" }, title), this.svg, this.note);
    Object.assign(this, { xLabel, ticks });
  }

  // `values` holds `count` rows of equal length, at x = 1, 2, 3 …
  show(array, colours, x, note) {
    const [count, length] = array.shape;
    const { width, height, left, right, top, bottom } = this.size;
    if (array !== this.array) {
      this.array = array;
      const [low, high] = this.logY ?? [0, this.high ?? array.values.reduce((a, b) => Math.max(a, b), 1)];
      const part = (value) => (this.logY ? Math.log(clamp(value, low, high) / low) / Math.log(high / low) : value / high);
      this.x = (value) => left + (Math.log(value) / Math.log(length)) * (width - left - right);
      this.y = (value) => height - bottom - part(value) * (height - top - bottom);
      this.axes.replaceChildren();
      const text = (content, place) => {
        const el = svg("text", place);
        el.textContent = content;
        this.axes.append(el);
      };
      const decades = () => Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, k) => low * 10 ** k);
      for (const value of this.logY ? decades() : [0, high / 2, high].map(Math.round)) {
        const y = this.y(value);
        this.axes.append(svg("line", { x1: left, x2: width - right, y1: y, y2: y }));
        text(show(value), { x: left - 5, y: y + 3.5, "text-anchor": "end" });
      }
      for (const value of this.ticks.filter((tick) => tick <= length)) text(whole(value), { x: this.x(value), y: height - bottom + 13, "text-anchor": "middle" });
      text(this.xLabel, { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" });
      this.marker.setAttribute("y1", top);
      this.marker.setAttribute("y2", height - bottom);
      this.lines.replaceChildren();
      this.dots.replaceChildren();
      for (let r = 0; r < count; r++) {
        let d = "";
        for (let k = 0; k < length; k++)
          d += `${k ? "L" : "M"}${this.x(k + 1).toFixed(1)},${this.y(array.values[r * length + k]).toFixed(1)}`;
        this.lines.append(svg("path", { d, style: `stroke: var(--ax-${colours[r]})` }));
        this.dots.append(svg("circle", { r: 3.5, style: `fill: var(--ax-${colours[r]})` }));
      }
    }
    this.marker.setAttribute("x1", this.x(x));
    this.marker.setAttribute("x2", this.x(x));
    [...this.dots.children].forEach((dot, r) => {
      dot.setAttribute("cx", this.x(x));
      dot.setAttribute("cy", this.y(array.values[r * length + x - 1]));
    });
    setText(this.note, note);
  }
}

// Curves over a linear or logarithmic x axis, with a band behind them and a marker at one point.
// Heights come as they are to be drawn (logarithms, say), and are clamped to the axis.
class CurveChart {
  constructor({ title, help, width = 320, height = 230, y: [low, high], yTicks, onPick }) {
    this.size = { width, height, left: 46, right: 14, top: 8, bottom: 36 };
    Object.assign(this, { low, high, onPick, at: 0 });
    this.svg = svg("svg", {
      viewBox: `0 0 ${width} ${height}`, class: "ax-chart ax-curves",
      ...(onPick ? { role: "application", tabindex: "0", "data-lm-suppress-shortcuts": "true" } : { role: "img" }),
      "aria-label": help ? `${title}. ${help}` : title,
    });
    this.axes = svg("g", { class: "ax-chart-axes" });
    this.band = svg("path", { class: "ax-chart-band" });
    this.lines = svg("g", { class: "ax-chart-lines" });
    this.marker = svg("line", { class: "ax-chart-marker", y1: 8, y2: height - 36 });
    this.dots = svg("g");
    this.svg.append(this.axes, this.band, this.marker, this.lines, this.dots);
    this.note = node("div", { class: "ax-chart-note" });
    this.el = node("div", { class: "ax-chart-box" }, node("div", { class: "ax-small-title" }, title), this.svg, this.note);
    this.yTicks = yTicks;
    if (!onPick) return;
    const pick = (isFirm) => (event) => {
      const box = this.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      const near = this.xs.map((value) => Math.abs(this.x(value) - x));
      onPick(near.indexOf(Math.min(...near)), isFirm);
    };
    this.svg.addEventListener("pointermove", (event) => event.pointerType === "mouse" && pick(false)(event));
    this.svg.addEventListener("pointerdown", pick(true));
    this.svg.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key]?.[1];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      onPick(clamp(this.at + (event.shiftKey ? 4 : 1) * step, 0, this.xs.length - 1), true);
    });
  }

  // `xs` are the places of the points, `lines` are [colour, heights]; `band` is [lows, highs].
  show({ xs, xTicks, xLabel, isLog = false, lines, band = null }) {
    const { width, height, left, right, top, bottom } = this.size;
    const part = (value) => (isLog ? Math.log(value / xs[0]) / Math.log(xs[xs.length - 1] / xs[0]) : (value - xs[0]) / (xs[xs.length - 1] - xs[0]));
    this.xs = xs;
    this.x = (value) => left + part(value) * (width - left - right);
    this.y = (value) => height - bottom - ((clamp(value, this.low, this.high) - this.low) / (this.high - this.low)) * (height - top - bottom);
    this.axes.replaceChildren();
    const text = (content, place) => {
      const el = svg("text", place);
      el.textContent = content;
      this.axes.append(el);
    };
    for (const [value, label] of this.yTicks) {
      this.axes.append(svg("line", { x1: left, x2: width - right, y1: this.y(value), y2: this.y(value) }));
      text(label, { x: left - 5, y: this.y(value) + 3.5, "text-anchor": "end" });
    }
    for (const value of xTicks) text(whole(value), { x: this.x(value), y: height - bottom + 14, "text-anchor": "middle" });
    text(xLabel, { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" });
    const path = (heights) => xs.map((value, k) => `${this.x(value).toFixed(1)},${this.y(heights[k]).toFixed(1)}`);
    this.band.setAttribute("d", band ? `M${[...path(band[0]), ...path(band[1]).reverse()].join("L")}Z` : "");
    this.lines.replaceChildren(...lines.map(([colour, heights]) => svg("path", { d: `M${path(heights).join("L")}`, style: `stroke: var(--ax-${colour})` })));
    this.dots.replaceChildren(...lines.map(([colour]) => svg("circle", { r: 3.5, style: `fill: var(--ax-${colour})` })));
    this.heights = lines.map(([, heights]) => heights);
  }

  mark(k) {
    this.at = k;
    const x = this.x(this.xs[k]);
    this.marker.setAttribute("x1", x);
    this.marker.setAttribute("x2", x);
    [...this.dots.children].forEach((dot, r) => {
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", this.y(this.heights[r][k]));
    });
  }
}

// Bars in falling order, a line at the last one that is kept; a bar can be pointed at.
class RankedBars {
  constructor({ count, label, onPick }) {
    this.size = { width: 260, height: 150, left: 34, right: 6, top: 8, bottom: 8 };
    const { width, height, left, right } = this.size;
    this.step = (width - left - right) / count;
    this.title = node("div", { class: "ax-small-title" });
    this.svg = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "ax-chart ax-ranked", role: "img", "aria-label": label });
    this.axes = svg("g", { class: "ax-chart-axes" });
    this.bars = Array.from({ length: count }, (_, rank) => svg("rect", { x: left + rank * this.step, width: 0.78 * this.step }));
    this.line = svg("line", { class: "ax-threshold", x1: left, x2: width - right });
    this.svg.append(this.axes, ...this.bars, this.line);
    this.note = node("div", { class: "ax-chart-note" });
    this.el = node("div", { class: "ax-chart-box" }, this.title, this.svg, this.note);
    const pick = (isFirm) => (event) => {
      const box = this.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      onPick(clamp(Math.floor((x - left) / this.step), 0, count - 1), isFirm);
    };
    this.svg.addEventListener("pointermove", (event) => event.pointerType === "mouse" && pick(false)(event));
    this.svg.addEventListener("click", pick(true));
  }

  // The axis, from `low` to `high`; it stays while the bars change.
  scale(low, high) {
    const { width, height, left, right, top, bottom } = this.size;
    this.y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
    const ticks = [low, ...(low < 0 && high > 0 ? [0] : []), high];
    this.axes.replaceChildren();
    for (const value of ticks) {
      const y = this.y(value);
      const text = svg("text", { x: left - 5, y: y + 3.5, "text-anchor": "end" });
      text.textContent = whole(value).replace("-", "−");
      this.axes.append(svg("line", { x1: left, x2: width - right, y1: y, y2: y }), text);
    }
    this.base = this.y(low);
  }

  // `values` in falling order, of which the first `kept` are kept; `marked` is a rank or null.
  show(title, values, kept, marked, note) {
    setText(this.title, title);
    setText(this.note, note);
    this.bars.forEach((bar, rank) => {
      const y = this.y(values[rank]);
      bar.setAttribute("y", y);
      bar.setAttribute("height", Math.max(0.5, this.base - y));
      bar.setAttribute("class", `${rank < kept ? "ax-kept" : "ax-dropped"}${rank === marked ? " ax-marked" : ""}`);
    });
    this.line.setAttribute("y1", this.y(values[kept - 1]));
    this.line.setAttribute("y2", this.y(values[kept - 1]));
  }
}

// One token at the top and, layer by layer downwards, all that has gone into it.
class LightCone {
  constructor({ cols, rowLabel, rowCount }) {
    Object.assign(this, { cols, rowLabel, rowCount });
    this.title = node("div", { class: "ax-small-title" });
    this.canvas = node("canvas", { role: "img" });
    this.frame = node("div", { class: "ax-cone" }, this.canvas);
    this.el = node("div", { class: "ax-cone-box" }, this.title, this.frame);
  }

  layout(available) {
    this.width = Math.min(available, 720);
    this.frame.style.width = `${this.width}px`;
  }

  // `reached(t, j)`: is j there t layers below the top? `reads(m, j)`: 0, or the place in `colours`
  // of the line from m to j, counted from 1.
  show({ title, layers, reached, reads, colours, theme }) {
    setText(this.title, title);
    this.canvas.setAttribute("aria-label", title);
    if (!this.width) return;
    const ratio = window.devicePixelRatio || 1;
    const rowHeight = clamp(200 / layers, 24, 60);
    const height = rowHeight * layers + 20;
    const [left, right] = [46, 26];
    this.frame.style.height = `${height}px`;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const step = (this.width - left - right) / this.cols;
    const x = (j) => left + (j + 0.5) * step;
    const y = (t) => 10 + t * rowHeight;
    const rows = Array.from({ length: layers + 1 }, (_, t) =>
      Array.from({ length: this.cols }, (_, j) => j).filter((j) => reached(t, j)),
    );
    colours.forEach((colour, k) => {
      context.strokeStyle = theme.hex(colour);
      context.globalAlpha = 0.38;
      context.lineWidth = 1;
      context.beginPath();
      for (let t = 0; t < layers; t++)
        for (const m of rows[t])
          for (const j of rows[t + 1])
            if (reads(m, j) === k + 1) {
              context.moveTo(x(m), y(t));
              context.lineTo(x(j), y(t + 1));
            }
      context.stroke();
    });
    context.globalAlpha = 1;
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const radius = Math.min(3, 0.42 * step);
    for (let t = 0; t <= layers; t++) {
      context.fillStyle = theme.hex("muted");
      context.textAlign = "left";
      context.fillText(this.rowLabel(layers - t), 0, y(t));
      context.textAlign = "right";
      context.fillText(this.rowCount(rows[t].length), this.width, y(t));
      const isThere = new Set(rows[t]);
      for (let j = 0; j < this.cols; j++) {
        context.fillStyle = theme.hex(isThere.has(j) ? "ink" : "line");
        context.beginPath();
        context.arc(x(j), y(t), isThere.has(j) ? radius : 0.5 * radius, 0, 7);
        context.fill();
      }
    }
  }
}

// Points in a disc, in a ring of arcs where they lie on a circle. A point can be chosen, or walked to.
class Disc {
  constructor({ label, help, onPick }) {
    this.half = 160;
    this.onPick = onPick;
    this.pick = 0;
    this.points = [];
    const { half } = this;
    this.svg = svg("svg", {
      viewBox: `${-half} ${-half} ${2 * half} ${2 * half}`,
      class: "ax-disc",
      role: "application",
      tabindex: "0",
      "aria-label": `${label}. ${help}`,
      "data-lm-suppress-shortcuts": "true",
    });
    this.arcs = svg("g");
    this.dots = svg("g");
    this.svg.append(svg("circle", { r: 132, class: "ax-rim" }), this.arcs, this.dots);
    this.el = this.svg;
    const nearest = (event) => {
      const box = this.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 2 * half - half;
      const y = ((event.clientY - box.top) / box.height) * 2 * half - half;
      const away = this.points.map(([a, b]) => (a - x) ** 2 + (b - y) ** 2);
      return away.indexOf(Math.min(...away));
    };
    this.svg.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || event.buttons) this.choose(nearest(event), false);
    });
    this.svg.addEventListener("pointerdown", (event) => this.choose(nearest(event), true));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowUp: 1, ArrowRight: 1, ArrowDown: -1 }[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const { length } = this.points;
      this.choose((this.pick + step + length) % length, true);
    });
  }

  choose(k, isFirm) {
    if (k === this.pick && !isFirm) return;
    this.onPick([k], isFirm);
  }

  // `xy` holds pairs from -1 to 1, y upwards.
  place(xy) {
    if (xy === this.xy) return;
    this.xy = xy;
    this.points = Array.from({ length: xy.shape[0] }, (_, k) => [120 * xy.values[2 * k], -120 * xy.values[2 * k + 1]]);
    this.dots.replaceChildren(...this.points.map(([cx, cy]) => svg("circle", { cx, cy, r: 5 })));
  }

  // `ring` holds a bucket for each degree, in runs; `own` is the bucket to stand out.
  border(ring, own) {
    const runs = [];
    for (let a = 0; a < ring.length; a++)
      if (a === 0 || ring[a] !== ring[a - 1]) runs.push([a, a + 1, ring[a]]);
      else runs[runs.length - 1][1] = a + 1;
    const at = (degree, radius) => {
      const angle = (degree * Math.PI) / 180;
      return `${(radius * Math.cos(angle)).toFixed(2)} ${(-radius * Math.sin(angle)).toFixed(2)}`;
    };
    this.arcs.replaceChildren(
      ...runs.map(([first, last, bucket], k) => {
        const large = last - first > 180 ? 1 : 0;
        const d = `M${at(first, 138)} A138 138 0 ${large} 0 ${at(last, 138)} L${at(last, 152)} A152 152 0 ${large} 1 ${at(first, 152)} Z`;
        return svg("path", { d, class: bucket === own ? "ax-own" : k % 2 ? "ax-odd" : "ax-even" });
      }),
    );
  }

  paint(classes) {
    [...this.dots.children].forEach((dot, k) => dot.setAttribute("class", classes[k]));
  }
}

// Two curves over even axes: one drawn as a line, one as dots; a value below 0 is missing.
class Curves {
  constructor({ title, xLabel, x, ticks }) {
    this.size = { width: 260, height: 170, left: 34, right: 12, top: 8, bottom: 34 };
    const { width, height, left, right, top, bottom } = this.size;
    const low = x[0];
    const high = x[x.length - 1];
    this.at = x;
    this.x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
    this.y = (value) => height - bottom - value * (height - top - bottom);
    this.svg = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "ax-chart", role: "img", "aria-label": title });
    const axes = svg("g", { class: "ax-chart-axes" });
    const text = (content, place) => {
      const el = svg("text", place);
      el.textContent = content;
      axes.append(el);
    };
    for (const value of [0, 0.5, 1]) {
      axes.append(svg("line", { x1: left, x2: width - right, y1: this.y(value), y2: this.y(value) }));
      text(show(value), { x: left - 5, y: this.y(value) + 3.5, "text-anchor": "end" });
    }
    for (const value of ticks) text(whole(value), { x: this.x(value), y: height - bottom + 13, "text-anchor": "middle" });
    text(xLabel, { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" });
    this.marker = svg("line", { class: "ax-chart-marker", y1: top, y2: height - bottom });
    this.lines = svg("g", { class: "ax-chart-lines" });
    this.line = svg("path", { style: "stroke: var(--ax-merged)" });
    this.lines.append(this.line);
    this.dots = svg("g", { class: "ax-chart-dots" });
    this.svg.append(axes, this.marker, this.lines, this.dots);
    this.note = node("div", { class: "ax-chart-note" });
    this.legend = new Legend();
    this.el = node("div", { class: "ax-chart-box" }, node("div", { class: "ax-small-title" }, title), this.svg, this.legend.el, this.note);
  }

  show(line, dots, marked, note, names) {
    this.line.setAttribute("d", [...line].map((y, k) => `${k ? "L" : "M"}${this.x(this.at[k]).toFixed(1)},${this.y(y).toFixed(1)}`).join(""));
    this.dots.replaceChildren(
      ...[...dots].flatMap((y, k) => (y < 0 ? [] : [svg("circle", { cx: this.x(this.at[k]).toFixed(1), cy: this.y(y).toFixed(1), r: 2.6 })])),
    );
    this.marker.setAttribute("x1", this.x(this.at[marked]));
    this.marker.setAttribute("x2", this.x(this.at[marked]));
    this.legend.show([["merged", names[0]], ["second", names[1]]]);
    setText(this.note, note);
  }
}

class Legend {
  constructor() {
    this.el = node("div", { class: "ax-legend" });
  }

  // `items` are [colour, words]; rebuilt only when they change.
  show(items) {
    const key = JSON.stringify(items);
    if (key === this.key) return;
    this.key = key;
    this.el.replaceChildren(
      ...items.map(([colour, words]) =>
        node("span", {}, node("i", { style: `background: var(--ax-${colour})` }), words),
      ),
    );
  }
}

// Labelled numbers. Plain boxes: pages have ideas of their own about definition lists.
class Readouts {
  constructor(labels) {
    this.values = labels.map(() => node("div", { class: "ax-readout" }));
    this.el = node("div", { class: "ax-readouts" });
    labels.forEach((label, k) =>
      this.el.append(node("div", {}, node("div", { class: "ax-readout-label" }, label), this.values[k])),
    );
  }

  show(texts) {
    texts.forEach((text, k) => setText(this.values[k], text));
  }
}

// Colours of codes about `zero`: those below it in another hue.
function signedTable(theme, { zero, top }) {
  const [above, below] = [theme.ramp, theme.blend(["ramp-0", "second"])];
  return Uint32Array.from({ length: 256 }, (_, code) => {
    const place = Math.min(255, Math.round((255 * Math.abs(code - zero)) / top));
    return (code < zero ? below : above)[place];
  });
}

const hint = (text) => node("div", { class: "ax-hint" }, text);

function rampLegend(words) {
  const ticks = [0, 0.01, 0.1, 0.25, 0.5, 1].map((weight) =>
    node("span", { style: `left: ${100 * Math.sqrt(weight)}%` }, String(weight)),
  );
  return node(
    "div",
    { class: "ax-ramp" },
    node("span", { class: "ax-ramp-label" }, words.ramp),
    node("div", { class: "ax-ramp-scale" }, node("div", { class: "ax-ramp-bar" }), ...ticks),
  );
}

// Controls --------------------------------------------------------------------------------------

const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
const show = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(+value.toFixed(4)) : String(value));

class ControlKit {
  constructor({ source, state, onChange, onReset }) {
    this.source = source;
    this.state = state;
    this.onChange = onChange;
    const { controls, words } = source.spec;
    this.words = words;
    this.parts = controls.map((control) => this.build(control));
    this.reset = this.button("ax-reset", onReset);
    this.reset.append(words.reset);
    this.el = node(
      "div",
      { class: "ax-controls", role: "group", "aria-label": words.controls },
      ...this.parts.map((part) => part.el),
      this.reset,
    );
    this.timer = null;
  }

  button(name, press) {
    const suppress = { "data-lm-suppress-shortcuts": "true" };
    return node("button", { type: "button", class: `ax-button ${name}`, onclick: press, ...suppress });
  }

  build(control) {
    const id = `ax-${control.name}-${Math.random().toString(36).slice(2)}`;
    const common = { id, "data-control": control.name, "data-lm-suppress-shortcuts": "true", title: control.help };
    const label = node("label", { for: id }, control.label);
    const part = { control };
    if (control.kind === "choice") {
      part.input = node("select", common);
      part.input.addEventListener("change", () => this.put(part, part.values[part.input.selectedIndex]));
      part.el = node("div", { class: "ax-control" }, label, part.input);
    } else if (control.kind === "toggle") {
      part.input = node("input", { type: "checkbox", ...common });
      part.input.addEventListener("change", () => this.put(part, part.input.checked));
      part.el = node("div", { class: "ax-control ax-toggle" }, part.input, label);
    } else if (control.kind === "positions") {
      part.input = node("input", { type: "text", inputmode: "numeric", autocomplete: "off", placeholder: this.words.none, ...common });
      part.input.addEventListener("change", () => {
        this.put(part, positions(control, part.input.value));
        this.sync();
      });
      part.el = node("div", { class: "ax-control" }, label, part.input);
    } else {
      part.input = node("input", { type: "range", ...common });
      // Screen readers have the value from the slider itself.
      part.output = node("span", { class: "ax-value", "aria-hidden": "true" });
      part.input.addEventListener("input", () => {
        this.stop();
        this.put(part, this.read(part));
      });
      const row = node("div", { class: "ax-row" }, part.input);
      if (control.play) {
        part.play = this.button("ax-play", () => this.toggle(part));
        row.prepend(part.play);
      }
      part.el = node("div", { class: "ax-control ax-range" }, node("div", {}, label, " ", part.output), row);
    }
    return part;
  }

  read(part) {
    const number = Number(part.input.value);
    return this.source.isLive ? number : part.values[number];
  }

  put(part, value) {
    if (same(this.state[part.control.name], value)) return;
    this.state[part.control.name] = value;
    this.onChange(part.control.name);
  }

  // The nearest value that there is.
  snap(control, values, value) {
    if (values.includes(value) || control.kind === "positions" || (this.source.isLive && control.kind !== "choice")) return value;
    if (control.kind !== "range") return values.includes(control.default) ? control.default : values[0];
    return values.reduce((best, next) => (Math.abs(next - value) < Math.abs(best - value) ? next : best));
  }

  // Brings every control in line with the state, and the state with what there is.
  sync() {
    for (const part of this.parts) {
      const { control, input } = part;
      const active = isActive(control, this.state);
      if (input.disabled === active) {
        input.disabled = !active;
        part.el.classList.toggle("ax-off", !active);
        if (part.play) part.play.disabled = !active;
      }
      if (active) {
        const values = this.source.choices(control, this.state);
        this.state[control.name] = this.snap(control, values, this.state[control.name]);
        this.offer(part, values);
      } else if (!part.values) this.offer(part, control.grid);
      const value = this.state[control.name];
      if (control.kind === "toggle") input.checked = value;
      else if (control.kind === "choice") input.selectedIndex = part.values.indexOf(value);
      else if (control.kind === "positions") input.value = value.join(", ");
      else {
        const place = String(this.source.isLive ? value : part.values.indexOf(value));
        if (input.value !== place) input.value = place;
        setText(part.output, show(value));
        input.setAttribute("aria-valuetext", show(value));
        this.dress(part);
      }
    }
  }

  offer(part, values) {
    const { control, input } = part;
    if (part.values && same(part.values, values)) return;
    part.values = values;
    if (control.kind === "choice") {
      const labels = new Map(control.options);
      input.replaceChildren(
        ...values.map((value) => {
          const option = node("option", { value: String(value) });
          option.textContent = labels.get(value);
          return option;
        }),
      );
    } else if (control.kind === "range") {
      input.min = this.source.isLive ? control.low : 0;
      input.max = this.source.isLive ? control.high : values.length - 1;
      input.step = this.source.isLive ? control.step : 1;
    }
  }

  dress(part) {
    if (!part.play) return;
    const isPlaying = this.playing === part;
    setText(part.play, isPlaying ? "❚❚" : "▶");
    const words = isPlaying ? this.words.pause_label : this.words.play_label;
    part.play.setAttribute("aria-label", fill(words, { label: part.control.label }));
    part.play.setAttribute("aria-pressed", String(isPlaying));
  }

  toggle(part) {
    if (this.playing === part) {
      this.stop();
      return;
    }
    this.stop();
    this.playing = part;
    this.dress(part);
    const values = part.values;
    this.timer = setInterval(() => {
      const now = this.state[part.control.name];
      const next = values.find((value) => value > now) ?? values[0];
      this.put(part, next);
    }, 500);
  }

  stop() {
    clearInterval(this.timer);
    const part = this.playing;
    this.playing = null;
    if (part) this.dress(part);
  }
}

// The state in the address: #key.name=value&…, beside those of other explorers -------------------

const HASH_DELAY = 250;

class Address {
  constructor(key) {
    this.key = key;
    this.timer = null;
  }

  static entries() {
    return location.hash.slice(1).split("&").filter((entry) => entry.includes("="));
  }

  read() {
    const found = {};
    for (const entry of Address.entries()) {
      const cut = entry.indexOf("=");
      const name = entry.slice(0, cut);
      if (!name.startsWith(`${this.key}.`)) continue;
      try {
        found[name.slice(this.key.length + 1)] = decodeURIComponent(entry.slice(cut + 1));
      } catch {
        // A mangled address is as good as none.
      }
    }
    return found;
  }

  // Browsers limit how often a page may do this, so a drag writes once, at its end.
  write(values) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const others = Address.entries().filter((entry) => !entry.startsWith(`${this.key}.`));
      const mine = Object.entries(values).map(([name, value]) => `${this.key}.${name}=${encodeURIComponent(value)}`);
      const hash = [...others, ...mine].join("&");
      if (!hash && !location.hash.includes("=")) return;
      history.replaceState(history.state, "", hash ? `#${hash}` : location.pathname + location.search);
    }, HASH_DELAY);
  }
}

function parse(control, text) {
  if (control.kind === "toggle") return text === "true";
  if (control.kind === "positions") return positions(control, text);
  const value = typeof control.default === "number" ? Number(text) : text;
  return Number.isNaN(value) ? control.default : value;
}

// The positions in a text, in rising order; what is none is left out.
function positions(control, text) {
  const found = new Set((text.match(/\d+/g) ?? []).map(Number));
  return [...found].filter((k) => k < control.count).sort((a, b) => a - b);
}

// What a picture may take of the width, so that a column of numbers fits beside it.
const SIDE = 264;
const beside = (width) => (width > 2.2 * SIDE ? width - SIDE : width);

// Labels at the whole powers of ten of an axis in logarithms.
function decadeTicks([low, high]) {
  const first = Math.ceil(low);
  return Array.from({ length: Math.floor(high) - first + 1 }, (_, k) => [first + k, show(10 ** (first + k))]);
}

// A few of some places that count up by one: the first, the last, and even steps between.
function stepTicks(xs) {
  const [first, last] = [xs[0], xs[xs.length - 1]];
  const step = [1, 2, 4, 8, 16].find((size) => (last - first) / size <= 5) ?? 16;
  const inner = xs.filter((x) => x % step === 0 && x > first && last - x >= step / 2 && x < last);
  return [first, ...inner, last];
}

// The views: (kit) -> { el, picks, draw(frame, state), point(pick), layout(width) } ----------------

const VIEWS = {
  AttentionOnText({ spec, say, choose }) {
    const { words, facts } = spec;
    const { tokens } = facts;
    const n = tokens.length;
    const label = (k) => tokens[k][0];
    const strip = new TokenStrip({ tokens, label: words.text, help: words.text_help, onPick: (i, firm) => choose([i, null], firm) });
    const matrix = new Matrix({
      rows: n, cols: n, width: 448, label: words.matrix, help: words.text_help, rowLabel: words.query, colLabel: words.key,
      legend: rampLegend(words),
      onPick: ([i, j], firm) => choose([i, j], firm),
    });
    const bars = new Bars({ count: 8 });
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.text_help),
      strip.el,
      matrix.el,
      node("div", { class: "ax-side" }, bars.el),
    );
    const order = Array.from({ length: n }, (_, k) => k);

    return {
      el,
      start: [facts.start, null],
      limits: [n, n],
      layout: (width) => matrix.layout(beside(width)),
      draw: ({ weights }, state, theme) => matrix.paint(weights.values, theme.ramp),
      point([i, j], { weights, effective }, state, theme) {
        matrix.pick = [i, j ?? i];
        const row = weights.values.subarray(i * n, (i + 1) * n);
        strip.shade(weights.values, i * n, theme, i, j);
        matrix.mark((pen) => {
          pen.row(i, theme.hex("second"));
          if (j !== null) pen.box(i, j, theme.hex("second"));
        });
        const top = order.slice().sort((a, b) => row[b] - row[a] || a - b);
        const seen = top.slice(0, 8).filter((k) => unroot(row[k]) >= 0.005);
        bars.show(fill(words.bars, { token: label(i) }), seen.map((k) => [label(k), unroot(row[k])]));
        const weight = (k) => decimals(unroot(row[k]), 2);
        const spread = decimals(effective.values[i], 1);
        if (j === null) {
          const best = seen.slice(0, 3).map((k) => fill(words.top, { token: label(k), weight: weight(k) }));
          say(fill(words.row, { token: label(i), i, top: best.join(", "), effective: spread }));
        } else say(fill(words.cell, { token: label(i), i, key: label(j), j, weight: weight(j), effective: spread }));
      },
    };
  },

  TopKSelection({ spec, say, choose }) {
    const { words, facts } = spec;
    const { n, tokens } = facts;
    const label = (k) => tokens[k][0];
    const minus = (x) => decimals(x, 1).replace("-", "−");
    const percent = (x) => decimals(100 * x, x < 0.0995 ? 1 : 0);
    const strip = new TokenStrip({ tokens, label: words.text, help: words.text_help, onPick: (i, firm) => choose([i, null], firm) });
    const legend = new Legend();
    const matrix = new Matrix({
      rows: n, cols: n, width: 448, label: words.matrix, help: words.text_help, rowLabel: words.query, colLabel: words.key,
      legend: node("div", {}, rampLegend(words), legend.el),
      onPick: choose,
    });
    const readouts = new Readouts([words.mass, words.moved, words.nobody, fill(words.pairs, { cells: whole(facts.cells) })]);
    let now = { order: null, query: 0 };
    const bars = new RankedBars({ count: n, label: words.bars_label, onPick: (rank, firm) => choose([now.query, now.order[rank]], firm) });
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.text_help),
      strip.el,
      matrix.el,
      node("div", { class: "ax-side" }, readouts.el, bars.el),
    );
    const cells = new Uint16Array(n * n);
    const ranks = new Uint8Array(n * n);
    const DROPPED = 256;

    return {
      el,
      start: [facts.start, null],
      limits: [n, n],
      layout: (width) => matrix.layout(beside(width)),
      draw({ weights, order, scores, mass, head_moved, chosen_by }, { topk }, theme) {
        for (let i = 0; i < n; i++)
          for (let rank = 0; rank < n; rank++) {
            const at = i * n + order.values[i * n + rank];
            ranks[at] = rank;
            cells[at] = weights.values[at] + (rank < topk ? 0 : DROPPED);
          }
        const table = new Uint32Array(2 * DROPPED);
        table.set(theme.ramp);
        table.set(theme.blend(["ramp-0", "lost", "lost-edge"]), DROPPED);
        matrix.paint(cells, table);
        const unread = chosen_by.values.filter((count) => count === 0).length;
        legend.show([["lost-edge", words.dropped], ["unread", words.unread]]);
        readouts.show([
          fill(words.mass_value, { mass: percent(mass.values.reduce((a, b) => a + b) / n) }),
          fill(words.moved_value, { moved: percent(head_moved.values[0]) }),
          fill(words.nobody_value, { count: unread, n }),
          fill(words.pairs_value, { pairs: whole(n * topk) }),
        ]);
        bars.scale(Math.floor(Math.min(...scores.values)), Math.ceil(Math.max(...scores.values)));
      },
      point([i, j], { weights, order, scores, mass, moved, chosen_by }, { topk }, theme) {
        matrix.pick = [i, j ?? i];
        const keys = order.values.subarray(i * n, (i + 1) * n);
        const row = scores.values.subarray(i * n, (i + 1) * n);
        const rank = j === null ? null : ranks[i * n + j];
        now = { order: keys, query: i };
        strip.shade(weights.values, i * n, theme, i, j);
        strip.fade((k) => ranks[i * n + k] >= topk);
        matrix.mark((pen) => {
          for (let k = 0; k < n; k++) if (chosen_by.values[k] === 0) pen.shade(0, k, n, 1, theme.hex("unread"));
          pen.row(i, theme.hex("second"));
          if (j !== null) pen.box(i, j, theme.hex("second"));
        });
        const threshold = minus(row[topk - 1]);
        const note = fill(words.bars_note, { threshold, topk, n });
        const pointed = rank === null ? "" : fill(words.bar, { key: label(j), rank: rank + 1, score: minus(row[rank]) });
        bars.show(fill(words.bars, { token: label(i) }), row, topk, rank, pointed || note);
        const weight = (k) => decimals(unroot(weights.values[i * n + k]), 2);
        const query = { token: label(i), i };
        if (j === null) {
          const top = [...keys.subarray(0, Math.min(3, topk))].map((k) => fill(words.top, { token: label(k), weight: weight(k) }));
          say(fill(words.row, { ...query, top: top.join(", "), mass: decimals(mass.values[i], 2), moved: percent(moved.values[i]) }));
        } else {
          const pair = { ...query, key: label(j), j, rank: rank + 1, score: minus(row[rank]), weight: weight(j), threshold };
          say(fill(rank < topk ? words.kept : words.lost, pair));
        }
      },
    };
  },

  LunaPacking({ spec, say, choose }) {
    const { words, facts } = spec;
    const { tokens } = facts;
    const n = tokens.length;
    const label = (k) => tokens[k][0];
    const strip = new TokenStrip({ tokens, label: words.text, help: words.help, onPick: (i, firm) => choose([i, at[1]], firm) });
    // A slot is a band of rows, or of columns, so that all pictures have one size.
    const matrix = (name, onPick) =>
      new Matrix({ rows: n, cols: n, width: 320, label: words[name], help: words.help, rowLabel: words[name], colLabel: words.axes, onPick });
    const full = matrix("full", choose);
    const luna = matrix("luna", choose);
    const linformer = matrix("linformer", choose);
    const pack = matrix("pack", ([, j], firm) => choose([at[0], j], firm));
    const unpack = matrix("unpack", ([i], firm) => choose([i, at[1]], firm));
    const all = [full, luna, linformer, pack, unpack];
    const bars = new Bars({ count: 6 });
    const readouts = new Readouts([words.error_luna, words.error_linformer, words.error_best]);
    const chart = new LineChart({ title: words.chart, xLabel: words.chart_x, ticks: [1, 2, 4, 8, 16, 32], logY: facts.errors });
    const legend = new Legend();
    const colours = ["merged", "second", "lost-edge"];
    legend.show(colours.map((colour, k) => [colour, words[`name_${facts.methods[k]}`]]));
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.help),
      strip.el,
      full.el,
      luna.el,
      linformer.el,
      unpack.el,
      pack.el,
      node("div", { class: "ax-side ax-wide" }, bars.el),
      node("div", { class: "ax-side" }, chart.el),
      node("div", { class: "ax-side" }, readouts.el, legend.el),
    );
    let at = facts.start;
    let order = [];
    const two = (code) => decimals(unroot(code), 2);

    return {
      el,
      start: facts.start,
      limits: [n, n],
      layout(width) {
        for (const one of all) one.layout(width < 536 ? (width - 16) / 2 : (width - 48) / 3);
      },
      draw(frame, { slots }, theme) {
        const band = (k) => Math.floor((k * slots) / n);
        const [rows, columns] = [new Uint8Array(n * n), new Uint8Array(n * n)];
        for (let i = 0, k = 0; i < n; i++)
          for (let j = 0; j < n; j++, k++) {
            rows[k] = frame.pack.values[band(i) * n + j];
            columns[k] = frame.unpack.values[i * slots + band(j)];
          }
        full.paint(frame.full.values, theme.ramp);
        luna.paint(frame.luna.values, theme.ramp);
        linformer.paint(frame.linformer.values, theme.ramp);
        pack.paint(rows, theme.ramp);
        unpack.paint(columns, theme.ramp);
        setText(linformer.el.querySelector(".ax-axes span"), fill(words.linformer, { slots }));
        // What is in a slot: its heaviest tokens, each word once.
        order = Array.from({ length: slots }, (_, s) => {
          const row = frame.pack.values.subarray(s * n, (s + 1) * n);
          const top = Array.from({ length: n }, (_, j) => j).sort((a, b) => row[b] - row[a] || a - b);
          return [...new Set(top.slice(0, 6).filter((j) => row[j] && row[j] >= row[top[0]] / 4).map(label))].slice(0, 4);
        });
        const [a, b, c] = facts.methods.map((_, k) => decimals(frame.errors.values[k * n + slots - 1], 2));
        readouts.show([a, b, c].map((error) => fill(words.error_value, { error })));
        chart.show(frame.errors, colours, slots, fill(words.chart_now, { slots, luna: a, linformer: b }));
      },
      point([i, j], frame, { slots }, theme) {
        at = [i, j];
        const ink = theme.hex("second");
        for (const one of all) one.pick = [i, j];
        for (const one of [full, luna, linformer])
          one.mark((pen) => {
            pen.row(i, ink);
            pen.box(i, j, ink);
          });
        pack.mark((pen) => pen.shade(0, j, n, 1, theme.hex("beam")));
        unpack.mark((pen) => pen.row(i, ink));
        strip.shade(frame.luna.values, i * n, theme, i, j);
        const share = frame.unpack.values.subarray(i * slots, (i + 1) * slots);
        const best = Array.from({ length: slots }, (_, s) => s).sort((a, b) => share[b] - share[a] || a - b);
        const read = best.slice(0, 6).filter((s) => unroot(share[s]) >= 0.005);
        bars.show(
          fill(words.bars, { query: label(i) }),
          read.map((s) => [fill(words.slot, { slot: s, tokens: order[s].join(", ") }), unroot(share[s])]),
        );
        const k = i * n + j;
        say(
          fill(words.cell, {
            query: label(i), i, key: label(j), j, slot: best[0], share: two(share[best[0]]),
            full: two(frame.full.values[k]), luna: two(frame.luna.values[k]), linformer: two(frame.linformer.values[k]),
          }),
        );
      },
    };
  },

  FeatureTemplates({ spec, say, choose }) {
    const { words, facts } = spec;
    const { tokens, features } = facts;
    const n = tokens.length;
    const band = n / features; // a feature is a band of rows or columns, so that all pictures have one size
    const label = (k) => tokens[k][0];
    const two = (code) => decimals(unroot(code), 2);
    const strip = (name) => new TokenStrip({ tokens, label: words[name], help: words.help, onPick: (i, firm) => choose([i, at[1], null], firm) });
    const matrix = (name, onPick) =>
      new Matrix({ rows: n, cols: n, width: 384, label: words[name], help: words.help, rowLabel: words[name], colLabel: words.axes, onPick });
    const feature = (k) => Math.floor(k / band);
    const ofTemplate = strip("template_text");
    const ofRow = strip("row_text");
    const templates = matrix("templates", ([c, j], firm) => choose([at[0], feature(c), j], firm));
    const mixtures = matrix("mixtures", ([i, c], firm) => choose([i, feature(c), null], firm));
    const weights = matrix("weights", ([i, j], firm) => choose([i, at[1], j], firm));
    const full = matrix("full", ([i, j], firm) => choose([i, at[1], j], firm));
    const titles = [hint(""), hint("")];
    const mixed = new Bars({ count: 6 });
    const reads = new Bars({ count: 6 });
    const soft = new Bars({ count: 6 });
    const readouts = new Readouts([words.error, words.mean, words.spread, words.spread_full]);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.help),
      titles[0],
      ofTemplate.el,
      titles[1],
      ofRow.el,
      templates.el,
      mixtures.el,
      weights.el,
      full.el,
      node("div", { class: "ax-side ax-wide" }, mixed.el),
      node("div", { class: "ax-side" }, readouts.el),
      node("div", { class: "ax-side" }, reads.el),
      node("div", { class: "ax-side" }, soft.el),
    );
    let at = facts.start;
    let order = [];
    const ranked = (row) => Array.from({ length: row.length }, (_, k) => k).sort((a, b) => row[b] - row[a] || a - b);
    const rowOf = (array, k, length) => array.values.subarray(k * length, (k + 1) * length);

    return {
      el,
      start: facts.start,
      limits: [n, features, n],
      layout(width) {
        for (const one of [templates, mixtures, weights, full]) one.layout((width - 24) / 2);
      },
      draw(frame, state, theme) {
        const [rows, columns] = [new Uint8Array(n * n), new Uint8Array(n * n)];
        for (let i = 0, k = 0; i < n; i++)
          for (let j = 0; j < n; j++, k++) {
            rows[k] = frame.templates.values[feature(i) * n + j];
            columns[k] = frame.mixtures.values[i * features + feature(j)];
          }
        templates.paint(rows, theme.ramp);
        mixtures.paint(columns, theme.ramp);
        weights.paint(frame.weights.values, theme.ramp);
        full.paint(frame.full.values, theme.ramp);
        // What a template is highest on: its heaviest words, each once.
        order = Array.from({ length: features }, (_, c) => [...new Set(ranked(rowOf(frame.templates, c, n)).slice(0, 6).map(label))].slice(0, 3));
        const mean = (k) => rowOf(frame.spread, k, n).reduce((sum, x) => sum + x, 0) / n;
        const numbers = [...frame.errors.values].map((x) => decimals(x, 2)).concat([0, 1].map((k) => decimals(mean(k), 1)));
        readouts.show(numbers.map((value) => fill(words.value, { value })));
      },
      point([i, c, j], frame, state, theme) {
        at = [i, c, j];
        const ink = theme.hex("second");
        const cell = j ?? i;
        weights.pick = full.pick = [i, cell];
        templates.pick = [c * band, cell];
        mixtures.pick = [i, c * band];
        for (const one of [weights, full])
          one.mark((pen) => {
            pen.row(i, ink);
            if (j !== null) pen.box(i, j, ink);
          });
        templates.mark((pen) => pen.outline(c * band, 0, band, n, ink, 2));
        mixtures.mark((pen) => {
          pen.row(i, ink);
          pen.outline(i, c * band, 1, band, ink, 2);
        });
        ofTemplate.shade(frame.templates.values, c * n, theme, i, j);
        ofRow.shade(frame.weights.values, i * n, theme, i, j);
        setText(titles[0], fill(words.template_text, { feature: c }));
        setText(titles[1], fill(words.row_text, { query: label(i) }));
        const shares = rowOf(frame.mixtures, i, features);
        const bars = (row, name) => ranked(row).slice(0, 6).filter((k) => unroot(row[k]) >= 0.005).map((k) => [name(k), unroot(row[k])]);
        const named = (k) => fill(words.feature, { feature: k, tokens: order[k].join(", ") });
        mixed.show(fill(words.bars, { query: label(i) }), bars(shares, named));
        reads.show(words.here, bars(rowOf(frame.weights, i, n), label));
        soft.show(words.there, bars(rowOf(frame.full, i, n), label));
        const common = { query: label(i), i, feature: c, share: two(shares[c]) };
        if (j === null) {
          const [here, there] = [0, 1].map((k) => decimals(frame.spread.values[k * n + i], 1));
          say(fill(words.row, { ...common, tokens: order[c].join(", "), here, there }));
        } else {
          const given = (array, k) => two(array.values[k * n + j]);
          say(
            fill(words.cell, {
              ...common, key: label(j), j, weight: given(frame.weights, i), full: given(frame.full, i), template: given(frame.templates, c),
            }),
          );
        }
      },
    };
  },

  LowRankAttention({ spec, say, choose }) {
    const { words, facts } = spec;
    const n = facts.cells;
    const plan = { rows: n, cols: n, width: 340, help: words.help, colLabel: words.axes, onPick: choose };
    const full = new Matrix({ ...plan, label: words.full, rowLabel: words.full });
    const rebuilt = new Matrix({ ...plan, label: words.rebuilt, rowLabel: words.rebuilt });
    const note = hint("");
    const readouts = new Readouts([words.share, words.error, words.negative, words.sums]);
    const ticks = [1, 4, 16, 64, 256];
    const spectrum = new LineChart({ title: words.spectrum, xLabel: words.spectrum_x, ticks });
    const errors = new LineChart({ title: words.errors, xLabel: words.errors_x, ticks, logY: facts.errors });
    const legend = new Legend();
    const colours = ["merged", "second", "lost-edge"];
    const names = [words.svd, words.random, words.linformer];
    legend.show(colours.map((colour, k) => [colour, names[k]]));
    const el = node(
      "div",
      { class: "ax-stage" },
      note,
      full.el,
      rebuilt.el,
      node("div", { class: "ax-side" }, readouts.el, spectrum.el),
      node("div", { class: "ax-side" }, errors.el, legend.el),
    );
    const value = (code) => unsign(code, facts);
    const stretch = ({ length }, k) => {
      const size = length / n;
      const [first, last] = facts.stretches[length][k];
      return { places: `${k * size}–${k * size + size - 1}`, text: fill(words.more, { first, last }) };
    };
    const signed = (x) => decimals(x, 2).replace("-", "−");

    return {
      el,
      start: facts.start,
      limits: [n, n],
      layout(width) {
        for (const matrix of [full, rebuilt]) matrix.layout(width < 536 ? width : (width - 24) / 2);
      },
      draw(frame, state, theme) {
        const table = signedTable(theme, facts);
        full.paint(frame.full.values, table);
        rebuilt.paint(frame.rebuilt.values, table);
        setText(note, `${words.help} ${fill(words.hint, { size: state.length / n })}`);
        const [share, error, negative, sums] = frame.facts.values;
        const rank = Math.min(state.rank, state.length);
        readouts.show([
          fill(words.share_value, { share: decimals(share, 0) }),
          fill(words.error_value, { error: decimals(error, 2) }),
          fill(words.negative_value, { negative: decimals(negative, 0) }),
          fill(words.sums_value, { sums: decimals(sums, 2) }),
        ]);
        spectrum.show(frame.spectrum, ["merged"], rank, fill(words.spectrum_now, { rank, share: decimals(share, 0) }));
        const method = names[facts.methods.indexOf(state.method)];
        errors.show(frame.errors, colours, rank, fill(words.errors_now, { rank, error: decimals(error, 2), method }));
      },
      point([i, j], frame, state, theme) {
        for (const matrix of [full, rebuilt]) {
          matrix.pick = [i, j];
          matrix.mark((pen) => {
            pen.row(i, theme.hex("second"));
            pen.box(i, j, theme.hex("second"));
          });
        }
        const [query, key] = [stretch(state, i), stretch(state, j)];
        const at = i * n + j;
        say(
          fill(words.cell, {
            i: query.places, query: query.text, j: key.places, key: key.text,
            full: signed(value(frame.full.values[at])), rebuilt: signed(value(frame.rebuilt.values[at])),
            rank: Math.min(state.rank, state.length),
          }),
        );
      },
    };
  },

  LongformerWindow({ spec, say, choose, put }) {
    const { words, facts } = spec;
    const { tokens } = facts;
    const n = tokens.length;
    const label = (k) => tokens[k][0];
    let hubs = [];
    const strip = new TokenStrip({
      tokens, label: words.text, help: words.text_help,
      onPick: (i, firm) => choose([i, null], firm),
      onToggle: (k) => put("global_tokens", hubs.includes(k) ? hubs.filter((g) => g !== k) : [...hubs, k].sort((a, b) => a - b)),
    });
    const cone = new LightCone({
      cols: n,
      rowLabel: (layer) => (layer ? fill(words.cone_layer, { layer }) : words.cone_text),
      rowCount: whole,
    });
    const legend = new Legend();
    const matrix = new Matrix({
      rows: n, cols: n, width: 448, label: words.matrix, help: words.matrix_help, rowLabel: words.query, colLabel: words.key,
      legend: legend.el,
      onPick: choose,
    });
    const readouts = new Readouts([fill(words.pairs, { cells: whole(n * n) }), words.row, words.field, words.gaps]);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.text_help),
      strip.el,
      cone.el,
      matrix.el,
      node("div", { class: "ax-side" }, readouts.el),
    );
    // For every pair: in how many layers j reaches i, the global token on the way (or none), and a
    // class: 0 not reached, 1 read in the window, 2 read as or by a global token, 3 reached.
    const arrival = new Uint8Array(n * n);
    const through = new Int16Array(n * n);
    const cells = new Uint8Array(n * n);
    const shades = new Uint8Array(n);

    return {
      el,
      start: [facts.start, null],
      limits: [n, n],
      layout(width) {
        matrix.layout(beside(width));
        cone.layout(width);
      },
      draw({ steps, as_key, as_query }, state, theme) {
        hubs = state.global_tokens;
        const isHub = (k) => hubs.includes(k);
        for (let i = 0, at = 0; i < n; i++)
          for (let j = 0; j < n; j++, at++) {
            arrival[at] = steps.values[at];
            through[at] = -1;
            const meet = (layers, g) => {
              if (layers >= arrival[at]) return;
              arrival[at] = layers;
              through[at] = g;
            };
            if (isHub(i) && as_query.values[at]) meet(1, i);
            if (isHub(j) && as_key.values[at]) meet(1, j);
            if (arrival[at] > 2)
              for (const g of hubs) if (as_key.values[i * n + g] && as_query.values[g * n + j]) meet(2, g);
            const direct = through[at] < 0 ? 1 : 2;
            cells[at] = arrival[at] <= 1 ? direct : arrival[at] <= state.layers ? 3 : 0;
          }
        matrix.paint(cells, theme.table(["future", "merged", "summary", "reached"]));
        legend.show([
          ["merged", words.window],
          ...(hubs.length ? [["summary", words.global]] : []),
          ["reached", fill(words.reached, { layers: state.layers })],
          ["future", words.unreached],
        ]);
      },
      point([i, j], frame, state, theme) {
        matrix.pick = [i, j ?? i];
        const { layers } = state;
        const row = i * n;
        const field = [];
        let keys = 0;
        for (let k = 0; k < n; k++) {
          const steps = arrival[row + k];
          if (steps <= layers) field.push(k);
          if (steps <= 1) keys++;
          shades[k] = steps <= layers ? Math.round(230 - (170 * steps) / (layers + 1)) : 0;
        }
        const first = field[0];
        const last = field[field.length - 1];
        const gaps = last - first + 1 - field.length;
        strip.shade(shades, 0, theme, i, j);
        strip.distinguish((k) => hubs.includes(k));
        cone.show({
          title: fill(words.cone, { token: label(i), i }),
          layers,
          reached: (t, k) => arrival[row + k] <= t,
          reads: (m, k) => (cells[m * n + k] < 3 ? cells[m * n + k] : 0),
          colours: ["merged", "summary"],
          theme,
        });
        matrix.mark((pen) => {
          pen.row(i, theme.hex("second"));
          if (j !== null) pen.box(i, j, theme.hex("second"));
        });
        let pairs = 0;
        for (const kind of cells) if (kind === 1 || kind === 2) pairs++;
        readouts.show([
          fill(words.pairs_value, { pairs: whole(pairs), share: decimals((100 * pairs) / (n * n), 1) }),
          fill(words.row_value, { row: keys, n }),
          fill(words.field_value, { field: field.length, n }),
          fill(words.gaps_value, { gaps }),
        ]);
        const names = { token: label(i), i, layers };
        if (j === null) {
          const missing = gaps ? fill(words.say_gaps, { gaps }) : "";
          say(fill(words.say_row, { ...names, row: keys, field: field.length, first, last, gaps: missing }));
          return;
        }
        const steps = arrival[row + j];
        const g = through[row + j];
        Object.assign(names, { key: label(j), j, steps, hub: g < 0 ? "" : label(g), g });
        if (state.causal && j > i) say(fill(words.say_future, names));
        else if (steps === facts.never) say(fill(words.say_never, names));
        else if (steps > layers) say(fill(g < 0 ? words.say_far : words.say_hub_far, names));
        else if (steps <= 1) say(fill(g < 0 ? words.say_window : words.say_global, names));
        else say(fill(g < 0 ? words.say_steps : words.say_hops, names));
      },
    };
  },

  KernelFeatures({ spec, say, choose }) {
    const { words, facts } = spec;
    const { bottom } = facts;
    const powers = [-4, -2, 0, 2, 4, 6];
    const chart = new CurveChart({
      title: words.chart, help: words.help, y: [-4, 6],
      yTicks: powers.map((power) => [power, power ? `10${[...String(power)].map((c) => "⁻⁰¹²³⁴⁵⁶"["-0123456".indexOf(c)]).join("")}` : "1"]),
      onPick: (k, isFirm) => choose([0, k], isFirm),
    });
    const legend = new Legend();
    legend.show([["local", words.true], ["second", words.estimate], ["reached", words.band]]);
    const readouts = new Readouts([words.says, words.error, words.negative]);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(`${words.help} ${words.floor}`),
      chart.el,
      node("div", { class: "ax-side" }, readouts.el, legend.el),
    );
    const number = (power) => (power <= bottom ? words.below : show(Number((10 ** power).toPrecision(2))));
    const half = (array, k) => array.values.subarray(k * facts.points, (k + 1) * facts.points);

    return {
      el,
      start: facts.start,
      limits: [1, facts.points],
      layout() {},
      draw(frame, state) {
        const [first, last] = facts.ends[state.sweep];
        chart.show({
          xs: Array.from({ length: facts.points }, (_, k) => first + ((last - first) * k) / (facts.points - 1)),
          xTicks: facts.ticks[state.sweep],
          xLabel: state.sweep === "angle" ? words.angle : words.length,
          lines: [["local", frame.true.values], ["second", frame.estimate.values]],
          band: [half(frame.band, 0), half(frame.band, 1)],
        });
      },
      point([, k], frame, state) {
        chart.mark(k);
        const [true_, estimate] = [frame.true.values[k], frame.estimate.values[k]];
        readouts.show([
          estimate <= bottom ? words.below : number(estimate - true_),
          frame.error.values[k] <= -4 ? "0" : number(frame.error.values[k]),
          fill(words.negative_value, { share: frame.negative.values[k] }),
        ]);
        say(
          fill(state.sweep === "angle" ? words.point_angle : words.point_length, {
            x: show(chart.xs[k]), m: state.features, true: number(true_), estimate: number(estimate),
            low: number(half(frame.band, 0)[k]), high: number(half(frame.band, 1)[k]),
          }),
        );
      },
    };
  },

  EstimatedAttention({ spec, say, choose }) {
    const { words, facts } = spec;
    const n = facts.cells;
    const plan = { rows: n, cols: n, width: 340, help: words.help, colLabel: words.axes, onPick: choose };
    const full = new Matrix({ ...plan, label: words.full, rowLabel: words.full });
    const title = fill(words.estimate, { m: "m" });
    const estimate = new Matrix({ ...plan, label: title, rowLabel: title });
    const readouts = new Readouts([words.error, words.largest, words.norms]);
    const chart = new CurveChart({
      title: words.chart, width: 280, height: 180, y: [-2, 1],
      yTicks: [[-2, "0.01"], [-1, "0.1"], [0, "1"], [1, "10"]],
    });
    const legend = new Legend();
    const colours = ["local", "summary", "second"];
    legend.show(colours.map((colour, k) => [colour, [words.positive, words.independent, words.trig][k]]));
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(`${words.help} ${words.hint}`),
      full.el,
      estimate.el,
      node("div", { class: "ax-side" }, readouts.el),
      node("div", { class: "ax-side" }, chart.el, legend.el),
    );
    const value = (code) => unsign(code, facts);
    const signed = (x) => decimals(x, 2).replace("-", "−");

    return {
      el,
      start: facts.start,
      limits: [n, n],
      layout(width) {
        for (const matrix of [full, estimate]) matrix.layout(width < 536 ? width : (width - 24) / 2);
      },
      draw(frame, state, theme) {
        const table = signedTable(theme, facts);
        full.paint(frame.full.values, table);
        estimate.paint(frame.estimate.values, table);
        const [error, near, top, q, k] = frame.facts.values;
        readouts.show([
          decimals(error, 2),
          fill(words.largest_value, { near: decimals(near, 2), full: decimals(top, 2) }),
          fill(words.norms_value, { q: decimals(q, 1), k: decimals(k, 1) }),
        ]);
        const count = facts.counts.length;
        chart.show({
          xs: facts.counts, isLog: true, xTicks: [4, 16, 64, 256, 1024], xLabel: words.chart_x,
          lines: colours.map((colour, r) => [colour, frame.errors.values.subarray(r * count, (r + 1) * count)]),
        });
        const near_m = facts.counts.map((m) => Math.abs(Math.log(m / state.features)));
        chart.mark(near_m.indexOf(Math.min(...near_m)));
      },
      point([i, j], frame, state, theme) {
        for (const matrix of [full, estimate]) {
          matrix.pick = [i, j];
          matrix.mark((pen) => {
            pen.row(i, theme.hex("second"));
            pen.box(i, j, theme.hex("second"));
          });
        }
        const pair = (k) => `${facts.tokens[2 * k]} ${facts.tokens[2 * k + 1]}`;
        say(
          fill(words.cell, {
            i: 2 * i, i2: 2 * i + 1, query: pair(i), j: 2 * j, j2: 2 * j + 1, key: pair(j), m: state.features,
            full: signed(value(frame.full.values[i * n + j])), near: signed(value(frame.estimate.values[i * n + j])),
          }),
        );
      },
    };
  },

  CosineReweighting({ spec, say, choose }) {
    const { words, facts } = spec;
    const { n } = facts;
    const plan = { rows: n, cols: n, width: 340, help: words.help, colLabel: words.axes, onPick: choose };
    const full = new Matrix({ ...plan, label: words.full, rowLabel: words.full });
    const weights = new Matrix({ ...plan, label: words.weights, rowLabel: words.weights });
    const readouts = new Readouts([words.negative, words.sums, words.largest, words.spread]);
    const chart = new CurveChart({ title: words.chart, width: 300, height: 200, y: facts.ends, yTicks: facts.ticks });
    const legend = new Legend();
    legend.show([["local", words.chart_full], ["second", words.chart_weights]]);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(`${words.help} ${words.hint}`),
      full.el,
      weights.el,
      node("div", { class: "ax-side" }, readouts.el),
      node("div", { class: "ax-side" }, chart.el, legend.el),
    );
    const signed = (code) => decimals(unsign(code, facts), 2).replace("-", "−");

    return {
      el,
      start: facts.start,
      limits: [n, n],
      layout(width) {
        for (const matrix of [full, weights]) matrix.layout(width < 536 ? width : (width - 24) / 2);
      },
      draw(frame, state, theme) {
        const table = signedTable(theme, facts);
        full.paint(frame.full.values, table);
        weights.paint(frame.weights.values, table);
        const [negative, sums, largest, spread, all] = frame.facts.values;
        readouts.show([
          fill(words.negative_value, { negative: decimals(negative, 0) }),
          fill(words.sums_value, { sums, n }),
          largest < 10 ? decimals(largest, 2) : whole(Math.round(largest)),
          fill(words.spread_value, { spread: spread < 0 ? words.no_spread : decimals(spread, 1), full: decimals(all, 1) }),
        ]);
        chart.show({
          xs: Array.from({ length: n }, (_, apart) => apart), xTicks: [0, 16, 32, 48, 63], xLabel: words.chart_x,
          lines: [["local", frame.full_profile.values], ["second", frame.profile.values]],
        });
      },
      point([i, j], frame, state, theme) {
        for (const matrix of [full, weights]) {
          matrix.pick = [i, j];
          matrix.mark((pen) => {
            pen.row(i, theme.hex("second"));
            pen.box(i, j, theme.hex("second"));
          });
        }
        const apart = Math.abs(i - j);
        chart.mark(apart);
        const factor = decimals(frame.factor.values[apart], 2).replace("-", "−");
        const [from, to] = [frame.full, frame.weights].map(({ values }) => signed(values[i * n + j]));
        say(fill(words.cell, { query: facts.tokens[i], i, key: facts.tokens[j], j, apart, full: from, weight: to, factor }));
      },
    };
  },

  GrowingState({ spec, say, choose }) {
    const { words, facts } = spec;
    const { tokens, width } = facts;
    const n = tokens.length;
    const label = (k) => tokens[k][0];
    const strip = new TokenStrip({ tokens, label: words.text, help: words.help, onPick: (j, firm) => choose([j], firm) });
    const matrix = (name) =>
      new Matrix({ rows: n, cols: n, width: 320, label: words[name], help: words.help, rowLabel: words[name], colLabel: words.axes, onPick: ([, j], firm) => choose([j], firm) });
    const near = matrix("weights");
    const full = matrix("full");
    // g stands two columns wide beside G, with two free ones between.
    const cols = width + 4;
    const sums = new Matrix({ rows: width, cols, width: 320, label: words.state, help: "", rowLabel: words.state, colLabel: words.axes, onPick: () => {} });
    sums.marks.setAttribute("role", "img");
    sums.marks.removeAttribute("tabindex");
    const bars = [new Bars({ count: 5 }), new Bars({ count: 5 })];
    const readouts = new Readouts([words.largest, words.spread, words.ranks, words.kept]);
    const ticks = [1, 2, 4, 8, 16, 32];
    const charts = [new LineChart({ title: words.chart, xLabel: words.chart_x, ticks }), new LineChart({ title: words.memory, xLabel: words.chart_x, ticks })];
    const kept = { shape: [2, n], values: Float32Array.from(facts.kept.flat()) };
    const legend = new Legend();
    legend.show([["second", words.name_near], ["local", words.name_full]]);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(`${words.help} ${words.hint}`),
      strip.el,
      sums.el,
      near.el,
      full.el,
      node("div", { class: "ax-side" }, bars[0].el),
      node("div", { class: "ax-side" }, bars[1].el),
      node("div", { class: "ax-side" }, charts[0].el),
      node("div", { class: "ax-side" }, charts[1].el, legend.el),
      node("div", { class: "ax-side ax-wide" }, readouts.el),
    );
    const two = (code) => decimals(unroot(code), 2);
    const pair = (a, b) => fill(words.pair, { near: a, full: b });
    const order = Array.from({ length: n }, (_, k) => k);

    return {
      el,
      start: facts.start,
      limits: [n],
      layout(room) {
        for (const one of [sums, near, full]) one.layout(room < 536 ? (room - 16) / 2 : (room - 48) / 3);
      },
      draw({ state, weights, full: exact, spread, ranks }, { time }, theme) {
        const cells = new Uint8Array(width * cols).fill(facts.zero);
        for (let r = 0; r < width; r++) {
          cells.set(state.values.subarray(r * (width + 1), r * (width + 1) + width), r * cols);
          cells.fill(state.values[r * (width + 1) + width], r * cols + width + 2, (r + 1) * cols);
        }
        sums.paint(cells, signedTable(theme, facts));
        for (const [one, { values }] of [[near, weights], [full, exact]]) one.paint(values.map((code, k) => (k < time * n ? code : 0)), theme.ramp);
        const row = [weights, exact].map(({ values }) => values.subarray((time - 1) * n, time * n));
        const query = label(time - 1);
        row.forEach((codes, k) => {
          const top = order.slice().sort((a, b) => codes[b] - codes[a] || a - b).slice(0, 5);
          bars[k].show(fill(k ? words.bars_full : words.bars, { query }), top.filter((j) => codes[j]).map((j) => [label(j), unroot(codes[j])]));
        });
        const largest = row.map((codes) => two(Math.max(...codes)));
        const tokens_now = [0, 1].map((k) => decimals(spread.values[k * n + time - 1], 1));
        const numbers = facts.kept.map((line) => whole(line[time - 1]));
        readouts.show([pair(...largest), pair(...tokens_now), pair(...ranks.values), pair(...numbers)]);
        const said = (words_now, [a, b]) => fill(words_now, { near: a, full: b });
        charts[0].show(spread, ["second", "local"], time, said(words.chart_now, tokens_now));
        charts[1].show(kept, ["second", "local"], time, said(words.memory_now, numbers));
      },
      point([j], { weights, full: exact }, { time }, theme) {
        const i = time - 1;
        for (const one of [near, full]) {
          one.pick = [i, j];
          one.mark((pen) => {
            pen.row(i, theme.hex("second"));
            if (j <= i) pen.box(i, j, theme.hex("second"));
          });
        }
        strip.shade(weights.values, i * n, theme, j, i);
        strip.fade((k) => k > i);
        const at = i * n + j;
        const what = { time, query: label(i), i, key: label(j), j, near: two(weights.values[at]), full: two(exact.values[at]) };
        say(fill(j > i ? words.ahead : words.cell, what));
      },
    };
  },

  LSHCircle({ spec, say, choose }) {
    const { words, facts } = spec;
    const disc = new Disc({ label: words.disc, help: words.help, onPick: choose });
    const legend = new Legend();
    legend.show([["path", words.chosen], ["merged", words.now], ["second", words.before], ["unread", words.apart]]);
    const readouts = new Readouts([words.near, words.far, words.used]);
    const chart = new Curves({ title: words.chart, xLabel: words.chart_x, x: facts.angles, ticks: [0, 45, 90, 135, 180] });
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.help),
      node("div", { class: "ax-disc-box" }, disc.el, legend.el),
      node("div", { class: "ax-side" }, readouts.el, chart.el),
    );
    const places = facts.angles.length;
    const row = (array, rounds) => array.values.subarray((rounds - 1) * places, rounds * places);

    return {
      el,
      start: [facts.start],
      limits: [facts.most],
      layout: () => {},
      draw: ({ xy }) => disc.place(xy),
      point([asked], { xy, bucket, ring, degrees, theory, measured }, { points, buckets, rounds }) {
        const [n] = xy.shape;
        const i = asked % n;
        disc.pick = i;
        const at = (r, k) => bucket.values[r * n + k];
        const last = rounds - 1;
        const own = at(last, i);
        const ringLength = ring.shape[1];
        disc.border(ring.values.subarray(last * ringLength, rounds * ringLength), own);
        const angle = (k) => degrees.values[i * n + k];
        const others = Array.from({ length: n }, (_, k) => k).filter((k) => k !== i);
        const nearest = others.sort((a, b) => angle(a) - angle(b) || a - b).slice(0, facts.near);
        const counts = { near: 0, near_all: facts.near, far: 0, far_all: n - 1 - facts.near };
        const classes = [];
        for (let k = 0; k < n; k++) {
          let found = false;
          for (let r = 0; r < rounds; r++) found ||= at(r, k) === at(r, i);
          classes.push(k === i ? "ax-chosen" : at(last, k) === own ? "ax-now" : found ? "ax-before" : "ax-apart");
          if (found && k !== i) counts[nearest.includes(k) ? "near" : "far"]++;
        }
        disc.paint(classes);
        const [chance, seen] = [row(theory, rounds), row(measured, rounds)];
        const marked = Math.round(angle(nearest[facts.near - 1]) / (facts.angles[1] - facts.angles[0]));
        const note = { angle: facts.angles[marked], theory: decimals(chance[marked], 2), measured: decimals(seen[marked], 2) };
        const names = [words.theory, points === "circle" ? words.measured_circle : words.measured_keys];
        chart.show(chance, seen, marked, fill(seen[marked] < 0 ? words.chart_now : words.chart_seen, note), names);
        const used = new Set(bucket.values.subarray(last * n, rounds * n)).size;
        readouts.show([
          fill(words.of, { found: counts.near, all: counts.near_all }),
          fill(words.of, { found: counts.far, all: counts.far_all }),
          fill(words.used_value, { used, buckets }),
        ]);
        const point = points === "circle" ? fill(words.point_circle, { at: (360 / n) * i }) : fill(words.point_key, { token: facts.tokens[i], i });
        const all = fill(rounds > 1 ? words.rounds_many : words.rounds_one, { r: rounds });
        say(fill(words.say, { point, rounds: all, ...counts }));
      },
    };
  },

  LSHBuckets({ spec, say, choose }) {
    const { words, facts } = spec;
    const { n, tokens } = facts;
    const label = (k) => tokens[k][0];
    const strip = new TokenStrip({ tokens, label: words.text, help: words.text_help, onPick: (i, firm) => choose([i, null], firm) });
    const legend = new Legend();
    let order = Array.from({ length: n }, (_, k) => k);
    const matrix = new Matrix({
      rows: n, cols: n, width: 448, label: words.matrix, help: words.text_help, rowLabel: words.query, colLabel: words.key,
      legend: node("div", {}, rampLegend(words), legend.el),
      onPick: ([a, b], firm) => choose([order[a], order[b]], firm),
    });
    const readouts = new Readouts([words.shown, words.caught, fill(words.pairs, { cells: whole(facts.cells) })]);
    const chart = new LineChart({ title: words.chart, xLabel: words.chart_x, ticks: [1, 2, 4, 8], high: 100 });
    const lines = new Legend();
    lines.show([["merged", words.curve_weight], ["second", words.curve_pairs]]);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.text_help),
      strip.el,
      matrix.el,
      node("div", { class: "ax-side" }, readouts.el, chart.el, lines.el),
    );
    const cells = new Uint16Array(n * n);
    const OUTSIDE = 256;
    const kinds = ["sorted", "chunked", "computed"];
    // Whether j stands in the chunk of i, or in the one before.
    const sees = ({ chunk }, r, i, j) => {
      const back = chunk.values[r * n + i] - chunk.values[r * n + j];
      return i !== j && (back === 0 || back === 1);
    };
    const times = (frame, rounds, i, j) => {
      let count = 0;
      for (let r = 0; r < rounds; r++) count += sees(frame, r, i, j);
      return count;
    };
    const inside = (frame, { picture, rounds }, i, j) => {
      const last = (rounds - 1) * n;
      if (picture === "full") return true;
      if (picture === "sorted") return frame.bucket.values[last + i] === frame.bucket.values[last + j];
      return picture === "chunked" ? sees(frame, rounds - 1, i, j) : times(frame, rounds, i, j) > 0;
    };

    return {
      el,
      start: [facts.start, null],
      limits: [n, n],
      layout: (width) => matrix.layout(beside(width)),
      draw(frame, state, theme) {
        const { picture, rounds: r } = state;
        const isSorted = picture === "sorted" || picture === "chunked";
        const place = (k) => (isSorted ? frame.place.values[(r - 1) * n + k] : k);
        for (let i = 0; i < n; i++) {
          order[place(i)] = i;
          for (let j = 0; j < n; j++)
            cells[place(i) * n + place(j)] = frame.weights.values[i * n + j] + (inside(frame, state, i, j) ? 0 : OUTSIDE);
        }
        const table = new Uint32Array(2 * OUTSIDE);
        table.set(theme.ramp);
        table.set(theme.blend(["reached", "lost", "lost-edge"]), OUTSIDE);
        matrix.paint(cells, table);
        const [rows, columns] = matrix.el.querySelectorAll(".ax-axes span");
        setText(rows, isSorted ? words.query_sorted : words.query);
        setText(columns, isSorted ? words.key_sorted : words.key);
        const boxes = { sorted: [["path", words.bucket]], chunked: [["path", words.chunk]] }[picture] ?? [];
        legend.show(picture === "full" ? [] : [["lost-edge", words.dropped], ...boxes]);

        const kind = kinds.indexOf(picture);
        const caught = kind < 0 ? 100 : frame.caught.values[kind * 8 + r - 1];
        const pairs = kind < 0 ? facts.cells : frame.pairs.values[kind * 8 + r - 1];
        const used = (array) => new Set(array.values.subarray((r - 1) * n, r * n)).size;
        const count = used(picture === "sorted" ? frame.bucket : frame.chunk);
        const shown = {
          full: words.shown_full,
          sorted: words.shown_sorted,
          chunked: words.shown_chunked,
          computed: r > 1 ? words.shown_computed : words.shown_computed_one,
        };
        readouts.show([
          fill(shown[picture], { r, count }),
          fill(words.caught_value, { caught: decimals(caught, 0) }),
          fill(words.pairs_value, { pairs: whole(pairs), share: decimals((100 * pairs) / facts.cells, 0) }),
        ]);
        const [weight, spent] = [frame.curves.values[r - 1], frame.curves.values[8 + r - 1]].map((x) => decimals(x, 0));
        chart.show(frame.curves, ["merged", "second"], r, fill(r > 1 ? words.chart_now : words.chart_now_one, { r, caught: weight, share: spent }));
      },
      point([i, j], frame, state, theme) {
        const { picture, rounds: r } = state;
        const place = (k) => order.indexOf(k);
        const last = (r - 1) * n;
        matrix.pick = [place(i), place(j ?? i)];
        strip.shade(frame.weights.values, i * n, theme, i, j);
        strip.fade((k) => k !== i && !inside(frame, state, i, k));
        matrix.mark((pen) => {
          if (picture === "sorted")
            for (let a = 0, b; a < n; a = b) {
              const own = frame.bucket.values[last + order[a]];
              for (b = a + 1; b < n && frame.bucket.values[last + order[b]] === own; ) b++;
              pen.outline(a, a, b - a, b - a, theme.hex("path"));
            }
          if (picture === "chunked")
            for (let a = 0; a < n; a += state.bucket_size) {
              const before = Math.max(0, a - state.bucket_size);
              const end = Math.min(n, a + state.bucket_size);
              pen.outline(a, before, end - a, end - before, theme.hex("path"));
            }
          pen.row(place(i), theme.hex("second"));
          if (j !== null) pen.box(place(i), place(j), theme.hex("second"));
        });
        const all = fill(r > 1 ? words.rounds_many : words.rounds_one, { r });
        const query = { token: label(i), i, r, all };
        if (j === null) {
          let count = 0;
          let mass = 0;
          for (let k = 0; k < n; k++)
            if (times(frame, r, i, k)) {
              count++;
              mass += unroot(frame.weights.values[i * n + k]);
            }
          const home = { bucket: frame.bucket.values[last + i], chunk: frame.chunk.values[last + i] };
          say(fill(words.row, { ...query, ...home, count, mass: decimals(Math.min(100, 100 * mass), 0) }));
        } else if (j === i) say(fill(words.itself, query));
        else {
          const met = times(frame, r, i, j);
          const found = fill(met > 1 ? words.found : met ? words.found_one : words.found_none, { times: met, r, all });
          const [a, b] = [frame.bucket.values[last + i], frame.bucket.values[last + j]];
          const [c, d] = [frame.chunk.values[last + i], frame.chunk.values[last + j]];
          const weight = decimals(unroot(frame.weights.values[i * n + j]), 2);
          say(fill(words.pair, { ...query, key: label(j), j, weight, a, b, c, d, found }));
        }
      },
    };
  },

  GradientLadder({ spec, say, choose }) {
    const { words, facts } = spec;
    const ladder = new CurveChart({
      title: words.ladder, help: words.help, y: facts.axis, yTicks: decadeTicks(facts.axis),
      onPick: (k, isFirm) => choose([0, k], isFirm),
    });
    const last = new CurveChart({ title: words.last, y: facts.axis, yTicks: decadeTicks(facts.axis) });
    const kinds = [["outer", "local"], ["inner", "lost-edge"], ["out", "second"], ["qkv", "muted"]];
    const legend = new Legend();
    legend.show([...kinds.map(([name, colour]) => [colour, words[name]]), ["reached", words.band]]);
    const theory = new Legend();
    const readouts = new Readouts([words.value, words.ratio, words.slope]);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.help),
      node("div", { class: "ax-side" }, ladder.el, legend.el),
      node("div", { class: "ax-side" }, last.el, theory.el, readouts.el),
    );
    const row = (array, k) => array.values.subarray(k * array.shape[1], (k + 1) * array.shape[1]);
    const number = (power) => show(Number((10 ** power).toPrecision(2)));
    const minus = (text) => text.replace("-", "−");

    return {
      el,
      start: facts.start,
      limits: [1, facts.most],
      layout() {},
      draw(frame, state) {
        const { ladder: rows, band, last: ends } = frame;
        const xs = Array.from({ length: state.depth }, (_, k) => k + 1);
        ladder.show({
          xs, xTicks: stepTicks(xs), xLabel: words.ladder_x,
          lines: [["muted", 0], ["second", 1], ["lost-edge", 2], ["local", 3]].map(([colour, k]) => [colour, row(rows, k)]),
          band: [row(band, 0), row(band, 1)],
        });
        last.show({
          xs: facts.depths, xTicks: facts.depths, xLabel: words.last_x, isLog: true,
          lines: [["muted", row(ends, 1)], ["local", row(ends, 0)]],
        });
        const power = minus(show(facts.powers[state.norm]));
        theory.show([["local", words.measured], ["muted", fill(words.theory, { power })]]);
      },
      point([, at], frame, state) {
        const k = Math.min(at, state.depth - 1);
        const outer = row(frame.ladder, 3);
        const near = facts.depths.map((depth) => Math.abs(Math.log(depth / state.depth)));
        const nearest = near.indexOf(Math.min(...near));
        ladder.mark(k);
        last.mark(nearest);
        setText(last.note, fill(words.note, { depth: facts.depths[nearest], value: number(row(frame.last, 0)[nearest]) }));
        readouts.show([number(outer[k]), number(outer[0] - outer[state.depth - 1]), minus(decimals(frame.slope.values[0], 2))]);
        say(
          fill(words.cell, {
            k: k + 1, depth: state.depth, norm: facts.norms[state.norm], value: number(outer[k]), draws: facts.draws,
            low: number(row(frame.band, 0)[k]), high: number(row(frame.band, 1)[k]),
          }),
        );
      },
    };
  },

  ResidualStream({ spec, say, choose }) {
    const { words, facts } = spec;
    const names = ["post", "pre", "deep"].map((name) => words[name]);
    const colours = ["local", "second", "lost-edge"];
    const shares = [[0, "0"], [0.5, "0.5"], [1, "1"]];
    const sizes = new CurveChart({
      title: words.sizes, help: words.help, y: facts.sizes, yTicks: [[0, "1"], [0.5, "3.2"], [1, "10"]],
      onPick: (k, isFirm) => choose([0, Math.max(0, k - 1)], isFirm),
    });
    const onPick = (k, isFirm) => choose([0, k], isFirm);
    const cosines = new CurveChart({ title: words.cosines, help: words.help, y: [0, 1], yTicks: shares, onPick });
    const costs = new CurveChart({ title: words.costs, help: words.help, y: [0, facts.highest], yTicks: shares, onPick });
    const legend = new Legend();
    legend.show(colours.map((colour, r) => [colour, names[r]]));
    const last = node("div", { class: "ax-side" }, costs.el);
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.help),
      node("div", { class: "ax-side" }, sizes.el, legend.el),
      node("div", { class: "ax-side" }, cosines.el),
      last,
    );
    const row = (array, r) => array.values.subarray(r * array.shape[1], (r + 1) * array.shape[1]);
    const each = (value) => names.map((name, r) => `${name} ${value(r)}`).join(", ");
    const size = (frame, r, k) => show(Number((10 ** row(frame.sizes, r)[k]).toPrecision(2)));
    const two = (x) => decimals(x, 2).replace("-", "−");

    return {
      el,
      start: facts.start,
      limits: [1, facts.most],
      layout() {},
      draw(frame, state) {
        const depth = frame.cosines.shape[1];
        const xs = Array.from({ length: depth + 1 }, (_, k) => k);
        const lines = (array) => colours.map((colour, r) => [colour, row(array, r)]);
        const blocks = { xs: xs.slice(1), xTicks: stepTicks(xs.slice(1)), xLabel: words.cosines_x };
        sizes.show({ xs, xTicks: stepTicks(xs), xLabel: words.sizes_x, lines: lines(frame.sizes) });
        cosines.show({ ...blocks, lines: lines(frame.cosines) });
        costs.show({ ...blocks, lines: lines(frame.costs) });
        last.hidden = state.model !== "trained";
      },
      point([, at], frame, state) {
        const depth = frame.cosines.shape[1];
        const k = Math.min(at, depth - 1);
        sizes.mark(k + 1);
        cosines.mark(k);
        costs.mark(k);
        const at_ = (array, r) => two(row(array, r)[k]);
        setText(sizes.note, fill(words.size_note, { k: k + 1, values: each((r) => size(frame, r, k + 1)) }));
        setText(cosines.note, fill(words.cosine_note, { k: k + 1, values: each((r) => at_(frame.cosines, r)) }));
        setText(costs.note, fill(words.cost_note, { k: k + 1, values: each((r) => at_(frame.costs, r)) }));
        say(
          fill(state.model === "trained" ? words.trained : words.start, {
            k: k + 1, depth, draws: facts.draws, post: size(frame, 0, k + 1), pre: size(frame, 1, k + 1),
            post_cosine: at_(frame.cosines, 0), pre_cosine: at_(frame.cosines, 1),
            post_cost: at_(frame.costs, 0), pre_cost: at_(frame.costs, 1),
          }),
        );
      },
    };
  },

  WarmUp({ spec, say, choose }) {
    const { words, facts } = spec;
    const { steps, rates } = facts;
    const [low, high] = facts.axis;
    const nats = [2.5, 3, 3.5].map((value) => [value, show(value)]);
    const curves = new CurveChart({
      title: words.curves, help: words.help, y: [low, high], yTicks: nats,
      onPick: (k, isFirm) => choose([0, k], isFirm),
    });
    const finals = new CurveChart({ title: words.finals, y: [low, high], yTicks: nats });
    const legend = new Legend();
    const seeds = hint("");
    const readouts = new Readouts([fill(words.end, { name: words.post }), ""]);
    const label = readouts.el.lastElementChild.firstElementChild;
    const el = node(
      "div",
      { class: "ax-stage" },
      seeds,
      node("div", { class: "ax-side" }, curves.el, legend.el),
      node("div", { class: "ax-side" }, finals.el, readouts.el),
    );
    // The values of one form at one place of its rows, lowest first.
    const across = (array, form, k) => {
      const [, count, length] = array.shape;
      return Array.from({ length: count }, (_, s) => array.values[(form * count + s) * length + k]).sort((a, b) => a - b);
    };
    const range = (values) => {
      const [first, last] = [values[0], values[values.length - 1]].map((x) => decimals(x, 2));
      return first === last ? first : fill(words.range, { low: first, high: last });
    };
    const lines = (array) => {
      const [, count, length] = array.shape;
      return ["second", "local"].flatMap((colour, r) => {
        const form = 1 - r; // Post-LN on top
        return Array.from({ length: count }, (_, s) => [colour, array.values.subarray((form * count + s) * length, (form * count + s + 1) * length)]);
      });
    };

    return {
      el,
      start: facts.start,
      limits: [1, steps.length],
      layout() {},
      draw(frame, state) {
        const name = words[["pre", "deep", "sandwich"].find((form) => form === state.other)];
        setText(seeds, `${words.help} ${fill(words.seeds, { seeds: frame.curves.shape[1] })}`);
        setText(label, fill(words.end, { name }));
        legend.show([["local", words.post], ["second", name]]);
        curves.show({ xs: steps, xTicks: [100, 200, 300].filter((step) => step <= steps[steps.length - 1] + 10), xLabel: words.curves_x, lines: lines(frame.curves) });
        finals.show({ xs: rates, xTicks: rates, xLabel: words.finals_x, isLog: true, lines: lines(frame.finals) });
      },
      point([, k], frame, state) {
        curves.mark(k);
        const chosen = rates.map((rate) => Math.abs(Math.log(rate / (1000 * Number(state.rate)))));
        const at = chosen.indexOf(Math.min(...chosen));
        finals.mark(at);
        readouts.show([range(across(frame.finals, 0, at)), range(across(frame.finals, 1, at))]);
        say(
          fill(words.point, {
            rate: state.rate, step: steps[k], name: words[state.other],
            warmup: state.warmup ? fill(words.warmup, { steps: state.warmup }) : words.no_warmup,
            post: range(across(frame.curves, 0, k)), other: range(across(frame.curves, 1, k)),
          }),
        );
      },
    };
  },

  SparsePatterns({ spec, say, choose }) {
    const { words, facts } = spec;
    const { n } = facts;
    const legend = new Legend();
    const matrix = new Matrix({
      rows: n, cols: n, width: 512, label: words.matrix, help: words.matrix_help, rowLabel: words.query, colLabel: words.key,
      legend: legend.el,
      onPick: choose,
    });
    const readouts = new Readouts([fill(words.edges, { cells: whole(facts.cells) }), words.share, words.row, words.missed]);
    const chart = new LineChart({ title: words.chart, xLabel: words.chart_x, ticks: [1, 2, 4, 8, 16, 32, 64, 128] });
    const el = node(
      "div",
      { class: "ax-stage" },
      hint(words.matrix_help),
      matrix.el,
      node("div", { class: "ax-side" }, readouts.el, chart.el),
    );
    // A cell's class is its set, plus 4 where two steps reach it, 8 where they don't.
    const cells = new Uint8Array(n * n);
    const REACHED = 4;
    const LOST = 8;
    const apart = (frame) => frame.edges.values.length > 1;
    const share = (edges) => decimals((100 * edges) / facts.pairs, 1);
    const setName = (frame, i, j) => {
      const set = frame.local.values[i * n + j] + 2 * frame.summary.values[i * n + j];
      return words[["set_stay", "set_local", "set_summary", "set_both"][set]];
    };

    return {
      el,
      start: facts.start,
      limits: [n, n],
      layout: (width) => matrix.layout(beside(width)),
      draw(frame, state, theme) {
        const local = frame.local.values;
        const summary = frame.summary.values;
        const via = frame.via.values;
        let lostEdges = 0;
        for (let i = 0, k = 0; i < n; i++)
          for (let j = 0; j < n; j++, k++) {
            cells[k] = j > i ? 0 : (local[k] | (summary[k] << 1)) + (via[k] === facts.lost ? LOST : REACHED);
            if (cells[k] > LOST) lostEdges++;
          }
        const sets = apart(frame) ? ["local", "summary", "both"] : ["merged", "merged", "merged"];
        matrix.paint(
          cells,
          theme.table(["future", "future", "future", "future", "reached", ...sets, "lost", "lost-edge", "lost-edge", "lost-edge"]),
        );
        const shades = apart(frame)
          ? [["local", words.local], ["summary", words.summary], ["both", words.both]]
          : [["merged", words.merged]];
        const losses = lostEdges ? [["lost-edge", words.lost_edge]] : [];
        legend.show([...shades, ["reached", words.reached], ["lost", words.lost], ...losses]);

        const edges = [...frame.edges.values];
        const rows = [...frame.largest_row.values];
        const missed = fill(words.missed_value, { missed: whole(frame.unreachable.values[0]), pairs: whole(facts.pairs) });
        if (apart(frame))
          readouts.show([
            fill(words.edges_apart, { local: whole(edges[0]), summary: whole(edges[1]) }),
            fill(words.share_apart, { local: share(edges[0]), summary: share(edges[1]) }),
            fill(words.row_apart, { local: rows[0], summary: rows[1], n }),
            missed,
          ]);
        else
          readouts.show([
            fill(words.edges_value, { edges: whole(edges[0]) }),
            fill(words.share_value, { share: share(edges[0]) }),
            fill(words.row_value, { row: rows[0], n }),
            missed,
          ]);
        chart.show(
          frame.edges_by_stride,
          apart(frame) ? ["local", "summary"] : ["merged"],
          state.stride,
          fill(words.chart_now, { stride: state.stride, edges: edges.map(whole).join(words.and) }),
        );
      },
      point([i, j], frame, state, theme) {
        matrix.pick = [i, j];
        const at = i * n + j;
        const m = frame.via.values[at];
        const ink = theme.hex("path");
        const isEdge = frame.local.values[at] + frame.summary.values[at] > 0;
        matrix.mark((pen) => {
          pen.shade(i, 0, 1, n, theme.hex("beam"));
          pen.shade(0, j, n, 1, theme.hex("beam"));
          if (m < facts.direct) {
            pen.path([[j, j], [m, j], [m, m], [i, m], [i, i]], ink);
            for (const k of [j, m, i]) pen.dot(k, k, ink);
            pen.box(m, j, ink);
            pen.box(i, m, ink);
          } else if (m === facts.direct && i !== j) {
            pen.path([[j, j], [i, j], [i, i]], ink);
            for (const k of [j, i]) pen.dot(k, k, ink);
          }
          pen.box(i, j, ink);
        });
        const set = setName(frame, i, j);
        if (j > i) say(fill(words.future, { i, j }));
        else if (m === facts.lost) say(fill(isEdge ? words.unreached_edge : words.unreached, { i, j, set }));
        else if (m === facts.direct && i === j) say(fill(isEdge ? words.own : words.kept, { i, set }));
        else if (m === facts.direct) say(fill(words.direct, { i, j, set }));
        else say(fill(words.hops, { i, m, j, first: setName(frame, m, j), second: setName(frame, i, m) }));
      },
    };
  },
};

// Putting one on the page -------------------------------------------------------------------------

function mount(root, source, { start, address, onUser }) {
  const { spec } = source;
  const initial = { ...start };
  const state = { ...start };
  let theme;
  let frame = null;
  let drawn = null;
  let pick;
  let firm = null;

  const status = node("p", { class: "ax-status", role: "status", "aria-live": "polite" });
  const say = (text) => setText(status, text);
  // What tests read: which state is drawn, and digests of the arrays that it is drawn from.
  const publish = () => {
    root.dataset.state = JSON.stringify(drawn);
    root.dataset.pick = JSON.stringify(pick);
    root.dataset.digest = Object.entries(frame).map(([name, array]) => `${name}:${digest(array)}`).join(",");
  };
  const point = () => {
    view.point(pick, frame, drawn, theme);
    root.dataset.pick = JSON.stringify(pick);
  };
  const choose = (next, isFirm) => {
    pick = next;
    if (isFirm) firm = next;
    if (frame) point();
    if (isFirm) remember();
  };
  const put = (name, value) => {
    state[name] = value;
    changed(name);
  };
  const view = VIEWS[spec.name]({ spec, say, choose, put });
  pick = view.start;

  const remember = () => {
    if (!address) return;
    const values = {};
    for (const control of spec.controls)
      if (!same(state[control.name], initial[control.name])) values[control.name] = state[control.name];
    if (firm) values.at = firm.filter((k) => k !== null).join(",");
    address.write(values);
  };
  let waiting = null;
  let publishing = null;
  const draw = () => {
    waiting ??= setTimeout(() => say(spec.words.waiting), 400);
    source.frame(
      state,
      (next, shown) => {
        clearTimeout(waiting);
        waiting = null;
        frame = next;
        drawn = { ...shown };
        view.draw(frame, drawn, theme);
        point();
        clearTimeout(publishing);
        publishing = setTimeout(publish);
      },
      (error) => {
        clearTimeout(waiting);
        waiting = null;
        say(error);
      },
    );
  };
  const changed = (name) => {
    kit.sync();
    draw();
    remember();
    onUser?.(name, state);
  };
  const kit = new ControlKit({
    source,
    state,
    onChange: changed,
    onReset: () => {
      kit.stop();
      Object.assign(state, initial);
      pick = view.start;
      firm = null;
      changed(null);
    },
  });

  const fallback = [...root.children];
  // The words come last, so that a longer sentence moves nothing away from under the pointer; the
  // style sheet keeps them in sight.
  const body = node("div", {}, view.el, status);
  root.replaceChildren(kit.el, body, ...fallback.filter((el) => el.tagName === "SCRIPT"));
  root.classList.add("ax-live");

  const retheme = () => {
    const name = isDark() ? "dark" : "light";
    if (theme && root.dataset.theme === name) return;
    root.dataset.theme = name;
    theme = new Theme(root);
    if (frame) {
      view.draw(frame, drawn, theme);
      point();
    }
  };
  const load = () => {
    if (!address) return;
    const found = address.read();
    Object.assign(state, initial);
    for (const control of spec.controls) if (control.name in found) state[control.name] = parse(control, found[control.name]);
    const at = (found.at ?? "").split(",").filter(Boolean).map(Number);
    const isWhole = at.length === view.start.length || (at.length > 0 && view.start[at.length] === null);
    if (isWhole && at.every((k, d) => Number.isInteger(k) && k >= 0 && k < view.limits[d]))
      pick = firm = view.limits.map((_, d) => at[d] ?? null);
  };

  const layout = () => {
    const width = root.clientWidth - 2 * parseFloat(getComputedStyle(root).paddingLeft) - 2;
    if (width <= 0) return;
    view.layout(width);
    if (frame) point();
  };
  retheme();
  load();
  kit.sync();
  layout();
  draw();

  const stop = new AbortController();
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", retheme, { signal: stop.signal });
  const themes = new MutationObserver(retheme);
  themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "theme", "class"] });
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "class"] });
  const sizes = new ResizeObserver(layout);
  sizes.observe(root);
  window.addEventListener("resize", layout, { signal: stop.signal });
  if (address)
    window.addEventListener(
      "hashchange",
      () => {
        if (!Address.entries().length) return;
        load();
        kit.sync();
        draw();
      },
      { signal: stop.signal },
    );

  return {
    root,
    set(name, value) {
      if (same(state[name], value)) return;
      state[name] = value;
      kit.sync();
      draw();
    },
    close() {
      kit.stop();
      clearTimeout(waiting);
      clearTimeout(publishing);
      stop.abort();
      themes.disconnect();
      sizes.disconnect();
    },
  };
}

// In the book: every block of data on the page becomes an explorer.
function hydrate(page) {
  const seen = {};
  const roots = [...page.querySelectorAll(".attn-explorer[data-explorer]")];
  if (!("DecompressionStream" in window)) return;
  for (const root of roots) {
    const name = root.dataset.explorer;
    seen[name] = (seen[name] ?? 0) + 1;
    const slug = name.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, "-").toLowerCase();
    const address = new Address(seen[name] > 1 ? `${slug}-${seen[name]}` : slug);
    PageSource.open(root.querySelector("script[type='application/octet-stream']").textContent).then((source) => {
      if (!Object.hasOwn(VIEWS, name)) return;
      mount(root, source, { start: JSON.parse(root.dataset.start), address });
      if (Object.keys(address.read()).length) root.scrollIntoView({ block: "nearest" });
    });
  }
}

// With a kernel: controls are the model's traits, frames are asked for.
function render({ model, el }) {
  const source = new KernelSource(model);
  const names = source.spec.controls.map((control) => control.name);
  const start = Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const root = node("div", { class: "attn-explorer" });
  el.append(root);
  const explorer = mount(root, source, {
    start,
    onUser(changed, state) {
      for (const name of names) model.set(name, state[name]);
      model.save_changes();
    },
  });
  const listeners = names.map((name) => {
    const listen = () => explorer.set(name, model.get(name));
    model.on(`change:${name}`, listen);
    return [`change:${name}`, listen];
  });
  return () => {
    for (const [event, listen] of listeners) model.off(event, listen);
    source.close();
    explorer.close();
  };
}

export default { render };
