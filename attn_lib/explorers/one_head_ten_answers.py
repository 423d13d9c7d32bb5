"""One trained head under all ten mechanisms, each with as much to read as a few keys have.

The head is one of `attn_lib.data`, trained with softmax attention (Vaswani et al. 2017,
arXiv:1706.03762); nothing is trained again. So the errors say what a swap alone does to it, not
what a model learns that had the mechanism from the start.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.catalog import MECHANISMS
from attn_lib.costs import read_numbers
from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import block_means, head_options, in_squares, mean_error
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._signed import SCALE, signed_code, signed_value
from attn_lib.explorers._task_points import TITLES
from attn_lib.explorers._text import TextExplorer, in_cells, of_head, remembered, shown_tokens
from attn_lib.explorers.luna_packing import centres
from attn_lib.explorers.words import MATRIX_WORDS, Message, Rounded
from attn_lib.mechanisms.cosformer import cosformer_weights
from attn_lib.mechanisms.efficient import efficient_weights
from attn_lib.mechanisms.explicit_sparse import explicit_sparse_weights
from attn_lib.mechanisms.linear_transformer import linear_transformer_weights
from attn_lib.mechanisms.linformer import linformer_weights
from attn_lib.mechanisms.longformer import longformer_weights
from attn_lib.mechanisms.performer import performer_weights
from attn_lib.mechanisms.reformer import reformer_weights
from attn_lib.mechanisms.softmax import softmax_weights
from attn_lib.mechanisms.sparse_transformer import sparse_transformer_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ANSWERS", "DRAWS", "LENGTH", "OneHeadTenAnswers", "options_of"]

LENGTH = 128
_CELLS = 64
DRAWS = 8
_ROUNDS = 2
_HIGHEST = 10.0
_SHADES = 12

ANSWERS: dict[str, str] = {
    one.name: TITLES[one.name] for one in MECHANISMS if one.family != "reference"
}
"""The mechanisms by their names in `attn_lib.catalog`, and what they are called."""

_DRAWN = ("reformer", "performer")


def _numbers_read(mechanism: str, n: int, width: int, options: Mapping[str, int]) -> int:
    """Return what a query reads, by `attn_lib.costs.read_numbers`, of n tokens."""
    own: dict[str, Any] = dict(options)
    return read_numbers(mechanism, n, width, width, **own)


def options_of(mechanism: str, budget: int, n: int, width: int) -> dict[str, int]:
    """Return the options with which a query reads about as much as `budget` keys and values.

    Parameters
    ----------
    mechanism : str
        One of `ANSWERS`.
    budget : int
        So many keys and values, each `width` numbers.
    n : int
        Tokens.
    width : int
        Of a key and of a value.

    Returns
    -------
    dict
        As `attn_lib.costs.read_numbers` takes them. Patterns, chunks and random features read as
        much as fits, or else the least that they can; top-k weighs `budget` keys, and reads more
        in order to find them; Linformer and Luna have `budget` slots. Empty where the size of what
        is read is that of the head.
    """
    given = budget * 2 * width

    def largest(name: str, values: range, **fixed: int) -> dict[str, int]:
        read = {x: _numbers_read(mechanism, n, width, {name: x, **fixed}) for x in values}
        fitting = [x for x in values if read[x] <= given]
        # Of equals the larger: a window as long as the text is whole at the edges, too.
        best = (
            max(fitting, key=lambda x: (read[x], x))
            if fitting
            else min(values, key=lambda x: read[x])
        )
        return {name: best, **fixed}

    match mechanism:
        case "sparse_transformer":
            return largest("stride", range(1, n))
        case "explicit_sparse":
            return {"topk": min(budget, n)}
        case "longformer":
            return largest("window", range(n))
        case "reformer":
            return largest("bucket_size", range(1, n + 1), num_hashes=_ROUNDS)
        case "linformer":
            return {"rank": min(budget, n)}
        case "performer":
            return largest("features", range(1, 4 * n))
        case "luna":
            return {"p_len": min(budget, n)}
    return {}


class _Head:
    """One head, its exact attention, and what each mechanism makes of it."""

    def __init__(self, passage: Passage, layer: int, head: int) -> None:
        n, _ = _shown(passage)
        self.q, self.k, v = (x[:, :, :n] for x in passage.head(layer, head))
        self.v = v[0, 0]
        self.weights = softmax_weights(self.q, self.k)[0, 0]
        self.out = self.weights @ self.v
        self.mean = mean_error(self.out, self.v)

    def near(self, mechanism: str, options: Mapping[str, int]) -> list[Tensor]:
        """Return the matrix that it implies; as many as `DRAWS` where it draws."""
        generator = torch.Generator()  # it starts in the same state everywhere
        draws = DRAWS if mechanism in _DRAWN else 1
        return [self._weights(mechanism, options, generator)[0, 0] for _ in range(draws)]

    def _weights(
        self, mechanism: str, options: Mapping[str, int], generator: torch.Generator
    ) -> Tensor:
        q, k, n = self.q, self.k, len(self.v)
        own: dict[str, Any] = dict(options)
        if mechanism == "reformer":
            return reformer_weights(q, generator=generator, **own)
        if mechanism == "performer":
            return performer_weights(q, k, generator=generator, **own)
        if mechanism == "linformer":
            blocks = block_means(options["rank"], n)
            return linformer_weights(q, k, key_projection=blocks, value_projection=blocks)
        if mechanism == "luna":
            pack = softmax_weights(centres(k[0, 0], options["p_len"])[None, None], k)
            return softmax_weights(q, pack @ k) @ pack
        plain: dict[str, Callable[..., Tensor]] = {
            "sparse_transformer": sparse_transformer_weights,
            "explicit_sparse": explicit_sparse_weights,
            "longformer": longformer_weights,
            "efficient": efficient_weights,
            "linear_transformer": linear_transformer_weights,
            "cosformer": cosformer_weights,
        }
        return plain[mechanism](q, k, **own)

    def error(self, near: Tensor) -> float:
        """Return the distance of the output under these weights, over the output's size."""
        return float((near @ self.v - self.out).norm() / self.out.norm())


_head = remembered(16)(_Head)


@remembered(64)
def _answers(
    passage: Passage, layer: int, head: int, budget: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], dict[str, Tensor]]:
    """Return errors and numbers read, one for each of `ANSWERS`, and the first matrices."""
    one = _head(passage, layer, head)
    n, width = one.v.shape
    errors, read, pictures = [], [], {}
    for mechanism in ANSWERS:
        options = options_of(mechanism, budget, n, width)
        found = one.near(mechanism, options)
        errors.append(float(np.median([one.error(near) for near in found])))
        read.append(_numbers_read(mechanism, n, width, options))
        pictures[mechanism] = found[0]
    return np.array(errors, dtype=np.float32), np.array(read, dtype=np.int32), pictures


def _shown(passage: Passage) -> tuple[int, int]:
    """Return how many tokens are shown, and how many a cell stands for."""
    return in_cells(min(LENGTH, len(passage.tokens)), _CELLS)


class OneHeadTenAnswers(TextExplorer):
    """A trained head's weights, what each of the ten mechanisms makes of them, and the errors.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    head : str
        Layer and head, as "2.9".
    budget : int
        Keys and values that a query may read: `options_of` says what that buys.
    mechanism : str
        Whose weights are drawn; one of `ANSWERS`.

    Notes
    -----
    Reformer reads the head's queries as keys, as in `LSHBuckets`; Linformer averages blocks, as in
    `LowRankAttention`; Luna's P are the centres of the keys' clusters, and keys and values are
    packed alike, as in `LunaPacking`. `compute` returns:

    ``near``, ``full`` (64, 64) uint8, or fewer
        The mechanism's matrix and the head's own, see `signed_code`. A cell adds up the weights of
        its keys and averages its queries; ``near`` comes in coarser steps.
    ``errors`` (10,) float32
        Error of the output over its size, in the order of `ANSWERS`; where the mechanism draws,
        the median of eight draws, of which ``near`` is the first. At most 10.
    ``mean`` (1,) float32
        The error of giving every query the mean of all values.
    ``read`` (10,) int32
        Numbers that one query reads, by `attn_lib.costs.read_numbers`.
    ``sizes`` (2,) int32
        Numbers in the budget, and those that a query of the head's own attention reads.
    """

    head = Choice(
        "2.9",
        label="Layer and head",
        options=head_options(),
        grid=("0.2", "2.9", "5.5"),
    )
    budget = Range(
        16,
        label="Budget in keys",
        grid=(8, 16, 32, 64),
        low=2,
        high=128,
        step=1,
        play=True,
        help="what a query may read: keys with their values, or slots and features as large",
    )
    mechanism = Choice("explicit_sparse", label="Mechanism", options=ANSWERS)

    codings: ClassVar[Mapping[str, Coding]] = {
        "near": "uint8",
        "full": "uint8",
        "errors": "float16",
        "mean": "float16",
        "read": "int32",
        "sizes": "int32",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "full": "The head’s own weights",
        "near": "The mechanism’s",
        "help": "Point at, tap, or move with the arrow keys to a cell.",
        "hint": "A cell is two queries by two keys. Weights below zero are orange.",
        "axes": "query ↓ key →",
        "list": "Error of the output, over its size; and numbers that a query reads. The budget"
        " is {given}; the head itself reads {all}.",
        "mean_line": "mean of the values for all: {mean}",
        "row": "{which}: error {error}, reads {read}",
        "cell": "Queries {i} and {i2} “{query}” on keys {j} and {j2} “{key}”: the head gives {full}"
        " of its weight, {which} {near}.",
        "still_errors": "Error of the output, over its size",
        "still_below": "weight below zero",
        "still": "With room for {budget} keys, the orange bar’s mechanism errs by {error}, the mean"
        " of the values by {mean}.",
        "change": "Numbers read: {read}, before {was_read}. Error of the output: {error} % of its"
        " size, before {was_error} %. With the mean of the values: {mean} %.",
        "alt": "Attention weights of layer and head {head} on {n} tokens, and those of {which} that"
        " reads {read} numbers a query where the head reads {all}: the output errs by {error} % of"
        " its size, with the mean of the values by {mean} %.",
        **ANSWERS,
    }

    own_words: ClassVar[Mapping[str, Message]] = {
        "hint": "A cell is a query and a key. Weights below zero are orange.",
        "cell": "Query {i} “{query}” on key {j} “{key}”: the head gives {full} of its weight,"
        " {which} {near}.",
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        length, size = _shown(passage)
        own = cls.own_words if size == 1 else {}
        return {
            "head": of_head(cls.head, passage),
            "budget": cls.budget.up_to(max(2, length)),
            "words": {**cls.words, **own},
        }

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
            "answers": list(ANSWERS),
            "highest": 2.0,
            "tokens": [text for text, _ in shown_tokens(cls._pieces())],
            "start": [20, 8] if cls._own is None else [cells // 2, cells // 2 - 1],
        }

    @classmethod
    def _frame(cls, head: str, budget: int, mechanism: str) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        passage = cls._passage()
        one = _head(passage, layer, number)
        errors, read, pictures = _answers(passage, layer, number, budget)
        (n, width), (_, size) = one.v.shape, _shown(passage)
        return {
            "near": signed_code(in_squares(pictures[mechanism], size), _SHADES),
            "full": signed_code(in_squares(one.weights, size)),
            "errors": errors.clip(max=_HIGHEST),
            "mean": np.array([one.mean], dtype=np.float32),
            "read": read.copy(),
            "sizes": np.array(
                [2 * width * budget, read_numbers("softmax", n, width, width)], dtype=np.int32
            ),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.2, 7.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(4, 3))
        chosen = controls["mechanism"]
        _, size = _shown(cls._passage())
        for column, (name, title) in enumerate((("full", "full"), ("near", chosen))):
            ax = figure.add_subplot(grid[0, column])
            values = signed_value(frame[name])
            figures.signed_matrix(values, title=cls._word(title), per_cell=size, ax=ax)
            figures.point(ax, *cls._facts()["start"], per_cell=size)
        ax = figure.add_subplot(grid[1, :])
        places = np.arange(len(ANSWERS))[::-1]
        colours = [figures.PALETTE[1 if name == chosen else 0] for name in ANSWERS]
        ax.barh(places, frame["errors"].clip(max=cls._facts()["highest"]), color=colours)
        ax.set_yticks(places, [cls._word(name) for name in ANSWERS])
        ax.set_xlim(0, cls._facts()["highest"])
        ax.set_xlabel(cls._word("still_errors"))
        ax.axvline(float(frame["mean"][0]), color="0.5", linestyle="--")
        at = list(ANSWERS).index(chosen)
        numbers = {"error": frame["errors"][at], "mean": frame["mean"][0]}
        shown = {name: Rounded(float(x), 2) for name, x in numbers.items()}
        _stills.note(ax, cls._said("still", budget=controls["budget"], **shown))
        _stills.legend(ax, {cls._word("still_below"): figures.PALETTE[1]})
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        at = list(ANSWERS).index(controls["mechanism"])
        percent = {"error": frame["errors"][at], "mean": frame["mean"][0]}
        return "alt", {
            "head": controls["head"],
            "n": cls._count(),
            "which": ANSWERS[controls["mechanism"]],
            "read": int(frame["read"][at]),
            "all": int(frame["sizes"][1]),
            **{name: Rounded(100 * float(x), 0) for name, x in percent.items()},
        }
