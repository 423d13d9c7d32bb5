"""What is kept and read, counted in closed form, against states and matrices that are there."""

from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import attn_lib
from attn_lib import costs
from attn_lib.catalog import MECHANISMS

D, E = 3, 5


def weights(name, n, *, causal, **options):
    """Return who sees whom, (n, n), for random queries and keys."""
    draw = torch.Generator().manual_seed(n)
    q, k = (torch.randn(1, 1, n, D, generator=draw) for _ in range(2))
    if name == "reformer":
        found = attn_lib.reformer_weights(q, causal=causal, generator=draw, **options)
    else:
        found = getattr(attn_lib, f"{name}_weights")(q, k, causal=causal, **options)
    return found[0, 0] > 0


PAIRS = st.one_of(
    st.tuples(st.just("softmax"), st.just({})),
    st.tuples(
        st.just("longformer"),
        st.fixed_dictionaries({"window": st.integers(0, 9), "dilation": st.integers(1, 4)}),
    ),
    st.tuples(
        st.just("sparse_transformer"),
        st.fixed_dictionaries({"pattern": st.just("strided"), "stride": st.integers(1, 12)}),
    ),
    st.tuples(
        st.just("sparse_transformer"),
        st.integers(1, 12).flatmap(
            lambda stride: st.fixed_dictionaries(
                {
                    "pattern": st.just("fixed"),
                    "stride": st.just(stride),
                    "summary": st.integers(1, stride),
                }
            )
        ),
    ),
)


@given(case=PAIRS, n=st.integers(1, 40), causal=st.booleans())
def test_a_query_reads_as_many_keys_as_the_fullest_row_has(case, n, causal):
    name, options = case
    seen = weights(name, n, causal=causal, **options).sum(-1).max()
    assert costs.read_numbers(name, n, D, E, causal=causal, **options) == seen * (D + E)


@given(case=PAIRS, n=st.integers(1, 40))
def test_what_is_kept_is_what_later_queries_see(case, n):
    name, options = case
    later = 40  # tokens: more than a window's reach, and than two blocks
    seen = weights(name, n + later, causal=True, **options)[n - 1 :, :n].any(0).sum()
    assert costs.kept_numbers(name, n, D, E, causal=True, **options) == seen * (D + E)
    full = options | {"causal": False}
    assert costs.kept_numbers(name, n, D, E, **full) == n * (D + E)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n", "topk"), [(1, 1), (11, 1), (11, 4), (11, 20)])
def test_top_k_reads_all_keys_and_the_values_of_the_chosen(n, topk, causal):
    chosen = weights("explicit_sparse", n, causal=causal, topk=topk).sum(-1).max()
    read = costs.read_numbers("explicit_sparse", n, D, E, causal=causal, topk=topk)
    assert read == n * D + chosen * E
    assert costs.kept_numbers("explicit_sparse", n, D, E, causal=causal, topk=topk) == n * (D + E)


@given(
    n=st.integers(1, 50), size=st.integers(1, 20), rounds=st.integers(1, 3), causal=st.booleans()
)
def test_reformer_reads_no_more_than_the_bound(n, size, rounds, causal):
    options = {"bucket_size": size, "num_hashes": rounds, "causal": causal}
    seen = weights("reformer", n, **options).sum(-1).max()
    assert seen * (D + E) <= costs.read_numbers("reformer", n, D, E, **options)
    assert costs.kept_numbers("reformer", n, D, E, **options) == n * (D + E)


def test_one_round_reaches_the_bound_but_for_the_query_itself():
    seen = weights("reformer", 48, bucket_size=6, causal=False).sum(-1).max()
    assert seen == 2 * 6 - 1
    assert costs.read_numbers("reformer", 48, D, E, bucket_size=6) == 12 * (D + E)


def tensors(state, *left_out):
    return sum(
        value.numel()
        for field in fields(state)
        if field.name not in left_out
        and isinstance(value := getattr(state, field.name), torch.Tensor)
    )


def test_states_hold_what_is_counted():
    sizes = (1, 1, D, E)
    n = 1000
    linear = attn_lib.linear_transformer_init_state(*sizes)
    assert costs.kept_numbers("linear_transformer", n, D, E, causal=True) == tensors(linear)
    cosine = attn_lib.cosformer_init_state(*sizes, max_len=n)
    assert costs.kept_numbers("cosformer", n, D, E, causal=True) == tensors(cosine)
    random = attn_lib.performer_init_state(*sizes, features=7)
    kept = costs.kept_numbers("performer", n, D, E, causal=True, features=7)
    assert kept == tensors(random, "projection", "level")
    slots = attn_lib.luna_init_state(*sizes, p=torch.zeros(1, 1, 11, D))
    kept = costs.kept_numbers("luna", n, D, E, causal=True, p_len=11)
    assert kept == tensors(slots, "p") + 1  # the count of tokens


def test_slots_and_contexts_hold_what_is_counted():
    n = 13
    k, v = torch.zeros(1, 1, n, D), torch.zeros(1, 1, n, E)
    packed = attn_lib.luna_pack(torch.zeros(1, 1, 7, D), k, v)
    assert costs.kept_numbers("luna", n, D, E, p_len=7) == packed.numel()
    e = torch.zeros(7, n)
    assert costs.kept_numbers("linformer", n, D, E, rank=7) == (e @ k).numel() + (e @ v).numel()
    assert costs.kept_numbers("efficient", n, D, E) == (k.softmax(2).mT @ v).numel()


# No call knows the right numbers by itself: which test counts them another way.
COUNTED = {
    **dict.fromkeys(("softmax", "longformer", "sparse_transformer"), "PAIRS"),
    "explicit_sparse": "test_top_k_reads_all_keys_and_the_values_of_the_chosen",
    "reformer": "test_reformer_reads_no_more_than_the_bound",
    **dict.fromkeys(
        ("linear_transformer", "cosformer", "performer", "luna"), "test_states_hold_what_is_counted"
    ),
    **dict.fromkeys(("linformer", "efficient"), "test_slots_and_contexts_hold_what_is_counted"),
}
OPTIONS = {
    "sparse_transformer": {"stride": 4},
    "explicit_sparse": {"topk": 4},
    "longformer": {"window": 4},
    "reformer": {"bucket_size": 4},
    "linformer": {"rank": 4},
    "performer": {"features": 4},
    "luna": {"p_len": 4},
}


def test_the_numbers_of_every_mechanism_are_counted_another_way():
    assert set(COUNTED) == {one.name for one in MECHANISMS}, "a row in PAIRS, or a test of its own"
    assert set(COUNTED.values()) <= set(globals())


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda one: one.name)
def test_every_mechanism_is_counted(mechanism):
    """Its options stand in `_OPTIONS` of ``attn_lib/costs/kept.py`` and in `OPTIONS` here."""
    options = OPTIONS.get(mechanism.name, {})
    for causal in (False, True) if mechanism.causal else (False,):
        kept = costs.kept_numbers(mechanism.name, 64, D, E, causal=causal, **options)
        read = costs.read_numbers(mechanism.name, 64, D, E, causal=causal, **options)
        assert type(kept) is int
        assert type(read) is int
        assert read <= kept
    if not mechanism.causal:
        with pytest.raises(ValueError, match=r"^causal must be False for .*got True"):
            costs.kept_numbers(mechanism.name, 64, D, E, causal=True, **options)
    for name in options:
        with pytest.raises(ValueError, match=rf"^{name} must be given .*got none"):
            costs.read_numbers(mechanism.name, 64, D, E)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f: f("softmax", 0, D, E), r"^n must .*got 0"),
        (lambda f: f("softmax", 9, D, 0), r"^value_dim must .*got 0"),
        (lambda f: f("paper", 9, D, E), r"^mechanism must be .*got 'paper'"),
        (lambda f: f("softmax", 9, D, E, causal=1), r"^causal must be a bool, got int"),
        (lambda f: f("softmax", 9, D, E, rank=4), r"^options of softmax must .*got 'rank'"),
        (lambda f: f("linformer", 9, D, E, rank=0), r"^rank must .*got 0"),
        (lambda f: f("longformer", 9, D, E, window=-1), r"^window must .*got -1"),
        (
            lambda f: f("sparse_transformer", 9, D, E, stride=4, pattern="wide"),
            r"^pattern must .*got 'wide'",
        ),
        (
            lambda f: f("sparse_transformer", 9, D, E, stride=4, summary=5),
            r"^summary must .*got 5",
        ),
    ],
)
@pytest.mark.parametrize("function", [costs.kept_numbers, costs.read_numbers])
def test_bad_numbers_are_refused(call, match, function):
    with pytest.raises((TypeError, ValueError), match=match):
        call(function)
