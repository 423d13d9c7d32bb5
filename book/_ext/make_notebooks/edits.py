"""Edits: lines of a text give way to others, and the rest is copied as it stands.

What comes of it are pieces: runs of Markdown, and between them the places where cells are cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from .lines import continued

__all__ = ["Code", "Cut", "Edit", "Heading", "Piece", "Works", "rewritten", "spliced"]


@dataclass(frozen=True)
class Heading:
    """A cut before a heading at the top level of a page."""

    level: int
    title: str


@dataclass(frozen=True)
class Cut:
    """A cut between two Markdown cells that the author asked for."""


@dataclass(frozen=True)
class Code:
    """A code cell."""

    source: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Works:
    """The place of the list of works cited."""


Piece = str | Heading | Cut | Code | Works


@dataclass(frozen=True)
class Edit:
    """Lines ``start`` to ``end`` of a text give way to ``lines``, or to one other piece.

    A ``block`` is kept apart from its neighbours, and ``head`` goes before its first line. Lines
    that are no block stand exactly as given.
    """

    start: int
    end: int
    lines: list[str] | None
    piece: Piece | None = None
    block: bool = True
    head: str = ""


def spliced(lines: list[str], edits: list[Edit]) -> list[Piece]:
    """Return the text of ``lines`` with the edits made, other pieces in their places."""
    pieces: list[Piece] = []
    out: list[str] = []
    done = 0

    def flush() -> None:
        if out:
            pieces.append("\n".join(out) + "\n")
            out.clear()

    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        out += lines[done : edit.start]
        done = max(done, edit.end)
        if edit.piece is not None:
            flush()
            pieces.append(edit.piece)
        elif edit.lines and edit.block:
            rest = continued(edit.head)
            bare = not edit.head.strip(" >")
            if bare and out and out[-1].strip(" >"):
                out.append(edit.head.rstrip())
            heads = [edit.head, *[rest] * (len(edit.lines) - 1)]
            out += [(h + x).rstrip() for h, x in zip(heads, edit.lines, strict=True)]
            if done < len(lines) and lines[done].strip(" >"):
                out.append(rest.rstrip())
        elif edit.lines:
            out += edit.lines
        elif done < len(lines) and not lines[done].strip() and not (out and out[-1].strip()):
            done += 1
    out += lines[done:]
    flush()
    return pieces


def rewritten(lines: list[str], start: int, end: int, old: str, new: str) -> Edit:
    """Return the edit that makes a paragraph's text ``new`` and keeps what stands around it.

    Parameters
    ----------
    lines : list of str
        The lines of the whole text.
    start, end : int
        The paragraph's first line among them, and the first behind it.
    old, new : str
        The paragraph's text, without what its lines have before and behind it.

    Raises
    ------
    ValueError
        If the lines do not hold the old text.
    """
    heads = []
    tail = ""
    for line, text in zip(lines[start:end], old.split("\n"), strict=False):
        at = line.rfind(text.rstrip())
        if at < 0:
            raise ValueError("cannot find this paragraph's text in its source line")
        heads.append(line[:at])
        tail = line[at + len(text.rstrip()) :].rstrip()
    rest = heads[-1] if len(heads) > 1 else continued(heads[0])
    result = [
        (heads[i] if i < len(heads) else rest) + text for i, text in enumerate(new.split("\n"))
    ]
    result[-1] += tail
    return Edit(start, start + len(heads), result, block=False)
