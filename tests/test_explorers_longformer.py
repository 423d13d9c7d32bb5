"""The explorer of windows and global tokens, without a browser."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
import traitlets

from attn_lib.explorers import LongformerWindow
from attn_lib.explorers.longformer_window import LENGTH, NEVER, steps_to_reach

HUBS = st.lists(st.integers(0, LENGTH - 1), max_size=4)


def pairs(window, dilation, causal, hubs=()):
    options = {"window": window, "dilation": dilation, "global_tokens": hubs, "causal": causal}
    return oracles.longformer_visible(1, LENGTH, LENGTH, **options)[0]


def layers_by_search(mask, i):
    """Return, for every position, in how many layers it reaches i; breadth first."""
    found, edge, count = {i: 0}, {i}, 0
    while edge:
        count += 1
        edge = {j for m in edge for j in np.flatnonzero(mask[m]).tolist()} - set(found)
        found.update(dict.fromkeys(edge, count))
    return [found.get(j, NEVER) for j in range(len(mask))]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("window", "dilation"), [(0, 1), (3, 1), (2, 5), (63, 1), (1, 16)])
def test_steps_are_those_of_a_search(window, dilation, causal):
    steps = LongformerWindow.compute(window=window, dilation=dilation, causal=causal)["steps"]
    mask = pairs(window, dilation, causal)
    for i in (0, 17, 40, 63):
        assert steps[i].tolist() == layers_by_search(mask, i)
    assert ((steps <= 1) == mask).all()


@hypothesis.given(st.integers(0, 12), st.integers(1, 16), st.integers(1, 12), st.booleans(), HUBS)
@hypothesis.settings(max_examples=25)
def test_what_is_looked_up_is_what_a_search_finds(window, dilation, layers, causal, hubs):
    # The rule by which the view joins the arrays, in numpy; the browser's tests hold the view to
    # the drawn cells.
    frame = LongformerWindow.compute(
        window=window, dilation=dilation, layers=layers, causal=causal, global_tokens=hubs
    )
    arrival = frame["steps"].copy()
    for g in set(hubs):
        joined = frame["as_key"][:, [g]] & frame["as_query"][[g]]
        arrival[joined] = np.minimum(arrival[joined], 2)
    for g in set(hubs):
        arrival[g] = np.where(frame["as_query"][g], np.minimum(arrival[g], 1), arrival[g])
        arrival[:, g] = np.where(frame["as_key"][:, g], np.minimum(arrival[:, g], 1), arrival[:, g])
    mask = pairs(window, dilation, causal, hubs)
    assert ((arrival <= 1) == mask).all()
    np.testing.assert_array_equal(arrival, steps_to_reach(mask))


def test_the_page_carries_neither_layers_nor_sets_twice():
    distinct = {
        LongformerWindow.compute(**state)["steps"].tobytes() for state in LongformerWindow.grid()
    }
    assert len(distinct) < len(LongformerWindow.grid()) / 7
    assert len(LongformerWindow.packed()) < 40_000


def test_global_tokens_are_a_trait():
    widget = LongformerWindow(global_tokens=[9, 0, 9])
    assert widget.global_tokens == (0, 9)
    widget.global_tokens = range(3)
    assert widget.global_tokens == (0, 1, 2)
    assert LongformerWindow.check(global_tokens=np.array([5, 2]))["global_tokens"] == (2, 5)
    for bad, match in [
        ([64], "must be from 0 to 63, got 64"),
        ([-1], "must be from 0 to 63, got -1"),
        ([1.0], "must hold ints, got float"),
        ([True], "must hold ints, got bool"),
        ("1, 2", "must be a sequence of ints, got '1, 2'"),
        (3, "must be a sequence of ints, got 3"),
    ]:
        with pytest.raises(traitlets.TraitError, match=f"^global_tokens {match}"):
            widget.global_tokens = bad
        with pytest.raises((TypeError, ValueError), match=f"^global_tokens {match}"):
            LongformerWindow.compute(global_tokens=bad)


def test_the_book_may_start_with_global_tokens(monkeypatch):
    monkeypatch.setenv("ATTN_LIB_BOOK", "1")
    bundle = LongformerWindow(window=2, global_tokens=[0, 30])._repr_mimebundle_()
    assert "&quot;global_tokens&quot;: [0, 30]" in bundle["text/html"]
    mask = pairs(2, 1, False, [0, 30])
    said = LongformerWindow.describe(window=2, global_tokens=[0, 30])
    assert f"{LENGTH**2:,} pairs of {LENGTH} tokens {mask.sum()} are computed" in said
    assert said.endswith(f"Together they join {LENGTH**2:,} pairs.")
