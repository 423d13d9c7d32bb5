"""Translations of what the pages' own machinery says: figures and explorers.

Sphinx translates the prose of a page by itself. Words that reach a page another way are messages of
a domain of their own, ``figures`` or ``explorers``. Their translations stand beside those of the
prose, in ``<domain>.po`` below ``locale_dirs``, and are read as they are: no compiled file has to
be kept in step. A run of Sphinx's ``gettext`` builder writes ``<domain>.pot`` for each of them.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from sphinx.application import Sphinx


class Translations(gettext.GNUTranslations):
    """Translations in which an empty text is an empty text, and not the file's header."""

    def gettext(self, message: str) -> str:
        """Return the translation of `message`."""
        return super().gettext(message) if message else message


@dataclass(frozen=True)
class Entry:
    """A message as a template of translations lists it.

    Attributes
    ----------
    text : str
        The English message.
    plural : str, optional
        Its form for every number but 1, where it has one.
    places : tuple of (str, int)
        Files, relative to the book's root, and lines where it is said.
    comments : tuple of str
        What a translator should know.
    """

    text: str
    plural: str | None = None
    places: tuple[tuple[str, int], ...] = ()
    comments: tuple[str, ...] = field(default=())


def paths(domain: str, locale_dirs: Iterable[Path], language: str) -> list[Path]:
    """Return the files that hold a domain's translations into a language."""
    names = (
        folder / language.replace("-", "_") / "LC_MESSAGES" / f"{domain}.po"
        for folder in locale_dirs
    )
    return [name for name in names if name.exists()]


def read(domain: str, locale_dirs: Iterable[Path], language: str) -> gettext.NullTranslations:
    """Return a domain's translations into a language; English is said where there are none.

    The first folder that knows a message decides. Fuzzy translations count as none.
    """
    catalogue = gettext.NullTranslations()
    for path in reversed(paths(domain, locale_dirs, language)):
        with path.open("rb") as file:
            messages = read_po(file, locale=language.replace("-", "_"), abort_invalid=True)
        compiled = io.BytesIO()
        write_mo(compiled, messages)
        compiled.seek(0)
        found = Translations(compiled)
        found.add_fallback(catalogue)
        catalogue = found
    return catalogue


def folders(app: Sphinx) -> list[Path]:
    """Return the folders of translations that the book is configured with."""
    return [Path(app.srcdir) / folder for folder in app.config.locale_dirs]


def is_translated(app: Sphinx, docname: str) -> bool:
    """Say whether a page's prose has a translation into the language that the book is built in."""
    return bool(paths(docname, folders(app), app.config.language))


def language_of(app: Sphinx, docname: str) -> str:
    """Return the language of a page: English, where it has no translation."""
    return app.config.language if is_translated(app, docname) else "en"


def of_page(app: Sphinx, domain: str, docname: str) -> gettext.NullTranslations:
    """Return a domain's translations into the language of a page."""
    return read(domain, folders(app), language_of(app, docname))


def write_template(path: Path, entries: Iterable[Entry]) -> None:
    """Write a domain's template of translations, the same bytes for the same entries.

    Equal messages become one, with all their places, in the order in which they first come.
    """
    catalogue = Catalog(header_comment="# What a translation of this book has to say.")
    for entry in entries:
        key = entry.text if entry.plural is None else (entry.text, entry.plural)
        catalogue.add(key, locations=entry.places, auto_comments=entry.comments)
    written = io.BytesIO()
    write_po(written, catalogue, width=100, omit_header=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
    path.write_text(header + written.getvalue().decode().lstrip("\n"), encoding="utf-8")
