// What a page does beside its explorers: its theme, search, the sidebars, the place in the page's
// contents, and buttons that copy code. A page is whole without it.
(() => {
  const WIDE = matchMedia("(min-width: 992px)");
  const DARK = matchMedia("(prefers-color-scheme: dark)");
  const MODES = ["auto", "light", "dark"];
  const COPIED = 1500;
  const AGAIN = [0, 150, 600];
  const LINE = 80; // what stands so far below the window's upper edge is being read

  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // A browser may refuse to keep anything; then a choice lasts as long as the page.
  const kept = {
    get(name) {
      try {
        return localStorage.getItem(name);
      } catch {
        return null;
      }
    },
    set(name, value) {
      try {
        localStorage.setItem(name, value);
      } catch {}
    },
    take(name) {
      const value = kept.get(name);
      if (value !== null) localStorage.removeItem(name);
      return value;
    },
  };

  function setMode(mode) {
    const isDark = mode === "auto" ? DARK.matches : mode === "dark";
    root.dataset.mode = mode;
    root.dataset.theme = isDark ? "dark" : "light";
  }

  function startThemes() {
    for (const button of all(".theme-switch-button"))
      button.addEventListener("click", () => {
        const next = MODES[(MODES.indexOf(root.dataset.mode) + 1) % MODES.length];
        setMode(next);
        kept.set("mode", next);
      });
    DARK.addEventListener("change", () => setMode(root.dataset.mode));
  }

  // Paper is light, nothing on it is folded away, and what answers stands at its end.
  function startPaper() {
    let [theme, unfolded, moved] = ["", [], []];
    window.addEventListener("beforeprint", () => {
      theme = root.dataset.theme;
      root.dataset.theme = "light";
      unfolded = all("article details:not([open])");
      for (const details of unfolded) details.open = true;
      moved = answersLast();
    });
    window.addEventListener("afterprint", () => {
      root.dataset.theme = theme;
      for (const details of unfolded) details.open = false;
      for (const [what, mark] of moved) mark.replaceWith(what);
      one("article > .paper-answers")?.remove();
    });
  }

  /** Move answers, hints and solutions, the text and the code, to the end of the page. */
  function answersLast() {
    const last = document.createElement("section");
    last.className = "paper-answers";
    const heading = last.appendChild(document.createElement("h2"));
    heading.textContent = one("meta[name=answers]")?.content ?? "";
    const moved = [];
    const move = (what) => {
      const mark = document.createComment("");
      what.replaceWith(mark);
      last.append(what);
      moved.push([what, mark]);
    };
    const answers = /^\s*(Answer|Solution|Hint|Which|答案|解答|提示|哪)/;
    for (const what of all("article details.sd-dropdown, article div.cell"))
      if (answers.test(what.querySelector("summary.sd-summary-title")?.textContent)) {
        const about = last.appendChild(document.createElement("h3"));
        about.textContent = exercise(what);
        move(what);
      } else if (/^\s*(def solution\(|check\(solution\))/m.test(what.textContent)) move(what);
    if (moved.length) one("article")?.append(last);
    return moved;
  }

  /** What an answer is about: the exercise before it, or its section's title. */
  function exercise(what) {
    let before = what.previousElementSibling;
    while (before && !before.matches("p:has(> strong:first-child)"))
      before = before.previousElementSibling;
    const title =
      before?.querySelector("strong") ?? what.closest("section")?.querySelector("h1, h2, h3");
    return title?.firstChild?.textContent ?? "";
  }

  // A click on what lies around a dialog closes it.
  function closeOnBackdrop(dialog) {
    dialog.addEventListener("click", (event) => {
      if (event.target !== dialog) return;
      const { left, right, top, bottom } = dialog.getBoundingClientRect();
      const { clientX: x, clientY: y } = event;
      if (x < left || right < x || y < top || bottom < y) dialog.close();
    });
  }

  function startSearch() {
    const dialog = one("#pst-search-dialog");
    if (!dialog) return;
    const isApple = /^(Mac|iP)/.test(navigator.platform);
    if (isApple)
      for (const key of all(".kbd-shortcut__modifier"))
        if (key.textContent === "Ctrl") key.textContent = "⌘";
    const toggle = () => (dialog.open ? dialog.close() : dialog.showModal());
    for (const button of all(".search-button__button")) button.addEventListener("click", toggle);
    closeOnBackdrop(dialog);
    window.addEventListener("keydown", (event) => {
      const isCommand = isApple ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
      if (!isCommand || event.shiftKey || event.altKey || event.key.toLowerCase() !== "k") return;
      event.preventDefault();
      toggle();
    });
  }

  // On a narrow screen a sidebar moves into a dialog while it is open.
  function startSidebar(button, sidebar, dialog) {
    if (!button || !sidebar || !dialog) return;
    const move = (from, to) => {
      to.append(...from.childNodes);
      to.className = from.className;
      from.className = "";
    };
    button.addEventListener("click", () => {
      if (WIDE.matches && sidebar.id === "pst-primary-sidebar")
        sidebar.classList.toggle("pst-sidebar-hidden");
      else {
        move(sidebar, dialog);
        dialog.showModal();
      }
    });
    dialog.addEventListener("close", () => move(dialog, sidebar));
    dialog.addEventListener("click", (event) => {
      if (event.target.closest("a[href^='#']")) dialog.close();
    });
    closeOnBackdrop(dialog);
  }

  // The sidebar of a wide screen shows where the page stands among the others.
  function showPlaceInBook() {
    const sidebar = one("#pst-primary-sidebar");
    const link = one(".bd-docs-nav .current > a.current");
    if (!WIDE.matches || !sidebar || !link) return;
    const below = link.offsetTop - sidebar.clientHeight / 2;
    if (below > 0) sidebar.scrollTop = below;
  }

  function showPlaceOnPage() {
    const links = new Map();
    for (const link of all("#pst-page-toc-nav a[href^='#']")) {
      const section = document.getElementById(decodeURIComponent(link.hash.slice(1)));
      const heading = section && (one("h1, h2, h3, h4", section) ?? section);
      if (heading) links.set(heading, link);
    }
    const entries = all("#pst-page-toc-nav .toc-entry");
    const mark = (here) => {
      for (const link of links.values()) {
        link.classList.toggle("active", link === here);
        if (link === here) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
      for (const entry of entries) entry.classList.toggle("active", entry.contains(here));
    };
    const watcher = new IntersectionObserver(
      (seen) => {
        const last = seen.filter((each) => each.isIntersecting).pop();
        if (last) mark(links.get(last.target));
      },
      { rootMargin: "0px 0px -70% 0px" },
    );
    for (const heading of links.keys()) watcher.observe(heading);
    const helper = one(".sbt-scroll-pixel-helper");
    if (helper)
      new IntersectionObserver(([{ boundingClientRect }]) => {
        document.body.classList.toggle("scrolled", boundingClientRect.y < 0);
      }).observe(helper);
  }

  // A broad explorer stands where the page's contents do.
  function makeRoom() {
    const inSight = new Set();
    const watcher = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen)
        if (isIntersecting) inSight.add(target);
        else inSight.delete(target);
      const isTaken = [...inSight].some((explorer) => explorer.classList.contains("ax-broad"));
      one("#pst-secondary-sidebar")?.classList.toggle("hide", isTaken);
    });
    for (const explorer of all(".attn-explorer")) watcher.observe(explorer);
  }

  // Lines of output and code that are wider than the page can be scrolled by keyboard, and code can
  // be copied. Both are done for what comes near, since to measure all takes long on a phone.
  function startCode() {
    const copies = new Set(
      all("div.cell_input div.highlight, div.literal-block-wrapper div.highlight"),
    );
    const addButton = (block) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copybtn";
      const icon = document.createElement("span");
      icon.className = "book-icon book-icon--copy";
      icon.setAttribute("aria-hidden", "true");
      button.append(icon);
      button.setAttribute("aria-label", root.lang.startsWith("zh") ? "复制" : "Copy");
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(one("pre", block).textContent.trimEnd());
        button.classList.add("success");
        setTimeout(() => button.classList.remove("success"), COPIED);
      });
      block.append(button);
    };
    const watcher = new IntersectionObserver(
      (seen) => {
        for (const { target, isIntersecting } of seen) {
          if (!isIntersecting) continue;
          watcher.unobserve(target);
          for (const block of [target, ...target.children])
            if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
          if (copies.has(target)) addButton(target);
        }
      },
      { rootMargin: "50% 0px" },
    );
    const scrollable = "div.highlight, .math-scroll, .pst-scrollable-table-container, .output";
    for (const block of all(scrollable, one("article") ?? document)) watcher.observe(block);
  }

  // A number as people type it: 1/16, 0,915, 6 %, 16,384.
  function numberIn(text) {
    const plain = text.replace(/\s/g, "").replace("−", "-");
    const [, above, below, percent] = /^(-?[\d.,]+)(?:\/([\d.,]+))?(%?)$/.exec(plain) ?? [];
    const read = (digits) =>
      Number(
        /^-?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$/.test(digits)
          ? digits.replaceAll(",", "")
          : digits.replace(",", "."),
      );
    return above ? read(above) / (below ? read(below) : 1) / (percent ? 100 : 1) : Number.NaN;
  }

  // The answer that unfolds below stays folded until every question above it has been answered.
  function unfold(question) {
    const stop = "details, section, .ask:not([data-answered])";
    const [above, below] = ["previousElementSibling", "nextElementSibling"].map((next) => {
      let at = question[next];
      while (at && !at.matches(stop)) at = at[next];
      return at;
    });
    if (!above?.matches(".ask") && below?.matches("details")) below.open = true;
  }

  // Replies to the answer that a reader gives.
  function startQuestion(question, k) {
    const answers = all(".ask-answer", question);
    const replies = answers.map((answer) => one(".ask-reply", answer));
    const reply = (chosen) => {
      answers.forEach((answer, at) => {
        replies[at].hidden = answer !== chosen;
      });
      if (!chosen?.hasAttribute("data-right")) return;
      question.dataset.answered = "";
      unfold(question);
    };
    one(".ask-answers", question).setAttribute("role", "group");
    for (const each of replies) each.setAttribute("role", "status");
    if (question.dataset.asks === "choice") {
      for (const answer of answers) {
        const label = document.createElement("label");
        label.className = "ask-choice";
        const radio = document.createElement("input");
        radio.type = "radio";
        radio.name = `ask-${k}`;
        radio.addEventListener("change", () => reply(answer));
        const choice = one(".ask-choice", answer);
        label.append(radio, one("span", choice) ?? choice);
        choice.replaceWith(label);
      }
      return;
    }
    const form = document.createElement("form");
    form.className = "ask-number";
    const input = document.createElement("input");
    input.type = "text";
    input.autocomplete = "off";
    const label = document.createElement("label");
    label.append(question.dataset.number, " ", input);
    const check = document.createElement("button");
    check.textContent = question.dataset.check;
    const unread = document.createElement("p");
    unread.setAttribute("role", "status");
    form.append(label, check, unread);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = numberIn(input.value);
      unread.textContent = Number.isNaN(value) ? question.dataset.unread : "";
      const isNear = ({ dataset }) =>
        Math.abs(value - Number(dataset.value)) <= Number(dataset.within);
      const other = answers.find((answer) => !("value" in answer.dataset));
      reply(Number.isNaN(value) ? null : (answers.find(isNear) ?? other));
    });
    one(".ask-answers", question).before(form);
  }

  // What both languages of a page have, in the same order.
  function blocks() {
    const found = all("h1, h2, h3, h4, p, li, pre, table, .attn-explorer", one("article"));
    return found.filter((each) => !each.matches(".translation-note, .attn-explorer *"));
  }

  // The place that is being read: a block, and how much of it is above the line.
  function placeBeingRead() {
    if (scrollY < LINE) return null;
    const places = blocks();
    const isAbove = (each) => each.checkVisibility() && each.getBoundingClientRect().top <= LINE;
    const last = places.findLastIndex(isAbove);
    if (last < 0) return null;
    const { top, height } = places[last].getBoundingClientRect();
    return `${last}.${Math.min(99, Math.round((100 * (LINE - top)) / Math.max(1, height)))}`;
  }

  function goToPlace(place) {
    const [number, part] = place.split(".").map(Number);
    const found = blocks()[number];
    const block = found?.closest("details:not([open])") ?? found;
    if (!block) return;
    const { top, height } = block.getBoundingClientRect();
    scrollBy({ top: top + (height * part) / 100 - LINE, behavior: "instant" });
  }

  // The same page in the other language opens at the same place, with explorers in the same state.
  function startLanguages() {
    const aim = ({ currentTarget: link }) => {
      window.dispatchEvent(new Event("book-leaves")); // explorers bring the address up to date
      const query = new URLSearchParams(location.search);
      const place = one("article") && placeBeingRead();
      if (place) query.set("place", place);
      const asked = query.size ? `?${query}` : "";
      link.href = link.getAttribute("href").replace(/[?#].*/, "") + asked + location.hash;
    };
    for (const link of all(".language-switch"))
      for (const moment of ["pointerdown", "focus", "click"]) link.addEventListener(moment, aim);
  }

  // A page that is entered by that link takes the place out of its address.
  function placeOfAddress() {
    const query = new URLSearchParams(location.search);
    const place = query.get("place");
    if (place === null) return null;
    query.delete("place");
    const asked = query.size ? `?${query}` : "";
    history.replaceState(history.state, "", location.pathname + asked + location.hash);
    return /^\d{1,5}\.\d{1,2}$/.test(place) ? place : null;
  }

  // Sections above the one that the address names may turn out taller or lower than was reckoned,
  // so the page goes there again, unless a reader has moved on.
  function stayAtAddress() {
    const place = placeOfAddress();
    let isMoved = false;
    const moved = () => {
      isMoved = true;
    };
    const hands = ["wheel", "touchmove", "pointerdown", "keydown"];
    for (const name of hands) window.addEventListener(name, moved, { once: true, passive: true });
    const goThere = () => {
      if (isMoved) return;
      if (place) goToPlace(place);
      else one(":target")?.scrollIntoView();
    };
    window.addEventListener("load", () => {
      for (const wait of AGAIN) setTimeout(goThere, wait);
    });
  }

  // Words that were searched for are marked on the page that was found.
  function markFound() {
    const terms = (kept.take("sphinx_highlight_terms") ?? "")
      .toLowerCase()
      .split(/\s+/)
      .filter(Boolean);
    const article = one("article");
    if (!terms.length || !article || !CSS.highlights) return;
    const ranges = [];
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.data.toLowerCase();
      for (const term of terms)
        for (let at = text.indexOf(term); at >= 0; at = text.indexOf(term, at + term.length)) {
          const range = new Range();
          range.setStart(walker.currentNode, at);
          range.setEnd(walker.currentNode, at + term.length);
          ranges.push(range);
        }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  startThemes();
  startSearch();
  startPaper();
  for (const name of ["primary", "secondary"])
    startSidebar(
      one(`.${name}-toggle`),
      one(`#pst-${name}-sidebar`),
      one(`#pst-${name}-sidebar-modal`),
    );
  startLanguages();
  stayAtAddress();
  for (const [k, question] of all(".ask").entries()) startQuestion(question, k);
  if (!location.pathname.endsWith("search.html")) markFound();
  // What a reader does not miss in the first second waits until the explorers have started.
  window.addEventListener("load", () => {
    setTimeout(() => {
      showPlaceInBook();
      showPlaceOnPage();
      makeRoom();
      startCode();
    });
  });
})();
