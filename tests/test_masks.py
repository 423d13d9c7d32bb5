"""Every mask against its definition, pair by pair, and inside torch's own FlexAttention."""

import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask, create_mask, flex_attention
from torch.testing import assert_close

from attn_lib import masks, softmax_attention

# name: (mask, the same set in Python: query i, key j)
DEFINITIONS = {
    "full": (masks.full(), lambda i, j: True),
    "causal": (masks.causal(), lambda i, j: j <= i),
    "window-0": (masks.sliding_window(0), lambda i, j: i == j),
    "window-1": (masks.sliding_window(1), lambda i, j: j in (i - 1, i, i + 1)),
    "window-4": (masks.sliding_window(4), lambda i, j: i - 4 <= j <= i + 4),
    "window-99": (masks.sliding_window(99), lambda i, j: True),
    "dilated-2-3": (masks.dilated(2, 3), lambda i, j: j in (i - 6, i - 3, i, i + 3, i + 6)),
    "dilated-0-3": (masks.dilated(0, 3), lambda i, j: i == j),
    "dilated-3-1": (masks.dilated(3, 1), lambda i, j: abs(i - j) <= 3),
    "strided-local-3": (masks.strided_local(3), lambda i, j: -3 <= i - j <= 3),
    "strided-summary-3": (masks.strided_summary(3), lambda i, j: (i - j) % 3 == 0),
    "strided-summary-1": (masks.strided_summary(1), lambda i, j: True),
    "strided-4": (masks.strided(4), lambda i, j: abs(i - j) <= 4 or abs(i - j) % 4 == 0),
    "strided-99": (masks.strided(99), lambda i, j: True),
    "fixed-local-4": (masks.fixed_local(4), lambda i, j: i // 4 == j // 4),
    "fixed-summary-4-1": (masks.fixed_summary(4, 1), lambda i, j: j % 4 == 3),
    "fixed-summary-5-2": (masks.fixed_summary(5, 2), lambda i, j: j % 5 in (3, 4)),
    "fixed-summary-3-3": (masks.fixed_summary(3, 3), lambda i, j: True),
    "fixed-5-2": (masks.fixed(5, 2), lambda i, j: i // 5 == j // 5 or j % 5 in (3, 4)),
    "fixed-1-1": (masks.fixed(1, 1), lambda i, j: True),
    "fixed-99-1": (masks.fixed(99, 1), lambda i, j: True),
    "global-none": (masks.global_tokens([]), lambda i, j: False),
    "global-0": (masks.global_tokens([0]), lambda i, j: i == 0 or j == 0),
    "global-2-7": (masks.global_tokens((2, 7)), lambda i, j: bool({i, j} & {2, 7})),
    "global-beyond": (masks.global_tokens([500]), lambda i, j: False),
    "intersect": (
        masks.intersect(masks.causal(), masks.sliding_window(2)),
        lambda i, j: i - 2 <= j <= i,
    ),
    "union": (
        masks.union(masks.sliding_window(1), masks.global_tokens([3]), masks.strided_summary(5)),
        lambda i, j: abs(i - j) <= 1 or i == 3 or j == 3 or (i - j) % 5 == 0,
    ),
    "nested": (
        masks.intersect(
            masks.causal(), masks.union(masks.fixed_local(3), masks.global_tokens([0]))
        ),
        lambda i, j: j <= i and (i // 3 == j // 3 or i == 0 or j == 0),
    ),
    "one-part": (masks.intersect(masks.causal()), lambda i, j: j <= i),
}
every_mask = pytest.mark.parametrize(
    ("mask", "definition"), DEFINITIONS.values(), ids=list(DEFINITIONS)
)


def _matrix(definition, q_len, kv_len):
    return torch.tensor([[definition(i, j) for j in range(kv_len)] for i in range(q_len)])


@every_mask
@pytest.mark.parametrize(("q_len", "kv_len"), [(1, 1), (2, 2), (13, 13), (5, 17), (17, 5)])
def test_a_mask_is_its_definition(mask, definition, q_len, kv_len):
    expected = _matrix(definition, q_len, kv_len).expand(2, 3, q_len, kv_len)
    actual = masks.dense(mask, q_len, kv_len, batch=2, heads=3)
    assert actual.dtype == torch.bool
    assert actual.shape == (2, 3, q_len, kv_len)
    assert torch.equal(actual, expected)


@every_mask
def test_a_mask_answers_for_a_single_pair(mask, definition):
    zero = torch.tensor(0)
    for i, j in [(0, 0), (3, 0), (0, 3), (7, 2), (9, 9), (11, 3)]:
        answer = mask(zero, zero, torch.tensor(i), torch.tensor(j))
        assert answer.dtype == torch.bool
        assert answer.shape == ()
        assert bool(answer) == definition(i, j)


@every_mask
def test_torch_reads_the_mask_the_same_way(mask, definition):
    actual = create_mask(mask, 2, 3, 11, 13, device="cpu")
    assert torch.equal(actual, _matrix(definition, 11, 13).expand(2, 3, 11, 13))
    assert torch.equal(actual, masks.dense(mask, 11, 13, batch=2, heads=3))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", [n for n in DEFINITIONS if not n.startswith("global-")])
def test_flex_attention_computes_the_same(normal, name):
    mask, _ = DEFINITIONS[name]
    q, k, v = (normal(1, 2, 16, 16, dtype=torch.float32) for _ in range(3))
    block_mask = create_block_mask(mask, 1, 2, 16, 16, device="cpu")
    expected = flex_attention(q, k, v, block_mask=block_mask)
    assert_close(softmax_attention(q, k, v, mask=mask), expected, rtol=1e-5, atol=1e-5)


def test_a_mask_may_depend_on_item_and_head():
    def mask(b, h, q_idx, kv_idx):
        return (b + h + q_idx + kv_idx) % 2 == 0

    actual = masks.dense(masks.intersect(mask, masks.causal()), 4, 5, batch=2, heads=3)
    for b in range(2):
        for h in range(3):
            expected = _matrix(lambda i, j, b=b, h=h: (b + h + i + j) % 2 == 0 and j <= i, 4, 5)
            assert torch.equal(actual[b, h], expected)


def test_the_first_heads_may_have_a_mask_of_their_own():
    mask = masks.by_head(masks.causal(), masks.sliding_window(1), 2)
    actual = masks.dense(mask, 5, 7, batch=2, heads=3)
    causal, window = (_matrix(DEFINITIONS[n][1], 5, 7) for n in ("causal", "window-1"))
    assert torch.equal(actual, torch.stack([causal, causal, window]).expand(2, 3, 5, 7))
    assert torch.equal(create_mask(mask, 2, 3, 5, 7, device="cpu"), actual)
    with pytest.raises(ValueError, match=r"^split must .*got -1"):
        masks.by_head(masks.causal(), masks.full(), -1)


def test_dense_asks_for_one_item_and_one_head_unless_told():
    assert masks.dense(masks.causal(), 3, 4).shape == (1, 1, 3, 4)


def test_nothing_and_everything_are_the_empty_combinations():
    assert masks.dense(masks.intersect(), 3, 4).all()
    assert not masks.dense(masks.union(), 3, 4).any()


@given(
    stride=st.integers(1, 30),
    summary=st.integers(1, 30),
    n=st.integers(1, 40),
    i=st.integers(0, 39),
)
def test_any_stride_is_the_papers_sets(stride, summary, n, i):
    summary, i = min(summary, stride), min(i, n - 1)
    rows = {
        "local": (masks.strided_local(stride), oracles.strided_local(i, stride, n, False)),
        "every": (masks.strided_summary(stride), oracles.strided_summary(i, stride, n, False)),
        "block": (masks.fixed_local(stride), oracles.fixed_local(i, stride, n, False)),
        "last": (
            masks.fixed_summary(stride, summary),
            oracles.fixed_summary(i, stride, summary, n, False),
        ),
    }
    for mask, expected in rows.values():
        row = masks.dense(mask, n, n)[0, 0, i]
        assert set(row.nonzero().flatten().tolist()) == expected
    strided = masks.dense(masks.strided(stride), n, n)[0, 0, i].nonzero().flatten()
    assert set(strided.tolist()) == rows["local"][1] | rows["every"][1]
    fixed = masks.dense(masks.fixed(stride, summary), n, n)[0, 0, i].nonzero().flatten()
    assert set(fixed.tolist()) == rows["block"][1] | rows["last"][1]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: masks.sliding_window(-1), "^window must .*got -1"),
        (lambda: masks.sliding_window(1.5), "^window must .*got"),
        (lambda: masks.sliding_window(True), "^window must .*got"),
        (lambda: masks.dilated(2, 0), "^dilation must .*got 0"),
        (lambda: masks.dilated(-2, 1), "^window must .*got -2"),
        (lambda: masks.strided(0), "^stride must .*got 0"),
        (lambda: masks.strided(2.0), "^stride must .*got"),
        (lambda: masks.strided_local(-1), "^stride must .*got -1"),
        (lambda: masks.strided_summary(0), "^stride must .*got 0"),
        (lambda: masks.fixed_local(0), "^stride must .*got 0"),
        (lambda: masks.fixed(0, 1), "^stride must .*got 0"),
        (lambda: masks.fixed(4, 0), "^summary must .*got 0"),
        (lambda: masks.fixed(4, 5), "^summary must .*got 5"),
        (lambda: masks.fixed_summary(4, 5), "^summary must .*got 5"),
        (lambda: masks.fixed_summary("4", 1), "^stride must .*got"),
        (lambda: masks.global_tokens([-1]), "^positions must .*got -1"),
        (lambda: masks.global_tokens([0.5]), "^positions must .*got"),
    ],
)
def test_an_option_out_of_range_is_refused(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: masks.sliding_window(-1),
        lambda: masks.dilated(1, 0),
        lambda: masks.strided(0),
        lambda: masks.fixed(4, 5),
    ],
)
def test_a_number_out_of_range_is_a_value_error(call):
    with pytest.raises(ValueError, match=r"must .*got"):
        call()
