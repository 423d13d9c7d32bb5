"""The explorers of gradients, streams and warm-up against plain computations and recorded runs."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attn_lib.data import load_training_runs
from attn_lib.explorers import GradientLadder, ResidualStream, WarmUp
from attn_lib.explorers._depth import DEPTHS, DRAWS, LENGTH, NORMS, WIDTH, measure_start
from attn_lib.explorers.gradient_ladder import EXPONENTS
from attn_lib.explorers.residual_stream import STREAMS
from attn_lib.layers import TransformerStack

every_norm = pytest.mark.parametrize("norm", list(NORMS))


@every_norm
def test_what_is_measured_is_what_autograd_says(norm: str) -> None:
    """The same draws, one after another and through the fused kernel."""
    depth, gain = 3, 2.0
    start = measure_start(norm, depth, gain)
    draw = torch.Generator()
    with torch.random.fork_rng():
        stacks = [TransformerStack(depth, WIDTH, 4, norm=norm) for _ in range(DRAWS)]
    for stack in stacks:
        stack.reset_parameters(draw)
        with torch.no_grad():
            for parameter in stack.parameters():
                if parameter.dim() > 1:
                    parameter *= gain
    x = torch.randn(DRAWS, 1, LENGTH, WIDTH, generator=draw)
    heads = torch.empty(DRAWS, WIDTH, WIDTH)
    for head in heads:
        nn.init.xavier_uniform_(head, generator=draw)
    target = torch.randint(WIDTH, (DRAWS, LENGTH), generator=draw)
    for k in (0, 7, DRAWS - 1):
        stack, stream = stacks[k], [x[k]]
        for block in stack.blocks:
            stream.append(block(stream[-1]))
        scores = (stack.final_norm(stream[-1]) @ heads[k].T)[0]
        for which, positions in enumerate((1, LENGTH)):
            loss = nn.functional.cross_entropy(scores[:positions], target[k, :positions])
            for b, block in enumerate(stack.blocks):
                matrices = (
                    *(block.attention.qkv.weight, block.attention.out.weight),
                    *(block.feed_forward.inner.weight, block.feed_forward.outer.weight),
                )
                found = torch.autograd.grad(loss, matrices, retain_graph=True)
                expected = torch.stack([gradient.norm() for gradient in found])
                torch.testing.assert_close(
                    start.gradients[which, k, :, b], expected, rtol=1e-3, atol=1e-5
                )
        for b, (before, after) in enumerate(itertools.pairwise(stream)):
            size = before.square().mean().sqrt()
            assert start.sizes[k, b].item() == pytest.approx(size.item(), rel=1e-4)
            cosine = nn.functional.cosine_similarity(before, after, dim=-1).mean()
            assert start.cosines[k, b].item() == pytest.approx(cosine.item(), abs=1e-4)


def test_nothing_is_drawn_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    measure_start("pre", 2, 3.0)
    assert torch.equal(torch.get_rng_state(), before)


@every_norm
def test_the_measured_power_is_the_theorys(norm: str) -> None:
    frame = GradientLadder.compute(norm=norm)
    assert frame["slope"][0] == pytest.approx(EXPONENTS[norm], abs=0.1)
    measured, theory = frame["last"]
    assert measured.mean() == pytest.approx(theory.mean(), abs=1e-4)
    power = np.polyfit(np.log10(DEPTHS), theory, 1)[0]
    assert power == pytest.approx(EXPONENTS[norm], abs=1e-4)


def test_a_ladder_ends_where_the_other_chart_stands() -> None:
    for depth in DEPTHS:
        frame = GradientLadder.compute(norm="pre", depth=depth, loss="all")
        assert frame["ladder"].shape == (4, depth)
        at = DEPTHS.index(depth)
        assert frame["ladder"][-1, -1] == pytest.approx(frame["last"][0, at], abs=1e-5)
        assert (frame["band"][0] <= frame["ladder"][-1]).all()
        assert (frame["ladder"][-1] <= frame["band"][1]).all()


def test_a_small_start_hides_the_fall_of_pre_ln() -> None:
    slopes = [GradientLadder.compute(norm="pre", gain=gain)["slope"][0] for gain in (0.5, 1.0, 2.0)]
    assert slopes[0] > -0.2
    assert slopes[1] < -0.45
    assert slopes[2] < -0.45


def test_the_stream_is_that_of_the_draws() -> None:
    frame = ResidualStream.compute(depth=5)
    assert frame["sizes"].shape == (len(STREAMS), 6)
    for r, norm in enumerate(STREAMS):
        start = measure_start(norm, 5)
        np.testing.assert_allclose(10 ** frame["sizes"][r], start.sizes.mean(0), rtol=1e-5)
        np.testing.assert_allclose(frame["cosines"][r], start.cosines.mean(0), rtol=1e-5)
    assert not frame["costs"].any()


def test_pre_ln_swells_and_post_ln_does_not() -> None:
    frame = ResidualStream.compute(depth=32)
    sizes = 10.0 ** frame["sizes"]
    post, pre = (list(STREAMS).index(norm) for norm in ("post", "pre"))
    np.testing.assert_allclose(sizes[post, 1:], 1, rtol=1e-3)
    power = np.polyfit(np.log(np.arange(4, 33)), np.log(sizes[pre, 4:]), 1)[0]
    assert power == pytest.approx(0.5, abs=0.1)
    assert frame["cosines"][pre, -1] > 0.95
    assert frame["cosines"][post, -1] < 0.8


def test_the_trained_streams_are_the_recorded_ones() -> None:
    recorded = load_training_runs()
    frame = ResidualStream.compute(model="trained", depth=2)
    for r, norm in enumerate(STREAMS):
        runs = recorded.best(norm)
        sizes = np.mean([run.sizes for run in runs], axis=0)
        np.testing.assert_allclose(10 ** frame["sizes"][r], sizes, rtol=1e-5)
        costs = np.mean([np.array(run.without) - run.held_out for run in runs], axis=0)
        np.testing.assert_allclose(frame["costs"][r], costs, atol=1e-5)


def test_the_curves_are_the_recorded_ones() -> None:
    recorded = load_training_runs()
    frame = WarmUp.compute(rate="0.01", warmup=200, other="deep")
    for row, norm in enumerate(("post", "deep")):
        runs = recorded.select(norm, 0.01, 200)
        np.testing.assert_allclose(frame["curves"][row], [run.losses for run in runs], rtol=1e-6)
        assert frame["finals"][row, 1, 2] == pytest.approx(runs[1].held_out)


def test_what_the_pages_carry_stays_small() -> None:
    assert len(GradientLadder.packed()) < 60_000
    assert len(ResidualStream.packed()) < 20_000
    assert len(WarmUp.packed()) < 40_000


@pytest.mark.parametrize(
    ("explorer", "controls", "message"),
    [
        (GradientLadder, {"depth": 1}, "depth must be from 2 to 48, got 1"),
        (GradientLadder, {"norm": "peri"}, "norm must be one of .*got 'peri'"),
        (ResidualStream, {"depth": 49}, "depth must be from 2 to 48, got 49"),
        (WarmUp, {"rate": "0.02"}, "rate must be one of '0.001', .*got '0.02'"),
        (WarmUp, {"warmup": 100}, "warmup must be one of 0, 50, 200, got 100"),
        (GradientLadder, {"gain": 5.0}, r"gain must be from 0\.25 to 4\.0, got 5\.0"),
    ],
)
def test_bad_controls_are_refused(explorer: Any, controls: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explorer.compute(**controls)
