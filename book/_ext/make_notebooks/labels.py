"""What a reference may name: the labels, headings, numbers and terms of all pages.

A label belongs to what stands behind it. Equations, figures, tables and listings are counted
through all pages, as Sphinx counts them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode
from myst_parser.mdit_to_docutils.base import compute_unique_slug

from .book import Book, Page, Place, SourceError, Target
from .definitions import glossary_entries
from .directive import caption_of, taken_apart

__all__ = ["LITERAL", "collect"]

# Directives whose body is not Markdown, or not to be searched for labels.
LITERAL = {"bibliography", "code", "code-block", "code-cell", "glossary", "literalinclude", "math"}
NUMBERED = {
    "figure": "figure",
    "list-table": "table",
    "table": "table",
    "code-block": "listing",
    "literalinclude": "listing",
}


def collect(book: Book) -> None:
    """Find what references may name, on every page, and enter it into the book.

    A label that stands twice, or a directive that cannot be read, is kept among its errors.
    """
    counts: Counter[str] = Counter()
    for page in book.pages.values():
        _Collector(Place(book, page), counts).collect()


class _Collector:
    """One page's labels, while they are being collected."""

    def __init__(self, place: Place, counts: Counter[str]) -> None:
        self.place = place
        self.book, self.page = place.book, place.page
        self.counts = counts
        self.heading = Target(self.page, "page")
        self.pending: list[tuple[str, int]] = []

    def collect(self) -> None:
        self.walk(self.page.text, 1, top=True)
        self.settle(self.heading)
        page = self.page
        page.title = page.title or page.stem
        self.book.targets.setdefault(page.name, Target(page, "page", page.title))

    def walk(self, text: str, line: int, *, top: bool) -> None:
        """Go through a text that begins on a line; only a page's own headings count."""
        tokens = self.book.md.parse(text, self.page.env)
        for index, token in enumerate(tokens):
            at = line + (token.map[0] if token.map else 0)
            if token.type == "myst_target":
                self.pending.append((token.content.strip(), at))
            elif token.type == "heading_open" and top and token.level == 0:
                self.heading = _enter_heading(self.page, tokens[index : index + 3], at)
                self.settle(self.heading)
            elif token.type == "math_block_label":
                self.pending.append((token.info, at))
                self.settle(self.numbered("equation", at))
            elif token.type in ("fence", "colon_fence") and token.info.startswith("{"):
                self.directive(token, at)
            elif token.nesting >= 0 and token.level == 0 and token.map:
                self.settle(self.heading)

    def directive(self, token: Token, at: int) -> None:
        place = self.place.at(at)
        try:
            directive = taken_apart(token, place)
        except SourceError as error:
            self.book.note(error)
            return
        name, options = directive.name, directive.options
        if options.get("name"):
            self.pending.append((options["name"], at))
        target = self.heading
        if name == "math":
            if options.get("label"):
                self.pending.append((options["label"], at))
            if self.pending:
                target = self.numbered("equation", at)
        elif name == "glossary":
            for names, text, _ in glossary_entries(directive, place):
                self.enter_term(names, text)
        elif name in NUMBERED and (caption := caption_of(directive)):
            target = self.numbered(NUMBERED[name], at, caption)
        self.settle(target)
        if name not in LITERAL:
            self.walk(directive.body, directive.body_line, top=False)

    def settle(self, target: Target) -> None:
        """Let the labels that wait for what they stand before stand for ``target``."""
        targets = self.book.targets
        for label, line in self.pending:
            if label in targets:
                other = targets[label].page.file
                self.book.note(self.place.error(f"label {label!r}: also in {other}", line))
            targets[label] = target
        self.pending.clear()

    def numbered(self, kind: str, line: int, title: str = "") -> Target:
        self.counts[kind] += 1
        self.book.numbers[self.page.name, line] = self.counts[kind]
        return replace(self.heading, kind=kind, number=self.counts[kind], title=title)

    def enter_term(self, names: list[str], text: str) -> None:
        for name in names:
            self.book.terms[name.lower()] = f"**{names[0]}** — {text}"
            target = Target(self.page, "term", name)
            self.book.targets.setdefault(f"term:{name.lower()}", target)


def _enter_heading(page: Page, tokens: list[Token], line: int) -> Target:
    """Enter a heading, given its three tokens and its line, among those of its page."""
    if page.source:
        # Anchors are the same in every language.
        slug = [*page.source.headings][len(page.headings)]
    else:
        slug = compute_unique_slug(SyntaxTreeNode(tokens), page.headings)
    title = tokens[1].content.strip()
    # What stands below the page's title, before the first section, is found at the top.
    section = "" if tokens[0].tag == "h1" else title
    target = Target(page, "heading", title, section=section, slug=slug, line=line)
    page.headings[slug] = target
    if tokens[0].tag == "h1" and not page.title:
        page.title = title
    return target
