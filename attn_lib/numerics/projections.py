"""Random vectors, each standard Gaussian, that may be orthogonal to each other."""

from typing import Any

import torch
from torch import Tensor

from attn_lib._checks import check_flag, check_positive_int

__all__ = ["draw_projection"]


def draw_projection(
    features: int,
    head_dim: int,
    *,
    orthogonal: bool = True,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Draw random vectors, each standard Gaussian.

    Parameters
    ----------
    features : int
        How many.
    head_dim : int
        How long each is.
    orthogonal : bool
        Draw them in independent blocks of head_dim that are orthogonal within a block. A vector's
        direction stays uniform, and its length that of a Gaussian vector, drawn by itself.
    generator : torch.Generator, optional
        What they are drawn from; torch's own where it is None.
    dtype : torch.dtype, optional
        Of the result; torch's default where it is None. They are drawn in float64.
    device : torch.device or str, optional
        Of the result; that of `generator`, or the CPU, where it is None.

    Returns
    -------
    Tensor, shape (features, head_dim)

    Raises
    ------
    TypeError, ValueError
        For sizes that are no positive ints.

    Examples
    --------
    >>> w = draw_projection(3, 3, generator=torch.manual_seed(0), dtype=torch.float64)
    >>> products = w @ w.T
    >>> bool((products - products.diag().diag()).abs().max() < 1e-12)
    True
    """
    features = check_positive_int("features", features)
    head_dim = check_positive_int("head_dim", head_dim)
    check_flag("orthogonal", orthogonal)
    place = torch.device("cpu") if generator is None else generator.device
    drawn: dict[str, Any] = {"generator": generator, "dtype": torch.float64, "device": place}
    if orthogonal:
        blocks = torch.randn(-(-features // head_dim), head_dim, head_dim, **drawn)
        turned, triangle = torch.linalg.qr(blocks)
        # QR alone is not uniform over the orthogonal matrices; with the diagonal's signs it is.
        turned = turned * triangle.diagonal(dim1=-2, dim2=-1).sign()[:, None]
        lengths = torch.randn(features, head_dim, **drawn).norm(dim=-1, keepdim=True)
        vectors: Tensor = turned.mT.flatten(0, 1)[:features] * lengths
    else:
        vectors = torch.randn(features, head_dim, **drawn)
    return vectors.to(place if device is None else device, dtype or torch.get_default_dtype())
