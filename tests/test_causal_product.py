"""The engine of causal attention without a softmax: sums over the past, against their matrix."""

import math

import pytest
import torch
from counting import count, exponent, flops
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib.numerics import causal_product, elu_plus_one


def _step_by_step(q, k, v):
    """Return the sums from their definition, one position at a time."""
    total = q.new_zeros(*q.shape[:2], q.shape[3], v.shape[3])
    rows = []
    for i in range(q.shape[2]):
        total = total + k[:, :, i, :, None] * v[:, :, i, None, :]
        rows.append((q[:, :, i, :, None] * total).sum(dim=2))
    return torch.stack(rows, dim=2) if rows else v


def _inputs(normal, length, features=3, value_dim=2, batch=2, heads=3):
    shape = (batch, heads, length)
    return normal(*shape, features), normal(*shape, features), normal(*shape, value_dim)


@pytest.mark.parametrize("length", [0, 1, 2, 63, 64, 65, 128, 200])
def test_it_is_the_sum_step_by_step(normal, length):
    q, k, v = _inputs(normal, length)
    assert_close(causal_product(q, k, v), _step_by_step(q, k, v), rtol=1e-12, atol=1e-12)


@given(
    length=st.integers(0, 150),
    features=st.integers(1, 9),
    value_dim=st.integers(1, 9),
    batch=st.integers(0, 2),
)
def test_any_shape_gives_what_the_matrix_gives(length, features, value_dim, batch):
    generator = torch.Generator().manual_seed(3)
    shape = (batch, 2, length)
    q, k, v = (
        torch.randn(*shape, width, generator=generator, dtype=torch.float64, requires_grad=True)
        for width in (features, features, value_dim)
    )
    out = causal_product(q, k, v)
    dense = (q @ k.mT).tril() @ v
    assert_close(out, dense, rtol=1e-11, atol=1e-11)
    fast = torch.autograd.grad(out.sin().sum(), (q, k, v))
    slow = torch.autograd.grad(dense.sin().sum(), (q, k, v))
    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_by_hand():
    q = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1)
    k = torch.tensor([1.0, 1.0, 10.0]).view(1, 1, 3, 1)
    v = torch.tensor([5.0, 7.0, 1.0]).view(1, 1, 3, 1)
    assert causal_product(q, k, v).flatten().tolist() == [5, 2 * (5 + 7), 3 * (5 + 7 + 10)]


def test_derivatives_of_first_and_second_order(normal):
    inputs = tuple(x.requires_grad_() for x in _inputs(normal, 70, batch=1, heads=2))
    assert torch.autograd.gradcheck(causal_product, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(causal_product, inputs, fast_mode=True)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_one_input_may_ask_for_its_gradient_alone(normal, wanted):
    given_ = _inputs(normal, 70)
    together = [x.clone().requires_grad_() for x in given_]
    causal_product(*together).sin().sum().backward()
    alone = [x.clone().requires_grad_(i == wanted) for i, x in enumerate(given_)]
    causal_product(*alone).sin().sum().backward()
    assert_close(alone[wanted].grad, together[wanted].grad, rtol=0, atol=0)
    assert [x.grad is None for x in alone] == [i != wanted for i in range(3)]


@pytest.mark.parametrize("cut", [0, 31, 63, 64, 100])
def test_the_future_cannot_matter_whatever_it_is(normal, cut):
    q, k, v = _inputs(normal, 130)
    before = causal_product(q, k, v)
    for x, fill in ((q, math.nan), (k, math.inf), (v, 1e300)):
        x[:, :, cut + 1 :] = fill
    assert torch.equal(causal_product(q, k, v)[:, :, : cut + 1], before[:, :, : cut + 1])


def test_views_are_as_good_as_copies(normal):
    q, k, v = (x.transpose(1, 2) for x in _inputs(normal, 3, batch=2, heads=70))
    expected = causal_product(q.contiguous(), k.contiguous(), v.contiguous())
    assert_close(causal_product(q, k, v), expected, rtol=1e-12, atol=1e-12)
    one = q[:, :, :1].expand(-1, -1, 70, -1)
    assert_close(causal_product(one, k, v), causal_product(one.contiguous(), k, v))


def test_work_grows_with_the_length_and_no_tensor_outgrows_the_inputs():
    lengths = [256, 512, 1024]
    inputs = {n: [torch.randn(1, 1, n, width) for width in (48, 48, 32)] for n in lengths}
    tallies = [count(causal_product, *inputs[n]) for n in lengths]
    assert [tally.largest for tally in tallies] == [n * 48 for n in lengths]
    assert exponent(lengths, [flops(causal_product, *inputs[n]) for n in lengths]) < 1.01


def test_elu_plus_one_is_positive_where_adding_one_to_elu_is_not():
    x = torch.tensor([-50.0, -1.0, 0.0, 2.5], dtype=torch.float64, requires_grad=True)
    expected = torch.tensor([math.exp(-50), math.exp(-1), 1.0, 3.5], dtype=torch.float64)
    out = elu_plus_one(x)
    assert_close(out, expected, rtol=1e-15, atol=0)
    (grad,) = torch.autograd.grad(out.sum(), x)
    slope = torch.tensor([math.exp(-50), math.exp(-1), 1.0, 1.0], dtype=torch.float64)
    assert_close(grad, slope, rtol=1e-15, atol=0)
