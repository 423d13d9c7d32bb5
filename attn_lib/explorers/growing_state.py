"""A linear transformer reads a text: its state, and the row of weights that the state implies.

Katharopoulos et al. 2020 (arXiv:2006.16236), by `attn_lib.mechanisms.linear_transformer` with
several feature maps, on the heads of `attn_lib.data`, which were not trained with it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib import costs
from attn_lib.data import Passage
from attn_lib.explorers._controls import Choice, Range
from attn_lib.explorers._explorer import Said
from attn_lib.explorers._heads import (
    head_options,
    random_weights,
    shaded,
    spread,
)
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._signed import SCALE, signed_code, signed_value
from attn_lib.explorers._text import TextExplorer, of_head, remembered, shown_tokens
from attn_lib.explorers.words import MATRIX_WORDS, Message, Plural, Rounded
from attn_lib.mechanisms.linear_transformer import (
    linear_transformer_init_state,
    linear_transformer_step,
    linear_transformer_weights,
)
from attn_lib.mechanisms.softmax import softmax_weights
from attn_lib.numerics import elu_plus_one

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LENGTH", "MAPS", "WIDTH", "GrowingState"]

LENGTH, WIDTH = 48, 32
MAPS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "elu": elu_plus_one,
    "relu": torch.relu,
    "square": torch.square,
    "exp": torch.exp,
}
_STEP = 12


def _enough(weights: Tensor) -> int:
    """Return how many singular values hold 99 % of the sum of all their squares."""
    part = torch.linalg.svdvals(weights.double()).square().cumsum(dim=0)
    return int((part < 0.99 * part[-1]).sum()) + 1


class _Reading:
    """One head with one feature map, token after token."""

    def __init__(self, passage: Passage, layer: int, head: int, name: str) -> None:
        q, k, v = (x[:, :, :LENGTH] for x in passage.head(layer, head))
        length = q.shape[2]
        phi = MAPS[name]
        state = linear_transformer_init_state(1, 1, WIDTH, WIDTH, feature_map=phi, eps=0.0)
        sums = []
        for i in range(length):
            state, _ = linear_transformer_step(state, *(x[:, :, i : i + 1] for x in (q, k, v)))
            sums.append((state.values[0, 0], state.norm[0, 0]))
        self.values, self.norm = (torch.stack(x) for x in zip(*sums, strict=True))
        two_way = linear_transformer_weights(q, k, feature_map=phi, eps=0.0), softmax_weights(q, k)
        self.ranks = [
            _enough(x) for x in (two_way[0][0, 0], two_way[1][0, 0], random_weights(q, k))
        ]
        self.weights = linear_transformer_weights(q, k, causal=True, feature_map=phi, eps=0.0)[0, 0]
        self.full = softmax_weights(q, k, causal=True)[0, 0]
        values, out = v[0, 0], self.full @ v[0, 0]
        so_far = values.cumsum(dim=0) / torch.arange(1, length + 1)[:, None]
        miss = torch.stack([self.weights @ values - out, so_far - out])
        self.errors = miss.norm(dim=-1) / out.norm(dim=-1)
        self.spread = torch.stack([spread(self.weights), spread(self.full)])

    def state(self, time: int) -> NDArray[np.uint8]:
        """Return both sums after so many tokens, each over its largest entry at the end."""
        values = self.values[time - 1] / self.values.abs().max()
        norm = self.norm[time - 1] / self.norm.max()
        return signed_code(torch.cat([values, norm], dim=-1).numpy(), _STEP)


_reading = remembered(32)(_Reading)


class GrowingState(TextExplorer):
    """The state of a causal Linear Transformer, token after token, and the weights it implies.

    Parameters
    ----------
    passage : Passage, optional
        A text of your own, from `attn_lib.data.read`; the library's if not given.
    head : str
        Layer and head, as "2.9". The book carries three of the 72.
    feature_map : {"elu", "relu", "square", "exp"}
        elu(x) + 1; the larger of x and 0; x²; the exponential.
    time : int
        Tokens read so far, from 1 to 48.

    Notes
    -----
    `compute` returns, with fewer tokens where the text is shorter:

    ``state`` (32, 33) uint8
        The sum of φ(k_j)ᵀ v_j, and in the last column that of φ(k_j), each over its largest entry
        at any time; coded as in `LowRankAttention`, in coarser steps.
    ``weights``, ``full`` (48, 48) float32
        Causal weights with the feature map, in coarse steps, and with the softmax.
    ``spread`` (2, 48) float32
        Over how many tokens each row is spread: the exponential of its entropy; with the feature
        map and with the softmax.
    ``errors`` (2, 48) float32
        Distance of each token's output from softmax's, over the size of the latter: with the
        feature map, and of the mean of the values so far.
    ``ranks`` (3,) uint8
        How many singular values hold 99 % of the squares of the two-way matrix; likewise, and of
        softmax weights of random queries and keys with scores as far apart.
    """

    head = Choice(
        "2.9",
        label="Layer and head",
        options=head_options(),
        grid=("0.2", "2.9", "5.5"),
    )
    feature_map = Choice(
        "elu",
        label="Feature map φ",
        options={"elu": "elu(x) + 1", "relu": "relu(x)", "square": "x²", "exp": "exp(x)"},
    )
    time = Range(
        42,
        label="Tokens read",
        grid=(1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 36, 39, 42, 45, 48),
        low=1,
        high=LENGTH,
        step=1,
        play=True,
        help="time: the last of them asks now",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "state": "uint8",
        "weights": "sqrt8",
        "full": "sqrt8",
        "spread": "float16",
        "errors": "float16",
        "ranks": "uint8",
    }

    words: ClassVar[Mapping[str, Message]] = {
        **MATRIX_WORDS,
        "row_name": "{i} {token}",
        "text": "The passage, shaded by what the token just read reads",
        "help": "Point at, tap, or move with the arrow keys to a word.",
        "hint": "In the state a row is a feature; in the weights a row is a query, a column a key.",
        "state": "State G, and g",
        "weights": "The weights it implies",
        "full": "Softmax’s weights",
        "axes": "",
        "bars": "With φ, “{query}” reads",
        "bars_full": "With softmax, “{query}” reads",
        "largest": "Largest weight of this row, softmax’s in brackets",
        "spread": "Tokens that it is spread over (exponential of its entropy)",
        "ranks": "Singular values that hold 99 % of the two-way matrix of all tokens; control:"
        " random queries and keys",
        "ranks_value": "{near} ({full}), control {control}",
        "kept": "Numbers in the state, in a cache",
        "error": "Error of this output; in brackets, of the mean of the values so far",
        "still_below": "In the state, orange is below zero.",
        "still_feature": "feature",
        "still_value": "value; at the right, g",
        "still": "The last token’s output errs by {error} of its size; the mean of the values so"
        " far would err by {mean}.",
        "pair": "{near} ({full})",
        "chart": "Tokens that a row is spread over",
        "chart_x": "tokens read",
        "chart_now": "with φ {near}, with softmax {full}",
        "memory": "Numbers kept",
        "memory_now": "state {near}, cache {full}",
        "name_near": "φ, a state",
        "name_full": "softmax, a cache",
        "cell": Plural(
            "time",
            "One token read. “{query}” ({i}) gives “{key}” ({j}) {near} of its weight; softmax"
            " would give {full}.",
            "{time} tokens read. “{query}” ({i}) gives “{key}” ({j}) {near} of its weight; softmax"
            " would give {full}.",
        ),
        "ahead": Plural(
            "time",
            "One token read. “{key}” ({j}) is still to come.",
            "{time} tokens read. “{key}” ({j}) is still to come.",
        ),
        "change": "Spread with the feature map: {near} tokens, before {was_near}. With the"
        " softmax: {full}, before {was_full}. Error of the output: {error} % of its size, before"
        " {was_error} %.",
        "alt": Plural(
            "time",
            "Causal attention weights of layer and head {head} after one token. With the feature"
            " map the last row is spread over {near} tokens, with the softmax over {full}. Its"
            " output errs by {error} % of its size, the mean of the values so far by {mean} %.",
            "Causal attention weights of layer and head {head} after {time} tokens. With the"
            " feature map the last row is spread over {near} tokens, with the softmax over {full}."
            " Its output errs by {error} % of its size, the mean of the values so far by {mean} %.",
        ),
    }

    longest: ClassVar[int] = LENGTH

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        return {"head": of_head(cls.head, passage), "time": cls.time.up_to(cls._count(passage))}

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        times = range(1, cls._count() + 1)
        state = costs.linear_transformer_state_numbers(WIDTH, features=WIDTH)
        return {
            "tokens": shown_tokens(cls._pieces()),
            "width": WIDTH,
            **SCALE,
            "kept": [
                [state for _ in times],
                [costs.kv_cache_bytes(t, WIDTH, WIDTH, itemsize=1) for t in times],
            ],
            "start": cls._start("mice"),
        }

    @classmethod
    def _frame(cls, head: str, feature_map: str, time: int) -> dict[str, NDArray[Any]]:
        layer, number = (int(part) for part in head.split("."))
        one = _reading(cls._passage(), layer, number, feature_map)
        return {
            "state": one.state(time),
            "weights": shaded(one.weights),
            "full": one.full.clamp(0, 1).numpy().copy(),
            "spread": one.spread.numpy().copy(),
            "errors": one.errors.numpy().copy(),
            "ranks": np.array(one.ranks, dtype=np.uint8),
        }

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        time = controls["time"]
        figure = Figure(figsize=(7.2, 5.8), layout="constrained")
        grid = figure.add_gridspec(2, 6, height_ratios=(4, 3))
        state = signed_value(frame["state"])
        gap = np.zeros((WIDTH, 2))
        wide = np.hstack([state[:, :WIDTH], gap, state[:, WIDTH:], state[:, WIDTH:]])
        labels: dict[str, Any] = {
            "xlabel": cls._word("still_value"),
            "ylabel": cls._word("still_feature"),
        }
        ax = figure.add_subplot(grid[0, :2])
        figures.signed_matrix(wide, title=cls._word("state"), **labels, ax=ax)
        for k, name in enumerate(("weights", "full")):
            ax = figure.add_subplot(grid[0, 2 + 2 * k : 4 + 2 * k])
            seen = np.arange(cls._count())[:, None] < time
            figures.matrix(frame[name] * seen, title=cls._word(name), ax=ax)
            figures.point(ax, time - 1)
        charts = {"chart": frame["spread"], "memory": np.array(cls._facts()["kept"])}
        names = (cls._word("name_full"), cls._word("name_near"))
        for k, (name, rows) in enumerate(charts.items()):
            ax = figures.curves(
                np.arange(1, cls._count() + 1),
                dict(zip(names, rows[::-1], strict=True)),
                xlabel=cls._word("chart_x"),
                ylabel="",
                logx=True,
                title=cls._word(name),
                ax=figure.add_subplot(grid[1, 3 * k : 3 * k + 3]),
            )
            ax.legend().remove()
            ax.set_ylim(bottom=0)
            _stills.ticks(ax, (1, 2, 4, 8, 16, 32))
            _stills.marker(ax, time)
        error, mean = (Rounded(float(x), 2) for x in frame["errors"][:, time - 1])
        _stills.note(ax, cls._said("still", error=error, mean=mean))
        blue, orange, *_ = figures.PALETTE
        marks = {names[0]: blue, names[1]: orange, cls._word("still_below"): ""}
        _stills.legend(ax, marks, lines=True)
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        near, full = (Rounded(float(x), 1) for x in frame["spread"][:, controls["time"] - 1])
        chosen = {name: controls[name] for name in ("head", "time")}
        error, mean = (Rounded(100 * float(x), 0) for x in frame["errors"][:, controls["time"] - 1])
        return "alt", {**chosen, "near": near, "full": full, "error": error, "mean": mean}
