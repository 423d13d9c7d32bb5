"""Train what the chapters train, at full size: ``python -m benchmarks.pages --help``.

The functions that train stand on the pages. This script runs a page's cells as they are printed,
only those that a function needs, calls the function without arguments, and writes what it returns
to ``benchmarks/results/pages/<page>.json``, where `attn_lib.data.load_page_results` finds it.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from attn_lib.data._pages import SCHEMA_VERSION
from benchmarks import record
from benchmarks.cells import ROOT, Cell, apart, code_cells, fingerprint, needed, run

__all__ = ["EXPERIMENTS", "cells_of", "main"]

BOOK = ROOT / "book"
RESULTS = Path(__file__).resolve().parent / "results" / "pages"
EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "01-sparse-transformer": ("both_tasks", "other_strides"),
    "02-explicit-sparse": ("two_tasks",),
    "03-longformer": ("needles_found",),
    "04-reformer": ("copying",),
    "05-linformer": ("slots_of_a_text",),
    "07-luna": ("fitted_slots", "names_trial", "places_trial", "slots_and_names"),
    "08-efficient-attention": ("sharpness", "own_axes"),
    "09-linear-transformer": ("copying", "longer_words", "states"),
    "10-cosformer": ("language_models",),
    "11-layer-norm": ("higher_rates",),
}
"""The functions of each page that are called, without arguments."""

DIGITS = 6


def cells_of(page: str, experiment: str) -> list[Cell]:
    """Return the cells of a page that an experiment needs."""
    return needed(apart(code_cells(BOOK / f"{page}.md")), experiment)


def _plain(value: Any) -> Any:
    """Turn tensors, tuples and numbers into what JSON holds, with a few digits."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _train(page: str, experiment: str) -> dict[str, Any]:
    """Run the cells and the experiment; say what it returned, and how."""
    cells = cells_of(page, experiment)
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        result = run(cells)[experiment]()
    seconds = round(time.process_time() - began, 1)
    return {"seconds": seconds, "cells": fingerprint(cells), "results": _plain(result)}


def _write(page: str, done: dict[str, dict[str, Any]], kept: dict[str, Any]) -> Path:
    """Write a page's file, with what was `kept` of an earlier run where nothing is `done`."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "page": page,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"python -m benchmarks.pages {page}",
        "threads": torch.get_num_threads(),
        "machine": record.machine(torch.get_num_threads()),
        "versions": record.versions(()),
    }
    for part in ("seconds", "cells", "results"):
        found = {**kept.get(part, {}), **{name: done[name][part] for name in done}}
        document[part] = {name: found[name] for name in EXPERIMENTS[page] if name in found}
    path = RESULTS / f"{page}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _pages(names: Sequence[str]) -> list[str]:
    """Return the pages that are meant, each by its name or the first letters of it."""
    found = []
    for name in names:
        meant = [page for page in EXPERIMENTS if page.startswith(name)]
        if not meant:
            raise SystemExit(f"page must begin one of {', '.join(EXPERIMENTS)}, got {name!r}")
        found += meant
    return found or list(EXPERIMENTS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="as 04 or 04-reformer; else all")
    parser.add_argument("--only", metavar="FUNCTION", help="one function; the others stay")
    parser.add_argument("--stale", action="store_true", help="only where the cells have changed")
    args = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for page in _pages(args.pages):
        path = RESULTS / f"{page}.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        done = {}
        for name in EXPERIMENTS[page]:
            current = kept.get("cells", {}).get(name) == fingerprint(cells_of(page, name))
            if (args.only or name) != name or (args.stale and current):
                continue
            print(f"{page}: {name} …", file=sys.stderr, flush=True)
            done[name] = _train(page, name)
            took = done[name]["seconds"]
            print(f"{page}: {name} took {took:.0f} s", file=sys.stderr, flush=True)
        if done:
            print(f"written to {_write(page, done, kept)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
