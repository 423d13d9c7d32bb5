"""Attention by features: similarity φ(q)·φ(k), so that φ(q) (φ(k)ᵀ v) costs no n × n matrix.

`attend_by_features` is attention whose weights are products of features, in both directions or
causal. `key_levels` keeps features that are exponentials in range without letting the future in.
`head_by_head` computes a head at a time, so that a head's features stay in cache.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib.numerics import causal_product, pad_length

__all__ = [
    "KeyLevels",
    "attend_by_features",
    "cut",
    "head_by_head",
    "key_levels",
    "normalise",
]

_PLACES = 64
"""Positions in a chunk, whose pairs are multiplied out."""

_CLIMB = 40.0
"""How far the logarithm of a key feature may exceed its level: exp(40) leaves float32 room."""


@dataclass(frozen=True)
class KeyLevels:
    """The levels from which the logarithms of key features are measured, so that none overflows.

    A sequence is cut into pieces, each with its own level for each feature. The level cancels
    between queries and keys of the same piece; `decay` carries sums from one piece to the next.

    Attributes
    ----------
    at : Tensor
        The level at every position; broadcasts to the logarithms.
    decay : Tensor, shape (pieces, features or 1), optional
        The factor of what was summed up when its level is changed to that of a piece; None where
        there is only one level.
    chunk_of : Tensor of int64, shape (pieces,), optional
        The chunk that a piece lies in; None where the pieces are the chunks.
    piece_of : Tensor of int64, shape (chunks, places), optional
        The piece that a position lies in; None where the pieces are the chunks.
    """

    at: Tensor
    decay: Tensor | None = None
    chunk_of: Tensor | None = None
    piece_of: Tensor | None = None


def cut(x: Tensor) -> Tensor:
    """Cut a sequence into the chunks of a causal sum, the last one filled up with zeros.

    Parameters
    ----------
    x : Tensor, shape (..., length, width)

    Returns
    -------
    Tensor, shape (..., chunks, places, width)
        A view of `x` where its length is a multiple of the places in a chunk.
    """
    chunks = -(-x.shape[-2] // _PLACES)
    padded = pad_length(x, chunks * _PLACES)
    return padded.view(*x.shape[:-2], chunks, _PLACES, x.shape[-1])


def key_levels(logarithm: Tensor, *, causal: bool) -> KeyLevels:
    """Choose levels that no later position has a say in, where `causal`.

    Parameters
    ----------
    logarithm : Tensor, shape (kv_len, features or 1), or with `causal` as `cut` gives it
        Of the size of each key feature, or of all features of a key; -inf at masked keys.
    causal : bool
        Whether a query sees the keys up to its own position only.

    Returns
    -------
    KeyLevels

    Notes
    -----
    The level is the largest logarithm among all keys; where `causal`, among the keys before the
    chunk and the chunk's first. A key that exceeds it by more than `_CLIMB` begins a piece of its
    own within the chunk, whose level counts that key. So a level is always that of keys in sight:
    exponentials stay below exp(`_CLIMB`), and the largest term of a query's denominator is never
    below 1.
    """
    if not causal:
        return KeyLevels(_finite(logarithm.amax(dim=0, keepdim=True)))
    tops = logarithm.amax(dim=1)  # (chunks, features)
    before = F.pad(tops.cummax(dim=0).values, (0, 0, 1, 0), value=-math.inf)[:-1]
    levels = torch.maximum(before, logarithm[:, 0])
    climbs = (tops > levels + _CLIMB).any(dim=1)
    if not climbs.any():
        return KeyLevels(_finite(levels)[:, None], _decay(levels))
    rows, chunk_of, sizes = [], [], []
    for chunk, climbing in enumerate(climbs.tolist()):
        level, first = levels[chunk], 0
        while climbing:
            above = (logarithm[chunk, first:] > level + _CLIMB).any(dim=1).nonzero()
            if not len(above):
                break
            rows.append(level)
            chunk_of.append(chunk)
            sizes.append(int(above[0]))
            first += sizes[-1]
            level = torch.maximum(before[chunk], logarithm[chunk, : first + 1].amax(dim=0))
        rows.append(level)
        chunk_of.append(chunk)
        sizes.append(_PLACES - first)
    levels = torch.stack(rows)
    device = logarithm.device
    piece_of = torch.arange(len(rows), device=device)
    piece_of = piece_of.repeat_interleave(torch.tensor(sizes, device=device))
    piece_of = piece_of.view(len(logarithm), _PLACES)
    at = _finite(levels)[piece_of]
    return KeyLevels(at, _decay(levels), torch.tensor(chunk_of, device=device), piece_of)


def _finite(levels: Tensor) -> Tensor:
    """Replace the level of no key at all."""
    return levels.masked_fill(levels == -math.inf, 0.0)


def _decay(levels: Tensor) -> Tensor:
    """Return exp(previous level - level) for levels (pieces, features) that never fall."""
    previous = F.pad(levels, (0, 0, 1, 0), value=-math.inf)[:-1]
    return (previous - _finite(levels)).exp()


def attend_by_features(
    phi_q: Tensor,
    phi_k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    levels: KeyLevels | None = None,
    eps: float = 0.0,
) -> Tensor:
    r"""Attention whose similarity is a product of features, in time linear in the length.

    .. math:: o_i = \frac{\phi(q_i) \sum_j \phi(k_j)^\top v_j}
        {\phi(q_i) \cdot \sum_j \phi(k_j) + \varepsilon}

    Parameters
    ----------
    phi_q : Tensor, shape (..., q_len, features)
    phi_k : Tensor, shape (..., kv_len, features)
        Zeros at masked keys.
    v : Tensor, shape (..., kv_len, value_dim)
        Finite at masked keys too. One dtype for all three.
    causal : bool
        Let j run up to i only; needs q_len == kv_len.
    levels : KeyLevels, optional
        What the logarithms of `phi_k` and `phi_q` are measured from; for tensors of two axes, one
        head. Needed with `causal` only.
    eps : float
        Added to the denominator.

    Returns
    -------
    Tensor, shape (..., q_len, value_dim)
        Zeros where the denominator is zero. With `causal` what comes later cannot change a row, to
        the bit.

    Notes
    -----
    Time O(length · features · value_dim). The causal form cuts the sequence into chunks: inside a
    chunk the pairs are multiplied out, and what came before enters through one (features,
    value_dim) matrix a chunk, the sum so far.
    """
    v = torch.cat([v, v.new_ones(*v.shape[:-1], 1)], dim=-1)  # the last column sums the weights
    if not causal:
        sums = phi_q @ (phi_k.mT @ v)
    elif levels is None:
        sums = causal_product(phi_q, phi_k, v)
    else:
        sums = _sum_past(phi_q, phi_k, v, levels)
    return normalise(sums[..., :-1], sums[..., -1:] + eps)


def normalise(out: Tensor, total: Tensor) -> Tensor:
    """Divide sums by the sum of their weights; where that is zero, so is the result.

    Parameters
    ----------
    out : Tensor, shape (..., value_dim)
    total : Tensor, shape (..., 1)

    Returns
    -------
    Tensor, shape (..., value_dim)
    """
    nothing = total == 0
    if not nothing.any():
        return out / total
    return (out / total.masked_fill(nothing, 1.0)).masked_fill(nothing, 0.0)


def _sum_past(phi_q: Tensor, phi_k: Tensor, v: Tensor, levels: KeyLevels) -> Tensor:
    """Return φ(q_i) Σ_{j ≤ i} φ(k_j)ᵀ v_j for one head, all chunks together."""
    length = len(v)
    phi_q, phi_k, v = cut(phi_q), cut(phi_k), cut(v)
    chunks, pieces = len(v), levels.chunk_of
    if pieces is not None and levels.piece_of is not None:
        # A chunk of several pieces comes once for each, with the others' features hidden.
        numbers = torch.arange(len(pieces), device=v.device)[:, None]
        outside = (levels.piece_of[pieces] != numbers)[..., None]
        phi_q, phi_k = (x[pieces].masked_fill(outside, 0.0) for x in (phi_q, phi_k))
        v = v[pieces]
    before = _SumBefore.apply(phi_k.mT @ v, levels.decay)  # type: ignore[no-untyped-call]
    pairs = (phi_q @ phi_k.mT).tril_()  # (pieces, places, places)
    out = torch.baddbmm(pairs @ v, phi_q, before)
    if pieces is not None:
        out = out.new_zeros(chunks, *out.shape[1:]).index_add(0, pieces, out)
    return out.flatten(0, 1)[:length]


class _SumBefore(torch.autograd.Function):
    """What was summed before each piece, along the first axis: B_p = γ_p (B_p-1 + U_p-1)."""

    @staticmethod
    def forward(ctx: Any, terms: Tensor, decay: Tensor) -> Tensor:
        ctx.save_for_backward(decay)
        sums = torch.empty_like(terms)
        sums[0] = 0.0
        for p, factor in enumerate(decay[1:, :, None], start=1):
            torch.add(sums[p - 1], terms[p - 1], out=sums[p]).mul_(factor)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (decay,) = ctx.saved_tensors
        sums = torch.empty_like(grad)
        sums[-1] = 0.0
        for p in reversed(range(1, len(grad))):
            torch.add(sums[p], grad[p], out=sums[p - 1]).mul_(decay[p, :, None])
        return sums, None


def head_by_head(
    attend: Callable[..., Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *shared: Tensor,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Compute one head at a time, and again backward, so that its temporaries stay in cache.

    Parameters
    ----------
    attend : callable
        ``(q, k, v, *shared, real) -> out`` for one head: q (q_len, head_dim), k (kv_len, head_dim),
        v (kv_len, value_dim), out (q_len, value_dim); `real` is the item's row of `key_mask`, or
        None. It must give the same when it is called again.
    q, k, v : Tensor, shape (batch, heads, length, width)
    *shared : Tensor
        What all heads share; gradients flow to it as well.
    key_mask : Tensor of bool, shape (batch, kv_len), optional

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        Zeros where there is no key.

    Notes
    -----
    Nothing is kept between forward and backward but the inputs. First derivatives only.
    """
    batch, heads = q.shape[:2]
    masks = None if key_mask is None else key_mask.repeat_interleave(heads, dim=0)
    flat = (x.flatten(0, 1) for x in (q, k, v))
    out: Tensor = _HeadByHead.apply(attend, masks, *flat, *shared)  # type: ignore[no-untyped-call]
    return out.view(batch, heads, *out.shape[1:])


class _HeadByHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        attend: Callable[..., Tensor],
        masks: Tensor | None,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *shared: Tensor,
    ) -> Tensor:
        ctx.attend, ctx.masks = attend, masks
        ctx.save_for_backward(q, k, v, *shared)
        out = v.new_zeros(*q.shape[:2], v.shape[-1])
        if out.numel() and v.shape[1]:
            for s in range(len(q)):
                real = None if masks is None else masks[s]
                out[s] = attend(q[s], k[s], v[s], *shared, real)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        grads = [
            torch.zeros_like(x) if need else None for x, need in zip(tensors, wanted, strict=True)
        ]
        if grad_out.numel() and tensors[2].shape[1]:
            for s in range(len(grad_out)):
                leaves = [
                    x[s].detach() if place < 3 else x.detach() for place, x in enumerate(tensors)
                ]
                asked = [x.requires_grad_() for x, need in zip(leaves, wanted, strict=True) if need]
                with torch.enable_grad():
                    out = ctx.attend(*leaves, None if ctx.masks is None else ctx.masks[s])
                found = iter(torch.autograd.grad(out, asked, grad_out[s]))
                for place, grad in enumerate(grads):
                    if grad is not None:
                        (grad[s] if place < 3 else grad).add_(next(found))
        return None, None, *grads
