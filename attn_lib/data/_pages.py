"""What the chapters trained: the results of a page's own cells, run once at full size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attn_lib.data import _measured

__all__ = ["PageResults", "load_page_results"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PageResults:
    """What the functions of one page returned at full size.

    Attributes
    ----------
    page : str
        The page's file, as in ``"04-reformer"``.
    date : str
        Day of the latest run.
    command : str
        Makes them again.
    threads : int
        How many torch used.
    machine : mapping
        The processor.
    versions : mapping
        Of Python and of torch.
    seconds : mapping
        Of the processor's time that each function took.
    cells : mapping
        For each function the SHA-256 of the page's cells that it needs.
    results : mapping
        What each function returned: numbers, lists and dictionaries.
    """

    page: str
    date: str
    command: str
    threads: int
    machine: Mapping[str, Any] = field(repr=False)
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    cells: Mapping[str, str] = field(repr=False)
    results: Mapping[str, Any] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        """Return the result of one function.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        return self.results[name]

    def __str__(self) -> str:
        """Say in a line how the results were made."""
        took = f"{sum(self.seconds.values()):.0f} s"
        torch = f"torch {self.versions['torch']}"
        return f"made by {self.command}, {self.date}, {torch}: {took}"


def load_page_results(page: str) -> PageResults:
    """Load what a chapter trained.

    Parameters
    ----------
    page : str
        The page's file without its ending, as in ``"04-reformer"``.

    Returns
    -------
    PageResults

    Raises
    ------
    FileNotFoundError
        If nothing was trained for this page.
    ValueError
        If the file has another schema than this version reads.

    Notes
    -----
    ``python -m benchmarks.pages`` runs the page's own cells and writes the file,
    ``benchmarks/results/pages/<page>.json``. A test holds it to the cells' source.

    Examples
    --------
    >>> load_page_results("04-reformer").command
    'python -m benchmarks.pages 04-reformer'
    """
    path = _measured._folder() / "pages" / f"{page}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"page must have trained results, got {page!r}; python -m benchmarks.pages makes them"
        )
    document = _measured._document(path, SCHEMA_VERSION)
    del document["schema_version"]
    return PageResults(**document)
