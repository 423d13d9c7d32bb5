"""Linear Transformer against Katharopoulos et al. 2020 (arXiv:2006.16236)."""

import math

import counting
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import (
    LinearTransformerState,
    costs,
    linear_transformer_attention,
    linear_transformer_init_state,
    linear_transformer_step,
    linear_transformer_weights,
    softmax_attention,
    softmax_weights,
)
from attn_lib.numerics import causal_product, elu_plus_one


def _inputs(normal, length, head_dim=5, value_dim=3, q_len=None):
    q_len = length if q_len is None else q_len
    return (
        normal(2, 3, q_len, head_dim),
        normal(2, 3, length, head_dim),
        normal(2, 3, length, value_dim),
    )


def _one_head(*columns):
    return torch.tensor(columns, dtype=torch.float64)[None, None]


# The formula


def test_three_tokens_by_hand():
    # φ(0) = 1, φ(2) = 3 and φ(−ln 2) = ½, so the keys' features are (1, 3), (3, 1), (½, 1).
    half = -math.log(2)
    k = _one_head([0.0, 2.0], [2.0, 0.0], [half, 0.0])
    q = _one_head([2.0, 0.0], [0.0, 0.0], [half, 2.0])  # (3, 1), (1, 1), (½, 3)
    v = _one_head([4.0], [8.0], [2.0])
    similar = _one_head([6.0, 10.0, 2.5], [4.0, 4.0, 1.5], [9.5, 4.5, 3.25])
    weights = similar / similar.sum(-1, keepdim=True)
    assert_close(linear_transformer_weights(q, k, eps=0.0), weights)
    assert_close(linear_transformer_attention(q, k, v, eps=0.0), weights @ v)
    past = torch.tensor([4.0, (4 * 4 + 4 * 8) / 8, (9.5 * 4 + 4.5 * 8 + 3.25 * 2) / 17.25])
    out = linear_transformer_attention(q, k, v, causal=True, eps=0.0)
    assert_close(out.flatten(), past.double())
    smaller = linear_transformer_attention(q, k, v, causal=True, eps=2.0).flatten()
    assert smaller[0].item() == pytest.approx(6 * 4 / (6 + 2))


@given(
    q_len=st.integers(0, 70),
    kv_len=st.integers(0, 9),
    causal=st.booleans(),
    eps=st.sampled_from([0.0, 1e-6, 0.25]),
    feature_map=st.sampled_from(["elu", "relu", "exp", "pairs"]),
    kept=st.integers(0, 2**9 - 1),
)
def test_any_call_is_the_sum_over_pairs(q_len, kv_len, causal, eps, feature_map, kept):
    draw = torch.Generator().manual_seed(kept)

    def normal(*shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    ours, theirs = {
        "elu": (elu_plus_one, oracles.elu_plus_one),
        "relu": (torch.relu, lambda x: np.maximum(x, 0)),
        "exp": (torch.exp, np.exp),
        "pairs": (  # as many features as pairs of entries
            lambda x: (x[..., :, None] * x[..., None, :]).flatten(-2),
            lambda x: np.outer(x, x).ravel(),
        ),
    }[feature_map]
    kv_len = q_len if causal else kv_len
    q, k, v = _inputs(normal, kv_len, q_len=q_len)
    row = torch.tensor([bool(kept >> j % 9 & 1) for j in range(kv_len)], dtype=torch.bool)
    key_mask = torch.stack([row, ~row])
    expected = oracles.linear_transformer(q, k, v, theirs, causal, key_mask, eps)
    options = {"causal": causal, "key_mask": key_mask, "feature_map": ours, "eps": eps}
    actual = linear_transformer_attention(q, k, v, **options)
    assert_close(actual, torch.from_numpy(expected), rtol=1e-10, atol=1e-10)
    weights = linear_transformer_weights(q, k, **options)
    assert_close(weights @ v, actual, rtol=1e-10, atol=1e-10)


def test_the_default_map_is_elu_plus_one():
    x = torch.linspace(-80, 80, 321)
    assert_close(elu_plus_one(x), torch.nn.functional.elu(x) + 1)
    assert_close(elu_plus_one(x), torch.from_numpy(oracles.elu_plus_one(x.numpy())).float())
    assert (elu_plus_one(x) > 0).all()  # where elu(x) + 1, computed so, is 0 from −17.4 on


# One token after another


@pytest.mark.parametrize("feature_map", [elu_plus_one, torch.relu, torch.square])
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_steps_are_the_causal_form(normal, feature_map, eps):
    q, k, v = _inputs(normal, 70)
    options = {"feature_map": feature_map, "eps": eps}
    state = linear_transformer_init_state(2, 3, 5, 3, dtype=torch.float64, **options)
    size = 6 * costs.linear_transformer_state_numbers(3, features=5)
    rows = []
    for i in range(70):
        kept = state.values.clone()
        new, out = linear_transformer_step(state, *(x[:, :, i : i + 1] for x in (q, k, v)))
        assert torch.equal(state.values, kept)
        state = new
        assert state.values.numel() + state.norm.numel() == size
        rows.append(out)
    expected = linear_transformer_attention(q, k, v, causal=True, **options)
    assert_close(torch.cat(rows, dim=2), expected, rtol=1e-12, atol=1e-12)


def test_a_step_adds_one_outer_product_by_hand():
    state = linear_transformer_init_state(1, 1, 2, 1, eps=0.0)
    token = (_one_head(x).float() for x in ([2.0, 0.0], [0.0, 2.0], [4.0]))
    state, out = linear_transformer_step(state, *token)
    assert_close(state.norm.flatten(), torch.tensor([1.0, 3.0]))
    assert_close(state.values.flatten(), torch.tensor([4.0, 12.0]))
    assert out.item() == pytest.approx(4.0)


def test_the_state_of_a_text_is_the_sum_of_its_parts_states(normal):
    def read(k, v):
        state = linear_transformer_init_state(2, 3, 5, 3, dtype=torch.float64)
        for i in range(k.shape[2]):
            here = slice(i, i + 1)
            state, _ = linear_transformer_step(state, k[:, :, here], k[:, :, here], v[:, :, here])
        return state

    _, k, v = _inputs(normal, 20)
    whole, left, right = read(k, v), read(k[:, :, :8], v[:, :, :8]), read(k[:, :, 8:], v[:, :, 8:])
    assert_close(whole.values, left.values + right.values)
    assert_close(whole.norm, left.norm + right.norm)
    # No order either: without decay, the first token counts as much as the last.
    assert_close(read(k.flip(2), v.flip(2)).values, whole.values)


def test_half_precision_stays_out_of_the_sums():
    state = linear_transformer_init_state(1, 1, 2, 3, dtype=torch.float16)
    assert state.values.dtype == state.norm.dtype == torch.float32
    token = [torch.ones(1, 1, 1, width, dtype=torch.float16) for width in (2, 2, 3)]
    for _ in range(3000):  # float16 would stop counting at 2048
        state, out = linear_transformer_step(state, *token)
    assert out.dtype == torch.float16
    assert_close(state.norm.flatten(), torch.full((2,), 6000.0))


# What the paper claims, and what follows


def test_the_papers_gradients_of_the_numerator(normal):
    # Equations 13 to 15: with R_i = Σ_{j ≥ i} φ(q_j) g_jᵀ, the gradients are S_i g_i, R_i v_i and
    # R_iᵀ φ(k_i).
    phi_q, phi_k, v, g = (x.requires_grad_() for x in normal(4, 1, 1, 9, 4).unbind())
    grads = torch.autograd.grad(causal_product(phi_q, phi_k, v), (phi_q, phi_k, v), g)
    a, b, c, d = (x.detach()[0, 0] for x in (phi_q, phi_k, v, g))
    for i in range(9):
        s = b[: i + 1].T @ c[: i + 1]
        r = a[i:].T @ d[i:]
        for grad, expected in zip(grads, (s @ d[i], r @ c[i], r.T @ b[i]), strict=True):
            assert_close(grad[0, 0, i], expected, rtol=1e-12, atol=1e-12)


def test_enough_features_are_softmax(normal):
    # exp(qk) = Σ_m (q^m / √m!) (k^m / √m!): with one number a key, 40 features are plenty.
    q, k, v = (normal(1, 2, 12, 1) for _ in range(3))
    roots = torch.tensor([math.factorial(m) ** 0.5 for m in range(40)], dtype=torch.float64)

    def powers(x):
        return x ** torch.arange(40) / roots

    for causal in (False, True):
        out = linear_transformer_attention(q, k, v, causal=causal, feature_map=powers, eps=0.0)
        assert_close(out, softmax_attention(q, k, v, causal=causal), rtol=1e-9, atol=1e-9)


def test_the_output_lies_within_the_values(normal):
    q, k, v = (x * 3 for x in _inputs(normal, 40))
    out = linear_transformer_attention(q, k, v, eps=0.0)
    assert (out <= v.amax(dim=2, keepdim=True) + 1e-12).all()
    assert (out >= v.amin(dim=2, keepdim=True) - 1e-12).all()
    ones = linear_transformer_attention(q, k, torch.ones_like(v), causal=True, eps=0.0)
    assert_close(ones, torch.ones_like(ones))


def test_the_matrix_has_no_more_rank_than_features(normal):
    q, k, _ = _inputs(normal, 40)
    rank = torch.linalg.matrix_rank(linear_transformer_weights(q, k, eps=0.0))
    assert (rank == 5).all()
    rank = torch.linalg.matrix_rank(linear_transformer_weights(q, k, causal=True, eps=0.0))
    assert (rank == 40).all()  # a positive diagonal


def test_a_zero_denominator_gives_zeros_and_finite_gradients():
    q = _one_head([-1.0, -2.0], [1.0, 0.5]).requires_grad_()
    k, v = _one_head([1.0, 1.0], [2.0, 1.0]), _one_head([3.0], [5.0])
    for causal in (False, True):
        options = {"causal": causal, "feature_map": torch.relu, "eps": 0.0}
        out = linear_transformer_attention(q, k, v, **options)
        assert out[0, 0, 0].item() == 0
        assert out[0, 0, 1].item() > 3
        (grad,) = torch.autograd.grad(out.sum(), q)
        assert grad.isfinite().all()
        assert not linear_transformer_weights(q, k, **options)[0, 0, 0].any()


@pytest.mark.parametrize(("q_len", "kv_len"), [(0, 5), (5, 0)])
def test_what_no_query_reads_gets_a_gradient_of_zero(normal, q_len, kv_len):
    leaves = [x.requires_grad_() for x in _inputs(normal, kv_len, q_len=q_len)]
    for grad in torch.autograd.grad(linear_transformer_attention(*leaves).sum(), leaves):
        assert not grad.any()


# Limits


def test_recall_is_exact_where_features_are_orthogonal_and_blurred_where_they_overlap(normal):
    # One of 8 basis vectors for each key: with a ReLU no two keys' features overlap.
    keys, values = torch.eye(8, dtype=torch.float64)[None, None], normal(1, 1, 8, 3)
    options = {"feature_map": torch.relu, "eps": 0.0}
    assert_close(linear_transformer_attention(keys, keys, values, **options), values)
    # elu + 1 makes (1 + c, 1, 1, …) of c times a basis vector. A large c parts them.
    for c in (1.0, 1e3):
        weights = linear_transformer_weights(c * keys, c * keys, eps=0.0)[0, 0]
        own, other = (1 + c) ** 2 + 7, 2 * (1 + c) + 6
        assert_close(weights.diagonal(), torch.full((8,), own / (own + 7 * other)).double())
    # On the negative side a feature can only go from 1 to 0: no length parts them.
    weights = linear_transformer_weights(-1e3 * keys, -1e3 * keys, eps=0.0)[0, 0]
    assert_close(weights.diagonal(), torch.full((8,), 7 / (7 + 7 * 6)).double())


def test_a_state_recalls_worse_with_every_pair_and_a_cache_hardly_does():
    # N random pairs, asked for by their own keys: the error as a share of the plain mean's.
    draw = torch.Generator().manual_seed(0)
    blurred, sharp = [], []
    for pairs in (4, 16, 64):
        k, v = torch.randn(2, 1000, 1, pairs, 32, generator=draw).unbind()
        mean = (v.mean(dim=2, keepdim=True) - v).square().mean()
        blurred.append((linear_transformer_attention(k, k, v) - v).square().mean() / mean)
        sharp.append((softmax_attention(k, k, v) - v).square().mean() / mean)
    assert [x.item() for x in blurred] == pytest.approx([0.815, 0.948, 0.986], abs=0.01)
    assert [x.item() for x in sharp] == pytest.approx([0.005, 0.036, 0.154], abs=0.01)


def test_long_queries_do_not_sharpen_a_row_as_a_softmax_would(normal):
    q, k, _ = _inputs(normal, 50)
    far = 1e4 * q
    assert softmax_weights(far, k).amax(-1).median() > 0.999
    assert linear_transformer_weights(far, k).amax(-1).max() < 0.5


# Cost


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
def test_the_memory_grows_with_the_length(causal):
    lengths = [512, 1024, 2048]

    def call(q, k, v):
        return linear_transformer_attention(q, k, v, causal=causal)

    inputs = {n: [torch.randn(1, 2, n, 16) for _ in range(3)] for n in lengths}
    tallies = [counting.count(call, *inputs[n]) for n in lengths]
    for n, tally in zip(lengths, tallies, strict=True):
        assert tally.largest <= 2 * n * 64, tally.largest_op  # the pairs inside chunks of 64
    assert counting.exponent(lengths, [t.total for t in tallies]) < 1.05
    peaks = [counting.peak_bytes(call, *inputs[n]) for n in lengths]
    assert counting.exponent(lengths, peaks) < 1.1
    assert counting.exponent(lengths, [counting.flops(call, *inputs[n]) for n in lengths]) < 1.02


def test_the_products_are_as_many_as_the_formula_says():
    n, d, e = 256, 16, 8
    q, k, v = torch.randn(1, 1, n, d), torch.randn(1, 1, n, d), torch.randn(1, 1, n, e)
    with counting.FlopCounterMode(display=False) as counter:
        linear_transformer_attention(q, k, v)
    formula = costs.linear_transformer_flops(n, e, features=d)
    assert counter.get_total_flops() == formula - 2 * n * d  # keys are summed up without a product


def test_a_step_costs_the_same_after_any_number_of_tokens():
    token = [torch.randn(1, 1, 1, 16) for _ in range(3)]
    state = linear_transformer_init_state(1, 1, 16, 16)
    found = set()
    for _ in range(5):
        with counting.FlopCounterMode(display=False) as counter:
            state, _ = linear_transformer_step(state, *token)
        found.add(counter.get_total_flops())
    assert found == {4 * 16 * 16 + 2 * 16}


# Bad calls

BAD = {
    "feature_map a word": ({"feature_map": "elu"}, TypeError, "^feature_map must .*got str"),
    "feature_map None": ({"feature_map": None}, TypeError, "^feature_map must .*got NoneType"),
    "no tensor": (
        {"feature_map": lambda x: x.tolist()},
        TypeError,
        "^feature_map must return a tensor, got list",
    ),
    "the length lost": (
        {"feature_map": lambda x: x[:, :, :2]},
        ValueError,
        r"^feature_map must return shape \(2, 3, 4, features\) .*got \(2, 3, 2, 5\)",
    ),
    "an axis lost": (
        {"feature_map": lambda x: x.sum(-1)},
        ValueError,
        r"^feature_map must return shape .*got \(2, 3, 4\)",
    ),
    "no features": (
        {"feature_map": lambda x: x[..., :0]},
        ValueError,
        r"^feature_map must return shape .*got \(2, 3, 4, 0\)",
    ),
    "another dtype": (
        {"feature_map": lambda x: x.float()},
        ValueError,
        "^feature_map must keep dtype torch.float64 .*got torch.float32",
    ),
    "another device": (
        {"feature_map": lambda x: x.to("meta")},
        ValueError,
        "^feature_map must keep dtype .*got torch.float64 on meta",
    ),
    "eps negative": ({"eps": -1e-6}, ValueError, "^eps must be at least 0, got -1e-06"),
    "eps infinite": ({"eps": math.inf}, ValueError, "^eps must be finite, got inf"),
    "eps a word": ({"eps": "small"}, TypeError, "^eps must be a number, got str"),
}


@pytest.mark.parametrize(("options", "error", "match"), BAD.values(), ids=BAD)
def test_bad_options_say_what_was_wrong(normal, options, error, match):
    q, k, v = _inputs(normal, 4)
    with pytest.raises(error, match=match):
        linear_transformer_attention(q, k, v, **options)
    with pytest.raises(error, match=match):
        linear_transformer_weights(q, k, **options)
    if "must return shape" in match:  # of one vector of zeros, there
        match, options = "^feature_map must return shape", {"feature_map": lambda x: x[0]}
    with pytest.raises(error, match=match):
        linear_transformer_init_state(2, 3, 5, 3, dtype=torch.float64, **options)


def test_keys_have_as_many_features_as_queries(normal):
    calls = []

    def moody(x):
        calls.append(x)
        return x[..., : len(calls)]

    with pytest.raises(ValueError, match="as many features for keys as for queries"):
        linear_transformer_attention(*_inputs(normal, 4), feature_map=moody)


def test_bad_states_and_tokens_say_what_was_wrong(normal):
    state = linear_transformer_init_state(2, 3, 5, 3)
    assert isinstance(state, LinearTransformerState)
    q, k, v = _inputs(normal, 1)
    with pytest.raises(TypeError, match=r"^state must be a LinearTransformerState, got tuple"):
        linear_transformer_step((), q, k, v)
    with pytest.raises(ValueError, match=r"^q must have shape \(2, 3, 1, 5\) to fit state"):
        linear_transformer_step(state, normal(2, 3, 2, 5), k, v)
    with pytest.raises(ValueError, match=r"^v must have shape \(2, 3, 1, 3\) to fit state"):
        linear_transformer_step(state, q, k, normal(2, 3, 1, 4))
    with pytest.raises(ValueError, match=r"^heads must be at least 1, got 0"):
        linear_transformer_init_state(2, 0, 5, 3)
