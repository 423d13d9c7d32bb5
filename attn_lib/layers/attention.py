"""Multi-head attention: the projections around a mechanism's pure function."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from attn_lib._checks import check_choice, check_positive_int, is_autocast_on
from attn_lib.layers._heads import Heads
from attn_lib.mechanisms import linformer_attention, reformer_attention, softmax_attention

__all__ = [
    "LengthProjection",
    "LinformerAttention",
    "MultiHeadAttention",
    "ReformerAttention",
]


class MultiHeadAttention(Heads):
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

    For this layer and all others: padding, where `key_mask` is False, should hold finite numbers,
    for example zeros. NaN or infinity there cannot reach the rows of real tokens, but makes the
    gradients of the weights NaN, as in torch's own layer: padding is projected too. Under
    ``torch.autocast`` the input may be in half precision.

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
        super().__init__(embed_dim, num_heads)
        self.attend = attend
        self.causal = causal
        self.qkv, self.out = self._projections(embed_dim, 3, bias=bias, device=device, dtype=dtype)

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
        q, k, v = self._split(x)
        return self._merge(self.attend(q, k, v, causal=self.causal, key_mask=key_mask))

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Check x and project it to q, k and v, each (batch, heads, length, head_dim)."""
        self._check("x", x)
        q, k, v = self._cut(self.qkv(x), 3)
        return q, k, v


class LengthProjection(nn.Module):
    """A matrix that mixes the positions of a sequence into a few slots: Linformer's E or F.

    Wang et al. 2020 (arXiv:2006.04768), section 4.

    Parameters
    ----------
    max_len : int
        The longest sequence it fits; a shorter one counts as padded to this length.
    rank : int
        Slots, the paper's k.
    kind : "learned", "mean" or "convolution"
        Learned: every entry is a parameter. The other two cut the positions into `rank` blocks of
        max_len / rank, which must be whole: a slot is the mean of its block, or a weighted sum with
        the same learned weights for every block and every channel (a convolution whose kernel is
        its stride).
    heads : int, optional
        One matrix for each of so many heads, in place of one for all.
    device, dtype
        Of the parameters.

    Notes
    -----
    Learned entries start Xavier-uniform, the convolution starts as the mean.

    Examples
    --------
    >>> LengthProjection(6, 2, kind="mean")(6)
    tensor([[0.3333, 0.3333, 0.3333, 0.0000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.3333, 0.3333, 0.3333]])
    """

    weight: Tensor

    def __init__(
        self,
        max_len: int,
        rank: int,
        *,
        kind: str = "learned",
        heads: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        max_len = check_positive_int("max_len", max_len)
        rank = check_positive_int("rank", rank)
        check_choice("kind", kind, ("learned", "mean", "convolution"))
        if heads is not None:
            heads = check_positive_int("heads", heads)
        if kind != "learned" and max_len % rank:
            raise ValueError(f"rank must divide max_len = {max_len} for kind {kind!r}, got {rank}")
        self.max_len, self.rank, self.kind = max_len, rank, kind
        leading = () if heads is None else (heads,)
        if kind == "learned":
            weight = torch.empty(*leading, rank, max_len, device=device, dtype=dtype)
            bound = (6 / (rank + max_len)) ** 0.5
            self.weight = nn.Parameter(nn.init.uniform_(weight, -bound, bound))
        else:
            block = max_len // rank
            weight = torch.full((*leading, block), 1 / block, device=device, dtype=dtype)
            if kind == "convolution":
                self.weight = nn.Parameter(weight)
            else:
                self.register_buffer("weight", weight, persistent=False)

    def forward(self, length: int) -> Tensor:
        """Return the matrix for a sequence.

        Parameters
        ----------
        length : int
            Tokens in the sequence, at most `max_len`.

        Returns
        -------
        Tensor, shape (rank, length) or (heads, rank, length)
        """
        length = check_positive_int("length", length, at_least=0)
        if length > self.max_len:
            raise ValueError(f"length must be at most max_len = {self.max_len}, got {length}")
        if self.kind == "learned":
            return self.weight[..., :length]
        slots = torch.eye(self.rank, device=self.weight.device, dtype=self.weight.dtype)
        blocks = slots[:, :, None] * self.weight[..., None, None, :]  # (…, rank, rank, block)
        return blocks.flatten(-2)[..., :length]

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward


class LinformerAttention(MultiHeadAttention):
    """Multi-head self-attention through Linformer's projections, with its ways of sharing them.

    Wang et al. 2020 (arXiv:2006.04768), section 4. Not causal; see `linformer_attention`.

    Parameters
    ----------
    embed_dim : int
        Width of a token; a multiple of `num_heads`.
    num_heads : int
    max_len : int
        The longest sequence the layer takes.
    rank : int
        Slots that keys and values are mixed into, the paper's k.
    sharing : "none", "headwise", "key-value" or "layerwise"
        None: an E and an F for every head. Headwise: one E and one F for all heads. Key-value: one
        matrix for both. Layerwise: that one matrix serves every layer; pass it as `projection`.
    kind : "learned", "mean" or "convolution"
        What the matrices are; see `LengthProjection`.
    projection : LengthProjection, optional
        The matrix of all layers; where `sharing` is "layerwise", and only there.
    bias : bool
        Whether the projections of the width have one.
    device, dtype
        Of the parameters.

    Notes
    -----
    Where `sharing` is "key-value" or "layerwise", one matrix has several names in ``state_dict()``.
    ``torch.save`` keeps that; for safetensors use its ``save_model`` and ``load_model``, since its
    ``save_file`` refuses tensors that share memory.

    Examples
    --------
    >>> shared = LengthProjection(512, 128)
    >>> options = {"max_len": 512, "rank": 128, "sharing": "layerwise", "projection": shared}
    >>> layers = nn.Sequential(*(LinformerAttention(64, 4, **options) for _ in range(2)))
    >>> layers(torch.zeros(2, 300, 64)).shape
    torch.Size([2, 300, 64])
    >>> layers[0].key_projection is layers[1].value_projection
    True
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        max_len: int,
        rank: int,
        sharing: str = "headwise",
        kind: str = "learned",
        projection: LengthProjection | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_choice("sharing", sharing, ("none", "headwise", "key-value", "layerwise"))
        if (sharing == "layerwise") != (projection is not None):
            raise ValueError(
                "projection must be given where sharing is 'layerwise', and only there, "
                f"got {'one' if projection is not None else 'none'} with sharing {sharing!r}"
            )
        super().__init__(
            embed_dim,
            num_heads,
            attend=linformer_attention,
            bias=bias,
            device=device,
            dtype=dtype,
        )
        heads = num_heads if sharing == "none" else None

        def make() -> LengthProjection:
            return LengthProjection(
                max_len, rank, kind=kind, heads=heads, device=device, dtype=dtype
            )

        if projection is not None:
            asked, got = (
                (max_len, rank, kind),
                (projection.max_len, projection.rank, projection.kind),
            )
            if asked != got:
                raise ValueError(f"projection must have max_len, rank and kind {asked}, got {got}")
        self.key_projection = make() if projection is None else projection
        apart = sharing in ("none", "headwise")
        self.value_projection = make() if apart else self.key_projection

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Parameters
        ----------
        x : Tensor, shape (batch, length, embed_dim)
            Of length `max_len` at most.
        key_mask : Tensor of bool, shape (batch, length), optional
            True = real token.

        Returns
        -------
        Tensor, shape (batch, length, embed_dim)
        """
        q, k, v = self._split(x)
        e, f = self.key_projection(x.shape[1]), self.value_projection(x.shape[1])
        if is_autocast_on(x.device):  # what autocast did to q, k and v
            e, f = e.to(k.dtype), f.to(v.dtype)
        out = self.attend(q, k, v, key_mask=key_mask, key_projection=e, value_projection=f)
        return self._merge(out)


class ReformerAttention(Heads):
    """Multi-head self-attention by hashing, with one projection for queries and keys.

    Kitaev et al. 2020 (arXiv:2001.04451), section 2; see `reformer_attention`.

    Parameters
    ----------
    embed_dim : int
        Width of a token; a multiple of `num_heads`.
    num_heads : int
    bucket_size, num_hashes : int
        Length of a chunk, and rounds. Both are attributes that may be changed at any time: more
        rounds than in training are the paper's way to a better answer.
    causal : bool
        Whether a token sees earlier ones only.
    generator : torch.Generator, optional
        Of the rotations, which are drawn anew in every call.
    bias : bool
        Whether the projections have one.
    device, dtype
        Of the parameters.

    Notes
    -----
    ``torch.utils.checkpoint`` restores torch's own generators and no others. So with `generator`
    the second run of a checkpointed layer is a ValueError; without it gradients are exact.
    A `ReversibleBlock` restores both.

    Examples
    --------
    >>> layer = ReformerAttention(64, 4, bucket_size=16, num_hashes=2, causal=True)
    >>> layer(torch.zeros(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        bucket_size: int,
        num_hashes: int = 1,
        causal: bool = False,
        generator: torch.Generator | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(embed_dim, num_heads)
        bucket_size = check_positive_int("bucket_size", bucket_size)
        num_hashes = check_positive_int("num_hashes", num_hashes)
        self.causal, self.generator = causal, generator
        self.bucket_size, self.num_hashes = bucket_size, num_hashes
        self.qk_v, self.out = self._projections(embed_dim, 2, bias=bias, device=device, dtype=dtype)

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
        self._check("x", x)
        qk, v = self._cut(self.qk_v(x), 2)
        out = reformer_attention(
            qk,
            v,
            causal=self.causal,
            key_mask=key_mask,
            bucket_size=self.bucket_size,
            num_hashes=self.num_hashes,
            generator=self.generator,
        )
        return self._merge(out)

    if TYPE_CHECKING:  # calls of a torch module give Any
        __call__ = forward
