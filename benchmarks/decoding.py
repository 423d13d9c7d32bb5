"""Write one token after another: ``python -m benchmarks.decoding --help``.

What a token costs, in time and in memory kept, after a text of n tokens: softmax attention with a
cache of all keys and values, beside mechanisms whose state does not grow. What comes out is
`attn_lib.data.load_decoding`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import attn_lib
from benchmarks import record
from benchmarks.measure import TOLERANCE, quartiles
from benchmarks.spec import BATCH, HEAD_DIM, HEADS, qkv

__all__ = ["DECODERS", "Decoder", "KeyValueCache", "check", "main", "measure"]

RESULT = Path(__file__).resolve().parent / "results" / "decoding.json"
SIZES = (128, 512, 2048, 8192, 32768)
TOKENS = 64


@dataclass(frozen=True)
class Decoder:
    """A way to write.

    ``read(q, k, v, room)`` takes a text and returns the state after it, with room for as many more
    tokens; ``step(state, q, k, v)`` takes one more token and returns the new state and the output.
    Both are held to ``oracle(q, k, v)``, causal attention written out with an n × n matrix.
    ``kept(state)`` lists the tensors that stand for the tokens so far.
    """

    name: str
    read: Callable[[Tensor, Tensor, Tensor, int], Any]
    step: Callable[[Any, Tensor, Tensor, Tensor], tuple[Any, Tensor]]
    kept: Callable[[Any], Sequence[Tensor]]
    oracle: Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class KeyValueCache:
    """Room for keys and values, of which the first `count` are there."""

    keys: Tensor
    values: Tensor
    count: int


def read_into_cache(q: Tensor, k: Tensor, v: Tensor, room: int) -> KeyValueCache:
    """Keep all keys and values."""
    keys, values = (x.new_zeros(*x.shape[:2], x.shape[2] + room, x.shape[3]) for x in (k, v))
    keys[:, :, : k.shape[2]], values[:, :, : v.shape[2]] = k, v
    return KeyValueCache(keys, values, k.shape[2])


def step_with_cache(
    cache: KeyValueCache, q: Tensor, k: Tensor, v: Tensor
) -> tuple[KeyValueCache, Tensor]:
    """Add a key and a value in place, and attend to all there are."""
    after = KeyValueCache(cache.keys, cache.values, cache.count + 1)
    after.keys[:, :, cache.count : after.count] = k
    after.values[:, :, cache.count : after.count] = v
    return after, scaled_dot_product_attention(q, *kept_in_cache(after))


def kept_in_cache(cache: KeyValueCache) -> Sequence[Tensor]:
    """Return the keys and values that are there."""
    return [x[:, :, : cache.count] for x in (cache.keys, cache.values)]


def softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention to the past."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1) @ v


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Katharopoulos et al. 2020: elu + 1 in the place of the exponential."""
    phi_q, phi_k = (torch.nn.functional.elu(x) + 1 for x in (q, k))
    similar = (phi_q @ phi_k.mT).tril()
    return similar @ v / (similar.sum(-1, keepdim=True) + 1e-6)


def ours(name: str, oracle: Callable[..., Tensor], **options: Any) -> Decoder:
    """Declare ``attn_lib.<name>_step`` with the state that ``<name>_init_state`` gives."""
    step = getattr(attn_lib, f"{name}_step")

    def read(q: Tensor, k: Tensor, v: Tensor, room: int) -> Any:
        state = getattr(attn_lib, f"{name}_init_state")(BATCH, HEADS, HEAD_DIM, HEAD_DIM, **options)
        for i in range(k.shape[2]):
            state, _ = step(state, *(x[:, :, i : i + 1] for x in (q, k, v)))
        return state

    def kept(state: Any) -> Sequence[Tensor]:
        values = (getattr(state, field.name) for field in fields(state))
        return [x for x in values if isinstance(x, Tensor)]

    return Decoder(name, read, step, kept, oracle)


DECODERS = (
    Decoder("KV cache", read_into_cache, step_with_cache, kept_in_cache, softmax),
    ours("linear_transformer", linear),
)


def _write(decoder: Decoder, state: Any, text: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
    rows = []
    for i in range(text[0].shape[2]):
        state, out = decoder.step(state, *(x[:, :, i : i + 1] for x in text))
        rows.append(out)
    return state, rows


def check(decoder: Decoder, n: int = 96) -> float:
    """Return the error against the oracle: the largest difference over the largest value."""
    text = qkv(n, torch.Generator().manual_seed(0))
    state = decoder.read(*(x[:, :, : n // 2] for x in text), n - n // 2)
    _, rows = _write(decoder, state, [x[:, :, n // 2 :] for x in text])
    expected = decoder.oracle(*(x.double() for x in text))[:, :, n // 2 :]
    return float((torch.cat(rows, dim=2) - expected).abs().max() / expected.abs().max())


def measure(
    decoders: Sequence[Decoder], n: int, *, repeats: int, tokens: int = TOKENS
) -> list[dict[str, Any]]:
    """Time every decoder once a round, in turns, each writing the same tokens after n others."""
    text = qkv(n + tokens, torch.Generator().manual_seed(0))
    before, new = ([x[:, :, part] for x in text] for part in (slice(n), slice(n, None)))
    states = [decoder.read(*before, tokens) for decoder in decoders]
    times: list[list[float]] = [[] for _ in decoders]
    for decoder, state in zip(decoders, states, strict=True):
        _write(decoder, state, new)
    for turn in range(repeats):
        for place in range(len(decoders)):
            place = (place + turn) % len(decoders)
            start = time.perf_counter()
            _write(decoders[place], states[place], new)
            times[place].append(1e3 * (time.perf_counter() - start) / tokens)
    rows = []
    for decoder, state, took in zip(decoders, states, times, strict=True):
        low, middle, high = quartiles(took)
        size = sum(x.numel() * x.element_size() for x in decoder.kept(state))
        row = {"decoder": decoder.name, "n": n, "ms": middle, "ms_quartiles": [low, high]}
        rows.append({**row, "times_ms": took, "state_bytes": size})
    return rows


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted({int(part) for part in text.split(",")}))
    if sizes[0] < 1:
        raise argparse.ArgumentTypeError(f"sizes must be positive, got {text}")
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decoding",
        description="Time the writing of one token after texts of several lengths, and weigh what "
        "is kept of them; the figures are written to benchmarks/results/decoding.json.",
    )
    parser.add_argument("--sizes", type=_sizes, default=SIZES, metavar="N,N", help="lengths")
    parser.add_argument("--repeats", type=int, default=9, help="rounds of 64 tokens (9)")
    parser.add_argument("--threads", type=int, default=1, help="threads (1)")
    parser.add_argument("--output", type=Path, help="file to write instead; '-' only shows")
    return parser


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a decoder is wrong, and then write nothing."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = _parser().parse_args(arguments)
    torch.set_num_threads(args.threads)
    errors = {decoder.name: check(decoder) for decoder in DECODERS}
    for name, error in errors.items():
        print(f"{name}: error {error:.0e}", file=sys.stderr)
    if max(errors.values()) > TOLERANCE:
        return 1
    rows = []
    for n in args.sizes:
        for row in measure(DECODERS, n, repeats=args.repeats):
            rows.append(row)
            words = f"{1e3 / row['ms']:8,.0f} tokens a second, {row['state_bytes']:12,} bytes"
            print(f"n = {n:6,} {row['decoder']:20} {words}", file=sys.stderr, flush=True)
    document = {
        "schema_version": 1,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "benchmarks.decoding", *arguments]),
        "machine": record.machine(args.threads),
        "versions": record.versions([]),
        "settings": {
            "batch": BATCH,
            "heads": HEADS,
            "head_dim": HEAD_DIM,
            "dtype": "float32",
            "tokens": TOKENS,
            "layers": 1,
        },
        "errors": errors,
        "rows": rows,
    }
    path = args.output or RESULT
    if str(path) != "-":
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
