"""The engine of attention among neighbours in several orders, and the portions it works by."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib.numerics.portions import portions
from attn_lib.numerics.rounds import attend_in_rounds, unit


def _orders(draw, batch, heads, rounds, key_mask):
    """Return any orders with masked positions last, and each position's place in them."""
    keys = torch.rand(batch, heads, rounds, key_mask.shape[1], generator=draw)
    order = (keys + ~key_mask[:, None, None]).argsort(dim=-1)
    return order, order.argsort(dim=-1)


def _dense(qk, v, place, size, scale, causal, key_mask):
    """Write out softmax over the union of the sets; a token alone sees itself."""
    n = qk.shape[2]
    chunk = place // size
    back = chunk[..., :, None] - chunk[..., None, :]
    seen = ((back == 0) | (back == 1)).any(dim=2) & key_mask[:, None, None]
    if causal:
        seen = seen.tril()
    itself = torch.eye(n, dtype=torch.bool)
    others = seen & ~itself
    alone = itself & key_mask[:, None, :, None] & ~others.any(dim=-1, keepdim=True)
    scores = scale * qk @ (qk / qk.norm(dim=-1, keepdim=True)).mT
    weights = scores.masked_fill(~(others | alone), -math.inf).softmax(dim=-1)
    return weights.nan_to_num(0.0) @ v


@given(
    seed=st.integers(0, 99),
    n=st.integers(1, 40),
    rounds=st.integers(1, 4),
    size=st.integers(1, 50),
    causal=st.booleans(),
    masked=st.booleans(),
)
def test_any_orders_give_softmax_over_the_union(seed, n, rounds, size, causal, masked):
    draw = torch.Generator().manual_seed(seed)
    key_mask = torch.rand(2, n, generator=draw) > (0.3 if masked else -1.0)
    order, place = _orders(draw, 2, 3, rounds, key_mask)
    qk, v = (
        torch.randn(2, 3, n, width, generator=draw, dtype=torch.float64, requires_grad=True)
        for width in (5, 7)
    )
    options = {"causal": causal, "key_mask": key_mask if masked else None}
    out = attend_in_rounds(qk, v, order, place, size=size, scale=0.8, **options)
    expected = _dense(qk, v, place, size, 0.8, causal, key_mask)
    assert_close(out, expected, rtol=1e-11, atol=1e-11)
    if not masked:
        fast = torch.autograd.grad(out.sin().sum(), (qk, v))
        slow = torch.autograd.grad(expected.sin().sum(), (qk, v))
        assert_close(fast, slow, rtol=1e-9, atol=1e-10)


def test_unit_vectors_by_hand():
    x = torch.tensor([[3.0, -4.0], [0.0, 0.0], [3e38, 0.0]])
    directions, lengths = unit(x)
    assert_close(directions, torch.tensor([[0.6, -0.8], [0.0, 0.0], [1.0, 0.0]]))
    assert_close(lengths, torch.tensor([[5.0], [1.0], [3e38]]))


@given(count=st.integers(0, 50), size=st.integers(0, 9), held=st.integers(1, 60))
def test_portions_hold_everything_once_and_no_more_than_they_may(count, size, held):
    cut = list(portions(count, size, held))
    assert [i for part in cut for i in range(count)[part]] == list(range(count if size else 0))
    lengths = [part.stop - part.start for part in cut]
    assert all(length == 1 or length * size <= held for length in lengths)
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize(("held", "lengths"), [(1, [1, 1, 1]), (20, [2, 1]), (99, [3])])
def test_portions_by_hand(held, lengths):
    assert [part.stop - part.start for part in portions(3, 10, held)] == lengths
