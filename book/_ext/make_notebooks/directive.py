"""A directive taken apart: its name, argument, options and body, and what of these is known here.

An option that has no translation is an error; one that only concerns the page's look is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from markdown_it.token import Token

from .book import Place

__all__ = ["Directive", "caption_of", "taken_apart"]

# What only concerns the look of the HTML page is read and left out.
LOOK = {"class", "name", "width", "height", "scale", "align", "figwidth", "figclass", "widths"}
OPTIONS = {
    "admonition": LOOK,
    "dropdown": LOOK | {"open", "animate", "color", "icon", "chevron", "margin"},
    "margin": LOOK,
    "sidebar": LOOK,
    "figure": LOOK | {"alt"},
    "image": LOOK | {"alt"},
    "list-table": LOOK | {"header-rows", "stub-columns"},
    "table": LOOK,
    "math": LOOK | {"label", "nowrap"},
    "glossary": {"sorted"},
    "question": set(),
    "gallery": set(),
    "live": set(),
    "bibliography": {"filter", "style", "all", "cited"},
    "code-cell": {"tags"},
    "code": LOOK | {"linenos", "emphasize-lines"},
    "code-block": LOOK | {"linenos", "emphasize-lines", "caption", "lineno-start"},
    "literalinclude": LOOK
    | {"language", "caption", "linenos", "lineno-match", "emphasize-lines", "dedent"}
    | {"pyobject", "lines", "start-at", "start-after", "end-at", "end-before"},
}


@dataclass(frozen=True)
class Directive:
    """A directive taken apart."""

    name: str
    argument: str
    options: Mapping[str, Any]
    body: str
    line: int
    body_line: int


def taken_apart(token: Token, place: Place) -> Directive:
    """Return the directive that a fence holds.

    Parameters
    ----------
    token : Token
        A fence, of colons or backticks, whose first line begins with a name in braces.
    place : Place
        Where the fence begins.

    Raises
    ------
    SourceError
        If the directive or one of its options has no translation, or its options do not end.
    """
    match = re.match(r"\{([^\s}]+)\}\s*(.*)$", token.info.strip(), re.DOTALL)
    if not match:
        raise place.error(f"cannot read the directive {token.info.strip()!r}")
    name, argument = match[1], match[2].strip()
    lines = token.content.rstrip("\n").split("\n") if token.content.strip() else []
    options, taken = _options(name, lines, place)
    while taken < len(lines) and not lines[taken].strip():
        taken += 1
    is_admonition = name in place.book.words.admonitions
    known = OPTIONS.get(name, LOOK if is_admonition else None)
    if known is None:
        raise place.error(f"no translation for the directive {{{name}}}")
    for option in options:
        if option not in known:
            raise place.error(f"no translation for the option {option!r} of {{{name}}}")
    body, line = "\n".join(lines[taken:]), place.line + 1 + taken
    if is_admonition and argument:
        # These have no title of their own: what stands on the first line begins the text.
        body, line, argument = f"{argument}\n{body}".rstrip("\n"), line - 1, ""
    return Directive(name, argument, options, body, place.line, line)


def _options(name: str, lines: list[str], place: Place) -> tuple[dict[str, Any], int]:
    """Return the options that a directive's text begins with, and how many lines they take."""
    if lines and lines[0].strip() == "---":
        end = next((i for i, text in enumerate(lines[1:], 1) if text.strip() == "---"), None)
        if end is None:
            raise place.error(f"the options of {name!r} have no closing ---")
        loaded = yaml.safe_load("\n".join(lines[1:end])) or {}
        return {str(k): v if isinstance(v, list) else str(v) for k, v in loaded.items()}, end + 1
    options: dict[str, Any] = {}
    for taken, line in enumerate(lines):
        option = re.match(r":([\w.-]+):(?:\s+(.*))?$", line)
        if not option:
            return options, taken
        options[option[1]] = (option[2] or "").strip()
    return options, len(lines)


def caption_of(directive: Directive) -> str:
    """Return the caption by which a figure, table or listing gets a number, or nothing."""
    if directive.name in ("list-table", "table"):
        return directive.argument
    if directive.name == "figure":
        return directive.body.strip().split("\n\n")[0]
    return str(directive.options.get("caption", ""))
