r"""Linear Transformer: a similarity that is a product of features, so that the brackets move.

Angelos Katharopoulos, Apoorv Vyas, Nikolaos Pappas, François Fleuret. *Transformers are RNNs: Fast
Autoregressive Transformers with Linear Attention.* 2020, arXiv:2006.16236. With φ(x) = elu(x) + 1
in the place of the exponential,

    o_i = φ(q_i) Σ_j φ(k_j)ᵀ v_j / (φ(q_i) · Σ_j φ(k_j))

where, in the causal form, j ≤ i: then both sums are the state of a recurrent network,

    S_i = S_{i-1} + φ(k_i)ᵀ v_i,  z_i = z_{i-1} + φ(k_i),  o_i = φ(q_i) S_i / (φ(q_i) · z_i)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_lib._checks import (
    check_finite_number,
    check_qk,
    check_qkv,
    check_sizes,
    check_state,
    check_step,
)
from attn_lib.numerics import elu_plus_one, hide_keys
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.decoding import read_prompt, sums_like
from attn_lib.numerics.features import attend_by_features, feature_operator, normalise

__all__ = [
    "LinearTransformerState",
    "linear_transformer_attention",
    "linear_transformer_init_state",
    "linear_transformer_prefill",
    "linear_transformer_step",
    "linear_transformer_weights",
]

_FeatureMap = Callable[[Tensor], Tensor]


@outside_autocast
def linear_transformer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    feature_map: _FeatureMap = elu_plus_one,
    eps: float = 1e-6,
) -> Tensor:
    r"""Attend by a product of features, in time linear in the length.

    .. math:: o_i = \frac{\phi(q_i) \sum_j \phi(k_j)^\top v_j}
        {\phi(q_i) \cdot \sum_j \phi(k_j) + \varepsilon}

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Let position i see positions j ≤ i only; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. A query that may attend to nothing gets zeros.
    feature_map : callable
        φ, the paper's elu(x) + 1 unless given. It gets a tensor (..., length, head_dim), in float32
        or float64, and returns one (..., length, features) of the same dtype and device. It must
        treat every vector by itself.
    eps : float
        Added to every denominator; at least 0.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        In the dtype of `q`.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, for a mask that is not bool, and for a feature map
        that cannot be called or returns no tensor.
    ValueError
        For shapes, dtypes, devices or options out of range, and for features of another shape,
        dtype or device.

    Notes
    -----
    Time O((q_len + kv_len) · features · value_dim); the causal form also multiplies out the pairs
    inside chunks of 64 positions. Memory O((q_len + kv_len) · (features + value_dim)), forward and
    backward: no matrix is kept for any position (`attn_lib.numerics.features`). First derivatives
    only. Their C is our features, their M our value_dim. Scores are not divided by √head_dim.

    φ should not be negative, or a denominator may vanish between values that do not: a row whose
    denominator is exactly zero gives zeros, and one whose denominator is nearly zero anything. Nor
    does anything keep features in range: an exponential overflows float32 from 88.8 on (see
    `performer_attention` for features measured from a level). The features of masked keys are set
    to zero after φ, since φ(0) need not be zero.

    With `eps` the weights of a row sum to a little less than 1, noticeably so only where all of its
    similarities are tiny. The paper has no such term; 1e-6 is what the authors' code adds.

    Examples
    --------
    Keys that are all alike leave the mean of the values so far:

    >>> k = torch.ones(1, 1, 3, 4)
    >>> v = torch.tensor([1.0, 2.0, 6.0]).view(1, 1, 3, 1)
    >>> linear_transformer_attention(k, k, v, causal=True, eps=0.0).flatten()
    tensor([1.0000, 1.5000, 3.0000])
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    _check_options(feature_map, eps)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    q_, attend = q.to(compute), _ATTEND
    if feature_map is not elu_plus_one:  # that one holds no parameters, and may be computed twice
        q_, k = _features(q_, k, feature_map)
        attend = _ATTEND_BY_GIVEN
    out = attend_by_features(attend, q_, k, v, causal=causal, eps=eps, key_mask=key_mask)
    return out.to(q.dtype)


@outside_autocast
def linear_transformer_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    feature_map: _FeatureMap = elu_plus_one,
    eps: float = 1e-6,
) -> Tensor:
    r"""The matrix that `linear_transformer_attention` implies.

    .. math:: a_{ij} = \frac{\phi(q_i) \cdot \phi(k_j)}{\sum_m \phi(q_i) \cdot \phi(k_m) +
        \varepsilon}

    Parameters
    ----------
    q, k, causal, key_mask, feature_map, eps
        As in `linear_transformer_attention`.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Rows sum to 1 but for `eps`, or to 0 where a query may attend to
        nothing. Its rank is at most the number of features unless `causal`.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    _check_options(feature_map, eps)

    compute = torch.promote_types(q.dtype, torch.float32)
    k = hide_keys(k.to(compute), key_mask)
    phi_q, phi_k = _features(q.to(compute), k, feature_map)
    similar = phi_q @ hide_keys(phi_k, key_mask).mT  # (batch, heads, q_len, kv_len)
    if causal:
        similar = similar.tril()
    return normalise(similar, similar.sum(dim=-1, keepdim=True) + eps).to(q.dtype)


@dataclass(frozen=True)
class LinearTransformerState:
    """What the causal Linear Transformer keeps from one token to the next: two sums.

    Attributes
    ----------
    values : Tensor, shape (batch, heads, features, value_dim)
        Sum of φ(k_j)ᵀ v_j over the tokens so far, the paper's S.
    norm : Tensor, shape (batch, heads, features, 1)
        Sum of φ(k_j)ᵀ, the paper's Z.
    head_dim : int
    feature_map : callable
    eps : float
    """

    values: Tensor
    norm: Tensor
    head_dim: int
    feature_map: _FeatureMap
    eps: float


def linear_transformer_init_state(
    batch: int,
    heads: int,
    head_dim: int,
    value_dim: int,
    *,
    feature_map: _FeatureMap = elu_plus_one,
    eps: float = 1e-6,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> LinearTransformerState:
    """Return the state of the causal Linear Transformer before the first token.

    Parameters
    ----------
    batch, heads, head_dim, value_dim : int
    feature_map, eps
        As in `linear_transformer_attention`. The map is called once here, on zeros, to learn how
        many features there are.
    dtype, device
        Of the tokens to come; torch's default and the CPU where they are not given. The sums are
        kept in float32 at least.

    Returns
    -------
    LinearTransformerState

    Raises
    ------
    TypeError, ValueError
        As in `linear_transformer_attention`.
    """
    batch, heads = check_sizes(batch=batch, heads=heads)
    head_dim, value_dim = check_sizes(head_dim=head_dim, value_dim=value_dim)
    _check_options(feature_map, eps)
    zero = sums_like(dtype, device).new_zeros(1, 1, 1, head_dim)
    features = _features(zero, zero, feature_map)[0].shape[-1]
    return LinearTransformerState(
        values=zero.new_zeros(batch, heads, features, value_dim),
        norm=zero.new_zeros(batch, heads, features, 1),
        head_dim=head_dim,
        feature_map=feature_map,
        eps=eps,
    )


@outside_autocast
def linear_transformer_step(
    state: LinearTransformerState, q: Tensor, k: Tensor, v: Tensor
) -> tuple[LinearTransformerState, Tensor]:
    """Take one more token into the causal Linear Transformer.

    Parameters
    ----------
    state : LinearTransformerState
        From `linear_transformer_init_state` or the step before; it is left as it is.
    q, k : Tensor, shape (batch, heads, 1, head_dim)
    v : Tensor, shape (batch, heads, 1, value_dim)

    Returns
    -------
    state : LinearTransformerState
    out : Tensor, shape (batch, heads, 1, value_dim)
        In the dtype of `q`; the row that ``linear_transformer_attention(..., causal=True)`` has at
        this place.

    Raises
    ------
    TypeError
        For what is no state, or no floating-point tensor.
    ValueError
        For shapes, dtypes or devices that do not fit.

    Notes
    -----
    Time O(features · value_dim) for each head, however many tokens came before.

    Examples
    --------
    Where all keys are alike, the third output is the mean of three values:

    >>> state = linear_transformer_init_state(1, 1, 4, 1)
    >>> k = torch.ones(1, 1, 1, 4)
    >>> for value in (1.0, 2.0, 6.0):
    ...     state, out = linear_transformer_step(state, k, k, torch.full((1, 1, 1, 1), value))
    >>> round(out.item(), 3)
    3.0
    """
    check_state(state, LinearTransformerState)
    batch, heads, _, value_dim = state.values.shape
    check_step(q, k, v, batch=batch, heads=heads, head_dim=state.head_dim, value_dim=value_dim)

    compute = state.values.dtype
    phi_q, phi_k = _features(q.to(compute), k.to(compute), state.feature_map)
    values = state.values + phi_k.mT @ v.to(compute)
    norm = state.norm + phi_k.mT
    out = normalise(phi_q @ values, phi_q @ norm + state.eps)
    new = LinearTransformerState(values, norm, state.head_dim, state.feature_map, state.eps)
    return new, out.to(q.dtype)


@outside_autocast
def linear_transformer_prefill(
    state: LinearTransformerState, q: Tensor, k: Tensor, v: Tensor
) -> tuple[LinearTransformerState, Tensor]:
    """Take all tokens of a prompt into the causal Linear Transformer at once.

    Parameters
    ----------
    state : LinearTransformerState
        From `linear_transformer_init_state`, or from a step; it is left as it is.
    q, k : Tensor, shape (batch, heads, tokens, head_dim)
    v : Tensor, shape (batch, heads, tokens, value_dim)

    Returns
    -------
    state : LinearTransformerState
        As after as many calls of `linear_transformer_step`.
    out : Tensor, shape (batch, heads, tokens, value_dim)
        In the dtype of `q`; the rows of those calls.

    Raises
    ------
    TypeError, ValueError
        As `linear_transformer_step`.
    """
    check_state(state, LinearTransformerState)
    batch, heads, _, value_dim = state.values.shape
    sizes = {"batch": batch, "heads": heads, "head_dim": state.head_dim, "value_dim": value_dim}
    check_step(q, k, v, **sizes, prompt=True)

    compute = state.values.dtype
    phi_q, phi_k = _features(q.to(compute), k.to(compute), state.feature_map)
    out, values, norm = read_prompt(
        phi_q, phi_k, v.to(compute), state.values, state.norm, eps=state.eps
    )
    new = LinearTransformerState(values, norm, state.head_dim, state.feature_map, state.eps)
    return new, out.to(q.dtype)


def _check_options(feature_map: object, eps: object) -> None:
    if not callable(feature_map):
        raise TypeError(f"feature_map must be callable, got {type(feature_map).__name__}")
    check_finite_number("eps", eps, at_least=0)


def _features(q: Tensor, k: Tensor, feature_map: _FeatureMap) -> tuple[Tensor, Tensor]:
    """Return φ(q) and φ(k), having looked at what came."""
    phi_q = feature_map(q)
    for x, phi in ((q, phi_q), (k, phi_k := feature_map(k))):
        if not isinstance(phi, Tensor):
            raise TypeError(f"feature_map must return a tensor, got {type(phi).__name__}")
        width = phi_q.shape[-1] if phi_q.dim() == 4 else 0
        if width == 0 or phi.shape != (*x.shape[:-1], width):
            shape = ", ".join(str(size) for size in x.shape[:-1])
            raise ValueError(
                f"feature_map must return shape ({shape}, features) for {tuple(x.shape)}, "
                f"with as many features for keys as for queries, got {tuple(phi.shape)}"
            )
        if phi.dtype != x.dtype or phi.device != x.device:
            raise ValueError(
                f"feature_map must keep dtype {x.dtype} and device {x.device}, "
                f"got {phi.dtype} on {phi.device}"
            )
    return phi_q, phi_k


_INSTEAD = "linear_transformer_weights(...) @ v"
_ATTEND = feature_operator(
    "linear_transformer_attention", lambda *_: elu_plus_one, instead=_INSTEAD
)
_ATTEND_BY_GIVEN = feature_operator(
    "linear_transformer_attention_by_given_features", lambda *_: lambda x: x, instead=_INSTEAD
)
