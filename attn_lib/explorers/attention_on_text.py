"""Real attention on real text: who looks at whom, in the words and in the matrix.

Queries and keys are those of a sentence encoder on *Alice's Adventures in Wonderland*
(`attn_lib.data`); the weights are softmax attention (Vaswani et al. 2017, arXiv:1706.03762).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range, Toggle
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import HEADS, LAYERS
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._text import TextExplorer, of_layer_and_head, plain_tokens, shown_tokens
from attn_lib.explorers.words import MATRIX_WORDS, Message, Rounded
from attn_lib.mechanisms.softmax import softmax_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "AttentionOnText"]

LENGTH = 64


class AttentionOnText(TextExplorer):
    """The attention weights of a trained encoder on the first 64 tokens of a passage.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    layer : int
        From 0 to 5.
    head : int
        From 0 to 11. The book carries 12 of the 72 heads, the kernel all of them.
    temperature : float
        The scores are divided by it: from 0.1 (sharp) to 10 (flat); 1 is the model's own.
    causal : bool
        Whether a token sees only itself and those before it; the model was trained without.

    Notes
    -----
    `compute` returns:

    ``weights`` (64, 64) float32, or as many as a shorter text has
        A row a query; rows sum to 1.
    ``effective`` (64,) float32
        The exponential of a row's entropy: over how many keys its weight is spread.
    """

    layer = Choice(
        2,
        label="Layer",
        options={layer: str(layer) for layer in range(LAYERS)},
        grid=(0, 1, 2, 5),
    )
    head = Choice(
        9,
        label="Head",
        options={head: str(head) for head in range(HEADS)},
        grid=(2, 8, 9),
    )
    temperature = Range(
        1.0,
        label="Temperature",
        grid=(0.5, 1.0, 2.0),
        low=0.1,
        high=10.0,
        step=0.1,
        help="the scores are divided by it before the softmax",
    )
    causal = Toggle(False, label="Causal", help="a token sees only itself and those before it")

    codings: ClassVar[Mapping[str, Coding]] = {"weights": "sqrt8", "effective": "float16"}

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "weights_head": "Largest weights",
        "text": "The passage; the marked token is the query",
        "text_help": "Point at, tap, or move with the arrow keys to a token.",
        "matrix": "Attention weights: query (row), key (column)",
        "query": "query ↓",
        "key": "key →",
        "bars": "Where “{token}” looks",
        "row": "“{token}” ({i}) looks at {top}; in effect its weight is spread over {effective}"
        " tokens.",
        "top": "“{token}” {weight}",
        "cell": "“{token}” ({i}) gives “{key}” ({j}) {weight} of its weight, which in effect"
        " is spread over {effective} tokens.",
        "ramp": "weight",
        "alt_state": "Layer {layer}, head {head}: in the mean a query spreads its weight over"
        " {mean} of {n} tokens, the narrowest over {least}, the broadest over {most}.",
        "change": "Spread of a query in the mean: {mean} tokens, before {was_mean}.",
        "alt": "Attention weights of layer {layer}, head {head} on {n} tokens: {tokens}",
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        return of_layer_and_head(cls.layer, cls.head, passage)

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {"tokens": shown_tokens(cls._pieces()), "start": cls._start("mouse")[0]}

    @classmethod
    def _frame(
        cls, layer: int, head: int, temperature: float, causal: bool
    ) -> dict[str, NDArray[Any]]:
        n = cls._count()
        q, k, _ = cls._passage().head(layer, head)
        weights = softmax_weights(
            q[:, :, :n],
            k[:, :, :n],
            causal=causal,
            scale=q.shape[-1] ** -0.5 / temperature,
        )[0, 0].numpy()
        safe = np.where(weights > 0, weights, 1)
        return {
            "weights": weights.clip(0, 1),
            "effective": np.exp(-(weights * np.log(safe)).sum(-1)).astype(np.float32),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.2, 6.8), layout="constrained")
        tokens = plain_tokens(cls._pieces())
        ax = figures.matrix(frame["weights"], tokens=tokens, ax=figure.subplots())
        figures.point(ax, cls._facts()["start"])
        _stills.scale(ax, label=cls._word("ramp"))
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        tokens = plain_tokens(cls._pieces())
        layer, head = controls["layer"], controls["head"]
        said = {"n": len(tokens), "tokens": " ".join(tokens)}
        return "alt", {"layer": layer, "head": head, **said}

    @classmethod
    def _summary(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        spread = frame["effective"]
        narrow, mean, broad = (
            Rounded(float(x), 1) for x in (spread.min(), spread.mean(), spread.max())
        )
        return "alt_state", {
            "layer": controls["layer"],
            "head": controls["head"],
            "n": cls._count(),
            "mean": mean,
            "least": narrow,
            "most": broad,
        }
