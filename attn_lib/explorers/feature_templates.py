"""The templates of Efficient Attention on real text, and how each word mixes them.

Zhuoran Shen, Mingyuan Zhang, Haiyu Zhao, Shuai Yi, Hongsheng Li. *Efficient Attention: Attention
with Linear Complexities.* 2018, arXiv:1812.01243. The heads are those of `attn_lib.data`, which
were trained with softmax attention.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from numpy.typing import NDArray

from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import (
    HEAD_NAMES,
    KNOWN_HEADS,
    head_label,
    shaded,
    spread,
)
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._text import TextExplorer, of_head, shown_tokens
from attn_lib.explorers.words import MATRIX_WORDS, Message, Rounded
from attn_lib.mechanisms.efficient import efficient_factors
from attn_lib.mechanisms.softmax import softmax_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FEATURES", "LENGTH", "FeatureTemplates"]

LENGTH, FEATURES = 64, 32


class FeatureTemplates(TextExplorer):
    """A trained head read as Efficient Attention: its templates, and every word's mixture of them.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    head : str
        Layer and head, as "2.9". The book carries six of the 72, one in each layer.
    sharpness : float
        Queries and keys are multiplied by it before their softmaxes: from 0.5 to 32.

    Notes
    -----
    `compute` returns, with fewer positions where the text is shorter:

    ``mixtures`` (64, 32) float32
        The shares of the features in each query.
    ``templates`` (32, 64) float32
        A row a feature: its weights over the positions.
    ``weights``, ``full`` (64, 64) float32
        The product of the two, and the head's own softmax attention. All but the last come in
        coarse steps.
    ``spread`` (2, 64) float32
        The exponential of a row's entropy, of ``weights`` and of ``full``.
    ``errors`` (2,) float32
        Distance from the head's own output, over its size: of Efficient Attention, and of the mean
        of all values in every row.
    """

    head = Choice(
        "2.9",
        label="Layer and head",
        options={name: head_label(name) for name in HEAD_NAMES},
        grid=tuple(KNOWN_HEADS),
    )
    sharpness = Range(
        1.0,
        label="Sharpness",
        grid=(1.0, 2.0, 4.0, 8.0),
        low=0.5,
        high=32.0,
        step=0.5,
        play=True,
        help="queries and keys are multiplied by it before their softmaxes",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "mixtures": "sqrt8",
        "templates": "sqrt8",
        "weights": "sqrt8",
        "full": "sqrt8",
        "spread": "float16",
        "errors": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "help": "Point at, tap, or move with the arrow keys to a word or a cell.",
        "template_text": "The passage, shaded by template {feature}",
        "row_text": "The passage, shaded by what “{query}” reads",
        "templates": "Templates ↓ words →",
        "mixtures": "Words ↓ mixtures →",
        "weights": "Mixtures × templates",
        "full": "Softmax attention",
        "axes": "",
        "word_axis": "word",
        "feature_axis": "template",
        "bars": "What “{query}” mixes",
        "feature": "{feature}: {tokens}",
        "here": "What it reads",
        "there": "What it reads with softmax attention",
        "error": "Error of the output",
        "mean": "Error if all got the mean",
        "spread": "Tokens read, on average",
        "spread_full": "With softmax attention",
        "still": "The output errs by {error} of its size; the mean of the values would err by"
        " {mean}.",
        "still_spread": "Tokens read, on average: {here}; with softmax attention {there}",
        "value": "{value}",
        "row": "“{query}” ({i}) mixes in {share} of template {feature} (most on {tokens}). In"
        " effect it reads {here} tokens, with softmax attention {there}.",
        "cell": "“{query}” ({i}) gives “{key}” ({j}) {weight} of its weight, with softmax attention"
        " {full}. It mixes in {share} of template {feature}, which has {template} on “{key}”.",
        "change": "Spread of a row: {here} tokens, before {was_here}. Error of the output: {error}"
        " % of its size, before {was_error} %. With the mean of the values: {mean} %.",
        "alt": "The {features} templates of layer and head {head} on {n} tokens, the weights that"
        " mixtures of them make, and softmax attention. A row of the first weights is spread over"
        " {here} tokens, of the second over {there}. The output errs by {error} % of its size; the"
        " mean of all values would err by {mean} %.",
    }

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        return {"head": of_head(cls.head, passage)}

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        return {
            "tokens": shown_tokens(cls._pieces()),
            "features": FEATURES,
            "start": [*cls._start("mouse"), 15, None],
        }

    @classmethod
    def _frame(cls, head: str, sharpness: float) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        n = cls._count()
        q, k, v = (x[:, :, :n] for x in cls._passage().head(layer, number))
        full = softmax_weights(q, k)[0, 0]
        mixtures, templates = (x[0, 0] for x in efficient_factors(sharpness * q, sharpness * k))
        weights = mixtures @ templates.mT
        values = v[0, 0]
        out = full @ values
        near = (weights @ values, values.mean(dim=0).expand_as(out))
        return {
            "mixtures": shaded(mixtures),
            "templates": shaded(templates.mT),
            "weights": shaded(weights),
            "full": full.clamp(0, 1).numpy().copy(),
            "spread": torch.stack([spread(weights), spread(full)]).numpy(),
            "errors": torch.stack([(x - out).norm() / out.norm() for x in near]).numpy(),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        figure = Figure(figsize=(7.2, 7.0), layout="constrained")
        query, feature, _ = cls._facts()["start"]
        word, template = cls._word("word_axis"), cls._word("feature_axis")
        labels: dict[str, dict[str, Any]] = {
            "templates": {"xlabel": word, "ylabel": template},
            "mixtures": {"xlabel": template, "ylabel": word},
        }
        names = ("templates", "mixtures", "weights", "full")
        for ax, name in zip(figure.subplots(2, 2).flat, names, strict=True):
            figures.matrix(frame[name], title=cls._word(name), **labels.get(name, {}), ax=ax)
            ax.set_aspect("auto")
        templates, mixtures, *squares = figure.axes
        figures.point(templates, feature)
        figures.point(mixtures, query, feature)
        for ax in squares:
            figures.point(ax, query)
        (error, mean), (here, there) = frame["errors"], frame["spread"].mean(axis=1)
        numbers = {"error": Rounded(float(error), 2), "mean": Rounded(float(mean), 2)}
        read = {"here": Rounded(float(here), 1), "there": Rounded(float(there), 1)}
        _stills.note(templates, cls._said("still", **numbers))
        _stills.legend(templates, {cls._said("still_spread", **read): ""})
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        here, there = (Rounded(float(x), 1) for x in frame["spread"].mean(axis=1))
        error, mean = (Rounded(float(100 * x), 0) for x in frame["errors"])
        numbers = {"features": FEATURES, "n": cls._count(), "here": here, "there": there}
        return "alt", {"head": controls["head"], **numbers, "error": error, "mean": mean}
