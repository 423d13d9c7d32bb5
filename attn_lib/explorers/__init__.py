"""Live pictures: computed in Python, drawn by ES modules, alive with and without a kernel."""

from attn_lib.explorers.attention_on_text import AttentionOnText
from attn_lib.explorers.cosine_reweighting import CosineReweighting
from attn_lib.explorers.estimated_attention import EstimatedAttention
from attn_lib.explorers.feature_templates import FeatureTemplates
from attn_lib.explorers.gradient_ladder import GradientLadder
from attn_lib.explorers.growing_state import GrowingState
from attn_lib.explorers.kernel_features import KernelFeatures
from attn_lib.explorers.longformer_window import LongformerWindow
from attn_lib.explorers.low_rank_attention import LowRankAttention
from attn_lib.explorers.lsh_buckets import LSHBuckets
from attn_lib.explorers.lsh_circle import LSHCircle
from attn_lib.explorers.luna_packing import LunaPacking
from attn_lib.explorers.mechanism_costs import MechanismCosts
from attn_lib.explorers.one_head_ten_answers import OneHeadTenAnswers
from attn_lib.explorers.recall_against_state import RecallAgainstState
from attn_lib.explorers.residual_stream import ResidualStream
from attn_lib.explorers.sparse_patterns import SparsePatterns
from attn_lib.explorers.topk_selection import TopKSelection
from attn_lib.explorers.warm_up import WarmUp

__all__ = [
    "AttentionOnText",
    "CosineReweighting",
    "EstimatedAttention",
    "FeatureTemplates",
    "GradientLadder",
    "GrowingState",
    "KernelFeatures",
    "LSHBuckets",
    "LSHCircle",
    "LongformerWindow",
    "LowRankAttention",
    "LunaPacking",
    "MechanismCosts",
    "OneHeadTenAnswers",
    "RecallAgainstState",
    "ResidualStream",
    "SparsePatterns",
    "TopKSelection",
    "WarmUp",
]
