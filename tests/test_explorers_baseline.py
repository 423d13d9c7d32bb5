"""Beside an error of an output stands that of the mean of the values, which costs nothing."""

from typing import Any

import numpy as np
import pytest
import torch

from attn_lib import explorers
from attn_lib.data import load_passage
from attn_lib.explorers import (
    CosineReweighting,
    GrowingState,
    LSHBuckets,
    TopKSelection,
)
from attn_lib.mechanisms.cosformer import cosformer_attention
from attn_lib.mechanisms.linear_transformer import linear_transformer_attention
from attn_lib.mechanisms.reformer import reformer_attention
from attn_lib.mechanisms.softmax import softmax_attention


def head(name: str, length: int) -> list[torch.Tensor]:
    layer, number = map(int, name.split("."))
    return [x[:, :, :length].double() for x in load_passage(128).head(layer, number)]


def error(near: torch.Tensor, exact: torch.Tensor) -> float:
    return float((near - exact).norm() / exact.norm())


@pytest.mark.parametrize(
    ("name", "controls", "length", "array"),
    [
        ("TopKSelection", {"layer": 5, "head": 8, "topk": 3}, 64, "head_mean"),
        ("LowRankAttention", {"head": "5.8", "rank": 3}, 128, "mean"),
        ("EstimatedAttention", {"head": "5.8"}, 128, "mean"),
        ("LunaPacking", {"head": "5.8", "slots": 3}, 48, "mean"),
        ("CosineReweighting", {"head": "5.8", "relu": False}, 64, "errors"),
        ("FeatureTemplates", {"head": "5.8", "sharpness": 2.0}, 64, "errors"),
    ],
)
def test_the_mean_of_the_values_is_beside_the_error(
    name: str, controls: dict[str, Any], length: int, array: str
) -> None:
    q, k, v = head("5.8", length)
    exact = softmax_attention(q, k, v)
    wanted = error(v.mean(dim=2, keepdim=True).expand_as(exact), exact)
    frame = getattr(explorers, name).compute(**controls)
    assert frame[array][-1] == pytest.approx(wanted, rel=1e-4)


def test_it_stands_beside_every_query_too() -> None:
    q, k, v = head("5.8", 64)
    exact = softmax_attention(q, k, v)
    wanted = (v.mean(dim=2, keepdim=True) - exact).norm(dim=-1) / exact.norm(dim=-1)
    frame = TopKSelection.compute(layer=5, head=8)
    np.testing.assert_allclose(frame["mean"], wanted[0, 0], rtol=1e-5)


def test_shorter_queries_and_keys_have_a_mean_of_their_own() -> None:
    q, k, v = head("2.9", 128)
    exact = softmax_attention(q / 4, k / 4, v)
    wanted = error(v.mean(dim=2, keepdim=True).expand_as(exact), exact)
    frame = explorers.EstimatedAttention.compute(shrink=0.25)
    assert frame["mean"][0] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("name", "size"), [("0.2", 8), ("5.0", 4), ("2.8", 64)])
def test_the_error_of_buckets_is_the_librarys(name: str, size: int) -> None:
    q, _, v = head(name, 64)
    frame = LSHBuckets.compute(head=name, bucket_size=size)
    exact = reformer_attention(q, v, bucket_size=64)
    options = {"bucket_size": size, "num_hashes": 8, "generator": torch.Generator()}
    wanted = error(reformer_attention(q, v, **options), exact)
    assert frame["errors"][2, 7] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    if size == 64:
        assert frame["errors"][1:].max() < 1e-5
    assert frame["errors"][1, 0] == frame["errors"][2, 0]
    mean = error(v.mean(dim=2, keepdim=True).expand_as(exact), exact)
    assert frame["mean"][0] == pytest.approx(mean, rel=1e-4)


def test_a_token_alone_in_its_bucket_reads_itself() -> None:
    frame = LSHBuckets.compute(head="0.2", bucket_size=4)
    _, _, v = head("0.2", 64)
    weights = torch.from_numpy(frame["weights"]).double()
    exact = weights @ v[0, 0]
    bucket = frame["bucket"][0]
    near = torch.stack(
        [
            v[0, 0, i]
            if not (others := [j for j in range(64) if j != i and bucket[j] == bucket[i]])
            else (weights[i, others] / weights[i, others].sum()) @ v[0, 0, others]
            for i in range(64)
        ]
    )
    assert frame["errors"][0, 0] == pytest.approx(error(near, exact), rel=1e-4)


@pytest.mark.parametrize("name", ["2.9", "5.5"])
def test_the_state_and_the_mean_so_far_err_by_token(name: str) -> None:
    q, k, v = head(name, 48)
    frame = GrowingState.compute(head=name)
    exact = softmax_attention(q, k, v, causal=True)[0, 0]
    near = linear_transformer_attention(q, k, v, causal=True, eps=0.0)[0, 0]
    for t in (0, 11, 41, 47):
        even = v[0, 0, : t + 1].mean(dim=0)
        wanted = [error(x, exact[t]) for x in (near[t], even)]
        np.testing.assert_allclose(frame["errors"][:, t], wanted, rtol=1e-3, atol=1e-5)


def test_the_cosine_errs_as_the_library_does() -> None:
    q, k, v = head("0.4", 64)
    exact = softmax_attention(q, k, v)
    near = cosformer_attention(q, k, v, max_len=128, eps=0.0)
    frame = CosineReweighting.compute(head="0.4", max_len=128)
    assert frame["errors"][0] == pytest.approx(error(near, exact), rel=1e-4)
    wild = CosineReweighting.compute(head="0.2", relu=False)["errors"]
    assert wild[0] > wild[1]
