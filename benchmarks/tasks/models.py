"""One small Transformer, and every mechanism in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import attn_lib
from attn_lib import softmax_attention
from attn_lib.layers import (
    LengthProjection,
    LinformerAttention,
    LunaAttention,
    PerformerAttention,
    ReformerAttention,
    TransformerStack,
)

__all__ = ["WIDTH", "Transformer", "extras", "parameters"]

WIDTH, FF = 64, 256


class Divided(nn.Linear):
    """A projection to queries that are divided by √head_dim."""

    def __init__(self, num_heads: int) -> None:
        super().__init__(WIDTH, WIDTH)
        nn.init.zeros_(self.bias)
        self.scale = (WIDTH // num_heads) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        """Return the queries."""
        return self.scale * super().forward(x)


class LunaWithSlots(nn.Module):
    """Luna's layer with an extra sequence of its own, which every block starts from.

    The queries of the causal form are divided by √head_dim, as in the authors' code and not as in
    the paper; see `attn_lib.mechanisms.luna`. Undivided, rates above 0.003 made recall worse.
    """

    def __init__(self, num_heads: int, *, p_len: int, causal: bool) -> None:
        super().__init__()
        self.layer = LunaAttention(WIDTH, num_heads, causal=causal)
        if causal:
            self.layer.query = Divided(num_heads)
        self.p = nn.Parameter(torch.randn(p_len, WIDTH))

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Return the tokens' output alone."""
        return self.layer(x, self.p.expand(len(x), -1, -1), key_mask)[0]


def _linformer(num_heads: int, *, causal: bool, **options: Any) -> nn.Module:
    if causal:
        raise NotImplementedError("Linformer has no causal form")
    return LinformerAttention(WIDTH, num_heads, **options)


LAYERS: Mapping[str, Callable[..., nn.Module]] = {
    "reformer": partial(ReformerAttention, WIDTH),
    "linformer": _linformer,
    "performer": partial(PerformerAttention, WIDTH),
    "luna": LunaWithSlots,
}
"""The layers of mechanisms that are more than a function of queries, keys and values."""


def _ff_dim(mechanism: str, causal: bool) -> int:
    """Return the width that makes up for the projection that a mechanism has more, or less."""
    if mechanism == "reformer":
        return FF + WIDTH // 2  # queries and keys share one
    if mechanism == "luna" and not causal:
        return FF - WIDTH // 2  # five in the place of four
    return FF


class Transformer(nn.Module):
    """Pre-LN blocks between an embedding and a read-out.

    Parameters
    ----------
    mechanism : str
        A name in `attn_lib.catalog`.
    length : int
        Of the sequences: how many places have an embedding.
    heads, depth : int
    causal : bool
    options : mapping
        Of the mechanism, or of its layer.
    symbols : int, optional
        Learned embeddings of so many symbols and of all places go in, and scores of as many come
        out.
    values : Tensor, optional
        In the place of `symbols`: vectors go in, and come out compared with these.
    """

    def __init__(
        self,
        mechanism: str,
        *,
        length: int,
        heads: int,
        depth: int,
        causal: bool,
        options: Mapping[str, Any],
        symbols: int | None = None,
        values: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.embed: nn.Module = nn.Identity()
        self.place: Tensor | None = None
        if symbols is not None:
            self.embed = nn.Embedding(symbols, WIDTH)
            self.place = nn.Parameter(torch.randn(length, WIDTH))
        if mechanism in LAYERS:
            attend = softmax_attention  # until its layer is there
        else:
            attend = partial(getattr(attn_lib, f"{mechanism}_attention"), **options)
        self.stack = TransformerStack(
            depth,
            WIDTH,
            heads,
            ff_dim=_ff_dim(mechanism, causal),
            norm="pre",
            attend=attend,
            causal=causal,
        )
        if mechanism in LAYERS:
            for block in self.stack.blocks:
                block.attention = LAYERS[mechanism](heads, causal=causal, **options)
                _start(block.attention)
        self.read_out = nn.Linear(WIDTH, symbols or values.shape[1])
        self.register_buffer("values", values)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of every symbol at every place."""
        x = self.embed(x)
        if self.place is not None:
            x = x + self.place
        x = self.read_out(self.stack(x))
        return x if self.values is None else x @ self.values.mT


def _start(attention: nn.Module) -> None:
    """Draw the projections as `attn_lib.layers.TransformerBlock` does: each by itself."""
    for part in attention.modules():
        if isinstance(part, nn.Linear):
            for weight in part.weight.detach().split(WIDTH):
                nn.init.xavier_uniform_(weight)


def extras(model: nn.Module) -> int:
    """Return the parameters that only some mechanisms have: Linformer's maps and Luna's P."""
    maps = [part.weight for part in model.modules() if isinstance(part, LengthProjection)]
    slots = [part.p for part in model.modules() if isinstance(part, LunaWithSlots)]
    return sum(x.numel() for x in {*maps, *slots})


def parameters(model: nn.Module) -> int:
    """Return all other parameters."""
    return sum(x.numel() for x in model.parameters()) - extras(model)
