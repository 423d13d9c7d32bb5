"""Softmax over all pairs of a query and a key, over given ones, or over the best."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.peers._cores import quietly
from benchmarks.spec import Call, Implementation, Pairs, dense_mask

__all__ = [
    "BASELINE",
    "flex_attention",
    "masked_sdpa",
    "plain_softmax",
    "plain_topk",
    "sdpa_causal",
    "x_transformers",
]

BASELINE = Implementation("torch SDPA", lambda n: scaled_dot_product_attention)


def sdpa_causal() -> Implementation:
    """SDPA with ``is_causal``: its kernel skips the blocks above the diagonal."""
    call = partial(scaled_dot_product_attention, is_causal=True)
    return Implementation("torch SDPA causal", lambda n: call)


def plain_softmax(pairs: Pairs | None = None) -> Implementation:
    """``softmax(q kᵀ / √d) v`` as three torch operations, the matrix kept in memory."""

    def make(n: int) -> Call:
        forbidden = None if pairs is None else ~dense_mask(pairs, n)

        def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
            if forbidden is not None:
                scores = scores.masked_fill(forbidden, float("-inf"))
            return scores.softmax(-1) @ v

        return attention

    return Implementation("plain softmax", make)


def masked_sdpa(pairs: Pairs) -> Implementation:
    """SDPA with the pattern as a dense mask, built once per length and not timed."""

    def make(n: int) -> Call:
        return partial(scaled_dot_product_attention, attn_mask=dense_mask(pairs, n))

    return Implementation("masked dense SDPA", make, note="mask built beforehand, not timed")


def flex_attention(pairs: Pairs) -> Implementation:
    """Compiled FlexAttention with a block mask; on a CPU it has no backward pass."""

    def make(n: int) -> Call:
        from torch.nn.attention import flex_attention as flex

        def allowed(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
            return pairs(q_idx, kv_idx)

        block_mask = flex.create_block_mask(allowed, None, None, n, n, device="cpu")
        compiled = torch.compile(flex.flex_attention, dynamic=False)
        return partial(compiled, block_mask=block_mask)

    return Implementation(
        "flex_attention compiled",
        make,
        passes=("forward",),
        note="compilation (tens of seconds a length) and block mask not timed",
        flag="flex",
        eager=False,
    )


def plain_topk(topk: int) -> Implementation:
    """Top-k as torch operations on the whole matrix: scores, topk, mask, softmax, product."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        threshold = scores.topk(min(topk, k.shape[-2]), dim=-1).values[..., -1:]
        return scores.masked_fill(scores < threshold, float("-inf")).softmax(-1) @ v

    return Implementation(
        "plain top-k",
        lambda n: attention,
        settings={"topk": topk},
        note="keeps all keys that are equal to the threshold",
    )


def x_transformers(*, flash: bool = False, sparse_topk: int | None = None) -> Implementation:
    """The attention core of x-transformers, without its projections."""

    def make(n: int) -> Call:
        with quietly():  # its import uses a deprecated part of torch
            from x_transformers.attend import Attend

        attend: Any = Attend(flash=flash, sparse_topk=sparse_topk)
        return lambda q, k, v: attend(q, k, v)[0]

    name = "x-transformers flash" if flash else "x-transformers"
    if sparse_topk is None:
        return Implementation(name, make, package="x-transformers")
    return Implementation(
        f"{name} sparse_topk",
        make,
        settings={"sparse_topk": sparse_topk},
        package="x-transformers",
        note="keeps all keys that are equal to the threshold",
    )
