"""A feature map without a parameter: elu(x) + 1, which is positive."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["elu_plus_one"]


def elu_plus_one(x: Tensor) -> Tensor:
    """Map any number to a positive one: x + 1 where x > 0, its exponential elsewhere.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    Tensor
        elu(x) + 1, computed so that it does not vanish before the exponential itself does.
    """
    if not torch.is_grad_enabled():  # a call of `apply` takes five times as long as one token does
        return _elu_plus_one(x)
    out: Tensor = _EluPlusOne.apply(x)  # type: ignore[no-untyped-call]
    return out


def _elu_plus_one(x: Tensor) -> Tensor:
    return x.clamp(max=0.0).exp_().add_(x.relu())


class _EluPlusOne(torch.autograd.Function):
    """Its derivative is the smaller of its value and 1, so that only the value is kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return _elu_plus_one(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> Tensor:
        (out,) = ctx.saved_tensors
        grad: Tensor = grad_out * out.clamp(max=1.0)
        return grad
