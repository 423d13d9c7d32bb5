"""The explorer of low-rank attention: what its numbers and pictures are."""

import numpy as np
import pytest
import torch

from attn_lib import linformer_weights, softmax_weights
from attn_lib.data import load_passage
from attn_lib.explorers import LowRankAttention
from attn_lib.explorers._signed import signed_code
from attn_lib.explorers.low_rank_attention import CELLS, METHODS


def _weights(length, layer, head):
    q, k, v = load_passage(length).head(layer, head)
    return softmax_weights(q, k)[0, 0].double().numpy(), v[0, 0].double().numpy()


def _cells(weights):
    size = len(weights) // CELLS
    return weights.reshape(CELLS, size, CELLS, size).sum(3).mean(1)


def _error(near, weights, v):
    return np.linalg.norm((near - weights) @ v) / np.linalg.norm(weights @ v)


@pytest.mark.parametrize(("length", "head"), [(128, "3.10"), (512, "5.5")])
def test_the_spectrum_is_the_share_of_singular_values(length, head):
    layer, number = map(int, head.split("."))
    weights, _ = _weights(length, layer, number)
    values = np.linalg.svd(weights, compute_uv=False)
    frame = LowRankAttention.compute(length=length, head=head, rank=7)
    assert frame["spectrum"].shape == (2, length)
    np.testing.assert_allclose(
        frame["spectrum"][0], 100 * values.cumsum() / values.sum(), atol=1e-2
    )
    assert frame["facts"][0] == pytest.approx(100 * values[:7].sum() / values.sum(), abs=1e-2)


@pytest.mark.parametrize(("length", "head"), [(128, "2.9"), (512, "0.2")])
def test_the_control_is_random_with_scores_as_far_apart(length, head):
    layer, number = map(int, head.split("."))
    q, k, _ = (x[0, 0].double().numpy() for x in load_passage(length).head(layer, number))
    drawn = torch.randn(2, 1, 1, length, 32, generator=torch.Generator())
    a, b = drawn.double().numpy()[:, 0, 0]
    own, other = (s - s.mean(axis=1, keepdims=True) for s in (q @ k.T, a @ b.T))
    scores = other * own.std() / other.std() / np.sqrt(32)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    values = np.linalg.svd(weights, compute_uv=False)
    control = LowRankAttention.compute(length=length, head=head)["spectrum"][1]
    np.testing.assert_allclose(control, 100 * values.cumsum() / values.sum(), atol=0.02)


@pytest.mark.parametrize("length", [128, 512])
def test_the_mean_of_the_values_is_the_yardstick(length):
    weights, v = _weights(length, 5, 5)
    even = np.full_like(weights, 1 / length)
    frame = LowRankAttention.compute(length=length, head="5.5")
    assert frame["mean"][0] == pytest.approx(_error(even, weights, v), rel=1e-4)


def _rebuilt(method, length, layer, head, rank):
    q, k, _ = load_passage(length).head(layer, head)
    weights, _ = _weights(length, layer, head)
    if method == "svd":
        u, s, vt = np.linalg.svd(weights)
        return (u[:, :rank] * s[:rank]) @ vt[:rank]
    if method == "random":
        draw = torch.Generator()
        r = torch.randn(length, length, generator=draw)[:rank].double().numpy()
        return weights @ r.T @ r / rank
    blocks = np.array_split(np.arange(length), rank)
    mean = np.zeros((rank, length))
    for r, block in enumerate(blocks):
        mean[r, block] = 1 / len(block)
    mean = torch.from_numpy(mean).float()
    return linformer_weights(q, k, key_projection=mean, value_projection=mean)[0, 0].numpy()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rank", [1, 16, 128])
def test_the_matrix_and_its_error_are_the_methods(method, rank):
    weights, v = _weights(128, 2, 9)
    near = _rebuilt(method, 128, 2, 9, rank)
    frame = LowRankAttention.compute(head="2.9", method=method, rank=rank)
    codes = frame["rebuilt"].astype(int) - 128
    drawn = np.sign(codes) * (codes / 127) ** 2
    step = {"svd": 6, "random": 24, "linformer": 6}[method] / 127
    roots = np.sign(_cells(near)) * np.sqrt(np.abs(_cells(near))).clip(0, 1)
    assert np.abs(np.sign(drawn) * np.sqrt(np.abs(drawn)) - roots).max() <= 0.51 * step
    error = _error(near, weights, v)
    assert frame["facts"][1] == pytest.approx(error, rel=1e-3, abs=1e-4)
    row = METHODS.index(method)
    assert frame["errors"][row, rank - 1] == pytest.approx(error, rel=1e-3, abs=1e-4)
    assert frame["facts"][2] == pytest.approx(100 * (near < -1e-6).mean(), abs=0.2)
    assert frame["facts"][3] == pytest.approx(np.abs(near.sum(-1) - 1).mean(), abs=1e-3)


def test_no_method_of_rank_r_is_nearer_than_the_best():
    weights, _ = _weights(128, 5, 5)
    for rank in (2, 20, 90):
        best = np.linalg.norm(_rebuilt("svd", 128, 5, 5, rank) - weights)
        for method in METHODS[1:]:
            assert np.linalg.norm(_rebuilt(method, 128, 5, 5, rank) - weights) > best


def test_what_is_full_is_the_heads_own():
    weights, _ = _weights(512, 0, 2)
    frame = LowRankAttention.compute(length=512, head="0.2")
    np.testing.assert_array_equal(frame["full"], signed_code(_cells(weights)))
    values = ((frame["full"].astype(int) - 128) / 127) ** 2
    assert values.sum(-1).mean() == pytest.approx(1, abs=0.1)


def test_a_rank_beyond_the_length_is_the_length():
    one, other = (LowRankAttention.compute(length=128, rank=rank) for rank in (128, 500))
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])
    assert one["facts"][1] == pytest.approx(0, abs=1e-5)


def test_codes_are_roots_with_a_sign():
    codes = signed_code(np.array([-2.0, -1.0, -0.25, 0.0, 0.0001, 0.25, 1.0, 3.0]))
    assert codes.tolist() == [1, 1, 64, 128, 129, 192, 255, 255]
    assert set(signed_code(np.linspace(-1, 1, 99), 32).tolist()) <= {
        128 + 32 * k for k in range(-3, 4)
    } | {1, 255}


@pytest.mark.parametrize(
    ("controls", "error", "match"),
    [
        ({"length": 256}, ValueError, "^length must .*got 256"),
        ({"head": "6.0"}, ValueError, "^head must .*got '6.0'"),
        ({"method": "learned"}, ValueError, "^method must .*got 'learned'"),
        ({"rank": 0}, ValueError, "^rank must .*got 0"),
        ({"rank": 513}, ValueError, "^rank must .*got 513"),
        ({"rank": 2.0}, TypeError, "^rank must .*got float"),
        ({"length": 512, "head": "3.3"}, ValueError, r"must be .*got \(3, 3\)"),
    ],
)
def test_bad_controls_are_refused(controls, error, match):
    with pytest.raises(error, match=match):
        LowRankAttention.compute(**controls)
