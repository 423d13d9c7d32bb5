"""Attention by features: similarity φ(q)·φ(k), so that φ(q) (φ(k)ᵀ v) costs no n × n matrix.

`attend_by_features` is attention whose weights are products of features, in both directions or
causal. `key_levels` keeps features that are exponentials in range without letting the future in.
`head_by_head` computes a head at a time, so that a head's features stay in cache.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib.numerics import pad_length

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

_BATCH = 2**19
"""Features held at a time by `attend_by_features`: 2 MB in float32 stay in a core's cache."""

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
        What the logarithms of `phi_k` and `phi_q` are measured from; for one head, of tensors
        without leading axes. With `causal`, `phi_q` and `phi_k` are then as `cut` gives them.
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
    if levels is None:
        flat = (x.flatten(0, -3) if x.dim() > 2 else x[None] for x in (phi_q, phi_k, v))
        out: Tensor = _AttendByFeatures.apply(*flat, causal, eps)  # type: ignore[no-untyped-call]
        return out.view(*phi_q.shape[:-1], v.shape[-1])
    v = torch.cat([v, v.new_ones(*v.shape[:-1], 1)], dim=-1)  # the last column sums the weights
    sums = _sum_past(phi_q, phi_k, v, levels) if causal else phi_q @ (phi_k.mT @ v)
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
    return out / total.masked_fill(total == 0, math.inf)


@dataclass(frozen=True)
class _Sums:
    """What some slices (a slice is one head of one batch item) sum up, cut into chunks.

    Without `causal` the whole length is one chunk, and its sums hold it all.
    """

    values: Tensor  # Σ φ(k_j)ᵀ v_j before each chunk, (slices, chunks, features, value_dim)
    norm: Tensor  # Σ φ(k_j) before each chunk, (slices, chunks, 1, features)
    pairs: Tensor | None  # φ(q_i)·φ(k_j) inside each chunk, (slices, chunks, places, places)


def _sums(phi_q: Tensor, phi_k: Tensor, v: Tensor, causal: bool) -> _Sums:
    values, norm = phi_k.mT @ v, phi_k.sum(dim=-2, keepdim=True)
    if not causal:
        return _Sums(values, norm, None)
    return _Sums(_sum_before_(values), _sum_before_(norm), (phi_q @ phi_k.mT).tril_())


def _sum_before_(terms: Tensor, *, backwards: bool = False) -> Tensor:
    """Replace the terms of each chunk by the sum of those before it, or after it.

    In place, along the second axis: fresh memory costs more than the additions.
    """
    total, following = torch.zeros_like(terms[:, 0]), torch.empty_like(terms[:, 0])
    chunks = range(terms.shape[1])
    for c in reversed(chunks) if backwards else chunks:
        torch.add(total, terms[:, c], out=following)
        terms[:, c] = total
        total, following = following, total
    return terms


class _AttendByFeatures(torch.autograd.Function):
    """Some slices at a time, so that what they need stays in a core's cache."""

    @staticmethod
    def forward(
        ctx: Any, phi_q: Tensor, phi_k: Tensor, v: Tensor, causal: bool, eps: float
    ) -> Tensor:
        length = phi_q.shape[-2]
        if causal:
            phi_q, phi_k, v = cut(phi_q), cut(phi_k), cut(v)
        else:
            phi_q, phi_k, v = phi_q[:, None], phi_k[:, None], v[:, None]
        out = v.new_empty(*phi_q.shape[:-1], v.shape[-1])
        total = v.new_empty(*phi_q.shape[:-1], 1)
        for s in _slices(phi_q, phi_k):
            sums = _sums(phi_q[s], phi_k[s], v[s], causal)
            _multiply(phi_q[s], sums.values, out[s])
            _multiply(phi_q[s], sums.norm.mT, total[s])
            if sums.pairs is not None:
                _add_product(out[s], sums.pairs, v[s])
                total[s] += sums.pairs.sum(dim=-1, keepdim=True)
            total[s] += eps
            out[s] /= total[s].masked_fill_(total[s] == 0, math.inf)
        ctx.causal, ctx.length = causal, length
        ctx.save_for_backward(phi_q, phi_k, v, out, total)
        return out.flatten(1, 2)[:, :length]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        phi_q, phi_k, v, out, total = ctx.saved_tensors
        grad_out = cut(grad_out) if ctx.causal else grad_out[:, None]
        grad_q, grad_k, grad_v = (
            torch.empty_like(x, memory_format=torch.contiguous_format) for x in (phi_q, phi_k, v)
        )
        for s in _slices(phi_q, phi_k):
            sums = _sums(phi_q[s], phi_k[s], v[s], ctx.causal)
            grad = grad_out[s] / total[s]
            inner = (grad * out[s]).sum(dim=-1, keepdim=True)
            grad_values, grad_norm = phi_q[s].mT @ grad, inner.mT @ phi_q[s]
            if ctx.causal:
                grad_values, grad_norm = (
                    _sum_before_(x, backwards=True) for x in (grad_values, grad_norm)
                )
            _multiply(grad, sums.values.mT, grad_q[s]).addcmul_(inner, sums.norm, value=-1)
            _multiply(v[s], grad_values.mT, grad_k[s]).sub_(grad_norm)
            _multiply(phi_k[s], grad_values, grad_v[s])
            if sums.pairs is not None:
                grad_pairs = (grad @ v[s].mT).sub_(inner).tril_()
                _add_product(grad_q[s], grad_pairs, phi_k[s])
                _add_product(grad_k[s], grad_pairs.mT, phi_q[s])
                _add_product(grad_v[s], sums.pairs.mT, grad)
        length = ctx.length if ctx.causal else None
        return *(x.flatten(1, 2)[:, :length] for x in (grad_q, grad_k, grad_v)), None, None


def _slices(phi_q: Tensor, phi_k: Tensor) -> Iterator[slice]:
    """Yield as many slices at a time as have about `_BATCH` features, one at least."""
    if largest := max(phi_q.numel(), phi_k.numel()):
        step = max(1, _BATCH * len(phi_q) // largest)
        for first in range(0, len(phi_q), step):
            yield slice(first, first + step)


def _multiply(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Write left @ right, each (slices, chunks, rows, columns), to `out`."""
    torch.bmm(left.flatten(0, 1), right.flatten(0, 1), out=out.flatten(0, 1))
    return out


def _add_product(out: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right, each (slices, chunks, rows, columns), to `out`."""
    out.flatten(0, 1).baddbmm_(left.flatten(0, 1), right.flatten(0, 1))


def _sum_past(phi_q: Tensor, phi_k: Tensor, v: Tensor, levels: KeyLevels) -> Tensor:
    """Return φ(q_i) Σ_{j ≤ i} φ(k_j)ᵀ v_j for one head, all chunks together."""
    length, v = len(v), cut(v)
    chunks, pieces = len(v), levels.chunk_of
    if pieces is not None and levels.piece_of is not None:
        # A chunk of several pieces comes once for each, with the others' features hidden.
        numbers = torch.arange(len(pieces), device=v.device)[:, None]
        outside = (levels.piece_of[pieces] != numbers)[..., None]
        phi_q, phi_k = (x[pieces].masked_fill(outside, 0.0) for x in (phi_q, phi_k))
        v = v[pieces]
    before = _SumBefore.apply(phi_k, v, levels.decay)  # type: ignore[no-untyped-call]
    pairs = (phi_q @ phi_k.mT).tril_()  # (pieces, places, places)
    out = torch.baddbmm(pairs @ v, phi_q, before)
    if pieces is not None:
        out = out.new_zeros(chunks, *out.shape[1:]).index_add(0, pieces, out)
    return out.flatten(0, 1)[:length]


class _SumBefore(torch.autograd.Function):
    """What was summed before each piece: B_p = γ_p (B_p-1 + φ(k)ᵀ v), the latter of piece p - 1."""

    @staticmethod
    def forward(ctx: Any, phi_k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
        ctx.save_for_backward(phi_k, v, decay)
        sums = phi_k.mT @ v
        total, following = torch.zeros_like(sums[0]), torch.empty_like(sums[0])
        for p, factor in enumerate(decay[:, :, None]):  # in place: fresh memory is dear
            total *= factor
            torch.add(total, sums[p], out=following)
            sums[p] = total
            total, following = following, total
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        phi_k, v, decay = ctx.saved_tensors
        sums = torch.empty_like(grad)
        sums[-1] = 0.0
        for p in reversed(range(1, len(grad))):
            torch.add(sums[p], grad[p], out=sums[p - 1]).mul_(decay[p, :, None])
        return v @ sums.mT, phi_k @ sums, None


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
        out = v.new_empty(*q.shape[:2], v.shape[-1])
        if not (out.numel() and v.shape[1]):
            return out.zero_()
        for s in range(len(q)):
            real = None if masks is None else masks[s]
            out[s] = attend(q[s], k[s], v[s], *shared, real)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        empty = not (grad_out.numel() and tensors[2].shape[1])
        grads = [
            None if not need else torch.zeros_like(x) if place > 2 or empty else torch.empty_like(x)
            for place, (x, need) in enumerate(zip(tensors, wanted, strict=True))
        ]
        for s in () if empty else range(len(grad_out)):
            leaves = [x[s].detach() if place < 3 else x.detach() for place, x in enumerate(tensors)]
            asked = [x.requires_grad_() for x, need in zip(leaves, wanted, strict=True) if need]
            with torch.enable_grad():
                out = ctx.attend(*leaves, None if ctx.masks is None else ctx.masks[s])
            found = iter(torch.autograd.grad(out, asked, grad_out[s]))
            for place, grad in enumerate(grads):
                if grad is not None and place < 3:
                    grad[s] = next(found)
                elif grad is not None:
                    grad += next(found)
        return None, None, *grads
