"""Links and cross-references: what they lead to, and where that is for the reader of a notebook."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from .book import Page, Place, Target

__all__ = ["check_html", "check_scheme", "labelled", "link", "page_target", "reference"]

# Translates inline text, for a place where it is quoted.
Translate = Callable[[str, Place], str]


def link(href: str, title: str, label: str, place: Place, translate: Translate) -> str:
    """Return a link of Markdown.

    Parameters
    ----------
    href, title : str
        Its address as the page has it, and the title behind that, or nothing.
    label : str
        Its text; where there is none, what it leads to gives one.
    place : Place
        Where the link stands.
    translate : callable
        Translates its text, or the title of what it leads to.

    Raises
    ------
    SourceError
        If it leads to nothing, or its scheme is one that only Sphinx knows.
    """
    suffix = f' "{title}"' if title else ""
    check_scheme(href, place)
    text = translate(label, place)
    if re.match(r"[a-z][a-z0-9+.-]*:", href):
        return f"[{text}]({href}{suffix})"
    target = _resolved(href, place)
    if isinstance(target, str):
        return f"[{text or f'`{href}`'}]({target}{suffix})"
    return reference(target, text, place, translate)


def reference(target: Target, text: str, place: Place, translate: Translate) -> str:
    """Return words that lead to ``target``: ``text`` if given, else what it is called.

    A section is named, not linked to; a link leads to another page.
    """
    words = place.book.words
    section = translate(_section(target, place), place)
    if target.kind == "equation" and not text:
        equation = words.equation_in if section else words.equation
        text, section = equation.format(number=target.number, section=section), ""
        if target.page is not place.page:
            text = words.equation_elsewhere.format(equation=text, page=target.page.title)
    elif target.kind in words.numbered:
        text = text or words.numbered[target.kind].format(number=target.number)
    elif not text:
        if not target.title:
            raise place.error("a reference to something without a title needs a text")
        text, own = translate(target.title, place), target.section
        if own and target.page is place.page:
            text, section = words.section.format(section=text), ""
        elif own:
            section = ""
    if target.page is not place.page:
        text = f"[{text}]({_address(target, place)})"
    return words.text_in.format(text=text, section=section) if section else text


def _section(target: Target, place: Place) -> str:
    """Return the title of the section to look into, empty where the reader needs none.

    Of the editors that show notebooks, no two follow the same links to a place inside one, so the
    reader is told where it is. A section names that of an equation once. A page of the published
    book has anchors.
    """
    page, here = target.page, place.section
    if not page.is_notebook or (page is place.page and target.slug == here):
        return ""
    name = f"{page.name}#{target.slug}"
    if target.kind == "equation":
        if (here, name) in place.page.named:
            return ""
        place.page.named.add((here, name))
    return target.section


def labelled(label: str, place: Place) -> Target:
    """Return what a label stands for."""
    if label not in place.book.targets:
        raise place.error(f"there is no label {label!r}")
    return place.book.targets[label]


def page_target(path: str, place: Place) -> Target:
    """Return the page that a path without an ending names."""
    page = _page_at(f"{path.removesuffix('.md')}.md", place)
    if page is None:
        raise place.error(f"there is no page {path!r}")
    return place.book.targets[page.name]


def check_scheme(address: str, place: Place) -> None:
    """Refuse an address with a scheme that only Sphinx knows."""
    scheme = address.split(":", 1)[0]
    if scheme in ("project", "path", "inv", "myst"):
        raise place.error(f"no translation for links with {scheme}:")


def check_html(source: str, place: Place) -> None:
    """Refuse HTML that needs a file: a notebook has none beside it."""
    for address in re.findall(r"\b(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", source):
        if not re.match(r"(https?:|data:|mailto:)", address):
            raise place.error(f"the HTML address {address!r} is no use in a notebook")


def _resolved(href: str, place: Place) -> Target | str:
    """Return what a link without a scheme leads to: a target, or a file's address."""
    book = place.book
    path, _, anchor = href.partition("#")
    if not path:
        return _anchored(place.page, anchor, place)
    if not path.endswith(".md"):
        if path in book.targets and not anchor:
            return book.targets[path]
        return book.addresses.blob(place.from_root(place.existing(path)))
    if page := _page_at(path, place):
        return _anchored(page, anchor, place) if anchor else book.targets[page.name]
    if (file := place.path(path)).is_file():
        return book.addresses.blob(place.from_root(file))
    raise place.error(f"there is no page {path!r}")


def _page_at(path: str, place: Place) -> Page | None:
    file = place.path(path).resolve()
    pages = place.book.pages.values()
    return next((page for page in pages if (place.book.root / page.file).resolve() == file), None)


def _anchored(page: Page, anchor: str, place: Place) -> Target:
    if anchor in place.book.targets:
        return place.book.targets[anchor]
    if anchor in page.headings:
        return page.headings[anchor]
    raise place.error(f"{page.file} has no anchor {anchor!r}")


def _address(target: Target, place: Place) -> str:
    other, addresses = target.page, place.book.addresses
    if other.is_notebook:
        return place.page.way_to(other)
    fragment = f"#{quote(target.slug)}" if target.slug else ""
    return (addresses.in_book(other) or addresses.blob(other.file)) + fragment
