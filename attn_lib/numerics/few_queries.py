"""Softmax attention of few queries to many keys, which a fused kernel is not made for."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib.numerics.operators import Operator
from attn_lib.numerics.portions import portions

__all__ = ["attend_from_few"]

_HELD = 2**19
"""Weights that are held at a time, at most, unless one query alone has more."""


def attend_from_few(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None = None) -> Tensor:
    r"""Softmax attention, :math:`\operatorname{softmax}(Q K^\top / \sqrt d)\,V`, of few queries.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = take part. A query that may attend to nothing gets zeros.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)

    Notes
    -----
    The fused kernel's backward pass cuts the keys into short blocks. With few queries the weights
    of some of them to all keys fit into the cache, and longer products are faster: it holds as
    many there as fit. First derivatives only.
    """
    return _ATTEND(q, k, v, key_mask)


def _forward(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> tuple[Tensor]:
    allowed = None if key_mask is None else key_mask[:, None, None, :]
    return (F.scaled_dot_product_attention(q, k, v, attn_mask=allowed),)


def _backward(
    grad_out: Tensor, q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, out: Tensor
) -> tuple[Tensor, ...]:
    scale = q.shape[-1] ** -0.5
    inner = (grad_out * out).sum(dim=-1, keepdim=True)
    grads = q.new_zeros(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)
    rows = [*portions(q.shape[2], k.shape[2], _HELD)]
    # Fresh memory costs more than the arithmetic: all portions share the same.
    held = q.new_empty(2, rows[0].stop if rows else 0, k.shape[2])
    for item, head in itertools.product(range(q.shape[0]), range(q.shape[1])):
        q_h, grad_h, inner_h, grad_q = (x[item, head] for x in (q, grad_out, inner, grads[0]))
        k_h, v_h, grad_k, grad_v = (x[item, head] for x in (k, v, *grads[1:]))
        allowed = None if key_mask is None else key_mask[item]
        for some in rows:
            grad, beta = grad_h[some], float(some.start > 0)  # the first portion begins the sums
            weights, grad_scores = held[:, : len(grad)]  # (some of q_len, kv_len)
            torch.mm(q_h[some] * scale, k_h.mT, out=weights)
            _softmax_(weights, allowed)
            torch.addmm(grad_v, weights.mT, grad, beta=beta, out=grad_v)
            torch.mm(grad, v_h.mT, out=grad_scores).sub_(inner_h[some]).mul_(weights)
            torch.mm(grad_scores, k_h, out=grad_q[some]).mul_(scale)
            torch.addmm(grad_k, grad_scores.mT, q_h[some], beta=beta, alpha=scale, out=grad_k)
    return grads


def _softmax_(scores: Tensor, allowed: Tensor | None) -> None:
    """Take the softmax over the allowed keys (kv_len), in place; zeros where there are none."""
    if allowed is not None:
        scores.masked_fill_(~allowed, -math.inf)
    torch.softmax(scores, dim=-1, out=scores)
    if allowed is not None:
        scores.masked_fill_(~allowed.any(), 0.0)


def _shapes(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> tuple[Tensor]:
    return (v.new_empty(*q.shape[:3], v.shape[-1]),)


_ATTEND = Operator(
    "attend_from_few",
    _forward,
    _backward,
    shapes=_shapes,
    inputs=3,
    instead="softmax attention written out",
)
