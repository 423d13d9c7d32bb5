"""Put all styles of a page into one sheet, less the rules that no page of the book needs.

The theme and its extensions bring 430 KB of rules in eight files, which a phone reads before it
paints anything. Here a rule stays if every class and id that it names stands on some page, or in a
script that may add it. What the book itself says (`book_style`) stays whole, and comes last.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import book_style
import editions
import tinycss2
from sphinx.application import Sphinx
from tinycss2.ast import AtRule, Node, QualifiedRule

SHEET = "book.css"
# In the order in which the theme loads them.
SOURCES = (
    "basic.css",
    "styles/pydata-sphinx-theme.css",
    "pygments.css",
    "styles/sphinx-book-theme.css",
    "mystnb.*.css",
    "sphinx-design.min.css",
)
SPARED = ("copybutton.css", "styles/theme.css")
ICON_FONT = "Font Awesome"
NAMES = re.compile(r"[.#](-?[A-Za-z_][\w-]*)")
WORDS = re.compile(r"[\w-]+")
CHOICES = re.compile(r":(?:not|is|where)\([^()]*(?:\([^()]*\)[^()]*)*\)")
ATTRIBUTES = re.compile(r'\b(?:class|id)="([^"]*)"')


def words_in_use(pages: Iterable[Path], scripts: Iterable[Path]) -> set[str]:
    """Return every class and id of the pages, and every word of the scripts."""
    found: set[str] = set()
    for page in pages:
        for value in ATTRIBUTES.findall(page.read_text(encoding="utf-8")):
            found.update(value.split())
    for script in scripts:
        found.update(WORDS.findall(script.read_text(encoding="utf-8")))
    return found


def _selectors(prelude: str) -> list[str]:
    """Return a rule's selectors: cut at commas that stand in no parentheses."""
    parts, depth = [""], 0
    for character in prelude:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _is_needed(selector: str, used: set[str]) -> bool:
    """Say whether a selector may match: of ``:is()`` and ``:not()`` nothing need be there."""
    return all(name in used for name in NAMES.findall(CHOICES.sub("", selector)))


def trimmed(rules: Iterable[Node], used: set[str]) -> Iterator[str]:
    """Yield the rules that may match a page, each as text."""
    for rule in rules:
        if isinstance(rule, QualifiedRule):
            selectors = _selectors(tinycss2.serialize(rule.prelude))
            if kept := [each for each in selectors if _is_needed(each, used)]:
                yield f"{','.join(kept)}{{{tinycss2.serialize(rule.content).strip()}}}"
        elif isinstance(rule, AtRule):
            head = f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude).rstrip()}"
            if rule.content is None:
                if rule.lower_at_keyword not in ("charset", "import"):
                    yield f"{head};"
            elif rule.lower_at_keyword in ("media", "supports", "layer", "container"):
                inner = tinycss2.parse_rule_list(
                    rule.content, skip_comments=True, skip_whitespace=True
                )
                if kept := list(trimmed(inner, used)):
                    yield f"{head}{{{''.join(kept)}}}"
            else:
                content = tinycss2.serialize(rule.content)
                if ICON_FONT not in content:
                    yield f"{head}{{{content.strip()}}}"


def sheet(sources: Iterable[str], used: set[str]) -> str:
    """Return what is needed of the sheets `sources`, and the book's own."""
    parts = []
    for source in sources:
        rules = tinycss2.parse_stylesheet(source, skip_comments=True, skip_whitespace=True)
        parts += trimmed(rules, used)
    return "".join(parts) + "\n" + book_style.style_sheet()


def version() -> str:
    """Return what changes with the book's own styles, for browsers that keep the old sheet."""
    return hashlib.sha256(book_style.style_sheet().encode()).hexdigest()[:8]


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the one sheet, and remove those that it was made of."""
    if app.builder.format != "html" or exception is not None:
        return
    out = Path(app.outdir)
    static = out / "_static"
    found = [path for pattern in SOURCES for path in sorted(static.glob(pattern))]
    # A build that finds nothing to do writes two of them again; the sheet of the last one stands.
    if len(found) == len(SOURCES):
        used = words_in_use(editions.pages(out), static.rglob("*.js"))
        texts = [path.read_text(encoding="utf-8") for path in found]
        (static / SHEET).write_text(sheet(texts, used), encoding="utf-8")
    for path in [*found, *(static / name for name in SPARED)]:
        path.unlink(missing_ok=True)


def _name_the_sheet(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Let the page load one sheet, and the explorers' where it has one."""
    context["book_sheet"] = f"{SHEET}?v={version()}"
    context["css_files"] = [
        file
        for file in context["css_files"]
        if Path(str(getattr(file, "filename", file))).name == "explorers.css"
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", _name_the_sheet, priority=900)
    app.connect("build-finished", write, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
