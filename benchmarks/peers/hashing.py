"""Softmax over what a hash puts together: Reformer's peers."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers._cores import Given, merge_heads, quietly, split_heads
from benchmarks.spec import HEAD_DIM, HEADS, Call, Implementation

__all__ = ["hf_reformer", "lucidrains_reformer"]


def lucidrains_reformer(
    bucket_size: int, num_hashes: int, *, count_once: bool = False
) -> Implementation:
    """The attention core of reformer-pytorch; ``count_once`` lowers what several rounds find."""

    def make(n: int) -> Call:
        with quietly():
            from reformer_pytorch.reformer_pytorch import LSHAttention

        layer = LSHAttention(
            bucket_size=bucket_size,
            n_hashes=num_hashes,
            allow_duplicate_attention=not count_once,
        )

        def attention(qk: Tensor, v: Tensor) -> Tensor:
            out: Tensor = layer(qk.flatten(0, 1), v.flatten(0, 1))[0]
            return out.unflatten(0, qk.shape[:2])

        return attention

    note = "scores divided by √d; chunks look back round the end and across rounds"
    return Implementation(
        "reformer-pytorch, counting once" if count_once else "reformer-pytorch",
        make,
        settings={"bucket_size": bucket_size, "n_hashes": num_hashes},
        package="reformer-pytorch",
        agrees=False,
        note=note if count_once else f"{note}; pairs found twice count twice",
    )


def hf_reformer(bucket_size: int, num_hashes: int) -> Implementation:
    """The LSH core of Hugging Face's Reformer, without its projections."""

    def make(n: int) -> Call:
        with quietly():
            from transformers import ReformerConfig
            from transformers.models.reformer.modeling_reformer import LSHSelfAttention

        layer = LSHSelfAttention(
            ReformerConfig(
                hidden_size=HEADS * HEAD_DIM,
                num_attention_heads=HEADS,
                attention_head_size=HEAD_DIM,
                lsh_attn_chunk_length=bucket_size,
                lsh_num_chunks_before=1,
                lsh_num_chunks_after=0,
                num_hashes=num_hashes,
                num_buckets=None,
                lsh_attention_probs_dropout_prob=0.0,
                is_decoder=False,
                max_position_embeddings=n,
            )
        )
        layer.query_key, layer.value = Given(), Given()
        hidden = torch.empty(1, n, HEADS * HEAD_DIM)

        def attention(qk: Tensor, v: Tensor) -> Tensor:
            for place, x in zip((layer.query_key, layer.value), (qk, v), strict=True):
                place.tensor = merge_heads(x)
            return split_heads(layer(hidden).hidden_states)

        return attention

    return Implementation(
        "Hugging Face Reformer",
        make,
        settings={"lsh_attn_chunk_length": bucket_size, "num_hashes": num_hashes},
        package="transformers",
        agrees=False,
        note="look-back as in reformer-pytorch; pairs found twice count twice; heads merged inside"
        " the timed call",
    )
