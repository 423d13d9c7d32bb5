"""Efficient Attention against the equation and claims of Shen et al. 2018 (arXiv:1812.01243)."""

import math

import counting
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import (
    costs,
    efficient_attention,
    efficient_factors,
    efficient_weights,
    softmax_attention,
)

NORMALIZATIONS = ("softmax", "scaling")
both = pytest.mark.parametrize("normalization", NORMALIZATIONS)


def _inputs(normal, q_len=7, kv_len=11, head_dim=5, value_dim=3):
    return (
        normal(2, 3, q_len, head_dim),
        normal(2, 3, kv_len, head_dim),
        normal(2, 3, kv_len, value_dim),
    )


# By hand


def test_two_templates_by_hand():
    # Feature 0 of the keys is 0 and ln 3: a template of 1/4 and 3/4, and a context of 4. Feature 1
    # is ln 4 and 0: 4/5 and 1/5, and a context of 1.8. The query mixes them 1 : 3.
    k = torch.tensor([[0.0, math.log(4)], [math.log(3), 0.0]]).double()[None, None]
    v = torch.tensor([1.0, 5.0]).double().view(1, 1, 2, 1)
    q = torch.tensor([0.0, math.log(3)]).double().view(1, 1, 1, 2)
    assert_close(efficient_attention(q, k, v).item(), 4 / 4 + 3 * 1.8 / 4)
    weights = efficient_weights(q, k).flatten().tolist()
    assert weights == pytest.approx([0.25 / 4 + 0.75 * 0.8, 0.75 / 4 + 0.75 * 0.2])


def test_scaling_by_hand():
    # Two real keys, so all is divided by 2: (1 · 3 · 5 + 1 · 4 · 1) / 2, and the third is padding.
    q, v = torch.ones(1, 1, 1, 1), torch.tensor([5.0, 1.0, 9.0]).view(1, 1, 3, 1)
    k = torch.tensor([3.0, 4.0, 9.0]).view(1, 1, 3, 1)
    key_mask = torch.tensor([[True, True, False]])
    out = efficient_attention(q, k, v, normalization="scaling", key_mask=key_mask)
    assert out.item() == pytest.approx(9.5)


# The equation


@both
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_it_is_the_papers_equation(normal, normalization, masked):
    q, k, v = _inputs(normal)
    key_mask = torch.arange(22).view(2, 11) % 3 != 1 if masked else None
    options = {"normalization": normalization, "key_mask": key_mask}
    expected = torch.from_numpy(oracles.efficient(q, k, v, **options))
    actual = efficient_attention(q, k, v, **options)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert_close(efficient_weights(q, k, **options) @ v, expected, rtol=1e-12, atol=1e-12)
    mixtures, templates = efficient_factors(q, k, **options)
    assert_close(mixtures @ (templates.mT @ v), expected, rtol=1e-12, atol=1e-12)


@given(
    q_len=st.integers(1, 9),
    kv_len=st.integers(1, 9),
    widths=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    scale=st.sampled_from([0.1, 1.0, 30.0, 1000.0]),
    kept=st.integers(0, 2**9 - 1),
    normalization=st.sampled_from(NORMALIZATIONS),
)
def test_any_call_gives_what_the_loops_give(q_len, kv_len, widths, scale, kept, normalization):
    draw = torch.Generator().manual_seed(kept)

    def normal(*shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    head_dim, value_dim = widths
    q, k = scale * normal(1, 2, q_len, head_dim), scale * normal(1, 2, kv_len, head_dim)
    v = normal(1, 2, kv_len, value_dim)
    key_mask = torch.tensor([[bool(kept >> j & 1) for j in range(kv_len)]])
    options = {"normalization": normalization, "key_mask": key_mask}
    expected = torch.from_numpy(oracles.efficient(q, k, v, **options))
    tolerance = 1e-12 * (scale**2 if normalization == "scaling" else 1)
    actual = efficient_attention(q, k, v, **options)
    assert_close(actual, expected, rtol=1e-12, atol=tolerance)
    weights = efficient_weights(q, k, **options)
    assert_close(weights @ v, expected, rtol=1e-12, atol=tolerance)


# What the paper proves


@pytest.mark.parametrize("q_len", [7, 11])
def test_scaling_is_dot_product_attention_with_scores_over_n(normal, q_len):
    q, k, v = _inputs(normal, q_len=q_len)
    expected = (q @ k.mT / 11) @ v
    actual = efficient_attention(q, k, v, normalization="scaling")
    assert_close(actual, expected, rtol=1e-13, atol=1e-13)
    weights = efficient_weights(q, k, normalization="scaling")
    assert_close(weights, q @ k.mT / 11, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("scale", [0.0, 1.0, 50.0])
def test_softmax_rows_are_convex_combinations(normal, scale):
    q, k, v = _inputs(normal)
    weights = efficient_weights(scale * q, scale * k)
    assert (weights >= 0).all()
    assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-14)
    out = efficient_attention(scale * q, scale * k, v)
    assert (out <= v.amax(dim=2, keepdim=True) + 1e-12).all()
    assert (out >= v.amin(dim=2, keepdim=True) - 1e-12).all()
    mixtures, templates = efficient_factors(scale * q, scale * k)
    assert_close(mixtures.sum(-1), torch.ones_like(mixtures[..., 0]))
    assert_close(templates.sum(-2), torch.ones_like(templates[..., 0, :]))


@both
@pytest.mark.parametrize("head_dim", [1, 3, 8])
def test_the_rank_is_that_of_the_features(normal, normalization, head_dim):
    q, k = normal(1, 2, 13, head_dim), normal(1, 2, 17, head_dim)
    weights = efficient_weights(q, k, normalization=normalization)
    assert (torch.linalg.matrix_rank(weights, rtol=1e-10) == head_dim).all()


# What holds for the softmax form


def test_a_constant_per_feature_of_the_keys_or_per_query_changes_nothing(normal):
    q, k, v = _inputs(normal)
    expected = efficient_attention(q, k, v)
    moved_k, moved_q = k + normal(5), q + normal(2, 3, 7, 1)
    assert_close(efficient_attention(q, moved_k, v), expected, rtol=1e-12, atol=1e-12)
    assert_close(efficient_attention(moved_q, k, v), expected, rtol=1e-12, atol=1e-12)
    other = softmax_attention(moved_q, k, v)
    assert not torch.allclose(other, softmax_attention(q, k, v), atol=0.01)


def test_equal_keys_average_the_values(normal):
    q, k, v = _inputs(normal)
    out = efficient_attention(q, k[:, :, :1].expand_as(k), v)
    assert_close(out, v.mean(2, keepdim=True).expand_as(out), rtol=1e-13, atol=1e-13)


def test_with_one_feature_the_query_has_no_say(normal):
    q, k, v = _inputs(normal, head_dim=1)
    out = efficient_attention(q, k, v)
    expected = (k.softmax(dim=2) * v).sum(dim=2, keepdim=True)
    assert_close(out, expected.expand_as(out), rtol=1e-13, atol=1e-13)


def test_a_query_of_one_large_feature_reads_that_context(normal):
    q, k, v = _inputs(normal)
    q = q.clone()
    q[..., 3] = 1000.0
    context = k.softmax(dim=2).mT @ v
    out = efficient_attention(q, k, v)
    assert_close(out, context[:, :, 3:4].expand_as(out), rtol=1e-13, atol=1e-13)


@both
def test_order_does_not_matter(normal, generator, normalization):
    q, k, v = _inputs(normal)
    expected = efficient_attention(q, k, v, normalization=normalization)
    order = torch.randperm(11, generator=generator)
    moved = efficient_attention(q, k[:, :, order], v[:, :, order], normalization=normalization)
    assert_close(moved, expected, rtol=1e-13, atol=1e-13)


# Limits


@given(
    n=st.integers(1, 12),
    head_dim=st.integers(1, 12),
    scale=st.sampled_from([0.1, 1.0, 10.0, 1000.0]),
    seed=st.integers(0, 99),
)
def test_different_queries_cannot_all_single_out_different_keys(n, head_dim, scale, seed):
    # Σ_i a_{i π(i)} = Σ_c Σ_i ρ_q(i, c) ρ_k(π(i), c) ≤ Σ_c Σ_i ρ_k(π(i), c) = head_dim.
    draw = torch.Generator().manual_seed(seed)
    q, k = (scale * torch.randn(1, 1, n, head_dim, generator=draw).double() for _ in range(2))
    weights = efficient_weights(q, k)[0, 0]
    pairing = torch.randperm(n, generator=draw)
    assert weights[torch.arange(n), pairing].sum() <= min(n, head_dim) + 1e-9


def test_the_bound_is_reached_by_as_many_features_as_keys():
    q = 1000 * torch.eye(6, dtype=torch.float64)[None, None]
    weights = efficient_weights(q, q)[0, 0]
    assert_close(weights, torch.eye(6, dtype=torch.float64))
    few = 1000 * torch.eye(3, dtype=torch.float64).repeat(2, 1)[None, None]
    assert efficient_weights(few, few)[0, 0].trace().item() == pytest.approx(3)


def test_the_other_axes_would_not_give_averages(normal):
    q, k, _ = _inputs(normal)
    wrong = q.softmax(dim=-1) @ k.softmax(dim=-1).mT
    assert ((wrong.sum(-1) - 1).abs() > 0.5).all()


# There is no causal form


def test_a_mask_over_the_matrix_would_leak(normal):
    """Why: what the first query gives the first key depends on the last key."""
    q, k, _ = _inputs(normal, q_len=11)
    later = k.clone()
    later[:, :, -1] += 3
    before, after = (efficient_weights(q, x).tril()[:, :, 0, 0] for x in (k, later))
    assert ((before - after).abs() > 0.01).all()


@pytest.mark.parametrize("function", [efficient_attention, efficient_weights])
@both
def test_causal_is_refused_with_the_papers_name_and_the_reason(normal, function, normalization):
    x = normal(1, 2, 7, 5)
    inputs = (x, x, x)[: 3 if function is efficient_attention else 2]
    with pytest.raises(NotImplementedError, match=r"Shen et al.*1812\.01243.*all positions"):
        function(*inputs, causal=True, normalization=normalization)


@pytest.mark.parametrize("function", [efficient_attention, efficient_weights, efficient_factors])
@pytest.mark.parametrize("bad", ["Softmax", None, 1])
def test_an_unknown_normalization_is_refused(normal, function, bad):
    x = normal(1, 2, 7, 5)
    inputs = (x, x, x)[: 3 if function is efficient_attention else 2]
    with pytest.raises(ValueError, match=r"^normalization must be 'softmax' or 'scaling', got"):
        function(*inputs, normalization=bad)


# Numbers


def test_large_keys_and_queries_neither_overflow_nor_vanish(normal):
    q, k, v = (x.float() for x in _inputs(normal))
    out = efficient_attention(1e30 * q, 1e30 * k, v)
    best = v.gather(2, k.argmax(dim=2)[..., None].expand(2, 3, 5, 3))
    expected = best.gather(2, q.argmax(dim=3)[..., None].expand(2, 3, 7, 3))
    assert_close(out, expected)


def test_thousands_of_tokens_in_single_precision(normal):
    q, k, v = (normal(1, 1, 16384, width) for width in (16, 16, 8))
    fine = efficient_attention(q, k, v)
    coarse = efficient_attention(q.float(), k.float(), v.float())
    assert ((coarse - fine).norm() / fine.norm()).item() < 1e-5


# Cost


@both
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_no_tensor_is_larger_than_the_inputs(normal, normalization, masked):
    largest = {}
    for n in (512, 1024, 2048):
        inputs = [normal(1, 2, n, width) for width in (4, 4, 6)]
        key_mask = (torch.arange(n) % 5 != 0)[None] if masked else None

        def call(q, k, v, key_mask=key_mask):
            return efficient_attention(q, k, v, normalization=normalization, key_mask=key_mask)

        largest[n] = counting.count(call, *inputs).largest
        assert largest[n] <= 2 * n * 6
    assert counting.exponent(list(largest), list(largest.values())) < 1.05


@both
def test_memory_and_operations_grow_like_the_length(normal, normalization):
    sizes, memory, operations = [512, 1024, 2048, 4096], [], []
    for n in sizes:
        inputs = [normal(1, 2, n, 8, dtype=torch.float32) for _ in range(3)]

        def call(q, k, v):
            return efficient_attention(q, k, v, normalization=normalization)

        memory.append(counting.peak_bytes(call, *inputs))
        operations.append(counting.flops(call, *inputs))
    assert counting.exponent(sizes, memory) < 1.1
    assert counting.exponent(sizes, operations) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("n", "head_dim", "value_dim"), [(64, 4, 3), (100, 5, 6)])
def test_the_operations_are_those_counted(normal, n, head_dim, value_dim):
    from torch.utils.flop_counter import FlopCounterMode

    q, k, v = (normal(1, 1, n, width) for width in (head_dim, head_dim, value_dim))
    with FlopCounterMode(display=False) as counter:
        efficient_attention(q, k, v)
    assert counter.get_total_flops() == costs.efficient_flops(n, head_dim, value_dim)


def test_it_breaks_even_with_full_attention_at_the_width():
    # For widths of 64: 2 n² (64 + 64) = 4 n · 64².
    full = costs.attention_flops(costs.softmax_scores(64), 64, 64)
    assert costs.efficient_flops(64, 64, 64) == full
