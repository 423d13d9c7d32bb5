"""Tables: those of Markdown, with their cells translated, and lists that Sphinx sets as tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markdown_it.token import Token

from .book import Place
from .directive import Directive
from .inline import inline
from .lines import one_line

__all__ = ["list_table", "table"]

RULES = {"left": ":---", "center": ":---:", "right": "---:"}


def table(tokens: Iterable[Token], place: Place) -> list[str]:
    """Return a table of Markdown.

    Parameters
    ----------
    tokens : iterable of Token
        Those of the table.
    place : Place
        Where the text begins that the tokens count their lines from.
    """
    rows: list[list[str]] = []
    rules = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "th_open":
            style = str(token.attrs.get("style", "")).removeprefix("text-align:")
            rules.append(RULES.get(style, "---"))
        elif token.type == "inline":
            rows[-1].append(_cell(token, place))
    return _drawn(rows, True, rules)


def list_table(directive: Directive, place: Place) -> list[str]:
    """Return the table that a ``list-table`` gives as a list of lists.

    Raises
    ------
    SourceError
        If it is no list of lists, empty, or has more header rows than Markdown knows.
    """
    rows = _listed(directive, place)
    if not rows:
        raise place.error("an empty list-table")
    headers = int(directive.options.get("header-rows") or 0)
    stubs = int(directive.options.get("stub-columns") or 0)
    if headers > 1:
        raise place.error("a list-table may have one header row at most")
    strong = place.book.words.strong
    for row in rows[headers:]:
        row[:stubs] = [strong.format(text=cell) if cell else "" for cell in row[:stubs]]
    return _drawn(rows, headers == 1, [])


def _listed(directive: Directive, place: Place) -> list[list[str]]:
    """Return the cells of a list of lists, the paragraphs of each set one below the other."""
    rows: list[list[list[str]]] = []
    body = place.at(directive.body_line)
    for token in place.book.md.parse(directive.body, place.page.env):
        if token.type == "list_item_open" and token.level == 1:
            rows.append([])
        elif token.type == "list_item_open" and token.level == 3:
            rows[-1].append([])
        elif token.type == "inline" and rows and rows[-1]:
            rows[-1][-1].append(_cell(token, body))
        elif token.type not in ("bullet_list_open", "paragraph_open") and token.nesting >= 0:
            at = body.line + (token.map[0] if token.map else 0)
            message = "a list-table is a list of lists whose items hold paragraphs only"
            raise place.error(message, at)
    return [["<br>".join(cell) for cell in row] for row in rows]


def _cell(token: Token, place: Place) -> str:
    assert token.map is not None
    at = place.in_cell(place.line + token.map[0])
    text = inline(token.content, token.children or [], at)
    return re.sub(r"(?<!\\)\|", r"\\|", one_line(text))


def _drawn(rows: list[list[str]], has_header: bool, rules: list[str]) -> list[str]:
    """Return a table's lines; Markdown has no table without a header, so it may be an empty one."""
    width = max(map(len, rows))
    rows = [row + [""] * (width - len(row)) for row in rows]
    head, body = (rows[0], rows[1:]) if has_header else ([""] * width, rows)
    rule = [rules[i] if i < len(rules) else "---" for i in range(width)]
    return [f"| {' | '.join(row)} |" for row in [head, rule, *body]]
