"""Train and test the model of one job."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks import training
from benchmarks.tasks import data
from benchmarks.tasks.models import Transformer, extras, parameters
from benchmarks.tasks.plan import Job
from benchmarks.training import UNASKED, Batch

__all__ = ["batches_of", "run"]

TRAINED_ON = 128_000  # letters; the rest of the book is for testing
DIGITS = 4

Source = Callable[[int, int, torch.Generator], Batch]
"""Draws a batch of a size of the task, of so many sequences."""


def batches_of(job: Job) -> tuple[Source, Source, int | None]:
    """Return what draws batches to train on and to test on, and how many symbols there are."""
    match job.task.name:
        case "recall":
            return data.stacked_recall, data.stacked_recall, None
        case "copying":
            return data.selective_copying, data.selective_copying, data.SYMBOLS + 3
        case "memorisation":
            return data.memorisation, data.memorisation, data.WORDS
        case "letters":
            text = data.letters()
            seen, unseen = text[:TRAINED_ON], text[TRAINED_ON:]
            symbols = int(text.max()) + 1
            return partial(data.windows, seen), partial(data.windows, unseen), symbols
    raise ValueError(f"task must be a known one, got {job.task.name!r}")


def run(job: Job, device: str = "cpu") -> dict[str, Any]:
    """Return the row of a job.

    Its seed decides the first weights, the order of what is trained on, and what a mechanism draws.
    All are tested on the same.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(device == "cpu")
    began = time.process_time()
    seen, unseen, symbols = batches_of(job)
    torch.manual_seed(job.seed)
    model = Transformer(
        job.mechanism,
        length=job.size.length,
        heads=job.heads,
        depth=job.task.depth,
        causal=job.task.causal,
        options=job.options,
        symbols=symbols,
        values=data.embeddings()[1] if symbols is None else None,
    ).to(device)

    def there(batch: Batch) -> Batch:
        return batch[0].to(device), batch[1].to(device)

    trained = training.train(
        model,
        lambda step, draw: there(seen(*job.size.at(step), draw)),
        steps=job.size.steps,
        schedule=training.rise_and_fall(job.rate, job.size.steps),
        draw=torch.Generator().manual_seed(job.seed),
        stop=math.inf if job.task.stop is None else job.task.stop,
        stop_from=job.size.easier_steps,
    )
    train_loss, train_accuracy = trained.last(50)
    draw = partial(unseen, job.size.value)
    test_loss, test_accuracy = _test(model, lambda *how: there(draw(*how)), job.task.answers)
    measured = {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
    }
    return {
        **job.described(),
        "parameters": parameters(model),
        "extras": extras(model),
        "steps": trained.steps,
        **{name: _rounded(value) for name, value in measured.items()},
        "seconds": round(time.process_time() - began, 1),
    }


def _rounded(value: float) -> float | None:
    return round(value, DIGITS) if math.isfinite(value) else None


@torch.no_grad()
def _test(
    model: nn.Module, unseen: Callable[[int, torch.Generator], Batch], count: int
) -> tuple[float, float]:
    """Return loss and accuracy over at least `count` answers, all alike."""
    draw = torch.Generator().manual_seed(99)
    asked = int((unseen(1, torch.Generator().manual_seed(0))[1] != UNASKED).sum())
    x, answers = unseen(-(-count // asked), draw)
    loss = accuracy = 0.0
    for part, wanted in zip(x.split(32), answers.split(32), strict=True):
        scores = model(part)
        share = len(part) / len(x)
        found = cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=UNASKED)
        loss += share * found.item()
        accuracy += share * training.right(scores, wanted).item()
    return loss, accuracy
