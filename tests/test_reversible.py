"""Reversible layers and chunked feed-forward: Kitaev et al. 2020 (arXiv:2001.04451), section 3."""

import copy
from functools import partial
from itertools import pairwise

import counting
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from attn_lib import reformer_attention
from attn_lib.layers import (
    ChunkedFeedForward,
    MultiHeadAttention,
    ReformerAttention,
    ReversibleBlock,
    ReversibleStack,
)


class Normed(nn.Module):
    """A branch with its layer norm inside, as in the paper."""

    def __init__(self, branch, width):
        super().__init__()
        self.norm, self.branch = nn.LayerNorm(width, dtype=torch.float64), branch

    def forward(self, x, *rest):
        return self.branch(self.norm(x), *rest)


@pytest.fixture(autouse=True)
def _leave_the_global_generator_alone():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        yield


def _block(width=6, chunks=1, **options):
    attention = MultiHeadAttention(width, 2, dtype=torch.float64, **options)
    feed_forward = ChunkedFeedForward(width, 11, chunks=chunks, dtype=torch.float64)
    return ReversibleBlock(Normed(attention, width), Normed(feed_forward, width))


def _plainly(blocks, x1, x2, *rest):
    """Run the paper's equations, and let autograd keep everything."""
    for block in blocks:
        x1 = x1 + block.attention(x2, *rest)
        x2 = x2 + block.feed_forward(x1)
    return x1, x2


def _gradients(run, parameters, x1, x2):
    leaves = [x1.clone().requires_grad_(), x2.clone().requires_grad_(), *parameters]
    y1, y2 = run(*leaves[:2])
    return y1, y2, *torch.autograd.grad((y1 * y2 + y1.sin()).sum(), leaves)


def test_one_block_by_hand():
    # Attention doubles, feed-forward negates: y1 = 1 + 2·3 = 7, y2 = 3 − 7 = −4.
    double, negate = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    double.weight.data.fill_(2.0)
    negate.weight.data.fill_(-1.0)
    block = ReversibleBlock(double, negate)
    x1, x2 = torch.ones(1, 1, 1), torch.full((1, 1, 1), 3.0)
    y1, y2 = block(x1, x2)
    assert (y1.item(), y2.item()) == (7.0, -4.0)
    y2.sum().backward()
    # y2 = x2 + n (x1 + d x2): by d, n · x2 = −3; by n, x1 + d x2 = 7.
    assert (double.weight.grad.item(), negate.weight.grad.item()) == (-3.0, 7.0)
    assert [x.item() for x in block.inverse(y1, y2)] == [1.0, 3.0]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 2, 7])
def test_outputs_and_gradients_are_those_of_plain_autograd(normal, depth, masked):
    stack = ReversibleStack(_block(causal=k % 2 == 1) for k in range(depth))
    x1, x2 = normal(2, 5, 6), normal(2, 5, 6)
    rest = (torch.arange(5) < torch.tensor([[3], [5]]),) if masked else ()
    parameters = list(stack.parameters())
    ours = _gradients(lambda a, b: stack(a, b, *rest), parameters, x1, x2)
    plain = _gradients(lambda a, b: _plainly(stack.blocks, a, b, *rest), parameters, x1, x2)
    assert len(ours) == 4 + len(parameters)
    assert_close(ours, plain, rtol=1e-10, atol=1e-11)


def test_blocks_in_a_row_are_a_stack(normal):
    blocks = [_block() for _ in range(3)]
    x1, x2 = normal(2, 5, 6), normal(2, 5, 6)
    parameters = [p for block in blocks for p in block.parameters()]

    def one_by_one(a, b):
        for block in blocks:
            a, b = block(a, b)
        return a, b

    ours = _gradients(one_by_one, parameters, x1, x2)
    assert_close(ours, _gradients(ReversibleStack(blocks), parameters, x1, x2))


def test_gradcheck(normal):
    stack = ReversibleStack([_block(), _block(chunks=2)])
    inputs = normal(1, 3, 6).requires_grad_(), normal(1, 3, 6).requires_grad_()
    assert torch.autograd.gradcheck(stack, inputs, fast_mode=True)


def test_shared_and_frozen_parameters(normal):
    block = _block()
    for parameter in block.feed_forward.parameters():
        parameter.requires_grad_(False)
    stack = ReversibleStack([block, block])
    x1, x2 = normal(1, 3, 6), normal(1, 3, 6)
    parameters = list(block.attention.parameters())
    ours = _gradients(stack, parameters, x1, x2)
    assert_close(ours, _gradients(lambda a, b: _plainly([block, block], a, b), parameters, x1, x2))


@pytest.mark.parametrize("own", [False, True], ids=["global generator", "own generator"])
def test_the_second_computation_draws_what_the_first_drew(normal, own):
    draw = torch.Generator().manual_seed(1) if own else None
    blocks = []
    for _ in range(3):
        options = {"bucket_size": 4, "num_hashes": 2, "generator": draw, "dtype": torch.float64}
        attention = Normed(ReformerAttention(6, 2, **options), 6)
        feed_forward = Normed(ChunkedFeedForward(6, 11, dtype=torch.float64), 6)
        blocks.append(ReversibleBlock(attention, feed_forward, generator=draw))
    stack = ReversibleStack(blocks)
    x1, x2, parameters = normal(2, 19, 6), normal(2, 19, 6), list(stack.parameters())
    source = draw if own else torch.default_generator
    start = source.get_state()
    ours = _gradients(stack, parameters, x1, x2)
    after = source.get_state()
    source.set_state(start)
    plain = _gradients(lambda a, b: _plainly(blocks, a, b), parameters, x1, x2)
    assert_close(ours, plain, rtol=1e-10, atol=1e-11)
    assert torch.equal(after, source.get_state())  # the backward pass leaves no trace


def test_the_inverse_undoes_sixteen_blocks(normal):
    blocks = [_block() for _ in range(16)]
    x = normal(2, 5, 6), normal(2, 5, 6)
    y = ReversibleStack(blocks)(*x)
    for block in reversed(blocks):
        y = block.inverse(*y)
    assert_close(y, x, rtol=0, atol=1e-11)


def test_inputs_are_left_alone(normal):
    x1, x2 = normal(2, 5, 6), normal(2, 5, 6)
    before = x1.clone(), x2.clone()
    block = _block()
    block(x1, x2)[0].sum().backward()
    assert torch.equal(x1, before[0])
    assert torch.equal(x2, before[1])


def _peak(depth, reversible):
    blocks = [_block(width=4) for _ in range(depth)]
    run = ReversibleStack(blocks) if reversible else partial(_plainly, blocks)
    draw = torch.Generator().manual_seed(0)
    x = [torch.randn(1, 256, 4, generator=draw, dtype=torch.float64) for _ in range(2)]
    return counting.peak_bytes(lambda a, b: sum(run(a, b)), *x)


def test_memory_is_flat_in_depth():
    depths = [2, 4, 8, 16]
    kept = [_peak(depth, reversible=False) for depth in depths]
    flat = [_peak(depth, reversible=True) for depth in depths]
    steps = [after - before for before, after in pairwise(kept)]
    assert steps[1] == pytest.approx(2 * steps[0], rel=0.05)  # so many bytes a block
    assert steps[2] == pytest.approx(4 * steps[0], rel=0.05)
    assert max(flat) < 1.1 * min(flat)
    assert flat[-1] < kept[-1] / 3


# Chunked feed-forward


@pytest.mark.parametrize("chunks", [2, 3, 11, 40])
def test_chunks_change_nothing(normal, chunks):
    x = normal(2, 11, 5).requires_grad_()
    one = ChunkedFeedForward(5, 7, dtype=torch.float64)
    many = copy.deepcopy(one)
    many.chunks = chunks
    found = [
        (layer(x), *torch.autograd.grad(layer(x).sin().sum(), (x, *layer.parameters())))
        for layer in (one, many)
    ]
    assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
    expected = one.outer(torch.relu(one.inner(x)))
    assert_close(found[1][0], expected, rtol=1e-12, atol=1e-12)


def test_chunks_bound_the_inner_activations():
    x = torch.zeros(1, 512, 4)
    sizes = [counting.count(ChunkedFeedForward(4, 64, chunks=c), x).largest for c in (1, 4, 16)]
    assert sizes == [512 * 64, 128 * 64, 32 * 64]
    peaks = [counting.peak_bytes(ChunkedFeedForward(4, 64, chunks=c), x) for c in (1, 4, 16)]
    assert peaks[0] > 2 * peaks[1] > 2 * peaks[2]


# The layer


def test_the_reformer_layer_shares_queries_and_keys(normal):
    layer = ReformerAttention(
        6,
        3,
        bucket_size=4,
        num_hashes=2,
        causal=True,
        generator=torch.Generator().manual_seed(4),
        dtype=torch.float64,
    )
    x, key_mask = normal(2, 13, 6), torch.arange(13) < torch.tensor([[9], [13]])
    qk, v = ((x @ w.mT).view(2, 13, 3, 2).transpose(1, 2) for w in layer.qk_v.weight.chunk(2))
    out = reformer_attention(
        qk,
        v,
        causal=True,
        key_mask=key_mask,
        bucket_size=4,
        num_hashes=2,
        generator=torch.Generator().manual_seed(4),
    )
    expected = out.transpose(1, 2).flatten(2) @ layer.out.weight.mT
    assert_close(layer(x, key_mask), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ReformerAttention(6, 4, bucket_size=2), "^embed_dim must be a multiple of"),
        (lambda: ReformerAttention(6, 2, bucket_size=0), "^bucket_size must be at least 1, got 0"),
        (lambda: ChunkedFeedForward(6, 2, chunks=0), "^chunks must be at least 1, got 0"),
        (
            lambda: ReformerAttention(6, 2, bucket_size=2)(torch.zeros(1, 3, 5)),
            "^x must have embed_dim 6, got shape",
        ),
        (
            lambda: ReformerAttention(6, 2, bucket_size=2)(torch.zeros(1, 3, 6).double()),
            "^x must have the layer's dtype",
        ),
    ],
)
def test_bad_calls_say_what_was_wrong(call, match):
    with pytest.raises(ValueError, match=match):
        call()
