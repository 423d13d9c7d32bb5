"""When to stop growing a row, decided from what its smaller sizes took."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from pathlib import Path

__all__ = ["available_bytes", "predict", "rounds_for"]

MIN_ROUNDS = 3


def predict(measured: Mapping[int, float], n: int) -> float | None:
    """Extrapolate a cost to length ``n`` from the last two lengths measured.

    The growth between the two is taken as a power law and continued, with an exponent between 0 and
    3; from one length alone it is taken as quadratic. None when nothing was measured below ``n``.
    """
    sizes = sorted(size for size in measured if size < n and measured[size] > 0)
    if not sizes:
        return None
    last = sizes[-1]
    exponent = 2.0
    if len(sizes) > 1:
        before = sizes[-2]
        exponent = log(measured[last] / measured[before]) / log(last / before)
    return measured[last] * (n / last) ** min(max(exponent, 0.0), 3.0)


def rounds_for(seconds_per_round: float, wanted: int, budget: float) -> int:
    """Return the rounds that fit the budget: at most ``wanted``, at least three (or ``wanted``)."""
    fitting = int(budget / seconds_per_round) if seconds_per_round > 0 else wanted
    return max(min(wanted, MIN_ROUNDS), min(wanted, fitting))


def available_bytes() -> int | None:
    """Return the memory that a new program may take, where the system says it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
