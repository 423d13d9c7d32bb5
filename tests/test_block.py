"""Post-LN, Pre-LN and their variants: Xiong et al. 2020 (arXiv:2002.04745)."""

import inspect
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from attn_lib import masks, softmax_attention, sparse_transformer_attention
from attn_lib.layers import TransformerBlock, TransformerStack

NORMS = ("post", "pre", "deep", "sandwich")
every_norm = pytest.mark.parametrize("norm", NORMS)


@pytest.fixture(autouse=True)
def _leave_the_global_generator_alone():
    with torch.random.fork_rng():
        torch.manual_seed(2020)
        yield


def _draw(parameters):
    """Give parameters values that no initialisation would, none of them zero or one."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn_like(parameter) / 3)


def _copy(theirs, ours):
    """Copy the weights of torch's encoder layer into a block."""
    pairs = {
        "self_attn.in_proj_weight": ours.attention.qkv.weight,
        "self_attn.in_proj_bias": ours.attention.qkv.bias,
        "self_attn.out_proj.weight": ours.attention.out.weight,
        "self_attn.out_proj.bias": ours.attention.out.bias,
        "linear1.weight": ours.feed_forward.inner.weight,
        "linear1.bias": ours.feed_forward.inner.bias,
        "linear2.weight": ours.feed_forward.outer.weight,
        "linear2.bias": ours.feed_forward.outer.bias,
        "norm1.weight": ours.attention_norm.weight,
        "norm1.bias": ours.attention_norm.bias,
        "norm2.weight": ours.feed_forward_norm.weight,
        "norm2.bias": ours.feed_forward_norm.bias,
    }
    named = dict(theirs.named_parameters())
    assert named.keys() == pairs.keys()
    with torch.no_grad():
        for name, parameter in pairs.items():
            parameter.copy_(named[name])
    return {name: (named[name], parameter) for name, parameter in pairs.items()}


def _key_mask(batch, length):
    mask = torch.arange(batch * length).reshape(batch, length) % 4 != 2
    mask[:, 0] = True
    return mask


def _torch_masks(length, key_mask, causal):
    """Return the same in torch's polarity, where True means "ignore"."""
    future = torch.ones(length, length, dtype=torch.bool).triu(1) if causal else None
    return {"src_mask": future, "src_key_padding_mask": None if key_mask is None else ~key_mask}


# Agreement with torch


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_block_is_torchs_encoder_layer(normal, norm, causal, masked):
    options = {
        "dropout": 0.0,
        "batch_first": True,
        "norm_first": norm == "pre",
        "dtype": torch.float64,
    }
    theirs = nn.TransformerEncoderLayer(15, 3, 22, **options)
    _draw(theirs.parameters())
    ours = TransformerBlock(15, 3, ff_dim=22, norm=norm, causal=causal, dtype=torch.float64)
    pairs = _copy(theirs, ours)
    x, key_mask = normal(2, 7, 15), _key_mask(2, 7) if masked else None
    out = ours(x, key_mask)
    expected = theirs(x, **_torch_masks(7, key_mask, causal))
    assert_close(out, expected, rtol=1e-12, atol=1e-12)
    out.sin().sum().backward()
    expected.sin().sum().backward()
    for name, (theirs_parameter, parameter) in pairs.items():
        assert_close(
            parameter.grad,
            theirs_parameter.grad,
            rtol=1e-10,
            atol=1e-10,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_stack_is_torchs_encoder(normal, norm):
    options = {
        "dropout": 0.0,
        "batch_first": True,
        "norm_first": norm == "pre",
        "dtype": torch.float64,
    }
    layer = nn.TransformerEncoderLayer(10, 2, 17, **options)
    last = nn.LayerNorm(10, dtype=torch.float64) if norm == "pre" else None
    theirs = nn.TransformerEncoder(layer, 3, norm=last, enable_nested_tensor=False)
    _draw(theirs.parameters())
    ours = TransformerStack(3, 10, 2, norm=norm, ff_dim=17, causal=True, dtype=torch.float64)
    for one, block in zip(theirs.layers, ours.blocks, strict=True):
        _copy(one, block)
    if last is not None:
        ours.final_norm.load_state_dict(last.state_dict())
    x, key_mask = normal(3, 7, 10), _key_mask(3, 7)
    wanted = _torch_masks(7, key_mask, True)
    expected = theirs(x, mask=wanted["src_mask"], src_key_padding_mask=~key_mask)
    assert_close(ours(x, key_mask), expected, rtol=1e-11, atol=1e-11)


# Structure


def test_the_signatures():
    block = inspect.signature(TransformerBlock).parameters
    assert list(block)[:6] == ["embed_dim", "num_heads", "ff_dim", "norm", "attend", "causal"]
    stack = inspect.signature(TransformerStack).parameters
    assert list(stack)[:7] == [
        *("depth", "embed_dim", "num_heads"),
        *("norm", "ff_dim", "attend", "causal"),
    ]
    for parameters in (block, stack):
        assert parameters["attend"].default is softmax_attention
        assert parameters["causal"].default is False
        assert parameters["ff_dim"].default is None
        assert parameters["norm"].kind is inspect.Parameter.KEYWORD_ONLY
    assert block["norm"].default == "post"
    assert list(inspect.signature(TransformerStack.forward).parameters) == ["self", "x", "key_mask"]


@every_norm
def test_the_last_matrix_is_the_feed_forwards_second(norm):
    stack = TransformerStack(2, 6, 2, norm=norm, ff_dim=11)
    assert isinstance(stack.blocks, nn.ModuleList)
    last = [module for module in stack.modules() if isinstance(module, nn.Linear)][-1]
    assert last is stack.blocks[-1].feed_forward.outer
    assert last.weight.shape == (6, 11)


def test_the_feed_forward_network_is_four_times_as_wide():
    assert TransformerBlock(6, 2).feed_forward.inner.out_features == 24


@every_norm
def test_a_last_layer_norm_stands_where_the_sum_is_not_normalised(norm):
    final = TransformerStack(2, 6, 2, norm=norm).final_norm
    assert isinstance(final, nn.LayerNorm) == (norm in ("pre", "sandwich"))


@every_norm
def test_matrices_start_as_xavier_has_them(norm):
    depth, width, inner = 5, 12, 31
    block = TransformerStack(depth, width, 3, norm=norm, ff_dim=inner).blocks[0]
    beta = (8 * depth) ** -0.25 if norm == "deep" else 1.0
    query, key, value = block.attention.qkv.weight.chunk(3)
    square, wide = (6 / (2 * width)) ** 0.5, (6 / (width + inner)) ** 0.5
    for weight, bound in (
        *((query, square), (key, square)),
        *((value, beta * square), (block.attention.out.weight, beta * square)),
        *((block.feed_forward.inner.weight, beta * wide),),
        *((block.feed_forward.outer.weight, beta * wide),),
    ):
        assert 0.9 * bound < weight.abs().max() <= bound
    biases = [p for name, p in block.named_parameters() if name.endswith("bias")]
    assert len(biases) == (8 if norm == "sandwich" else 6)
    assert not any(bias.any() for bias in biases)


@every_norm
def test_a_stack_is_drawn_again_from_a_generator(norm):
    first, second = (TransformerStack(3, 6, 2, norm=norm) for _ in range(2))
    _draw(first.parameters())
    before = torch.get_rng_state()
    first.reset_parameters(torch.Generator().manual_seed(1))
    second.reset_parameters(torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)
    for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other), name
        if "norm" in name:
            assert (one == (1.0 if name.endswith("weight") else 0.0)).all()
    assert not torch.equal(
        first.blocks[0].feed_forward.outer.weight, first.blocks[1].feed_forward.outer.weight
    )


@every_norm
def test_it_saves_and_loads(tmp_path, normal, norm):
    stack = TransformerStack(2, 6, 2, norm=norm, dtype=torch.float64)
    _draw(stack.parameters())
    torch.save(stack.state_dict(), tmp_path / "stack.pt")
    again = TransformerStack(2, 6, 2, norm=norm, dtype=torch.float64)
    again.load_state_dict(torch.load(tmp_path / "stack.pt", weights_only=True))
    x = normal(3, 5, 6)
    assert_close(again(x), stack(x), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@every_norm
def test_the_output_has_the_inputs_dtype_and_shape(norm, dtype):
    stack = TransformerStack(2, 6, 2, norm=norm, dtype=dtype)
    for length in (0, 1, 7):
        out = stack(torch.ones(3, length, 6, dtype=dtype))
        assert (out.dtype, out.shape) == (dtype, (3, length, 6))


@every_norm
def test_masked_tokens_cannot_matter(normal, norm):
    stack = TransformerStack(3, 15, 3, norm=norm, dtype=torch.float64)
    x, key_mask = normal(2, 7, 15), _key_mask(2, 7)
    other = x.masked_fill(~key_mask[..., None], 1e6)
    real = key_mask[..., None].expand_as(x)
    assert torch.equal(stack(x, key_mask)[real], stack(other, key_mask)[real])


@every_norm
def test_a_causal_stack_does_not_see_the_future(normal, norm):
    stack = TransformerStack(3, 15, 3, norm=norm, causal=True, dtype=torch.float64)
    x = normal(2, 7, 15)
    other = x.clone()
    other[:, 4:] = 9.0
    assert torch.equal(stack(x)[:, :4], stack(other)[:, :4])


@every_norm
def test_another_mechanism_plugs_in(normal, norm):
    sparse = partial(sparse_transformer_attention, pattern="fixed", stride=4, summary=2)
    masked = partial(softmax_attention, mask=masks.fixed(4, 2))
    options = {"norm": norm, "causal": True, "dtype": torch.float64}
    ours = TransformerStack(2, 15, 3, attend=sparse, **options)
    dense = TransformerStack(2, 15, 3, attend=masked, **options)
    dense.load_state_dict(ours.state_dict())
    x = normal(2, 20, 15)
    assert_close(ours(x), dense(x), rtol=1e-11, atol=1e-11)


# The four forms


def _plain(block, x):
    """Return a block's output from its formula, written out for each form."""
    first, second = block.attention, block.feed_forward
    norm1, norm2 = block.attention_norm, block.feed_forward_norm
    if block.norm == "post":
        x = norm1(x + first(x))
        return norm2(x + second(x))
    if block.norm == "pre":
        x = x + first(norm1(x))
        return x + second(norm2(x))
    if block.norm == "deep":
        alpha = 6**0.25  # (2N)^¼ for N = 3
        x = norm1(alpha * x + first(x))
        return norm2(alpha * x + second(x))
    x = x + block.attention_out_norm(first(norm1(x)))
    return x + block.feed_forward_out_norm(second(norm2(x)))


@every_norm
def test_a_block_follows_its_formula(normal, norm):
    stack = TransformerStack(3, 10, 2, norm=norm, dtype=torch.float64)
    _draw(stack.parameters())
    x = normal(2, 7, 10)
    for block in stack.blocks:
        assert_close(block(x), _plain(block, x), rtol=1e-13, atol=1e-13)


def test_deepnorm_by_hand():
    # 18 layers: α = 36^¼ and β = 144^−¼.
    block = TransformerBlock(8, 2, norm="deep", depth=18)
    assert block.residual_scale == pytest.approx(2.4495, abs=1e-4)
    bound = 0.28868 * (6 / 16) ** 0.5
    assert 0.8 * bound < block.attention.out.weight.abs().max() <= bound


def test_deepnorm_without_its_factors_is_post_ln(normal):
    deep = TransformerBlock(10, 2, norm="deep", depth=4, dtype=torch.float64)
    post = TransformerBlock(10, 2, norm="post", dtype=torch.float64)
    _draw(deep.parameters())
    post.load_state_dict(deep.state_dict())
    x = normal(2, 7, 10)
    assert not torch.allclose(deep(x), post(x))
    deep.residual_scale = 1.0
    assert torch.equal(deep(x), post(x))


@every_norm
def test_where_the_branches_are_silent(normal, norm):
    """With F = 0 the Pre-LN blocks hand on what came; the others normalise, once and for all."""
    stack = TransformerStack(4, 10, 2, norm=norm, dtype=torch.float64)
    for block in stack.blocks:
        for layer in (block.attention.out, block.feed_forward.outer):
            nn.init.zeros_(layer.weight)
    x = 5 * normal(2, 7, 10) + 3
    out = stack(x)
    scaled = nn.functional.layer_norm(x, (10,))
    assert_close(out, scaled, rtol=0, atol=1e-4)  # LN's ε keeps a second one from changing nothing
    if norm in ("pre", "sandwich"):
        for block in stack.blocks:
            assert torch.equal(block(x), x)
        assert torch.equal(out, scaled)
        shallow = TransformerStack(1, 10, 2, norm=norm, dtype=torch.float64)
        shallow.blocks[0].load_state_dict(stack.blocks[0].state_dict())
        assert torch.equal(shallow(x), out)


# What the paper proves


def _papers_stack(norm, depth, width):
    """Return the setting of the theory: one head, square matrices, uniform attention."""
    stack = TransformerStack(depth, width, 1, norm=norm, ff_dim=width)
    with torch.no_grad():
        for block in stack.blocks:
            block.attention.qkv.weight[: 2 * width] = 0.0
    return stack


def test_the_stream_of_pre_ln_grows_as_lemma_2_says():
    width, depth = 64, 12
    squares = torch.zeros(depth)
    for _ in range(20):
        stack = _papers_stack("pre", depth, width)
        x = torch.randn(1, 5, width)
        with torch.no_grad():
            for k, block in enumerate(stack.blocks):
                x = block(x)
                squares[k] += x.square().mean() / 20
    layers = torch.arange(1, depth + 1)
    assert (squares >= 0.93 * (1 + layers / 2)).all()
    assert (squares <= 1.07 * (1 + 3 * layers / 2)).all()


def test_what_post_ln_normalises_has_one_size_as_lemma_2_says():
    width, seen = 64, []
    for _ in range(20):
        stack = _papers_stack("post", 12, width)
        for block in stack.blocks:
            block.feed_forward_norm.register_forward_pre_hook(
                lambda _, inputs: seen.append(inputs[0].square().mean())
            )
        with torch.no_grad():
            stack(torch.randn(1, 5, width))
    squares = torch.stack(seen).view(20, 12).mean(dim=0)
    assert_close(squares, torch.full((12,), 1.5), rtol=0.07, atol=0)


def _gradient(norm, depth, draws=24, width=32, positions=1):
    """Return the mean norm of the gradient of the last matrix, for the loss of some positions."""
    found = []
    for _ in range(draws):
        stack = TransformerStack(depth, width, 4, norm=norm)
        head = nn.Linear(width, width)
        nn.init.xavier_uniform_(head.weight)
        scores = head(stack(torch.randn(1, 16, width)))[0, :positions]
        loss = nn.functional.cross_entropy(scores, torch.randint(width, (positions,)))
        (gradient,) = torch.autograd.grad(loss, stack.blocks[-1].feed_forward.outer.weight)
        found.append(gradient.norm())
    return torch.stack(found).mean().item()


@pytest.mark.parametrize(
    ("norm", "exponent"), [("post", 0.0), ("pre", -0.5), ("deep", -0.5), ("sandwich", -0.5)]
)
def test_the_last_gradient_falls_with_depth_as_the_theory_says(norm, exponent):
    depths = [2, 4, 8, 16, 32]
    norms = [_gradient(norm, depth) for depth in depths]
    slope = np.polyfit(np.log(depths), np.log(norms), 1)[0]
    assert slope == pytest.approx(exponent, abs=0.1)


# Refusals


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: TransformerBlock(6, 4), ValueError, r"^embed_dim must .*got 6"),
        (lambda: TransformerBlock(6, 2, ff_dim=0), ValueError, r"^ff_dim must .*got 0"),
        (lambda: TransformerBlock(6, 2, ff_dim=2.0), TypeError, r"^ff_dim must .*got float"),
        (lambda: TransformerBlock(6, 2, norm="Pre"), ValueError, r"^norm must .*got 'Pre'"),
        (lambda: TransformerBlock(6, 2, norm="deep"), ValueError, r"^depth must .*got None"),
        (lambda: TransformerBlock(6, 2, depth=3), ValueError, r"^depth must .*got 3 .*'post'"),
        (
            lambda: TransformerBlock(6, 2, norm="deep", depth=0),
            ValueError,
            r"^depth must .*got 0",
        ),
        (lambda: TransformerStack(0, 6, 2, norm="pre"), ValueError, r"^depth must .*got 0"),
        (lambda: TransformerStack(True, 6, 2, norm="pre"), TypeError, r"^depth must .*got bool"),
        (lambda: TransformerStack(2, 6, 2, norm="none"), ValueError, r"^norm must .*got 'none'"),
        (
            lambda: TransformerBlock(6, 2)(torch.ones(2, 3, 5)),
            ValueError,
            r"^x must .*got .*\(2, 3, 5\)",
        ),
        (
            lambda: TransformerBlock(6, 2, norm="pre")(torch.ones(2, 3, 5)),
            ValueError,
            r"^x must .*got .*\(2, 3, 5\)",
        ),
        (
            lambda: TransformerBlock(6, 2, norm="pre")([1.0]),
            TypeError,
            r"^x must .*got list",
        ),
        (
            lambda: TransformerBlock(6, 2)(torch.ones(2, 3, 6), torch.ones(2, 3)),
            TypeError,
            r"^key_mask must .*got",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_another_attention_may_stand_in_a_block():
    """What the block checks is a weight of its own."""

    class Mean(nn.Module):
        def forward(self, x, key_mask=None):
            return x.mean(dim=1, keepdim=True).expand_as(x)

    block, x = TransformerBlock(8, 2, norm="pre"), torch.randn(2, 5, 8)
    block.attention = Mean()
    middle = x + block.attention_norm(x).mean(dim=1, keepdim=True)
    assert_close(block(x), middle + block.feed_forward(block.feed_forward_norm(middle)))
    with pytest.raises(ValueError, match="x must have embed_dim 8"):
        block(torch.randn(2, 5, 7))
