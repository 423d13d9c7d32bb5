"""Wait for what a page does, from outside: the book's policy lets no text become a script there."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Page

PATIENCE = 30.0
BETWEEN = 50


def until(page: Page, function: str, arg: Any = None) -> None:
    """Ask a page again and again until what a function of JavaScript returns counts as true."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(function, arg):
        if time.monotonic() > end:
            raise AssertionError(f"never true: {function}")
        page.wait_for_timeout(BETWEEN)
