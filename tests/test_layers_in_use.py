"""The layers as their users run them: in mixed precision, wrapped, checkpointed, padded, saved."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import attn_lib
from attn_lib import costs, draw_projection, linear_transformer_attention, performer_attention
from attn_lib.layers import (
    ChunkedFeedForward,
    LengthProjection,
    LinformerAttention,
    LunaAttention,
    MultiHeadAttention,
    PerformerAttention,
    ReformerAttention,
    ReversibleBlock,
    ReversibleStack,
    TransformerBlock,
    TransformerStack,
)

LAYERS = {
    "multi-head": lambda **o: MultiHeadAttention(12, 3, **o),
    "linformer": lambda **o: LinformerAttention(12, 3, max_len=11, rank=5, **o),
    "linformer, mean": lambda **o: LinformerAttention(12, 3, max_len=10, rank=5, kind="mean", **o),
    "reformer": lambda **o: ReformerAttention(12, 3, bucket_size=4, num_hashes=2, **o),
    "performer": lambda **o: PerformerAttention(12, 3, features=7, **o),
    "block": lambda **o: TransformerBlock(12, 3, norm="pre", **o),
    "stack": lambda **o: TransformerStack(2, 12, 3, norm="post", **o),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@pytest.fixture(autouse=True)
def _leave_the_global_generator_alone():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        yield


def _block(attention=None, width=6, **options):
    attention = attention or MultiHeadAttention(width, 2, dtype=torch.float64)
    return ReversibleBlock(attention, ChunkedFeedForward(width, 11, dtype=torch.float64), **options)


def _plainly(blocks, x1, x2):
    for block in blocks:
        x1 = x1 + block.attention(x2)
        x2 = x2 + block.feed_forward(x1)
    return x1, x2


def _gradients(run, parameters, x1, x2):
    leaves = [x1.clone().requires_grad_(), x2.clone().requires_grad_(), *parameters]
    y1, y2 = run(*leaves[:2])
    return y1, y2, *torch.autograd.grad((y1 * y2 + y1.sin()).sum(), leaves)


# Mixed precision


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@every_layer
def test_under_autocast_a_layer_takes_what_a_layer_before_it_hands_over(make, half):
    first, layer, x = nn.Linear(12, 12), make(), torch.randn(2, 9, 12)
    with torch.autocast("cpu", half):
        x = first(x)
        assert x.dtype == half
        out = layer(x)
    assert out.isfinite().all()
    out.float().square().sum().backward()
    assert first.weight.grad.isfinite().all()


def test_under_autocast_luna_takes_its_own_packed_slots():
    first, second = LunaAttention(12, 3), LunaAttention(12, 3)
    x, p = torch.randn(2, 9, 12), torch.randn(2, 4, 12)
    with torch.autocast("cpu", torch.bfloat16):
        y, packed = first(x, p)
        assert packed.dtype == torch.bfloat16
        y, packed = second(x + y, packed)
    assert y.isfinite().all()


@every_layer
def test_what_autocast_does_not_cast_is_still_refused(make):
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ValueError, match=r"^x must have .* dtype torch.float32, got torch.float64"),
    ):
        make()(torch.zeros(2, 9, 12, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"^x must have .* dtype torch.float32, got torch.bf"):
        make()(torch.zeros(2, 9, 12, dtype=torch.bfloat16))


def test_the_second_computation_is_in_the_precision_of_the_first():
    block, seen = ReversibleBlock(MultiHeadAttention(6, 2), ChunkedFeedForward(6, 11)), []
    block.feed_forward.inner.register_forward_hook(lambda *x: seen.append(x[-1].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        y1, y2 = block(torch.randn(2, 5, 6), torch.randn(2, 5, 6))
    (y1 + y2).sum().backward()
    assert seen == [torch.bfloat16, torch.bfloat16]


# Wrapped blocks


class _Wrapped(nn.Module):
    """A user's own wrapper."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, *inputs):
        return self.block(*inputs)


def _wrappers():
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    return {
        "torch.compile": partial(torch.compile, backend="eager"),
        "checkpoint_wrapper": checkpoint_wrapper,
        "both": lambda block: checkpoint_wrapper(torch.compile(block, backend="eager")),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["torch.compile", "checkpoint_wrapper", "both"])
def test_a_wrapped_block_runs(normal, kind):
    wrap = _wrappers()[kind]
    blocks = [_block() for _ in range(3)]
    stack = ReversibleStack([blocks[0], wrap(blocks[1]), blocks[2]])
    x1, x2, parameters = normal(2, 5, 6), normal(2, 5, 6), list(stack.parameters())
    ours = _gradients(stack, parameters, x1, x2)
    assert_close(ours, _gradients(partial(_plainly, blocks), parameters, x1, x2))


@pytest.mark.parametrize("wrap", [nn.Sequential, _Wrapped, lambda _: nn.Linear(6, 6)])
def test_what_holds_no_block_for_sure_is_refused(normal, wrap):
    message = r"^blocks must hold each a ReversibleBlock.*, got (Sequential|_Wrapped|Linear)"
    with pytest.raises(TypeError, match=message):
        ReversibleStack([wrap(_block())])
    stack = ReversibleStack([_block()])
    stack.blocks[0] = wrap(stack.blocks[0])
    with pytest.raises(TypeError, match=message):
        stack(normal(2, 5, 6), normal(2, 5, 6))


def test_hooks_and_other_forwards_of_a_block_are_called(normal):
    class Scaled(ReversibleBlock):
        def forward(self, x1, x2, key_mask=None):
            y1, y2 = super().forward(x1, x2, key_mask)
            return 2 * y1, y2

    seen, parts = [], (MultiHeadAttention(6, 2), ChunkedFeedForward(6, 11))
    stack = ReversibleStack([_block(), _block(), Scaled(*parts).double(), _block()])
    stack.blocks[1].register_forward_hook(lambda *_: seen.append("hook"))
    stack.blocks[1].register_forward_pre_hook(lambda *_: seen.append("before"))
    x1, x2, parameters = normal(2, 5, 6), normal(2, 5, 6), list(stack.parameters())

    def plainly(a, b):
        a, b = _plainly(stack.blocks[:3], a, b)
        return _plainly(stack.blocks[3:], 2 * a, b)

    ours = _gradients(stack, parameters, x1, x2)
    assert seen == ["before", "hook"]
    assert_close(ours, _gradients(plainly, parameters, x1, x2))


@pytest.mark.parametrize("wrap", [partial(torch.compile, backend="eager"), nn.Sequential, _Wrapped])
def test_wrapped_blocks_of_a_transformer_are_reset(wrap):
    plain = TransformerStack(2, 6, 2, norm="pre")
    stack = copy.deepcopy(plain)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(1.0)
    stack.blocks[0] = wrap(stack.blocks[0])
    stack.blocks[1].attention_norm = wrap(stack.blocks[1].attention_norm)
    stack.final_norm = wrap(stack.final_norm)
    for one in (plain, stack):
        one.reset_parameters(torch.Generator().manual_seed(1))
    assert_close(list(stack.parameters()), list(plain.parameters()), rtol=0, atol=0)


def test_a_stack_without_its_blocks_is_not_reset():
    stack = TransformerStack(2, 6, 2, norm="pre")
    stack.blocks[1] = nn.Linear(6, 6)
    with pytest.raises(TypeError, match=r"^blocks must hold each a TransformerBlock.*got Linear"):
        stack.reset_parameters()


# What runs a second time


def _draws(draw):
    """Layers that draw from a generator in their calls, by where it is kept."""
    features = {"features": 5, "generator": draw}
    return {
        "attribute": ReformerAttention(6, 2, bucket_size=4, generator=draw, dtype=torch.float64),
        "partial": MultiHeadAttention(
            6, 2, attend=partial(performer_attention, **features), dtype=torch.float64
        ),
        "closure": MultiHeadAttention(
            6,
            2,
            attend=lambda *qkv, **options: performer_attention(*qkv, **options, **features),
            dtype=torch.float64,
        ),
    }


every_place = pytest.mark.parametrize("place", ["attribute", "partial", "closure"])


@pytest.mark.parametrize("reentrant", [False, True])
@every_place
def test_a_checkpoint_around_an_own_generator_is_refused(normal, place, reentrant):
    layer = _draws(torch.Generator())[place]
    x = normal(2, 13, 6).requires_grad_()
    out = checkpoint(layer, x, use_reentrant=reentrant)
    with pytest.raises(ValueError, match=r"^generator must be None, torch's own"):
        out.sum().backward()


@every_place
def test_a_checkpoint_around_torchs_generator_is_exact(normal, place):
    layer, x = _draws(None)[place], normal(2, 13, 6)
    found = []
    for run in (layer, partial(checkpoint, layer, use_reentrant=False)):
        torch.manual_seed(3)
        leaf = x.clone().requires_grad_()
        found.append(torch.autograd.grad(run(leaf).sin().sum(), [leaf, *layer.parameters()]))
    assert_close(found[0], found[1], rtol=0, atol=0)


@every_place
def test_a_reversible_block_finds_the_generators_of_its_branches(normal, place):
    draw = torch.Generator()
    # One that no module holds has to be given.
    blocks = [_block(_draws(draw)[place], generator=draw if place == "closure" else None)] * 2
    stack, x1, x2 = ReversibleStack(blocks), normal(2, 13, 6), normal(2, 13, 6)
    found = []
    for run in (stack, partial(_plainly, blocks)):
        draw.manual_seed(3)
        found.append(_gradients(run, list(blocks[0].parameters()), x1, x2))
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-11)


def test_a_generator_that_a_reversible_block_cannot_find_is_refused(normal):
    block = _block(_draws(torch.Generator())["closure"])
    y1, _ = block(normal(2, 13, 6), normal(2, 13, 6))
    with pytest.raises(ValueError, match=r"^generator must be .* known to the ReversibleBlock"):
        y1.sum().backward()
    with pytest.raises(TypeError, match=r"^generator must be a torch.Generator or None, got int"):
        _block(generator=3)


def test_an_own_generator_and_dropout_are_restored_both(normal):
    draw = torch.Generator()
    attention = nn.Sequential(nn.Dropout(0.4), _draws(draw)["attribute"], nn.Dropout(0.4))
    block, x1, x2 = _block(attention), normal(2, 13, 6), normal(2, 13, 6)
    found = []
    for run in (block, partial(_plainly, [block])):
        torch.manual_seed(4)
        draw.manual_seed(3)
        found.append(_gradients(run, list(block.parameters()), x1, x2))
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-11)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_draws_on_the_gpu_are_repeated():
    attention = nn.Sequential(ReformerAttention(6, 2, bucket_size=4), nn.Dropout(0.4))
    block = ReversibleBlock(attention, ChunkedFeedForward(6, 11)).cuda().double()
    x1, x2 = torch.randn(2, 2, 13, 6, device="cuda", dtype=torch.float64)
    found = []
    for run in (block, partial(_plainly, [block])):
        torch.manual_seed(4)
        found.append(_gradients(run, list(block.parameters()), x1, x2))
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-11)


def test_the_state_of_every_device_is_kept(monkeypatch):
    """The generator of a device that this machine has not: a stand-in for the GPU's."""
    from attn_lib.layers import _again

    draw, asked = torch.Generator().manual_seed(1), []

    class Device:
        def __init__(self, there):
            asked.append(there.device.type)

        get_state, set_state = draw.get_state, draw.set_state

    class Noise(nn.Module):
        def forward(self, x):
            return x * torch.rand(x.shape, generator=draw)  # as if x lay on that device

    monkeypatch.setattr(_again, "_DeviceSource", Device)
    monkeypatch.setattr(_again, "_ALWAYS", ("meta",))
    block = ReversibleBlock(Noise(), ChunkedFeedForward(6, 11))
    x1, x2 = torch.randn(2, 2, 5, 6)
    found = []
    for run in (block, partial(_plainly, [block])):
        draw.manual_seed(3)
        found.append(_gradients(run, list(block.parameters()), x1, x2))
    assert asked == ["cpu"]
    assert_close(found[0], found[1])


def test_the_mode_of_the_forward_pass_counts(normal):
    block, x1, x2 = _block(nn.Sequential(nn.Dropout(0.4))), normal(2, 5, 6), normal(2, 5, 6)
    found = []
    for run in (block, partial(_plainly, [block])):
        torch.manual_seed(4)
        leaf = x2.clone().requires_grad_()
        y1, y2 = run(x1, leaf)
        block.eval()
        found.append(torch.autograd.grad((y1 * y2).sum(), leaf))
        assert not any(part.training for part in block.modules())
        block.train()
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-11)


def test_running_statistics_are_refused_in_training(normal):
    class Norm(nn.BatchNorm1d):
        def forward(self, x):
            return super().forward(x.mT).mT

    x1, x2 = normal(2, 5, 6), normal(2, 5, 6)
    block = _block(Norm(6).double())
    with pytest.raises(ValueError, match=r"^attention must leave its buffers .*'num_batches_tr"):
        block(x1, x2)
    for good in (block.eval(), _block(Norm(6, track_running_stats=False).double())):
        ours = _gradients(good, list(good.parameters()), x1, x2)
        plain = _gradients(partial(_plainly, [good]), list(good.parameters()), x1, x2)
        assert_close(ours, plain, rtol=1e-10, atol=1e-11)
    with torch.no_grad():  # nothing runs twice
        block.train()(x1, x2)


def test_what_is_changed_before_the_backward_pass_is_refused(normal):
    block, x = _block(PerformerAttention(6, 2, features=5, dtype=torch.float64)), normal(2, 5, 6)
    other = {name: p.detach() + 1 for name, p in block.named_parameters()}
    for name in other:
        other[name].requires_grad_()

    def change(what):
        y1, y2 = block(x, x)
        what()
        return (y1 + y2).sum()

    def step():
        with torch.no_grad():
            block.feed_forward.outer.bias.add_(1)

    losses = [
        change(step),
        change(block.attention.redraw_projection),
        sum(torch.func.functional_call(block, other, (x, x))).sum(),
    ]
    for loss in losses:
        with pytest.raises(ValueError, match="must keep its parameters and buffers until"):
            loss.backward()


def test_a_gradient_that_would_be_lost_is_refused(normal):
    class Memory(nn.Module):
        def forward(self, x):
            return x * memory

    leaf = normal(6).requires_grad_()
    memory = 2 * leaf
    y1, _ = _block(Memory())(normal(2, 5, 6), normal(2, 5, 6))
    with pytest.raises(ValueError, match=r"^attention must need gradients .*of shape \(6,\)"):
        y1.sum().backward()


def test_a_branch_may_be_constant(normal):
    class Zero(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    x2 = normal(2, 5, 6).requires_grad_()
    y1, _ = _block(Zero())(normal(2, 5, 6), x2)
    assert not torch.autograd.grad(y1.sum(), x2)[0].any()


def test_torchs_functional_transforms_see_the_plain_equations(normal):
    block, x = _block(), normal(2, 5, 6)
    parameters = {name: p.detach() for name, p in block.named_parameters()}

    def loss(parameters):
        return sum(torch.func.functional_call(block, parameters, (x, x))).sin().sum()

    ours = torch.func.grad(loss)(parameters)
    sum(block(x, x)).sin().sum().backward()
    for name, parameter in block.named_parameters():
        assert_close(ours[name], parameter.grad)


# Performer's layer


def test_the_performer_layer_is_multi_head_attention_with_its_projection(normal):
    layer = PerformerAttention(6, 2, features=5, causal=True, kernel="relu", dtype=torch.float64)
    assert layer.projection.shape == (5, 3)
    attend = partial(performer_attention, projection=layer.projection, kernel="relu")
    plain = MultiHeadAttention(6, 2, attend=attend, causal=True, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict(), strict=False)
    x, key_mask = normal(2, 7, 6), torch.arange(7) < torch.tensor([[4], [7]])
    assert_close(layer(x, key_mask), plain(x, key_mask), rtol=0, atol=0)
    assert torch.equal(layer(x), layer(x))


def test_the_projection_is_drawn_from_the_generator():
    draw = torch.Generator().manual_seed(3)
    layer = PerformerAttention(6, 2, features=5, generator=draw, orthogonal=False)
    draw.manual_seed(3)
    first, second = (draw_projection(5, 3, orthogonal=False, generator=draw) for _ in range(2))
    assert torch.equal(layer.projection, first)
    draw.manual_seed(3)
    layer.redraw_projection()
    assert torch.equal(layer.projection, first)
    layer.redraw_projection()
    assert torch.equal(layer.projection, second)
    layer.redraw_projection(torch.Generator().manual_seed(3))
    assert torch.equal(layer.projection, first)


@pytest.mark.parametrize("every", [1, 2, 3, None])
def test_the_projection_is_redrawn_at_every_kth_training_call(every):
    layer, x = PerformerAttention(6, 2, features=5, redraw_every=every), torch.randn(2, 7, 6)
    changed = []
    for _ in range(6):
        before = layer.projection
        layer.eval()(x)
        assert layer.projection is before
        layer.train()(x)
        changed.append(not torch.equal(layer.projection, before))
    assert changed == [every is not None and call % every == 0 for call in range(1, 7)]


def test_a_redraw_leaves_an_earlier_graph_alone():
    layer, x = PerformerAttention(6, 2, features=5, redraw_every=1), torch.randn(2, 7, 6)
    losses = [layer(x).sin().sum() for _ in range(3)]
    sum(losses).backward()
    assert layer.qkv.weight.grad.isfinite().all()


def test_the_projection_is_saved_and_loaded():
    layer, other = (PerformerAttention(6, 2, features=5) for _ in range(2))
    assert "projection" in layer.state_dict()
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 7, 6)
    assert torch.equal(other(x), layer(x))


def test_the_projection_moves_with_the_layer_and_keeps_its_precision():
    layer = PerformerAttention(6, 2, features=5)
    before = layer.projection
    for cast in ("half", "bfloat16"):
        getattr(layer, cast)()
        assert torch.equal(layer.projection, before)
        assert layer(torch.ones(2, 7, 6, dtype=layer.out.weight.dtype)).isfinite().all()
    assert layer.double().projection.dtype == torch.float64
    assert layer.to("meta").projection.device.type == "meta"
    assert PerformerAttention(6, 2, dtype=torch.bfloat16).projection.dtype == torch.float32


def test_a_performer_layer_without_memory_is_filled_later():
    whole = PerformerAttention(6, 2, features=5)
    loaded = PerformerAttention(6, 2, features=5, device="meta")
    loaded.load_state_dict(whole.state_dict(), assign=True)
    x = torch.randn(2, 7, 6)
    assert torch.equal(loaded(x), whole(x))
    with torch.device("meta"):
        empty = PerformerAttention(6, 2, features=5, dtype=torch.bfloat16)
    drawn = []
    for layer in (empty.to_empty(device="cpu"), whole.bfloat16()):
        layer.reset_parameters(torch.Generator().manual_seed(1))
        drawn.append([*layer.parameters(), *layer.buffers()])
    assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    assert drawn[0][-1].dtype == torch.float32


def test_a_new_performer_layer_starts_as_its_siblings_do():
    torch.manual_seed(1)
    layer = PerformerAttention(12, 3)
    torch.manual_seed(1)
    sibling = MultiHeadAttention(12, 3)
    assert torch.equal(layer.qkv.weight, sibling.qkv.weight)
    bound = sibling.out.weight.abs().max()
    layer.reset_parameters()
    assert layer.out.weight.abs().max().item() == pytest.approx(bound.item(), rel=0.1)
    assert not layer.qkv.bias.any()


@pytest.mark.parametrize("every", [1, 2])
def test_redraws_in_a_reversible_block_are_exact(normal, every):
    found = []
    for reversible in (True, False):
        torch.manual_seed(2)
        options = {"features": 5, "redraw_every": every, "dtype": torch.float64}
        # Dropout draws after the redraw, from the same generator.
        branch = nn.Sequential(PerformerAttention(6, 2, **options), nn.Dropout(0.4))
        block = _block(branch)
        run = block if reversible else partial(_plainly, [block])
        x = torch.randn(2, 7, 6, dtype=torch.float64)
        found.append([_gradients(run, list(block.parameters()), x, x) for _ in range(4)])
    for ours, plain in zip(*found, strict=True):
        assert_close(ours, plain, rtol=1e-10, atol=1e-11)


def test_redraws_under_a_checkpoint_are_refused():
    x = torch.randn(2, 7, 6, requires_grad=True)
    layer = PerformerAttention(6, 2, features=5, redraw_every=3)
    with pytest.raises(ValueError, match=r"^redraw_every must be None .*, got 3"):
        checkpoint(layer, x, use_reentrant=False).sum().backward()
    fixed = PerformerAttention(6, 2, features=5)
    checkpoint(fixed, x, use_reentrant=False).sum().backward()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"features": 0}, ValueError, "^features must be at least 1, got 0"),
        ({"redraw_every": 0}, ValueError, "^redraw_every must be at least 1, got 0"),
        ({"redraw_every": 2.5}, TypeError, "^redraw_every must be an int, got float"),
        ({"kernel": "exp"}, ValueError, "^kernel must be 'softmax' or"),
        ({"orthogonal": 1}, TypeError, "^orthogonal must be a bool, got int"),
        ({"generator": 1}, TypeError, "^generator must be a torch.Generator or None, got int"),
    ],
)
def test_a_bad_performer_layer_is_refused(options, error, match):
    with pytest.raises(error, match=match):
        PerformerAttention(6, 2, **options)


# Padding, numbers, files


@pytest.mark.parametrize("attend", [None, linear_transformer_attention], ids=["softmax", "linear"])
def test_padding_that_is_no_number_spoils_gradients_and_no_real_row(attend):
    """As in torch's own layer. Fill padding with zeros."""
    layer = MultiHeadAttention(12, 3, **({} if attend is None else {"attend": attend}))
    keep = torch.arange(9) < torch.tensor([[6], [9]])
    x = torch.randn(2, 9, 12)
    bad = x.masked_fill(~keep[..., None], float("nan"))
    out = layer(bad, keep)
    assert torch.equal(out[keep], layer(x, keep)[keep])
    out[keep].square().sum().backward()
    assert layer.qkv.weight.grad.isnan().any()
    layer.zero_grad()
    clean = bad.masked_fill(~keep[..., None], 0.0)
    layer(clean, keep)[keep].square().sum().backward()
    assert layer.qkv.weight.grad.isfinite().all()


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_numpys_integers_are_sizes(kind):
    i = kind
    x = torch.zeros(1, 7, 6)
    for layer in (
        MultiHeadAttention(i(6), i(2)),
        LinformerAttention(i(6), i(2), max_len=i(8), rank=i(4), kind="mean"),
        ReformerAttention(i(6), i(2), bucket_size=i(4), num_hashes=i(2)),
        PerformerAttention(i(6), i(2), features=i(5), redraw_every=i(2)),
        TransformerBlock(i(6), i(2), ff_dim=i(7), norm="deep", depth=i(200)),
        TransformerStack(i(2), i(6), i(2), norm="pre"),
        ChunkedFeedForward(i(6), i(11), chunks=i(2)),
    ):
        assert layer(x).shape == x.shape
        numbers = [v for part in layer.modules() for v in vars(part).values()]
        numbers += [n for v in numbers if isinstance(v, tuple) for n in v]
        assert not any(isinstance(v, np.generic) for v in numbers)
    assert LengthProjection(i(6), i(2))(i(5)).shape == (2, 5)
    assert TransformerBlock(i(64), i(2)).feed_forward.inner.out_features == 256
    y, p = LunaAttention(i(6), i(2), tie_kv=False)(x, x)
    assert y.shape == p.shape == x.shape
    with pytest.raises(TypeError, match=r"^embed_dim must be an int, got"):
        MultiHeadAttention(np.bool_(True), 1)
    with pytest.raises(TypeError, match=r"^embed_dim must be an int, got float64"):
        MultiHeadAttention(np.float64(6), 2)


def test_a_tied_projection_is_saved_by_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    make = partial(LinformerAttention, 6, 2, max_len=8, rank=4, sharing="key-value")
    layer, other, path = make(), make(), str(tmp_path / "layer.safetensors")
    with pytest.raises(RuntimeError, match="share memory"):
        safetensors.save_file(layer.state_dict(), path)
    safetensors.save_model(layer, path)
    safetensors.load_model(other, path)
    x = torch.randn(2, 7, 6)
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("make", [LAYERS["multi-head"], LAYERS["linformer"], LAYERS["stack"]])
def test_a_layer_is_exported_with_an_open_length(make, strict):
    layer, length = make().eval(), torch.export.Dim("length", min=2, max=10)
    shapes = {"x": {1: length}, "key_mask": None}
    whole = torch.export.export(
        layer, (torch.randn(2, 9, 12), None), dynamic_shapes=shapes, strict=strict
    )
    x = torch.randn(2, 5, 12)
    assert_close(whole.module()(x, None), layer(x))


@pytest.mark.filterwarnings("ignore")  # the compiler has its own
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_reversible_layers_and_redraws_are_compiled(backend):
    options = {"features": 5, "redraw_every": 2}
    attention = PerformerAttention(6, 2, **options, generator=torch.Generator())
    block = ReversibleBlock(attention, ChunkedFeedForward(6, 11))
    x1, x2 = torch.randn(2, 2, 5, 6)
    found = []
    for run in (block, torch.compile(block, backend=backend)):
        attention.generator.manual_seed(1)
        attention.redraw_projection()
        found.append([_gradients(run, list(block.parameters()), x1, x2) for _ in range(4)])
    assert_close(found[0], found[1])


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_numpys_integers_are_options(kind):
    i = kind
    q, k, v = torch.randn(3, 1, 2, 20, 4, generator=torch.Generator().manual_seed(0))
    for name, given, options in (
        ("sparse_transformer", (q, k, v), {"stride": 4}),
        ("sparse_transformer", (q, k, v), {"stride": 4, "summary": 2, "pattern": "fixed"}),
        ("explicit_sparse", (q, k, v), {"topk": 3}),
        ("longformer", (q, k, v), {"window": 3, "dilation": 2}),
        ("reformer", (q, v), {"bucket_size": 4, "num_hashes": 2}),
        ("performer", (q, k, v), {"features": 200}),
        ("cosformer", (q, k, v), {"max_len": 200}),
    ):
        attend = getattr(attn_lib, f"{name}_attention")
        outs = []
        for wrap in (int, i):
            torch.manual_seed(1)
            wrapped = {o: x if isinstance(x, str) else wrap(x) for o, x in options.items()}
            outs.append(attend(*given, **wrapped))
        assert outs[0].equal(outs[1]), name
    chosen = attn_lib.longformer_attention(q, k, v, window=3, global_tokens=[0, 2])
    for tokens in (np.flatnonzero([1, 0, 1]), torch.tensor([0, 2])):
        assert attn_lib.longformer_attention(q, k, v, window=3, global_tokens=tokens).equal(chosen)
    half = attn_lib.softmax_attention(q, k, v, scale=np.float32(0.25))
    assert half.equal(attn_lib.softmax_attention(q, k, v, scale=0.25))
    assert costs.performer_flops(i(200), i(64), i(64), features=i(200)) == costs.performer_flops(
        200, 64, 64, features=200
    )
    assert costs.reformer_scores(i(200), bucket_size=i(16), num_hashes=i(2)) == (
        costs.reformer_scores(200, bucket_size=16, num_hashes=2)
    )
