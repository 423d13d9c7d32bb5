"""What flows between the blocks of a stack: how large it is, and how little it changes.

At the start of training it is what Lemma 2 of Xiong et al. 2020 (arXiv:2002.04745) speaks of; after
training, that of the models of `attn_lib.data.load_training_runs`.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib.data import TrainingRuns, load_training_runs
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._depth import DEPTHS, DRAWS, NORMS, measure_start
from attn_lib.explorers._explorer import Explorer, Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers.words import Message, Rounded, two_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STREAMS", "ResidualStream", "training_runs"]

STREAMS = ("post", "pre", "deep")


@functools.cache
def training_runs() -> TrainingRuns:
    """Return the recorded runs, read once."""
    return load_training_runs()


def _mean(norm: str, name: str) -> NDArray[np.float64]:
    """Return a series of the best setting's models, mean over its seeds."""
    rows = np.array([getattr(run, name) for run in training_runs().best(norm)], dtype=float)
    mean: NDArray[np.float64] = rows.mean(axis=0)
    return mean


class ResidualStream(Explorer):
    """The stream of a stack of blocks, for three places of the layer norm.

    Parameters
    ----------
    model : {"start", "trained"}
        Random stacks at the start of training, 32 wide, reading 16 random vectors; or the recorded
        models after training, each form at the learning rate and warm-up that suited it best.
    depth : int
        Blocks in the stack, from 2 to 48; the trained ones have their own number.

    Notes
    -----
    `compute` returns, with a row for each of Post-LN, Pre-LN and DeepNorm:

    ``sizes`` (3, depth + 1) float32
        Logarithm to the base 10 of the root mean square of the stream's numbers: in front of every
        block, and at the end.
    ``cosines`` (3, depth) float32
        Between what goes into a block and what comes out, mean over positions.
    ``costs`` (3, depth) float32
        Of the trained: the rise of the held-out loss when a block is left out. Else zeros.
    """

    model = Choice(
        "start",
        label="The stacks",
        options={"start": "at the start of training", "trained": "after training"},
    )
    depth = Range(
        16,
        label="Blocks L",
        grid=DEPTHS,
        low=2,
        high=48,
        step=1,
        play=True,
        when={"model": ["start"]},
        help="blocks on top of each other; the trained ones have six",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "sizes": "float16",
        "cosines": "float16",
        "costs": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        "sizes": "Size of the stream",
        "sizes_x": "after block (0: the input)",
        "cosines": "Likeness of a block’s input and output",
        "cosines_x": "block, from the input up",
        "costs": "Rise of the loss without this block",
        "help": "Point at, tap, or move along the blocks with the arrow keys.",
        **{norm: NORMS[norm] for norm in STREAMS},
        "named": "{name} {value}",
        "size_note": "after block {k}: {values}",
        "cosine_note": "cosine, block {k}: {values}",
        "cost_note": "block {k} left out: {values}",
        "start": "Block {k} of {depth}, mean of {draws} draws: the stream behind it has size"
        " {post} with Post-LN and {pre} with Pre-LN; the cosine between its input and its output is"
        " {post_cosine} and {pre_cosine}.",
        "trained": "Block {k} of {depth}, after training: the stream behind it has size {post} with"
        " Post-LN and {pre} with Pre-LN; without it the loss rises by {post_cost} and {pre_cost}.",
        "change": "Size of the stream at the end with Post-LN: {post_size}, before"
        " {was_post_size}. With Pre-LN: {pre_size}, before {was_pre_size}. With DeepNorm:"
        " {deep_size}, before {was_deep_size}.",
        "alt": "Size of the stream at the end of the stack, and cosine between the last block’s"
        " input and output: Post-LN {post_size} and {post}, Pre-LN {pre_size} and {pre}, DeepNorm"
        " {deep_size} and {deep}.",
    }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "draws": DRAWS,
            "sizes": [-0.5, 1.5],
            "start": [0, 15],
            "most": 48,
            "highest": 1.0,
        }

    @classmethod
    def _frame(cls, model: str, depth: int) -> dict[str, NDArray[Any]]:
        if model == "trained":
            losses = {norm: float(_mean(norm, "held_out")) for norm in STREAMS}
            sizes = np.stack([_mean(norm, "sizes") for norm in STREAMS])
            cosines = np.stack([_mean(norm, "cosines") for norm in STREAMS])
            costs = np.stack([_mean(norm, "without") - losses[norm] for norm in STREAMS])
        else:
            starts = [measure_start(norm, depth) for norm in STREAMS]
            sizes = np.stack([start.sizes.mean(dim=0).numpy() for start in starts])
            cosines = np.stack([start.cosines.mean(dim=0).numpy() for start in starts])
            costs = np.zeros_like(cosines)
        return {
            "sizes": np.log10(sizes).astype(np.float32),
            "cosines": cosines.astype(np.float32),
            "costs": costs.astype(np.float32),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        from attn_lib import figures
        from attn_lib.explorers import _stills

        trained = controls["model"] == "trained"
        figure = Figure(figsize=(7.4, 3.4), layout="constrained")
        left, right, *rest = figure.subplots(1, 3 if trained else 2)
        costs = rest[0] if rest else None
        depth = frame["cosines"].shape[1]
        figures.curves(
            np.arange(depth + 1),
            {NORMS[norm]: 10.0**row for norm, row in zip(STREAMS, frame["sizes"], strict=True)},
            xlabel=cls._word("sizes_x"),
            ylabel="",
            title=cls._word("sizes"),
            logy=True,
            dashed=(NORMS["deep"],),
            ax=left,
        )
        figures.curves(
            np.arange(1, depth + 1),
            {NORMS[norm]: row for norm, row in zip(STREAMS, frame["cosines"], strict=True)},
            xlabel=cls._word("cosines_x"),
            ylabel="",
            title=cls._word("cosines"),
            dashed=(NORMS["deep"],),
            ax=right,
        )
        left.set_ylim(*(10.0**end for end in cls._facts()["sizes"]))
        right.set_ylim(0, 1.03)
        blocks = np.arange(1, depth + 1)
        if costs is not None:
            lines = {NORMS[n]: row for n, row in zip(STREAMS, frame["costs"], strict=True)}
            names: dict[str, Any] = {
                "xlabel": cls._word("cosines_x"),
                "title": cls._word("costs"),
                "ylabel": "",
            }
            figures.curves(blocks, lines, **names, dashed=(NORMS["deep"],), ax=costs)
        at = min(cls._facts()["start"][1], depth - 1) + 1
        for ax in figure.axes:
            _stills.marker(ax, at)
            ax.title.set_fontsize("small")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.legend().remove()
        marks = dict(zip((NORMS[norm] for norm in STREAMS), figures.PALETTE, strict=False))
        _stills.legend(left, marks, lines=True)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        sizes = 10.0 ** frame["sizes"][:, -1]
        cosines = frame["cosines"][:, -1]
        said: dict[str, Rounded] = {}
        for norm, size, cosine in zip(STREAMS, sizes, cosines, strict=True):
            said[f"{norm}_size"] = two_figures(float(size))
            said[norm] = Rounded(float(cosine), 2)
        return "alt", said
