"""The book as it lies on disk: its settings, its table of contents and its pages.

A `Book` also holds what all pages share and `labels` fills in; a `Place` is a spot in it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from myst_nb.core.read import is_myst_markdown_notebook
from pybtex.database import Entry, parse_file
from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

from .parsing import parser_of
from .words import ENGLISH, Words

__all__ = ["Addresses", "Book", "Page", "Place", "SourceError", "Target", "read_book"]


class SourceError(Exception):
    """A construct that has no translation, with the file and line where it stands."""


@dataclass
class Page:
    """One page of the table of contents."""

    name: str
    file: str
    folder: Path
    text: str
    # Where in the repository its notebook lies; a page that is none has nothing here.
    notebook: str
    # The page that this one is a translation of.
    source: Page | None = None
    # What the parser remembers of a page from one text to the next: link and footnote definitions.
    env: dict[str, Any] = field(default_factory=dict)
    # What `labels` finds in it.
    title: str = ""
    headings: dict[str, Target] = field(default_factory=dict)
    # What its own translation comes upon; the rest of it, or its lists, need it.
    named: set[tuple[str, str]] = field(default_factory=set)
    cited: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    note_texts: dict[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """The file name without folder and ending."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def is_notebook(self) -> bool:
        """Whether a notebook comes of the page."""
        return bool(self.notebook)

    def way_to(self, other: Page) -> str:
        """Return the path from this page's notebook to another one's."""
        return posixpath.relpath(other.notebook, self.folder_of_notebook)

    @property
    def folder_of_notebook(self) -> str:
        """Where in the repository its notebook's folder lies."""
        return posixpath.dirname(self.notebook)

    def heading_in_source(self, line: int) -> str:
        """Return the title that stands on a line, as the page had it that this one translates."""
        slug = next(slug for slug, found in self.headings.items() if found.line == line)
        return (self.source or self).headings[slug].title


@dataclass(frozen=True)
class Target:
    """What a label stands for, and the section it stands in: its title, anchor and first line."""

    page: Page
    kind: str
    title: str = ""
    number: int = 0
    section: str = ""
    slug: str = ""
    line: int = 0


@dataclass(frozen=True)
class Addresses:
    """Where the repository, its notebooks and the published book are found."""

    repository: str
    branch: str
    site: str
    notebooks: str

    def colab(self, page: Page) -> str:
        """Return the address that opens a page's notebook in Colab."""
        path = self.repository.removeprefix("https://github.com/")
        return f"https://colab.research.google.com/github/{path}/blob/{self.branch}/{page.notebook}"

    def in_book(self, page: Page) -> str:
        """Return the address of a page of the published book, or nothing where there is none."""
        return f"{self.site}/{page.name}.html" if self.site else ""

    @property
    def archive(self) -> str:
        """The address of the whole repository in one file, for which pip needs no git."""
        return f"{self.repository}/archive/refs/heads/{self.branch}.zip"

    def blob(self, file: str) -> str:
        """Return the address of a file in the repository."""
        return f"{self.repository}/blob/{self.branch}/{file}"


@dataclass
class Book:
    """The pages of a book, its labels, numbers and bibliography."""

    root: Path
    title: str
    addresses: Addresses
    words: Words
    md: MarkdownIt
    substitutions: Mapping[str, Any]
    entries: Mapping[str, Entry]
    pages: dict[str, Page]
    targets: dict[str, Target] = field(default_factory=dict)
    terms: dict[str, str] = field(default_factory=dict)
    # The number of the equation, figure, table or listing at a page's line.
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def note(self, error: SourceError) -> None:
        """Keep an error, so that all of them are reported at once."""
        if str(error) not in self.errors:
            self.errors.append(str(error))


@dataclass(frozen=True)
class Place:
    """Where a piece of text stands, and what surrounds it."""

    book: Book
    page: Page
    line: int = 1
    top: bool = False
    quoted: bool = False
    cell: bool = False

    def at(self, line: int) -> Place:
        """Return the same place on another line."""
        return replace(self, line=line)

    def behind(self, head: str) -> Place:
        """Return the same place behind ``head``, with which every line of it begins."""
        return replace(self, quoted=self.quoted or ">" in head)

    def in_cell(self, line: int) -> Place:
        """Return the place of a table's cell on another line."""
        return replace(self, line=line, cell=True)

    def error(self, message: str, line: int | None = None) -> SourceError:
        """Return an error that names this page's file and the line."""
        return SourceError(f"{self.page.file}:{line or self.line}: {message}")

    @property
    def section(self) -> str:
        """The anchor of the section that the place is in."""
        above = [x.slug for x in self.page.headings.values() if x.line <= self.line]
        return above[-1] if above else ""

    def number(self, line: int | None = None) -> int:
        """Return the number of what stands on a line of this page, 0 where it has none."""
        return self.book.numbers.get((self.page.name, line or self.line), 0)

    def path(self, path: str) -> Path:
        """Return what a path means on this page: from the root if it begins with a slash."""
        return self.book.root / path[1:] if path.startswith("/") else self.page.folder / path

    def existing(self, path: str) -> Path:
        """Return the file that a path on this page names."""
        file = self.path(path)
        if not file.is_file():
            raise self.error(f"there is no file {path!r}")
        return file.resolve()

    def from_root(self, file: Path) -> str:
        """Return a file's path as the repository has it."""
        return file.resolve().relative_to(self.book.root.resolve()).as_posix()


def read_book(root: Path, *, words: Words = ENGLISH, notebooks: str = "notebooks") -> Book:
    """Read the settings, the bibliography and the pages, without looking into their text.

    Parameters
    ----------
    root : Path
        The folder of ``_config.yml`` and ``_toc.yml``.
    words : Words
        What the notebooks say in addition to their pages.
    notebooks : str
        The folder of the notebooks in the repository.

    Raises
    ------
    SourceError
        If ``_toc.yml`` cannot be read or names a page that has no file.
    """
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    parse, repository = config.get("parse", {}), config["repository"]
    addresses = Addresses(
        repository=repository["url"].rstrip("/").removesuffix(".git"),
        branch=repository.get("branch", "main"),
        site=(config.get("html") or {}).get("baseurl", "").rstrip("/"),
        notebooks=notebooks,
    )
    entries: dict[str, Entry] = {}
    for name in config.get("bibtex_bibfiles", []):
        if (root / name).exists():
            entries.update(parse_file(str(root / name)).entries)
    try:
        listed = [name.removesuffix(".md") for name in parse_toc_yaml(root / "_toc.yml")]
    except MalformedError as error:
        raise SourceError(f"_toc.yml: {error}") from error
    # Pages of reference are Sphinx's own: no notebook comes of them, or leads to them.
    reference = config.get("sphinx", {}).get("config", {}).get("reference_pages")
    names = [name for name in listed if not reference or not name.startswith(reference)]
    return Book(
        root=root,
        title=config["title"],
        addresses=addresses,
        words=words,
        md=parser_of(parse.get("myst_enable_extensions", [])),
        substitutions=parse.get("myst_substitutions") or {},
        entries=entries,
        pages={name: _read_page(root, name, notebooks) for name in names},
    )


def _read_page(root: Path, name: str, notebooks: str) -> Page:
    path = root / f"{name}.md"
    file = path.relative_to(root).as_posix()
    if not path.exists():
        raise SourceError(f"_toc.yml: {name} has no file {file}")
    text = path.read_text(encoding="utf-8")
    notebook = f"{notebooks}/{path.stem}.ipynb" if is_myst_markdown_notebook(text) else ""
    return Page(name, file, path.parent, text, notebook)
