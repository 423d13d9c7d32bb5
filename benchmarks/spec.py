"""What a benchmark row is, and the inputs, oracles and callables that rows are made of."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.settings import BATCH, HEAD_DIM, HEADS

__all__ = [
    "BATCH",
    "HEADS",
    "HEAD_DIM",
    "PASSES",
    "Absent",
    "Call",
    "Implementation",
    "Pairs",
    "Row",
    "dense",
    "dense_mask",
    "ours",
    "qkv",
]

PASSES = ("forward", "forward_backward")

Call = Callable[..., Tensor]
Pairs = Callable[[Tensor, Tensor], Tensor]


class Absent(Exception):
    """An implementation cannot run here; the message says why."""


@dataclass(frozen=True)
class Implementation:
    """One way to compute a mechanism.

    ``make(n)`` does what a user does once per length (imports, masks, buffers; not timed) and
    returns the function that is timed on the row's inputs. It raises `Absent` or ImportError when
    it cannot. ``package`` is the distribution whose version is recorded. ``agrees=False`` excuses
    a peer from the oracle; ``note`` then says how it differs. A ``flag`` makes it run only when
    ``--flag`` is given; ``eager=False`` says that operators cannot be watched one by one, as in
    compiled code.
    """

    name: str
    make: Callable[[int], Call]
    settings: Mapping[str, Any] = field(default_factory=dict)
    package: str = "torch"
    passes: tuple[str, ...] = PASSES
    agrees: bool = True
    note: str = ""
    flag: str | None = None
    eager: bool = True


def qkv(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Standard normal queries, keys and values, float32."""
    shape = (BATCH, HEADS, n, HEAD_DIM)
    return tuple(torch.randn(shape, generator=generator) for _ in range(3))


@dataclass(frozen=True)
class Row:
    """A mechanism: our implementation, the dense oracle both are held to, and its peers.

    ``inputs(n, generator)`` makes the tensors that every implementation of the row is called with.
    ``check_n`` is the length of the correctness check; a peer may need it to be a round number.
    """

    mechanism: str
    ours: Implementation
    oracle: Call
    peers: tuple[Implementation, ...] = ()
    inputs: Callable[[int, torch.Generator], tuple[Tensor, ...]] = qkv
    check_n: int = 256

    @property
    def implementations(self) -> tuple[Implementation, ...]:
        """Ours first, then the peers."""
        return (self.ours, *self.peers)


def ours(
    name: str,
    *,
    made: Callable[[int], Mapping[str, Any]] | None = None,
    further: Sequence[str] = (),
    **options: Any,
) -> Implementation:
    """Declare ``attn_lib.<name>`` called with these keyword options.

    ``made(n)`` makes those that depend on the length; it is not timed. The last of the row's
    inputs, one for each name in ``further``, are given by these names.
    """

    def make(n: int) -> Call:
        function = getattr(importlib.import_module("attn_lib"), name, None)
        if function is None:
            raise Absent(f"attn_lib has no {name}")
        given = {**options, **(made(n) if made else {})}

        def call(*inputs: Tensor) -> Tensor:
            first = len(inputs) - len(further)
            named = dict(zip(further, inputs[first:], strict=True))
            out: Tensor = function(*inputs[:first], **named, **given)
            return out

        return call

    settings = {"function": name, **options}
    return Implementation("attn_lib", make, settings=settings, package="attn-lib")


def dense_mask(pairs: Pairs | None, n: int) -> Tensor | None:
    """Return the (n, n) bool mask of ``pairs(i, j)``, built in bands to spare memory."""
    if pairs is None:
        return None
    mask = torch.empty(n, n, dtype=torch.bool)
    j = torch.arange(n)
    for start in range(0, n, 1024):
        i = torch.arange(start, min(start + 1024, n)).unsqueeze(1)
        mask[start : start + 1024] = pairs(i, j)
    return mask


def dense(pairs: Pairs | None = None) -> Call:
    """Return softmax attention over the allowed pairs, in float64 and written out: an oracle."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = q.double(), k.double(), v.double()
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if (mask := dense_mask(pairs, q.shape[-2])) is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(-1) @ v

    return attention
