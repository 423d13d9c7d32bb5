"""Reformer attention in four pictures: all pairs, sorted by bucket, cut into chunks, and computed.

The pictures are those of Figure 2 of Nikita Kitaev, Łukasz Kaiser, Anselm Levskaya. *Reformer: The
Efficient Transformer.* ICLR 2020, arXiv:2001.04451, on the queries of a sentence encoder
(`attn_lib.data`), which serve as queries and as keys.
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
from attn_lib.explorers._heads import mean_error, shaded
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._text import TextExplorer, of_head, remembered, shown_tokens
from attn_lib.explorers.words import STRETCH_WORDS, Message, Plural, Rounded
from attn_lib.mechanisms.reformer import reformer_buckets, reformer_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "ROUNDS", "LSHBuckets"]

LENGTH = 64
ROUNDS = 8
_CHOOSING = ("sorted", "chunked", "computed")  # pictures of some of the pairs, in arrays' order


@remembered(512)
def _rounds(passage: Passage, head: str, bucket_size: int) -> dict[str, NDArray[Any]]:
    """Return what the hashes of the eight rounds decide, and what each lets be computed."""
    qk, v = _head(passage, head)
    n = qk.shape[2]
    weights = reformer_weights(qk, bucket_size=n)[0, 0].numpy()
    # A new generator always starts in the same state.
    options = {"bucket_size": bucket_size, "num_hashes": ROUNDS}
    found = reformer_buckets(qk, generator=torch.Generator(), **options)
    buckets = found[0, 0].numpy()
    order = buckets.argsort(axis=-1, kind="stable")
    place = order.argsort(axis=-1)
    chunk = place // bucket_size
    exact = torch.from_numpy(weights) @ v[0, 0]
    others = ~np.eye(n, dtype=bool)
    together = (buckets[:, :, None] == buckets[:, None, :]) & others
    back = chunk[:, :, None] - chunk[:, None, :]
    seen = ((back == 0) | (back == 1)) & others
    union = np.logical_or.accumulate(seen, axis=0)
    share = 100 / n
    return {
        "weights": weights.clip(0, 1).astype(np.float32),
        "bucket": buckets.astype(np.uint8),
        "place": place.astype(np.uint8),
        "chunk": chunk.astype(np.uint8),
        "caught": np.stack(
            [share * (weights * pairs).sum((1, 2)) for pairs in (together, seen, union)]
        ).astype(np.float32),
        "pairs": np.stack([pairs.sum((1, 2)) for pairs in (together, seen, union)]).astype(
            np.int32
        ),
        "curves": np.stack(
            [share * (weights * union).sum((1, 2)), 100 * union.sum((1, 2)) / n**2]
        ).astype(np.float32),
        "errors": np.array(
            [_errors(weights, pairs, v[0, 0].numpy()) for pairs in (together, seen, union)],
            dtype=np.float32,
        ),
        "mean": np.array([mean_error(exact, v[0, 0])], dtype=np.float32),
    }


def _head(passage: Passage, head: str) -> tuple[Tensor, Tensor]:
    """Return the vectors that serve as queries and as keys, and the values."""
    layer, number = map(int, head.split("."))
    q, _, v = (x[:, :, :LENGTH].double() for x in passage.head(layer, number))
    return q, v


def _errors(weights: NDArray[Any], allowed: NDArray[np.bool_], v: NDArray[Any]) -> list[float]:
    """Return the error of the output, over its size, for each of some sets of pairs.

    Softmax over a set is the full softmax's weights there, over their sum; a token that sees no
    other one reads itself.
    """
    exact = weights @ v
    found = []
    for pairs in allowed:
        kept = weights * pairs + np.diag(~pairs.any(axis=1))
        near = kept / kept.sum(axis=1, keepdims=True) @ v
        found.append(float(np.linalg.norm(near - exact) / np.linalg.norm(exact)))
    return found


class LSHBuckets(TextExplorer):
    """Reformer attention on the first 64 tokens of a passage, step by step.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    picture : {"full", "sorted", "chunked", "computed"}
        All pairs; in the order of a round's buckets, with the pairs that share one; in the same
        order, with the pairs that chunks let through; and the union of all rounds so far.
    rounds : int
        From 1 to 8. The two pictures in the middle show the last of them.
    bucket_size : int
        Length of a chunk, from 1 to 64; there are 64 / bucket_size buckets, or one more.
    head : str
        Layer and head, as in "2.8". The book carries 4 of the 72 heads, the kernel all of them.

    Notes
    -----
    `compute` returns, for the eight rounds whatever `rounds` is, and with as many rows and columns
    as a shorter text has tokens:

    ``weights`` (64, 64) float32
        Dense shared-QK attention: softmax of q_i · q_j / ‖q_j‖ over j ≠ i.
    ``bucket``, ``place``, ``chunk`` (8, 64) uint8
        The bucket of each token, its place in the sorted order, and the chunk of that place.
    ``caught``, ``pairs`` (3, 8) float32, int32
        Of the pairs that share the round's bucket, of those that its chunks let through, and of the
        union of all rounds up to it: the weight they hold, in percent, and their number. Chunks let
        through a token itself only where it sees nothing else, which is left out.
    ``curves`` (2, 8) float32
        Weight and pairs of the union, in percent.
    ``errors`` (3, 8) float32
        Error of the output over its size, with softmax over these pairs alone, in the order of
        ``caught``.
    ``mean`` (1,) float32
        The error of giving every query the mean of all values.
    """

    picture = Choice(
        "full",
        label="Picture",
        options={
            "full": "1 · every pair",
            "sorted": "2 · sorted by bucket",
            "chunked": "3 · cut into chunks",
            "computed": "4 · what is computed",
        },
    )
    rounds = Range(
        1,
        label="Rounds",
        grid=range(1, ROUNDS + 1),
        low=1,
        high=ROUNDS,
        step=1,
        play=True,
        help="hashes with a rotation of their own; pictures 2 and 3 show the last one",
    )
    bucket_size = Range(
        8,
        label="Chunk length m",
        grid=(4, 8, 16, 32, 64),
        low=1,
        high=LENGTH,
        step=1,
        help="tokens in a chunk of the sorted order; there are n / m buckets",
    )
    head = Choice(
        "0.2",
        label="Layer.head",
        options={f"{a}.{b}": f"{a}.{b}" for a in range(6) for b in range(12)},
        grid=("0.2", "2.8", "3.8", "5.0"),
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "weights": "sqrt8",
        "bucket": "uint8",
        "place": "uint8",
        "chunk": "uint8",
        "caught": "float16",
        "pairs": "int32",
        "curves": "float16",
        "errors": "float16",
        "mean": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **STRETCH_WORDS,
        "row_name": "{i} {token}",
        "met_head": "Keys it meets",
        "weights_head": "Largest weights",
        "text": "The passage; the marked token is the query, faint ones are not compared with it",
        "text_help": "Point at, tap, or move with the arrow keys to a token or a pair.",
        "matrix": "Attention weights: query (row), key (column), what is not computed in another"
        " hue",
        "query": "query ↓",
        "key": "key →",
        "query_sorted": "query, sorted ↓",
        "key_sorted": "key, sorted →",
        "ramp": "weight",
        "dropped": "weight outside",
        "bucket": "tokens of one bucket",
        "chunk": "chunk",
        "still_boxes": "2: tokens of one bucket; 3: a chunk and what it sees",
        "caught": "Attention weight caught",
        "caught_value": "{caught} %",
        "pairs": "Pairs, of n² = {cells}",
        "pairs_value": "{pairs} ({share} %)",
        "error": "Error of the output, over its size",
        "mean": "Error with the mean of the values for all",
        "shown": "Shown",
        "shown_full": "all pairs",
        "shown_sorted": "round {r}: {count} buckets used",
        "shown_chunked": "round {r}: {count} chunks",
        "shown_computed": Plural("r", "1 round", "{r} rounds together"),
        "chart": "Caught by so many rounds, and pairs spent, in percent",
        "chart_x": "rounds",
        "chart_now": Plural(
            "r",
            "1 round: {caught} % of the weight, {share} % of the pairs",
            "{r} rounds: {caught} % of the weight, {share} % of the pairs",
        ),
        "curve_weight": "weight caught",
        "curve_pairs": "pairs spent",
        "still": "Caught: {caught} % of the weight with {share} % of the pairs. The output errs by"
        " {error} of its size, the mean of the values by {mean}.",
        "row": Plural(
            "r",
            "“{token}” ({i}), round {r}: bucket {bucket}, chunk {chunk}. It is compared with"
            " {count} keys in 1 round so far, which hold {mass} % of its weight.",
            "“{token}” ({i}), round {r}: bucket {bucket}, chunk {chunk}. It is compared with"
            " {count} keys in {r} rounds so far, which hold {mass} % of its weight.",
        ),
        "pair": "“{token}” ({i}) and “{key}” ({j}), weight {weight}: buckets {a} and {b}, chunks"
        " {c} and {d} in round {r}; compared in {times} of {r}, and counted once.",
        "pair_once": "“{token}” ({i}) and “{key}” ({j}), weight {weight}: buckets {a} and {b},"
        " chunks {c} and {d} in round {r}; compared in 1 of {r}.",
        "pair_never": Plural(
            "r",
            "“{token}” ({i}) and “{key}” ({j}), weight {weight}: buckets {a} and {b}, chunks {c}"
            " and {d} in round {r}; never compared in 1 round.",
            "“{token}” ({i}) and “{key}” ({j}), weight {weight}: buckets {a} and {b}, chunks {c}"
            " and {d} in round {r}; never compared in {r} rounds.",
        ),
        "itself": "“{token}” ({i}) and itself: not counted while any other key is in sight.",
        "change": "Weight caught: {caught} %, before {was_caught} %. Pairs in the picture: {share}"
        " %, before {was_share} %. Error of the output: {error} % of its size, before {was_error}"
        " %.",
        "alt_shown": Plural(
            "r",
            "Picture {picture}. Layer.head {head}, chunks of {size} tokens, one round of hashing:"
            " the pairs in the picture are {share} % of all, and hold {caught} % of the weight. The"
            " output errs by {error} % of its size, the mean of the values by {mean} %.",
            "Picture {picture}. Layer.head {head}, chunks of {size} tokens, {r} rounds of hashing:"
            " the pairs in the picture are {share} % of all, and hold {caught} % of the weight. The"
            " output errs by {error} % of its size, the mean of the values by {mean} %.",
        ),
        "alt": Plural(
            "r",
            "Layer.head {head}, chunks of {size} tokens: four pictures of the attention matrix. One"
            " round of hashing catches {caught} % of the weight with {share} % of the pairs. The"
            " output errs by {error} % of its size, the mean of the values by {mean} %.",
            "Layer.head {head}, chunks of {size} tokens: four pictures of the attention matrix. {r}"
            " rounds of hashing catch {caught} % of the weight with {share} % of the pairs. The"
            " output errs by {error} % of its size, the mean of the values by {mean} %.",
        ),
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        size = cls.bucket_size.up_to(cls._count(passage))
        return {"bucket_size": size, "head": of_head(cls.head, passage)}

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
    def _frame(
        cls, picture: str, rounds: int, bucket_size: int, head: str
    ) -> dict[str, NDArray[Any]]:
        found = _rounds(cls._passage(), head, bucket_size)
        return {name: array.copy() for name, array in found.items()}

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        last, size, n = controls["rounds"] - 1, controls["bucket_size"], cls._count()
        order = frame["place"][last].argsort()
        bucket, chunk = frame["bucket"][last][order], frame["chunk"]
        back = chunk[: last + 1, :, None].astype(int) - chunk[: last + 1, None, :]
        seen = ((back == 0) | (back == 1)) & ~np.eye(n, dtype=bool)
        weights = shaded(torch.from_numpy(frame["weights"]))  # fewer shades, fewer bytes
        ranked = weights[np.ix_(order, order)]
        pictures = [
            (weights, np.ones_like(seen[0])),
            (ranked, bucket[:, None] == bucket),
            (ranked, seen[last][np.ix_(order, order)]),
            (weights, seen.any(axis=0)),
        ]
        query, place = cls._facts()["start"], frame["place"][last]
        figure = Figure(figsize=(7.2, 8.0), layout="constrained")
        titles = cls.picture.options.values()
        blue, _, _, pink, *_, grey = figures.PALETTE
        for k, ((shown, kept), title) in enumerate(zip(pictures, titles, strict=True)):
            ax = figure.add_subplot(2, 2, k + 1)
            is_sorted = k in (1, 2)
            names = ("query_sorted", "key_sorted") if is_sorted else ("query", "key")
            labels: dict[str, Any] = dict(
                zip(("ylabel", "xlabel"), map(cls._word, names), strict=True)
            )
            figures.matrix(shown, dropped=~kept, title=title, **labels, ax=ax)
            figures.point(ax, place[query] if is_sorted else query)
        starts: list[int] = np.flatnonzero(np.diff(bucket, prepend=-1)).tolist()
        for start, end in zip(starts, [*starts[1:], n], strict=True):
            _stills.outline(figure.axes[1], start, start, end - start, end - start)
        for start in range(0, n, size):
            before = max(0, start - size)
            end = min(n, start + size)
            _stills.outline(figure.axes[2], start, before, end - start, end - before)
        caught, share = frame["caught"][2, last], frame["curves"][1, last]
        errors = {"error": frame["errors"][2, last], "mean": frame["mean"][0]}
        numbers = {"caught": Rounded(float(caught), 0), "share": Rounded(float(share), 0)}
        numbers |= {name: Rounded(float(x), 2) for name, x in errors.items()}
        _stills.note(figure.axes[0], cls._said("still", **numbers))
        marks = {cls._word("ramp"): blue, cls._word("dropped"): pink}
        marks |= {cls._word("still_boxes"): grey}
        _stills.legend(figure.axes[0], marks)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        last = controls["rounds"] - 1
        return "alt", {
            "head": controls["head"],
            "size": controls["bucket_size"],
            "r": controls["rounds"],
            "caught": Rounded(float(frame["caught"][2, last]), 0),
            "share": Rounded(float(frame["curves"][1, last]), 0),
            "error": Rounded(100 * float(frame["errors"][2, last]), 0),
            "mean": Rounded(100 * float(frame["mean"][0]), 0),
        }

    @classmethod
    def _summary(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        _, said = cls._alt(frame, **controls)
        picture, last = controls["picture"], controls["rounds"] - 1
        caught, share, error = 100.0, 100.0, 0.0
        if picture in _CHOOSING:
            kind = _CHOOSING.index(picture)
            caught = float(frame["caught"][kind, last])
            share = 100 * int(frame["pairs"][kind, last]) / cls._facts()["cells"]
            error = 100 * float(frame["errors"][kind, last])
        shown = {"caught": caught, "share": share, "error": error}
        numbers = {name: Rounded(x, 0) for name, x in shown.items()}
        return "alt_shown", {"picture": cls.picture.options[picture], **said, **numbers}
