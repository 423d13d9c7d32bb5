"""Mend the markup that Sphinx, the theme and myst-nb write, for those who listen to a page.

Rules by their names in axe-core (https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md).
Each mend can be done again without harm, so that pages which a build did not write anew stay well.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import editions
from sphinx.application import Sphinx

COLUMNS = 76
"""Characters of code that fit a line on a wide screen; what is longer scrolls."""

Mend = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _focusable(block: re.Match[str]) -> str:
    """Let a block of code be scrolled by keyboard where a line of it does not fit."""
    text = html.unescape(re.sub(r"<[^>]*>", "", block[1]))
    longest = max(map(len, text.splitlines()), default=0)
    return block[0].replace("<pre>", '<pre tabindex="0">', 1) if longest > COLUMNS else block[0]


MENDS: tuple[Mend, ...] = (
    # label-content-name-mismatch: a summary is named by what stands in it
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # aria-deprecated-role, aria-allowed-role, aria-required-children: a plain list of papers
    (re.compile(r' role="doc-biblio(?:entry|graphy)"'), ""),
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    # summary-name: the arrow beside a chapter with parts
    (
        re.compile(r'<summary>(?=<span class="toctree-toggle")'),
        '<summary aria-label="Pages of this part">',
    ),
    # button-name: the theme names two buttons by a tooltip alone
    (
        re.compile(r'title="Toggle primary sidebar" data-bs-placement="bottom"'),
        'aria-label="Contents of the book"',
    ),
    (
        re.compile(r'title="Toggle secondary sidebar" data-bs-placement="bottom"'),
        'aria-label="On this page"',
    ),
    # scrollable-region-focusable
    (re.compile(r"<pre>(.*?)</pre>", re.S), _focusable),
)


def mend(page: str) -> str:
    """Return a page of HTML, mended."""
    for pattern, by in MENDS:
        page = pattern.sub(by, page)
    return page


def mend_pages(app: Sphinx, exception: Exception | None) -> None:
    """Mend every page of a finished build."""
    if exception is not None or app.builder.format != "html":
        return
    for path in editions.pages(Path(app.outdir)):
        page = path.read_text(encoding="utf-8")
        if (mended := mend(page)) != page:
            path.write_text(mended, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("build-finished", mend_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
