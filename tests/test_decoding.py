"""The measurement of decoding: its decoders, its bytes, its file, and the loader of that file."""

import json
from pathlib import Path

import pytest
import torch

from attn_lib import costs
from attn_lib.data import _measured, load_decoding
from benchmarks import decoding


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("decoder", decoding.DECODERS, ids=lambda d: d.name)
def test_every_decoder_writes_what_its_oracle_says(decoder):
    assert decoding.check(decoder) < 1e-5


def test_a_cache_is_as_large_as_its_text_and_a_state_as_ever():
    rows = [row for n in (3, 40) for row in decoding.measure(decoding.DECODERS, n, repeats=2)]
    size = {(row["decoder"], row["n"]): row["state_bytes"] for row in rows}
    for n in (3, 40):
        assert size["KV cache", n] == 8 * costs.kv_cache_bytes(n, 64, 64)
        numbers = costs.linear_transformer_state_numbers(64, features=64)
        assert size["linear_transformer", n] == 8 * 4 * numbers
    assert all(len(row["times_ms"]) == 2 and row["ms"] > 0 for row in rows)


def test_the_command_writes_what_the_loader_reads(tmp_path, monkeypatch):
    path = tmp_path / "decoding.json"
    command = ["--sizes", "9,5", "--repeats", "1", "--threads", "1", "--output", str(path)]
    assert decoding.main(command) == 0
    monkeypatch.setattr(_measured, "_folder", lambda: tmp_path)
    measured = load_decoding()
    assert measured.decoders == ("KV cache", "linear_transformer")
    assert [row.n for row in measured.select("KV cache")] == [5, 9]
    row = measured.select("KV cache")[1]
    assert row.state_bytes == 8 * costs.kv_cache_bytes(9, 64, 64)
    assert row.tokens_per_second == 1e3 / row.ms
    assert measured.settings["layers"] == 1
    with pytest.raises(ValueError, match=r"^decoder must be one of .*got 'paper'"):
        measured.select("paper")
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "schema_version": 2}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^schema_version must be 1, got 2"):
        load_decoding()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"^decoding must be measured"):
        load_decoding()


def test_a_wrong_decoder_is_not_measured(tmp_path, monkeypatch):
    cache = decoding.DECODERS[0]
    fields = {"read": cache.read, "step": cache.step, "kept": cache.kept}
    wrong = decoding.Decoder("wrong", **fields, oracle=decoding.linear)
    monkeypatch.setattr(decoding, "DECODERS", (wrong,))
    path = tmp_path / "decoding.json"
    assert decoding.main(["--sizes", "4", "--output", str(path)]) == 1
    assert not path.exists()


def test_committed_results_are_there():
    results = Path(decoding.__file__).parent / "results" / "decoding.json"
    if not results.exists():
        pytest.skip("not measured yet")
    cache, state = (load_decoding().select(d.name) for d in decoding.DECODERS)
    assert [row.n for row in cache] == [row.n for row in state] == list(decoding.SIZES)
