"""What a test needs that is made beforehand: missing, it fails in CI and is skipped elsewhere."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"


def missing(what: str) -> NoReturn:
    """Fail in CI, skip elsewhere, because of `what`."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def built_book() -> Path:
    """Return the folder of the built book."""
    if not (HTML / "index.html").exists():
        missing("the book is not built: run `make book` first")
    return HTML
