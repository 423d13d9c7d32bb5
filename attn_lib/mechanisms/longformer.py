"""Longformer: a window for everybody, and a few chosen tokens that see and are seen by all.

Iz Beltagy, Matthew E. Peters, Arman Cohan. *Longformer: The Long-Document Transformer.* 2020,
arXiv:2004.05150, section 3.1. With w keys on each side, dilation δ and global positions G, query i
sees

    {j : abs(i − j) ≤ w δ, δ divides i − j}  ∪  G        for i not in G
    every j                                              for i in G
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Number
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib import masks
from attn_lib._checks import check_like, check_positive_int, check_qk, check_qkv, check_tensor
from attn_lib.numerics import (
    Pairs,
    Part,
    attend_over_parts,
    hide_keys,
    masked_softmax,
    parts_operator,
    stretch,
)
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.operators import first_derivatives_only

__all__ = ["longformer_attention", "longformer_weights"]


class _Array(Protocol):
    """A tensor, or an array of NumPy."""

    @property
    def shape(self) -> Sequence[int]: ...

    def tolist(self) -> Any: ...


_Integers = Sequence[int] | _Array

_BLOCK = 64  # queries that share one stretch of keys, at most
_ROWS = 1024  # queries beside the global tokens at a time


@outside_autocast
def longformer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    window: int,
    dilation: int | _Integers = 1,
    global_tokens: _Integers | None = None,
    q_global: Tensor | None = None,
    k_global: Tensor | None = None,
    v_global: Tensor | None = None,
) -> Tensor:
    r"""Sliding-window attention with dilation and global tokens.

    .. math:: o_i = \operatorname{softmax}_{j \in S_i}(q_i \cdot k_j / \sqrt{d})\, v_j, \qquad
        S_i = \{j : |i - j| \le w\delta,\ \delta \mid i - j\} \cup G

    for a position i outside G; one in G sees every j.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Let position i see positions j ≤ i only, global tokens included; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. A masked global token is seen by nobody. A query that may attend to
        nothing gets zeros.
    window : int
        Keys seen on EACH side, at least 0; the query's own position comes on top. The paper's w is
        the total, 2 · window.
    dilation : int or sequence of int
        Distance between neighbouring keys of the window, at least 1; a sequence has one a head. An
        integer array or tensor with one axis is a sequence too, here and below.
    global_tokens : sequence of int, optional
        Positions below both q_len and kv_len that see and are seen by all, the same for every head
        and item.
    q_global, k_global, v_global : Tensor, optional
        The second projections, shaped as q, k, v: used for the rows of the global tokens only. An
        ordinary query scores a global token with q and k. Default q, k, v.

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
    Pairs computed: n · (2 · window + 192) at most in the window, 2 · n · len(G) beside it; memory
    is O(n) and a fixed number of scores at a time. A global key inside a window counts once.

    Hugging Face's ``attention_window`` is the total, 2 · window; the first release's counts one
    side, as here.
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    window = check_positive_int("window", window, at_least=0)
    dilations = _checked_dilations(dilation, q.shape[1])
    hubs = _checked_positions(global_tokens, min(q.shape[2], k.shape[2]))
    q_global = _checked_like("q_global", q_global, q)
    k_global = _checked_like("k_global", k_global, k)
    v_global = _checked_like("v_global", v_global, v)

    compute = torch.promote_types(q.dtype, torch.float32)
    window_q, scale = q.to(compute), q.shape[-1] ** -0.5
    window_k, window_v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)

    def attend(which: list[int], step: int) -> Tensor:
        heads = slice(None) if len(which) == q.shape[1] else which
        return attend_over_parts(
            _ATTEND,
            *(x[:, heads] for x in (window_q, window_k, window_v)),
            scale=scale,
            causal=causal,
            sizes=(window, step, *hubs),
            key_mask=key_mask,
        )

    out = _by_dilation(attend, dilations)
    if hubs:
        hub = torch.tensor(hubs, dtype=torch.long, device=q.device)
        real = key_mask
        if real is None:
            real = torch.ones(k.shape[0], k.shape[2], dtype=torch.bool, device=k.device)
        allowed = real[:, None, None, :]
        if causal:
            allowed = allowed & (hub[:, None] >= torch.arange(k.shape[2], device=k.device))
        hub_q, k, v = first_derivatives_only(
            "longformer_attention",
            _INSTEAD,
            q_global.to(compute)[:, :, hub],
            hide_keys(k_global.to(compute), key_mask),
            hide_keys(v_global.to(compute), key_mask),
        )
        rows = F.scaled_dot_product_attention(hub_q, k, v, attn_mask=allowed)
        out = out.index_copy(2, hub, rows)
    return out.to(q.dtype)


@outside_autocast
def longformer_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    window: int,
    dilation: int | _Integers = 1,
    global_tokens: _Integers | None = None,
    q_global: Tensor | None = None,
    k_global: Tensor | None = None,
    v_global: Tensor | None = None,
) -> Tensor:
    """The weight matrix of `longformer_attention`, written out from the sets.

    Parameters
    ----------
    q, k, causal, key_mask, window, dilation, global_tokens, q_global, k_global
        As in `longformer_attention`.
    v_global : Tensor, optional
        Not read: one set of options serves both functions. It is what the global tokens' rows of
        weights are applied to.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Rows sum to 1, or to 0 where a query may attend to nothing.

    Examples
    --------
    One neighbour on each side, and a token that sees all and is seen by all:

    >>> q = torch.zeros(1, 1, 5, 2)
    >>> (longformer_weights(q, q, window=1, global_tokens=[0])[0, 0] > 0).int()
    tensor([[1, 1, 1, 1, 1],
            [1, 1, 1, 0, 0],
            [1, 1, 1, 1, 0],
            [1, 0, 1, 1, 1],
            [1, 0, 0, 1, 1]], dtype=torch.int32)
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    window = check_positive_int("window", window, at_least=0)
    dilations = _checked_dilations(dilation, q.shape[1])
    hubs = _checked_positions(global_tokens, min(q.shape[2], k.shape[2]))
    q_global = _checked_like("q_global", q_global, q)
    k_global = _checked_like("k_global", k_global, k)

    dense = partial(masks.dense, q_len=q.shape[2], kv_len=k.shape[2], device=q.device)
    windows = [dense(masks.dilated(window, step)) for step in dilations]
    allowed = torch.cat(windows, dim=1) | dense(masks.global_tokens(hubs))
    if causal:
        allowed = allowed & dense(masks.causal())
    if key_mask is not None:
        allowed = allowed & key_mask[:, None, None, :]

    compute, scale = torch.promote_types(q.dtype, torch.float32), q.shape[-1] ** -0.5
    scores = scale * q.to(compute) @ k.to(compute).mT
    if hubs:
        hub = torch.tensor(hubs, device=q.device)
        rows = scale * q_global.to(compute)[:, :, hub] @ k_global.to(compute).mT
        scores = scores.index_copy(2, hub, rows)
    return masked_softmax(scores, allowed).to(q.dtype)


def _checked_dilations(dilation: int | _Integers, heads: int) -> list[int]:
    if isinstance(dilation, (int, Integral)):  # NumPy's too
        return [check_positive_int("dilation", dilation)] * heads
    given = _listed("dilation", dilation, "an int or ")
    steps = [check_positive_int("dilation", step) for step in given]
    if len(steps) != heads:
        raise ValueError(f"dilation must have one entry a head, {heads}, got {len(steps)}")
    return steps


def _checked_positions(positions: _Integers | None, length: int) -> list[int]:
    if positions is None:
        return []
    given = _listed("global_tokens", positions)
    chosen = sorted({check_positive_int("global_tokens", p, at_least=0) for p in given})
    if chosen and chosen[-1] >= length:
        raise ValueError(
            f"global_tokens must be positions below q_len and kv_len, {length}, got {chosen[-1]}"
        )
    return chosen


def _listed(name: str, value: object, other: str = "") -> Sequence[object]:
    """Return what a sequence, an array or a tensor holds."""
    if isinstance(value, Sequence):
        return value
    rule = f"{name} must be {other}a sequence of ints"
    shape = getattr(value, "shape", None)
    if shape is None or isinstance(value, Number) or not hasattr(value, "tolist"):
        raise TypeError(f"{rule}, got {value!r}")
    if len(shape) != 1:
        raise ValueError(f"{rule}, got shape {tuple(shape)}")
    held: list[object] = value.tolist()
    return held


def _checked_like(name: str, value: Tensor | None, other: Tensor) -> Tensor:
    if value is None:
        return other
    check_tensor(name, value, ("batch", "heads", "length", "width"))
    check_like(name, value, name[0], other)
    if value.shape != other.shape:
        raise ValueError(
            f"{name} must have {name[0]}'s shape {tuple(other.shape)}, got {tuple(value.shape)}"
        )
    return value


def _by_dilation(attend: Callable[[list[int], int], Tensor], dilations: list[int]) -> Tensor:
    """Attend in the heads of each dilation, and put the heads back in their order."""
    groups: dict[int, list[int]] = {}
    for head, step in enumerate(dilations):
        groups.setdefault(step, []).append(head)
    if len(groups) == 1:
        return attend(*next((which, step) for step, which in groups.items()))
    outs = torch.cat([attend(which, step) for step, which in groups.items()], dim=1)
    order = [head for which in groups.values() for head in which]
    return outs[:, torch.tensor(order, device=outs.device).argsort()]


@dataclass(frozen=True)
class _Band:
    """The window cut into rectangles: a block of queries beside the stretch of keys it may reach.

    With a dilation δ the positions of one remainder mod δ are a sequence of their own, in which the
    window has no gaps. Every stretch is `reach` blocks longer than its block on each side; those of
    every `span`-th block do not overlap, so one view shows them all. A block near an end, whose
    stretch is cut off, is a part by itself.
    """

    q_len: int
    kv_len: int
    window: int
    dilation: int
    block: int
    causal: bool

    @classmethod
    def fit(cls, q_len: int, kv_len: int, window: int, dilation: int, *, causal: bool) -> Self:
        """The band of a window that reaches no farther than the sequence."""
        window = min(window, max(0, max(q_len, kv_len) - 1) // dilation)
        dilation = dilation if window else 1
        block = max(1, min(_BLOCK, -(-q_len // dilation), max(16, window)))
        return cls(q_len, kv_len, window, dilation, block, causal)

    @property
    def reach(self) -> int:
        """Blocks that a window may extend into, on each side."""
        return -(-self.window // self.block)

    @property
    def span(self) -> int:
        """Blocks in the stretch of keys of one block of queries."""
        return self.reach + 1 if self.causal else 2 * self.reach + 1

    def parts(self, device: torch.device) -> Iterator[Part]:
        """Disjoint rectangles that hold the window's pairs; each query is in one at most."""
        block, reach, span = self.block, self.reach, self.span
        inner_allowed = self._allowed(block, -reach * block, span * block, device)
        for remainder in range(self.dilation):
            q_len, kv_len = (
                len(range(remainder, length, self.dilation)) for length in (self.q_len, self.kv_len)
            )
            inner = range(reach, min(q_len // block, kv_len // block - span + reach + 1))
            for first in inner[:span]:
                groups = len(inner[first - reach :: span])
                rows = partial(self._rows, remainder=remainder, first=first, groups=groups)
                columns = partial(self._columns, remainder=remainder, first=first, groups=groups)
                yield Part(rows, columns, inner_allowed)
            for first in range(0, q_len, block):
                if first // block in inner:
                    continue
                last = min(first + block, q_len)
                left = max(0, first - self.window)
                right = min(last if self.causal else last + self.window, kv_len)
                if left < right:
                    rows = partial(self._stretch, remainder=remainder, first=first, last=last)
                    columns = partial(self._stretch, remainder=remainder, first=left, last=right)
                    shape = (last - first, left - first, right - left)
                    yield Part(rows, columns, self._allowed(*shape, device))

    def _allowed(self, rows: int, first: int, columns: int, device: torch.device) -> Tensor:
        """Which of the keys from `first` on, counted from the first query, the window holds."""
        place = torch.arange(rows, device=device)[:, None]
        key_place = torch.arange(first, first + columns, device=device)
        allowed = (place - key_place).abs() <= self.window
        return (allowed & (key_place <= place) if self.causal else allowed)[None]

    def _rows(self, x: Tensor, *, remainder: int, first: int, groups: int) -> Tensor:
        """(slices, length, width) → (slices, every span-th block, places, width)."""
        x = x[:, remainder :: self.dilation]
        last = first + (groups - 1) * self.span + 1
        blocks = x[:, first * self.block : last * self.block].unflatten(1, (-1, self.block))
        chosen: Tensor = blocks[:, :: self.span]
        return chosen

    def _columns(self, x: Tensor, *, remainder: int, first: int, groups: int) -> Tensor:
        """(slices, length, width) → (slices, the stretches of those blocks, places, width)."""
        x = x[:, remainder :: self.dilation]
        left, size = (first - self.reach) * self.block, self.span * self.block
        stretches: Tensor = x[:, left : left + groups * size].unflatten(1, (groups, size))
        return stretches

    def _stretch(self, x: Tensor, *, remainder: int, first: int, last: int) -> Tensor:
        """(slices, length, width) → (slices, 1, last - first, width)."""
        return stretch(x[:, remainder :: self.dilation], first=first, last=last)


def _hub_parts(hub: Tensor, q_len: int, *, causal: bool) -> Iterator[Part]:
    """Every query beside the global tokens, the second source."""
    for first in range(0, q_len if len(hub) else 0, _ROWS):
        last = min(first + _ROWS, q_len)
        allowed = None
        if causal:
            allowed = (hub <= torch.arange(first, last, device=hub.device)[:, None])[None]
        rows, columns = partial(stretch, first=first, last=last), partial(stretch, last=len(hub))
        yield Part(rows, columns, allowed, source=1)


def _cut(
    q_len: int, kv_len: int, causal: bool, kind: str, sizes: Sequence[int], device: torch.device
) -> Pairs:
    """Cut the window and the global tokens; `sizes` are its reach, its dilation, their places."""
    window, dilation, *hubs = sizes
    parts = [*_Band.fit(q_len, kv_len, window, dilation, causal=causal).parts(device)]
    if not hubs:
        return Pairs(parts, q_len, kv_len)
    hub = torch.tensor(hubs, dtype=torch.long, device=device)
    parts += _hub_parts(hub, q_len, causal=causal)
    return Pairs(parts, q_len, kv_len, hub, apart=True)  # a hub is seen as a hub, not twice


_INSTEAD = "longformer_weights(...) @ v"
_ATTEND = parts_operator("longformer_attention", _cut, instead=_INSTEAD)
