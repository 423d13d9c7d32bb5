"""Features that are exponentials in range, a head and a stretch of the sequence at a time.

`key_levels` keeps such features in range without letting the future in. `attend_to_past` is causal
attention by them. `head_by_head` computes so little at a time that it stays in cache.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib.numerics.features import cut, normalise

__all__ = [
    "KeyLevels",
    "Past",
    "attend_to_all",
    "attend_to_past",
    "finite",
    "head_by_head",
    "key_levels",
]

_CLIMB = 40.0
"""How far the logarithm of a key feature may exceed its level: exp(40) leaves float32 room."""

_STRETCH = 2048
"""Positions that `head_by_head` lets a causal sum take at a time."""


@dataclass(frozen=True)
class Past:
    """What a causal sum carries from one stretch of the sequence to the next.

    Attributes
    ----------
    values : Tensor, shape (features, value_dim + 1)
        Sum of φ(k_j)ᵀ v_j and of φ(k_j), measured from `level`.
    level : Tensor, shape (features or 1,)
        That of the last piece.
    top : Tensor, shape (features or 1,)
        The largest logarithm of a key feature so far.
    """

    values: Tensor
    level: Tensor
    top: Tensor


@dataclass(frozen=True)
class KeyLevels:
    """The levels from which the logarithms of key features are measured, so that none overflows.

    A sequence is cut into pieces, each with its own level for each feature. The level cancels
    between queries and keys of the same piece; `decay` carries sums from one piece to the next.

    Attributes
    ----------
    at : Tensor
        The level at every position; broadcasts to the logarithms.
    decay : Tensor, shape (pieces, features or 1)
        The factor of what was summed up when its level is changed to that of a piece.
    last : Tensor, shape (features or 1,)
        The level of the last piece, -inf where it has seen no key.
    top : Tensor, shape (features or 1,)
        The largest logarithm of all.
    chunk_of : Tensor of int64, shape (pieces,), optional
        The chunk that a piece lies in; None where the pieces are the chunks.
    piece_of : Tensor of int64, shape (chunks, places), optional
        The piece that a position lies in; None where the pieces are the chunks.
    """

    at: Tensor
    decay: Tensor
    last: Tensor
    top: Tensor
    chunk_of: Tensor | None = None
    piece_of: Tensor | None = None


def key_levels(logarithm: Tensor, past: Past | None = None) -> KeyLevels:
    """Choose levels that no later position has a say in.

    Parameters
    ----------
    logarithm : Tensor, shape (chunks, places, features or 1)
        Of the size of each key feature, or of all features of a key, as `cut` gives it; -inf at
        masked keys.
    past : Past, optional
        What came before.

    Returns
    -------
    KeyLevels

    Notes
    -----
    The level is the largest logarithm among the keys before the chunk and the chunk's first. A key
    that exceeds it by more than `_CLIMB` begins a piece of its own within the chunk, whose level
    counts that key. So a level is always that of keys in sight: exponentials stay below
    exp(`_CLIMB`), and the largest term of a query's denominator is never below 1.
    """
    nothing = torch.full_like(logarithm[0, 0], -math.inf)
    tops = torch.cat([nothing[None] if past is None else past.top[None], logarithm.amax(dim=1)])
    tops = tops.cummax(dim=0).values  # of all before each chunk, and of all
    before, top = tops[:-1], tops[-1]
    level = nothing if past is None else past.level
    levels = torch.maximum(before, logarithm[:, 0])
    climbs = (tops[1:] > levels + _CLIMB).any(dim=1)
    if not climbs.any():
        return KeyLevels(finite(levels)[:, None], _decay(level, levels), levels[-1], top)
    rows, chunk_of, sizes = [], [], []
    for chunk, climbing in enumerate(climbs.tolist()):
        here, first = levels[chunk], 0
        while climbing:
            above = (logarithm[chunk, first:] > here + _CLIMB).any(dim=1).nonzero()
            if not len(above):
                break
            rows.append(here)
            chunk_of.append(chunk)
            sizes.append(int(above[0]))
            first += sizes[-1]
            here = torch.maximum(before[chunk], logarithm[chunk, : first + 1].amax(dim=0))
        rows.append(here)
        chunk_of.append(chunk)
        sizes.append(logarithm.shape[1] - first)
    levels = torch.stack(rows)
    device = logarithm.device
    piece_of = torch.arange(len(rows), device=device)
    piece_of = piece_of.repeat_interleave(torch.tensor(sizes, device=device))
    piece_of = piece_of.view(logarithm.shape[:2])
    return KeyLevels(
        finite(levels)[piece_of],
        _decay(level, levels),
        levels[-1],
        top,
        torch.tensor(chunk_of, device=device),
        piece_of,
    )


def finite(levels: Tensor) -> Tensor:
    """Replace the level of no key at all by zero.

    Parameters
    ----------
    levels : Tensor

    Returns
    -------
    Tensor, of the same shape
    """
    return levels.masked_fill(levels == -math.inf, 0.0)


def _decay(level: Tensor, levels: Tensor) -> Tensor:
    """Return exp(previous level - level) for levels (pieces, features) that never fall."""
    previous = torch.cat([level[None], levels[:-1]])
    return (previous - finite(levels)).exp()


def attend_to_all(phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Tensor:
    """Attend by features to all positions, in one head.

    Parameters
    ----------
    phi_q : Tensor, shape (q_len, features)
    phi_k : Tensor, shape (kv_len, features)
        Zeros at masked keys.
    v : Tensor, shape (kv_len, value_dim)
        Finite at masked keys too.

    Returns
    -------
    Tensor, shape (q_len, value_dim)
        Zeros where the denominator is zero.
    """
    sums = phi_q @ (phi_k.mT @ _with_ones(v))
    return normalise(sums[:, :-1], sums[:, -1:])


def attend_to_past(
    phi_q: Tensor, phi_k: Tensor, v: Tensor, levels: KeyLevels, past: Past | None = None
) -> tuple[Tensor, Past]:
    """Attend by features up to each position, in one head.

    Parameters
    ----------
    phi_q, phi_k : Tensor, shape (chunks, places, features)
        As `cut` gives them, with logarithms measured from `levels`; zeros at masked keys.
    v : Tensor, shape (length, value_dim)
        Finite at masked keys too.
    levels : KeyLevels
    past : Past, optional
        What came before this stretch.

    Returns
    -------
    out : Tensor, shape (length, value_dim)
        Zeros where the denominator is zero. What comes later cannot change a row, to the bit.
    past : Past
        What comes before the next stretch.
    """
    length = len(v)
    v = cut(_with_ones(v))
    chunks, pieces = len(v), levels.chunk_of
    if pieces is not None and levels.piece_of is not None:
        # A chunk of several pieces comes once for each, with the others' features hidden.
        numbers = torch.arange(len(pieces), device=v.device)[:, None]
        outside = (levels.piece_of[pieces] != numbers)[..., None]
        phi_q, phi_k = (x[pieces].masked_fill(outside, 0.0) for x in (phi_q, phi_k))
        v = v[pieces]
    start = phi_k.new_zeros(phi_k.shape[-1], v.shape[-1]) if past is None else past.values
    before, after = _SumBefore.apply(phi_k, v, levels.decay, start)  # type: ignore[no-untyped-call]
    pairs = (phi_q @ phi_k.mT).tril_()  # (pieces, places, places)
    sums = torch.baddbmm(pairs @ v, phi_q, before)
    if pieces is not None:
        sums = sums.new_zeros(chunks, *sums.shape[1:]).index_add(0, pieces, sums)
    sums = sums.flatten(0, 1)[:length]
    return normalise(sums[:, :-1], sums[:, -1:]), Past(after, levels.last, levels.top)


def _with_ones(v: Tensor) -> Tensor:
    """Append a column that sums the weights."""
    return torch.cat([v, v.new_ones(len(v), 1)], dim=-1)


class _SumBefore(torch.autograd.Function):
    """The sum before each piece, B_p = γ_p (B_p-1 + φ(k)ᵀ v of piece p - 1), and after the last."""

    @staticmethod
    def forward(
        ctx: Any, phi_k: Tensor, v: Tensor, decay: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(phi_k, v, decay)
        sums = phi_k.mT @ v
        total, following = start.clone(), torch.empty_like(start)
        for p, factor in enumerate(decay[:, :, None]):  # in place: fresh memory is dear
            total.mul_(factor)
            torch.add(total, sums[p], out=following)
            sums[p] = total
            total, following = following, total
        return sums, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_after: Tensor) -> tuple[Tensor, Tensor, None, Tensor]:
        phi_k, v, decay = ctx.saved_tensors
        total = grad_after.clone()
        sums = torch.empty_like(grad)  # the gradients of φ(k)ᵀ v
        for p in reversed(range(len(grad))):
            sums[p] = total
            total.add_(grad[p]).mul_(decay[p, :, None])
        return v @ sums.mT, phi_k @ sums, None, total


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
