"""What each mechanism was seen to learn, against how many numbers it keeps or a query reads.

The models are those of `attn_lib.data.load_task_results`. Recall against the size of what is kept:
Arora et al. 2024 (arXiv:2402.18668). The bound is Fano's inequality for independent values.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib.catalog import MECHANISMS
from attn_lib.explorers._controls import Choice, Members
from attn_lib.explorers._explorer import Explorer, Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers._task_points import ASTRAY, NAMES, TASKS, TITLES, UNIT, points, score
from attn_lib.explorers.recall_bounds import FIXED, VALUES, best_accuracy, shown_pairs
from attn_lib.explorers.words import Message, Plural, Rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BITS", "DISTANCES", "PAIRS", "RecallAgainstState"]

PAIRS = (4, 16, 64, 256)
DISTANCES = (8, 24, 40)
BITS = 32
"""Of a number that is kept."""

_OF = {one.name: one for one in MECHANISMS}
_LOOKS = {  # a colour, and whether marks are filled
    "reference": ("grey", True),
    "fewer_pairs": ("blue", True),
    "mixed_positions": ("pink", True),
    "reordered_product": ("orange", False),
}
_MARKS = dict(zip(TITLES, "osD^v+xosD^", strict=True))
_KNOBS, _SEEDS = 3, 3
_NONE = -1
_AXIS = (1.0, 2.0**17)  # numbers
_PLACES = 171
_NEAR = 100.0  # where the axis starts if there is no bound


def _piles(numbers: NDArray[Any], high: NDArray[Any]) -> NDArray[Any]:
    """Return how high marks lie on others of about the same number; those of a mechanism as one."""
    rows = np.zeros(numbers.shape, dtype=int)
    places = np.log10(np.maximum(numbers, 1))
    placed: list[tuple[int, int]] = []
    for m, k in np.argwhere(high):
        near = [one for one in placed if abs(places[one] - places[m, k]) < 0.08]
        own = [rows[one] for one in near if one[0] == m]
        taken = {rows[one] for one in near}
        rows[m, k] = own[0] if own else next(r for r in range(len(taken) + 1) if r not in taken)
        placed.append((m, k))
    return rows


class RecallAgainstState(Explorer):
    """Test accuracy of every mechanism on small tasks, against the numbers it keeps or reads.

    Parameters
    ----------
    task : {"recall", "recall_causal", "copying", "letters", "memorisation"}
        Recall of pairs with one layer, queries seeing both ways or what came before; copying
        with two layers; the next letter of a book; a fixed answer for each word, where no
        attention is needed.
    pairs : {4, 16, 64, 256}
        To be recalled. At 256 only the best value of each mechanism was tried.
    distance : {8, 24, 40}
        Blanks between the symbols and the place where they are copied.
    axis : {"kept", "read"}
        Numbers kept for later queries, or read by one; of all heads of a layer together.
    mechanisms : sequence of str
        Those that are drawn. In the picture each has a switch in the legend.

    Notes
    -----
    The models were trained beforehand, so a kernel knows no other values than the page. What is not
    recorded is not drawn. `compute` returns, for the 11 mechanisms in the order of the legend and 3
    values of the knob of each, the same for both axes and all `mechanisms`:

    ``numbers`` (2, 11, 3) int32
        Kept and read, of all heads together; 0 where nothing is recorded.
    ``knobs`` (2, 11, 3) int32
        Heads, and the value of the knob.
    ``learned`` (2, 11, 3) int32
        Parameters, without and only those that no other mechanism has.
    ``rate`` (11,) float32
        The learning rate that was chosen.
    ``seeds`` (2, 11, 3, 3) int32
        What each seed reached in the test, and at the end of training: the share of right answers
        in ten-thousandths, or for letters the loss in ten-thousandths of a nat; -1 where nothing
        is recorded.
    ``drawn`` (3, 11, 3) int32
        Mean, least and largest of the test.
    ``ceiling`` (2, 11, 3) float32
        For recall with a pattern that does not depend on the data and hides a pair from some query:
        the share of pairs that it shows, and the share of right answers that can then be expected
        at most; elsewhere 0.
    ``bound`` (171,) float32
        For recall: `best_accuracy` where 1 to 2¹⁷ numbers of 32 bits are kept, at even steps of
        the logarithm; else empty.
    """

    task = Choice(
        "recall",
        label="Task",
        options={
            "recall": "recall, both ways",
            "recall_causal": "recall, causal",
            "copying": "copying, causal",
            "letters": "next letter, causal",
            "memorisation": "memorisation",
        },
    )
    pairs = Choice(
        64,
        label="Pairs",
        options={size: f"{size} pairs" for size in PAIRS},
        when={"task": ("recall", "recall_causal")},
    )
    distance = Choice(
        40,
        label="Distance",
        options={size: f"{size} blanks" for size in DISTANCES},
        when={"task": ("copying",)},
    )
    axis = Choice(
        "kept",
        label="Against",
        options={"kept": "numbers kept", "read": "numbers read"},
    )
    mechanisms = Members(label="Mechanisms", options=TITLES)

    codings: ClassVar[Mapping[str, Coding]] = {
        "numbers": "int32",
        "knobs": "int32",
        "learned": "int32",
        "rate": "float16",
        "seeds": "int32",
        "drawn": "int32",
        "ceiling": "float16",
        "bound": "float16",
    }

    words: ClassVar[Mapping[str, Message]] = {
        "help": "Point at a mark, tap it, or use the arrow keys. Every name beside the chart is a"
        " switch.",
        "chart": "Answers that are right in the test",
        "chart_loss": "Loss in the test, nats a letter: lower is better",
        "percent": "{share} %",
        "kept_x": "numbers kept, all heads of a layer together",
        "read_x": "numbers that a query reads, all heads together",
        "marks": "Mark: mean of {seeds} seeds; upright line: worst to best; larger mark: larger"
        " value.",
        "piled": "What is piled up at the top has about 100 %.",
        "guess": "Dashed: guessing.",
        "bars": "Short bars: the most to expect of a fixed pattern.",
        "best": "With so many pairs only the best value of each mechanism was tried.",
        "beyond": "out of reach",
        "bound": "Shaded: out of reach for any memory of so many {width}-bit numbers. All {pairs}"
        " values, each drawn from {values}, are {bits} bits, or {numbers} numbers. Whether a"
        " mechanism comes near is another question.",
        "empty": "Nothing is recorded for this task yet.",
        "reference": "Reference",
        "fewer_pairs": "Fewer pairs",
        "mixed_positions": "Mixed positions",
        "reordered_product": "Reordered product",
        **dict.fromkeys(
            ("softmax", "efficient", "linear_transformer", "cosformer"),
            Plural("heads", "one head of width {value}", "{heads} heads of width {value}"),
        ),
        "sparse_transformer": "stride {value}",
        "explicit_sparse": Plural("value", "the best key alone", "the best {value} keys"),
        "longformer": "{value} keys on each side",
        "reformer": "buckets of {value}, two rounds",
        "linformer": "rank {value}",
        "luna": "{value} slots",
        "performer": "{value} random features",
        "astray": "astray",
        "off": "{name} is switched off.",
        "causeless": "{name} has no causal form.",
        "untried": "{name} is not recorded here.",
        "point": "{name}, {knob}: {kept} numbers kept, {read} read. Right in the test, seed by"
        " seed: {test} %; at the end of training: {train} %. Learning rate {rate}, {parameters}"
        " parameters.",
        "point_own": "{name}, {knob}: {kept} numbers kept, {read} read. Right in the test, seed by"
        " seed: {test} %; at the end of training: {train} %. Learning rate {rate}, {parameters}"
        " parameters, and {own} that no other mechanism has.",
        "point_bar": "{name}, {knob}: {kept} numbers kept, {read} read. Right in the test, seed by"
        " seed: {test} %; at the end of training: {train} %. The pattern shows {share} % of the"
        " pairs, so expect {ceiling} % at most. Learning rate {rate}, {parameters} parameters.",
        "loss": "{name}, {knob}: {kept} numbers kept, {read} read. Loss in the test, seed by seed:"
        " {test} nats a letter; at the end of training: {train}. Learning rate {rate},"
        " {parameters} parameters.",
        "loss_own": "{name}, {knob}: {kept} numbers kept, {read} read. Loss in the test, seed by"
        " seed: {test} nats a letter; at the end of training: {train}. Learning rate {rate},"
        " {parameters} parameters, and {own} that no other mechanism has.",
        "still_bars": "limit of a fixed pattern",
        "change": "Best: {best}, before {was_best}. Worst: {worst}, before {was_worst}. Mechanisms"
        " in the picture: {count}, before {was_count}.",
        "alt": Plural(
            "count",
            "Accuracy on a task ({task}, size {size}) against {axis}, for {best} alone: at best"
            " {high} % with {most} numbers, at worst {low} % with {least} numbers, means over"
            " seeds.",
            "Accuracy on a task ({task}, size {size}) against {axis}, for {count} mechanisms. The"
            " best mean is that of {best}: {high} % with {most} numbers. The lowest is that of"
            " {worst}: {low} % with {least} numbers.",
        ),
        "alt_even": Plural(
            "count",
            "Accuracy on a task ({task}, size {size}) against {axis}, for {best} alone: every mean"
            " over seeds is {high} %.",
            "Accuracy on a task ({task}, size {size}) against {axis}, for {count} mechanisms: every"
            " mean over seeds is {high} %.",
        ),
        "alt_loss": Plural(
            "count",
            "Loss on a task ({task}, size {size}) against {axis}, for {best} alone: at best {low}"
            " nats with {least} numbers, at worst {high} nats with {most} numbers, means over"
            " seeds.",
            "Loss on a task ({task}, size {size}) against {axis}, for {count} mechanisms. The"
            " lowest mean is that of {best}: {low} nats with {least} numbers. The highest is that"
            " of {worst}: {high} nats with {most} numbers.",
        ),
        "alt_none": "An empty chart: nothing is drawn for a task ({task}, size {size}).",
    }

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        losses = [
            row.test_loss
            for _, _, rows in points(TASKS["letters"], 64)
            for row in rows
            if row.test_loss is not None
        ]
        ends = (math.floor(5 * min(losses)), math.ceil(5 * max(losses))) if losses else (5, 20)
        bits = {size: size * math.log2(VALUES) for size in PAIRS}
        return {
            "mechanisms": list(NAMES),
            "families": [_OF[name].family.replace(" ", "_") for name in NAMES],
            "causal": [_OF[name].causal for name in NAMES],
            "both_ways": [name for name, task in TASKS.items() if not task.causal],
            "by_loss": "letters",
            "seeds": _SEEDS,
            "unit": UNIT,
            "astray": ASTRAY,
            "axis": list(_AXIS),
            "near": _NEAR,
            "losses": [end * UNIT // 5 for end in ends],
            "guess": {name: task.guess for name, task in TASKS.items() if task.guess},
            "width": BITS,
            "values": VALUES,
            "largest": PAIRS[-1],
            "needed": {str(size): [bits[size], bits[size] / BITS] for size in PAIRS},
            "start": [NAMES.index("linear_transformer"), 1],
        }

    @classmethod
    def _frame(
        cls, task: str, pairs: int, distance: int, axis: str, mechanisms: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        one = TASKS[task]
        size = cls._size(task, pairs, distance)
        is_recall, of_loss = one.name == "recall", task == "letters"
        shape = (len(NAMES), _KNOBS)
        numbers, knobs, learned = np.zeros((3, 2, *shape), dtype=np.int32)
        rate = np.zeros(len(NAMES), dtype=np.float32)
        seeds = np.full((2, *shape, _SEEDS), _NONE, dtype=np.int32)
        drawn = np.full((3, *shape), _NONE, dtype=np.int32)
        ceiling = np.zeros((2, *shape), dtype=np.float32)
        for m, k, rows in points(one, size):
            first = rows[0]
            numbers[:, m, k] = first.heads * first.kept, first.heads * first.read
            knobs[:, m, k] = first.heads, first.value
            learned[:, m, k] = first.parameters, first.extras
            rate[m] = first.rate
            for p, phase in enumerate(("test", "train")):
                scores = [score(row, phase, of_loss) for row in rows[:_SEEDS]]
                seeds[p, m, k, : len(scores)] = scores
            tested = seeds[0, m, k][: len(rows)]
            drawn[:, m, k] = round(float(tested.mean())), tested.min(), tested.max()
            if is_recall and first.mechanism in FIXED:
                share = shown_pairs(first.mechanism, size, causal=one.causal, **first.options)
                if share < 1:
                    ceiling[:, m, k] = share, share + (1 - share) / VALUES
        kept = np.geomspace(*_AXIS, _PLACES if is_recall else 0)
        bound = [best_accuracy(BITS * float(x), size) for x in kept]
        return {
            "numbers": numbers,
            "knobs": knobs,
            "learned": learned,
            "rate": rate,
            "seeds": seeds,
            "drawn": drawn,
            "ceiling": ceiling,
            "bound": np.array(bound, dtype=np.float32),
        }

    @classmethod
    def _chosen_size(cls, controls: Mapping[str, Any]) -> str | None:
        """Return the size in the words of its control, where the task has one."""
        for control in (cls.pairs, cls.distance):
            if controls["task"] in control.when["task"]:
                label: str = control.options[controls[str(control.name)]]
                return label
        return None

    @classmethod
    def _size(cls, task: str, pairs: int, distance: int) -> int:
        return TASKS[task].size or (distance if task == "copying" else pairs)

    @classmethod
    def _shown(cls, frame: Mapping[str, NDArray[Any]], mechanisms: Sequence[str]) -> NDArray[Any]:
        """Return which points are drawn: recorded, and of a mechanism that is on."""
        on = np.array([name in mechanisms for name in NAMES])
        there: NDArray[Any] = (frame["drawn"][0] != _NONE) & on[:, None]
        return there

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        from attn_lib import figures
        from attn_lib.explorers import _stills

        blue, orange, _, pink, *_, grey = figures.PALETTE
        hues = {"blue": blue, "orange": orange, "pink": pink, "grey": grey}
        of_loss, on_kept = controls["task"] == "letters", controls["axis"] == "kept"
        has_bound = on_kept and frame["bound"].size > 0
        start = _AXIS[0] if has_bound else _NEAR
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        ax = figures.curves(
            [start, _AXIS[1]],
            {},
            xlabel=cls._word("kept_x" if on_kept else "read_x"),
            ylabel=cls._word("chart_loss" if of_loss else "chart"),
            title=cls._chosen_size(controls),
            ax=figure.subplots(),
        )
        _stills.note(ax, cls.task.options[controls["task"]])
        unit = UNIT if of_loss else UNIT / 100
        low, high = (x / unit for x in (cls._facts()["losses"] if of_loss else (0, UNIT)))
        ax.set(xscale="log", xlim=(start, _AXIS[1]), ylim=(low, high if of_loss else 1.28 * high))
        _stills.ticks(ax, [10.0**power for power in range(6)])
        if not of_loss:
            heights = range(0, 101, 25)
            ax.set_yticks(heights, [f"{height} %" for height in heights])
        handles: list[Any] = []
        if has_bound:
            dim: dict[str, Any] = {"color": grey, "alpha": 0.25, "linewidth": 0}
            ax.fill_between(np.geomspace(*_AXIS, _PLACES), 100 * frame["bound"], 100, **dim)
            handles.append(Patch(label=cls._word("beyond"), **dim))
        shown = cls._shown(frame, controls["mechanisms"])
        numbers = frame["numbers"][0 if on_kept else 1]
        piles = _piles(numbers, shown & (frame["drawn"][0] > 0.99 * UNIT) & (not of_loss))
        for m in np.flatnonzero(shown.any(axis=1)):
            name, there = NAMES[m], shown[m]
            hue, is_filled = _LOOKS[_OF[name].family.replace(" ", "_")]
            look: dict[str, Any] = {"color": hues[hue], "marker": _MARKS[name]}
            look["markerfacecolor"] = hues[hue] if is_filled else "none"
            xs = numbers[m, there]
            mean, least, most = frame["drawn"][:, m, there] / unit
            ax.plot(xs, mean, color=hues[hue], linewidth=1, alpha=0.6)
            ax.vlines(xs, least, most, color=hues[hue], linewidth=1.2)
            for k, x, y in zip(np.flatnonzero(there), xs, mean, strict=True):
                y = y + 3.6 * piles[m, k]
                ax.plot([x], [y], linestyle="none", markersize=3.5 + 1.5 * k, **look)
            top = frame["ceiling"][1, m, there]
            ax.plot(xs[top > 0], 100 * top[top > 0], "_", color=hues[hue], markersize=14)
            handles.append(Line2D([], [], linestyle="none", label=TITLES[name], **look))
        if (frame["ceiling"][1][shown] > 0).any():
            look = {"color": blue, "marker": "_", "markersize": 12, "linestyle": "none"}
            handles.append(Line2D([], [], label=cls._word("still_bars"), **look))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=4,
            frameon=False,
            labelcolor=grey,
            fontsize="small",
            handletextpad=0.4,
            columnspacing=1.2,
        )
        return figure

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        task, axis = controls["task"], controls["axis"]
        size = cls._size(*(controls[name] for name in ("task", "pairs", "distance")))
        told = {"task": cls.task.options[task], "size": size}
        shown = cls._shown(frame, controls["mechanisms"])
        if not shown.any():
            return "alt_none", told
        means = frame["drawn"][0]
        most = np.unravel_index(np.where(shown, means, -1).argmax(), means.shape)
        least = np.unravel_index(np.where(shown, means, ASTRAY + 1).argmin(), means.shape)
        numbers = frame["numbers"][("kept", "read").index(axis)]
        of_loss = task == "letters"
        digits, unit = (2, UNIT) if of_loss else (1, UNIT / 100)
        best, worst = (least, most) if of_loss else (most, least)
        high, low = (Rounded(float(means[place]) / unit, digits) for place in (most, least))
        is_even = f"{high.value:.{digits}f}" == f"{low.value:.{digits}f}"
        return "alt_loss" if of_loss else "alt_even" if is_even else "alt", {
            **told,
            "axis": cls.axis.options[axis],
            "count": int(shown.any(axis=1).sum()),
            "best": TITLES[NAMES[best[0]]],
            "worst": TITLES[NAMES[worst[0]]],
            "high": high,
            "low": low,
            "most": int(numbers[most]),
            "least": int(numbers[least]),
        }
