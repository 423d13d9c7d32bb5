"""What every mechanism does under torch's transforms, held to the table of `attn_lib/README.md`."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, jacrev, vmap
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import attn_lib
from attn_lib.catalog import MECHANISMS
from attn_lib.numerics.operators import register

COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
README = Path(attn_lib.__file__).parent / "README.md"
SLOTS, HEADS, WIDTH = 6, 2, 8
LENGTHS = 48, 65, 100, 33  # of which the second one may be compiled anew, and no other


def _slots(length: int) -> Tensor:
    return torch.sin(torch.arange(SLOTS * length).view(SLOTS, length) * 1.3) / 2


def _extra(q: Tensor) -> Tensor:
    wave = torch.sin(torch.arange(HEADS * SLOTS * WIDTH, device=q.device) * 0.7)
    return wave.view(1, HEADS, SLOTS, WIDTH).expand(len(q), -1, -1, -1).to(q.dtype)


def _sparse(pattern: str, q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    return attn_lib.sparse_transformer_attention(q, k, v, pattern=pattern, stride=7, **given)


def _explicit(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    return attn_lib.explicit_sparse_attention(q, k, v, topk=5, **given)


def _longformer(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    return attn_lib.longformer_attention(q, k, v, window=6, global_tokens=[0, 3], **given)


def _dilated(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    return attn_lib.longformer_attention(q, k, v, window=6, dilation=[1, 3], **given)


def _reformer(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    return attn_lib.reformer_attention(q, v, bucket_size=12, num_hashes=2, **given)


def _linformer(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    e = _slots(k.shape[2]).to(q)
    return attn_lib.linformer_attention(q, k, v, key_projection=e, value_projection=e, **given)


def _performer(kernel: str, q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    w = torch.sin(torch.arange(20 * WIDTH, device=q.device) * 2.1).view(20, WIDTH).to(q.dtype)
    return attn_lib.performer_attention(q, k, v, projection=w, kernel=kernel, **given)


def _luna(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    return attn_lib.luna_attention(q, _extra(q), k, v, **given)


def _cosformer(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    return attn_lib.cosformer_attention(q, k, v, max_len=256, **given)


def _own_map(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
    relu = nn.functional.relu
    return attn_lib.linear_transformer_attention(q, k, v, feature_map=relu, eps=0.1, **given)


@dataclass(frozen=True)
class Way:
    """One way to call a mechanism."""

    mechanism: str
    attend: Callable[..., Tensor]
    causal: bool
    label: str = ""

    def __str__(self) -> str:
        parts = self.mechanism, self.label, "causal" if self.causal else "both-ways"
        return "-".join(part for part in parts if part)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.attend(q, k, v, **({"causal": True} if self.causal else {}))


def _ways() -> list[Way]:
    found = []
    for mechanism, attend, label in (
        ("softmax", attn_lib.softmax_attention, ""),
        ("sparse_transformer", partial(_sparse, "strided"), "strided"),
        ("sparse_transformer", partial(_sparse, "fixed"), "fixed"),
        ("explicit_sparse", _explicit, ""),
        ("longformer", _longformer, "hubs"),
        ("longformer", _dilated, "dilated"),
        ("reformer", _reformer, ""),
        ("linformer", _linformer, ""),
        ("performer", partial(_performer, "softmax"), ""),
        ("performer", partial(_performer, "relu"), "relu"),
        ("luna", _luna, ""),
        ("efficient", attn_lib.efficient_attention, ""),
        ("linear_transformer", attn_lib.linear_transformer_attention, ""),
        ("linear_transformer", _own_map, "own-map"),
        ("cosformer", _cosformer, ""),
    ):
        both = (False,) if mechanism in ("linformer", "efficient") else (False, True)
        found += [Way(mechanism, attend, causal, label) for causal in both]
    return found


WAYS = _ways()
every_way = pytest.mark.parametrize("way", WAYS, ids=str)


def _inputs(length: int = 48, batch: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(3, batch, HEADS, length, WIDTH, generator=generator))


def _drawn(call: Callable[..., Any], *given: Any) -> Any:
    """Call with torch's generator in one state, since Reformer draws from it."""
    torch.manual_seed(5)
    return call(*given)


def _loss(way: Way, *inputs: Tensor) -> Tensor:
    return way(*inputs).square().sum()


def _gradients(call: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[Tensor | None, ...]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(_drawn(call, *leaves), leaves, allow_unused=True)


def _assert_gradients(found: Any, expected: Any, **tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        if one is None:
            assert other is None
        else:
            assert_close(one, torch.zeros_like(one) if other is None else other, **tolerance)


# Each a column of the table


def func_grad(way: Way) -> None:
    inputs = _inputs()
    expected = _gradients(partial(_loss, way), inputs)
    found = _drawn(grad(partial(_loss, way), argnums=(0, 1, 2)), *inputs)
    _assert_gradients(found, expected, rtol=1e-5, atol=1e-6)


def over_batch(way: Way) -> None:
    """Compare with the call for all items: what is drawn is the same for all of them."""
    inputs = _inputs()

    def of_one(*one: Tensor) -> Tensor:
        return way(*(x[None] for x in one))[0]

    found = _drawn(vmap(of_one, randomness="same"), *inputs)
    assert_close(found, _drawn(way, *inputs), rtol=1e-4, atol=1e-5)
    each = grad(lambda *one: of_one(*one).square().sum(), argnums=(0, 1, 2))
    found = _drawn(vmap(each, randomness="same"), *inputs)
    _assert_gradients(found, _gradients(partial(_loss, way), inputs), rtol=1e-4, atol=1e-5)


def jacobian(way: Way) -> None:
    q, k, v = _inputs(length=5, batch=1)
    rows = _drawn(jacrev(lambda v: way(q, k, v).sum(dim=(0, 1, 2))), v)
    for column, row in enumerate(rows):
        leaf = v.clone().requires_grad_()
        total = _drawn(way, q, k, leaf).sum(dim=(0, 1, 2))[column]
        assert_close(row, torch.autograd.grad(total, leaf)[0], rtol=1e-4, atol=1e-5)


def without_numbers(way: Way) -> None:
    inputs = _inputs()
    expected = _drawn(way, *inputs).shape
    assert way(*(x.to("meta") for x in inputs)).shape == expected
    with FakeTensorMode() as mode:
        out = way(*map(mode.from_tensor, inputs))
    assert out.shape == expected


def exported(way: Way) -> None:
    class Model(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return way(q, k, v)

    length = torch.export.Dim("length", min=20, max=128)
    program = torch.export.export(
        Model(), tuple(_inputs()), dynamic_shapes=({2: length},) * 3
    ).module()
    for n in LENGTHS:
        inputs = _inputs(n)
        assert_close(_drawn(program, *inputs), _drawn(way, *inputs), rtol=1e-4, atol=1e-5)


def compiled(way: Way) -> None:
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    fast = torch.compile(partial(_loss, way), backend=counter, fullgraph=True)
    for n in LENGTHS:
        inputs = _inputs(n)
        expected = _gradients(partial(_loss, way), inputs)
        _assert_gradients(_gradients(fast, inputs), expected, rtol=1e-4, atol=1e-5)
    assert counter.frame_count <= 2


def mixed(way: Way) -> None:
    inputs = _inputs(130)
    expected = _gradients(partial(_loss, way), inputs)
    for dtype in (torch.bfloat16, torch.float16):

        def loss(*inputs: Tensor, dtype: torch.dtype = dtype) -> Tensor:
            with torch.autocast("cpu", dtype):
                return _loss(way, *inputs)

        for found, other in zip(_gradients(loss, inputs), expected, strict=True):
            assert (found is None) == (other is None)
            if found is not None:
                assert_close(found, other, rtol=1e-5, atol=1e-6)


def again(way: Way) -> None:
    inputs = _inputs()

    def loss(*inputs: Tensor) -> Tensor:
        return checkpoint(way, *inputs, use_reentrant=False).square().sum()

    expected = _gradients(partial(_loss, way), inputs)
    for found, other in zip(_gradients(loss, inputs), expected, strict=True):
        assert (found is None) == (other is None)
        if found is not None:
            assert_close(found, other, rtol=0.0, atol=0.0)


def second(way: Way) -> None:
    q, k, v = (x[:1, :, :5].double() for x in _inputs())
    inputs = [x.clone().requires_grad_() for x in (q, k, v)]
    assert torch.autograd.gradgradcheck(lambda *x: _drawn(way, *x), inputs, atol=1e-6)


COLUMNS = {
    "grad": func_grad,
    "vmap": over_batch,
    "jacrev": jacobian,
    "meta, fake": without_numbers,
    "export": exported,
    "compile": compiled,
    "autocast": mixed,
    "checkpoint": again,
    "second": second,
}


def _table() -> dict[str, dict[str, str]]:
    """Return the cells of the table: by mechanism, then by column."""
    section = README.read_text(encoding="utf-8").split("## What works with what")[1]
    rows = re.findall(r"^\| *(.*?) *\|$", section.split("\n## ")[0], re.MULTILINE)
    head, _, *body = (re.split(r" *\| *", row) for row in rows)
    names = [re.sub(r"`", "", name) for name in head[1:]]
    return {row[0].strip("`"): dict(zip(names, row[1:], strict=True)) for row in body}


TABLE = _table()


def test_the_table_has_every_mechanism_and_column() -> None:
    names = {mechanism.name for mechanism in MECHANISMS}
    rows = {"attn_lib/README.md": set(TABLE), "_ways": {way.mechanism for way in WAYS}}
    for table, named in rows.items():
        assert named >= names, f"in {table} a mechanism of the catalogue is missing"
        assert named <= names, f"a mechanism of {table} has no row in the catalogue yet"
    for row in TABLE.values():
        assert set(row) == set(COLUMNS)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch's own kernels
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch.compile does it
@pytest.mark.parametrize("column", COLUMNS)
@every_way
def test_the_table_holds(way: Way, column: str) -> None:
    cell = TABLE[way.mechanism][column]
    if cell == "yes" or (cell == "causal" and way.causal):
        COLUMNS[column](way)
    else:
        assert cell in ("error", "causal")
        name = f"{way.mechanism}_(attention|weights)"
        with pytest.raises(NotImplementedError, match=f"{name}.* use "):
            COLUMNS[column](way)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch.compile does it
@every_way
def test_what_needs_no_gradient_compiles(way: Way) -> None:
    torch.compiler.reset()
    inputs = _inputs()
    fast = torch.compile(way, backend="aot_eager", fullgraph=True)
    assert_close(_drawn(fast, *inputs), _drawn(way, *inputs), rtol=1e-4, atol=1e-5)


def test_what_has_no_numbers_is_laid_out_as_what_has_them() -> None:
    """A compiler's code relies on it, and layers hand over heads that lie among each other."""

    def turned(x: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * x.mT, 3 * x.mT  # PyTorch keeps the strides of its argument

    def shapes(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_empty(x.mT.shape), torch.empty_like(x.mT)

    register("laid_out_by_a_test", turned, shapes)
    operator, x = torch.ops.attn_lib.laid_out_by_a_test, torch.ones(2, 3)
    with FakeTensorMode() as mode:
        fake = operator(mode.from_tensor(x))
    assert [y.stride() for y in operator(x)] == [y.stride() for y in fake] == [(2, 1), (2, 1)]


@pytest.mark.soak
@pytest.mark.skipif(COMPILER is None, reason="torch.compile's code for a CPU is C++: no compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inductor's own
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch.compile does it
@every_way
def test_inductor_makes_code_that_agrees(way: Way) -> None:
    torch.compiler.reset()
    inputs = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in _inputs(LENGTHS[1])]
    fast = torch.compile(partial(_loss, way), backend="inductor", fullgraph=True)
    expected = _gradients(partial(_loss, way), inputs)
    largest = max(float(x.abs().max()) for x in expected if x is not None)  # sums of other orders
    _assert_gradients(_gradients(fast, inputs), expected, rtol=1e-4, atol=1e-5 * max(1, largest))


@pytest.mark.parametrize("way", [way for way in WAYS if way.mechanism == "reformer"], ids=str)
def test_what_is_drawn_under_vmap_follows_its_rule(way: Way) -> None:
    inputs = [x[:1].expand(2, *x.shape[1:]) for x in _inputs(96)]
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda *one: way(*(x[None] for x in one)))(*inputs)
    same, different = (
        _drawn(vmap(lambda *one: way(*(x[None] for x in one)), randomness=rule), *inputs)
        for rule in ("same", "different")
    )
    assert same[0].equal(same[1])
    assert not different[0].equal(different[1])
