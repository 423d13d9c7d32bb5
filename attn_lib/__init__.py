"""Efficient attention, paper by paper: the library behind the book *Inside the Transformer*.

Every mechanism is a pure function ``<name>_attention(q, k, v, *, causal, key_mask, ...)`` on
tensors of shape (batch, heads, length, width), and beside it ``<name>_weights``, the dense matrix
that it implies.
`attn_lib.figures` and `attn_lib.explorers` draw; they are imported only when asked for.
"""

from attn_lib import catalog, costs, layers, masks, numerics
from attn_lib.mechanisms import (
    LunaState,
    PerformerState,
    draw_projection,
    explicit_sparse_attention,
    explicit_sparse_weights,
    linformer_attention,
    linformer_weights,
    longformer_attention,
    longformer_weights,
    luna_attention,
    luna_init_state,
    luna_pack,
    luna_step,
    luna_weights,
    performer_attention,
    performer_features,
    performer_init_state,
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

__all__ = [
    "LunaState",
    "PerformerState",
    "catalog",
    "costs",
    "draw_projection",
    "explicit_sparse_attention",
    "explicit_sparse_weights",
    "layers",
    "linformer_attention",
    "linformer_weights",
    "longformer_attention",
    "longformer_weights",
    "luna_attention",
    "luna_init_state",
    "luna_pack",
    "luna_step",
    "luna_weights",
    "masks",
    "numerics",
    "performer_attention",
    "performer_features",
    "performer_init_state",
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
__version__ = "0.1.0"
