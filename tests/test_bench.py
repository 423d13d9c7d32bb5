"""The benchmark harness: its arithmetic, its limits, its file, and the loader of that file."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attn_lib.data import _measured, load_measurements
from benchmarks import __main__ as command
from benchmarks import machine, memory, record
from benchmarks.entries import fill, new_entry
from benchmarks.limits import predict, rounds_for, steady_rounds
from benchmarks.measure import Case, LargestTensor, quartiles, run_once, watched
from benchmarks.profiles import KINDS, OUTSIDE, REST, kind_of, profiled, sentence
from benchmarks.rows import ROWS
from benchmarks.session import Options, Session
from benchmarks.spec import Absent, Implementation, Row, dense
from benchmarks.table import render
from benchmarks.work import WORK, Product, moved_bytes, of_pass

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def peer(name: str, call: Callable[..., Tensor], **options: Any) -> Implementation:
    return Implementation(name, lambda n: call, **options)


def missing(n: int) -> Callable[..., Tensor]:
    raise ImportError("No module named 'nowhere'")


def unfit(n: int) -> Callable[..., Tensor]:
    raise Absent("needs a GPU")


def doubled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return 2 * scaled_dot_product_attention(q, k, v)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Make every run take n² / 10⁶ seconds, or what is written into the dict returned."""
    seconds: dict[int, float] = {}

    def took(case: Case, pass_: str) -> float:
        n = case.inputs[0].shape[-2]
        return seconds.get(n, n * n / 1e6)

    monkeypatch.setattr("benchmarks.session.timed", took)
    monkeypatch.setattr("benchmarks.session.watched", lambda *call: (took(*call), 1000))
    return seconds


def broken_when_long(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if q.shape[-2] > 70:
        raise RuntimeError("kernel says no\nand goes on")
    return scaled_dot_product_attention(q, k, v)


def fake_row(*peers: Implementation, ours: Callable[..., Tensor] | None = None) -> Row:
    call = ours or scaled_dot_product_attention
    return Row("fake", peer("attn_lib", call), dense(), peers, check_n=32)


def new_session(document: dict[str, Any] | None = None, **options: Any) -> Session:
    document = document or record.new_document("cpu")
    run = {
        "date": "2026-01-31",
        "machine": record.machine(1),
        "versions": record.versions(["numpy"]),
        "command": "python -m benchmarks",
    }
    number = record.add_run(document, run)
    settings = {"sizes": (32, 64), "repeats": 3, "memory": False, **options}
    return Session(
        document,
        number,
        Options(**settings),
        save=lambda: record.validate(document),
        say=lambda text: None,
    )


def found(document: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    wanted = {"pass" if key == "pass_" else key: value for key, value in wanted.items()}
    return [row for row in document["rows"] if wanted.items() <= row.items()]


def test_predictions_follow_the_last_two_lengths() -> None:
    assert predict({}, 64) is None
    assert predict({128: 1.0}, 64) is None
    assert predict({32: 1.0}, 64) == pytest.approx(4.0)
    assert predict({16: 9.0, 32: 1.0, 64: 2.0}, 128) == pytest.approx(4.0)
    assert predict({32: 1.0, 64: 4.0}, 256) == pytest.approx(64.0)
    assert predict({32: 1.0, 64: 100.0}, 128) == pytest.approx(800.0), "at most cubic"
    assert predict({32: 2.0, 64: 1.0}, 128) == pytest.approx(1.0), "never falling"


def test_rounds_fit_the_budget_but_are_at_least_three() -> None:
    assert rounds_for(1.0, 9, 60.0) == 9
    assert rounds_for(10.0, 9, 60.0) == 6
    assert rounds_for(50.0, 9, 60.0) == 3
    assert rounds_for(50.0, 2, 60.0) == 2
    assert rounds_for(0.0, 9, 60.0) == 9


def test_rounds_count_where_the_baseline_was_steady() -> None:
    assert steady_rounds([]) == []
    assert steady_rounds([[1.0, 1.1, 1.2, 1.0, 1.14]]) == [True, True, False, True, True]
    both = [[1.0, 1.0, 1.0, 1.0], [3.0, 2.0, 2.1, 2.2]]
    assert steady_rounds(both) == [False, True, True, True]
    busy = [[1.0, 2.0, 3.0, 4.0, 5.0]]
    assert steady_rounds(busy) == [True, True, True, False, False], "three count at least"
    assert steady_rounds([[1.0, 9.0]]) == [True, True]


def test_what_is_not_steady_stays_out_of_medians_and_ratios() -> None:
    entry = new_entry(fake_row(), fake_row().ours, 32, "forward", 1)
    fill(entry, [1.0, 2.0, 3.0, 90.0], [2.0, 2.0, 2.0, 9.0], [True, True, True, False])
    assert (entry["ms"], entry["baseline_ms"], entry["ratio"]) == (2000, 2000, 1.0)
    assert entry["ratio_quartiles"] == [0.75, 1.25]
    assert entry["times_ms"] == [1000, 2000, 3000, 90000]
    assert entry["kept_rounds"] == [True, True, True, False]
    fill(entry, [1.0, 3.0], [4.0], [])
    assert (entry["ms"], entry["ratio"], entry["kept_rounds"]) == (2000, 0.5, [True, True])


def test_a_baseline_too_long_for_its_rounds_runs_once_for_all_rows(clock: dict[int, float]) -> None:
    session = new_session(sizes=(100, 200, 400), budget=0.5, limit=0.2)
    clock.update({400: 0.15})
    other = Row("other", peer("attn_lib", doubled), doubled, check_n=32)
    session.measure([fake_row(), other])
    runs = []
    for mechanism in ("fake", "other"):
        (row,) = found(session.document, mechanism=mechanism, n=400, pass_="forward")
        assert row["ratio"] == pytest.approx(row["ms"] / row["baseline_ms"])
        runs.append(row["baseline_ms"])
    assert runs[0] == runs[1] == 150
    assert set(session._once) == {(400, "forward"), (400, "forward_backward")}


def test_products_are_counted_as_the_definition_has_them() -> None:
    n, heads, width = 256, 8, 64

    def multiply_adds(mechanism: str, pass_: str = "forward") -> float:
        return sum(one.multiply_adds for one in of_pass(WORK[mechanism](n), pass_))

    assert WORK.keys() == {row.mechanism for row in ROWS}
    assert multiply_adds("full") == 2 * heads * n * n * width
    assert multiply_adds("full causal") == 2 * heads * n * (n + 1) / 2 * width
    assert multiply_adds("longformer") == multiply_adds("full"), "the window sees it all"
    assert multiply_adds("efficient") == 2 * heads * n * width * width
    assert multiply_adds("cosformer") == 2 * multiply_adds("efficient")
    assert multiply_adds("performer") == 4 * heads * n * 256 * width
    assert multiply_adds("luna") == 4 * heads * n * 128 * width
    inside = heads * n * 64 * (64 + width)
    causal = multiply_adds("linear_transformer causal")
    assert causal == multiply_adds("linear_transformer") + inside
    for mechanism in ("full", "strided", "luna", "linear_transformer causal", "linformer learning"):
        assert multiply_adds(mechanism, "forward_backward") == 3 * multiply_adds(mechanism)
    mixing = 2 * heads * n * 256 * width
    given, learned = (
        multiply_adds(x, "forward_backward") for x in ("linformer", "linformer learning")
    )
    assert learned - given == mixing, "E and F have no gradient where they are given"


def test_the_gradients_of_a_product_have_its_shapes() -> None:
    a, b = torch.rand(3, 5, requires_grad=True), torch.rand(5, 7, requires_grad=True)
    (a @ b).sum().backward()
    left, right = Product(105, 3, 5, 7).gradients()
    assert (left.rows, left.columns) == a.shape
    assert left.inner == 7
    assert (right.rows, right.columns) == b.shape
    assert right.inner == 3
    assert Product(105, 3, 5, 7, (False, True)).gradients() == [right]
    assert moved_bytes(30, 10, "forward") == 160
    assert moved_bytes(30, 10, "forward_backward") == 320


def test_the_least_time_is_that_of_the_products_or_of_the_memory() -> None:
    limits = machine.Limits({(2, 3, 4): 1e3, (4, 3, 2): 2e3}, copy=1e2)
    products = [Product(500, 2, 3, 4), Product(500, 4, 3, 2)]
    assert limits.least_seconds(products, 10) == pytest.approx(1.5)
    assert limits.least_seconds(products, 1000) == pytest.approx(10)
    assert limits.described() == {
        "product_gflop_s": {"2x3x4": 1e-6, "4x3x2": 2e-6},
        "copy_gb_s": 1e-7,
    }
    measured = machine.Limits.measured([Product(1, 8, 8, 8)], 1000)
    assert measured.rates[8, 8, 8] > 1e6
    assert measured.copy > 1e6
    assert machine.Load().described().keys() == {"before", "after", "stolen"}


def test_a_row_is_held_to_the_limits_of_its_machine() -> None:
    session = new_session(sizes=(64,))
    (row,) = (row for row in ROWS if row.mechanism == "efficient")
    session.measure([Row(row.mechanism, row.ours, row.oracle, check_n=32)])
    (limits,) = session.document["limits"]
    assert (limits["mechanism"], limits["n"], limits["run"]) == ("efficient", 64, 1)
    for entry in found(session.document, mechanism="efficient"):
        assert entry["limit_share"] == pytest.approx(entry["limit_ms"] / entry["ms"])
        assert entry["load"].keys() == {"before", "after", "stolen"}
        if entry["limit_share"] < 0.6:
            assert entry["note"] == sentence(entry["profile"])
            assert sum(entry["profile"].values()) == pytest.approx(1, abs=0.05)
    unknown = new_session(sizes=(32,))
    unknown.measure([fake_row()])
    assert unknown.document["limits"] == []
    assert {entry["limit_ms"] for entry in unknown.document["rows"]} == {None}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::bmm", "products"),
        ("aten::addmm_", "products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "products"),
        ("aten::copy_", "copies"),
        ("aten::index_select", "copies"),
        ("aten::zeros_like", "new memory"),
        ("aten::topk", "sorting"),
        ("aten::sum", "sums"),
        ("aten::add_", REST),
        ("aten::exp_", REST),
        ("aten::_softmax", REST),
    ],
)
def test_operators_have_a_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_a_profile_says_where_the_time_goes() -> None:
    def multiply(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT) @ v

    shares = profiled(Case.of(fake_row(), peer("products", multiply), 1024), "forward")
    assert max(shares, key=lambda kind: shares[kind]) == "products"
    assert shares.keys() <= {*KINDS, REST, OUTSIDE}
    assert sentence({"products": 0.8, REST: 0.204}) == (
        "time goes into: products 80 %, number by number 20 %"
    )


def test_quartiles_are_interpolated() -> None:
    assert quartiles([5.0]) == (5.0, 5.0, 5.0)
    assert quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (2.0, 3.0, 4.0)
    assert quartiles([1.0, 2.0]) == (1.25, 1.5, 1.75)


def test_largest_tensor_counts_new_storage_only() -> None:
    x = torch.zeros(7, 11)
    with LargestTensor([x]) as largest:
        x.t().expand(5, 11, 7)
    assert largest.nbytes == 0
    with LargestTensor([x]) as largest:
        (x @ x.t()).exp()
    assert largest.nbytes == 7 * 7 * 4


def test_largest_tensor_sees_the_backward_pass() -> None:
    class Wide(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return q + k + v

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            torch.zeros(10**6)
            return grad, grad, grad

    case = Case.of(fake_row(), peer("wide", Wide.apply), 16)
    assert watched(case, "forward")[1] == 8 * 16 * 64 * 4
    assert watched(case, "forward_backward")[1] == 4 * 10**6


def test_the_dense_oracle_is_softmax_attention() -> None:
    case = Case.of(fake_row(), peer("sdpa", scaled_dot_product_attention), 24)
    expected = scaled_dot_product_attention(*(x.double() for x in case.inputs), is_causal=True)
    torch.testing.assert_close(dense(lambda i, j: j <= i)(*case.inputs), expected)


def test_the_inputs_of_a_length_are_always_the_same() -> None:
    one, two = (Case.of(fake_row(), peer("a", scaled_dot_product_attention), 8) for _ in range(2))
    torch.testing.assert_close(one.inputs, two.inputs, rtol=0, atol=0)
    assert [x.shape for x in run_once(one, "forward_backward")] == 4 * [(1, 8, 8, 64)]
    with pytest.raises(ValueError, match="pass_ must be one of"):
        run_once(one, "sideways")


def test_ratios_are_medians_over_the_medians_of_full_attention() -> None:
    session = new_session()
    session.measure([fake_row(peer("again", scaled_dot_product_attention))])
    rows = found(session.document, mechanism="fake")
    assert len(rows) == 2 * 2 * 2
    for row in rows:
        assert row["status"] == "ok"
        assert len(row["times_ms"]) == 3
        assert row["ms"] == sorted(row["times_ms"])[1]
        assert row["ratio"] == pytest.approx(row["ms"] / row["baseline_ms"])
        assert row["ms_quartiles"][0] <= row["ms"] <= row["ms_quartiles"][1]
    assert len({row["baseline_ms"] for row in found(session.document, n=32, pass_="forward")}) == 1


def test_the_baseline_has_ratio_one_in_its_own_row() -> None:
    session = new_session(sizes=(32,))
    row = Row("fake", peer("attn_lib", doubled), doubled, (peer("torch SDPA", doubled),))
    session.measure([row])
    for entry in found(session.document, implementation="torch SDPA"):
        assert entry["ratio"] == 1.0


@pytest.mark.parametrize(
    ("make", "reason"), [(missing, "No module named 'nowhere'"), (unfit, "needs a GPU")]
)
def test_an_absent_peer_is_reported_with_its_reason(make: Any, reason: str) -> None:
    session = new_session(sizes=(32,))
    session.measure([fake_row(Implementation("stranger", make))])
    entry = {"mechanism": "fake", "implementation": "stranger", "reason": reason}
    assert session.document["absent"] == [entry]
    assert f"fake, stranger: absent, {reason}" in render(session.document, ["fake"])
    assert not session.wrong
    assert not found(session.document, implementation="stranger")


def test_a_flagged_peer_runs_only_when_asked_for() -> None:
    flagged = peer("flagged", scaled_dot_product_attention, flag="flex")
    without, asked = new_session(sizes=(32,)), new_session(sizes=(32,), flags=frozenset({"flex"}))
    without.measure([fake_row(flagged)])
    asked.measure([fake_row(flagged)])
    assert [one["reason"] for one in without.document["absent"]] == ["only with --flex"]
    assert len(found(asked.document, implementation="flagged")) == 2


def test_what_differs_from_the_oracle_is_not_timed() -> None:
    session = new_session(sizes=(32,))
    session.measure([fake_row(peer("double", doubled))])
    assert session.wrong
    assert not found(session.document, implementation="double")
    verdicts = {one["implementation"]: one["agrees"] for one in session.document["checks"]}
    assert verdicts == {"attn_lib": True, "double": False}


def test_wrong_gradients_are_noticed() -> None:
    def stopped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q.detach(), k, v) + 0 * q

    session = new_session(sizes=(32,))
    session.measure([fake_row(ours=stopped)])
    (verdict,) = session.document["checks"]
    assert verdict["forward_error"] < 1e-5
    assert verdict["gradient_error"] > 0.1
    assert session.wrong


def test_a_peer_with_other_mathematics_is_excused_and_says_so() -> None:
    session = new_session(sizes=(32,))
    session.measure([fake_row(peer("double", doubled, agrees=False, note="twice the output"))])
    assert not session.wrong
    assert found(session.document, implementation="double")[0]["note"] == "twice the output"


def test_a_missing_function_of_ours_is_an_error() -> None:
    session = new_session(sizes=(32,))
    session.measure([Row("fake", Implementation("attn_lib", unfit), dense())])
    assert session.wrong


def test_a_row_stops_growing_where_a_run_would_take_too_long(clock: dict[int, float]) -> None:
    session = new_session(sizes=(100, 200, 400, 800), limit=0.1)
    session.measure([fake_row()])
    rows = found(session.document, pass_="forward")
    assert [row["status"] for row in rows] == ["ok", "ok", "over limit", "over limit"]
    assert rows[1]["ms"] == pytest.approx(40)
    assert rows[2]["reason"] == "predicted 0.16 s (limit 0.1 s)"
    assert rows[3]["reason"] == "over the limit already at n = 400"
    assert rows[3]["ms"] is rows[3]["ratio"] is None
    text = render(session.document, ["fake"])
    assert "fake, attn_lib, forward, n = 800: over limit, over the limit already at n = 400" in text


def test_a_run_that_takes_longer_than_predicted_ends_the_row(clock: dict[int, float]) -> None:
    clock[200] = 0.5
    session = new_session(sizes=(100, 200, 400), limit=0.1)
    session.measure([fake_row()])
    rows = found(session.document, pass_="forward_backward")
    assert [row["status"] for row in rows] == ["ok", "over limit", "over limit"]
    assert rows[1]["reason"] == "one run took 0.50 s (limit 0.1 s)"


def test_without_a_baseline_there_are_times_but_no_ratio(clock: dict[int, float]) -> None:
    session = new_session(sizes=(100, 200))
    session._past("full", "torch SDPA", "forward").stopped = 100
    session.measure([fake_row()])
    (row,) = found(session.document, n=200, pass_="forward")
    assert row["ms"] == pytest.approx(40)
    assert row["ratio"] is row["baseline_ms"] is None
    assert row["reason"].startswith("no ratio: torch SDPA was over the limit")


def test_a_row_stops_growing_where_memory_would_not_suffice() -> None:
    session = new_session(sizes=(32, 64))
    session._bytes = 8 * 32 * 64 * 4 * 4
    session.measure([fake_row()])
    rows = found(session.document, pass_="forward")
    assert [row["status"] for row in rows] == ["ok", "over limit"]
    assert "of memory" in rows[1]["reason"]
    assert rows[1]["ratio"] is None


def test_a_long_length_alone_is_predicted_from_two_short_ones(clock: dict[int, float]) -> None:
    session = new_session(sizes=(4096,), limit=10.0)
    session.measure([fake_row()])
    (row,) = found(session.document, pass_="forward")
    assert (row["status"], row["reason"]) == ("over limit", "predicted 17 s (limit 10 s)")


def test_a_failure_is_recorded_and_the_rest_goes_on() -> None:
    session = new_session(sizes=(64, 96))
    session.measure([fake_row(peer("brittle", broken_when_long))])
    rows = found(session.document, implementation="brittle", pass_="forward")
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert rows[1]["reason"] == "RuntimeError: kernel says no"
    assert all(row["status"] == "ok" for row in found(session.document, implementation="attn_lib"))


def test_a_pass_that_a_peer_lacks_is_recorded() -> None:
    session = new_session(sizes=(32,))
    one_way = peer("one way", scaled_dot_product_attention, passes=("forward",))
    session.measure([fake_row(one_way)])
    (row,) = found(session.document, implementation="one way", pass_="forward_backward")
    assert (row["status"], row["reason"]) == ("absent", "has no backward pass")


def test_resuming_skips_what_is_settled_and_retries_failures() -> None:
    session = new_session()
    session.measure([fake_row()])
    before = json.dumps(session.document["rows"])
    again = new_session(session.document)
    again.measure([fake_row()], skip_done=True)
    assert json.dumps(session.document["rows"]) == before
    for row in found(session.document, n=64):
        row.update(status="failed", ms=None)
    again.measure([fake_row()], skip_done=True)
    assert {row["run"] for row in found(session.document, n=32)} == {1}
    assert {row["run"] for row in found(session.document, n=64)} == {2}
    assert {row["status"] for row in found(session.document, n=64)} == {"ok"}


def test_resuming_with_memory_measures_rows_that_lack_it() -> None:
    session = new_session(sizes=(32,))
    session.measure([fake_row()])
    wanted = [("attn_lib", "forward"), ("attn_lib", "forward_backward")]
    assert record.is_done(session.document, "fake", 32, wanted, memory=False)
    assert not record.is_done(session.document, "fake", 32, wanted, memory=True)
    assert not record.is_done(session.document, "fake", 32, [("new", "forward")], memory=False)


def test_a_rerun_replaces_only_its_own_rows() -> None:
    session = new_session()
    other = Row("other", peer("attn_lib", scaled_dot_product_attention), dense(), check_n=32)
    session.measure([fake_row(peer("dropped", scaled_dot_product_attention)), other])
    kept = json.dumps(found(session.document, mechanism="other"))
    rerun = new_session(session.document)
    rerun.measure([fake_row()])
    assert json.dumps(found(session.document, mechanism="other")) == kept
    assert not found(session.document, implementation="dropped")
    assert {row["run"] for row in found(session.document, mechanism="fake")} == {2}
    assert [run["id"] for run in session.document["runs"]] == [1, 2]
    new_session(session.document).measure([fake_row(), other])
    assert [run["id"] for run in session.document["runs"]] == [3]


def test_a_rerun_without_memory_keeps_the_old_peaks() -> None:
    session = new_session()
    session.measure([fake_row()])
    for row in session.document["rows"]:
        row.update(peak_mb=7.0, peak_method="sampled", ms=123.0)
    new_session(session.document, memory=False).measure([fake_row()])
    assert {row["peak_mb"] for row in session.document["rows"]} == {7.0}
    assert 123.0 not in {row["ms"] for row in session.document["rows"]}


def test_memory_alone_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    session = new_session(sizes=(32,))
    session.measure([fake_row(peer("brittle", scaled_dot_product_attention))])
    session.document["rows"][0].update(status="failed", ms=None)
    before = {row["implementation"]: row["times_ms"] for row in session.document["rows"]}
    again = new_session(session.document, memory=True)
    asked = []

    def measure(*call: Any, **options: Any) -> dict[str, Any]:
        asked.append(call)
        return {"peak_bytes": 5_000_000, "method": "VmHWM"}

    monkeypatch.setattr("benchmarks.session.measure_peak", measure)
    again.weigh([fake_row(peer("brittle", scaled_dot_product_attention))])
    failed, *weighed = session.document["rows"]
    assert len(asked) == len(weighed) == 3
    assert failed["peak_mb"] is None
    for row in weighed:
        assert (row["peak_mb"], row["run"], row["peak_run"]) == (5, 1, 2)
        assert row["times_ms"] == before[row["implementation"]] or row["pass"] == "forward"
    record.replace(session.document, "none", 1, [])
    assert [run["id"] for run in session.document["runs"]] == [1, 2]


def test_memory_is_weighed_at_the_lengths_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    session = new_session(sizes=(32, 64))
    session.measure([fake_row()])
    weighed: list[int] = []
    monkeypatch.setattr(Session, "_weigh", lambda self, row, one, n, *rest: weighed.append(n))
    new_session(session.document, sizes=(64,)).weigh([fake_row()])
    assert set(weighed) == {64}


def test_a_rerun_is_not_held_to_the_old_limits(clock: dict[int, float]) -> None:
    session = new_session(sizes=(100, 200), limit=0.02)
    session.measure([fake_row()])
    assert {row["status"] for row in session.document["rows"]} == {"ok", "over limit"}
    new_session(session.document, sizes=(100, 200)).measure([fake_row()])
    assert {row["status"] for row in session.document["rows"]} == {"ok"}


def test_the_command_writes_valid_json_and_merges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "2026-01-31-cpu.json"
    common = ["--quick", "--no-memory", "--threads", "1", "--output", str(path)]
    assert command.main(["--only", "strided", *common]) == 0
    shown = capsys.readouterr()
    assert "ms / ratio to full SDPA / peak MB" in shown.out
    assert "[1/2] strided, n = 96" in shown.err
    document = record.read(path)
    assert document["command"] == (
        "python -m benchmarks --only strided --quick --no-memory --threads 1"
    )
    assert document["machine"].keys() <= {"cpu", "cores", "threads", "system", "memory_gb"}
    assert str(tmp_path) not in path.read_text(encoding="utf-8")

    assert command.main(["--only", "fixed", "--merge", *common]) == 0
    document = record.read(path)
    assert {row["mechanism"] for row in document["rows"]} == {"strided", "fixed"}
    capsys.readouterr()
    assert command.main(["--only", "strided,fixed", "--resume", *common]) == 0
    assert capsys.readouterr().err.count("already measured") == 4


def test_a_partial_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    call = ["--only", "fixed", "--sizes", "80", "--repeats", "1", "--no-memory", "--no-peers"]
    assert command.main([*call, "--threads", "1"]) == 0
    assert "not written" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_merge_starts_from_the_newest_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    session = new_session()
    session.measure([fake_row()])
    record.write(session.document, tmp_path / "2026-01-31-cpu.json")
    call = ["--only", "fixed", "--sizes", "80", "--repeats", "1", "--no-memory", "--threads", "1"]
    assert command.main([*call, "--merge"]) == 0
    newest = record.newest(tmp_path, "cpu")
    assert newest is not None
    assert newest.name != "2026-01-31-cpu.json"
    rows = record.read(newest)["rows"]
    assert {row["mechanism"] for row in rows} == {"fake", "fixed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nonesuch"], "must name some of: full, full causal"),
        (["--no-peers", "--merge"], "2"),
        (["--memory-only"], "2"),
        (["--sizes", "0"], "2"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        command.main(arguments)


def test_todays_file_is_not_overwritten_by_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    today = command.datetime.datetime.now(command.datetime.UTC).date()
    (tmp_path / f"{today}-cpu.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match="--resume"):
        command.main([])


def test_peak_memory_sees_what_is_freed_again() -> None:
    size = 64 * 2**20

    def call() -> None:
        torch.ones(size, dtype=torch.uint8)

    peak, method = memory.peak_during(call)
    assert method in {"VmHWM", "sampled", "ru_maxrss"}
    if method == "VmHWM":
        assert 0.99 * size <= peak < 1.1 * size


def test_peak_memory_is_sampled_where_it_cannot_be_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_reset_peak", lambda: False)
    size = 64 * 2**20

    def call() -> None:
        kept = torch.ones(size, dtype=torch.uint8)
        time.sleep(0.05)
        del kept

    peak, method = memory.peak_during(call)
    if method == "sampled":
        assert 0.9 * size <= peak < 1.2 * size


def test_peak_memory_is_measured_in_a_fresh_process() -> None:
    # Long enough that memory which the process had already freed does not count for much.
    measured = memory.measure_peak("full", "torch SDPA", 2048, "forward", threads=1, timeout=90)
    output = 8 * 2048 * 64 * 4
    assert output <= measured["peak_bytes"] < 2 * output


def test_a_measuring_process_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="pass_ must be one of"):
        memory.measure_peak("full", "torch SDPA", 8, "sideways", threads=1, timeout=90)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, "schema_version must be 2"),
        ({"rows": [{"mechanism": 3}]}, "mechanism must be str"),
        ({"machine": ...}, "document must have"),
    ],
)
def test_another_schema_is_refused(change: dict[str, Any], message: str) -> None:
    document = {**record.new_document("cpu"), **change}
    document = {key: value for key, value in document.items() if value is not ...}
    with pytest.raises(ValueError, match=message):
        record.validate(document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "fine"}, "status must be one of"),
        ({"ms": None}, "ms must be given exactly"),
        ({"ms": float("nan")}, "must be null or a number"),
        ({"run": 9}, "run must be one of"),
        ({"n": 64}, "row must be unique"),
    ],
)
def test_a_row_outside_the_schema_is_refused(change: dict[str, Any], message: str) -> None:
    session = new_session(repeats=1)
    session.measure([fake_row()])
    record.validate(session.document)
    session.document["rows"][0].update(change)
    with pytest.raises(ValueError, match=message):
        record.validate(session.document)


def test_every_row_is_declared_once() -> None:
    assert len({row.mechanism for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert row.ours.name == "attn_lib"
        names = [one.name for one in row.implementations]
        assert len(set(names)) == len(names)


def test_committed_results_follow_the_schema() -> None:
    for path in sorted((ROOT / "benchmarks" / "results").glob("????-??-??-*.json")):
        document = record.read(path)
        assert path.name.endswith(f"-{document['device']}.json")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    session = new_session(sizes=(64, 32))
    session.measure([fake_row(peer("other", scaled_dot_product_attention))])
    for row in session.document["rows"]:
        row["peak_mb"] = row["n"] / 8
    record.write(session.document, tmp_path / "2026-01-31-cpu.json")
    monkeypatch.setattr(_measured, "_folder", lambda: tmp_path)
    return tmp_path


def test_the_loader_returns_series_in_ascending_order(results: Path) -> None:
    measured = load_measurements()
    assert (measured.date, measured.device) == ("2026-01-31", "cpu")
    assert measured.machine["threads"] == 1
    assert measured.mechanisms == ("fake",)
    assert measured.implementations("fake") == ("attn_lib", "other")
    assert measured.series("fake", "other", "peak_mb") == ((32, 64), (4.0, 8.0))
    assert measured.series("fake", "other", "limit_share") == ((), ())
    assert all(len(row.kept_rounds) == len(row.times_ms) == 3 for row in measured.rows)
    assert all(row.ratio_quartiles is not None for row in measured.rows)
    n, ratios = measured.series("fake", pass_="forward_backward")
    assert n == (32, 64)
    assert all(isinstance(ratio, float) for ratio in ratios)
    assert len(measured.rows) == 8


def test_the_loader_reads_the_newest_file(results: Path) -> None:
    document = json.loads((results / "2026-01-31-cpu.json").read_text(encoding="utf-8"))
    document["date"] = "2026-02-01"
    document["rows"] = document["rows"][:1]
    (results / "2026-02-01-cpu.json").write_text(json.dumps(document), encoding="utf-8")
    assert load_measurements().date == "2026-02-01"
    assert len(load_measurements().rows) == 1


def test_a_figure_that_was_not_measured_is_left_out(results: Path) -> None:
    path = results / "2026-01-31-cpu.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    for row in document["rows"]:
        if row["n"] == 64:
            row.update(status="over limit", ms=None, ratio=None)
    path.write_text(json.dumps(document), encoding="utf-8")
    assert load_measurements().series("fake", "attn_lib", "ms")[0] == (32,)


def test_the_loader_says_what_is_wrong(results: Path) -> None:
    measured = load_measurements()
    with pytest.raises(ValueError, match="mechanism must be one of"):
        measured.series("nonesuch")
    with pytest.raises(ValueError, match="implementation must be one of"):
        measured.series("fake", "nonesuch")
    with pytest.raises(ValueError, match="quantity must be one of"):
        measured.series("fake", "other", "speed")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pass_ must be one of"):
        measured.series("fake", "other", "ms", "backward")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="device must have measured results, got 'cuda'"):
        load_measurements("cuda")
    document = json.loads((results / "2026-01-31-cpu.json").read_text(encoding="utf-8"))
    document["schema_version"] = 3
    (results / "2026-02-02-cpu.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match="schema_version must be 2, got 3"):
        load_measurements()
