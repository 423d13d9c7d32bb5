"""Linformer against the equation and the claims of Wang et al. 2020 (arXiv:2006.04768)."""

import inspect
import itertools
import math

import counting
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from attn_lib import costs, linformer_attention, linformer_weights, softmax_attention
from attn_lib.layers import LengthProjection, LinformerAttention


def _projections(normal, rank, kv_len, heads=None):
    shape = (rank, kv_len) if heads is None else (heads, rank, kv_len)
    return {"key_projection": normal(*shape), "value_projection": normal(*shape)}


# By hand


def test_two_slots_by_hand():
    # Keys 0, ln 9, 0 and values 1, 2, 5. E adds the first two and takes the last: slots ln 9 and 0.
    # A query of 1 weighs them 9 : 1. F keeps the first value and halves the sum of the others.
    k = torch.tensor([0.0, math.log(9), 0.0], dtype=torch.float64).view(1, 1, 3, 1)
    v = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64).view(1, 1, 3, 1)
    e = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    f = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    given = {"key_projection": e, "value_projection": f}
    q = torch.tensor([1.0, 0.0], dtype=torch.float64).view(1, 1, 2, 1)
    out = linformer_attention(q, k, v, **given)
    assert_close(out.flatten(), torch.tensor([0.9 * 1 + 0.1 * 3.5, 0.5 * 1 + 0.5 * 3.5]).double())
    weights = linformer_weights(q, k, **given)[0, 0, 0]
    assert_close(weights, torch.tensor([0.9, 0.05, 0.05], dtype=torch.float64))


# The equation


@pytest.mark.parametrize("heads", [None, 3], ids=["shared", "per-head"])
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_it_is_the_papers_equation(normal, heads, masked, scale):
    q, k, v = normal(2, 3, 5, 4), normal(2, 3, 11, 4), normal(2, 3, 11, 6)
    given = _projections(normal, 7, 11, heads)
    key_mask = torch.arange(22).view(2, 11) % 3 != 1 if masked else None
    expected = oracles.linformer(q, k, v, *given.values(), key_mask, scale)
    options = {"key_mask": key_mask, "scale": scale, **given}
    actual = linformer_attention(q, k, v, **options)
    assert_close(actual, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)
    weights = linformer_weights(q, k, **options)
    assert_close(weights @ v, actual, rtol=1e-12, atol=1e-12)


@given(
    q_len=st.integers(1, 9),
    kv_len=st.integers(1, 9),
    rank=st.integers(1, 12),
    shared=st.tuples(st.booleans(), st.booleans()),
    kept=st.integers(0, 2**9 - 1),
)
def test_any_lengths_ranks_and_masks(q_len, kv_len, rank, shared, kept):
    draw = torch.Generator().manual_seed(kept)

    def normal(*shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    q, k, v = normal(1, 2, q_len, 3), normal(1, 2, kv_len, 3), normal(1, 2, kv_len, 5)
    e, f = (normal(rank, kv_len) if s else normal(2, rank, kv_len) for s in shared)
    key_mask = torch.tensor([[bool(kept >> j & 1) for j in range(kv_len)]])
    expected = torch.from_numpy(oracles.linformer(q, k, v, e, f, key_mask))
    given = {"key_mask": key_mask, "key_projection": e, "value_projection": f}
    actual = linformer_attention(q, k, v, **given)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert_close(linformer_weights(q, k, **given) @ v, expected, rtol=1e-12, atol=1e-12)


# What holds for every projection


def test_identity_projections_give_full_attention(normal):
    q, k, v = normal(2, 3, 7, 5), normal(2, 3, 11, 5), normal(2, 3, 11, 2)
    eye = torch.eye(11, dtype=torch.float64)
    out = linformer_attention(q, k, v, key_projection=eye, value_projection=eye)
    assert_close(out, softmax_attention(q, k, v), rtol=1e-13, atol=1e-13)


def test_the_same_permutation_of_both_is_full_attention(normal, generator):
    q, k, v = normal(2, 3, 7, 5), normal(2, 3, 11, 5), normal(2, 3, 11, 2)
    order = torch.eye(11, dtype=torch.float64)[torch.randperm(11, generator=generator)]
    out = linformer_attention(q, k, v, key_projection=order, value_projection=order)
    assert_close(out, softmax_attention(q, k, v), rtol=1e-13, atol=1e-13)


def test_one_averaging_slot_gives_everybody_the_mean(normal):
    q, k, v = normal(2, 3, 7, 5), normal(2, 3, 11, 5), normal(2, 3, 11, 2)
    mean = torch.full((1, 11), 1 / 11, dtype=torch.float64)
    out = linformer_attention(q, k, v, key_projection=mean, value_projection=mean)
    assert_close(out, v.mean(2, keepdim=True).expand_as(out), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_implied_matrix_has_the_rank_of_the_projection(normal, rank):
    q, k = normal(1, 2, 13, 5), normal(1, 2, 17, 5)
    weights = linformer_weights(q, k, **_projections(normal, rank, 17))
    found = torch.linalg.matrix_rank(weights, rtol=1e-10)
    assert (found <= rank).all()
    assert (found == rank).any()


def test_rows_need_neither_be_positive_nor_sum_to_one(normal):
    weights = linformer_weights(
        normal(1, 2, 13, 5), normal(1, 2, 17, 5), **_projections(normal, 4, 17)
    )
    assert (weights < 0).any()
    assert ((weights.sum(-1) - 1).abs() > 0.1).any()


def test_positions_matter(normal, generator):
    q, k, v = normal(1, 1, 7, 5), normal(1, 1, 11, 5), normal(1, 1, 11, 2)
    given = _projections(normal, 4, 11)
    order = torch.randperm(11, generator=generator)
    moved = linformer_attention(q, k[:, :, order], v[:, :, order], **given)
    assert not torch.allclose(moved, linformer_attention(q, k, v, **given), atol=0.01)


def test_slots_of_absent_keys_still_take_weight(normal):
    # Only the last key is real and slot 0 does not see it: that slot is zero, and counts.
    k, v = normal(1, 1, 3, 2), torch.ones(1, 1, 3, 1, dtype=torch.float64)
    e = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    key_mask = torch.tensor([[False, False, True]])
    q = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    out = linformer_attention(q, k, v, key_mask=key_mask, key_projection=e, value_projection=e)
    assert_close(out, torch.full_like(out, 0.5))


# There is no causal form


def test_the_first_row_sees_the_last_token(normal):
    """Why: a triangle over the slots still leaks, whatever the slots are numbered by."""
    q, k, v = normal(1, 1, 8, 5), normal(1, 1, 8, 5), normal(1, 1, 8, 2)
    given = _projections(normal, 4, 8)
    later = v.clone()
    later[:, :, -1] += 1
    before, after = (linformer_attention(q, k, x, **given)[:, :, 0] for x in (v, later))
    assert (before - after).abs().max() > 0.01
    slots = (q @ (given["key_projection"] @ k).mT).masked_fill(
        torch.ones(8, 4, dtype=torch.bool).triu(1), -math.inf
    )
    mixed = (given["value_projection"] @ x for x in (v, later))
    first, second = (slots.softmax(-1)[:, :, :1] @ x for x in mixed)
    assert (first - second).abs().max() > 0.01


@pytest.mark.parametrize("function", [linformer_attention, linformer_weights])
def test_causal_is_refused_with_the_papers_name_and_the_reason(normal, function):
    x = normal(1, 2, 7, 5)
    inputs = (x, x, x)[: 3 if function is linformer_attention else 2]
    with pytest.raises(NotImplementedError, match=r"Wang et al.*2006\.04768.*every position"):
        function(*inputs, causal=True, **_projections(normal, 3, 7))


# The theorem's construction


def test_the_random_construction_has_an_error_relative_to_the_norms_not_to_the_product():
    """P Rᵀ R w for P = 1 1ᵀ / n and a w of mean zero: the product is zero, the estimate is not."""
    n, rank = 512, 64
    draw = torch.Generator().manual_seed(0)
    w = torch.randn(n, generator=draw, dtype=torch.float64)
    w -= w.mean()
    p = torch.full((n, n), 1 / n, dtype=torch.float64)
    assert (p @ w).norm() < 1e-12
    errors = []
    for _ in range(40):
        r = torch.randn(rank, n, generator=draw, dtype=torch.float64) / rank**0.5
        errors.append((p @ r.T @ (r @ w)).norm())
    # Each row errs by about norm(P_i) norm(w) / sqrt(rank), all rows alike: sqrt(n) times it.
    spread = torch.stack(errors).square().mean().sqrt()
    expected = math.sqrt(n) * (1 / math.sqrt(n)) * w.norm() / math.sqrt(rank)
    assert 0.7 < spread / expected < 1.3
    assert spread > 2


def test_the_random_constructions_error_falls_with_the_rank(normal, generator):
    p = normal(40, 200).softmax(-1)
    w = normal(200, 3)
    errors = []
    for rank in (8, 32, 128, 512):
        draws = []
        for _ in range(20):
            r = torch.randn(rank, 200, generator=generator, dtype=torch.float64) / rank**0.5
            draws.append((p @ r.T @ (r @ w) - p @ w).square().mean())
        errors.append(float(torch.stack(draws).mean().sqrt()))
    assert errors == sorted(errors, reverse=True)
    for coarse, fine in itertools.pairwise(errors):
        assert 1.5 < coarse / fine < 2.7  # one over the root of four


# Cost


@pytest.mark.parametrize("value_dim", [4, 6], ids=["fused", "plain"])
@pytest.mark.parametrize("per_head", [False, True], ids=["shared", "per-head"])
def test_no_tensor_has_more_than_length_times_rank_entries(normal, value_dim, per_head):
    rank, heads = 8, 2
    largest = {}
    for n in (512, 1024, 2048):
        q, k, v = normal(1, heads, n, 4), normal(1, heads, n, 4), normal(1, heads, n, value_dim)
        given = _projections(normal, rank, n, heads if per_head else None)

        def call(q, k, v, e, f):
            return linformer_attention(q, k, v, key_projection=e, value_projection=f)

        largest[n] = counting.count(call, q, k, v, *given.values()).largest
        assert largest[n] <= n * rank * heads
    assert counting.exponent(list(largest), list(largest.values())) < 1.05


def test_memory_and_operations_grow_like_the_length(normal):
    sizes, memory, operations = [512, 1024, 2048, 4096], [], []
    for n in sizes:
        inputs = [normal(1, 2, n, 8, dtype=torch.float32) for _ in range(3)]
        inputs += [normal(16, n, dtype=torch.float32) for _ in range(2)]

        def call(q, k, v, e, f):
            return linformer_attention(q, k, v, key_projection=e, value_projection=f)

        memory.append(counting.peak_bytes(call, *inputs))
        operations.append(counting.flops(call, *inputs))
    assert counting.exponent(sizes, memory) < 1.1
    assert counting.exponent(sizes, operations) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("n", "rank", "value_dim"), [(64, 4, 3), (100, 16, 6)])
def test_the_operations_are_those_counted(normal, n, rank, value_dim):
    from torch.utils.flop_counter import FlopCounterMode

    q, k, v = normal(1, 1, n, 5), normal(1, 1, n, 5), normal(1, 1, n, value_dim)
    with FlopCounterMode(display=False) as counter:
        linformer_attention(q, k, v, **_projections(normal, rank, n))
    assert counter.get_total_flops() == costs.linformer_flops(n, 5, value_dim, rank=rank)


def test_parameters_are_those_of_the_layers():
    made = {"none": 0, "headwise": 0, "key-value": 0, "layerwise": 0}
    for sharing in made:
        one = LengthProjection(30, 6)
        options = {"projection": one} if sharing == "layerwise" else {}
        layers = nn.ModuleList(
            LinformerAttention(8, 4, max_len=30, rank=6, sharing=sharing, **options)
            for _ in range(3)
        )
        made[sharing] = sum(
            p.numel() for name, p in layers.named_parameters() if "projection" in name
        )
        assert made[sharing] == costs.linformer_parameters(
            30, rank=6, layers=3, heads=4, sharing=sharing
        )
    assert made["headwise"] == 6 * made["layerwise"]


# Gradients of the projections


@pytest.mark.parametrize("heads", [None, 2], ids=["shared", "per-head"])
def test_the_projections_learn(normal, heads):
    q, k, v = normal(2, 2, 4, 3), normal(2, 2, 6, 3), normal(2, 2, 6, 2)
    leaves = [x.requires_grad_() for x in _projections(normal, 3, 6, heads).values()]

    def call(e, f):
        return linformer_attention(q, k, v, key_projection=e, value_projection=f)

    assert torch.autograd.gradcheck(call, leaves)
    key_mask = torch.ones(2, 6, dtype=torch.bool)
    key_mask[:, 4] = False
    out = linformer_attention(
        q, k, v, key_mask=key_mask, key_projection=leaves[0], value_projection=leaves[1]
    )
    for grad in torch.autograd.grad(out.square().sum(), leaves):
        assert not grad[..., 4].any()
        assert grad[..., 3].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_projections_of_another_dtype_are_taken(normal, dtype):
    q = normal(1, 2, 7, 5, dtype=dtype)
    given = {key: x.float() for key, x in _projections(normal, 3, 7).items()}
    out = linformer_attention(q, q, q, **given)
    assert out.dtype == dtype
    expected = linformer_attention(q.double(), q.double(), q.double(), **given)
    tolerance = 1e-12 if dtype == torch.float64 else 0.02
    assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


# Bad calls


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"key_projection": [[1.0]]}, TypeError, "^key_projection must .*got list"),
        ({"value_projection": None}, TypeError, "^value_projection must .*got NoneType"),
        (
            {"key_projection": torch.ones(3, 9, dtype=torch.int64)},
            TypeError,
            "^key_projection must .*got torch.int64",
        ),
        ({"key_projection": torch.ones(9)}, ValueError, r"^key_projection must .*got \(9,\)"),
        ({"key_projection": torch.ones(9, 3)}, ValueError, r"^key_projection must .*got \(9, 3\)"),
        (
            {"value_projection": torch.ones(3, 3, 9)},
            ValueError,
            r"^value_projection must .*got \(3, 3, 9\)",
        ),
        (
            {"value_projection": torch.ones(1, 2, 3, 9)},
            ValueError,
            r"^value_projection must .*got \(1, 2, 3, 9\)",
        ),
        ({"value_projection": torch.ones(4, 9)}, ValueError, "^value_projection must .*got 4"),
        (
            {"key_projection": torch.ones(0, 9), "value_projection": torch.ones(0, 9)},
            ValueError,
            r"^key_projection must .*got \(0, 9\)",
        ),
        (
            {"key_projection": torch.ones(3, 9, device="meta")},
            ValueError,
            "^key_projection must .*got meta",
        ),
        ({"scale": math.nan}, ValueError, "^scale must .*got nan"),
        ({"scale": "1"}, TypeError, "^scale must .*got str"),
    ],
    ids=lambda x: None if not isinstance(x, dict) else "-".join(x),
)
def test_bad_options_are_refused(normal, options, error, match):
    given = {**_projections(normal, 3, 9), **options}
    q, k, v = normal(1, 2, 9, 3), normal(1, 2, 9, 3), normal(1, 2, 9, 3)
    with pytest.raises(error, match=match):
        linformer_attention(q, k, v, **given)
    with pytest.raises(error, match=match):
        linformer_weights(q, k, **given)


def test_both_projections_must_be_given():
    for function in (linformer_attention, linformer_weights):
        for name in ("key_projection", "value_projection"):
            assert inspect.signature(function).parameters[name].default is inspect.Parameter.empty


# The layer


@pytest.fixture(autouse=True)
def _leave_the_global_generator_alone():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def _layer(sharing="headwise", *, max_len=12, rank=4, kind="learned", **options):
    if sharing == "layerwise":
        options["projection"] = LengthProjection(max_len, rank, kind=kind, dtype=torch.float64)
    return LinformerAttention(
        15,
        3,
        max_len=max_len,
        rank=rank,
        sharing=sharing,
        kind=kind,
        dtype=torch.float64,
        **options,
    )


@pytest.mark.parametrize("kind", ["learned", "mean", "convolution"])
@pytest.mark.parametrize("sharing", ["none", "headwise", "key-value", "layerwise"])
@pytest.mark.parametrize("length", [12, 7, 1])
def test_the_layer_is_the_equation_between_two_projections(normal, sharing, kind, length):
    layer = _layer(sharing, kind=kind)
    x = normal(2, length, 15)
    qkv = layer.qkv(x).view(2, length, 3, 3, 5).permute(2, 0, 3, 1, 4).detach()
    e, f = layer.key_projection(length), layer.value_projection(length)
    heads = oracles.linformer(*qkv, e.detach(), f.detach())
    expected = layer.out(torch.from_numpy(heads).transpose(1, 2).flatten(2))
    assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_a_shorter_text_counts_as_padded(normal):
    for kind in ("learned", "mean", "convolution"):
        layer = _layer(kind=kind)
        x = normal(2, 12, 15)
        key_mask = (torch.arange(12) < 7).expand(2, 12)
        assert_close(layer(x, key_mask)[:, :7], layer(x[:, :7]), rtol=1e-12, atol=1e-12)


def test_the_pooling_matrices_pool(normal):
    x = normal(12, 5)
    mean = LengthProjection(12, 4, kind="mean", dtype=torch.float64)
    assert_close(mean(12) @ x, x.view(4, 3, 5).mean(1))
    assert not list(mean.parameters())
    filters = LengthProjection(12, 4, kind="convolution", dtype=torch.float64)
    assert_close(filters(12), mean(12))
    with torch.no_grad():
        filters.weight.copy_(normal(3))
    kernel = filters.weight.view(1, 1, 3)
    expected = nn.functional.conv1d(x.T[:, None], kernel, stride=3)[:, 0].T
    assert_close(filters(12) @ x, expected)


def test_what_is_shared_is_one_matrix():
    apart = _layer("headwise")
    assert apart.key_projection is not apart.value_projection
    assert not torch.equal(apart.key_projection(12), apart.value_projection(12))
    assert _layer("none").key_projection(12).shape == (3, 4, 12)
    tied = _layer("key-value")
    assert tied.key_projection is tied.value_projection
    one = LengthProjection(12, 4)
    options = {"max_len": 12, "rank": 4, "sharing": "layerwise", "projection": one}
    first, second = LinformerAttention(15, 3, **options), LinformerAttention(15, 3, **options)
    assert first.key_projection is second.value_projection is one
    both = nn.ModuleList([first, second])
    assert sum(p is one.weight for p in both.parameters()) == 1


@pytest.mark.parametrize("kind", ["learned", "convolution"])
@pytest.mark.parametrize("sharing", ["none", "headwise", "key-value", "layerwise"])
def test_every_parameter_of_the_layer_gets_a_gradient(normal, sharing, kind):
    layer = _layer(sharing, kind=kind)
    layer(normal(2, 12, 15)).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_the_layer_saves_and_loads(tmp_path, normal):
    layer = _layer("key-value")
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    again = _layer("key-value")
    x = normal(2, 9, 15)
    assert not torch.equal(again(x), layer(x))
    again.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    assert torch.equal(again(x), layer(x))


def test_learned_projections_start_xavier_uniform():
    weight = LengthProjection(60, 20)(60)
    bound = (6 / 80) ** 0.5
    assert 0.97 * bound < weight.abs().max() <= bound
    assert abs(weight.mean()) < 0.1 * bound


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: LengthProjection(0, 1), ValueError, "^max_len must .*got 0"),
        (lambda: LengthProjection(4, 0), ValueError, "^rank must .*got 0"),
        (lambda: LengthProjection(4, 2.0), TypeError, "^rank must .*got float"),
        (lambda: LengthProjection(4, 2, heads=0), ValueError, "^heads must .*got 0"),
        (lambda: LengthProjection(4, 2, kind="max"), ValueError, "^kind must .*got 'max'"),
        (lambda: LengthProjection(5, 2, kind="mean"), ValueError, "^rank must divide .*got 2"),
        (lambda: LengthProjection(5, 2)(6), ValueError, "^length must .*got 6"),
        (lambda: _layer("all"), ValueError, "^sharing must .*got 'all'"),
        (lambda: _layer()(torch.ones(1, 13, 15).double()), ValueError, "^length must .*got 13"),
        (lambda: _layer()(torch.ones(1, 12, 14).double()), ValueError, "^x must .*got"),
        (
            lambda: LinformerAttention(15, 3, max_len=12, rank=4, sharing="layerwise"),
            ValueError,
            "^projection must .*got none",
        ),
        (
            lambda: _layer(projection=LengthProjection(12, 4)),
            ValueError,
            "^projection must .*got one",
        ),
        (
            lambda: LinformerAttention(
                15, 3, max_len=12, rank=5, sharing="layerwise", projection=LengthProjection(12, 4)
            ),
            ValueError,
            r"^projection must .*got \(12, 4, 'learned'\)",
        ),
    ],
)
def test_bad_layers_are_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()
