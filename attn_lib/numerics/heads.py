"""A head, and a stretch of the sequence, at a time, so that what it needs stays in cache."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from attn_lib.numerics.levels import Past, attend_by_logarithms
from attn_lib.numerics.operators import Operator
from attn_lib.numerics.portions import IN_CACHE, portions

__all__ = ["attend_head_by_head", "head_operator"]

_Features = Callable[[Tensor], tuple[Tensor | None, Tensor]]
_LogFeatures = Callable[[Tensor, Tensor, str], tuple[Tensor | None, Tensor]]

_STRETCH = 2048
"""Positions that a causal sum takes at a time."""


def attend_head_by_head(
    operator: Operator,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    projection: Tensor,
    *,
    kernel: str,
    causal: bool = False,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Compute a head or a few at a time, and again backward, so that temporaries stay in cache.

    Parameters
    ----------
    operator : Operator
        From `head_operator`; it knows the features.
    q : Tensor, shape (batch, heads, q_len, width)
    k : Tensor, shape (batch, heads, kv_len, width)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
        Finite at masked keys too.
    projection : Tensor
        What the features of all heads share; gradients flow to it as well.
    kernel : str
        Which features they are.
    causal : bool
        Let position i see positions j ≤ i only; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        Zeros where there is no key.

    Notes
    -----
    Nothing is kept between forward and backward but the inputs, the output and one `Past` for every
    stretch but the first. First derivatives only.
    """
    real = None if key_mask is None else key_mask.repeat_interleave(q.shape[1], dim=0)
    flat = (x.flatten(0, 1) for x in (q, k, v))
    out = operator(*flat, projection, real, causal, kernel)
    return out.view(*q.shape[:-1], v.shape[-1])


def head_operator(
    name: str,
    log_features: _LogFeatures,
    widths: Callable[[Tensor, str], tuple[int, int]],
    *,
    instead: str,
) -> Operator:
    """Make the operator of attention by features given as logarithms.

    Parameters
    ----------
    name, instead
        As in `Operator`.
    log_features : callable
        ``(x, projection, kernel) -> (factors, logarithms)`` as `attend_by_logarithms` wants them.
        It must give the same when it is called again.
    widths : callable
        ``(projection, kernel) -> (features, logarithms)``, how many there are of each.

    Returns
    -------
    Operator
        ``(q, k, v, projection, real, causal, kernel)``, of slices: q (slices, q_len, width), real
        (slices, kv_len) of bool or None. `attend_head_by_head` calls it.
    """

    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        projection: Tensor,
        real: Tensor | None,
        causal: bool,
        kernel: str,
    ) -> tuple[Tensor, Tensor]:
        out, pasts = shapes(q, k, v, projection, real, causal, kernel)
        if not (out.numel() and v.shape[1]):
            return out.zero_(), pasts
        features = _bound(log_features, projection, kernel)
        sizes = past_sizes(v, projection, kernel)
        for s in _heads(q, k, causal, widths(projection, kernel)[0]):
            past = None
            for turn, part in enumerate(_stretches(q, k, causal)):
                if past is not None:
                    numbers = past.values.flatten(), past.level, past.top
                    torch.cat(numbers, out=_past(pasts[s], turn, sizes))
                here = None if real is None else real[s, part]
                out[s, part], past = attend_by_logarithms(
                    q[s, part], k[s, part], v[s, part], features, here, past, causal=causal
                )
        return out, pasts

    def backward(
        grad_out: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        projection: Tensor,
        real: Tensor | None,
        causal: bool,
        kernel: str,
        out: Tensor,
        pasts: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        grad_q, grad_k, grad_v = (x.new_empty(x.shape) for x in (q, k, v))
        grad_projection = projection.new_zeros(projection.shape)
        if not (grad_out.numel() and v.shape[1]):
            return grad_q.zero_(), grad_k.zero_(), grad_v.zero_(), grad_projection
        sizes = past_sizes(v, projection, kernel)
        for s in _heads(q, k, causal, widths(projection, kernel)[0]):
            grad_after = None
            for turn, part in reversed([*enumerate(_stretches(q, k, causal))]):
                given = q[s, part], k[s, part], v[s, part], projection
                leaves = [x.detach().requires_grad_() for x in given]
                q_, k_, v_, projection_ = leaves
                features = _bound(log_features, projection_, kernel)
                here = None if real is None else real[s, part]
                past = None
                if turn:
                    values, level, top = _past(pasts[s], turn, sizes).split(sizes)
                    values = values.view(-1, v.shape[-1] + 1).detach().requires_grad_()
                    leaves.append(values)
                    past = Past(values, level, top)
                with torch.enable_grad():
                    found, after = attend_by_logarithms(
                        q_, k_, v_, features, here, past, causal=causal
                    )
                sinks, grad_sinks = [found], [grad_out[s, part]]
                if after is not None and grad_after is not None:
                    sinks, grad_sinks = [found, after.values], [*grad_sinks, grad_after]
                grads = torch.autograd.grad(sinks, leaves, grad_sinks)
                grad_q[s, part], grad_k[s, part], grad_v[s, part] = grads[:3]
                grad_projection += grads[3]
                grad_after = grads[4] if turn else None
        return grad_q, grad_k, grad_v, grad_projection

    def shapes(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        projection: Tensor,
        real: Tensor | None,
        causal: bool,
        kernel: str,
    ) -> tuple[Tensor, Tensor]:
        slices, length = q.shape[:2]
        out = v.new_empty(slices, length, v.shape[-1])
        turns = (max(length, 1) - 1) // _STRETCH if causal else 0
        # Two numbers more than there are, since torch would guard on a tensor that may be empty.
        return out, v.new_zeros(slices, turns * sum(past_sizes(v, projection, kernel)) + 2)

    def past_sizes(v: Tensor, projection: Tensor, kernel: str) -> list[int]:
        features, logarithms = widths(projection, kernel)
        return [features * (v.shape[-1] + 1), logarithms, logarithms]

    return Operator(name, forward, backward, shapes=shapes, inputs=4, instead=instead, shared=True)


def _heads(q: Tensor, k: Tensor, causal: bool, features: int) -> Iterator[int | slice]:
    """Give the heads, one by one where they are long, and else as many as stay in cache."""
    longest = max(q.shape[1], k.shape[1])
    for some in portions(len(q), longest * features, IN_CACHE):
        if some.stop - some.start == 1 or (causal and longest > _STRETCH):
            yield from range(some.start, some.stop)
        else:
            yield some


def _past(pasts: Tensor, turn: int, sizes: list[int]) -> Tensor:
    """Return the numbers of the `Past` of one head's stretch, the first of which has none."""
    return pasts[(turn - 1) * sum(sizes) : turn * sum(sizes)]


def _bound(log_features: _LogFeatures, projection: Tensor, kernel: str) -> _Features:
    return lambda x: log_features(x, projection, kernel)


def _stretches(q: Tensor, k: Tensor, causal: bool) -> list[slice]:
    """Cut the sequence; it stays whole unless `causal`."""
    length = max(q.shape[1], k.shape[1])
    stretch = _STRETCH if causal else length
    return [slice(first, first + stretch) for first in range(0, length, stretch)]
