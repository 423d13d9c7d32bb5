"""Cells: the pieces of a page, joined between two cuts, each with an id that stays where it is.

An id is made of its section's title and counts the section's cells, so that those of one section do
not move when another one grows.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from .edits import Code, Heading, Piece, Works
from .lines import blank_ends_removed
from .own_text import OWN_TEXT

__all__ = ["cells", "code_metadata"]


def cells(pieces: Iterable[Piece], *, works: list[str]) -> list[NotebookNode]:
    """Return the cells that a page's pieces make.

    Parameters
    ----------
    pieces : iterable of Piece
        The page, translated.
    works : list of str
        The lines of the list of works cited, which stands where the page has its place.
    """
    made = _Cells()
    for piece in pieces:
        if isinstance(piece, str):
            made.text.append(piece)
        elif isinstance(piece, Heading):
            if piece.level <= 3:
                made.cut()
                made.begin_section(piece.title)
        elif isinstance(piece, Works):
            made.text += ["\n".join(works), "\n"]
        else:
            made.cut()
            if isinstance(piece, Code):
                made.add_code(piece)
    made.cut()
    return made.cells


class _Cells:
    """The cells made so far, and the text that waits for the next cut."""

    def __init__(self) -> None:
        self.cells: list[NotebookNode] = []
        self.text: list[str] = []
        self.section = "start"
        self.sections: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def begin_section(self, title: str) -> None:
        slug = _slug(title)
        self.sections[slug] += 1
        self.section = slug if self.sections[slug] == 1 else f"{slug}-{self.sections[slug]}"

    def cut(self) -> None:
        text = "\n".join(blank_ends_removed("".join(self.text).split("\n")))
        self.text.clear()
        if text:
            self.cells.append(new_markdown_cell(text, id=self.next_id("text")))

    def add_code(self, code: Code) -> None:
        metadata = code_metadata(code.tags)
        kind = OWN_TEXT if OWN_TEXT in code.tags else "code"
        self.cells.append(new_code_cell(code.source, id=self.next_id(kind), metadata=metadata))

    def next_id(self, kind: str) -> str:
        stem = f"{self.section}-{kind}"
        self.counts[stem] += 1
        return f"{stem}-{self.counts[stem]}"


def code_metadata(tags: Iterable[str]) -> dict[str, Any]:
    """Return a code cell's metadata; the notebook keeps hidden code, folded where it was hidden.

    ``skip-execution`` is left out: what the book's build may not run, a reader may.
    """
    kept = [tag for tag in tags if tag != "skip-execution"]
    metadata: dict[str, Any] = {"tags": kept} if kept else {}
    jupyter = {}
    if {"hide-input", "hide-cell", "remove-input"} & set(kept):
        metadata["cellView"] = "form"
        jupyter["source_hidden"] = True
    if {"hide-output", "hide-cell"} & set(kept):
        jupyter["outputs_hidden"] = True
    return metadata | ({"jupyter": jupyter} if jupyter else {})


def _slug(title: str) -> str:
    """Return letters, digits and hyphens that stand for a title, of whatever script, in an id."""
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\$[^$]*\$", " ", title.lower())).strip("-")
    return slug[:40].strip("-") or "s" + hashlib.sha256(title.encode()).hexdigest()[:8]
