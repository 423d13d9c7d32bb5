"""What every mechanism owes, whatever it computes.

The tests run over `attn_lib.catalog.MECHANISMS`. In this file a new mechanism adds its rows to
`CASES` and to `OWN_OPTIONS`; one without a row fails `test_every_mechanism_has_a_case`.
"""

import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import attn_lib
from attn_lib import masks
from attn_lib.catalog import MECHANISMS


class Sizes(NamedTuple):
    batch: int = 2
    heads: int = 3
    q_len: int = 11
    kv_len: int = 11
    head_dim: int = 5
    value_dim: int = 7
    dtype: torch.dtype = torch.float64


def _plain(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    return q, k, v


@dataclass(frozen=True)
class Case:
    """One way to call a mechanism.

    `options(sizes)` gives its own keyword arguments, `arrange(q, k, v)` its positional ones. The
    flags say what the paper's definition does not allow to be asked: `cross`, q_len other than
    kv_len; `causal`; `future_keys`, that keys (not only values) of later positions cannot matter;
    `padding`, that masked keys at the end equal a shorter input; `average`, that the rows of the
    weights sum to one.
    """

    mechanism: str
    label: str
    options: Callable[[Sizes], dict[str, Any]] = lambda sizes: {}
    arrange: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]] = _plain
    cross: bool = True
    causal: bool = True
    future_keys: bool = True
    padding: bool = True
    average: bool = True

    def __str__(self) -> str:
        return f"{self.mechanism}-{self.label}"

    def attention(self, q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
        function = getattr(attn_lib, f"{self.mechanism}_attention")
        return function(*self.arrange(q, k, v), **self.options(_sizes(q, k, v)), **given)

    def weights(self, q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
        function = getattr(attn_lib, f"{self.mechanism}_weights")
        return function(*self.weighed(q, k, v), **self.options(_sizes(q, k, v)), **given)

    def weighed(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        """Return the positional arguments of the weights."""
        arranged = self.arrange(q, k, v)
        return arranged if self.mechanism in WEIGHTS_SEE_VALUES else arranged[:-1]


def _sizes(q: Tensor, k: Tensor, v: Tensor) -> Sizes:
    return Sizes(*q.shape[:3], k.shape[2], q.shape[3], v.shape[3], q.dtype)


def _sparse(label: str, **options: Any) -> Case:
    return Case("sparse_transformer", label, lambda sizes: options)


def _longformer(
    label: str,
    *,
    hubs: Sequence[int] = (),
    steps: Sequence[int] = (),
    second: Sequence[str] = (),
    **options: Any,
) -> Case:
    def given(s: Sizes) -> dict[str, Any]:
        made: dict[str, Any] = {name: _second(name, s) for name in second}
        if hubs:
            made["global_tokens"] = [p for p in hubs if p < min(s.q_len, s.kv_len)]
        if steps:
            made["dilation"] = steps[: s.heads]
        return {**options, **made}

    return Case("longformer", label, given)


def _explicit(label: str, **options: Any) -> Case:
    return Case("explicit_sparse", label, lambda sizes: options)


def _second(name: str, s: Sizes) -> Tensor:
    """Return a second projection that a shorter call has the start of, exact in any dtype."""
    generator = torch.Generator().manual_seed(len(name) + ord(name[0]))
    whole = torch.randn(s.batch, s.heads, 5, 1000, generator=generator, dtype=torch.float64)
    eighths = (8 * whole).round().mT[..., : s.head_dim] / 8
    return eighths[:, :, : s.q_len if name[0] == "q" else s.kv_len].to(s.dtype)


def _projection(rank: int, kv_len: int, *, heads: int | None = None, phase: float = 0.0) -> Tensor:
    """Mixing shares of either sign; a column depends on its position alone, not on the length."""
    slots, positions = torch.arange(1, rank + 1)[:, None], torch.arange(1, kv_len + 1)
    angle = 1.3 * slots * positions + phase
    if heads is not None:
        angle = angle + torch.arange(heads)[:, None, None]
    return torch.sin(angle.double()) / 2


def _linformer(label: str, rank: int, *, per_head: bool = False, tied: bool = False) -> Case:
    def options(s: Sizes) -> dict[str, Any]:
        heads = s.heads if per_head else None
        e = _projection(rank, s.kv_len, heads=heads)
        f = e if tied else _projection(rank, s.kv_len, phase=0.7)
        return {"key_projection": e, "value_projection": f}

    return Case("linformer", label, options, causal=False, average=False)


def _performer(label: str, features: int, *, average: bool = True, **options: Any) -> Case:
    def given(s: Sizes) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(features)
        drawn = torch.randn(features, s.head_dim, generator=generator, dtype=torch.float64)
        return {"projection": drawn, **options}

    return Case("performer", label, given, average=average)


def _linear(label: str, *, average: bool = True, **options: Any) -> Case:
    return Case("linear_transformer", label, lambda sizes: options, average=average)


def _both_signs(x: Tensor) -> Tensor:
    """A feature map to twice as many features, half of them zero."""
    return torch.cat([x.relu(), (-x).relu()], dim=-1)


def _cosformer(label: str, *, average: bool = False, tied: bool = False, **options: Any) -> Case:
    """`tied`: the paper's M is the length, so that another length gives other weights."""
    return Case("cosformer", label, lambda sizes: options, padding=not tied, average=average)


def _efficient(label: str, *, average: bool = True, **options: Any) -> Case:
    return Case("efficient", label, lambda sizes: options, causal=False, average=average)


def _with_p(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Give Luna an extra sequence of three, and queries and keys as wide as the values."""
    width = v.shape[-1]
    steps = torch.arange(3 * width, device=v.device)
    p = ((5 * steps % 17 - 8) / 8).view(3, width)  # numbers that every dtype can hold
    q, k = (x.repeat(1, 1, 1, width)[..., :width] for x in (q, k))
    return q, p.to(v.dtype).expand(*v.shape[:2], -1, -1), k, v


def _luna(label: str, **flags: bool) -> Case:
    options = {"activation": label} if label in ("elu", "softplus") else {}
    return Case("luna", label, lambda sizes: options, _with_p, **flags)


def _shared(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Let the first head's shared vectors be its queries, and those of the others their keys."""
    return torch.cat([q[:, :1], k[:, 1:]], dim=1), v


def _reformer(label: str, **own: Any) -> Case:
    def options(sizes: Sizes) -> dict[str, Any]:
        return {**own, "generator": torch.Generator().manual_seed(9)}

    one_chunk = own["bucket_size"] >= 2000
    return Case(
        "reformer", label, options, _shared, cross=False, future_keys=one_chunk, padding=one_chunk
    )


CASES = (
    Case("softmax", "plain"),
    Case("softmax", "scale", lambda s: {"scale": 0.3}),
    Case("softmax", "mask-function", lambda s: {"mask": masks.sliding_window(2)}),
    Case(
        "softmax",
        "mask-tensor",
        lambda s: {"mask": (torch.arange(s.q_len)[:, None] + torch.arange(s.kv_len)) % 3 != 1},
    ),
    _sparse("strided", pattern="strided", stride=3),
    _sparse("strided-1", pattern="strided", stride=1),
    _sparse("strided-4-split", pattern="strided", stride=4, heads="split"),
    _sparse("strided-long", pattern="strided", stride=2000),
    _sparse("strided-long-split", pattern="strided", stride=2000, heads="split"),
    _sparse("fixed", pattern="fixed", stride=4),
    _sparse("fixed-summary", pattern="fixed", stride=5, summary=2),
    _sparse("fixed-split", pattern="fixed", stride=3, summary=2, heads="split"),
    _sparse("fixed-all", pattern="fixed", stride=3, summary=3, heads="split"),
    _sparse("fixed-long", pattern="fixed", stride=2000, summary=7),
    _sparse("fixed-long-split", pattern="fixed", stride=2000, heads="split"),
    _explicit("topk-3", topk=3),
    _explicit("topk-1", topk=1),
    _explicit("topk-8-scale", topk=8, scale=0.3),
    _explicit("topk-long", topk=10**9),
    _longformer("window", window=2),
    _longformer("window-0", window=0),
    _longformer("window-long", window=10**9),
    _longformer("dilated", window=3, dilation=4),
    _longformer("dilated-long", window=3, dilation=10**9),
    _longformer("global", window=2, hubs=(7, 0, 7, 4)),
    _longformer("dilated-by-head", window=2, hubs=(3,), steps=(2, 1, 2)),
    _longformer("second", window=2, hubs=(6, 3), second=("q_global", "k_global")),
    _reformer("one-round", bucket_size=4),
    _reformer("four-rounds", bucket_size=3, num_hashes=4, scale=0.5),
    _reformer("pairs", bucket_size=1, num_hashes=2),
    _reformer("one-chunk", bucket_size=2000, num_hashes=2),
    _linformer("rank-3", 3),
    _linformer("per-head", 4, per_head=True),
    _linformer("tied", 13, tied=True),
    _performer("positive", 8),
    _performer("one-feature", 1),
    _performer("relu", 7, kernel="relu"),
    _performer("trigonometric", 300, kernel="softmax_trig", average=False),
    _luna("elu", average=False),
    _luna("softplus", average=False),
    _luna("nested-averages", causal=False),
    _efficient("softmax"),
    _efficient("scaling", normalization="scaling", average=False),
    _linear("elu", average=False),
    _linear("elu-alone", eps=0.0),
    _linear("relu", feature_map=torch.relu, eps=0.0),
    _linear("both-signs", feature_map=_both_signs, eps=0.3, average=False),
    _cosformer("m-2000", max_len=2000),
    _cosformer("m-2000-alone", max_len=2000, eps=0.0, average=True),
    _cosformer("own-length", tied=True),
    _cosformer("own-length-alone", tied=True, eps=0.0, average=True),
)

# The options of each mechanism's own, in the order of its signature.
OWN_OPTIONS = {
    "softmax": ("mask", "scale"),
    "sparse_transformer": ("pattern", "stride", "summary", "heads"),
    "explicit_sparse": ("topk", "scale"),
    "longformer": (
        "window",
        "dilation",
        "global_tokens",
        "q_global",
        "k_global",
        "v_global",
    ),
    "reformer": ("bucket_size", "num_hashes", "scale"),
    "linformer": ("key_projection", "value_projection", "scale"),
    "performer": ("features", "kernel", "orthogonal", "projection"),
    "luna": ("activation",),
    "efficient": ("normalization",),
    "linear_transformer": ("feature_map", "eps"),
    "cosformer": ("max_len", "eps"),
}
POSITIONAL = {"reformer": ("qk", "v"), "luna": ("q", "p", "k", "v")}
# Luna's queries compare themselves with packed slots, which are made of values.
WEIGHTS_SEE_VALUES: frozenset[str] = frozenset({"luna"})
DRAWS: frozenset[str] = frozenset({"reformer", "performer"})

every_case = pytest.mark.parametrize("case", CASES, ids=str)
causal_cases = pytest.mark.parametrize("case", [c for c in CASES if c.causal], ids=str)
cross_cases = pytest.mark.parametrize("case", [c for c in CASES if c.cross], ids=str)
each_mechanism = pytest.mark.parametrize("name", [m.name for m in MECHANISMS])


def _both(case: Case) -> tuple[bool, ...]:
    return (False, True) if case.causal else (False,)


every_form = pytest.mark.parametrize(
    ("case", "causal"),
    [
        pytest.param(case, causal, id=f"{case}-{'causal' if causal else 'both-ways'}")
        for case in CASES
        for causal in _both(case)
    ],
)


def _draw(seed: int = 7, dtype: torch.dtype = torch.float64, **sizes: int) -> list[Tensor]:
    s = Sizes(**{"q_len": sizes["kv_len"], **sizes} if "kv_len" in sizes else sizes)
    generator = torch.Generator().manual_seed(seed)
    shapes = (
        (s.batch, s.heads, s.q_len, s.head_dim),
        (s.batch, s.heads, s.kv_len, s.head_dim),
        (s.batch, s.heads, s.kv_len, s.value_dim),
    )
    return [torch.randn(x, generator=generator, dtype=torch.float64).to(dtype) for x in shapes]


def _key_mask(batch: int, kv_len: int) -> Tensor:
    """Return a mask with gaps: a real first key in item 0, a masked first key in the others."""
    positions = torch.arange(kv_len)
    return torch.stack([(positions + 2 * item) % 3 != 2 for item in range(batch)])


def _same(actual: Tensor, expected: Tensor) -> None:
    assert_close(actual, expected, rtol=0, atol=0)


# Signature


def test_every_mechanism_has_a_case():
    names = [mechanism.name for mechanism in MECHANISMS]
    rows = {"CASES": {case.mechanism for case in CASES}, "OWN_OPTIONS": set(OWN_OPTIONS)}
    for table, named in rows.items():
        assert named >= set(names), f"in {table} a mechanism of the catalogue is missing"
        assert named <= set(names), f"a mechanism of {table} has no row in the catalogue yet"
    assert len(names) == len(set(names))


@each_mechanism
def test_the_signature_is_the_one_call(name):
    function = getattr(attn_lib, f"{name}_attention")
    parameters = inspect.signature(function).parameters
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    keyword = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert tuple(positional) == POSITIONAL.get(name, ("q", "k", "v"))
    assert len(positional) + len(keyword) == len(parameters)
    assert keyword[:2] == ["causal", "key_mask"]
    assert parameters["causal"].default is False
    assert parameters["key_mask"].default is None
    own = keyword[2:]
    assert ("generator" in own) == (name in DRAWS)
    if name in DRAWS:
        assert own.pop() == "generator"
        assert parameters["generator"].default is None
    assert sorted(own) == sorted(OWN_OPTIONS[name])
    assert inspect.signature(function).return_annotation in (Tensor, "Tensor")


@each_mechanism
def test_the_weights_take_the_same_options(name):
    attention = inspect.signature(getattr(attn_lib, f"{name}_attention")).parameters
    weights = inspect.signature(getattr(attn_lib, f"{name}_weights")).parameters
    unseen = () if name in WEIGHTS_SEE_VALUES else ("v",)
    assert [p.name for p in attention.values() if p.name not in unseen] == list(weights)
    for parameter in weights.values():
        assert parameter.kind is attention[parameter.name].kind
        assert parameter.default == attention[parameter.name].default


# Shape, dtype, device


@every_form
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_the_output_has_the_queries_shape_and_dtype(case, causal, dtype):
    q, k, v = _draw(dtype=dtype)
    out = case.attention(q, k, v, causal=causal, key_mask=_key_mask(2, 11))
    assert out.shape == (2, 3, 11, 7)
    assert out.dtype == dtype
    assert out.isfinite().all()
    weights = case.weights(q, k, v, causal=causal, key_mask=_key_mask(2, 11))
    assert weights.shape == (2, 3, 11, 11)
    assert weights.dtype == dtype


@every_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_half_precision_is_the_float32_result_rounded(case, causal, dtype, masked):
    q, k, v = _draw(dtype=dtype, kv_len=65, value_dim=5)
    key_mask = _key_mask(2, 65) if masked else None
    exact = case.attention(q.float(), k.float(), v.float(), causal=causal, key_mask=key_mask)
    half = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    one_unit = torch.finfo(dtype).eps
    assert_close(half.float(), exact.to(dtype).float(), rtol=one_unit, atol=1e-6)


@every_form
def test_float64_is_not_computed_in_float32(case, causal):
    q, k, v = _draw()
    fine = case.attention(q, k, v, causal=causal)
    coarse = case.attention(q.float(), k.float(), v.float(), causal=causal)
    assert_close(fine.float(), coarse, rtol=1e-5, atol=1e-5)
    again = case.weights(q, k, v, causal=causal) @ v
    assert_close(fine, again, rtol=1e-12, atol=1e-12)


def _again(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with a copy of the generator, if there is one, in the state it is in."""
    copies = {k: x.clone_state() for k, x in options.items() if isinstance(x, torch.Generator)}
    return {**options, **copies}


@every_form
def test_default_dtype_and_device_are_not_assumed(case, causal):
    q, k, v = _draw(dtype=torch.float32)
    key_mask = _key_mask(2, 11)
    expected = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    options = case.options(_sizes(q, k, v))
    fixed = Case(case.mechanism, case.label, lambda sizes: _again(options), case.arrange)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        actual = fixed.attention(q, k, v, causal=causal, key_mask=key_mask)
    finally:
        torch.set_default_dtype(before)
    _same(actual, expected)
    with torch.device("meta"):
        actual = fixed.attention(q, k, v, causal=causal, key_mask=key_mask)
        dense = fixed.weights(q, k, v, causal=causal, key_mask=key_mask)
    _same(actual, expected)
    assert dense.device.type == "cpu"


# Purity


@every_form
def test_inputs_are_left_alone(case, causal):
    given = [*_draw(), _key_mask(2, 11)]
    before = [x.clone() for x in given]
    versions = [x._version for x in given]
    q, k, v, key_mask = given
    out = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    case.weights(q, k, v, causal=causal, key_mask=key_mask)
    out.fill_(3.0)
    for now, then in zip(given, before, strict=True):
        assert torch.equal(now, then)
    assert [x._version for x in given] == versions


@every_form
def test_views_give_what_their_copies_give(case, causal):
    q, k, v = (x[:1, :, :1].expand(2, -1, 11, -1) for x in _draw())
    key_mask = _key_mask(2, 11)[:1].expand(2, -1)
    copies = (x.contiguous() for x in (q, k, v))
    expected = case.attention(*copies, causal=causal, key_mask=key_mask.contiguous())
    actual = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)

    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in _draw())
    key_mask = _key_mask(2, 22)[:, ::2]
    copies = (x.contiguous() for x in (q, k, v))
    expected = case.attention(*copies, causal=causal, key_mask=key_mask.contiguous())
    actual = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@every_form
def test_gradients_do_not_change_the_result(case, causal):
    q, k, v = _draw()
    expected = case.attention(q, k, v, causal=causal)
    assert not expected.requires_grad
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    out = case.attention(*leaves, causal=causal)
    assert_close(out.detach(), expected, rtol=1e-12, atol=1e-12)
    out.square().sum().backward()
    for leaf in leaves:
        assert leaf.grad.shape == leaf.shape
        assert leaf.grad.isfinite().all()
    with torch.no_grad():
        assert not case.attention(*leaves, causal=causal).requires_grad
    with torch.inference_mode():
        _same(case.attention(q, k, v, causal=causal), expected)


@every_form
def test_nothing_is_seeded_drawn_or_printed(case, causal, capfd):
    q, k, v = _draw()
    torch_state, numpy_state, python_state = (
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),  # noqa: NPY002 (the legacy state is what must stay)
        random.getstate(),
    )
    first = case.attention(q, k, v, causal=causal)
    _same(case.attention(q, k, v, causal=causal), first)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert random.getstate() == python_state
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@every_form
def test_items_and_heads_do_not_mix(case, causal):
    q, k, v = _draw()
    expected = case.attention(q, k, v, causal=causal)
    other = [x.clone() for x in (q, k, v)]
    for x in other:
        x[1] = -x[1].flip(0)
    _same(case.attention(*other, causal=causal)[0], expected[0])
    other = [x.clone() for x in (q, k, v)]
    for x in other:
        x[:, 1] = 2.0
    _same(case.attention(*other, causal=causal)[:, [0, 2]], expected[:, [0, 2]])


# Masks


@every_form
@pytest.mark.parametrize("fill", [-3.0, 1e30, torch.finfo(torch.float32).max], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("kv_len", "value_dim"), [(11, 7), (130, 5)])
def test_masked_keys_cannot_matter(case, causal, fill, dtype, kv_len, value_dim):
    q, k, v = _draw(dtype=dtype, kv_len=kv_len, value_dim=value_dim)
    key_mask = _key_mask(2, kv_len)
    expected = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    hidden = ~key_mask[:, None, :, None]
    other_k, other_v = k.masked_fill(hidden, fill), v.masked_fill(hidden, fill)
    actual = case.attention(q, other_k, other_v, causal=causal, key_mask=key_mask)
    _same(actual, expected)
    weights = case.weights(q, k, v, causal=causal, key_mask=key_mask)
    _same(case.weights(q, other_k, v, causal=causal, key_mask=key_mask), weights)
    if case.average:
        assert not weights.masked_select(~key_mask[:, None, None, :]).any()


@every_form
def test_masked_keys_neither_get_nor_spoil_gradients(case, causal):
    key_mask = _key_mask(2, 11)
    hidden = ~key_mask[:, None, :, None]
    grads = []
    for fill in (1.0, torch.finfo(torch.float32).max):
        q, k, v = _draw(dtype=torch.float32)
        leaves = [q, k.masked_fill(hidden, fill), v.masked_fill(hidden, fill)]
        leaves = [x.requires_grad_() for x in leaves]
        case.attention(*leaves, causal=causal, key_mask=key_mask).square().sum().backward()
        grads.append([x.grad for x in leaves])
    for one, other in zip(*grads, strict=True):
        _same(one, other)
    for grad in grads[0][1:]:
        assert not grad.masked_select(hidden).any()


@causal_cases
@pytest.mark.parametrize("fill", [-3.0, 1e30], ids=str)
@pytest.mark.parametrize(
    ("length", "value_dim", "cuts"),
    [(11, 7, (0, 1, 5, 9)), (130, 5, (0, 31, 63, 64, 97, 128))],
    ids=["11", "130"],
)
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_future_cannot_matter(case, fill, length, value_dim, cuts, masked, dtype):
    key_mask = _key_mask(2, length) if masked else None
    q, k, v = _draw(dtype=dtype, kv_len=length, value_dim=value_dim)
    expected = case.attention(q, k, v, causal=True, key_mask=key_mask)
    for cut in cuts:
        later_k, later_v = k.clone(), v.clone()
        later_v[:, :, cut + 1 :] = fill
        if case.future_keys:
            later_k[:, :, cut + 1 :] = fill
        actual = case.attention(q, later_k, later_v, causal=True, key_mask=key_mask)
        _same(actual[:, :, : cut + 1], expected[:, :, : cut + 1])


@causal_cases
def test_a_causal_start_is_the_shorter_input(case):
    if not (case.future_keys and case.padding):
        pytest.skip("the paper's definition depends on the length")
    q, k, v = _draw(kv_len=23)
    whole = case.attention(q, k, v, causal=True)
    for length in (1, 2, 7, 16):
        start = case.attention(*(x[:, :, :length] for x in (q, k, v)), causal=True)
        assert_close(start, whole[:, :, :length], rtol=1e-12, atol=1e-12)


@every_form
def test_a_query_without_keys_gets_zeros(case, causal):
    q, k, v = (x.requires_grad_() for x in _draw())
    key_mask = torch.ones(2, 11, dtype=torch.bool)
    key_mask[1] = False
    out = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    assert not out[1].any()
    assert out[0].any()
    assert not case.weights(q, k, v, causal=causal, key_mask=key_mask)[1].any()
    out.square().sum().backward()
    for leaf in (q, k, v):
        assert leaf.grad.isfinite().all()
        assert not leaf.grad[1].any()


@causal_cases
def test_masked_first_keys_leave_the_first_causal_queries_without_any(case):
    q, k, v = _draw()
    key_mask = torch.ones(2, 11, dtype=torch.bool)
    key_mask[:, :3] = False
    out = case.attention(q, k, v, causal=True, key_mask=key_mask)
    assert not out[:, :, :3].any()
    assert out.isfinite().all()


@every_form
def test_a_mask_that_hides_nothing_changes_nothing(case, causal):
    q, k, v = _draw()
    everything = torch.ones(2, 11, dtype=torch.bool)
    expected = case.attention(q, k, v, causal=causal)
    actual = case.attention(q, k, v, causal=causal, key_mask=everything)
    assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@every_form
def test_padding_is_as_good_as_absence(case, causal):
    if not case.padding:
        pytest.skip("the paper's definition depends on the length")
    q, k, v = _draw(kv_len=13)
    key_mask = (torch.arange(13) < 9).expand(2, 13)
    padded = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    short = case.attention(*(x[:, :, :9] for x in (q, k, v)), causal=causal)
    assert_close(padded[:, :, :9], short, rtol=1e-12, atol=1e-12)


# The matrix


@every_form
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
@pytest.mark.parametrize("kv_len", [1, 2, 11, 63, 64, 65, 97])
def test_weights_times_values_is_the_attention(case, causal, masked, kv_len):
    q, k, v = _draw(kv_len=kv_len)
    key_mask = _key_mask(2, kv_len) if masked else None
    weights = case.weights(q, k, v, causal=causal, key_mask=key_mask)
    actual = case.attention(q, k, v, causal=causal, key_mask=key_mask)
    assert_close(actual, weights @ v, rtol=1e-12, atol=1e-12)
    if case.average:
        sums = weights.sum(-1)
        assert (weights >= 0).all()
        assert_close(sums, sums.round(), rtol=0, atol=1e-12)
    if causal:
        assert not weights.triu(1).any()


@every_form
@pytest.mark.parametrize("value_dim", [5, 7])
def test_a_thousand_tokens(case, causal, value_dim):
    q, k, v = _draw(batch=1, heads=2, kv_len=1000, value_dim=value_dim)
    weights = case.weights(q, k, v, causal=causal)
    assert_close(case.attention(q, k, v, causal=causal), weights @ v, rtol=1e-12, atol=1e-12)


@cross_cases
@pytest.mark.parametrize(("q_len", "kv_len"), [(1, 5), (5, 1), (3, 8), (67, 13), (13, 67)])
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_queries_and_keys_may_differ_in_number(case, q_len, kv_len, masked):
    q, k, v = _draw(q_len=q_len, kv_len=kv_len)
    key_mask = _key_mask(2, kv_len) if masked else None
    weights = case.weights(q, k, v, key_mask=key_mask)
    assert weights.shape == (2, 3, q_len, kv_len)
    actual = case.attention(q, k, v, key_mask=key_mask)
    assert_close(actual, weights @ v, rtol=1e-12, atol=1e-12)


@every_form
@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("heads", [1, 2])
def test_one_of_anything_is_enough(case, causal, length, heads):
    q, k, v = _draw(batch=1, heads=heads, kv_len=length, head_dim=1, value_dim=1)
    weights = case.weights(q, k, v, causal=causal)
    assert_close(case.attention(q, k, v, causal=causal), weights @ v, rtol=1e-12, atol=1e-12)


@every_form
def test_no_queries_give_nothing_and_no_keys_give_zeros(case, causal):
    q, k, v = _draw(kv_len=0)
    assert case.attention(q, k, v, causal=causal).shape == (2, 3, 0, 7)
    if causal or not case.cross:
        return
    assert case.attention(*_draw(q_len=0, kv_len=5)).shape == (2, 3, 0, 7)
    out = case.attention(*_draw(q_len=5, kv_len=0))
    assert out.shape == (2, 3, 5, 7)
    assert not out.any()


@every_form
def test_an_empty_batch_gives_an_empty_batch(case, causal):
    q, k, v = _draw(batch=0)
    out = case.attention(q, k, v, causal=causal, key_mask=torch.ones(0, 11, dtype=torch.bool))
    assert out.shape == (0, 3, 11, 7)
    assert case.attention(q, k, v, causal=causal).shape == (0, 3, 11, 7)


# Gradients


@every_form
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_gradcheck(case, causal, masked):
    q, k, v = (x.requires_grad_() for x in _draw(heads=2, kv_len=6, head_dim=3, value_dim=2))
    key_mask = _key_mask(2, 6) if masked else None

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return case.attention(q, k, v, causal=causal, key_mask=key_mask)

    assert torch.autograd.gradcheck(call, (q, k, v), fast_mode=True)


@every_form
@pytest.mark.parametrize(("kv_len", "value_dim"), [(65, 7), (130, 5)])
def test_gradients_are_those_of_the_matrix(case, causal, kv_len, value_dim):
    key_mask = _key_mask(2, kv_len)
    fast = [x.requires_grad_() for x in _draw(kv_len=kv_len, value_dim=value_dim)]
    slow = [x.detach().clone().requires_grad_() for x in fast]
    case.attention(*fast, causal=causal, key_mask=key_mask).square().sum().backward()
    weights = case.weights(*slow, causal=causal, key_mask=key_mask)
    (weights @ slow[2]).square().sum().backward()
    for one, other in zip(fast, slow, strict=True):
        assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-10)


@every_form
def test_each_input_may_ask_for_its_gradient_alone(case, causal):
    inputs = _draw()
    together = [x.clone().requires_grad_() for x in inputs]
    case.attention(*together, causal=causal).sin().sum().backward()
    for place in range(3):
        alone = [x.clone().requires_grad_(i == place) for i, x in enumerate(inputs)]
        case.attention(*alone, causal=causal).sin().sum().backward()
        assert_close(alone[place].grad, together[place].grad, rtol=1e-12, atol=1e-12)
        assert [x.grad is None for x in alone] == [i != place for i in range(3)]


@every_form
def test_a_second_backward_pass_gives_the_same_gradients(case, causal):
    leaves = [x.requires_grad_() for x in _draw()]
    loss = case.attention(*leaves, causal=causal, key_mask=_key_mask(2, 11)).sin().sum()
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(loss, leaves), strict=True):
        _same(one, other)


# Bad calls


class Bad(NamedTuple):
    argument: str
    value: Callable[[Tensor], object]
    error: type[Exception]
    match: str


def _mask_of(*shape: int, **options: Any) -> Callable[[Tensor], object]:
    return lambda _: torch.ones(*shape, **{"dtype": torch.bool, **options})


BAD = {
    "q is a list": Bad("q", lambda x: x.tolist(), TypeError, "^q must .*got list"),
    "k is an array": Bad("k", lambda x: x.numpy(), TypeError, "^k must .*got ndarray"),
    "v is None": Bad("v", lambda x: None, TypeError, "^v must .*got NoneType"),
    "q of integers": Bad("q", lambda x: x.long(), TypeError, "^q must .*got torch.int64"),
    "k of integers": Bad("k", lambda x: x.int(), TypeError, "^k must .*got torch.int32"),
    "v of bools": Bad("v", lambda x: x > 0, TypeError, "^v must .*got torch.bool"),
    "q complex": Bad("q", lambda x: x + 0j, TypeError, "^q must .*got torch.complex"),
    "q of three axes": Bad("q", lambda x: x[0], ValueError, r"^q must .*got \(3, 11, \d\)"),
    "k of five axes": Bad("k", lambda x: x[None], ValueError, r"^k must .*got \(1, 2, 3, 11, \d\)"),
    "v of three axes": Bad("v", lambda x: x[0], ValueError, r"^v must .*got \(3, 11, 7\)"),
    "k of another batch": Bad("k", lambda x: x[:1], ValueError, r"^k must .*got \(1, 3, 11, \d\)"),
    "k of other heads": Bad("k", lambda x: x[:, :1], ValueError, r"^k must .*got \(2, 1, 11, \d\)"),
    "k of another width": Bad(
        "k", lambda x: x[..., :4], ValueError, r"^k must .*got \(2, 3, 11, 4\)"
    ),
    "v of another batch": Bad("v", lambda x: x[:1], ValueError, r"^v must .*got \(1, 3, 11, 7\)"),
    "v of other heads": Bad("v", lambda x: x[:, :2], ValueError, r"^v must .*got \(2, 2, 11, 7\)"),
    "v of another length": Bad(
        "v", lambda x: x[:, :, :10], ValueError, r"^v must .*got \(2, 3, 10, 7\)"
    ),
    "k of another dtype": Bad("k", lambda x: x.float(), ValueError, "^k must .*got torch.float32"),
    "v of another dtype": Bad("v", lambda x: x.half(), ValueError, "^v must .*got torch.float16"),
    "k elsewhere": Bad("k", lambda x: x.to("meta"), ValueError, "^k must .*got meta"),
    "v elsewhere": Bad("v", lambda x: x.to("meta"), ValueError, "^v must .*got meta"),
    "key_mask a list": Bad("key_mask", lambda _: [[True]], TypeError, "^key_mask must .*got list"),
    "key_mask of ints": Bad(
        "key_mask", _mask_of(2, 11, dtype=torch.int64), TypeError, "^key_mask must .*got .*int64"
    ),
    "key_mask of floats": Bad(
        "key_mask", _mask_of(2, 11, dtype=torch.float32), TypeError, "^key_mask must .*got .*float"
    ),
    "key_mask turned": Bad(
        "key_mask", _mask_of(11, 2), ValueError, r"^key_mask must .*got \(11, 2\)"
    ),
    "key_mask of one row": Bad(
        "key_mask", _mask_of(1, 11), ValueError, r"^key_mask must .*got \(1, 11\)"
    ),
    "key_mask of four axes": Bad(
        "key_mask", _mask_of(2, 1, 1, 11), ValueError, r"^key_mask must .*got \(2, 1, 1, 11\)"
    ),
    "key_mask elsewhere": Bad(
        "key_mask", _mask_of(2, 11, device="meta"), ValueError, "^key_mask must .*got meta"
    ),
    "causal a word": Bad("causal", lambda _: "yes", TypeError, "^causal must .*got"),
    "causal None": Bad("causal", lambda _: None, TypeError, "^causal must .*got"),
}

first_cases = pytest.mark.parametrize(
    "case",
    [next((c for c in CASES if c.mechanism == m.name), None) for m in MECHANISMS],
    ids=[m.name for m in MECHANISMS],
)


def _for(function: Callable[..., Tensor], bad: Bad) -> Bad:
    """Return the row in the function's own words, or skip what it has no argument for."""
    names = inspect.signature(function).parameters
    if bad.argument == "q" and "qk" in names:
        bad = bad._replace(argument="qk", match=bad.match.replace("^q ", "^qk "))
    if bad.argument not in names:
        pytest.skip(f"there is no {bad.argument}")
    return bad


def _bad_call(function: Callable[..., Tensor], case: Case, bad: Bad) -> None:
    q, k, v = _draw()
    bad = _for(function, bad)
    names = list(inspect.signature(function).parameters)
    given = dict(zip(names, case.arrange(q, k, v), strict=False))
    given = {key: x for key, x in given.items() if isinstance(x, Tensor) and key != "causal"}
    if bad.argument not in names:
        pytest.skip(f"there is no {bad.argument}")
    given[bad.argument] = bad.value(given.get(bad.argument))
    with pytest.raises(bad.error, match=bad.match):
        function(**given, **case.options(_sizes(q, k, v)))


@first_cases
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_calls_say_what_was_wrong(case, bad):
    _bad_call(getattr(attn_lib, f"{case.mechanism}_attention"), case, bad)


@first_cases
@pytest.mark.parametrize(
    "bad", [x for x in BAD.values() if x.argument != "v"], ids=[n for n in BAD if n[0] != "v"]
)
def test_bad_weights_calls_say_what_was_wrong(case, bad):
    function = getattr(attn_lib, f"{case.mechanism}_weights")
    bad = _for(function, bad)
    q, k, v = _draw()
    given: dict[str, object] = dict(
        zip(inspect.signature(function).parameters, case.weighed(q, k, v), strict=False)
    )
    given[bad.argument] = bad.value(given.get(bad.argument))  # type: ignore[arg-type]
    with pytest.raises(bad.error, match=bad.match):
        function(**given, **case.options(_sizes(q, k, v)))


@first_cases
@pytest.mark.parametrize(("q_len", "kv_len"), [(3, 5), (5, 3)])
def test_causal_needs_as_many_queries_as_keys(case, q_len, kv_len):
    if not (case.causal and case.cross):
        pytest.skip("there is no such call")
    q, k, v = _draw(q_len=q_len, kv_len=kv_len)
    with pytest.raises(ValueError, match=r"^[a-z_]+ must .*got"):
        case.attention(q, k, v, causal=True)
    with pytest.raises(ValueError, match=r"^[a-z_]+ must .*got"):
        case.weights(q, k, v, causal=True)


@first_cases
def test_a_mechanism_without_a_causal_form_names_its_paper(case):
    if case.causal:
        pytest.skip("it has one")
    with pytest.raises(NotImplementedError, match="et al"):
        case.attention(*_draw(), causal=True)
