"""Explicit Sparse Transformer: of a query's scores keep the k largest, and forget the others.

Guangxiang Zhao, Junyang Lin, Zhiyuan Zhang, Xuancheng Ren, Qi Su, Xu Sun. *Explicit Sparse
Transformer: Concentrated Attention Through Explicit Selection.* 2019, arXiv:1912.11637. With P the
scores and t_i the k-th largest of row i,

    A = softmax(M(P, k)),    M(P, k)_ij = P_ij where P_ij ≥ t_i, −∞ elsewhere
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib import masks
from attn_lib._checks import check_finite_number, check_positive_int, check_qk, check_qkv
from attn_lib.numerics import hide_keys, masked_softmax
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.operators import Operator
from attn_lib.numerics.portions import portions

__all__ = ["explicit_sparse_attention", "explicit_sparse_weights"]

_CHUNK = 2**21
"""Scores held at a time: 8 MB in float32."""


@outside_autocast
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

    .. math:: o_i = \operatorname{softmax}_{j \in S_i}(s_{ij})\, v_j, \qquad
        s_{ij} = q_i \cdot k_j / \sqrt{d}, \qquad S_i = \{j : s_{ij} \ge t_i\}

    where :math:`t_i` is the `topk`-th largest score of row i.

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
        Keys a query keeps, at least 1; the paper's k. Where fewer are visible, all of them.
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
    knows which are the largest before they are there. What comes after the choice, the backward
    pass included, reads the chosen pairs only. Memory is O(q_len · topk) for the choice, and a
    fixed number of scores at a time.

    Exactly `topk` keys are kept: of equal scores, the earlier position's. (The paper keeps all that
    reach the threshold.) A key that was not chosen gets no gradient from that query. First
    derivatives only.

    Examples
    --------
    The two best keys, of four, share the weight; the others have none:

    >>> q = torch.ones(1, 1, 1, 1)
    >>> k = torch.tensor([0.0, 9.0, 3.0, 9.0]).view(1, 1, 4, 1)
    >>> v = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(1, 1, 4, 1)
    >>> explicit_sparse_attention(q, k, v, topk=2).item()
    5.0
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    topk = check_positive_int("topk", topk)
    scale = q.shape[-1] ** -0.5 if scale is None else check_finite_number("scale", scale)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    mask = None if key_mask is None else key_mask.repeat_interleave(q.shape[1], dim=0)
    slices = (x.flatten(0, 1) for x in (q.to(compute) * scale, k, v))
    out = _ATTEND(*slices, mask, causal, topk)
    return out.view(*q.shape[:3], v.shape[-1]).to(q.dtype)


@outside_autocast
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
    topk = check_positive_int("topk", topk)
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


def _forward(
    q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, causal: bool, topk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Attend in slices, the heads of all items: q (slices, q_len, head_dim).

    Kept are the weights of each query's best keys, and which they are: (slices, q_len, kept).
    """
    slices, q_len, kv_len = q.shape[0], q.shape[1], k.shape[1]
    kept = min(topk, kv_len)
    out = q.new_zeros(slices, q_len, v.shape[-1])
    weights = q.new_zeros(slices, q_len, kept)
    chosen = torch.zeros(slices, q_len, kept, dtype=torch.int32, device=q.device)
    for some, rows in _blocks(slices, q_len, kv_len):
        seen = rows.stop if causal else kv_len
        scores = q[some, rows] @ k[some, :seen].mT  # (slices, rows, seen)
        if key_mask is not None:
            scores.masked_fill_(~key_mask[some, None, :seen], -math.inf)
        if causal:
            scores.masked_fill_(_future(rows, q.device), -math.inf)
        best, order = _largest(scores.flatten(0, 1), min(kept, seen))
        share = masked_softmax(best, best > -math.inf).view(*scores.shape[:2], -1)
        weights[some, rows, : share.shape[-1]] = share
        chosen[some, rows, : share.shape[-1]] = order.view_as(share)
    for some in portions(slices, 4 * q_len * kept, _CHUNK):
        out[some] = _mix(chosen[some], weights[some], v[some])
    return out, weights, chosen


def _backward(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None,
    causal: bool,
    topk: int,
    out: Tensor,
    weights: Tensor,
    chosen: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_q, grad_k, grad_v = (
        torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (q, k, v)
    )
    for some in portions(len(q), 4 * weights[:1].numel(), _CHUNK):
        order, share, grad = chosen[some], weights[some], grad_out[some]
        grad_share = _share_gradient(order, share, v[some], grad)
        grad_best = share * (grad_share - (grad_share * share).sum(dim=-1, keepdim=True))
        grad_q[some] = _mix(order, grad_best, k[some])
        grad_k[some], grad_v[some] = _gather(
            order, ((grad_best, q[some]), (share, grad)), k.shape[1]
        )
    return grad_q, grad_k, grad_v


def _shapes(
    q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, causal: bool, topk: int
) -> tuple[Tensor, Tensor, Tensor]:
    kept = torch.sym_min(topk, k.shape[1])
    weights = q.new_empty(*q.shape[:2], kept)
    return (
        q.new_empty(*q.shape[:2], v.shape[-1]),
        weights,
        weights.new_empty(weights.shape, dtype=torch.int32),
    )


def _blocks(slices: int, q_len: int, kv_len: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of slices, and of queries of each of them, with at most `_CHUNK` scores or one row."""
    for some in portions(slices, q_len * kv_len, _CHUNK):
        for rows in portions(q_len, kv_len, _CHUNK):
            yield some, rows


def _future(rows: slice, device: torch.device) -> Tensor:
    """True where a key comes after the query: (rows, keys up to the last query)."""
    position = torch.arange(rows.start, rows.stop, device=device)
    return torch.arange(rows.stop, device=device) > position[:, None]


def _largest(scores: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """The `kept` largest scores of each row (rows, width) and their places; of equals, the earlier.

    Where nothing but −∞ is left, the places mean nothing.
    """
    width = scores.shape[-1]
    count, rounds = min(kept + 1, width), 0
    while width // 4**rounds >= 12 * count:
        rounds += 1
    padded = F.pad(scores, (0, -width % 4**rounds), value=-math.inf)
    best, place = _tournament(padded, count, rounds)
    place.clamp_(max=width - 1)
    if kept == width:
        return best, place
    threshold, next_best = best[:, kept - 1 : kept], best[:, kept:]
    tied = ((threshold == next_best) & (threshold > -math.inf))[:, 0]
    best, place = best[:, :kept], place[:, :kept]
    if tied.any():  # whichever of the equals have come through; choose again
        again, threshold = scores[tied], threshold[tied]
        room = kept - (again > threshold).sum(dim=-1, keepdim=True)
        equal = again == threshold
        earliest = (again > threshold) | (equal & (equal.cumsum(dim=-1) <= room))
        place[tied] = earliest.nonzero()[:, 1].view(-1, kept)
        best[tied] = again.gather(-1, place[tied])
    return best, place


def _tournament(scores: Tensor, count: int, rounds: int) -> tuple[Tensor, Tensor]:
    """The `count` largest scores of each row in falling order, and their places.

    The scores play in groups of four. Whoever is among the best wins its group or loses to one who
    is, so the groups of the `count` best winners hold them all, and `torch.topk`, which is slow,
    has little left to read.
    """
    if rounds == 0:
        best, place = scores.topk(count, dim=-1)
        return best, place
    groups = scores.unflatten(-1, (4, -1))  # a column a group
    _, column = _tournament(groups.amax(dim=-2), count, rounds - 1)
    member = torch.arange(4, device=scores.device)[:, None] * groups.shape[-1]
    finalists = (column[:, None] + member).flatten(1)  # (rows, 4 * count)
    best, order = scores.gather(-1, finalists).topk(count, dim=-1)
    return best, finalists.gather(-1, order)


def _places(order: Tensor, length: int) -> Tensor:
    """Places in one long sequence, made of those of all slices: (slices, q_len, kept)."""
    first = torch.arange(len(order), dtype=order.dtype, device=order.device) * length
    return order + first[:, None, None]


def _mix(order: Tensor, share: Tensor, x: Tensor) -> Tensor:
    """Sums of the tokens of x (slices, length, width) at `order`, weighted by `share`."""
    places, tokens = _places(order, x.shape[1]).flatten(0, 1), x.flatten(0, 1)
    mixed = F.embedding_bag(places, tokens, per_sample_weights=share.flatten(0, 1), mode="sum")
    return mixed.view(*order.shape[:2], -1)


def _share_gradient(order: Tensor, share: Tensor, x: Tensor, grad: Tensor) -> Tensor:
    """Products of each row of `grad` with the tokens of x that it was mixed from."""
    with torch.enable_grad():
        share = share.detach().requires_grad_()
        mixed = _mix(order, share, x.detach())
    return torch.autograd.grad(mixed, share, grad)[0]


def _gather(order: Tensor, given: Sequence[tuple[Tensor, Tensor]], length: int) -> list[Tensor]:
    """Bring to each key what the queries that chose it have for it.

    `given` holds pairs of a weight (slices, q_len, kept) and what it weighs (slices, q_len, width);
    of each there comes a (slices, length, width).
    """
    slices, _, kept = order.shape
    key, pair = _places(order, length).flatten().sort(stable=True)
    every = torch.arange(slices * length, dtype=key.dtype, device=key.device)
    starts, queries = torch.searchsorted(key, every), pair // kept
    return [
        F.embedding_bag(
            queries,
            x.flatten(0, 1),
            starts,
            per_sample_weights=weight.flatten()[pair],
            mode="sum",
        ).view(slices, length, -1)
        for weight, x in given
    ]


_ATTEND = Operator(
    "explicit_sparse_attention",
    _forward,
    _backward,
    shapes=_shapes,
    inputs=3,
    instead="explicit_sparse_weights(...) @ v",
)
