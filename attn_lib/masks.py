"""Who may attend to whom: index predicates in the form of FlexAttention's ``mask_mod``.

A mask is a function ``mask(b, h, q_idx, kv_idx) -> bool tensor``, True where the query at position
``q_idx`` may see the key at position ``kv_idx`` (both count from 0). The four arguments are integer
tensors that broadcast against each other, so one definition serves a single pair, a whole matrix
(`dense`) and ``torch.nn.attention.flex_attention``. Every name here is a factory that returns such
a function, and none looks at the future differently from the past: causality is a mask of its own,
to be combined with `intersect`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from attn_lib._checks import check_positive_int, check_stride

__all__ = [
    "Mask",
    "by_head",
    "causal",
    "dense",
    "dilated",
    "fixed",
    "fixed_local",
    "fixed_summary",
    "full",
    "global_tokens",
    "intersect",
    "sliding_window",
    "strided",
    "strided_local",
    "strided_summary",
    "union",
]

Mask = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""A function ``mask(b, h, q_idx, kv_idx)``; broadcasting integer tensors in, a bool tensor out."""


def full() -> Mask:
    """Everybody sees everybody, as in softmax attention without a mask.

    Returns
    -------
    Mask
        {j : all}, as a function of positions.
    """

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return q_idx - kv_idx == q_idx - kv_idx

    return mask


def causal() -> Mask:
    """A position sees itself and what came before: {j : j ≤ i}.

    Returns
    -------
    Mask
        A function of positions.
    """

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return kv_idx <= q_idx

    return mask


def sliding_window(window: int) -> Mask:
    """A position sees `window` neighbours on each side, and itself: {j : abs(i − j) ≤ window}.

    Parameters
    ----------
    window : int
        Keys seen on each side, at least 0.

    Returns
    -------
    Mask
        A function of positions.
    """
    return dilated(window, 1)


def dilated(window: int, dilation: int) -> Mask:
    """A sliding window with gaps: {i + t · dilation : abs(t) ≤ window}.

    Parameters
    ----------
    window : int
        Keys seen on each side, at least 0.
    dilation : int
        Distance between neighbouring keys, at least 1; 1 is `sliding_window`.

    Returns
    -------
    Mask
        A function of positions. Beltagy et al. 2020 (arXiv:2004.05150), section 3.1.
    """
    window = check_positive_int("window", window, at_least=0)
    dilation = check_positive_int("dilation", dilation)

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        distance = (q_idx - kv_idx).abs()
        return (distance <= window * dilation) & (distance % dilation == 0)

    return mask


def strided_local(stride: int) -> Mask:
    """The first set of the strided pattern, a window: {j : abs(i − j) ≤ stride}.

    Parameters
    ----------
    stride : int
        The paper's l, at least 1. Its set has l + 1 members in the causal case: i − l, …, i.

    Returns
    -------
    Mask
        A function of positions. Child et al. 2019 (arXiv:1904.10509), section 4.3.
    """
    stride = check_positive_int("stride", stride)
    return sliding_window(stride)


def strided_summary(stride: int) -> Mask:
    """The second set of the strided pattern, every stride-th key: {j : (i − j) mod stride = 0}.

    Parameters
    ----------
    stride : int
        The paper's l, at least 1.

    Returns
    -------
    Mask
        A function of positions. Child et al. 2019 (arXiv:1904.10509), section 4.3.
    """
    stride = check_positive_int("stride", stride)

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return (q_idx - kv_idx) % stride == 0

    return mask


def strided(stride: int) -> Mask:
    """Both sets of the strided pattern in one head: `strided_local` or `strided_summary`.

    Parameters
    ----------
    stride : int
        The paper's l, at least 1.

    Returns
    -------
    Mask
        A function of positions. Child et al. 2019 (arXiv:1904.10509), section 4.3.

    Examples
    --------
    What the last of eight tokens sees:

    >>> dense(intersect(causal(), strided(3)), 8, 8)[0, 0, -1].int()
    tensor([0, 1, 0, 0, 1, 1, 1, 1], dtype=torch.int32)
    """
    return union(strided_local(stride), strided_summary(stride))


def fixed_local(stride: int) -> Mask:
    """The first set of the fixed pattern, the own block: {j : ⌊j / stride⌋ = ⌊i / stride⌋}.

    Parameters
    ----------
    stride : int
        Length of a block, the paper's l, at least 1.

    Returns
    -------
    Mask
        A function of positions. Child et al. 2019 (arXiv:1904.10509), section 4.3.
    """
    stride = check_positive_int("stride", stride)

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return q_idx // stride == kv_idx // stride

    return mask


def fixed_summary(stride: int, summary: int = 1) -> Mask:
    """The second set of the fixed pattern, the last columns of every block.

    {j : j mod stride ≥ stride − summary}. The paper prints the residues as t … l with t = l − c;
    residue l cannot occur, so its last one is l − 1.

    Parameters
    ----------
    stride : int
        Length of a block, the paper's l, at least 1.
    summary : int
        Columns a block, the paper's c, from 1 to `stride`.

    Returns
    -------
    Mask
        A function of positions. Child et al. 2019 (arXiv:1904.10509), section 4.3.
    """
    stride, summary = check_stride(stride, summary)

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return (kv_idx % stride >= stride - summary) & (q_idx == q_idx)

    return mask


def fixed(stride: int, summary: int = 1) -> Mask:
    """Both sets of the fixed pattern in one head: `fixed_local` or `fixed_summary`.

    Parameters
    ----------
    stride : int
        Length of a block, the paper's l, at least 1.
    summary : int
        Columns a block, the paper's c, from 1 to `stride`.

    Returns
    -------
    Mask
        A function of positions. Child et al. 2019 (arXiv:1904.10509), section 4.3.

    Examples
    --------
    What the last of eight tokens sees:

    >>> dense(intersect(causal(), fixed(3)), 8, 8)[0, 0, -1].int()
    tensor([0, 0, 1, 0, 0, 1, 1, 1], dtype=torch.int32)
    """
    return union(fixed_local(stride), fixed_summary(stride, summary))


def global_tokens(positions: Sequence[int]) -> Mask:
    """Chosen positions see everybody and are seen by everybody.

    Parameters
    ----------
    positions : sequence of int
        Positions from 0 on; may be empty.

    Returns
    -------
    Mask
        A function of positions. Beltagy et al. 2020 (arXiv:2004.05150), section 3.1.
    """
    chosen = [check_positive_int("positions", position, at_least=0) for position in positions]

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        allowed = q_idx - kv_idx != q_idx - kv_idx
        for position in chosen:
            allowed = allowed | (q_idx == position) | (kv_idx == position)
        return allowed

    return mask


def by_head(first: Mask, rest: Mask, split: int) -> Mask:
    """One mask for the first heads, another for the rest.

    Parameters
    ----------
    first, rest : Mask
    split : int
        How many heads `first` serves, at least 0.

    Returns
    -------
    Mask
        A function of head and positions.

    Examples
    --------
    The first head sees 6 of 9 pairs, the second all:

    >>> dense(by_head(causal(), full(), split=1), 3, 3, heads=2)[0].sum(dim=(1, 2))
    tensor([6, 9])
    """
    split = check_positive_int("split", split, at_least=0)

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return torch.where(h < split, first(b, h, q_idx, kv_idx), rest(b, h, q_idx, kv_idx))

    return mask


def intersect(*masks: Mask) -> Mask:
    """Pairs that every one of `masks` allows; of no masks at all: every pair.

    Parameters
    ----------
    *masks : Mask

    Returns
    -------
    Mask
        A function of positions.

    Examples
    --------
    >>> dense(intersect(causal(), sliding_window(1)), 4, 4)[0, 0].int()
    tensor([[1, 0, 0, 0],
            [1, 1, 0, 0],
            [0, 1, 1, 0],
            [0, 0, 1, 1]], dtype=torch.int32)
    """

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        allowed = full()(b, h, q_idx, kv_idx)
        for part in masks:
            allowed = allowed & part(b, h, q_idx, kv_idx)
        return allowed

    return mask


def union(*masks: Mask) -> Mask:
    """Pairs that at least one of `masks` allows; of no masks at all: no pair.

    Parameters
    ----------
    *masks : Mask

    Returns
    -------
    Mask
        A function of positions.
    """

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        allowed = ~full()(b, h, q_idx, kv_idx)
        for part in masks:
            allowed = allowed | part(b, h, q_idx, kv_idx)
        return allowed

    return mask


def dense(
    mask: Mask,
    q_len: int,
    kv_len: int,
    *,
    batch: int = 1,
    heads: int = 1,
    device: torch.device | str | None = None,
) -> Tensor:
    """Write a mask out as a matrix: quadratic, for pictures and tests.

    Parameters
    ----------
    mask : Mask
    q_len, kv_len : int
        Numbers of queries and keys.
    batch, heads : int
        Sizes of the two leading axes.
    device : torch.device or str, optional
        Where the matrix is to lie.

    Returns
    -------
    Tensor of bool, shape (batch, heads, q_len, kv_len)
        True where the pair is allowed.

    Examples
    --------
    >>> dense(causal(), 3, 3)[0, 0].int()
    tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    allowed = mask(
        torch.arange(batch, device=device)[:, None, None, None],
        torch.arange(heads, device=device)[:, None, None],
        torch.arange(q_len, device=device)[:, None],
        torch.arange(kv_len, device=device),
    )
    return allowed.expand(batch, heads, q_len, kv_len)
