"""One page of the book, made ready for paper."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from .answers import answers_last
from .contents import Page, key
from .explorers import stills

__all__ = ["article_of", "title_of", "with_prefix"]

ADDRESS = re.compile(r"^(?P<file>[^#:?]*\.html)?(?:#(?P<id>.*))?$")
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
REFERRING = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")
LEADS = re.compile(r"[:：]\s*$")
IDLE = "a.headerlink, .downloads, .copybtn, .sd-summary-state-marker, button, input, form, noscript"


def with_prefix(article: Tag, name: str, names: Sequence[str], site: str = "") -> None:
    """Put a page's name before every id in it, and let links lead to the ids of the one page.

    A link to a file that is not among `names` leads to `site`, or nowhere if that is empty.
    """
    own = key(name)
    folder = Path(name).parent
    for tag in article.find_all(True):
        if tag.get("id"):
            tag["id"] = f"{own}--{tag['id']}"
        for attribute in REFERRING:
            if tag.get(attribute):
                tag[attribute] = " ".join(f"{own}--{each}" for each in str(tag[attribute]).split())
        for attribute in ("href", "xlink:href"):
            address = str(tag.attrs.get(attribute, ""))
            if not address or ELSEWHERE.match(address):
                continue
            tag[attribute] = _led(address, own, folder, names, site)
            if not tag[attribute]:
                del tag[attribute]
        for attribute, value in list(tag.attrs.items()):
            if isinstance(value, str) and "url(#" in value:
                tag[attribute] = value.replace("url(#", f"url(#{own}--")


def _led(address: str, own: str, folder: Path, names: Sequence[str], site: str) -> str:
    """Return where a link within the book leads on the one page."""
    file, _, place = address.partition("#")
    if not file:
        return f"#{own}--{place}" if place else ""
    path = os.path.normpath(folder / file)
    to = path.removesuffix(".html")
    if not ADDRESS.match(address) or to not in names:
        return f"{site}/{path}{f'#{place}' if place else ''}" if site else ""
    return f"#{key(to)}--{place}" if place else f"#{key(to)}"


def _soup(folder: Path, page: Page) -> BeautifulSoup:
    return BeautifulSoup((folder / f"{page.name}.html").read_text(encoding="utf-8"), "html.parser")


def article_of(
    folder: Path, page: Page, names: Sequence[str], words: Mapping[str, str], site: str
) -> str:
    """Return a page's text, ready for the one page."""
    soup = _soup(folder, page)
    article = soup.find("article")
    stills(soup, article, f"{site}/{page.name}.html" if site else "", words)
    for tag in article.select(f"script, {IDLE}"):
        tag.decompose()
    with_prefix(article, page.name, names, site)
    answers_last(soup, article, key(page.name), words)
    for image in article.find_all("img"):
        source = str(image.get("src", ""))
        if source and ":" not in source:
            image["src"] = (folder / page.name).parent.joinpath(source).resolve().as_uri()
    for paragraph in article.find_all("p"):
        if LEADS.search(paragraph.get_text()):
            paragraph["class"] = [*paragraph.get("class", ()), "paper-leads"]
    part = f'<p class="paper-part">{html.escape(page.part)}</p>' if page.part else ""
    inner = article.decode_contents(formatter="minimal")
    return f'<article class="bd-article paper-page" id="{key(page.name)}">{part}{inner}</article>'


def title_of(folder: Path, page: Page) -> str:
    """Return a page's title, in words."""
    heading = _soup(folder, page).find("article").find("h1")
    for link in heading.select("a.headerlink"):
        link.decompose()
    return " ".join(heading.get_text().split())
