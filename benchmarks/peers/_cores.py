"""How to get at the attention inside a peer's layer, without its projections of the width."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

from torch import Tensor, nn

from benchmarks.spec import HEAD_DIM, HEADS

__all__ = ["Given", "merge_heads", "quietly", "split_heads"]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let a peer be imported and made without what it warns of and prints."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


class Given(nn.Module):
    """Stand in for a peer's projection of the width: return what was laid in."""

    def __init__(self) -> None:
        super().__init__()
        self.tensor: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor | None:
        """Return the tensor that was laid in, whatever comes."""
        return self.tensor


def merge_heads(x: Tensor) -> Tensor:
    """Lay the heads side by side, (batch, length, heads · head_dim): a copy."""
    return x.transpose(1, 2).flatten(2)


def split_heads(x: Tensor) -> Tensor:
    """Undo `merge_heads`, without a copy."""
    return x.unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)
