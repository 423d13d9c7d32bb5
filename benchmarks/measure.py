"""Run one implementation at one length: its time, its largest tensor, its error."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.spec import BATCH, HEAD_DIM, HEADS, PASSES, Call, Implementation, Row

__all__ = [
    "TOLERANCE",
    "Case",
    "LargestTensor",
    "check",
    "quartiles",
    "run_once",
    "timed",
    "watched",
]

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """Everything one call needs. ``cotangent`` is the gradient that enters the backward pass."""

    call: Call
    inputs: tuple[Tensor, ...]
    cotangent: Tensor
    eager: bool = True

    @classmethod
    def of(cls, row: Row, implementation: Implementation, n: int) -> Case:
        """Build the implementation for length ``n``; the inputs are the same ones each time."""
        generator = torch.Generator().manual_seed(0)
        inputs = row.inputs(n, generator)
        cotangent = torch.randn(BATCH, HEADS, n, HEAD_DIM, generator=generator)
        return cls(implementation.make(n), inputs, cotangent, implementation.eager)


def run_once(case: Case, pass_: str) -> tuple[Tensor, ...]:
    """Run one pass; return the output and, after a backward pass, the inputs' gradients."""
    if pass_ not in PASSES:
        raise ValueError(f"pass_ must be one of {PASSES}, got {pass_!r}")
    if pass_ == "forward":
        with torch.no_grad():
            return (case.call(*case.inputs),)
    inputs = tuple(x.detach().requires_grad_() for x in case.inputs)
    out = case.call(*inputs)
    return (out, *torch.autograd.grad(out, inputs, case.cotangent))


def timed(case: Case, pass_: str) -> float:
    """Return the seconds of one run. Results are freed after the clock has stopped."""
    start = time.perf_counter()
    results = run_once(case, pass_)
    elapsed = time.perf_counter() - start
    del results
    return elapsed


class LargestTensor(TorchDispatchMode):
    """Watch every operator and keep the size of the largest storage that one of them returns.

    Storages, not shapes, so that an expanded view counts what it really holds. Storages given in
    ``known`` (the inputs) do not count. Scratch memory inside a kernel is not seen.
    """

    def __init__(self, known: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.known = {x.untyped_storage().data_ptr() for x in known}
        self.nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and look at what it returned."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                if storage.data_ptr() not in self.known:
                    self.nbytes = max(self.nbytes, storage.nbytes())
        return result


def watched(case: Case, pass_: str) -> tuple[float, int | None]:
    """Run once under `LargestTensor`; return the seconds and the bytes (None for compiled code)."""
    if not case.eager:
        return timed(case, pass_), None
    with LargestTensor((*case.inputs, case.cotangent)) as largest:
        seconds = timed(case, pass_)
    return seconds, largest.nbytes


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile, interpolated."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _error(got: Tensor, expected: Tensor) -> float:
    got, expected = got.detach().double(), expected.detach()
    return float((got - expected).abs().max() / expected.abs().max())


def check(row: Row, implementation: Implementation) -> dict[str, Any]:
    """Compare one implementation with the row's oracle: output, and gradients where it has them.

    Errors are the largest absolute difference over the largest absolute value expected.
    """
    n = row.check_n
    verdict: dict[str, Any] = {
        "mechanism": row.mechanism,
        "implementation": implementation.name,
        "n": n,
        "compared": implementation.agrees,
        "forward_error": None,
        "gradient_error": None,
        "tolerance": TOLERANCE,
        "agrees": None,
        "note": implementation.note,
    }
    if not implementation.agrees:
        return verdict
    pass_ = implementation.passes[-1]
    case = Case.of(row, implementation, n)
    oracle = Case(row.oracle, tuple(x.double() for x in case.inputs), case.cotangent.double())
    got, expected = run_once(case, pass_), run_once(oracle, pass_)
    if got[0].shape != expected[0].shape:
        raise ValueError(f"output must have shape {expected[0].shape}, got {got[0].shape}")
    errors = [_error(*pair) for pair in zip(got, expected, strict=True)]
    verdict["forward_error"] = errors[0]
    verdict["gradient_error"] = max(errors[1:], default=None)
    verdict["agrees"] = max(errors) <= TOLERANCE
    return verdict
