"""Performer: replace the exponential of q·k by a product of random features of q and of k.

Krzysztof Choromanski, Valerii Likhosherstov, David Dohan, Xingyou Song, Andreea Gane, Tamas Sarlos,
Peter Hawkins, Jared Davis, Afroz Mohiuddin, Łukasz Kaiser, David Belanger, Lucy Colwell, Adrian
Weller. *Rethinking Attention with Performers.* 2020, arXiv:2009.14794. With x = q / d^¼,
y = k / d^¼ and ω a standard Gaussian vector,

    exp(x·y) = E[exp(ω·x − |x|²/2) exp(ω·y − |y|²/2)]

so that m draws of ω give m positive features φ with φ(x)·φ(y) ≈ exp(x·y), and attention becomes
φ(Q) (φ(K)ᵀ V), divided by φ(Q) (φ(K)ᵀ 1): no n × n matrix.
"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import cast

import torch
from torch import Tensor

from attn_lib._checks import (
    check_choice,
    check_flag,
    check_generator,
    check_positive_int,
    check_qk,
    check_qkv,
    check_sizes,
    check_state,
    check_step,
    check_tensor,
)
from attn_lib.numerics import hide_keys, masked_softmax
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.decoding import sums_like
from attn_lib.numerics.features import normalise
from attn_lib.numerics.heads import attend_head_by_head, head_operator
from attn_lib.numerics.levels import Past, attend_by_logarithms
from attn_lib.numerics.projections import draw_projection

__all__ = [
    "PerformerState",
    "performer_attention",
    "performer_features",
    "performer_init_state",
    "performer_prefill",
    "performer_step",
    "performer_weights",
]

_KERNELS = ("softmax", "softmax_trig", "relu")
_RELU_EPSILON = 1e-3
"""Added to every ReLU feature, as in the authors' code, so that no denominator is zero."""


@outside_autocast
def performer_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    features: int = 256,
    kernel: str = "softmax",
    orthogonal: bool = True,
    projection: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Estimate softmax attention by random features, in time linear in the length.

    .. math:: O = D^{-1} \phi(Q) \big(\phi(K)^\top V\big), \qquad
        D = \operatorname{diag}\big(\phi(Q) (\phi(K)^\top \mathbf 1)\big)

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal : bool
        Let position i see positions j ≤ i only; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. A query that may attend to nothing gets zeros.
    features : int
        The paper's m, the number of random vectors.
    kernel : "softmax", "softmax_trig" or "relu"
        Positive features exp(ω·x − \|x\|²/2); or sines and cosines of ω·x, times exp(\|x\|²/2),
        two of them a random vector; or max(ω·x, 0) + 0.001, which is another kernel and no
        estimate of softmax.
    orthogonal : bool
        Draw the random vectors orthogonal in blocks of head_dim; see `draw_projection`.
    projection : Tensor, shape (features, head_dim), optional
        The random vectors ω, used as they are. They then fix the number of features, and nothing
        is drawn. Without it every call draws again.
    generator : torch.Generator, optional
        What the random vectors are drawn from; torch's own where it is None.

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
    Time O((q_len + kv_len) · features · (head_dim + value_dim)), memory
    O((q_len + kv_len) · (head_dim + value_dim + features / heads)) and, where causal, one
    (features, value_dim) matrix for every 64 positions of one head: one head is computed at a time,
    forward and again backward. First derivatives only.

    φ(x)·φ(y) is an unbiased estimate of exp(x·y); the attention, a ratio of two such estimates, is
    not unbiased. The estimate's variance grows as an exponential of the squared norms
    of q and k.

    Nothing is added to the softmax features or to their denominators. Instead, each feature's
    logarithm is measured from the largest one among the keys that the query may see, and each
    query's from its own largest one; both cancel exactly in the ratio. So no future or masked key
    can reach a row, and no positive denominator vanishes, however long q and k are. Trigonometric
    features may have either sign: their denominators can be negative, or zero, which gives zeros.

    Examples
    --------
    Whatever is drawn, equal keys leave the mean of the values:

    >>> k = torch.ones(1, 1, 3, 4)
    >>> v = torch.tensor([1.0, 2.0, 6.0]).view(1, 1, 3, 1)
    >>> performer_attention(k, k, v, features=2, generator=torch.manual_seed(0)).flatten()
    tensor([3., 3., 3.])
    """
    check_qkv(q, k, v, causal=causal, key_mask=key_mask)
    check_choice("kernel", kernel, _KERNELS)
    w = _random_vectors(q, features, orthogonal, projection, generator)

    compute = torch.promote_types(q.dtype, torch.float32)
    k, v = hide_keys(k.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    out = attend_head_by_head(
        _ATTEND, q.to(compute), k, v, w.to(compute), kernel=kernel, causal=causal, key_mask=key_mask
    )
    return out.to(q.dtype)


@outside_autocast
def performer_weights(
    q: Tensor,
    k: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    features: int = 256,
    kernel: str = "softmax",
    orthogonal: bool = True,
    projection: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The matrix that `performer_attention` implies.

    .. math:: D^{-1} \phi(Q) \phi(K)^\top

    Parameters
    ----------
    q, k, causal, key_mask, features, kernel, orthogonal, projection, generator
        As in `performer_attention`. A generator in the same state draws the same features.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `q`. Rows sum to 1, or to 0 where a query may attend to nothing. Only those
        of "softmax_trig" may hold negative entries.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask)
    check_choice("kernel", kernel, _KERNELS)
    w = _random_vectors(q, features, orthogonal, projection, generator)

    compute = torch.promote_types(q.dtype, torch.float32)
    allowed = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
    allowed = (allowed.tril() if causal else allowed)[None, None]
    if key_mask is not None:
        allowed = allowed & key_mask[:, None, None, :]
    w = w.to(compute)
    sign_q, log_q = _log_features(q.to(compute), w, kernel)
    sign_k, log_k = _log_features(hide_keys(k.to(compute), key_mask), w, kernel)
    logits = log_q[..., :, None, 0] + log_k[..., None, :, 0]  # (batch, heads, q_len, kv_len)
    for r in range(1, log_k.shape[-1]):
        logits = torch.logaddexp(logits, log_q[..., :, None, r] + log_k[..., None, :, r])
    weights = masked_softmax(logits, allowed)
    if sign_q is not None and sign_k is not None:
        weights = weights * (sign_q @ sign_k.mT)
        weights = normalise(weights, weights.sum(dim=-1, keepdim=True))
    return weights.to(q.dtype)


def performer_features(x: Tensor, projection: Tensor, *, kernel: str = "softmax") -> Tensor:
    r"""The features φ of queries or keys, written out.

    Parameters
    ----------
    x : Tensor, shape (..., head_dim)
        Queries or keys; they are divided by head_dim ** ¼ here.
    projection : Tensor, shape (features, head_dim)
    kernel : "softmax", "softmax_trig" or "relu"
        As in `performer_attention`.

    Returns
    -------
    Tensor, shape (..., features), or (..., 2 * features) for "softmax_trig"
        The mean over draws of φ(q)·φ(k) is exp(q·k / √head_dim), except for "relu".

    Notes
    -----
    The attention itself never forms them like this: it keeps logarithms in range.
    """
    check_tensor("x", x)
    check_choice("kernel", kernel, _KERNELS)
    w = _check_projection(projection, x.shape[-1])
    compute = torch.promote_types(x.dtype, torch.float32)
    sign, logarithm = _log_features(x.to(compute), w.to(compute), kernel)
    if kernel == "relu" and sign is not None:
        return sign.to(x.dtype)
    phi: Tensor = logarithm.exp() * float(len(w) ** -0.5)
    return (phi if sign is None else phi * sign).to(x.dtype)


@dataclass(frozen=True)
class PerformerState:
    """What causal Performer keeps from one token to the next: it does not grow with the text.

    Attributes
    ----------
    values : Tensor, shape (batch, heads, width, value_dim)
        Sum of φ(k_j)ᵀ v_j over the tokens so far, measured from `level`; the width is the number of
        features, twice that for sines and cosines.
    norm : Tensor, shape (batch, heads, width, 1)
        Sum of φ(k_j)ᵀ.
    level : Tensor, shape (batch, heads, features or 1, 1)
        The largest logarithm of a key feature so far, -inf before the first token.
    projection : Tensor, shape (features, head_dim)
    kernel : "softmax", "softmax_trig" or "relu"
    """

    values: Tensor
    norm: Tensor
    level: Tensor
    projection: Tensor
    kernel: str


def performer_init_state(
    batch: int,
    heads: int,
    head_dim: int,
    value_dim: int,
    *,
    features: int = 256,
    kernel: str = "softmax",
    orthogonal: bool = True,
    projection: Tensor | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> PerformerState:
    """Return the state of causal Performer before the first token.

    Parameters
    ----------
    batch, heads, head_dim, value_dim : int
    features, kernel, orthogonal, projection, generator
        As in `performer_attention`; what is drawn stays the same for all tokens.
    dtype, device
        Of the tokens to come; those of `projection`, or torch's default and the CPU, where they are
        not given. The sums are kept in float32 at least.

    Returns
    -------
    PerformerState

    Raises
    ------
    TypeError, ValueError
        As in `performer_attention`.
    """
    batch, heads = check_sizes(batch=batch, heads=heads)
    head_dim, value_dim = check_sizes(head_dim=head_dim, value_dim=value_dim)
    check_choice("kernel", kernel, _KERNELS)
    empty = sums_like(dtype, device, projection).new_empty(0, head_dim)
    if projection is not None:
        projection = _check_projection(projection, head_dim).to(empty.device)
    w = _random_vectors(empty, features, orthogonal, projection, generator).to(empty.dtype)
    width, levels = _widths(w, kernel)
    return PerformerState(
        values=empty.new_zeros(batch, heads, width, value_dim),
        norm=empty.new_zeros(batch, heads, width, 1),
        level=empty.new_full((batch, heads, levels, 1), -math.inf),
        projection=w,
        kernel=kernel,
    )


@outside_autocast
def performer_step(
    state: PerformerState, q: Tensor, k: Tensor, v: Tensor
) -> tuple[PerformerState, Tensor]:
    """Take one more token into causal Performer.

    Parameters
    ----------
    state : PerformerState
        From `performer_init_state` or the step before; it is left as it is.
    q, k : Tensor, shape (batch, heads, 1, head_dim)
    v : Tensor, shape (batch, heads, 1, value_dim)

    Returns
    -------
    state : PerformerState
    out : Tensor, shape (batch, heads, 1, value_dim)
        In the dtype of `q`; the row that ``performer_attention(..., causal=True)`` has at this
        place, for the state's projection.

    Raises
    ------
    TypeError
        For what is no state, or no floating-point tensor.
    ValueError
        For shapes, dtypes or devices that do not fit.

    Notes
    -----
    Time O(features · (head_dim + value_dim)) for each head, however many tokens came before.
    """
    check_state(state, PerformerState)
    batch, heads, _, value_dim = state.values.shape
    head_dim = state.projection.shape[1]
    check_step(q, k, v, batch=batch, heads=heads, head_dim=head_dim, value_dim=value_dim)

    compute = state.values.dtype
    sign_q, log_q = _log_features(q.to(compute), state.projection, state.kernel)
    sign_k, log_k = _log_features(k.to(compute), state.projection, state.kernel)
    level = torch.maximum(state.level, log_k.detach().mT)
    phi_k = (log_k.mT - level).exp()
    log_q = log_q + level.mT
    phi_q = (log_q - log_q.detach().amax(dim=-1, keepdim=True)).exp()
    if sign_q is not None and sign_k is not None:
        phi_q, phi_k = phi_q * sign_q, phi_k * sign_k.mT
    decay = (state.level - level).exp()
    values = state.values * decay + phi_k @ v.to(compute)
    norm = state.norm * decay + phi_k
    out = normalise(phi_q @ values, phi_q @ norm)
    return PerformerState(values, norm, level, state.projection, state.kernel), out.to(q.dtype)


@outside_autocast
def performer_prefill(
    state: PerformerState, q: Tensor, k: Tensor, v: Tensor
) -> tuple[PerformerState, Tensor]:
    """Take all tokens of a prompt into causal Performer at once.

    Parameters
    ----------
    state : PerformerState
        From `performer_init_state`, or from a step; it is left as it is.
    q, k : Tensor, shape (batch, heads, tokens, head_dim)
    v : Tensor, shape (batch, heads, tokens, value_dim)

    Returns
    -------
    state : PerformerState
        As after as many calls of `performer_step`.
    out : Tensor, shape (batch, heads, tokens, value_dim)
        In the dtype of `q`; the rows of those calls.

    Raises
    ------
    TypeError, ValueError
        As `performer_step`.
    """
    check_state(state, PerformerState)
    batch, heads, _, value_dim = state.values.shape
    sizes = {
        "batch": batch,
        "heads": heads,
        "head_dim": state.projection.shape[1],
        "value_dim": value_dim,
    }
    check_step(q, k, v, **sizes, prompt=True)

    compute = state.values.dtype
    given = torch.cat([state.values, state.norm], dim=-1)
    log_features = partial(_log_features, w=state.projection, kernel=state.kernel)
    real = torch.ones(q.shape[2], dtype=torch.bool, device=q.device)
    rows, sums, levels = [], [], []
    for one in product(range(batch), range(heads)):
        past = Past(given[one], state.level[one][:, 0], state.level[one][:, 0])
        q_, k_, v_ = (x[one].to(compute) for x in (q, k, v))
        row, then = attend_by_logarithms(q_, k_, v_, log_features, real, past, causal=True)
        after = cast(Past, then)  # there is one, since it is causal
        rows.append(row)
        sums.append(after.values * (after.level - after.top).exp()[:, None])
        levels.append(after.top[:, None])
    out, total, level = (torch.stack(x).unflatten(0, (batch, heads)) for x in (rows, sums, levels))
    values, norm = total[..., :-1], total[..., -1:]
    return PerformerState(values, norm, level, state.projection, state.kernel), out.to(q.dtype)


def _log_features(x: Tensor, w: Tensor, kernel: str) -> tuple[Tensor | None, Tensor]:
    """Return features as (signed factors or None, logarithms), for x (..., length, head_dim).

    Their common factor 1/√m cancels between numerator and denominator and is left out.
    """
    projected = x @ (w * w.shape[-1] ** -0.25).mT  # (..., length, features)
    if kernel == "relu":
        return projected.relu() + _RELU_EPSILON, torch.zeros_like(x[..., :1])
    # A norm too large for the dtype counts as the dtype's largest number.
    half_norm = x.square().sum(dim=-1, keepdim=True) * (w.shape[-1] ** -0.5 / 2)
    half_norm = half_norm.clamp(max=torch.finfo(x.dtype).max / 4)
    if kernel == "softmax_trig":
        return torch.cat([projected.sin(), projected.cos()], dim=-1), half_norm
    return None, projected.add_(-half_norm)  # the gradient of a difference is a pass longer


def _widths(w: Tensor, kernel: str) -> tuple[int, int]:
    """How many features there are, and how many logarithms."""
    return len(w) * (1 + (kernel == "softmax_trig")), len(w) if kernel == "softmax" else 1


def _random_vectors(
    x: Tensor,
    features: int,
    orthogonal: bool,
    projection: Tensor | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Return the projection given, or draw one for x (..., head_dim)."""
    features = check_positive_int("features", features)
    check_flag("orthogonal", orthogonal)
    check_generator(generator)
    if projection is not None:
        _check_projection(projection, x.shape[-1])
        if projection.device != x.device:
            raise ValueError(
                f"projection must be on q's device {x.device}, got {projection.device}"
            )
        return projection
    return draw_projection(
        features,
        x.shape[-1],
        orthogonal=orthogonal,
        generator=generator,
        dtype=torch.promote_types(x.dtype, torch.float32),
        device=x.device,
    )


def _check_projection(projection: Tensor, head_dim: int) -> Tensor:
    check_tensor("projection", projection, ("features", "head_dim"))
    if projection.shape[0] == 0 or projection.shape[1] != head_dim:
        raise ValueError(
            f"projection must have shape (features, {head_dim}) with features of at least 1, "
            f"got {tuple(projection.shape)}"
        )
    return projection


_ATTEND = head_operator(
    "performer_attention", _log_features, _widths, instead="performer_weights(...) @ v"
)
