"""The explorer of top-k selection against plain numpy."""

from typing import Any

import numpy as np
import pytest

from attn_lib.data import load_passage
from attn_lib.explorers.topk_selection import LENGTH, STEP, TopKSelection


def by_hand(topk: int, layer: int, head: int) -> dict[str, np.ndarray]:
    """Zhao et al. 2019 on the captured head, row by row, in float64."""
    q, k, v = (x[0, 0, :LENGTH].double().numpy() for x in load_passage(128).head(layer, head))
    scores = q @ k.T / np.sqrt(q.shape[-1])
    full = np.exp(scores - scores.max(-1, keepdims=True))
    full /= full.sum(-1, keepdims=True)
    some = np.zeros_like(full)
    for i in range(LENGTH):
        best = sorted(range(LENGTH), key=lambda j: (-scores[i, j], j))[:topk]
        some[i, best] = full[i, best] / full[i, best].sum()
    return {"scores": scores, "full": full, "some": some, "out": full @ v, "near": some @ v}


@pytest.mark.parametrize(
    ("topk", "layer", "head"), [(8, 2, 9), (1, 0, 8), (2, 5, 8), (37, 4, 11), (64, 0, 2)]
)
def test_a_frame_is_the_papers_selection(topk: int, layer: int, head: int) -> None:
    frame = TopKSelection.compute(topk=topk, layer=layer, head=head)
    hand = by_hand(topk, layer, head)
    kept = hand["some"] > 0
    np.testing.assert_allclose(frame["weights"], hand["full"], atol=2e-6)
    for i in range(LENGTH):
        assert set(frame["order"][i, :topk].tolist()) >= set(np.flatnonzero(kept[i]).tolist())
    sorted_scores = -np.sort(-hand["scores"], axis=-1)
    np.testing.assert_allclose(frame["scores"], sorted_scores, atol=0.501 * STEP)
    np.testing.assert_allclose(frame["mass"], (hand["full"] * kept).sum(-1), atol=1e-6)
    miss = hand["near"] - hand["out"]
    lengths = np.linalg.norm(hand["out"], axis=-1)
    np.testing.assert_allclose(frame["moved"], np.linalg.norm(miss, axis=-1) / lengths, atol=1e-5)
    whole = np.linalg.norm(miss) / np.linalg.norm(hand["out"])
    np.testing.assert_allclose(frame["head_moved"], [whole], atol=1e-5)
    np.testing.assert_array_equal(frame["chosen_by"], kept.sum(0))


def test_keeping_everything_moves_nothing() -> None:
    frame = TopKSelection.compute(topk=LENGTH)
    np.testing.assert_allclose(frame["mass"], 1, atol=1e-6)
    assert frame["moved"].max() < 1e-6


def test_the_kept_mass_grows_with_k() -> None:
    grid = TopKSelection.controls()["topk"].grid
    masses = np.stack([TopKSelection.compute(topk=k)["mass"] for k in grid])
    assert (np.diff(masses, axis=0) > -1e-6).all()


def test_what_the_page_carries_stays_small() -> None:
    assert len(TopKSelection.packed()) < 125_000


@pytest.mark.parametrize(
    ("controls", "error", "message"),
    [
        ({"topk": 0}, ValueError, "topk must be from 1 to 64, got 0"),
        ({"topk": 65}, ValueError, "topk must be from 1 to 64, got 65"),
        ({"topk": 8.0}, TypeError, "topk must be an int, got float"),
        ({"layer": 6}, ValueError, "layer must be one of 0, 1, 2, 3, 4, 5, got 6"),
        ({"head": "9"}, TypeError, "head must be an int, got str"),
        ({"causal": True}, TypeError, "controls must be of topk, layer, head, got causal"),
    ],
)
def test_bad_controls_are_refused(
    controls: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        TopKSelection.compute(**controls)
