"""The book's own styles, one part an idea in ``book/_style/``."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "_style"
# Later parts may refine earlier ones.
PARTS = (
    "theme",
    "text",
    "formulas",
    "code",
    "figures",
    "asides",
    "openings",
    "titles",
    "offscreen",
    "wide",
    "frame",
    "icons",
    "reference",
    "gallery",
    "small_screens",
    "chinese",
    "paper",
)


def style_sheet() -> str:
    """Return all parts in their order."""
    return "\n".join((FOLDER / f"{part}.css").read_text(encoding="utf-8") for part in PARTS)
