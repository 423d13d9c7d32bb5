"""The command line: write the notebooks, or check that those on disk are the ones to be written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .book import SourceError, read_book
from .chinese import FOLDER, chinese_notebooks
from .notebook import notebooks

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[3]


def main(arguments: list[str] | None = None) -> int:
    """Write the notebooks, or check them, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="make_notebooks",
        description="Write notebooks/*.ipynb from book/*.md, and zh/ from translations.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when stale")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.root / "notebooks"
    try:
        book = read_book(options.root)
        files = notebooks(book)
        files |= {f"{FOLDER}/{name}": text for name, text in chinese_notebooks(book).items()}
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    present = {
        path.relative_to(folder).as_posix(): path
        for path in (*folder.glob("*.ipynb"), *(folder / FOLDER).glob("*.ipynb"))
    }
    stale = sorted(
        name
        for name in files.keys() | present.keys()
        if name not in files
        or name not in present
        or present[name].read_text(encoding="utf-8") != files[name]
    )
    if options.check:
        for name in stale:
            print(f"notebooks/{name} is stale: run `make notebooks`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        if name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(files[name], encoding="utf-8", newline="\n")
        else:
            present[name].unlink()
        print(f"notebooks/{name}: {'written' if name in files else 'removed'}")
    if not stale:
        print(f"notebooks: {len(files)} up to date")
    return 0
