"""The engine of attention by features, against its definition and its own recurrence."""

import pytest
import torch
from counting import count, exponent
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import performer_attention
from attn_lib.numerics import elu_plus_one, features, heads
from attn_lib.numerics.features import attend_by_features, feature_operator

INSTEAD = "the matrix written out"
GIVEN = feature_operator("test_given_features", lambda *_: lambda x: x, instead=INSTEAD)
ELU = feature_operator("test_elu_features", lambda *_: elu_plus_one, instead=INSTEAD)

both_ways = pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])


def _dense(phi_q, phi_k, v, causal, eps=0.0):
    similar = phi_q @ phi_k.mT
    similar = similar.tril() if causal else similar
    return similar @ v / (similar.sum(dim=-1, keepdim=True) + eps)


def _step_by_step(phi_q, phi_k, v):
    """Return causal attention as a recurrence over positions, of one head."""
    state = phi_k.new_zeros(phi_k.shape[-1], v.shape[-1])
    norm = phi_k.new_zeros(phi_k.shape[-1])
    rows = []
    for q_i, k_i, v_i in zip(phi_q, phi_k, v, strict=True):
        state, norm = state + k_i[:, None] * v_i, norm + k_i
        rows.append(q_i @ state / (q_i @ norm))
    return torch.stack(rows)


@given(
    length=st.integers(0, 140),
    heads=st.integers(1, 3),
    causal=st.booleans(),
    eps=st.sampled_from([0.0, 0.1]),
)
def test_it_gives_what_the_matrix_gives(length, heads, causal, eps):
    generator = torch.Generator().manual_seed(9)
    inputs = [
        torch.rand(
            2, heads, length, width, generator=generator, dtype=torch.float64, requires_grad=True
        )
        for width in (4, 4, 5)
    ]
    out = attend_by_features(GIVEN, *inputs, causal=causal, eps=eps)
    expected = _dense(*inputs, causal, eps)
    assert_close(out, expected, rtol=1e-11, atol=1e-11)
    fast = torch.autograd.grad(out.sin().sum(), inputs)
    slow = torch.autograd.grad(expected.sin().sum(), inputs)
    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-10)


@both_ways
@pytest.mark.parametrize("held", [1, 500, 10**6])
def test_it_does_not_matter_how_many_heads_are_computed_at_a_time(
    normal, monkeypatch, causal, held
):
    inputs = [normal(2, 3, 70, width).exp() for width in (4, 4, 5)]
    expected = _dense(*inputs, causal)
    monkeypatch.setattr(features, "IN_CACHE", held)
    assert_close(
        attend_by_features(GIVEN, *inputs, causal=causal), expected, rtol=1e-11, atol=1e-11
    )


@both_ways
def test_a_map_within_gives_what_it_gives_outside(normal, causal):
    inputs = [normal(2, 3, 70, width).requires_grad_() for width in (4, 4, 5)]
    key_mask = (torch.arange(70) % 3 > 0).repeat(2, 1)
    q, k, v = inputs
    within = attend_by_features(ELU, q, k, v, causal=causal, key_mask=key_mask)
    phi_k = elu_plus_one(k) * key_mask[:, None, :, None]
    outside = attend_by_features(GIVEN, elu_plus_one(q), phi_k, v, causal=causal)
    assert_close(within, outside, rtol=1e-12, atol=1e-12)
    fast = torch.autograd.grad(within.sin().sum(), inputs)
    slow = torch.autograd.grad(outside.sin().sum(), inputs)
    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other, rtol=1e-11, atol=1e-11)


@both_ways
def test_gradients(normal, causal):
    inputs = [normal(1, 2, 67, width).abs().add(0.1).requires_grad_() for width in (2, 2, 3)]
    torch.autograd.gradcheck(lambda *x: attend_by_features(GIVEN, *x, causal=causal), inputs)


def test_the_causal_form_is_the_recurrence(normal):
    phi_q, phi_k, v = normal(1, 1, 300, 7).exp(), normal(1, 1, 300, 7).exp(), normal(1, 1, 300, 5)
    out = attend_by_features(GIVEN, phi_q, phi_k, v, causal=True)
    expected = _step_by_step(phi_q[0, 0], phi_k[0, 0], v[0, 0])
    assert_close(out[0, 0], expected, rtol=1e-10, atol=1e-10)


def test_single_precision_holds_over_a_long_text(normal):
    phi_q, phi_k = (elu_plus_one(normal(1, 1, 16384, 16)) for _ in range(2))
    v = normal(1, 1, 16384, 8)
    exact = attend_by_features(GIVEN, phi_q, phi_k, v, causal=True)
    single = attend_by_features(GIVEN, phi_q.float(), phi_k.float(), v.float(), causal=True)
    assert (single - exact).norm() < 1e-5 * exact.norm()


@both_ways
def test_a_zero_denominator_gives_zeros_and_finite_gradients(normal, causal):
    phi_q = torch.zeros(1, 1, 5, 3, dtype=torch.float64, requires_grad=True)
    out = attend_by_features(GIVEN, phi_q, normal(1, 1, 5, 3), normal(1, 1, 5, 2), causal=causal)
    assert not out.any()
    (grad,) = torch.autograd.grad(out.sum(), phi_q)
    assert grad.isfinite().all()


def test_what_comes_later_cannot_change_a_row(normal):
    phi_q, phi_k, v = normal(1, 1, 150, 4).exp(), normal(1, 1, 150, 4).exp(), normal(1, 1, 150, 3)
    before = attend_by_features(GIVEN, phi_q, phi_k, v, causal=True)
    phi_k[..., 71:, :], v[..., 71:, :] = 1e30, -1e30
    after = attend_by_features(GIVEN, phi_q, phi_k, v, causal=True)
    assert torch.equal(before[..., :71, :], after[..., :71, :])


@both_ways
def test_the_largest_tensor_grows_with_the_length(causal):
    lengths = [256, 1024, 4096]
    largest = []
    for n in lengths:
        inputs = [torch.rand(1, 1, n, width) for width in (8, 8, 8)]
        largest.append(
            count(lambda *x: attend_by_features(GIVEN, *x, causal=causal), *inputs).largest
        )
    assert exponent(lengths, largest) < 1.01
    assert largest[-1] <= 64 * 4096  # the pairs of a chunk of 64


@pytest.mark.parametrize("kernel", ["softmax", "softmax_trig", "relu"])
@pytest.mark.parametrize("climbing", [False, True], ids=["level", "climbing"])
def test_it_does_not_matter_how_long_a_stretch_is(normal, monkeypatch, kernel, climbing):
    """A causal Performer computed in one stretch and in several, forward and backward."""
    q, k, v, w = normal(2, 2, 300, 4), normal(2, 2, 300, 4), normal(2, 2, 300, 3), normal(6, 4)
    if climbing:  # keys that start pieces of their own, some in later stretches
        k = k * torch.linspace(1, 12, 300, dtype=torch.float64)[:, None]
    key_mask = (torch.arange(300) % 5 > 0).repeat(2, 1)
    key_mask[1, :140] = False  # a first stretch without a key
    inputs = [x.requires_grad_() for x in (q, k, v, w)]

    def run(stretch):
        monkeypatch.setattr(heads, "_STRETCH", stretch)
        out = performer_attention(
            *inputs[:3], projection=w, kernel=kernel, causal=True, key_mask=key_mask
        )
        return out, *torch.autograd.grad(out.sin().sum(), inputs)

    for whole, parts in zip(run(10**6), run(128), strict=True):
        assert_close(parts, whole, rtol=1e-8, atol=1e-9)
