"""What is summed up from one token to the next: in which dtype, where, and over a whole prompt."""

import torch
from torch import Tensor

from attn_lib.numerics.causal_sums import causal_product
from attn_lib.numerics.features import normalise

__all__ = ["read_prompt", "sums_like"]


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


def read_prompt(
    phi_q: Tensor, phi_k: Tensor, v: Tensor, values: Tensor, norm: Tensor, *, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Take the tokens of a prompt into the sums of attention by features, all at once.

    Parameters
    ----------
    phi_q, phi_k : Tensor, shape (batch, heads, tokens, features)
    v : Tensor, shape (batch, heads, tokens, value_dim)
    values : Tensor, shape (batch, heads, features, value_dim)
        Sum of φ(k_j)ᵀ v_j over what came before.
    norm : Tensor, shape (batch, heads, features, 1)
        Sum of φ(k_j)ᵀ.
    eps : float
        Added to every denominator.

    Returns
    -------
    out : Tensor, shape (batch, heads, tokens, value_dim)
    values, norm : Tensor
        The sums with the prompt in them.
    """
    v = torch.cat([v, v.new_ones(*v.shape[:3], 1)], dim=-1)
    sums = torch.cat([values, norm], dim=-1)
    rows = causal_product(phi_q, phi_k, v) + phi_q @ sums
    after = sums + phi_k.mT @ v
    return normalise(rows[..., :-1], rows[..., -1:] + eps), after[..., :-1], after[..., -1:]
