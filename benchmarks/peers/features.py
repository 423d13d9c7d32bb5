"""A product of features for a similarity: the peers of Performer, Linear Transformer, cosFormer."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from benchmarks.peers._cores import quietly
from benchmarks.spec import HEAD_DIM, Absent, Call, Implementation

__all__ = [
    "cumulative_linear",
    "einsum_cosformer",
    "fast_transformers",
    "fla_chunks",
    "lucidrains_performer",
    "plain_linear",
]


def lucidrains_performer(projection: Tensor, *, causal: bool = False) -> Implementation:
    """The attention core of performer-pytorch with the given random vectors, its constants kept."""

    def make(n: int) -> Call:
        with quietly():  # it announces its slow causal path
            from performer_pytorch.performer_pytorch import FastAttention

            layer: Call = FastAttention(HEAD_DIM, nb_features=len(projection), causal=causal)
        layer.projection_matrix.copy_(projection)  # type: ignore[attr-defined]
        return layer

    note = "adds 1e-4 to every feature"
    if causal:
        note += ", 1e-6 in the denominator; keys are scaled by a maximum over all positions"
    return Implementation(
        "performer-pytorch",
        make,
        settings={"features": len(projection)},
        package="performer-pytorch",
        agrees=False,
        note=note,
    )


def plain_linear() -> Implementation:
    """Linear attention as torch operations: two products over all heads at once."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        phi_q, phi_k = nn.functional.elu(q) + 1, nn.functional.elu(k) + 1
        total = phi_q @ phi_k.sum(dim=-2).unsqueeze(-1)
        return phi_q @ (phi_k.transpose(-2, -1) @ v) / (total + 1e-6)

    return Implementation("plain products", lambda n: attention)


def cumulative_linear() -> Implementation:
    """Causal linear attention as a cumulative sum of one matrix a token, which autograd keeps."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        phi_q, phi_k = nn.functional.elu(q) + 1, nn.functional.elu(k) + 1
        sums = (phi_k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(dim=-3)
        total = (phi_q * phi_k.cumsum(dim=-2)).sum(dim=-1, keepdim=True)
        return (phi_q.unsqueeze(-2) @ sums).squeeze(-2) / (total + 1e-6)

    return Implementation("a matrix a token", lambda n: attention)


def fast_transformers(*, causal: bool = False) -> Implementation:
    """The attention core of the authors' package; where causal, its product in C++."""

    def make(n: int) -> Call:
        from fast_transformers.attention.causal_linear_attention import CausalLinearAttention
        from fast_transformers.attention.linear_attention import LinearAttention
        from fast_transformers.masking import FullMask, LengthMask, TriangularCausalMask

        layer = CausalLinearAttention(HEAD_DIM) if causal else LinearAttention(HEAD_DIM)
        mask = TriangularCausalMask(n) if causal else FullMask(n)
        lengths = LengthMask(torch.full((1,), n), max_len=n)

        def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            merged = (x.transpose(1, 2) for x in (q, k, v))
            out: Tensor = layer(*merged, mask, lengths, lengths)
            return out.transpose(1, 2)

        return attention

    return Implementation("fast-transformers", make, package="pytorch-fast-transformers")


def fla_chunks() -> Implementation:
    """The chunked product in plain torch of flash-linear-attention, whose kernels need a GPU."""

    def make(n: int) -> Call:
        found = importlib.util.find_spec("fla")
        if found is None or not found.submodule_search_locations:
            raise Absent("No module named 'fla'")
        # Importing the package would import Triton, which this one file does not use.
        path = f"{found.submodule_search_locations[0]}/ops/linear_attn/naive.py"
        spec = importlib.util.spec_from_file_location("fla_naive", path)
        if spec is None or spec.loader is None:
            raise Absent(f"no {path}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            phi_q, phi_k = nn.functional.elu(q) + 1, nn.functional.elu(k) + 1
            merged = (x.transpose(1, 2) for x in (phi_q, phi_k, v))
            out: Tensor = module.naive_chunk_linear_attn(*merged, scale=1.0, normalize=True)
            return out.transpose(1, 2)

        return attention

    return Implementation(
        "flash-linear-attention, in torch",
        make,
        package="fla-core",
        note="lengths that are multiples of 64",
    )


def einsum_cosformer(*, causal: bool = False) -> Implementation:
    """The products that cosFormer's authors publish: one matrix a token where causal."""

    def features(x: Tensor) -> Tensor:
        places = torch.arange(1, x.shape[-2] + 1).unsqueeze(1)
        angle = torch.pi / 2 * places / x.shape[-2]
        return torch.cat([x.relu() * angle.sin(), x.relu() * angle.cos()], dim=-1)

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        phi_q, phi_k = features(q), features(k)
        if causal:
            sums = torch.einsum("bhjr,bhje->bhjre", phi_k, v).cumsum(dim=2)
            total = torch.einsum("bhir,bhir->bhi", phi_q, phi_k.cumsum(dim=2))
            out = torch.einsum("bhir,bhire->bhie", phi_q, sums)
        else:
            total = torch.einsum("bhir,bhr->bhi", phi_q, phi_k.sum(dim=2))
            sums = torch.einsum("bhjr,bhje->bhre", phi_k, v)
            out = torch.einsum("bhir,bhre->bhie", phi_q, sums)
        return out / total.clamp(min=1e-6).unsqueeze(-1)

    return Implementation(
        "einsum as published",
        lambda n: attention,
        note="the authors' products, written anew: they publish a file and no package",
    )
