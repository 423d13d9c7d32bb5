"""Say what stands round the pages in their language: the book's name, the search, the contents.

Some of it comes from settings of the theme, which gettext does not reach. The contents come from
``_toc.yml``, and into the first page only after Sphinx has translated it.
"""

from __future__ import annotations

from typing import Any

import catalogues
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config

TITLES = {"zh_CN": "从底层机理了解Transformer"}
OPTIONS = {"zh_CN": {"search_bar_text": "在本书中搜索", "toc_title": "本页内容"}}
SHORT_TITLES = {"zh_CN": {"About this part": "关于这一部分", "The library": "库"}}
"""Titles that ``_toc.yml`` gives pages in the contents."""


def say(app: Sphinx, config: Config) -> None:
    """Put the words of the build's language into its settings."""
    if config.language in TITLES:
        config["html_title"] = TITLES[config.language]
        config["html_theme_options"] = config.html_theme_options | OPTIONS[config.language]


def translate_contents(app: Sphinx, doctree: nodes.document) -> None:
    """Put the captions and the short titles of the contents into the build's language."""
    short = SHORT_TITLES.get(app.config.language)
    if short is None:
        return
    captions = catalogues.of_page(app, app.env.docname, app.env.docname)
    for contents in doctree.findall(addnodes.toctree):
        if contents.get("caption"):
            contents["caption"] = captions.gettext(contents["caption"])
        contents["entries"] = [
            (short.get(title, title), page) for title, page in contents["entries"]
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", say, priority=100)
    # Before Sphinx collects the contents of all pages.
    app.connect("doctree-read", translate_contents, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
