"""Give every page with code the buttons that lead to its notebook.

The notebooks lie in ``notebooks/``, generated from the chapters. One button opens the repository's
copy in Colab; the other downloads the copy that is shipped beside the HTML, so that it works with
no network.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import editions
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
FOLDER = "notebooks"


def colab_address(repository: str, branch: str, notebook: str) -> str:
    """Return the address that opens `notebook` of a GitHub repository in Colab.

    Raises
    ------
    ValueError
        If `repository` is not the address of a GitHub repository.
    """
    parts = urlsplit(repository)
    path = parts.path.strip("/").removesuffix(".git")
    if parts.hostname != "github.com" or path.count("/") != 1:
        raise ValueError(f"`repository` must be https://github.com/OWNER/NAME, got {repository!r}")
    return f"https://colab.research.google.com/github/{path}/blob/{branch}/{FOLDER}/{notebook}"


def notebook(app: Sphinx, pagename: str) -> str:
    """Return the path of a page's notebook below ``notebooks/``: a translated page has its own."""
    name = f"{PurePosixPath(pagename).name}.ipynb"
    folder = editions.LANGUAGES.get(app.config.language or "en")
    own = f"{folder}/{name}"
    return own if folder and (Path(app.srcdir) / FOLDER / own).exists() else name


def pages_with_code(app: Sphinx) -> list[str]:
    """Return the names of all pages that are notebooks."""
    return [name for name in app.env.found_docs if "kernelspec" in app.env.metadata[name]]


def add_links(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Hand the template the two addresses of a page's notebook."""
    if pagename not in app.env.found_docs or "kernelspec" not in app.env.metadata[pagename]:
        return
    options = app.config.html_theme_options
    name = notebook(app, pagename)
    context["book_notebook"] = {
        "colab": colab_address(options["repository_url"], options["repository_branch"], name),
        "download": context["pathto"](f"{FOLDER}/{name}", 1),
    }


def copy_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Put the notebooks beside the HTML; warn about a page whose notebook is missing."""
    if exception is not None or app.builder.format != "html":
        return
    target = Path(app.outdir) / FOLDER
    for page in pages_with_code(app):
        name = notebook(app, page)
        source = Path(app.srcdir) / FOLDER / name
        if source.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
        else:
            LOGGER.warning("no %s/%s: run `make notebooks`", FOLDER, name, location=page)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", add_links)
    app.connect("build-finished", copy_notebooks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
