"""Efficient Attention: one softmax over a query's features, one over the positions of the keys.

Zhuoran Shen, Mingyuan Zhang, Haiyu Zhao, Shuai Yi, Hongsheng Li. *Efficient Attention: Attention
with Linear Complexities.* 2018, arXiv:1812.01243. With ρ_q and ρ_k the two
normalisations,

    out = ρ_q(Q) (ρ_k(K)ᵀ V)

Each column of ρ_k(K), a template, weighs all positions. The values averaged with it are a global
context vector, and a query mixes these vectors: no n × n matrix.
"""

import math
from collections.abc import Iterator
from typing import NoReturn

import torch
from torch import Tensor

from attn_lib._checks import check_choice, check_qk, check_qkv
from attn_lib.numerics import hide_keys, masked_softmax
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.operators import Operator
from attn_lib.numerics.portions import IN_CACHES, portions

__all__ = ["efficient_attention", "efficient_factors", "efficient_weights"]

_NORMALIZATIONS = ("softmax", "scaling")


@outside_autocast
def efficient_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    normalization: str = "softmax",
) -> Tensor:
    r"""Average the values once for each feature of the keys, and let every query mix the averages.

    .. math:: O = \rho_q(Q) \big(\rho_k(K)^\top V\big)

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Must be False: there is no causal form.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. A query that may attend to nothing gets zeros.
    normalization : "softmax" or "scaling"
        "softmax": ρ_q is the softmax of each query over its features, ρ_k that of each feature
        over the positions of the real keys. "scaling": both divide by √n, with n real keys.

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
        If `causal`: ρ_k normalises each feature over all positions, the future's too.

    Notes
    -----
    Time O((q_len + kv_len) · head_dim · value_dim), memory O((q_len + kv_len) · (head_dim +
    value_dim) + head_dim · value_dim). First derivatives only.

    With "softmax" every output is a convex combination of head_dim context vectors, which are
    convex combinations of the values. It is a function of its own and no estimate of softmax
    attention; there is no 1/√d. With "scaling" it is dot-product attention Q Kᵀ V / n, by
    associativity.

    The paper's d_k and d_v are our `head_dim` and `value_dim`. It has one head.

    Examples
    --------
    Where a key's features are the same at all positions, every output is the mean of the values:

    >>> q, k = torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 4)
    >>> v = torch.tensor([1.0, 2.0, 6.0]).view(1, 1, 3, 1)
    >>> efficient_attention(q, k, v).flatten()
    tensor([3., 3., 3.])
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    check_choice("normalization", normalization, _NORMALIZATIONS)
    if causal:
        _refuse_causal()

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = k.to(compute), hide_keys(v.to(compute), key_mask)
    if normalization == "scaling" or k.shape[2] == 0:
        context = hide_keys(k, key_mask).mT @ v / _count(k, key_mask)
        return (q.to(compute) @ context).to(q.dtype)
    if key_mask is not None:
        k = k.masked_fill(~key_mask[:, None, :, None], -math.inf)
    flat = (x.flatten(0, 1) for x in (q.to(compute), k, v))
    out = _MIX_CONTEXTS(*flat)
    return out.view(*q.shape[:3], v.shape[-1]).to(q.dtype)


@outside_autocast
def efficient_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    normalization: str = "softmax",
) -> Tensor:
    r"""The matrix that `efficient_attention` implies.

    .. math:: \rho_q(Q) \, \rho_k(K)^\top

    Parameters
    ----------
    q, k, causal, key_mask, normalization
        As in `efficient_attention`.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Of rank head_dim at most. With "softmax" entries are positive at real
        keys and rows sum to 1, or to 0 where a query may attend to nothing; with "scaling" entries
        may be negative, and rows have any sum.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    check_choice("normalization", normalization, _NORMALIZATIONS)
    if causal:
        _refuse_causal()

    compute = torch.promote_types(q.dtype, torch.float32)
    mixtures, templates = _factors(q.to(compute), k.to(compute), key_mask, normalization)
    return (mixtures @ templates.mT).to(q.dtype)


@outside_autocast
def efficient_factors(
    q: Tensor,
    k: Tensor,
    *,
    key_mask: Tensor | None = None,
    normalization: str = "softmax",
) -> tuple[Tensor, Tensor]:
    r"""The two factors :math:`\rho_q(Q)` and :math:`\rho_k(K)` of the weights.

    Parameters
    ----------
    q, k, key_mask, normalization
        As in `efficient_attention`.

    Returns
    -------
    mixtures : Tensor, shape (batch, heads, q_len, head_dim)
        How each query mixes the templates.
    templates : Tensor, shape (batch, heads, kv_len, head_dim)
        One column a template, over the positions; zeros at masked keys. Both in the dtype of `q`.

    Examples
    --------
    Equal numbers are mixed, and averaged over, evenly:

    >>> q, k = torch.ones(1, 1, 3, 4), torch.ones(1, 1, 5, 4)
    >>> mixtures, templates = efficient_factors(q, k)
    >>> mixtures[0, 0, 0], templates[0, 0, :, 0]
    (tensor([0.2500, 0.2500, 0.2500, 0.2500]), tensor([0.2000, 0.2000, 0.2000, 0.2000, 0.2000]))
    """
    check_qk(q, k, key_mask=key_mask)
    check_choice("normalization", normalization, _NORMALIZATIONS)

    compute = torch.promote_types(q.dtype, torch.float32)
    mixtures, templates = _factors(q.to(compute), k.to(compute), key_mask, normalization)
    return mixtures.to(q.dtype), templates.to(q.dtype)


def _factors(
    q: Tensor, k: Tensor, key_mask: Tensor | None, normalization: str
) -> tuple[Tensor, Tensor]:
    """Return ρ_q(q) and ρ_k(k)."""
    if normalization == "softmax":
        real = None if key_mask is None else key_mask[:, None, None, :]
        return q.softmax(dim=-1), masked_softmax(k.mT, real).mT
    scale = _count(k, key_mask) ** -0.5
    return q * scale, hide_keys(k, key_mask) * scale


def _count(k: Tensor, key_mask: Tensor | None) -> Tensor:
    """Return how many keys of each item are real, as (batch, 1, 1, 1); 1 where none is."""
    if key_mask is None:
        key_mask = k.new_ones(len(k), k.shape[2], dtype=torch.bool)
    return key_mask.sum(dim=1).clamp(min=1).to(k.dtype)[:, None, None, None]


def _mix_contexts(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Softmax over features, and over positions, for q, k and v of shape (slices, length, width).

    A slice is one head of one batch item; masked keys are -inf. Fresh memory costs a CPU more than
    the arithmetic here, so the exponentials go to scratch memory, some slices at a time, and are
    computed again for the gradients. A template is normalised through its context vector.
    """
    out, top, total, context = _shapes(q, k, v)
    for s, mixture, powers in _scratch(q, k):
        torch.amax(k[s], dim=1, keepdim=True, out=top[s])
        top[s].masked_fill_(top[s] == -math.inf, 0.0)
        torch.sub(k[s], top[s], out=powers).exp_()
        torch.sum(powers, dim=1, keepdim=True, out=total[s].mT)
        total[s].masked_fill_(total[s] == 0, math.inf)
        torch.bmm(powers.mT, v[s], out=context[s]).div_(total[s])
        torch.softmax(q[s], dim=-1, out=mixture)
        torch.bmm(mixture, context[s], out=out[s])
    return out, top, total, context


def _mix_contexts_backward(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    top: Tensor,
    total: Tensor,
    context: Tensor,
) -> tuple[Tensor, ...]:
    grads = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))
    for s, mixture, powers in _scratch(q, k):
        grad_q, grad_k, grad_v = (grad[s] for grad in grads)
        torch.softmax(q[s], dim=-1, out=mixture)
        torch.bmm(grad_out[s], context[s].mT, out=grad_q).mul_(mixture)
        grad_q.addcmul_(mixture, grad_q.sum(dim=-1, keepdim=True), value=-1)
        torch.sub(k[s], top[s], out=powers).exp_()
        grad_context = (mixture.mT @ grad_out[s]).div_(total[s])
        inner = (grad_context * context[s]).sum(dim=-1)[:, None, :]
        torch.bmm(v[s], grad_context.mT, out=grad_k).sub_(inner).mul_(powers)
        torch.bmm(powers, grad_context, out=grad_v)
    return grads


def _shapes(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out = q.new_empty(*q.shape[:2], v.shape[-1])
    top = k.new_empty(len(k), 1, k.shape[-1])
    total = k.new_empty(len(k), k.shape[-1], 1)
    return out, top, total, k.new_empty(len(k), k.shape[-1], v.shape[-1])


_MIX_CONTEXTS = Operator(
    "efficient_attention",
    _mix_contexts,
    _mix_contexts_backward,
    shapes=_shapes,
    inputs=3,
    instead="efficient_weights(...) @ v",
)


def _scratch(q: Tensor, k: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield some slices at a time, and memory like those of q and of k."""
    for s in portions(len(q), max(x[:1].numel() for x in (q, k)), IN_CACHES):
        if s.start == 0:  # the first portion is the largest
            mixture, powers = (
                torch.empty_like(x[s], memory_format=torch.contiguous_format) for x in (q, k)
            )
        taken = s.stop - s.start
        yield s, mixture[:taken], powers[:taken]


def _refuse_causal() -> NoReturn:
    raise NotImplementedError(
        "Efficient Attention (Shen et al. 2018, arXiv:1812.01243) has no causal form: each feature "
        "of the keys is normalised over all positions, the future's too"
    )
