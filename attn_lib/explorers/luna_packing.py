"""Tokens packed into a few slots and unpacked again, on real heads, beside Linformer.

Xuezhe Ma, Xiang Kong, Sinong Wang, Chunting Zhou, Jonathan May, Hao Ma, Luke Zettlemoyer. *Luna:
Linear Unified Nested Attention.* 2021, arXiv:2106.01540. The heads are those of `attn_lib.data`,
which were not trained with Luna; so P is computed from their keys, by k-means.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import (
    HEAD_NAMES,
    KNOWN_HEADS,
    block_means,
    head_label,
    mean_error,
    shaded,
)
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._text import TextExplorer, of_head, remembered, shown_tokens
from attn_lib.explorers.words import MATRIX_WORDS, Message, Plural, Rounded
from attn_lib.mechanisms.linformer import linformer_weights
from attn_lib.mechanisms.softmax import softmax_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "METHODS", "LunaPacking", "centres"]

LENGTH = 48
METHODS = ("luna", "linformer", "best")
_ROUNDS = 100
_LOWEST, _HIGHEST = 0.01, 10.0


def centres(keys: Tensor, count: int) -> Tensor:
    """Return the centres of the clusters of some keys, by k-means without chance.

    Parameters
    ----------
    keys : Tensor, shape (length, head_dim)
    count : int
        Clusters, from 1 to length.

    Returns
    -------
    Tensor, shape (count, head_dim)

    Notes
    -----
    The first centre is the key nearest the mean, and each further one the key farthest from all
    before it; then each centre moves to the mean of the keys nearest to it, until none moves.
    """
    points = keys.double()
    start = torch.cdist(points, points.mean(dim=0, keepdim=True)).argmin()
    found = points[start][None]
    while len(found) < count:
        farthest = torch.cdist(points, found).amin(dim=1).argmax()
        found = torch.cat([found, points[farthest][None]])
    for _ in range(_ROUNDS):
        owner = torch.cdist(points, found).argmin(dim=1)
        moved = found.clone()
        for c in owner.unique():
            moved[c] = points[owner == c].mean(dim=0)
        if torch.equal(moved, found):
            break
        found = moved
    return found.to(keys.dtype)


class _Head:
    """One head, packed and unpacked with every number of slots."""

    def __init__(self, passage: Passage, layer: int, head: int) -> None:
        self.q, self.k, v = (x[:, :, :LENGTH] for x in passage.head(layer, head))
        self.v = v[0, 0]
        self.weights = softmax_weights(self.q, self.k)[0, 0]
        self.out = self.weights @ self.v
        self.mean = mean_error(self.out, self.v)
        ranks = range(1, len(self.v) + 1)
        self.slots = [centres(self.k[0, 0], count) for count in ranks]
        left, values, right = torch.linalg.svd(self.weights)
        self.others = torch.tensor(
            [
                [self.error(self.linformer(r)) for r in ranks],
                [self.error(left[:, :r] * values[:r] @ right[:r]) for r in ranks],
            ]
        )

    def luna(self, count: int, sharpness: float) -> tuple[Tensor, Tensor]:
        """Return the pack (count, length) and the unpack (length, count)."""
        p = sharpness * self.slots[count - 1][None, None]
        pack = softmax_weights(p, self.k)
        return pack[0, 0], softmax_weights(self.q, pack @ self.k)[0, 0]

    def linformer(self, rank: int) -> Tensor:
        """Return Linformer's matrix with the means of blocks for its projections."""
        blocks = block_means(rank, len(self.v))
        return linformer_weights(self.q, self.k, key_projection=blocks, value_projection=blocks)[
            0, 0
        ]

    def error(self, near: Tensor) -> float:
        """Return the distance of the output under these weights, over the output's size."""
        return float((near @ self.v - self.out).norm() / self.out.norm())


_head = remembered(16)(_Head)


@remembered(64)
def _errors(passage: Passage, layer: int, head: int, sharpness: float) -> NDArray[np.float32]:
    one = _head(passage, layer, head)
    nested = [one.luna(count, sharpness) for count in range(1, len(one.v) + 1)]
    luna = [one.error(unpack @ pack) for pack, unpack in nested]
    return np.array([luna, *one.others.tolist()], dtype=np.float32)


class LunaPacking(TextExplorer):
    """A trained head through Luna's slots: pack, unpack, and the matrix that they make together.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    head : str
        Layer and head, as "2.9". The book carries six of the 72, one in each layer.
    slots : int
        Length of P, from 1 to 48.
    sharpness : float
        P is multiplied by it: from 0.5 to 16.

    Notes
    -----
    P is `sharpness` times the `centres` of the head's keys. The slots take averages of keys and of
    values with the same weights, as if the pack's own projection were the identity and the
    unpack's the model's key and value projections. Linformer averages as many blocks of positions.

    `compute` returns, with fewer tokens where the text is shorter:

    ``full``, ``luna``, ``linformer`` (48, 48) float32
        The head's weights, and those that come in their place; the last two, and the next two, in
        coarse steps.
    ``pack`` (slots, 48) float32
        What a slot is made of.
    ``unpack`` (48, slots) float32
        Which slots a token reads.
    ``errors`` (3, 48) float32
        Error of the output against the number of slots, from 1: Luna, Linformer, and the nearest
        matrix of this rank.
    ``mean`` (1,) float32
        The error of giving every query the mean of all values.
    """

    head = Choice(
        "2.9",
        label="Layer and head",
        options={name: head_label(name) for name in HEAD_NAMES},
        grid=tuple(KNOWN_HEADS),
    )
    slots = Range(
        8,
        label="Slots r",
        grid=(1, 2, 4, 8, 16, 32, 48),
        low=1,
        high=LENGTH,
        step=1,
        play=True,
        help="length of the extra sequence P; the paper's l",
    )
    sharpness = Range(
        1.0,
        label="Sharpness of the pack",
        grid=(1.0, 4.0),
        low=0.5,
        high=16.0,
        step=0.5,
        help="P is multiplied by it; a sharp slot takes from fewer tokens",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "full": "sqrt8",
        "luna": "sqrt8",
        "linformer": "sqrt8",
        "pack": "sqrt8",
        "unpack": "sqrt8",
        "errors": "float16",
        "mean": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "text": "The passage, shaded by what the marked word reads through Luna",
        "help": "Point at, tap, or move with the arrow keys to a word or a cell.",
        "full": "The head’s own weights",
        "luna": "Luna: unpack × pack",
        "linformer": "Linformer, {slots} blocks",
        "pack": "Pack: slots ↓ tokens →",
        "unpack": "Unpack: tokens ↓ slots →",
        "axes": "",
        "bars": "Slots that “{query}” reads, and what is in them",
        "slot": "{slot}: {tokens}",
        "error_luna": "Error with Luna",
        "error_linformer": "With Linformer",
        "error_best": "With the nearest of rank r",
        "error_mean": "With the mean of the values",
        "error_value": "{error}",
        "chart": "Error of the output, over its size",
        "chart_x": "slots r",
        "chart_now": "r = {slots}: Luna {luna}, Linformer {linformer}",
        "name_luna": "Luna",
        "name_linformer": "Linformer, mean pooling",
        "name_best": "nearest matrix of rank r",
        "name_mean": "mean of the values",
        "still_pack": "Pack: {slots} slots × {n} tokens",
        "still_unpack": "Unpack: {n} tokens × {slots} slots",
        "still_token": "token",
        "still_slot_axis": "slot",
        "still": "Error of the output, over its size: Luna {luna}, Linformer {linformer}, mean of"
        " the values {mean}.",
        "cell": "“{query}” ({i}) reads slot {slot} most, {share} of it. “{key}” ({j}) gets {luna}"
        " of its weight through the slots, {linformer} in Linformer; the head gives {full}.",
        "change": "Error of the output with Luna: {luna} % of its size, before {was_luna} %. With"
        " mean pooling: {linformer} %, before {was_linformer} %. With the nearest matrix: {best}"
        " %, before {was_best} %.",
        "alt": Plural(
            "slots",
            "Attention weights of layer and head {head} on {n} tokens, and what comes in their"
            " place through one slot: with Luna the output errs by {luna} % of its size, with"
            " Linformer’s mean pooling by {linformer} %, with the nearest matrix of this rank by"
            " {best} %, with the mean of the values for all by {mean} %.",
            "Attention weights of layer and head {head} on {n} tokens, and what comes in their"
            " place through {slots} slots: with Luna the output errs by {luna} % of its size, with"
            " Linformer’s mean pooling by {linformer} %, with the nearest matrix of this rank by"
            " {best} %, with the mean of the values for all by {mean} %.",
        ),
    }

    longest: ClassVar[int] = LENGTH

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        return {
            "head": of_head(cls.head, passage),
            "slots": cls.slots.up_to(cls._count(passage)),
        }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "tokens": shown_tokens(cls._pieces()),
            "methods": list(METHODS),
            "errors": [_LOWEST, _HIGHEST],
            "start": cls._start("mouse", "mice"),
        }

    @classmethod
    def _frame(cls, head: str, slots: int, sharpness: float) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        one = _head(cls._passage(), layer, number)
        pack, unpack = one.luna(slots, sharpness)
        return {
            "full": one.weights.clamp(0, 1).numpy().copy(),
            "luna": shaded(unpack @ pack),
            "linformer": shaded(one.linformer(slots)),
            "pack": shaded(pack),
            "unpack": shaded(unpack),
            "errors": _errors(cls._passage(), layer, number, sharpness).copy(),
            "mean": np.array([one.mean], dtype=np.float32),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.2, 6.2), layout="constrained")
        upper, (unpack, pack, chart) = figure.subplots(2, 3)
        query, key = cls._facts()["start"]
        slots = controls["slots"]
        titles = {
            "full": cls._word("full"),
            "luna": cls._word("luna"),
            "linformer": cls._said("linformer", slots=slots),
        }
        for ax, (name, title) in zip(upper, titles.items(), strict=True):
            figures.matrix(frame[name], title=title, ax=ax)
            figures.point(ax, query, key)
        token, slot = cls._word("still_token"), cls._word("still_slot_axis")
        for ax, name, said, (x, y) in (
            (unpack, "unpack", "still_unpack", (slot, token)),
            (pack, "pack", "still_pack", (token, slot)),
        ):
            title = cls._said(said, slots=slots, n=cls._count())
            figures.matrix(frame[name], title=title, xlabel=x, ylabel=y, ax=ax)
        figures.point(unpack, query)
        unpack.set_aspect("auto")
        pack.axvspan(key - 0.5, key + 0.5, color=figures.PALETTE[6], alpha=0.25, linewidth=0)
        pack.set_aspect("auto")
        names = ("name_luna", "name_linformer", "name_best")
        figures.curves(
            np.arange(1, cls._count() + 1),
            {cls._word(name): row for name, row in zip(names, frame["errors"], strict=True)},
            xlabel=cls._word("chart_x"),
            ylabel=cls._word("chart"),
            logx=True,
            logy=True,
            ax=chart,
        )
        chart.set_ylim(_LOWEST, _HIGHEST)
        mean = float(frame["mean"][0])
        _stills.level(chart, mean, label=cls._word("name_mean"))
        _stills.marker(chart, slots)
        now = dict(zip(METHODS, frame["errors"][:, slots - 1], strict=True))
        numbers = {"luna": now["luna"], "linformer": now["linformer"], "mean": mean}
        said = cls._said("still", **{name: Rounded(float(x), 2) for name, x in numbers.items()})
        _stills.note(chart, said)
        _stills.ticks(chart, (1, 2, 4, 8, 16, 32))
        chart.legend().remove()
        lines = [cls._word(name) for name in (*names, "name_mean")]
        colours = (*figures.PALETTE[:3], figures.PALETTE[6])
        _stills.legend(chart, dict(zip(lines, colours, strict=True)), lines=True)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        errors = 100 * frame["errors"][:, controls["slots"] - 1]
        return "alt", {
            "head": controls["head"],
            "n": cls._count(),
            "slots": controls["slots"],
            **{name: Rounded(float(x), 0) for name, x in zip(METHODS, errors, strict=True)},
            "mean": Rounded(100 * float(frame["mean"][0]), 0),
        }
