"""Performer's layer: it keeps the random vectors, and draws them anew when told to.

Choromanski et al. 2020. *Rethinking Attention with Performers.* arXiv:2009.14794.
"""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from attn_lib._checks import (
    check_choice,
    check_flag,
    check_generator,
    check_positive_int,
    check_redraws,
    is_repeated,
)
from attn_lib.layers._again import once
from attn_lib.layers.attention import MultiHeadAttention
from attn_lib.mechanisms import draw_projection, performer_attention

__all__ = ["PerformerAttention"]


class PerformerAttention(MultiHeadAttention):
    """Multi-head self-attention by random features that stay the same until they are redrawn.

    Choromanski et al. 2020 (arXiv:2009.14794); see `performer_attention`.

    Parameters
    ----------
    embed_dim : int
        Width of a token; a multiple of `num_heads`.
    num_heads : int
    features : int
        Random vectors, the paper's m; all heads share them.
    redraw_every : int, optional
        Draw new ones at the start of every so manieth call in training mode; never if not given.
    causal : bool
        Whether a token sees earlier ones only.
    kernel : "softmax", "softmax_trig" or "relu"
    orthogonal : bool
        Draw the vectors orthogonal in blocks; see `draw_projection`.
    generator : torch.Generator, optional
        What the vectors are drawn from; torch's own where it is not given.
    bias : bool
        Whether the projections of the width have one.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    projection : Tensor, shape (features, head_dim)
        The random vectors: a buffer, saved and moved with the layer. It stays in float32 at least
        when the layer is cast to less.

    Notes
    -----
    In ``eval()`` nothing is drawn. The vectors of a new layer are one draw of many; redrawing them
    in training, as the authors' code can, keeps the weights from fitting themselves to it.

    Where the layer is repeated in the backward pass, the projection must still be that of the
    forward pass. A `ReversibleBlock` sees to it. Under ``torch.utils.checkpoint`` nobody can, so
    `redraw_every` is refused there: call `redraw_projection` between two steps instead.

    Examples
    --------
    >>> layer = PerformerAttention(64, 4, features=32)
    >>> x = torch.randn(2, 100, 64)
    >>> torch.equal(layer(x), layer(x))
    True
    >>> before = layer.projection
    >>> layer.redraw_projection()
    >>> torch.equal(layer.projection, before)
    False
    """

    projection: Tensor

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        features: int = 256,
        redraw_every: int | None = None,
        causal: bool = False,
        kernel: str = "softmax",
        orthogonal: bool = True,
        generator: torch.Generator | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        features = check_positive_int("features", features)
        if redraw_every is not None:
            redraw_every = check_positive_int("redraw_every", redraw_every)
        check_choice("kernel", kernel, ("softmax", "softmax_trig", "relu"))
        check_flag("orthogonal", orthogonal)
        check_generator(generator)
        super().__init__(
            embed_dim,
            num_heads,
            attend=performer_attention,
            causal=causal,
            bias=bias,
            device=device,
            dtype=dtype,
        )
        self.redraw_every, self.kernel, self.orthogonal = redraw_every, kernel, orthogonal
        self.generator = generator
        self._calls = 0
        weight = self.out.weight
        head_dim = weight.shape[0] // self.num_heads
        wide = torch.promote_types(weight.dtype, torch.float32)
        self.register_buffer("projection", weight.new_empty(features, head_dim, dtype=wide))
        self.redraw_projection()

    def redraw_projection(self, generator: torch.Generator | None = None) -> None:
        """Draw new random vectors.

        Parameters
        ----------
        generator : torch.Generator, optional
            What to draw from; the layer's own if not given.
        """
        check_generator(generator)
        # A new tensor: a graph that still waits for its backward pass keeps the old one.
        self.projection = self._draw(self.generator if generator is None else generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all parameters and the random vectors anew, as for a new layer.

        Parameters
        ----------
        generator : torch.Generator, optional
            What to draw from; for the parameters torch's own if not given, for the random vectors
            the layer's.
        """
        bound = self.out.in_features**-0.5
        nn.init.xavier_uniform_(self.qkv.weight, generator=generator)
        nn.init.uniform_(self.out.weight, -bound, bound, generator)
        for layer in (self.qkv, self.out):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        self.redraw_projection(generator)

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
        if self.training and self.redraw_every is not None:
            check_redraws(self.redraw_every)
            if once(self._is_due):
                # A second run draws too, so that what it draws next is what the first run drew.
                drawn = self._draw(self.generator)
                self.projection = self.projection if is_repeated() else drawn
        out = self.attend(
            q,
            k,
            v,
            causal=self.causal,
            key_mask=key_mask,
            kernel=self.kernel,
            projection=self.projection,
        )
        return self._merge(out)

    def _is_due(self) -> bool:
        """Count a call, and return whether it is to draw new vectors."""
        self._calls = (self._calls + 1) % (self.redraw_every or 1)
        return self._calls == 0

    def _draw(self, generator: torch.Generator | None) -> Tensor:
        return draw_projection(
            *self.projection.shape,
            orthogonal=self.orthogonal,
            generator=generator,
            dtype=self.projection.dtype,
            device=self.projection.device,
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast the layer, and keep the random vectors in float32 at least."""
        before = self.projection
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if torch.promote_types(self.projection.dtype, torch.float32) != self.projection.dtype:
            self.projection = before.to(self.projection.device)
        return self
