"""Attention by features: similarity φ(q)·φ(k), so that φ(q) (φ(k)ᵀ v) costs no n × n matrix."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib.numerics import pad_length

__all__ = ["attend_by_features", "cut", "normalise"]

_PLACES = 64
"""Positions in a chunk, whose pairs are multiplied out."""

_BATCH = 2**19
"""Features held at a time by `attend_by_features`: 2 MB in float32 stay in a core's cache."""


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


def attend_by_features(
    phi_q: Tensor,
    phi_k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
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
    flat = (x.flatten(0, -3) if x.dim() > 2 else x[None] for x in (phi_q, phi_k, v))
    out: Tensor = _AttendByFeatures.apply(*flat, causal, eps)  # type: ignore[no-untyped-call]
    return out.view(*phi_q.shape[:-1], v.shape[-1])


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
