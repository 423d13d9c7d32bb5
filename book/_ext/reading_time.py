"""How long a chapter takes: the role ``{minutes}`` writes it, counted from the chapter's own text.

``{minutes}`05-linformer` `` becomes "65 + 40": minutes to read a chapter, its code and its
explorers, and minutes for its exercises. The landing page says the rule; a chapter that grows
changes the number on it at the next build.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

__all__ = ["Length", "Minutes", "length", "said"]

WORDS_A_MINUTE = 150
MINUTES_A_CELL = 0.5
MINUTES_AN_EXPLORER = 5
MINUTES_AN_EXERCISE = 10
NEAREST = 5

FRONT = re.compile(r"\A---\n.*?^---\n", re.M | re.S)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.M | re.S)
BLOCK = re.compile(r"^```.*?^```$|^\$\$.*?^\$\$[^\n]*$", re.M | re.S)
SECTION = re.compile(
    r"^## (Exercises|References|The library's source)\n.*?(?=^## |\Z)", re.M | re.S
)
FENCE = re.compile(r"^\s*:{3,}.*$|^\s*:[\w-]+:.*$|^\(.*\)=$", re.M)
FORMULA = re.compile(r"\$[^$]+\$")
ROLE = re.compile(r"\{[\w:]+\}`[^`]*`")
WORD = re.compile(r"[^\W_]\S*")
EXPLORERS = re.compile(r"^from attn_lib\.explorers import (.+)$", re.M)
EXERCISE = re.compile(r"^\*\*\d+\. ", re.M)


@dataclass(frozen=True)
class Length:
    """What a chapter holds that takes time."""

    words: int
    cells: int
    explorers: int
    exercises: int

    @property
    def reading(self) -> int:
        """Minutes for the text, the code and the explorers."""
        return _nearest(
            self.words / WORDS_A_MINUTE
            + self.cells * MINUTES_A_CELL
            + self.explorers * MINUTES_AN_EXPLORER
        )

    @property
    def exercising(self) -> int:
        """Minutes for the exercises."""
        return _nearest(self.exercises * MINUTES_AN_EXERCISE)


def _nearest(minutes: float) -> int:
    return NEAREST * round(minutes / NEAREST)


def length(text: str) -> Length:
    """Return what a chapter's source holds.

    A formula within a line, a reference and a citation count as one word each. Code in view counts
    by its cells; cells whose input is folded away, and solutions, do not count.
    """
    text = FRONT.sub("", text)
    exercises = re.search(r"^## Exercises\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    prose = SECTION.sub("", text)
    cells = [cell for cell in CELL.findall(prose) if not re.search(r"^:tags:.*(hide|remove)", cell)]
    prose = BLOCK.sub("", CELL.sub("", prose))
    for pattern, by in ((FENCE, ""), (FORMULA, "x"), (ROLE, "x")):
        prose = pattern.sub(by, prose)
    names = {
        name.strip() for line in EXPLORERS.findall(text) for name in line.split(",") if name.strip()
    }
    return Length(
        words=len(WORD.findall(prose)),
        cells=len(cells),
        explorers=len(names),
        exercises=len(EXERCISE.findall(exercises[1])) if exercises else 0,
    )


def said(text: str) -> str:
    """Return how long a chapter takes, as the page says it."""
    found = length(text)
    return f"{found.reading} + {found.exercising}"


class Minutes(SphinxRole):
    """The role."""

    def run(self) -> tuple[Sequence[nodes.Node], Sequence[nodes.system_message]]:
        """Return the minutes of a chapter beside this page."""
        path = Path(self.env.doc2path(self.env.docname)).with_name(f"{self.text}.md")
        if not path.exists():
            message = f"minutes must be those of a chapter, got {self.text!r}"
            return [], [self.inliner.reporter.error(message, line=self.lineno)]
        self.env.note_dependency(str(path))
        return [nodes.Text(said(path.read_text(encoding="utf-8")))], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role."""
    app.add_role("minutes", Minutes())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
