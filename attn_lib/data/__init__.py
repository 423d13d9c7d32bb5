"""Real attention to look at, a book and a picture to train on, and the benchmarks' results.

The queries, keys and values are a sentence encoder's, on two passages of Alice in Wonderland or, by
`read`, on a text of your own. Where the passages, the book and the picture come from, what is in
them and how they were made: README.md beside this file.
"""

from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from attn_lib.data._decoding import Decoding, DecodingRow, load_decoding
from attn_lib.data._measured import MeasuredRow, Measurements, load_measurements
from attn_lib.data._pages import PageResults, load_page_results
from attn_lib.data._passages import Passage, load_passage
from attn_lib.data._reading import read
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
    "load_portrait",
    "load_task_results",
    "load_training_runs",
    "read",
]


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


def load_portrait() -> Tensor:
    """Load a small photograph: the astronaut Eileen Collins, with a shuttle's model and a helmet.

    Returns
    -------
    Tensor
        ``(64, 64, 3)``, float32: rows, columns, and red, green and blue between 0 and 1. Each is
        the mean of 8 × 8 pixels of NASA's photograph, which is in the public domain.

    Examples
    --------
    >>> load_portrait().shape
    torch.Size([64, 64, 3])
    """
    path = files(__package__) / "portrait.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return torch.from_numpy(stored["pixels"].astype(np.float32) / 255)
