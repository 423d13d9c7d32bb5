"""Who sees whom in a Sparse Transformer, what it costs, and what two layers can carry.

Rewon Child, Scott Gray, Alec Radford, Ilya Sutskever. *Generating Long Sequences with Sparse
Transformers.* 2019, arXiv:1904.10509, sections 4.2 and 4.3.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib import masks
from attn_lib.explorers._controls import Choice, Range, Toggle
from attn_lib.explorers._explorer import Explorer, Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers.words import STRIDE_WORDS, Message, Plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DIRECT", "LENGTH", "LOST", "Matrix", "SparsePatterns", "two_hops"]

LENGTH = 128
DIRECT = 254
LOST = 255

Matrix = NDArray[np.bool_]

_STRIDES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128)
_ROUTES = ("any", "local-summary", "summary-local")


def two_hops(first: Matrix, second: Matrix, *, residual: bool) -> NDArray[np.uint8]:
    """Trace how position j's content reaches position i through two causal layers.

    Parameters
    ----------
    first, second : ndarray of bool, shape (n, n)
        What the positions of the first layer and then of the second read; n at most 254.
    residual : bool
        Whether a position also keeps what it has, as a residual connection makes it.

    Returns
    -------
    ndarray of uint8, shape (n, n)
        At [i, j]: `DIRECT` where i reads j in one of the layers and the content waits in place
        during the other; else the smallest m such that i reads m in the second layer and m has
        read j in the first; `LOST` where there is no such m, which holds for all j > i.
    """
    n = len(first)
    stay = np.eye(n, dtype=bool)
    one = first | stay if residual else first
    two = second | stay if residual else second
    direct = (first & np.diag(two)[:, None]) | (second & np.diag(one)[None, :])
    direct |= stay & np.diag(one)[:, None] & np.diag(two)[:, None]

    via = np.full((n, n), LOST, dtype=np.uint8)
    for m in range(n - 1, -1, -1):
        via[np.ix_(two[:, m], one[m])] = m
    via[direct] = DIRECT
    return via


@functools.lru_cache(maxsize=4096)
def _sets(pattern: str, stride: int, summary: int) -> tuple[Matrix, Matrix]:
    """Return the local and the summary set as causal matrices."""
    if pattern == "strided":
        both = masks.strided_local(stride), masks.strided_summary(stride)
    else:
        both = masks.fixed_local(stride), masks.fixed_summary(stride, min(summary, stride))
    local, far = (
        masks.dense(masks.intersect(masks.causal(), mask), LENGTH, LENGTH)[0, 0].numpy()
        for mask in both
    )
    return local, far


@functools.lru_cache(maxsize=64)
def _edges_by_stride(pattern: str, summary: int, apart: bool) -> NDArray[np.int32]:
    """Return the pairs in the pattern at every stride from 1: one row, or one a set."""
    rows = []
    for stride in range(1, LENGTH + 1):
        local, far = _sets(pattern, stride, summary)
        rows.append([local.sum(), far.sum()] if apart else [(local | far).sum()])
    return np.array(rows, dtype=np.int32).T


class SparsePatterns(Explorer):
    """The strided and the fixed pattern on 128 positions, causal.

    Parameters
    ----------
    pattern : {"strided", "fixed"}
        Which of the paper's two patterns.
    stride : int
        The paper's l, from 1 to 128.
    summary : int
        The paper's c, from 1 to 32: columns at the end of every block that all later positions
        see (fixed only). More of them than a block has are as many as it has.
    route : {"any", "local-summary", "summary-local"}
        What two layers do: both see both sets, or one set each (the paper's interleaving).
    heads : {"merged", "split"}
        Where a layer sees both sets: every head sees their union, or half the heads one set each.
    residual : bool
        Where layers have one set each: whether a position also keeps its own content.

    Notes
    -----
    `compute` returns:

    ``local``, ``summary`` (128, 128) bool
        The two sets.
    ``via`` (128, 128) uint8
        How j reaches i in two layers: see `two_hops`.
    ``edges``, ``largest_row`` (1,) or (2,) int32
        Pairs in the pattern and the longest row, of the merged head or of the two sets apart.
    ``unreachable`` (1,) int32
        Pairs j ≤ i that two layers do not join.
    ``edges_by_stride`` (1, 128) or (2, 128) int32
        ``edges`` for every stride from 1 to 128.
    """

    pattern = Choice(
        "strided",
        label="Pattern",
        options={"strided": "strided", "fixed": "fixed"},
    )
    stride = Range(
        12,
        label="Stride l",
        grid=_STRIDES,
        low=1,
        high=LENGTH,
        step=1,
        play=True,
        help="strided: width of the window and distance of the far keys; fixed: length of a block",
    )
    summary = Range(
        1,
        label="Summary columns c",
        grid=(1, 2, 4),
        low=1,
        high=32,
        step=1,
        when={"pattern": ["fixed"]},
        help="columns at the end of every block that all later positions see",
    )
    route = Choice(
        "any",
        label="Two layers",
        options={
            "any": "both sets in each",
            "local-summary": "local, then summary",
            "summary-local": "summary, then local",
        },
        help="which set the first and the second layer see",
    )
    heads = Choice(
        "merged",
        label="Heads",
        options={"merged": "merged", "split": "split"},
        when={"route": ["any"]},
        help="merged: every head sees both sets; split: half the heads see one set each",
    )
    residual = Toggle(
        True,
        label="Residual connection",
        when={"route": ["local-summary", "summary-local"]},
        help="a position keeps its own content from one layer to the next",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "local": "bits",
        "summary": "bits",
        "via": "uint8",
        "edges": "int32",
        "largest_row": "int32",
        "unreachable": "int32",
        "edges_by_stride": "int32",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **STRIDE_WORDS,
        "count_head": "Count",
        "keys_head": "Keys it sees",
        "row_sees": Plural(
            "count", "Row {i} sees one key: {keys}.", "Row {i} sees {count} keys: {keys}."
        ),
        "row_blind": "Row {i} sees no key.",
        "matrix": "Which query (row) sees which key (column)",
        "matrix_help": "Point at, tap, or move with the arrow keys to a pair of positions.",
        "query": "query i ↓",
        "key": "key j →",
        "local": "local set",
        "summary": "summary set",
        "both": "both sets",
        "merged": "in the pattern",
        "reached": "reached in two steps",
        "lost": "not reached in two steps",
        "lost_edge": "in a set, yet not kept",
        "edges": "Pairs in the pattern, of n² = {cells}",
        "edges_value": "{edges}",
        "edges_apart": "{local} and {summary}",
        "share": "Share of the causal half",
        "share_value": "{share} %",
        "share_apart": "{local} % and {summary} %",
        "row": "Largest row",
        "row_value": "{row} of {n}",
        "row_apart": "{local} and {summary} of {n}",
        "missed": "Pairs two steps miss",
        "missed_value": "{missed} of {pairs}",
        "chart": "Pairs in the pattern against the stride",
        "still_chart_short": "Pairs in the pattern",
        "still_path": "the way from a key to its query, for the marked pair",
        "chart_x": "stride l",
        "chart_now": "l = {stride}: {edges}",
        "chart_apart": "l = {stride}: {local} and {summary}",
        "direct": "Position {i} reads position {j} directly ({set}).",
        "own": "Position {i} reads itself ({set}).",
        "kept": "Position {i} keeps its own content (residual connection).",
        "hops": "{i} ← {m} ← {j}: in the first layer {m} reads {j} ({first}), in the second {i}"
        " reads {m} ({second}).",
        "unreached": "Two layers cannot carry position {j} to position {i}.",
        "unreached_edge": "Position {i} reads position {j} ({set}), yet nothing keeps the content"
        " in the other layer: it does not arrive.",
        "future": "Position {j} is in the future of position {i}: a causal model may not see it.",
        "set_local": "local",
        "set_summary": "summary",
        "set_both": "both sets",
        "set_stay": "kept by the residual connection",
        "change": "Pairs in the pattern: {edges}, before {was_edges}. Pairs that two steps miss:"
        " {missed}, before {was_missed}.",
        "alt_strided": "The strided pattern with stride {stride} on {n} positions: {edges} of"
        " {cells} pairs, {missed} not joined by two steps.",
        "alt_fixed": "The fixed pattern with stride {stride} on {n} positions: {edges} of {cells}"
        " pairs, {missed} not joined by two steps.",
    }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "n": LENGTH,
            "cells": LENGTH**2,
            "pairs": LENGTH * (LENGTH + 1) // 2,
            "direct": DIRECT,
            "lost": LOST,
            "start": [100, 41],
        }

    @classmethod
    def _frame(
        cls, pattern: str, stride: int, summary: int, route: str, heads: str, residual: bool
    ) -> dict[str, NDArray[Any]]:
        local, far = _sets(pattern, stride, summary)
        merged = route == "any" and heads == "merged"
        if route == "any":
            via = two_hops(local | far, local | far, residual=True)
        elif route == "local-summary":
            via = two_hops(local, far, residual=residual)
        else:
            via = two_hops(far, local, residual=residual)
        computed = [local | far] if merged else [local, far]
        past = np.tri(LENGTH, dtype=bool)
        return {
            "local": local.copy(),
            "summary": far.copy(),
            "via": via,
            "edges": np.array([mask.sum() for mask in computed], dtype=np.int32),
            "largest_row": np.array([mask.sum(-1).max() for mask in computed], dtype=np.int32),
            "unreachable": np.array([(via[past] == LOST).sum()], dtype=np.int32),
            "edges_by_stride": _edges_by_stride(pattern, summary, not merged).copy(),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        blue, _, green, pink, yellow, *_, grey = figures.PALETTE
        apart = len(frame["edges"]) > 1
        sets = (blue, yellow, green) if apart else (blue, blue, blue)
        kinds = frame["local"] + 2 * frame["summary"].astype(int)
        past = np.tri(LENGTH, dtype=bool)
        reached = frame["via"] != LOST
        # As in the live picture: the future, the sets, and whether two steps reach a pair.
        codes = np.where(past, 1 + kinds + np.where(reached, 0, 4), 0)
        faint, lost, edge = f"{grey}33", f"{pink}66", pink
        colours = ["#00000000", faint, *sets, lost, edge, edge, edge]
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        labels = {"xlabel": cls._word("key"), "ylabel": cls._word("query")}
        _stills.classes(left, codes, colours, **labels)
        i, j = cls._facts()["start"]
        figures.point(left, i, j)
        m = int(frame["via"][i, j])
        steps = [(j, j), (m, j), (m, m), (i, m), (i, i)] if m < DIRECT else []
        if m == DIRECT:
            steps = [(j, j), (i, j), (i, i)]
        if steps:
            rows, columns = zip(*steps, strict=True)
            left.plot(columns, rows, color=figures.PALETTE[1], linewidth=1.4, marker=".")
        names = ("local", "summary") if apart else ("merged",)
        figures.curves(
            np.arange(1, LENGTH + 1),
            {cls._word(n): row for n, row in zip(names, frame["edges_by_stride"], strict=True)},
            xlabel=cls._word("chart_x"),
            ylabel="",
            logx=True,
            title=cls._word("still_chart_short"),
            ax=right,
        )
        right.set_ylim(bottom=0)
        right.legend().remove()
        if apart:
            right.get_lines()[1].set_color(yellow)
        _stills.ticks(right, (1, 2, 4, 8, 16, 32, 64, 128))
        _stills.marker(right, controls["stride"])
        kinds_shown = {1: "local", 2: "summary", 3: "both"} if apart else {1: "merged"}
        marks = {cls._word(name): colours[1 + kind] for kind, name in kinds_shown.items()}
        marks[cls._word("reached")] = faint
        if not reached[past].all():
            marks[cls._word("lost")] = lost
        if (codes > 5).any():
            marks[cls._word("lost_edge")] = edge
        if steps:
            marks[cls._word("still_path")] = figures.PALETTE[1]
        _stills.legend(left, marks, columns=3)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        edges = int((frame["local"] | frame["summary"]).sum())
        sizes = {"n": LENGTH, "cells": LENGTH**2, "edges": edges}
        missed = int(frame["unreachable"][0])
        found = {"stride": controls["stride"], **sizes, "missed": missed}
        return f"alt_{controls['pattern']}", found
