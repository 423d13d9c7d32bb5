"""The recorded tasks as an explorer draws them: their mechanisms in order, and a point's models."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from attn_lib.data import TaskRow, load_task_results
from attn_lib.explorers.recall_bounds import VALUES

__all__ = ["ASTRAY", "NAMES", "TASKS", "TITLES", "UNIT", "Task", "points", "recorded", "score"]

UNIT = 10_000
"""What stands for a share, or a loss, of 1."""
ASTRAY = 10 * UNIT
"""What stands for a loss that is no number."""

TITLES = {
    "softmax": "Softmax",
    "sparse_transformer": "Sparse Transformer",
    "explicit_sparse": "Explicit Sparse",
    "longformer": "Longformer",
    "reformer": "Reformer",
    "linformer": "Linformer",
    "luna": "Luna",
    "performer": "Performer",
    "efficient": "Efficient Attention",
    "linear_transformer": "Linear Transformer",
    "cosformer": "cosFormer",
}
"""What the mechanisms are called, in the order of a legend by families."""
NAMES = tuple(TITLES)


@dataclass(frozen=True)
class Task:
    """A task as the results name it, and the share of right answers that guessing gets."""

    name: str
    causal: bool
    guess: float | None
    size: int | None = None


TASKS: Mapping[str, Task] = {
    "recall": Task("recall", False, 1 / VALUES),
    "recall_causal": Task("recall", True, 1 / VALUES),
    "copying": Task("copying", True, 1 / 16),
    "letters": Task("letters", True, None, 64),
    "memorisation": Task("memorisation", False, 1 / 256, 32),
}

recorded = functools.cache(load_task_results)


def points(task: Task, size: int) -> Iterator[tuple[int, int, Sequence[TaskRow]]]:
    """Yield what was trained at the chosen rate: places of mechanism and value, a row a seed.

    What was not tried, or not yet, is left out.
    """
    results = recorded()
    for m, name in enumerate(NAMES):
        for k, value in enumerate(results.settings["knobs"].get(name, {"values": ()})["values"]):
            try:
                found = results.select(task.name, name, causal=task.causal, size=size, value=value)
            except ValueError:
                continue
            yield m, k, found


def score(row: TaskRow, phase: str, of_loss: bool) -> int:
    """Return a share of right answers, or a loss, in units of `UNIT`."""
    value = getattr(row, f"{phase}_loss" if of_loss else f"{phase}_accuracy")
    return ASTRAY if value is None else min(ASTRAY, round(UNIT * value))
