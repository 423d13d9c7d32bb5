"""The explorer of costs against the benchmark's own files and against formulas written out."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attn_lib.catalog import MECHANISMS
from attn_lib.explorers import MechanismCosts, _cost_lines
from attn_lib.explorers._cost_lines import LENGTHS, NAMES, WIDTHS, Line, compared, crossings
from attn_lib.explorers.mechanism_costs import REASONS, VERDICTS
from benchmarks import settings

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
MEASURED = json.loads(max(RESULTS.glob("????-??-??-cpu.json")).read_text(encoding="utf-8"))
DECODING = json.loads((RESULTS / "decoding.json").read_text(encoding="utf-8"))
BOTH_WAYS = {
    "explicit_sparse": "explicit_sparse",
    "longformer": "longformer",
    "reformer": "reformer",
    "linformer": "linformer",
    "performer": "performer",
    "luna": "luna",
    "efficient": "efficient",
    "linear_transformer": "linear_transformer",
    "cosformer": "cosformer",
}
CAUSAL = {
    "strided": "strided",
    "fixed": "fixed",
    "longformer": "longformer causal",
    "performer": "performer causal",
    "luna": "luna causal",
    "linear_transformer": "linear_transformer causal",
    "cosformer": "cosformer causal",
}
every_pass = pytest.mark.parametrize("doing", ["reading", "training"])
every_form = pytest.mark.parametrize("causal", [False, True])
every_quantity = pytest.mark.parametrize("quantity", ["time", "memory"])


def row_of(name: str) -> int:
    return NAMES.index(name)


def value_of(frame: dict[str, np.ndarray], name: str, what: str = "values") -> float | None:
    """Return what is shown of a mechanism, or None where nothing is."""
    figures, power = (int(x) for x in frame[what][row_of(name)])
    return figures * 10.0**power if frame["present"][row_of(name)] else None


def reason_of(frame: dict[str, np.ndarray], name: str) -> str:
    return REASONS[frame["reasons"][row_of(name)]]


def verdict_of(frame: dict[str, np.ndarray], name: str) -> str:
    return VERDICTS[frame["verdicts"][row_of(name)]]


def benchmark(mechanism: str, implementation: str, pass_: str, figure: str) -> dict[int, float]:
    """Return the figures of one row of the benchmark by length."""
    return {
        row["n"]: row[figure]
        for row in MEASURED["rows"]
        if (row["mechanism"], row["implementation"], row["pass"])
        == (mechanism, implementation, pass_)
        and row[figure] is not None
    }


def points_of(name: str, doing: str, quantity: str, causal: bool) -> dict[int, float]:
    """Return what the files say of a mechanism, as the explorer's docstring explains it."""
    pass_ = {"reading": "forward", "training": "forward_backward"}[doing]
    implementation = "attn_lib"
    mechanism = (CAUSAL if causal else BOTH_WAYS).get(name)
    if name == "full":
        mechanism = "full causal" if causal else "full"
        implementation = "torch SDPA causal" if causal else "torch SDPA"
    if mechanism == "linformer" and doing == "training":
        mechanism = "linformer learning"
    if mechanism is None:
        return {}
    if quantity == "memory":
        return benchmark(mechanism, implementation, pass_, "peak_mb")
    base = benchmark("full", "torch SDPA", pass_, "ms")
    ratios = benchmark(mechanism, implementation, pass_, "ratio")
    return {n: ratio * base[n] for n, ratio in ratios.items() if n in base}


@every_pass
@every_quantity
@every_form
def test_what_is_drawn_was_measured(doing: str, quantity: str, causal: bool) -> None:
    chosen: dict[str, Any] = {"doing": doing, "quantity": quantity, "causal": causal}
    frame = MechanismCosts.compute(**chosen)
    lengths = MechanismCosts.spec()["facts"]["lengths"][doing][quantity]
    for name in NAMES:
        points = points_of(name, doing, quantity, causal)
        there = frame["there"][row_of(name)]
        assert {n for n, is_there in zip(lengths, there, strict=True) if is_there} == set(points)
        drawn = 10.0 ** frame["curves"][row_of(name)][there].astype(float)
        np.testing.assert_allclose(drawn, [points[n] for n in sorted(points)], rtol=1e-5)
    assert frame["there"].any()


@every_pass
@every_quantity
@every_form
def test_the_list_is_of_measured_values(doing: str, quantity: str, causal: bool) -> None:
    chosen: dict[str, Any] = {"doing": doing, "quantity": quantity, "causal": causal}
    for length in (1024, 4096, 8192, 32768):
        frame = MechanismCosts.compute(**chosen, length=length)
        wanted = {
            name: points[length]
            for name in NAMES
            if length in (points := points_of(name, doing, quantity, causal))
        }
        for name in NAMES:
            shown = value_of(frame, name)
            assert (shown is None) == (name not in wanted) == (reason_of(frame, name) != "")
            if name in wanted:
                assert shown == pytest.approx(wanted[name], rel=0.0051)
                if "full" in wanted:
                    ratio = value_of(frame, name, "ratios")
                    assert ratio == pytest.approx(wanted[name] / wanted["full"], rel=0.051)
        ranked = [NAMES[r] for r in frame["order"]]
        assert sorted(ranked) == sorted(NAMES)
        values = [wanted[name] for name in ranked[: len(wanted)]]
        assert values == sorted(values)


def test_a_time_is_near_to_what_its_own_clock_said() -> None:
    """The ratio's detour corrects a machine that slows down; it must not make a time up."""
    lengths = MechanismCosts.spec()["facts"]["lengths"]["reading"]["time"]
    curves = MechanismCosts.compute()["curves"]
    for name, mechanism in BOTH_WAYS.items():
        for n, ms in benchmark(mechanism, "attn_lib", "forward", "ms").items():
            drawn = 10.0 ** float(curves[row_of(name), lengths.index(n)])
            assert 0.6 < drawn / ms < 1.6, (name, n)


@pytest.mark.parametrize(("quantity", "figure"), [("time", "ms"), ("memory", "state_bytes")])
def test_writing_is_the_measured_decoding(quantity: str, figure: str) -> None:
    decoders = {
        "full": "KV cache",
        "strided": "sparse_transformer",
        "fixed": "sparse_transformer fixed",
    }
    for length in (128, 2048, 32768):
        frame = MechanismCosts.compute(doing="writing", quantity=quantity, length=length)
        rows = {row["decoder"]: row[figure] for row in DECODING["rows"] if row["n"] == length}
        for name in NAMES:
            wanted = rows.get(decoders.get(name, name))
            shown = value_of(frame, name)
            assert (shown is None) == (wanted is None)
            if wanted is not None:
                unit = 1e6 if quantity == "memory" else 1
                assert shown == pytest.approx(wanted / unit, rel=0.0051)
    absent = {name for name in NAMES if value_of(frame, name) is None}
    assert absent == {row["decoder"] for row in DECODING["absent"]}


@pytest.mark.parametrize("length", [1500, 3000, 23170])
def test_between_two_lengths_a_line_is_straight_in_logarithms(length: int) -> None:
    frame = MechanismCosts.compute(length=length)
    for name in ("full", "performer", "luna"):
        points = points_of(name, "reading", "time", False)
        known = sorted(points)
        wanted = np.interp(np.log(length), np.log(known), np.log([points[n] for n in known]))
        assert frame["heights"][row_of(name)] == pytest.approx(wanted / math.log(10), abs=1e-5)
        assert value_of(frame, name) == pytest.approx(math.exp(wanted), rel=0.0051)


@pytest.mark.parametrize("length", [128, 500, 1023])
def test_nothing_is_shown_where_nothing_was_measured(length: int) -> None:
    frame = MechanismCosts.compute(length=length)
    assert not frame["present"].any()
    assert not frame["heights"].any()
    assert reason_of(frame, "performer") == "outside"
    assert "there is no value" in MechanismCosts.describe(length=length)


def test_beyond_the_last_length_a_line_has_no_value() -> None:
    last = max(points_of("explicit_sparse", "reading", "memory", False))
    beyond = MechanismCosts.compute(quantity="memory", length=last + 1)
    assert value_of(beyond, "explicit_sparse") is None
    assert value_of(beyond, "performer") is not None
    at_last = MechanismCosts.compute(quantity="memory", length=last)
    assert value_of(at_last, "explicit_sparse") is not None
    points = points_of("explicit_sparse", "reading", "time", False)
    slow = MechanismCosts.compute(length=max(points) + 1)
    assert reason_of(slow, "explicit_sparse") == "too_slow"
    assert value_of(slow, "performer") is not None


def test_what_is_absent_says_why() -> None:
    formless = {one.name for one in MECHANISMS if not one.causal}
    assert formless == {"linformer", "efficient"}
    for quantity in ("time", "memory", "operations"):
        both = MechanismCosts.compute(quantity=quantity)
        causal = MechanismCosts.compute(quantity=quantity, causal=True)
        writing = MechanismCosts.compute(quantity=quantity, doing="writing")
        for name in ("strided", "fixed"):
            assert reason_of(both, name) == "only_causal"
        for name in formless:
            assert reason_of(causal, name) == reason_of(writing, name) == "no_form"
        assert reason_of(writing, "reformer") == "no_step"
    assert reason_of(MechanismCosts.compute(causal=True), "reformer") == "not_measured"
    counted = MechanismCosts.compute(quantity="operations", causal=True)
    assert reason_of(counted, "luna") == "no_count"


# Crossings


def test_crossings_by_hand() -> None:
    lengths = [1, 4, 16]
    # From twice to half: in the middle, in logarithms.
    assert crossings(lengths, [math.log(2), -math.log(2), -1.0]) == pytest.approx([2])
    # From 8 to 1/2: three quarters of the way.
    assert crossings(lengths, [math.log(8), -math.log(2), -1.0]) == pytest.approx([4**0.75])
    assert crossings(lengths, [1.0, -1.0, 1.0]) == pytest.approx([2, 8])
    assert crossings(lengths, [1.0, 0.0, -1.0]) == [4]
    assert crossings(lengths, [0.0, 0.0, -1.0]) == [4]
    assert crossings(lengths, [0.0, 1.0, 1.0]) == crossings(lengths, [1.0, 0.0, 1.0]) == []
    assert crossings(lengths, [-1.0, -2.0, 0.0]) == crossings([], []) == []


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({1: 8.0, 4: 1.0}, ("from", 1)),
        ({1: 1.0, 4: 8.0}, ("up_to", 1)),
        ({1: 8.0, 4: 1.0, 16: 8.0}, ("often", 2)),
        ({1: 1.0, 4: 1.0, 16: 1.0}, ("everywhere", 0)),
        ({1: 2.0, 4: 2.0}, ("nowhere", 0)),
        ({64: 1.0}, ("", 0)),
    ],
)
def test_where_a_mechanism_takes_less(values: dict[int, float], wanted: tuple[str, int]) -> None:
    full = Line({1: 2.0, 4: 2.0, 16: 2.0}, "outside")
    verdict, found = compared(full, Line(values, "outside"))
    assert (verdict, len(found)) == wanted


@every_pass
@every_quantity
@every_form
def test_crossings_lie_between_measured_points(doing: str, quantity: str, causal: bool) -> None:
    frame = MechanismCosts.compute(doing=doing, quantity=quantity, causal=causal)
    full = points_of("full", doing, quantity, causal)
    for name in NAMES[1:]:
        points = points_of(name, doing, quantity, causal)
        shared = sorted(set(points) & set(full))
        less = {n for n in shared if points[n] < full[n]}
        marks = [int(n) for n in frame["marks"][row_of(name)] if n >= 0]
        changes = [(a, b) for a, b in itertools.pairwise(shared) if (a in less) != (b in less)]
        assert len(marks) == len(changes), name
        assert all(a <= mark <= b for mark, (a, b) in zip(marks, changes, strict=True)), name
        verdict = verdict_of(frame, name)
        if not shared:
            assert verdict == ""
        elif not marks:
            assert verdict == ("everywhere" if less else "nowhere")
        elif len(marks) == 1:
            assert verdict == ("from" if shared[-1] in less else "up_to")
            assert frame["said"][row_of(name)] == pytest.approx(marks[0], rel=0.051)
        else:
            assert verdict == "often"


# Operations


@pytest.mark.parametrize(("length", "width"), [(128, 16), (512, 64), (700, 37), (32768, 128)])
def test_operations_of_reading_are_those_of_the_formulas(length: int, width: int) -> None:
    n, d, heads = length, width, settings.HEADS
    shown: dict[str, Any] = {"quantity": "operations", "length": n, "head_dim": d}
    both, causal = (MechanismCosts.compute(**shown, causal=c) for c in (False, True))
    chunks = -(-n // settings.BUCKET_SIZE)
    reformer = settings.NUM_HASHES * chunks * 2 * settings.BUCKET_SIZE**2 * 4 * d
    wanted = {
        "full": 4 * n * n * d,
        "efficient": 4 * n * d * d,
        "linear_transformer": 4 * n * d * (d + 1),
        "cosformer": 8 * n * d * (d + 1),
        "performer": 4 * n * settings.FEATURES * (2 * d + 1),
        "linformer": 8 * n * settings.RANK * d,
        "luna": 8 * n * settings.P_LEN * d,
        "explicit_sparse": 2 * n * n * d + 2 * n * min(n, settings.TOPK) * d,
    }
    for name, count in wanted.items():
        assert value_of(both, name) == pytest.approx(heads * count / 1e9, rel=0.0051), name
    assert value_of(both, "reformer") > heads * reformer / 1e9 * 0.995
    if n <= 700:
        back = np.arange(n)[:, None] - np.arange(n)
        stride = settings.STRIDE
        pairs = (back >= 0) & ((back <= stride) | (back % stride == 0))
        strided = heads * 4 * pairs.sum() * d / 1e9
        assert value_of(causal, "strided") == pytest.approx(strided, rel=0.0051)
    assert value_of(causal, "full") == pytest.approx(heads * 2 * n * (n + 1) * d / 1e9, rel=0.0051)
    for name in ("performer", "linear_transformer", "cosformer"):
        assert value_of(causal, name) == value_of(both, name)


@pytest.mark.parametrize(("length", "width"), [(128, 32), (1000, 64), (32768, 16)])
def test_operations_of_writing_are_those_of_the_formulas(length: int, width: int) -> None:
    n, d, heads = length, width, settings.HEADS
    frame = MechanismCosts.compute(doing="writing", quantity="operations", length=n, head_dim=d)
    wanted = {
        "full": 4 * n * d,
        "explicit_sparse": 2 * n * d + 2 * min(n, settings.TOPK) * d,
        "longformer": 4 * min(n, settings.WINDOW + 1) * d,
        "linear_transformer": 4 * d * (d + 1),
        "cosformer": 8 * d * (d + 1),
        "performer": 4 * settings.FEATURES * (2 * d + 1),
    }
    for name, count in wanted.items():
        assert value_of(frame, name) == pytest.approx(heads * count / 1e6, rel=0.0051), name


def test_of_training_the_forward_pass_is_counted() -> None:
    for width in WIDTHS:
        chosen: dict[str, Any] = {"quantity": "operations", "head_dim": width}
        read = MechanismCosts.compute(**chosen)
        trained = MechanismCosts.compute(**chosen, doing="training")
        for name, array in read.items():
            np.testing.assert_array_equal(trained[name], array)


def test_options_are_the_benchmarks() -> None:
    for name in ("HEADS", "HEAD_DIM", "STRIDE", "SUMMARY", "TOPK", "WINDOW", "RANK", "FEATURES"):
        ours = getattr(_cost_lines, name, None) or getattr(_cost_lines, f"_{name}")
        assert ours == getattr(settings, name), name
    assert _cost_lines._P_LEN == settings.P_LEN
    assert _cost_lines._HASHING == {
        "bucket_size": settings.BUCKET_SIZE,
        "num_hashes": settings.NUM_HASHES,
    }
    written = DECODING["settings"]["options"]
    assert written["longformer"] == {"window": settings.WINDOW}
    assert written["performer"] == {"features": settings.FEATURES}


# The page


def test_what_the_page_carries_is_small_and_alive() -> None:
    assert len(MechanismCosts.packed()) < 40_000
    for state in MechanismCosts.grid():
        assert MechanismCosts.compute(**state)["present"].any(), state
    lengths = {state["length"] for state in MechanismCosts.grid() if state["doing"] == "writing"}
    assert lengths == set(LENGTHS)


def test_axes_hold_all_that_is_drawn() -> None:
    axes = MechanismCosts.spec()["facts"]["axes"]
    for state in MechanismCosts.grid():
        frame = MechanismCosts.compute(**state)
        low, high = axes[state["doing"]][state["quantity"]]
        drawn = frame["curves"][frame["there"]]
        assert low < drawn.min() <= drawn.max() < high
        assert low < frame["heights"][frame["present"]].min()


def test_the_picture_in_words() -> None:
    said = MechanismCosts.describe(doing="writing", length=32768)
    assert said.startswith("Time of one more token, milliseconds, against length")
    assert "Longformer has the least" in said
    assert "one of the others has less" not in said
    last = max(points_of("full", "training", "time", True))
    beyond = MechanismCosts.describe(doing="training", causal=True, length=last + 1)
    assert "full attention has no value there" in beyond or "there is no value" in beyond


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"doing": "dreaming"}, "doing must be one of 'reading', .*got 'dreaming'"),
        ({"quantity": "money"}, "quantity must be one of 'time', .*got 'money'"),
        ({"length": 127}, "length must be from 128 to 32768, got 127"),
        ({"head_dim": 129}, "head_dim must be from 16 to 128, got 129"),
    ],
)
def test_bad_controls_are_refused(controls: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MechanismCosts.compute(**controls)
