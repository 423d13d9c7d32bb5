"""The command."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from book._ext.downloads import NAME, put

from .contents import part_of
from .file import with_facts
from .press import ARGUMENTS, Unprintable, printed
from .whole import merged

__all__ = ["main", "print_book", "site_of"]

ROOT = Path(__file__).parents[3]
HTML = ROOT / "_build" / "html"


def site_of(config: Mapping[str, Any]) -> str:
    """Return where the book stands on the web: as set, or else its repository's pages on GitHub."""
    if site := (config.get("html") or {}).get("baseurl", ""):
        return str(site).rstrip("/")
    url = str(config["repository"]["url"]).rstrip("/").removesuffix(".git")
    found = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", url)
    return f"https://{found[1].lower()}.github.io/{found[2]}" if found else ""


def print_book(folder: Path, toc: Mapping[str, Any], config: Mapping[str, Any]) -> bytes:
    """Return the book, or what a smaller table of contents names of it, as a PDF.

    Raises
    ------
    Unprintable
        If it would not be whole on paper.
    """
    sys.path.append(str(ROOT))
    from tests.browser import chromium

    whole = folder / "paper.html"
    author = str(config["author"])
    text = merged(folder, toc, author=author, site=site_of(config))
    whole.write_text(text, encoding="utf-8")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=ARGUMENTS)
            pdf = printed(browser, whole)
            browser.close()
    finally:
        whole.unlink(missing_ok=True)
    moment = os.environ.get("SOURCE_DATE_EPOCH")
    return with_facts(pdf, author, int(moment) if moment else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    about = "Print the built book as one PDF."
    parser = argparse.ArgumentParser(prog="python -m book._ext.make_pdf", description=about)
    parser.add_argument("--html", type=Path, default=HTML, metavar="FOLDER", help="the built book")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE")
    only = "print the cover and these alone, as a trial: book/05-linformer"
    parser.add_argument("--only", nargs="+", default=(), metavar="CHAPTER", help=only)
    args = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    if not (args.html / "index.html").exists():
        parser.error(f"--html must be a built book, got {args.html}")
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    if args.only:
        toc = part_of(toc, args.only)
    name = f"{NAME}-trial.pdf" if args.only else f"{NAME}.pdf"
    output = args.output or args.html.parent / name
    try:
        pdf = print_book(args.html, toc, config)
    except Unprintable as error:
        print(f"The book cannot be printed: {error}", file=sys.stderr)
        return 1
    output.write_bytes(pdf)
    if not args.only and args.output is None:
        put(output, args.html, "pdf")
    count = len(PdfReader(io.BytesIO(pdf)).pages)
    print(f"The book is ready on paper: {output} ({count} pages, {len(pdf) / 1e6:.1f} MB)")
    return 0
