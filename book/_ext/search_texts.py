"""Write the text of every page into one script, so that search shows excerpts.

Sphinx's search fetches each page that it has found, which a page read from a folder may not do. The
search page loads ``search-texts.js`` instead: each page's text as its reader sees it, in parts that
an address can lead to. ``excerpts.js`` looks there.
"""

from __future__ import annotations

import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from sphinx.application import Sphinx

__all__ = ["formula", "texts", "write"]

SCRIPTS = ("search-texts.js", "excerpts.js")
ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.S)
UNREAD = re.compile(
    r'<(svg|script|style|button)\b.*?</\1>|<p class="(?:collapsed|expanded)\b.*?</p>', re.S
)
MATH = re.compile(r"<math\b.*?</math>", re.S)
BLOCKS = frozenset(
    {
        *(
            "address",
            "article",
            "blockquote",
            "br",
            "dd",
            "details",
            "div",
            "dl",
            "dt",
            "figcaption",
        ),
        *("figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "section"),
        *("summary", "table", "td", "th", "tr", "ul"),
    }
)
VOID = frozenset({"br", "hr", "img", "input", "wbr"})
SKIPPED = frozenset({"headerlink", "attn-explorer", "live-picture", "live-knob", "viewcode-link"})


def _said(node: ElementTree.Element) -> str:
    parts = [_said(child) for child in node]
    match node.tag:
        case "msup":
            return f"{parts[0]}^{_grouped(parts[1])}"
        case "msub":
            return f"{parts[0]}_{_grouped(parts[1])}"
        case "msubsup":
            return f"{parts[0]}_{_grouped(parts[1])}^{_grouped(parts[2])}"
        case "mfrac":
            return f"{_grouped(parts[0])}/{_grouped(parts[1])}"
        case "msqrt":
            return f"√{_grouped(''.join(parts).strip())}"
        case "mtr":
            return " ".join(parts) + " "
        case "mspace":
            return " "
        case "mo" if (node.text or "") in "=<>≤≥≈∈→∼":
            return f" {node.text or ''} "
        case "mtext":
            return node.text or ""
    return unicodedata.normalize("NFKC", node.text or "") + "".join(parts)


def _grouped(text: str) -> str:
    return text if len(text) < 2 or text.isalnum() else f"({text})"


def formula(markup: str) -> str:
    """Return a formula as a line of plain text: ``x^2``, ``a_i``, ``1/√d``."""
    return " ".join(_said(ElementTree.fromstring(markup.replace("&nbsp;", " "))).split())


class _Reader(HTMLParser):
    """Collects the text of a page, in parts that begin where an address may lead."""

    openings: ClassVar[frozenset[str]] = frozenset({"section", "dt"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[str, list[str]]] = [("", [])]
        self.open: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag in BLOCKS:
            self.parts[-1][1].append(" ")
        if tag in VOID:
            return
        classes = (known.get("class") or "").split()
        self.open.append(bool(self.open and self.open[-1]) or not SKIPPED.isdisjoint(classes))
        if tag in self.openings and known.get("id") and not self.open[-1]:
            self.parts.append((known["id"] or "", []))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if self.open:
            self.open.pop()
        if tag in BLOCKS:
            self.parts[-1][1].append(" ")

    def handle_data(self, data: str) -> None:
        if not (self.open and self.open[-1]):
            self.parts[-1][1].append(data)


def texts(page: str) -> list[list[str]]:
    """Return the parts of a page of HTML: the id that each begins at, and its text."""
    article = ARTICLE.search(page)
    if article is None:
        return []
    plain = UNREAD.sub("", article[1])
    reader = _Reader()
    reader.feed(MATH.sub(lambda found: _escaped(formula(found[0])), plain))
    parts = [[name, " ".join("".join(pieces).split())] for name, pieces in reader.parts]
    return [part for part in parts if part[1]]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the texts of all pages of a finished build."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    found = {}
    for docname in sorted(app.env.found_docs):
        path = out / f"{docname}.html"
        if path.exists():
            found[docname] = texts(path.read_text(encoding="utf-8"))
    said = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    script = f"window.SEARCH_TEXTS = {said};\n"
    (out / "_static" / SCRIPTS[0]).write_text(script, encoding="utf-8")


def _forget(app: Sphinx) -> None:
    """Remove the last build's texts, whose sum Sphinx would put into the page's address."""
    if app.builder.format == "html":
        (Path(app.outdir) / "_static" / SCRIPTS[0]).unlink(missing_ok=True)


def _add_to_search(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    if pagename == "search":
        for script in SCRIPTS:
            app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after the pages have been mended."""
    app.connect("builder-inited", _forget)
    app.connect("html-page-context", _add_to_search)
    app.connect("build-finished", write, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
