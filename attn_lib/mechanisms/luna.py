"""Luna: pack all tokens into a short extra sequence P, and let every token attend to that.

Xuezhe Ma, Xiang Kong, Sinong Wang, Chunting Zhou, Jonathan May, Hao Ma, Luke Zettlemoyer. *Luna:
Linear Unified Nested Attention.* 2021, arXiv:2106.01540. With Attn(A, C) = ordinary attention of A
over a context C,

    Y_P = Attn(P, C)  (pack),    Y_X = Attn(X, Y_P)  (unpack)

The causal form has no softmax over all positions, whose denominator would hold the future, and none
over the past, which would be a ratio of running sums. With ω a positive function of each entry and
f(A, B, C)_t = (1/t) A_t Σ_{j ≤ t} B_jᵀ C_j,

    A_pack = ω(K Pᵀ / √d),  A_unpack = softmax(f(Q, K, A_pack)),  Y = f(A_unpack, A_pack, V)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lib._checks import (
    check_choice,
    check_like,
    check_positive_int,
    check_qkv,
    check_sizes,
    check_state,
    check_step,
    check_tensor,
)
from attn_lib.numerics import causal_product, elu_plus_one, hide_keys, masked_softmax
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.decoding import sums_like
from attn_lib.numerics.few_queries import attend_from_few
from attn_lib.numerics.operators import first_derivatives_only

__all__ = [
    "LunaState",
    "luna_attention",
    "luna_init_state",
    "luna_pack",
    "luna_prefill",
    "luna_step",
    "luna_weights",
]

_INSTEAD = "luna_weights(...) @ v"

_ACTIVATIONS = ("elu", "softplus")


@outside_autocast
def luna_attention(
    q: Tensor,
    p: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    activation: str = "elu",
) -> Tensor:
    r"""Attend to the tokens through the few slots of an extra sequence P.

    .. math:: Y_P = \operatorname{softmax}(P K^\top / \sqrt d)\, V, \qquad
        O = \operatorname{softmax}(Q\, Y_P^\top / \sqrt d)\, Y_P

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    p : Tensor, shape (batch, heads, p_len, head_dim)
        The extra sequence; p_len is at least 1.
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
        The packed sequence serves as keys and as values, so value_dim must equal head_dim, unless
        `causal`.
    causal : bool
        Use the paper's causal form (see Notes), which is another function; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. A query that may attend to nothing gets zeros.
    activation : "elu" or "softplus"
        The causal form's ω: elu(x) + 1, or log2(1 + 2^x).

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        In the dtype of `q`.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, and for a mask that is not bool.
    ValueError
        For shapes, dtypes, devices or options out of range.

    Notes
    -----
    Time O((q_len + kv_len) · p_len · head_dim); memory O((q_len + kv_len) · (p_len + head_dim)) at
    most, and without the p_len where torch has a fused kernel. Their l is our p_len.

    The causal form, with t the number of unmasked keys up to position i, itself included:

    .. math:: a_j = \omega(P k_j / \sqrt d), \quad
        u_i = \operatorname{softmax}\Big(\frac1t \sum_{j \le i} (q_i \cdot k_j)\, a_j\Big), \quad
        o_i = \frac1t \sum_{j \le i} (u_i \cdot a_j)\, v_j

    Here k stands where the paper has X in :math:`A_{pack}`. As printed, q is not divided by √d;
    the authors' code divides it, which a caller gets by passing q / √d. Time
    O(length · p_len · (head_dim + value_dim)) by chunks (`attn_lib.numerics.causal_product`), with
    no (head_dim, p_len) matrix a token as in the authors' parallel code. First derivatives only
    without `causal`.

    Examples
    --------
    One slot gives every token the same output, whatever its query:

    >>> q = k = v = torch.eye(2)[None, None]
    >>> luna_attention(q, torch.zeros(1, 1, 1, 2), k, v)[0, 0]
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    _check_p(p, "q", q)
    _check_widths(v, q, causal=causal)
    check_choice("activation", activation, _ACTIVATIONS)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    q_, p_ = q.to(compute), p.to(compute)
    if causal:
        pack = _activate(k, p_, activation)  # (batch, heads, kv_len, p_len)
        count = _keys_so_far(k, key_mask)
        # Masked keys and values are zeros: their packs, which are not, add nothing to the sums.
        unpack = torch.softmax(causal_product(q_, k, pack) / count, dim=-1)
        out = causal_product(unpack, pack, v) / count
    else:
        q_, p_, k, v = first_derivatives_only("luna_attention", _INSTEAD, q_, p_, k, v)
        packed = attend_from_few(p_, k, v, key_mask)
        out = F.scaled_dot_product_attention(q_, packed, packed)
    return out.to(q.dtype)


@outside_autocast
def luna_pack(p: Tensor, k: Tensor, v: Tensor, *, key_mask: Tensor | None = None) -> Tensor:
    r"""Pack the tokens: each slot of P takes an average of the values.

    .. math:: Y_P = \operatorname{softmax}(P K^\top / \sqrt d)\, V

    Parameters
    ----------
    p : Tensor, shape (batch, heads, p_len, head_dim)
        The extra sequence; p_len is at least 1.
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. Where there is none, the slots are zeros.

    Returns
    -------
    Tensor, shape (batch, heads, p_len, value_dim)
        In the dtype of `p`; a layer's second output, which becomes the next layer's P.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, and for a mask that is not bool.
    ValueError
        For shapes, dtypes or devices that do not fit.

    Notes
    -----
    Time O(p_len · kv_len · (head_dim + value_dim)). There is no causal form: a slot reads the whole
    text.
    """
    check_qkv(p, k, v, key_mask=key_mask, query="p")
    check_positive_int("p_len", p.shape[2])

    compute = torch.promote_types(p.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    p_, k, v = first_derivatives_only(
        "luna_pack", "softmax_weights(p, k, key_mask=key_mask) @ v", p.to(compute), k, v
    )
    return attend_from_few(p_, k, v, key_mask).to(p.dtype)


@outside_autocast
def luna_weights(
    q: Tensor,
    p: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    activation: str = "elu",
) -> Tensor:
    r"""The weight matrix that `luna_attention` implies, written out: unpack times pack.

    Parameters
    ----------
    q, p, k, v, causal, key_mask, activation
        As in `luna_attention`. The values are asked for because a query compares itself with the
        packed slots, which are made of values.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`; its rank is at most p_len unless `causal`. Rows sum to 1, or to 0 where
        a query may attend to nothing; those of the causal form sum to anything above 0.
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    _check_p(p, "q", q)
    _check_widths(v, q, causal=causal)
    check_choice("activation", activation, _ACTIVATIONS)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    q_, p_ = q.to(compute), p.to(compute)
    scale = q.shape[-1] ** -0.5
    if causal:
        pack = hide_keys(_activate(k, p_, activation), key_mask)
        count = _keys_so_far(k, key_mask)
        unpack = torch.softmax((q_ @ k.mT).tril() @ pack / count, dim=-1)
        weights = (unpack @ pack.mT).tril() / count
    else:
        allowed = None if key_mask is None else key_mask[:, None, None, :]
        pack = masked_softmax(scale * p_ @ k.mT, allowed)  # (batch, heads, p_len, kv_len)
        unpack = torch.softmax(scale * q_ @ (pack @ v).mT, dim=-1)  # (batch, heads, q_len, p_len)
        weights = unpack @ pack
    return weights.to(q.dtype)


@dataclass(frozen=True)
class LunaState:
    """What causal Luna keeps from one token to the next: it does not grow with the text.

    Attributes
    ----------
    keys : Tensor, shape (batch, heads, head_dim, p_len)
        Sum of k_jᵀ a_j over the tokens so far.
    values : Tensor, shape (batch, heads, p_len, value_dim)
        Sum of a_jᵀ v_j.
    count : int
        Tokens so far.
    p : Tensor, shape (batch, heads, p_len, head_dim)
    activation : "elu" or "softplus"
    """

    keys: Tensor
    values: Tensor
    count: int
    p: Tensor
    activation: str


def luna_init_state(
    batch: int,
    heads: int,
    head_dim: int,
    value_dim: int,
    *,
    p: Tensor,
    activation: str = "elu",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> LunaState:
    """Return the state of causal Luna before the first token.

    Parameters
    ----------
    batch, heads, head_dim, value_dim : int
    p : Tensor, shape (batch, heads, p_len, head_dim)
        The extra sequence, the same for all tokens.
    activation : "elu" or "softplus"
        As in `luna_attention`.
    dtype, device
        Of the tokens to come; those of `p` where they are not given. The sums are kept in float32
        at least.

    Returns
    -------
    LunaState

    Raises
    ------
    TypeError, ValueError
        As in `luna_attention`.
    """
    batch, heads = check_sizes(batch=batch, heads=heads)
    head_dim, value_dim = check_sizes(head_dim=head_dim, value_dim=value_dim)
    check_tensor("p", p, ("batch", "heads", "p_len", "head_dim"))
    _check_p_shape(p, (batch, heads, head_dim))
    check_choice("activation", activation, _ACTIVATIONS)
    p = p.to(sums_like(dtype, device, p))
    return LunaState(
        keys=p.new_zeros(batch, heads, head_dim, p.shape[2]),
        values=p.new_zeros(batch, heads, p.shape[2], value_dim),
        count=0,
        p=p,
        activation=activation,
    )


@outside_autocast
def luna_step(state: LunaState, q: Tensor, k: Tensor, v: Tensor) -> tuple[LunaState, Tensor]:
    """Take one more token into causal Luna.

    Parameters
    ----------
    state : LunaState
        From `luna_init_state` or the step before; it is left as it is.
    q, k : Tensor, shape (batch, heads, 1, head_dim)
    v : Tensor, shape (batch, heads, 1, value_dim)

    Returns
    -------
    state : LunaState
    out : Tensor, shape (batch, heads, 1, value_dim)
        In the dtype of `q`; the row that ``luna_attention(..., causal=True)`` has at this place.

    Raises
    ------
    TypeError
        For what is no state, or no floating-point tensor.
    ValueError
        For shapes, dtypes or devices that do not fit.

    Notes
    -----
    Time O(p_len · (head_dim + value_dim)) for each head, however many tokens came before.
    """
    check_state(state, LunaState)
    batch, heads, head_dim, _ = state.keys.shape
    value_dim = state.values.shape[3]
    check_step(q, k, v, batch=batch, heads=heads, head_dim=head_dim, value_dim=value_dim)

    compute = state.keys.dtype
    q_, k, v = q.to(compute), k.to(compute), v.to(compute)
    pack = _activate(k, state.p, state.activation)  # (batch, heads, 1, p_len)
    keys, values = state.keys + k.mT @ pack, state.values + pack.mT @ v
    count = state.count + 1
    out = torch.softmax(q_ @ keys / count, dim=-1) @ values / count
    return LunaState(keys, values, count, state.p, state.activation), out.to(q.dtype)


@outside_autocast
def luna_prefill(state: LunaState, q: Tensor, k: Tensor, v: Tensor) -> tuple[LunaState, Tensor]:
    """Take all tokens of a prompt into causal Luna at once.

    Parameters
    ----------
    state : LunaState
        From `luna_init_state`, or from a step; it is left as it is.
    q, k : Tensor, shape (batch, heads, tokens, head_dim)
    v : Tensor, shape (batch, heads, tokens, value_dim)

    Returns
    -------
    state : LunaState
        As after as many calls of `luna_step`.
    out : Tensor, shape (batch, heads, tokens, value_dim)
        In the dtype of `q`; the rows of those calls.

    Raises
    ------
    TypeError, ValueError
        As `luna_step`.
    """
    check_state(state, LunaState)
    batch, heads, head_dim, _ = state.keys.shape
    sizes = {"batch": batch, "heads": heads, "head_dim": head_dim}
    check_step(q, k, v, **sizes, value_dim=state.values.shape[3], prompt=True)
    compute = state.keys.dtype
    q_, k, v = q.to(compute), k.to(compute), v.to(compute)
    pack = _activate(k, state.p, state.activation)  # (batch, heads, tokens, p_len)
    count = state.count + _keys_so_far(k, None)
    unpack = torch.softmax((causal_product(q_, k, pack) + q_ @ state.keys) / count, dim=-1)
    out = (causal_product(unpack, pack, v) + unpack @ state.values) / count
    keys, values = state.keys + k.mT @ pack, state.values + pack.mT @ v
    state = LunaState(keys, values, state.count + q.shape[2], state.p, state.activation)
    return state, out.to(q.dtype)


def _check_p(p: Tensor, query: str, q: Tensor) -> None:
    check_tensor("p", p, ("batch", "heads", "p_len", "head_dim"))
    check_like("p", p, query, q)
    _check_p_shape(p, (q.shape[0], q.shape[1], q.shape[3]))


def _check_p_shape(p: Tensor, sizes: tuple[int, int, int]) -> None:
    batch, heads, head_dim = sizes
    if (p.shape[0], p.shape[1], p.shape[3]) != sizes or p.shape[2] == 0:
        raise ValueError(
            f"p must have shape ({batch}, {heads}, p_len, {head_dim}) with p_len of at least 1, "
            f"got {tuple(p.shape)}"
        )


def _check_widths(v: Tensor, q: Tensor, *, causal: bool) -> None:
    if not causal and v.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"v must have value_dim equal to head_dim = {q.shape[-1]} unless causal, "
            f"got {v.shape[-1]}"
        )


def _activate(k: Tensor, p: Tensor, activation: str) -> Tensor:
    """Return the causal form's pack, ω(K Pᵀ / √d): (batch, heads, kv_len, p_len)."""
    scores = k @ (p * p.shape[-1] ** -0.5).mT
    if activation == "elu":
        return elu_plus_one(scores)
    return torch.logaddexp2(scores, scores.new_zeros(()))


def _keys_so_far(k: Tensor, key_mask: Tensor | None) -> Tensor:
    """Return t for every position, broadcasting to (batch, heads, kv_len, width); never 0."""
    if key_mask is None:
        return torch.arange(1, k.shape[2] + 1, device=k.device, dtype=k.dtype)[:, None]
    return key_mask.cumsum(dim=-1).clamp(min=1).to(k.dtype)[:, None, :, None]
