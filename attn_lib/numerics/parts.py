"""Exact softmax attention over any set of pairs that can be cut into rectangles of a regular grid.

It is how a sparse pattern costs only the pairs it has: a part at a time is in memory, and what the
parts give is merged through their log-sum-exp.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib.numerics.portions import IN_CACHE, portions

__all__ = ["Part", "attend_over_parts", "stretch"]


@dataclass(frozen=True)
class Part:
    """A grid of rectangles of query–key pairs, seen through views of the sequences.

    `rows` and `columns` look at a sequence (slices, length, width) as (slices, groups, size, width)
    without copying; row group g is paired with column group g. The parts of one call must not
    share a pair.

    Attributes
    ----------
    rows : callable
        View of the queries; no two of its elements may be the same.
    columns : callable
        View of the keys, and of the values; no two of its elements may be the same.
    allowed : Tensor of bool, shape (groups or 1, rows, columns), optional
        Which pairs of a rectangle belong to the part; all of them where it is None.
    source : int
        Which of the call's key sequences `columns` looks at.
    """

    rows: Callable[[Tensor], Tensor]
    columns: Callable[[Tensor], Tensor]
    allowed: Tensor | None = None
    source: int = 0


def stretch(x: Tensor, *, first: int = 0, last: int) -> Tensor:
    """View one stretch of a sequence as the only group of a `Part`.

    Parameters
    ----------
    x : Tensor, shape (slices, length, width)
    first, last : int
        Positions from `first` up to, not including, `last`.

    Returns
    -------
    Tensor, shape (slices, 1, last - first, width)
    """
    return x[:, None, first:last]


def attend_over_parts(
    q: Tensor,
    sources: Sequence[tuple[Tensor, Tensor, Tensor | None]],
    parts: Sequence[Part],
    *,
    scale: float,
) -> Tensor:
    r"""Exact softmax attention over the union of `parts`, one part in memory at a time.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    sources : sequence of (keys, values, key_mask)
        keys (batch, heads, length, head_dim), values (batch, heads, length, value_dim), key_mask
        (batch, length) of bool or None. Lengths may differ from source to source.
    parts : sequence of Part
        Disjoint sets of pairs. A query in none of them gets zeros.
    scale : float
        Factor of the scores.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)

    Notes
    -----
    Time and arithmetic: the number of pairs in the rectangles, times head_dim + value_dim. Memory:
    the inputs, the output, one number a query, and at most a fixed number of scores at a time.

    Every part gives a row's maximum, its sum of exponentials and its weighted sum of values, and
    two such triples merge exactly [1]_; where no query is in two parts there is nothing to merge.
    The backward pass computes the weights of a part again, as FlashAttention does [2]_:
    :math:`P = e^{S - z}`, with z the row's log-sum-exp, and
    :math:`dS = P \circ (dO\,V^\top - \operatorname{rowsum}(dO \circ O))`. First derivatives only.

    References
    ----------
    .. [1] Maxim Milakov, Natalia Gimelshein. Online normalizer calculation for softmax. 2018,
       arXiv:1805.02867.
    .. [2] Tri Dao, Daniel Y. Fu, Stefano Ermon, Atri Rudra, Christopher Ré. FlashAttention: Fast
       and Memory-Efficient Exact Attention with IO-Awareness. 2022, arXiv:2205.14135.
    """
    batch, heads = q.shape[:2]
    tensors = [x.flatten(0, 1) for keys, values, _ in sources for x in (keys, values)]
    masks = tuple(
        None if mask is None else mask.repeat_interleave(heads, dim=0) for _, _, mask in sources
    )
    out: Tensor = _AttendOverParts.apply(  # type: ignore[no-untyped-call]
        q.flatten(0, 1), scale, tuple(parts), masks, *tensors
    )
    return out.view(batch, heads, *out.shape[1:])


def _in_one_part(q: Tensor, parts: Sequence[Part]) -> bool:
    """Whether no query is in two parts."""
    times = torch.zeros(1, q.shape[1], 1, dtype=torch.int32, device="cpu")
    for part in parts:
        part.rows(times).add_(1)
    return not (times > 1).any()


class _AttendOverParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        scale: float,
        parts: tuple[Part, ...],
        masks: tuple[Tensor | None, ...],
        *tensors: Tensor,
    ) -> Tensor:
        keys, values = tensors[0::2], tensors[1::2]
        out = q.new_zeros(*q.shape[:2], values[0].shape[-1])
        log_total = None
        tiles = _tiles(parts, masks, q, keys)
        if _in_one_part(q, parts):
            for tile in tiles:
                tile.rows(out).copy_(tile.weights(q, keys, scale) @ tile.columns(values))
        else:
            log_total = _merge(out, tiles, q, keys, values, scale)
        ctx.scale, ctx.parts, ctx.masks = scale, parts, masks
        ctx.save_for_backward(q, out, log_total, *tensors)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, out, log_total, *tensors = ctx.saved_tensors
        keys, values = tensors[0::2], tensors[1::2]
        inner = (grad_out * out).sum(dim=-1, keepdim=True)
        grad_q = torch.zeros_like(q)
        grad_keys = [torch.zeros_like(k) for k in keys]
        grad_values = [torch.zeros_like(v) for v in values]
        for tile in _tiles(ctx.parts, ctx.masks, q, keys):
            if log_total is None:
                weights = tile.weights(q, keys, ctx.scale)
            else:
                weights = tile.scores(q, keys, ctx.scale).sub_(tile.rows(log_total)).exp_()
            grad_rows = tile.rows(grad_out)
            tile.columns(grad_values).add_(weights.mT @ grad_rows)
            grad_scores = grad_rows @ tile.columns(values).mT
            grad_scores.sub_(tile.rows(inner)).mul_(weights)
            tile.rows(grad_q).add_(grad_scores @ tile.columns(keys), alpha=ctx.scale)
            tile.columns(grad_keys).add_(grad_scores.mT @ tile.rows(q), alpha=ctx.scale)
        grads = [x for pair in zip(grad_keys, grad_values, strict=True) for x in pair]
        return grad_q, None, None, None, *grads


def _merge(
    out: Tensor,
    tiles: Iterator["_Tile"],
    q: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    scale: float,
) -> Tensor:
    """Attend where a query may be in several parts; return its log-sum-exp (slices, q_len, 1)."""
    top = q.new_full((*q.shape[:2], 1), -math.inf)  # a row's largest score so far
    total = q.new_zeros(*q.shape[:2], 1)  # its sum of exp(score - top) so far
    for tile in tiles:
        scores = tile.scores(q, keys, scale)
        row_top = tile.rows(top)
        new_top = torch.maximum(row_top, scores.amax(dim=-1, keepdim=True))
        anchor = new_top.masked_fill(new_top == -math.inf, 0.0)
        weights = scores.sub_(anchor).exp_()
        shrink = torch.exp(row_top - anchor)
        tile.rows(total).mul_(shrink).add_(weights.sum(dim=-1, keepdim=True))
        tile.rows(out).mul_(shrink).add_(weights @ tile.columns(values))
        row_top.copy_(new_top)
    empty = total == 0
    out.div_(total.masked_fill_(empty, 1.0))
    return top.masked_fill_(empty, 0.0).add_(total.log_())


@dataclass(frozen=True)
class _Tile:
    """Some groups of one part, in some slices (a slice is one head of one batch item)."""

    part: Part
    slices: slice
    groups: slice
    ceilings: tuple[tuple[slice, Tensor], ...]  # for some columns, -inf where there is no pair
    hollow: bool  # whether a row may have no pair at all

    def rows(self, x: Tensor) -> Tensor:
        """View this tile's rows of x (slices, q_len, width)."""
        return self.part.rows(x[self.slices])[:, self.groups]

    def columns(self, sources: Sequence[Tensor]) -> Tensor:
        """View this tile's columns of its source (slices, length, width)."""
        return self.part.columns(sources[self.part.source][self.slices])[:, self.groups]

    def scores(self, q: Tensor, keys: Sequence[Tensor], scale: float) -> Tensor:
        """Scaled products (slices, groups, rows, columns), -inf where the pair is not allowed."""
        scores = (self.rows(q) * scale) @ self.columns(keys).mT
        for columns, ceiling in self.ceilings:
            scores[..., columns].clamp_(max=ceiling)  # much faster than filling through a mask
        return scores

    def weights(self, q: Tensor, keys: Sequence[Tensor], scale: float) -> Tensor:
        """Softmax of each row's scores; zeros where it has no pair."""
        scores = self.scores(q, keys, scale)
        empty = scores.amax(dim=-1, keepdim=True) == -math.inf if self.hollow else None
        weights = torch.softmax(scores, dim=-1, out=scores)
        return weights if empty is None else weights.masked_fill_(empty, 0.0)


def _tiles(
    parts: Sequence[Part],
    masks: Sequence[Tensor | None],
    q: Tensor,
    keys: Sequence[Tensor],
) -> Iterator[_Tile]:
    """Cut every part into tiles whose scores stay in cache."""
    for part in parts if len(q) else ():
        rows, columns = part.rows(q[:1]), part.columns(keys[part.source][:1])
        groups, per_group = rows.shape[1], rows.shape[2] * columns.shape[2]
        if groups * per_group == 0:
            continue
        partial, hollow = [], False
        if part.allowed is not None:
            ragged = _runs(~part.allowed.all(dim=0).all(dim=0))
            partial = [(run, _ceiling(part.allowed[..., run], q.dtype)) for run in ragged]
            hollow = not part.allowed.any(dim=-1).all()
        for slices in portions(len(q), groups * per_group, IN_CACHE):
            for chosen in portions(groups, per_group, IN_CACHE):
                ceilings = [(run, x if len(x) == 1 else x[chosen]) for run, x in partial]
                mask, padded = masks[part.source], False
                if mask is not None:
                    real = part.columns(mask[slices, :, None])[:, chosen, None, :, 0]
                    padded = not real.all()
                    if padded:  # most tiles have no padding, and save the pass
                        ceilings.append((slice(None), _ceiling(real, q.dtype)))
                yield _Tile(part, slices, chosen, tuple(ceilings), hollow or padded)


def _ceiling(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what a score may be at most: inf where the pair is allowed, else -inf."""
    ceiling = torch.full_like(allowed, math.inf, dtype=dtype)
    return ceiling.masked_fill_(~allowed, -math.inf)


def _runs(marked: Tensor) -> list[slice]:
    """Return the stretches of a bool vector that are True throughout."""
    edges = F.pad(marked.int(), (1, 1)).diff().nonzero().flatten().tolist()
    return [slice(*pair) for pair in zip(edges[0::2], edges[1::2], strict=True)]
