"""What ten mechanisms and full attention cost: measured time and memory, counted operations.

A line between two measured lengths is straight in logarithms, and beyond the last of them there is
none.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attn_lib.explorers._controls import Choice, Range, Toggle, Value
from attn_lib.explorers._cost_lines import (
    HEAD_DIM,
    LENGTHS,
    NAMES,
    WIDTHS,
    axis,
    compared,
    lengths_of,
    lines_of,
    threads,
)
from attn_lib.explorers._explorer import Explorer, Said
from attn_lib.explorers._pack import Coding
from attn_lib.explorers.words import Message, Plural, Rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["REASONS", "VERDICTS", "MechanismCosts"]

REASONS = (
    "",
    "no_form",
    "only_causal",
    "not_measured",
    "too_slow",
    "outside",
    "no_step",
    "no_count",
)
VERDICTS = ("", "everywhere", "nowhere", "from", "up_to", "often")

_MOST = len(LENGTHS) - 1  # a line crosses another once between two lengths
_START = "performer"
_TITLES = {
    "reading": {"time": "read_time", "memory": "read_memory", "operations": "read_count"},
    "training": {"time": "train_time", "memory": "train_memory", "operations": "train_count"},
    "writing": {"time": "write_time", "memory": "write_memory", "operations": "write_count"},
}


def _figures(value: float, count: int) -> tuple[int, int]:
    """Return a number as so many figures, and the power of ten that they are counted in."""
    power = math.floor(math.log10(value)) - count + 1
    figures = round(value / 10.0**power)
    return (figures // 10, power + 1) if figures == 10**count else (figures, power)


def _shown(figures: Sequence[int]) -> Rounded:
    """Return such a number as a text has it."""
    digits, power = int(figures[0]), int(figures[1])
    return Rounded(digits * 10.0**power, max(0, -power))


class MechanismCosts(Explorer):
    """What each mechanism takes, beside full attention: a line each, and a list at one length.

    Parameters
    ----------
    doing : {"reading", "training", "writing"}
        The forward pass over a text, both passes, or one more token after it.
    quantity : {"time", "memory", "operations"}
        Time and memory were measured; operations are counted. Of training only the forward pass is
        counted.
    causal : bool
        Whether the forms are causal, full attention's too. Whoever writes is.
    length : int
        Tokens, from 128 to 32,768.
    head_dim : int
        Width of a head, from 16 to 128; for operations alone, since the rest was measured at 64.

    Notes
    -----
    Batch 1, 8 heads, options as in the benchmarks. Training measures Linformer with E and F that
    learn. A time of reading or training is the measured ratio to bidirectional
    ``scaled_dot_product_attention``, timed in turns, times the time of that; where `causal`, full
    attention is the causal form of the same function, and ratios here are to it.

    `compute` returns, with a row for each name of ``NAMES``:

    ``curves`` (12, points) float32, ``there`` (12, points) bool
        Logarithm to the base 10 of milliseconds, megabytes, or billions of operations (millions, of
        one token), at every measured length, and whether there is one; zeros elsewhere.
    ``present`` (12,) bool, ``heights`` (12,) float32
        Whether there is a value at `length`, and its logarithm; between two measured lengths on a
        straight line in logarithms, beyond the last none. Counts are exact.
    ``values``, ``ratios`` (12, 2) int32
        The value in three figures, and over full attention's in two, with their power of ten.
    ``order`` (12,) uint8
        Rows by value, the smallest first, those without one last.
    ``reasons`` (12,) uint8
        The place in ``REASONS`` of why a value is absent.
    ``verdicts`` (12,) uint8
        The place in ``VERDICTS`` of where the mechanism takes less than full attention.
    ``marks`` (12, 8) int32, ``said`` (12,) int32
        Lengths at which its line crosses full attention's, -1 for none; the last, in two figures.
    """

    doing = Choice(
        "reading",
        label="What is done",
        options={
            "reading": "reading (forward)",
            "training": "training (both passes)",
            "writing": "writing one more token",
        },
    )
    quantity = Choice(
        "time",
        label="What it costs",
        options={"time": "time", "memory": "memory", "operations": "operations"},
    )
    causal = Toggle(
        False,
        label="Causal",
        when={"doing": ["reading", "training"]},
        help="whether a query sees no later keys; while writing, none does",
    )
    length = Range(
        4096,
        label="Length in tokens",
        grid=LENGTHS,
        low=LENGTHS[0],
        high=LENGTHS[-1],
        step=1,
        play=True,
    )
    head_dim = Range(
        HEAD_DIM,
        label="Head width",
        grid=WIDTHS,
        low=WIDTHS[0],
        high=WIDTHS[-1],
        step=1,
        when={"quantity": ["operations"]},
        help="for operations alone: time and memory were measured at 64",
    )

    codings: ClassVar[Mapping[str, Coding]] = {
        "curves": "float16",
        "there": "bits",
        "present": "bits",
        "heights": "float16",
        "values": "int32",
        "ratios": "int32",
        "order": "uint8",
        "reasons": "uint8",
        "verdicts": "uint8",
        "marks": "int32",
        "said": "int32",
    }

    words: ClassVar[Mapping[str, Message]] = {
        "full": "Full attention",
        "strided": "Sparse Transformer, strided",
        "fixed": "Sparse Transformer, fixed",
        "explicit_sparse": "Explicit Sparse Transformer",
        "longformer": "Longformer",
        "reformer": "Reformer",
        "linformer": "Linformer",
        "performer": "Performer",
        "luna": "Luna",
        "efficient": "Efficient Attention",
        "linear_transformer": "Linear Transformer",
        "cosformer": "cosFormer",
        "read_time": "Time to read, milliseconds",
        "train_time": "Time forward and backward, milliseconds",
        "write_time": "Time of one more token, milliseconds",
        "read_memory": "Peak memory of reading, MB",
        "train_memory": "Peak memory forward and backward, MB",
        "write_memory": "Memory kept of the text, MB",
        "read_count": "Operations of reading, billions",
        "train_count": "Operations of the forward pass alone, billions",
        "write_count": "Operations of one more token, millions",
        "chart_x": "length in tokens",
        "help": "Point at a line or choose a row.",
        "marks": "Rings and ticks: crossings with full attention.",
        "both_ways": "No form is causal.",
        "all_causal": "All forms are causal.",
        "note_time": "One text, 8 heads of 64, processor threads: {threads}. Shown is the ratio to"
        " full attention, timed in turns, times full attention’s own time.",
        "note_memory": "One text, 8 heads of 64: the peak of a call over what was in use before.",
        "note_step": "One layer, 8 heads of 64, processor threads: {threads}.",
        "note_kept": "One layer, 8 heads of 64, parameters left out.",
        "note_count": "Products of 8 heads, counted. Exponentials, sorting and searching are left"
        " out.",
        "note_forward": "Products of 8 heads, counted. The backward pass has no count here.",
        "note_sums": "Products of 8 heads, counted; sums over earlier keys token by token.",
        "others": "the others",
        "mechanism": "Mechanism",
        "at": "At {n} tokens, from the least to the most",
        "ms": "ms",
        "mb": "MB",
        "billions": "billions",
        "millions": "millions",
        "ratio": "÷\N{NO-BREAK SPACE}full",
        "less": "Less than full",
        "everywhere": "all lengths",
        "nowhere": "no length",
        "from": "from ≈\N{NO-BREAK SPACE}{n}",
        "up_to": "up to ≈\N{NO-BREAK SPACE}{n}",
        "often": "crosses {count} times",
        "near": "≈ {n}",
        "no_form": "It has no causal form.",
        "only_causal": "Measured in its causal form: switch that on.",
        "not_measured": "Its causal form was not measured.",
        "too_slow": "It takes too long to measure.",
        "outside": "Not measured at this length.",
        "no_step": "It cannot write token by token.",
        "no_count": "Its causal form has no count here.",
        "both": "{first} {second}",
        "said_read_time": "{name} reads {n} tokens in {value} ms.",
        "said_train_time": "{name} takes {value} ms forward and backward over {n} tokens.",
        "said_write_time": "{name} takes {value} ms for one more token after {n}.",
        "said_read_memory": "{name} takes {value} MB at its peak to read {n} tokens.",
        "said_train_memory": "{name} takes {value} MB at its peak, forward and backward over {n}"
        " tokens.",
        "said_write_memory": "{name} keeps {value} MB of {n} tokens.",
        "said_read_count": "{name} takes {value} billion operations to read {n} tokens, with heads"
        " {width} wide.",
        "said_train_count": "{name} takes {value} billion operations for the forward pass over {n}"
        " tokens, with heads {width} wide.",
        "said_write_count": "{name} takes {value} million operations for one more token after {n},"
        " with heads {width} wide.",
        "is_full": "The others are compared with it.",
        "is_everywhere": "That is {ratio} times full attention’s, and less at every length shown.",
        "is_nowhere": "That is {ratio} times full attention’s; it is less at no length shown.",
        "is_from": "That is {ratio} times full attention’s; it is less from about {n} tokens on.",
        "is_up_to": "That is {ratio} times full attention’s; it is less up to about {n} tokens.",
        "is_often": "That is {ratio} times full attention’s; the two lines cross {count} times, the"
        " last time at about {n} tokens.",
        "alone": "Full attention has no value there to compare with.",
        "absent": "{name} has no value at {n} tokens.",
        "still_absent": "no dot: no value here",
        "change": "Least: {first}, before {was_first}. Most: {last}, before {was_last}. Mechanisms"
        " with less than full attention: {count}, before {was_count}.",
        "alt": Plural(
            "count",
            one="{what}, against length, a line for each mechanism. At {n} tokens {first} has the"
            " least, {low}, and {last} the most, {high}; full attention has {full}, and one of the"
            " others has less.",
            other="{what}, against length, a line for each mechanism. At {n} tokens {first} has the"
            " least, {low}, and {last} the most, {high}; full attention has {full}, and {count} of"
            " the others have less.",
        ),
        "alt_alone": "{what}, against length, a line for each mechanism. At {n} tokens {first} has"
        " the least, {low}, and {last} the most, {high}; full attention has no value there.",
        "alt_none": "{what}, against length, a line for each mechanism. At {n} tokens there is no"
        " value.",
    }

    @classmethod
    def _carries(cls, state: Mapping[str, Value]) -> bool:
        return state["length"] in lengths_of(str(state["doing"]), str(state["quantity"]))

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        kinds = {doing: list(titles) for doing, titles in _TITLES.items()}
        return {
            "lengths": {d: {q: list(lengths_of(d, q)) for q in qs} for d, qs in kinds.items()},
            "axes": {d: {q: list(axis(d, q)) for q in qs} for d, qs in kinds.items()},
            "threads": threads(),
            "start": [NAMES.index(_START)],
        }

    @classmethod
    def _frame(
        cls, doing: str, quantity: str, causal: bool, length: int, head_dim: int
    ) -> dict[str, NDArray[Any]]:
        lines = lines_of(doing, quantity, causal, head_dim)
        exact = lines_of(doing, quantity, causal, head_dim, length)
        now = [exact[name].at(length) for name in NAMES]
        places = lengths_of(doing, quantity)
        count = len(NAMES)
        frame: dict[str, NDArray[Any]] = {
            "curves": np.zeros((count, len(places)), dtype=np.float32),
            "there": np.zeros((count, len(places)), dtype=bool),
            "present": np.array([value is not None for value in now]),
            "heights": np.zeros(count, dtype=np.float32),
            "values": np.zeros((count, 2), dtype=np.int32),
            "ratios": np.zeros((count, 2), dtype=np.int32),
            "order": np.array(
                sorted(range(count), key=lambda r: math.inf if now[r] is None else now[r] or 0.0),
                dtype=np.uint8,
            ),
            "reasons": np.zeros(count, dtype=np.uint8),
            "verdicts": np.zeros(count, dtype=np.uint8),
            "marks": np.full((count, _MOST), -1, dtype=np.int32),
            "said": np.full(count, -1, dtype=np.int32),
        }
        for r, (name, value) in enumerate(zip(NAMES, now, strict=True)):
            line = lines[name]
            for k, n in enumerate(places):
                if n in line.points:
                    frame["curves"][r, k] = math.log10(line.points[n])
                    frame["there"][r, k] = True
            if value is None:
                frame["reasons"][r] = REASONS.index(line.why(length))
            else:
                frame["heights"][r] = math.log10(value)
                frame["values"][r] = _figures(value, 3)
                if now[0] is not None:
                    frame["ratios"][r] = _figures(value / now[0], 2)
            if r == 0:
                continue
            verdict, found = compared(lines["full"], line)
            frame["verdicts"][r] = VERDICTS.index(verdict)
            frame["marks"][r, : len(found)] = [round(n) for n in found]
            if found:
                digits, power = _figures(found[-1], 2)
                frame["said"][r] = round(digits * 10.0**power)
        return frame

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        from matplotlib.figure import Figure

        from attn_lib import figures
        from attn_lib.explorers import _stills

        blue, *_, grey = figures.PALETTE
        doing, quantity, n = controls["doing"], controls["quantity"], controls["length"]
        picked = NAMES.index(_START)
        figure = Figure(figsize=(7.6, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        title = cls._word(_TITLES[doing][quantity])
        looks: dict[str, Any] = {"xlabel": cls._word("chart_x"), "ylabel": "", "title": title}
        places = np.array(lengths_of(doing, quantity))
        figures.curves(places, {}, logx=True, logy=True, **looks, ax=left)
        order = sorted(range(len(NAMES)), key=lambda r: (r == 0) + 2 * (r == picked))
        for r in order:
            there = frame["there"][r]
            colour, width = cls._look(r, picked, blue, grey)
            left.plot(
                places[there],
                10.0 ** frame["curves"][r][there],
                color=colour,
                linewidth=width,
                linestyle=(0, (4, 1.5)) if r == 0 else "-",
                marker="" if quantity == "operations" else "o",
                markersize=1.6 * width,
            )
        known = frame["there"][0]
        for mark in frame["marks"][picked][frame["marks"][picked] >= 0]:
            power = np.interp(math.log(mark), np.log(places[known]), frame["curves"][0][known])
            ring: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none"}
            left.plot([mark], [10.0**power], color=blue, **ring)
        _stills.marker(left, n)
        _stills.ticks(left, places.tolist())
        left.set_xticklabels([f"{x:,}" for x in places], rotation=45, fontsize="small")
        rows = [int(r) for r in frame["order"]][::-1]
        low, high = axis(doing, quantity)
        figures.curves(places, {}, xlabel=title, ylabel="", logy=False, ax=right)
        right.set_xscale("log")
        right.set_xlim(10.0**low, 10.0**high)
        right.minorticks_off()
        for at, r in enumerate(rows):
            if frame["present"][r]:
                colour, width = cls._look(r, picked, blue, grey)
                height = float(frame["heights"][r])
                number = _shown(frame["values"][r])
                is_far = height > (low + 2 * high) / 3
                right.plot([10.0**height], [at], color=colour, marker="o", markersize=4 + width)
                right.annotate(
                    f"{number.value:,.{number.digits}f}",
                    (10.0**height, at),
                    xytext=(-7 if is_far else 7, 0),
                    textcoords="offset points",
                    ha="right" if is_far else "left",
                    va="center",
                    color=grey,
                    fontsize="small",
                )
        right.set_yticks(range(len(rows)), [cls._word(NAMES[r]) for r in rows], fontsize="small")
        right.set_ylim(-0.6, len(rows) - 0.4)
        _stills.note(left, cls._said("at", n=n))
        names = {cls._word("full"): grey, cls._word(_START): blue}
        _stills.legend(left, {**names, cls._word("still_absent"): ""}, lines=True)
        return figure

    @classmethod
    def _look(cls, r: int, picked: int, blue: str, grey: str) -> tuple[str, float]:
        """Return the colour and the width of a line of the still picture."""
        if r == picked:
            return blue, 2.2
        return (grey, 2.6) if r == 0 else (f"{grey}A0", 0.9)

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        what = cls._word(_TITLES[controls["doing"]][controls["quantity"]])
        n = controls["length"]
        rows = [int(r) for r in frame["order"] if frame["present"][r]]
        said: dict[str, str | int | Rounded] = {"what": what, "n": n}
        if not rows:
            return "alt_none", said
        for name, value, r in (("first", "low", rows[0]), ("last", "high", rows[-1])):
            said |= {name: cls._word(NAMES[r]), value: _shown(frame["values"][r])}
        if 0 not in rows:
            return "alt_alone", said
        return "alt", {**said, "full": _shown(frame["values"][0]), "count": rows.index(0)}
