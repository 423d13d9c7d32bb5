"""Reformer: sort tokens by a hash of their direction, and attend among neighbours in that order.

Nikita Kitaev, Łukasz Kaiser, Anselm Levskaya. *Reformer: The Efficient Transformer.* ICLR 2020,
arXiv:2001.04451, section 2. One projection serves as queries and as keys, k_j = q_j / ‖q_j‖. With R
a random (d, b / 2) matrix the bucket of x is

    h(x) = arg max([xR; −xR])

and similar directions tend to share one. Positions are sorted by bucket and cut into chunks of m; a
query sees the keys of its own chunk and of the one before,

    P̃_i = {j : ⌊s_i / m⌋ − 1 ≤ ⌊s_j / m⌋ ≤ ⌊s_i / m⌋}

with s_i its place in the sorted order. Several rounds, with an R each, unite their sets.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lib import masks
from attn_lib._checks import check_finite_number, check_positive_int, check_qk, check_qkv
from attn_lib.numerics import hide_keys, masked_softmax, pad_length

__all__ = ["reformer_attention", "reformer_buckets", "reformer_weights"]

_CHUNK = 2**19
"""Scores held at a time: 2 MB in float32 stay in a core's cache."""

_DIRECT = 128
"""Most buckets that one rotation hashes into; more are the product of several hashes."""


def reformer_attention(
    qk: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    bucket_size: int,
    num_hashes: int = 1,
    scale: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Softmax attention over the keys that share a chunk with the query in some round.

    .. math:: o_i = \sum_{j \in P_i}
        \frac{\exp(q_i \cdot k_j)}{\sum_{l \in P_i} \exp(q_i \cdot k_l)}\, v_j, \qquad
        P_i = \bigcup_t \widetilde P_i^{(t)}, \qquad k_j = q_j / \lVert q_j \rVert

    Parameters
    ----------
    qk : Tensor, shape (batch, heads, q_len, head_dim)
        Queries, and divided by their lengths the keys.
    v : Tensor, shape (batch, heads, kv_len, value_dim)
        With kv_len = q_len, here and below.
    causal : bool
        Let position i see positions j ≤ i only, whatever the sorted order.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. Padding sorts last, and what stands in it cannot matter. A query that may
        attend to nothing gets zeros.
    bucket_size : int
        Length m of a chunk of the sorted sequence. There are about q_len / bucket_size buckets.
        With `bucket_size` of at least q_len there is one chunk, which sees everything.
    num_hashes : int
        Rounds, each with a rotation of its own.
    scale : float, optional
        Factor of the scores; 1 where it is not given, since the keys have unit length.
    generator : torch.Generator, optional
        Of the rotations. They differ from head to head and from round to round, and are the same
        for all items of a batch.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        In the dtype of `qk`.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, a mask that is not bool, an option of a wrong type.
    ValueError
        For shapes, dtypes, devices or options out of range.

    Notes
    -----
    A token sees itself only if no other key is visible in any round: its own score ‖q_i‖ is the
    largest it can have.

    The paper subtracts :math:`\log N_{ij}` from a score, with N_ij the number of rounds in which j
    is available to i, and adds up the rounds through their log-sum-exp. Here a pair counts in the
    first round that finds it and in no other, which comes to the same: exact softmax over the
    union.

    Time, for n tokens and T rounds: sorting O(T n log n), attention O(T n m d), hashing O(T n d b)
    with b the number of buckets while it is at most 128. More buckets are the product of hashes
    into about √b (or ∛b, …) each, as in the authors' code, since b grows with n and one rotation
    would cost n² d / m. Memory: O(n d + T n), and a fixed number of scores at a time.

    The hash has no gradient; qk and v have theirs through the pairs that were found. First
    derivatives only. The queries of masked positions count as zero vectors, and so do their keys.

    Values of the future cannot matter. Future `qk` cannot be seen either, but they may move the
    borders of the chunks, and with them which of the earlier keys a query finds.
    """
    check_qkv(qk, qk, v, causal=causal, key_mask=key_mask, query="qk", key="qk")
    _check_options(bucket_size, num_hashes, generator)
    scale = 1.0 if scale is None else check_finite_number("scale", scale)

    compute = torch.promote_types(qk.dtype, torch.float32)
    length = qk.shape[2]
    shared, v = hide_keys(qk.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    buckets = _hash(shared.detach(), bucket_size, num_hashes, generator)
    rounds = _Rounds.sort(buckets, key_mask, bucket_size, causal=causal)
    padded = (pad_length(x, rounds.padded_length).flatten(0, 1) for x in (shared, v))
    out: Tensor = _AttendInRounds.apply(*padded, scale, rounds)  # type: ignore[no-untyped-call]
    return out.view(*qk.shape[:2], *out.shape[1:])[:, :, :length].to(qk.dtype)


def reformer_weights(
    qk: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    bucket_size: int,
    num_hashes: int = 1,
    scale: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The weight matrix of `reformer_attention`, written out from the sets.

    Parameters
    ----------
    qk, causal, key_mask, bucket_size, num_hashes, scale, generator
        As in `reformer_attention`. A generator in the same state draws the same rotations.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `qk`. Rows sum to 1, or to 0 where a query may attend to nothing.
    """
    check_qk(qk, qk, causal=causal, key_mask=key_mask, query="qk")
    _check_options(bucket_size, num_hashes, generator)
    scale = 1.0 if scale is None else check_finite_number("scale", scale)

    length = qk.shape[2]
    q = hide_keys(qk.to(torch.promote_types(qk.dtype, torch.float32)), key_mask)
    buckets = _hash(q.detach(), bucket_size, num_hashes, generator)
    _, place = _order(buckets, key_mask)  # (batch, heads, rounds, length)
    chunk = place // bucket_size
    steps_back = chunk[..., :, None] - chunk[..., None, :]
    found = ((steps_back == 0) | (steps_back == 1)).any(dim=2)

    order = masks.causal() if causal else masks.full()
    visible = masks.dense(order, length, length, device=qk.device)
    if key_mask is not None:
        visible = visible & key_mask[:, None, None, :]
    itself = torch.eye(length, dtype=torch.bool, device=qk.device)
    others = found & visible & ~itself
    allowed = others | (itself & visible & ~others.any(dim=-1, keepdim=True))

    keys, _ = _unit(q)
    return masked_softmax(scale * q @ keys.mT, allowed).to(qk.dtype)


def reformer_buckets(
    qk: Tensor,
    *,
    bucket_size: int,
    num_hashes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The buckets that `reformer_attention` hashes into, for a generator in the same state.

    Parameters
    ----------
    qk, bucket_size, num_hashes, generator
        As in `reformer_attention`.

    Returns
    -------
    Tensor of int64, shape (batch, heads, num_hashes, q_len)
        From 0 up to, not including, the number of buckets: q_len / bucket_size rounded up to an
        even number, or a little more where that exceeds 128. All 0, and nothing is drawn, where
        one chunk holds everything.

    Notes
    -----
    Where one rotation is enough, the draw is ``torch.randn(heads, num_hashes, head_dim, b // 2)``
    in float32.

    Examples
    --------
    >>> x = torch.tensor([3.0, 4.0]).expand(1, 1, 6, 2)
    >>> opposite = torch.cat([x, -x], dim=2)
    >>> found = reformer_buckets(opposite, bucket_size=3, generator=torch.manual_seed(0))[0, 0, 0]
    >>> found.unique_consecutive(return_counts=True)[1]
    tensor([6, 6])
    """
    check_qk(qk, qk, query="qk")
    _check_options(bucket_size, num_hashes, generator)
    compute = torch.promote_types(qk.dtype, torch.float32)
    return _hash(qk.detach().to(compute), bucket_size, num_hashes, generator)


def _check_options(bucket_size: int, num_hashes: int, generator: object) -> None:
    check_positive_int("bucket_size", bucket_size)
    check_positive_int("num_hashes", num_hashes)
    if not (generator is None or isinstance(generator, torch.Generator)):
        raise TypeError(
            f"generator must be a torch.Generator or None, got {type(generator).__name__}"
        )


def _unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length 1 in the directions of x, and by what x was divided; zero stays zero."""
    largest = x.detach().abs().amax(dim=-1, keepdim=True)
    largest.masked_fill_(largest == 0, 1.0)  # divided by it, no square can overflow
    part = x / largest
    length = torch.linalg.vector_norm(part, dim=-1, keepdim=True)
    length = length.masked_fill(length == 0, 1.0)
    return part / length, length * largest


def _factors(length: int, bucket_size: int) -> list[int]:
    """Even numbers of buckets of the hashes that are combined into one."""
    chunks = -(-length // bucket_size)
    if chunks <= 1:
        return []  # everything is in sight: there is nothing to hash
    buckets = chunks + chunks % 2
    if buckets <= _DIRECT:
        return [buckets]
    pieces = 2
    while _DIRECT**pieces < buckets:
        pieces += 1
    factor = 2
    while factor**pieces < buckets:
        factor += 2
    return [factor] * pieces


def _hash(
    x: Tensor, bucket_size: int, num_hashes: int, generator: torch.Generator | None
) -> Tensor:
    """Buckets (batch, heads, rounds, length) of x (batch, heads, length, head_dim)."""
    batch, heads, length, head_dim = x.shape
    buckets = torch.zeros(batch, heads, num_hashes, length, dtype=torch.int64, device=x.device)
    for factor in _factors(length, bucket_size):
        half = factor // 2
        rotations = torch.randn(
            (heads, num_hashes, head_dim, half),
            generator=generator,
            dtype=torch.float32,
            device=x.device if generator is None else generator.device,
        ).to(x)
        # A few items of a few heads at a time, so that what is turned stays in the cache.
        per_head = num_hashes * length * half
        head_step = max(1, min(heads, _CHUNK // per_head))
        item_step = max(1, _CHUNK // (head_step * per_head))
        for item, head in product(range(0, batch, item_step), range(0, heads, head_step)):
            which = slice(item, item + item_step), slice(head, head + head_step)
            directions, _ = _unit(x[which])
            turned = directions[:, :, None] @ rotations[which[1]]  # (…, rounds, length, half)
            nearest = turned.abs().argmax(dim=-1, keepdim=True)
            nearest.add_(turned.gather(-1, nearest) < 0, alpha=half)
            buckets[which].mul_(factor).add_(nearest[..., 0])
    return buckets


def _order(buckets: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Positions sorted by (bucket, position), padding last; and each position's place there."""
    if key_mask is not None:
        last = torch.iinfo(buckets.dtype).max
        buckets = buckets.masked_fill(~key_mask[:, None, None], last)
    order = buckets.argsort(dim=-1, stable=True)
    position = torch.arange(buckets.shape[-1], device=buckets.device).expand_as(order)
    return order, torch.empty_like(order).scatter_(-1, order, position)


@dataclass(frozen=True)
class _Rounds:
    """What the hashes decided: in every round an order of the positions, cut into chunks.

    A slice is one head of one item. Sequences are padded to whole chunks; the padding stands last
    in every order, after the masked positions.
    """

    order: Tensor  # (slices, rounds, padded length): position at each place
    place: Tensor  # (slices, rounds, padded length): place of each position
    real: Tensor  # (slices,): how many tokens are real
    size: int
    causal: bool

    @classmethod
    def sort(
        cls, buckets: Tensor, key_mask: Tensor | None, bucket_size: int, *, causal: bool
    ) -> Self:
        """Sort every round of `buckets` (batch, heads, rounds, length)."""
        batch, heads, _, length = buckets.shape
        size = max(1, min(bucket_size, length))
        if size >= length:  # the rounds would all see the same
            buckets = buckets[:, :, :1]
        order, place = _order(buckets, key_mask)
        padding = torch.arange(length, -(-length // size) * size, device=buckets.device)
        padding = padding.expand(*order.shape[:-1], -1)
        order, place = (torch.cat([x, padding], dim=-1).flatten(0, 1) for x in (order, place))
        if key_mask is None:
            real = torch.full((batch,), length, device=buckets.device)
        else:
            real = key_mask.sum(dim=-1)
        return cls(order, place, real.repeat_interleave(heads), size, causal)

    @property
    def padded_length(self) -> int:
        """Length of the sequences, in whole chunks."""
        return self.order.shape[-1]

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return self.padded_length // self.size

    @property
    def span(self) -> int:
        """Chunks that a query sees: its own, and the one before where there is one."""
        return min(2, self.chunks)

    def groups(self) -> Iterator[tuple[slice, list["_Round"]]]:
        """Some slices and their rounds at a time; the scores of one round fill about `_CHUNK`."""
        if self.padded_length == 0:
            return
        step = max(1, _CHUNK // (self.padded_length * self.span * self.size))
        for first in range(0, len(self.order), step):
            slices = slice(first, first + step)
            order, place, real = self.order[slices], self.place[slices], self.real[slices]
            chunk = place.div(self.size, rounding_mode="floor")
            chunk = chunk.to(torch.uint8 if self.chunks < 256 else torch.int32)
            yield (
                slices,
                [
                    _Round(self, order[:, turn], place[:, turn], chunk[:, :turn].unbind(1), real)
                    for turn in range(order.shape[1])
                ],
            )


@dataclass(frozen=True)
class _Round:
    """One round of some slices: takes sequences into the sorted order, and back."""

    rounds: _Rounds
    order: Tensor  # (slices, length)
    place: Tensor  # (slices, length)
    before: tuple[Tensor, ...]  # each (slices, length): the chunks of the rounds before this one
    real: Tensor  # (slices,)

    @property
    def is_real(self) -> Tensor:
        """Which positions hold a real token (slices, length, 1)."""
        return (self.place < self.real[:, None])[..., None]

    def rows(self, x: Tensor) -> Tensor:
        """Sort x (slices, length, width): a new tensor (slices, chunks, size, width)."""
        taken = _take(x, self.order)
        return taken.view(len(x), self.rounds.chunks, self.rounds.size, taken.shape[-1])

    def columns(self, x: Tensor) -> Tensor:
        """Sort x (slices, length, width), and show to each chunk the one before it as well.

        (slices, chunks, span · size, width); neighbours overlap in memory. The first chunk has none
        before it and is shown itself twice, of which `hide` drops the first.
        """
        size, order = self.rounds.size, self.order
        if self.rounds.span == 2:
            order = torch.cat([order[:, :size], order], dim=1)
        taken = _take(x, order)
        shape = (len(taken), self.rounds.chunks, self.rounds.span * size, taken.shape[-1])
        stride = (taken.stride(0), size * taken.stride(1), taken.stride(1), 1)
        return taken.as_strided(shape, stride)

    def unsort(self, x: Tensor) -> Tensor:
        """Put x (slices, chunks, size, width) back into the order of the positions."""
        return _take(x.flatten(1, 2), self.place)

    def fold(self, x: Tensor) -> Tensor:
        """Add up what `columns` showed twice, and put it back into the order of the positions."""
        size = self.rounds.size
        if self.rounds.span == 2:
            own = x[:, :, size:]
            own[:, :-1] += x[:, 1:, :size]
            x = own
        return self.unsort(x)

    def tiles(self) -> Iterator[slice]:
        """Chunks whose scores fill `_CHUNK`."""
        step = max(1, _CHUNK // (self.rounds.span * self.rounds.size**2))
        for first in range(0, self.rounds.chunks, step):
            yield slice(first, min(first + step, self.rounds.chunks))

    def pieces(self) -> Iterator[slice]:
        """Rows of a chunk: all of them, or fewer where a chunk's scores are more than `_CHUNK`."""
        step = max(1, _CHUNK // (self.rounds.span * self.rounds.size))
        for first in range(0, self.rounds.size, step):
            yield slice(first, min(first + step, self.rounds.size))

    @cached_property
    def _fewest(self) -> int:
        return int(self.real.min())

    @cached_property
    def _number_pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Of the rounds before: the chunks of this round's rows and of its columns."""
        return [self._pair(x) for x in self.before]

    @cached_property
    def _positions(self) -> tuple[Tensor, Tensor]:
        position = torch.arange(self.rounds.padded_length, device=self.order.device)
        return self._pair(position.to(torch.int32).expand_as(self.order))

    def _pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Show one number a position as rows (…, size, 1) and as columns (…, 1, span · size)."""
        return self.rows(x[..., None]), self.columns(x[..., None]).mT

    def hide(self, scores: Tensor, tile: slice, piece: slice) -> Tensor:
        """Set to -inf what no pair of this round is: itself, the future, padding, found before.

        scores : (slices, chunks of the tile, rows of the piece, span · size)
        """
        size = self.rounds.size
        look_back = (self.rounds.span - 1) * size
        hidden = None
        nearest = None  # by how many chunks the key lies before the query; 0 and 1 are found
        for rows, columns in self._number_pairs:
            steps = rows[:, tile, piece] - columns[:, tile]
            if steps.dtype != torch.uint8:
                steps.bitwise_and_(torch.iinfo(steps.dtype).max)  # after it: very far before it
            nearest = steps if nearest is None else torch.minimum(nearest, steps, out=nearest)
        if nearest is not None:
            nearest.le_(1)  # in place, since a comparison with a result of type bool is slow
            hidden = nearest.view(torch.bool) if nearest.dtype == torch.uint8 else nearest.bool()
        if self.rounds.causal:
            rows, columns = self._positions
            later = columns[:, tile] >= rows[:, tile, piece]
            hidden = later if hidden is None else hidden.logical_or_(later)
        if hidden is not None:
            scores.masked_fill_(hidden, -math.inf)
        if not self.rounds.causal:
            scores.diagonal(look_back + piece.start, dim1=-2, dim2=-1).fill_(-math.inf)
        if look_back and tile.start == 0:
            scores[:, 0, :, :look_back] = -math.inf
        if tile.stop * size > self._fewest:
            first = torch.arange(tile.start, tile.stop, device=scores.device) * size - look_back
            places = first[:, None] + torch.arange(look_back + size, device=scores.device)
            padding = places >= self.real[:, None, None]
            scores.masked_fill_(padding[:, :, None], -math.inf)
        return scores


class _AttendInRounds(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qk: Tensor, v: Tensor, scale: float, rounds: _Rounds) -> Tensor:
        out = torch.zeros_like(v)
        log_total = qk.new_zeros(*qk.shape[:2], 1)
        alone = torch.zeros_like(log_total, dtype=torch.bool)  # sees no key but its own
        for slices, turns in rounds.groups():
            keys, _ = _unit(qk[slices])
            parts = [_attend(turn, qk[slices], keys, v[slices], scale) for turn in turns]
            tops, totals, sums = zip(*parts, strict=True)
            top = torch.stack(tops).amax(dim=0)
            top.masked_fill_(top == -math.inf, 0.0)
            shrinks = [torch.exp(x - top) for x in tops]
            total = sum(x * shrink for x, shrink in zip(totals, shrinks, strict=True))
            empty = total == 0
            total.masked_fill_(empty, 1.0)
            for x, shrink in zip(sums, shrinks, strict=True):
                out[slices].addcmul_(x, shrink / total)
            alone[slices] = empty & turns[0].is_real
            out[slices] = torch.where(alone[slices], v[slices], out[slices])
            log_total[slices] = top + total.log()
        ctx.scale, ctx.rounds = scale, rounds
        ctx.save_for_backward(qk, v, out, log_total, alone)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        qk, v, out, log_total, alone = ctx.saved_tensors
        grad_out = grad_out.contiguous()
        grad_qk, grad_v = torch.zeros_like(qk), torch.zeros_like(v)
        for slices, turns in ctx.rounds.groups():
            q, values, grad = qk[slices], v[slices], grad_out[slices]
            keys, lengths = _unit(q)
            inner = (grad * out[slices]).sum(dim=-1, keepdim=True)
            grad_q, grad_keys = torch.zeros_like(q), torch.zeros_like(q)
            for turn in turns:
                round_q, round_keys = turn.rows(q).mul_(ctx.scale), turn.columns(keys)
                round_values, round_grad = turn.columns(values), turn.rows(grad)
                logs, inners = turn.rows(log_total[slices]), turn.rows(inner)
                parts = []
                for tile in turn.tiles():
                    tile_q, tile_keys, tile_values = [], None, None
                    for piece in turn.pieces():
                        rows, grads = round_q[:, tile, piece], round_grad[:, tile, piece]
                        scores = turn.hide(rows @ round_keys[:, tile].mT, tile, piece)
                        weights = scores.sub_(logs[:, tile, piece]).exp_()
                        tile_values = _add(tile_values, weights.mT @ grads)
                        grad_scores = grads @ round_values[:, tile].mT
                        grad_scores.sub_(inners[:, tile, piece]).mul_(weights)
                        tile_q.append(grad_scores @ round_keys[:, tile])
                        tile_keys = _add(tile_keys, grad_scores.mT @ rows)
                    parts.append((_join(tile_q, 2), tile_keys, tile_values))
                to_q, to_keys, to_values = (_join(x, 1) for x in zip(*parts, strict=True))
                grad_q += turn.unsort(to_q)
                grad_keys += turn.fold(to_keys)
                grad_v[slices] += turn.fold(to_values)
            along = (grad_keys * keys).sum(dim=-1, keepdim=True)
            grad_keys.sub_(keys * along).div_(lengths)  # of x / |x|
            grad_qk[slices] = grad_q.mul_(ctx.scale).add_(grad_keys)
            grad_v[slices] += grad * alone[slices]
        return grad_qk, grad_v, None, None


def _attend(
    turn: _Round, q: Tensor, keys: Tensor, values: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One round: each query's largest score, and relative to it the sums of weights and values."""
    q, keys, values = turn.rows(q).mul_(scale), turn.columns(keys), turn.columns(values)
    parts = []
    for tile in turn.tiles():
        pieces = []
        for piece in turn.pieces():
            scores = turn.hide(q[:, tile, piece] @ keys[:, tile].mT, tile, piece)
            top = scores.amax(dim=-1, keepdim=True)
            weights = scores.sub_(top.masked_fill(top == -math.inf, 0.0)).exp_()
            pieces.append((top, weights.sum(dim=-1, keepdim=True), weights @ values[:, tile]))
        parts.append([_join(x, 2) for x in zip(*pieces, strict=True)])
    top, total, mixed = (turn.unsort(_join(x, 1)) for x in zip(*parts, strict=True))
    return top, total, mixed


def _join(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenate, without a copy where there is one part."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=dim)


def _add(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total.add_(part)


def _take(x: Tensor, order: Tensor) -> Tensor:
    """Rows of x (slices, length, width) at order (slices, count), slice by slice."""
    if len(x) == 1:
        return x[0].index_select(0, order[0])[None]
    first = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    taken = x.flatten(0, 1).index_select(0, (order + first).flatten())
    return taken.view(*order.shape, x.shape[-1])
