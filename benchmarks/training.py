"""The one trainer of the benchmarks: a model, batches, a loss and a schedule in, losses out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

__all__ = ["UNASKED", "Batch", "Trained", "right", "rise_and_fall", "rise_and_stay", "train"]

UNASKED = -100
"""The answer where nothing is asked: `cross_entropy` leaves such places out, as does `right`."""

Batch = tuple[Tensor, Tensor]
"""What the model is given, and the answers: (batch, length, ...) and (batch, length)."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves: one entry a step.

    Attributes
    ----------
    losses : Tensor
        Cross-entropy of each step's batch, before the step, in nats an answer.
    accuracies : Tensor
        Share of its answers that were right.
    """

    losses: Tensor
    accuracies: Tensor

    @property
    def steps(self) -> int:
        """The steps that were made."""
        return len(self.losses)

    def last(self, steps: int) -> tuple[float, float]:
        """Return the mean loss and accuracy of the last `steps` steps."""
        losses, accuracies = self.losses[-steps:], self.accuracies[-steps:]
        return losses.mean().item(), accuracies.mean().item()


def rise_and_stay(rate: float, warmup: int) -> Callable[[int], float]:
    """Return the schedule that rises in a line for `warmup` steps, and stays."""
    return lambda step: rate * min(1.0, (step + 1) / max(warmup, 1))


def rise_and_fall(rate: float, steps: int, warmup: int = 50) -> Callable[[int], float]:
    """Return the schedule that rises for `warmup` steps, stays, and falls to 0 from half-way on."""
    return lambda step: rate * min((step + 1) / warmup, 1, 2 - 2 * step / steps)


def right(scores: Tensor, answers: Tensor) -> Tensor:
    """Return the share of the answers that have the highest score, of those that are asked for."""
    asked = answers != UNASKED
    return ((scores.argmax(-1) == answers) & asked).sum() / asked.sum()


def train(
    model: nn.Module,
    batches: Callable[[int, torch.Generator], Batch],
    *,
    steps: int,
    schedule: Callable[[int], float],
    draw: torch.Generator,
    stop: float = math.inf,
    stop_from: int = 0,
    every: int = 50,
    **adam: Any,
) -> Trained:
    """Train a model in place, by Adam without weight decay or clipping.

    Parameters
    ----------
    model : nn.Module
        Gives ``(batch, length, symbols)`` scores for what a batch holds.
    batches : callable
        Draws the batch of a step, counted from 0, from the generator `draw`.
    steps : int
        At most.
    schedule : callable
        The learning rate of a step.
    draw : torch.Generator
        Handed to `batches`.
    stop : float
        Stop after `every` steps whose accuracy was at least this in the mean.
    stop_from : int
        The first step that counts for this.
    every : int
        How often it is looked at.
    **adam
        Options of ``torch.optim.Adam``.
    """
    optimizer, done = torch.optim.Adam(model.parameters(), **adam), 0
    # One tensor from the start: a small one left behind by every step would keep the heap from
    # ever giving back what lies between them.
    seen = torch.empty(2, steps, device=next(model.parameters()).device)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        x, answers = batches(step, draw)
        scores = model(x)
        loss = cross_entropy(scores.flatten(0, 1), answers.flatten(), ignore_index=UNASKED)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen[0, step], seen[1, step] = loss.detach(), right(scores.detach(), answers)
        done = step + 1
        latest = seen[1, done - every : done]
        if done % every == 0 and done - every >= stop_from and latest.mean() >= stop:
            break
    losses, accuracies = seen[:, :done].cpu()
    return Trained(losses, accuracies)
