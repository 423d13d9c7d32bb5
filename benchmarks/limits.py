"""When to stop growing a row, decided from what its smaller sizes took, and what rounds count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path

__all__ = ["MIN_ROUNDS", "available_bytes", "predict", "rounds_for", "steady_rounds"]

MIN_ROUNDS = 3
SPREAD = 0.15
"""How much longer than in its fastest round the baseline may take in a round that counts."""


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


def steady_rounds(baselines: Sequence[Sequence[float]]) -> list[bool]:
    """Say of each round whether it counts, from what the baseline's passes took in every round.

    A round in which the machine was busy with something else shows in the baseline. At least three
    rounds count: the steadiest, if no more are steady. Without a baseline nothing is said.
    """
    if not baselines:
        return []
    worst = [
        max(took / least for took, least in zip(round_, map(min, baselines), strict=True))
        for round_ in zip(*baselines, strict=True)
    ]
    bound = max(1 + SPREAD, sorted(worst)[min(MIN_ROUNDS, len(worst)) - 1])
    return [one <= bound for one in worst]


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
