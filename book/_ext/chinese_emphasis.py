"""Let ``**`` begin and end bold beside Chinese, where no space stands between words.

By CommonMark's rule ``**顺序。**没有`` has no bold: after punctuation, ``**`` ends bold only
before a space or another mark. That suits scripts that set words apart. Here a character of
Chinese, Japanese or Korean, be it a mark or a letter, lets bold begin and end on both of its sides,
as is discussed in commonmark-spec's issue 650. A parser may do so by an extension; this is one.
The rule of ``_`` stays: within a word it means itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from markdown_it import parser_inline
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline.state_inline import Scanned, StateInline
from sphinx.application import Sphinx


def is_wide(character: str) -> bool:
    """Say whether a character is set in a cell of its own, as those of Chinese are."""
    return unicodedata.east_asian_width(character) in ("W", "F", "H")


def _is_space(character: str) -> bool:
    return isWhiteSpace(ord(character))


def _shuts(character: str) -> bool:
    """Say whether a character is punctuation of a script that sets words apart."""
    is_mark = isMdAsciiPunct(ord(character)) or isPunctChar(character)
    return is_mark and not is_wide(character)


def _faces(near: str, far: str) -> bool:
    """Say whether a run of ``*`` may stand between `near`, which it would hold, and `far`."""
    if _is_space(near):
        return False
    return not _shuts(near) or _is_space(far) or _shuts(far) or is_wide(far)


class State(StateInline):
    """A line of Markdown that is being read."""

    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:
        """Return whether a run of markers may begin and end emphasis, and its length."""
        if not canSplitWord:
            return super().scanDelims(start, canSplitWord)
        end = start
        while end < self.posMax and self.src[end] == self.src[start]:
            end += 1
        before = self.src[start - 1] if start else " "
        after = self.src[end] if end < self.posMax else " "
        return Scanned(_faces(after, before), _faces(before, after), end - start)


@contextmanager
def beside_chinese() -> Iterator[None]:
    """Read Markdown by the rule of this module."""
    own = parser_inline.StateInline
    parser_inline.StateInline = State
    try:
        yield
    finally:
        parser_inline.StateInline = own


def setup(app: Sphinx) -> dict[str, Any]:
    """Read all pages of this build so, in every language."""
    rule = beside_chinese()
    rule.__enter__()
    app.connect("build-finished", lambda app, exception: rule.__exit__(None, None, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
