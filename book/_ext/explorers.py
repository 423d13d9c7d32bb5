"""Bring the explorers to life in the built book.

A chapter's cell leaves its explorer's data on the page and no script (`attn_lib.explorers`). This
extension writes the one script and the one style sheet that all explorers share, and adds them to
the pages that hold an explorer. The script is ``explorer.mjs`` as a classic script, because a page
opened from a folder may not load modules.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

SOURCE = Path(__file__).parents[2] / "attn_lib" / "explorers"
EXPORT = "export default { render };"
MARK = 'class="attn-explorer"'
SCRIPT = "explorers.js"
STYLE = "explorers.css"


def classic_script(module: str) -> str:
    """Return the text of ``explorer.mjs`` as a script that hydrates the page it is loaded in.

    Raises
    ------
    ValueError
        If `module` does not hold its one export line exactly once.
    """
    if module.count(EXPORT) != 1:
        raise ValueError(f"module must hold {EXPORT!r} once, got {module.count(EXPORT)} of it")
    return f'(() => {{\n"use strict";\n{module.replace(EXPORT, "hydrate(document);")}}})();\n'


def write_assets(folder: Path) -> None:
    """Write the script and the style sheet into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    module = (SOURCE / "explorer.mjs").read_text(encoding="utf-8")
    (folder / SCRIPT).write_text(classic_script(module), encoding="utf-8")
    style = (SOURCE / "explorer.css").read_text(encoding="utf-8")
    (folder / STYLE).write_text(style, encoding="utf-8")


def _write_into_build(app: Sphinx) -> None:
    if app.builder.format == "html":
        write_assets(Path(app.outdir) / "_static")


def _add_to_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    if MARK in context.get("body", ""):
        app.add_js_file(SCRIPT, loading_method="defer")
        app.add_css_file(STYLE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, and tell the kernels, which inherit it, that a book is being built."""
    os.environ["ATTN_LIB_BOOK"] = "1"
    app.connect("builder-inited", _write_into_build)
    app.connect("html-page-context", _add_to_page)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
