"""Sums of products over all earlier positions, in time that grows with the length alone.

It is how causal attention without a softmax costs no more than its length.
"""

from typing import Any

import torch
from torch import Tensor

from attn_lib.numerics.operators import map_over_batch, register

__all__ = ["causal_product"]

_CHUNK_LENGTH = 64
"""Positions that `causal_product` multiplies out at a time."""


def causal_product(phi_q: Tensor, phi_k: Tensor, v: Tensor) -> Tensor:
    r"""Sum products of features over every position's past, itself included.

    .. math:: o_i = \phi(q_i) \sum_{j \le i} \phi(k_j)^\top v_j

    Parameters
    ----------
    phi_q, phi_k : Tensor, shape (batch, heads, length, features)
        Features of queries and keys, of any sign. Those of a masked key are zeros.
    v : Tensor, shape (batch, heads, length, value_dim)
        Finite at masked keys too, since zero times infinity is NaN. One dtype for all three.

    Returns
    -------
    Tensor, shape (batch, heads, length, value_dim)
        Not normalised. What comes later cannot change a row, to the bit.

    Notes
    -----
    The sequence is cut into chunks. Inside a chunk the pairs are multiplied out; what came before
    it enters through one (features, value_dim) matrix a head, the sum so far. So the time is
    O(length · features · value_dim), and nothing is kept but the inputs and the output: the
    gradients are sums of the same form, over the past for `phi_q` and over the future for `phi_k`
    and `v` (Katharopoulos et al. 2020, arXiv:2006.16236, section 3.3), and are computed in the
    same way. Derivatives of any order.
    """
    batch, heads = phi_q.shape[:2]
    out: Tensor = _CausalProduct.apply(  # type: ignore[no-untyped-call]
        phi_q.flatten(0, 1), phi_k.flatten(0, 1), v.flatten(0, 1), False
    )
    return out.view(batch, heads, *out.shape[1:])


def _sum_up(q: Tensor, k: Tensor, v: Tensor, backwards: bool) -> tuple[Tensor]:
    """Sum over the past, j ≤ i; with `backwards` over the future, j ≥ i."""
    (out,) = _shapes(q, k, v, backwards)
    total = v.new_zeros(len(q), q.shape[-1], v.shape[-1])  # of the chunks done
    firsts = range(0, q.shape[1], _CHUNK_LENGTH)
    for first in reversed(firsts) if backwards else firsts:
        chunk = slice(first, first + _CHUNK_LENGTH)
        q_c, k_c, v_c = q[:, chunk], k[:, chunk], v[:, chunk]
        pairs = q_c @ k_c.mT
        pairs = pairs.triu_() if backwards else pairs.tril_()
        out[:, chunk] = torch.bmm(q_c, total).baddbmm_(pairs, v_c)
        total.baddbmm_(k_c.mT, v_c)
    return (out,)


def _shapes(q: Tensor, k: Tensor, v: Tensor, backwards: bool) -> tuple[Tensor]:
    return (v.new_empty(v.shape),)


_SUM_UP = register("causal_product", _sum_up, _shapes)


class _CausalProduct(torch.autograd.Function):
    """Its gradients are sums of the same form."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, backwards: bool) -> Tensor:
        return _SUM_UP(q, k, v, backwards)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.backwards = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        forth, back = ctx.backwards, not ctx.backwards
        terms = ((grad_out, v, k, forth), (v, grad_out, q, back), (k, q, grad_out, back))
        # What is compiled has no second derivatives, whatever its operators have.
        compiled = torch.compiler.is_compiling()
        sum_up = _CausalProduct.forward if compiled else _CausalProduct.apply
        grads = (
            sum_up(*term) if needed else None
            for term, needed in zip(terms, ctx.needs_input_grad, strict=False)
        )
        return *grads, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Any) -> Any:
        return map_over_batch(_CausalProduct.apply, info.batch_size, in_dims, given)
