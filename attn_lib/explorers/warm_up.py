"""Recorded training curves at a grid of learning rates and warm-up lengths.

The runs are those of `attn_lib.data.load_training_runs`; the question is that of Xiong et al. 2020
(arXiv:2002.04745), section 3.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib.explorers._controls import Choice
from attn_lib.explorers._depth import NORMS
from attn_lib.explorers._explorer import Explorer, Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers.residual_stream import training_runs
from attn_lib.explorers.words import Message, Rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OTHERS", "RATES", "WARMUPS", "WarmUp"]

RATES = ("0.001", "0.003", "0.01")
WARMUPS = (0, 50, 200)
OTHERS = ("pre", "deep", "sandwich")
_LOW, _HIGH = 2.2, 3.7
_HIGHEST = 60.0  # what a curve that blew up is cut off at


class WarmUp(Explorer):
    """Training curves of Post-LN and of another form, one line a seed.

    Parameters
    ----------
    rate : str
        The learning rate after the warm-up, one of those recorded.
    warmup : int
        Steps in which it rises to that; 0 for none.
    other : {"pre", "deep", "sandwich"}
        The form that Post-LN is set against.

    Notes
    -----
    These curves were recorded and cannot be computed while a reader waits, so a kernel knows no
    other values than the page. `compute` returns, in nats a character:

    ``curves`` (2, seeds, points) float32
        Training losses, a value for every stretch of steps: Post-LN's, and the other form's.
    ``finals`` (2, seeds, rates) float32
        Held-out loss after training with this warm-up, at every rate.
    """

    rate = Choice("0.01", label="Learning rate", options={rate: rate for rate in RATES})
    warmup = Choice(
        0,
        label="Warm-up",
        options={steps: f"{steps} steps" if steps else "none" for steps in WARMUPS},
    )
    other = Choice(
        "pre",
        label="Post-LN against",
        options={norm: NORMS[norm] for norm in OTHERS},
    )

    codings: ClassVar[Mapping[str, Coding]] = {"curves": "float16", "finals": "float16"}

    words: ClassVar[Mapping[str, Message]] = {
        "curves": "Training loss, nats a character",
        "curves_x": "step",
        "finals": "Held-out loss at the end, by learning rate",
        "finals_x": "learning rate, in thousandths",
        "still_rate": "learning rate",
        "still_held_out": "held-out loss at the end",
        "still": "Held-out loss, best and worst seed: Post-LN {low} and {high}, the other form"
        " {best} and {worst}",
        "help": "Point at, tap, or move along the curves with the arrow keys.",
        **NORMS,
        "seeds": "One line for each of {seeds} seeds.",
        "end": "{name}, held out",
        "range": "{low} to {high}",
        "point": "Learning rate {rate}, {warmup} steps of warm-up, about step {step}: Post-LN’s"
        " training loss is {post}, {name}’s {other}, from the best seed to the worst.",
        "point_none": "Learning rate {rate}, no warm-up, about step {step}: Post-LN’s training loss"
        " is {post}, {name}’s {other}, from the best seed to the worst.",
        "change": "Held-out loss at the end with Post-LN: {post}, before {was_post}. With {name}:"
        " {other}, before {was_other}.",
        "alt": "Training curves at learning rate {rate} with {warmup} steps of warm-up: the"
        " held-out loss ends at {post} for Post-LN and at {other} for {name}, mean over seeds.",
    }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        recorded = training_runs()
        return {
            "steps": [round(step) for step in recorded.steps],
            "rates": [1000 * rate for rate in recorded.rates],
            "axis": [_LOW, _HIGH],
            "start": [0, len(recorded.steps) - 1],
        }

    @classmethod
    def _frame(cls, rate: str, warmup: int, other: str) -> dict[str, NDArray[Any]]:
        recorded = training_runs()
        norms = ("post", other)
        curves = [
            [run.losses for run in recorded.select(norm, float(rate), warmup)] for norm in norms
        ]
        finals = [
            [[run.held_out for run in recorded.select(norm, one, warmup)] for one in recorded.rates]
            for norm in norms
        ]
        return {
            "curves": np.array(curves, dtype=np.float32).clip(max=_HIGHEST),
            "finals": np.array(finals, dtype=np.float32).swapaxes(1, 2).clip(max=_HIGHEST),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        recorded = training_runs()
        figure = Figure(figsize=(7.4, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        names = (NORMS["post"], NORMS[controls["other"]])
        blue, orange, *_ = figures.PALETTE
        for ax, xs, name, labels in (
            (left, recorded.steps, "curves", ("curves_x", "curves")),
            (right, recorded.rates, "finals", ("still_rate", "still_held_out")),
        ):
            xlabel, ylabel = map(cls._word, labels)
            figures.curves(xs, {}, xlabel=xlabel, ylabel=ylabel, ax=ax)
            # A line a seed, Post-LN on top.
            for form, colour in ((1, orange), (0, blue)):
                for row in frame[name][form]:
                    point = "o" if name == "finals" else ""
                    ax.plot(xs, row, color=colour, linewidth=1.2, marker=point, markersize=4)
            ax.set_ylim(_LOW, _HIGH)
        right.set_xscale("log")
        _stills.ticks(right, recorded.rates)
        _stills.marker(right, float(controls["rate"]))
        post, other = (
            [float(x) for x in (rows.min(), rows.max())] for rows in cls._ends(frame, controls)
        )
        numbers = {"low": post[0], "high": post[1], "best": other[0], "worst": other[1]}
        said = {key: Rounded(x, 2) for key, x in numbers.items()}
        _stills.note(left, cls._said("still", **said))
        marks = dict(zip(names, (blue, orange), strict=True))
        seeds = frame["curves"].shape[1]
        _stills.legend(left, {**marks, cls._said("seeds", seeds=seeds): ""}, lines=True)
        return figure

    @classmethod
    def _ends(cls, frame: dict[str, NDArray[Any]], controls: Mapping[str, Any]) -> NDArray[Any]:
        """Return the held-out losses at the chosen rate: (forms, seeds)."""
        ends: NDArray[Any] = frame["finals"][:, :, RATES.index(controls["rate"])]
        return ends

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        losses = cls._ends(frame, controls).mean(axis=1)
        post, other = (Rounded(float(loss), 2) for loss in losses)
        chosen = {"rate": controls["rate"], "warmup": controls["warmup"]}
        return "alt", {**chosen, "name": NORMS[controls["other"]], "post": post, "other": other}
