"""Softmax attention of few queries to many keys, which a fused kernel is not made for."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib.numerics.masked import masked_softmax
from attn_lib.numerics.operators import Operator

__all__ = ["attend_from_few"]


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
    The fused kernel's backward pass cuts the keys into short blocks. With few queries all weights
    of a head fit into the cache, and whole products are faster: it holds q_len · kv_len numbers at
    a time there. First derivatives only.
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
    grads = tuple(x.new_empty(x.shape) for x in (q, k, v))
    for item, head in itertools.product(range(q.shape[0]), range(q.shape[1])):
        q_h, k_h, v_h, grad = (x[item, head] for x in (q, k, v, grad_out))
        grad_q, grad_k, grad_v = (x[item, head] for x in grads)
        allowed = None if key_mask is None else key_mask[item]
        weights = masked_softmax(scale * q_h @ k_h.mT, allowed)  # (q_len, kv_len)
        torch.mm(weights.mT, grad, out=grad_v)
        grad_scores = (grad @ v_h.mT).sub_(inner[item, head]).mul_(weights.mul_(scale))
        torch.mm(grad_scores, k_h, out=grad_q)
        torch.mm(grad_scores.mT, q_h, out=grad_k)
    return grads


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
