"""Luna against the formulas and the claims of Ma et al. 2021 (arXiv:2106.01540)."""

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
    luna_attention,
    luna_init_state,
    luna_pack,
    luna_step,
    luna_weights,
    softmax_attention,
)
from attn_lib.layers import LunaAttention
from attn_lib.numerics import few_queries

activations = pytest.mark.parametrize("activation", ["elu", "softplus"])
masked = pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])


def _inputs(normal, length, p_len=3, head_dim=5, value_dim=5, q_len=None):
    q_len = length if q_len is None else q_len
    return (
        normal(2, 3, q_len, head_dim),
        normal(2, 3, p_len, head_dim),
        normal(2, 3, length, head_dim),
        normal(2, 3, length, value_dim),
    )


def _gaps(length):
    return torch.arange(2 * length).view(2, length) % 3 != 0


# By hand


def test_two_slots_by_hand():
    # Keys 0 and ln 3, values 0 and 4. A slot of 0 takes their mean, 2; a slot of 1 weighs them
    # 1 : 3 and takes 3. A query of ln 2 then weighs the slots e^(2 ln 2) : e^(3 ln 2) = 1 : 2.
    q, p = torch.tensor([math.log(2)]), torch.tensor([0.0, 1.0])
    k, v = torch.tensor([0.0, math.log(3)]), torch.tensor([0.0, 4.0])
    q, p, k, v = (x.double().view(1, 1, -1, 1) for x in (q, p, k, v))
    assert_close(luna_pack(p, k, v).flatten(), torch.tensor([2.0, 3.0]).double())
    assert_close(luna_attention(q, p, k, v).item(), (2 + 2 * 3) / 3)
    weights = luna_weights(q, p, k, v).flatten()
    assert_close(weights, torch.tensor([(0.5 + 2 * 0.25) / 3, (0.5 + 2 * 0.75) / 3]).double())


def test_two_tokens_of_the_causal_form_by_hand():
    # ω(k p) with k = 1, −1 and slots p = 0, 1: the packs are (1, 2) and (1, e⁻¹).
    e = math.exp(-1)
    q, p = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0])
    k, v = torch.tensor([1.0, -1.0]), torch.tensor([3.0, 5.0])
    q, p, k, v = (x.double().view(1, 1, -1, 1) for x in (q, p, k, v))
    out = luna_attention(q, p, k, v, causal=True).flatten().tolist()
    first = 1 / (1 + math.e)  # the softmax of (1, 2)
    assert out[0] == pytest.approx(3 * (first + 2 * (1 - first)), rel=1e-14)
    second = 1 / (1 + math.exp((2 - e) / 2))  # of (1 − 1, 2 − e⁻¹) / 2
    slots = (3 * 1 + 5 * 1, 3 * 2 + 5 * e)
    expected = (second * slots[0] + (1 - second) * slots[1]) / 2
    assert out[1] == pytest.approx(expected, rel=1e-14)


# The formulas


@masked
@pytest.mark.parametrize(("q_len", "kv_len"), [(11, 11), (7, 13), (1, 4)])
def test_it_is_one_attention_inside_another(normal, masked, q_len, kv_len):
    given_ = _inputs(normal, kv_len, q_len=q_len)
    key_mask = _gaps(kv_len) if masked else None
    expected = torch.from_numpy(oracles.luna(*given_, key_mask))
    assert_close(luna_attention(*given_, key_mask=key_mask), expected, rtol=1e-12, atol=1e-12)
    packed = luna_pack(*given_[1:], key_mask=key_mask)
    again = softmax_attention(given_[0], packed, packed)
    assert_close(again, expected, rtol=1e-12, atol=1e-12)


@masked
@pytest.mark.parametrize("kept", ["some", "none"])
def test_few_queries_may_come_in_portions(normal, masked, kept, monkeypatch):
    """The gradients of slots that are summed up a few at a time."""
    given_ = [x.requires_grad_() for x in _inputs(normal, 13)]
    key_mask = (_gaps(13) if kept == "some" else _gaps(13) & False) if masked else None
    out = luna_attention(*given_, key_mask=key_mask)
    grad = torch.randn(out.shape, dtype=out.dtype)
    whole = torch.autograd.grad(out, given_, grad)
    for held in (1, 2 * 13, 3 * 13 + 1):
        monkeypatch.setattr(few_queries, "_HELD", held)
        again = luna_attention(*given_, key_mask=key_mask)
        for one, other in zip(torch.autograd.grad(again, given_, grad), whole, strict=True):
            assert_close(one, other, rtol=1e-12, atol=1e-14)


@activations
@masked
@pytest.mark.parametrize("length", [1, 2, 11, 65])
def test_the_causal_form_is_the_paper_step_by_step(normal, activation, masked, length):
    given_ = _inputs(normal, length, value_dim=7)
    key_mask = _gaps(length) if masked else None
    expected = torch.from_numpy(oracles.luna_causal(*given_, key_mask, activation))
    options = {"causal": True, "key_mask": key_mask, "activation": activation}
    assert_close(luna_attention(*given_, **options), expected, rtol=1e-12, atol=1e-12)
    weights = luna_weights(*given_, **options)
    assert_close(weights @ given_[3], expected, rtol=1e-12, atol=1e-12)


@given(
    q_len=st.integers(1, 9),
    kv_len=st.integers(1, 9),
    p_len=st.integers(1, 12),
    causal=st.booleans(),
    activation=st.sampled_from(["elu", "softplus"]),
    kept=st.integers(0, 2**9 - 1),
)
def test_any_lengths_and_masks(q_len, kv_len, p_len, causal, activation, kept):
    draw = torch.Generator().manual_seed(kept)

    def normal(*shape):
        return 2 * torch.randn(shape, generator=draw, dtype=torch.float64)

    given_ = _inputs(normal, kv_len, p_len=p_len, q_len=kv_len if causal else q_len)
    row = torch.tensor([bool(kept >> j & 1) for j in range(kv_len)])
    key_mask = torch.stack([row, ~row])
    if causal:
        expected = oracles.luna_causal(*given_, key_mask, activation)
    else:
        expected = oracles.luna(*given_, key_mask)
    options = {"causal": causal, "key_mask": key_mask, "activation": activation}
    actual = luna_attention(*given_, **options)
    assert_close(actual, torch.from_numpy(expected), rtol=1e-11, atol=1e-11)
    assert_close(luna_weights(*given_, **options) @ given_[3], actual, rtol=1e-11, atol=1e-11)


@activations
def test_gradients_reach_p_too(normal, activation):
    given_ = [x.requires_grad_() for x in _inputs(normal, 6, head_dim=3, value_dim=3)]
    for causal in (False, True):

        def call(*inputs, causal=causal):
            return luna_attention(*inputs, causal=causal, key_mask=_gaps(6), activation=activation)

        assert torch.autograd.gradcheck(call, given_, fast_mode=True)


# Decoding


@activations
def test_steps_are_the_causal_form_row_by_row(normal, activation):
    q, p, k, v = _inputs(normal, 70, value_dim=7)
    whole = luna_attention(q, p, k, v, causal=True, activation=activation)
    state = luna_init_state(2, 3, 5, 7, p=p, activation=activation)
    sizes = {state.keys.numel() + state.values.numel()}
    for i in range(70):
        here = slice(i, i + 1)
        state, out = luna_step(state, q[:, :, here], k[:, :, here], v[:, :, here])
        assert_close(out, whole[:, :, here], rtol=1e-12, atol=1e-12)
        sizes.add(state.keys.numel() + state.values.numel())
    assert sizes == {2 * 3 * (costs.luna_state_numbers(5, 7, p_len=3) - 1)}
    assert state.count == 70


def test_a_step_leaves_the_old_state_alone(normal):
    q, p, k, v = _inputs(normal, 1)
    start = luna_init_state(2, 3, 5, 5, p=p)
    first, _ = luna_step(start, q, k, v)
    assert not start.keys.any()
    kept = first.keys.clone()
    one = luna_step(first, q, k, v)[1]
    assert torch.equal(first.keys, kept)
    assert torch.equal(luna_step(first, q, k, v)[1], one)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_sums_are_kept_in_float32_at_least(normal, dtype):
    q, p, k, v = (x.to(dtype) for x in _inputs(normal, 1))
    state, out = luna_step(luna_init_state(2, 3, 5, 5, p=p), q, k, v)
    assert out.dtype == dtype
    assert state.keys.dtype == state.values.dtype == torch.float32
    given_ = luna_init_state(2, 3, 5, 5, p=p, dtype=torch.float64, device="cpu")
    assert given_.keys.dtype == torch.float64


# What the paper claims, and what follows


@pytest.mark.parametrize("p_len", [1, 3, 8])
def test_the_matrix_has_rows_that_sum_to_one_and_the_rank_of_p(normal, p_len):
    weights = luna_weights(*_inputs(normal, 17, p_len=p_len, q_len=13))
    assert (weights >= 0).all()
    assert_close(weights.sum(-1), torch.ones(2, 3, 13, dtype=torch.float64))
    found = torch.linalg.matrix_rank(weights, rtol=1e-10)
    assert (found <= p_len).all()
    assert (found == p_len).any()


def test_one_slot_gives_every_token_the_same(normal):
    out = luna_attention(*_inputs(normal, 11, p_len=1))
    assert_close(out, out[:, :, :1].expand_as(out), rtol=1e-13, atol=1e-13)


def test_equal_slots_stay_equal(normal):
    q, p, k, v = _inputs(normal, 11)
    same = p[:, :, :1].expand(-1, -1, 4, -1)
    packed = luna_pack(same, k, v)
    assert_close(packed, packed[:, :, :1].expand_as(packed), rtol=0, atol=0)
    for causal in (False, True):
        one = luna_attention(q, p[:, :, :1], k, v, causal=causal)
        four = luna_attention(q, same, k, v, causal=causal)
        assert_close(four, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_the_order_of_the_slots_does_not_matter(normal, causal):
    q, p, k, v = _inputs(normal, 11)
    expected = luna_attention(q, p, k, v, causal=causal)
    assert_close(luna_attention(q, p[:, :, [2, 0, 1]], k, v, causal=causal), expected)


def test_the_order_of_the_tokens_does_not_matter_to_the_slots(normal, generator):
    q, p, k, v = _inputs(normal, 11)
    order = torch.randperm(11, generator=generator)
    assert_close(luna_pack(p, k[:, :, order], v[:, :, order]), luna_pack(p, k, v))
    shuffled = luna_attention(q, p, k[:, :, order], v[:, :, order])
    assert_close(shuffled, luna_attention(q, p, k, v))


def test_a_slot_for_every_token_is_full_attention(normal):
    # Orthogonal keys a hundred long, and P their copy: every slot reads its own token alone.
    k = 100 * torch.eye(5, dtype=torch.float64).view(1, 1, 5, 5)
    q, v = normal(1, 1, 7, 5), normal(1, 1, 5, 5)
    assert_close(luna_pack(k, k, v), v, rtol=0, atol=1e-12)
    out = luna_attention(q, k, k, v)
    assert_close(out, softmax_attention(q, v, v), rtol=1e-12, atol=1e-12)


def test_limit_causal_rows_do_not_sum_to_one(normal):
    sums = luna_weights(*_inputs(normal, 11), causal=True).sum(-1)
    assert (sums > 0).all()
    assert (sums - 1).abs().max() > 0.5


def test_limit_the_causal_form_is_another_function(normal):
    given_ = _inputs(normal, 11)
    last_row = luna_attention(*given_)[:, :, -1]
    assert (luna_attention(*given_, causal=True)[:, :, -1] - last_row).abs().max() > 0.1


def test_limit_without_the_division_by_t_the_scale_would_drift(normal):
    q, p, k, v = _inputs(normal, 512)
    out = luna_attention(q, p, k, torch.ones_like(v), causal=True)
    early, late = out[:, :, 32:64].mean(), out[:, :, 448:].mean()
    assert 0.5 < late / early < 2


@activations
def test_large_scores_stay_finite(normal, activation):
    q, p, k, v = (x.float() for x in _inputs(normal, 70))
    out = luna_attention(q, 300 * p, 300 * k, v, causal=True, activation=activation)
    assert out.isfinite().all()


# Cost


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("is_masked", [False, True], ids=["open", "masked"])
def test_no_tensor_is_larger_than_length_times_slots(causal, is_masked):
    p_len, width = 12, 8
    p = torch.randn(1, 1, p_len, width)

    def call(q, k, v):
        key_mask = torch.arange(q.shape[2])[None] % 5 > 0 if is_masked else None
        return luna_attention(q, p, k, v, causal=causal, key_mask=key_mask)

    lengths = [256, 512, 1024]
    largest, peaks = [], []
    for n in lengths:
        inputs = [torch.randn(1, 1, n, width) for _ in range(3)]
        largest.append(counting.count(call, *inputs).largest)
        peaks.append(counting.peak_bytes(call, *inputs))
    assert all(size <= n * max(p_len, 64) for n, size in zip(lengths, largest, strict=True))
    assert counting.exponent(lengths, largest) <= 1.05
    assert counting.exponent(lengths, peaks) <= 1.1


def test_the_causal_form_keeps_no_matrix_a_token():
    inputs = [
        torch.randn(1, 1, n, width) for n, width in ((512, 16), (12, 16), (512, 16), (512, 16))
    ]
    tally = counting.count(lambda *x: luna_attention(*x, causal=True), *inputs)
    assert tally.largest <= 512 * 16
    assert 10 * tally.largest < 512 * 16 * 12


def test_the_number_of_scores_is_that_of_two_products(normal):
    q, p, k, v = (x[:1, :1] for x in _inputs(normal, 96, p_len=12))
    pack, unpack = p @ k.mT, q @ luna_pack(p, k, v).mT
    assert costs.luna_scores(96, p_len=12) == pack.numel() + unpack.numel()


# The layer


@pytest.mark.parametrize("tie_kv", [True, False], ids=["tied", "untied"])
@masked
def test_the_layer_packs_then_unpacks(normal, tie_kv, masked):
    torch.manual_seed(0)
    layer = LunaAttention(12, 3, tie_kv=tie_kv, dtype=torch.float64)
    x, p = normal(2, 11, 12), normal(2, 5, 12)
    key_mask = _gaps(11) if masked else None
    y, packed = layer(x, p, key_mask)

    def heads(z):
        return z.view(*z.shape[:2], 3, 4).transpose(1, 2)

    def project(linear, z):
        z = z @ linear.weight.T + linear.bias
        return (heads(z), heads(z)) if tie_kv else (heads(z[..., :12]), heads(z[..., 12:]))

    slots = heads(p @ layer.pack_query.weight.T + layer.pack_query.bias)
    k, v = project(layer.pack_context, x)
    expected = oracles.attention(
        slots.detach(),
        k.detach(),
        v.detach(),
        None if key_mask is None else key_mask[:, None, None, :],
    )
    expected = torch.from_numpy(expected).transpose(1, 2).flatten(2)
    assert_close(packed, expected, rtol=1e-12, atol=1e-12)
    q = heads(x @ layer.query.weight.T + layer.query.bias)
    k, v = project(layer.context, packed)
    out = torch.from_numpy(oracles.attention(q.detach(), k.detach(), v.detach()))
    out = out.transpose(1, 2).flatten(2)
    assert_close(y, out @ layer.out.weight.T + layer.out.bias, rtol=1e-12, atol=1e-12)


def test_p_goes_from_layer_to_layer_and_learns(normal):
    torch.manual_seed(0)
    layers = [LunaAttention(12, 3, dtype=torch.float64) for _ in range(2)]
    p = normal(5, 12).requires_grad_()
    for length in (1, 7, 40):
        x, packed = normal(2, length, 12), p.expand(2, -1, -1)
        for layer in layers:
            x, packed = layer(x, packed)
        assert x.shape == (2, length, 12)
        assert packed.shape == (2, 5, 12)
    (x.square().sum() + packed.square().sum()).backward()
    assert p.grad.abs().sum() > 0
    for layer in layers:
        assert all(w.grad.isfinite().all() for w in layer.parameters())
        assert all(w.grad.any() for w in layer.parameters() if w.dim() == 2)


@activations
def test_the_causal_layer_does_not_see_the_future_and_leaves_p(normal, activation):
    torch.manual_seed(0)
    layer = LunaAttention(12, 3, causal=True, activation=activation, dtype=torch.float64)
    x, p = normal(2, 11, 12), normal(2, 5, 12)
    y, packed = layer(x, p)
    assert packed is p
    later = x.clone()
    later[:, 6:] = 1e3
    assert torch.equal(layer(later, p)[0][:, :6], y[:, :6])


def test_a_bad_layer_says_what_was_wrong(normal):
    with pytest.raises(ValueError, match=r"^embed_dim must be a multiple of num_heads = 5, got 12"):
        LunaAttention(12, 5)
    layer = LunaAttention(12, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^p must have embed_dim 12, got shape \(2, 5, 11\)"):
        layer(normal(2, 7, 12), normal(2, 5, 11))
    with pytest.raises(ValueError, match=r"^x must have the layer's dtype .*got torch.float32"):
        layer(normal(2, 7, 12).float(), normal(2, 5, 12))


# Bad calls


def test_bad_calls_say_what_was_wrong(normal):
    q, p, k, v = _inputs(normal, 11)
    cases = (
        ({"p": p.tolist()}, TypeError, "^p must .*got list"),
        ({"p": p.long()}, TypeError, "^p must .*got torch.int64"),
        ({"p": p[0]}, ValueError, r"^p must .*got \(3, 3, 5\)"),
        ({"p": p.float()}, ValueError, "^p must .*got torch.float32"),
        ({"p": p[:1]}, ValueError, r"^p must .*got \(1, 3, 3, 5\)"),
        ({"p": p[..., :4]}, ValueError, r"^p must .*got \(2, 3, 3, 4\)"),
        ({"p": p[:, :, :0]}, ValueError, r"^p must .*at least 1, got \(2, 3, 0, 5\)"),
        ({"p": p.to("meta")}, ValueError, "^p must .*got meta"),
        ({"v": v[..., :4]}, ValueError, "^v must have value_dim equal to head_dim = 5 .*got 4"),
        ({"activation": "relu"}, ValueError, "^activation must be 'elu' or 'softplus', got 'relu'"),
    )
    for change, error, match in cases:
        for function in (luna_attention, luna_weights):
            with pytest.raises(error, match=match):
                function(**{"q": q, "p": p, "k": k, "v": v, **change})
    with pytest.raises(ValueError, match=r"^p_len must be at least 1, got 0"):
        luna_pack(p[:, :, :0], k, v)
    with pytest.raises(ValueError, match=r"^k must have shape .* to fit p"):
        luna_pack(p, k[:1], v)


def test_bad_states_and_steps_say_what_was_wrong(normal):
    q, p, k, v = _inputs(normal, 1, value_dim=7)
    state = luna_init_state(2, 3, 5, 7, p=p)
    with pytest.raises(TypeError, match=r"^state must be a LunaState, got tuple"):
        luna_step((), q, k, v)
    with pytest.raises(ValueError, match=r"^v must .*got \(2, 3, 1, 6\)"):
        luna_step(state, q, k, v[..., :6])
    with pytest.raises(ValueError, match=r"^q must .*got \(2, 3, 2, 5\)"):
        luna_step(state, q.expand(-1, -1, 2, -1), k, v)
    with pytest.raises(ValueError, match=r"^p must .*got \(2, 3, 3, 5\)"):
        luna_init_state(2, 3, 4, 7, p=p)
    with pytest.raises(ValueError, match=r"^value_dim must be at least 1, got 0"):
        luna_init_state(2, 3, 5, 0, p=p)
    with pytest.raises(ValueError, match=r"^activation must"):
        luna_init_state(2, 3, 5, 7, p=p, activation="gelu")
