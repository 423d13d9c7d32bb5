"""cosFormer against the definitions and the claims of Qin et al. 2022 (arXiv:2202.08791)."""

import math

import counting
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import (
    CosformerState,
    cosformer_attention,
    cosformer_init_state,
    cosformer_step,
    cosformer_weights,
    costs,
    softmax_weights,
)


def _inputs(normal, length, head_dim=5, value_dim=3, q_len=None):
    q_len = length if q_len is None else q_len
    return (
        normal(2, 3, q_len, head_dim),
        normal(2, 3, length, head_dim),
        normal(2, 3, length, value_dim),
    )


def _column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).view(1, 1, -1, 1)


# The formula


def test_three_tokens_by_hand():
    # M = 3: neighbours have cos 30° = ½√3, the ends cos 60° = ½. The second key is negative.
    q, k, v = _column(1.0, 5.0, 1.0), _column(1.0, -2.0, 2.0), _column(4.0, 100.0, 8.0)
    options = {"max_len": 3, "eps": 0.0}
    weights = [[1 / 2, 0, 1 / 2], [1 / 3, 0, 2 / 3], [1 / 5, 0, 4 / 5]]
    weights = torch.tensor(weights, dtype=torch.float64)[None, None]
    assert_close(cosformer_weights(q, k, **options), weights)
    assert_close(cosformer_attention(q, k, v, **options), _column(6.0, 20 / 3, 7.2))
    out = cosformer_attention(q, k, v, causal=True, **options)
    assert_close(out, _column(4.0, 4.0, 7.2))
    out = cosformer_attention(q, k, v, max_len=3, eps=0.5)
    assert out[0, 0, 0].item() == pytest.approx((4 + 8) / (1 + 1 + 0.5))


@given(
    q_len=st.integers(0, 70),
    kv_len=st.integers(0, 9),
    causal=st.booleans(),
    spare=st.one_of(st.none(), st.integers(0, 30), st.just(10**9)),
    eps=st.sampled_from([0.0, 1e-6, 0.25]),
    kept=st.integers(0, 2**9 - 1),
)
def test_any_call_is_the_sum_over_pairs(q_len, kv_len, causal, spare, eps, kept):
    draw = torch.Generator().manual_seed(kept)

    def normal(*shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    kv_len = q_len if causal else kv_len
    q, k, v = _inputs(normal, kv_len, q_len=q_len)
    row = torch.tensor([bool(kept >> j % 9 & 1) for j in range(kv_len)], dtype=torch.bool)
    key_mask = torch.stack([row, ~row])
    max_len = None if spare is None else max(q_len, kv_len, 1) + spare
    expected = oracles.cosformer(q, k, v, max_len, causal, key_mask, eps)
    options = {"causal": causal, "key_mask": key_mask, "max_len": max_len, "eps": eps}
    actual = cosformer_attention(q, k, v, **options)
    assert_close(actual, torch.from_numpy(expected), rtol=1e-10, atol=1e-10)
    assert_close(cosformer_weights(q, k, **options) @ v, actual, rtol=1e-10, atol=1e-10)


def test_the_length_is_m_unless_m_is_given(normal):
    q, k, v = _inputs(normal, 9, q_len=4)
    assert_close(cosformer_attention(q, k, v), cosformer_attention(q, k, v, max_len=9))
    q, k, v = _inputs(normal, 4, q_len=9)
    assert_close(cosformer_attention(q, k, v), cosformer_attention(q, k, v, max_len=9))


# The two requirements: no negative weight, and more of it near by


def test_the_cosine_is_a_product_of_features_without_a_sign(normal):
    # Ptolemy: cos(a − b) = cos a cos b + sin a sin b; one-hot q and k leave the features bare.
    m = 40
    ones = torch.ones(1, 1, m, 1, dtype=torch.float64)
    place = torch.arange(m, dtype=torch.float64)
    angle = math.pi * place / (2 * m)
    split = torch.outer(angle.cos(), angle.cos()) + torch.outer(angle.sin(), angle.sin())
    whole = (math.pi / 2 * (place[:, None] - place) / m).cos()
    assert_close(split, whole)
    assert angle.cos().min() > 0
    assert angle.sin().min() >= 0
    weights = cosformer_weights(ones, ones, eps=0.0)[0, 0]
    assert_close(weights, whole / whole.sum(-1, keepdim=True))
    # With values that are a basis, the fast function returns its whole matrix.
    basis = torch.eye(m, dtype=torch.float64)[None, None]
    assert_close(cosformer_attention(ones, ones, basis, eps=0.0)[0, 0], weights)


def test_no_weight_is_negative_and_rows_are_averages(normal):
    q, k, v = (x * 3 for x in _inputs(normal, 40))
    basis = torch.eye(40, dtype=torch.float64).expand(2, 3, -1, -1)
    for causal in (False, True):
        assert cosformer_attention(q, k, basis, causal=causal).min() >= 0
    out = cosformer_attention(q, k, v, eps=0.0)
    alive = (q > 0).any(dim=-1, keepdim=True)
    assert ((out <= v.amax(dim=2, keepdim=True) + 1e-12) | ~alive).all()
    assert ((out >= v.amin(dim=2, keepdim=True) - 1e-12) | ~alive).all()
    assert_close(cosformer_attention(q, k, torch.ones_like(v), eps=0.0) != 0, alive.expand_as(v))


def test_the_last_key_in_reach_is_exact_in_single_precision(normal):
    # At a distance of M − 1 the cosine is π/2M; a difference of features would lose its digits.
    n = 1 << 16
    x, v = torch.ones(1, 1, n, 2), normal(1, 1, n, 2, dtype=torch.float32)
    key_mask = torch.zeros(1, n, dtype=torch.bool)
    key_mask[:, 0] = True
    for causal in (False, True):
        out = cosformer_attention(x, x, v, causal=causal, key_mask=key_mask, eps=0.0)
        assert_close(out[:, :, -1], v[:, :, 0], rtol=1e-6, atol=0)
    far = cosformer_weights(x[:, :, :9], x[:, :, :9], max_len=9, eps=0.0)[0, 0, 8]
    assert far[0] / far[8] == pytest.approx(math.cos(math.pi / 2 * 8 / 9))


def test_weights_depend_on_the_distance_alone(normal):
    # A text behind five masked tokens, and a text read backwards, with one M for all.
    q, k, v = _inputs(normal, 20)
    out = cosformer_attention(q, k, v, max_len=30)
    later = [torch.cat([normal(2, 3, 5, x.shape[-1]), x], dim=2) for x in (q, k, v)]
    key_mask = (torch.arange(25) >= 5).expand(2, -1)
    moved = cosformer_attention(*later, key_mask=key_mask, max_len=30)
    assert_close(moved[:, :, 5:], out)
    assert_close(cosformer_attention(*(x.flip(2) for x in (q, k, v)), max_len=30), out.flip(2))


def test_half_of_the_weight_is_left_at_two_thirds_of_m():
    x = torch.ones(1, 1, 61, 3, dtype=torch.float64)
    weights = cosformer_weights(x, x, max_len=60 + 1, eps=0.0)[0, 0, 0]
    near = cosformer_weights(x, x, max_len=90, eps=0.0)[0, 0, 0]
    assert near[60] / near[0] == pytest.approx(0.5)
    share = weights / weights[0]
    table = {0.1: 0.988, 0.25: 0.924, 0.5: 0.707, 0.75: 0.383}
    for part, left in table.items():
        assert share[round(61 * part)] == pytest.approx(left, abs=0.02)


def test_an_endless_m_leaves_relu_alone(normal):
    q, k, v = _inputs(normal, 30)
    similar = q.clamp(min=0) @ k.clamp(min=0).mT
    relu = similar @ v / (similar.sum(-1, keepdim=True) + 1e-6)
    for m, close in ((10**9, 1e-12), (3000, 1e-4)):
        out = cosformer_attention(q, k, v, max_len=m)
        assert_close(out, relu, rtol=close, atol=close)


def test_the_length_of_a_query_cancels(normal):
    q, k, v = _inputs(normal, 30)
    factor = torch.linspace(0.01, 100, 30, dtype=torch.float64)[:, None]
    for causal in (False, True):
        out = cosformer_attention(factor * q, k, v, causal=causal, eps=0.0)
        assert_close(out, cosformer_attention(q, k, v, causal=causal, eps=0.0))


def test_the_matrix_has_twice_the_rank_of_its_heads_width(normal):
    q, k, _ = _inputs(normal, 60)
    rank = torch.linalg.matrix_rank(cosformer_weights(q, k, eps=0.0))
    assert (rank == 10).all()


# One token after another


@pytest.mark.parametrize("eps", [0.0, 1e-6])
@pytest.mark.parametrize("max_len", [70, 1000])
def test_steps_are_the_causal_form(normal, eps, max_len):
    q, k, v = _inputs(normal, 70)
    options = {"max_len": max_len, "eps": eps}
    state = cosformer_init_state(2, 3, 5, 3, dtype=torch.float64, **options)
    size = 6 * costs.cosformer_state_numbers(5, 3)
    rows = []
    for i in range(70):
        kept = state.values.clone()
        new, out = cosformer_step(state, *(x[:, :, i : i + 1] for x in (q, k, v)))
        assert torch.equal(state.values, kept)
        state = new
        assert state.values.numel() + state.norm.numel() == size
        assert state.position == i + 1
        rows.append(out)
    expected = cosformer_attention(q, k, v, causal=True, **options)
    assert_close(torch.cat(rows, dim=2), expected, rtol=1e-12, atol=1e-12)


def test_one_token_by_hand_and_none_beyond_m():
    state = cosformer_init_state(1, 1, 1, 1, max_len=2, eps=0.0)
    token = [torch.full((1, 1, 1, 1), x) for x in (3.0, 2.0, 4.0)]
    state, out = cosformer_step(state, *token)
    assert_close(state.values.flatten(), torch.tensor([8.0, 0.0]))  # cos 0 = 1, sin 0 = 0
    assert_close(state.norm.flatten(), torch.tensor([2.0, 0.0]))
    assert out.item() == pytest.approx(4.0)
    state, _ = cosformer_step(state, *token)
    half = 0.5**0.5  # the second of two tokens stands at 45°
    assert_close(state.norm.flatten(), torch.tensor([2 + 2 * half, 2 * half]))
    with pytest.raises(ValueError, match=r"^state must hold fewer than max_len = 2 tokens, got 2"):
        cosformer_step(state, *token)


def test_half_precision_stays_out_of_the_sums():
    state = cosformer_init_state(1, 1, 2, 3, max_len=3000, dtype=torch.float16)
    assert state.values.dtype == state.norm.dtype == torch.float32
    token = [torch.ones(1, 1, 1, width, dtype=torch.float16) for width in (2, 2, 3)]
    for _ in range(3000):
        state, out = cosformer_step(state, *token)
    assert out.dtype == torch.float16
    assert_close(out, token[2])
    assert_close(state.norm.flatten(), torch.full((4,), 3000 * 2 / math.pi), rtol=1e-3, atol=0)


# Limits


def test_without_a_fixed_m_the_past_changes_as_the_text_grows(normal):
    q, k, v = _inputs(normal, 30)
    start = [x[:, :, :20] for x in (q, k, v)]
    tied = cosformer_attention(*start, causal=True), cosformer_attention(q, k, v, causal=True)
    assert (tied[0] - tied[1][:, :, :20]).abs().max() > 0.01
    fixed = [cosformer_attention(*x, causal=True, max_len=30) for x in (start, (q, k, v))]
    assert_close(fixed[0], fixed[1][:, :, :20], rtol=1e-12, atol=1e-12)


def test_a_query_without_a_positive_entry_gets_zeros_and_not_a_mean(normal):
    q, k, v = _inputs(normal, 12)
    q[:, :, 4] = -q[:, :, 4].abs()
    for eps in (0.0, 1e-6):
        for causal in (False, True):
            out = cosformer_attention(q, k, v, causal=causal, eps=eps)
            assert not out[:, :, 4].any()
            assert not cosformer_weights(q, k, causal=causal, eps=eps)[:, :, 4].any()
    # Random signs leave one query in 2^d without an entry.
    q = normal(1, 1, 20000, 3)
    dead = (cosformer_attention(q, q.abs(), q, eps=0.0) == 0).all(dim=-1)
    assert dead.double().mean().item() == pytest.approx(1 / 8, abs=0.01)


def test_it_is_far_from_sharp(normal):
    # However long the queries and keys, a peak is no higher than ReLU's products make it.
    q, k, _ = _inputs(normal, 60)
    peaks = cosformer_weights(1e4 * q, 1e4 * k, eps=0.0).amax(-1)
    assert peaks.max() < 0.5
    assert softmax_weights(1e4 * q, 1e4 * k).amax(-1).median() > 0.999


# Cost


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
def test_the_memory_grows_with_the_length(causal):
    lengths = [512, 1024, 2048]

    def call(q, k, v):
        return cosformer_attention(q, k, v, causal=causal)

    inputs = {n: [torch.randn(1, 2, n, 16) for _ in range(3)] for n in lengths}
    tallies = [counting.count(call, *inputs[n]) for n in lengths]
    for n, tally in zip(lengths, tallies, strict=True):
        assert tally.largest <= 2 * n * 64, tally.largest_op  # the pairs inside a chunk are 64
    assert counting.exponent(lengths, [t.total for t in tallies]) < 1.05
    peaks = [counting.peak_bytes(call, *inputs[n]) for n in lengths]
    assert counting.exponent(lengths, peaks) < 1.1
    assert counting.exponent(lengths, [counting.flops(call, *inputs[n]) for n in lengths]) < 1.02


def test_the_products_are_as_many_as_the_formula_says():
    n, d, e = 256, 16, 32
    q, k, v = torch.randn(1, 1, n, d), torch.randn(1, 1, n, d), torch.randn(1, 1, n, e)
    with counting.FlopCounterMode(display=False) as counter:
        cosformer_attention(q, k, v)
    # The counter knows products, not sums: that of the keys' features may escape it.
    assert counter.get_total_flops() == pytest.approx(costs.cosformer_flops(n, d, e), rel=0.03)


def test_a_step_costs_the_same_after_any_number_of_tokens():
    token = [torch.randn(1, 1, 1, 16) for _ in range(3)]
    state = cosformer_init_state(1, 1, 16, 16, max_len=9)
    found = set()
    for _ in range(5):
        with counting.FlopCounterMode(display=False) as counter:
            state, _ = cosformer_step(state, *token)
        found.add(counter.get_total_flops())
    assert found == {4 * 32 * 16 + 2 * 32}


# Bad calls

BAD = {
    "max_len too small": (
        {"max_len": 3},
        ValueError,
        "^max_len must be at least the longer of q_len and kv_len = 4, got 3",
    ),
    "max_len zero": ({"max_len": 0}, ValueError, "^max_len must be at least 1, got 0"),
    "max_len a float": ({"max_len": 8.0}, TypeError, "^max_len must be an int, got float"),
    "max_len a bool": ({"max_len": True}, TypeError, "^max_len must be an int, got bool"),
    "eps negative": ({"eps": -1e-6}, ValueError, "^eps must be at least 0, got -1e-06"),
    "eps infinite": ({"eps": math.inf}, ValueError, "^eps must be finite, got inf"),
    "eps a word": ({"eps": "small"}, TypeError, "^eps must be a number, got str"),
}


@pytest.mark.parametrize(("options", "error", "match"), BAD.values(), ids=BAD)
def test_bad_options_say_what_was_wrong(normal, options, error, match):
    q, k, v = _inputs(normal, 4)
    with pytest.raises(error, match=match):
        cosformer_attention(q, k, v, **options)
    with pytest.raises(error, match=match):
        cosformer_weights(q, k, **options)
    if options.get("max_len") != 3:  # a state may have any number of tokens
        with pytest.raises(error, match=match):
            cosformer_init_state(2, 3, 5, 3, **{"max_len": 9, **options})


def test_the_longer_of_both_sequences_counts(normal):
    q, k, v = _inputs(normal, 4, q_len=6)
    cosformer_attention(q, k, v, max_len=6)
    with pytest.raises(ValueError, match="kv_len = 6, got 5"):
        cosformer_attention(q, k, v, max_len=5)
    q, k, v = _inputs(normal, 6, q_len=4)
    with pytest.raises(ValueError, match="kv_len = 6, got 5"):
        cosformer_attention(q, k, v, max_len=5)


def test_bad_states_and_tokens_say_what_was_wrong(normal):
    with pytest.raises(ValueError, match=r"^max_len must be given .*got None"):
        cosformer_init_state(2, 3, 5, 3)
    state = cosformer_init_state(2, 3, 5, 3, max_len=8)
    assert isinstance(state, CosformerState)
    q, k, v = _inputs(normal, 1)
    with pytest.raises(TypeError, match=r"^state must be a CosformerState, got tuple"):
        cosformer_step((), q, k, v)
    with pytest.raises(ValueError, match=r"^q must have shape \(2, 3, 1, 5\) to fit state"):
        cosformer_step(state, normal(2, 3, 2, 5), k, v)
    with pytest.raises(ValueError, match=r"^v must have shape \(2, 3, 1, 3\) to fit state"):
        cosformer_step(state, q, k, normal(2, 3, 1, 4))
    with pytest.raises(ValueError, match=r"^heads must be at least 1, got 0"):
        cosformer_init_state(2, 0, 5, 3, max_len=8)
