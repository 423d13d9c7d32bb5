"""Real attention to look at, a book to train on, and the measured results of the benchmarks.

The queries, keys and values are a sentence encoder's, on two passages of Alice in Wonderland or, by
`read`, on a text of your own. Where the passages and the book come from, what is in them and how
they were captured: README.md beside this file.
"""

from importlib.resources import files

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
