"""Join the pieces in which a kernel sends what a cell prints, letter for letter.

A kernel flushes its streams when it likes, also amid a line. myst-nb merges the pieces, so that
this does not show on a page, but ends a line after each: a build in which a line came in two
pieces had two lines there, and no other build had.
"""

from __future__ import annotations

from typing import Any

from myst_nb.core import render
from sphinx.application import Sphinx

Outputs = list[Any]


def joined(outputs: Outputs) -> Outputs:
    """Return a cell's outputs with each stream in one piece, where its first piece stood."""
    streams: dict[str, Any] = {}
    kept = []
    for output in outputs:
        if output["output_type"] != "stream":
            kept.append(output)
        elif output["name"] in streams:
            streams[output["name"]]["text"] += output["text"]
        else:
            streams[output["name"]] = type(output)(output)
            kept.append(streams[output["name"]])
    return kept


def setup(app: Sphinx) -> dict[str, Any]:
    """Give myst-nb whole streams to merge, for as long as this build lasts."""
    merge = render.coalesce_streams
    # It still settles their order and line ends.
    render.coalesce_streams = lambda outputs: merge(joined(outputs))

    def put_back(app: Sphinx, exception: Exception | None) -> None:
        render.coalesce_streams = merge

    app.connect("build-finished", put_back)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
