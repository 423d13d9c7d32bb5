"""The data of the tasks: pure functions of a generator, which draw a fresh batch at every call.

An answer is `UNASKED` at the places where nothing is asked.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from attn_lib.data import load_book
from benchmarks.training import UNASKED, Batch

__all__ = [
    "BLANK",
    "COPIED",
    "KEYS",
    "SYMBOLS",
    "VALUES",
    "embeddings",
    "letters",
    "memorisation",
    "selective_copying",
    "stacked_recall",
    "windows",
]

KEYS = VALUES = 1024
HALF = 32  # width of a key's embedding, and of a value's
SYMBOLS, COPIED = 16, 8  # of selective copying: different ones, and how many are to be copied
BLANK, ASK, BEGIN = range(SYMBOLS, SYMBOLS + 3)
WORDS = 256  # of memorisation


@cache
def embeddings() -> tuple[Tensor, Tensor]:
    """Return the keys' and the values' embeddings: random unit vectors, the same for all models."""
    draw = torch.Generator().manual_seed(2026)
    drawn = torch.randn(KEYS + VALUES, HALF, generator=draw)
    keys, values = normalize(drawn, dim=-1).split([KEYS, VALUES])
    return keys, values


def stacked_recall(pairs: int, batch: int, draw: torch.Generator) -> Batch:
    """Draw key–value pairs, one in a token, and then every key again, in another order.

    Returns
    -------
    x : Tensor, shape (batch, 2 · pairs, 2 · HALF)
        A key's embedding beside its value's; beside a key that asks there are zeros.
    answers : Tensor of int, shape (batch, 2 · pairs)
        The value of each key that asks.
    """
    keys, values = embeddings()

    key = torch.rand(batch, KEYS, generator=draw).topk(pairs).indices  # all different
    value = torch.randint(VALUES, (batch, pairs), generator=draw)
    order = torch.rand(batch, pairs, generator=draw).argsort(-1)
    told = torch.cat([keys[key], values[value]], dim=-1)
    asked = keys[key.gather(1, order)]
    x = torch.cat([told, torch.cat([asked, torch.zeros_like(asked)], dim=-1)], dim=1)
    nothing = torch.full_like(value, UNASKED)
    return x, torch.cat([nothing, value.gather(1, order)], dim=1)


def selective_copying(distance: int, batch: int, draw: torch.Generator) -> Batch:
    """Draw symbols among as many blanks; after `distance` more blanks they are asked for in order.

    Returns
    -------
    x, answers : Tensor of int, shape (batch, 1 + 3 · COPIED + distance)
        A mark of the beginning stands first.
    """
    symbols = torch.randint(SYMBOLS, (batch, COPIED), generator=draw)
    places = torch.rand(batch, 2 * COPIED, generator=draw).argsort(-1)[:, :COPIED].sort(-1).values
    x = torch.full((batch, 1 + 3 * COPIED + distance), BLANK)
    x[:, 0] = BEGIN
    x.scatter_(1, 1 + places, symbols)
    x[:, -COPIED:] = ASK
    answers = torch.full_like(x, UNASKED)
    answers[:, -COPIED:] = symbols
    return x, answers


def memorisation(length: int, batch: int, draw: torch.Generator) -> Batch:
    """Draw words, each of which has the same answer wherever it stands and whatever is around it.

    Returns
    -------
    x, answers : Tensor of int, shape (batch, length)
    """
    x = torch.randint(WORDS, (batch, length), generator=draw)
    return x, torch.randperm(WORDS, generator=torch.Generator().manual_seed(2026))[x]


@cache
def letters() -> Tensor:
    """Return the book as numbers, one a letter."""
    text = load_book()
    known = {letter: number for number, letter in enumerate(sorted(set(text)))}
    return torch.tensor([known[letter] for letter in text])


def windows(text: Tensor, length: int, batch: int, draw: torch.Generator) -> Batch:
    """Draw stretches of a text, and the same one letter later."""
    start = torch.randint(len(text) - length, (batch, 1), generator=draw)
    found = text[start + torch.arange(length + 1)]
    return found[:, :-1], found[:, 1:]
