"""Sparse Transformer: a query sees O(√n) keys, so chosen that two steps lead everywhere.

Rewon Child, Scott Gray, Alec Radford, Ilya Sutskever. *Generating Long Sequences with Sparse
Transformers.* 2019, arXiv:1904.10509, section 4.3. With l the stride and c the summary columns, the
causal sets of position i are

    strided   {i − l, …, i}  ∪  {j ≤ i : (i − j) mod l = 0}
    fixed     {j ≤ i : ⌊j / l⌋ = ⌊i / l⌋}  ∪  {j ≤ i : j mod l ≥ l − c}

and attention is exact softmax over them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor

from attn_lib import masks
from attn_lib._checks import check_choice, check_qk, check_qkv, check_stride
from attn_lib.numerics import (
    Pairs,
    Part,
    attend_over_parts,
    hide_keys,
    masked_softmax,
    pad_length,
    parts_operator,
    stretch,
)
from attn_lib.numerics.autocast import outside_autocast

__all__ = ["sparse_transformer_attention", "sparse_transformer_weights"]

_STAIRS = 4  # pieces that the summary of the strided pattern is computed in
_ROWS = 256  # queries beside the summary columns of the fixed pattern at a time


@outside_autocast
def sparse_transformer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    pattern: str = "strided",
    stride: int,
    summary: int = 1,
    heads: str = "merged",
) -> Tensor:
    r"""Softmax attention over the Sparse Transformer's sets, :math:`a(x_i, S_i)`.

    .. math:: o_i = \sum_{j \in S_i}
        \frac{\exp(q_i \cdot k_j / \sqrt{d})}{\sum_{m \in S_i} \exp(q_i \cdot k_m / \sqrt{d})}\, v_j

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        True for the paper's sets, j ≤ i; needs q_len == kv_len. False drops j ≤ i and mirrors the
        strided window to {i − l, …, i + l}.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. A query that may attend to nothing gets zeros.
    pattern : "strided" or "fixed"
    stride : int
        The paper's l: reach of the window, or length of a block. May exceed the length.
    summary : int
        The paper's c, from 1 to `stride`: columns that stand for a block; `fixed` only.
    heads : "merged" or "split"
        Merged: every head sees both sets. Split: the first ⌈heads / 2⌉ heads see the local set
        (window or own block), the others the summary set (every l-th key, or summary columns).

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
    Their d is our head_dim. Causal and merged, the pairs in the pattern are about n · (l + n / 2l)
    for strided and n · (l + c · n / l) / 2 for fixed, so O(n · √n) at l ≈ √n. They are gathered
    into rectangles, which hold other cells too: at most about n · (2l + n / l) cells are multiplied
    for strided, about n · (l + c · n / 2l) for fixed. Memory is O(n) and a fixed number of scores
    at a time. Masking a dense product would cost n² whatever the mask.

    The released code differs from the paper: its window has l entries, the paper's set has l + 1,
    which is what is computed here.
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    stride, summary = _check_options(pattern, stride, summary, heads)

    compute = torch.promote_types(q.dtype, torch.float32)
    q_len, kv_len, scale = q.shape[2], k.shape[2], q.shape[-1] ** -0.5
    q_, k, v = q.to(compute), hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    if not torch.compiler.is_compiling():  # the operator can do it too, for the gradient once more
        grid = _Grid.fit(q_len, kv_len, stride, causal=causal, device=q.device)
        q_ = pad_length(q_, grid.q_blocks * grid.block)
        k, v = (pad_length(x, grid.kv_blocks * grid.block) for x in (k, v))

    def attend(which: slice, sets: str) -> Tensor:
        return attend_over_parts(
            _ATTEND,
            *(x[:, which] for x in (q_, k, v)),
            scale=scale,
            causal=causal,
            kind=f"{pattern} {sets}",
            sizes=(stride, summary),
            key_mask=key_mask,
            kv_len=kv_len,
        )

    if heads == "merged":
        out = attend(slice(None), "merged")
    else:
        half = -(-q.shape[1] // 2)
        out = torch.cat([attend(slice(half), "local"), attend(slice(half, None), "summary")], dim=1)
    return out[:, :, :q_len].to(q.dtype)


@outside_autocast
def sparse_transformer_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    pattern: str = "strided",
    stride: int,
    summary: int = 1,
    heads: str = "merged",
) -> Tensor:
    """The weight matrix of `sparse_transformer_attention`, written out from the sets.

    Parameters
    ----------
    q, k, causal, key_mask, pattern, stride, summary, heads
        As in `sparse_transformer_attention`.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Rows sum to 1, or to 0 where a query may attend to nothing.

    Examples
    --------
    The last three keys, and before them every second one:

    >>> q = torch.zeros(1, 1, 7, 2)
    >>> (sparse_transformer_weights(q, q, causal=True, stride=2)[0, 0, -1] > 0).int()
    tensor([1, 0, 1, 0, 1, 1, 1], dtype=torch.int32)
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    stride, summary = _check_options(pattern, stride, summary, heads)

    if pattern == "strided":
        local, summaries = masks.strided_local(stride), masks.strided_summary(stride)
    else:
        local, summaries = masks.fixed_local(stride), masks.fixed_summary(stride, summary)
    sets = masks.union(local, summaries)
    if heads == "split":
        sets = masks.by_head(local, summaries, -(-q.shape[1] // 2))
    if causal:
        sets = masks.intersect(sets, masks.causal())
    allowed = masks.dense(sets, q.shape[2], k.shape[2], heads=q.shape[1], device=q.device)
    if key_mask is not None:
        allowed = allowed & key_mask[:, None, None, :]

    compute = torch.promote_types(q.dtype, torch.float32)
    scores = q.shape[-1] ** -0.5 * q.to(compute) @ k.to(compute).mT
    return masked_softmax(scores, allowed).to(q.dtype)


def _check_options(pattern: str, stride: int, summary: int, heads: str) -> tuple[int, int]:
    check_choice("pattern", pattern, ("strided", "fixed"))
    check_choice("heads", heads, ("merged", "split"))
    return check_stride(stride, summary)


@dataclass(frozen=True)
class _Grid:
    """The sequence as blocks of `block` places; its methods cut the sets into disjoint parts."""

    block: int
    q_blocks: int
    kv_blocks: int
    causal: bool
    device: torch.device

    @classmethod
    def fit(
        cls, q_len: int, kv_len: int, stride: int, *, causal: bool, device: torch.device
    ) -> Self:
        """Blocks of `stride` places, or one block where the stride exceeds both lengths."""
        block = min(stride, max(q_len, kv_len, 1))
        return cls(block, -(-q_len // block), -(-kv_len // block), causal, device)

    def own_block(self) -> list[Part]:
        """Keys of the query's own block."""
        places = torch.ones(self.block, self.block, dtype=torch.bool, device=self.device)
        shared = min(self.q_blocks, self.kv_blocks)
        return [self._block_pairs(0, 0, shared, places.tril() if self.causal else None)]

    def window(self) -> list[Part]:
        """Keys at most `block` places away: the own block, and parts of the ones beside it."""
        places = torch.ones(self.block, self.block, dtype=torch.bool, device=self.device)
        count = min(self.q_blocks - 1, self.kv_blocks)
        parts = [*self.own_block(), self._block_pairs(1, 0, count, places.triu())]
        if not self.causal:
            count = min(self.q_blocks, self.kv_blocks - 1)
            parts.append(self._block_pairs(0, 1, count, places.tril()))
        return parts

    def same_place(self, *, beyond: int) -> list[Part]:
        """Keys at the query's own place, in blocks at least `beyond` blocks away."""
        parts = []
        for first, last in self._stairs(max(16, -(-self.q_blocks // _STAIRS))):
            seen = max(0, min(self.kv_blocks, last - beyond)) if self.causal else self.kv_blocks
            distance = self._range(first, last)[:, None] - self._range(0, seen)
            allowed = (distance if self.causal else distance.abs()) >= beyond
            rows = partial(self._same_place, blocks=slice(first, last))
            columns = partial(self._same_place, blocks=slice(seen))
            parts.append(Part(rows, columns, allowed[None]))
        return parts

    def chosen(self, positions: Tensor, *, own_block: bool) -> list[Part]:
        """Keys at `positions`, which are the second source; those of the own block too, or not."""
        parts = []
        for first, last in self._stairs(max(1, _ROWS // self.block)):
            rows = self._range(first * self.block, last * self.block)
            seen = len(positions)
            if self.causal:
                seen = int((positions < last * self.block).sum())
            i, j = rows[:, None], positions[:seen]
            allowed = j <= i if self.causal else None
            if not own_block:
                apart = i // self.block != j // self.block
                allowed = apart if allowed is None else allowed & apart
            parts.append(
                Part(
                    partial(stretch, first=first * self.block, last=last * self.block),
                    partial(stretch, last=seen),
                    None if allowed is None else allowed[None],
                    source=1,
                )
            )
        return parts

    def _block_pairs(self, q_first: int, kv_first: int, count: int, allowed: Tensor | None) -> Part:
        """Query blocks from `q_first` on beside as many key blocks from `kv_first` on."""
        count = max(0, count)
        rows = partial(self._by_block, blocks=slice(q_first, q_first + count))
        columns = partial(self._by_block, blocks=slice(kv_first, kv_first + count))
        return Part(rows, columns, None if allowed is None else allowed[None])

    def _by_block(self, x: Tensor, *, blocks: slice) -> Tensor:
        """(slices, length, width) → (slices, blocks, places, width)."""
        return x.view(len(x), -1, self.block, x.shape[-1])[:, blocks]

    def _same_place(self, x: Tensor, *, blocks: slice) -> Tensor:
        """(slices, length, width) → (slices, places, blocks, width)."""
        return self._by_block(x, blocks=blocks).transpose(1, 2)

    def _stairs(self, step: int) -> Iterator[tuple[int, int]]:
        """Query blocks, a few at a time: what is in the future of all of them is never computed."""
        for first in range(0, self.q_blocks, step):
            yield first, min(first + step, self.q_blocks)

    def _range(self, first: int, last: int) -> Tensor:
        return torch.arange(first, last, device=self.device)


def _cut(
    q_len: int, kv_len: int, causal: bool, kind: str, sizes: Sequence[int], device: torch.device
) -> Pairs:
    """Cut the sets of a pattern: both of them ("merged"), the local or the summary one."""
    pattern, sets = kind.split()
    stride, summary = sizes
    grid = _Grid.fit(q_len, kv_len, stride, causal=causal, device=device)
    chosen, parts = None, list[Part]()
    if pattern == "strided":
        if sets != "summary":
            parts += grid.window()
        if sets != "local":
            beyond = 2 if sets == "merged" else 0  # the window holds i − l, i and i + l
            parts += grid.same_place(beyond=beyond)
    else:
        if sets != "summary":
            parts += grid.own_block()
        if sets != "local":
            position = torch.arange(kv_len, device=device)
            chosen = position[position % stride >= stride - summary]
            parts += grid.chosen(chosen, own_block=sets == "summary")
    return Pairs(parts, grid.q_blocks * grid.block, grid.kv_blocks * grid.block, chosen)


_ATTEND = parts_operator(
    "sparse_transformer_attention", _cut, instead="sparse_transformer_weights(...) @ v"
)
