"""What no training can change about recall: bounds by what is kept, and by what a query sees."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from attn_lib.mechanisms.longformer import longformer_weights
from attn_lib.mechanisms.sparse_transformer import sparse_transformer_weights

__all__ = ["FIXED", "VALUES", "best_accuracy", "shown_pairs"]

VALUES = 1024
"""How many values a pair of the recorded task may have, all equally likely."""

_WEIGHTS: Mapping[str, Callable[..., Tensor]] = {
    "sparse_transformer": sparse_transformer_weights,
    "longformer": longformer_weights,
}
FIXED = tuple(_WEIGHTS)
"""Mechanisms whose pattern does not depend on the data."""


def best_accuracy(bits: float, pairs: int, values: int = VALUES) -> float:
    r"""Bound the share of values that can be given back from what holds so many bits.

    Parameters
    ----------
    bits : float
        At least 0.
    pairs : int
        How many values are asked for, P.
    values : int
        How many there are, V, at least 2. Each of the P is drawn by itself, all V equally likely.

    Returns
    -------
    float
        The largest share a, at least 1 / V, with

        .. math:: P\,\bigl(\log_2 V - h(a) - (1 - a) \log_2 (V - 1)\bigr) \le \mathrm{bits},

        where h(a) is the entropy of a coin that shows heads with probability a.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    The bracket is what must be known of one value to name it with probability a, by Fano's
    inequality. Independent values need the sum of theirs, and since the bracket is convex in a,
    the sum is least where all have the same a. Whoever keeps the bits may know all keys, and all
    questions in their order. That nothing does better does not say that something does as well.

    Examples
    --------
    >>> round(best_accuracy(0, 64), 4), round(best_accuracy(320, 64), 2), best_accuracy(640, 64)
    (0.001, 0.6, 1.0)
    """
    for name, given, least in (("bits", bits, 0), ("pairs", pairs, 1), ("values", values, 2)):
        if not given >= least:
            raise ValueError(f"{name} must be at least {least}, got {given}")

    def needed(a: float) -> float:
        wrong = 1 - a
        entropy = -sum(x * math.log2(x) for x in (a, wrong) if x > 0)
        return pairs * (math.log2(values) - entropy - wrong * math.log2(values - 1))

    if bits >= needed(1.0):
        return 1.0
    low, high = 1 / values, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) <= bits else (low, middle)
    return low


def shown_pairs(mechanism: str, pairs: int, *, causal: bool, **options: int) -> float:
    """Return the share of pairs that a pattern shows to the queries of the recall task.

    Parameters
    ----------
    mechanism : {"sparse_transformer", "longformer"}
        One whose pattern does not depend on the data.
    pairs : int
        They fill the first half of the sequence, a token each; the queries fill the other.
    causal : bool
    **options
        The mechanism's own.

    Returns
    -------
    float
        Mean over all queries and all pairs. As every query asks for any pair equally often, one
        layer finds this share of its values at most, and guesses the others.

    Raises
    ------
    ValueError
        For another mechanism.

    Examples
    --------
    Two keys back: the first query sees the last two of four pairs, the second one the last.

    >>> shown_pairs("longformer", 4, causal=True, window=2)
    0.1875
    """
    if mechanism not in FIXED:
        raise ValueError(f"mechanism must be one of {FIXED}, got {mechanism!r}")
    alike = torch.zeros(1, 1, 2 * pairs, 1)
    weights = _WEIGHTS[mechanism](alike, alike, causal=causal, **options)[0, 0]
    return float((weights[pairs:, :pairs] > 0).double().mean())
