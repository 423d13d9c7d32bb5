"""The results as a table on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from benchmarks.record import Document
from benchmarks.spec import PASSES

__all__ = ["render"]


def _number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "-"
    whole = len(str(int(value)))
    return f"{value:.{max(digits - whole, 0) if value >= 1 else digits - 1}f}"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["status"] != "ok":
        return str(row["status"])
    return f"{_number(row['ms'])} / {_number(row['ratio'])} / {_number(row['peak_mb'])}"


def _lines(document: Document, mechanisms: Collection[str]) -> Iterator[str]:
    rows = [row for row in document["rows"] if row["mechanism"] in mechanisms]
    sizes = sorted({row["n"] for row in rows})
    cells = {(r["mechanism"], r["implementation"], r["pass"], r["n"]): r for r in rows}
    for pass_ in PASSES:
        lines = [["mechanism", "implementation", *(f"n = {n}" for n in sizes)]]
        for mechanism in mechanisms:
            names = dict.fromkeys(r["implementation"] for r in rows if r["mechanism"] == mechanism)
            for name in names:
                found = [cells.get((mechanism, name, pass_, n)) for n in sizes]
                lines.append([mechanism, name, *map(_cell, found)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        yield f"{pass_.replace('_', ' + ')}: ms / ratio to full SDPA / peak MB"
        for line in lines:
            yield "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        yield ""
    for row in rows:
        if row["status"] != "ok":
            name = f"{row['mechanism']}, {row['implementation']}, {row['pass']}, n = {row['n']}"
            yield f"{name}: {row['status']}, {row['reason']}"
    for one in document["absent"]:
        if one["mechanism"] in mechanisms:
            yield f"{one['mechanism']}, {one['implementation']}: absent, {one['reason']}"


def render(document: Document, mechanisms: Collection[str]) -> str:
    """Return the table of these mechanisms, in this order, and below it what is missing and why."""
    return "\n".join(_lines(document, mechanisms))
