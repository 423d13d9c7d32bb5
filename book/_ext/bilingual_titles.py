"""Set the Chinese name of a page apart from its English one.

A page's title reads ``English · 中文``. Here the second half becomes an element of its own, marked
as Chinese, so that the style sheet can put it on a line of its own, and a browser and a screen
reader know its language.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

SEPARATOR = " · "


class chinese(nodes.inline):
    """Words in Chinese."""


def split_title(app: Sphinx, doctree: nodes.document) -> None:
    """Split the title of a page at its last separator, where Chinese follows."""
    title = next(iter(doctree.findall(nodes.title)), None)
    if title is None or len(title) != 1 or not isinstance(title[0], nodes.Text):
        return
    english, separator, name = title.astext().rpartition(SEPARATOR)
    if not separator or not any("\u4e00" <= char <= "\u9fff" for char in name):
        return
    dot = nodes.inline("", SEPARATOR, classes=["title-separator"])
    title[:] = [nodes.Text(english), dot, chinese("", name)]


def visit_chinese(translator: HTML5Translator, node: chinese) -> None:
    """Open the element."""
    translator.body.append('<span class="title-chinese" lang="zh">')


def depart_chinese(translator: HTML5Translator, node: chinese) -> None:
    """Close the element."""
    translator.body.append("</span>")


def pass_by(translator: nodes.NodeVisitor, node: chinese) -> None:
    """Write the words alone, in every format but HTML."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the element and run before Sphinx collects the titles."""
    plain = (pass_by, pass_by)
    app.add_node(chinese, html=(visit_chinese, depart_chinese), latex=plain, text=plain)
    app.connect("doctree-read", split_title, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
