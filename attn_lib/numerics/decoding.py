"""What is summed up from one token to the next: in which dtype, and where."""

import torch
from torch import Tensor

__all__ = ["sums_like"]


def sums_like(
    dtype: torch.dtype | None,
    device: torch.device | str | None,
    given: Tensor | None = None,
) -> Tensor:
    """Return an empty tensor with the dtype and on the device of a state's sums.

    Parameters
    ----------
    dtype : torch.dtype, optional
        Of the tokens to come; that of `given`, or torch's default, where it is not given. Sums are
        kept in float32 at least.
    device : torch.device or str, optional
        Of the tokens to come; that of `given`, or the CPU, where it is not given.
    given : Tensor, optional
        What the tokens are to meet.

    Returns
    -------
    Tensor, shape (0,)

    Examples
    --------
    >>> sums_like(torch.float16, None).dtype, sums_like(None, None).device
    (torch.float32, device(type='cpu'))
    """
    if dtype is None:
        dtype = torch.get_default_dtype() if given is None else given.dtype
    if device is None:
        device = "cpu" if given is None else given.device
    return torch.empty(0, dtype=torch.promote_types(dtype, torch.float32), device=device)
