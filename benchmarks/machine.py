"""What the machine can do at most, and how busy it is: measured beside each row."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.work import Product

__all__ = ["Limits", "Load", "copy_rate", "product_rate"]

REPEATS = 9
IN_CACHE = 2**19
"""Numbers of operands and results at a time, so that a core finds them in its cache."""
MULTIPLY_ADDS = 2**26
"""How many are timed at least."""

Shape = tuple[int, int, int]


def product_rate(shape: Shape, heads: int = 8) -> float:
    """Return operations a second in a batch of products (rows × inner) @ (inner × columns).

    At least one product a head is done at once, and no more than fit the cache beyond that; memory
    is there beforehand. The fastest of nine; a multiply-add is two operations.
    """
    rows, inner, columns = shape
    numbers = rows * inner + inner * columns + rows * columns
    count = max(heads, IN_CACHE // numbers)
    left, right = torch.rand(count, rows, inner), torch.rand(count, inner, columns)
    out = torch.empty(count, rows, columns)
    done = count * rows * inner * columns
    times = -(-MULTIPLY_ADDS // done)

    def run() -> None:
        for _ in range(times):
            torch.bmm(left, right, out=out)

    return 2 * done * times / _fastest(run)


def copy_rate(numbers: int) -> float:
    """Return bytes a second, read and written together, where so many floats are copied."""
    source, target = torch.rand(numbers), torch.empty(numbers)
    return 2 * source.nbytes / _fastest(lambda: target.copy_(source))


def _fastest(call: Callable[[], object]) -> float:
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@dataclass(frozen=True)
class Limits:
    """The rates of the shapes that a row needs, in operations a second, and that of a copy."""

    rates: dict[Shape, float]
    copy: float

    @classmethod
    def measured(cls, products: Sequence[Product], numbers: int) -> Limits:
        """Measure the rates of these products, and copy as many floats as a row's queries have."""
        shapes = dict.fromkeys(one.shape for one in products)
        return cls({shape: product_rate(shape) for shape in shapes}, copy_rate(numbers))

    def least_seconds(self, products: Sequence[Product], moved: int) -> float:
        """Return the time below which it cannot be done here: products alone, or memory alone."""
        multiplying = sum(2 * one.multiply_adds / self.rates[one.shape] for one in products)
        return max(multiplying, moved / self.copy)

    def described(self) -> dict[str, Any]:
        """Return the rates as the results file has them."""
        rates = {"x".join(map(str, shape)): rate / 1e9 for shape, rate in self.rates.items()}
        return {"product_gflop_s": rates, "copy_gb_s": self.copy / 1e9}


class Load:
    """How busy the machine was since this was made, by others too."""

    def __init__(self) -> None:
        self.before = _average()
        self._ticks = _ticks()

    def described(self) -> dict[str, float | None]:
        """Return the load averages before and now, and the share of time that a host took away."""
        stolen = None
        before, now = self._ticks, _ticks()
        if before and now and (passed := now[1] - before[1]) > 0:
            stolen = round((now[0] - before[0]) / passed, 4)
        return {"before": self.before, "after": _average(), "stolen": stolen}


def _average() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _ticks() -> tuple[int, int] | None:
    """Return the processors' stolen time and all their time, where the system counts it."""
    try:
        words = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    except OSError:
        return None
    return int(words[7]), sum(map(int, words))
