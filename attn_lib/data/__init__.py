"""Real attention to look at, a book to train on, and the measured results of the benchmarks.

The queries, keys and values are a sentence encoder's, on two passages of Alice in Wonderland; where
they and the book come from, what is in them and how they were captured: README.md beside this file.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_lib.data._decoding import Decoding, DecodingRow, load_decoding
from attn_lib.data._measured import MeasuredRow, Measurements, load_measurements
from attn_lib.data._pages import PageResults, load_page_results
from attn_lib.data._tasks import TaskResults, TaskRow, load_task_results
from attn_lib.data._training import TrainingRun, TrainingRuns, load_training_runs

__all__ = [
    "Decoding",
    "DecodingRow",
    "MeasuredRow",
    "Measurements",
    "PageResults",
    "Passage",
    "TaskResults",
    "TaskRow",
    "TrainingRun",
    "TrainingRuns",
    "load_book",
    "load_decoding",
    "load_measurements",
    "load_page_results",
    "load_passage",
    "load_task_results",
    "load_training_runs",
]

_LENGTHS = (128, 512)


@dataclass(frozen=True, eq=False)
class Passage:
    """One passage as a trained model sees it.

    Attributes
    ----------
    tokens : tuple of str
        The word pieces, [CLS] first and [SEP] last; a piece that goes on a word begins with "##".
    heads : tuple of (int, int)
        The (layer, head) pairs captured, both counted from 0, in the order of q, k and v.
    q, k, v : Tensor
        ``(len(heads), length, head_dim)``, float32, not yet divided by anything: the model's own
        attention weights are ``softmax(q @ k.mT * head_dim ** -0.5)``.
    """

    tokens: tuple[str, ...]
    heads: tuple[tuple[int, int], ...]
    q: Tensor = field(repr=False)
    k: Tensor = field(repr=False)
    v: Tensor = field(repr=False)

    def head(self, layer: int, head: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return one head's q, k and v, each ``(1, 1, length, head_dim)``.

        Raises
        ------
        ValueError
            If that head was not captured for this passage; ``heads`` lists those that were.
        """
        if (layer, head) not in self.heads:
            raise ValueError(
                f"(layer, head) must be one of this passage's heads, got {(layer, head)}"
            )
        at = self.heads.index((layer, head))
        return self.q[None, None, at], self.k[None, None, at], self.v[None, None, at]


def load_passage(length: Literal[128, 512]) -> Passage:
    """Load a captured passage.

    Parameters
    ----------
    length : {128, 512}
        Tokens in the passage, [CLS] and [SEP] included. All 72 heads are there at 128 tokens,
        12 chosen ones at 512.

    Returns
    -------
    Passage
        With tensors of its own: what a caller does to them reaches nobody else.

    Raises
    ------
    ValueError
        If `length` is neither 128 nor 512.

    Examples
    --------
    >>> passage = load_passage(128)
    >>> passage.tokens[:5]
    ('[CLS]', 'dinah', 'my', 'dear', '!')
    >>> q, k, v = passage.head(layer=0, head=2)
    >>> q.shape
    torch.Size([1, 1, 128, 32])
    """
    if length not in _LENGTHS:
        raise ValueError(f"length must be 128 or 512, got {length!r}")
    arrays = _read(int(length))
    return Passage(
        tuple(arrays["tokens"].tolist()),
        tuple((layer, head) for layer, head in arrays["heads"].tolist()),
        *(torch.from_numpy(arrays[name].astype(np.float32)) for name in ("q", "k", "v")),
    )


def load_book() -> str:
    """Load the whole of *Alice's Adventures in Wonderland*, a text to train small models on.

    Returns
    -------
    str
        143,170 ASCII characters, 70 different ones.

    Examples
    --------
    >>> load_book().splitlines()[4]
    'Alice was beginning to get very tired of sitting by her sister'
    """
    return (files(__package__) / "alice_book.txt").read_text(encoding="ascii")


@cache
def _read(length: int) -> dict[str, NDArray[Any]]:
    path = files(__package__) / f"alice_{length}.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
