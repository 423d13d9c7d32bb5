"""Thin modules: what holds the parameters around a mechanism's pure function."""

from attn_lib.layers.attention import (
    LengthProjection,
    LinformerAttention,
    MultiHeadAttention,
    ReformerAttention,
)
from attn_lib.layers.block import TransformerBlock, TransformerStack
from attn_lib.layers.luna import LunaAttention
from attn_lib.layers.performer import PerformerAttention
from attn_lib.layers.reversible import ChunkedFeedForward, ReversibleBlock, ReversibleStack

__all__ = [
    "ChunkedFeedForward",
    "LengthProjection",
    "LinformerAttention",
    "LunaAttention",
    "MultiHeadAttention",
    "PerformerAttention",
    "ReformerAttention",
    "ReversibleBlock",
    "ReversibleStack",
    "TransformerBlock",
    "TransformerStack",
]
