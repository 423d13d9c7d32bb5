"""Softmax attention against the formula of Vaswani et al. 2017 (arXiv:1706.03762), equation 1."""

import math

import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from attn_lib import masks, softmax_attention, softmax_weights


def _oracle(q, k, v, visible=None, scale=None):
    return torch.from_numpy(oracles.attention(q, k, v, visible, scale))


def test_a_case_by_hand():
    # Scores 0 and ln 3, so weights 1/4 and 3/4.
    q = torch.tensor([[[[1.0]]]], dtype=torch.float64)
    k = torch.tensor([[[[0.0], [math.log(3.0)]]]], dtype=torch.float64)
    v = torch.tensor([[[[8.0, 0.0], [0.0, 4.0]]]], dtype=torch.float64)
    expected = torch.tensor([[[[0.25, 0.75]]]], dtype=torch.float64)
    assert_close(softmax_weights(q, k), expected)
    assert_close(softmax_attention(q, k, v), torch.tensor([[[[2.0, 3.0]]]], dtype=torch.float64))


def test_the_default_scale_is_one_over_the_root_of_head_dim():
    # q · k is 4 and 0 at head_dim 4: scores 2 and 0.
    q = torch.ones(1, 1, 1, 4, dtype=torch.float64)
    k = torch.stack([torch.ones(4), torch.zeros(4)])[None, None].double()
    first = math.exp(2) / (math.exp(2) + 1)
    expected = torch.tensor([[[[first, 1 - first]]]], dtype=torch.float64)
    assert_close(softmax_weights(q, k), expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 1.0, 0.2, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_formula(normal, causal, scale, masked):
    q, k, v = normal(2, 3, 13, 5), normal(2, 3, 13, 5), normal(2, 3, 13, 7)
    visible = torch.ones(13, 13, dtype=torch.bool)
    visible = (visible.tril() if causal else visible).expand(2, 3, 13, 13)
    key_mask = torch.arange(26).reshape(2, 13) % 4 != 0 if masked else None
    visible = oracles.visible_keys(visible, key_mask)
    options = {"causal": causal, "key_mask": key_mask, "scale": scale}
    out = softmax_attention(q, k, v, **options)
    assert_close(out, _oracle(q, k, v, visible, scale), rtol=1e-12, atol=1e-12)
    weights = torch.from_numpy(oracles.weights(q, k, visible, scale))
    assert_close(softmax_weights(q, k, **options), weights, rtol=1e-12, atol=1e-12)


@given(
    q_len=st.integers(1, 70),
    kv_len=st.integers(1, 70),
    heads=st.integers(1, 3),
    widths=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    causal=st.booleans(),
    hidden=st.integers(0, 2**70 - 1),
)
def test_any_shape_is_the_formula(q_len, kv_len, heads, widths, causal, hidden):
    kv_len = q_len if causal else kv_len
    draw = torch.Generator().manual_seed(q_len + 71 * kv_len)
    q = torch.randn(2, heads, q_len, widths[0], generator=draw, dtype=torch.float64)
    k = torch.randn(2, heads, kv_len, widths[0], generator=draw, dtype=torch.float64)
    v = torch.randn(2, heads, kv_len, widths[1], generator=draw, dtype=torch.float64)
    bits = torch.tensor([hidden >> j & 1 == 0 for j in range(kv_len)])
    key_mask = torch.stack([bits, bits.flip(0)])
    visible = torch.ones(2, heads, q_len, kv_len, dtype=torch.bool)
    visible = oracles.visible_keys(visible.tril() if causal else visible, key_mask)
    out = softmax_attention(q, k, v, causal=causal, key_mask=key_mask)
    assert_close(out, _oracle(q, k, v, visible), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_it_agrees_with_torch(normal, causal):
    q, k, v = normal(2, 3, 17, 5), normal(2, 3, 17, 5), normal(2, 3, 17, 5)
    expected = scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert_close(softmax_attention(q, k, v, causal=causal), expected, rtol=1e-12, atol=1e-12)
    key_mask = torch.arange(34).reshape(2, 17) % 3 != 1
    both = key_mask[:, None, None, :] & (torch.ones(17, 17).tril().bool() if causal else True)
    both[..., 0] = True
    key_mask = key_mask.clone()
    key_mask[:, 0] = True
    expected = scaled_dot_product_attention(q, k, v, attn_mask=both)
    actual = softmax_attention(q, k, v, causal=causal, key_mask=key_mask)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "shape", [(5, 7), (1, 7), (5, 1), (2, 1, 5, 7), (3, 5, 7), (1, 3, 1, 7), (2, 3, 5, 7)], ids=str
)
def test_a_mask_tensor_broadcasts(normal, shape):
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    mask = normal(*shape) > 0
    expected = _oracle(q, k, v, mask)
    assert_close(softmax_attention(q, k, v, mask=mask), expected, rtol=1e-12, atol=1e-12)
    weights = torch.from_numpy(oracles.weights(q, k, mask))
    assert_close(softmax_weights(q, k, mask=mask), weights, rtol=1e-12, atol=1e-12)


def test_a_mask_function_sees_item_and_head(normal):
    def mask(b, h, q_idx, kv_idx):
        return (q_idx + 2 * kv_idx + 3 * b + 5 * h) % 4 != 0

    q, k, v = normal(2, 3, 9, 4), normal(2, 3, 11, 4), normal(2, 3, 11, 6)
    visible = [
        [
            [[(i + 2 * j + 3 * b + 5 * h) % 4 != 0 for j in range(11)] for i in range(9)]
            for h in range(3)
        ]
        for b in range(2)
    ]
    expected = _oracle(q, k, v, visible)
    assert_close(softmax_attention(q, k, v, mask=mask), expected, rtol=1e-12, atol=1e-12)


def test_a_mask_narrows_causal_and_key_mask(normal):
    q, k, v = normal(2, 3, 11, 4), normal(2, 3, 11, 4), normal(2, 3, 11, 6)
    key_mask = torch.arange(22).reshape(2, 11) % 5 != 1
    visible = [[i - 2 <= j <= i for j in range(11)] for i in range(11)]
    visible = torch.tensor(visible).expand(2, 3, 11, 11)
    expected = _oracle(q, k, v, oracles.visible_keys(visible, key_mask))
    options = {"causal": True, "key_mask": key_mask}
    for mask in (masks.sliding_window(2), masks.dense(masks.sliding_window(2), 11, 11)):
        actual = softmax_attention(q, k, v, mask=mask, **options)
        assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_a_mask_that_hides_everything_gives_zeros(normal, causal):
    q, k, v = (normal(2, 3, 5, 4).requires_grad_() for _ in range(3))
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[3] = False
    out = softmax_attention(q, k, v, mask=mask, causal=causal)
    assert not out[:, :, 3].any()
    out.sum().backward()
    assert not q.grad[:, :, 3].any()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_large_scores_do_not_overflow(dtype, masked):
    q = torch.full((1, 1, 2, 4), 200.0, dtype=dtype)
    k = torch.tensor([[[[200.0] * 4, [-200.0] * 4]]], dtype=dtype)
    v = torch.tensor([[[[1.0], [5.0]]]], dtype=dtype)
    key_mask = torch.ones(1, 2, dtype=torch.bool) if masked else None
    out = softmax_attention(q, k, v, key_mask=key_mask)
    assert_close(out, torch.ones(1, 1, 2, 1, dtype=dtype))


def test_a_shift_of_all_keys_changes_nothing(normal):
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    shifted = softmax_attention(q, k + normal(4), v)
    assert_close(shifted, softmax_attention(q, k, v), rtol=1e-12, atol=1e-12)


def test_the_order_of_the_keys_is_no_matter(normal):
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    turned = softmax_attention(q, k[:, :, order], v[:, :, order])
    assert_close(turned, softmax_attention(q, k, v), rtol=1e-12, atol=1e-12)


def test_zero_queries_average_the_values(normal):
    q, k, v = torch.zeros(2, 3, 5, 4).double(), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    expected = v.mean(2, keepdim=True).expand(2, 3, 5, 6)
    assert_close(softmax_attention(q, k, v), expected, rtol=1e-12, atol=1e-12)


def test_a_steep_scale_picks_the_best_key(normal):
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    best = (q @ k.mT).argmax(-1)
    expected = v.gather(2, best[..., None].expand(2, 3, 5, 6))
    assert_close(softmax_attention(q, k, v, scale=1e6), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("mask", "error", "match"),
    [
        (torch.ones(5, 7), TypeError, "^mask must .*got torch.float32"),
        (torch.ones(5, 7, dtype=torch.int64), TypeError, "^mask must .*got torch.int64"),
        ("causal", TypeError, "^mask must .*got str"),
        ([[True] * 7] * 5, TypeError, "^mask must .*got list"),
        (torch.ones(7, 5, dtype=torch.bool), ValueError, r"^mask must .*got \(7, 5\)"),
        (torch.ones(5, 6, dtype=torch.bool), ValueError, r"^mask must .*got \(5, 6\)"),
        (torch.ones(4, 2, 3, 5, 7, dtype=torch.bool), ValueError, "^mask must .*got"),
        (torch.ones(5, 7, dtype=torch.bool, device="meta"), ValueError, "^mask must .*got meta"),
        (lambda b, h, i, j: (i - j).float(), TypeError, "^mask must .*got torch.float32"),
    ],
)
def test_a_bad_mask_is_refused(normal, mask, error, match):
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    with pytest.raises(error, match=match):
        softmax_attention(q, k, v, mask=mask)
    with pytest.raises(error, match=match):
        softmax_weights(q, k, mask=mask)


@pytest.mark.parametrize("scale", [math.nan, math.inf, "wide", True, [1.0]], ids=str)
def test_a_bad_scale_is_refused(normal, scale):
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    with pytest.raises((TypeError, ValueError), match=r"^scale must .*got"):
        softmax_attention(q, k, v, scale=scale)
    with pytest.raises((TypeError, ValueError), match=r"^scale must .*got"):
        softmax_weights(q, k, scale=scale)
