"""Through a few mixtures of all positions: the peers of Linformer, Luna and Efficient Attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.peers._cores import Given, merge_heads, quietly, split_heads
from benchmarks.spec import HEAD_DIM, HEADS, Call, Implementation

__all__ = [
    "cumulative_luna",
    "efficient_by_head",
    "lucidrains_efficient",
    "lucidrains_linformer",
    "lucidrains_unprojected",
    "plain_luna",
    "sdpa_luna",
]


def lucidrains_linformer(
    made: Callable[[int], Mapping[str, Tensor]] | None = None,
) -> Implementation:
    """The attention core of the package linformer, without its projections of the width.

    ``made(n)`` gives E and F; without it they are the row's last two inputs.
    """

    def make(n: int) -> Call:
        from linformer import LinformerSelfAttention

        layer = LinformerSelfAttention(HEADS * HEAD_DIM, n, heads=HEADS)
        layer.to_q, layer.to_k, layer.to_v = Given(), Given(), Given()
        layer.to_out = nn.Identity()
        fixed = made(n).values() if made else ()

        def attention(q: Tensor, k: Tensor, v: Tensor, *given: Tensor) -> Tensor:
            merged = [merge_heads(x) for x in (q, k, v)]
            for place, x in zip((layer.to_q, layer.to_k, layer.to_v), merged, strict=True):
                place.tensor = x
            e, f = given or fixed
            parameters = {"proj_k": e.mT, "proj_v": f.mT}
            out = torch.func.functional_call(layer, parameters, (merged[0],))
            return split_heads(out)

        return attention

    return Implementation(
        "linformer",
        make,
        package="linformer",
        note="heads are merged inside the timed call, as its layer expects them",
    )


def plain_luna() -> Implementation:
    """Luna as torch operations: two softmaxes, all weights kept in memory."""

    def attention(q: Tensor, p: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        packed = (p @ k.transpose(-2, -1) * scale).softmax(-1) @ v
        return (q @ packed.transpose(-2, -1) * scale).softmax(-1) @ packed

    return Implementation("plain softmax twice", lambda n: attention)


def sdpa_luna() -> Implementation:
    """Luna as two calls of the fused kernel."""

    def attention(q: Tensor, p: Tensor, k: Tensor, v: Tensor) -> Tensor:
        packed = scaled_dot_product_attention(p, k, v)
        return scaled_dot_product_attention(q, packed, packed)

    return Implementation("torch SDPA twice", lambda n: attention)


def cumulative_luna() -> Implementation:
    """Causal Luna as a cumulative sum of one matrix a token, which autograd keeps."""

    def product(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        so_far = torch.arange(1, a.shape[-2] + 1).unsqueeze(1)
        sums = (b.unsqueeze(-1) * c.unsqueeze(-2)).cumsum(-3)
        return (a.unsqueeze(-2) @ sums).squeeze(-2) / so_far

    def attention(q: Tensor, p: Tensor, k: Tensor, v: Tensor) -> Tensor:
        pack = torch.nn.functional.elu(k @ p.transpose(-2, -1) * q.shape[-1] ** -0.5) + 1
        return product(product(q, k, pack).softmax(-1), pack, v)

    return Implementation("a matrix a token", lambda n: attention)


def efficient_by_head() -> Implementation:
    """The loop over heads that Efficient Attention's authors publish, written anew."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # Their layout is that of images: channels before positions.
        q, k, v = (x.transpose(-2, -1).contiguous() for x in (q, k, v))
        heads = []
        for head in range(q.shape[1]):
            context = k[:, head].softmax(dim=2) @ v[:, head].transpose(1, 2)
            heads.append(context.transpose(1, 2) @ q[:, head].softmax(dim=1))
        return torch.stack(heads, dim=1).transpose(-2, -1)

    return Implementation(
        "a head at a time, as published",
        lambda n: attention,
        note="the authors' products, written anew: they publish a file and no package; laid out"
        " as an image inside the timed call",
    )


def lucidrains_efficient() -> Implementation:
    """The linear attention of the package linear-attention-transformer."""

    def make(n: int) -> Call:
        with quietly():
            from linear_attention_transformer.linear_attention_transformer import linear_attn

        attention: Call = linear_attn
        return attention

    return Implementation(
        "linear-attention-transformer",
        make,
        package="linear-attention-transformer",
        agrees=False,
        note="divides its output by √d",
    )


def lucidrains_unprojected() -> Implementation:
    """Performer-pytorch told to project nothing: the same function, with a denominator of ones."""

    def make(n: int) -> Call:
        with quietly():
            from performer_pytorch.performer_pytorch import FastAttention

            layer: Call = FastAttention(HEAD_DIM, no_projection=True)
        return layer

    return Implementation(
        "performer-pytorch no_projection", make, {"no_projection": True}, "performer-pytorch"
    )
