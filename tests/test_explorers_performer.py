"""The Performer's explorers against plain numpy."""

import math
from typing import Any

import numpy as np
import oracles
import pytest
import torch

from attn_lib import draw_projection
from attn_lib.data import load_passage
from attn_lib.explorers import EstimatedAttention, KernelFeatures
from attn_lib.explorers.estimated_attention import COUNTS, LENGTH
from attn_lib.explorers.kernel_features import DIM, POINTS


def first_draw(features: int, width: int, dtype: torch.dtype) -> np.ndarray:
    generator = torch.Generator()
    return draw_projection(features, width, generator=generator, dtype=dtype).double().numpy()


@pytest.mark.parametrize("kernel", ["softmax", "softmax_trig"])
@pytest.mark.parametrize("sweep", ["angle", "length"])
def test_a_curve_is_the_papers_estimate(kernel: str, sweep: str) -> None:
    frame = KernelFeatures.compute(kernel=kernel, sweep=sweep, features=20, length=1.0, angle=60)
    w = first_draw(20, DIM, torch.float64)
    for k in (0, 9, 20, POINTS - 1):
        length = 1.0 if sweep == "angle" else 3 * k / (POINTS - 1)
        angle = math.pi * k / (POINTS - 1) if sweep == "angle" else math.pi / 3
        x, y = np.zeros((2, 1, DIM))
        x[0, 0] = length
        y[0, :2] = length * math.cos(angle), length * math.sin(angle)
        phi = [oracles.performer_features(DIM**0.25 * z, w, kernel)[0] for z in (x, y)]
        estimate = max(float(phi[0] @ phi[1]), 1e-6)
        assert frame["estimate"][k] == pytest.approx(math.log10(estimate), abs=1e-4)
        assert frame["true"][k] == pytest.approx(float(x[0] @ y[0]) / math.log(10), abs=1e-4)


def test_each_kind_is_exact_at_its_own_end() -> None:
    positive = KernelFeatures.compute(kernel="softmax", length=2.0)
    waves = KernelFeatures.compute(kernel="softmax_trig", length=2.0)
    for frame, end in ((positive, -1), (waves, 0)):
        np.testing.assert_allclose(frame["band"][:, end], frame["true"][end], atol=1e-4)
        assert frame["error"][end] < -4
    assert not positive["negative"].any()
    assert waves["negative"][-1] > 30


@pytest.mark.parametrize("kernel", ["softmax", "softmax_trig"])
def test_the_band_narrows_with_the_features(kernel: str) -> None:
    errors = [
        KernelFeatures.compute(kernel=kernel, orthogonal=False, features=m, length=1.0)["error"][10]
        for m in (8, 32, 128, 512)
    ]
    slope = np.polyfit(np.log10([8, 32, 128, 512]), errors, 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.15)


@pytest.mark.parametrize(("head", "shrink"), [("2.9", 0.5), ("5.5", 0.25)])
def test_a_frame_is_the_estimate_of_a_real_head(head: str, shrink: float) -> None:
    frame = EstimatedAttention.compute(head=head, features=50, shrink=shrink)
    layer, number = (int(part) for part in head.split("."))
    q, k, v = load_passage(128).head(layer, number)
    q, k = shrink * q, shrink * k
    w = first_draw(50, 32, torch.float32)
    near = oracles.performer(q, k, v, w)[0, 0]
    full = oracles.attention(q, k, v)[0, 0]
    error = np.linalg.norm(near - full) / np.linalg.norm(full)
    assert frame["facts"][0] == pytest.approx(error, rel=1e-3)
    exact = oracles.weights(q, k)[0, 0]
    assert frame["facts"][2] == pytest.approx(exact.max(), rel=1e-4)
    cells = exact.reshape(LENGTH // 2, 2, LENGTH // 2, 2).sum(3).mean(1)
    drawn = ((frame["full"].astype(float) - 128) / 127) ** 2
    np.testing.assert_allclose(np.sqrt(drawn), np.sqrt(cells), atol=0.6 / 127)


def test_shorter_queries_and_keys_are_easier() -> None:
    last = [EstimatedAttention.compute(shrink=s)["errors"][0, -1] for s in (0.25, 0.5, 1.0)]
    assert last == sorted(last)
    assert EstimatedAttention.compute()["errors"].shape == (3, len(COUNTS))


def test_what_the_page_carries_stays_small() -> None:
    assert len(KernelFeatures.packed()) < 70_000
    assert len(EstimatedAttention.packed()) < 100_000


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"features": 3}, "features must be from 4 to 512, got 3"),
        ({"kernel": "relu"}, "kernel must be one of 'softmax', 'softmax_trig', got 'relu'"),
        ({"length": 4.1}, r"length must be from 0\.0 to 4\.0, got 4\.1"),
        ({"draw": 200}, "draw must be from 0 to 199, got 200"),
    ],
)
def test_bad_controls_are_refused(controls: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KernelFeatures.compute(**controls)
