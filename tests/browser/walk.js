// What a reader's hand may do to a page of explorers, in an order drawn from a seed. The same text
// runs in every browser; it returns what was done, what is drawn now, and what went wrong.
async ({ seed, milliseconds, keys }) => {
  const complaints = [];
  const complain = (event) =>
    complaints.push(String(event.reason?.stack ?? event.error?.stack ?? event.reason ?? event.message));
  window.addEventListener("error", complain);
  window.addEventListener("unhandledrejection", complain);
  const said = { error: console.error, warn: console.warn };
  for (const name of Object.keys(said)) console[name] = (...words) => complaints.push(words.join(" "));

  // mulberry32
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const draw = (list) => list[Math.floor(random() * list.length)];
  const wait = (time = 0) => new Promise((done) => setTimeout(done, time));

  const HOSTILE = [
    ..."-1|1e9|NaN|0x10|3, 5; 7|99999999999999999999|٣|__proto__|constructor|true".split("|"),
    ...["", " ", "0", "1,2,3,4", "\u202e", "\u0000", "{{7*7}}", "'\"`${1}", "哈希".repeat(40)],
    "<img src=x onerror='window.hacked=1'>",
    "\"><script>window.hacked=1</script>",
    "javascript:window.hacked=1",
  ];
  const KEYS = [
    ...["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"],
    ...["Enter", " ", "Escape", "Tab", "a", "+"],
  ];
  // What a hand can reach: no other.
  const inside = (root, what) =>
    [...root.querySelectorAll(what)].filter(
      (el) => !el.disabled && el.getBoundingClientRect().width > 0 && el.checkVisibility(),
    );
  const tell = (el, ...names) => {
    for (const name of names) el.dispatchEvent(new Event(name, { bubbles: true }));
  };
  let [behind, ahead] = [0, 0];
  // A step through the history takes its time; one begun before it ends may lead off the page.
  let travelled = Promise.resolve();
  const travel = (step) => {
    const arrived = new Promise((done) => addEventListener("popstate", done, { once: true }));
    history.go(step);
    travelled = Promise.race([arrived, wait(1000)]);
  };
  // A pointer is over one thing at a time, and over none in the end.
  let under = null;
  const leave = () => {
    const how = { pointerType: "mouse", pointerId: 1, isPrimary: true, bubbles: true };
    for (const name of under ? ["pointerout", "pointerleave"] : [])
      under.dispatchEvent(new PointerEvent(name, how));
    under = null;
  };

  const actions = {
    slide(root) {
      const input = draw(inside(root, "input[type=range]"));
      if (!input) return;
      const [low, high] = [Number(input.min), Number(input.max)];
      input.value = String(low + Math.round(random() * (high - low)));
      tell(input, "input", "change");
      return input.value;
    },
    choose(root) {
      const select = draw(inside(root, "select"));
      if (!select) return;
      select.selectedIndex = Math.floor(random() * select.options.length);
      tell(select, "input", "change");
      return select.value;
    },
    type(root) {
      const field = draw(inside(root, "input[type=text], input[type=number]"));
      if (!field) return;
      // A field of numbers takes no other text from a hand either.
      field.value = draw(field.type === "number" ? ["-1", "", "0", "1e9", "63.5", "7"] : HOSTILE);
      tell(field, "input", "change");
      return field.value;
    },
    press(root) {
      const button = draw(inside(root, "button, input[type=checkbox], input[type=radio], summary"));
      button?.click();
      return button?.className;
    },
    key(root) {
      const el = draw(inside(root, "[tabindex], button, input, [role=application], [role=listbox]"));
      if (!el) return;
      el.focus();
      const key = draw(KEYS);
      const how = { key, shiftKey: random() < 0.3, bubbles: true, cancelable: true };
      el.dispatchEvent(new KeyboardEvent("keydown", how));
      el.dispatchEvent(new KeyboardEvent("keyup", how));
      return key;
    },
    point(root) {
      const el = draw(inside(root, "canvas, svg, li, [role=option], button"));
      if (!el) return;
      leave();
      under = el;
      const { left, top, width, height } = el.getBoundingClientRect();
      const at = { clientX: left + random() * width, clientY: top + random() * height };
      const pointerType = draw(["mouse", "touch", "pen"]);
      const how = { ...at, pointerType, pointerId: 1, isPrimary: true, bubbles: true, buttons: 1 };
      for (const name of ["pointerover", "pointerenter", "pointermove"])
        el.dispatchEvent(new PointerEvent(name, how));
      if (random() < 0.6)
        for (const name of ["pointerdown", "pointerup", "click"])
          el.dispatchEvent(new PointerEvent(name, how));
      if (random() < 0.4) leave();
      return pointerType;
    },
    theme() {
      document.querySelector(".theme-switch-button")?.click();
    },
    width(root) {
      root.style.width = draw(["", "", "300px", "47%", "0"]);
      return root.style.width;
    },
    hide(root) {
      root.style.display = draw(["", "", "none"]);
      return root.style.display;
    },
    async address(root) {
      await travelled;
      const names = [...Object.keys(JSON.parse(root.dataset.state ?? "{}")), "at", "nothing"];
      const key = draw([keys[root.dataset.explorer], "nobody"]);
      const word = draw([encodeURIComponent, (text) => text])(draw(HOSTILE));
      const before = location.href;
      location.hash = draw([`${key}.${draw(names)}=${word}`, `${key}.at=%E0%A4%A`, word, ""]);
      // The same address again is no step that leads back.
      if (location.href !== before) [behind, ahead] = [behind + 1, 0];
      return location.hash;
    },
    async back() {
      await travelled;
      if (!behind) return;
      behind--;
      ahead++;
      travel(-1);
    },
    async forward() {
      await travelled;
      if (!ahead) return;
      ahead--;
      behind++;
      travel(1);
    },
  };

  const roots = [...document.querySelectorAll(".attn-explorer.ax-live")];
  const often = { slide: 6, choose: 4, key: 5, point: 5, press: 4, type: 2 };
  const deck = Object.keys(actions).flatMap((name) => Array(often[name] ?? 1).fill(name));
  const steps = [];
  const end = performance.now() + milliseconds;
  while (roots.length && performance.now() < end) {
    const [name, root] = [draw(deck), draw(roots)];
    steps.push(`${name} ${root.dataset.explorer} ${(await actions[name](root)) ?? ""}`);
    await wait(draw([0, 0, 0, 5, 20]));
  }

  leave();
  for (const root of roots) {
    root.style.width = root.style.display = "";
    for (const button of root.querySelectorAll(".ax-play"))
      if (button.textContent === "❚❚") button.click();
  }
  // Longer than an explorer waits before it writes its address and says what has changed.
  await wait(600);
  Object.assign(console, said);
  window.removeEventListener("error", complain);
  window.removeEventListener("unhandledrejection", complain);
  if (window.hacked) complaints.push("a text was run as a script");
  const drawn = roots.map(({ dataset }) => ({ ...dataset }));
  return { steps: steps.length, last: steps.slice(-12), complaints, drawn };
}
