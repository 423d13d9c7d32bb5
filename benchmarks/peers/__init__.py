"""Adapters that bring each peer to the layout (batch, heads, length, head_dim), a module a family.

No peer is imported before a row asks for it; a missing package makes its peer absent.
"""

from benchmarks.peers.features import (
    cumulative_linear,
    einsum_cosformer,
    fast_transformers,
    fla_chunks,
    lucidrains_performer,
    plain_linear,
)
from benchmarks.peers.hashing import hf_reformer, lucidrains_reformer
from benchmarks.peers.low_rank import (
    cumulative_luna,
    efficient_by_head,
    lucidrains_efficient,
    lucidrains_linformer,
    lucidrains_unprojected,
    plain_luna,
    sdpa_luna,
)
from benchmarks.peers.softmax import (
    BASELINE,
    flex_attention,
    masked_sdpa,
    plain_softmax,
    plain_topk,
    sdpa_causal,
    x_transformers,
)
from benchmarks.peers.windows import hf_longformer, local_attention

__all__ = [
    "BASELINE",
    "cumulative_linear",
    "cumulative_luna",
    "efficient_by_head",
    "einsum_cosformer",
    "fast_transformers",
    "fla_chunks",
    "flex_attention",
    "hf_longformer",
    "hf_reformer",
    "local_attention",
    "lucidrains_efficient",
    "lucidrains_linformer",
    "lucidrains_performer",
    "lucidrains_reformer",
    "lucidrains_unprojected",
    "masked_sdpa",
    "plain_linear",
    "plain_luna",
    "plain_softmax",
    "plain_topk",
    "sdpa_causal",
    "sdpa_luna",
    "x_transformers",
]
