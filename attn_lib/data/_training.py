"""Recorded training runs: learning-rate warm-up with the layer norm in different places."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attn_lib.data import _measured

__all__ = ["TrainingRun", "TrainingRuns", "load_training_runs"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TrainingRun:
    """One model, trained once.

    Attributes
    ----------
    norm : str
        Where its layer norms stand, as in `attn_lib.layers.TransformerBlock`.
    rate : float
        The learning rate after the warm-up.
    warmup : int
        Steps in which it rises to that; 0 for none.
    seed : int
        Of the weights and of the order of the text.
    losses : tuple of float
        Training loss in nats a character, each the mean of ``settings["every"]`` steps.
    held_out : float
        Loss after training, on text that was not trained on.
    sizes : tuple of float
        After training: root mean square of the numbers in front of every block, and at the end.
    cosines : tuple of float
        Between what goes into a block and what comes out.
    without : tuple of float
        Held-out loss with one block left out.
    """

    norm: str
    rate: float
    warmup: int
    seed: int
    losses: tuple[float, ...]
    held_out: float
    sizes: tuple[float, ...]
    cosines: tuple[float, ...]
    without: tuple[float, ...]


@dataclass(frozen=True)
class TrainingRuns:
    """All runs of one file, with the command that made them and what they have in common."""

    date: str
    command: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    runs: tuple[TrainingRun, ...]

    @property
    def norms(self) -> tuple[str, ...]:
        """The places of the layer norm that were tried."""
        return tuple(dict.fromkeys(run.norm for run in self.runs))

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, ascending."""
        return tuple(sorted({run.rate for run in self.runs}))

    @property
    def warmups(self) -> tuple[int, ...]:
        """The lengths of the warm-up, ascending."""
        return tuple(sorted({run.warmup for run in self.runs}))

    @property
    def steps(self) -> tuple[float, ...]:
        """The middle of each stretch of steps that a loss is the mean of."""
        every = self.settings["every"]
        count = len(self.runs[0].losses)
        return tuple(every * k + (every + 1) / 2 for k in range(count))

    def select(self, norm: str, rate: float, warmup: int) -> tuple[TrainingRun, ...]:
        """Return the runs of one setting, one a seed.

        Raises
        ------
        ValueError
            If there are none.
        """
        wanted = (norm, rate, warmup)
        found = [run for run in self.runs if (run.norm, run.rate, run.warmup) == wanted]
        if not found:
            raise ValueError(f"(norm, rate, warmup) must be one of the recorded ones, got {wanted}")
        return tuple(sorted(found, key=lambda run: run.seed))

    def best(self, norm: str) -> tuple[TrainingRun, ...]:
        """Return the runs of the setting whose held-out loss is lowest, mean over its seeds.

        Raises
        ------
        ValueError
            If `norm` was not tried.
        """
        if norm not in self.norms:
            raise ValueError(f"norm must be one of {self.norms}, got {norm!r}")
        settings = dict.fromkeys((run.rate, run.warmup) for run in self.runs if run.norm == norm)
        groups = [self.select(norm, *setting) for setting in settings]
        return min(groups, key=lambda group: sum(run.held_out for run in group) / len(group))


def load_training_runs() -> TrainingRuns:
    """Load the training runs behind the chapter on Post-LN and Pre-LN.

    Returns
    -------
    TrainingRuns

    Raises
    ------
    ValueError
        If the file has another schema than this version reads.

    Notes
    -----
    The file, ``benchmarks/results/warmup.json``, is written by ``python -m benchmarks.warmup``.
    """
    path = _measured._folder() / "warmup.json"
    document = _measured._document(path, SCHEMA_VERSION)
    series = ("losses", "sizes", "cosines", "without")
    return TrainingRuns(
        date=document["date"],
        command=document["command"],
        settings=document["settings"],
        versions=document["versions"],
        runs=tuple(
            TrainingRun(**{**run, **{name: tuple(run[name]) for name in series}})
            for run in document["runs"]
        ),
    )
