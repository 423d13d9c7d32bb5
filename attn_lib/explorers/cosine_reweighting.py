"""What cosFormer asks of a weight, one requirement at a time, on real heads.

The products of `relu` and the cosine are those of Qin et al. 2022 (arXiv:2202.08791); the heads are
those of `attn_lib.data`. Here M may be shorter than the text, which
`attn_lib.mechanisms.cosformer` refuses, so the weights are computed anew.
"""

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.explorers._controls import Choice, Range, Toggle
from attn_lib.explorers._explorer import Explorer, Said
from attn_lib.explorers._heads import head_options, passage, plain_tokens
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._signed import SCALE, signed_code, signed_value
from attn_lib.explorers.words import Message, Rounded
from attn_lib.mechanisms.softmax import softmax_weights
from attn_lib.numerics.features import normalise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "CosineReweighting"]

LENGTH = 64
_STEPS = {True: 2, False: 10}  # without a ReLU there is noise, which needs no fine shades


@functools.lru_cache(maxsize=16)
def _head(layer: int, head: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return q and k of the first tokens, and softmax's weights, each in float64."""
    q, k, _ = (x[:, :, :LENGTH].double() for x in passage().head(layer, head))
    return q[0, 0], k[0, 0], softmax_weights(q, k)[0, 0]


def _apart() -> Tensor:
    """Return how far the tokens of each pair stand apart."""
    place = torch.arange(LENGTH)
    return (place[:, None] - place).abs()


def _profile(weights: Tensor) -> Tensor:
    """Return the mean weight at every distance, as its root with its sign."""
    apart = _apart()
    means = torch.stack([weights[apart == t].mean() for t in range(LENGTH)])
    return means.sign() * means.abs().sqrt()


def _spread(weights: Tensor) -> float:
    """Return over how many tokens a row is spread in effect, mean of the rows; -1 if it is none."""
    if (weights < 0).any():
        return -1.0
    return round(float(torch.special.entr(weights).sum(-1).exp().mean()), 1)


class CosineReweighting(Explorer):
    """Softmax's weights of a trained head, and those of q·k with a ReLU, with a cosine, with both.

    Parameters
    ----------
    head : str
        Layer and head, as "5.5".
    relu : bool
        The first requirement: no negative entry. Without it the products are those of q and k.
    cosine : bool
        The second requirement: near tokens weigh more, by cos(π/2 · (i − j)/M).
    max_len : int
        The paper's M, from 16 to 1024. The text has 64 tokens, so that a smaller M makes negative
        factors.

    Notes
    -----
    `compute` returns:

    ``weights``, ``full`` (64, 64) uint8
        The products divided by their row's sum, and softmax's weights, coded as in
        `LowRankAttention`; the former in coarser steps.
    ``profile``, ``full_profile`` (64,) float32
        Mean of these weights against the distance of query and key: the root of its size, with its
        sign.
    ``factor`` (64,) float32
        What a product is multiplied by at each distance.
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
        "facts": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        "full": "Softmax",
        "weights": "Instead of softmax",
        "help": "Point at, tap, or move with the arrow keys to a cell.",
        "hint": "64 tokens. Weights below zero are orange.",
        "axes": "query ↓ key →",
        "negative": "Entries below zero",
        "negative_value": "{negative} %",
        "sums": "Rows whose sum is not positive",
        "sums_value": "{sums} of {n}",
        "largest": "Largest weight, by its size",
        "spread": "Tokens that a row is spread over, softmax’s in brackets",
        "spread_value": "{spread} ({full})",
        "no_spread": "none: not an average ({full})",
        "chart": "Mean weight at each distance",
        "chart_x": "distance |i − j|",
        "chart_full": "softmax",
        "chart_weights": "instead of softmax",
        "cell": "“{query}” ({i}) on “{key}” ({j}), {apart} apart: softmax gives {full}, here it is"
        " {weight}. Factor of the distance: {factor}.",
        "alt_relu_cosine": "Softmax’s weights of layer and head {head} on {n} tokens, and the"
        " products of the ReLU of q and k times a cosine with M = {m}, divided by their sums:"
        " {negative} % of the entries are negative.",
        "alt_relu": "Softmax’s weights of layer and head {head} on {n} tokens, and the products of"
        " the ReLU of q and k alone, divided by their sums: {negative} % of the entries are"
        " negative.",
        "alt_cosine": "Softmax’s weights of layer and head {head} on {n} tokens, and the products"
        " of q and k times a cosine with M = {m}, divided by their sums: {negative} % of the"
        " entries are negative.",
        "alt_plain": "Softmax’s weights of layer and head {head} on {n} tokens, and the products of"
        " q and k alone, divided by their sums: {negative} % of the entries are negative.",
    }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        tokens = plain_tokens(LENGTH)
        mouse, mice = (tokens.index(word) for word in ("mouse", "mice"))
        return {
            "n": LENGTH,
            **SCALE,
            "tokens": tokens,
            "start": [mouse, mice],
            "ticks": [[math.copysign(abs(x) ** 0.5, x), x] for x in (0.1, 0.01, 0, -0.01, -0.1)],
            "ends": [-(0.1**0.5), 0.5**0.5],
        }

    @classmethod
    def _frame(cls, head: str, relu: bool, cosine: bool, max_len: int) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        q, k, full = _head(layer, number)
        if relu:
            q, k = q.relu(), k.relu()
        apart = _apart()
        factor = torch.cos(math.pi / 2 * torch.arange(LENGTH).double() / max_len)
        if not cosine:
            factor = torch.ones_like(factor)
        similar = q @ k.mT * factor[apart]
        sums = similar.sum(-1, keepdim=True)
        weights = normalise(similar, sums)
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
            "facts": np.array(facts, dtype=np.float32),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures

        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        for ax, name in zip(figure.subplots(1, 2), ("full", "weights"), strict=True):
            figures.signed_matrix(signed_value(frame[name]), title=cls._word(name), ax=ax)
            figures.point(ax, *cls._facts()["start"])
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        parts = [name for name in ("relu", "cosine") if controls[name]] or ["plain"]
        negative = Rounded(float(frame["facts"][0]), 0)
        sizes = {"n": LENGTH, "m": controls["max_len"]}
        return f"alt_{'_'.join(parts)}", {"head": controls["head"], **sizes, "negative": negative}
