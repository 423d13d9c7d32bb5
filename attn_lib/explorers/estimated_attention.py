"""A real head's attention beside the Performer's estimate of it, and the error against m.

The estimate is that of Choromanski et al. 2020 (arXiv:2009.14794), by
`attn_lib.mechanisms.performer`, on the heads of `attn_lib.data`.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import head_options, in_squares, mean_error
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._signed import SCALE, signed_code, signed_value
from attn_lib.explorers._text import TextExplorer, in_cells, of_head, remembered, shown_tokens
from attn_lib.explorers.words import MATRIX_WORDS, Message, Rounded
from attn_lib.mechanisms.performer import performer_attention, performer_weights
from attn_lib.mechanisms.softmax import softmax_weights
from attn_lib.numerics.projections import draw_projection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CELLS", "COUNTS", "DRAWS", "LENGTH", "EstimatedAttention"]

LENGTH = 128
CELLS = 64
COUNTS = tuple(4 * 2**step for step in range(10))
DRAWS = 8
_KINDS = (("softmax", True), ("softmax", False), ("softmax_trig", True))
_LOWEST, _HIGHEST = 0.01, 10.0


@functools.lru_cache(maxsize=64)
def _projections(features: int, orthogonal: bool) -> Tensor:
    """Return `DRAWS` draws, one after another from one generator."""
    generator = torch.Generator()  # it starts in the same state everywhere
    drawn = [
        draw_projection(features, 32, orthogonal=orthogonal, generator=generator)
        for _ in range(DRAWS)
    ]
    return torch.stack(drawn)


class _Head:
    """One head, its exact attention and the errors of its estimates."""

    def __init__(self, passage: Passage, layer: int, head: int, shrink: float) -> None:
        n, _ = _shown(passage)
        q, k, self.v = (x[:, :, :n] for x in passage.head(layer, head))
        self.q, self.k = shrink * q, shrink * k
        self.weights = softmax_weights(self.q, self.k)[0, 0]
        self.out = self.weights @ self.v[0, 0]
        self.mean = mean_error(self.out, self.v[0, 0])
        self.norms = [float(x.norm(dim=-1).mean()) for x in (self.q, self.k)]

    def error(self, kernel: str, w: Tensor) -> float:
        """Return the error of the output over its size."""
        near = performer_attention(self.q, self.k, self.v, kernel=kernel, projection=w)[0, 0]
        return float((near - self.out).norm() / self.out.norm())

    @functools.cached_property
    def errors(self) -> NDArray[np.float32]:
        """Return the median over the draws, by kind and number of features."""
        rows = [
            [
                float(np.median([self.error(kernel, w) for w in _projections(m, orthogonal)]))
                for m in COUNTS
            ]
            for kernel, orthogonal in _KINDS
        ]
        return np.array(rows, dtype=np.float32)


_head = remembered(16)(_Head)


def _shown(passage: Passage) -> tuple[int, int]:
    """Return how many tokens are shown, and how many a cell stands for."""
    return in_cells(min(LENGTH, len(passage.tokens)), CELLS)


class EstimatedAttention(TextExplorer):
    """A trained head's attention matrix, and the one that the Performer's features imply.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    head : str
        Layer and head, as "5.5".
    kernel : {"softmax", "softmax_trig"}
        Positive features, or sines and cosines; orthogonal ones.
    features : int
        The paper's m, from 4 to 2048.
    shrink : float
        Factor of q and k, from 0.1 to 1: at 1 the head is as it was trained.

    Notes
    -----
    `compute` returns:

    ``estimate``, ``full`` (64, 64) uint8, or fewer
        The estimated matrix and the head's own, coded as in `LowRankAttention`; the estimate in
        coarser steps.
    ``errors`` (3, 10) float32
        Logarithm to the base 10 of the error of the output, over its size, against m = 4, 8, …,
        2048: median of eight draws, for positive orthogonal, positive independent and trigonometric
        orthogonal features.
    ``mean`` (1,) float32
        The error of giving every query the mean of all values, over the output's size.
    ``facts`` (5,) float32
        Of one draw: that error; the largest weight of the estimate and of the head; the mean
        lengths of queries and keys.
    """

    head = Choice(
        "2.9",
        label="Layer and head",
        options=head_options(),
        grid=("0.2", "2.9", "5.5"),
    )
    kernel = Choice(
        "softmax",
        label="Features",
        options={"softmax": "positive", "softmax_trig": "sines and cosines"},
    )
    features = Range(
        256,
        label="Features m",
        grid=(16, 64, 256, 1024),
        low=4,
        high=2048,
        step=1,
        play=True,
        help="random vectors ω",
    )
    shrink = Range(
        1.0,
        label="Length of q and k, times",
        grid=(0.25, 0.5, 1.0),
        low=0.1,
        high=1.0,
        step=0.05,
        help="shortens all queries and keys of the head",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "estimate": "uint8",
        "full": "uint8",
        "errors": "float16",
        "mean": "float16",
        "facts": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "full": "The head's own weights",
        "estimate": "Estimated by m features",
        "help": "Point at, tap, or move with the arrow keys to a cell.",
        "hint": "A cell is two queries by two keys. Weights below zero are orange.",
        "axes": "query ↓ key →",
        "error": "Error of the output in this draw, over its size",
        "mean": "Error with the mean of the values for all",
        "largest": "Largest weight, estimated and true",
        "largest_value": "{near} and {full}",
        "norms": "Mean length of queries and keys",
        "norms_value": "{q} and {k}",
        "chart": "Error of the output, over its size: median of eight draws",
        "chart_x": "features m",
        "positive": "positive, orthogonal",
        "independent": "positive, independent",
        "trig": "sines and cosines, orthogonal",
        "cell": "Queries {i} and {i2} “{query}” on keys {j} and {j2} “{key}”: the head gives {full}"
        " of its weight, {m} features {near}.",
        "mean_line": "mean of the values",
        "still_below": "weight below zero",
        "edge": "Errors of 10 or more are drawn at the upper edge.",
        "still_estimate_now": "Estimated by {m} features",
        "still": "With this draw of {m} features the output errs by {error} of its size, with the"
        " mean of the values by {mean}.",
        "change": "Error of the output: {error} % of its size, before {was_error} %. With the mean"
        " of the values: {mean} %.",
        "alt": "Attention weights of layer and head {head} on {n} tokens, and their estimate by {m}"
        " features: in this draw the output errs by {error} % of its size, with the mean of the"
        " values by {mean} %.",
    }

    own_words: ClassVar[Mapping[str, Message]] = {
        "hint": "A cell is a query and a key. Weights below zero are orange.",
        "cell": "Query {i} “{query}” on key {j} “{key}”: the head gives {full} of its weight, {m}"
        " features {near}.",
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        own = cls.own_words if _shown(passage)[1] == 1 else {}
        return {"head": of_head(cls.head, passage), "words": {**cls.words, **own}}

    @classmethod
    def _count(cls, passage: Passage | None = None) -> int:
        return _shown(passage or cls._passage())[0]

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        length, size = _shown(cls._passage())
        cells = length // size
        return {
            "cells": cells,
            **SCALE,
            "counts": list(COUNTS),
            "tokens": [text for text, _ in shown_tokens(cls._pieces())],
            "start": [20, 8] if cls._own is None else [cells // 2, cells // 2 - 1],
        }

    @classmethod
    def _frame(
        cls, head: str, kernel: str, features: int, shrink: float
    ) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        one = _head(cls._passage(), layer, number, shrink)
        _, size = _shown(cls._passage())
        w = _projections(features, True)[0]
        near = performer_weights(one.q, one.k, kernel=kernel, projection=w)[0, 0]
        facts = (
            one.error(kernel, w),
            float(near.max()),
            float(one.weights.max()),
            *one.norms,
        )
        return {
            "estimate": signed_code(in_squares(near, size), 12),
            "full": signed_code(in_squares(one.weights, size)),
            "errors": np.log10(one.errors.clip(_LOWEST, _HIGHEST)),
            "mean": np.array([one.mean], dtype=np.float32),
            "facts": np.array(facts, dtype=np.float32).clip(max=6e4),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.2, 6.8), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(4, 3))
        (_, size), m = _shown(cls._passage()), controls["features"]
        titles = {"full": cls._word("full"), "estimate": cls._said("still_estimate_now", m=m)}
        for column, (name, title) in enumerate(titles.items()):
            ax = figure.add_subplot(grid[0, column])
            values = signed_value(frame[name])
            figures.signed_matrix(values, title=title, per_cell=size, ax=ax)
            figures.point(ax, *cls._facts()["start"], per_cell=size)
        names = ("positive", "independent", "trig")
        ax = figures.curves(
            np.array(COUNTS),
            {cls._word(n): 10.0**row for n, row in zip(names, frame["errors"], strict=True)},
            xlabel=cls._word("chart_x"),
            ylabel="",
            logx=True,
            logy=True,
            title=cls._word("chart"),
            ax=figure.add_subplot(grid[1, :]),
        )
        ax.set_ylim(_LOWEST, _HIGHEST)
        _stills.level(ax, float(frame["mean"][0]), label=cls._word("mean_line"))
        _stills.marker(ax, m)
        numbers = {"error": frame["facts"][0], "mean": frame["mean"][0]}
        shown = {name: Rounded(float(x), 2) for name, x in numbers.items()}
        _stills.note(ax, cls._said("still", m=m, **shown))
        _stills.legend(ax, {cls._word("still_below"): figures.PALETTE[1], cls._word("edge"): ""})
        _stills.ticks(ax, COUNTS)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        error = Rounded(100 * float(frame["facts"][0]), 0)
        m = controls["features"]
        mean = Rounded(100 * float(frame["mean"][0]), 0)
        return "alt", {
            "head": controls["head"],
            "n": cls._count(),
            "m": m,
            "error": error,
            "mean": mean,
        }
