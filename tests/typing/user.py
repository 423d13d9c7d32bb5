"""A user's file: every part of the library as a strict type checker sees it from outside.

`tests/test_typing.py` runs ``mypy --strict`` on it. A line that ends in ``type: ignore`` must be
refused: an ignore that nothing needs is an error, too.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, assert_type

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from attn_lib import (
    CosformerState,
    LinearTransformerState,
    LunaState,
    PerformerState,
    catalog,
    cosformer_attention,
    cosformer_init_state,
    cosformer_prefill,
    cosformer_step,
    cosformer_weights,
    costs,
    draw_projection,
    efficient_attention,
    efficient_factors,
    efficient_weights,
    explicit_sparse_attention,
    explicit_sparse_weights,
    figures,
    layers,
    linear_transformer_attention,
    linear_transformer_init_state,
    linear_transformer_prefill,
    linear_transformer_step,
    linear_transformer_weights,
    linformer_attention,
    linformer_weights,
    longformer_attention,
    longformer_weights,
    luna_attention,
    luna_init_state,
    luna_pack,
    luna_prefill,
    luna_step,
    luna_weights,
    masks,
    numerics,
    performer_attention,
    performer_features,
    performer_init_state,
    performer_prefill,
    performer_step,
    performer_weights,
    reformer_attention,
    reformer_buckets,
    reformer_weights,
    softmax_attention,
    softmax_weights,
    sparse_transformer_attention,
    sparse_transformer_weights,
)
from attn_lib.copy import single_file
from attn_lib.data import (
    MeasuredRow,
    Measurements,
    Passage,
    load_book,
    load_decoding,
    load_measurements,
    load_passage,
    load_portrait,
    read,
)
from attn_lib.exercises import agree, kindly, numbers_made
from attn_lib.explorers import AttentionOnText, LSHCircle, SparsePatterns


def every_mechanism(q: Tensor, k: Tensor, v: Tensor, real: Tensor) -> None:
    draw = torch.Generator()
    e = torch.randn(8, k.shape[2])
    assert_type(softmax_attention(q, k, v, causal=True, key_mask=real), Tensor)
    assert_type(softmax_attention(q, k, v, mask=masks.causal(), scale=1.0), Tensor)
    assert_type(softmax_attention(q, k, v, mask=torch.ones(3, 3, dtype=torch.bool)), Tensor)
    assert_type(softmax_weights(q, k), Tensor)
    assert_type(sparse_transformer_attention(q, k, v, pattern="fixed", stride=4), Tensor)
    assert_type(sparse_transformer_weights(q, k, stride=4, heads="split"), Tensor)
    assert_type(explicit_sparse_attention(q, k, v, topk=8, key_mask=real), Tensor)
    assert_type(explicit_sparse_weights(q, k, topk=8), Tensor)
    assert_type(longformer_attention(q, k, v, window=4, global_tokens=[0]), Tensor)
    assert_type(longformer_attention(q, k, v, window=4, dilation=(1, 2)), Tensor)
    assert_type(longformer_attention(q, k, v, window=4, global_tokens=torch.tensor([0])), Tensor)
    assert_type(longformer_weights(q, k, window=4), Tensor)
    assert_type(reformer_attention(q, v, bucket_size=16, num_hashes=2, generator=draw), Tensor)
    assert_type(reformer_buckets(q, bucket_size=16), Tensor)
    assert_type(reformer_weights(q, bucket_size=16), Tensor)
    assert_type(linformer_attention(q, k, v, key_projection=e, value_projection=e), Tensor)
    assert_type(linformer_weights(q, k, key_projection=e, value_projection=e), Tensor)
    assert_type(performer_attention(q, k, v, features=64, generator=draw), Tensor)
    assert_type(performer_weights(q, k, projection=draw_projection(64, 32)), Tensor)
    assert_type(performer_features(q, draw_projection(64, 32), kernel="relu"), Tensor)
    assert_type(luna_attention(q, q, k, v, causal=True, activation="softplus"), Tensor)
    assert_type(luna_pack(q, k, v, key_mask=real), Tensor)
    assert_type(luna_weights(q, q, k, v), Tensor)
    assert_type(efficient_attention(q, k, v, normalization="scaling"), Tensor)
    assert_type(efficient_weights(q, k), Tensor)
    assert_type(efficient_factors(q, k), tuple[Tensor, Tensor])
    assert_type(linear_transformer_attention(q, k, v, feature_map=torch.exp, eps=0.0), Tensor)
    assert_type(linear_transformer_weights(q, k), Tensor)
    assert_type(cosformer_attention(q, k, v, causal=True, max_len=1024), Tensor)
    assert_type(cosformer_weights(q, k), Tensor)
    assert_type(numerics.causal_product(q, k, v), Tensor)


def write_on(q: Tensor, k: Tensor, v: Tensor) -> None:
    performer = performer_init_state(2, 4, 32, 32, features=64)
    assert_type(performer, PerformerState)
    assert_type(performer_step(performer, q, k, v), tuple[PerformerState, Tensor])
    assert_type(performer_prefill(performer, q, k, v), tuple[PerformerState, Tensor])
    luna = luna_init_state(2, 4, 32, 32, p=q)
    assert_type(luna, LunaState)
    assert_type(luna_step(luna, q, k, v), tuple[LunaState, Tensor])
    assert_type(luna_prefill(luna, q, k, v), tuple[LunaState, Tensor])
    linear = linear_transformer_init_state(2, 4, 32, 32, feature_map=numerics.elu_plus_one)
    assert_type(linear, LinearTransformerState)
    assert_type(linear_transformer_step(linear, q, k, v), tuple[LinearTransformerState, Tensor])
    assert_type(linear_transformer_prefill(linear, q, k, v), tuple[LinearTransformerState, Tensor])
    cos = cosformer_init_state(2, 4, 32, 32, max_len=1024, dtype=torch.float64, device="cpu")
    assert_type(cos, CosformerState)
    assert_type(cosformer_step(cos, q, k, v), tuple[CosformerState, Tensor])
    assert_type(cosformer_prefill(cos, q, k, v), tuple[CosformerState, Tensor])
    assert_type(cos.position, int)

    performer_step(linear, q, k, v)  # type: ignore[arg-type]
    cos.position = 3  # type: ignore[misc]


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sparse = partial(sparse_transformer_attention, stride=16, heads="split")
        self.attention = layers.MultiHeadAttention(64, 4, attend=sparse, causal=True)
        self.block = layers.TransformerBlock(64, 4, norm="pre", attend=partial(my_attention, tau=2))
        self.stack = layers.TransformerStack(2, 64, 4, norm="post", attend=sparse, dtype=torch.half)
        self.luna = layers.LunaAttention(64, 4)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        assert_type(self.luna(x, x[:, :16], real), tuple[Tensor, Tensor])
        return self.stack(self.block(self.attention(x, real), real))


def my_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    tau: float = 1.0,
) -> Tensor:
    return softmax_attention(q, k, v, causal=causal, key_mask=key_mask, scale=tau)


def every_layer(x: Tensor, real: Tensor) -> None:
    shared = layers.LengthProjection(128, 8, kind="mean")
    assert_type(shared(100), Tensor)
    linformer = layers.LinformerAttention(
        64, 4, max_len=128, rank=8, sharing="layerwise", projection=shared
    )
    assert_type(linformer(x, real), Tensor)
    assert_type(layers.ReformerAttention(64, 4, bucket_size=16)(x), Tensor)
    performer = layers.PerformerAttention(64, 4, features=64, redraw_every=1000)
    assert_type(performer(x), Tensor)
    performer.redraw_projection(generator=torch.Generator())
    feed_forward = layers.ChunkedFeedForward(64, 256, chunks=4)
    assert_type(feed_forward(x), Tensor)
    block = layers.ReversibleBlock(performer, feed_forward)
    assert_type(layers.ReversibleStack([block])(x, x, real), tuple[Tensor, Tensor])
    state = layers.TransformerStack(2, 64, 4, norm="pre").state_dict()
    assert_type(state["blocks.0.attention.qkv.weight"], Any)  # torch's own word for it

    layers.MultiHeadAttention(64, 4, softmax_attention)  # type: ignore[call-arg]
    layers.MultiHeadAttention(64, 4, attend="softmax")  # type: ignore[arg-type]
    layers.ReformerAttention(64, 4)  # type: ignore[call-arg]
    feed_forward("words")  # type: ignore[arg-type]


def masks_and_costs(real: Tensor) -> None:
    seen: masks.Mask = masks.intersect(masks.causal(), masks.sliding_window(4))
    assert_type(masks.dense(masks.by_head(seen, masks.full(), 2), 8, 8, heads=4), Tensor)

    def mine(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return q_idx >= kv_idx

    assert_type(masks.dense(masks.union(mine, masks.global_tokens([0])), 8, 8), Tensor)
    scores = costs.sparse_transformer_scores(1024, pattern="strided", stride=32)
    assert_type(scores, int)
    assert_type(costs.attention_flops(scores, 64, 64), int)
    for one in catalog.MECHANISMS:
        assert_type(one, catalog.Mechanism)
        assert_type(one.attention(real, real, real), Tensor)
        assert_type((one.name, one.year, one.causal), tuple[str, int, bool])

    masks.sliding_window("4")  # type: ignore[arg-type]
    masks.union(lambda i, j: i >= j)  # type: ignore[arg-type, misc]
    costs.softmax_scores(2.5)  # type: ignore[arg-type]
    costs.performer_flops(1024, 64, 64)  # type: ignore[call-arg]


def look_at_data() -> None:
    passage = load_passage(128)
    assert_type(passage, Passage)
    assert_type(passage.head(0, 2), tuple[Tensor, Tensor, Tensor])
    assert_type(passage.tokens, tuple[str, ...])
    measured = load_measurements()
    assert_type(measured, Measurements)
    assert_type(measured.rows, tuple[MeasuredRow, ...])
    assert_type(measured.rows[0].ms, float | None)
    assert_type(measured.rows[0].limit_share, float | None)
    assert_type(measured.rows[0].profile, Mapping[str, float] | None)
    assert_type(load_decoding().rows[0].ms, float)
    assert_type(load_decoding().rows[0].read_bytes, int)
    assert_type(load_decoding().absent, tuple[Mapping[str, str], ...])
    assert_type(load_book(), str)
    assert_type(load_portrait(), Tensor)
    assert_type(read("My own words.", max_tokens=128), Passage)
    assert_type(single_file("performer"), str)

    load_passage(64)  # type: ignore[arg-type]
    passage.tokens = ()  # type: ignore[misc]


def draw(weights: Tensor) -> None:
    assert_type(figures.matrix(weights.numpy(), title="weights"), Axes)
    assert_type(figures.curves([1, 2], {"ours": [3.0, 4.0]}, xlabel="n", ylabel="ms"), Axes)
    circle = LSHCircle(buckets=8)
    circle.buckets = 4
    assert_type(AttentionOnText(passage=load_passage(128), layer=0), AttentionOnText)
    frame = SparsePatterns.compute(stride=16)
    assert_type(frame["local"].shape, tuple[Any, ...])


@kindly
def check(answer: Any) -> str:
    agree(answer(torch.ones(2)), torch.ones(2), "on ones")
    return "right"


assert_type(check(torch.sqrt), str)
assert_type(numbers_made(torch.sqrt, torch.ones(2)), int)

softmax_attention(torch.ones(1), torch.ones(1))  # type: ignore[call-arg]
softmax_attention(1, 2, 3)  # type: ignore[arg-type]
softmax_attention(torch.ones(1), torch.ones(1), torch.ones(1), True)  # type: ignore[call-arg]
softmax_attention(torch.ones(1), torch.ones(1), torch.ones(1), casual=True)  # type: ignore[call-arg]
