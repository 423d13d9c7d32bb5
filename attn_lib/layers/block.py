r"""Transformer blocks that differ in where the layer norm stands: Post-LN, Pre-LN and two variants.

Ruibin Xiong, Yunchang Yang, Di He, Kai Zheng, Shuxin Zheng, Chen Xing, Huishuai Zhang, Yanyan Lan,
Liwei Wang, Tie-Yan Liu. *On Layer Normalization in the Transformer Architecture.* ICML 2020,
arXiv:2002.04745. DeepNorm: Wang et al. 2022, arXiv:2203.00555; sandwich: Ding et al. 2021,
arXiv:2105.13290.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from attn_lib._checks import check_choice, check_positive_int, check_tokens
from attn_lib.layers.attention import MultiHeadAttention
from attn_lib.layers.reversible import ChunkedFeedForward
from attn_lib.mechanisms import softmax_attention

__all__ = ["TransformerBlock", "TransformerStack"]

_NORMS = ("post", "pre", "deep", "sandwich")


class TransformerBlock(nn.Module):
    r"""Attention and a feed-forward network, each with a residual connection and a layer norm.

    With :math:`F` for one of the two:

    ========== =====================================================
    `norm`     what comes after :math:`x`
    ========== =====================================================
    "post"     :math:`\mathrm{LN}(x + F(x))`
    "pre"      :math:`x + F(\mathrm{LN}(x))`
    "deep"     :math:`\mathrm{LN}(\alpha x + F(x))`
    "sandwich" :math:`x + \mathrm{LN}(F(\mathrm{LN}(x)))`
    ========== =====================================================

    Xiong et al. 2020 (arXiv:2002.04745), Table 1, for the first two; Wang et al. 2022
    (arXiv:2203.00555) for "deep", which is DeepNorm; Ding et al. 2021 (arXiv:2105.13290) for
    "sandwich".

    Parameters
    ----------
    embed_dim : int
        Width of a token; a multiple of `num_heads`.
    num_heads : int
    ff_dim : int, optional
        Width of the feed-forward network's inner layer, with a ReLU; 4 `embed_dim` if not given.
    norm : "post", "pre", "deep" or "sandwich"
        Where the layer norm stands.
    attend : callable
        The mechanism; fix its own options with ``functools.partial``.
    causal : bool
        Passed on to the mechanism.
    depth : int, optional
        Blocks in the stack that this one is for: DeepNorm's N, needed for "deep" and only there.
    device, dtype
        Of the parameters.

    Notes
    -----
    Matrices start Xavier-uniform, those of queries, keys and values each by itself, and biases
    zero. For "deep", α is (2N)^¼, and the matrices of values, attention's output and the
    feed-forward network start with the gain β = (8N)^−¼: the paper's figures for a stack without
    cross-attention. There is no dropout.

    A stack of "pre" or "sandwich" blocks needs one more layer norm at its end, which
    `TransformerStack` has.

    Examples
    --------
    >>> block = TransformerBlock(64, 4, norm="pre", causal=True)
    >>> block(torch.zeros(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        ff_dim: int | None = None,
        norm: str = "post",
        attend: Callable[..., Tensor] = softmax_attention,
        causal: bool = False,
        depth: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        embed_dim = check_positive_int("embed_dim", embed_dim)
        check_choice("norm", norm, _NORMS)
        if (norm == "deep") != (depth is not None):
            raise ValueError(
                "depth must be given where norm is 'deep', and only there, "
                f"got {depth} with norm {norm!r}"
            )
        self.norm = norm
        self.residual_scale = self.gain = 1.0
        if depth is not None:
            depth = check_positive_int("depth", depth)
            self.residual_scale, self.gain = (2 * depth) ** 0.25, (8 * depth) ** -0.25
        self.attention = MultiHeadAttention(
            embed_dim, num_heads, attend=attend, causal=causal, device=device, dtype=dtype
        )
        self.feed_forward = ChunkedFeedForward(
            embed_dim, 4 * embed_dim if ff_dim is None else ff_dim, device=device, dtype=dtype
        )

        def layer_norm() -> nn.LayerNorm:
            return nn.LayerNorm(embed_dim, device=device, dtype=dtype)

        self.attention_norm, self.feed_forward_norm = layer_norm(), layer_norm()
        self.attention_out_norm: nn.Module = nn.Identity()
        self.feed_forward_out_norm: nn.Module = nn.Identity()
        if norm == "sandwich":
            self.attention_out_norm, self.feed_forward_out_norm = layer_norm(), layer_norm()
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all matrices anew, and give biases and layer norms their values at the start.

        Parameters
        ----------
        generator : torch.Generator, optional
            What to draw from; torch's global generator if not given.
        """
        qkv, out = self.attention.qkv, self.attention.out
        inner, outer = self.feed_forward.inner, self.feed_forward.outer
        query, key, value = qkv.weight.detach().chunk(3)
        for weight in (query, key):
            nn.init.xavier_uniform_(weight, generator=generator)
        for weight in (value, out.weight, inner.weight, outer.weight):
            nn.init.xavier_uniform_(weight, self.gain, generator)
        for layer in (qkv, out, inner, outer):
            nn.init.zeros_(layer.bias)
        for norm in (
            *(self.attention_norm, self.feed_forward_norm),
            *(self.attention_out_norm, self.feed_forward_out_norm),
        ):
            _reset_norms(norm)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Run both sub-layers.

        Parameters
        ----------
        x : Tensor, shape (batch, length, embed_dim)
        key_mask : Tensor of bool, shape (batch, length), optional
            True = real token.

        Returns
        -------
        Tensor, shape (batch, length, embed_dim)
        """
        check_tokens("x", x, "the block", self.attention_norm.weight)
        out: Tensor
        if self.norm in ("post", "deep"):
            scale = self.residual_scale
            x = self.attention_norm(scale * x + self.attention(x, key_mask))
            out = self.feed_forward_norm(scale * x + self.feed_forward(x))
        else:
            added = self.attention(self.attention_norm(x), key_mask)
            x = x + self.attention_out_norm(added)
            added = self.feed_forward(self.feed_forward_norm(x))
            out = x + self.feed_forward_out_norm(added)
        return out

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward


class TransformerStack(nn.Module):
    """Transformer blocks on top of each other, with a last layer norm where their form needs it.

    Xiong et al. 2020 (arXiv:2002.04745).

    Parameters
    ----------
    depth : int
        Number of blocks, L in the paper.
    embed_dim : int
        Width of a token; a multiple of `num_heads`.
    num_heads : int
    norm : "post", "pre", "deep" or "sandwich"
        See `TransformerBlock`.
    ff_dim : int, optional
        4 `embed_dim` if not given.
    attend : callable
        The mechanism of every block.
    causal : bool
        Passed on to the mechanism.
    device, dtype
        Of the parameters.

    Notes
    -----
    ``blocks`` is the list of blocks. ``final_norm`` is the last layer norm for "pre" and
    "sandwich", whose blocks hand on a sum that nothing has brought back to size, and
    ``nn.Identity`` for the others.

    Examples
    --------
    >>> stack = TransformerStack(6, 64, 4, norm="post")
    >>> stack(torch.zeros(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    def __init__(
        self,
        depth: int,
        embed_dim: int,
        num_heads: int,
        *,
        norm: str,
        ff_dim: int | None = None,
        attend: Callable[..., Tensor] = softmax_attention,
        causal: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        embed_dim = check_positive_int("embed_dim", embed_dim)
        depth = check_positive_int("depth", depth)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                embed_dim,
                num_heads,
                ff_dim=ff_dim,
                norm=norm,
                attend=attend,
                causal=causal,
                depth=depth if norm == "deep" else None,
                device=device,
                dtype=dtype,
            )
            for _ in range(depth)
        )
        self.final_norm: nn.Module = nn.Identity()
        if norm in ("pre", "sandwich"):
            self.final_norm = nn.LayerNorm(embed_dim, device=device, dtype=dtype)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all blocks anew, one after the other; see `TransformerBlock.reset_parameters`.

        Parameters
        ----------
        generator : torch.Generator, optional
            What to draw from; torch's global generator if not given.

        Raises
        ------
        TypeError
            When a block has been replaced by something that holds no `TransformerBlock`.
        """
        for block in self.blocks:
            found = [part for part in block.modules() if isinstance(part, TransformerBlock)]
            if not found:
                raise TypeError(
                    "blocks must hold each a TransformerBlock, bare or wrapped, "
                    f"got {type(block).__name__}"
                )
            for part in found:
                part.reset_parameters(generator)
        _reset_norms(self.final_norm)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Run all blocks, and the last layer norm.

        Parameters
        ----------
        x : Tensor, shape (batch, length, embed_dim)
        key_mask : Tensor of bool, shape (batch, length), optional
            True = real token.

        Returns
        -------
        Tensor, shape (batch, length, embed_dim)
        """
        for block in self.blocks:
            x = block(x, key_mask)
        y: Tensor = self.final_norm(x)
        return y

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward


def _reset_norms(module: nn.Module) -> None:
    """Give the layer norms in a module, bare or wrapped, their values at the start."""
    for part in module.modules():
        if isinstance(part, nn.LayerNorm):
            part.reset_parameters()
