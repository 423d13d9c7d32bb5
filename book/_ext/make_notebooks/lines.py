"""Lines of Markdown: what stands before a block on its line, and blank lines in their places."""

from __future__ import annotations

import re

__all__ = ["blank_ends_removed", "continued", "fenced", "head_of", "one_line", "tight"]


def head_of(line: str, mark: str | None, level: int) -> str:
    """Return what stands before a block on its first line: indentation, ``>``, a list's mark.

    Parameters
    ----------
    line : str
        The block's first line.
    mark : str or None
        What the block itself begins with, where that is known.
    level : int
        How many blocks the block stands in.
    """
    if mark is not None and mark in line:
        return line[: line.index(mark)]
    if not level:
        return line[: len(line) - len(line.lstrip())]
    match = re.match(r"(?:\s*>|\s*(?:[-*+]|\d+[.)])\s+)*\s*", line)
    return match[0] if match else ""


def continued(head: str) -> str:
    """Return what stands before a block's other lines, given its first line's head."""
    return re.sub(r"[^\s>]", " ", head)


def blank_ends_removed(lines: list[str]) -> list[str]:
    """Return ``lines`` without the blank ones at both ends."""
    return "\n".join(lines).strip("\n").split("\n") if any(map(str.strip, lines)) else []


def tight(lines: list[str]) -> list[str]:
    """Return ``lines`` without a second blank one in a row."""
    return [x for i, x in enumerate(lines) if x.strip() or (i and lines[i - 1].strip())]


def one_line(text: str) -> str:
    """Return a text with its line breaks turned into spaces."""
    return re.sub(r"\s*\n\s*", " ", text.strip())


def fenced(code: str, language: str) -> list[str]:
    """Return ``code`` between fences longer than any that it holds."""
    ticks = max([2, *(len(run) for run in re.findall(r"`+", code))]) + 1
    return [f"{'`' * ticks}{language}", *code.rstrip("\n").split("\n"), "`" * ticks]
