"""The explorers of hashing and of buckets against plain numpy."""

from typing import Any

import numpy as np
import pytest
import torch

from attn_lib.data import load_passage
from attn_lib.explorers.lsh_buckets import LENGTH, ROUNDS, LSHBuckets
from attn_lib.explorers.lsh_circle import ANGLES, LSHCircle, collision_probability


def shared(head: str) -> np.ndarray:
    layer, number = map(int, head.split("."))
    q, _, _ = load_passage(128).head(layer, number)
    return q[0, 0, :64].double().numpy()


def drawn(width: int, buckets: int) -> np.ndarray:
    """The rotations of eight rounds, from a new generator."""
    shape = (1, 8, width, buckets // 2)
    return torch.randn(shape, generator=torch.Generator())[0].double().numpy()


def hashed(x: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    turned = x @ rotations
    return np.concatenate([turned, -turned], axis=-1).argmax(axis=-1)


@pytest.mark.parametrize(
    ("head", "size", "buckets"), [("0.2", 8, 8), ("5.0", 4, 16), ("4.11", 10, 8)]
)
def test_four_pictures_by_hand(head: str, size: int, buckets: int) -> None:
    frame = LSHBuckets.compute(head=head, bucket_size=size)
    q = shared(head)
    found = hashed(q, drawn(32, buckets))
    scores = q @ (q / np.linalg.norm(q, axis=-1, keepdims=True)).T
    np.fill_diagonal(scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(frame["weights"], weights, atol=1e-6)
    np.testing.assert_array_equal(frame["bucket"], found)
    union = np.zeros((LENGTH, LENGTH), dtype=bool)
    for r in range(ROUNDS):
        order = sorted(range(LENGTH), key=lambda j, of=found[r]: (of[j], j))
        place = np.empty(LENGTH, dtype=int)
        place[order] = np.arange(LENGTH)
        np.testing.assert_array_equal(frame["place"][r], place)
        np.testing.assert_array_equal(frame["chunk"][r], place // size)
        bucket = np.zeros_like(union)
        chunks = np.zeros_like(union)
        for i in range(LENGTH):
            for j in range(LENGTH):
                bucket[i, j] = i != j and found[r, i] == found[r, j]
                chunks[i, j] = i != j and place[i] // size - place[j] // size in (0, 1)
        union |= chunks
        for kind, pairs in enumerate((bucket, chunks, union)):
            caught = 100 * (weights * pairs).sum() / LENGTH
            np.testing.assert_allclose(frame["caught"][kind, r], caught, atol=1e-3)
            assert frame["pairs"][kind, r] == pairs.sum()
        expected = [100 * (weights * union).sum() / LENGTH, 100 * union.sum() / LENGTH**2]
        np.testing.assert_allclose(frame["curves"][:, r], expected, atol=1e-3)


def test_one_chunk_catches_everything() -> None:
    frame = LSHBuckets.compute(bucket_size=LENGTH)
    np.testing.assert_allclose(frame["caught"], 100, atol=1e-3)


@pytest.mark.parametrize("buckets", [2, 4, 8, 16])
def test_the_probability_of_a_shared_bucket(buckets: int) -> None:
    # At a right angle the projections are independent, so every bucket is as likely: 1 / b.
    assert collision_probability(90, buckets) == pytest.approx(1 / buckets, abs=1e-9)
    assert collision_probability(0, buckets) == 1
    assert collision_probability(180, buckets) == 0
    rotations = torch.randn(40_000, 3, buckets // 2, generator=torch.Generator()).double().numpy()
    for degrees in (10, 60, 120):
        angle = np.deg2rad(degrees)
        pair = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]])
        turned = pair @ rotations
        found = np.concatenate([turned, -turned], axis=-1).argmax(axis=-1)
        share = (found[:, 0] == found[:, 1]).mean()
        assert collision_probability(degrees, buckets) == pytest.approx(share, abs=0.008)


def test_two_buckets_are_a_half_plane() -> None:
    for degrees in range(0, 181, 15):
        assert collision_probability(degrees, 2) == pytest.approx(1 - degrees / 180, abs=1e-6)


@pytest.mark.parametrize(("buckets", "turn"), [(4, 0), (8, 135), (2, 77)])
def test_a_turn_of_the_circle_by_hand(buckets: int, turn: int) -> None:
    frame = LSHCircle.compute(buckets=buckets, turn=turn)
    rotations = drawn(2, buckets)
    degrees = np.deg2rad(np.arange(360) - turn)
    ring = hashed(np.stack([np.cos(degrees), np.sin(degrees)], axis=-1), rotations)
    np.testing.assert_array_equal(frame["ring"], ring)
    np.testing.assert_array_equal(frame["bucket"], ring[:, ::10])
    angles = np.rad2deg(np.arctan2(frame["xy"][:, 1], frame["xy"][:, 0])) % 360
    np.testing.assert_allclose(angles, np.arange(0, 360, 10), atol=1e-4)
    assert frame["degrees"][1, 35] == 20
    for rounds in (1, 3):
        for place in (0, 6, 20):
            apart = np.roll(ring, -ANGLES[place], axis=1) == ring
            share = apart[:rounds].any(axis=0).mean()
            assert frame["measured"][rounds - 1, place] == pytest.approx(share, abs=1e-6)


def test_keys_by_hand() -> None:
    frame = LSHCircle.compute(points="2.8", buckets=8)
    q = shared("2.8")
    keys = q / np.linalg.norm(q, axis=-1, keepdims=True)
    found = hashed(q, drawn(32, 8))
    np.testing.assert_array_equal(frame["bucket"], found)
    degrees = np.rad2deg(np.arccos(np.clip(keys @ keys.T, -1, 1)))
    np.testing.assert_allclose(frame["degrees"], degrees, atol=0.51)
    second = keys.T @ keys
    axes = np.linalg.eigh(second)[1][:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(frame["xy"]), np.abs(keys @ axes), atol=1e-5)
    pairs = [(i, j) for i in range(64) for j in range(i) if round(degrees[i, j] / 5) == 12]
    share = np.mean([(found[:3, i] == found[:3, j]).any() for i, j in pairs])
    assert frame["measured"][2, 12] == pytest.approx(share, abs=1e-6)
    assert frame["ring"].shape == (8, 0)


def test_rounds_make_a_hit_likelier() -> None:
    frame = LSHCircle.compute(buckets=8)
    assert (np.diff(frame["theory"], axis=0) >= 0).all()
    assert (np.diff(frame["measured"], axis=0) >= 0).all()
    place = int(np.flatnonzero(ANGLES == 30)[0])
    once = frame["theory"][0, place]
    assert frame["theory"][3, place] == pytest.approx(1 - (1 - once) ** 4, abs=1e-6)
    # The circle is one draw of each round: near the probability, not equal to it.
    assert np.abs(frame["theory"] - frame["measured"]).max() < 0.3


@pytest.mark.parametrize("explorer", [LSHBuckets, LSHCircle])
def test_what_the_page_carries_stays_small(explorer: Any) -> None:
    assert len(explorer.packed()) < 50_000


@pytest.mark.parametrize(
    ("explorer", "controls", "error", "message"),
    [
        (LSHBuckets, {"rounds": 9}, ValueError, "rounds must be from 1 to 8, got 9"),
        (LSHBuckets, {"bucket_size": 0}, ValueError, "bucket_size must be from 1 to 64, got 0"),
        (LSHBuckets, {"head": "6.0"}, ValueError, "head must be one of '0.0', .*, got '6.0'"),
        (LSHBuckets, {"picture": 2}, TypeError, "picture must be a str, got int"),
        (LSHCircle, {"buckets": 3}, ValueError, "buckets must be one of 2, 4, 8, 16, got 3"),
        (LSHCircle, {"turn": 360}, ValueError, "turn must be from 0 to 359, got 360"),
        (LSHCircle, {"turn": 1.5}, TypeError, "turn must be an int, got float"),
        (LSHCircle, {"points": "square"}, ValueError, "points must be one of 'circle', .*"),
    ],
)
def test_bad_controls_are_refused(
    explorer: Any, controls: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        explorer.compute(**controls)
