"""Train small character models with and without warm-up: ``python -m benchmarks.warmup --help``.

Xiong et al. 2020 (arXiv:2002.04745) in small: where must the learning rate start slowly? Every
model reads the same book; they differ in where the layer norm stands, in the learning rate, in the
length of the warm-up and in the seed. What comes out is `attn_lib.data.load_training_runs`.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import itertools
import json
import multiprocessing
import shlex
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from attn_lib.data import load_book
from attn_lib.layers import TransformerStack
from benchmarks import record, training

__all__ = ["CharacterModel", "main", "train"]

RESULT = Path(__file__).resolve().parent / "results" / "warmup.json"
NORMS = ("post", "pre", "deep", "sandwich")
DEPTH, WIDTH, HEADS, CONTEXT, BATCH = 6, 32, 4, 64, 8
HELD_OUT = 14_000  # characters at the end of the book
EVERY = 10


class CharacterModel(nn.Module):
    """Characters in, scores of the next character out."""

    def __init__(self, symbols: int, norm: str, depth: int) -> None:
        super().__init__()
        self.symbol = nn.Embedding(symbols, WIDTH)
        self.place = nn.Embedding(CONTEXT, WIDTH)
        self.stack = TransformerStack(depth, WIDTH, HEADS, norm=norm, causal=True)
        self.head = nn.Linear(WIDTH, symbols)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def embed(self, text: Tensor) -> Tensor:
        """Return what the first block is given."""
        return self.symbol(text) + self.place.weight  # (batch, length, embed_dim)

    def forward(self, text: Tensor) -> Tensor:
        """Return the scores of every next character."""
        return self.head(self.stack(self.embed(text)))


def _batch(text: Tensor, size: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return stretches of the text, and the same one character later."""
    first = torch.randint(len(text) - CONTEXT, (size, 1), generator=draw)
    at = first + torch.arange(CONTEXT + 1)
    return text[at[:, :-1]], text[at[:, 1:]]


def _loss(scores: Tensor, answer: Tensor) -> Tensor:
    return cross_entropy(scores.flatten(0, 1), answer.flatten())


def _rounded(values: Sequence[float] | Tensor) -> list[float]:
    return [round(float(value), 4) for value in values]


@torch.no_grad()
def _look_inside(model: CharacterModel, text: Tensor, answer: Tensor) -> dict[str, Any]:
    """Return the held-out loss, the stream's sizes and cosines, and the loss without a block."""
    stream = [model.embed(text)]
    for block in model.stack.blocks:
        stream.append(block(stream[-1]))

    def finish(x: Tensor) -> Tensor:
        return _loss(model.head(model.stack.final_norm(x)), answer)

    without = []
    for k, x in enumerate(stream[:-1]):
        for block in model.stack.blocks[k + 1 :]:
            x = block(x)
        without.append(finish(x))
    return {
        "held_out": round(finish(stream[-1]).item(), 4),
        "sizes": _rounded([x.square().mean().sqrt() for x in stream]),
        "cosines": _rounded(
            [cosine_similarity(x, y, dim=-1).mean() for x, y in itertools.pairwise(stream)]
        ),
        "without": _rounded(without),
    }


def train(
    book: Tensor, norm: str, rate: float, warmup: int, seed: int, steps: int, depth: int = DEPTH
) -> dict[str, Any]:
    """Train one model; return its run as the results file has it.

    Adam, without weight decay or clipping; the rate rises in a line for `warmup` steps, and stays.
    """
    torch.manual_seed(seed)
    model = CharacterModel(int(book.max()) + 1, norm, depth)
    trained = training.train(
        model,
        lambda _, draw: _batch(book[:-HELD_OUT], BATCH, draw),
        steps=steps,
        schedule=training.rise_and_stay(rate, warmup),
        draw=torch.Generator().manual_seed(seed),
    )
    means = trained.losses[: steps // EVERY * EVERY].view(-1, EVERY).mean(dim=1)
    unseen = _batch(book[-HELD_OUT:], 64, torch.Generator().manual_seed(0))
    setting = {"norm": norm, "rate": rate, "warmup": warmup, "seed": seed}
    return {**setting, "losses": _rounded(means), **_look_inside(model, *unseen)}


@functools.cache
def _characters() -> Tensor:
    book = load_book()
    places = {symbol: k for k, symbol in enumerate(sorted(set(book)))}
    return torch.tensor([places[symbol] for symbol in book])


def _head(command: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return what stands in the file in front of its runs."""
    return {
        "schema_version": 1,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command,
        "machine": record.machine(args.jobs),
        "versions": {"torch": torch.__version__},
        "settings": {
            "text": "attn_lib/data/alice_book.txt, by characters",
            "held_out": HELD_OUT,
            "depth": args.depth,
            "embed_dim": WIDTH,
            "num_heads": HEADS,
            "context": CONTEXT,
            "batch": BATCH,
            "steps": args.steps,
            "every": EVERY,
            "optimizer": "Adam, no weight decay, no clipping",
            "schedule": "linear rise over the warm-up, then constant",
        },
    }


def _setting(run: dict[str, Any]) -> tuple[str, float, int, int]:
    return run["norm"], run["rate"], run["warmup"], run["seed"]


def _train_one(setting: tuple[str, float, int, int], *, steps: int, depth: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return train(_characters(), *setting, steps, depth)


def _numbers(kind: type) -> Any:
    return lambda text: tuple(kind(part) for part in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.warmup",
        description="Train small models at a grid of learning rates and warm-up lengths, and write "
        "their curves to benchmarks/results/warmup.json.",
    )
    parser.add_argument("--norms", type=_numbers(str), default=NORMS, metavar="A,B")
    parser.add_argument("--rates", type=_numbers(float), default=(0.001, 0.003, 0.01))
    parser.add_argument("--warmups", type=_numbers(int), default=(0, 50, 200))
    parser.add_argument("--seeds", type=int, default=3, help="models of each setting (3)")
    parser.add_argument("--steps", type=int, default=300, help="of each model (300)")
    parser.add_argument("--depth", type=int, default=DEPTH, help=f"blocks ({DEPTH})")
    parser.add_argument("--jobs", type=int, default=1, help="models to train at a time (1)")
    parser.add_argument("--resume", action="store_true", help="keep the runs that the file has")
    parser.add_argument("--output", type=Path, help="file to write instead")
    return parser


def _bar(done: int, total: int, began: float, words: str) -> None:
    """Draw the progress over itself, or line by line where nobody watches."""
    filled = 24 * done // total
    left = (time.monotonic() - began) / done * (total - done)
    line = f"[{'#' * filled}{'.' * (24 - filled)}] {done}/{total}, {left:4.0f} s left, {words}"
    if sys.stderr.isatty():
        print(f"\r{line:<78}", end="" if done < total else "\n", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = _parser().parse_args(arguments)
    grid = list(itertools.product(args.norms, args.rates, args.warmups, range(args.seeds)))
    path = args.output or RESULT
    kept = json.loads(path.read_text(encoding="utf-8"))["runs"] if args.resume else []
    found = {_setting(run): run for run in kept}
    missing = [setting for setting in grid if setting not in found]
    typed = [argument for argument in arguments if argument != "--resume"]
    head = _head(shlex.join(["python", "-m", "benchmarks.warmup", *typed]), args)

    def save() -> None:
        rows = [json.dumps(found[one], separators=(",", ":")) for one in grid if one in found]
        text = json.dumps(head, indent=1)[:-2] + ',\n "runs": [\n' + ",\n".join(rows) + "\n]\n}\n"
        path.write_text(text, encoding="utf-8")

    work = functools.partial(_train_one, steps=args.steps, depth=args.depth)
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
        for done, run in enumerate(pool.map(work, missing), start=1):
            found[_setting(run)] = run
            norm, rate, warmup, seed = _setting(run)
            words = f"{norm} {rate:g} warm-up {warmup} seed {seed}: {run['held_out']:.2f}"
            _bar(done, len(missing), began, words)
            save()
    save()
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
