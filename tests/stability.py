"""Run the chapters on other processors' code paths, and print each line that comes out otherwise.

``python -m tests.stability [CHAPTER …]`` executes the cells of the chapters as the book's build
does, in three ways: with two threads, with one, and as on a processor that has AVX2 and nothing
newer. It ends with an error if a printed line or a word of a picture differs.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import kernel_settings  # noqa: E402

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
VARIANTS: dict[str, tuple[int, dict[str, str]]] = {
    "two threads": (2, {}),
    "one thread": (1, {}),
    "AVX2": (2, AVX2),
}
WHO = """\
import torch
print(torch.get_num_threads(), torch.backends.cpu.get_cpu_capability())"""
# What a picture or an explorer shows in words; where curves run is not compared.
WORDS = re.compile(r"<(?:text|title|desc)\b[^>]*>(.*?)</(?:text|title|desc)>", re.S)
# In a text that a page fills in: a number, and how many digits of it are shown.
ROUNDED = re.compile(r"\[(-?\d+\.\d+(?:e[-+]\d+)?), (\d)\]")


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _lines(outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the outputs of a cell say."""
    # What is printed may arrive in any number of parts.
    printed = "".join(out["text"] for out in outputs if out["output_type"] == "stream")
    found = printed.splitlines()
    for data in (out.get("data", {}) for out in outputs):
        pictures = " ".join(data.get(kind, "") for kind in ("image/svg+xml", "text/html"))
        words = [re.sub(r"<[^>]+>", "", word) for word in WORDS.findall(pictures)]
        words += re.findall(r'(?:alt|aria-label)="([^"]*)"', pictures)
        if not pictures.strip():
            found += data.get("text/plain", "").splitlines()
        for word in map(html.unescape, words):
            found.append(ROUNDED.sub(lambda n: f"{float(n[1]):.{n[2]}f}", word))
    return found


def run(page: Path, threads: int, variables: Mapping[str, str]) -> list[list[str]]:
    """Execute a page and return the lines of each cell; before them, where it ran."""
    notebook = read_myst_markdown_notebook(page.read_text(encoding="utf-8"), path=page)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(WHO))
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory(prefix="stability-") as folder:
        settings = kernel_settings.prepare(Path(folder))
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        book = {"ATTN_LIB_BOOK": "1", "PYTHONPATH": paths}
        with _environment({**settings, **counts, **book, **variables}):
            client = NotebookClient(notebook, timeout=1200, kernel_name="python3")
            client.execute(cwd=str(page.parent))
    return [_lines(cell.outputs) for cell in notebook.cells]


def _check_where(name: str, line: str) -> None:
    """Stop if a variant did not take effect."""
    threads, variables = VARIANTS[name]
    found, capability = line.split()
    if int(found) != threads or (variables and capability != "AVX2"):
        raise SystemExit(f"{name}: the kernel ran with {found} threads and {capability}")


def differences(runs: Mapping[str, list[list[str]]]) -> list[str]:
    """Return a report of each cell whose lines are not the same in all runs."""
    first, *others = runs
    found = []
    for number, lines in enumerate(runs[first]):
        for other in others:
            if (theirs := runs[other][number]) != lines:
                pairs = zip(lines, theirs, strict=False)
                found.append(f"cell {number + 1}, {first} and {other}:")
                found += [f"  - {a}\n  + {b}" for a, b in pairs if a != b]
                if len(lines) != len(theirs):
                    found.append(f"  {len(lines)} lines and {len(theirs)}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.stability", description=__doc__)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="as 04 or 04-reformer")
    args = parser.parse_args(arguments)
    pages = sorted((ROOT / "book").glob("[0-9][0-9]-*.md"))
    if args.chapters:
        pages = [page for page in pages if page.stem.startswith(tuple(args.chapters))]
    unstable = 0
    for page in pages:
        began = time.monotonic()
        runs = {name: run(page, *variant) for name, variant in VARIANTS.items()}
        for name in runs:
            _check_where(name, runs[name].pop(0)[0])
        found = differences(runs)
        unstable += bool(found)
        took = time.monotonic() - began
        print(f"{page.stem}: {'differs' if found else 'stable'} ({took:.0f} s)", flush=True)
        print(*found, sep="\n" if found else "", end="\n" if found else "", flush=True)
    return 1 if unstable else 0


if __name__ == "__main__":
    raise SystemExit(main())
