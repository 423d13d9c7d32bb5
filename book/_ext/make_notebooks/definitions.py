"""Terms and what they mean: definition lists and the glossary, both as lists of bold terms."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from markdown_it.token import Token

from .book import Book, Page, Place
from .directive import Directive
from .inline import inline, text
from .lines import blank_ends_removed, head_of, one_line, tight
from .parsing import closing

__all__ = ["Markdown", "definition_list", "glossary", "glossary_entries", "terms_used"]

# Translates a text that stands inside something else.
Markdown = Callable[[str, Place], list[str]]


def definition_list(
    tokens: list[Token], lines: list[str], place: Place, markdown: Markdown
) -> list[str]:
    """Return a definition list.

    Parameters
    ----------
    tokens : list of Token
        Those of the list.
    lines : list of str
        The text that the tokens count their lines from.
    place : Place
        Where that text begins.
    markdown : callable
        Translates the text of a definition.
    """
    out: list[str] = []
    strong = place.book.words.strong
    for index, token in enumerate(tokens):
        if token.map is None:
            continue
        at = place.at(place.line + token.map[0])
        if token.type == "dt_open":
            term = tokens[index + 1]
            bold = strong.format(text=inline(term.content, term.children or [], at))
            out.append(f"- {bold}")
        elif token.type == "dd_open":
            # The definition's own lines are those of its blocks; the plugin's differ by one.
            inside = [x.map for x in tokens[index + 1 : closing(tokens, index)] if x.map]
            start, end = min(x[0] for x in inside), max(x[1] for x in inside)
            head = head_of(lines[start], ":", 1)
            body = [line[len(head) :] for line in lines[start:end]]
            source = textwrap.dedent(body[0].replace(":", " ", 1) + "\n" + "\n".join(body[1:]))
            out += ["", *_indented(markdown(source.strip("\n"), at)), ""]
    return blank_ends_removed(tight(out))


def glossary(directive: Directive, place: Place, markdown: Markdown) -> list[str]:
    """Return the list that a ``glossary`` holds."""
    out = []
    for names, meaning, line in glossary_entries(directive, place):
        first, *rest = markdown(meaning, place.at(line + len(names)))
        bold = place.book.words.strong.format(text=", ".join(names))
        out += [f"- {bold} — {first}", *_indented(rest)]
    return out


def glossary_entries(directive: Directive, place: Place) -> Iterator[tuple[list[str], str, int]]:
    """Yield each entry of a ``glossary``: its terms, their meaning, and the line it begins on.

    Raises
    ------
    SourceError
        If a meaning stands before the first term.
    """
    names: list[str] = []
    meaning: list[str] = []
    start = directive.body_line
    for line, content in enumerate([*directive.body.split("\n"), "end"], directive.body_line):
        if content.strip() and not content[0].isspace():
            if meaning:
                yield names, textwrap.dedent("\n".join(meaning)).strip(), start
                names, meaning = [], []
                start = line
            names.append(content.split(" : ")[0].strip())
        elif meaning or content.strip():
            if not names:
                raise place.error("a glossary begins with a term", line)
            meaning.append(content)


def terms_used(book: Book, page: Page) -> list[str]:
    """Return the list of the terms that a page's text points to, with their meanings."""
    entries = dict.fromkeys(book.terms[term] for term in page.terms)
    return [f"- {one_line(text(x, Place(book, page)))}" for x in sorted(entries, key=str.lower)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}".rstrip() for line in lines]
