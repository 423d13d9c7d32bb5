"""Every mechanism of the library in one literal tuple: what it is called, does and costs."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from attn_lib.mechanisms import (
    cosformer_attention,
    cosformer_weights,
    efficient_attention,
    efficient_weights,
    explicit_sparse_attention,
    explicit_sparse_weights,
    linear_transformer_attention,
    linear_transformer_weights,
    linformer_attention,
    linformer_weights,
    longformer_attention,
    longformer_weights,
    luna_attention,
    luna_weights,
    performer_attention,
    performer_weights,
    reformer_attention,
    reformer_weights,
    softmax_attention,
    softmax_weights,
    sparse_transformer_attention,
    sparse_transformer_weights,
)

__all__ = ["MECHANISMS", "Mechanism"]


@dataclass(frozen=True)
class Mechanism:
    """One mechanism; n is the length, d the width of a head.

    Attributes
    ----------
    name : str
        Module in `attn_lib.mechanisms`, and stem of the functions' names.
    title, authors, year, arxiv
        Of the paper; authors as the text cites them.
    key : str
        Of the paper in the book's bibliography.
    chapter : str
        Of the book: the file's name without its ending.
    family : str
        "reference", "fewer pairs", "mixed positions" or "reordered product".
    attention : callable
        ``(q, k, v, *, causal, key_mask, ...) -> (batch, heads, q_len, value_dim)``.
    weights : callable
        ``(q, k, *, causal, key_mask, ...) -> (batch, heads, q_len, kv_len)``.
    causal : bool
        Whether it has a causal form.
    time, memory : str
        Order of growth, for one head.
    """

    name: str
    title: str
    authors: str
    year: int
    arxiv: str
    key: str
    chapter: str
    family: str
    attention: Callable[..., Tensor]
    weights: Callable[..., Tensor]
    causal: bool
    time: str
    memory: str


MECHANISMS: tuple[Mechanism, ...] = (
    Mechanism(
        name="softmax",
        title="Attention Is All You Need",
        authors="Vaswani et al.",
        year=2017,
        arxiv="1706.03762",
        key="vaswani2017attention",
        chapter="00-softmax-attention",
        family="reference",
        attention=softmax_attention,
        weights=softmax_weights,
        causal=True,
        time="n² d",
        memory="n² (n d where the kernel never stores the weights)",
    ),
    Mechanism(
        name="sparse_transformer",
        title="Generating Long Sequences with Sparse Transformers",
        authors="Child et al.",
        year=2019,
        arxiv="1904.10509",
        key="child2019sparse",
        chapter="01-sparse-transformer",
        family="fewer pairs",
        attention=sparse_transformer_attention,
        weights=sparse_transformer_weights,
        causal=True,
        time="n √n d",
        memory="n d (n √n where the weights are stored)",
    ),
    Mechanism(
        name="explicit_sparse",
        title="Explicit Sparse Transformer: Concentrated Attention Through Explicit Selection",
        authors="Zhao et al.",
        year=2019,
        arxiv="1912.11637",
        key="zhao2019explicit",
        chapter="02-explicit-sparse",
        family="fewer pairs",
        attention=explicit_sparse_attention,
        weights=explicit_sparse_weights,
        causal=True,
        time="n² d",
        memory="n (k + d)",
    ),
    Mechanism(
        name="longformer",
        title="Longformer: The Long-Document Transformer",
        authors="Beltagy et al.",
        year=2020,
        arxiv="2004.05150",
        key="beltagy2020longformer",
        chapter="03-longformer",
        family="fewer pairs",
        attention=longformer_attention,
        weights=longformer_weights,
        causal=True,
        time="n (w + g) d",
        memory="n d",
    ),
    Mechanism(
        name="reformer",
        title="Reformer: The Efficient Transformer",
        authors="Kitaev et al.",
        year=2020,
        arxiv="2001.04451",
        key="kitaev2020reformer",
        chapter="04-reformer",
        family="fewer pairs",
        attention=reformer_attention,
        weights=reformer_weights,
        causal=True,
        time="r n (m d + log n)",
        memory="n (d + r)",
    ),
    Mechanism(
        name="linformer",
        title="Linformer: Self-Attention with Linear Complexity",
        authors="Wang et al.",
        year=2020,
        arxiv="2006.04768",
        key="wang2020linformer",
        chapter="05-linformer",
        family="mixed positions",
        attention=linformer_attention,
        weights=linformer_weights,
        causal=False,
        time="n k d",
        memory="n (d + k)",
    ),
    Mechanism(
        name="performer",
        title="Rethinking Attention with Performers",
        authors="Choromanski et al.",
        year=2020,
        arxiv="2009.14794",
        key="choromanski2021performer",
        chapter="06-performer",
        family="reordered product",
        attention=performer_attention,
        weights=performer_weights,
        causal=True,
        time="n m d",
        memory="n (m + d)",
    ),
    Mechanism(
        name="luna",
        title="Luna: Linear Unified Nested Attention",
        authors="Ma et al.",
        year=2021,
        arxiv="2106.01540",
        key="ma2021luna",
        chapter="07-luna",
        family="mixed positions",
        attention=luna_attention,
        weights=luna_weights,
        causal=True,
        time="n r d",
        memory="n (r + d)",
    ),
    Mechanism(
        name="efficient",
        title="Efficient Attention: Attention with Linear Complexities",
        authors="Shen et al.",
        year=2018,
        arxiv="1812.01243",
        key="shen2021efficient",
        chapter="08-efficient-attention",
        family="reordered product",
        attention=efficient_attention,
        weights=efficient_weights,
        causal=False,
        time="n d²",
        memory="n d + d²",
    ),
    Mechanism(
        name="linear_transformer",
        title="Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
        authors="Katharopoulos et al.",
        year=2020,
        arxiv="2006.16236",
        key="katharopoulos2020rnns",
        chapter="09-linear-transformer",
        family="reordered product",
        attention=linear_transformer_attention,
        weights=linear_transformer_weights,
        causal=True,
        time="n d²",
        memory="n d",
    ),
    Mechanism(
        name="cosformer",
        title="cosFormer: Rethinking Softmax in Attention",
        authors="Qin et al.",
        year=2022,
        arxiv="2202.08791",
        key="qin2022cosformer",
        chapter="10-cosformer",
        family="reordered product",
        attention=cosformer_attention,
        weights=cosformer_weights,
        causal=True,
        time="n d²",
        memory="n d",
    ),
)
"""All mechanisms, in the order of the chapters."""
