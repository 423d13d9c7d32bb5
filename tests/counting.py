"""Count what a call makes: every tensor, every multiplication, every live byte.

Cost is a claim about growth, so it is held by counting, which gives the same figure on any machine.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["Tally", "count", "exponent", "flops", "peak_bytes"]


@dataclass
class Tally:
    """What one call made: its largest tensor and all its tensors together, in elements."""

    largest: int = 0
    largest_op: str = ""
    total: int = 0
    shapes: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)


class _Counter(TorchDispatchMode):
    """See each tensor that an operator returns.

    A view is counted as no more than the memory it stands on, so that `expand` costs nothing and a
    view of a large tensor is not counted as small.
    """

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if _dense(t)}
        for tensor in tree_leaves(result):
            if not _dense(tensor):
                continue
            storage = tensor.untyped_storage()
            elements = min(tensor.numel(), storage.nbytes() // tensor.element_size())
            if elements > self.tally.largest:
                self.tally.largest, self.tally.largest_op = elements, str(func)
            if storage.data_ptr() not in given:
                self.tally.total += elements
            self.tally.shapes.append((str(func), tuple(tensor.shape)))
        return result


def _dense(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided


def _run(call: Callable[..., torch.Tensor], inputs: tuple[torch.Tensor, ...], around) -> None:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with around:
        call(*leaves).sum().backward()
    for leaf in leaves:
        if leaf.grad is None:
            raise ValueError("the call must use each input, got one without a gradient")


def count(call: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Tally:
    """Run `call(*inputs)` forward and backward and return what it made."""
    tally = Tally()
    _run(call, inputs, _Counter(tally))
    return tally


def flops(call: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> int:
    """Return the operations of all matrix products, forward and backward."""
    counter = FlopCounterMode(display=False)
    _run(call, inputs, counter)
    return counter.get_total_flops()


def peak_bytes(call: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> int:
    """Return the most bytes of tensors alive at once, beyond the inputs, forward and backward."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        _run(call, inputs, torch.autograd.profiler.record_function("call"))
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return peak


def exponent(sizes: list[int], costs: list[int]) -> float:
    """Return the slope of log cost against log size, by least squares."""
    x = [math.log(n) for n in sizes]
    y = [math.log(c) for c in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)
