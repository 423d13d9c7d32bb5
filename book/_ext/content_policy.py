"""Tell the browser what a page may do: nothing but to show, and to run the scripts of the book.

A page loads from its own host or folder alone. It runs no script that stands in it but the one that
the template names by its hash, so that no text that gets into a page can become one.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from sphinx.application import Sphinx

# Attributes of style come from the theme, from figures and from code that is folded away.
POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'"
)


def content_policy(script: str) -> str:
    """Return the policy of a page in which `script` stands, written as it is."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return POLICY.format(digest=digest)


def _add_to_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    context["content_policy"] = content_policy


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", _add_to_page)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
