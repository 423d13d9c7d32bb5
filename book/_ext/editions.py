"""The book's other languages: what there is to translate, and pages from the same executed cells.

``python -m book._ext.editions update`` brings the translations in ``book/locale`` up to date with
the English text. A message whose English has changed loses its translation: it is kept beside the
new English as ``fuzzy``, which no page shows and the tests refuse, until somebody has read both.
``python -m book._ext.editions update book/05-linformer`` begins the translation of a page.

``python -m book._ext.editions build`` builds the pages of every language into a folder of its own
beside the English ones, and executes no cell: it takes the outputs that the English build left.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

__all__ = ["LANGUAGES", "html_language", "merge", "pages", "run"]

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "book" / "locale"
LANGUAGES = {"zh_CN": "zh"}
"""The languages as Sphinx names them, and their folders below the English pages."""
SHARED = ("explorers", "figures")
"""Domains that belong to all pages."""
FEW = 3
"""Of so many files at most, a message names where it is said."""
HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Language: {language}\\n"
"Plural-Forms: {plurals}\\n"

"""


def html_language(language: str | None) -> str:
    """Return a language as HTML names it, by Sphinx's name for it."""
    return {"zh_CN": "zh-Hans"}.get(language or "en", language or "en")


def pages(out: Path) -> Iterator[Path]:
    """Yield the pages below a folder of one language, in order, less those of other languages."""
    for path in sorted(out.rglob("*.html")):
        if path.relative_to(out).parts[0] not in LANGUAGES.values():
            yield path


def run(root: Path, out: Path, *, builder: str = "html", **settings: Any) -> int:
    """Let Sphinx run over the book as ``jupyter-book build`` does; return its exit status.

    Parameters
    ----------
    root : Path
        Of the book.
    out : Path
        Folder for what is built.
    builder : str
    **settings
        What of ``_config.yml`` is to be otherwise.
    """
    from jupyter_book.sphinx import build_sphinx

    overrides = {
        "external_toc_path": str(root / "_toc.yml"),
        "execution_caches": str(root / "_build" / ".jupyter_cache"),
        "latex_individualpages": False,
        # A file of messages for each page.
        "gettext_compact": False,
        "gettext_location": False,
        "gettext_uuid": False,
    }
    status = build_sphinx(
        str(root),
        str(out),
        path_config=str(root / "_config.yml"),
        noconfig=True,
        confoverrides=overrides | settings,
        builder=builder,
        doctreedir=str(root / "_build" / f".doctrees-{out.name}"),
        warningiserror=True,
        keep_going=True,
    )
    if isinstance(status, Exception):
        raise status
    return int(status)


def _read(path: Path, language: str | None = None) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def write(path: Path, catalogue: Catalog, language: str) -> None:
    """Write a file of translations: a line for each message, and no date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        head = HEADER.format(language=language, plurals=catalogue.plural_forms)
        file.write(head.encode())
        write_po(file, catalogue, width=0, omit_header=True, include_previous=True)


def merge(path: Path, template: Path, language: str) -> None:
    """Bring one file of translations up to date with its template, or begin it."""
    catalogue = _read(path, language) if path.exists() else Catalog(locale=language)
    catalogue.update(_read(template), update_header_comment=False)
    for message in catalogue:
        message.flags -= {"python-brace-format", "python-format"}  # roles, and per cent
        # Lines would change with every edit.
        files = list(dict.fromkeys(file for file, _ in message.locations))
        message.locations = [(file, None) for file in files] if len(files) <= FEW else []
    write(path, catalogue, language)


def update(begun: Sequence[str] = ()) -> int:
    """Bring all translations up to date, and begin those of the pages `begun`."""
    templates = ROOT / "_build" / "gettext"
    if status := run(ROOT, templates, builder="gettext"):
        return status
    for language in LANGUAGES:
        folder = LOCALE / language / "LC_MESSAGES"
        files = [path.relative_to(folder) for path in folder.rglob("*.po")]
        known = [file.with_suffix("").as_posix() for file in files]
        for domain in sorted({*known, *begun, *SHARED}):
            merge(folder / f"{domain}.po", templates / f"{domain}.pot", language)
    return 0


def build() -> int:
    """Build the pages of every language.

    They are built in a place of their own, since what a build leaves beside its pages belongs to no
    book, and are copied below the English ones.
    """
    for language, folder in LANGUAGES.items():
        built, shown = ROOT / "_build" / "editions" / folder, ROOT / "_build" / "html" / folder
        if status := run(ROOT, built, language=language):
            return status
        shutil.rmtree(shown, ignore_errors=True)
        shutil.copytree(built, shown)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m book._ext.editions", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("update").add_argument("pages", nargs="*", metavar="PAGE")
    commands.add_parser("build")
    chosen = parser.parse_args(arguments)
    return update(chosen.pages) if chosen.command == "update" else build()


if __name__ == "__main__":
    sys.exit(main())
