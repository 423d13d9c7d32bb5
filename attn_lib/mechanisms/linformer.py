"""Linformer: mix the keys of all positions into a few, the values too, and attend to the mixtures.

Sinong Wang, Belinda Z. Li, Madian Khabsa, Han Fang, Hao Ma. *Linformer: Self-Attention with Linear
Complexity.* 2020, arXiv:2006.04768, section 4. With E and F (rank, kv_len) projections along the
length,

    out = softmax(s Q (E K)ᵀ) (F V)
"""

from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib._checks import check_finite_number, check_qk, check_qkv
from attn_lib.numerics import hide_keys
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.operators import first_derivatives_only

__all__ = ["linformer_attention", "linformer_weights"]

_INSTEAD = "linformer_weights(...) @ v"


@outside_autocast
def linformer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    key_projection: Tensor,
    value_projection: Tensor,
    scale: float | None = None,
) -> Tensor:
    r"""Softmax attention over a few mixtures of the keys and values.

    .. math:: O = \operatorname{softmax}(s\,Q(EK)^\top)\,FV

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Must be False: there is no causal form.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. Masked keys and values count as zero when they are mixed; the softmax
        over the mixtures is not masked. An item without a real token gets zeros.
    key_projection : Tensor, shape (rank, kv_len) or (heads, rank, kv_len)
        The paper's E: row r holds the share of every position in mixed key r. Of any floating
        dtype; the arithmetic is that of `q`.
    value_projection : Tensor, shape (rank, kv_len) or (heads, rank, kv_len)
        The paper's F, of the same rank.
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
        For shapes, dtypes, devices or options that do not fit.
    NotImplementedError
        If `causal`: a mixed key holds a share of every position, the future's too, and no mask
        over the mixtures can take it out again.

    Notes
    -----
    Time O((q_len + kv_len) · rank · (head_dim + value_dim)), memory
    O(q_len · value_dim + kv_len · (head_dim + value_dim)), and another q_len · rank where torch has
    no fused kernel (on a CPU: value_dim ≠ head_dim). Linear in the length for a fixed rank only,
    and the projections fix the length that they fit.

    The paper's k is our `rank`; it types E as n × k and multiplies it as k × n, as here. Entries of
    E and F may have any sign, so an output need not be an average of values.

    Examples
    --------
    A projection that averages leaves one slot, which holds the mean of the values:

    >>> q = k = v = torch.tensor([[[[1.0], [2.0], [6.0]]]])
    >>> mean = torch.full((1, 3), 1 / 3)
    >>> linformer_attention(q, k, v, key_projection=mean, value_projection=mean).flatten()
    tensor([3., 3., 3.])
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    _check_projections(key_projection, value_projection, k)
    scale = q.shape[-1] ** -0.5 if scale is None else check_finite_number("scale", scale)
    if causal:
        _refuse_causal()

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    mixed_k = _mix(key_projection.to(compute), k)
    mixed_v = _mix(value_projection.to(compute), v)
    q_, mixed_k, mixed_v = first_derivatives_only(
        "linformer_attention", _INSTEAD, q.to(compute), mixed_k, mixed_v
    )
    out = F.scaled_dot_product_attention(q_, mixed_k, mixed_v, scale=scale)
    return out.to(q.dtype)


@outside_autocast
def linformer_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    key_projection: Tensor,
    value_projection: Tensor,
    scale: float | None = None,
) -> Tensor:
    r"""The matrix that `linformer_attention` implies.

    .. math:: \bar P F, \qquad \bar P = \operatorname{softmax}(s\,Q(EK)^\top)

    Parameters
    ----------
    q, k, causal, key_mask, key_projection, value_projection, scale
        As in `linformer_attention`.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Of rank `rank` at most. Rows need not sum to 1, and entries may be
        negative; columns of masked keys are zero.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    _check_projections(key_projection, value_projection, k)
    scale = q.shape[-1] ** -0.5 if scale is None else check_finite_number("scale", scale)
    if causal:
        _refuse_causal()

    compute = torch.promote_types(q.dtype, torch.float32)
    k = hide_keys(k.to(compute), key_mask)
    scores = scale * q.to(compute) @ (key_projection.to(compute) @ k).mT
    slots = torch.softmax(scores, dim=-1)  # (batch, heads, q_len, rank)
    weights = slots @ value_projection.to(compute)  # (batch, heads, q_len, kv_len)
    if key_mask is not None:
        weights = weights.masked_fill(~key_mask[:, None, None, :], 0.0)
    return weights.to(q.dtype)


def _mix(projection: Tensor, x: Tensor) -> Tensor:
    """Mix the rows of x (batch, heads, kv_len, width) into (batch, heads, rank, width)."""
    if projection.dim() == 2:  # one product for all heads
        return torch.einsum("rj,bhjd->bhrd", projection, x)
    return torch.einsum("hrj,bhjd->bhrd", projection, x)


def _check_projections(key_projection: Tensor, value_projection: Tensor, k: Tensor) -> None:
    heads, kv_len = k.shape[1:3]
    for name, value in (
        ("key_projection", key_projection),
        ("value_projection", value_projection),
    ):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
        if not value.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {value.dtype}")
        shape = tuple(value.shape)
        if len(shape) < 2 or shape not in ((shape[-2], kv_len), (heads, shape[-2], kv_len)):
            raise ValueError(
                f"{name} must have shape (rank, {kv_len}) or ({heads}, rank, {kv_len}) to fit k, "
                f"got {shape}"
            )
        if shape[-2] == 0:
            raise ValueError(f"{name} must have rank of at least 1, got {shape}")
        if value.device != k.device:
            raise ValueError(f"{name} must be on k's device {k.device}, got {value.device}")
    if key_projection.shape[-2] != value_projection.shape[-2]:
        raise ValueError(
            f"value_projection must have key_projection's rank {key_projection.shape[-2]}, "
            f"got {value_projection.shape[-2]}"
        )


def _refuse_causal() -> NoReturn:
    raise NotImplementedError(
        "Linformer (Wang et al. 2020, arXiv:2006.04768) has no causal form: each of its mixed keys "
        "and values holds a share of every position, so a mask cannot keep the future out"
    )
