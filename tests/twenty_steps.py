"""Train a block of every mechanism for twenty steps, in each way that a model is trained.

``python tests/twenty_steps.py`` needs attn_lib and torch alone. Before every step the gradients are
held to those that eager, uninterrupted float32 gives in one process for the same parameters.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import attn_lib
from attn_lib import layers

STEPS, BATCH, LENGTH, WIDTH, HEADS, LETTERS = 20, 4, 50, 24, 3, 7


class OwnSlots(nn.Module):
    """Luna's layer with an extra sequence of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.luna = layers.LunaAttention(WIDTH, HEADS)
        self.slots = nn.Parameter(torch.randn(1, 5, WIDTH))

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        y: Tensor = self.luna(x, self.slots.expand(len(x), -1, -1), key_mask)[0]
        return y


def _multi(name: str, **options: Any) -> nn.Module:
    attend = partial(getattr(attn_lib, f"{name}_attention"), **options)
    return layers.MultiHeadAttention(WIDTH, HEADS, attend=attend, causal=name in CAUSAL)


CAUSAL = ("sparse_transformer", "linear_transformer", "cosformer")
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "softmax": partial(_multi, "softmax"),
    "sparse_transformer": partial(_multi, "sparse_transformer", stride=7),
    "explicit_sparse": partial(_multi, "explicit_sparse", topk=5),
    "longformer": partial(_multi, "longformer", window=4, global_tokens=(0,)),
    "reformer": partial(layers.ReformerAttention, WIDTH, HEADS, bucket_size=8, num_hashes=2),
    "linformer": partial(layers.LinformerAttention, WIDTH, HEADS, max_len=64, rank=6),
    "performer": partial(layers.PerformerAttention, WIDTH, HEADS, features=16),
    "luna": OwnSlots,
    "efficient": partial(_multi, "efficient"),
    "linear_transformer": partial(_multi, "linear_transformer"),
    "cosformer": partial(_multi, "cosformer", max_len=64),
}


class Model(nn.Module):
    """Letters in, a Pre-LN block around the mechanism's layer, letters out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(LETTERS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.block = layers.TransformerBlock(WIDTH, HEADS, norm="pre")
        self.block.attention = LAYERS[name]()
        self.last = nn.Linear(WIDTH, LETTERS)

    def forward(self, letters: Tensor, real: Tensor) -> Tensor:
        x = self.embed(letters) + self.place.weight
        out: Tensor = self.last(self.block(x, real))
        return out


class Checkpointed(nn.Module):
    """A model whose block is run again in the backward pass."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, letters: Tensor, real: Tensor) -> Tensor:
        x = self.model.embed(letters) + self.model.place.weight
        out = checkpoint(self.model.block, x, real, use_reentrant=False)
        y: Tensor = self.model.last(out)
        return y


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Yield letters and which of them are real, padded to one length."""
    generator = torch.Generator().manual_seed(5)
    text = torch.randint(LETTERS, (LENGTH,), generator=generator)
    for _ in range(STEPS):
        shifts = torch.randint(LENGTH, (BATCH,), generator=generator)
        lengths = torch.randint(LENGTH // 2, LENGTH + 1, (BATCH, 1), generator=generator)
        letters = torch.stack([text.roll(int(shift)) for shift in shifts])
        yield letters, torch.arange(LENGTH) < lengths


def loss(model: nn.Module, letters: Tensor, real: Tensor) -> Tensor:
    """Ask for the letter before: every real token but the first has one."""
    logits = model(letters, real)[:, 1:].float()
    asked = real[:, 1:]
    return nn.functional.cross_entropy(logits[asked], letters[:, :-1][asked], reduction="sum")


def gradients(model: nn.Module, seed: int, letters: Tensor, real: Tensor) -> tuple[Tensor, ...]:
    """Return the loss a token, and the gradient of every parameter."""
    torch.manual_seed(seed)  # what a call draws
    parameters = list(model.parameters())
    total = loss(model, letters, real) / BATCH
    found = torch.autograd.grad(total, parameters, allow_unused=True)
    return total.detach(), *(
        torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)
    )


def train(
    name: str, wrap: Callable[[Model], nn.Module], tolerance: float, mixed: bool = False
) -> tuple[float, float]:
    """Train, and hold each step's gradients to the plain ones; return the first and last loss."""
    torch.manual_seed(1)
    model = Model(name)
    wrapped, losses = wrap(model), []
    rule = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step, batch in enumerate(batches()):
        _, *plain = gradients(model, step, *batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            now, *found = gradients(wrapped, step, *batch)
        size = torch.cat([g.flatten() for g in plain]).norm()
        apart = torch.cat([(a - b).flatten() for a, b in zip(found, plain, strict=True)]).norm()
        if not apart <= tolerance * size:
            raise AssertionError(f"{name}, step {step}: gradients differ by {apart / size:.1e}")
        for parameter, gradient in zip(model.parameters(), found, strict=True):
            parameter.grad = gradient
        rule.step()
        losses.append(float(now))
    return losses[0], losses[-1]


def _one_of_two(rank: int, meeting: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    results = {}
    for name in LAYERS:
        torch.manual_seed(1)
        model = Model(name)
        both = DistributedDataParallel(model)
        rule = torch.optim.Adam(model.parameters(), lr=5e-3)
        losses = []
        for step, (letters, real) in enumerate(batches()):
            halves = [(letters[i::2], real[i::2]) for i in (0, 1)]
            plain = [gradients(model, 2 * step + i, *half) for i, half in enumerate(halves)]
            rule.zero_grad()
            torch.manual_seed(2 * step + rank)
            total = loss(both, *halves[rank]) / BATCH
            total.backward()
            for p, one, other in zip(model.parameters(), plain[0][1:], plain[1][1:], strict=True):
                found = torch.zeros_like(p) if p.grad is None else p.grad
                assert_close(found, (one + other) / 2, rtol=1e-4, atol=1e-5)
            rule.step()
            losses.append(float(plain[0][0] + plain[1][0]))
        results[name] = losses[0], losses[-1]
    if rank == 0:
        torch.save(results, out)
    dist.barrier()
    # Not by the end of the function: what it frees waits for gloo's thread, which may wait for
    # Python's lock, and both would wait for ever.
    os._exit(0)


def in_two_processes() -> dict[str, tuple[float, float]]:
    """Train every model in two processes; return the first and last losses."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        mp.spawn(_one_of_two, (str(Path(folder, "meeting")), str(out)), nprocs=2)
        results: dict[str, tuple[float, float]] = torch.load(out, weights_only=True)
    return results


def compiled(backend: str, model: Model) -> nn.Module:
    """Compile a model anew, in one graph."""
    torch.compiler.reset()
    fast: nn.Module = torch.compile(model, backend=backend, fullgraph=True)
    return fast


WAYS: dict[str, tuple[Callable[[Model], nn.Module], float, bool]] = {
    "checkpoint": (Checkpointed, 0.0, False),
    "autocast": (lambda model: model, 0.1, True),
    "aot_eager": (partial(compiled, "aot_eager"), 1e-5, False),
    "inductor": (partial(compiled, "inductor"), 1e-5, False),
}


def main() -> None:
    """Train all, and print what came of it."""
    torch.set_num_threads(1)
    print(f"attn_lib of {Path(attn_lib.__file__).parent}, torch {torch.__version__}")
    failed = []
    for name, (first, last) in in_two_processes().items():
        print(f"{name:20}{'two processes':15}{first:8.2f}{last:8.2f}")
        failed += [name] * (not last < first)
    for way in sys.argv[1:] or WAYS:
        for name in LAYERS:
            start = time.perf_counter()
            try:
                first, last = train(name, *WAYS[way])
                if not last < first:
                    raise AssertionError(f"the loss went from {first:.2f} to {last:.2f}")
                said = f"{first:8.2f}{last:8.2f}"
            except Exception as error:
                failed.append(name)
                said = f"  {type(error).__name__}: {str(error).splitlines()[0][:120]}"
            print(f"{name:20}{way:15}{said}{time.perf_counter() - start:7.1f} s", flush=True)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
