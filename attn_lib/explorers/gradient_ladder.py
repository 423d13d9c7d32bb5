"""How large the gradient is in every block of a stack, at the start of training.

The theory is Theorem 1 of Xiong et al. 2020 (arXiv:2002.04745).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._depth import DEPTHS, DRAWS, NORMS, measure_start
from attn_lib.explorers._explorer import Explorer, Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers.words import Message, Rounded, two_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPONENTS", "GradientLadder"]

EXPONENTS = {"post": 0.0, "pre": -0.5, "deep": -0.5, "sandwich": -0.5}
"""The power of the depth that the last gradient follows, by theory."""


class GradientLadder(Explorer):
    """Norms of the gradients of every block's matrices, over draws of a stack.

    Parameters
    ----------
    norm : {"post", "pre", "deep", "sandwich"}
        Where the layer norms stand; see `attn_lib.layers.TransformerBlock`.
    depth : int
        Blocks in the stack, from 2 to 48.
    gain : float
        Factor on all matrices of the blocks, from 0.25 to 4: the scale of the start.
    loss : {"one", "all"}
        The loss of one position, or the mean loss of all 16.

    Notes
    -----
    The stacks are 32 wide with 4 heads, read 16 random vectors, and are asked for a random one of
    32 symbols. Figures are over 24 draws of all of that. `compute` returns logarithms to the base
    10:

    ``ladder`` (4, depth) float32
        Mean norm of the gradient in every block, for the matrix of queries, keys and values, that
        of attention's output, and the two of the feed-forward network.
    ``band`` (2, depth) float32
        Between these lie nine draws in ten of the last of the four.
    ``last`` (2, 5) float32
        The last block's, of the last matrix, for 2, 4, 8, 16 and 32 blocks; and the power of the
        depth that theory has, through the middle of them.
    ``slope`` (1,) float32
        The power that fits the measured ones best; no logarithm.
    """

    norm = Choice("post", label="Layer norm", options=NORMS)
    depth = Range(
        16,
        label="Blocks L",
        grid=DEPTHS,
        low=2,
        high=48,
        step=1,
        play=True,
        help="blocks on top of each other",
    )
    gain = Range(
        1.0,
        label="Scale of the start",
        grid=(0.5, 1.0, 2.0),
        low=0.25,
        high=4.0,
        step=0.25,
        help="factor on every matrix, after Xavier",
    )
    loss = Choice(
        "one",
        label="Loss of",
        options={"one": "one position", "all": "all positions, their mean"},
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "ladder": "float16",
        "band": "float16",
        "last": "float16",
        "slope": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        "ladder": "Norm of the gradient, block by block",
        "ladder_x": "block, from the input up",
        "last": "In the last block, for L blocks",
        "last_x": "blocks L",
        "help": "Point at, tap, or move along the blocks with the arrow keys.",
        "outer": "feed-forward, second matrix",
        "inner": "feed-forward, first",
        "out": "attention, output",
        "qkv": "queries, keys, values",
        "band": "nine draws in ten",
        "measured": "measured",
        "theory": "theory: L to the power {power}",
        "still_level": "theory: the same for all L",
        "still_falls": "theory: as one over the root of L",
        "slope": "Measured power of L",
        "ratio": "First block over last",
        "value": "Gradient here",
        "note": "L = {depth}: {value}",
        **NORMS,
        "cell": "Block {k} of {depth}, {norm}: the second feed-forward matrix has a gradient of"
        " norm {value}, the mean of {draws} draws; nine in ten lie between {low} and {high}.",
        "change": "Gradient in the first block: {first}, before {was_first}. In the last: {last},"
        " before {was_last}.",
        "alt": "Gradients of {depth} blocks, {norm}: those of the second feed-forward matrix go"
        " from {first} in the first block to {last} in the last, and the last one follows L to the"
        " power {power}.",
    }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "depths": list(DEPTHS),
            "draws": DRAWS,
            "axis": [-1.6, 1.7],
            "powers": {norm: power or 0 for norm, power in EXPONENTS.items()},
            "start": [0, 15],
            "most": 48,
        }

    @classmethod
    def _frame(cls, norm: str, depth: int, gain: float, loss: str) -> dict[str, NDArray[Any]]:
        which = ("one", "all").index(loss)
        gradients = measure_start(norm, depth, gain).gradients[which]
        last = np.array(
            [
                float(measure_start(norm, other, gain).gradients[which][:, -1, -1].mean())
                for other in DEPTHS
            ]
        )
        logs = np.log10(DEPTHS)
        theory = EXPONENTS[norm] * (logs - logs.mean()) + np.log10(last).mean()
        edges = np.quantile(gradients[:, -1].numpy(), [0.05, 0.95], axis=0)
        slope = np.polyfit(logs, np.log10(last), 1)[0]
        return {
            "ladder": gradients.mean(dim=0).log10().numpy(),
            "band": np.log10(edges).astype(np.float32),
            "last": np.stack([np.log10(last), theory]).astype(np.float32),
            "slope": np.array([slope], dtype=np.float32),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.4, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        names = ("qkv", "out", "inner", "outer")
        blocks = np.arange(1, controls["depth"] + 1)
        figures.curves(
            blocks,
            {cls._word(name): 10.0**row for name, row in zip(names, frame["ladder"], strict=True)},
            xlabel=cls._word("ladder_x"),
            ylabel=cls._word("ladder"),
            logy=True,
            ax=left,
        )
        low, high = 10.0 ** frame["band"]
        figures.band(left, blocks, low, high, label=cls._word("band"))
        theory = "still_falls" if EXPONENTS[controls["norm"]] else "still_level"
        labels = (cls._word("measured"), cls._word(theory))
        figures.curves(
            np.array(DEPTHS),
            {label: 10.0**row for label, row in zip(labels, frame["last"], strict=True)},
            xlabel=cls._word("last_x"),
            ylabel=cls._word("last"),
            logx=True,
            logy=True,
            dashed=labels[1:],
            ax=right,
        )
        _stills.ticks(right, DEPTHS)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        _stills.marker(left, min(cls._facts()["start"][1] + 1, controls["depth"]))
        _stills.marker(right, controls["depth"])
        for ax in (left, right):
            ax.set_ylim(*(10.0**end for end in cls._facts()["axis"]))
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        ladder = 10.0 ** frame["ladder"][-1]
        first, last = (two_figures(float(ladder[k])) for k in (0, -1))
        power = Rounded(float(frame["slope"][0]), 2)
        chosen = {"depth": controls["depth"], "norm": NORMS[controls["norm"]]}
        return "alt", {**chosen, "first": first, "last": last, "power": power}
