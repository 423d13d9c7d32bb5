"""A page's text in another language: each block that a catalogue knows gives way to what it says.

The messages of a catalogue are the blocks that the same parser gives Sphinx: the source of a
paragraph, a heading or a table's cell, a box's title, a formula set apart. So every block is looked
up, and replaced where it stands; the marks around it stay. Code is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent

from markdown_it.token import Token

from .book import Place
from .directive import taken_apart
from .edits import rewritten
from .labels import LITERAL
from .lines import continued

__all__ = ["Messages", "translation"]

FORMULAS = {"math_block", "math_block_label", "amsmath"}
ANSWER = re.compile(r"\[x?\s*(?:-?[\d.]+\s*±\s*[\d.]+)?\s*\]\s+")
"""What a question's answer begins with; it is no part of the message."""


class Messages:
    """Translations by their English, and which of them have been asked for.

    Parameters
    ----------
    translations : mapping of str to str
        Line breaks in the English count in formulas alone.
    """

    def __init__(self, translations: Mapping[str, str]) -> None:
        self.translations = {_key(english): text for english, text in translations.items()}
        self.asked: set[str] = set()

    def of(self, english: str) -> str:
        """Return what a block is translated to: itself, where there is no translation."""
        mark = ANSWER.match(english)
        before = mark[0] if mark else ""
        key = _key(english[len(before) :])
        self.asked.add(key)
        return before + self.translations[key] if key in self.translations else english

    @property
    def left(self) -> list[str]:
        """The messages that no block has asked for."""
        return [english for english in self.translations if english not in self.asked]


def translation(text: str, messages: Messages, place: Place) -> str:
    """Return a text with each of its blocks translated.

    Parameters
    ----------
    text : str
        A whole page, or what stands inside a block of one.
    messages : Messages
        Keeps what was asked for.
    place : Place
        Where the text begins.

    Raises
    ------
    SourceError
        If a block cannot be found in the lines that it came from.
    """
    lines = text.split("\n")
    # From the end, so that the lines of those still to come stay where they are.
    for token in reversed(place.book.md.parse(text, {})):
        if token.map is None:
            continue
        start, end = token.map
        at = place.at(place.line + start)
        if token.type == "inline":
            _say(lines, start, end, token.content, messages, at)
        elif token.type in FORMULAS:
            old, new = (dedent(x).strip("\n") for x in (token.content, messages.of(token.content)))
            _put(lines, start + (token.type != "amsmath"), old, new, at)
        elif token.type in ("fence", "colon_fence") and token.info.startswith("{"):
            _directive(token, lines, messages, at)
        elif token.type == "table_open":
            raise at.error("no translation for a table of Markdown: write a {list-table}")
    return "\n".join(lines)


def _key(english: str) -> str:
    """Return what a message is looked up by; that of a formula begins with a line break."""
    return english if english.startswith("\n") else " ".join(english.split())


def _say(
    lines: list[str], start: int, end: int, old: str, messages: Messages, place: Place
) -> None:
    """Put what a run of inline text is translated to in its place among the lines."""
    new = messages.of(old)
    if new == old:
        return
    try:
        edit = rewritten(lines, start, end, old, new)
    except ValueError as error:
        raise place.error(str(error)) from error
    lines[edit.start : edit.end] = edit.lines or []


def _directive(token: Token, lines: list[str], messages: Messages, place: Place) -> None:
    """Translate a directive's title, and what it holds if that is no code."""
    assert token.map is not None
    start = token.map[0]
    directive = taken_apart(token, place)
    if directive.name == "code-cell":
        return
    if directive.body:
        inside = place.at(directive.body_line)
        new = directive.body
        if directive.name == "math":
            new = messages.of(directive.body)
        elif directive.name not in LITERAL:
            new = translation(directive.body, messages, inside)
        _put(lines, start + directive.body_line - place.line, directive.body, new, inside)
    if directive.argument:
        _say(lines, start, start + 1, directive.argument, messages, place)


def _put(lines: list[str], start: int, old: str, new: str, place: Place) -> None:
    """Put a text in the place of another one, behind what stood before each of its lines."""
    if new == old:
        return
    heads = []
    for line, text in zip(lines[start:], old.split("\n"), strict=False):
        line, text = line.rstrip(), text.rstrip()
        if not line.endswith(text):
            raise place.error("cannot find this block's text in its source lines")
        heads.append(line[: len(line) - len(text)])
    # Blank lines have lost theirs.
    rest = max(heads[1:], key=len, default=continued(heads[0]))
    first, *others = new.split("\n")
    lines[start : start + len(heads)] = [
        (heads[0] + first).rstrip(),
        *((rest + line).rstrip() for line in others),
    ]
