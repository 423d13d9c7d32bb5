"""Give every page the address at which a reader reports a mistake on it.

It is a new issue of the repository whose title names the page's source and whose text asks for what
is needed to mend it. A page without a source, such as the search, has none.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from sphinx.application import Sphinx

QUESTIONS = "What the page says:\n\n\nWhat is right, and how you know:\n\n"


def address(repository: str, source: str) -> str:
    """Return the address of a new issue about a page.

    Parameters
    ----------
    repository : str
        The repository's address.
    source : str
        The page's source, from the repository's root.
    """
    asked = {"title": f"Mistake in {source}", "body": QUESTIONS}
    return f"{repository.rstrip('/').removesuffix('.git')}/issues/new?{urlencode(asked)}"


def add_address(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Hand the template the address."""
    if pagename in app.env.found_docs:
        repository = app.config.html_theme_options["repository_url"]
        source = app.env.doc2path(pagename, base=False)
        context["mistake_address"] = address(repository, str(source))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", add_address)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
