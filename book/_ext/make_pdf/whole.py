"""The book as one page of HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup

from .answers import numbered
from .chapter import article_of, title_of
from .contents import key, pages_of
from .words import words_of

__all__ = ["merged"]

STYLE = Path(__file__).with_name("paper.css")


def merged(folder: Path, toc: Mapping[str, Any], *, author: str = "", site: str = "") -> str:
    """Return the book as one page, with a hole for every number of a page.

    Parameters
    ----------
    folder : Path
        The built book.
    toc : mapping
        What ``_toc.yml`` holds.
    author : str
        Who wrote it.
    site : str
        Where the book stands on the web, without a slash at the end; empty if nowhere.
    """
    pages = list(pages_of(toc))
    names = [page.name for page in pages]
    first = (folder / f"{names[0]}.html").read_text(encoding="utf-8")
    language = re.search(r'<html lang="([^"]*)"', first)[1]
    words = words_of(language)
    title = re.search(r"<title>([^<]*)</title>", first)[1]
    soup = BeautifulSoup("", "html.parser")
    lines = []
    for page in pages[1:]:
        if page.part:
            lines.append(f'<p class="paper-contents-part">{html.escape(page.part)}</p>')
        link = numbered(soup, key(page.name), "")
        link.insert(0, soup.new_tag("span", attrs={"class": "paper-dots"}))
        name = soup.new_tag("span")
        name.string = title_of(folder, page)
        link.insert(0, name)
        kind = "paper-line paper-line-below" if page.is_section else "paper-line"
        lines.append(f'<p class="{kind}">{link}</p>')
    contents = f'<nav class="paper-contents"><h1>{words["contents"]}</h1>{"".join(lines)}</nav>'
    cover, *rest = (article_of(folder, page, names, words, site) for page in pages)
    if site:
        live = f'<a href="{html.escape(site)}/">{html.escape(site.removeprefix("https://"))}</a>'
        note = words["live"].format(address=live)
        cover = cover.replace("</h1>", f'</h1><p class="paper-live">{note}</p>', 1)
    sheets = "".join(
        f'<link rel="stylesheet" href="{(folder / "_static" / name).resolve().as_uri()}">'
        for name in ("book.css", "explorers.css")
    )
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html><html lang="{language}" data-theme="light" data-mode="light"><head>'
        f'<meta charset="utf-8"><title>{title}</title>'
        f'<meta name="author" content="{html.escape(author)}">{sheets}<style>{style}</style></head>'
        f'<body class="paper">{cover}{contents}{"".join(rest)}</body></html>'
    )
