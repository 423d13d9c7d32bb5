"""What is tried: every mechanism at three sizes of its own knob, on every task.

A plan is a function of the rows that are already there. First each mechanism's learning rate is
chosen, by one seed at the middle size; then follow all sizes with all seeds; then, with the best
size of each, what is too long to try with all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attn_lib.catalog import MECHANISMS
from attn_lib.costs import kept_numbers, read_numbers
from benchmarks.tasks.models import WIDTH

__all__ = ["FULL", "KNOBS", "QUICK", "Grid", "Job", "Knob", "Size", "Task", "absent", "key_of"]

HEADS = 2  # where the width of a head is not the knob
CAUSAL = {one.name: one.causal for one in MECHANISMS}


@dataclass(frozen=True)
class Knob:
    """What a mechanism is made larger by, three values of it, and options that stay."""

    name: str
    values: tuple[int, int, int]
    fixed: tuple[tuple[str, int], ...] = ()


KNOBS: Mapping[str, Knob] = {
    "softmax": Knob("head_dim", (16, 32, 64)),
    "sparse_transformer": Knob("stride", (4, 16, 64)),
    "explicit_sparse": Knob("topk", (1, 4, 16)),
    "longformer": Knob("window", (4, 16, 64)),
    "reformer": Knob("bucket_size", (4, 16, 64), (("num_hashes", 2),)),
    "linformer": Knob("rank", (4, 16, 64)),
    "performer": Knob("features", (16, 64, 256)),
    "luna": Knob("p_len", (4, 16, 64)),
    "efficient": Knob("head_dim", (16, 32, 64)),
    "linear_transformer": Knob("head_dim", (16, 32, 64)),
    "cosformer": Knob("head_dim", (16, 32, 64)),
}
"""`head_dim` is changed by the number of heads, whose widths together are always `WIDTH`."""


@dataclass(frozen=True)
class Size:
    """One size of a task: what it is called by, the length, and the budget.

    In the first third of the steps the `easier` sizes take turns with this one, with as many
    answers in a batch.
    """

    value: int
    length: int
    batch: int
    steps: int
    easier: tuple[int, ...] = ()

    @property
    def easier_steps(self) -> int:
        """How many steps that is."""
        return self.steps // 3 if self.easier else 0

    def at(self, step: int) -> tuple[int, int]:
        """Return what is asked at a step, and the batch."""
        value = self.value
        if step < self.easier_steps:
            turns = (*self.easier, value)
            value = turns[step % len(turns)]
        return value, self.batch * self.value // value


@dataclass(frozen=True)
class Task:
    """A task; `sizes[rate_at]` is the one at which the rates are tried.

    `knobs` are the places of the knob's values that are tried; without `heads` only the middle one
    where the knob is the width of a head. If `grows`, the knob stays in the middle at all sizes but
    the largest. `last` is the size that only the best of them is tried
    at. `stop` is the accuracy in training at which a model is good enough; a task without it is
    judged by its loss. A test has at least so many `answers`.
    """

    name: str
    causal: bool
    depth: int
    sizes: tuple[Size, ...]
    rate_at: int = 0
    knobs: tuple[int, ...] = (0, 1, 2)
    heads: bool = True
    grows: bool = False
    last: Size | None = None
    stop: float | None = None
    answers: int = 16_384

    def values(self, mechanism: str, size: Size) -> list[int]:
        """Return the values of a mechanism's knob that are tried at a size."""
        knob = KNOBS[mechanism]
        stays = (self.grows and size != self.sizes[-1]) or (
            not self.heads and knob.name == "head_dim"
        )
        places = (1,) if stays else self.knobs
        return [knob.values[place] for place in places]


@dataclass(frozen=True)
class Job:
    """One model to be trained."""

    task: Task
    size: Size
    mechanism: str
    value: int
    rate: float
    seed: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells a row from all others."""
        task = (self.task.name, self.task.causal, self.size.value)
        return (*task, self.mechanism, self.value, self.rate, self.seed)

    @property
    def heads(self) -> int:
        """Of the model."""
        return WIDTH // self.value if self.knob.name == "head_dim" else HEADS

    @property
    def knob(self) -> Knob:
        """Of the mechanism."""
        return KNOBS[self.mechanism]

    @property
    def options(self) -> dict[str, int]:
        """Of the mechanism."""
        own = {} if self.knob.name == "head_dim" else {self.knob.name: self.value}
        if self.mechanism in ("cosformer", "linformer"):
            own["max_len"] = self.size.length
        return {**own, **dict(self.knob.fixed)}

    def described(self) -> dict[str, Any]:
        """Return how a row begins."""
        width = WIDTH // self.heads
        sizes = (self.mechanism, self.size.length, width, width)
        counted = {name: x for name, x in self.options.items() if name != "max_len"}
        how = {"causal": self.task.causal, **counted}
        return {
            **dict(zip(ROW_KEY, self.key, strict=True)),
            "knob": self.knob.name,
            "options": self.options,
            "heads": self.heads,
            "length": self.size.length,
            "kept": kept_numbers(*sizes, **how),
            "read": read_numbers(*sizes, **how),
        }


ROW_KEY = ("task", "causal", "size", "mechanism", "value", "rate", "seed")
Row = Mapping[str, Any]


def key_of(row: Row) -> tuple[Any, ...]:
    """Return the key of the job that a row comes from."""
    return tuple(row[name] for name in ROW_KEY)


@dataclass(frozen=True)
class Grid:
    """Tasks, rates, seeds and mechanisms."""

    tasks: tuple[Task, ...]
    rates: tuple[float, ...]
    seeds: int
    mechanisms: tuple[str, ...] = tuple(KNOBS)

    def missing(self, rows: Sequence[Row]) -> tuple[str, list[Job]]:
        """Return the stage that is not yet whole, and its jobs that have no row."""
        there = {key_of(row): row for row in rows}
        for stage, jobs in self._stages(there):
            left = [job for job in dict.fromkeys(jobs) if job.key not in there]
            if left:
                return stage, left
        return "", []

    def described(self) -> dict[str, Any]:
        """Return the settings as the results file has them."""
        return {
            "embed_dim": WIDTH,
            "num_heads": HEADS,
            "rates": self.rates,
            "seeds": self.seeds,
            "knobs": {name: asdict(KNOBS[name]) for name in self.mechanisms},
            "tasks": [asdict(task) for task in self.tasks],
        }

    def _subjects(self) -> Iterator[tuple[Task, str]]:
        for task in self.tasks:
            for mechanism in self.mechanisms:
                if not task.causal or CAUSAL[mechanism]:
                    yield task, mechanism

    def _stages(self, there: Mapping[tuple[Any, ...], Row]) -> Iterator[tuple[str, list[Job]]]:
        """Give the stages in turn; each is asked for when those before it are whole."""
        yield "rates", [job for one in self._subjects() for job in self._rate_trials(*one)]
        rates = {one: self._best_rate(*one, there) for one in self._subjects()}
        yield (
            "sizes",
            [
                Job(task, size, name, value, rates[task, name], seed)
                for task, name in self._subjects()
                for size in task.sizes
                for value in task.values(name, size)
                for seed in range(self.seeds)
            ],
        )
        jobs = []
        for (task, name), rate in rates.items():
            if task.last is not None:
                value = self._best_value(task, name, rate, there)
                jobs += [Job(task, task.last, name, value, rate, k) for k in range(self.seeds)]
        yield "last", jobs

    def _rate_trials(self, task: Task, mechanism: str) -> list[Job]:
        size = task.sizes[task.rate_at]
        values = task.values(mechanism, size)
        value = values[len(values) // 2]
        return [Job(task, size, mechanism, value, rate, 0) for rate in self.rates]

    def _best_rate(self, task: Task, mechanism: str, there: Mapping[tuple[Any, ...], Row]) -> float:
        """Return the rate that did best in training; of equals, the one with the fewest steps."""

        def merit(job: Job) -> tuple[float, ...]:
            row = there[job.key]
            if task.stop is not None and row["train_accuracy"] >= task.stop:
                return (1.0, -row["steps"])
            loss = row["train_loss"]
            return (0.0, -math.inf if loss is None else -loss)

        return max(self._rate_trials(task, mechanism), key=merit).rate

    def _best_value(
        self, task: Task, mechanism: str, rate: float, there: Mapping[tuple[Any, ...], Row]
    ) -> int:
        """Return the value of the knob that did best at the largest size; of equals the least."""

        def merit(value: int) -> float:
            jobs = (Job(task, task.sizes[-1], mechanism, value, rate, k) for k in range(self.seeds))
            return round(sum(there[job.key]["train_accuracy"] for job in jobs) / self.seeds, 2)

        return max(task.values(mechanism, task.sizes[-1]), key=merit)


def absent(grid: Grid) -> list[dict[str, str]]:
    """Return who is missing in the causal tasks, and why."""
    why = {
        "linformer": "each mixed key holds a share of every position, the future's too",
        "efficient": "each feature of the keys is normalised over all positions, the future's too",
    }
    return [
        {"task": task.name, "mechanism": name, "reason": f"no causal form: {why[name]}"}
        for task in grid.tasks
        for name in grid.mechanisms
        if task.causal and not CAUSAL[name]
    ]


def _recall(causal: bool) -> Task:
    sizes = (
        Size(4, 8, 32, 400),
        Size(16, 32, 16, 800, easier=(4,)),
        Size(64, 128, 8, 600, easier=(4, 16)),
    )
    last = Size(256, 512, 4, 600, easier=(4, 16, 64))
    return Task("recall", causal, 1, sizes, rate_at=2, last=last, stop=0.995)


FULL = Grid(
    tasks=(
        Task("memorisation", False, 1, (Size(32, 32, 32, 600),), knobs=(1,), stop=0.995),
        _recall(False),
        _recall(True),
        Task(
            "copying",
            True,
            2,
            (Size(8, 33, 32, 800), Size(24, 49, 32, 800), Size(40, 65, 32, 800)),
            rate_at=2,
            heads=False,
            grows=True,
            stop=0.995,
        ),
        Task("letters", True, 1, (Size(64, 64, 16, 600),)),
    ),
    rates=(1e-3, 3e-3, 1e-2, 3e-2),
    seeds=3,
)
QUICK = Grid(
    tasks=(
        Task("memorisation", False, 1, (Size(5, 5, 2, 2),), knobs=(1,), stop=0.995, answers=64),
        Task(
            "recall",
            False,
            1,
            (Size(2, 4, 2, 2),),
            last=Size(3, 6, 2, 2, easier=(2,)),
            stop=0.995,
            answers=64,
        ),
        Task("copying", True, 2, (Size(1, 26, 2, 2),), knobs=(1,), stop=0.995, answers=64),
        Task("letters", True, 1, (Size(7, 7, 2, 2),), knobs=(0,), answers=64),
    ),
    rates=(1e-3, 3e-3),
    seeds=2,
)
"""The same in a few steps, to see that everything runs."""
