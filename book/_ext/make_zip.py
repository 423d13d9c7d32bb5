"""Pack the built book into one file to carry: ``python -m book._ext.make_zip``.

The same book makes the same bytes: files stand in the order of their names, with one date, that of
``SOURCE_DATE_EPOCH`` where it is set. Neither it nor the PDF is in it, nor the sentence that offers
them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from book._ext.downloads import FILES, NAME, put, without

__all__ = ["main", "pack"]

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
EARLIEST = 315_532_800  # 1 January 1980, where the dates of a zip begin


def pack(folder: Path, target: Path, moment: int = EARLIEST) -> None:
    """Pack the pages in `folder` into `target`, below one folder of the book's name.

    Parameters
    ----------
    folder, target : Path
    moment : int
        The date of all files, in seconds since 1970; a zip knows none before 1980.
    """
    date = time.gmtime(max(moment, EARLIEST))[:6]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(folder).as_posix()
            if not path.is_file() or place in FILES.values():
                continue
            content = path.read_bytes()
            if path.suffix == ".html":
                content = without(content.decode()).encode()
            entry = zipfile.ZipInfo(f"{NAME}/{place}", date)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m book._ext.make_zip", description=__doc__)
    parser.add_argument("--html", type=Path, default=HTML, metavar="FOLDER", help="the built book")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE")
    args = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    if not (args.html / "index.html").exists():
        parser.error(f"--html must be a built book, got {args.html}")
    output = args.output or args.html.parent / f"{NAME}.zip"
    pack(args.html, output, int(os.environ.get("SOURCE_DATE_EPOCH", EARLIEST)))
    if args.output is None:
        put(output, args.html, "zip")
    print(f"The book to carry: {output} ({output.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
