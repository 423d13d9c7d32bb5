"""The Explicit Sparse Transformer against the definition of Zhao et al. 2019 (arXiv:1912.11637)."""

import math

import counting
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import costs, explicit_sparse_attention, explicit_sparse_weights, softmax_attention
from attn_lib.mechanisms import explicit_sparse as module


def _row(*scores, topk, **options):
    """Return what one query gives to keys with the given scores."""
    k = torch.tensor(scores, dtype=torch.float64).reshape(1, 1, -1, 1)
    q = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    eye = torch.eye(len(scores), dtype=torch.float64)[None, None]
    return explicit_sparse_attention(q, k, eye, topk=topk, **options)[0, 0, 0].tolist()


def _dense(q, k, v, chosen, scale):
    """Return the softmax over `chosen` in plain torch, for autograd to differentiate."""
    chosen = torch.from_numpy(chosen)
    scores = (scale * (q @ k.mT)).masked_fill(~chosen, -1e300)
    weights = torch.where(chosen, (scores - scores.amax(-1, keepdim=True)).exp(), 0.0)
    total = weights.sum(-1, keepdim=True)
    return (weights / torch.where(total == 0, 1.0, total)) @ v


# By hand


def test_the_papers_formula_by_hand():
    # Of scores 2, 1, 0, −1 two are kept: e / (e + 1) and 1 / (e + 1). Four are plain softmax.
    share = math.e / (math.e + 1)
    assert _row(2.0, 1.0, 0.0, -1.0, topk=2) == pytest.approx([share, 1 - share, 0, 0])
    assert _row(0.0, -1.0, 2.0, 1.0, topk=2) == pytest.approx([0, 0, share, 1 - share])
    assert _row(2.0, 1.0, 0.0, -1.0, topk=4) == pytest.approx(
        [0.644, 0.237, 0.087, 0.032], abs=5e-4
    )


def test_of_equal_scores_the_earlier_position_is_kept():
    assert _row(1.0, 1.0, 1.0, 0.0, topk=2) == [0.5, 0.5, 0, 0]
    assert _row(0.0, 3.0, 1.0, 3.0, 3.0, topk=2) == [0, 0.5, 0, 0.5, 0]
    assert _row(*[5.0] * 2000, topk=3) == [1 / 3] * 3 + [0] * 1997
    # The paper keeps all that reach the threshold: here one more than two.
    assert sum(score >= 1.0 for score in (1.0, 1.0, 1.0, 0.0)) == 3


def test_ties_below_the_threshold_do_not_matter():
    assert _row(3.0, 1.0, 2.0, 1.0, 1.0, topk=2) == _row(3.0, -9.0, 2.0, 0.0, 1.0, topk=2)


def test_keys_that_may_not_be_seen_take_up_no_place():
    # The future and the padding have the largest scores. Each row still keeps min(2, visible).
    k = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype=torch.float64).reshape(1, 1, 6, 1)
    q = torch.ones_like(k)
    kept = explicit_sparse_weights(q, k, causal=True, topk=2)[0, 0] > 0
    assert [set(row.nonzero().flatten().tolist()) for row in kept] == [
        {0},
        {0, 1},
        {1, 2},
        {2, 3},
        {3, 4},
        {4, 5},
    ]
    key_mask = torch.tensor([[True, True, False, True, False, False]])
    eye = torch.eye(6, dtype=torch.float64)[None, None]
    out = explicit_sparse_attention(q, k, eye, causal=True, key_mask=key_mask, topk=2)[0, 0]
    assert [set(row.nonzero().flatten().tolist()) for row in out] == [
        {0},
        {0, 1},
        {0, 1},
        {1, 3},
        {1, 3},
        {1, 3},
    ]


def test_choosing_before_masking_would_lose_keys(normal):
    # A pitfall pinned as a fact: 12 random keys, 4 kept, the causal mask only afterwards.
    scores = normal(200, 12, 12)
    past = torch.ones(12, 12, dtype=torch.bool).tril()
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen.scatter_(-1, scores.topk(4).indices, True)
    left = (chosen & past).sum(-1).double()
    for legal in range(4, 13):  # 4 · legal / 12 of them, where it should be 4
        assert left[:, legal - 1].mean() == pytest.approx(legal / 3, abs=0.2)
    assert (left[:, 0] == 0).double().mean() == pytest.approx(8 / 12, abs=0.1)


# Against the definition


@st.composite
def calls(draw):
    causal = draw(st.booleans())
    q_len = draw(st.integers(1, 70))
    kv_len = q_len if causal else draw(st.integers(1, 70))
    sizes = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), q_len, kv_len)
    topk = draw(st.one_of(st.integers(1, 9), st.integers(1, 80)))
    hidden = draw(st.one_of(st.none(), st.integers(0, 2**70 - 1)))
    chunk = draw(st.sampled_from([1, 60, 500, 2**20]))
    return sizes, topk, causal, hidden, draw(st.booleans()), chunk


@given(calls())
def test_any_call_and_its_gradients_are_the_definitions(call):
    (batch, heads, q_len, kv_len), topk, causal, hidden, ties, chunk = call
    draw = torch.Generator().manual_seed(q_len + 71 * kv_len)
    shapes = ((batch, heads, q_len, 4), (batch, heads, kv_len, 4), (batch, heads, kv_len, 3))
    fast = [torch.randn(s, generator=draw, dtype=torch.float64) for s in shapes]
    if ties:  # small integers have many equal products, and no rounding
        fast[:2] = [x.round() for x in fast[:2]]
    slow = [x.clone().requires_grad_() for x in fast]
    fast = [x.requires_grad_() for x in fast]
    key_mask = None
    if hidden is not None:
        key_mask = torch.tensor(
            [[(hidden >> (j + b)) & 1 == 0 for j in range(kv_len)] for b in range(batch)]
        )
    visible = torch.ones(1, 1, q_len, kv_len, dtype=torch.bool)
    visible = oracles.visible_keys(visible.tril() if causal else visible, key_mask)
    options = {"causal": causal, "key_mask": key_mask, "topk": topk}
    q, k, _ = (x.detach() for x in fast)
    chosen = oracles.best_keys(q, k, topk, visible, scale=0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        out = explicit_sparse_attention(*fast, **options)
        out.sin().sum().backward()
    dense = _dense(*slow, chosen, 0.5)
    dense.sin().sum().backward()
    assert_close(out, dense, rtol=1e-12, atol=1e-12)
    for one, other in zip(fast, slow, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-10)
    weights = torch.from_numpy(oracles.weights(q, k, chosen, scale=0.5))
    assert_close(explicit_sparse_weights(q, k, **options), weights, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [1, 15, 16, 31, 63, 64, 65, 255, 257, 1000, 1023, 4099])
@pytest.mark.parametrize("kept", [1, 2, 5, 16])
def test_the_tournament_finds_the_largest(normal, width, kept):
    kept = min(kept, width)
    smooth, stepped = normal(7, width), normal(7, width).mul(2).round()
    hidden = stepped.masked_fill(normal(7, width) > 1 - width / 1000, -math.inf)
    for scores in (smooth, stepped, hidden, torch.zeros(7, width)):
        best, order = module._largest(scores.clone(), kept)
        assert ((order >= 0) & (order < width)).all()
        expected = scores.sort(dim=-1, descending=True, stable=True)
        assert_close(best.sort(descending=True).values, expected.values[:, :kept], rtol=0, atol=0)
        for row in range(7):
            finite = best[row] > -math.inf
            count = int(finite.sum())
            found = sorted(order[row][finite].tolist())
            assert found == sorted(expected.indices[row, :count].tolist())


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("topk", [3, 64])
def test_a_long_input_is_exact_at_every_row_that_is_looked_at(normal, topk, causal):
    n, heads = 3001, 2
    rows = torch.tensor([0, 1, 62, 63, 64, 65, 348, 349, 350, 1000, 2048, 2999, 3000])
    fast = [normal(1, heads, n, 4), normal(1, heads, n, 4), normal(1, heads, n, 2)]
    key_mask = torch.arange(n)[None] % 11 != 4
    visible = key_mask & ((torch.arange(n) <= rows[:, None]) | (not causal))
    chosen = oracles.best_keys(fast[0][:, :, rows], fast[1], topk, visible, scale=0.5)
    slow = [x.clone().requires_grad_() for x in fast]
    fast = [x.requires_grad_() for x in fast]
    out = explicit_sparse_attention(*fast, causal=causal, key_mask=key_mask, topk=topk)
    expected = _dense(slow[0][:, :, rows], *slow[1:], chosen, 0.5)
    assert_close(out[:, :, rows], expected, rtol=1e-12, atol=1e-12)
    out[:, :, rows].sin().sum().backward()
    expected.sin().sum().backward()
    for one, other in zip(fast, slow, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)


# What the paper says of gradients


def test_the_gradient_is_the_papers_formula(normal):
    # ∂A_ij / ∂P_im = A_ij (δ_jm − A_im) for chosen j and m, and 0 elsewhere.
    n, topk = 9, 4
    scores = normal(n)
    eye = torch.eye(n, dtype=torch.float64)[None, None]

    def row(scores):
        k = scores.view(1, 1, n, 1)
        return explicit_sparse_attention(torch.ones_like(k[:, :, :1]), k, eye, topk=topk)[0, 0, 0]

    weights = row(scores)
    jacobian = torch.stack(
        [torch.autograd.grad(row(x := scores.clone().requires_grad_())[j], x)[0] for j in range(n)]
    )
    expected = weights.diag() - weights.outer(weights)
    assert_close(jacobian, expected, rtol=1e-12, atol=1e-14)
    unchosen = weights == 0
    assert unchosen.sum() == n - topk
    assert not jacobian[unchosen].any()
    assert not jacobian[:, unchosen].any()


def test_keys_that_no_query_chose_get_no_gradient_at_all(normal):
    q, k, v = (normal(1, 1, n, 5).requires_grad_() for n in (3, 40, 40))
    explicit_sparse_attention(q, k, v, topk=4).sin().sum().backward()
    chosen = (explicit_sparse_weights(q, k, topk=4)[0, 0] > 0).any(0)
    assert 4 <= chosen.sum() <= 12
    for grad in (k.grad[0, 0], v.grad[0, 0]):
        assert not grad[~chosen].any()
        assert grad[chosen].any(dim=-1).all()


def test_one_key_gives_no_gradient_to_the_scores(normal):
    q, k, v = (normal(2, 3, 11, 5).requires_grad_() for _ in range(3))
    out = explicit_sparse_attention(q, k, v, topk=1)
    best = (q @ k.mT).argmax(-1)
    assert_close(out, v.gather(2, best[..., None].expand_as(v)), rtol=0, atol=0)
    out.sin().sum().backward()
    assert not q.grad.any()
    assert not k.grad.any()
    assert v.grad.any()


# Properties and limits


@pytest.mark.parametrize("topk", [50, 51, 10**9])
@pytest.mark.parametrize("causal", [False, True])
def test_as_many_keys_as_there_are_is_full_attention(normal, topk, causal):
    fast = [normal(2, 3, 50, 5), normal(2, 3, 50, 5), normal(2, 3, 50, 7)]
    key_mask = torch.arange(100).reshape(2, 50) % 7 > 1
    slow = [x.clone().requires_grad_() for x in fast]
    fast = [x.requires_grad_() for x in fast]
    expected = softmax_attention(*slow, causal=causal, key_mask=key_mask)
    actual = explicit_sparse_attention(*fast, causal=causal, key_mask=key_mask, topk=topk)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    actual.sin().sum().backward()
    expected.sin().sum().backward()
    for one, other in zip(fast, slow, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-11, atol=1e-12)


def test_early_causal_queries_see_all_their_past(normal):
    q, k, v = normal(1, 2, 30, 5), normal(1, 2, 30, 5), normal(1, 2, 30, 7)
    some = explicit_sparse_attention(q, k, v, causal=True, topk=8)
    full = softmax_attention(q, k, v, causal=True)
    assert_close(some[:, :, :8], full[:, :, :8], rtol=1e-12, atol=1e-12)
    assert not torch.isclose(some[:, :, 8:], full[:, :, 8:]).all(dim=-1).any()


def test_no_other_keys_of_that_number_hold_more_weight(normal):
    q, k = normal(2, 3, 20, 5), normal(2, 3, 20, 5)
    full = torch.from_numpy(oracles.weights(q, k))
    kept = (full * (explicit_sparse_weights(q, k, topk=6) > 0)).sum(-1)
    assert_close(kept, full.sort(descending=True).values[..., :6].sum(-1))
    assert ((explicit_sparse_weights(q, k, topk=6) > 0).sum(-1) == 6).all()


def test_the_weights_are_the_full_ones_made_to_sum_to_one(normal):
    q, k = normal(2, 3, 20, 5), normal(2, 3, 20, 5)
    full = torch.from_numpy(oracles.weights(q, k))
    some = explicit_sparse_weights(q, k, topk=6)
    kept = full * (some > 0)
    assert_close(some, kept / kept.sum(-1, keepdim=True), rtol=1e-12, atol=1e-14)


def test_a_number_added_to_a_row_of_scores_changes_nothing(normal):
    q, k, v = normal(1, 2, 20, 5), normal(1, 2, 20, 5), normal(1, 2, 20, 7)
    k[..., 0] = 3.0
    moved = q.clone()
    moved[..., 0] += normal(20)
    first = explicit_sparse_attention(q, k, v, topk=4)
    assert_close(explicit_sparse_attention(moved, k, v, topk=4), first, rtol=1e-11, atol=1e-11)


def test_the_output_jumps_where_two_ranks_swap():
    # Scores 1, 0, ±ε with two kept: the second place changes hands, and so do 27 % of the weight.
    before, after = _row(1.0, 0.0, -1e-9, topk=2), _row(1.0, 0.0, 1e-9, topk=2)
    assert before == pytest.approx([0.731, 0.269, 0.0], abs=5e-4)
    assert after == pytest.approx([0.731, 0.0, 0.269], abs=5e-4)


@pytest.mark.parametrize(
    ("n", "topk", "mass"), [(64, 8, 0.43), (1024, 8, 0.077), (64, 32, 0.84), (1024, 32, 0.19)]
)
def test_how_much_weight_the_best_of_random_scores_hold(normal, n, topk, mass):
    full = normal(400, n).softmax(-1)
    assert full.topk(topk).values.sum(-1).mean() == pytest.approx(mass, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_large_scores_do_not_overflow(dtype):
    q = torch.full((1, 1, 9, 4), 200.0, dtype=dtype)
    sign = torch.ones(9, dtype=dtype)
    sign[1::2] = -1
    k = (200 * sign)[None, None, :, None].expand(1, 1, 9, 4)
    out = explicit_sparse_attention(q, k, sign.reshape(1, 1, 9, 1), topk=7)
    assert_close(out[..., 0], torch.ones(1, 1, 9, dtype=dtype))


# Cost, by counting


def _call(n, heads=2, **options):
    draw = torch.Generator().manual_seed(n)
    q, k, v = (torch.randn(1, heads, n, 4, generator=draw) for _ in range(3))

    def call(q, k, v):
        return explicit_sparse_attention(q, k, v, **options)

    return call, q, k, v


@pytest.mark.parametrize("causal", [False, True])
def test_scores_are_held_a_block_at_a_time(causal):
    for n in (2048, 4096, 5003):
        tally = counting.count(*_call(n, topk=16, causal=causal))
        assert tally.largest <= 1.03 * 2**21, tally.largest_op
        assert not any(shape[-2:] == (n, n) for _, shape in tally.shapes)


def test_memory_grows_as_the_length():
    sizes = [2048, 4096, 8192]
    peaks = [counting.peak_bytes(*_call(n, heads=1, topk=64)) - 2**24 for n in sizes]
    assert counting.exponent(sizes, peaks) <= 1.1


def test_eight_heads_of_4096_tokens_fit_into_150_megabytes():
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 8, 4096, 64, generator=draw) for _ in range(3))

    def call(q, k, v):
        return explicit_sparse_attention(q, k, v, topk=64)

    assert counting.peak_bytes(call, q, k, v) < 150e6


def test_every_score_is_computed_once_and_nothing_else_is_quadratic():
    # Honest: 2 · n² · head_dim operations for the scores. The backward pass multiplies no matrices.
    for n in (1024, 2048):
        assert counting.flops(*_call(n, heads=1, topk=16)) == 2 * n * n * 4
    causal = counting.flops(*_call(4096, heads=1, topk=16, causal=True))
    assert causal < 0.6 * 2 * 4096 * 4096 * 4


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n", "topk"), [(1, 1), (7, 3), (7, 7), (7, 100), (50, 8)])
def test_the_closed_form_counts_scores_and_kept_pairs(n, topk, causal):
    q = torch.zeros(1, 1, n, 1, dtype=torch.float64)
    kept = (explicit_sparse_weights(q, q, topk=topk, causal=causal) > 0).sum().item()
    scores = n * (n + 1) // 2 if causal else n * n
    expected = 2 * (scores * 3 + kept * 5)
    assert costs.explicit_sparse_flops(n, 3, 5, topk=topk, causal=causal) == expected
    with pytest.raises(ValueError, match=r"^topk must .*got 0"):
        costs.explicit_sparse_flops(n, 3, 5, topk=0)


# Bad options


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"topk": 0}, ValueError, "^topk must be at least 1, got 0"),
        ({"topk": -3}, ValueError, "^topk must be at least 1, got -3"),
        ({"topk": 2.0}, TypeError, "^topk must be an int, got float"),
        ({"topk": True}, TypeError, "^topk must be an int, got bool"),
        ({"topk": None}, TypeError, "^topk must be an int, got NoneType"),
        ({"topk": 2, "scale": math.inf}, ValueError, "^scale must be finite, got inf"),
        ({"topk": 2, "scale": "1"}, TypeError, "^scale must be a number, got str"),
        ({}, TypeError, "topk"),
    ],
    ids=str,
)
def test_bad_options_are_refused(normal, options, error, match):
    q, k, v = normal(1, 2, 9, 3), normal(1, 2, 9, 3), normal(1, 2, 9, 3)
    with pytest.raises(error, match=match):
        explicit_sparse_attention(q, k, v, **options)
    with pytest.raises(error, match=match):
        explicit_sparse_weights(q, k, **options)
