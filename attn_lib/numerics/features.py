"""Attention by features: similarity φ(q)·φ(k), so that φ(q) (φ(k)ᵀ v) costs no n × n matrix."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from attn_lib.numerics.operators import Operator
from attn_lib.numerics.padding import pad_length
from attn_lib.numerics.portions import IN_CACHE, IN_CACHES, portions

__all__ = ["FeatureMap", "attend_by_features", "cut", "feature_operator", "normalise"]

FeatureMap = Callable[[Tensor], Tensor]

_PLACES = 64
"""Positions in a chunk at most, whose pairs are multiplied out."""

_ROWS = 8
"""What the positions in a chunk are a multiple of."""


def cut(x: Tensor) -> Tensor:
    """Cut a sequence into the chunks of a causal sum, the last one filled up with zeros.

    Parameters
    ----------
    x : Tensor, shape (..., length, width)

    Returns
    -------
    Tensor, shape (..., chunks, places, width)
        A view of `x` where its length is a multiple of the places in a chunk.

    Notes
    -----
    Places are a multiple of 8: rows beyond a full register of a matrix product may be summed in
    another order in a batch of another size, as `attend_to_past` takes where a key climbs, and then
    what comes later would change a row in its last bit.
    """
    places = min(_PLACES, max(1, -(-x.shape[-2] // _ROWS)) * _ROWS)
    chunks = -(-x.shape[-2] // places)
    padded = pad_length(x, chunks * places)
    return padded.view(*x.shape[:-2], chunks, places, x.shape[-1])


def attend_by_features(
    operator: Operator,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    eps: float = 0.0,
    option: int = 0,
    key_mask: Tensor | None = None,
) -> Tensor:
    r"""Attention whose similarity is a product of features, in time linear in the length.

    .. math:: o_i = \frac{\phi(q_i) \sum_j \phi(k_j)^\top v_j}
        {\phi(q_i) \cdot \sum_j \phi(k_j) + \varepsilon}

    Parameters
    ----------
    operator : Operator
        From `feature_operator`; it knows φ.
    q : Tensor, shape (batch, heads, q_len, width)
    k : Tensor, shape (batch, heads, kv_len, width)
        What the operator makes features of, or features.
    v : Tensor, shape (batch, heads, kv_len, value_dim)
        Finite at masked keys too. One dtype for all three.
    causal : bool
        Let j run up to i only; needs q_len == kv_len.
    eps : float
        Added to the denominator.
    option : int
        What φ depends on besides its vectors.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        Where it is False the features of a key are set to zero.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        Zeros where the denominator is zero. With `causal` what comes later cannot change a row, to
        the bit.

    Notes
    -----
    Time O(length · features · value_dim). The causal form cuts the sequence into chunks: inside a
    chunk the pairs are multiplied out, and what came before enters through one (features,
    value_dim) matrix a chunk, the sum so far.
    """
    heads = q.shape[1]
    real = None if key_mask is None else key_mask.repeat_interleave(heads, dim=0)
    flat = (x.flatten(0, 1) for x in (q, k, v))
    out = operator(*flat, real, causal, eps, option)
    return out.view(*q.shape[:-1], v.shape[-1])


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


def feature_operator(
    name: str, make_map: Callable[[Tensor, Tensor, int], FeatureMap], *, instead: str
) -> Operator:
    """Make the operator of attention by features.

    Parameters
    ----------
    name, instead
        As in `Operator`.
    make_map : callable
        ``(q, k, option) -> feature_map``, called once for all slices. The map, (some slices,
        length, width) → (some slices, length, features), has no parameters: it is computed some
        heads at a time and again backward, so that all features are never held at once.

    Returns
    -------
    Operator
        ``(q, k, v, real, causal, eps, option)``, of slices: q (slices, q_len, width), real
        (slices, kv_len) of bool or None. `attend_by_features` calls it.
    """

    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        real: Tensor | None,
        causal: bool,
        eps: float,
        option: int,
    ) -> tuple[Tensor, Tensor]:
        out, total = shapes(q, k, v)
        feature_map = make_map(q, k, option)
        for s in _slices(q, k, IN_CACHES):
            phi_q, phi_k = _features(q[s], k[s], feature_map, None if real is None else real[s])
            sums = _Sums.of(phi_q, phi_k, v[s], causal)
            weighted, weight = map(sums.join, sums.of_queries())
            weight = weight.add_(eps).masked_fill_(weight == 0, math.inf)
            torch.div(weighted, weight, out=out[s])
            total[s] = weight
        return out, total

    def backward(
        grad_out: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        real: Tensor | None,
        causal: bool,
        eps: float,
        option: int,
        out: Tensor,
        total: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        grad_q, grad_k, grad_v = (
            torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v)
        )
        feature_map = make_map(q, k, option)
        for s in _slices(q, k, IN_CACHE):  # fewer, since more is held of each
            leaves = q[s].detach().requires_grad_(), k[s].detach().requires_grad_()
            with torch.enable_grad():
                phi = _features(*leaves, feature_map, None if real is None else real[s])
            phi_q, phi_k = (x.detach() for x in phi)
            sums = _Sums.of(phi_q, phi_k, v[s], causal)
            grad = grad_out[s] / total[s]
            inner = (grad * out[s]).sum(dim=-1, keepdim=True)
            *grad_phi, grad_v[s] = sums.gradients(grad, inner)
            grad_q[s], grad_k[s] = torch.autograd.grad(phi, leaves, grad_phi)
        return grad_q, grad_k, grad_v

    def shapes(q: Tensor, k: Tensor, v: Tensor, *options: object) -> tuple[Tensor, Tensor]:
        return v.new_empty(*q.shape[:2], v.shape[-1]), v.new_empty(*q.shape[:2], 1)

    return Operator(name, forward, backward, shapes=shapes, inputs=3, instead=instead)


def _features(
    q: Tensor, k: Tensor, feature_map: FeatureMap, real: Tensor | None
) -> tuple[Tensor, Tensor]:
    phi_q, phi_k = feature_map(q), feature_map(k)
    return phi_q, phi_k if real is None else phi_k.masked_fill(~real[..., None], 0.0)


def _slices(q: Tensor, k: Tensor, held: int) -> Iterator[slice]:
    return portions(len(q), max(x[:1].numel() for x in (q, k)), held)


@dataclass(frozen=True)
class _Sums:
    """What some slices sum up, cut into chunks: (slices, chunks, places, width).

    Without `causal` the whole length is one chunk, and its sums hold it all.
    """

    phi_q: Tensor
    phi_k: Tensor
    v: Tensor
    values: Tensor  # Σ φ(k_j)ᵀ v_j before each chunk, (slices, chunks, features, value_dim)
    norm: Tensor  # Σ φ(k_j) before each chunk, (slices, chunks, 1, features)
    pairs: Tensor | None  # φ(q_i)·φ(k_j) inside each chunk, (slices, chunks, places, places)
    length: int | None  # of queries and keys where causal: the last chunk is filled up

    @classmethod
    def of(cls, phi_q: Tensor, phi_k: Tensor, v: Tensor, causal: bool) -> Self:
        length = phi_q.shape[1] if causal else None
        split = cut if causal else _whole
        phi_q, phi_k, v = split(phi_q), split(phi_k), split(v)
        values, norm, pairs = phi_k.mT @ v, phi_k.sum(dim=-2, keepdim=True), None
        if causal:
            values, norm = _sum_before_(values), _small_sum_before(norm)
            pairs = (phi_q @ phi_k.mT).tril_()
        return cls(phi_q, phi_k, v, values, norm, pairs, length)

    def of_queries(self) -> tuple[Tensor, Tensor]:
        """Weighted sums of the values, and the sums of their weights."""
        weighted, weight = self.phi_q @ self.values, self.phi_q @ self.norm.mT
        if self.pairs is not None:
            _add_product(weighted, self.pairs, self.v)
            weight += self.pairs.sum(dim=-1, keepdim=True)
        return weighted, weight

    def gradients(self, grad: Tensor, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of φ(q), φ(k) and v, from that of `weighted` and minus that of `weight`."""
        split = _whole if self.pairs is None else cut
        grad, inner = split(grad), split(inner)
        grad_values, grad_norm = self.phi_q.mT @ grad, inner.mT @ self.phi_q
        if self.pairs is not None:
            grad_values = _sum_before_(grad_values, backwards=True)
            grad_norm = _small_sum_before(grad_norm, backwards=True)
        grad_q = (grad @ self.values.mT).addcmul_(inner, self.norm, value=-1)
        grad_k = (self.v @ grad_values.mT).sub_(grad_norm)
        grad_v = self.phi_k @ grad_values
        if self.pairs is not None:
            grad_pairs = (grad @ self.v.mT).sub_(inner).tril_()
            _add_product(grad_q, grad_pairs, self.phi_k)
            _add_product(grad_k, grad_pairs.mT, self.phi_q)
            _add_product(grad_v, self.pairs.mT, grad)
        return self.join(grad_q), self.join(grad_k), self.join(grad_v)

    def join(self, x: Tensor) -> Tensor:
        """Put the chunks of queries, or of keys, together again."""
        return x.flatten(1, 2)[:, : self.length]


def _whole(x: Tensor) -> Tensor:
    """Take the whole length for one chunk."""
    return x[:, None]


def _sum_before_(terms: Tensor, *, backwards: bool = False) -> Tensor:
    """Replace the terms of each chunk by the sum of those before it, or after it.

    In place, along the second axis: fresh memory costs more than the additions.
    """
    chunks = terms.unbind(1)
    total, following = torch.zeros_like(chunks[0]), torch.empty_like(chunks[0])
    for term in reversed(chunks) if backwards else chunks:
        torch.add(total, term, out=following)
        term.copy_(total)
        total, following = following, total
    return terms


def _small_sum_before(terms: Tensor, *, backwards: bool = False) -> Tensor:
    """Return the same sums, where a chunk has so few numbers that a loop would cost more."""
    if backwards:
        return _small_sum_before(terms.flip(1)).flip(1)
    sums = torch.zeros_like(terms)
    torch.cumsum(terms[:, :-1], dim=1, out=sums[:, 1:])
    return sums


def _add_product(out: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right, each (slices, chunks, rows, columns), to `out`."""
    out.flatten(0, 1).baddbmm_(left.flatten(0, 1), right.flatten(0, 1))
