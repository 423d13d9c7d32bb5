"""Reformer: sort tokens by a hash of their direction, and attend among neighbours in that order.

Nikita Kitaev, Łukasz Kaiser, Anselm Levskaya. *Reformer: The Efficient Transformer.* ICLR 2020,
arXiv:2001.04451, section 2. One projection serves as queries and as keys, k_j = q_j / ‖q_j‖. With R
a random (d, b / 2) matrix the bucket of x is

    h(x) = arg max([xR; −xR])

and similar directions tend to share one. Positions are sorted by bucket and cut into chunks of m; a
query sees the keys of its own chunk and of the one before,

    P̃_i = {j : ⌊s_i / m⌋ − 1 ≤ ⌊s_j / m⌋ ≤ ⌊s_i / m⌋}

with s_i its place in the sorted order. Several rounds, with an R each, unite their sets.
"""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from attn_lib import masks
from attn_lib._checks import (
    check_finite_number,
    check_generator,
    check_positive_int,
    check_qk,
    check_qkv,
)
from attn_lib.numerics import hide_keys, masked_softmax
from attn_lib.numerics.autocast import outside_autocast
from attn_lib.numerics.operators import map_over_batch, register
from attn_lib.numerics.portions import IN_CACHE, portions
from attn_lib.numerics.rounds import attend_in_rounds, unit

__all__ = ["reformer_attention", "reformer_buckets", "reformer_weights"]

_DIRECT = 128
"""Most buckets that one rotation hashes into; more are the product of several hashes."""


@outside_autocast
def reformer_attention(
    qk: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    bucket_size: int,
    num_hashes: int = 1,
    scale: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Softmax attention over the keys that share a chunk with the query in some round.

    .. math:: o_i = \sum_{j \in P_i}
        \frac{\exp(q_i \cdot k_j)}{\sum_{l \in P_i} \exp(q_i \cdot k_l)}\, v_j, \qquad
        P_i = \bigcup_t \widetilde P_i^{(t)}, \qquad k_j = q_j / \lVert q_j \rVert

    Parameters
    ----------
    qk : Tensor, shape (batch, heads, q_len, head_dim)
        Queries, and divided by their lengths the keys.
    v : Tensor, shape (batch, heads, kv_len, value_dim)
        With kv_len = q_len, here and below.
    causal : bool
        Let position i see positions j ≤ i only, whatever the sorted order.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
        True = real token. Padding sorts last, and what stands in it cannot matter. A query that may
        attend to nothing gets zeros.
    bucket_size : int
        Length m of a chunk of the sorted sequence. There are about q_len / bucket_size buckets.
        With `bucket_size` of at least q_len there is one chunk, which sees everything.
    num_hashes : int
        Rounds, each with a rotation of its own.
    scale : float, optional
        Factor of the scores; 1 where it is not given, since the keys have unit length.
    generator : torch.Generator, optional
        Of the rotations. They differ from head to head and from round to round, and are the same
        for all items of a batch.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, value_dim)
        In the dtype of `qk`.

    Raises
    ------
    TypeError
        For what is no floating-point tensor, a mask that is not bool, an option of a wrong type.
    ValueError
        For shapes, dtypes, devices or options out of range.

    Notes
    -----
    A token sees itself only if no other key is visible in any round: its own score ‖q_i‖ is the
    largest it can have.

    The paper subtracts :math:`\log N_{ij}` from a score, with N_ij the number of rounds in which j
    is available to i, and adds up the rounds through their log-sum-exp. Here a pair counts in the
    first round that finds it and in no other, which comes to the same: exact softmax over the
    union.

    Time, for n tokens and T rounds: sorting O(T n log n), attention O(T n m d), hashing O(T n d b)
    with b the number of buckets while it is at most 128. More buckets are the product of hashes
    into about √b (or ∛b, …) each, as in the authors' code, since b grows with n and one rotation
    would cost n² d / m. Memory: O(n d + T n), and a fixed number of scores at a time.

    The hash has no gradient; qk and v have theirs through the pairs that were found. First
    derivatives only. The queries of masked positions count as zero vectors, and so do their keys.

    Values of the future cannot matter. Future `qk` cannot be seen either, but they may move the
    borders of the chunks, and with them which of the earlier keys a query finds.

    Examples
    --------
    In one chunk all tokens see each other, but not themselves:

    >>> qk = torch.zeros(1, 1, 3, 2)
    >>> v = torch.tensor([1.0, 2.0, 6.0]).view(1, 1, 3, 1)
    >>> reformer_attention(qk, v, bucket_size=3).flatten()
    tensor([4.0000, 3.5000, 1.5000])
    """
    check_qkv(qk, qk, v, causal=causal, key_mask=key_mask, query="qk", key="qk")
    bucket_size, num_hashes = _check_options(bucket_size, num_hashes, generator)
    scale = 1.0 if scale is None else check_finite_number("scale", scale)

    compute = torch.promote_types(qk.dtype, torch.float32)
    shared, v = hide_keys(qk.to(compute), key_mask), hide_keys(v.to(compute), key_mask)
    buckets = _hash(shared.detach(), bucket_size, num_hashes, generator)
    order, place = _order(buckets, key_mask)
    out = attend_in_rounds(
        shared, v, order, place, size=bucket_size, scale=scale, causal=causal, key_mask=key_mask
    )
    return out.to(qk.dtype)


@outside_autocast
def reformer_weights(
    qk: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    bucket_size: int,
    num_hashes: int = 1,
    scale: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The weight matrix of `reformer_attention`, written out from the sets.

    Parameters
    ----------
    qk, causal, key_mask, bucket_size, num_hashes, scale, generator
        As in `reformer_attention`. A generator in the same state draws the same rotations.

    Returns
    -------
    Tensor, shape (batch, heads, q_len, kv_len)
        In the dtype of `qk`. Rows sum to 1, or to 0 where a query may attend to nothing.
    """
    check_qk(qk, qk, causal=causal, key_mask=key_mask, query="qk")
    bucket_size, num_hashes = _check_options(bucket_size, num_hashes, generator)
    scale = 1.0 if scale is None else check_finite_number("scale", scale)

    length = qk.shape[2]
    q = hide_keys(qk.to(torch.promote_types(qk.dtype, torch.float32)), key_mask)
    buckets = _hash(q.detach(), bucket_size, num_hashes, generator)
    _, place = _order(buckets, key_mask)  # (batch, heads, rounds, length)
    chunk = place // bucket_size
    steps_back = chunk[..., :, None] - chunk[..., None, :]
    found = ((steps_back == 0) | (steps_back == 1)).any(dim=2)

    order = masks.causal() if causal else masks.full()
    visible = masks.dense(order, length, length, device=qk.device)
    if key_mask is not None:
        visible = visible & key_mask[:, None, None, :]
    itself = torch.eye(length, dtype=torch.bool, device=qk.device)
    others = found & visible & ~itself
    allowed = others | (itself & visible & ~others.any(dim=-1, keepdim=True))

    keys, _ = unit(q)
    return masked_softmax(scale * q @ keys.mT, allowed).to(qk.dtype)


def reformer_buckets(
    qk: Tensor,
    *,
    bucket_size: int,
    num_hashes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The buckets that `reformer_attention` hashes into, for a generator in the same state.

    Parameters
    ----------
    qk, bucket_size, num_hashes, generator
        As in `reformer_attention`.

    Returns
    -------
    Tensor of int64, shape (batch, heads, num_hashes, q_len)
        From 0 up to, not including, the number of buckets: q_len / bucket_size rounded up to an
        even number, or a little more where that exceeds 128. All 0, and nothing is drawn, where
        one chunk holds everything.

    Notes
    -----
    Where one rotation is enough, the draw is ``torch.randn(heads, num_hashes, head_dim, b // 2)``
    in float32.

    Examples
    --------
    >>> x = torch.tensor([3.0, 4.0]).expand(1, 1, 6, 2)
    >>> opposite = torch.cat([x, -x], dim=2)
    >>> found = reformer_buckets(opposite, bucket_size=3, generator=torch.manual_seed(0))[0, 0, 0]
    >>> found.unique_consecutive(return_counts=True)[1]
    tensor([6, 6])
    """
    check_qk(qk, qk, query="qk")
    bucket_size, num_hashes = _check_options(bucket_size, num_hashes, generator)
    compute = torch.promote_types(qk.dtype, torch.float32)
    return _hash(qk.detach().to(compute), bucket_size, num_hashes, generator)


def _check_options(bucket_size: int, num_hashes: int, generator: object) -> tuple[int, int]:
    check_generator(generator)
    return (
        check_positive_int("bucket_size", bucket_size),
        check_positive_int("num_hashes", num_hashes),
    )


def _factors(length: int, bucket_size: int) -> list[int]:
    """Even numbers of buckets of the hashes that are combined into one."""
    chunks = -(-length // bucket_size)
    if chunks <= 1:
        return []  # everything is in sight: there is nothing to hash
    buckets = chunks + chunks % 2
    if buckets <= _DIRECT:
        return [buckets]
    pieces = 2
    while _DIRECT**pieces < buckets:
        pieces += 1
    factor = 2
    while factor**pieces < buckets:
        factor += 2
    return [factor] * pieces


def _hash(
    x: Tensor, bucket_size: int, num_hashes: int, generator: torch.Generator | None
) -> Tensor:
    """Buckets (batch, heads, rounds, length) of x (batch, heads, length, head_dim)."""
    if generator is None:
        # They are drawn where the buckets are computed, since how many depends on the length. This
        # draws no number, but lets `vmap` say whether all its items are to share them.
        rotations = torch.randn(0, device=x.device)
    else:
        drawn = [
            _draw(x, num_hashes, factor, generator) for factor in _factors(x.shape[2], bucket_size)
        ]
        rotations = torch.stack(drawn) if drawn else x.new_empty(0)
    buckets: Tensor = _Hash.apply(x, rotations, bucket_size, num_hashes)  # type: ignore[no-untyped-call]
    return buckets


def _draw(x: Tensor, num_hashes: int, factor: int, generator: torch.Generator | None) -> Tensor:
    return torch.randn(
        (x.shape[1], num_hashes, x.shape[3], factor // 2),
        generator=generator,
        dtype=torch.float32,
        device=x.device if generator is None else generator.device,
    ).to(x)


def _buckets(x: Tensor, rotations: Tensor, bucket_size: int, num_hashes: int) -> tuple[Tensor]:
    """Hash by the rotations (hashes, heads, rounds, head_dim, half), or where there are none draw.

    The buckets are the product of the hashes.
    """
    (buckets,) = _bucket_shapes(x, rotations, bucket_size, num_hashes)
    buckets.zero_()
    batch, heads, length, _ = x.shape
    for turn, factor in enumerate(_factors(length, bucket_size)):
        half = factor // 2
        rotation = rotations[turn] if rotations.numel() else _draw(x, num_hashes, factor, None)
        # A few heads of a few items at a time, so that what is turned stays in the cache.
        size = num_hashes * length * half
        each = portions(batch, heads * size, IN_CACHE), portions(heads, size, IN_CACHE)
        for which in product(*each):
            directions, _ = unit(x[which])
            turned = directions[:, :, None] @ rotation[which[1]]  # (…, rounds, length, half)
            nearest = turned.abs().argmax(dim=-1, keepdim=True)
            nearest.add_(turned.gather(-1, nearest) < 0, alpha=half)
            buckets[which].mul_(factor).add_(nearest[..., 0])
    return (buckets,)


def _bucket_shapes(
    x: Tensor, rotations: Tensor, bucket_size: int, num_hashes: int
) -> tuple[Tensor]:
    batch, heads, length, _ = x.shape
    return (x.new_empty(batch, heads, num_hashes, length, dtype=torch.int64),)


_BUCKETS = register("reformer_buckets", _buckets, _bucket_shapes, draws=True)


class _Hash(torch.autograd.Function):
    """`_buckets` under `vmap`: the items share the rotations unless each is given its own."""

    @staticmethod
    def forward(x: Tensor, rotations: Tensor, bucket_size: int, num_hashes: int) -> Tensor:
        return _BUCKETS(x, rotations, bucket_size, num_hashes)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, x: Tensor, rotations: Tensor, *options: int
    ) -> tuple[Tensor, int]:
        def apply(x: Tensor, rotations: Tensor = rotations) -> Any:
            return _Hash.apply(x, rotations, *options)  # type: ignore[no-untyped-call]

        own, drawn, size = in_dims[0], in_dims[1], info.batch_size
        if drawn is None:
            return map_over_batch(apply, size, [own], [x])
        items = [x] * size if own is None else x.unbind(own)
        return torch.stack([*map(apply, items, rotations.unbind(drawn))]), 0


def _order(buckets: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Positions sorted by (bucket, position), padding last; and each position's place there."""
    if key_mask is not None:
        last = torch.iinfo(buckets.dtype).max
        buckets = buckets.masked_fill(~key_mask[:, None, None], last)
    order = buckets.argsort(dim=-1, stable=True)
    position = torch.arange(buckets.shape[-1], device=buckets.device).expand_as(order)
    return order, order.scatter(-1, order, position)
