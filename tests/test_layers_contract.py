"""What every mechanism's layer owes as a part of a model: it is kept, moved, shared and trained.

``--device cuda`` runs them there.
"""

import copy
import io
import os
import pickle
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import attn_lib
from attn_lib import layers
from attn_lib.catalog import MECHANISMS

WIDTH, HEADS, LENGTH = 12, 3, 20


class LunaInBlock(nn.Module):
    """Luna's layer with an extra sequence of its own, as a block's attention."""

    def __init__(self, *, causal: bool = False) -> None:
        super().__init__()
        self.luna = layers.LunaAttention(WIDTH, HEADS, causal=causal)
        self.extra = nn.Parameter(torch.randn(1, 4, WIDTH))

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        p = self.extra.expand(len(x), -1, -1)
        y: Tensor = self.luna(x, p, key_mask)[0]
        return y


def _multi(name: str, **options: Any) -> nn.Module:
    attend = partial(getattr(attn_lib, f"{name}_attention"), **options)
    return layers.MultiHeadAttention(WIDTH, HEADS, attend=attend)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "softmax": partial(_multi, "softmax"),
    "sparse_transformer": partial(_multi, "sparse_transformer", stride=4),
    "explicit_sparse": partial(_multi, "explicit_sparse", topk=4),
    "longformer": partial(_multi, "longformer", window=3, global_tokens=(0,)),
    "reformer": partial(layers.ReformerAttention, WIDTH, HEADS, bucket_size=20),  # draws nothing
    "linformer": partial(layers.LinformerAttention, WIDTH, HEADS, max_len=LENGTH, rank=5),
    "performer": partial(layers.PerformerAttention, WIDTH, HEADS, features=8),
    "luna": LunaInBlock,
    "efficient": partial(_multi, "efficient"),
    "linear_transformer": partial(_multi, "linear_transformer"),
    "cosformer": partial(_multi, "cosformer", max_len=64),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def test_every_mechanism_has_a_layer() -> None:
    assert set(LAYERS) == {one.name for one in MECHANISMS}, "LAYERS of this file has a layer each"


class Model(nn.Module):
    """One block around a layer, and a map to three answers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.first = nn.Linear(5, WIDTH)
        self.attention = LAYERS[name]()
        self.norm = nn.LayerNorm(WIDTH)
        self.last = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        x = self.first(x)
        out: Tensor = self.last(self.norm(x + self.attention(x, key_mask)))
        return out


def _model(name: str, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return Model(name)


def _batch(seed: int = 1, size: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens, which of them are real, and what is to be answered."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, LENGTH, 5, generator=generator)
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (size, 1), generator=generator)
    return x, torch.arange(LENGTH) < lengths, (3 * x[..., 0].sigmoid()).long().clamp(max=2)


def _loss(model: nn.Module, x: Tensor, real: Tensor, target: Tensor) -> Tensor:
    out = model(x, real)
    return nn.functional.cross_entropy(out[real].float(), target[real])


def _gradients(model: nn.Module, *batch: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    _loss(model, *batch).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _same(one: nn.Module, other: nn.Module, device: torch.device) -> None:
    x, real, _ = (part.to(device) for part in _batch())
    assert_close(one.eval()(x, real), other.eval()(x, real), rtol=0.0, atol=0.0)


# Kept


@every_layer
def test_a_state_is_loaded_into_another_model(name: str, device: torch.device) -> None:
    model, other = (_model(name, seed).to(device) for seed in (0, 1))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    _same(model, other, device)


@every_layer
def test_a_model_is_copied_and_pickled(name: str, device: torch.device) -> None:
    model = _model(name).to(device)
    _same(model, copy.deepcopy(model), device)
    _same(model, pickle.loads(pickle.dumps(model)), device)


@every_layer
def test_a_model_made_without_numbers_is_loaded(name: str, device: torch.device) -> None:
    model = _model(name).to(device)
    with torch.device("meta"):
        empty = Model(name)
    empty.load_state_dict(model.state_dict(), assign=True)
    _same(model, empty, device)


@every_layer
def test_a_model_is_moved_and_cast(name: str, device: torch.device) -> None:
    model = _model(name).to(device, torch.float64)
    x, real, _ = (part.to(device) for part in _batch())
    exact = model.eval()(x.double(), real)
    assert exact.dtype == torch.float64
    single = model.float()(x, real)
    assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)
    half = model.to(torch.bfloat16)(x.to(torch.bfloat16), real)
    assert half.dtype == torch.bfloat16
    assert half.isfinite().all()


# Called


@every_layer
def test_evaluation_is_repeatable(name: str, device: torch.device) -> None:
    model = _model(name).to(device)
    _same(model, model, device)


@every_layer
def test_padding_cannot_matter(name: str, device: torch.device) -> None:
    model = _model(name).to(device).eval()
    x, real, _ = (part.to(device) for part in _batch())
    other = x.masked_fill(~real[..., None], 100.0)
    assert_close(model(x, real)[real], model(other, real)[real], rtol=1e-5, atol=1e-5)


@every_layer
def test_a_functional_call_uses_the_tensors_given(name: str, device: torch.device) -> None:
    model, other = (_model(name, seed).to(device).eval() for seed in (0, 1))
    x, real, _ = (part.to(device) for part in _batch())
    state = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    assert_close(functional_call(model, state, (x, real)), other(x, real))


# Trained


@every_layer
def test_a_checkpoint_gives_the_same_gradients(name: str, device: torch.device) -> None:
    model = _model(name).to(device)
    batch = [part.to(device) for part in _batch()]
    plain = _gradients(model, *batch)
    inner = model.attention.forward
    model.attention.forward = lambda *x: checkpoint(inner, *x, use_reentrant=False)
    again = _gradients(model, *batch)
    assert plain.keys() == again.keys() == {key for key, _ in model.named_parameters()}
    for key, grad in plain.items():
        assert_close(again[key], grad)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@every_layer
def test_the_loss_falls_under_autocast(name: str, half: torch.dtype, device: torch.device) -> None:
    model = _model(name).to(device)
    batch = [part.to(device) for part in _batch(size=8)]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        with torch.autocast(device.type, half):
            loss = _loss(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def _train_in_parallel(rank: int, file: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    found = {}
    for name in LAYERS:
        model = DistributedDataParallel(_model(name))
        x, real, _ = _batch()
        halves = slice(2 * rank, 2 * rank + 2)
        out_ = model(x[halves], real[halves])
        weights = real[halves, :, None].float()
        (out_.square() * weights).sum().backward()
        found[name] = {key.removeprefix("module."): p.grad for key, p in model.named_parameters()}
    if rank == 0:
        torch.save(found, out)
    dist.barrier()
    # Not by the end of the function: what it frees waits for gloo's thread, which may wait for
    # Python's lock, and both would wait for ever.
    os._exit(0)


@pytest.fixture(scope="module")
def in_parallel() -> dict[str, dict[str, Tensor]]:
    """Gradients of two processes, each with half of a batch, by layer."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "gradients.pt")
        mp.spawn(_train_in_parallel, (str(Path(folder, "meeting")), str(out)), nprocs=2)
        found: dict[str, dict[str, Tensor]] = torch.load(out, weights_only=True)
    return found


@every_layer
def test_two_processes_have_the_gradients_of_one(
    in_parallel: dict[str, dict[str, Tensor]], name: str
) -> None:
    model = _model(name)
    x, real, _ = _batch()
    (model(x, real).square() * real[..., None]).sum().backward()
    for key, parameter in model.named_parameters():
        mean = parameter.grad / 2  # the two processes' sums are averaged
        assert_close(in_parallel[name][key], mean, rtol=1e-4, atol=1e-5)
