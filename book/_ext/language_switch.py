"""Let every page lead to the same place in the other language, and say what is translated.

The link is whole without scripts: it leads to the page. ``book.js`` gives it the part of the
address behind ``#``, the states of the explorers and the place that is being read, at the moment
when it is followed. A page of a translation says below its title where it comes from, or that it is
not translated yet; then its text is marked as English.
"""

from __future__ import annotations

import html
import re
from typing import Any

import catalogues
import editions
from docutils import nodes
from sphinx.application import Sphinx

TITLE_END = re.compile(r"</h1>\n?")
NAMES = {"en": "English", "zh-Hans": "中文"}
TRANSLATED = (
    '本页译自<a class="language-switch" href="{page}" hreflang="en">英文版</a>；'
    '如有出入，以英文为准。译文有误，请<a href="{mistake}" rel="noopener">报告</a>。'
)
NOT_YET = (
    "本页尚未译成中文，以下为"
    '<a class="language-switch" href="{page}" hreflang="en">英文版</a>的内容。'
)


def counterpart(pagename: str, language: str) -> str:
    """Return the address of a page in the other language, as it stands on the page."""
    top = "../" * pagename.count("/")
    folder = ".." if language in editions.LANGUAGES else next(iter(editions.LANGUAGES.values()))
    return f"{top}{folder}/{pagename}.html"


def add_to_page(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Hand the template the other page, and put the sentence below the title."""
    language = app.config.language or "en"
    here = context["language"] = editions.html_language(language)
    other = next(name for name in NAMES if name != here) if here in NAMES else "en"
    address = counterpart(pagename, language)
    if here == "en" and other not in map(editions.html_language, editions.LANGUAGES):
        return
    context["other_language"] = {"address": address, "name": NAMES[other], "language": other}
    if here == "en" or doctree is None or pagename not in app.env.found_docs:
        return
    is_own = catalogues.is_translated(app, pagename)
    sentence = (TRANSLATED if is_own else NOT_YET).format(
        page=html.escape(address), mistake=html.escape(context.get("mistake_address", ""))
    )
    note = f'<p class="translation-note" lang="{here}">{sentence}</p>\n'
    body = TITLE_END.sub(lambda end: end[0] + note, context["body"], count=1)
    context["body"] = body if is_own else f'<div lang="en">\n{body}</div>\n'


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after the extension that knows where mistakes are reported."""
    app.connect("html-page-context", add_to_page, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
