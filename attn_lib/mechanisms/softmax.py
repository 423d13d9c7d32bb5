"""Softmax attention: every query takes an average of all values, weighted by its scores.

Ashish Vaswani, Noam Shazeer, Niki Parmar, Jakob Uszkoreit, Llion Jones, Aidan N. Gomez, Łukasz
Kaiser, Illia Polosukhin. *Attention Is All You Need.* 2017, arXiv:1706.03762, equation 1. It is the
yardstick that every other mechanism of this library is held against.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib._checks import check_finite_number, check_mask, check_qk, check_qkv
from attn_lib.masks import Mask, dense, full
from attn_lib.masks import causal as causal_mask
from attn_lib.numerics import hide_keys, masked_softmax
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.operators import first_derivatives_only

__all__ = ["softmax_attention", "softmax_weights"]

_INSTEAD = "softmax_weights(...) @ v"


@outside_autocast
def softmax_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    mask: Mask | Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    r"""Softmax attention, :math:`\operatorname{softmax}(s\,QK^\top)V`.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Let position i see positions j ≤ i only; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. A query that may attend to nothing gets zeros.
    mask : mask function or Tensor of bool, optional
        A function of positions (see `attn_lib.masks`) or a tensor that broadcasts to
        (batch, heads, q_len, kv_len); True = attend. It narrows `causal` and `key_mask`.
    scale : float, optional
        Factor s of the scores; head_dim ** -0.5 where it is not given.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        In the dtype of `q`.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, and for a mask that is not bool.
    ValueError
        For shapes, dtypes or devices that do not fit, and for a scale that is not finite.

    Notes
    -----
    Time O(q_len · kv_len · (head_dim + value_dim)). The arithmetic is that of
    ``torch.nn.functional.scaled_dot_product_attention``, whose fused kernels never store the weight
    matrix. Memory is O(q_len · kv_len) all the same where torch has no fused kernel (on a CPU:
    value_dim ≠ head_dim), and for the mask itself where one is written out (`mask`, or `causal`
    together with `key_mask`). `softmax_weights` is the same mathematics in plain sight.

    Examples
    --------
    Two equal keys share the weight:

    >>> q = k = torch.ones(1, 1, 2, 4)
    >>> v = torch.tensor([[[[1.0], [3.0]]]])
    >>> softmax_attention(q, k, v).flatten()
    tensor([2., 2.])
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    scale = _checked_scale(scale, q)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    q_, k, v = first_derivatives_only("softmax_attention", _INSTEAD, q.to(compute), k, v)
    if key_mask is None and mask is None:
        out = F.scaled_dot_product_attention(q_, k, v, is_causal=causal, scale=scale)
    else:
        allowed = _allowed(q, k, causal=causal, key_mask=key_mask, mask=mask)
        out = F.scaled_dot_product_attention(q_, k, v, attn_mask=allowed, scale=scale)
    return out.to(q.dtype)


@outside_autocast
def softmax_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    mask: Mask | Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    r"""The weight matrix :math:`\operatorname{softmax}(s\,QK^\top)` of `softmax_attention`.

    Parameters
    ----------
    q, k, causal, key_mask, mask, scale
        As in `softmax_attention`.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Rows sum to 1, or to 0 where a query may attend to nothing.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    scale = _checked_scale(scale, q)
    allowed = _allowed(q, k, causal=causal, key_mask=key_mask, mask=mask)

    compute = torch.promote_types(q.dtype, torch.float32)
    scores = scale * q.to(compute) @ k.to(compute).mT  # (batch, heads, q_len, kv_len)
    return masked_softmax(scores, allowed).to(q.dtype)


def _checked_scale(scale: float | None, q: Tensor) -> float:
    if scale is None:
        return float(q.shape[-1] ** -0.5)
    return check_finite_number("scale", scale)


def _allowed(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool,
    key_mask: Tensor | None,
    mask: Mask | Tensor | None,
) -> Tensor:
    """All that forbids a pair in one bool tensor, broadcasting to (batch, heads, q_len, kv_len)."""
    batch, heads, q_len, kv_len = *q.shape[:3], k.shape[2]
    allowed = dense(causal_mask() if causal else full(), q_len, kv_len, device=q.device)
    if key_mask is not None:
        allowed = allowed & key_mask[:, None, None, :]
    if mask is None:
        return allowed
    if callable(mask) and not isinstance(mask, Tensor):
        mask = dense(mask, q_len, kv_len, batch=batch, heads=heads, device=q.device)
    check_mask("mask", mask, (batch, heads, q_len, kv_len), q.device)
    return allowed & mask
