"""What the multi-head layers share: a width cut into heads, projected to and from."""

import torch
from torch import Tensor, nn

from attn_lib._checks import check_positive_int, check_tokens

__all__ = ["Heads"]


class Heads(nn.Module):
    """A layer whose width is cut into heads; a subclass makes `out` and the other projections.

    Parameters
    ----------
    embed_dim : int
        Width of a token; a multiple of `num_heads`.
    num_heads : int
    """

    out: nn.Linear

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        check_positive_int("embed_dim", embed_dim)
        num_heads = check_positive_int("num_heads", num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                f"embed_dim must be a multiple of num_heads = {num_heads}, got {embed_dim}"
            )
        self.num_heads = num_heads

    @staticmethod
    def _projections(
        embed_dim: int,
        parts: int,
        *,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> tuple[nn.Linear, nn.Linear]:
        """Make the projection to `parts` stacked ones and the one back.

        They start as those of ``torch.nn.MultiheadAttention``: the stack Xavier-uniform as a whole,
        biases zero.
        """
        embed_dim = check_positive_int("embed_dim", embed_dim)
        inner = nn.Linear(embed_dim, parts * embed_dim, bias=bias, device=device, dtype=dtype)
        out = nn.Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        nn.init.xavier_uniform_(inner.weight)
        if bias:
            nn.init.zeros_(inner.bias)
            nn.init.zeros_(out.bias)
        return inner, out

    def _check(self, name: str, x: Tensor, length: str = "length") -> None:
        """Refuse what does not fit the layer."""
        check_tokens(name, x, "the layer", self.out.weight, length=length)

    def _cut(self, x: Tensor, parts: int) -> Tensor:
        """Cut (batch, length, parts · embed_dim) into (parts, batch, heads, length, head_dim)."""
        heads: Tensor = x.unflatten(-1, (parts, self.num_heads, -1)).movedim((2, 3), (0, 2))
        return heads

    def _join(self, x: Tensor) -> Tensor:
        """Lay heads (batch, heads, length, head_dim) side by side: (batch, length, embed_dim)."""
        return x.transpose(1, 2).flatten(2)

    def _merge(self, x: Tensor) -> Tensor:
        """Join the heads' outputs and project them to (batch, length, embed_dim)."""
        mixed: Tensor = self.out(self._join(x))
        return mixed
