"""Exact softmax attention over any set of pairs that can be cut into rectangles of a regular grid.

It is how a sparse pattern costs only the pairs it has: a part at a time is in memory, and what the
parts give is merged through their log-sum-exp.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib.numerics.operators import Operator
from attn_lib.numerics.padding import pad_length
from attn_lib.numerics.portions import IN_CACHE, portions

__all__ = ["Pairs", "Part", "attend_over_parts", "parts_operator", "stretch"]


@dataclass(frozen=True)
class Part:
    """A grid of rectangles of query–key pairs, seen through views of the sequences.

    `rows` and `columns` look at a sequence (slices, length, width) as (slices, groups, size, width)
    without copying; row group g is paired with column group g.

    Attributes
    ----------
    rows : callable
        View of the queries; no two of its elements may be the same.
    columns : callable
        View of the keys, and of the values; no two of its elements may be the same.
    allowed : Tensor of bool, shape (groups or 1, rows, columns), optional
        Which pairs of a rectangle belong to the part; all of them where it is None.
    source : int
        Which key sequence `columns` looks at: 0 for all keys, 1 for the chosen ones of `Pairs`.
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


@dataclass(frozen=True)
class Pairs:
    """A set of query–key pairs, cut into parts.

    Attributes
    ----------
    parts : sequence of Part
        They share no pair. A query in none of them gets zeros.
    q_len, kv_len : int
        Lengths that the parts look at; what is shorter is filled up with zeros, which nobody sees.
    chosen : Tensor of int64, shape (count,), optional
        Positions of the keys, each once, that the parts find as their second source.
    apart : bool
        Whether the chosen keys are hidden in the first source, the whole sequence of keys.
    """

    parts: Sequence[Part]
    q_len: int
    kv_len: int
    chosen: Tensor | None = None
    apart: bool = False

    def sources(
        self, k: Tensor, v: Tensor, real: Tensor | None, kv_len: int, *, causal: bool
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor | None]]:
        """Keys, values and masks (slices, length) of each source; `kv_len` keys are no filling."""
        k, v, chosen = pad_length(k, self.kv_len), pad_length(v, self.kv_len), self.chosen
        keys, values, masks = [k], [v], [real]
        if chosen is not None:
            keys.append(k[:, chosen])
            values.append(v[:, chosen])
            masks.append(None if real is None else real[:, chosen])
        filled = self.kv_len > kv_len and not causal  # a causal query sees no filling anyway
        if real is None and (self.apart or filled):
            real = torch.ones(1, kv_len, dtype=torch.bool, device=k.device).expand(len(k), -1)
        if real is not None:
            whole = F.pad(real, (0, self.kv_len - kv_len))
            if self.apart and chosen is not None:
                whole = whole.index_fill(1, chosen, False)
            masks[0] = whole
        return keys, values, masks

    def in_one_part(self) -> bool:
        """Whether no query is in two parts."""
        times = torch.zeros(1, self.q_len, 1, dtype=torch.int32, device="cpu")
        for part in self.parts:
            part.rows(times).add_(1)
        return not (times > 1).any()


def attend_over_parts(
    operator: Operator,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    causal: bool = False,
    kind: str = "",
    sizes: Sequence[int] = (),
    key_mask: Tensor | None = None,
    kv_len: int | None = None,
) -> Tensor:
    r"""Exact softmax attention over a set of pairs, one part of it in memory at a time.

    Parameters
    ----------
    operator : Operator
        From `parts_operator`; it knows the set.
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, length, head_dim)
    v : Tensor, shape (batch, heads, length, value_dim)
    scale : float
        Factor of the scores.
    causal, kind, sizes
        What the set depends on besides the lengths.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
    kv_len : int, optional
        How many of the keys are no filling; all of them where it is not given.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)

    Notes
    -----
    Time and arithmetic: the number of pairs in the rectangles, times head_dim + value_dim. Memory:
    the inputs, the output, one number a query, and at most a fixed number of scores at a time.

    Every part gives a row's maximum, its sum of exponentials and its weighted sum of values, and
    two such triples merge exactly (Milakov and Gimelshein 2018, arXiv:1805.02867); where no query
    is in two parts there is nothing to merge. The backward pass computes the weights of a part
    again, as FlashAttention does (Dao et al. 2022, arXiv:2205.14135):
    :math:`P = e^{S - z}`, with z the row's log-sum-exp, and
    :math:`dS = P \circ (dO\,V^\top - \operatorname{rowsum}(dO \circ O))`. First derivatives only.
    """
    real = None if key_mask is None else key_mask.repeat_interleave(q.shape[1], dim=0)
    flat = (x.flatten(0, 1) for x in (q, k, v))
    count = k.shape[2] if kv_len is None else kv_len
    out = operator(*flat, real, count, causal, scale, kind, list(sizes))
    return out.view(*q.shape[:3], v.shape[-1])


def parts_operator(name: str, cut: Callable[..., Pairs], *, instead: str) -> Operator:
    """Make the operator of attention over a set of pairs.

    Parameters
    ----------
    name, instead
        As in `Operator`.
    cut : callable
        ``(q_len, kv_len, causal, kind, sizes, device) -> pairs``, called with the length of the
        queries, filled up or not, and the number of keys that are no filling.

    Returns
    -------
    Operator
        ``(q, k, v, real, kv_len, causal, scale, kind, sizes)``, of slices: q (slices, q_len,
        head_dim), real (slices, kv_len) of bool or None. `attend_over_parts` calls it.
    """

    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        real: Tensor | None,
        kv_len: int,
        causal: bool,
        scale: float,
        kind: str,
        sizes: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        q_len = q.shape[1]
        pairs = cut(q_len, kv_len, causal, kind, sizes, q.device)
        keys, values, masks = pairs.sources(k, v, real, kv_len, causal=causal)
        q = pad_length(q, pairs.q_len)
        out = q.new_zeros(*q.shape[:2], v.shape[-1])
        tiles = _tiles(pairs.parts, masks, q, keys)
        if pairs.in_one_part():
            log_total = q.new_zeros(*q.shape[:2], 1)  # not read
            for tile in tiles:
                tile.rows(out).copy_(tile.weights(q, keys, scale) @ tile.columns(values))
        else:
            log_total = _merge(out, tiles, q, keys, values, scale)
        return out[:, :q_len].contiguous(), log_total[:, :q_len].contiguous()

    def backward(
        grad_out: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        real: Tensor | None,
        kv_len: int,
        causal: bool,
        scale: float,
        kind: str,
        sizes: Sequence[int],
        out: Tensor,
        log_total: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        lengths = q.shape[1], k.shape[1], v.shape[1]
        pairs = cut(q.shape[1], kv_len, causal, kind, sizes, q.device)
        keys, values, masks = pairs.sources(k, v, real, kv_len, causal=causal)
        inner = (grad_out * out).sum(dim=-1, keepdim=True)
        q, grad_out, inner, log_total = (
            pad_length(x, pairs.q_len) for x in (q, grad_out, inner, log_total)
        )
        grad_q, *grad_keys = (_zeros_like(x) for x in (q, *keys))
        grad_values = [_zeros_like(x) for x in values]
        in_one_part = pairs.in_one_part()
        for tile in _tiles(pairs.parts, masks, q, keys):
            if in_one_part:
                weights = tile.weights(q, keys, scale)
            else:
                weights = tile.scores(q, keys, scale).sub_(tile.rows(log_total)).exp_()
            grad_rows = tile.rows(grad_out)
            tile.columns(grad_values).add_(weights.mT @ grad_rows)
            grad_scores = grad_rows @ tile.columns(values).mT
            grad_scores.sub_(tile.rows(inner)).mul_(weights)
            tile.rows(grad_q).add_(grad_scores @ tile.columns(keys), alpha=scale)
            tile.columns(grad_keys).add_(grad_scores.mT @ tile.rows(q), alpha=scale)
        if pairs.chosen is not None:
            for whole, some in (grad_keys, grad_values):
                whole.index_add_(1, pairs.chosen, some)
        grad_q, grad_k, grad_v = (
            x[:, :length].contiguous()
            for x, length in zip((grad_q, grad_keys[0], grad_values[0]), lengths, strict=True)
        )
        return grad_q, grad_k, grad_v

    def shapes(q: Tensor, k: Tensor, v: Tensor, *options: object) -> tuple[Tensor, Tensor]:
        return v.new_empty(*q.shape[:2], v.shape[-1]), v.new_empty(*q.shape[:2], 1)

    return Operator(name, forward, backward, shapes=shapes, inputs=3, instead=instead)


def _zeros_like(x: Tensor) -> Tensor:
    return torch.zeros_like(x, memory_format=torch.contiguous_format)


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
