"""The explorer of one head under ten mechanisms: what its numbers and pictures are."""

import numpy as np
import pytest
import torch

import attn_lib
from attn_lib.catalog import MECHANISMS
from attn_lib.costs import read_numbers
from attn_lib.data import load_passage
from attn_lib.explorers import OneHeadTenAnswers
from attn_lib.explorers._signed import signed_value
from attn_lib.explorers.luna_packing import centres
from attn_lib.explorers.one_head_ten_answers import ANSWERS, DRAWS, LENGTH, options_of

N, WIDTH = LENGTH, 32


def _head(name):
    return load_passage(128).head(*map(int, name.split(".")))


def _error(out, q, k, v):
    exact = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return float((out - exact).norm() / exact.norm())


def _blocks(rank):
    mean = torch.zeros(rank, N)
    for row, block in enumerate(torch.arange(N).reshape(rank, -1)):
        mean[row, block] = rank / N
    return mean


def _answers(name, budget):
    """Return the errors of the fast functions, with options written out by hand."""
    q, k, v = _head(name)
    draw = torch.Generator()
    rest = {"generator": draw, "bucket_size": budget // 4, "num_hashes": 2}
    reformer = [attn_lib.reformer_attention(q, v, **rest) for _ in range(DRAWS)]
    draw, m = torch.Generator(), 64 * budget // 33
    performer = [
        attn_lib.performer_attention(q, k, v, features=m, generator=draw) for _ in range(DRAWS)
    ]
    mean = _blocks(budget)
    maps = {"key_projection": mean, "value_projection": mean}
    slots = centres(k[0, 0], budget)[None, None]
    both = attn_lib.luna_pack(slots, k, torch.cat([k, v], dim=-1))
    outs = {
        "explicit_sparse": [attn_lib.explicit_sparse_attention(q, k, v, topk=budget)],
        "longformer": [attn_lib.longformer_attention(q, k, v, window=(budget - 1) // 2)],
        "reformer": reformer,
        "linformer": [attn_lib.linformer_attention(q, k, v, **maps)],
        "performer": performer,
        "luna": [attn_lib.softmax_attention(q, both[..., :32], both[..., 32:])],
        "efficient": [attn_lib.efficient_attention(q, k, v)],
        "linear_transformer": [attn_lib.linear_transformer_attention(q, k, v)],
        "cosformer": [attn_lib.cosformer_attention(q, k, v)],
    }
    return {key: np.median([_error(out, q, k, v) for out in found]) for key, found in outs.items()}


def test_the_ten_are_those_of_the_catalogue():
    assert list(ANSWERS) == [one.name for one in MECHANISMS if one.family != "reference"]


@pytest.mark.parametrize(("name", "budget"), [("2.9", 16), ("0.2", 32), ("5.5", 8)])
def test_errors_are_those_of_the_fast_functions(name, budget):
    frame = OneHeadTenAnswers.compute(head=name, budget=budget)
    shown = dict(zip(ANSWERS, frame["errors"], strict=True))
    for mechanism, error in _answers(name, budget).items():
        assert shown[mechanism] == pytest.approx(error, rel=2e-3, abs=1e-4), mechanism
    q, k, v = _head(name)
    stride = options_of("sparse_transformer", budget, N, WIDTH)["stride"]
    sparse = attn_lib.sparse_transformer_attention(q, k, v, stride=stride)
    assert shown["sparse_transformer"] == pytest.approx(_error(sparse, q, k, v), rel=2e-3, abs=1e-4)
    mean = v.mean(dim=2, keepdim=True).expand_as(v)
    assert frame["mean"][0] == pytest.approx(_error(mean, q, k, v), rel=1e-3)


@pytest.mark.parametrize("budget", [2, 8, 16, 37, 64, 128])
def test_nobody_reads_more_than_the_budget_but_those_who_cannot_help_it(budget):
    given = budget * 2 * WIDTH
    fixed = ("efficient", "linear_transformer", "cosformer")
    for mechanism in ANSWERS:
        options = options_of(mechanism, budget, N, WIDTH)
        read = read_numbers(mechanism, N, WIDTH, WIDTH, **options)
        if mechanism in fixed:
            assert options == {}
        elif mechanism == "explicit_sparse":
            assert read == N * WIDTH + budget * WIDTH
        elif read > given:
            others = range(1, N + 1)
            name = next(iter(options))
            least = [
                read_numbers(mechanism, N, WIDTH, WIDTH, **{**options, name: value})
                for value in others
            ]
            assert read == min(least), mechanism


def test_the_whole_budget_gives_the_head_back_where_it_can():
    frame = OneHeadTenAnswers.compute(budget=128)
    errors = dict(zip(ANSWERS, frame["errors"], strict=True))
    for mechanism in ("sparse_transformer", "explicit_sparse", "longformer", "linformer"):
        assert errors[mechanism] < 1e-4, mechanism
    assert min(errors[name] for name in ("reformer", "luna", "performer")) > 0.3
    assert list(frame["sizes"]) == [8192, 8192]


@pytest.mark.parametrize("mechanism", ["longformer", "cosformer", "luna"])
def test_pictures_add_up_keys_and_average_queries(mechanism):
    q, k, _ = _head("5.5")
    frame = OneHeadTenAnswers.compute(head="5.5", mechanism=mechanism, budget=16)
    own = torch.softmax(q @ k.mT / WIDTH**0.5, dim=-1)[0, 0]
    cells = own.reshape(64, 2, 64, 2).sum(3).mean(1).numpy()
    assert np.abs(np.sqrt(signed_value(frame["full"])) - np.sqrt(cells)).max() < 0.005
    rows = signed_value(frame["near"]).sum(axis=1)
    assert rows.mean() == pytest.approx(1, abs=0.12)
