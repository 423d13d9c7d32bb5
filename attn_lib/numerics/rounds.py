"""Softmax attention among neighbours in several orders of a sequence, each pair counted once.

Every round has an order of its own, cut into chunks; a query sees the keys of its chunk and of the
one before. The vectors are queries, and in their directions the keys.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from attn_lib.numerics.operators import Operator
from attn_lib.numerics.padding import pad_length
from attn_lib.numerics.portions import IN_CACHE, portions

__all__ = ["attend_in_rounds", "unit"]


def unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """Divide vectors by their lengths; the zero vector stays what it is.

    Parameters
    ----------
    x : Tensor, shape (..., width)

    Returns
    -------
    directions : Tensor, shape (..., width)
        Of length 1, or 0.
    lengths : Tensor, shape (..., 1)
        By what x was divided: 1 for the zero vector.
    """
    largest = x.detach().abs().amax(dim=-1, keepdim=True)
    largest.masked_fill_(largest == 0, 1.0)  # divided by it, no square can overflow
    part = x / largest
    length = torch.linalg.vector_norm(part, dim=-1, keepdim=True)
    length = length.masked_fill(length == 0, 1.0)
    return part / length, length * largest


def attend_in_rounds(
    qk: Tensor,
    v: Tensor,
    order: Tensor,
    place: Tensor,
    *,
    size: int,
    scale: float,
    causal: bool = False,
    key_mask: Tensor | None = None,
) -> Tensor:
    r"""Exact softmax attention over the union of what the rounds let a query see.

    Parameters
    ----------
    qk : Tensor, shape (batch, heads, length, head_dim)
        Queries, and divided by their lengths the keys.
    v : Tensor, shape (batch, heads, length, value_dim)
    order : Tensor of int64, shape (batch, heads, rounds, length)
        The position at each place; masked positions stand last.
    place : Tensor of int64, shape (batch, heads, rounds, length)
        The place of each position.
    size : int
        Length of a chunk; the last one may be shorter.
    scale : float
        Factor of the scores.
    causal : bool
        Let position i see positions j ≤ i only, whatever the orders.
    key_mask : Tensor of bool, shape (batch, length), optional
        True = real token.

    Returns
    -------
    Tensor, shape (batch, heads, length, value_dim)
        A token sees itself only if no round shows it another key. Zeros at masked positions that
        see no key.

    Notes
    -----
    A pair counts in the first round that finds it and in no other. Each round gives a row's
    maximum, its sum of exponentials and its weighted sum of values, which merge exactly. The
    backward pass computes the weights again, as in `attn_lib.numerics.parts`. Memory: the inputs,
    the output, one number a query, and a fixed number of scores at a time. First derivatives only.
    """
    real = None if key_mask is None else key_mask.sum(dim=-1).repeat_interleave(qk.shape[1])
    flat = (x.flatten(0, 1) for x in (qk, v, order, place))
    return _ATTEND(*flat, real, size, scale, causal).view(v.shape)


@dataclass(frozen=True)
class _Rounds:
    """In every round an order of the positions, cut into chunks.

    A slice is one head of one item. Sequences are padded to whole chunks; the padding stands last
    in every order, after the masked positions.
    """

    order: Tensor  # (slices, rounds, length): position at each place
    place: Tensor  # (slices, rounds, length): place of each position
    real: Tensor  # (slices,): how many tokens are real
    size: int
    causal: bool

    @classmethod
    def cut(
        cls, order: Tensor, place: Tensor, real: Tensor | None, size: int, *, causal: bool
    ) -> Self:
        """Cut orders (slices, rounds, length) into chunks of `size`."""
        slices, _, length = order.shape
        if size >= length:  # one chunk: the rounds would all see the same
            order, place = order[:, :1], place[:, :1]
        if real is None:
            real = torch.full((slices,), length, device=order.device)
        return cls(order, place, real, max(1, min(size, length)), causal)

    @property
    def padded_length(self) -> int:
        """Length of the sequences, in whole chunks."""
        return self.chunks * self.size

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.order.shape[-1] // self.size)

    @property
    def span(self) -> int:
        """Chunks that a query sees: its own, and the one before where there is one."""
        return min(2, self.chunks)

    def groups(self) -> Iterator[tuple[slice, list["_Round"]]]:
        """Some slices and their rounds at a time, whose scores of one round stay in cache."""
        scores = self.padded_length * self.span * self.size
        for slices in portions(len(self.order), scores, IN_CACHE):
            order, place = self._fill(self.order[slices]), self._fill(self.place[slices])
            real = self.real[slices]
            chunk = place.div(self.size, rounding_mode="floor")
            chunk = chunk.to(torch.uint8 if self.chunks < 256 else torch.int32)
            yield (
                slices,
                [
                    _Round(self, order[:, turn], place[:, turn], chunk[:, :turn].unbind(1), real)
                    for turn in range(order.shape[1])
                ],
            )

    def pad(self, x: Tensor) -> Tensor:
        """Append zeros to x (slices, length, width) up to whole chunks."""
        return pad_length(x, self.padded_length)

    def zeros(self, like: Tensor) -> Tensor:
        """Return zeros in the place of x (slices, length, width), up to whole chunks."""
        return like.new_zeros(len(like), self.padded_length, like.shape[-1])

    def _fill(self, numbers: Tensor) -> Tensor:
        """Append the padding, each position at its own place, to an order or to places."""
        length = numbers.shape[-1]
        if length == self.padded_length:
            return numbers
        padding = torch.arange(length, self.padded_length, device=numbers.device)
        return torch.cat([numbers, padding.expand(*numbers.shape[:-1], -1)], dim=-1)


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
        """Chunks whose scores stay in cache."""
        scores = self.rounds.span * self.rounds.size**2
        return portions(self.rounds.chunks, scores, IN_CACHE)

    def pieces(self) -> Iterator[slice]:
        """Rows of a chunk: all of them, or fewer where a chunk has more scores than that."""
        return portions(self.rounds.size, self.rounds.span * self.rounds.size, IN_CACHE)

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


def _forward(
    qk: Tensor,
    v: Tensor,
    order: Tensor,
    place: Tensor,
    real: Tensor | None,
    size: int,
    scale: float,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, each row's log-sum-exp, and whether it sees no key but its own."""
    rounds = _Rounds.cut(order, place, real, size, causal=causal)
    out, log_total, alone = (rounds.zeros(x) for x in _shapes(qk, v))
    for slices, turns in rounds.groups():
        q, values = rounds.pad(qk[slices]), rounds.pad(v[slices])
        keys, _ = unit(q)
        parts = [_attend(turn, q, keys, values, scale) for turn in turns]
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
        out[slices] = torch.where(alone[slices], values, out[slices])
        log_total[slices] = top + total.log()
    length = qk.shape[1]
    out, log_total, alone = (x[:, :length].contiguous() for x in (out, log_total, alone))
    return out, log_total, alone


def _backward(
    grad_out: Tensor,
    qk: Tensor,
    v: Tensor,
    order: Tensor,
    place: Tensor,
    real: Tensor | None,
    size: int,
    scale: float,
    causal: bool,
    out: Tensor,
    log_total: Tensor,
    alone: Tensor,
) -> tuple[Tensor, ...]:
    grad_out = grad_out.contiguous()
    rounds = _Rounds.cut(order, place, real, size, causal=causal)
    grad_qk, grad_v = (rounds.zeros(x) for x in (qk, v))
    for slices, turns in rounds.groups():
        q, values, grad = (rounds.pad(x[slices]) for x in (qk, v, grad_out))
        keys, lengths = unit(q)
        inner = (grad * rounds.pad(out[slices])).sum(dim=-1, keepdim=True)
        log_sums = rounds.pad(log_total[slices])
        grad_q, grad_keys = torch.zeros_like(q), torch.zeros_like(q)
        for turn in turns:
            round_q, round_keys = turn.rows(q), turn.columns(keys)
            round_q.mul_(scale)
            round_values, round_grad = turn.columns(values), turn.rows(grad)
            logs, inners = turn.rows(log_sums), turn.rows(inner)
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
        grad_qk[slices] = grad_q.mul_(scale).add_(grad_keys)
        grad_v[slices] += grad * rounds.pad(alone[slices])
    length = qk.shape[1]
    return tuple(x[:, :length].contiguous() for x in (grad_qk, grad_v))


def _shapes(qk: Tensor, v: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    each = (*qk.shape[:2], 1)
    return v.new_empty(v.shape), qk.new_empty(each), qk.new_empty(each, dtype=torch.bool)


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


_ATTEND = Operator(
    "reformer_attention",
    _forward,
    _backward,
    shapes=_shapes,
    inputs=2,
    instead="reformer_weights(...) @ v",
)
