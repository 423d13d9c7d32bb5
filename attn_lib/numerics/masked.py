"""What a masked key does: it takes no part in a softmax, and stands for zero elsewhere."""

import math

import torch
from torch import Tensor

__all__ = ["hide_keys", "masked_softmax"]


def masked_softmax(scores: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Softmax over the last axis among the allowed entries; a row that allows none is all zeros.

    Parameters
    ----------
    scores : Tensor, shape (..., q_len, kv_len)
    allowed : Tensor of bool, broadcasting to the shape of `scores`, optional
        True = take part.

    Returns
    -------
    Tensor, shape (..., q_len, kv_len)
        Rows sum to 1 or to 0; gradients are finite either way.

    Notes
    -----
    Filling with a large negative number instead would average the forbidden keys in a row that
    allows none; filling with -inf alone would give NaN there.
    """
    if allowed is None:
        return torch.softmax(scores, dim=-1)
    weights = torch.softmax(scores.masked_fill(~allowed, -math.inf), dim=-1)
    return weights.masked_fill(~allowed.any(dim=-1, keepdim=True), 0.0)


def hide_keys(x: Tensor, key_mask: Tensor | None) -> Tensor:
    """Set masked positions of keys or values to zero, so that nothing in them can overflow.

    Parameters
    ----------
    x : Tensor, shape (batch, heads, kv_len, width)
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token.

    Returns
    -------
    Tensor, shape (batch, heads, kv_len, width)
        A new tensor; `x` itself where there is no mask.
    """
    if key_mask is None:
        return x
    return x.masked_fill(~key_mask[:, None, :, None], 0.0)
