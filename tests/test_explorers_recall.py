"""Recall against state: the picture against the recorded rows, and its bounds against counting."""

import itertools
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets

from attn_lib.catalog import MECHANISMS
from attn_lib.data import _measured, load_task_results
from attn_lib.explorers import RecallAgainstState, _carried, _task_points
from attn_lib.explorers._pack import encode
from attn_lib.explorers.recall_against_state import BITS, DISTANCES, PAIRS
from attn_lib.explorers.recall_bounds import VALUES, best_accuracy, shown_pairs
from benchmarks.tasks import data
from benchmarks.tasks.plan import CAUSAL, FULL, Job

FILE = Path(__file__).parents[1] / "benchmarks" / "results" / "tasks.json"
NAMES = list(RecallAgainstState.mechanisms.options)
FORMS = {
    "recall": ("recall", False),
    "recall_causal": ("recall", True),
    "copying": ("copying", True),
    "letters": ("letters", True),
    "memorisation": ("memorisation", False),
}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that puts a file of these rows in the place of the recorded one."""

    def put(rows: list[dict[str, Any]]) -> None:
        document = {**json.loads(FILE.read_text(encoding="utf-8")), "rows": rows}
        document["settings"] = json.loads(json.dumps(FULL.described()))
        (tmp_path / "tasks.json").write_text(json.dumps(document), encoding="utf-8")
        monkeypatch.setattr(_measured, "_folder", lambda: tmp_path)
        forget()

    def forget() -> None:
        _task_points.recorded.cache_clear()
        _carried.packed.cache_clear()

    yield put
    monkeypatch.undo()
    forget()


def invented() -> list[dict[str, Any]]:
    """Return a row for every job of the whole plan; the scores are invented, all different."""
    rows = []
    count = itertools.count(1)
    for task in FULL.tasks:
        for name in FULL.mechanisms:
            if task.causal and not CAUSAL[name]:
                continue
            sizes = [(size, task.values(name, size)) for size in task.sizes]
            if task.last is not None:
                sizes.append((task.last, task.values(name, task.last)[-1:]))
            for size, values in sizes:
                for value, seed in itertools.product(values, range(3)):
                    score = round(0.001 * (next(count) % 991), 4)
                    job = Job(task, size, name, value, 0.003, seed)
                    rows.append(
                        {
                            **job.described(),
                            **{"parameters": 85_184, "extras": 7 * (name == "luna"), "steps": 5},
                            **{"train_loss": 1 + score, "train_accuracy": score},
                            **{"test_loss": 2 + score, "test_accuracy": 1 - score},
                            "seconds": 1.0,
                        }
                    )
            # A rate that was tried and not chosen.
            first = next(row for row in reversed(rows) if row["seed"] == 0)
            rows.append({**first, "rate": 0.03, "test_accuracy": 0.123, "test_loss": 9.0})
    return rows


def check_frames(rows: list[dict[str, Any]]) -> int:
    """Hold every frame to the rows, and return how many points there are."""
    rates = {(r["task"], r["causal"], r["mechanism"]): r["rate"] for r in rows if r["seed"]}
    groups = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        form = (row["task"], row["causal"], row["mechanism"])
        if row["rate"] == rates.get(form):
            groups[*form, row["size"], row["value"]].append(row)
    knobs = {name: one["values"] for name, one in FULL.described()["knobs"].items()}
    points = 0
    for state in RecallAgainstState.grid():
        if state["axis"] == "read":
            continue
        task, causal = FORMS[state["task"]]
        size = {"copying": state["distance"], "letters": 64, "memorisation": 32}.get(
            task, state["pairs"]
        )
        frame = RecallAgainstState.compute(**state)
        kind = "loss" if task == "letters" else "accuracy"
        for (m, name), k in itertools.product(enumerate(NAMES), range(3)):
            own = groups.get((task, causal, name, size, knobs[name][k]), [])
            if not own:
                assert (frame["drawn"][:, m, k] == -1).all()
                assert (frame["seeds"][:, m, k] == -1).all()
                continue
            points += 1
            first = own[0]
            both = [first["heads"] * first[what] for what in ("kept", "read")]
            assert frame["numbers"][:, m, k].tolist() == both
            assert frame["knobs"][:, m, k].tolist() == [first["heads"], first["value"]]
            assert frame["learned"][:, m, k].tolist() == [first["parameters"], first["extras"]]
            assert frame["rate"][m] == pytest.approx(first["rate"])
            for p, phase in enumerate(("test", "train")):
                scores = [row[f"{phase}_{kind}"] for row in own]
                found = frame["seeds"][p, m, k] / 10_000
                np.testing.assert_allclose(found[: len(own)], scores, atol=1e-9)
                assert (frame["seeds"][p, m, k, len(own) :] == -1).all()
            tested = [row[f"test_{kind}"] for row in own]
            wanted = [sum(tested) / len(tested), min(tested), max(tested)]
            np.testing.assert_allclose(frame["drawn"][:, m, k] / 10_000, wanted, atol=6e-5)
    return points


def test_the_points_are_the_recorded_rows() -> None:
    rows = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    check_frames(rows)


def test_the_points_are_those_of_a_whole_file(recorded: Any) -> None:
    rows = invented()
    recorded(rows)
    settings = {(r["task"], r["causal"], r["size"], r["mechanism"], r["value"]) for r in rows}
    assert check_frames(rows) == len(settings)
    assert len(RecallAgainstState.packed()) < 40_000


@pytest.mark.parametrize("count", [0, 1, 40, 129, 600])
def test_a_file_in_the_making_is_drawn_as_far_as_it_goes(recorded: Any, count: int) -> None:
    rows = invented()[:count]
    recorded(rows)
    check_frames(rows)
    json.dumps(RecallAgainstState.spec(), allow_nan=False)
    for state in RecallAgainstState.grid():
        frame = RecallAgainstState.compute(**state)
        for name, coding in RecallAgainstState.codings.items():
            encode(frame[name], coding)
    assert "{" not in RecallAgainstState.describe(task="letters")
    RecallAgainstState._figure(RecallAgainstState.compute(), **RecallAgainstState.check())


def test_a_training_that_went_astray_is_at_the_end_of_the_axis(recorded: Any) -> None:
    rows = invented()
    row = next(r for r in rows if (r["task"], r["mechanism"]) == ("letters", "softmax"))
    recorded([{**r, "test_loss": None} if r == row else r for r in rows])
    frame, facts = RecallAgainstState.compute(task="letters"), RecallAgainstState.spec()["facts"]
    assert frame["seeds"][0, 0].max() == facts["astray"] == frame["drawn"][2, 0].max()
    assert facts["losses"][1] < facts["astray"]


def test_the_file_is_one_of_this_plan() -> None:
    assert data.VALUES == VALUES
    both = [task for task in FULL.tasks if task.name == "recall"]
    for task in both:
        assert (*(size.value for size in task.sizes), task.last.value) == PAIRS
        assert task.depth == 1  # what a pattern hides is hidden
    (copying,) = (task for task in FULL.tasks if task.name == "copying")
    assert tuple(size.value for size in copying.sizes) == DISTANCES
    guess = RecallAgainstState.spec()["facts"]["guess"]
    assert guess["recall"] == guess["recall_causal"] == 1 / data.VALUES
    assert (guess["copying"], guess["memorisation"]) == (1 / data.SYMBOLS, 1 / data.WORDS)
    for name, size in (("letters", 64), ("memorisation", 32)):
        (task,) = (task for task in FULL.tasks if task.name == name)
        assert [one.value for one in task.sizes] == [size]
    assert {one.name for one in MECHANISMS} == set(NAMES) == set(FULL.mechanisms)
    families = RecallAgainstState.spec()["facts"]["families"]
    assert families == sorted(families, key=list(dict.fromkeys(families)).index)
    assert load_task_results().settings["seeds"] == RecallAgainstState.spec()["facts"]["seeds"]


# What is out of reach


def test_with_no_bit_one_guesses_and_with_all_one_knows() -> None:
    for pairs, values in [(1, 2), (3, 5), (64, 1024)]:
        assert best_accuracy(0, pairs, values) == pytest.approx(1 / values, abs=1e-6)
        whole = pairs * math.log2(values)
        assert best_accuracy(whole, pairs, values) == 1
        assert best_accuracy(0.999 * whole, pairs, values) < 1


@pytest.mark.parametrize(("pairs", "values"), [(2, 2), (7, 3), (64, 1024)])
def test_the_bound_solves_its_equation(pairs: int, values: int) -> None:
    """By a fine grid of shares, with the entropy of the answer given the value written out."""
    shares = np.linspace(1 / values, 1, 20_001)[:-1]
    rest = (1 - shares) / (values - 1)
    spread = -shares * np.log2(shares) - (values - 1) * rest * np.log2(rest)
    needed = pairs * (np.log2(values) - spread)
    assert (np.diff(needed) > -1e-12).all()
    for bits in (0.1, 0.5, 1.0, 0.7 * pairs * math.log2(values)):
        expected = shares[needed <= bits].max()
        assert best_accuracy(bits, pairs, values) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("pairs", "values", "states"), [(2, 2, 2), (3, 2, 2), (2, 3, 2), (2, 3, 3), (2, 2, 3)]
)
def test_no_memory_of_so_many_states_does_better(pairs: int, values: int, states: int) -> None:
    """Every way to write all messages into so many states, with the best answers for each."""
    messages = np.array(list(itertools.product(range(values), repeat=pairs)))
    hits = np.eye(values)[messages]  # (messages, pairs, values)
    best = 0.0
    for code in itertools.product(range(states), repeat=len(messages)):
        written = np.eye(states)[list(code)]
        counts = np.einsum("ms,mpv->spv", written, hits)
        best = max(best, float(counts.max(-1).sum()) / messages.size)
    bound = best_accuracy(math.log2(states), pairs, values)
    assert 1 / values < best <= bound + 1e-12


def test_the_curve_is_the_bound_at_32_bits_a_number() -> None:
    for pairs in PAIRS:
        curve = RecallAgainstState.compute(pairs=pairs)["bound"]
        places = 2.0 ** np.linspace(0, 17, len(curve))
        assert (np.diff(curve) >= 0).all()
        for k in (0, 7, 31, 90):
            assert curve[k] == pytest.approx(best_accuracy(BITS * places[k], pairs), abs=1e-6)
        bits, numbers = RecallAgainstState.spec()["facts"]["needed"][str(pairs)]
        assert (bits, numbers) == (10 * pairs, 10 * pairs / 32)
        assert (curve[places >= numbers] == 1).all()
        assert (curve[places < numbers] < 1).all()
    assert RecallAgainstState.compute(task="copying")["bound"].size == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 2, 3), "bits must be at least 0, got -1"),
        ((1, 0, 3), "pairs must be at least 1, got 0"),
        ((1, 2, 1), "values must be at least 2, got 1"),
    ],
)
def test_bad_counts_are_refused(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_accuracy(*arguments)


def sees(mechanism: str, i: int, j: int, size: int) -> bool:
    near = abs(i - j) <= size
    return near or (mechanism == "sparse_transformer" and (i - j) % size == 0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("pairs", [2, 3, 5])
@pytest.mark.parametrize(
    ("mechanism", "option"), [("sparse_transformer", "stride"), ("longformer", "window")]
)
def test_the_share_shown_is_a_mean_over_all_orders(
    mechanism: str, option: str, pairs: int, causal: bool
) -> None:
    for size in (1, 2, 3, 4):
        found = [
            sees(mechanism, pairs + query, pair, size)
            for order in itertools.permutations(range(pairs))
            for query, pair in enumerate(order)
        ]
        share = shown_pairs(mechanism, pairs, causal=causal, **{option: size})
        assert share == pytest.approx(np.mean(found))


def test_a_ceiling_is_what_is_seen_and_guesses_for_the_rest(recorded: Any) -> None:
    recorded(invented())
    for task, pairs in itertools.product(("recall", "recall_causal"), PAIRS):
        frame = RecallAgainstState.compute(task=task, pairs=pairs)
        for m, name in enumerate(NAMES):
            for k in range(3):
                share, ceiling = frame["ceiling"][:, m, k]
                value = frame["knobs"][1, m, k]
                if name not in ("sparse_transformer", "longformer") or not value:
                    assert share == ceiling == 0
                    continue
                queries = range(pairs, 2 * pairs)
                wanted = np.mean([[sees(name, i, j, value) for j in range(pairs)] for i in queries])
                if wanted == 1:
                    assert share == ceiling == 0
                else:
                    assert share == pytest.approx(wanted)
                    assert ceiling == pytest.approx(wanted + (1 - wanted) / 1024)
    assert not RecallAgainstState.compute(task="copying")["ceiling"].any()


def test_only_fixed_patterns_have_a_share() -> None:
    with pytest.raises(ValueError, match=r"mechanism must be one of .*, got 'softmax'"):
        shown_pairs("softmax", 3, causal=False)


# Controls and words


def test_mechanisms_are_a_set_in_the_order_of_the_legend() -> None:
    made = RecallAgainstState(mechanisms=["luna", "softmax", "luna"])
    assert made.mechanisms == ("softmax", "luna")
    assert RecallAgainstState().mechanisms == tuple(NAMES)
    everything = RecallAgainstState.compute()
    for name, array in RecallAgainstState.compute(mechanisms=()).items():
        np.testing.assert_array_equal(array, everything[name])
    with pytest.raises(traitlets.TraitError, match=r"mechanisms must be of .*, got 'rnn'"):
        made.mechanisms = ("rnn",)


@pytest.mark.parametrize(
    ("controls", "error", "message"),
    [
        ({"mechanisms": "luna"}, TypeError, "mechanisms must be a sequence of str, got 'luna'"),
        ({"mechanisms": 3}, TypeError, "mechanisms must be a sequence of str, got 3"),
        ({"mechanisms": [3]}, TypeError, "mechanisms must hold str, got int"),
        ({"pairs": 8}, ValueError, "pairs must be one of 4, 16, 64, 256, got 8"),
        ({"task": "sorting"}, ValueError, "task must be one of .*, got 'sorting'"),
    ],
)
def test_bad_controls_are_refused(
    controls: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RecallAgainstState.compute(**controls)


def test_the_words_name_the_best_and_the_worst(recorded: Any) -> None:
    rows = invented()
    for row in rows:
        if (row["task"], row["mechanism"]) == ("copying", "performer"):
            row["test_accuracy"] = 1.0
        if (row["task"], row["mechanism"]) == ("letters", "luna"):
            row["test_loss"] = 1.25
    recorded(rows)
    said = RecallAgainstState.describe(task="copying", distance=24, axis="read")
    assert "copying, causal, size 24" in said
    assert "numbers read" in said
    assert "9 mechanisms" in said
    assert "best mean is that of Performer: 100.0 % with" in said
    assert "lowest mean is that of Luna: 1.25 nats" in RecallAgainstState.describe(task="letters")
    two = RecallAgainstState.describe(task="copying", mechanisms=("softmax", "luna"))
    assert "2 mechanisms" in two
    nothing = RecallAgainstState.describe(task="copying", mechanisms=())
    assert nothing == "An empty chart: nothing is drawn for a task (copying, causal, size 40)."
