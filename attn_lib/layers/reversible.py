"""Reversible layers and chunked feed-forward: what keeps a deep network's activations small.

Nikita Kitaev, Łukasz Kaiser, Anselm Levskaya. *Reformer: The Efficient Transformer.* ICLR 2020,
arXiv:2001.04451, section 3.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from attn_lib._checks import check_generator, check_positive_int, check_tokens
from attn_lib.layers._again import Run, first_run, foreign_leaf, second_run, sources_of

__all__ = ["ChunkedFeedForward", "ReversibleBlock", "ReversibleStack"]


class ChunkedFeedForward(nn.Module):
    """The position-wise feed-forward network, computed for a few positions at a time.

    Kitaev et al. 2020 (arXiv:2001.04451), section 3. The result is that of one piece: no position
    looks at another. The wide inner activations exist for one piece at a time, in training too,
    where each piece is computed a second time in the backward pass.

    Parameters
    ----------
    embed_dim : int
        Width of a token.
    ff_dim : int
        Width of the inner layer, with a ReLU.
    chunks : int
        Pieces that a sequence is cut into; 1 computes all positions at once.
    device, dtype
        Of the parameters.

    Examples
    --------
    >>> ChunkedFeedForward(64, 256, chunks=5)(torch.zeros(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    def __init__(
        self,
        embed_dim: int,
        ff_dim: int,
        *,
        chunks: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        embed_dim = check_positive_int("embed_dim", embed_dim)
        ff_dim = check_positive_int("ff_dim", ff_dim)
        chunks = check_positive_int("chunks", chunks)
        self.chunks = chunks
        self.inner = nn.Linear(embed_dim, ff_dim, device=device, dtype=dtype)
        self.outer = nn.Linear(ff_dim, embed_dim, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every position.

        Parameters
        ----------
        x : Tensor, shape (batch, length, embed_dim)

        Returns
        -------
        Tensor, shape (batch, length, embed_dim)
        """
        check_tokens("x", x, "the layer", self.outer.weight)
        if self.chunks == 1:
            return self._piece(x)
        pieces = x.chunk(self.chunks, dim=1)
        return torch.cat([checkpoint(self._piece, y, use_reentrant=False) for y in pieces], dim=1)

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward

    def _piece(self, x: Tensor) -> Tensor:
        y: Tensor = self.outer(self.inner(x).relu())
        return y


class ReversibleBlock(nn.Module):
    r"""A residual block whose input can be computed from its output, and so need not be kept.

    .. math:: y_1 = x_1 + \operatorname{Attention}(x_2), \\qquad
        y_2 = x_2 + \operatorname{FeedForward}(y_1)

    Kitaev et al. 2020 (arXiv:2001.04451), section 3, after Gomez et al. 2017 (arXiv:1707.04585).

    Parameters
    ----------
    attention, feed_forward : nn.Module
        The two branches, each with its layer norm inside. They map (batch, length, embed_dim) to
        the same shape; `attention` is given `key_mask` as well, where there is one. Any modules
        will do that depend on nothing but their input, their parameters and buffers, and what they
        draw.
    generator : torch.Generator, optional
        What the branches draw from, if it is neither torch's own, on any device, nor kept by one of
        their modules, as that of a `ReformerAttention` is.

    Notes
    -----
    The backward pass computes x from y, and each branch a second time with what it needs for its
    gradients. Gradients equal those of plain automatic differentiation, apart from rounding in x.
    A block keeps its output; a `ReversibleStack` keeps that of its last block alone. First
    derivatives only.

    The second computation draws what the first one drew, in the same modes (training or not) and
    under the same autocast. What cannot be the same is a ValueError: a branch that changes its
    buffers, as batch normalisation does in training; parameters or buffers that are changed before
    the backward pass; a generator that the block does not know of. So is a branch with a gradient
    for anything but its input and its parameters, which would be lost. Forward hooks of a branch
    are called both times.

    Examples
    --------
    >>> from attn_lib.layers import MultiHeadAttention
    >>> x1, x2 = torch.randn(2, 3, 10, 8).unbind()
    >>> block = ReversibleBlock(MultiHeadAttention(8, 2), ChunkedFeedForward(8, 32))
    >>> y1, y2 = block(x1, x2)
    >>> torch.testing.assert_close(block.inverse(y1, y2), (x1, x2))
    """

    def __init__(
        self,
        attention: nn.Module,
        feed_forward: nn.Module,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_generator(generator)
        self.attention = attention
        self.feed_forward = feed_forward
        self.generator = generator

    def forward(
        self, x1: Tensor, x2: Tensor, key_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute y₁ and y₂.

        Parameters
        ----------
        x1, x2 : Tensor, shape (batch, length, embed_dim)
        key_mask : Tensor of bool, shape (batch, length), optional
            True = real token.

        Returns
        -------
        pair of Tensor, shape (batch, length, embed_dim)
        """
        return _run_reversibly([self], x1, x2, key_mask)

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward

    def inverse(
        self, y1: Tensor, y2: Tensor, key_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute x₁ and x₂ from y₁ and y₂.

        Parameters
        ----------
        y1, y2 : Tensor, shape (batch, length, embed_dim)
        key_mask : Tensor of bool, shape (batch, length), optional

        Returns
        -------
        pair of Tensor, shape (batch, length, embed_dim)
            Equal to the inputs up to rounding, if the branches draw nothing.
        """
        x2 = y2 - self.feed_forward(y1)
        return y1 - self._attend(x2, key_mask), x2

    def _attend(self, x: Tensor, key_mask: Tensor | None) -> Tensor:
        y: Tensor = self.attention(x) if key_mask is None else self.attention(x, key_mask)
        return y


class ReversibleStack(nn.Module):
    """Reversible blocks one after the other; only the last output is kept for the backward pass.

    Kitaev et al. 2020 (arXiv:2001.04451), section 3.

    Parameters
    ----------
    blocks : iterable of ReversibleBlock

    Raises
    ------
    TypeError
        When a block is none, here and in every call.

    Notes
    -----
    Activations take the memory of one block, whatever the depth, and time grows by one forward pass
    a block. A block with hooks, or with another ``forward``, is called by itself, and its output is
    kept as well. A block in a wrapper of ``torch.compile`` or ``checkpoint_wrapper`` runs as if it
    were bare: compile its branches instead; checkpointing has nothing to add.

    Examples
    --------
    >>> from attn_lib.layers import MultiHeadAttention
    >>> blocks = [
    ...     ReversibleBlock(MultiHeadAttention(16, 2), ChunkedFeedForward(16, 64)) for _ in range(3)
    ... ]
    >>> x = torch.zeros(2, 10, 16)
    >>> y1, y2 = ReversibleStack(blocks)(x, x)
    >>> y1.shape
    torch.Size([2, 10, 16])
    """

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        given = list(blocks)
        for block in given:
            _bare(block)
        self.blocks = nn.ModuleList(given)

    def forward(
        self, x1: Tensor, x2: Tensor, key_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run all blocks.

        Parameters
        ----------
        x1, x2 : Tensor, shape (batch, length, embed_dim)
        key_mask : Tensor of bool, shape (batch, length), optional
            True = real token.

        Returns
        -------
        pair of Tensor, shape (batch, length, embed_dim)
        """
        bare: list[ReversibleBlock] = []
        for block in self.blocks:
            inner = _bare(block)
            if not (_is_called(block) or _is_called(inner)):
                bare.append(inner)
                continue
            x1, x2 = _run_reversibly(bare, x1, x2, key_mask)
            x1, x2 = block(x1, x2) if key_mask is None else block(x1, x2, key_mask)
            bare = []
        return _run_reversibly(bare, x1, x2, key_mask)

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward


_WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module")
"""What torch.compile and checkpoint_wrapper call the module inside."""


def _bare(block: object) -> ReversibleBlock:
    """Return the block inside wrappers that change nothing in what it computes."""
    inner = block
    while isinstance(inner, nn.Module) and not isinstance(inner, ReversibleBlock):
        held = [module for name, module in inner.named_children() if name in _WRAPPERS]
        if not held:
            break
        inner = held[0]
    if not isinstance(inner, ReversibleBlock):
        raise TypeError(
            "blocks must hold each a ReversibleBlock, bare or wrapped by torch.compile or "
            f"checkpoint_wrapper, got {type(inner).__name__}"
        )
    return inner


def _is_called(block: nn.Module) -> bool:
    """Return whether a block does more than the equations when it is called."""
    hooks = (
        block._forward_hooks,
        block._forward_pre_hooks,
        block._backward_hooks,
        block._backward_pre_hooks,
    )
    own = isinstance(block, ReversibleBlock)
    written = getattr(block.forward, "__func__", None) is ReversibleBlock.forward
    return any(hooks) or (own and not written)


def _run_reversibly(
    blocks: Sequence[ReversibleBlock], x1: Tensor, x2: Tensor, key_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    parameters = {id(p): p for block in blocks for p in block.parameters() if p.requires_grad}
    learns = x1.requires_grad or x2.requires_grad or bool(parameters)
    # The transforms of torch.func see the plain equations.
    plain = not torch.is_grad_enabled() or torch._C._are_functorch_transforms_active()
    if plain or not (blocks and learns):
        for block in blocks:
            x1 = x1 + block._attend(x2, key_mask)
            x2 = x2 + block.feed_forward(x1)
        return x1, x2
    y1, y2 = _Reversible.apply(  # type: ignore[no-untyped-call]
        x1, x2, key_mask, blocks, *parameters.values()
    )
    return y1, y2


class _Reversible(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x1: Tensor,
        x2: Tensor,
        key_mask: Tensor | None,
        blocks: Sequence[ReversibleBlock],
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.runs = []
        for block in blocks:
            sources = sources_of(block, (x1, x2, key_mask), block.generator)
            inputs = (x2,) if key_mask is None else (x2, key_mask)
            out, attended = first_run("attention", block.attention, inputs, sources)
            x1 = x1 + out
            out, fed = first_run("feed_forward", block.feed_forward, (x1,), sources)
            x2 = x2 + out
            ctx.runs.append((attended, fed))
        ctx.parameters = parameters
        ctx.save_for_backward(x1, x2, key_mask)
        return x1, x2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad1: Tensor, grad2: Tensor) -> tuple[Tensor | None, ...]:
        y1, y2, key_mask = ctx.saved_tensors
        grads: dict[int, Tensor] = {}
        for attended, fed in reversed(ctx.runs):
            out, to_y1 = _again(fed, (y1,), grad2, grads)
            y2, grad1 = y2 - out, grad1 + to_y1
            inputs = (y2,) if key_mask is None else (y2, key_mask)
            out, to_x2 = _again(attended, inputs, grad1, grads)
            y1, grad2 = y1 - out, grad2 + to_x2
        return grad1, grad2, None, None, *(grads.get(id(p)) for p in ctx.parameters)


def _again(
    run: Run, inputs: tuple[Tensor, ...], grad: Tensor, grads: dict[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """Repeat the run of a branch: its output, and the gradient of its first input.

    Gradients of its parameters are added to `grads`.
    """
    x = inputs[0].detach().requires_grad_()
    out = second_run(run, (x, *inputs[1:]))
    if not out.requires_grad:
        return out, torch.zeros_like(x)
    parameters = [p for p in run.module.parameters() if p.requires_grad]
    foreign = foreign_leaf(out, (x, *parameters))
    if foreign is not None:
        raise ValueError(
            f"{run.name} must need gradients for its input and its parameters alone, "
            f"got one for another tensor, of shape {tuple(foreign.shape)}"
        )
    to_x, *found = torch.autograd.grad(
        out, (x, *parameters), grad.to(out.dtype), materialize_grads=True
    )
    for parameter, part in zip(parameters, found, strict=True):
        key = id(parameter)
        grads[key] = part if key not in grads else grads[key] + part
    return out.detach(), to_x
