"""The recorded training runs: the file, its loader, and the script that writes it."""

import json
from itertools import product
from pathlib import Path

import pytest
import torch

from attn_lib.data import _measured, load_training_runs
from attn_lib.explorers.warm_up import RATES, WARMUPS
from benchmarks import warmup

ALMOST_UNIGRAMS = 3.15  # nats; who knows how often each character occurs has 3.22


@pytest.fixture(scope="module")
def recorded():
    return load_training_runs()


def test_every_setting_was_tried_with_every_seed(recorded):
    expected = set(product(recorded.norms, recorded.rates, recorded.warmups, range(3)))
    found = [(run.norm, run.rate, run.warmup, run.seed) for run in recorded.runs]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert {"post", "pre"} <= set(recorded.norms)


def test_the_explorer_offers_what_was_recorded(recorded):
    assert tuple(float(rate) for rate in RATES) == recorded.rates
    assert recorded.warmups == WARMUPS


def test_a_run_holds_what_the_settings_promise(recorded):
    depth, points = recorded.settings["depth"], recorded.settings["steps"] // 10
    assert recorded.settings["every"] == 10
    assert recorded.steps[:2] == (5.5, 15.5)
    for run in recorded.runs:
        assert len(run.losses) == points
        assert (len(run.sizes), len(run.cosines), len(run.without)) == (depth + 1, depth, depth)
        assert all(-1 <= cosine <= 1 for cosine in run.cosines)
        assert run.losses[0] > run.held_out - 0.2


def test_the_command_that_made_them_is_there(recorded):
    assert recorded.command.startswith("python -m benchmarks.warmup")
    assert recorded.versions["torch"]
    args = warmup._parser().parse_args(recorded.command.split()[3:])
    assert set(args.norms) == set(recorded.norms)
    assert args.steps == recorded.settings["steps"]


def test_post_ln_needs_the_warm_up_and_pre_ln_does_not(recorded):
    """The claim of the chapter, for every seed."""
    for run in recorded.select("post", 0.01, 0):
        assert run.held_out > ALMOST_UNIGRAMS
    for norm, steps in (("post", 200), ("pre", 0), ("pre", 200)):
        for run in recorded.select(norm, 0.01, steps):
            assert run.held_out < 2.75
    for rate in recorded.rates:
        for run in recorded.select("pre", rate, 0):
            assert run.held_out < 2.75


def test_the_best_setting_is_the_lowest_mean(recorded):
    for norm in recorded.norms:
        best = sum(run.held_out for run in recorded.best(norm))
        for rate, steps in product(recorded.rates, recorded.warmups):
            runs = recorded.select(norm, rate, steps)
            assert [run.seed for run in runs] == [0, 1, 2]
            assert best <= sum(run.held_out for run in runs) + 1e-12


def test_what_was_not_tried_is_refused(recorded):
    with pytest.raises(ValueError, match=r"^\(norm, rate, warmup\) must .*got \('post', 0\.02, 0"):
        recorded.select("post", 0.02, 0)
    with pytest.raises(ValueError, match=r"^norm must be one of .*got 'none'"):
        recorded.best("none")


def test_the_script_writes_what_the_loader_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "warmup.json"
    options = [
        *("--norms", "pre", "--rates", "0.01", "--warmups", "0,5"),
        *("--seeds", "1", "--steps", "20", "--depth", "2"),
    ]
    assert warmup.main([*options, "--output", str(path)]) == 0
    shown = capsys.readouterr()
    assert "2/2" in shown.err
    assert "written to" in shown.out
    monkeypatch.setattr(_measured, "_folder", lambda: tmp_path)
    read = load_training_runs()
    assert (read.norms, read.rates, read.warmups) == (("pre",), (0.01,), (0, 5))
    (run,) = read.select("pre", 0.01, 5)
    again = warmup.train(warmup._characters(), "pre", 0.01, 5, 0, 20, 2)
    assert again["losses"] == pytest.approx(run.losses, abs=1e-3)
    assert run.losses[1] < run.losses[0]

    assert warmup.main([*options, "--output", str(path), "--resume"]) == 0
    assert "1/" not in capsys.readouterr().err  # nothing was left to do
    document = json.loads(path.read_text(encoding="utf-8"))
    assert "--resume" not in document["command"]
    document["schema_version"] = 2
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match=r"schema_version must be 1, got 2 in warmup\.json"):
        load_training_runs()


def test_a_block_left_out_is_left_out() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = warmup.CharacterModel(11, "post", 3)
    text, answer = torch.randint(11, (2, 2, 64), generator=torch.Generator().manual_seed(1))
    inside = warmup._look_inside(model, text, answer)
    assert inside["held_out"] == pytest.approx(warmup._loss(model(text), answer).item(), abs=1e-4)
    del model.stack.blocks[1]
    shorter = warmup._loss(model(text), answer).item()
    assert inside["without"][1] == pytest.approx(shorter, abs=1e-4)
