"""The book's other languages: what there is to translate, and pages from the same executed cells.

``python -m book._ext.editions update`` brings the translations in ``book/locale`` up to date with the
English text. A message whose English has changed loses its translation: it is kept beside the new
English as ``fuzzy``, which no page shows and the tests refuse, until somebody has read both.
``python -m book._ext.editions update book/05-linformer`` begins the translation of a page.

``python -m book._ext.editions build`` builds the pages of every language into a folder of its own
beside the English ones, and executes no cell: it takes the outputs that the English build left.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "book" / "locale"
LANGUAGES = {"zh_CN": "zh"}
"""The languages as Sphinx names them, and their folders below the English pages."""
SHARED = ("explorers", "figures")
"""Domains that belong to all pages."""
FEW = 3
"""Of so many files at most, a message names where it is said."""


def run(root: Path, out: Path, **settings: Any) -> int:
    """Let Sphinx run over the book as ``jupyter-book build`` does; return its exit status.

    Parameters
    ----------
    root : Path
        Of the book.
    out : Path
        Folder for what is built; ``.doctrees`` comes beside it.
    **settings
        ``builder``, and whatever of ``_config.yml`` is to be otherwise.
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
    builder = settings.pop("builder", "html")
    return build_sphinx(
        str(root),
        str(out),
        path_config=str(root / "_config.yml"),
        noconfig=True,
        confoverrides=overrides | settings,
        builder=builder,
        doctreedir=str(out.parent / f".doctrees-{out.name}"),
        warningiserror=True,
        keep_going=True,
    )


def _read(path: Path, language: str | None = None) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def merge(path: Path, template: Path, language: str) -> None:
    """Bring one file of translations up to date with its template, or begin it."""
    catalogue = _read(path, language) if path.exists() else Catalog(locale=language)
    catalogue.update(_read(template), update_header_comment=False)
    for message in catalogue:  # lines would change with every edit
        message.flags.discard("python-brace-format")  # the braces of roles
        files = dict.fromkeys((file, None) for file, _ in message.locations)
        message.locations = list(files) if len(files) <= FEW else []
    path.parent.mkdir(parents=True, exist_ok=True)
    body = path.with_suffix(".new")
    with body.open("wb") as file:
        write_po(file, catalogue, width=0, omit_header=True, include_previous=True)
    header = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Language: {language}\\n"\n"Plural-Forms: {catalogue.plural_forms}\\n"\n\n'
    )
    path.write_text(header + body.read_text(encoding="utf-8").lstrip("\n"), encoding="utf-8")
    body.unlink()


def update(pages: Sequence[str] = ()) -> int:
    """Bring all translations up to date, and begin those of `pages`."""
    templates = ROOT / "_build" / "gettext"
    status = run(ROOT, templates, builder="gettext")
    if status:
        return status
    for language in LANGUAGES:
        folder = LOCALE / language / "LC_MESSAGES"
        known = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.po")]
        for domain in sorted({*known, *pages, *SHARED}):
            merge(folder / f"{domain}.po", templates / f"{domain}.pot", language)
    return 0


def build() -> int:
    """Build the pages of every language."""
    for language, folder in LANGUAGES.items():
        status = run(ROOT, ROOT / "_build" / "html" / folder, language=language)
        if status:
            return status
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
