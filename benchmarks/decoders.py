"""Ways to write one token after another, each with the dense oracle that it is held to.

Sizes are those of `benchmarks.rows`: a window of 256, a stride of 64, the best 64 keys, 256
features, 128 slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import attn_lib
from attn_lib.costs import read_numbers
from benchmarks import rows
from benchmarks.spec import BATCH, HEAD_DIM, HEADS, dense

__all__ = ["ABSENT", "DECODERS", "Cache", "Decoder", "best", "fixed", "strided", "windowed"]

SLOTS = torch.randn(BATCH, HEADS, rows.P_LEN, HEAD_DIM, generator=torch.Generator().manual_seed(4))
"""Luna's extra sequence, as it would be after training: given, not learned."""
_PARAMETERS = ("projection", "p")
"""What a state holds beside what it keeps of the tokens: it is the same for all texts."""


@dataclass(frozen=True)
class Decoder:
    """A way to write.

    ``read(q, k, v, room)`` takes a text and returns the state after it, with room for as many more
    tokens; ``step(state, q, k, v)`` takes one more token and returns the new state and the output.
    Both are held to ``oracle(q, k, v)``, causal attention written out with an n × n matrix.
    ``kept(state)`` lists the tensors that stand for the tokens so far. ``mechanism`` and
    ``options`` are what `attn_lib.costs.kept_numbers` and `read_numbers` know it by.
    """

    name: str
    mechanism: str
    read: Callable[[Tensor, Tensor, Tensor, int], Any]
    step: Callable[[Any, Tensor, Tensor, Tensor], tuple[Any, Tensor]]
    kept: Callable[[Any], Sequence[Tensor]]
    oracle: Callable[[Tensor, Tensor, Tensor], Tensor]
    options: Mapping[str, int | str] = field(default_factory=dict)

    def read_bytes(self, n: int, itemsize: int = 4) -> int:
        """Return what a query reads of what is kept of n tokens, in all heads."""
        sizes = (n, HEAD_DIM, HEAD_DIM)
        numbers = read_numbers(self.mechanism, *sizes, causal=True, **self.options)
        return BATCH * HEADS * itemsize * numbers


@dataclass(frozen=True)
class Cache:
    """Places for keys and values, written in place, and the number of tokens so far."""

    keys: Tensor
    values: Tensor
    count: int

    @classmethod
    def of(cls, k: Tensor, v: Tensor, chosen: Tensor, places: Tensor, size: int) -> Cache:
        """Return a cache with these many places after a text: the chosen tokens at these places."""
        keys, values = (
            x.new_zeros(*x.shape[:2], size, x.shape[3]).index_copy_(2, places, x[:, :, chosen])
            for x in (k, v)
        )
        return cls(keys, values, k.shape[2])

    def first(self, places: int) -> tuple[Tensor, Tensor]:
        """Return the keys and values at the first places."""
        return self.keys[:, :, :places], self.values[:, :, :places]

    def put(self, place: int, k: Tensor, v: Tensor) -> Cache:
        """Put one more token at this place."""
        self.keys[:, :, place : place + 1] = k
        self.values[:, :, place : place + 1] = v
        return Cache(self.keys, self.values, self.count + 1)


def whole_cache(
    name: str,
    mechanism: str,
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    oracle: Callable[[Tensor, Tensor, Tensor], Tensor],
    **options: int | str,
) -> Decoder:
    """Keep all keys and values; ``attend(q, keys, values)`` is the attention of the last query."""

    def read(q: Tensor, k: Tensor, v: Tensor, room: int) -> Cache:
        places = torch.arange(k.shape[2])
        return Cache.of(k, v, places, places, k.shape[2] + room)

    def step(cache: Cache, q: Tensor, k: Tensor, v: Tensor) -> tuple[Cache, Tensor]:
        after = cache.put(cache.count, k, v)
        return after, attend(q, *after.first(after.count))

    def kept(cache: Cache) -> Sequence[Tensor]:
        return cache.first(cache.count)

    return Decoder(name, mechanism, read, step, kept, oracle, options)


def strided(stride: int = rows.STRIDE) -> Decoder:
    """Sparse Transformer: read the last `stride` keys, and every stride-th before them."""

    def attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        last = keys.shape[2] - 1
        near = max(0, last - stride)
        far = slice(last % stride, near, stride)
        seen = (torch.cat([x[:, :, far], x[:, :, near:]], dim=2) for x in (keys, values))
        return scaled_dot_product_attention(q, *seen)

    name = "sparse_transformer"
    return whole_cache(name, name, attend, dense(rows.strided_pairs), stride=stride)


def best(topk: int = rows.TOPK) -> Decoder:
    """Explicit Sparse Transformer: read all keys, and the values of the best."""

    def attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        scores = q @ keys.mT / q.shape[-1] ** 0.5
        found = scores.topk(min(topk, scores.shape[-1]), dim=-1)
        places = found.indices.mT.expand(-1, -1, -1, values.shape[3])
        return found.values.softmax(dim=-1) @ values.gather(2, places)

    name = "explicit_sparse"
    return whole_cache(name, name, attend, rows.best_keys_causal, topk=topk)


def windowed(window: int = rows.WINDOW) -> Decoder:
    """Longformer: the newest key takes the place of the one that the window has just left."""
    size = window + 1

    def there(count: int) -> int:
        return min(count, size)

    def read(q: Tensor, k: Tensor, v: Tensor, room: int) -> Cache:
        n = k.shape[2]
        last = torch.arange(max(0, n - size), n)
        return Cache.of(k, v, last, last % size, size)

    def step(cache: Cache, q: Tensor, k: Tensor, v: Tensor) -> tuple[Cache, Tensor]:
        after = cache.put(cache.count % size, k, v)
        return after, scaled_dot_product_attention(q, *after.first(there(after.count)))

    def kept(cache: Cache) -> Sequence[Tensor]:
        return cache.first(there(cache.count))

    name = "longformer"
    oracle = dense(rows.causal_window_pairs)
    return Decoder(name, name, read, step, kept, oracle, {"window": window})


def fixed(stride: int = rows.STRIDE, summary: int = rows.SUMMARY) -> Decoder:
    """Sparse Transformer, the other pattern: of a block that is over, its summary stays."""

    def there(count: int) -> int:
        blocks, place = divmod(count - 1, stride)
        return blocks * summary + place + 1

    def read(q: Tensor, k: Tensor, v: Tensor, room: int) -> Cache:
        j = torch.arange(k.shape[2])
        in_last = j // stride == j[-1] // stride
        chosen = j[in_last | (j % stride >= stride - summary)]
        size = there(len(j) + room) + stride
        return Cache.of(k, v, chosen, torch.arange(len(chosen)), size)

    def step(cache: Cache, q: Tensor, k: Tensor, v: Tensor) -> tuple[Cache, Tensor]:
        if cache.count and cache.count % stride == 0:
            block = there(cache.count) - stride
            for x in (cache.keys, cache.values):
                x[:, :, block : block + summary] = x[
                    :, :, block + stride - summary : block + stride
                ]
        after = cache.put(there(cache.count + 1) - 1, k, v)
        return after, scaled_dot_product_attention(q, *after.first(there(after.count)))

    def kept(cache: Cache) -> Sequence[Tensor]:
        return cache.first(there(cache.count))

    options: dict[str, int | str] = {"pattern": "fixed", "stride": stride, "summary": summary}
    name, oracle = "sparse_transformer fixed", dense(rows.fixed_pairs)
    return Decoder(name, "sparse_transformer", read, step, kept, oracle, options)


def ours(
    name: str,
    oracle: Callable[[Tensor, Tensor, Tensor], Tensor],
    made: Callable[[int], Mapping[str, Any]] = lambda n: {},
    **options: int | str,
) -> Decoder:
    """Declare ``attn_lib.<name>_prefill`` and ``<name>_step``.

    ``made(n)`` are the options of the state for n tokens in all, ``options`` those of the costs.
    """
    init, prefill, step = (
        getattr(attn_lib, f"{name}_{what}") for what in ("init_state", "prefill", "step")
    )

    def read(q: Tensor, k: Tensor, v: Tensor, room: int) -> Any:
        state = init(BATCH, HEADS, HEAD_DIM, HEAD_DIM, **made(k.shape[2] + room))
        return prefill(state, q, k, v)[0]

    def kept(state: Any) -> Sequence[Tensor]:
        names = (one.name for one in fields(state) if one.name not in _PARAMETERS)
        return [x for x in (getattr(state, name) for name in names) if isinstance(x, Tensor)]

    return Decoder(name, name, read, step, kept, oracle, options)


def luna(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal Luna with the slots that are given."""
    return rows.luna_causal(q, SLOTS, k, v)


DECODERS = (
    whole_cache("KV cache", "softmax", scaled_dot_product_attention, dense(rows.causal_pairs)),
    strided(),
    fixed(),
    best(),
    windowed(),
    ours(
        "performer",
        rows.performer_causal,
        lambda n: {"projection": rows.PROJECTION},
        features=rows.FEATURES,
    ),
    ours("luna", luna, lambda n: {"p": SLOTS}, p_len=rows.P_LEN),
    ours("linear_transformer", rows.linear_causal),
    ours("cosformer", rows.cosformer_causal, lambda n: {"max_len": n}),
)
"""The first is what the others are beside, and what tells a disturbed round."""

ABSENT: Mapping[str, str] = {
    "linformer": "no causal form: each mixed key holds a share of every position, the future's too",
    "efficient": "no causal form: each feature of the keys is normalised over all positions, "
    "the future's too",
    "reformer": "which earlier keys a token sees depends on where the sorted order of the whole "
    "text is cut, and on a number of buckets that grows with its length: every new token may "
    "change both, so no step gives the rows of the causal form, and a rule that does not depend on "
    "later tokens would be another mechanism",
}
"""Mechanisms without a decoder here, and why."""
