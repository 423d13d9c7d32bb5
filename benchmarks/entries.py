"""The entries of the results file, one a call, and how times are written into them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

from benchmarks.measure import quartiles
from benchmarks.peers import BASELINE
from benchmarks.spec import Implementation, Row

__all__ = ["fill", "line_of", "new_entry"]


def new_entry(row: Row, one: Implementation, n: int, pass_: str, run: int) -> dict[str, Any]:
    """Return the entry of a call before it was measured."""
    return {
        "mechanism": row.mechanism,
        "implementation": one.name,
        "n": n,
        "pass": pass_,
        "status": "failed",
        "reason": "",
        "ms": None,
        "ms_quartiles": None,
        "times_ms": [],
        "kept_rounds": [],
        "ratio": None,
        "ratio_quartiles": None,
        "baseline_ms": None,
        "peak_mb": None,
        "peak_method": None,
        "peak_run": None,
        "largest_tensor_mb": None,
        "limit_ms": None,
        "limit_share": None,
        "profile": None,
        "load": None,
        "settings": dict(one.settings),
        "note": one.note,
        "run": run,
    }


def line_of(error: BaseException) -> str:
    """Return the first line of a message, or the error's name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def fill(
    entry: dict[str, Any],
    seconds: Sequence[float],
    baseline: Sequence[float] | None,
    kept: Sequence[bool],
) -> None:
    """Write times and ratios, of the rounds that are kept: all, where none is said to be.

    The ratio is that of the two medians; its quartiles are by round.
    """
    kept = kept if len(kept) == len(seconds) else [True] * len(seconds)
    own = list(compress(seconds, kept))
    times = [1e3 * s for s in own]
    low, middle, high = quartiles(times)
    entry.update(status="ok", ms=middle, ms_quartiles=[low, high])
    entry.update(times_ms=[1e3 * s for s in seconds], kept_rounds=list(kept))
    if baseline is None:
        entry["reason"] = f"no ratio: {BASELINE.name} was over the limit at this length"
        return
    if len(baseline) == len(seconds):
        baseline = list(compress(baseline, kept))
    else:
        baseline = [baseline[0]] * len(own)
    reference = 1e3 * quartiles(baseline)[1]
    by_round = [one / other for one, other in zip(own, baseline, strict=True)]
    low, _, high = quartiles(by_round)
    entry.update(ratio=middle / reference, ratio_quartiles=[low, high], baseline_ms=reference)
