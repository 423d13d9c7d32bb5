"""A head, and a stretch of the sequence, at a time, so that what it needs stays in cache."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib.numerics.levels import Past

__all__ = ["head_by_head"]

_STRETCH = 2048
"""Positions that `head_by_head` lets a causal sum take at a time."""


def head_by_head(
    attend: Callable[..., tuple[Tensor, Past | None]],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *shared: Tensor,
    causal: bool = False,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Compute one head at a time, and again backward, so that its temporaries stay in cache.

    Parameters
    ----------
    attend : callable
        ``(q, k, v, *shared, real, past) -> (out, past)`` for one head: q (q_len, head_dim),
        k (kv_len, head_dim), v (kv_len, value_dim), out (q_len, value_dim); `real` is the item's
        row of `key_mask`, or None. Where `causal` it is given one stretch of the sequence after the
        other, with what it returned as `past` for the one before. It must give the same when it is
        called again.
    q, k, v : Tensor, shape (batch, heads, length, width)
    *shared : Tensor
        What all heads share; gradients flow to it as well.
    causal : bool
        Whether stretches may be computed one after the other.
    key_mask : Tensor of bool, shape (batch, kv_len), optional

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        Zeros where there is no key.

    Notes
    -----
    Nothing is kept between forward and backward but the inputs and one `Past` a stretch. First
    derivatives only.
    """
    batch, heads = q.shape[:2]
    masks = None if key_mask is None else key_mask.repeat_interleave(heads, dim=0)
    flat = (x.flatten(0, 1) for x in (q, k, v))
    out: Tensor = _HeadByHead.apply(  # type: ignore[no-untyped-call]
        attend, masks, _STRETCH if causal else max(1, q.shape[2], k.shape[2]), *flat, *shared
    )
    return out.view(batch, heads, *out.shape[1:])


class _HeadByHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        attend: Callable[..., tuple[Tensor, Past | None]],
        masks: Tensor | None,
        stretch: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *shared: Tensor,
    ) -> Tensor:
        ctx.attend, ctx.masks, ctx.stretch, ctx.pasts = attend, masks, stretch, {}
        ctx.save_for_backward(q, k, v, *shared)
        out = v.new_empty(*q.shape[:2], v.shape[-1])
        if not (out.numel() and v.shape[1]):
            return out.zero_()
        for s in range(len(q)):
            past = None
            for part in _stretches(q, k, stretch):
                ctx.pasts[s, part.start] = past
                real = None if masks is None else masks[s, part]
                out[s, part], past = attend(q[s, part], k[s, part], v[s, part], *shared, real, past)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *shared = ctx.saved_tensors
        grads = [torch.empty_like(x) for x in (q, k, v)]
        grads_shared = [torch.zeros_like(x) for x in shared]
        if not (grad_out.numel() and v.shape[1]):
            grads = [grad.zero_() for grad in grads]
            return None, None, None, *grads, *grads_shared
        for s in range(len(q)):
            grad_past = None
            for part in reversed(_stretches(q, k, ctx.stretch)):
                leaves = [x.detach().requires_grad_() for x in (q[s, part], k[s, part], v[s, part])]
                leaves += [x.detach().requires_grad_() for x in shared]
                past = ctx.pasts[s, part.start]
                if past is not None:
                    past = Past(past.values.detach().requires_grad_(), past.level, past.top)
                with torch.enable_grad():
                    real = None if ctx.masks is None else ctx.masks[s, part]
                    out, after = ctx.attend(*leaves, real, past)
                sinks, given = [out], [grad_out[s, part]]
                if grad_past is not None:
                    sinks, given = [out, after.values], [*given, grad_past]
                wanted = leaves if past is None else [*leaves, past.values]
                found = torch.autograd.grad(sinks, wanted, given)
                grad_past = None if past is None else found[-1]
                for grad, x in zip(grads, found[:3], strict=True):
                    grad[s, part] = x
                for grad, x in zip(grads_shared, found[3:], strict=False):
                    grad += x
        return None, None, None, *grads, *grads_shared


def _stretches(q: Tensor, k: Tensor, stretch: int) -> list[slice]:
    """Cut the sequence; without a stretch that is shorter it stays whole."""
    length = max(q.shape[1], k.shape[1])
    return [slice(first, first + stretch) for first in range(0, length, stretch)]
