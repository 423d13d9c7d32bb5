"""Recorded tasks: what one small Transformer learned with each mechanism in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attn_lib.data import _measured

__all__ = ["TaskResults", "TaskRow", "load_task_results"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TaskRow:
    """One model: trained once, then tested.

    Attributes
    ----------
    task : str
        "recall", "copying", "memorisation" or "letters".
    causal : bool
        Whether a position sees earlier ones only.
    size : int
        Of the task: pairs to be recalled, blanks between what is copied and where, words in a
        sequence whose answers are memorised, or letters in a window.
    mechanism : str
        A name in `attn_lib.catalog.MECHANISMS`.
    knob : str
        What the mechanism is made larger by; ``"head_dim"`` is changed by the number of heads.
    value : int
        Of the knob.
    options : mapping
        Of the mechanism.
    heads, length : int
        Of the model, and of its sequences.
    rate : float
        The highest learning rate of the schedule.
    seed : int
        Of the weights, of the order of the data, and of what the mechanism draws.
    steps : int
        That were made; fewer than allowed where the training stopped early.
    train_loss, train_accuracy : float, or None
        Over the last 50 steps, on data that was new at each; nats an answer, or None where the
        training went astray, and a share of 1.
    test_loss, test_accuracy : float, or None
        After training, on data that is the same for all models.
    kept, read : int
        `attn_lib.costs.kept_numbers` and `attn_lib.costs.read_numbers`, of one head at this length.
    parameters, extras : int
        Of the model, without and only those that no other mechanism has: Linformer's maps, Luna's
        P.
    seconds : float
        Of the processor.
    """

    task: str
    causal: bool
    size: int
    mechanism: str
    knob: str
    value: int
    options: Mapping[str, int]
    heads: int
    length: int
    rate: float
    seed: int
    steps: int
    train_loss: float | None
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float
    kept: int
    read: int
    parameters: int
    extras: int
    seconds: float

    @property
    def kept_by_all_heads(self) -> int:
        """`heads` times `kept`, for all heads of the layer."""
        return self.heads * self.kept


@dataclass(frozen=True)
class TaskResults:
    """All rows of the file, with the command, the machine and what was left out."""

    date: str
    command: str
    device: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str | None]
    settings: Mapping[str, Any]
    absent: tuple[Mapping[str, str], ...]
    rows: tuple[TaskRow, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that were tried."""
        return tuple(dict.fromkeys(row.task for row in self.rows))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms that were tried."""
        return tuple(dict.fromkeys(row.mechanism for row in self.rows))

    def sizes(self, task: str, *, causal: bool) -> tuple[int, ...]:
        """Return the sizes of a task, ascending; none where it was not tried in this form."""
        return tuple(
            sorted({row.size for row in self.rows if (row.task, row.causal) == (task, causal)})
        )

    def values(self, mechanism: str) -> tuple[int, ...]:
        """Return the values of a mechanism's knob, ascending."""
        return tuple(sorted({row.value for row in self.rows if row.mechanism == mechanism}))

    def rate(self, task: str, mechanism: str, *, causal: bool) -> float:
        """Return the learning rate that was chosen: the one that has more than one seed.

        Raises
        ------
        ValueError
            If there is none.
        """
        rates = [
            row.rate
            for row in self.rows
            if (row.task, row.mechanism, row.causal) == (task, mechanism, causal) and row.seed
        ]
        if not rates:
            wanted = (task, mechanism, causal)
            raise ValueError(f"(task, mechanism, causal) must be recorded ones, got {wanted}")
        return rates[0]

    def select(
        self, task: str, mechanism: str, *, causal: bool, size: int, value: int
    ) -> tuple[TaskRow, ...]:
        """Return the models of one setting at the chosen rate, one a seed.

        Raises
        ------
        ValueError
            If there are none.
        """
        rate = self.rate(task, mechanism, causal=causal)
        wanted = (task, mechanism, causal, size, value, rate)
        found = [
            row
            for row in self.rows
            if (row.task, row.mechanism, row.causal, row.size, row.value, row.rate) == wanted
        ]
        if not found:
            raise ValueError(f"(size, value) must be recorded ones, got {(size, value)}")
        return tuple(sorted(found, key=lambda row: row.seed))


def load_task_results() -> TaskResults:
    """Load what each mechanism was seen to learn on small tasks.

    Returns
    -------
    TaskResults

    Raises
    ------
    FileNotFoundError
        If nothing was trained.
    ValueError
        If the file has another schema than this version reads.

    Notes
    -----
    The file, ``benchmarks/results/tasks.json``, is written by ``python -m benchmarks.tasks``.
    """
    path = _measured._folder() / "tasks.json"
    if not path.exists():
        raise FileNotFoundError("tasks must be trained: python -m benchmarks.tasks does it")
    document = _measured._document(path, SCHEMA_VERSION)
    return TaskResults(
        **{
            name: document[name]
            for name in ("date", "command", "device", "machine", "versions", "settings")
        },
        absent=tuple(document["absent"]),
        rows=tuple(TaskRow(**row) for row in document["rows"]),
    )
