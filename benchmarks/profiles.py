"""Where the time of a call goes, by kind of operator."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Case, run_once

__all__ = ["KINDS", "kind_of", "profiled", "sentence"]

KINDS: Mapping[str, tuple[str, ...]] = {
    "products": ("mm", "bmm", "addmm", "baddbmm", "addbmm", "matmul", "linear", "attention"),
    "copies": ("copy_", "cat", "stack", "gather", "index", "scatter", "pad", "clone", "repeat"),
    "new memory": ("empty", "zeros", "zero_", "fill_", "full", "resize_", "ones", "new_"),
    "sorting": ("sort", "topk", "argmax", "max_pool", "kthvalue"),
    "sums": ("sum", "amax", "cumsum", "cummax", "logsumexp", "mean", "any", "all", "norm"),
}
"""Kinds of operators, each by beginnings of their names; all others count number by number."""
REST, OUTSIDE = "number by number", "between operators"


def kind_of(name: str) -> str:
    """Return the kind of an operator, from its name as the profiler gives it."""
    plain = name.rpartition("::")[2].lstrip("_")
    if "attention" in plain and name.startswith("aten::"):
        return "products"
    for kind, beginnings in KINDS.items():
        if plain.startswith(beginnings):
            return kind
    return REST


def profiled(case: Case, pass_: str) -> dict[str, float]:
    """Run once under the profiler; return the share of the run's time that each kind takes.

    Python, and what torch does around its operators, is `between operators`.
    """
    run_once(case, pass_)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        start = time.perf_counter()
        run_once(case, pass_)
        seconds = time.perf_counter() - start
    shares: dict[str, float] = {}
    for event in record.key_averages():
        if event.key.startswith("aten::"):
            kind = kind_of(event.key)
            shares[kind] = shares.get(kind, 0.0) + event.self_cpu_time_total / 1e6 / seconds
    shares[OUTSIDE] = max(0.0, 1.0 - sum(shares.values()))
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return {kind: round(share, 3) for kind, share in ordered if share >= 0.005}


def sentence(shares: Mapping[str, float]) -> str:
    """Say it in words."""
    parts = [f"{kind} {100 * share:.0f} %" for kind, share in shares.items()]
    return "time goes into: " + ", ".join(parts)
