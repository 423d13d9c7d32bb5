"""The explorer of the growing state against plain numpy and its own sums."""

from typing import Any

import numpy as np
import pytest
import torch

from attn_lib.data import load_passage
from attn_lib.explorers import GrowingState
from attn_lib.explorers._heads import random_weights
from attn_lib.explorers.growing_state import LENGTH, MAPS, WIDTH

PHI = {
    "elu": lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))),
    "relu": lambda x: np.maximum(x, 0),
    "square": np.square,
    "exp": np.exp,
}


def one_head(head: str) -> list[np.ndarray]:
    layer, number = (int(part) for part in head.split("."))
    return [x[0, 0, :LENGTH].double().numpy() for x in load_passage(128).head(layer, number)]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("head", ["2.9", "5.5"])
def test_a_frame_is_the_sums_and_their_weights(name: str, head: str) -> None:
    assert set(PHI) == set(MAPS)
    q, k, v = one_head(head)
    phi_q, phi_k = PHI[name](q), PHI[name](k)
    all_values = [phi_k[:t].T @ v[:t] for t in range(1, LENGTH + 1)]
    similar = np.tril(phi_q @ phi_k.T)
    weights = similar / similar.sum(-1, keepdims=True)
    for time in (1, 17, LENGTH):
        frame = GrowingState.compute(head=head, feature_map=name, time=time)
        values = all_values[time - 1] / np.abs(all_values).max()
        norm = phi_k[:time].sum(0) / phi_k.sum(0).max()
        wanted = np.concatenate([values, norm[:, None]], axis=1)
        roots = np.sign(wanted) * np.sqrt(np.abs(wanted))
        assert frame["state"].shape == (WIDTH, WIDTH + 1)
        assert np.abs((frame["state"].astype(int) - 128) / 127 - roots).max() <= 0.51 * 12 / 127
        assert np.abs(np.sqrt(frame["weights"]) - np.sqrt(weights)).max() < 0.51 / 39
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(-1)
        assert frame["spread"][0] == pytest.approx(np.exp(entropy), rel=1e-4)
    two_way = phi_q @ phi_k.T
    part = np.linalg.svd(two_way / two_way.sum(-1, keepdims=True), compute_uv=False) ** 2
    share = part.cumsum() / part.sum()
    rank = int(frame["ranks"][0])
    assert share[rank - 1] >= 0.99 - 1e-6
    assert rank == 1 or share[rank - 2] < 0.99 + 1e-6
    assert frame["ranks"].shape == (3,)
    control = random_weights(*(torch.from_numpy(x).float()[None, None] for x in (q, k)))
    part = np.linalg.svd(control.double().numpy(), compute_uv=False) ** 2
    assert frame["ranks"][2] == (part.cumsum() < 0.99 * part.sum()).sum() + 1


def test_softmax_stands_beside_it_unchanged() -> None:
    frames = [GrowingState.compute(feature_map=name) for name in MAPS]
    for frame in frames:
        assert (frame["full"] == frames[0]["full"]).all()
        assert (frame["spread"][1] == frames[0]["spread"][1]).all()
        assert np.triu(frame["full"], 1).max() == np.triu(frame["weights"], 1).max() == 0
        assert frame["spread"][:, 0] == pytest.approx([1, 1], abs=1e-5)
    mouse = LENGTH - 7
    assert load_passage(128).tokens[mouse] == "mouse"
    assert min(frame["spread"][0, mouse] for frame in frames) > 30 > frames[0]["spread"][1, mouse]


def test_the_cache_outgrows_the_state_on_the_page() -> None:
    state, cache = GrowingState.spec()["facts"]["kept"]
    assert set(state) == {WIDTH * (WIDTH + 1)}
    assert cache == [2 * WIDTH * t for t in range(1, LENGTH + 1)]
    assert sum(c < s for s, c in zip(state, cache, strict=True)) == 16


def test_what_the_page_carries_stays_small() -> None:
    assert len(GrowingState.packed()) < 100_000


@pytest.mark.parametrize(
    ("controls", "error", "match"),
    [
        ({"time": 0}, ValueError, "time must be from 1 to 48, got 0"),
        ({"time": 2.0}, TypeError, "time must be an int, got float"),
        ({"feature_map": "tanh"}, ValueError, "feature_map must be one of .*got 'tanh'"),
        ({"head": "6.0"}, ValueError, "head must be one of .*got '6.0'"),
    ],
)
def test_bad_controls_are_refused(
    controls: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        GrowingState.compute(**controls)
