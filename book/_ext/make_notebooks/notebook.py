"""Notebooks: every page's cells, between one that installs the library and lists at the end."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from . import bibliography
from .blocks import blocks
from .book import Book, Page, Place, SourceError
from .cells import cells
from .definitions import terms_used
from .edits import Works
from .inline import text
from .install import install
from .labels import collect
from .lines import one_line

__all__ = ["notebooks"]


def notebooks(book: Book) -> dict[str, str]:
    """Return the text of every notebook by its file name.

    Parameters
    ----------
    book : Book
        As `read_book` gives it; it is filled with what its pages hold.

    Raises
    ------
    SourceError
        With one line for every construct that has no translation.
    """
    collect(book)
    chapters = [page for page in book.pages.values() if page.is_notebook]
    # Some chapters may have a notebook in English alone, which is linked to and not written.
    own = [page for page in chapters if page.folder_of_notebook == book.addresses.notebooks]
    # All of them before the first cell is made, so that every page's errors are found.
    translated = {page.name: blocks(page.text, Place(book, page, top=True)) for page in own}
    terms = {page.name: terms_used(book, page) for page in own}
    for page in own:
        for label in page.notes.keys() - page.note_texts.keys():
            book.note(Place(book, page).error(f"footnote {label!r} has no text"))
    if book.errors:
        raise SourceError("\n".join(book.errors))
    first = new_code_cell(install(book), id="install")
    files: dict[str, str] = {}
    for page in own:
        name = f"{page.stem}.ipynb"
        if name in files:
            raise SourceError(f"_toc.yml: two pages would be written to {name}")
        works = bibliography.works(page.cited, book.entries, book.words)
        pieces = translated[page.name]
        body = cells(pieces, works=works)
        if any(isinstance(piece, Works) for piece in pieces):
            works = []
        end = _end(book, page, works, terms[page.name], chapters)
        files[name] = _written([first, *body, *end])
    return files


def _written(all_cells: list[NotebookNode]) -> str:
    metadata = {
        "colab": {"provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook = new_notebook(cells=all_cells, metadata=metadata, nbformat_minor=5)
    return nbformat.writes(notebook) + "\n"


def _end(
    book: Book, page: Page, works: list[str], terms: list[str], chapters: list[Page]
) -> Iterator[NotebookNode]:
    """Yield the lists at a page's end, each in a cell of its own, without the empty ones."""
    words = book.words
    numbers = sorted(page.notes.items(), key=lambda item: item[1])
    notes = [f"{number}. {one_line(page.note_texts[label])}" for label, number in numbers]
    others = [_sibling(other, Place(book, page)) for other in chapters if other is not page]
    whole_book = f"- [{words.whole_book}]({book.addresses.repository})"
    for name, title, lines in (
        ("end-notes", words.notes, notes),
        ("end-works", words.works_cited, works),
        ("end-terms", words.terms, terms),
        ("end-chapters", words.other_chapters, [*others, whole_book]),
    ):
        if lines:
            yield new_markdown_cell("\n".join([f"## {title}", "", *lines]), id=name)


def _sibling(other: Page, place: Place) -> str:
    links = place.book.words.other_chapter.format(
        title=text(other.title, place),
        colab=place.book.addresses.colab(other),
        file=place.page.way_to(other),
    )
    return f"- {links}"
