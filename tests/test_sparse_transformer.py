"""The Sparse Transformer against the sets of Child et al. 2019 (arXiv:1904.10509), section 4.3."""

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
    masks,
    softmax_attention,
    sparse_transformer_attention,
    sparse_transformer_weights,
)


def _visible(heads, q_len, kv_len, options, key_mask=None, causal=False):
    """Return the oracle's pairs, (batch or 1, heads, q_len, kv_len)."""
    given = dict(options)
    mode = given.pop("heads", "merged")
    visible = oracles.sparse_transformer_visible(
        heads, q_len, kv_len, mode=mode, causal=causal, **given
    )
    return oracles.visible_keys(visible[None], key_mask)


def _assert_is_the_paper(q, k, v, options, key_mask=None, causal=False):
    visible = _visible(q.shape[1], q.shape[2], k.shape[2], options, key_mask, causal)
    given = {"causal": causal, "key_mask": key_mask, **options}
    out = torch.from_numpy(oracles.attention(q, k, v, visible))
    assert_close(sparse_transformer_attention(q, k, v, **given), out, rtol=1e-12, atol=1e-12)
    weights = torch.from_numpy(oracles.weights(q, k, visible))
    assert_close(sparse_transformer_weights(q, k, **given), weights, rtol=1e-12, atol=1e-12)


def _seen(i, n, *, count=1, causal=True, **options):
    """Return, for each of `count` heads, the keys that query i gives weight to."""
    q = k = torch.zeros(1, count, n, 2, dtype=torch.float64)
    eye = torch.eye(n, dtype=torch.float64).expand(1, count, n, n)
    row = sparse_transformer_attention(q, k, eye, causal=causal, **options)[0, :, i]
    return [set(head.nonzero().flatten().tolist()) for head in row]


# By hand


def test_strided_by_hand():
    # Eight positions, stride 3. Position 7 sees 4, 5, 6, 7 (window) and 7, 4, 1 (stride).
    assert _seen(7, 8, pattern="strided", stride=3) == [{1, 4, 5, 6, 7}]
    assert _seen(2, 8, pattern="strided", stride=3) == [{0, 1, 2}]
    both_ways = {"pattern": "strided", "stride": 3, "causal": False}
    assert _seen(2, 10, **both_ways) == [{0, 1, 2, 3, 4, 5, 8}]


def test_fixed_by_hand():
    # Blocks of 4 with two summary columns: 2, 3 · 6, 7 · 10, 11.
    fixed = {"pattern": "fixed", "stride": 4, "summary": 2}
    assert _seen(9, 12, **fixed) == [{2, 3, 6, 7, 8, 9}]
    assert _seen(4, 12, **fixed) == [{2, 3, 4}]
    assert _seen(4, 12, causal=False, **fixed) == [{2, 3, 4, 5, 6, 7, 10, 11}]


def test_the_papers_exercise():
    # l = 128, c = 8: the summary head of position 300 reads 120–127 and 248–255.
    fixed = {"pattern": "fixed", "stride": 128, "summary": 8, "heads": "split"}
    local, summary = _seen(300, 301, count=2, **fixed)
    assert local == set(range(256, 301))
    assert summary == {*range(120, 128), *range(248, 256)}


def test_numbers_by_hand():
    # Query 2 of four with stride 2 sees 0, 1, 2. Scores 0, ln 2, ln 5: weights 1/8, 2/8, 5/8.
    q = torch.ones(1, 1, 4, 1, dtype=torch.float64)
    k = torch.tensor([0.0, math.log(2), math.log(5), 9.0], dtype=torch.float64).reshape(1, 1, 4, 1)
    v = torch.tensor([8.0, 16.0, -8.0, 1e9], dtype=torch.float64).reshape(1, 1, 4, 1)
    out = sparse_transformer_attention(q, k, v, causal=True, pattern="strided", stride=2)
    assert out[0, 0, 2, 0].item() == pytest.approx(0.0, abs=1e-12)
    assert out[0, 0, 0, 0].item() == pytest.approx(8.0)
    # Fixed, blocks of 2: query 2 sees 1 (summary) and 2 (itself): weights 2/7, 5/7.
    out = sparse_transformer_attention(q, k, v, causal=True, pattern="fixed", stride=2)
    assert out[0, 0, 2, 0].item() == pytest.approx(16 * 2 / 7 - 8 * 5 / 7)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_split_gives_the_first_half_of_the_heads_the_local_set(count, pattern):
    got = _seen(10, 12, count=count, pattern=pattern, stride=4, heads="split")
    local = {6, 7, 8, 9, 10} if pattern == "strided" else {8, 9, 10}
    summary = {2, 6, 10} if pattern == "strided" else {3, 7}
    assert got == [local] * math.ceil(count / 2) + [summary] * (count // 2)


def test_a_summary_head_may_see_nothing(normal):
    q, k, v = (normal(1, 2, 9, 3).requires_grad_() for _ in range(3))
    out = sparse_transformer_attention(
        q, k, v, causal=True, pattern="fixed", stride=4, heads="split"
    )
    assert not out[:, 1, :3].any()
    assert out[:, 1, 3:].all()
    assert out[:, 0].all()
    out.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


# Against the sets


LENGTHS = (1, 2, 3, 15, 16, 17, 63, 64, 65, 100)
OPTIONS = (
    {"pattern": "strided", "stride": 1},
    {"pattern": "strided", "stride": 2},
    {"pattern": "strided", "stride": 8},
    {"pattern": "strided", "stride": 7, "heads": "split"},
    {"pattern": "strided", "stride": 128},
    {"pattern": "fixed", "stride": 1},
    {"pattern": "fixed", "stride": 8},
    {"pattern": "fixed", "stride": 8, "summary": 3},
    {"pattern": "fixed", "stride": 7, "summary": 7},
    {"pattern": "fixed", "stride": 7, "summary": 2, "heads": "split"},
    {"pattern": "fixed", "stride": 128, "summary": 100},
)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("n", LENGTHS)
def test_it_is_softmax_over_the_papers_sets(normal, n, options, causal):
    q, k, v = normal(1, 3, n, 5), normal(1, 3, n, 5), normal(1, 3, n, 7)
    _assert_is_the_paper(q, k, v, options, causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "strided", "stride": 32},
        {"pattern": "strided", "stride": 31, "heads": "split"},
        {"pattern": "fixed", "stride": 32, "summary": 4},
        {"pattern": "fixed", "stride": 33, "summary": 2, "heads": "split"},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)
def test_a_thousand_tokens_with_gaps(normal, options, causal):
    q, k, v = normal(2, 2, 1000, 3), normal(2, 2, 1000, 3), normal(2, 2, 1000, 2)
    key_mask = torch.arange(2000).reshape(2, 1000) % 7 > 1
    _assert_is_the_paper(q, k, v, options, key_mask, causal)


@st.composite
def calls(draw):
    causal = draw(st.booleans())
    q_len = draw(st.integers(1, 70))
    kv_len = q_len if causal else draw(st.integers(1, 70))
    stride = draw(st.integers(1, 40))
    options = {"pattern": draw(st.sampled_from(["strided", "fixed"])), "stride": stride}
    options["summary"] = draw(st.integers(1, stride))
    options["heads"] = draw(st.sampled_from(["merged", "split"]))
    sizes = (draw(st.integers(1, 3)), draw(st.integers(1, 4)), q_len, kv_len)
    hidden = draw(st.one_of(st.none(), st.integers(0, 2**70 - 1)))
    return sizes, options, causal, hidden


@given(calls())
def test_any_call_is_softmax_over_the_papers_sets(call):
    (batch, heads, q_len, kv_len), options, causal, hidden = call
    draw = torch.Generator().manual_seed(q_len + 71 * kv_len)
    q = torch.randn(batch, heads, q_len, 5, generator=draw, dtype=torch.float64)
    k = torch.randn(batch, heads, kv_len, 5, generator=draw, dtype=torch.float64)
    v = torch.randn(batch, heads, kv_len, 3, generator=draw, dtype=torch.float64)
    key_mask = None
    if hidden is not None:
        bits = [[(hidden >> (j + b)) & 1 == 0 for j in range(kv_len)] for b in range(batch)]
        key_mask = torch.tensor(bits)
    _assert_is_the_paper(q, k, v, options, key_mask, causal)


@given(calls())
def test_any_gradient_is_that_of_the_matrix(call):
    (batch, heads, q_len, kv_len), options, causal, hidden = call
    draw = torch.Generator().manual_seed(q_len + 71 * kv_len)
    shapes = ((batch, heads, q_len, 5), (batch, heads, kv_len, 5), (batch, heads, kv_len, 3))
    fast = [torch.randn(s, generator=draw, dtype=torch.float64).requires_grad_() for s in shapes]
    slow = [x.detach().clone().requires_grad_() for x in fast]
    key_mask = None
    if hidden is not None:
        key_mask = torch.tensor([[(hidden >> j) & 1 == 0 for j in range(kv_len)]] * batch)
    q, k, v = fast
    out = sparse_transformer_attention(q, k, v, causal=causal, key_mask=key_mask, **options)
    out.sin().sum().backward()
    # The oracle's pairs in a dense torch softmax: autograd does the rest.
    visible = torch.from_numpy(_visible(heads, q_len, kv_len, options, key_mask, causal))
    q, k, v = slow
    scores = (q @ k.mT / math.sqrt(5)).masked_fill(~visible, -1e300)
    weights = torch.where(visible, (scores - scores.amax(-1, keepdim=True)).exp(), 0.0)
    total = weights.sum(-1, keepdim=True)
    dense = (weights / torch.where(total == 0, 1.0, total)) @ v
    dense.sin().sum().backward()
    for one, other in zip(fast, slow, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "strided", "stride": 128},
        {"pattern": "strided", "stride": 200, "heads": "split"},
        {"pattern": "fixed", "stride": 128, "summary": 8},
        {"pattern": "fixed", "stride": 200, "summary": 3, "heads": "split"},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)
def test_a_long_input_is_exact_at_every_row_that_is_looked_at(normal, options, causal):
    # More pairs than are held at a time; the oracle answers for some of the queries only.
    n, heads = 8201, 3
    rows = torch.tensor([0, 1, 127, 128, 129, 2047, 2048, 4095, 4099, 6000, 8191, 8192, 8200])
    q, k, v = normal(1, heads, n, 4), normal(1, heads, n, 4), normal(1, heads, n, 2)
    key_mask = torch.arange(n)[None] % 11 != 4
    i, j, l = rows[:, None], torch.arange(n), options["stride"]  # noqa: E741 (the paper's letter)
    if options["pattern"] == "strided":
        local, far = (i - j).abs() <= l, (i - j) % l == 0
    else:
        local, far = i // l == j // l, (j % l >= l - options["summary"]).expand(len(rows), n)
    both = torch.stack([local | far] * heads)
    visible = torch.stack([local, local, far]) if "heads" in options else both
    visible = visible & key_mask & ((j <= i) | (not causal))

    fast = [x.clone().requires_grad_() for x in (q, k, v)]
    out = sparse_transformer_attention(*fast, causal=causal, key_mask=key_mask, **options)
    slow = [x.clone().requires_grad_() for x in (q, k, v)]
    scores = (slow[0][:, :, rows] @ slow[1].mT / 2).masked_fill(~visible, -1e300)
    expected = torch.softmax(scores, -1).masked_fill(~visible, 0.0) @ slow[2]
    assert_close(out[:, :, rows], expected, rtol=1e-12, atol=1e-12)
    out[:, :, rows].sin().sum().backward()
    expected.sin().sum().backward()
    for one, other in zip(fast, slow, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)


# Limits


@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "strided", "stride": 16},
        {"pattern": "strided", "stride": 17},
        {"pattern": "strided", "stride": 10**9},
        {"pattern": "strided", "stride": 1},
        {"pattern": "fixed", "stride": 5, "summary": 5},
        {"pattern": "fixed", "stride": 1},
        {"pattern": "fixed", "stride": 16},
        {"pattern": "fixed", "stride": 10**9, "summary": 12},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)
@pytest.mark.parametrize("causal", [False, True])
def test_some_options_are_full_attention(normal, options, causal):
    q, k, v = normal(2, 3, 16, 5), normal(2, 3, 16, 5), normal(2, 3, 16, 7)
    expected = softmax_attention(q, k, v, causal=causal)
    actual = sparse_transformer_attention(q, k, v, causal=causal, **options)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
@pytest.mark.parametrize("causal", [False, True])
def test_values_of_all_ones_give_ones(normal, pattern, causal):
    q, k, v = normal(2, 3, 50, 5), normal(2, 3, 50, 5), torch.ones(2, 3, 50, 7).double()
    out = sparse_transformer_attention(q, k, v, causal=causal, pattern=pattern, stride=7)
    assert_close(out, v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_it_agrees_with_softmax_attention_under_the_masks(normal, causal):
    q, k, v = normal(2, 3, 50, 5), normal(2, 3, 50, 5), normal(2, 3, 50, 7)
    for mask, options in (
        (masks.strided(7), {"pattern": "strided", "stride": 7}),
        (masks.fixed(7, 2), {"pattern": "fixed", "stride": 7, "summary": 2}),
    ):
        expected = softmax_attention(q, k, v, causal=causal, mask=mask)
        actual = sparse_transformer_attention(q, k, v, causal=causal, **options)
        assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_the_strided_pattern_does_not_read_summary(normal):
    q, k, v = normal(1, 2, 20, 5), normal(1, 2, 20, 5), normal(1, 2, 20, 7)
    one = sparse_transformer_attention(q, k, v, pattern="strided", stride=4, summary=1)
    three = sparse_transformer_attention(q, k, v, pattern="strided", stride=4, summary=3)
    assert_close(one, three, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_large_scores_do_not_overflow(dtype, pattern):
    q = torch.full((1, 1, 9, 4), 200.0, dtype=dtype)
    sign = torch.ones(9, dtype=dtype)
    sign[1::2] = -1
    k = (200 * sign)[None, None, :, None].expand(1, 1, 9, 4)
    out = sparse_transformer_attention(q, k, sign.reshape(1, 1, 9, 1), pattern=pattern, stride=2)
    assert_close(out[..., 0], torch.ones(1, 1, 9, dtype=dtype))


def test_very_small_scores_are_not_lost(normal):
    # Every score of a row is far below zero; their differences decide.
    q, k, v = normal(1, 2, 40, 5), normal(1, 2, 40, 5), normal(1, 2, 40, 3)
    q[..., 0], k[..., 0] = 1e4, -1e4
    for options in ({"pattern": "strided", "stride": 6}, {"pattern": "fixed", "stride": 6}):
        visible = _visible(2, 40, 40, options)
        expected = torch.from_numpy(oracles.attention(q, k, v, visible))
        actual = sparse_transformer_attention(q, k, v, **options)
        assert_close(actual, expected, rtol=1e-6, atol=1e-6)


# What the paper counts and claims


@pytest.mark.parametrize(
    ("stride", "mean"), [(16, 143.5), (32, 95.4), (64, 95.0), (128, 141.5), (256, 255.5)]
)
def test_mean_row_sizes_at_4096(stride, mean):
    i, j = torch.arange(4096)[:, None], torch.arange(4096)
    counted = ((j <= i) & ((i - j <= stride) | ((i - j) % stride == 0))).sum().item()
    assert counted / 4096 == pytest.approx(mean, abs=0.05)
    zero = torch.tensor(0)
    merged = masks.intersect(masks.causal(), masks.strided(stride))
    assert merged(zero, zero, i, j).sum().item() == counted
    assert costs.sparse_transformer_scores(4096, pattern="strided", stride=stride) == counted


@pytest.mark.parametrize("n", [1, 10, 64, 65])
@pytest.mark.parametrize("options", [o for o in OPTIONS if "heads" not in o], ids=str)
def test_two_merged_layers_reach_everything(n, options):
    q = k = torch.zeros(1, 1, n, 1, dtype=torch.float64)
    one_layer = sparse_transformer_weights(q, k, causal=True, **options)[0, 0]
    assert ((one_layer @ one_layer) > 0).equal(torch.ones(n, n, dtype=torch.bool).tril())


def test_fixed_heads_must_come_in_the_right_order():
    # n = 64, l = 8, c = 1: without the identity 224 of 2080 pairs are missed after local then
    # summary; summary then local misses more.
    q = k = torch.zeros(1, 2, 64, 1, dtype=torch.float64)
    heads = sparse_transformer_weights(q, k, causal=True, pattern="fixed", stride=8, heads="split")[
        0
    ]
    local, summary = (heads > 0).double()
    all_pairs = 64 * 65 // 2
    # Local in the first layer, so on the right of the product.
    assert all_pairs - ((summary @ local) > 0).sum().item() == 224
    assert ((local @ summary) > 0).sum().item() < all_pairs // 2
    eye = torch.eye(64, dtype=torch.float64)
    assert (((summary + eye) @ local) > 0).sum().item() == all_pairs


# Cost, by counting


def _call(n, **options):
    draw = torch.Generator().manual_seed(n)
    q, k, v = (torch.randn(1, 2, n, 4, generator=draw) for _ in range(3))

    def call(q, k, v):
        return sparse_transformer_attention(q, k, v, **options)

    return call, q, k, v


def _options(n, pattern, mode, causal, summary=1):
    stride = math.isqrt(n)
    options = {"pattern": pattern, "stride": stride, "heads": mode, "causal": causal}
    return {**options, "summary": summary}


cost_forms = pytest.mark.parametrize(
    ("pattern", "mode", "causal"),
    [
        ("strided", "merged", True),
        ("strided", "merged", False),
        ("strided", "split", True),
        ("fixed", "merged", True),
        ("fixed", "merged", False),
        ("fixed", "split", True),
    ],
)


@cost_forms
def test_no_tensor_has_a_cell_for_every_pair(pattern, mode, causal):
    for n in (1024, 1025, 4096):
        options = _options(n, pattern, mode, causal)
        tally = counting.count(*_call(n, **options))
        assert tally.largest < n * n // 4, tally.largest_op


@cost_forms
def test_the_largest_tensor_grows_as_n_root_n(pattern, mode, causal):
    sizes = [1024, 2304, 4096, 9216]
    largest = [
        counting.count(*_call(n, **_options(n, pattern, mode, causal))).largest for n in sizes
    ]
    assert counting.exponent(sizes, largest) <= 1.6


@cost_forms
def test_all_tensors_together_grow_as_n_root_n(pattern, mode, causal):
    sizes = [1024, 4096, 16384]
    total = [counting.count(*_call(n, **_options(n, pattern, mode, causal))).total for n in sizes]
    assert counting.exponent(sizes, total) <= 1.6


@cost_forms
def test_multiplications_grow_as_n_root_n(pattern, mode, causal):
    sizes = [1024, 4096, 16384]
    flops = [counting.flops(*_call(n, **_options(n, pattern, mode, causal))) for n in sizes]
    assert counting.exponent(sizes, flops) <= 1.6
    assert flops[-1] < 0.1 * 2 * 14 * 4 * sizes[-1] ** 2


@cost_forms
def test_memory_grows_no_faster_than_n_root_n(pattern, mode, causal):
    sizes = [4096, 16384]
    peaks = [counting.peak_bytes(*_call(n, **_options(n, pattern, mode, causal))) for n in sizes]
    assert counting.exponent(sizes, peaks) <= 1.6
    assert peaks[-1] < sizes[-1] ** 2


# Bad options


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"stride": 0}, ValueError, "^stride must .*got 0"),
        ({"stride": -3}, ValueError, "^stride must .*got -3"),
        ({"stride": True}, (TypeError, ValueError), "^stride must .*got"),
        ({"stride": 2.0}, (TypeError, ValueError), "^stride must .*got"),
        ({"stride": "2"}, (TypeError, ValueError), "^stride must .*got"),
        ({"stride": None}, (TypeError, ValueError), "^stride must .*got"),
        ({"summary": 0}, ValueError, "^summary must .*got 0"),
        ({"summary": 5}, ValueError, "^summary must .*got 5"),
        ({"summary": True}, (TypeError, ValueError), "^summary must .*got"),
        ({"summary": 1.0}, (TypeError, ValueError), "^summary must .*got"),
        ({"pattern": "dilated"}, ValueError, "^pattern must .*got 'dilated'"),
        ({"pattern": None}, (TypeError, ValueError), "^pattern must .*got"),
        ({"heads": "interleaved"}, ValueError, "^heads must .*got 'interleaved'"),
        ({"heads": 2}, (TypeError, ValueError), "^heads must .*got"),
    ],
    ids=str,
)
@pytest.mark.parametrize("pattern", ["fixed", "strided"])
def test_bad_options_are_refused(normal, pattern, options, error, match):
    given = {"pattern": pattern, "stride": 4, **options}
    q, k, v = normal(1, 2, 9, 3), normal(1, 2, 9, 3), normal(1, 2, 9, 3)
    with pytest.raises(error, match=match):
        sparse_transformer_attention(q, k, v, **given)
    with pytest.raises(error, match=match):
        sparse_transformer_weights(q, k, **given)


def test_a_stride_must_be_given(normal):
    q, k, v = normal(1, 2, 9, 3), normal(1, 2, 9, 3), normal(1, 2, 9, 3)
    with pytest.raises(TypeError, match="stride"):
        sparse_transformer_attention(q, k, v)
