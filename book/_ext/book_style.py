"""Write the book's style sheet: one file on the pages, one part an idea in ``book/_style/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FOLDER = Path(__file__).parents[1] / "_style"
STYLE = "book.css"
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
    "frame",
    "icons",
    "reference",
    "small_screens",
    "paper",
)


def style_sheet() -> str:
    """Return all parts in their order."""
    return "\n".join((FOLDER / f"{part}.css").read_text(encoding="utf-8") for part in PARTS)


def write(app: Sphinx) -> None:
    """Write the style sheet into the build."""
    if app.builder.format == "html":
        static = Path(app.outdir) / "_static"
        static.mkdir(parents=True, exist_ok=True)
        (static / STYLE).write_text(style_sheet(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
