"""The measurement of decoding: its decoders, its bytes, its file, and the loader of that file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attn_lib import costs
from attn_lib.catalog import MECHANISMS
from attn_lib.data import _measured, load_decoding
from benchmarks import decoders, decoding
from benchmarks.decoders import DECODERS
from benchmarks.limits import MIN_ROUNDS, steady_rounds
from benchmarks.measure import TOLERANCE

HEADS, D, ITEMSIZE = 8, 64, 4
every_decoder = pytest.mark.parametrize("decoder", DECODERS, ids=lambda d: d.name)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@every_decoder
@torch.no_grad()
def test_every_decoder_writes_what_its_oracle_says(decoder):
    assert decoding.check(decoder) < 1e-5


@pytest.mark.parametrize(
    "wrong",
    [
        decoders.windowed(255),
        decoders.windowed(257),
        decoders.strided(63),
        decoders.strided(32),
        decoders.fixed(summary=7),
        decoders.fixed(stride=63),
        decoders.best(63),
        decoders.best(65),
        replace(DECODERS[0], oracle=DECODERS[3].oracle),
        *(replace(one, oracle=DECODERS[0].oracle) for one in DECODERS[1:]),
    ],
    ids=lambda d: f"{d.name} {list(d.options.values())}",
)
@torch.no_grad()
def test_the_check_finds_what_is_off_by_one(wrong):
    assert decoding.check(wrong) > 10 * TOLERANCE


def test_mechanisms_that_cannot_write_are_listed_with_a_reason():
    names = {one.mechanism for one in DECODERS}
    assert not names & set(decoders.ABSENT)
    told = names | set(decoders.ABSENT)
    assert told == {one.name for one in MECHANISMS}, "a decoder, or why not in decoders.ABSENT"
    no_causal_form = {one.name for one in MECHANISMS if not one.causal}
    assert no_causal_form == {
        name for name, why in decoders.ABSENT.items() if why.startswith("no causal form: ")
    }


@torch.no_grad()
def test_why_reformer_cannot_write():
    """A row of its causal form changes when later tokens come: they move the cuts of the order."""
    from attn_lib import reformer_attention

    qk, v = torch.randn(2, 1, 2, 40, 8, generator=torch.Generator().manual_seed(0))
    options = {"causal": True, "bucket_size": 4, "num_hashes": 2}
    first, whole = (
        reformer_attention(
            qk[:, :, :n], v[:, :, :n], **options, generator=torch.Generator().manual_seed(1)
        )
        for n in (32, 40)
    )
    assert not torch.allclose(first, whole[:, :, :32])


@every_decoder
@pytest.mark.parametrize("n", [3, 128, 200, 256, 257, 300])
@torch.no_grad()
def test_what_is_kept_is_what_the_costs_count(decoder, n):
    """But for two of the costs' conventions, which their Notes tell.

    A state holds one level for each of the Performer's features, which the costs leave out; and
    Luna's count of tokens, which the costs put down as one number a head, is an int beside the
    tensors. (cosFormer's position is one too, and not counted by either.)
    """
    text = decoding.qkv(n, torch.Generator().manual_seed(0))
    state = decoder.read(*text, 5)
    numbers = costs.kept_numbers(decoder.mechanism, n, D, D, causal=True, **decoder.options)
    numbers += {"performer": decoder.options.get("features"), "luna": -1}.get(decoder.name, 0)
    assert sum(x.numel() for x in decoder.kept(state)) == HEADS * numbers


@torch.no_grad()
def test_a_cache_grows_with_its_text_and_a_state_does_not():
    measured = {
        n: {row["decoder"]: row for row in decoding.measure(DECODERS, n, repeats=1, tokens=2)}
        for n in (100, 400)
    }
    for decoder in DECODERS:
        few, many = (rows[decoder.name]["state_bytes"] for rows in measured.values())
        assert (few < many) == (decoder.mechanism in WITH_CACHE)
    for name in ("KV cache", "sparse_transformer", "explicit_sparse"):
        assert measured[400][name]["state_bytes"] == HEADS * costs.kv_cache_bytes(400, D, D)
    window = measured[400]["longformer"]
    assert window["state_bytes"] == HEADS * costs.kv_cache_bytes(257, D, D) == window["read_bytes"]
    read = {name: row["read_bytes"] for name, row in measured[400].items()}
    assert read["KV cache"] == HEADS * costs.kv_cache_bytes(400, D, D)
    # 64 before it, and those at distances of 128, 192, 256, 320 and 384; and the key itself
    assert read["sparse_transformer"] == HEADS * costs.kv_cache_bytes(1 + 64 + 5, D, D)
    assert read["explicit_sparse"] == HEADS * ITEMSIZE * (400 * D + 64 * D)
    assert read["linear_transformer"] == HEADS * ITEMSIZE * D * (D + 1)


WITH_CACHE = {"softmax", "sparse_transformer", "explicit_sparse", "longformer"}


@every_decoder
@torch.no_grad()
def test_a_round_leaves_as_much_kept_as_the_round_before(decoder):
    text = decoding.qkv(300, torch.Generator().manual_seed(0))
    state = decoder.read(*(x[:, :, :190] for x in text), 110)
    sizes = [x.numel() for x in decoder.kept(state)]
    for _ in range(2):
        decoding._write(decoder, state, [x[:, :, 190:] for x in text])
        assert [x.numel() for x in decoder.kept(state)] == sizes


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([2.0], [True]),
        ([2.0, 9.0], [True, True]),
        ([9.0, 2.0, 8.0], [True, True, True]),
        ([2.0, 2.3, 2.31, 2.0, 2.1], [True, True, False, True, True]),
        ([7.0, 2.0, 9.0, 8.0, 6.0], [True, True, False, False, True]),
    ],
)
def test_a_disturbed_round_does_not_count_while_three_are_left(times, kept):
    assert steady_rounds([times]) == kept


@torch.no_grad()
def test_a_round_that_disturbs_the_first_counts_for_none(monkeypatch):
    monkeypatch.setattr(
        decoding, "steady_rounds", lambda all_: [i != 1 for i in range(len(all_[0]))]
    )
    for row in decoding.measure(DECODERS[:2], 9, repeats=3, tokens=2):
        first, _, last = row["times_ms"]
        assert row["kept"] == [True, False, True]
        assert row["ms"] == pytest.approx((first + last) / 2)


def test_the_command_writes_what_the_loader_reads(tmp_path, monkeypatch):
    path = tmp_path / "decoding.json"
    command = ["--sizes", "9,5", "--repeats", "4", "--threads", "1", "--output", str(path)]
    assert decoding.main(command) == 0
    monkeypatch.setattr(_measured, "_folder", lambda: tmp_path)
    measured = load_decoding()
    assert measured.decoders == tuple(one.name for one in DECODERS)
    assert [row.n for row in measured.select("KV cache")] == [5, 9]
    row = measured.select("KV cache")[1]
    assert row.state_bytes == row.read_bytes == HEADS * costs.kv_cache_bytes(9, D, D)
    assert row.tokens_per_second == 1e3 / row.ms
    assert measured.settings["layers"] == 1
    assert measured.settings["options"]["longformer"] == {"window": 256}
    assert {one["decoder"]: one["reason"] for one in measured.absent} == decoders.ABSENT
    for row in measured.rows:
        assert len(row.times_ms) == len(row.kept) == 4
        assert sum(row.kept) >= 3
        assert row.ms_quartiles[0] <= row.ms <= row.ms_quartiles[1]
        assert len(row.load) == 2
    with pytest.raises(ValueError, match=r"^decoder must be one of .*got 'paper'"):
        measured.select("paper")
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "schema_version": 1}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^schema_version must be 2, got 1"):
        load_decoding()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"^decoding must be measured"):
        load_decoding()


def test_a_wrong_decoder_is_not_measured(tmp_path, monkeypatch):
    wrong = replace(DECODERS[0], oracle=DECODERS[3].oracle)
    monkeypatch.setattr(decoding, "DECODERS", (wrong,))
    path = tmp_path / "decoding.json"
    assert decoding.main(["--sizes", "4", "--output", str(path)]) == 1
    assert not path.exists()


def test_committed_results_are_there():
    results = Path(decoding.__file__).parent / "results" / "decoding.json"
    if not results.exists():
        pytest.skip("not measured yet")
    measured = load_decoding()
    assert measured.decoders == tuple(one.name for one in DECODERS)
    for name in measured.decoders:
        rows = measured.select(name)
        assert [row.n for row in rows] == list(decoding.SIZES)
        assert all(sum(row.kept) >= MIN_ROUNDS for row in rows)
