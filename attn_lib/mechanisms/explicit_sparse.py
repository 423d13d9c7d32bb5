"""Explicit Sparse Transformer: of a query's scores keep the k largest, and forget the others.

Guangxiang Zhao, Junyang Lin, Zhiyuan Zhang, Xuancheng Ren, Qi Su, Xu Sun. *Explicit Sparse
Transformer: Concentrated Attention Through Explicit Selection.* 2019, arXiv:1912.11637. With P the
scores and t_i the k-th largest of row i,

    A = softmax(M(P, k)),    M(P, k)_ij = P_ij where P_ij ≥ t_i, −∞ elsewhere
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib import masks
from attn_lib._checks import check_finite_number, check_positive_int, check_qk, check_qkv
from attn_lib.numerics import hide_keys, masked_softmax

__all__ = ["explicit_sparse_attention", "explicit_sparse_weights"]

_CHUNK = 2**20
"""Scores held at a time: 4 MB in float32."""


def explicit_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    topk: int,
    scale: float | None = None,
) -> Tensor:
    r"""Softmax attention over each query's `topk` best keys.

    .. math:: O = \operatorname{softmax}(\mathcal M(P, k))\,V, \qquad
        \mathcal M(P, k)_{ij} = P_{ij} \text{ if } P_{ij} \ge t_i \text{ else } -\infty

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Let position i see positions j ≤ i only; needs q_len == kv_len. The future is removed before
        the selection, so it takes up none of the `topk` places.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token; padding is removed before the selection too. A query that may attend to
        nothing gets zeros.
    topk : int
        Keys a query keeps, the paper's k, at least 1. Where fewer are visible, all of them.
    scale : float, optional
        Factor of the scores; head_dim ** -0.5 where it is not given.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        In the dtype of `q`.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, a mask that is not bool, an option of a wrong type.
    ValueError
        For shapes, dtypes, devices or options out of range.

    Notes
    -----
    Time is quadratic: all q_len · kv_len scores are computed, in blocks of queries, since nobody
    knows which are the largest before they are there. Memory is O(q_len · topk) for the choice, and
    a fixed number of scores at a time.

    Exactly `topk` keys are kept: of equal scores, the earlier position's. (The paper keeps all that
    reach the threshold.) A key that was not chosen gets no gradient from that query. First
    derivatives only.
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    check_positive_int("topk", topk)
    scale = q.shape[-1] ** -0.5 if scale is None else check_finite_number("scale", scale)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    out: Tensor = _AttendToBest.apply(  # type: ignore[no-untyped-call]
        q.to(compute) * scale, k, v, key_mask, causal, topk
    )
    return out.to(q.dtype)


def explicit_sparse_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    topk: int,
    scale: float | None = None,
) -> Tensor:
    """The weight matrix of `explicit_sparse_attention`, written out.

    Parameters
    ----------
    q, k, causal, key_mask, topk, scale
        As in `explicit_sparse_attention`.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Rows sum to 1, or to 0 where a query may attend to nothing; at most
        `topk` entries of a row are above 0.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    check_positive_int("topk", topk)
    scale = q.shape[-1] ** -0.5 if scale is None else check_finite_number("scale", scale)

    compute = torch.promote_types(q.dtype, torch.float32)
    scores = (scale * q.to(compute)) @ k.to(compute).mT
    allowed = masks.dense(
        masks.causal() if causal else masks.full(), q.shape[2], k.shape[2], device=q.device
    )
    if key_mask is not None:
        allowed = allowed & key_mask[:, None, None, :]
    scores = scores.masked_fill(~allowed, -math.inf)
    order = scores.argsort(dim=-1, descending=True, stable=True)[..., :topk]
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order, True)
    return masked_softmax(scores, chosen & allowed).to(q.dtype)


class _AttendToBest(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        key_mask: Tensor | None,
        causal: bool,
        topk: int,
    ) -> Tensor:
        batch, heads, q_len, _ = q.shape
        kept = min(topk, k.shape[2])
        out = q.new_zeros(batch, heads, q_len, v.shape[-1])
        weights = q.new_zeros(batch, heads, q_len, kept)
        chosen = torch.zeros(batch, heads, q_len, kept, dtype=torch.int32, device=q.device)
        for item, head, rows, seen in _blocks(q, k, causal):
            scores = q[item, head, rows] @ k[item, head, :seen].mT  # (rows, seen)
            if key_mask is not None:
                scores.masked_fill_(~key_mask[item, :seen], -math.inf)
            if causal:
                scores.masked_fill_(_future(rows, seen, q.device), -math.inf)
            best, order = _best(scores, min(kept, seen))
            share = masked_softmax(best, best > -math.inf)
            out[item, head, rows] = _mix(order, share, v[item, head])
            weights[item, head, rows, : order.shape[-1]] = share
            chosen[item, head, rows, : order.shape[-1]] = order
        ctx.causal = causal
        ctx.save_for_backward(q, k, v, weights, chosen)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, chosen = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for item, head, rows, seen in _blocks(q, k, ctx.causal):
            order, share = chosen[item, head, rows].long(), weights[item, head, rows]
            grad = grad_out[item, head, rows]
            grad_share = (grad @ v[item, head, :seen].mT).gather(-1, order.clamp(max=seen - 1))
            inner = (grad_share * share).sum(dim=-1, keepdim=True)
            grad_best = share * (grad_share - inner)
            grad_q[item, head, rows] = _mix(order, grad_best, k[item, head])
            spread = grad.new_zeros(grad.shape[0], seen)
            grad_v[item, head, :seen] += spread.scatter_add_(-1, order, share).mT @ grad
            spread.zero_().scatter_add_(-1, order, grad_best)
            grad_k[item, head, :seen] += spread.mT @ q[item, head, rows]
        return grad_q, grad_k, grad_v, None, None, None


def _blocks(q: Tensor, k: Tensor, causal: bool) -> Iterator[tuple[int, int, slice, int]]:
    """Blocks of queries of one head of one item, and how many keys the last of them may see."""
    batch, heads, q_len, kv_len = *q.shape[:3], k.shape[2]
    step = max(1, _CHUNK // max(1, kv_len))
    for item in range(batch):
        for head in range(heads):
            for first in range(0, q_len if kv_len else 0, step):
                last = min(first + step, q_len)
                yield item, head, slice(first, last), last if causal else kv_len


def _future(rows: slice, seen: int, device: torch.device) -> Tensor:
    """True where a key comes after the query (rows, seen)."""
    position = torch.arange(rows.start, rows.stop, device=device)
    return torch.arange(seen, device=device) > position[:, None]


def _best(scores: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """The `kept` largest scores of each row and their positions; of equals, the earlier ones."""
    best, order = scores.topk(kept, dim=-1)
    threshold = best[:, -1:]
    # topk takes any of several that are equal to the threshold: choose again where there are more.
    tied = (scores == threshold).sum(dim=-1) > (best == threshold).sum(dim=-1)
    tied &= threshold[:, 0] > -math.inf
    if tied.any():
        again = scores[tied].argsort(dim=-1, descending=True, stable=True)[:, :kept]
        order[tied] = again
        best[tied] = scores[tied].gather(-1, again)
    return best, order


def _mix(order: Tensor, share: Tensor, x: Tensor) -> Tensor:
    """Sum of the rows of x at `order`, weighted by `share`: (rows, width)."""
    return F.embedding_bag(order, x, per_sample_weights=share, mode="sum")
