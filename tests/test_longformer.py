"""The Longformer against the sets of Beltagy et al. 2020 (arXiv:2004.05150), section 3.1."""

import math
import re

import counting
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import costs, longformer_attention, longformer_weights, masks, softmax_attention


def _seen(i, n, *, heads=1, causal=False, **options):
    """Return the keys that query i gives weight to: a set, or one a head."""
    q = k = torch.zeros(1, heads, n, 2, dtype=torch.float64)
    eye = torch.eye(n, dtype=torch.float64).expand(1, heads, n, n)
    rows = longformer_attention(q, k, eye, causal=causal, **options)[0, :, i]
    sets = [set(row.nonzero().flatten().tolist()) for row in rows]
    return sets[0] if heads == 1 else sets


def _assert_is_the_paper(q, k, v, options, key_mask=None, causal=False):
    given = {"causal": causal, "key_mask": key_mask, **options}
    expected = torch.from_numpy(oracles.longformer(q, k, v, **given))
    assert_close(longformer_attention(q, k, v, **given), expected, rtol=1e-11, atol=1e-12)


# By hand


def test_the_window_by_hand():
    assert _seen(5, 12, window=2) == {3, 4, 5, 6, 7}
    assert _seen(0, 12, window=2) == {0, 1, 2}
    assert _seen(5, 12, window=2, causal=True) == {3, 4, 5}
    assert _seen(5, 12, window=0) == {5}


def test_dilation_by_hand():
    assert _seen(5, 12, window=2, dilation=3) == {2, 5, 8, 11}
    assert _seen(7, 12, window=2, dilation=3) == {1, 4, 7, 10}
    assert _seen(7, 12, window=2, dilation=3, causal=True) == {1, 4, 7}
    by_head = _seen(6, 12, heads=5, window=1, dilation=[1, 5, 2, 1, 5])
    assert by_head == [{5, 6, 7}, {1, 6, 11}, {4, 6, 8}, {5, 6, 7}, {1, 6, 11}]


def test_global_tokens_by_hand():
    assert _seen(5, 12, window=1, global_tokens=[0, 9]) == {0, 4, 5, 6, 9}
    assert _seen(9, 12, window=1, global_tokens=[0, 9]) == set(range(12))
    assert _seen(5, 12, window=1, global_tokens=[0, 9], causal=True) == {0, 4, 5}
    assert _seen(9, 12, window=1, global_tokens=[0, 9], causal=True) == set(range(10))
    assert _seen(11, 12, window=1, dilation=2, global_tokens=[9]) == {9, 11}


def test_numbers_by_hand():
    # Query 2 of four with window 1 sees 1, 2, 3; scores ln 2, ln 5, 0: weights 2/8, 5/8, 1/8.
    q = torch.ones(1, 1, 4, 1, dtype=torch.float64)
    k = torch.tensor([9.0, math.log(2), math.log(5), 0.0], dtype=torch.float64).reshape(1, 1, 4, 1)
    v = torch.tensor([80.0, 16.0, -8.0, 24.0], dtype=torch.float64).reshape(1, 1, 4, 1)
    out = longformer_attention(q, k, v, window=1)
    assert out[0, 0, 2, 0].item() == pytest.approx(4 - 5 + 3)
    # Token 3 is global with projections of its own: scores ln 1, ln 1, ln 1, ln 5, values 1 … 4.
    second = torch.tensor([0.0, 0.0, 0.0, math.log(5)], dtype=torch.float64).reshape(1, 1, 4, 1)
    numbers = torch.arange(1.0, 5.0, dtype=torch.float64).reshape(1, 1, 4, 1)
    hub = {"global_tokens": [3], "q_global": q, "k_global": second, "v_global": numbers}
    out = longformer_attention(q, k, v, window=0, **hub)
    assert out[0, 0, 3, 0].item() == pytest.approx((1 + 2 + 3 + 20) / 8)
    # Token 1 reads itself and the global token, with the first projections: 2/3 and 1/3.
    assert out[0, 0, 1, 0].item() == pytest.approx(16 * 2 / 3 + 24 / 3)


# Against the sets


OPTIONS = (
    {"window": 0},
    {"window": 1},
    {"window": 8},
    {"window": 40},
    {"window": 3, "dilation": 5},
    {"window": 20, "dilation": 2},
    {"window": 4, "dilation": 300},
    {"window": 2, "dilation": [1, 3, 1]},
    {"window": 9, "dilation": [4, 2, 1]},
)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("hubs", [None, [0], [0, 11, 3]], ids=["none", "one", "three"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("n", [12, 16, 17, 64, 65, 129])
def test_it_is_softmax_over_the_papers_sets(normal, n, options, hubs, causal):
    q, k, v = normal(1, 3, n, 5), normal(1, 3, n, 5), normal(1, 3, n, 7)
    _assert_is_the_paper(q, k, v, {**options, "global_tokens": hubs}, causal=causal)


@st.composite
def calls(draw):
    causal = draw(st.booleans())
    q_len = draw(st.integers(1, 80))
    kv_len = q_len if causal else draw(st.integers(1, 80))
    batch, heads = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    step = st.integers(1, 12)
    options = {"window": draw(st.integers(0, 40))}
    options["dilation"] = draw(st.one_of(step, st.lists(step, min_size=heads, max_size=heads)))
    position = st.integers(0, min(q_len, kv_len) - 1)
    options["global_tokens"] = draw(st.one_of(st.none(), st.lists(position, max_size=5)))
    source = torch.Generator().manual_seed(q_len + 81 * kv_len)
    shapes = {
        "q": (batch, heads, q_len, 5),
        "k": (batch, heads, kv_len, 5),
        "v": (batch, heads, kv_len, 3),
    }
    second = {f"{x}_global": shapes[x] for x in draw(st.sets(st.sampled_from("qkv")))}
    tensors = {
        name: torch.randn(shape, generator=source, dtype=torch.float64)
        for name, shape in {**shapes, **dict(sorted(second.items()))}.items()
    }
    hidden = draw(st.one_of(st.none(), st.integers(0, 2**80 - 1)))
    key_mask = None
    if hidden is not None:
        bits = [[(hidden >> (j + b)) & 1 == 0 for j in range(kv_len)] for b in range(batch)]
        key_mask = torch.tensor(bits)
    return tensors, {**options, "causal": causal, "key_mask": key_mask}


@given(calls())
def test_any_call_is_softmax_over_the_papers_sets(call):
    tensors, options = call
    expected = torch.from_numpy(oracles.longformer(**tensors, **options))
    actual = longformer_attention(**tensors, **options)
    assert_close(actual, expected, rtol=1e-11, atol=1e-12)
    if "v_global" not in tensors:
        v = tensors.pop("v")
        weights = longformer_weights(**tensors, **options)
        assert_close(weights @ v, expected, rtol=1e-11, atol=1e-12)


@given(calls())
def test_any_gradient_is_that_of_the_matrix(call):
    tensors, options = call
    fast = {name: x.clone().requires_grad_() for name, x in tensors.items()}
    slow = {name: x.clone().requires_grad_() for name, x in tensors.items()}
    longformer_attention(**fast, **options).sin().sum().backward()
    _dense(**slow, **options).sin().sum().backward()
    for name, leaf in fast.items():
        expected = slow[name].grad
        actual = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        expected = torch.zeros_like(leaf) if expected is None else expected
        assert_close(actual, expected, rtol=1e-9, atol=1e-10, msg=name)


def _dense(q, k, v, q_global=None, k_global=None, v_global=None, **options):
    """Return a dense torch softmax over the oracle's pairs; autograd does the rest."""
    key_mask = options.pop("key_mask")
    visible = oracles.longformer_visible(q.shape[1], q.shape[2], k.shape[2], **options)
    visible = torch.from_numpy(oracles.visible_keys(visible[None], key_mask))

    def attend(q, k, v):
        scores = (q @ k.mT / math.sqrt(5)).masked_fill(~visible, -1e300)
        weights = torch.where(visible, (scores - scores.amax(-1, keepdim=True)).exp(), 0.0)
        total = weights.sum(-1, keepdim=True)
        return (weights / torch.where(total == 0, 1.0, total)) @ v

    second = (a if b is None else b for a, b in ((q, q_global), (k, k_global), (v, v_global)))
    is_hub = torch.zeros(q.shape[2], 1, dtype=torch.bool)
    is_hub[sorted(options["global_tokens"] or [])] = True
    return torch.where(is_hub, attend(*second), attend(q, k, v))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"window": 256, "global_tokens": [0, 4099, 8200, 77]},
        {"window": 100, "dilation": 3},
        {"window": 60, "dilation": [1, 7, 2], "global_tokens": range(3000, 3005)},
        {"window": 700, "global_tokens": [5]},
    ],
    ids=["window", "dilated", "by-head", "wide"],
)
def test_a_long_input_is_exact_at_every_row_that_is_looked_at(normal, options, causal):
    # More pairs than are held at a time; the sets are written out for some of the queries only.
    n, heads = 8201, 3
    rows = torch.tensor([0, 1, 63, 64, 255, 256, 3001, 4095, 4099, 6000, 8191, 8192, 8200])
    q, k, v = normal(1, heads, n, 4), normal(1, heads, n, 4), normal(1, heads, n, 2)
    key_mask = torch.arange(n)[None] % 11 != 4
    i, j, steps = rows[:, None], torch.arange(n), options.get("dilation", 1)
    steps = [steps] * heads if isinstance(steps, int) else steps
    near = [((i - j).abs() <= options["window"] * d) & ((i - j) % d == 0) for d in steps]
    hubs = torch.tensor(list(options.get("global_tokens", [])), dtype=torch.long)
    visible = torch.stack(near) | torch.isin(i, hubs) | torch.isin(j, hubs)
    visible = visible & key_mask & ((j <= i) | (not causal))

    fast = [x.clone().requires_grad_() for x in (q, k, v)]
    out = longformer_attention(*fast, causal=causal, key_mask=key_mask, **options)
    slow = [x.clone().requires_grad_() for x in (q, k, v)]
    scores = (slow[0][:, :, rows] @ slow[1].mT / 2).masked_fill(~visible, -1e300)
    expected = torch.softmax(scores, -1).masked_fill(~visible, 0.0) @ slow[2]
    assert_close(out[:, :, rows], expected, rtol=1e-12, atol=1e-12)
    out[:, :, rows].sin().sum().backward()
    expected.sin().sum().backward()
    for one, other in zip(fast, slow, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)


# Global tokens


@pytest.mark.parametrize("causal", [False, True])
def test_neither_order_nor_repetition_of_global_tokens_matters(normal, causal):
    q, k, v = normal(2, 2, 30, 5), normal(2, 2, 30, 5), normal(2, 2, 30, 3)
    outs = [
        longformer_attention(q, k, v, causal=causal, window=2, global_tokens=hubs)
        for hubs in ([3, 17, 28], [28, 3, 17, 3], (17, 28, 3), range(3, 30, 25), [3, 28])
    ]
    for same in outs[1:3]:
        assert_close(same, outs[0], rtol=0, atol=0)
    assert_close(outs[3], outs[4], rtol=0, atol=0)
    assert not torch.equal(outs[0], outs[4])
    none, empty = (
        longformer_attention(q, k, v, causal=causal, window=2, global_tokens=hubs)
        for hubs in (None, [])
    )
    assert_close(none, empty, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, lambda x: [np.int32(p) for p in x]])
def test_integers_may_come_from_numpy_and_from_torch(normal, kind):
    q, k, v = normal(2, 2, 30, 5), normal(2, 2, 30, 5), normal(2, 2, 30, 3)
    given = {"window": 2, "global_tokens": [28, 3], "dilation": [1, 3]}
    other = {"window": 2, "global_tokens": kind([28, 3]), "dilation": kind([1, 3])}
    assert torch.equal(
        longformer_attention(q, k, v, **other), longformer_attention(q, k, v, **given)
    )
    assert torch.equal(longformer_weights(q, k, **other), longformer_weights(q, k, **given))
    given["dilation"], other["dilation"] = 2, np.int64(2)
    assert torch.equal(
        longformer_attention(q, k, v, **other), longformer_attention(q, k, v, **given)
    )


def test_a_global_key_in_the_window_counts_once(normal):
    q = torch.zeros(1, 1, 9, 2, dtype=torch.float64)
    weights = longformer_weights(q, q, window=2, global_tokens=[4])
    assert_close(weights[0, 0, 3], torch.tensor([0, 1, 1, 1, 1, 1, 0, 0, 0]).double() / 5)
    eye = torch.eye(9, dtype=torch.float64)[None, None]
    assert_close(longformer_attention(q, q, eye, window=2, global_tokens=[4]), weights)


def test_a_masked_global_token_is_seen_by_nobody_and_still_sees_all(normal):
    q, k, v = normal(1, 2, 20, 5), normal(1, 2, 20, 5), normal(1, 2, 20, 3)
    key_mask = torch.ones(1, 20, dtype=torch.bool)
    key_mask[0, [4, 11]] = False
    given = {"window": 2, "key_mask": key_mask}
    with_hub = longformer_attention(q, k, v, global_tokens=[4], **given)
    without = longformer_attention(q, k, v, **given)
    others = [i for i in range(20) if i != 4]
    assert_close(with_hub[:, :, others], without[:, :, others], rtol=1e-12, atol=1e-12)
    row = softmax_attention(q[:, :, 4:5], k, v, key_mask=key_mask)
    assert_close(with_hub[:, :, 4:5], row, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_the_second_projections_serve_the_rows_of_global_tokens_only(normal, causal):
    n, hubs = 40, [0, 13]
    q, k, v = normal(2, 2, n, 5), normal(2, 2, n, 5), normal(2, 2, n, 3)
    second = {
        "q_global": normal(2, 2, n, 5),
        "k_global": normal(2, 2, n, 5),
        "v_global": normal(2, 2, n, 3),
    }
    given = {"causal": causal, "window": 3, "global_tokens": hubs}
    plain = longformer_attention(q, k, v, **given)
    out = longformer_attention(q, k, v, **given, **second)
    others = [i for i in range(n) if i not in hubs]
    assert_close(out[:, :, others], plain[:, :, others], rtol=0, atol=0)
    expected = softmax_attention(*second.values(), causal=causal)
    assert_close(out[:, :, hubs], expected[:, :, hubs], rtol=1e-12, atol=1e-12)
    # Of the second queries only the global tokens' are read at all.
    second["q_global"][:, :, others] = 1e9
    again = longformer_attention(q, k, v, **given, **second)
    assert_close(again, out, rtol=0, atol=0)
    same = dict(zip(second, (q, k, v), strict=True))
    assert_close(longformer_attention(q, k, v, **given, **same), plain, rtol=0, atol=0)


def test_masked_keys_cannot_matter_through_the_second_projections(normal):
    q, k, v = normal(1, 2, 20, 5), normal(1, 2, 20, 5), normal(1, 2, 20, 3)
    key_mask = torch.arange(20)[None] % 3 != 1
    outs = []
    for fill in (0.0, -3.0, 1e300):
        hidden = ~key_mask[:, None, :, None]
        second = {"k_global": k.masked_fill(hidden, fill), "v_global": v.masked_fill(hidden, fill)}
        given = {"window": 2, "global_tokens": [2, 7], "key_mask": key_mask}
        outs.append(longformer_attention(q, k, v, **given, **second))
    assert_close(outs[1], outs[0], rtol=0, atol=0)
    assert_close(outs[2], outs[0], rtol=0, atol=0)


def test_gradcheck_with_everything(normal):
    shapes = ((1, 2, 7, 3), (1, 2, 7, 3), (1, 2, 7, 2)) * 2
    inputs = [normal(*shape).requires_grad_() for shape in shapes]
    key_mask = torch.tensor([[True, True, False, True, True, True, False]])
    names = ("q", "k", "v", "q_global", "k_global", "v_global")

    def call(*tensors):
        return longformer_attention(
            **dict(zip(names, tensors, strict=True)),
            key_mask=key_mask,
            window=1,
            dilation=[2, 1],
            global_tokens=[4, 0],
        )

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


# Limits


@pytest.mark.parametrize("causal", [False, True])
def test_a_window_as_long_as_the_text_is_full_attention(normal, causal):
    q, k, v = normal(2, 3, 48, 5), normal(2, 3, 48, 5), normal(2, 3, 48, 7)
    full = softmax_attention(q, k, v, causal=causal)
    for window in (47, 48, 10**9):
        out = longformer_attention(q, k, v, causal=causal, window=window)
        assert_close(out, full, rtol=1e-12, atol=1e-13)
    # One less misses the pair of the first and the last token.
    out = longformer_attention(q, k, v, causal=causal, window=46)
    assert (out - full).abs().max() > 1e-5


@pytest.mark.parametrize("causal", [False, True])
def test_all_tokens_global_is_full_attention(normal, causal):
    q, k, v = normal(2, 3, 48, 5), normal(2, 3, 48, 5), normal(2, 3, 48, 7)
    out = longformer_attention(q, k, v, causal=causal, window=2, global_tokens=range(48))
    assert_close(out, softmax_attention(q, k, v, causal=causal), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 5, "dilation": 48}], ids=str)
def test_a_window_with_no_neighbours_returns_the_values(normal, options):
    q, k, v = normal(2, 3, 48, 5), normal(2, 3, 48, 5), normal(2, 3, 48, 7)
    assert_close(longformer_attention(q, k, v, **options), v, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("causal", [False, True])
def test_it_agrees_with_softmax_attention_under_the_masks(normal, causal):
    q, k, v = normal(2, 3, 150, 5), normal(2, 3, 150, 5), normal(2, 3, 150, 7)
    mask = masks.union(masks.dilated(7, 3), masks.global_tokens([5, 140]))
    expected = softmax_attention(q, k, v, causal=causal, mask=mask)
    given = {"window": 7, "dilation": 3, "global_tokens": [140, 5]}
    actual = longformer_attention(q, k, v, causal=causal, **given)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_large_scores_do_not_overflow(dtype):
    q = torch.full((1, 1, 9, 4), 200.0, dtype=dtype)
    sign = torch.ones(9, dtype=dtype)
    sign[1::2] = -1
    k = (200 * sign)[None, None, :, None].expand(1, 1, 9, 4)
    out = longformer_attention(q, k, sign.reshape(1, 1, 9, 1), window=1, global_tokens=[4])
    assert_close(out[..., 0], torch.ones(1, 1, 9, dtype=dtype))


# What layers can carry


def _reach(layers, n, i, *, causal=False, **options):
    """Return which positions the gradient of output i reaches through some layers."""
    draw = torch.Generator().manual_seed(n)
    x = torch.randn(1, 1, n, 4, generator=draw, dtype=torch.float64).requires_grad_()
    out = x
    for _ in range(layers):
        out = longformer_attention(out, out, out, causal=causal, **options)
    out[0, 0, i].sum().backward()
    return set(x.grad[0, 0].abs().sum(-1).nonzero().flatten().tolist())


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_layers_times_window_on_each_side(layers, window):
    reach = layers * window
    assert _reach(layers, 61, 30, window=window) == set(range(30 - reach, 31 + reach))
    past = _reach(layers, 61, 30, window=window, causal=True)
    assert past == set(range(30 - reach, 31))
    assert len(past) == reach + 1


def test_dilation_multiplies_the_reach_and_leaves_gaps():
    assert _reach(3, 61, 30, window=2, dilation=4) == set(range(30 - 24, 31 + 24, 4))
    # A layer without gaps below fills them.
    q = k = torch.zeros(1, 1, 61, 1, dtype=torch.float64)
    close = longformer_weights(q, k, window=2)
    wide = longformer_weights(q, k, window=2, dilation=4)
    row = (wide @ close)[0, 0, 30].nonzero().flatten().tolist()
    assert row == list(range(30 - 10, 31 + 10))


def test_one_global_token_makes_any_distance_two_steps():
    assert _reach(2, 61, 60, window=1, global_tokens=[7]) == set(range(61))
    assert _reach(1, 61, 60, window=1, global_tokens=[7]) == {7, 59, 60}


def test_the_order_of_growing_windows_changes_neither_cost_nor_reach():
    q = k = torch.zeros(1, 1, 61, 1, dtype=torch.float64)
    matrices = [longformer_weights(q, k, window=w)[0, 0] for w in (1, 2, 4, 8)]
    up, down = (torch.linalg.multi_dot(list(order)) for order in (matrices, matrices[::-1]))
    assert ((up > 0) == (down > 0)).all()
    assert (up > 0)[30].sum() == 2 * (1 + 2 + 4 + 8) + 1


# Cost, by counting


def _call(n, **options):
    draw = torch.Generator().manual_seed(n)
    q, k, v = (torch.randn(1, 2, n, 4, generator=draw) for _ in range(3))

    def call(q, k, v):
        return longformer_attention(q, k, v, **options)

    return call, q, k, v


cost_forms = pytest.mark.parametrize(
    "options",
    [
        {"window": 32},
        {"window": 32, "causal": True},
        {"window": 8, "dilation": [1, 4], "global_tokens": [0, 9]},
        {"window": 64, "dilation": 3, "causal": True, "global_tokens": [0]},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)


@cost_forms
def test_no_tensor_has_a_cell_for_every_pair(options):
    for n in (2048, 2049, 8192):
        tally = counting.count(*_call(n, **options))
        assert tally.largest < n * n // 4, tally.largest_op


@cost_forms
@pytest.mark.parametrize("what", ["total", "flops", "peak_bytes"])
def test_cost_grows_with_the_length(options, what):
    sizes = [4096, 8192, 16384]
    if what == "total":
        costs_seen = [counting.count(*_call(n, **options)).total for n in sizes]
    else:
        costs_seen = [getattr(counting, what)(*_call(n, **options)) for n in sizes]
    assert counting.exponent(sizes, costs_seen) <= 1.05


def test_multiplications_are_those_of_the_window():
    # Forward: scores and output, two operations a number; backward five such products.
    n, window, block = 4096, 256, 64
    flops = counting.flops(*_call(n, window=window))
    assert flops <= 2 * 7 * 2 * 4 * n * (2 * window + block)
    assert flops >= 2 * 7 * 2 * 4 * costs.longformer_scores(n, window=window)


@given(
    n=st.integers(1, 40),
    window=st.integers(0, 12),
    dilation=st.integers(1, 7),
    hubs=st.lists(st.integers(0, 39), max_size=6),
    causal=st.booleans(),
)
def test_the_cost_formula_counts_the_pairs(n, window, dilation, hubs, causal):
    given = {"window": window, "dilation": dilation, "global_tokens": [p % n for p in hubs]}
    pairs = oracles.longformer_visible(1, n, n, causal=causal, **given)
    assert costs.longformer_scores(n, causal=causal, **given) == pairs.sum()


def test_the_papers_exercise():
    # 512 keys beside the token's own and one global token: 2.1 million pairs of 16.8 million.
    pairs = costs.longformer_scores(4096, window=256, global_tokens=[0])
    assert pairs == pytest.approx(4096 * 514 + 4096, rel=0.04)
    assert costs.softmax_scores(4096) / pairs == pytest.approx(8.2, abs=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n": 0}, r"^n must .*got 0"),
        ({"window": -1}, r"^window must .*got -1"),
        ({"dilation": 0}, r"^dilation must .*got 0"),
        ({"global_tokens": [9]}, r"^global_tokens must .*got 9"),
        ({"global_tokens": [-1]}, r"^global_tokens must .*got -1"),
    ],
    ids=str,
)
def test_bad_counts_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        costs.longformer_scores(**{"n": 9, "window": 2, **options})


# Bad options


def _zeros(*shape, **options):
    return lambda: torch.zeros(*shape, **{"dtype": torch.float64, **options})


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"window": -1}, ValueError, "^window must .*got -1"),
        ({"window": 2.0}, TypeError, "^window must .*got float"),
        ({"window": True}, TypeError, "^window must .*got bool"),
        ({"window": None}, TypeError, "^window must .*got NoneType"),
        ({"dilation": 0}, ValueError, "^dilation must .*got 0"),
        ({"dilation": True}, TypeError, "^dilation must .*got bool"),
        ({"dilation": 1.0}, TypeError, "^dilation must .*got 1.0"),
        ({"dilation": None}, TypeError, "^dilation must .*got None"),
        ({"dilation": [1]}, ValueError, "^dilation must .*got 1"),
        ({"dilation": [1, 2, 3]}, ValueError, "^dilation must .*got 3"),
        ({"dilation": [1, 0]}, ValueError, "^dilation must .*got 0"),
        ({"dilation": [1, 2.0]}, TypeError, "^dilation must .*got float"),
        ({"dilation": "12"}, TypeError, "^dilation must .*got str"),
        ({"global_tokens": [9]}, ValueError, "^global_tokens must .*9.*got 9"),
        ({"global_tokens": [-1]}, ValueError, "^global_tokens must .*got -1"),
        ({"global_tokens": [1.0]}, TypeError, "^global_tokens must .*got float"),
        ({"global_tokens": [True]}, TypeError, "^global_tokens must .*got bool"),
        ({"global_tokens": 3}, TypeError, "^global_tokens must .*got 3"),
        ({"global_tokens": _zeros(2)}, TypeError, "^global_tokens must .*got float"),
        ({"global_tokens": _zeros(2, dtype=torch.bool)}, TypeError, "^global_tokens .*got bool"),
        (
            {"global_tokens": _zeros(2, 1, dtype=torch.int64)},
            ValueError,
            r"^global_tokens must be a sequence of ints, got shape \(2, 1\)",
        ),
        ({"global_tokens": np.array([0.5])}, TypeError, "^global_tokens must .*got float"),
        ({"global_tokens": {3}}, TypeError, r"^global_tokens must .*got \{3\}"),
        ({"dilation": np.array(2)}, ValueError, r"^dilation must .*got shape \(\)"),
        ({"dilation": np.array([2])}, ValueError, "^dilation must .*got 1"),
        ({"dilation": np.float64(2)}, TypeError, "^dilation must .*got"),
        ({"dilation": np.int64(0)}, ValueError, "^dilation must .*got 0"),
        ({"q_global": [1.0]}, TypeError, "^q_global must .*got list"),
        ({"k_global": _zeros(1, 2, 9, 4)}, ValueError, r"^k_global must .*got \(1, 2, 9, 4\)"),
        ({"q_global": _zeros(1, 2, 8, 3)}, ValueError, r"^q_global must .*got \(1, 2, 8, 3\)"),
        ({"q_global": _zeros(2, 9, 3)}, ValueError, r"^q_global must .*got \(2, 9, 3\)"),
        (
            {"k_global": _zeros(1, 2, 9, 3, dtype=torch.float32)},
            ValueError,
            "^k_global must .*got torch.float32",
        ),
        (
            {"q_global": _zeros(1, 2, 9, 3, device="meta")},
            ValueError,
            "^q_global must .*got meta",
        ),
        (
            {"k_global": _zeros(1, 2, 9, 3, dtype=torch.int64)},
            TypeError,
            "^k_global must .*got torch.int64",
        ),
        ({"v_global": _zeros(1, 2, 9, 4)}, ValueError, r"^v_global must .*got \(1, 2, 9, 4\)"),
    ],
    # A function's address would be another one in each process.
    ids=lambda x: re.sub(" at 0x[0-9a-f]+", "", str(x)),
)
def test_bad_options_are_refused(normal, options, error, match):
    given = {"window": 2, **options}
    given = {name: value() if callable(value) else value for name, value in given.items()}
    q, k, v = normal(1, 2, 9, 3), normal(1, 2, 9, 3), normal(1, 2, 9, 3)
    with pytest.raises(error, match=match):
        longformer_attention(q, k, v, **given)
    if "v_global" in options:
        return
    with pytest.raises(error, match=match):
        longformer_weights(q, k, **given)


def test_a_global_token_must_be_a_query_and_a_key(normal):
    q, k, v = normal(1, 2, 9, 3), normal(1, 2, 5, 3), normal(1, 2, 5, 3)
    with pytest.raises(ValueError, match=r"^global_tokens must .*5, got 5"):
        longformer_attention(q, k, v, window=2, global_tokens=[5])


def test_a_window_must_be_given(normal):
    q, k, v = normal(1, 2, 9, 3), normal(1, 2, 9, 3), normal(1, 2, 9, 3)
    with pytest.raises(TypeError, match="window"):
        longformer_attention(q, k, v)
