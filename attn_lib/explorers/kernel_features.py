"""How well m random features tell exp(x·y), along an angle or a length.

The features are those of Choromanski et al. 2020 (arXiv:2009.14794), through
`attn_lib.mechanisms.performer`.
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
from attn_lib.explorers._pack import Coding
from attn_lib.explorers.words import Message, two_figures
from attn_lib.mechanisms.performer import performer_features
from attn_lib.numerics.projections import draw_projection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DIM", "DRAWS", "POINTS", "KernelFeatures"]

DIM = 16
POINTS = 37
DRAWS = 200
_BOTTOM, _TOP = -6.0, 8.0
_LONGEST = 3.0
_AT_ONCE = 4096
"""So many random vectors are multiplied at once: more, and their products leave the cache."""


@functools.lru_cache(maxsize=4)
def _projections(features: int, orthogonal: bool) -> Tensor:
    """Return `DRAWS` draws, one after another from one generator: (draws, features, DIM)."""
    generator = torch.Generator()  # it starts in the same state everywhere
    return torch.stack(
        [
            draw_projection(
                features, DIM, orthogonal=orthogonal, generator=generator, dtype=torch.float64
            )
            for _ in range(DRAWS)
        ]
    )


def _vectors(sweep: str, length: float, angle: int) -> tuple[Tensor, Tensor]:
    """Return x and y at every point: (points, DIM)."""
    x, y = torch.zeros(2, POINTS, DIM, dtype=torch.float64)
    lengths = torch.full((POINTS,), length, dtype=torch.float64)
    angles = torch.full((POINTS,), math.radians(angle), dtype=torch.float64)
    if sweep == "angle":
        angles = torch.linspace(0, math.pi, POINTS, dtype=torch.float64)
    else:
        lengths = torch.linspace(0, _LONGEST, POINTS, dtype=torch.float64)
    x[:, 0] = lengths
    y[:, 0], y[:, 1] = lengths * angles.cos(), lengths * angles.sin()
    return x, y


def _logarithm(x: Tensor) -> NDArray[np.float32]:
    """Return log10, `_BOTTOM` for what is smaller or negative."""
    floor = x.clamp(min=10**_BOTTOM)
    result: NDArray[np.float32] = floor.log10().clamp(max=_TOP).float().numpy()
    return result


@functools.lru_cache(maxsize=8)
def _estimates(
    sweep: str, kernel: str, orthogonal: bool, features: int, length: float, angle: int
) -> Tensor:
    """Return the estimate of every draw at every point: (draws, points)."""
    x, y = _vectors(sweep, length, angle)
    big = DIM**0.25  # the library divides by it
    rows = []
    # Several draws at once, as one of that many more features.
    for w in _projections(features, orthogonal).split(max(1, _AT_ONCE // features)):
        products = performer_features(big * x, w.flatten(0, 1), kernel=kernel)
        products = products * performer_features(big * y, w.flatten(0, 1), kernel=kernel)
        rows.append(len(w) * products.unflatten(-1, (-1, *w.shape[:2])).sum((1, 3)).mT)
    return torch.cat(rows)


class KernelFeatures(Explorer):
    """The exponential kernel and its estimate by random features.

    Parameters
    ----------
    kernel : {"softmax", "softmax_trig"}
        Positive features, or sines and cosines.
    features : int
        The paper's m, from 4 to 512.
    orthogonal : bool
        Whether the random vectors are orthogonal in blocks of 16, the width here.
    sweep : {"angle", "length"}
        What runs along the axis: the angle between x and y, or the length of both.
    length : float
        Of x and of y, from 0 to 4, while the angle runs.
    angle : int
        Between x and y, in degrees, while the length runs.
    draw : int
        Which of 200 draws the line shows.

    Notes
    -----
    `compute` returns logarithms to the base 10, with -6 for what is smaller or negative:

    ``true``, ``estimate`` (37,) float32
        exp(x·y), and what this draw makes of it.
    ``band`` (2, 37) float32
        Between these lie nine draws in ten of the 200.
    ``error`` (37,) float32
        Root mean squared error over the draws, over exp(x·y).
    ``negative`` (37,) float32
        Percent of draws below zero.
    """

    kernel = Choice(
        "softmax",
        label="Features",
        options={"softmax": "positive", "softmax_trig": "sines and cosines"},
    )
    orthogonal = Toggle(True, label="Orthogonal")
    features = Range(
        64,
        label="Features m",
        grid=(4, 16, 64, 256, 512),
        low=4,
        high=512,
        step=1,
        play=True,
        help="random vectors ω that the estimate averages over",
    )
    sweep = Choice(
        "angle",
        label="Along",
        options={"angle": "the angle between x and y", "length": "the length of x and y"},
    )
    length = Range(
        2.0,
        label="Length of x and y",
        grid=(1.0, 2.0, 3.0),
        low=0.0,
        high=4.0,
        step=0.1,
        when={"sweep": ["angle"]},
        help="the heads of this book have mean lengths from 1 to 7, once divided by d^¼",
    )
    angle = Choice(
        0,
        label="Angle",
        options={0: "0°", 60: "60°", 90: "90°", 120: "120°", 180: "180°"},
        grid=(0, 90, 180),
        when={"sweep": ["length"]},
    )
    draw = Range(
        0,
        label="Draw",
        grid=(0, 1, 2, 3),
        low=0,
        high=DRAWS - 1,
        step=1,
        play=True,
        help="draws the random vectors again",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "true": "float16",
        "estimate": "float16",
        "band": "float16",
        "error": "float16",
        "negative": "uint8",
    }

    words: ClassVar[Mapping[str, Message]] = {
        "chart": "exp(x·y) and its estimate",
        "help": "Point at, tap, or move along the curve with the arrow keys.",
        "angle": "angle between x and y (degrees)",
        "length": "length of x and of y",
        "true": "exp(x·y)",
        "estimate": "this draw",
        "band": "nine draws in ten",
        "floor": "At the bottom edge: below the axis, or negative.",
        "error": "Root mean squared error, over exp(x·y); to answer 0 always would err by 1",
        "negative": "Draws below zero",
        "negative_value": "{share} %",
        "says": "This draw, over exp(x·y)",
        "below": "below 0",
        "point_angle": "At {x}°: exp(x·y) = {true}; this draw of {m} features says {estimate}, and"
        " nine draws in ten lie between {low} and {high}.",
        "point_length": "At length {x}: exp(x·y) = {true}; this draw of {m} features says"
        " {estimate}, and nine draws in ten lie between {low} and {high}.",
        "change": "Estimate in the middle: {estimate}, before {was_estimate}. The true value:"
        " {true}.",
        "alt": "exp(x·y) and its estimate by {m} features: in the middle {true} and {estimate}.",
    }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "points": POINTS,
            "bottom": _BOTTOM,
            "top": _TOP,
            "ends": {"angle": [0, 180], "length": [0, _LONGEST]},
            "ticks": {"angle": [0, 45, 90, 135, 180], "length": [0, 1, 2, 3]},
            "start": [0, 24],
        }

    @classmethod
    def _frame(
        cls,
        kernel: str,
        orthogonal: bool,
        features: int,
        sweep: str,
        length: float,
        angle: int,
        draw: int,
    ) -> dict[str, NDArray[Any]]:
        x, y = _vectors(sweep, length, angle)
        true = (x * y).sum(-1).exp()
        found = _estimates(sweep, kernel, orthogonal, features, length, angle)
        band = torch.quantile(found, torch.tensor([0.05, 0.95], dtype=torch.float64), dim=0)
        error = ((found / true - 1).square().mean(0)).sqrt()
        share = (100 * (found < 0).double().mean(0)).round()
        return {
            "true": _logarithm(true),
            "estimate": _logarithm(found[draw]),
            "band": _logarithm(band),
            "error": _logarithm(error),
            "negative": share.to(torch.uint8).numpy(),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        last = 180.0 if controls["sweep"] == "angle" else _LONGEST
        places = np.linspace(0.0, last, POINTS)
        ax = figures.curves(
            places,
            {cls._word(name): 10.0 ** frame[name] for name in ("true", "estimate")},
            xlabel=cls._word(controls["sweep"]),
            ylabel=cls._word("true"),
            logy=True,
            ax=figure.subplots(),
        )
        low, high = 10.0 ** frame["band"]
        figures.band(ax, places, low, high, label=cls._word("band"))
        ax.set_ylim(1e-4, 1e6)  # as the live picture
        _stills.marker(ax, places[cls._facts()["start"][1]])
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        middle = POINTS // 2
        exact, estimate = (10 ** float(frame[name][middle]) for name in ("true", "estimate"))
        numbers = {"true": two_figures(exact), "estimate": two_figures(estimate)}
        return "alt", {"m": controls["features"], **numbers}
