"""Tell the browser what a page may do: nothing but to show, and to run the scripts of the book.

A page loads from its own host or folder alone. It runs no script that stands in it but the one that
the template names by its hash, so that no text that gets into a page can become one. The page that
leads to the first runs none.
"""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

import editions
from sphinx.application import Sphinx

# Attributes of style come from the theme, from figures and from code that is folded away.
POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'"
)
# Where a reader lands who opens the folder, or the address without a page.
FIRST = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'">
<title>{title}</title>
<meta http-equiv="refresh" content="0; url={page}.html">
</head>
<body><p><a href="{page}.html">{title}</a></p></body>
</html>
"""


def content_policy(script: str) -> str:
    """Return the policy of a page in which `script` stands, written as it is."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return POLICY.format(digest=digest)


def _add_to_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    context["content_policy"] = content_policy


def _write_first_page(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    language = editions.html_language(app.config.language)
    title = html.escape(app.config.html_title or app.config.project)
    text = FIRST.format(language=language, title=title, page=app.config.root_doc)
    (Path(app.outdir) / "index.html").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", _add_to_page)
    # Before the extension that would write it where there is none.
    app.connect("build-finished", _write_first_page, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
