"""The rows. A new mechanism adds one ``Row`` here: name, our callable, oracle, peers.

All rows: batch 1, 8 heads of 64, float32. Index functions take query positions i and key
positions j and say which pairs may attend; they are spelled out here, not taken from the library,
because the oracles that judge the library are made of them.
"""

from torch import Tensor

from benchmarks.peers import (
    BASELINE,
    flex_attention,
    masked_sdpa,
    plain_softmax,
    sdpa_causal,
    x_transformers,
)
from benchmarks.spec import Row, dense, ours

__all__ = ["ROWS"]

STRIDE, SUMMARY = 64, 8


def causal_pairs(i: Tensor, j: Tensor) -> Tensor:
    return j <= i


def strided_pairs(i: Tensor, j: Tensor) -> Tensor:
    return (j <= i) & ((i - j <= STRIDE) | ((i - j) % STRIDE == 0))


def fixed_pairs(i: Tensor, j: Tensor) -> Tensor:
    return (j <= i) & ((i // STRIDE == j // STRIDE) | (j % STRIDE >= STRIDE - SUMMARY))


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
)
