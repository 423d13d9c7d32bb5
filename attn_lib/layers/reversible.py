"""Reversible layers and chunked feed-forward: what keeps a deep network's activations small.

Nikita Kitaev, Łukasz Kaiser, Anselm Levskaya. *Reformer: The Efficient Transformer.* ICLR 2020,
arXiv:2001.04451, section 3.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from attn_lib._checks import check_positive_int, check_tensor

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
        check_positive_int("embed_dim", embed_dim)
        check_positive_int("ff_dim", ff_dim)
        check_positive_int("chunks", chunks)
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
        check_tensor("x", x, ("batch", "length", "embed_dim"))
        if self.chunks == 1:
            return self._piece(x)
        pieces = x.chunk(self.chunks, dim=1)
        return torch.cat([checkpoint(self._piece, y, use_reentrant=False) for y in pieces], dim=1)

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
        will do that depend on nothing but their input, their parameters and `generator`.
    generator : torch.Generator, optional
        What the branches draw from, for example rotations; torch's global CPU generator where it is
        not given. Its state is kept, so that the second computation draws what the first one drew.

    Notes
    -----
    The backward pass computes x from y, and each branch a second time with what it needs for its
    gradients. Gradients equal those of plain automatic differentiation, apart from rounding in x.
    A block keeps its output; a `ReversibleStack` keeps that of its last block alone. First
    derivatives only.

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

    Notes
    -----
    Activations take the memory of one block, whatever the depth, and time grows by one forward pass
    a block.
    """

    def __init__(self, blocks: Iterable[ReversibleBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

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
        blocks = [block for block in self.blocks if isinstance(block, ReversibleBlock)]
        return _run_reversibly(blocks, x1, x2, key_mask)


def _run_reversibly(
    blocks: Sequence[ReversibleBlock], x1: Tensor, x2: Tensor, key_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    if not blocks:
        return x1, x2
    parameters = {id(p): p for block in blocks for p in block.parameters() if p.requires_grad}
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
        ctx.states = []
        for block in blocks:
            draw = _source(block)
            first = draw.get_state()
            x1 = x1 + block._attend(x2, key_mask)
            second = draw.get_state()
            x2 = x2 + block.feed_forward(x1)
            last = draw.get_state()
            ctx.states.append(
                (
                    None if first.equal(second) else first,
                    None if second.equal(last) else second,
                )
            )
        ctx.blocks, ctx.parameters = blocks, parameters
        ctx.save_for_backward(x1, x2, key_mask)
        return x1, x2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad1: Tensor, grad2: Tensor) -> tuple[Tensor | None, ...]:
        y1, y2, key_mask = ctx.saved_tensors
        grads: dict[int, Tensor] = {}
        for block, (first, second) in zip(reversed(ctx.blocks), reversed(ctx.states), strict=True):
            draw = _source(block)
            out, to_y1 = _again(block.feed_forward, (y1,), grad2, grads, draw, second)
            y2, grad1 = y2 - out, grad1 + to_y1
            inputs = (y2,) if key_mask is None else (y2, key_mask)
            out, to_x2 = _again(block.attention, inputs, grad1, grads, draw, first)
            y1, grad2 = y1 - out, grad2 + to_x2
        return grad1, grad2, None, None, *(grads.get(id(p)) for p in ctx.parameters)


def _source(block: ReversibleBlock) -> torch.Generator:
    return torch.default_generator if block.generator is None else block.generator


def _again(
    branch: nn.Module,
    inputs: tuple[Tensor, ...],
    grad: Tensor,
    grads: dict[int, Tensor],
    draw: torch.Generator,
    state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Run a branch a second time: its output, and the gradient of its first input.

    Gradients of its parameters are added to `grads`. `state` is what `draw` was in before the
    branch drew from it, or None where it did not; `draw` is left as it is now.
    """
    kept = draw.get_state()
    if state is not None:
        draw.set_state(state)
    x = inputs[0].detach().requires_grad_()
    try:
        with torch.enable_grad():
            out = branch(x, *inputs[1:])
    finally:
        draw.set_state(kept)
    parameters = [p for p in branch.parameters() if p.requires_grad]
    to_x, *found = torch.autograd.grad(out, (x, *parameters), grad, materialize_grads=True)
    for parameter, part in zip(parameters, found, strict=True):
        key = id(parameter)
        grads[key] = part if key not in grads else grads[key] + part
    return out.detach(), to_x
