"""Who sees whom in a Longformer, and how far a token sees through several layers.

Iz Beltagy, Matthew E. Peters, Arman Cohan. *Longformer: The Long-Document Transformer.* 2020,
arXiv:2004.05150, section 3.1. The tokens are the first 64 of *Alice's Adventures in Wonderland*
as `attn_lib.data` has them, or of a reader's own text.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib import masks
from attn_lib.data import Passage
from attn_lib.explorers._controls import Positions, Range, Toggle
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._text import TextExplorer, shown_tokens
from attn_lib.explorers.words import STRIDE_WORDS, Message, Plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "NEVER", "LongformerWindow", "Matrix", "steps_to_reach"]

LENGTH = 64
NEVER = 255

Matrix = NDArray[np.bool_]


def steps_to_reach(mask: Matrix) -> NDArray[np.uint8]:
    """Count the layers that it takes position j's content to reach position i.

    Parameters
    ----------
    mask : ndarray of bool, shape (n, n)
        Who reads whom in each of the layers; n at most 254.

    Returns
    -------
    ndarray of uint8, shape (n, n)
        0 where i is j, which a residual connection keeps; `NEVER` where no number of layers is
        enough.
    """
    steps = np.full(mask.shape, NEVER, dtype=np.uint8)
    reached = np.eye(len(mask), dtype=bool)
    for count in range(len(mask)):
        steps[reached & (steps == NEVER)] = count
        reached = reached | (mask.astype(np.float32) @ reached.astype(np.float32) > 0)
    return steps


def _dense(mask: masks.Mask, causal: bool, n: int) -> Matrix:
    if causal:
        mask = masks.intersect(masks.causal(), mask)
    allowed: Matrix = masks.dense(mask, n, n)[0, 0].numpy()
    return allowed


@functools.lru_cache(maxsize=1024)
def _window_steps(window: int, dilation: int, causal: bool, n: int) -> NDArray[np.uint8]:
    return steps_to_reach(_dense(masks.dilated(window, dilation), causal, n))


class LongformerWindow(TextExplorer):
    """The Longformer's pattern on 64 tokens, and what a stack of layers with it can carry.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    window : int
        Keys seen on each side, from 0 to 63; half of the paper's w.
    dilation : int
        Distance between neighbouring keys of the window, from 1 to 16.
    layers : int
        How many layers with this pattern, from 1 to 12.
    causal : bool
        Whether a token sees only itself and those before it.
    global_tokens : sequence of int
        Positions that see all and are seen by all. In the picture a click on a token, or Enter,
        makes it one.

    Notes
    -----
    `compute` returns arrays that neither `layers` nor `global_tokens` changes; the view looks the
    chosen ones up. A shorter text has as many rows and columns as it has tokens.

    ``steps`` (64, 64) uint8
        Layers that j's content needs to reach i through the window alone; see `steps_to_reach`.
        What i reads directly has at most 1.
    ``as_key`` (64, 64) bool
        At [i, g]: whether i reads g, were g global.
    ``as_query`` (64, 64) bool
        At [g, j]: whether g reads j, were g global.
    """

    window = Range(
        3,
        label="Window, each side",
        grid=(0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 63),
        low=0,
        high=LENGTH - 1,
        step=1,
        help="keys that a token reads on each side; the paper counts both sides together",
    )
    dilation = Range(
        1,
        label="Dilation",
        grid=(1, 2, 3, 4, 6, 8),
        low=1,
        high=16,
        step=1,
        help="distance between neighbouring keys of the window",
    )
    layers = Range(
        3,
        label="Layers",
        grid=(1, 2, 3, 4, 5, 6, 8),
        low=1,
        high=12,
        step=1,
        play=True,
        help="how many layers with this pattern stand on top of each other",
    )
    causal = Toggle(False, label="Causal", help="a token sees only itself and those before it")
    global_tokens = Positions(
        (),
        label="Global tokens",
        count=LENGTH,
        help="positions from 0, with commas between them; a click on a token does the same",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "steps": "uint8",
        "as_key": "bits",
        "as_query": "bits",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **STRIDE_WORDS,
        "keys_head": "Keys it sees",
        "hub": "{token}, global",
        "row_name": "{i} {token}",
        "reached_head": "Tokens that reach it",
        "text": "The passage; the marked token is the one whose view is shown",
        "text_help": "Point at a token, or use the arrow keys. Click it, or press Enter, to make it"
        " global or ordinary again.",
        "matrix": "Which query (row) reads which key (column) in one layer",
        "query": "query i ↓",
        "key": "key j →",
        "window": "in the window",
        "global": "through a global token",
        "reached": "reached by layer {layers}",
        "unreached": "not reached",
        "cone": "What “{token}” ({i}) is made of, layer by layer downwards",
        "still_cone_short": "What the marked token is made of, layer by layer downwards",
        "cone_layer": "layer {layer}",
        "cone_text": "text",
        "pairs": "Pairs in a layer, of n² = {cells}",
        "pairs_value": "{pairs} ({share} %)",
        "row": "Tokens that it reads",
        "row_value": "{row} of {n}",
        "field": "Receptive field",
        "field_value": "{field} of {n}",
        "gaps": "Tokens missing inside it",
        "gaps_value": "{gaps}",
        "say_row": Plural(
            "layers",
            "“{token}” ({i}) reads {row} of the tokens in one layer, from {first} to {last}.",
            "“{token}” ({i}) reads {row} of the tokens in one layer. In {layers} layers something"
            " of {field} of them reaches it, from {first} to {last}.",
        ),
        "say_row_gaps": Plural(
            "layers",
            "“{token}” ({i}) reads {row} of the tokens in one layer, from {first} to {last}, with"
            " {gaps} missing in between.",
            "“{token}” ({i}) reads {row} of the tokens in one layer. In {layers} layers something"
            " of {field} of them reaches it, from {first} to {last}, with {gaps} missing in"
            " between.",
        ),
        "say_window": "“{token}” ({i}) reads “{key}” ({j}) directly: it is in the window.",
        "say_global": "“{token}” ({i}) reads “{key}” ({j}) directly: “{hub}” is global.",
        "say_hops": "“{key}” ({j}) reaches “{token}” ({i}) in two layers, through the global token"
        " “{hub}” ({g}).",
        "say_steps": "“{key}” ({j}) reaches “{token}” ({i}) in {steps} layers, from window to"
        " window.",
        "say_far": "“{key}” ({j}) would need {steps} layers to reach “{token}” ({i}).",
        "say_never": "“{key}” ({j}) never reaches “{token}” ({i}), however many layers there are.",
        "say_hub_far": "“{key}” ({j}) would need two layers to reach “{token}” ({i}), through the"
        " global token “{hub}” ({g}).",
        "say_future": "“{key}” ({j}) comes after “{token}” ({i}): a causal model may not see it.",
        "change": "Pairs: {pairs}, before {was_pairs}. Pairs that the layers join: {joined}, before"
        " {was_joined}.",
        "alt": "Keys in the window on each side: {window}, with dilation {dilation}. Of the"
        " {cells} pairs of {n} tokens {pairs} are computed in a layer. Layers: {layers}. Together"
        " they join {joined} pairs.",
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        n = cls._count(passage)
        return {"window": cls.window.up_to(n - 1), "global_tokens": cls.global_tokens.below(n)}

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "tokens": shown_tokens(cls._pieces()),
            "start": cls._start("mouse")[0],
            "never": NEVER,
        }

    @classmethod
    def _frame(
        cls,
        window: int,
        dilation: int,
        layers: int,
        causal: bool,
        global_tokens: Sequence[int],
    ) -> dict[str, NDArray[Any]]:
        n = cls._count()
        everybody = _dense(masks.full(), causal, n)
        return {
            "steps": _window_steps(window, dilation, causal, n).copy(),
            "as_key": everybody,
            "as_query": everybody,
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        blue, _, _, _, yellow, *_, grey = figures.PALETTE
        mask, layers, start = cls._mask(**controls), controls["layers"], cls._facts()["start"]
        window = frame["steps"] <= 1
        steps = steps_to_reach(mask)
        codes = np.select([window, mask, steps <= layers], [1, 2, 3], 0)
        colours = ["#00000000", blue, yellow, f"{grey}33"]
        figure = Figure(figsize=(7.2, 7.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, height_ratios=(4, 1))
        labels = {"xlabel": cls._word("key"), "ylabel": cls._word("query")}
        _stills.classes(upper, codes, colours, **labels)
        figures.point(upper, start)
        # The light cone: the token at the top, and layer by layer what has gone into it.
        rows = [np.flatnonzero(steps[start] <= t).tolist() for t in range(layers + 1)]
        for kind in (1, 2):
            ends = [
                [(j, t + 1), (m, t)]
                for t in range(layers)
                for m in rows[t]
                for j in rows[t + 1]
                if codes[m, j] == kind
            ]
            lower.add_collection(LineCollection(ends, colors=colours[kind], linewidths=0.7))
        for t, there in enumerate(rows):
            rest = np.setdiff1d(np.arange(len(mask)), there)
            lower.scatter(rest, np.full(len(rest), t), s=2, color=grey, alpha=0.5, linewidths=0)
            lower.scatter(there, np.full(len(there), t), s=14, color=blue, linewidths=0)
        names = [cls._said("cone_layer", layer=layer) for layer in range(layers, 0, -1)]
        lower.set_yticks(range(layers + 1), [*names, cls._word("cone_text")])
        lower.set(xlim=(-0.5, len(mask) - 0.5), ylim=(layers + 0.4, -0.4))
        lower.tick_params(colors=grey, labelsize="small")
        lower.set_title(cls._word("still_cone_short"), color=grey, fontsize="small")
        lower.spines[:].set_visible(False)
        lower.patch.set_alpha(0)
        shown = {1: "window", 2: "global"} if (codes == 2).any() else {1: "window"}
        marks = {cls._word(name): colours[kind] for kind, name in shown.items()}
        marks[cls._said("reached", layers=layers)] = colours[3]
        _stills.legend(upper, marks)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        mask = cls._mask(**controls)
        joined = (steps_to_reach(mask) <= controls["layers"]).sum()
        sizes = {"n": len(mask), "cells": mask.size, "pairs": int(mask.sum())}
        names = ("window", "dilation", "layers")
        chosen = {name: controls[name] for name in names}
        return "alt", {**chosen, **sizes, "joined": int(joined)}

    @classmethod
    def _mask(
        cls,
        window: int,
        dilation: int,
        causal: bool,
        global_tokens: Sequence[int],
        **_: object,
    ) -> Matrix:
        both = masks.union(masks.dilated(window, dilation), masks.global_tokens(global_tokens))
        return _dense(both, causal, cls._count())
