"""The closed forms against counted pairs."""

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attn_lib import costs
from attn_lib.catalog import MECHANISMS


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000])
def test_softmax_scores_are_the_pairs(n):
    assert costs.softmax_scores(n) == sum(1 for i in range(n) for j in range(n))
    assert costs.softmax_scores(n, causal=True) == sum(1 for i in range(n) for j in range(i + 1))


@given(
    n=st.integers(1, 70),
    stride=st.integers(1, 90),
    summary=st.integers(1, 90),
    pattern=st.sampled_from(["strided", "fixed"]),
)
def test_sparse_transformer_scores_are_the_papers_pairs(n, stride, summary, pattern):
    options = {"pattern": pattern, "stride": stride, "summary": min(summary, stride)}
    pairs = oracles.sparse_transformer_visible(1, n, n, causal=True, **options)
    assert costs.sparse_transformer_scores(n, **options) == pairs.sum()


@pytest.mark.parametrize("n", [1, 5, 1024])
def test_full_options_cost_full_attention(n):
    full = costs.softmax_scores(n, causal=True)
    assert costs.sparse_transformer_scores(n, pattern="strided", stride=n) == full
    assert costs.sparse_transformer_scores(n, pattern="strided", stride=1) == full
    assert costs.sparse_transformer_scores(n, pattern="fixed", stride=n) == full
    assert costs.sparse_transformer_scores(n, pattern="fixed", stride=7, summary=7) == full


def test_the_mean_row_of_the_paper():
    # n = 4096: papers' counts for l = 16, 32, 64, 128, 256; dense is 2048.5.
    means = [
        costs.sparse_transformer_scores(4096, pattern="strided", stride=stride) / 4096
        for stride in (16, 32, 64, 128, 256)
    ]
    assert [round(mean, 1) for mean in means] == [143.5, 95.4, 95.0, 141.5, 255.5]
    assert costs.softmax_scores(4096, causal=True) / 4096 == 2048.5


def test_two_products_two_operations_each():
    # One score of width 3 and a value of width 5: 3 + 5 multiplications and as many additions.
    assert costs.attention_flops(1, 3, 5) == 16
    assert costs.attention_flops(costs.softmax_scores(10), 3, 5) == 1600


def test_bytes():
    assert costs.weight_matrix_bytes(1000) == 4_000_000
    assert costs.weight_matrix_bytes(1000, itemsize=2) == 2_000_000
    assert costs.kv_cache_bytes(10, 3, 5) == 320
    assert costs.kv_cache_bytes(10, 3, 5, itemsize=8) == 640


@pytest.mark.parametrize("name", [one.name for one in MECHANISMS])
def test_every_mechanism_has_its_operations(name):
    counting = {f"{name}_scores", f"{name}_flops"} & set(costs.__all__)
    assert counting, f"{name}_scores or {name}_flops in attn_lib/costs, and a test against counting"


def test_answers_are_ints():
    answers = [
        costs.softmax_scores(7),
        costs.softmax_scores(7, causal=True),
        costs.sparse_transformer_scores(7, pattern="strided", stride=2),
        costs.sparse_transformer_scores(7, pattern="fixed", stride=2),
        costs.attention_flops(7, 2, 3),
        costs.weight_matrix_bytes(7),
        costs.kv_cache_bytes(7, 2, 3),
    ]
    assert [type(answer) for answer in answers] == [int] * len(answers)
    assert costs.softmax_scores(10**9) == 10**18


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: costs.softmax_scores(0), r"^n must .*got 0"),
        (lambda: costs.softmax_scores(2.0), r"^n must .*got"),
        (lambda: costs.softmax_scores(True), r"^n must .*got"),
        (
            lambda: costs.sparse_transformer_scores(9, pattern="strided", stride=0),
            r"^stride must .*got 0",
        ),
        (
            lambda: costs.sparse_transformer_scores(9, pattern="fixed", stride=4, summary=5),
            r"^summary must .*got 5",
        ),
        (
            lambda: costs.sparse_transformer_scores(9, pattern="wide", stride=4),
            r"^pattern must .*got 'wide'",
        ),
        (lambda: costs.attention_flops(1, 0, 5), r"^head_dim must .*got 0"),
        (lambda: costs.weight_matrix_bytes(-1), r"^n must .*got -1"),
        (lambda: costs.kv_cache_bytes(1, 1, 1, itemsize=0), r"^itemsize must .*got 0"),
    ],
)
def test_bad_numbers_are_refused(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()
