"""What cosFormer asks of a weight, one requirement at a time, on real heads.

The products of `relu` and the cosine are those of Qin et al. 2022 (arXiv:2202.08791); the heads are
those of `attn_lib.data`. Here M may be shorter than the text, which
`attn_lib.mechanisms.cosformer` refuses, so the weights are computed anew.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range, Toggle
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import head_options, mean_error
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._signed import SCALE, signed_code, signed_value
from attn_lib.explorers._text import TextExplorer, of_head, remembered, shown_tokens
from attn_lib.explorers.words import MATRIX_WORDS, Message, Rounded
from attn_lib.mechanisms.softmax import softmax_weights
from attn_lib.numerics.features import normalise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "CosineReweighting"]

LENGTH = 64
_ZERO = "the distance at which the cosine reaches zero"
_STEPS = {True: 2, False: 10}  # without a ReLU there is noise, which needs no fine shades


@remembered(16)
def _head(passage: Passage, layer: int, head: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return q, k and v of the first tokens, and softmax's weights, each in float64."""
    q, k, v = (x[:, :, :LENGTH].double() for x in passage.head(layer, head))
    return q[0, 0], k[0, 0], v[0, 0], softmax_weights(q, k)[0, 0]


def _apart(length: int) -> Tensor:
    """Return how far the tokens of each pair stand apart."""
    place = torch.arange(length)
    return (place[:, None] - place).abs()


def _profile(weights: Tensor) -> Tensor:
    """Return the mean weight at every distance, as its root with its sign."""
    apart = _apart(len(weights))
    means = torch.stack([weights[apart == t].mean() for t in range(len(weights))])
    return means.sign() * means.abs().sqrt()


def _spread(weights: Tensor) -> float:
    """Return over how many tokens a row is spread in effect, mean of the rows; -1 if it is none."""
    if (weights < 0).any():
        return -1.0
    return round(float(torch.special.entr(weights).sum(-1).exp().mean()), 1)


class CosineReweighting(TextExplorer):
    """Softmax's weights of a trained head, and those of q·k with a ReLU, with a cosine, with both.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    head : str
        Layer and head, as "5.5".
    relu : bool
        The first requirement: no negative entry. Without it the products are those of q and k.
    cosine : bool
        The second requirement: near tokens weigh more, by cos(π/2 · (i − j)/M).
    max_len : int
        The paper's M, from 16 to 1024. The library's text has 64 tokens, so that a smaller M makes
        negative factors; for a text of your own it starts at its length.

    Notes
    -----
    `compute` returns, with fewer tokens where the text is shorter:

    ``weights``, ``full`` (64, 64) uint8
        The products divided by their row's sum, and softmax's weights, coded as in
        `LowRankAttention`; the former in coarser steps.
    ``profile``, ``full_profile`` (64,) float32
        Mean of these weights against the distance of query and key: the root of its size, with its
        sign.
    ``factor`` (64,) float32
        What a product is multiplied by at each distance.
    ``errors`` (2,) float32
        Error of the output over its size, at most 60000: of these weights, and of the mean of all
        values for every query.
    ``facts`` (5,) float32
        Percent of entries below zero; rows whose sum is not positive; the largest size of a weight,
        at most 60000; over how many tokens a row is spread, the exponential of its entropy, for the
        products, or -1 where an entry is negative, and for softmax, mean of the rows to one
        decimal.
    """

    head = Choice(
        "2.9",
        label="Layer and head",
        options=head_options(),
        grid=("0.2", "0.4", "2.9", "5.5"),
    )
    relu = Toggle(True, label="ReLU of q and k", help="no entry is negative")
    cosine = Toggle(True, label="Cosine of the distance", help="near tokens weigh more")
    max_len = Range(
        64,
        label="M",
        grid=(32, 48, 64, 128, 256),
        low=16,
        high=1024,
        step=1,
        play=True,
        when={"cosine": [True]},
        help="the distance at which the cosine reaches zero; the text has 64 tokens",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "weights": "uint8",
        "full": "uint8",
        "profile": "float16",
        "full_profile": "float16",
        "factor": "float16",
        "errors": "float16",
        "facts": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "full": "Softmax",
        "weights": "Instead of softmax",
        "help": "Point at, tap, or move with the arrow keys to a cell.",
        "hint": "64 tokens. Weights below zero are orange. Each picture has a scale of its own, up"
        " to its largest weight or to 1.",
        "axes": "query ↓ key →",
        "negative": "Entries below zero",
        "negative_value": "{negative} %",
        "sums": "Rows whose sum is not positive",
        "sums_value": "{sums} of {n}",
        "largest": "Largest weight, by its size",
        "spread": "Tokens that a row is spread over, softmax’s in brackets",
        "spread_value": "{spread} ({full})",
        "no_spread": "none: not an average ({full})",
        "error": "Error of the output, over its size; in brackets, of the mean of the values",
        "error_value": "{error} ({mean})",
        "chart": "Mean weight at each distance",
        "chart_x": "distance |i − j|",
        "chart_full": "softmax",
        "chart_weights": "instead of softmax",
        "factor": "Factor of the distance",
        "still_ramp": "weight",
        "still": "Largest weight instead of softmax: {largest}. The output errs by {error} of its"
        " size; the mean of the values would err by {mean}.",
        "cell": "“{query}” ({i}) on “{key}” ({j}), {apart} apart: softmax gives {full}, here it is"
        " {weight}. Factor of the distance: {factor}.",
        "change": "Negative entries: {negative} %, before {was_negative} %. Error of the output:"
        " {error} % of its size, before {was_error} %.",
        "alt_relu_cosine": "Softmax’s weights of layer and head {head} on {n} tokens, and the"
        " products of the ReLU of q and k times a cosine with M = {m}, divided by their sums:"
        " {negative} % of the entries are negative. The output errs by {error} % of its size, the"
        " mean of the values by {mean} %.",
        "alt_relu": "Softmax’s weights of layer and head {head} on {n} tokens, and the products of"
        " the ReLU of q and k alone, divided by their sums: {negative} % of the entries are"
        " negative. The output errs by {error} % of its size, the mean of the values by {mean} %.",
        "alt_cosine": "Softmax’s weights of layer and head {head} on {n} tokens, and the products"
        " of q and k times a cosine with M = {m}, divided by their sums: {negative} % of the"
        " entries are negative. The output errs by {error} % of its size, the mean of the values"
        " by {mean} %.",
        "alt_plain": "Softmax’s weights of layer and head {head} on {n} tokens, and the products of"
        " q and k alone, divided by their sums: {negative} % of the entries are negative. The"
        " output errs by {error} % of its size, the mean of the values by {mean} %.",
    }

    own_words: ClassVar[Mapping[str, Message]] = {
        "hint": "Weights below zero are orange. Each picture has a scale of its own, up to its"
        " largest weight or to 1.",
        "max_len": _ZERO,
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        return {
            "head": of_head(cls.head, passage),
            "max_len": cls.max_len.starting(cls._count(passage), help=_ZERO),
            "words": {**cls.words, "hint": cls.own_words["hint"]},
        }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "n": cls._count(),
            **SCALE,
            "tokens": [text for text, _ in shown_tokens(cls._pieces())],
            "start": cls._start("mouse", "mice"),
            "ticks": [[math.copysign(abs(x) ** 0.5, x), x] for x in (0.1, 0.01, 0, -0.01, -0.1)],
            "ends": [-(0.1**0.5), 0.5**0.5],
        }

    @classmethod
    def _frame(cls, head: str, relu: bool, cosine: bool, max_len: int) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        q, k, v, full = _head(cls._passage(), layer, number)
        out = full @ v
        if relu:
            q, k = q.relu(), k.relu()
        apart = _apart(len(q))
        factor = torch.cos(math.pi / 2 * torch.arange(len(q)).double() / max_len)
        if not cosine:
            factor = torch.ones_like(factor)
        similar = q @ k.mT * factor[apart]
        sums = similar.sum(-1, keepdim=True)
        weights = normalise(similar, sums)
        error = (weights @ v - out).norm() / out.norm()
        facts = (
            100 * float((weights < 0).double().mean()),
            float((sums <= 0).sum()),
            min(float(weights.abs().max()), 6e4),
            _spread(weights),
            _spread(full),
        )
        return {
            "weights": signed_code(weights.numpy(), _STEPS[relu]),
            "full": signed_code(full.numpy()),
            "profile": _profile(weights).float().numpy(),
            "full_profile": _profile(full).float().numpy(),
            "factor": factor.float().numpy(),
            "errors": np.array([min(float(error), 6e4), mean_error(out, v)], dtype=np.float32),
            "facts": np.array(facts, dtype=np.float32),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.2, 6.6), layout="constrained")
        upper, (chart, curve) = figure.subplots(2, 2, height_ratios=(4, 3))
        query, key = cls._facts()["start"]
        apart, blue, orange = np.arange(cls._count()), *figures.PALETTE[:2]
        for ax, name in zip(upper, ("full", "weights"), strict=True):
            values = signed_value(frame[name])
            top = float(np.abs(values).max())  # its own scale: a pale picture shows nothing
            figures.signed_matrix(values, title=cls._word(name), top=top, ax=ax)
            figures.point(ax, query, key)
            beyond = name == "weights" and float(frame["facts"][2]) > 1
            _stills.scale(ax, label=cls._word("still_ramp"), beyond=beyond)
        names = (cls._word("chart_full"), cls._word("chart_weights"))
        roots = (frame["full_profile"], frame["profile"])
        labels: dict[str, Any] = {"xlabel": cls._word("chart_x"), "ylabel": ""}
        lines = dict(zip(names, roots, strict=True))
        figures.curves(apart, lines, **labels, title=cls._word("chart"), ax=chart)
        places = [tick for tick in cls._facts()["ticks"] if tick[1] >= 0 or roots[1].min() < 0]
        chart.set_yticks([at for at, _ in places], [f"{value:g}" for _, value in places])
        low, high = cls._facts()["ends"]
        chart.set_ylim(low if roots[1].min() < 0 else 0, high)
        title = cls._word("factor")
        figures.curves(apart, {title: frame["factor"]}, **labels, title=title, ax=curve)
        curve.set_ylim(min(0.0, float(frame["factor"].min()) - 0.05), 1.05)
        for ax in (chart, curve):
            _stills.marker(ax, abs(query - key))
            _stills.ticks(ax, (0, 16, 32, 48, 63))
            ax.legend().remove()
        largest, (error, mean) = frame["facts"][2], frame["errors"]
        numbers = {"largest": largest, "error": error, "mean": mean}
        said = cls._said("still", **{name: Rounded(float(x), 2) for name, x in numbers.items()})
        _stills.note(chart, said)
        _stills.legend(chart, dict(zip(names, (blue, orange), strict=True)), lines=True)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        parts = [name for name in ("relu", "cosine") if controls[name]] or ["plain"]
        negative = Rounded(float(frame["facts"][0]), 0)
        sizes: dict[str, Any] = {"n": cls._count(), "m": controls["max_len"]}
        errors = zip(("error", "mean"), frame["errors"], strict=True)
        sizes |= {name: Rounded(100 * float(x), 0) for name, x in errors}
        return f"alt_{'_'.join(parts)}", {"head": controls["head"], **sizes, "negative": negative}
