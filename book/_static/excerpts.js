// Puts an excerpt below each page that a search has found, from the texts that the search page
// loads (book/_ext/search_texts.py). Sphinx's own search would fetch every page it lists, which a
// page that is read from a folder may not do.
(() => {
  const LENGTH = 240;
  const BEFORE = 70;
  const MOST = 300; // places of a word that are looked at
  const LETTER = /[\p{L}\p{N}]/u;
  const HAN = /\p{sc=Han}/u;

  const field = document.querySelector("form.bd-search input");
  field?.focus();
  field?.select();

  // What Sphinx's search says. The file in which Sphinx would say it makes a function of a text, which
  // the page's policy refuses.
  const CHINESE = {
    "Search Results": "搜索结果",
    Searching: "正在搜索",
    "Preparing search...": "正在准备搜索……",
    ", in ": "，见",
    "Search finished, found ${resultCount} page(s) matching the search query.":
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the search fills it in
      "找到${resultCount}页。",
    "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
      "没有找到。请换一个词，或写得短一些。",
  };
  if (document.documentElement.lang.startsWith("zh"))
    Object.assign(Documentation.TRANSLATIONS, CHINESE);

  const pages = window.SEARCH_TEXTS;
  const results = document.querySelector("#search-results");
  if (!pages || !results) return;
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  const query = (new URLSearchParams(location.search).get("q") ?? "").trim().toLowerCase();
  const words = query.split(/\s+/).filter(Boolean);

  // What a text may have in the place of a word: the phrase, the word, or another form of it.
  function formsOf(word) {
    const plain = word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
    const stem = typeof Stemmer === "undefined" ? plain : new Stemmer().stemWord(plain);
    return [...new Set([plain, stem])].filter(Boolean);
  }

  const terms = words.map(formsOf).filter((forms) => forms.length);

  function placesOf(text, form) {
    const places = [];
    for (
      let at = text.indexOf(form);
      at >= 0 && places.length < MOST;
      at = text.indexOf(form, at + form.length)
    )
      if (HAN.test(form) || !LETTER.test(text[at - 1] ?? " ")) places.push(at);
    return places;
  }

  // Where the words of the query stand closest together, and how many of them stand there.
  function bestPlace(text) {
    const lower = text.toLowerCase();
    const phrase = words.length > 1 ? lower.indexOf(query) : -1;
    if (phrase >= 0) return { at: phrase, count: words.length + 1 };
    const found = [];
    for (const [term, forms] of terms.entries()) {
      const form = forms.find((one) => placesOf(lower, one).length);
      if (form) for (const at of placesOf(lower, form)) found.push({ at, term });
    }
    found.sort((a, b) => a.at - b.at);
    let best = { at: 0, count: 0 };
    for (const [k, { at }] of found.entries()) {
      const near = new Set();
      for (let i = k; i < found.length && found[i].at < at + LENGTH - BEFORE; i++)
        near.add(found[i].term);
      if (near.size > best.count) best = { at, count: near.size };
    }
    return best;
  }

  // Begins and ends between words; Chinese has no spaces to look for.
  function cut(text, at) {
    let start = Math.max(0, at - BEFORE);
    let end = Math.min(text.length, start + LENGTH);
    const space = text.indexOf(" ", start);
    if (start > 0 && space >= 0 && space < at) start = space + 1;
    const last = text.lastIndexOf(" ", end);
    if (end < text.length && last > at + LENGTH / 3) end = last;
    return { start, end };
  }

  function marked(text) {
    const lower = text.toLowerCase();
    const spans = terms
      .flatMap((forms) =>
        forms.flatMap((form) =>
          placesOf(lower, form).map((at) => {
            let end = at + form.length;
            if (!HAN.test(form)) while (end < text.length && LETTER.test(text[end])) end++;
            return [at, end];
          }),
        ),
      )
      .sort(([a, b], [c, d]) => a - c || d - b);
    const nodes = [];
    let at = 0;
    for (const [start, end] of spans) {
      if (start < at) continue;
      const mark = document.createElement("mark");
      mark.textContent = text.slice(start, end);
      nodes.push(text.slice(at, start), mark);
      at = end;
    }
    return [...nodes, text.slice(at)];
  }

  function excerpt(address) {
    const [file, anchor = ""] = address.split("#");
    const parts = pages[file.replace(/\.html$/, "")] ?? [];
    const wanted = parts.filter(([id]) => anchor && id === decodeURIComponent(anchor));
    let best = null;
    for (const [, text] of wanted.length ? wanted : parts) {
      const place = bestPlace(text);
      if (!best || place.count > best.count) best = { text, ...place };
    }
    if (!best) return null;
    const { start, end } = cut(best.text, best.at);
    const paragraph = document.createElement("p");
    paragraph.className = "search-excerpt";
    paragraph.append(
      start > 0 ? "… " : "",
      ...marked(best.text.slice(start, end)),
      end < best.text.length ? " …" : "",
    );
    return paragraph;
  }

  const watcher = new MutationObserver(() => {
    for (const item of results.querySelectorAll("ul.search > li:not([data-read])")) {
      item.dataset.read = "";
      const found = excerpt(item.querySelector("a").getAttribute("href"));
      if (found) item.append(found);
    }
  });
  watcher.observe(results, { childList: true, subtree: true });
})();
