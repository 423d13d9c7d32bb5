"""Numbers of either sign as bytes; `front/arrays.mjs` undoes them too."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCALE", "signed_code", "signed_value"]

_ZERO, _TOP = 128, 127
SCALE = {"zero": _ZERO, "top": _TOP}
"""What a view needs in order to read the codes, for its facts."""


def signed_code(x: NDArray[Any], step: int = 1) -> NDArray[np.uint8]:
    """Return numbers as bytes: 128 is zero, and the distance from it the square root.

    Parameters
    ----------
    x : ndarray
        Numbers; those beyond 1 or -1 count as that.
    step : int
        Codes are rounded to its multiples above and below zero: fewer levels, fewer bytes.
    """
    roots = np.sign(x) * np.sqrt(np.abs(x)).clip(0, 1)
    codes: NDArray[np.uint8] = (_ZERO + np.rint(roots * _TOP / step) * step).clip(1, 255)
    return codes.astype(np.uint8)


def signed_value(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the numbers that `signed_code` was given, as far as it kept them."""
    roots = (codes.astype(float) - _ZERO) / _TOP
    values: NDArray[np.float64] = np.sign(roots) * roots**2
    return values
