"""What explorers of captured heads share: the passage, names, blocks, views of weights."""

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.data import Passage, load_passage
from attn_lib.mechanisms.softmax import softmax_weights

__all__ = [
    "HEADS",
    "HEAD_NAMES",
    "KNOWN_HEADS",
    "LAYERS",
    "block_means",
    "head_label",
    "head_options",
    "in_squares",
    "mean_error",
    "passage",
    "random_weights",
    "shaded",
    "spread",
]

LAYERS, HEADS = 6, 12
HEAD_NAMES = [f"{layer}.{head}" for layer in range(LAYERS) for head in range(HEADS)]
KNOWN_HEADS = {
    "0.2": "the word before",
    "1.8": "the next word",
    "2.9": "the same word",
    "3.7": "names",
    "4.5": "far away",
    "5.5": "broad",
}
_SHADES = 39


@functools.cache
def passage() -> Passage:
    """Return the passage of 128 tokens, read once."""
    return load_passage(128)


def head_options() -> dict[str, str]:
    """Return every head, as "2.9", by its layer and number."""
    return {
        f"{layer}.{head}": f"layer {layer}, head {head}"
        for layer in range(LAYERS)
        for head in range(HEADS)
    }


def head_label(name: str) -> str:
    """Name a head, as "2.9", by its layer, its number and what it is known for."""
    layer, head = name.split(".")
    known = f": {KNOWN_HEADS[name]}" if name in KNOWN_HEADS else ""
    return f"layer {layer}, head {head}{known}"


def mean_error(out: Tensor, values: Tensor) -> float:
    """Return the error, over the size of the outputs, of giving every query the mean of the values.

    It costs nothing, so that an error of an output says little where this one is as small.
    """
    return float((values.mean(dim=-2, keepdim=True) - out).norm() / out.norm())


def block_means(rank: int, length: int) -> Tensor:
    """Return the matrix that averages `rank` blocks of positions (rank, length)."""
    block = torch.arange(length) * rank // length
    member = torch.nn.functional.one_hot(block, rank).T.float()
    return member / member.sum(dim=-1, keepdim=True).clamp(min=1)


def in_squares(weights: Tensor, size: int) -> NDArray[Any]:
    """Return weights as cells: mean over so many queries, sum over as many keys."""
    count = len(weights) // size
    cells: NDArray[Any] = weights.reshape(count, size, count, size).sum(3).mean(1).numpy()
    return cells


def random_weights(q: Tensor, k: Tensor) -> Tensor:
    """Return softmax weights of random queries and keys, with scores as far apart as a head's."""
    # A new generator's numbers are always the same.
    drawn = torch.randn(2, *q.shape, generator=torch.Generator())
    apart = []
    for a, b in ((q, k), (drawn[0], drawn[1])):
        scores = a @ b.mT
        apart.append((scores - scores.mean(dim=-1, keepdim=True)).std())
    factor = (apart[0] / apart[1]).sqrt()
    return softmax_weights(factor * drawn[0], factor * drawn[1])[0, 0]


def shaded(weights: Tensor) -> NDArray[np.float32]:
    """Return weights whose square roots are whole steps: fewer shades, fewer bytes."""
    roots = torch.round(weights.clamp(0, 1).sqrt() * _SHADES) / _SHADES
    steps: NDArray[np.float32] = roots.square().numpy()
    return steps


def spread(weights: Tensor) -> Tensor:
    """Return over how many keys each row is spread in effect: exp of its entropy."""
    entropy: Tensor = torch.special.entr(weights).sum(dim=-1)
    return entropy.exp()
