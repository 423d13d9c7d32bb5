"""Live pictures: computed in Python, drawn by one ES module, alive with and without a kernel."""

from attn_lib.explorers.attention_on_text import AttentionOnText
from attn_lib.explorers.sparse_patterns import SparsePatterns

__all__ = ["AttentionOnText", "SparsePatterns"]
