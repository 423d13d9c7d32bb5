"""One file a paper: pure functions from queries, keys and values to outputs or weights."""

from attn_lib.mechanisms.softmax import softmax_attention, softmax_weights
from attn_lib.mechanisms.sparse_transformer import (
    sparse_transformer_attention,
    sparse_transformer_weights,
)

__all__ = [
    "softmax_attention",
    "softmax_weights",
    "sparse_transformer_attention",
    "sparse_transformer_weights",
]
