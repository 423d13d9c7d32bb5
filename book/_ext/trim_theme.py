"""Leave out what the theme loads and the book does not use.

The theme's Font Awesome alone (script and web fonts) outweighs a chapter, and its scripts force a
layout of the whole page when they start. A page needs two scripts, the book's and the explorers',
and the landing page its gallery's; the search needs Sphinx's own and its excerpts besides.
``book.css`` draws the icons. The other files go. So do the elements around names, punctuation and
spaces of code, which have the colour of the text: half of the elements of a chapter.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PLAIN = re.compile(r'<span class="(?:n|p|w)">([^<]*)</span>')
SCRIPTS = frozenset({"book.js", "explorers.js"})
GALLERY = frozenset({"gallery.js"})
SEARCH = frozenset(
    {
        *("documentation_options.js", "doctools.js", "language_data.js", "searchtools.js"),
        "sphinx_highlight.js",  # the search asks it for a setting
        *("search-texts.js", "excerpts.js"),
    }
)
UNUSED_FILES = (
    "_static/check-solid.svg",
    "_static/clipboard.min.js",
    "_static/copy-button.svg",
    "_static/copybutton.js",
    "_static/copybutton_funcs.js",
    "_static/design-tabs.js",
    "_static/file.png",
    "_static/images",
    "_static/locales",
    "_static/minus.png",
    "_static/plus.png",
    "_static/sbt-webpack-macros.html",
    "_static/scripts",
    "_static/translations.js",  # makes a function of a text, which no page may: excerpts.js says it
    "_static/vendor",
    "_static/webpack-macros.html",
)


def leave_out_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take scripts that only other books need off the page."""
    wanted = SCRIPTS | SEARCH if pagename == "search" else SCRIPTS
    if "live-gallery" in context.get("body", ""):
        wanted = wanted | GALLERY
    context["script_files"] = [
        script
        for script in context["script_files"]
        if Path(str(getattr(script, "filename", script))).name in wanted
    ]


def leave_plain_code(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take the elements off that would colour code as its text is coloured."""
    if "body" in context:
        context["body"] = PLAIN.sub(r"\1", context["body"])


def remove_files(app: Sphinx, exception: Exception | None) -> None:
    """Remove from the built book what no page loads."""
    static = Path(app.outdir) / "_static"
    for name in UNUSED_FILES:
        path = Path(app.outdir) / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in static.rglob("*.map"):
        path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", leave_out_scripts, priority=900)
    app.connect("html-page-context", leave_plain_code, priority=900)
    app.connect("build-finished", remove_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
