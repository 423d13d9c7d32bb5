"""Attention by features that are exponentials, kept in range without letting the future in.

`attend_by_logarithms` is given logarithms and measures them from levels: `key_levels` chooses those
of the causal form. `attend_to_all` and `attend_to_past` are its two sums.
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
    "attend_by_logarithms",
    "attend_to_all",
    "attend_to_past",
    "finite",
    "key_levels",
]

_CLIMB = 40.0
"""How far the logarithm of a key feature may exceed its level: exp(40) leaves float32 room."""


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


def key_levels(logarithm: Tensor, past: Past | None = None) -> KeyLevels | None:
    """Choose levels that no later position has a say in.

    Parameters
    ----------
    logarithm : Tensor, shape (..., chunks, places, features or 1)
        Of the size of each key feature, or of all features of a key, as `cut` gives it; -inf at
        masked keys.
    past : Past, optional
        What came before, in one head.

    Returns
    -------
    KeyLevels, or None
        None where the chunks of one head of several need pieces: they are not the same for all.

    Notes
    -----
    The level is the largest logarithm among the keys before the chunk and the chunk's first. A key
    that exceeds it by more than `_CLIMB` begins a piece of its own within the chunk, whose level
    counts that key. So a level is always that of keys in sight: exponentials stay below
    exp(`_CLIMB`), and the largest term of a query's denominator is never below 1.
    """
    nothing = torch.full_like(logarithm[..., 0, 0, :], -math.inf)
    start = nothing if past is None else past.top
    tops = torch.cat([start[..., None, :], logarithm.amax(dim=-2)], dim=-2)
    tops = tops.cummax(dim=-2).values  # of all before each chunk, and of all
    before, top = tops[..., :-1, :], tops[..., -1, :]
    level = nothing if past is None else past.level
    levels = torch.maximum(before, logarithm[..., 0, :])
    climbs = (tops[..., 1:, :] > levels + _CLIMB).any(dim=-1)
    if not climbs.any():
        at, decay = finite(levels)[..., None, :], _decay(level, levels)
        return KeyLevels(at, decay, levels[..., -1, :], top)
    if climbs.dim() > 1:
        return None
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
    """Return exp(previous level - level) for levels (..., pieces, features) that never fall."""
    previous = torch.cat([level[..., None, :], levels[..., :-1, :]], dim=-2)
    return (previous - finite(levels)).exp()


def attend_by_logarithms(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_features: Callable[[Tensor], tuple[Tensor | None, Tensor]],
    real: Tensor | None = None,
    past: Past | None = None,
    *,
    causal: bool = False,
) -> tuple[Tensor, Past | None]:
    """Attend by features given as logarithms, in one head or several.

    Parameters
    ----------
    q : Tensor, shape (..., q_len, width)
    k : Tensor, shape (..., kv_len, width)
    v : Tensor, shape (..., kv_len, value_dim)
        Finite at masked keys too.
    log_features : callable
        (..., width) → the factors of the features (..., features), or None for ones, and the
        logarithms (..., features or 1) of the rest, in memory of their own.
    real : Tensor of bool, shape (..., kv_len), optional
        Which keys count.
    past : Past, optional
        What came before this stretch of the sequence, where `causal`, in one head.
    causal : bool
        Let position i see positions j ≤ i only.

    Returns
    -------
    out : Tensor, shape (..., q_len, value_dim)
        Zeros where the denominator is zero.
    past : Past, optional
        What comes before the next stretch, where `causal`, in one head.

    Notes
    -----
    Each feature of the keys is measured from a level, and each query from its own largest one. Both
    cancel in the ratio, and no positive denominator vanishes.
    """
    split = cut if causal else _whole
    (sign_q, log_q), (sign_k, log_k) = log_features(split(q)), log_features(split(k))
    if real is not None:
        log_k.masked_fill_(~split(real[..., None]), -math.inf)
    levels = key_levels(log_k.detach(), past) if causal else None
    if causal and levels is None:
        reals = [None] * len(q) if real is None else real.unbind()
        alone = [
            attend_by_logarithms(q_, k_, v_, log_features, here, causal=True)[0]
            for q_, k_, v_, here in zip(q, k, v, reals, strict=True)
        ]
        return torch.stack(alone), None
    level = finite(log_k.detach().amax(dim=-2, keepdim=True)) if levels is None else levels.at
    phi_k = log_k.sub_(level).exp_()
    log_q.add_(level)
    phi_q = log_q.sub_(log_q.detach().amax(dim=-1, keepdim=True)).exp_()
    if sign_q is not None and sign_k is not None:
        phi_q, phi_k = phi_q * sign_q, phi_k * sign_k
    if levels is None:
        return attend_to_all(phi_q, phi_k, v), None
    return attend_to_past(phi_q, phi_k, v, levels, past)


def _whole(x: Tensor) -> Tensor:
    """Take a sequence as it is."""
    return x


def attend_to_all(phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Tensor:
    """Attend by features to all positions.

    Parameters
    ----------
    phi_q : Tensor, shape (..., q_len, features)
    phi_k : Tensor, shape (..., kv_len, features)
        Zeros at masked keys.
    v : Tensor, shape (..., kv_len, value_dim)
        Finite at masked keys too.

    Returns
    -------
    Tensor, shape (..., q_len, value_dim)
        Zeros where the denominator is zero.
    """
    sums = phi_q @ (phi_k.mT @ _with_ones(v))
    return normalise(sums[..., :-1], sums[..., -1:])


def attend_to_past(
    phi_q: Tensor, phi_k: Tensor, v: Tensor, levels: KeyLevels, past: Past | None = None
) -> tuple[Tensor, Past]:
    """Attend by features up to each position, in one head, or in several without pieces.

    Parameters
    ----------
    phi_q, phi_k : Tensor, shape (..., chunks, places, features)
        As `cut` gives them, with logarithms measured from `levels`; zeros at masked keys.
    v : Tensor, shape (..., length, value_dim)
        Finite at masked keys too.
    levels : KeyLevels
    past : Past, optional
        What came before this stretch.

    Returns
    -------
    out : Tensor, shape (..., length, value_dim)
        Zeros where the denominator is zero. What comes later cannot change a row, to the bit.
    past : Past
        What comes before the next stretch.
    """
    length = v.shape[-2]
    v = cut(_with_ones(v))
    chunks, pieces = len(v), levels.chunk_of
    if pieces is not None and levels.piece_of is not None:
        # A chunk of several pieces comes once for each, with the others' features hidden.
        numbers = torch.arange(len(pieces), device=v.device)[:, None]
        outside = (levels.piece_of[pieces] != numbers)[..., None]
        phi_q, phi_k = (x[pieces].masked_fill(outside, 0.0) for x in (phi_q, phi_k))
        v = v[pieces]
    sums_of = (*phi_k.shape[:-3], phi_k.shape[-1], v.shape[-1])
    start = phi_k.new_zeros(sums_of) if past is None else past.values
    before, after = _SumBefore.apply(phi_k, v, levels.decay, start)  # type: ignore[no-untyped-call]
    pairs = (phi_q @ phi_k.mT).tril_()  # (..., pieces, places, places)
    inside = pairs @ v
    flat = (x.flatten(0, -3) for x in (inside, phi_q, before))
    sums = torch.baddbmm(*flat).view(inside.shape)
    if pieces is not None:
        sums = sums.new_zeros(chunks, *sums.shape[1:]).index_add(0, pieces, sums)
    sums = sums.flatten(-3, -2)[..., :length, :]
    return normalise(sums[..., :-1], sums[..., -1:]), Past(after, levels.last, levels.top)


def _with_ones(v: Tensor) -> Tensor:
    """Append a column that sums the weights."""
    return torch.cat([v, v.new_ones(*v.shape[:-1], 1)], dim=-1)


class _SumBefore(torch.autograd.Function):
    """The sum before each piece, B_p = γ_p (B_p-1 + φ(k)ᵀ v of piece p - 1), and after the last."""

    @staticmethod
    def forward(
        ctx: Any, phi_k: Tensor, v: Tensor, decay: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(phi_k, v, decay)
        sums = phi_k.mT @ v
        total, following = start.clone(), torch.empty_like(start)
        # In place: fresh memory costs more than the additions.
        for term, factor in zip(sums.unbind(-3), decay[..., None].unbind(-3), strict=True):
            total.mul_(factor)
            torch.add(total, term, out=following)
            term.copy_(total)
            total, following = following, total
        return sums, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_after: Tensor) -> tuple[Tensor, Tensor, None, Tensor]:
        phi_k, v, decay = ctx.saved_tensors
        total = grad_after.clone()
        sums = torch.empty_like(grad)  # the gradients of φ(k)ᵀ v
        pieces = zip(*(x.unbind(-3) for x in (sums, grad, decay[..., None])), strict=True)
        for term, own, factor in reversed([*pieces]):
            term.copy_(total)
            total.add_(own).mul_(factor)
        return v @ sums.mT, phi_k @ sums, None, total
