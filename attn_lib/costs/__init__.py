"""What attention costs, counted without running it: ints in, ints out.

A *score* is one query–key pair whose dot product is computed. One score costs head_dim
multiply-adds, and its weight another value_dim for the value it brings; a multiply-add is two
operations. Counts are for one head and one item of a batch.
"""

from attn_lib.costs.kept import kept_numbers, read_numbers
from attn_lib.costs.pairs import (
    attention_flops,
    explicit_sparse_flops,
    kv_cache_bytes,
    longformer_scores,
    reformer_hash_flops,
    reformer_scores,
    softmax_scores,
    sparse_transformer_scores,
    weight_matrix_bytes,
)
from attn_lib.costs.sums import (
    cosformer_flops,
    cosformer_state_numbers,
    efficient_flops,
    linear_transformer_flops,
    linear_transformer_state_numbers,
    linformer_flops,
    linformer_parameters,
    linformer_scores,
    luna_scores,
    luna_state_numbers,
    performer_flops,
    performer_state_numbers,
)

__all__ = [
    "attention_flops",
    "cosformer_flops",
    "cosformer_state_numbers",
    "efficient_flops",
    "explicit_sparse_flops",
    "kept_numbers",
    "kv_cache_bytes",
    "linear_transformer_flops",
    "linear_transformer_state_numbers",
    "linformer_flops",
    "linformer_parameters",
    "linformer_scores",
    "longformer_scores",
    "luna_scores",
    "luna_state_numbers",
    "performer_flops",
    "performer_state_numbers",
    "read_numbers",
    "reformer_hash_flops",
    "reformer_scores",
    "softmax_scores",
    "sparse_transformer_scores",
    "weight_matrix_bytes",
]
