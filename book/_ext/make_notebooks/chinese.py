"""The Chinese notebooks: of every chapter that has a catalogue, from its own text translated.

Code, structure, cells' ids and anchors are those of the English notebooks. A chapter without a
catalogue has an English notebook alone, and links lead there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from babel.messages.pofile import read_po

from book._ext.chinese_emphasis import beside_chinese

from .book import Book, Page, Place, SourceError
from .notebook import notebooks
from .translation import Messages, translation
from .words import CHINESE

__all__ = ["chinese_book", "chinese_notebooks"]

CATALOGUES = Path("book", "locale", "zh_CN", "LC_MESSAGES")
FOLDER = "zh"  # below the English notebooks, and below the English pages


def chinese_notebooks(english: Book) -> dict[str, str]:
    """Return the text of every Chinese notebook by its file name.

    Parameters
    ----------
    english : Book
        As `notebooks` leaves it.

    Raises
    ------
    SourceError
        If a catalogue holds what its page has not, or a translation what has none in a notebook.
    """
    with beside_chinese():
        return notebooks(chinese_book(english))


def chinese_book(english: Book) -> Book:
    """Return the book with the pages translated that have a catalogue."""
    addresses = english.addresses
    folder = f"{addresses.notebooks}/{FOLDER}"
    site = f"{addresses.site}/{FOLDER}" if addresses.site else ""
    return replace(
        english,
        addresses=replace(addresses, notebooks=folder, site=site),
        words=CHINESE,
        pages={name: _page(page, english, folder) for name, page in english.pages.items()},
        targets={},
        terms={},
        numbers={},
        errors=[],
    )


def _page(page: Page, book: Book, folder: str) -> Page:
    file = CATALOGUES / f"{page.name}.po"
    if not (book.root / file).is_file():
        return Page(page.name, page.file, page.folder, page.text, page.notebook)
    messages = _messages(book.root / file)
    text = translation(page.text, messages, Place(book, page))
    # What another page shows, as the titles of parts, may be said elsewhere than in its text.
    if page.is_notebook and messages.left:
        raise SourceError(
            "\n".join(f"{file.as_posix()}: {page.file} has no {x!r}" for x in messages.left)
        )
    notebook = f"{folder}/{page.stem}.ipynb" if page.is_notebook else ""
    return Page(page.name, page.file, page.folder, text, notebook, source=page)


def _messages(path: Path) -> Messages:
    """Return a catalogue's translations, without those that nobody has read yet."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale="zh_CN", abort_invalid=True)
    return Messages(
        {
            message.id: message.string
            for message in catalogue
            if isinstance(message.id, str)
            and isinstance(message.string, str)
            and message.id
            and message.string
            and not message.fuzzy
        }
    )
