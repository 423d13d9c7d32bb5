"""Lengths that no chunk or block divides: zeros fill the last one up."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["pad_length"]


def pad_length(x: Tensor, length: int) -> Tensor:
    """Append zeros along the length axis until it is `length` long.

    Parameters
    ----------
    x : Tensor, shape (..., old_length, width)
    length : int
        At least old_length.

    Returns
    -------
    Tensor, shape (..., length, width)
        `x` itself where nothing is missing.
    """
    missing = length - x.shape[-2]
    return F.pad(x, (0, 0, 0, missing)) if missing else x
