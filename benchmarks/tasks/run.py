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

Source = Callable[[int, torch.Generator], Batch]


def batches_of(job: Job) -> tuple[Source, Source, int | None]:
    """Return what draws batches to train on and to test on, and how many symbols there are."""
    size = job.size
    match job.task.name:
        case "recall":
            source = partial(data.stacked_recall, size.value)
            return source, source, None
        case "copying":
            source = partial(data.selective_copying, size.value)
            return source, source, data.SYMBOLS + 3
        case "memorisation":
            source = partial(data.memorisation, size.length)
            return source, source, data.WORDS
        case "letters":
            text = data.letters()
            first, rest = text[:TRAINED_ON], text[TRAINED_ON:]
            seen, unseen = (partial(data.windows, part, size.length) for part in (first, rest))
            return seen, unseen, int(text.max()) + 1
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
        lambda draw: there(seen(job.size.batch, draw)),
        steps=job.size.steps,
        schedule=training.rise_and_fall(job.rate, job.size.steps),
        draw=torch.Generator().manual_seed(job.seed),
        stop=math.inf if job.task.stop is None else job.task.stop,
    )
    train_loss, train_accuracy = trained.last(50)
    test_loss, test_accuracy = _test(
        model, lambda batch, draw: there(unseen(batch, draw)), job.task.answers
    )
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
def _test(model: nn.Module, unseen: Source, count: int) -> tuple[float, float]:
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
