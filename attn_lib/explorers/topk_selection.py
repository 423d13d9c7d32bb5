"""Top-k attention on text: which keys survive, what weight they hold, how far the output moves.

Queries, keys and values are those of a sentence encoder on *Alice's Adventures in Wonderland*
(`attn_lib.data`). The selection is that of Zhao et al., *Explicit Sparse Transformer: Concentrated
Attention Through Explicit Selection*, 2019, arXiv:1912.11637.
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
from attn_lib.explorers._heads import HEADS, LAYERS, mean_error
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._text import TextExplorer, of_layer_and_head, plain_tokens, shown_tokens
from attn_lib.explorers.words import STRIDE_WORDS, Message, Plural, Rounded
from attn_lib.mechanisms.explicit_sparse import explicit_sparse_attention, explicit_sparse_weights
from attn_lib.mechanisms.softmax import softmax_attention, softmax_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "STEP", "TopKSelection"]

LENGTH = 64
STEP = 1 / 16


class TopKSelection(TextExplorer):
    """Explicit Sparse Transformer on the first 64 tokens of a passage.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    topk : int
        Keys that a query keeps, from 1 to 64.
    layer : int
        From 0 to 5.
    head : int
        From 0 to 11. The book carries 9 of the 72 heads, the kernel all of them.

    Notes
    -----
    `compute` returns, with as many rows and columns as a shorter text has tokens:

    ``weights`` (64, 64) float32
        The weights of full attention, a row a query.
    ``order`` (64, 64) uint8
        The keys of each query from the largest score to the smallest; the first `topk` are kept.
    ``scores`` (64, 64) float32
        Their scores in that order, to the nearest multiple of `STEP`.
    ``mass`` (64,) float32
        The share of the full weights that the kept keys hold.
    ``moved`` (64,) float32
        Distance between the outputs with and without the selection, over the length of the latter.
    ``head_moved`` (1,) float32
        The same of all outputs together: Frobenius norms.
    ``mean``, ``head_mean`` (64,), (1,) float32
        The two distances of the mean of all values, which needs no attention at all.
    ``chosen_by`` (64,) uint8
        How many queries keep a key. One that nobody keeps gets no gradient as a key or value here.
    """

    topk = Range(
        8,
        label="Keys kept, κ",
        grid=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
        low=1,
        high=LENGTH,
        step=1,
        play=True,
        help="each query keeps the κ keys with the largest scores",
    )
    layer = Choice(
        2,
        label="Layer",
        options={layer: str(layer) for layer in range(LAYERS)},
        grid=(0, 2, 5),
    )
    head = Choice(
        9,
        label="Head",
        options={head: str(head) for head in range(HEADS)},
        grid=(2, 8, 9),
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "weights": "sqrt8",
        "order": "uint8",
        "scores": "float16",
        "mass": "float16",
        "moved": "float16",
        "head_moved": "float16",
        "mean": "float16",
        "head_mean": "float16",
        "chosen_by": "uint8",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **STRIDE_WORDS,
        "row_name": "{i} {token}",
        "kept_head": "Keys it keeps",
        "weights_head": "Largest weights",
        "text": "The passage; the marked token is the query, faint ones are dropped",
        "text_help": "Point at, tap, or move with the arrow keys to a token or a pair.",
        "matrix": "Full attention weights: query (row), key (column), dropped in another hue",
        "query": "query ↓",
        "key": "key →",
        "ramp": "weight",
        "dropped": "weight that is dropped",
        "unread": "key that nobody keeps",
        "mass": "Weight kept, mean of all queries",
        "mass_value": "{mass} %",
        "moved": "Output moves by",
        "moved_value": "{moved} % of its length",
        "mean": "With the mean of the values for all, by",
        "pairs": "Pairs kept, of n² = {cells}",
        "pairs_value": "{pairs}",
        "nobody": "Keys that nobody keeps",
        "nobody_value": "{count} of {n}",
        "bars": "Scores of “{token}”, sorted",
        "bars_label": "Scores of the query from the largest to the smallest, with the threshold",
        "bars_note": "threshold {threshold}: {topk} of {n} keys reach it",
        "bar": "“{key}”, rank {rank}, score {score}",
        "row": "“{token}” ({i}) keeps {top} … The keys kept hold {mass} of its weight; its output"
        " moves by {moved} % of its length. The mean of all values would move it by {mean} %.",
        "top": "“{token}” {weight}",
        "kept": "“{token}” ({i}) keeps “{key}” ({j}): rank {rank}, score {score}, weight {weight}"
        " before the others were dropped.",
        "lost": "“{token}” ({i}) drops “{key}” ({j}): rank {rank}, score {score} below the"
        " threshold {threshold}. Its weight of {weight} goes to the keys kept, and it gets no"
        " gradient from this query.",
        "still": "Weight kept: {mass} %. The output moves by {moved} % of its length; with the mean"
        " of the values, by {mean} %.",
        "still_scores": "Scores of the marked query, sorted",
        "still_rank": "rank",
        "still_threshold": "threshold",
        "change": "Weight of the keys that are kept: {mass} %, before {was_mass} %. The output"
        " moves by {moved} % of its length, before {was_moved} %.",
        "alt": Plural(
            "topk",
            "Layer {layer}, head {head}: each of {n} queries keeps its best key. These keys hold"
            " {mass} % of the weight, and the output moves by {moved} % of its length; the mean of"
            " the values would move it by {mean} %.",
            "Layer {layer}, head {head}: each of {n} queries keeps its {topk} best keys. They hold"
            " {mass} % of the weight, and the output moves by {moved} % of its length; the mean of"
            " the values would move it by {mean} %.",
        ),
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        topk = cls.topk.up_to(cls._count(passage))
        return {"topk": topk, **of_layer_and_head(cls.layer, cls.head, passage)}

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        n = cls._count()
        return {
            "n": n,
            "cells": n**2,
            "tokens": shown_tokens(cls._pieces()),
            "start": cls._start("mouse")[0],
        }

    @classmethod
    def _frame(cls, topk: int, layer: int, head: int) -> dict[str, NDArray[Any]]:
        n = cls._count()
        q, k, v = (x[:, :, :n].double() for x in cls._passage().head(layer, head))
        full = softmax_weights(q, k)
        chosen = explicit_sparse_weights(q, k, topk=topk) > 0
        order, scores = _ranked(q[0, 0], k[0, 0])
        exact = softmax_attention(q, k, v)
        miss = explicit_sparse_attention(q, k, v, topk=topk) - exact
        moved = miss.norm(dim=-1) / exact.norm(dim=-1)
        even = v.mean(dim=-2, keepdim=True) - exact
        return {
            "weights": full[0, 0].numpy().clip(0, 1).astype(np.float32),
            "order": order,
            "scores": scores,
            "mass": (full * chosen).sum(dim=-1)[0, 0].numpy().astype(np.float32),
            "moved": moved[0, 0].numpy().astype(np.float32),
            "head_moved": (miss.norm() / exact.norm()).reshape(1).numpy().astype(np.float32),
            "mean": (even.norm(dim=-1) / exact.norm(dim=-1))[0, 0].numpy().astype(np.float32),
            "head_mean": np.array([mean_error(exact, v)], dtype=np.float32),
            "chosen_by": chosen[0, 0].sum(dim=0).numpy().astype(np.uint8),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        topk, query = controls["topk"], cls._facts()["start"]
        dropped = np.ones_like(frame["weights"], dtype=bool)
        np.put_along_axis(dropped, frame["order"][:, :topk].astype(int), False, 1)
        figure = Figure(figsize=(7.2, 9.2), layout="constrained")
        upper, lower = figure.subplots(2, 1, height_ratios=(5, 1))
        tokens = plain_tokens(cls._pieces())
        ax = figures.matrix(frame["weights"], tokens=tokens, dropped=dropped, ax=upper)
        figures.point(ax, query)
        blue, _, _, pink, *_, grey = figures.PALETTE
        for key in np.flatnonzero(frame["chosen_by"] == 0):
            ax.axvspan(key - 0.5, key + 0.5, color=grey, alpha=0.25, linewidth=0)
        numbers = {"mass": frame["mass"].mean(), "moved": frame["head_moved"][0]}
        numbers["mean"] = frame["head_mean"][0]
        shown = {name: Rounded(100 * float(x), 0) for name, x in numbers.items()}
        _stills.note(ax, cls._said("still", **shown))
        _stills.scale(ax, label=cls._word("ramp"))
        scores = frame["scores"][query]
        _stills.bars(
            lower,
            scores,
            [blue if rank < topk else pink for rank in range(len(scores))],
            base=float(np.floor(frame["scores"].min())),
            xlabel=cls._word("still_rank"),
            title=cls._word("still_scores"),
        )
        _stills.level(lower, float(scores[topk - 1]), label=cls._word("still_threshold"))
        marks = {cls._word("ramp"): blue, cls._word("dropped"): pink, cls._word("unread"): grey}
        _stills.legend(ax, marks)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        names = ("layer", "head", "topk")
        return "alt", {
            **{name: controls[name] for name in names},
            "n": cls._count(),
            "mass": Rounded(100 * float(frame["mass"].mean()), 0),
            "moved": Rounded(100 * float(frame["head_moved"][0]), 0),
            "mean": Rounded(100 * float(frame["head_mean"][0]), 0),
        }


def _ranked(q: Tensor, k: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the keys of each query by falling score, earlier ones first, and their scores."""
    scores = (q.shape[-1] ** -0.5 * q) @ k.mT
    ranked, order = torch.sort(scores, dim=-1, descending=True, stable=True)
    rounded = (ranked / STEP).round() * STEP
    return order.numpy().astype(np.uint8), rounded.numpy().astype(np.float32)
