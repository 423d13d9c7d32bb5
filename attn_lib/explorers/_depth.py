"""Stacks of blocks at the start of training: their gradients and streams, over many draws.

What `GradientLadder` and `ResidualStream` show of Xiong et al. 2020 (arXiv:2002.04745).
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from attn_lib.layers import TransformerStack
from attn_lib.mechanisms.softmax import softmax_weights

__all__ = ["DEPTHS", "DRAWS", "LENGTH", "NORMS", "WIDTH", "Start", "measure_start"]

DEPTHS = (2, 4, 8, 16, 32)
NORMS = {"post": "Post-LN", "pre": "Pre-LN", "deep": "DeepNorm", "sandwich": "Sandwich"}
WIDTH, LENGTH, DRAWS = 32, 16, 24
_HEADS, _SYMBOLS = 4, 32
MATRICES = (
    "attention.qkv",
    "attention.out",
    "feed_forward.inner",
    "feed_forward.outer",
)


@dataclass(frozen=True)
class Start:
    """What was measured of one kind of stack, in every draw.

    Attributes
    ----------
    gradients : Tensor, shape (2, draws, 4, depth)
        Norm of the gradient of each block's matrices, in their order in the block: for the loss of
        one position, and for the mean loss of all.
    sizes : Tensor, shape (draws, depth + 1)
        Root mean square of the stream's numbers in front of every block, and at the end.
    cosines : Tensor, shape (draws, depth)
        Between what goes into a block and what comes out.
    """

    gradients: Tensor
    sizes: Tensor
    cosines: Tensor


class _Traced(nn.Module):
    """A stack that also returns what flows between its blocks."""

    def __init__(self, stack: TransformerStack) -> None:
        super().__init__()
        self.stack = stack

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = [x]
        for block in self.stack.blocks:
            seen.append(block(seen[-1]))
        return self.stack.final_norm(seen[-1]), torch.stack(seen)


def _written_out(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    """Attend without the fused kernel, which cannot take many sets of weights at once."""
    out: Tensor = softmax_weights(q, k, **options) @ v
    return out


@functools.lru_cache(maxsize=len(DEPTHS) + 1)
def _drawn(norm: str, depth: int) -> tuple[_Traced, dict[str, Tensor], torch.Generator]:
    """Return a stack, every draw of its weights, and what they were drawn from."""
    with torch.device("meta"):
        stack = TransformerStack(depth, WIDTH, _HEADS, norm=norm, attend=_written_out)
    model = _Traced(stack.to_empty(device="cpu"))
    draw = torch.Generator()  # it starts in the same state everywhere
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    weights = {name: one.new_empty(DRAWS, *one.shape) for name, one in parameters.items()}
    for k in range(DRAWS):
        stack.reset_parameters(draw)
        for name, one in parameters.items():
            weights[name][k] = one
    return model, weights, draw


@functools.lru_cache(maxsize=128)
def measure_start(norm: str, depth: int, gain: float = 1.0) -> Start:
    """Measure a stack at the start of training, over `DRAWS` draws of weights, input and target.

    Parameters
    ----------
    norm : {"post", "pre", "deep", "sandwich"}
    depth : int
        Blocks in the stack.
    gain : float
        Factor on every matrix, after Xavier.
    """
    model, weights, draw = _drawn(norm, depth)
    weights = {name: w if w.dim() == 2 else gain * w for name, w in weights.items()}
    draw = draw.clone_state()
    x = torch.randn(DRAWS, 1, LENGTH, WIDTH, generator=draw)
    head = torch.empty(DRAWS, _SYMBOLS, WIDTH)
    for matrix in head:
        nn.init.xavier_uniform_(matrix, generator=draw)
    target = torch.randint(_SYMBOLS, (DRAWS, LENGTH), generator=draw)

    asked = [f"stack.blocks.{k}.{name}.weight" for name in MATRICES for k in range(depth)]
    for name in asked:
        weights[name].requires_grad_()
    out, seen = vmap(functools.partial(functional_call, model))(weights, (x,))
    scores = (out[:, 0] @ head.mT).mT  # (draws, symbols, length)
    losses = nn.functional.cross_entropy(scores, target, reduction="none")
    gradients = []
    # No draw's loss hangs on another's weights: the gradient of the sum is that of each.
    for loss in (losses[:, 0], losses.mean(dim=1)):
        found = torch.autograd.grad(
            loss.sum(), [weights[name] for name in asked], retain_graph=True
        )
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in found], dim=1)
        gradients.append(norms.unflatten(1, (len(MATRICES), depth)))
    stream = seen.detach()[:, :, 0]  # (draws, depth + 1, length, width)
    cosines = nn.functional.cosine_similarity(stream[:, 1:], stream[:, :-1], dim=-1)
    return Start(
        gradients=torch.stack(gradients),
        sizes=stream.square().mean(dim=(-2, -1)).sqrt(),
        cosines=cosines.mean(dim=-1),
    )
