"""Which texts of a figure are messages, and what becomes of the numbers in them.

A figure's words come from cells, where numbers are computed: "stride 16". The message is the text
with a numbered hole for every number, "stride {0}", and a translation gets the numbers back as they
stood. Numbers that are part of a name ("f32", "2D") and mathematics between dollars stay in the
message. A text with no word, as "n = 64" or "$10^3$", is the same in every language: it is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Translate = Callable[[str], str]
"""From a message to its translation, which is the message itself where there is none."""

MATH = re.compile(r"(?<!\\)\$(?:[^$\\]|\\.)+\$")
NUMBER = re.compile(r"(?<![\w.])(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?![\w])")
HOLE = re.compile(r"\{(\d+)\}")
WORD = re.compile(r"[^\W\d_]{2,}")


def pieces(text: str) -> list[tuple[bool, str]]:
    """Return `text` cut at its mathematics: (is it mathematics?, piece), in order."""
    found = []
    end = 0
    for match in MATH.finditer(text):
        found += [(False, text[end : match.start()]), (True, match[0])]
        end = match.end()
    return [(is_math, piece) for is_math, piece in [*found, (False, text[end:])] if piece]


def message_of(text: str) -> tuple[str, list[str]] | None:
    """Return the message in `text` and the numbers for its holes; None where no word is in it."""
    if not any(WORD.search(piece) for is_math, piece in pieces(text) if not is_math):
        return None
    numbers: list[str] = []

    def hole(match: re.Match[str]) -> str:
        numbers.append(match[0])
        return f"{{{len(numbers) - 1}}}"

    parts = (piece if is_math else NUMBER.sub(hole, piece) for is_math, piece in pieces(text))
    return "".join(parts), numbers


def fill(message: str, numbers: list[str]) -> str:
    """Return `message` with its holes filled.

    Raises
    ------
    ValueError
        If it has a hole for which there is no number.
    """
    holes = [int(number) for number in HOLE.findall(message)]
    if max(holes, default=-1) >= len(numbers):
        raise ValueError(f"message must have holes below {len(numbers)}, got {message!r}")
    return HOLE.sub(lambda match: numbers[int(match[1])], message)


def translated(text: str, translate: Translate) -> str:
    """Return `text` in another language, its numbers as they stood."""
    found = message_of(text)
    if found is None:
        return text
    message, numbers = found
    return fill(translate(message), numbers)
