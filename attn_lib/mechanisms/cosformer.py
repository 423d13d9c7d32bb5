r"""cosFormer: ReLU features, and a cosine of the distance that still splits into a product.

Zhen Qin, Weixuan Sun, Hui Deng, Dongxu Li, Yunshen Wei, Baohong Lv, Junjie Yan, Lingpeng Kong,
Yiran Zhong. *cosFormer: Rethinking Softmax in Attention.* 2022, arXiv:2202.08791. The similarity of
the query at position i and the key at position j, with q' = relu(q), k' = relu(k) and M no smaller
than the sequence is long, is

    s_ij = (q'_i · k'_j) cos(π/2 · (i − j)/M)

and with θ_i = π i / (2M) the cosine of a difference, which the authors trace to Ptolemy's theorem,

    s_ij = (q'_i cos θ_i) · (k'_j cos θ_j) + (q'_i sin θ_i) · (k'_j sin θ_j)

makes it a product of features of q_i and of k_j alone. Rows are divided by their sums.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attn_lib._checks import (
    check_finite_number,
    check_positive_int,
    check_qk,
    check_qkv,
    check_sizes,
    check_state,
    check_step,
)
from attn_lib.numerics import hide_keys
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.decoding import read_prompt, sums_like
from attn_lib.numerics.features import FeatureMap, attend_by_features, feature_operator, normalise

__all__ = [
    "CosformerState",
    "cosformer_attention",
    "cosformer_init_state",
    "cosformer_prefill",
    "cosformer_step",
    "cosformer_weights",
]


@outside_autocast
def cosformer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    max_len: int | None = None,
    eps: float = 1e-6,
) -> Tensor:
    r"""Attend by ReLU features re-weighted by the distance, in time linear in the length.

    .. math:: o_i = \frac{\sum_j s_{ij} v_j}{\sum_j s_{ij} + \varepsilon}, \qquad
        s_{ij} = \operatorname{relu}(q_i) \cdot \operatorname{relu}(k_j)
        \cos\Big(\frac{\pi}{2} \cdot \frac{i - j}{M}\Big)

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Let position i see positions j ≤ i only; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token; a masked key keeps its position. A query that may attend to nothing gets
        zeros.
    max_len : int, optional
        The paper's M, at least the longer of q_len and kv_len, and that where it is not given.
    eps : float
        Added to every denominator; at least 0.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        In the dtype of `q`.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, for a mask that is not bool, and for a `max_len` that
        is no int.
    ValueError
        For shapes, dtypes, devices or options out of range, and for a sequence longer than
        `max_len`: from a distance of M on the cosine would be zero, then negative.

    Notes
    -----
    The Linear Transformer's sums with 2 · head_dim features: time O((q_len + kv_len) · head_dim ·
    value_dim), memory O((q_len + kv_len) · (head_dim + value_dim)), forward and backward. Queries
    and keys count their positions from 0, each from the start of its own sequence. First
    derivatives only.

    Positions run from 0 to M − 1, so that all angles lie in [0, π/2) and every feature is
    non-negative: sums of features lose nothing by cancellation, however small the cosine is.

    Without `max_len` the same tokens get other weights in a longer sequence. Give it wherever
    outputs for different lengths must agree: for padding, and for decoding.

    A query without a positive entry has no feature at all, and gets zeros. The authors' code counts
    positions from 1, which changes no difference, and instead of adding `eps` raises a denominator
    below 1e-6 to that.

    Examples
    --------
    Where q and k are all alike, the cosine of the distance is all there is; at 2/3 of M it is ½:

    >>> k = torch.ones(1, 1, 3, 4)
    >>> cosformer_weights(k, k, max_len=3, eps=0.0)[0, 0, 0] * (1 + 0.75**0.5 + 0.5)
    tensor([1.0000, 0.8660, 0.5000])
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    max_len = _check_options(max(q.shape[2], k.shape[2]), max_len, eps)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    out = attend_by_features(_ATTEND, q.to(compute), k, v, causal=causal, eps=eps, option=max_len)
    return out.to(q.dtype)


@outside_autocast
def cosformer_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    max_len: int | None = None,
    eps: float = 1e-6,
) -> Tensor:
    r"""The matrix that `cosformer_attention` implies.

    .. math:: a_{ij} = \frac{s_{ij}}{\sum_m s_{im} + \varepsilon}

    Parameters
    ----------
    q, k, causal, key_mask, max_len, eps
        As in `cosformer_attention`.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Rows sum to 1 but for `eps`, or to 0 where a query may attend to
        nothing or has no positive entry. No entry is negative. Its rank is at most 2 · head_dim
        unless `causal`.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    max_len = _check_options(max(q.shape[2], k.shape[2]), max_len, eps)

    compute = torch.promote_types(q.dtype, torch.float32)
    similar = q.to(compute).relu() @ hide_keys(k.to(compute), key_mask).relu().mT
    i, j = (torch.arange(x.shape[2], dtype=torch.float64, device="cpu") for x in (q, k))
    cosine = torch.cos(math.pi / 2 * (i[:, None] - j) / max_len)  # (q_len, kv_len)
    similar = similar * cosine.to(similar)  # (batch, heads, q_len, kv_len)
    if causal:
        similar = similar.tril()
    return normalise(similar, similar.sum(dim=-1, keepdim=True) + eps).to(q.dtype)


@dataclass(frozen=True)
class CosformerState:
    """What causal cosFormer keeps from one token to the next: two sums and a position.

    Attributes
    ----------
    values : Tensor, shape (batch, heads, 2 * head_dim, value_dim)
        Sum of φ(k_j)ᵀ v_j over the tokens so far; φ is relu(k_j) cos θ_j, then relu(k_j) sin θ_j.
    norm : Tensor, shape (batch, heads, 2 * head_dim, 1)
        Sum of φ(k_j)ᵀ.
    position : int
        Of the token to come, which is the number of tokens so far.
    max_len : int
        How many tokens there may be.
    eps : float
    """

    values: Tensor
    norm: Tensor
    position: int
    max_len: int
    eps: float


def cosformer_init_state(
    batch: int,
    heads: int,
    head_dim: int,
    value_dim: int,
    *,
    max_len: int | None = None,
    eps: float = 1e-6,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> CosformerState:
    """Return the state of causal cosFormer before the first token.

    Parameters
    ----------
    batch, heads, head_dim, value_dim : int
    max_len : int
        The paper's M, at least the number of tokens to come. It must be given here: with the
        number of tokens so far in its place, every new token would turn the angles of all the keys
        that are already summed up.
    eps : float
        As in `cosformer_attention`.
    dtype, device
        Of the tokens to come; torch's default and the CPU where they are not given. The sums are
        kept in float32 at least.

    Returns
    -------
    CosformerState

    Raises
    ------
    TypeError, ValueError
        As in `cosformer_attention`; ValueError also where `max_len` is not given.
    """
    batch, heads = check_sizes(batch=batch, heads=heads)
    head_dim, value_dim = check_sizes(head_dim=head_dim, value_dim=value_dim)
    if max_len is None:
        raise ValueError("max_len must be given to take one token after another, got None")
    max_len = _check_options(1, max_len, eps)
    empty = sums_like(dtype, device)
    return CosformerState(
        values=empty.new_zeros(batch, heads, 2 * head_dim, value_dim),
        norm=empty.new_zeros(batch, heads, 2 * head_dim, 1),
        position=0,
        max_len=max_len,
        eps=eps,
    )


@outside_autocast
def cosformer_step(
    state: CosformerState, q: Tensor, k: Tensor, v: Tensor
) -> tuple[CosformerState, Tensor]:
    """Take one more token into causal cosFormer.

    Parameters
    ----------
    state : CosformerState
        From `cosformer_init_state` or the step before; it is left as it is.
    q, k : Tensor, shape (batch, heads, 1, head_dim)
    v : Tensor, shape (batch, heads, 1, value_dim)

    Returns
    -------
    state : CosformerState
    out : Tensor, shape (batch, heads, 1, value_dim)
        In the dtype of `q`; the row that ``cosformer_attention(..., causal=True)`` with the same
        `max_len` has at this place.

    Raises
    ------
    TypeError
        For what is no state, or no floating-point tensor.
    ValueError
        For shapes, dtypes or devices that do not fit, and for one token more than `max_len`.

    Notes
    -----
    Time O(head_dim · value_dim) for each head, however many tokens came before.
    """
    check_state(state, CosformerState)
    batch, heads, features, value_dim = state.values.shape
    check_step(q, k, v, batch=batch, heads=heads, head_dim=features // 2, value_dim=value_dim)
    place, max_len = state.position, state.max_len
    if place >= max_len:
        raise ValueError(f"state must hold fewer than max_len = {max_len} tokens, got {place}")

    compute = state.values.dtype
    phi_q, phi_k = (_features(x.to(compute), max_len, first=place) for x in (q, k))
    values = state.values + phi_k.mT @ v.to(compute)
    norm = state.norm + phi_k.mT
    out = normalise(phi_q @ values, phi_q @ norm + state.eps)
    return CosformerState(values, norm, place + 1, max_len, state.eps), out.to(q.dtype)


@outside_autocast
def cosformer_prefill(
    state: CosformerState, q: Tensor, k: Tensor, v: Tensor
) -> tuple[CosformerState, Tensor]:
    """Take all tokens of a prompt into causal cosFormer at once.

    Parameters
    ----------
    state : CosformerState
        From `cosformer_init_state`, or from a step; it is left as it is.
    q, k : Tensor, shape (batch, heads, tokens, head_dim)
    v : Tensor, shape (batch, heads, tokens, value_dim)

    Returns
    -------
    state : CosformerState
        As after as many calls of `cosformer_step`.
    out : Tensor, shape (batch, heads, tokens, value_dim)
        In the dtype of `q`; the rows of those calls.

    Raises
    ------
    TypeError, ValueError
        As `cosformer_step`, and for more tokens than `max_len` leaves.
    """
    check_state(state, CosformerState)
    batch, heads, features, value_dim = state.values.shape
    sizes = {"batch": batch, "heads": heads, "head_dim": features // 2, "value_dim": value_dim}
    check_step(q, k, v, **sizes, prompt=True)
    place, max_len = state.position, state.max_len
    if place + q.shape[2] > max_len:
        raise ValueError(
            f"q must have at most the {max_len - place} tokens that max_len = {max_len} leaves, "
            f"got {q.shape[2]}"
        )

    compute = state.values.dtype
    phi_q, phi_k = (_features(x.to(compute), max_len, first=place) for x in (q, k))
    out, values, norm = read_prompt(
        phi_q, phi_k, v.to(compute), state.values, state.norm, eps=state.eps
    )
    new = CosformerState(values, norm, place + q.shape[2], max_len, state.eps)
    return new, out.to(q.dtype)


def _check_options(length: int, max_len: int | None, eps: object) -> int:
    """Return M: `max_len`, or the length where it is not given."""
    check_finite_number("eps", eps, at_least=0)
    if max_len is None:
        return max(length, 1)
    max_len = check_positive_int("max_len", max_len)
    if max_len < length:
        raise ValueError(
            f"max_len must be at least the longer of q_len and kv_len = {length}, got {max_len}"
        )
    return max_len


def _features(x: Tensor, max_len: int, *, first: int = 0) -> Tensor:
    """Return relu(x) cos θ, then relu(x) sin θ, for x whose first position is `first`."""
    return _turn(x.relu(), *_angles(x.shape[-2], max_len, first=first, like=x))


def _angles(length: int, max_len: int, *, first: int = 0, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos θ and sin θ, each (length, 1), of positions from `first` on."""
    place = torch.arange(first, first + length, dtype=torch.float64, device="cpu")[:, None]
    step = math.pi / (2 * max_len)
    # A cosine near π/2 loses its digits to the angle's rounding; the sine of what is left does not.
    return torch.sin((max_len - place) * step).to(like), torch.sin(place * step).to(like)


def _turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    out: Tensor = _Turned.apply(x, cosine, sine)  # type: ignore[no-untyped-call]
    return out


class _Turned(torch.autograd.Function):
    """Two multiples side by side, each written in its place: fresh memory is the cost here."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        width = x.shape[-1]
        out = x.new_empty(*x.shape[:-1], 2 * width)
        torch.mul(x, cosine, out=out[..., :width])
        torch.mul(x, sine, out=out[..., width:])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        left, right = grad_out.chunk(2, dim=-1)
        return (left * cosine).addcmul_(right, sine), None, None


def _make_map(q: Tensor, k: Tensor, max_len: int) -> FeatureMap:
    """Return the features of slices that begin at position 0, from one table of angles."""
    cosine, sine = _angles(max(q.shape[-2], k.shape[-2]), max_len, like=q)
    return lambda x: _turn(x.relu(), cosine[: x.shape[-2]], sine[: x.shape[-2]])


_ATTEND = feature_operator("cosformer_attention", _make_map, instead="cosformer_weights(...) @ v")
