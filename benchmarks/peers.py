"""Adapters that bring each peer to the layout (batch, heads, length, head_dim).

Nothing here is imported before a row asks for it; a missing package makes its peer absent.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.spec import HEAD_DIM, HEADS, Absent, Call, Implementation, Pairs, dense_mask

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

BASELINE = Implementation("torch SDPA", lambda n: scaled_dot_product_attention)


def sdpa_causal() -> Implementation:
    """SDPA with ``is_causal``: its kernel skips the blocks above the diagonal."""
    call = partial(scaled_dot_product_attention, is_causal=True)
    return Implementation("torch SDPA causal", lambda n: call)


def plain_softmax(pairs: Pairs | None = None) -> Implementation:
    """``softmax(q kᵀ / √d) v`` as three torch operations, the matrix kept in memory."""

    def make(n: int) -> Call:
        forbidden = None if pairs is None else ~dense_mask(pairs, n)

        def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
            if forbidden is not None:
                scores = scores.masked_fill(forbidden, float("-inf"))
            return scores.softmax(-1) @ v

        return attention

    return Implementation("plain softmax", make)


def masked_sdpa(pairs: Pairs) -> Implementation:
    """SDPA with the pattern as a dense mask, built once per length and not timed."""

    def make(n: int) -> Call:
        return partial(scaled_dot_product_attention, attn_mask=dense_mask(pairs, n))

    return Implementation("masked dense SDPA", make, note="mask built beforehand, not timed")


def flex_attention(pairs: Pairs) -> Implementation:
    """Compiled FlexAttention with a block mask; on a CPU it has no backward pass."""

    def make(n: int) -> Call:
        from torch.nn.attention import flex_attention as flex

        def allowed(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
            return pairs(q_idx, kv_idx)

        block_mask = flex.create_block_mask(allowed, None, None, n, n, device="cpu")
        compiled = torch.compile(flex.flex_attention, dynamic=False)
        return partial(compiled, block_mask=block_mask)

    return Implementation(
        "flex_attention compiled",
        make,
        passes=("forward",),
        note="compilation (tens of seconds a length) and block mask not timed",
        flag="flex",
        eager=False,
    )


def plain_topk(topk: int) -> Implementation:
    """Top-k as torch operations on the whole matrix: scores, topk, mask, softmax, product."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        threshold = scores.topk(min(topk, k.shape[-2]), dim=-1).values[..., -1:]
        return scores.masked_fill(scores < threshold, float("-inf")).softmax(-1) @ v

    return Implementation(
        "plain top-k",
        lambda n: attention,
        settings={"topk": topk},
        note="keeps all keys that are equal to the threshold",
    )


def x_transformers(*, flash: bool = False, sparse_topk: int | None = None) -> Implementation:
    """The attention core of x-transformers, without its projections."""

    def make(n: int) -> Call:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its import uses a deprecated part of torch
            from x_transformers.attend import Attend

        attend: Any = Attend(flash=flash, sparse_topk=sparse_topk)
        return lambda q, k, v: attend(q, k, v)[0]

    name = "x-transformers flash" if flash else "x-transformers"
    if sparse_topk is None:
        return Implementation(name, make, package="x-transformers")
    return Implementation(
        f"{name} sparse_topk",
        make,
        settings={"sparse_topk": sparse_topk},
        package="x-transformers",
        note="keeps all keys that are equal to the threshold",
    )


def local_attention(window: int, *, causal: bool = False) -> Implementation:
    """The package local-attention, told to keep to the window and to add no rotary embedding."""

    def make(n: int) -> Call:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
        layer.query, layer.key, layer.value = _Given(), _Given(), _Given()
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
                merged = x.transpose(1, 2).flatten(2)  # a copy; the layer divides q in place
                place.tensor = nn.functional.pad(merged, (0, 0, 0, padded - n)).transpose(0, 1)
            out = layer(hidden, **masks)[0]
            return out[:, :n].unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)

        return attention

    return Implementation(
        "Hugging Face Longformer",
        make,
        settings={"attention_window": 2 * window},
        package="transformers",
        note="padded to a multiple of 2 · window, and heads merged, inside the timed call",
    )


class _Given(nn.Module):
    """Stand in for a peer's projection of the width: return what was laid in."""

    def __init__(self) -> None:
        super().__init__()
        self.tensor: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor | None:
        """Return the tensor that was laid in, whatever comes."""
        return self.tensor


def lucidrains_linformer(
    made: Callable[[int], Mapping[str, Tensor]] | None = None,
) -> Implementation:
    """The attention core of the package linformer, without its projections of the width.

    ``made(n)`` gives E and F; without it they are the row's last two inputs.
    """

    def make(n: int) -> Call:
        from linformer import LinformerSelfAttention

        layer = LinformerSelfAttention(HEADS * HEAD_DIM, n, heads=HEADS)
        layer.to_q, layer.to_k, layer.to_v = _Given(), _Given(), _Given()
        layer.to_out = nn.Identity()
        fixed = made(n).values() if made else ()

        def attention(q: Tensor, k: Tensor, v: Tensor, *given: Tensor) -> Tensor:
            merged = [x.transpose(1, 2).flatten(2) for x in (q, k, v)]
            for place, x in zip((layer.to_q, layer.to_k, layer.to_v), merged, strict=True):
                place.tensor = x
            e, f = given or fixed
            parameters = {"proj_k": e.mT, "proj_v": f.mT}
            out = torch.func.functional_call(layer, parameters, (merged[0],))
            return out.unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            from performer_pytorch.performer_pytorch import FastAttention

            layer: Call = FastAttention(HEAD_DIM, no_projection=True)
        return layer

    return Implementation(
        "performer-pytorch no_projection", make, {"no_projection": True}, "performer-pytorch"
    )


def lucidrains_reformer(
    bucket_size: int, num_hashes: int, *, count_once: bool = False
) -> Implementation:
    """The attention core of reformer-pytorch; ``count_once`` lowers what several rounds find."""

    def make(n: int) -> Call:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
        layer.query_key, layer.value = _Given(), _Given()
        hidden = torch.empty(1, n, HEADS * HEAD_DIM)

        def attention(qk: Tensor, v: Tensor) -> Tensor:
            for place, x in zip((layer.query_key, layer.value), (qk, v), strict=True):
                place.tensor = x.transpose(1, 2).flatten(2)
            out = layer(hidden).hidden_states
            return out.unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)

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


def lucidrains_performer(projection: Tensor, *, causal: bool = False) -> Implementation:
    """The attention core of performer-pytorch with the given random vectors, its constants kept."""

    def make(n: int) -> Call:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # it announces its slow causal path
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
