"""Leave out what the theme loads and the book does not use.

The theme's Font Awesome alone (script and web fonts) outweighs a chapter. The template
``static/webpack-macros.html`` stops loading the script, ``book.css`` draws the icons, and here the
files themselves go, with the scripts that no page of this book needs.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

UNUSED_SCRIPTS = frozenset({"design-tabs.js", "searchtools.js", "language_data.js"})
UNUSED_RULES = re.compile(
    r'(?:\.fa-[a-z0-9-]+:before,?)+\{content:"[^"]*"\}|@font-face\{[^}]*Font ?Awesome[^}]*\}'
)
UNUSED_FILES = (
    "_static/design-tabs.js",
    "_static/images",
    "_static/locales",
    "_static/sbt-webpack-macros.html",
    "_static/scripts/fontawesome.js",
    "_static/scripts/fontawesome.js.LICENSE.txt",
    "_static/vendor",
    "_static/webpack-macros.html",
)


def leave_out_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take scripts that only other books need off the page."""
    unused = UNUSED_SCRIPTS if pagename != "search" else UNUSED_SCRIPTS & {"design-tabs.js"}
    context["script_files"] = [
        script
        for script in context["script_files"]
        if Path(str(getattr(script, "filename", script))).name not in unused
    ]


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
    for path in static.glob("styles/*.css"):
        rules = path.read_text(encoding="utf-8")
        path.write_text(UNUSED_RULES.sub("", rules), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", leave_out_scripts, priority=900)
    app.connect("build-finished", remove_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
