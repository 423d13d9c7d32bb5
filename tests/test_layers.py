"""The multi-head wrapper against `torch.nn.MultiheadAttention` with the same parameters."""

import inspect
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from attn_lib import (
    masks,
    softmax_attention,
    sparse_transformer_attention,
)
from attn_lib.layers import MultiHeadAttention


def _pair(embed_dim, num_heads, *, bias=True, **options):
    """Return ours and torch's with the same float64 parameters, all of them random."""
    torch_layer = nn.MultiheadAttention(embed_dim, num_heads, bias=bias, batch_first=True).double()
    ours = MultiHeadAttention(embed_dim, num_heads, bias=bias, dtype=torch.float64, **options)
    draw = torch.Generator().manual_seed(embed_dim)
    with torch.no_grad():
        for parameter in torch_layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64) / 3)
        ours.qkv.weight.copy_(torch_layer.in_proj_weight)
        ours.out.weight.copy_(torch_layer.out_proj.weight)
        if bias:
            ours.qkv.bias.copy_(torch_layer.in_proj_bias)
            ours.out.bias.copy_(torch_layer.out_proj.bias)
    return ours, torch_layer


def _key_mask(batch, length):
    mask = torch.arange(batch * length).reshape(batch, length) % 4 != 2
    mask[:, 0] = True
    return mask


@pytest.fixture(autouse=True)
def _leave_the_global_generator_alone():
    with torch.random.fork_rng():
        yield


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_torchs_multi_head_attention(normal, bias, causal, masked):
    ours, theirs = _pair(15, 3, bias=bias, causal=causal)
    x = normal(2, 7, 15)
    key_mask = _key_mask(2, 7) if masked else None
    future = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
    padding = None if key_mask is None else ~key_mask  # torch's polarity is the opposite
    expected, _ = theirs(x, x, x, key_padding_mask=padding, attn_mask=future, need_weights=False)
    assert_close(ours(x, key_mask), expected, rtol=1e-12, atol=1e-12)


def test_its_gradients_are_torchs(normal):
    ours, theirs = _pair(15, 3)
    x = normal(2, 7, 15)
    ours(x).square().sum().backward()
    theirs(x, x, x, need_weights=False)[0].square().sum().backward()
    assert_close(ours.qkv.weight.grad, theirs.in_proj_weight.grad, rtol=1e-10, atol=1e-10)
    assert_close(ours.qkv.bias.grad, theirs.in_proj_bias.grad, rtol=1e-10, atol=1e-10)
    assert_close(ours.out.weight.grad, theirs.out_proj.weight.grad, rtol=1e-10, atol=1e-10)
    assert_close(ours.out.bias.grad, theirs.out_proj.bias.grad, rtol=1e-10, atol=1e-10)


def test_another_mechanism_plugs_in(normal):
    x = normal(2, 20, 15)
    sparse = partial(sparse_transformer_attention, pattern="fixed", stride=4, summary=2)
    ours, _ = _pair(15, 3, attend=sparse, causal=True)
    dense, _ = _pair(15, 3, attend=partial(softmax_attention, mask=masks.fixed(4, 2)), causal=True)
    assert_close(ours(x), dense(x), rtol=1e-12, atol=1e-12)
    plain, _ = _pair(15, 3, causal=True)
    assert not torch.allclose(ours(x), plain(x))


def test_the_mechanism_gets_heads_of_the_right_shape(normal):
    seen = {}

    def attend(q, k, v, *, causal=False, key_mask=None):
        seen.update(shapes=(q.shape, k.shape, v.shape), causal=causal, key_mask=key_mask)
        return v

    key_mask = _key_mask(2, 7)
    layer = MultiHeadAttention(15, 3, attend=attend, causal=True, dtype=torch.float64)
    out = layer(normal(2, 7, 15), key_mask=key_mask)
    assert seen["shapes"] == ((2, 3, 7, 5),) * 3
    assert seen["causal"] is True
    assert seen["key_mask"] is key_mask
    assert out.shape == (2, 7, 15)


def test_the_signature():
    parameters = inspect.signature(MultiHeadAttention).parameters
    assert list(parameters)[:4] == ["embed_dim", "num_heads", "attend", "causal"]
    assert parameters["attend"].kind is parameters["attend"].KEYWORD_ONLY
    assert parameters["attend"].default is softmax_attention
    assert parameters["causal"].default is False
    assert list(inspect.signature(MultiHeadAttention.forward).parameters) == [
        "self",
        "x",
        "key_mask",
    ]


def test_it_starts_as_torchs_does():
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(12, 4)
    torch.manual_seed(3)
    ours = MultiHeadAttention(12, 4)
    shapes = sorted(tuple(p.shape) for p in ours.parameters())
    assert shapes == sorted(tuple(p.shape) for p in theirs.parameters())
    assert not ours.qkv.bias.any()
    assert not ours.out.bias.any()
    bound = (6 / (12 + 36)) ** 0.5
    assert 0.9 * bound < ours.qkv.weight.abs().max() <= bound


def test_masked_tokens_cannot_matter(normal):
    layer, _ = _pair(15, 3)
    x, key_mask = normal(2, 7, 15), _key_mask(2, 7)
    other = x.masked_fill(~key_mask[..., None], 1e6)
    real = key_mask[..., None].expand_as(x)
    assert torch.equal(layer(x, key_mask)[real], layer(other, key_mask)[real])


def test_a_causal_layer_does_not_see_the_future(normal):
    layer, _ = _pair(15, 3, causal=True)
    x = normal(2, 7, 15)
    other = x.clone()
    other[:, 4:] = 9.0
    assert torch.equal(layer(x)[:, :4], layer(other)[:, :4])


def test_it_saves_and_loads(tmp_path, normal):
    layer, _ = _pair(15, 3)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    again = MultiHeadAttention(15, 3, dtype=torch.float64)
    again.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    x = normal(2, 7, 15)
    assert_close(again(x), layer(x), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_the_output_has_the_inputs_dtype(dtype):
    layer = MultiHeadAttention(15, 3, dtype=dtype)
    assert layer(torch.ones(2, 7, 15, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: MultiHeadAttention(0, 1), ValueError, r"^embed_dim must .*got 0"),
        (lambda: MultiHeadAttention(16, 0), ValueError, r"^num_heads must .*got 0"),
        (lambda: MultiHeadAttention(16, 3), ValueError, r"^embed_dim must .*got 16"),
        (lambda: MultiHeadAttention(16.0, 4), (TypeError, ValueError), r"^embed_dim must .*got"),
        (lambda: MultiHeadAttention(16, True), (TypeError, ValueError), r"^num_heads must .*got"),
        (lambda: MultiHeadAttention(4, 2)([1.0]), TypeError, r"^x must .*got list"),
        (
            lambda: MultiHeadAttention(4, 2)(torch.ones(3, 4)),
            ValueError,
            r"^x must .*got \(3, 4\)",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(torch.ones(2, 3, 5)),
            ValueError,
            r"^x must .*got .*\(2, 3, 5\)",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(torch.ones(2, 3, 4, dtype=torch.int64)),
            TypeError,
            r"^x must .*got torch.int64",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(torch.ones(2, 3, 4, dtype=torch.float64)),
            ValueError,
            r"^x must .*got torch.float64",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(torch.ones(2, 3, 4), torch.ones(2, 3)),
            TypeError,
            r"^key_mask must .*got",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(
                torch.ones(2, 3, 4), torch.ones(3, 2, dtype=torch.bool)
            ),
            ValueError,
            r"^key_mask must .*got \(3, 2\)",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()
