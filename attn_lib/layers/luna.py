"""Luna's layer: two nested attentions, and an extra sequence that goes from layer to layer.

Xuezhe Ma, Xiang Kong, Sinong Wang, Chunting Zhou, Jonathan May, Hao Ma, Luke Zettlemoyer. *Luna:
Linear Unified Nested Attention.* 2021, arXiv:2106.01540.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from attn_lib._checks import check_positive_int
from attn_lib.layers._heads import Heads
from attn_lib.mechanisms import luna_attention, luna_pack, softmax_attention

__all__ = ["LunaAttention"]


class LunaAttention(Heads):
    """Multi-head Luna attention with both outputs: the tokens', and the packed P.

    Ma et al. 2021 (arXiv:2106.01540).

    Parameters
    ----------
    embed_dim : int
        Width of a token, and of a slot; a multiple of `num_heads`.
    num_heads : int
    causal : bool
        Use the causal form. It does not pack into P, so P comes out as it went in.
    activation : "elu" or "softplus"
        Of the causal form; see `luna_attention`.
    tie_kv : bool
        Let keys and values of an attention share one projection, as the authors' code does.
    bias : bool
        Whether the projections have one.
    device, dtype
        Of the parameters.

    Notes
    -----
    The tokens are packed by `luna_pack` with projections of their own. The packed slots, all heads
    side by side, are the second output; projected once more, they are the keys and values that the
    tokens attend to. Adding each output to its input and normalising is the business of the block
    around this layer, as is the feed-forward network, which the tokens have and P has not.

    Examples
    --------
    >>> first, second = LunaAttention(64, 4), LunaAttention(64, 4)
    >>> p = nn.Parameter(torch.randn(16, 64))
    >>> x, packed = first(torch.zeros(2, 100, 64), p.expand(2, -1, -1))
    >>> x, packed = second(x, packed)
    >>> x.shape, packed.shape
    (torch.Size([2, 100, 64]), torch.Size([2, 16, 64]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        causal: bool = False,
        activation: str = "elu",
        tie_kv: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(embed_dim, num_heads)
        embed_dim = check_positive_int("embed_dim", embed_dim)
        self.causal, self.activation = causal, activation
        kv_dim = embed_dim if tie_kv else 2 * embed_dim

        def linear(out_dim: int) -> nn.Linear:
            layer = nn.Linear(embed_dim, out_dim, bias=bias, device=device, dtype=dtype)
            nn.init.xavier_uniform_(layer.weight)
            if bias:
                nn.init.zeros_(layer.bias)
            return layer

        self.pack_query = linear(embed_dim)
        self.pack_context = None if causal else linear(kv_dim)
        self.query = linear(embed_dim)
        self.context = linear(kv_dim)
        self.out = linear(embed_dim)

    def forward(
        self, x: Tensor, p: Tensor, key_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend.

        Parameters
        ----------
        x : Tensor, shape (batch, length, embed_dim)
        p : Tensor, shape (batch, p_len, embed_dim)
            The extra sequence: learned before the first layer, the layer's before after that.
        key_mask : Tensor of bool, shape (batch, length), optional
            True = real token.

        Returns
        -------
        y : Tensor, shape (batch, length, embed_dim)
        packed : Tensor, shape (batch, p_len, embed_dim)
        """
        self._check("x", x)
        self._check("p", p, "p_len")
        (q,), (slots,) = self._cut(self.query(x), 1), self._cut(self.pack_query(p), 1)
        if self.pack_context is None:
            k, v = self._keys_and_values(self.context(x))
            out = luna_attention(
                q, slots, k, v, causal=True, key_mask=key_mask, activation=self.activation
            )
            packed = p
        else:
            k, v = self._keys_and_values(self.pack_context(x))
            packed = self._join(luna_pack(slots, k, v, key_mask=key_mask))
            out = softmax_attention(q, *self._keys_and_values(self.context(packed)))
        return self._merge(out), packed

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward

    def _keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cut a context's projection into keys and values, or into one for both."""
        parts = self._cut(x, x.shape[-1] // self.out.in_features)
        return parts[0], parts[-1]
