"""Softmax over a window of the sequence: Longformer's peers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.peers._cores import Given, merge_heads, quietly, split_heads
from benchmarks.spec import HEAD_DIM, HEADS, Call, Implementation

__all__ = ["hf_longformer", "local_attention"]


def local_attention(window: int, *, causal: bool = False) -> Implementation:
    """The package local-attention, told to keep to the window and to add no rotary embedding."""

    def make(n: int) -> Call:
        with quietly():
            from local_attention import LocalAttention

        layer = LocalAttention(
            window,
            causal=causal,
            look_forward=0 if causal else 1,
            use_rotary_pos_emb=False,
            autopad=True,
            exact_windowsize=True,
        )
        # Without a mask the queries see the zeros that it appends to reach a multiple of window.
        real = torch.ones(1, n, dtype=torch.bool) if n % window else None
        return partial(layer, mask=real)

    return Implementation("local-attention", make, {"window_size": window}, "local-attention")


def hf_longformer(window: int) -> Implementation:
    """The sliding-chunks core of Hugging Face's Longformer, without its projections."""

    def make(n: int) -> Call:
        with quietly():
            from transformers import LongformerConfig
            from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

        width = HEADS * HEAD_DIM
        layer = LongformerSelfAttention(
            LongformerConfig(
                hidden_size=width,
                num_attention_heads=HEADS,
                attention_window=[2 * window],
                attention_probs_dropout_prob=0.0,
            ),
            layer_id=0,
        )
        layer.query, layer.key, layer.value = Given(), Given(), Given()
        padded = n + -n % (2 * window)
        away = torch.arange(padded).expand(1, -1) >= n
        hidden = torch.empty(1, padded, width)
        masks = {
            "attention_mask": torch.where(away, -10000.0, 0.0),
            "is_index_masked": away,
            "is_index_global_attn": torch.zeros(1, padded, dtype=torch.bool),
            "is_global_attn": False,
        }

        def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            for place, x in zip((layer.query, layer.key, layer.value), (q, k, v), strict=True):
                merged = merge_heads(x)  # a copy; the layer divides q in place
                place.tensor = nn.functional.pad(merged, (0, 0, 0, padded - n)).transpose(0, 1)
            out = layer(hidden, **masks)[0]
            return split_heads(out[:, :n])

        return attention

    return Implementation(
        "Hugging Face Longformer",
        make,
        settings={"attention_window": 2 * window},
        package="transformers",
        note="padded to a multiple of 2 · window, and heads merged, inside the timed call",
    )
