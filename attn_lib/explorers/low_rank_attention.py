"""How low the rank of real attention is: its singular values, and what few slots can rebuild.

The spectrum is the one of Wang et al. 2020 (arXiv:2006.04768), Figure 1, on the heads of
`attn_lib.data`; the random projection is that of their Theorem 1.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.data import Passage, load_passage
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import (
    block_means,
    head_options,
    in_squares,
    mean_error,
    random_weights,
)
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._signed import SCALE, signed_code, signed_value
from attn_lib.explorers._text import TextExplorer, in_cells, of_head, remembered, shown_tokens
from attn_lib.explorers.words import MATRIX_WORDS, Message, Rounded
from attn_lib.mechanisms.linformer import linformer_weights
from attn_lib.mechanisms.softmax import softmax_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CELLS", "METHODS", "LowRankAttention"]

CELLS = 64
METHODS = ("svd", "random", "linformer")
_LENGTHS = (128, 512)
_STEPS = {"svd": 6, "random": 24, "linformer": 6}  # noise needs no fine shades
_LOWEST, _HIGHEST = 0.01, 10.0


@functools.cache
def _passage(length: int) -> Passage:
    return load_passage(512 if length == 512 else 128)


def _stretches(tokens: Sequence[str], size: int) -> list[list[str]]:
    """Return the first and the last token of every cell of so many."""
    return [[tokens[k], tokens[k + size - 1]] for k in range(0, len(tokens), size)]


class _Head:
    """One head on one passage, taken apart once."""

    def __init__(self, passage: Passage, length: int, layer: int, head: int) -> None:
        self.q, self.k, v = (x[:, :, :length] for x in passage.head(layer, head))
        self.length, self.v = length, v[0, 0]
        self.weights = softmax_weights(self.q, self.k)[0, 0]
        self.out = self.weights @ self.v
        self.left, self.values, right = torch.linalg.svd(self.weights.double())
        self.right = right
        # A new generator's numbers are always the same.
        self.random = torch.randn(length, length, generator=torch.Generator())
        control = torch.linalg.svdvals(random_weights(self.q, self.k).double())
        both = torch.stack([self.values, control])
        self.spectra = both.cumsum(1) / both.sum(1, keepdim=True)
        self.mean = mean_error(self.out, self.v)
        self.errors = torch.stack([self._errors(method) for method in METHODS])

    def rebuilt(self, method: str, rank: int) -> Tensor:
        """Return the matrix of this rank in the place of the weights (length, length)."""
        if method == "svd":
            best: Tensor = (self.left[:, :rank] * self.values[:rank]) @ self.right[:rank]
            return best.float()
        if method == "random":
            r = self.random[:rank] / rank**0.5
            drawn: Tensor = self.weights @ r.T @ r
            return drawn
        blocks = block_means(rank, self.length)
        return linformer_weights(self.q, self.k, key_projection=blocks, value_projection=blocks)[
            0, 0
        ]

    def _errors(self, method: str) -> Tensor:
        """Return the relative error of the output at every rank from 1 to length."""
        if method == "svd":
            rest = self.values[:, None] * (self.right @ self.v.double())  # (length, value_dim)
            squares = rest.square().sum(-1).flip(0).cumsum(0).flip(0)
            missed = torch.cat([squares[1:], squares.new_zeros(1)]).sqrt().float()
            relative: Tensor = missed / self.out.norm()
            return relative
        found = []
        if method == "random":
            left, right = self.weights @ self.random.T, self.random @ self.v
            total = torch.zeros_like(self.out)
            for rank in range(1, self.length + 1):
                total.addr_(left[:, rank - 1], right[rank - 1])
                found.append((total / rank - self.out).norm())
        else:
            for rank in range(1, self.length + 1):
                found.append((self.rebuilt(method, rank) @ self.v - self.out).norm())
        errors: Tensor = torch.stack(found) / self.out.norm()
        return errors


_head = remembered(16)(_Head)


class LowRankAttention(TextExplorer):
    """A trained head's attention matrix, and three ways to make do with a rank of r.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    length : {128, 512}
        Tokens of the passage. A text of your own has one length: its own, less up to 7 tokens
        where it does not come out even.
    head : str
        Layer and head, as "5.5". At 128 tokens all 72 were captured, at 512 twelve.
    method : {"svd", "random", "linformer"}
        The best matrix of the rank; the random construction A Rᵀ R of the paper's Theorem 1, with
        one draw of R that grows with the rank; Linformer itself, with the means of blocks of keys
        and values in the place of trained projections.
    rank : int
        The paper's k, from 1 to 512; at most the length has an effect.

    Notes
    -----
    `compute` returns:

    ``rebuilt``, ``full`` (64, 64) uint8, or fewer
        The matrix of this rank and the head's own, see `signed_code`. A cell adds up the weights of
        its keys and averages its queries; ``rebuilt`` comes in coarser steps.
    ``spectrum`` (2, length) float32
        Percent of the sum of all singular values in the first r, for r from 1: of the head's
        weights, and of a control, softmax weights of random normal queries and keys as many and as
        wide, lengthened or shortened until a row's scores are spread as far as the head's.
    ``errors`` (3, length) float32
        Error of the output against r, by method: its distance over the output's size.
    ``mean`` (1,) float32
        The error of giving every query the mean of all values.
    ``facts`` (4,) float32
        At this rank: the head's share and the method's error, the share of negative entries, and
        the mean distance of a row's sum from 1.
    """

    length = Choice(
        128,
        label="Tokens",
        options={length: str(length) for length in _LENGTHS},
    )
    head = Choice(
        "2.9",
        label="Layer and head",
        options=head_options(),
        grid=("0.2", "2.9", "5.5"),
    )
    method = Choice(
        "svd",
        label="Rebuilt by",
        options={
            "svd": "the best matrix of rank r",
            "random": "random projection, A RᵀR",
            "linformer": "Linformer, mean pooling",
        },
    )
    rank = Range(
        16,
        label="Rank r",
        grid=(4, 8, 16, 32, 64, 128),
        low=1,
        high=512,
        step=1,
        play=True,
        help="slots that all keys are squeezed through; the paper's k",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "rebuilt": "uint8",
        "full": "uint8",
        "spectrum": "float16",
        "errors": "float16",
        "mean": "float16",
        "facts": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "full": "The head's own weights",
        "rebuilt": "Rebuilt with rank r",
        "help": "Point at, tap, or move with the arrow keys to a cell.",
        "hint": "A cell is {size} queries by {size} keys. Weights below zero are orange.",
        "axes": "query ↓ key →",
        "share": "Of the singular values, the first r hold (control)",
        "share_value": "{share} % ({control} %)",
        "error": "Error of the output, over its size",
        "error_value": "{error}",
        "mean": "Error of the mean of the values",
        "negative": "Entries below zero",
        "negative_value": "{negative} %",
        "sums": "Rows’ sums miss 1 by",
        "sums_value": "{sums}",
        "spectrum": "Share of the singular values (%)",
        "spectrum_x": "first r of them",
        "spectrum_now": "r = {rank}: {share} % ({control} %)",
        "still_control": "control",
        "control_is": "control: random queries and keys, scores as far apart",
        "errors": "Error of the output, over its size",
        "errors_x": "rank r",
        "errors_now": "r = {rank}: {error} ({method})",
        "svd": "best",
        "random": "random",
        "linformer": "Linformer, mean pooling",
        "cell": "Queries {i} “{query}” on keys {j} “{key}”: the head gives {full} of its weight,"
        " rank {rank} about {rebuilt}.",
        "still_below": "weight below zero",
        "still_rebuilt_now": "Rebuilt with rank {rank}",
        "still": "The output errs by {error} of its size; the mean of the values would err by"
        " {mean}.",
        "more": "{first} … {last}",
        "change": "Sum of the singular values that is held: {share} %, before {was_share} %. Error"
        " of the output: {error} % of its size, before {was_error} %.",
        "alt_svd": "Attention weights of layer and head {head} on {length} tokens, and the best"
        " matrix of rank {rank} in their place: the first {rank} singular values"
        " hold {share} % of their sum, the output errs by {error} % of its size (the mean of the"
        " values by {mean} %), and {negative} % of the entries are negative.",
        "alt_random": "Attention weights of layer and head {head} on {length} tokens, and a random"
        " projection to rank {rank} in their place: the first {rank} singular values"
        " hold {share} % of their sum, the output errs by {error} % of its size (the mean of the"
        " values by {mean} %), and {negative} % of the entries are negative.",
        "alt_linformer": "Attention weights of layer and head {head} on {length} tokens, and"
        " Linformer’s mean pooling to {rank} slots: the first {rank} singular values"
        " hold {share} % of their sum, the output errs by {error} % of its size (the mean of the"
        " values by {mean} %), and {negative} % of the entries are negative.",
    }

    own_words: ClassVar[Mapping[str, Message]] = {
        "hint": "A cell is a query and a key. Weights below zero are orange.",
        "cell": "Query {i} “{query}” on key {j} “{key}”: the head gives {full} of its weight, rank"
        " {rank} about {rebuilt}.",
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        length, size = in_cells(len(passage.tokens), CELLS)
        own = cls.own_words if size == 1 else {}
        return {
            "length": cls.length.among({length: str(length)}, length),
            "head": of_head(cls.head, passage),
            "rank": cls.rank.up_to(length),
            "words": {**cls.words, **own},
        }

    @classmethod
    def _of_length(cls, length: int) -> Passage:
        return _passage(length) if cls._own is None else cls._own

    @classmethod
    def _cells(cls) -> int:
        """Return how many cells a matrix has in each direction, at every length."""
        length, size = in_cells(cls.length.default_value, CELLS)
        return length // size

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        texts = {n: cls._of_length(n).tokens[:n] for n in cls.length.options}
        tokens = {n: [str(text) for text, _ in shown_tokens(text)] for n, text in texts.items()}
        count = cls._cells()
        return {
            "cells": count,
            **SCALE,
            "methods": list(METHODS),
            "errors": [_LOWEST, _HIGHEST],
            "stretches": {str(n): _stretches(text, n // count) for n, text in tokens.items()},
            "start": [20, 8] if cls._own is None else [count // 2, count // 2 - 1],
        }

    @classmethod
    def _frame(cls, length: int, head: str, method: str, rank: int) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        one = _head(cls._of_length(length), length, layer, number)
        rank = min(rank, length)
        near = one.rebuilt(method, rank)
        facts = (
            100 * one.spectra[0, rank - 1],
            one.errors[METHODS.index(method), rank - 1],
            100 * (near < -1e-6).float().mean(),
            (near.sum(-1) - 1).abs().mean(),
        )
        _, size = in_cells(length, CELLS)
        return {
            "rebuilt": signed_code(in_squares(near, size), _STEPS[method]),
            "full": signed_code(in_squares(one.weights, size)),
            "spectrum": (100 * one.spectra).float().numpy(),
            "errors": one.errors.numpy().copy(),
            "mean": np.array([one.mean], dtype=np.float32),
            "facts": np.array([float(x) for x in facts], dtype=np.float32),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.2, 7.0), layout="constrained")
        upper, (spectrum, errors) = figure.subplots(2, 2, height_ratios=(4, 3))
        length, rank = controls["length"], min(controls["rank"], controls["length"])
        _, size = in_cells(length, CELLS)
        titles = {"full": cls._word("full"), "rebuilt": cls._said("still_rebuilt_now", rank=rank)}
        for ax, (name, title) in zip(upper, titles.items(), strict=True):
            values = signed_value(frame[name])
            figures.signed_matrix(values, title=title, per_cell=size, ax=ax)
            figures.point(ax, *cls._facts()["start"], per_cell=size)
        ranks = np.arange(1, length + 1)
        names = (cls._word("full"), cls._word("still_control"))
        figures.curves(
            ranks,
            dict(zip(names, frame["spectrum"], strict=True)),
            xlabel=cls._word("spectrum_x"),
            ylabel="",
            logx=True,
            title=cls._word("spectrum"),
            dashed=names[1:],
            ax=spectrum,
        )
        spectrum.set_ylim(0, 100)
        figures.curves(
            ranks,
            {cls._word(name): row for name, row in zip(METHODS, frame["errors"], strict=True)},
            xlabel=cls._word("errors_x"),
            ylabel="",
            logx=True,
            logy=True,
            title=cls._word("errors"),
            ax=errors,
        )
        errors.set_ylim(*cls._facts()["errors"])
        _stills.level(errors, float(frame["mean"][0]), label=cls._word("mean"))
        for ax in (spectrum, errors):
            _stills.marker(ax, rank)
            _stills.ticks(ax, (1, 4, 16, 64, 256))
        numbers = {"error": frame["facts"][1], "mean": frame["mean"][0]}
        said = cls._said("still", **{name: Rounded(float(x), 2) for name, x in numbers.items()})
        _stills.note(errors, said)
        marks = {cls._word("still_below"): figures.PALETTE[1], cls._word("control_is"): ""}
        _stills.legend(errors, marks)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        share, error, negative, _ = (float(x) for x in frame["facts"])
        return f"alt_{controls['method']}", {
            **{name: controls[name] for name in ("head", "length", "rank")},
            "share": Rounded(share, 0),
            "error": Rounded(100 * error, 0),
            "mean": Rounded(100 * float(frame["mean"][0]), 0),
            "negative": Rounded(negative, 0),
        }
