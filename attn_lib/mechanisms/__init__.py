"""One file a paper: pure functions from queries, keys and values to outputs or weights."""

from attn_lib.mechanisms.cosformer import (
    CosformerState,
    cosformer_attention,
    cosformer_init_state,
    cosformer_prefill,
    cosformer_step,
    cosformer_weights,
)
from attn_lib.mechanisms.efficient import (
    efficient_attention,
    efficient_factors,
    efficient_weights,
)
from attn_lib.mechanisms.explicit_sparse import (
    explicit_sparse_attention,
    explicit_sparse_weights,
)
from attn_lib.mechanisms.linear_transformer import (
    LinearTransformerState,
    linear_transformer_attention,
    linear_transformer_init_state,
    linear_transformer_prefill,
    linear_transformer_step,
    linear_transformer_weights,
)
from attn_lib.mechanisms.linformer import linformer_attention, linformer_weights
from attn_lib.mechanisms.longformer import longformer_attention, longformer_weights
from attn_lib.mechanisms.luna import (
    LunaState,
    luna_attention,
    luna_init_state,
    luna_pack,
    luna_prefill,
    luna_step,
    luna_weights,
)
from attn_lib.mechanisms.performer import (
    PerformerState,
    performer_attention,
    performer_features,
    performer_init_state,
    performer_prefill,
    performer_step,
    performer_weights,
)
from attn_lib.mechanisms.reformer import (
    reformer_attention,
    reformer_buckets,
    reformer_weights,
)
from attn_lib.mechanisms.softmax import softmax_attention, softmax_weights
from attn_lib.mechanisms.sparse_transformer import (
    sparse_transformer_attention,
    sparse_transformer_weights,
)
from attn_lib.numerics.projections import draw_projection

__all__ = [
    "CosformerState",
    "LinearTransformerState",
    "LunaState",
    "PerformerState",
    "cosformer_attention",
    "cosformer_init_state",
    "cosformer_prefill",
    "cosformer_step",
    "cosformer_weights",
    "draw_projection",
    "efficient_attention",
    "efficient_factors",
    "efficient_weights",
    "explicit_sparse_attention",
    "explicit_sparse_weights",
    "linear_transformer_attention",
    "linear_transformer_init_state",
    "linear_transformer_prefill",
    "linear_transformer_step",
    "linear_transformer_weights",
    "linformer_attention",
    "linformer_weights",
    "longformer_attention",
    "longformer_weights",
    "luna_attention",
    "luna_init_state",
    "luna_pack",
    "luna_prefill",
    "luna_step",
    "luna_weights",
    "performer_attention",
    "performer_features",
    "performer_init_state",
    "performer_prefill",
    "performer_step",
    "performer_weights",
    "reformer_attention",
    "reformer_buckets",
    "reformer_weights",
    "softmax_attention",
    "softmax_weights",
    "sparse_transformer_attention",
    "sparse_transformer_weights",
]
