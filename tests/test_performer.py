"""Performer against the equations and the claims of Choromanski et al. 2020 (arXiv:2009.14794)."""

import math

import counting
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from attn_lib import (
    costs,
    draw_projection,
    performer_attention,
    performer_init_state,
    performer_step,
    performer_weights,
    softmax_attention,
)
from attn_lib.numerics import features, heads, levels

KERNELS = ("softmax", "softmax_trig", "relu")


def _column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).view(1, 1, -1, 1)


def _inputs(normal, length, head_dim=5, value_dim=3, scale=1.0, dtype=torch.float64):
    q, k = (scale * normal(2, 3, length, head_dim) for _ in range(2))
    return tuple(x.to(dtype) for x in (q, k, normal(2, 3, length, value_dim)))


# By hand


def test_one_feature_by_hand():
    # With ω = 1 a key k has the feature exp(k − k²/2): 1 for 0, √e for 1, 1 for 2. The query's own
    # feature cancels.
    k, v = _column(0.0, 1.0, 2.0), _column(3.0, 0.0, 7.0)
    w = torch.ones(1, 1, dtype=torch.float64)
    total = 2 + math.sqrt(math.e)
    out = performer_attention(k, k, v, projection=w)
    assert_close(out, torch.full_like(out, 10 / total))
    out = performer_attention(k, k, v, projection=w, causal=True)
    assert_close(out, _column(3.0, 3 / (1 + math.sqrt(math.e)), 10 / total))


def test_two_keys_by_sine_and_cosine():
    # sin sin + cos cos is the cosine of the difference: here 1 and cos(π/3), times e^0 and e^½a².
    a = math.pi / 3
    q, k, v = _column(0.0), _column(0.0, a), _column(1.0, 0.0)
    w = torch.ones(1, 1, dtype=torch.float64)
    out = performer_attention(q, k, v, kernel="softmax_trig", projection=w)
    assert_close(out, _column(1 / (1 + math.exp(a * a / 2) / 2)))


# The equation


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_it_is_the_papers_equation(normal, kernel, causal, masked):
    q, k, v = _inputs(normal, 13)
    w = normal(70, 5)
    key_mask = torch.arange(26).view(2, 13) % 3 != 0 if masked else None
    options = {"kernel": kernel, "causal": causal, "key_mask": key_mask}
    expected = torch.from_numpy(oracles.performer(q, k, v, w, **options))
    actual = performer_attention(q, k, v, projection=w, **options)
    assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    weights = performer_weights(q, k, projection=w, **options)
    assert_close(weights @ v, expected, rtol=1e-9, atol=1e-9)


@given(
    length=st.integers(1, 140),
    features=st.integers(1, 20),
    head_dim=st.integers(1, 6),
    scale=st.sampled_from([0.1, 1.0, 5.0, 20.0, 200.0]),
    causal=st.booleans(),
    hidden=st.integers(0, 3),
)
def test_any_size_gives_what_the_matrix_gives(length, features, head_dim, scale, causal, hidden):
    generator = torch.Generator().manual_seed(11)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    q, k = (scale * draw(1, 2, length, head_dim) for _ in range(2))
    v, w = draw(1, 2, length, 3), draw(features, head_dim)
    key_mask = (torch.arange(length)[None] + 1) % 4 >= hidden
    options = {"causal": causal, "key_mask": key_mask, "projection": w}
    out = performer_attention(q, k, v, **options)
    assert_close(out, performer_weights(q, k, **options) @ v, rtol=1e-9, atol=1e-9)


def test_the_causal_form_is_the_recurrence(normal):
    q, k, v = _inputs(normal, 200, scale=0.7)
    w = normal(9, 5)
    out = performer_attention(q, k, v, projection=w, causal=True)
    phi_q, phi_k = (torch.from_numpy(oracles.performer_features(x, w, "softmax")) for x in (q, k))
    total, norm = torch.zeros(2, 3, 9, 3).double(), torch.zeros(2, 3, 9).double()
    for i in range(200):
        total = total + phi_k[:, :, i, :, None] * v[:, :, i, None, :]
        norm = norm + phi_k[:, :, i]
        row = (phi_q[:, :, i, :, None] * total).sum(2) / (phi_q[:, :, i] * norm).sum(2)[..., None]
        assert_close(out[:, :, i], row, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
def test_sixteen_thousand_tokens_in_single_precision(normal, causal):
    q, k, v = (normal(1, 1, 16384, width) for width in (16, 16, 8))
    w = draw_projection(32, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fine = performer_attention(q, k, v, projection=w, causal=causal)
    coarse = performer_attention(q.float(), k.float(), v.float(), projection=w, causal=causal)
    assert ((coarse - fine).norm() / fine.norm()).item() < 1e-5


# The stabiliser


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_no_length_of_queries_and_keys_is_too_large(normal, causal, scale, dtype):
    q, k, v = _inputs(normal, 150, head_dim=16, scale=scale, dtype=dtype)
    w = normal(32, 16)
    ones = torch.ones_like(v)
    for x in (q, k, v):
        x.requires_grad_()
    out = performer_attention(q, k, ones, projection=w, causal=causal)
    assert_close(out, ones, rtol=1e-3, atol=0)  # every denominator is the sum of its weights
    out = performer_attention(q, k, v, projection=w, causal=causal)
    out.float().square().sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    if causal:
        assert_close(out[:, :, 0], v[:, :, 0])


def test_one_key_gives_its_value_whatever_the_angle(normal):
    q, v = 1e3 * normal(1, 1, 4, 8), normal(1, 1, 1, 3)
    out = performer_attention(q.float(), -q[:, :, :1].float(), v.float(), projection=normal(5, 8))
    assert_close(out, v.float().expand(-1, -1, 4, -1))


@pytest.mark.parametrize("scale", [3.0, 30.0, 300.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_giant_or_a_tiny_key_cannot_reach_back(normal, kernel, scale):
    # A key whose features outgrow all before begins a piece of its own inside a chunk.
    q, k, v = _inputs(normal, 150, scale=scale, dtype=torch.float32)
    w = normal(20, 5)
    before = performer_attention(q, k, v, kernel=kernel, projection=w, causal=True)
    for cut in (0, 40, 63, 64, 100):
        for factor in (0.0, 1e-3, 50.0):
            later = k.clone()
            later[:, :, cut + 1 :] *= factor
            after = performer_attention(q, later, v, kernel=kernel, projection=w, causal=True)
            assert torch.equal(after[:, :, : cut + 1], before[:, :, : cut + 1])


def test_pieces_have_the_gradients_of_the_matrix(normal):
    q, k, v = (x.requires_grad_() for x in _inputs(normal, 90))
    w = normal(6, 5).requires_grad_()
    grow = torch.linspace(30, 0, 90, dtype=torch.float64)[:, None]  # ever longer features
    key_mask = torch.arange(180).view(2, 90) % 7 != 0
    grads = []
    for call in (performer_attention, lambda *x, **o: performer_weights(*x[:2], **o) @ x[2]):
        out = call(q, k * grow, v, causal=True, key_mask=key_mask, projection=w)
        grads.append(torch.autograd.grad(out.sin().sum(), (q, k, v, w)))
    for fast, slow in zip(*grads, strict=True):
        assert_close(fast, slow, rtol=1e-8, atol=1e-8)


# The estimate


def _kernel_draws(x, y, kernel, features, draws, orthogonal=False):
    """Estimates of exp(x·y), one a draw."""
    generator = torch.Generator().manual_seed(5)
    d = len(x)
    w = torch.stack(
        [
            draw_projection(
                features, d, orthogonal=orthogonal, generator=generator, dtype=torch.float64
            )
            for _ in range(draws)
        ]
    )
    both = [
        torch.from_numpy(oracles.performer_features(d**0.25 * z[None], w.flatten(0, 1), kernel))
        for z in (x, y)
    ]
    product = both[0] * both[1] * len(w.flatten(0, 1))
    if kernel == "softmax_trig":
        product = product[:, : draws * features] + product[:, draws * features :]
    return product.view(draws, features).mean(1)


@pytest.mark.parametrize("orthogonal", [False, True], ids=["independent", "orthogonal"])
@pytest.mark.parametrize("kernel", ["softmax", "softmax_trig"])
def test_the_kernel_is_estimated_without_bias(normal, kernel, orthogonal):
    x, y = 0.5 * normal(4), 0.5 * normal(4)
    found = _kernel_draws(x, y, kernel, 4, 4000, orthogonal)
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - torch.dot(x, y).exp()) < 4 * error


def test_the_mean_squared_errors_are_the_papers():
    x, y = torch.tensor([[0.5, 0.2, -0.3, 0.1], [0.3, -0.2, 0.2, 0.4]], dtype=torch.float64)
    true, m = torch.dot(x, y).exp(), 4
    sum_, gap = (x + y).square().sum(), (x - y).square().sum()
    expected = {
        "softmax": sum_.exp() * true**2 * (1 - (-sum_).exp()) / m,
        "softmax_trig": sum_.exp() * true**-2 * (1 - (-gap).exp()) ** 2 / (2 * m),
    }
    for kernel, mse in expected.items():
        squares = (_kernel_draws(x, y, kernel, m, 20000) - true).square()
        assert abs(squares.mean() - mse) < 5 * squares.std() / math.sqrt(len(squares))


def test_orthogonal_vectors_lower_the_error_by_what_the_paper_proves():
    x = torch.tensor([0.5, 0.2, -0.3, 0.1, 0.2, 0.0], dtype=torch.float64)
    y = torch.tensor([0.4, 0.2, -0.2, 0.4, 0.1, 0.1], dtype=torch.float64)
    true, m, d = torch.dot(x, y).exp(), 6, 6
    apart, together = (
        (_kernel_draws(x, y, "softmax", m, 20000, orthogonal) - true).square()
        for orthogonal in (False, True)
    )
    least = 2 * (m - 1) / (m * (d + 2))
    least *= (true - (-(x.square().sum() + y.square().sum()) / 2).exp()) ** 2
    noise = math.hypot(apart.std(), together.std()) / math.sqrt(len(apart))
    assert apart.mean() - together.mean() > least - 3 * noise
    assert apart.mean() > together.mean() + 3 * noise


def test_the_attention_error_falls_as_the_root_of_the_features(normal):
    q, k, v = (normal(1, 1, 48, 8) for _ in range(3))
    q, k = 0.5 * q, 0.5 * k
    exact = softmax_attention(q, k, v)
    generator = torch.Generator().manual_seed(2)
    counts = [64, 256, 1024, 4096]
    errors = []
    for m in counts:
        squares = [
            (performer_attention(q, k, v, features=m, generator=generator) - exact).square().mean()
            for _ in range(12)
        ]
        errors.append(math.sqrt(sum(squares) / 12))
    assert abs(counting.exponent(counts, errors) + 0.5) < 0.12


def test_the_attention_itself_is_biased():
    # With one feature the weights do not depend on the query, so their mean over draws cannot be
    # softmax, however many draws there are.
    q, k = _column(2.0, -2.0), _column(1.0, -1.0)
    drawn = [
        performer_weights(q, k, features=1, generator=torch.Generator().manual_seed(s))
        for s in range(300)
    ]
    mean = torch.stack(drawn).mean(0)[0, 0]
    assert_close(mean[0], mean[1])
    assert softmax_attention(q, k, _column(1.0, 0.0))[0, 0, 0] > 0.95
    assert abs(mean[0, 0] - 0.5) < 0.1


def test_long_vectors_delay_the_fall(normal):
    # A limit: at standard deviation 1 and head_dim 16, forty times the features win little.
    q, k, v = (normal(1, 1, 256, 16) for _ in range(3))
    exact = softmax_attention(2 * q, 2 * k, v)
    generator = torch.Generator().manual_seed(3)
    errors = [
        (performer_attention(2 * q, 2 * k, v, features=m, generator=generator) - exact).norm()
        for m in (16, 640)
    ]
    assert errors[1] > errors[0] / math.sqrt(40) * 3


def test_equal_keys_give_the_mean_of_the_values_whatever_is_drawn(normal):
    q, v = normal(1, 2, 7, 4), normal(1, 2, 5, 3)
    k = normal(1, 2, 1, 4).expand(-1, -1, 5, -1)
    for kernel in KERNELS:
        out = performer_attention(q, k, v, kernel=kernel, features=3, generator=torch.Generator())
        assert_close(out, v.mean(2, keepdim=True).expand(-1, -1, 7, -1), rtol=1e-6, atol=1e-6)


# The random vectors


def test_blocks_are_orthogonal_and_independent(generator):
    w = draw_projection(17, 5, generator=generator, dtype=torch.float64)
    assert w.shape == (17, 5)
    blocks = w.split(5)
    for block in blocks:
        products = block @ block.mT
        assert_close(products, products.diagonal().diag(), rtol=0, atol=1e-12)
    directions = [block / block.norm(dim=1, keepdim=True) for block in blocks[:3]]
    assert (directions[0] - directions[1]).abs().max() > 0.1
    assert (directions[1] - directions[2]).abs().max() > 0.1


@pytest.mark.parametrize("orthogonal", [False, True])
def test_every_vector_is_standard_gaussian(generator, orthogonal):
    w = draw_projection(12000, 3, orthogonal=orthogonal, generator=generator, dtype=torch.float64)
    assert_close(w.mean(0), torch.zeros(3).double(), rtol=0, atol=0.04)
    assert_close(w.T @ w / len(w), torch.eye(3).double(), rtol=0, atol=0.05)
    squares = w.square().sum(1)  # chi-squared of 3: mean 3, variance 6
    assert abs(squares.mean() - 3) < 0.1
    assert abs(squares.var() - 6) < 0.5
    first = w[::3]  # the first of a block too: QR alone would leave its signs fixed
    assert_close(first.mean(0), torch.zeros(3).double(), rtol=0, atol=0.06)


def test_what_is_drawn_comes_from_the_generator_alone():
    q = torch.ones(1, 1, 3, 4)
    k = torch.arange(12.0).view(1, 1, 3, 4) / 12
    before = torch.get_rng_state()
    one, two = (
        performer_weights(q, k, features=6, generator=torch.Generator().manual_seed(4))
        for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    w = draw_projection(6, 4, generator=torch.Generator().manual_seed(4))
    assert_close(performer_weights(q, k, projection=w), one)
    generator = torch.Generator().manual_seed(4)
    first = draw_projection(6, 4, generator=generator)
    assert not torch.equal(first, draw_projection(6, 4, generator=generator))


# One token after another


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_steps_are_the_causal_form(normal, kernel, scale):
    q, k, v = _inputs(normal, 70, scale=scale)
    w = normal(50, 5)
    state = performer_init_state(2, 3, 5, 3, kernel=kernel, projection=w)
    size = state.values.numel() + state.norm.numel()
    assert size == 6 * costs.performer_state_numbers(3, features=len(state.values[0, 0]))
    rows = []
    for i in range(70):
        kept = state.values.clone()
        new, out = performer_step(state, *(x[:, :, i : i + 1] for x in (q, k, v)))
        assert torch.equal(state.values, kept)
        state = new
        rows.append(out)
    assert state.values.shape[2:] == kept.shape[2:]
    expected = performer_attention(q, k, v, kernel=kernel, projection=w, causal=True)
    assert_close(torch.cat(rows, dim=2), expected, rtol=1e-8, atol=1e-8)


def test_a_state_may_draw_and_keeps_half_precision_out_of_its_sums():
    generator = torch.Generator().manual_seed(8)
    state = performer_init_state(1, 2, 4, 3, features=6, generator=generator, dtype=torch.float16)
    assert state.values.dtype == torch.float32
    w = draw_projection(6, 4, generator=torch.Generator().manual_seed(8))
    assert torch.equal(state.projection, w)
    token = [torch.ones(1, 2, 1, width, dtype=torch.float16) for width in (4, 4, 3)]
    _, out = performer_step(state, *token)
    assert out.dtype == torch.float16
    assert torch.equal(out, token[2])


# Cost


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
@pytest.mark.parametrize(("held", "at_once"), [(8 * 5 * 3, 3), (8 * 5 * 2, 2), (8 * 5, 1), (1, 1)])
def test_as_many_heads_are_computed_at_once_as_stay_in_cache(monkeypatch, held, at_once, causal):
    w = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = torch.randn(3, 1, 6, 8, 4, generator=torch.Generator().manual_seed(2)).double()
    given = [x.clone().requires_grad_() for x in drawn]
    whole = performer_attention(*given, projection=w, causal=causal)
    wanted = torch.autograd.grad(whole.square().sum(), given)
    monkeypatch.setattr(heads, "IN_CACHE", held)
    out = performer_attention(*given, projection=w, causal=causal)
    assert_close(out, whole, rtol=1e-12, atol=1e-12)
    grads = torch.autograd.grad(out.square().sum(), given)
    for grad, other in zip(grads, wanted, strict=True):
        assert_close(grad, other, rtol=1e-10, atol=1e-10)
    tally = counting.count(lambda *x: performer_attention(*x, projection=w, causal=causal), *drawn)
    features = at_once * 8 * 5
    assert tally.largest == max(drawn[0].numel(), features, causal * at_once * 8 * 8)


def test_heads_that_need_pieces_do_not_change_the_others():
    w = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, k, v = torch.randn(3, 2, 3, 9, 4, generator=torch.Generator().manual_seed(2)).double()
    k[1, 2, 5:] *= 60  # so far above what came before that a piece begins
    real = torch.arange(9) < torch.tensor([[9], [7]])
    logarithms = features.cut(k.flatten(0, 1) @ w.mT * 4**-0.25)
    assert levels.key_levels(logarithms) is None
    assert levels.key_levels(logarithms[:5]) is not None
    out = performer_attention(q, k, v, projection=w, causal=True, key_mask=real)
    for b, h in ((0, 0), (0, 2), (1, 1), (1, 2)):
        one = [x[b : b + 1, h : h + 1] for x in (q, k, v)]
        alone = performer_attention(*one, projection=w, causal=True, key_mask=real[b : b + 1])
        assert_close(out[b, h], alone[0, 0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True], ids=["both-ways", "causal"])
def test_the_largest_tensor_and_the_memory_grow_with_the_length(causal):
    lengths = [512, 1024, 2048]
    w = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))

    def call(q, k, v):
        return performer_attention(q, k, v, projection=w, causal=causal)

    inputs = {n: [torch.randn(1, 2, n, width) for width in (16, 16, 16)] for n in lengths}
    tallies = [counting.count(call, *inputs[n]) for n in lengths]
    # The features of both heads, which stay in cache, or the pairs of their chunks.
    assert [t.largest for t in tallies] == [2 * max(n * 32, n * 64 * causal) for n in lengths]
    assert counting.exponent(lengths, [t.total for t in tallies]) < 1.05
    assert (
        counting.exponent(lengths, [counting.peak_bytes(call, *inputs[n]) for n in lengths]) < 1.1
    )
    assert counting.exponent(lengths, [counting.flops(call, *inputs[n]) for n in lengths]) < 1.01


def test_no_matrix_of_sums_is_kept_for_every_token():
    # One (features, value_dim) matrix a token would be 1024 × 32 × 16 numbers.
    w = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    inputs = [torch.randn(1, 1, 1024, 16) for _ in range(3)]
    tally = counting.count(lambda *x: performer_attention(*x, projection=w, causal=True), *inputs)
    assert tally.largest <= 1024 * 64
    assert (
        counting.peak_bytes(lambda *x: performer_attention(*x, projection=w, causal=True), *inputs)
        < 4 * 1024 * 32 * 16
    )


def test_the_products_are_as_many_as_the_formula_says():
    n, d, e, m = 256, 16, 8, 32
    w = torch.randn(m, d)
    q, k, v = torch.randn(1, 1, n, d), torch.randn(1, 1, n, d), torch.randn(1, 1, n, e)
    with counting.FlopCounterMode(display=False) as counter:
        performer_attention(q, k, v, projection=w)
    assert counter.get_total_flops() == costs.performer_flops(n, d, e, features=m)


# Bad calls

BAD = {
    "kernel": ({"kernel": "gauss"}, ValueError, "^kernel must be 'softmax' or .*got 'gauss'"),
    "features": ({"features": 0}, ValueError, "^features must be at least 1, got 0"),
    "features a float": ({"features": 8.0}, TypeError, "^features must be an int, got float"),
    "orthogonal": ({"orthogonal": 1}, TypeError, "^orthogonal must be a bool, got int"),
    "generator": ({"generator": 3}, TypeError, "^generator must be .*got int"),
    "projection a list": ({"projection": [[1.0]]}, TypeError, "^projection must .*got list"),
    "projection narrow": (
        {"projection": torch.ones(3, 4)},
        ValueError,
        r"^projection must have shape \(features, 5\) .*got \(3, 4\)",
    ),
    "projection empty": (
        {"projection": torch.ones(0, 5)},
        ValueError,
        r"^projection must have .*got \(0, 5\)",
    ),
    "projection elsewhere": (
        {"projection": torch.ones(3, 5, device="meta")},
        ValueError,
        "^projection must be on .*got meta",
    ),
}


@pytest.mark.parametrize(("options", "error", "match"), BAD.values(), ids=BAD)
def test_bad_options_say_what_was_wrong(normal, options, error, match):
    q, k, v = _inputs(normal, 4)
    with pytest.raises(error, match=match):
        performer_attention(q, k, v, **options)
    with pytest.raises(error, match=match):
        performer_weights(q, k, **options)


def test_bad_states_and_tokens_say_what_was_wrong(normal):
    w = normal(6, 5)
    state = performer_init_state(2, 3, 5, 3, projection=w)
    q, k, v = _inputs(normal, 1)
    with pytest.raises(TypeError, match=r"^state must be a PerformerState, got dict"):
        performer_step({}, q, k, v)
    with pytest.raises(ValueError, match=r"^q must have shape \(2, 3, 1, 5\) to fit state"):
        performer_step(state, normal(2, 3, 2, 5), k, v)
    with pytest.raises(ValueError, match=r"^v must have shape \(2, 3, 1, 3\) to fit state"):
        performer_step(state, q, k, normal(2, 3, 1, 4))
    with pytest.raises(ValueError, match=r"^heads must be at least 1, got 0"):
        performer_init_state(2, 0, 5, 3)
    with pytest.raises(ValueError, match=r"^projection must have shape"):
        performer_init_state(2, 3, 4, 3, projection=w)
    with pytest.raises(ValueError, match=r"^head_dim must be at least 1, got 0"):
        draw_projection(3, 0)
