"""A little at a time, so that what is needed for it stays in a core's cache."""

from collections.abc import Iterator

__all__ = ["IN_CACHE", "IN_CACHES", "portions"]

IN_CACHE = 2**19
"""Numbers that are worked on at a time: 2 MB in float32 stay in a core's cache."""
IN_CACHES = 2 * IN_CACHE
"""The same where every step goes over them number by number, so that the cores share them."""


def portions(count: int, size: int, held: int) -> Iterator[slice]:
    """Cut `count` things into portions that hold about `held` numbers.

    Parameters
    ----------
    count : int
    size : int
        Numbers in one thing. Where it is 0 there is nothing to work on, and no portion.
    held : int
        Numbers in a portion at most, unless one thing alone has more.

    Yields
    ------
    slice
        The first portion is the largest.

    Examples
    --------
    >>> list(portions(5, 10, 25))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, held // size) if size else 1
    for first in range(0, count if size else 0, step):
        yield slice(first, min(first + step, count))
