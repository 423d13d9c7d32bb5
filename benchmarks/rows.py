"""The rows. A new mechanism adds one ``Row`` here: name, our callable, oracle, peers.

All rows: batch 1, 8 heads of 64, float32. Index functions take query positions i and key
positions j and say which pairs may attend; they are spelled out here, not taken from the library,
because the oracles that judge the library are made of them.
"""

import torch
from torch import Tensor

from benchmarks.peers import (
    BASELINE,
    cumulative_linear,
    cumulative_luna,
    efficient_by_head,
    einsum_cosformer,
    fast_transformers,
    fla_chunks,
    flex_attention,
    hf_longformer,
    hf_reformer,
    local_attention,
    lucidrains_efficient,
    lucidrains_linformer,
    lucidrains_performer,
    lucidrains_reformer,
    lucidrains_unprojected,
    masked_sdpa,
    plain_linear,
    plain_luna,
    plain_softmax,
    plain_topk,
    sdpa_causal,
    sdpa_luna,
    x_transformers,
)
from benchmarks.settings import (
    BUCKET_SIZE,
    FEATURES,
    NUM_HASHES,
    P_LEN,
    RANK,
    STRIDE,
    SUMMARY,
    TOPK,
    WINDOW,
)
from benchmarks.spec import Call, Implementation, Row, dense, ours, qkv

__all__ = ["ROWS"]

PROJECTION = torch.randn(FEATURES, 64, generator=torch.Generator().manual_seed(2))


def causal_pairs(i: Tensor, j: Tensor) -> Tensor:
    return j <= i


def strided_pairs(i: Tensor, j: Tensor) -> Tensor:
    return (j <= i) & ((i - j <= STRIDE) | ((i - j) % STRIDE == 0))


def fixed_pairs(i: Tensor, j: Tensor) -> Tensor:
    return (j <= i) & ((i // STRIDE == j // STRIDE) | (j % STRIDE >= STRIDE - SUMMARY))


def window_pairs(i: Tensor, j: Tensor) -> Tensor:
    return (i - j).abs() <= WINDOW


def causal_window_pairs(i: Tensor, j: Tensor) -> Tensor:
    return (j <= i) & (i - j <= WINDOW)


def projections(n: int) -> dict[str, Tensor]:
    """Linformer's E and F of 256 rows, as they would be after training: given, not learned."""
    generator = torch.Generator().manual_seed(1)
    names = ("key_projection", "value_projection")
    return {name: torch.randn(RANK, n, generator=generator) / n**0.5 for name in names}


def qkv_and_projections(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Queries, keys, values, and E and F as in training, where they need gradients too."""
    return (*qkv(n, generator), *projections(n).values())


def linformer(q: Tensor, k: Tensor, v: Tensor, *given: Tensor) -> Tensor:
    """Wang et al. 2020, written out; E and F are given or those of `projections`."""
    e, f = given or projections(q.shape[-2]).values()
    q, k, v, e, f = (x.double() for x in (q, k, v, e, f))
    scores = q @ (e @ k).transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.softmax(-1) @ (f @ v)


def qk_v(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Reformer's vectors that are queries and keys at once, and values."""
    qk, v, _ = qkv(n, generator)
    return qk, v


def reformer(qk: Tensor, v: Tensor) -> Tensor:
    """Kitaev et al. 2020, written out: softmax over the union of what the rounds let through."""
    n, head_dim = qk.shape[-2:]
    half = -(-n // BUCKET_SIZE) // 2
    shape = (qk.shape[1], NUM_HASHES, head_dim, half)
    rotations = torch.randn(shape, generator=torch.Generator().manual_seed(3)).double()
    qk, v = qk.double(), v.double()
    turned = torch.einsum("bhid,hrdc->bhric", qk.detach(), rotations)
    buckets = torch.cat([turned, -turned], dim=-1).argmax(dim=-1)
    chunk = buckets.argsort(dim=-1, stable=True).argsort(dim=-1) // BUCKET_SIZE
    back = chunk.unsqueeze(-1) - chunk.unsqueeze(-2)
    seen = ((back == 0) | (back == 1)).any(dim=2) & ~torch.eye(n, dtype=torch.bool)
    scores = qk @ (qk / qk.norm(dim=-1, keepdim=True)).transpose(-2, -1)
    return scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v


def our_reformer() -> Implementation:
    """``attn_lib.reformer_attention``, with the same rotations in every call."""

    def make(n: int) -> Call:
        from attn_lib import reformer_attention

        def attention(qk: Tensor, v: Tensor) -> Tensor:
            draw = torch.Generator().manual_seed(3)
            return reformer_attention(
                qk, v, bucket_size=BUCKET_SIZE, num_hashes=NUM_HASHES, generator=draw
            )

        return attention

    settings = {
        "function": "reformer_attention",
        "bucket_size": BUCKET_SIZE,
        "num_hashes": NUM_HASHES,
    }
    return Implementation("attn_lib", make, settings=settings, package="attn-lib")


def best_keys(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Zhao et al. 2019, written out; of equal scores those at the threshold are all kept."""
    q, k, v = q.double(), k.double(), v.double()
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(future, float("-inf"))
    threshold = scores.sort(-1, descending=True).values[..., :TOPK][..., -1:]
    return scores.masked_fill(scores < threshold, float("-inf")).softmax(-1) @ v


def best_keys_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, with j ≤ i."""
    return best_keys(q, k, v, causal=True)


def qpkv(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Luna's queries, extra sequence of 128, keys and values."""
    q, k, v = qkv(n, generator)
    return q, torch.randn(*q.shape[:2], P_LEN, q.shape[-1], generator=generator), k, v


def luna(q: Tensor, p: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Ma et al. 2021, written out: one attention inside another."""
    q, p, k, v = q.double(), p.double(), k.double(), v.double()
    packed = (p @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v
    return (q @ packed.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ packed


def luna_causal(q: Tensor, p: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Ma et al. 2021, the causal form with elu + 1, written out with n × n matrices."""
    q, p, k, v = q.double(), p.double(), k.double(), v.double()
    so_far = torch.arange(1, q.shape[-2] + 1).unsqueeze(1)
    pack = torch.nn.functional.elu(k @ p.transpose(-2, -1) / q.shape[-1] ** 0.5) + 1
    unpack = ((q @ k.transpose(-2, -1)).tril() @ pack / so_far).softmax(-1)
    return (unpack @ pack.transpose(-2, -1)).tril() @ v / so_far


def random_vectors(n: int) -> dict[str, Tensor]:
    """The Performer's projection, drawn once and the same for all implementations."""
    return {"projection": PROJECTION}


def performer(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Choromanski et al. 2020, positive features, written out with n × n matrices."""
    q, k, v = q.double(), k.double(), v.double()
    phi_q, phi_k = (
        torch.exp(
            x @ PROJECTION.double().T / x.shape[-1] ** 0.25
            - x.square().sum(-1, keepdim=True) / (2 * x.shape[-1] ** 0.5)
        )
        for x in (q, k)
    )
    similar = phi_q @ phi_k.transpose(-2, -1)
    similar = similar.tril() if causal else similar
    return similar @ v / similar.sum(-1, keepdim=True)


def performer_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, with j ≤ i."""
    return performer(q, k, v, causal=True)


def linear(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Katharopoulos et al. 2020, elu + 1, written out with n × n matrices."""
    q, k, v = q.double(), k.double(), v.double()
    phi_q, phi_k = (torch.nn.functional.elu(x) + 1 for x in (q, k))
    similar = phi_q @ phi_k.transpose(-2, -1)
    similar = similar.tril() if causal else similar
    return similar @ v / (similar.sum(-1, keepdim=True) + 1e-6)


def linear_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, with j ≤ i."""
    return linear(q, k, v, causal=True)


def efficient(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Shen et al. 2018, written out with an n × n matrix."""
    q, k, v = q.double(), k.double(), v.double()
    return (q.softmax(-1) @ k.softmax(-2).transpose(-2, -1)) @ v


def efficient_scaling(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same with scores divided by n in place of the two softmaxes."""
    q, k, v = q.double(), k.double(), v.double()
    return (q @ k.transpose(-2, -1) / q.shape[-2]) @ v


def cosformer(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Qin et al. 2022, written out with n × n matrices; M is the length."""
    q, k, v = q.double(), k.double(), v.double()
    places = torch.arange(q.shape[-2], dtype=torch.float64)
    cosine = torch.cos(torch.pi / 2 * (places.unsqueeze(1) - places) / q.shape[-2])
    similar = q.relu() @ k.relu().transpose(-2, -1) * cosine
    similar = similar.tril() if causal else similar
    return similar @ v / similar.sum(-1, keepdim=True)


def cosformer_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, with j ≤ i."""
    return cosformer(q, k, v, causal=True)


ROWS = (
    Row(
        "full",
        ours("softmax_attention"),
        dense(),
        (BASELINE, plain_softmax(), x_transformers(flash=False), x_transformers(flash=True)),
    ),
    Row(
        "full causal",
        ours("softmax_attention", causal=True),
        dense(causal_pairs),
        (sdpa_causal(), plain_softmax(causal_pairs)),
    ),
    Row(
        "strided",
        ours("sparse_transformer_attention", pattern="strided", stride=STRIDE, causal=True),
        dense(strided_pairs),
        (masked_sdpa(strided_pairs), flex_attention(strided_pairs)),
    ),
    Row(
        "fixed",
        ours(
            "sparse_transformer_attention",
            pattern="fixed",
            stride=STRIDE,
            summary=SUMMARY,
            causal=True,
        ),
        dense(fixed_pairs),
        (masked_sdpa(fixed_pairs), flex_attention(fixed_pairs)),
    ),
    Row(
        "explicit_sparse",
        ours("explicit_sparse_attention", topk=TOPK),
        best_keys,
        (plain_topk(TOPK), x_transformers(sparse_topk=TOPK)),
    ),
    Row(
        "longformer",
        ours("longformer_attention", window=WINDOW),
        dense(window_pairs),
        (
            local_attention(WINDOW),
            hf_longformer(WINDOW),
            masked_sdpa(window_pairs),
            flex_attention(window_pairs),
        ),
    ),
    Row(
        "longformer causal",
        ours("longformer_attention", window=WINDOW, causal=True),
        dense(causal_window_pairs),
        (
            local_attention(WINDOW, causal=True),
            masked_sdpa(causal_window_pairs),
            flex_attention(causal_window_pairs),
        ),
    ),
    Row(
        "reformer",
        our_reformer(),
        reformer,
        (
            lucidrains_reformer(BUCKET_SIZE, NUM_HASHES),
            lucidrains_reformer(BUCKET_SIZE, NUM_HASHES, count_once=True),
            hf_reformer(BUCKET_SIZE, NUM_HASHES),
        ),
        inputs=qk_v,
    ),
    Row(
        "linformer",
        ours("linformer_attention", made=projections),
        linformer,
        (lucidrains_linformer(projections),),
    ),
    Row(
        "linformer learning",
        ours("linformer_attention", further=("key_projection", "value_projection")),
        linformer,
        (lucidrains_linformer(),),
        inputs=qkv_and_projections,
    ),
    Row(
        "luna",
        ours("luna_attention"),
        luna,
        (plain_luna(), sdpa_luna()),
        inputs=qpkv,
    ),
    Row(
        "luna causal",
        ours("luna_attention", causal=True),
        luna_causal,
        (cumulative_luna(),),
        inputs=qpkv,
    ),
    Row(
        "performer",
        ours("performer_attention", made=random_vectors, features=FEATURES),
        performer,
        (lucidrains_performer(PROJECTION),),
    ),
    Row(
        "performer causal",
        ours("performer_attention", made=random_vectors, features=FEATURES, causal=True),
        performer_causal,
        (lucidrains_performer(PROJECTION, causal=True),),
    ),
    Row(
        "efficient",
        ours("efficient_attention"),
        efficient,
        (efficient_by_head(), lucidrains_efficient(), lucidrains_unprojected()),
    ),
    Row(
        "efficient scaling",
        ours("efficient_attention", normalization="scaling"),
        efficient_scaling,
    ),
    Row(
        "linear_transformer",
        ours("linear_transformer_attention"),
        linear,
        (plain_linear(), fast_transformers()),
    ),
    Row(
        "linear_transformer causal",
        ours("linear_transformer_attention", causal=True),
        linear_causal,
        (fla_chunks(), cumulative_linear(), fast_transformers(causal=True)),
    ),
    Row(
        "cosformer",
        ours("cosformer_attention"),
        cosformer,
        (einsum_cosformer(),),
    ),
    Row(
        "cosformer causal",
        ours("cosformer_attention", causal=True),
        cosformer_causal,
        (einsum_cosformer(causal=True),),
    ),
)
