"""The Reformer against the sets and sums of Kitaev et al. 2020 (arXiv:2001.04451), section 2."""

import functools
import math

import counting
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import costs, reformer_attention, reformer_buckets, reformer_weights
from attn_lib.data import load_passage


def _state(seed=3):
    return torch.Generator().manual_seed(seed)


def _hold(monkeypatch, numbers):
    """Let the hash, and the attention, have so many numbers in memory at a time."""
    monkeypatch.setattr("attn_lib.mechanisms.reformer.IN_CACHE", numbers)
    monkeypatch.setattr("attn_lib.numerics.rounds.IN_CACHE", numbers)


def _assert_is_the_paper(qk, v, *, causal=False, key_mask=None, scale=1.0, **options):
    """Compare with the oracle, which draws the rotations itself and sums round by round."""
    _, heads, n, head_dim = qk.shape
    size, rounds = options["bucket_size"], options["num_hashes"]
    half = math.ceil(n / size / 2)
    rotations = torch.randn(heads, rounds, head_dim, half, generator=_state()).double()
    mask = None if key_mask is None else key_mask.numpy()
    weights = oracles.reformer_weights(
        qk, rotations, size, causal=causal, key_mask=mask, scale=scale
    )
    given = {**options, "causal": causal, "key_mask": key_mask, "scale": scale}
    weights = torch.from_numpy(weights)
    rows = torch.ones(n, dtype=torch.bool) if mask is None else key_mask
    rows = rows.expand(qk.shape[0], n)[:, None, :, None].double()  # the queries that are real
    actual = reformer_weights(qk, generator=_state(), **given)
    assert_close(rows * actual, rows * weights, rtol=1e-12, atol=1e-12)
    out = reformer_attention(qk, v, generator=_state(), **given)
    assert_close(rows * out, rows * (weights @ v), rtol=1e-12, atol=1e-12)


# By hand


def _opposites(n=8):
    """Return x, -x, x, -x, … in two dimensions: a vector and its opposite never share a bucket."""
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(n // 2)
    return (signs[:, None] * torch.tensor([0.6, 0.8], dtype=torch.float64)).view(1, 1, n, 2)


def test_opposite_vectors_by_hand():
    # Two buckets of four tokens, two chunks. The first chunk sees its own kind: three others, 1/3
    # each. The second sees all seven: three of its kind with e, four of the other with 1/e.
    weights = reformer_weights(_opposites(), bucket_size=4, generator=_state())[0, 0]
    total = 3 * math.e + 4 / math.e
    alike, unlike = math.e / total, 1 / math.e / total
    first = 0 if weights[0, 1] == 0 else 1
    for i in range(8):
        for j in range(8):
            same = i % 2 == j % 2
            if i == j:
                expected = 0.0
            elif i % 2 == first:
                expected = 1 / 3 if same else 0.0
            else:
                expected = alike if same else unlike
            assert weights[i, j].item() == pytest.approx(expected, abs=1e-12)


def test_opposite_vectors_causal_by_hand():
    weights = reformer_weights(_opposites(), bucket_size=4, causal=True, generator=_state())[0, 0]
    first = 0 if weights[7, 6] > 0 else 1
    assert weights[first, first] == 1  # nothing else of its kind has come yet
    assert weights[first + 2, first] == 1  # and now one has
    assert_close(weights[first + 4, [first, first + 2]], torch.full((2,), 0.5).double())


def test_the_exercise_on_rounds():
    # Log-sum-exps 0 and log 3, outputs 4 and 8: the rounds weigh 1/4 and 3/4, which makes 7.
    z, out = np.array([0.0, math.log(3)]), np.array([4.0, 8.0])
    assert (np.exp(z - np.log(np.exp(z).sum())) * out).sum() == pytest.approx(7)


@pytest.mark.parametrize("num_hashes", [1, 3])
def test_the_first_causal_token_reads_itself(normal, num_hashes):
    qk, v = normal(2, 3, 17, 5), normal(2, 3, 17, 7)
    options = {"bucket_size": 4, "num_hashes": num_hashes, "causal": True}
    assert_close(reformer_attention(qk, v, **options)[:, :, 0], v[:, :, 0], rtol=0, atol=0)


# The paper


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
@pytest.mark.parametrize(
    ("n", "size", "rounds"), [(8, 4, 1), (23, 3, 2), (23, 5, 4), (37, 2, 3), (40, 1, 5)]
)
def test_rounds_add_up_as_the_paper_says(normal, n, size, rounds, causal, masked):
    qk, v = normal(2, 3, n, 5), normal(2, 3, n, 7)
    key_mask = torch.arange(n) % 4 != torch.tensor([[1], [2]]) if masked else None
    options = {"bucket_size": size, "num_hashes": rounds}
    _assert_is_the_paper(qk, v, causal=causal, key_mask=key_mask, **options)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 41),
    size=st.integers(1, 11),
    rounds=st.integers(1, 5),
    scale=st.sampled_from([1.0, 0.3, -2.0]),
    causal=st.booleans(),
    masked=st.booleans(),
)
def test_any_call_adds_up_as_the_paper_says(seed, n, size, rounds, scale, causal, masked):
    draw = _state(seed)
    qk = torch.randn(1, 2, n, 3, generator=draw, dtype=torch.float64)
    v = torch.randn(1, 2, n, 5, generator=draw, dtype=torch.float64)
    key_mask = torch.rand(1, n, generator=draw) > 0.4 if masked else None
    options = {"bucket_size": min(size, n - 1), "num_hashes": rounds, "scale": scale}
    _assert_is_the_paper(qk, v, causal=causal, key_mask=key_mask, **options)


@pytest.mark.parametrize("n", [2, 3, 64, 97])
def test_the_bucket_is_the_nearest_of_the_turned_axes(normal, n):
    qk = normal(2, 3, n, 5)
    found = reformer_buckets(qk, bucket_size=1, num_hashes=2, generator=_state())
    half = -(-n // 2)
    rotations = torch.randn(3, 2, 5, half, generator=_state()).double()
    turned = torch.einsum("bhid,hrdc->bhric", qk, rotations)
    assert torch.equal(found, torch.cat([turned, -turned], dim=-1).argmax(dim=-1))
    assert torch.equal(
        found, reformer_buckets(9 * qk, bucket_size=1, num_hashes=2, generator=_state())
    )


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
@pytest.mark.parametrize("size", [23, 24, 1000])
@pytest.mark.parametrize("num_hashes", [1, 3])
def test_one_chunk_is_dense_shared_attention_without_oneself(normal, size, num_hashes, causal):
    qk, v = normal(2, 3, 23, 5), normal(2, 3, 23, 7)
    visible = ~np.eye(23, dtype=bool)
    if causal:
        visible &= np.tri(23, dtype=bool)
        visible[0, 0] = True
    expected = oracles.attention(qk, qk / qk.norm(dim=-1, keepdim=True), v, visible, scale=1.0)
    options = {"bucket_size": size, "num_hashes": num_hashes, "causal": causal}
    assert_close(
        reformer_attention(qk, v, **options), torch.from_numpy(expected), rtol=1e-12, atol=1e-12
    )


def test_closer_vectors_share_a_bucket_more_often(generator):
    # Section 2: an angular hash sends near vectors to one bucket with high probability.
    angles = torch.linspace(0, math.pi, 9, dtype=torch.float64)
    points = torch.stack([angles.cos(), angles.sin()], dim=-1)
    points = torch.nn.functional.pad(points, (0, 14)).view(1, 1, 9, 16)
    draws = reformer_buckets(points, bucket_size=2, num_hashes=2000, generator=generator)
    shared = (draws == draws[..., :1]).double().mean(dim=2).flatten()
    assert shared[0] == 1
    assert (shared.diff() <= 0.02).all()
    assert shared[-1] == 0  # opposite vectors never do


def test_more_rounds_catch_more_of_the_attention():
    q, _, _ = load_passage(128).head(layer=1, head=1)
    dense = reformer_weights(q, bucket_size=128)
    caught = []
    for rounds in (1, 2, 4, 8):
        options = {"bucket_size": 16, "num_hashes": rounds, "generator": _state()}
        caught.append((dense * (reformer_weights(q, **options) > 0)).sum(-1).mean().item())
    assert caught == sorted(caught)
    assert caught[0] < 0.6 < 0.9 < caught[-1]


def test_a_pair_found_twice_counts_once(normal):
    # The pitfall: added up without log N, a key that every round finds weighs more.
    qk, v = _opposites(16), normal(1, 1, 16, 3)
    once = reformer_weights(qk, bucket_size=4, generator=_state())
    often = reformer_weights(qk, bucket_size=4, num_hashes=5, generator=_state())
    both = (once > 0) & (often > 0)
    alike = (torch.arange(16)[:, None] + torch.arange(16)) % 2 == 0
    rows = (often[0, 0] > 0).sum(-1)
    for i in range(16):
        seen = often[0, 0, i][alike[i] & both[0, 0, i]]
        assert len(seen) == 0 or (seen == seen[0]).all(), f"row {i} of {rows[i]} keys"
    out = reformer_attention(qk, v, bucket_size=4, num_hashes=5, generator=_state())
    assert_close(out, often @ v, rtol=1e-12, atol=1e-12)


# What the future may do


def test_the_future_may_move_the_borders_but_is_not_seen(normal):
    qk = normal(1, 2, 24, 5)
    options = {"bucket_size": 4, "causal": True}
    before = reformer_weights(qk, generator=_state(), **options)
    later = qk.clone()
    later[:, :, 16:] = -later[:, :, 16:]
    after = reformer_weights(later, generator=_state(), **options)
    assert not torch.equal(before[:, :, :16], after[:, :, :16])
    for weights in (before, after):
        assert not weights.triu(1).any()
        assert_close(weights.sum(-1), torch.ones(1, 2, 24).double(), rtol=0, atol=1e-12)
    # A key that both find has the same odds against any other that both find.
    both = (before > 0) & (after > 0)
    ratio = (after / before).masked_fill(~both, math.nan)[:, :, :16]
    spread = torch.nan_to_num(ratio, nan=-math.inf).amax(-1) - torch.nan_to_num(
        ratio, nan=math.inf
    ).amin(-1)
    assert (spread[both[:, :, :16].any(-1)].abs() < 1e-9).all()


# Draws


def test_the_state_of_the_generator_decides(normal):
    qk, v = normal(2, 3, 40, 5), normal(2, 3, 40, 7)
    options = {"bucket_size": 5, "num_hashes": 2}
    draw = _state()
    first = reformer_attention(qk, v, generator=draw, **options)
    second = reformer_attention(qk, v, generator=draw, **options)
    assert not torch.equal(first, second)
    assert torch.equal(first, reformer_attention(qk, v, generator=_state(), **options))
    draw = _state()
    reformer_weights(qk, generator=draw, **options)
    assert torch.equal(second, reformer_attention(qk, v, generator=draw, **options))


def test_without_a_generator_the_global_one_draws(normal):
    qk, v = normal(1, 1, 40, 5), normal(1, 1, 40, 7)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = reformer_attention(qk, v, bucket_size=5)
        torch.manual_seed(1)
        again = reformer_attention(qk, v, bucket_size=5)
        other = reformer_attention(qk, v, bucket_size=5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_item_does_not_depend_on_its_batch(normal):
    qk, v = normal(3, 2, 40, 5), normal(3, 2, 40, 7)
    options = {"bucket_size": 5, "num_hashes": 2}
    whole = reformer_attention(qk, v, generator=_state(), **options)
    for item in range(3):
        one = slice(item, item + 1)
        alone = reformer_attention(qk[one], v[one], generator=_state(), **options)
        assert_close(whole[one], alone, rtol=1e-12, atol=1e-12)


def test_heads_and_rounds_have_rotations_of_their_own(normal):
    qk = normal(1, 1, 40, 5).expand(1, 3, 40, 5)
    found = reformer_buckets(qk, bucket_size=5, num_hashes=2, generator=_state())[0].flatten(0, 1)
    assert len({tuple(row.tolist()) for row in found}) == 6


# Numbers


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_lengths_of_any_size_do_not_overflow(normal, dtype):
    qk, v = normal(1, 2, 19, 5), normal(1, 2, 19, 3).to(dtype)
    options = {"bucket_size": 4, "num_hashes": 2, "causal": True}
    largest = torch.finfo(dtype).max / 4
    qk = (qk / qk.abs().amax() * largest).to(dtype)
    out = reformer_attention(qk, v, generator=_state(), **options)
    assert out.isfinite().all()
    qk = (normal(1, 2, 19, 5) * 1e-30).to(torch.float32)
    tiny = reformer_weights(qk, generator=_state(), **options)
    large = reformer_weights(qk * 1e30, scale=0.0, generator=_state(), **options)
    assert_close(tiny, large, rtol=1e-5, atol=1e-6)


def test_zero_vectors_are_no_trouble(normal):
    qk, v = normal(1, 1, 12, 3), normal(1, 1, 12, 2)
    qk[:, :, ::2] = 0
    qk, v = qk.requires_grad_(), v.requires_grad_()
    out = reformer_attention(qk, v, bucket_size=3, num_hashes=2, generator=_state())
    weights = reformer_weights(qk, bucket_size=3, num_hashes=2, generator=_state())
    assert_close(out, weights @ v, rtol=1e-12, atol=1e-12)
    fast = torch.autograd.grad(out.sin().sum(), (qk, v))
    slow = torch.autograd.grad((weights @ v).sin().sum(), (qk, v))
    assert_close(fast, slow, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("held", [1, 50, 1000])
@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
@pytest.mark.parametrize(("n", "size"), [(601, 2), (75, 20), (20, 30)])
def test_tiles_of_any_size_give_the_same(normal, monkeypatch, held, causal, n, size):
    qk, v = normal(2, 2, n, 3).requires_grad_(), normal(2, 2, n, 5).requires_grad_()
    key_mask = torch.arange(n) % 7 != torch.tensor([[1], [4]])
    options = {"bucket_size": size, "num_hashes": 3, "causal": causal, "key_mask": key_mask}
    if n == 601 and held < 1000:
        pytest.skip("many tiles take long")
    weights = reformer_weights(qk, generator=_state(), **options)
    slow = torch.autograd.grad((weights @ v).sin().sum(), (qk, v))
    _hold(monkeypatch, held)
    out = reformer_attention(qk, v, generator=_state(), **options)
    assert_close(out, weights @ v, rtol=1e-12, atol=1e-12)
    fast = torch.autograd.grad(out.sin().sum(), (qk, v))
    assert_close(fast, slow, rtol=1e-10, atol=1e-11)


def test_many_buckets_are_products_of_hashes(normal):
    qk = normal(1, 1, 600, 5)
    found = reformer_buckets(qk, bucket_size=2, generator=_state())[0, 0, 0]
    draw = _state()
    pieces = []  # 300 buckets: 18 · 18 of two hashes, of nine axes each
    for _ in range(2):
        turned = qk[0, 0] @ torch.randn(1, 1, 5, 9, generator=draw)[0, 0].double()
        pieces.append(torch.cat([turned, -turned], dim=-1).argmax(dim=-1))
    assert torch.equal(found, 18 * pieces[0] + pieces[1])


# Cost, by counting


def _call(n, num_hashes=2, size=16, causal=False):
    draw = _state()
    qk, v = (torch.randn(1, 1, n, 4, generator=draw) for _ in range(2))

    def call(qk, v):
        options = {"bucket_size": size, "num_hashes": num_hashes, "causal": causal}
        return reformer_attention(qk, v, generator=_state(), **options)

    return call, qk, v


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
def test_memory_grows_with_the_length(causal):
    lengths = [1024, 2048, 4096]
    tallies = [counting.count(*_call(n, causal=causal)) for n in lengths]
    assert all(tally.largest < n * n / 8 for n, tally in zip(lengths, tallies, strict=True))
    assert counting.exponent(lengths, [tally.largest for tally in tallies]) <= 1.05
    assert counting.exponent(lengths, [tally.total for tally in tallies]) <= 1.15
    peaks = [counting.peak_bytes(*_call(n, causal=causal)) for n in lengths]
    assert counting.exponent(lengths, peaks) <= 1.15


def test_no_tensor_has_a_cell_for_every_pair_even_in_one_chunk(monkeypatch):
    _hold(monkeypatch, 2**14)
    assert counting.count(*_call(512, size=512)).largest <= 2**14


@pytest.mark.parametrize(("n", "size", "rounds"), [(256, 16, 1), (250, 16, 3), (256, 1000, 4)])
def test_the_products_are_those_that_costs_counts(n, size, rounds):
    scores = costs.reformer_scores(n, bucket_size=size, num_hashes=rounds)
    hashing = costs.reformer_hash_flops(n, 4, bucket_size=size, num_hashes=rounds)
    forward = 2 * scores * (4 + 4)
    backward = 2 * scores * (3 * 4 + 2 * 4)
    found = counting.flops(*_call(n, rounds, size))
    assert found == forward + backward + hashing


def test_hashing_does_not_grow_as_the_square():
    lengths = [2**k for k in range(12, 21, 2)]
    work = [costs.reformer_hash_flops(n, 64, bucket_size=64) for n in lengths]
    assert counting.exponent(lengths, work) <= 1.3
    few = [costs.reformer_hash_flops(n, 64, bucket_size=64) for n in (1024, 2048)]
    assert few == [2 * 1024 * 64 * 8, 2 * 2048 * 64 * 16]


def test_items_under_vmap_share_the_rotations_or_have_their_own(normal):
    qk, v = normal(1, 1, 2, 24, 4).expand(3, -1, -1, -1, -1), normal(1, 1, 2, 24, 3)[0]

    def outputs(randomness):
        torch.manual_seed(0)
        call = functools.partial(reformer_attention, bucket_size=3)
        return torch.vmap(call, in_dims=(0, None), randomness=randomness)(qk, v)

    with pytest.raises(RuntimeError, match="randomness error mode"):
        outputs("error")
    same, different = outputs("same"), outputs("different")
    torch.manual_seed(0)
    drawn = [reformer_attention(qk[0], v, bucket_size=3) for _ in range(3)]
    assert_close(same, torch.stack(drawn[:1] * 3))
    assert_close(different, torch.stack(drawn))
    assert not torch.equal(different[0], different[1])


# Bad calls


@pytest.mark.parametrize("function", [reformer_attention, reformer_weights, reformer_buckets])
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"bucket_size": 0}, ValueError, "^bucket_size must be at least 1, got 0"),
        ({"bucket_size": 2.0}, TypeError, "^bucket_size must be an int, got float"),
        ({"bucket_size": 2, "num_hashes": 0}, ValueError, "^num_hashes must be at least 1, got 0"),
        ({"bucket_size": 2, "num_hashes": True}, TypeError, "^num_hashes must be an int, got bool"),
        ({"bucket_size": 2, "scale": math.nan}, ValueError, "^scale must be finite, got nan"),
        ({"bucket_size": 2, "scale": "1"}, TypeError, "^scale must be a number, got str"),
        ({"bucket_size": 2, "generator": 3}, TypeError, "^generator must be .*got int"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_options_say_what_was_wrong(normal, function, options, error, match):
    if function is reformer_buckets and "scale" in options:
        pytest.skip("it has no scale")
    given = (normal(1, 2, 5, 3), normal(1, 2, 5, 2))
    with pytest.raises(error, match=match):
        function(*given[: 2 if function is reformer_attention else 1], **options)


def test_values_of_another_length_are_told_whom_they_must_fit(normal):
    with pytest.raises(ValueError, match=r"^v must .* to fit qk, got \(1, 2, 4, 2\)"):
        reformer_attention(normal(1, 2, 5, 3), normal(1, 2, 4, 2), bucket_size=2)
