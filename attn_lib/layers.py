"""Thin modules: what holds the parameters around a mechanism's pure function."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attn_lib._checks import check_like, check_positive_int, check_tensor
from attn_lib.mechanisms import softmax_attention

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention around any mechanism that takes ``(q, k, v, *, causal, key_mask)``.

    Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.2.

    Parameters
    ----------
    embed_dim : int
        Width of a token; a multiple of `num_heads`.
    num_heads : int
    attend : callable
        The mechanism; fix its own options with ``functools.partial``.
    causal : bool
        Passed on to the mechanism.
    bias : bool
        Whether the projections have one.
    device, dtype
        Of the parameters.

    Notes
    -----
    The parameters are those of ``torch.nn.MultiheadAttention``, with the same start: Xavier-uniform
    over the three stacked projections, biases zero. ``qkv`` is its ``in_proj``, ``out`` its
    ``out_proj``.

    Examples
    --------
    >>> from functools import partial
    >>> from attn_lib import sparse_transformer_attention
    >>> sparse = partial(sparse_transformer_attention, stride=16)
    >>> layer = MultiHeadAttention(64, 4, attend=sparse, causal=True)
    >>> layer(torch.zeros(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        attend: Callable[..., Tensor] = softmax_attention,
        causal: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive_int("embed_dim", embed_dim)
        check_positive_int("num_heads", num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                f"embed_dim must be a multiple of num_heads = {num_heads}, got {embed_dim}"
            )
        self.num_heads = num_heads
        self.attend = attend
        self.causal = causal
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=bias, device=device, dtype=dtype)
        self.out = nn.Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        nn.init.xavier_uniform_(self.qkv.weight)
        if bias:
            nn.init.zeros_(self.qkv.bias)
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Parameters
        ----------
        x : Tensor, shape (batch, length, embed_dim)
        key_mask : Tensor of bool, shape (batch, length), optional
            True = real token.

        Returns
        -------
        Tensor, shape (batch, length, embed_dim)
        """
        check_tensor("x", x, ("batch", "length", "embed_dim"))
        if x.shape[-1] != self.out.in_features:
            raise ValueError(
                f"x must have embed_dim {self.out.in_features}, got shape {tuple(x.shape)}"
            )
        check_like("x", x, "the layer", self.out.weight)
        heads = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = heads.movedim((2, 3), (0, 2))  # each (batch, heads, length, head_dim)
        out = self.attend(q, k, v, causal=self.causal, key_mask=key_mask)
        mixed: Tensor = self.out(out.transpose(1, 2).flatten(2))
        return mixed
