"""What the landing page's small pictures show: a pure function each, of the library's functions.

The words are 56 tokens of the passage that `attn_lib.data` carries, with the queries, keys and
values that a trained model has at them; punctuation counts as a word. Gradients and measured times
are those of the explorers of their chapters.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import attn_lib
from attn_lib import explorers, masks
from attn_lib.data import load_passage
from attn_lib.explorers.luna_packing import centres
from attn_lib.explorers.mechanism_costs import MechanismCosts

__all__ = [
    "ABSENT",
    "CARDS",
    "FIRST",
    "HEIGHT",
    "LENGTH",
    "Card",
    "Chapter",
    "Frame",
    "Number",
    "Picture",
    "Said",
    "picture",
]

FIRST, LENGTH = 46, 56
"""The words of the pictures: from “but do cats eat bats” on."""
SHADES, SIGNED = 6, 3
"""Steps of a weight's shade, and of the shade of a number below zero."""
BELOW, FAINT = SHADES, SHADES + SIGNED + 1
"""Codes of a cell: 0 is empty, then come shades of the ink and of the accent, and what is cut."""
BRIGHT = 0.998
"""This share of a head's weights lies below the darkest shade, where most are small."""
HEIGHT, ABSENT = 200, 255
"""Height of a chart in its own units, and what stands for no point."""

Kind = Literal["cells", "dots", "lines", "words"]
Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Number:
    """A number as a sentence shows it: so many digits after the point."""

    value: float
    digits: int = 0


@dataclass(frozen=True)
class Chapter:
    """A chapter, which a sentence calls by its title."""

    name: str


Said = str | Number | Chapter


@dataclass(frozen=True)
class Picture:
    """What a knob goes through.

    Attributes
    ----------
    frames : tuple of ndarray of uint8
        One a place of the knob. Cells are a matrix of codes; dots are rows of x, y and code; words
        are shades, and the place of the query; of lines, `layers` says more.
    said : tuple of dict
        What fills the holes of the sentence, one a frame.
    layers : tuple of (str, int)
        What the numbers of a chart are, one part after another: "bars" and their heights, a "line",
        its style and the heights of its points, or a "mark" at a place from left to right.
    texts : tuple of str
        The words themselves, where words are shown.
    """

    frames: tuple[Frame, ...]
    said: tuple[dict[str, Said], ...]
    layers: tuple[tuple[str, int], ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """A picture of the gallery.

    Attributes
    ----------
    chapter : str
        The name of its chapter's file.
    kind : {"cells", "dots", "lines", "words"}
    start : int
        The frame that is shown first.
    compute : callable
        Returns the picture; it is pure.
    """

    chapter: str
    kind: Kind
    start: int
    compute: Callable[[], Picture]


# What the pictures share


@functools.cache
def _tokens() -> tuple[str, ...]:
    """Return the words; a piece that goes on a word begins with "##"."""
    return load_passage(128).tokens[FIRST : FIRST + LENGTH]


def _head(layer: int, head: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a captured head's q, k and v at the words of the pictures."""
    q, k, v = load_passage(128).head(layer, head)
    return tuple(x[:, :, FIRST : FIRST + LENGTH].double() for x in (q, k, v))  # type: ignore[return-value]


def _spoken() -> list[int]:
    """Return the places of the words, those of punctuation left out."""
    return [place for place, token in enumerate(_tokens()) if token.strip("#").isalpha()]


def _shades(weights: Tensor, top: float = 1.0, step: int = 1) -> Frame:
    """Return the shade of every weight: its square root in steps, up to `top`."""
    steps = torch.round((weights / top).clamp(0, 1).sqrt() * SHADES / step)
    return (step * steps).byte().numpy()


def _error(out: Tensor, exact: Tensor) -> float:
    """Return the distance from the exact output, in percent of its size."""
    return 100 * float((out - exact).norm() / exact.norm())


def _heights(values: Sequence[float] | NDArray[Any], low: float, high: float) -> Frame:
    """Return values as heights in a chart from `low` at its foot to `high`."""
    share = (np.asarray(values, dtype=float) - low) / (high - low)
    return np.rint(HEIGHT * share.clip(0, 1)).astype(np.uint8)


def _across(place: int, count: int) -> int:
    """Return where in a chart one of so many places stands, from left to right."""
    return round(HEIGHT * place / (count - 1))


def _picture(
    pairs: Iterator[tuple[Frame, dict[str, Said]]],
    layers: Sequence[tuple[str, int]] = (),
    texts: Sequence[str] = (),
) -> Picture:
    frames, said = zip(*pairs, strict=True)
    return Picture(frames, said, tuple(layers), tuple(texts))


# The pictures


def softmax_words() -> Picture:
    """Return what each word reads in a head that looks for the same word."""
    q, k, _ = _head(2, 9)
    weights = attn_lib.softmax_weights(q, k)[0, 0]
    tokens = _tokens()

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for i in _spoken():
            row = weights[i]
            j = int(row.argmax())
            yield (
                np.append(_shades(row), np.uint8(i)),
                {"query": tokens[i], "key": tokens[j], "share": Number(100 * float(row[j]))},
            )

    return _picture(each(), texts=tokens)


def strided_pattern() -> Picture:
    """Return the two sets of the strided pattern, causal, at every stride."""

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for stride in range(1, 25):
            seen, local, far = (
                masks.dense(masks.intersect(masks.causal(), mask), LENGTH, LENGTH)[0, 0].numpy()
                for mask in (
                    masks.full(),
                    masks.strided_local(stride),
                    masks.strided_summary(stride),
                )
            )
            codes = np.where(local, SHADES, np.where(far, BELOW + SIGNED, np.where(seen, FAINT, 0)))
            read = int((local | far)[-1].sum())
            yield (
                codes.astype(np.uint8),
                {"stride": Number(stride), "read": Number(read), "words": Number(LENGTH)},
            )

    return _picture(each())


def topk_pattern() -> Picture:
    """Return the weights that survive where every query keeps its k largest scores."""
    q, k, _ = _head(3, 1)
    full = attn_lib.softmax_weights(q, k)[0, 0]
    top = float(full.quantile(BRIGHT))

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for kept in (*range(1, 17), 20, 24, 28, 32, 40, 48, LENGTH):
            weights = attn_lib.explicit_sparse_weights(q, k, topk=kept)[0, 0]
            survives = weights > 0
            shades = _shades(full, top, 2).astype(int)
            codes = np.where(survives, np.maximum(shades, 2), np.where(shades > 0, FAINT, 0))
            share = 100 * float((full * survives).sum() / LENGTH)
            yield codes.astype(np.uint8), {"kept": Number(kept), "share": Number(share)}

    return _picture(each())


def window_pattern() -> Picture:
    """Return a window and the global words “cats” and “alice”, at every width."""
    tokens = _tokens()
    chosen = (tokens.index("cats"), tokens.index("alice"))
    everywhere = masks.dense(masks.global_tokens(chosen), LENGTH, LENGTH)[0, 0].numpy()

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for window in range(25):
            near = masks.dense(masks.sliding_window(window), LENGTH, LENGTH)[0, 0].numpy()
            codes = np.where(near, SHADES, np.where(everywhere, BELOW + SIGNED, 0))
            share = 100 * float((near | everywhere).mean())
            yield (
                codes.astype(np.uint8),
                {"window": Number(window), "share": Number(share)},
            )

    return _picture(each())


def hashed_keys() -> Picture:
    """Return a head's queries on their two main axes, and whom one word meets in its buckets."""
    qk = _head(2, 9)[0]
    tokens = _tokens()
    chosen = tokens.index("cats")
    rounds = 8
    # A new generator always starts in the same state.
    buckets = attn_lib.reformer_buckets(
        qk, bucket_size=LENGTH // 8, num_hashes=rounds, generator=torch.Generator()
    )[0, 0]
    unit = torch.nn.functional.normalize(qk[0, 0], dim=-1)
    axes = torch.linalg.svd(unit - unit.mean(0), full_matrices=False)[2][:2]
    axes = axes * axes.sum(dim=-1, keepdim=True).sign()  # the sign is anybody's
    places = ((unit - unit.mean(0)) @ axes.mT).numpy()
    x, y = (_heights(column, column.min(), column.max()) for column in places.T)
    nearest = (unit @ unit[chosen]).argsort(descending=True)
    near = [int(j) for j in nearest if j != chosen][:8]

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for last in range(rounds):
            together = buckets[: last + 1] == buckets[: last + 1, chosen, None]
            met = together.any(dim=0).numpy()
            code = met.astype(np.uint8)
            code[chosen] = 2
            found = int(met[near].sum())
            yield (
                np.stack([x, y, code], axis=1).astype(np.uint8),
                {
                    "rounds": Number(last + 1),
                    "query": tokens[chosen],
                    "near": Number(found),
                    "nearest": Number(len(near)),
                    "far": Number(int(met.sum()) - 1 - found),
                    "others": Number(LENGTH - 1 - len(near)),
                },
            )

    return _picture(each())


RANKS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 28, 40, LENGTH)


def few_positions() -> Picture:
    """Return Linformer's weights where the means of so many blocks of positions stand for all."""
    q, k, v = _head(3, 2)
    exact = attn_lib.softmax_attention(q, k, v)
    top = float(attn_lib.softmax_weights(q, k).quantile(BRIGHT))

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for rank in RANKS:
            block = torch.arange(LENGTH) * rank // LENGTH
            member = torch.nn.functional.one_hot(block, rank).T.double()
            means = member / member.sum(dim=-1, keepdim=True)
            options = {"key_projection": means, "value_projection": means}
            weights = attn_lib.linformer_weights(q, k, **options)[0, 0]
            out = attn_lib.linformer_attention(q, k, v, **options)
            yield (
                _shades(weights, top),
                {
                    "rank": Number(rank),
                    "words": Number(LENGTH),
                    "error": Number(_error(out, exact)),
                },
            )

    return _picture(each())


def random_features() -> Picture:
    """Return the weights that the Performer's features imply, with one draw a number of them."""
    q, k, v = _head(4, 0)
    exact = attn_lib.softmax_attention(q, k, v)
    top = float(attn_lib.softmax_weights(q, k).quantile(BRIGHT))

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for features in (4, 16, 64, 256, 1024, 4096, 16384):
            drawn = attn_lib.draw_projection(
                features, q.shape[-1], generator=torch.Generator(), dtype=torch.float64
            )
            weights = attn_lib.performer_weights(q, k, projection=drawn)[0, 0]
            out = attn_lib.performer_attention(q, k, v, projection=drawn)
            yield (
                _shades(weights, top, 2),
                {"features": Number(features), "error": Number(_error(out, exact))},
            )

    return _picture(each())


def packed_words() -> Picture:
    """Return what each of Luna's slots is made of; P is four times the centres of the keys."""
    q, k, v = _head(2, 9)
    exact = attn_lib.softmax_attention(q, k, v)

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for slots in RANKS:
            p = 4 * centres(k[0, 0], slots)[None, None]
            packing = attn_lib.softmax_weights(p, k)[0, 0]
            order = packing.argmax(dim=-1).argsort(stable=True)
            keys, values = (attn_lib.luna_pack(p, k, x) for x in (k, v))
            out = attn_lib.softmax_attention(q, keys, values)
            yield (
                _shades(packing[order]),
                {
                    "slots": Number(slots),
                    "words": Number(LENGTH),
                    "error": Number(_error(out, exact)),
                },
            )

    return _picture(each())


def global_templates() -> Picture:
    """Return the map over the words that each feature makes, for all queries alike."""
    q, k, _ = _head(2, 9)
    _, templates = attn_lib.mechanisms.efficient.efficient_factors(q, k)
    maps = templates[0, 0].T
    tokens = _tokens()

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for feature, row in enumerate(maps):
            bars = _heights(row.numpy(), 0, float(row.max()))
            yield (
                bars,
                {
                    "feature": Number(feature + 1),
                    "features": Number(len(maps)),
                    "word": tokens[int(row.argmax())],
                },
            )

    return _picture(each(), [("bars", LENGTH)])


def running_state() -> Picture:
    """Return the sum that a causal Linear Transformer keeps, word after word."""
    q, k, v = _head(2, 9)
    width = q.shape[-1]
    state = attn_lib.linear_transformer_init_state(1, 1, width, width, dtype=torch.float64)
    sums = []
    for i in range(LENGTH):
        state, _ = attn_lib.linear_transformer_step(state, *(x[:, :, i : i + 1] for x in (q, k, v)))
        sums.append(state.values[0, 0])
    top = sums[-1].abs().max()

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for read in range(1, LENGTH + 1, 5):
            entries = sums[read - 1] / top
            ink = torch.round(entries.clamp(0, 1).sqrt() * SHADES)
            accent = torch.round((-entries).clamp(0, 1).sqrt() * SIGNED)
            codes = torch.where(accent > 0, BELOW + accent, ink)
            yield (
                codes.byte().numpy(),
                {
                    "read": Number(read),
                    "state": Number(width * width + width),
                    "cache": Number(2 * width * read),
                },
            )

    return _picture(each())


def cosine_weights() -> Picture:
    """Return a query's weights in cosFormer, and the cosine that they are multiplied by."""
    q, k, _ = _head(0, 4)
    weights = attn_lib.cosformer_weights(q, k)[0, 0]
    tokens = _tokens()
    place = torch.arange(LENGTH, dtype=torch.float64)
    factors = torch.cos(math.pi / 2 * (place[:, None] - place) / LENGTH)
    top = float(weights.max())

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for i in _spoken():
            away = max(i, LENGTH - 1 - i)
            far = float(factors[i, 0 if i == away else -1])
            bars = _heights(weights[i].numpy(), 0, top)
            line = _heights(factors[i].numpy(), 0, 1)
            yield (
                np.concatenate([bars, [2], line, [_across(i, LENGTH)]]).astype(np.uint8),
                {"query": tokens[i], "away": Number(away), "factor": Number(far, 2)},
            )

    return _picture(each(), [("bars", LENGTH), ("line", 1 + LENGTH), ("mark", 1)])


DEPTHS = (2, 4, 6, 8, 12, 16, 24)


def gradient_lines() -> Picture:
    """Return the norm of the gradient block by block, with Post-LN and with Pre-LN."""
    low, high = -0.1, 1.0

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for depth in DEPTHS:
            lines, last = [], []
            for style, norm in ((2, "post"), (1, "pre")):
                ladder = explorers.GradientLadder.compute(norm=norm, depth=depth)["ladder"][-1]
                rest = np.full(DEPTHS[-1] - depth, ABSENT)
                lines.append(np.concatenate([[style], _heights(ladder, low, high), rest]))
                last.append(10.0 ** float(ladder[-1]))
            yield (
                np.concatenate(lines).astype(np.uint8),
                {
                    "depth": Number(depth),
                    "post": Number(last[0], 1),
                    "pre": Number(last[1], 1),
                },
            )

    return _picture(each(), [("line", 1 + DEPTHS[-1])] * 2)


CHAPTERS = {
    "full": "00-softmax-attention",
    "strided": "01-sparse-transformer",
    "fixed": "01-sparse-transformer",
    "explicit_sparse": "02-explicit-sparse",
    "longformer": "03-longformer",
    "reformer": "04-reformer",
    "linformer": "05-linformer",
    "performer": "06-performer",
    "luna": "07-luna",
    "efficient": "08-efficient-attention",
    "linear_transformer": "09-linear-transformer",
    "cosformer": "10-cosformer",
}


LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
FIRST_LENGTH = 1024


def measured_costs() -> Picture:
    """Return measured times against the length, and the fastest at each length."""
    states = {n: MechanismCosts.compute(length=n) for n in LENGTHS}
    curves, there = (states[LENGTHS[0]][name] for name in ("curves", "there"))
    low, high = float(curves[there].min()), float(curves[there].max())
    heights = np.where(there, _heights(curves, low, high), ABSENT)
    names = list(CHAPTERS)
    # The first is drawn last, so that it lies above the others.
    drawn = [row for row in reversed(range(len(names))) if there[row].any()]

    def each() -> Iterator[tuple[Frame, dict[str, Said]]]:
        for n, state in states.items():
            fastest = int(state["order"][0])
            digits, power = map(int, state["ratios"][fastest])
            style = {0: 2, fastest: 1}
            lines = [np.append(style.get(row, 0), heights[row]) for row in drawn]
            step = int(math.log2(n / FIRST_LENGTH))
            yield (
                np.concatenate([*lines, [_across(step, curves.shape[1])]]).astype(np.uint8),
                {
                    "length": Number(n),
                    "fastest": Chapter(CHAPTERS[names[fastest]]),
                    "times": Number(1 / (digits * 10.0**power), 1 if n < 4096 else 0),
                },
            )

    return _picture(each(), [*[("line", 1 + curves.shape[1])] * len(drawn), ("mark", 1)])


CARDS = (
    Card("00-softmax-attention", "words", 2, softmax_words),
    Card("01-sparse-transformer", "cells", 7, strided_pattern),
    Card("02-explicit-sparse", "cells", 5, topk_pattern),
    Card("03-longformer", "cells", 3, window_pattern),
    Card("04-reformer", "dots", 1, hashed_keys),
    Card("05-linformer", "cells", 9, few_positions),
    Card("06-performer", "cells", 3, random_features),
    Card("07-luna", "cells", 7, packed_words),
    Card("08-efficient-attention", "lines", 6, global_templates),
    Card("09-linear-transformer", "cells", 5, running_state),
    Card("10-cosformer", "lines", 22, cosine_weights),
    Card("11-layer-norm", "lines", 4, gradient_lines),
    Card("12-which-one", "lines", 3, measured_costs),
)


@functools.cache
def picture(chapter: str) -> Picture:
    """Return the picture of a chapter, computed once."""
    return next(card for card in CARDS if card.chapter == chapter).compute()
