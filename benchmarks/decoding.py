"""Write one token after another: ``python -m benchmarks.decoding --help``.

What a token costs after a text of n tokens, in time, in memory kept and in memory read: softmax
attention with a cache of all keys and values, beside every other mechanism that can write
(`benchmarks.decoders`). What comes out is read by `attn_lib.data.load_decoding`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import record
from benchmarks.decoders import ABSENT, DECODERS, Decoder
from benchmarks.limits import steady_rounds
from benchmarks.measure import TOLERANCE, quartiles
from benchmarks.spec import BATCH, HEAD_DIM, HEADS, qkv

__all__ = ["SIZES", "TOKENS", "check", "main", "measure"]

RESULT = Path(__file__).resolve().parent / "results" / "decoding.json"
SIZES = tuple(2**power for power in range(7, 16))
TOKENS = 64
CHECKED = 600
"""Tokens of the check: more than twice the window, and many strides."""


def _write(decoder: Decoder, state: Any, text: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
    rows = []
    for i in range(text[0].shape[2]):
        state, out = decoder.step(state, *(x[:, :, i : i + 1] for x in text))
        rows.append(out)
    return state, rows


def check(decoder: Decoder, n: int = CHECKED) -> float:
    """Return the error against the oracle: the largest difference over the largest value.

    Once most tokens are written, and once most are read.
    """
    text = qkv(n, torch.Generator().manual_seed(0))
    expected = decoder.oracle(*(x.double() for x in text))
    errors = []
    for before in (n // 4, n - n // 8):
        state = decoder.read(*(x[:, :, :before] for x in text), n - before)
        _, found = _write(decoder, state, [x[:, :, before:] for x in text])
        wanted = expected[:, :, before:]
        errors.append(float((torch.cat(found, dim=2) - wanted).abs().max() / wanted.abs().max()))
    return max(errors)


def measure(
    decoders: Sequence[Decoder], n: int, *, repeats: int, tokens: int = TOKENS
) -> list[dict[str, Any]]:
    """Time every decoder once a round, in turns, each writing the same tokens after n others.

    The first decoder tells which rounds count, for all. Every round starts from the state after n
    tokens. (A ring that is written in place then holds some keys of the round before instead of
    older ones: as many of them, at the same cost.)
    """
    text = qkv(n + tokens, torch.Generator().manual_seed(0))
    before, new = ([x[:, :, part] for x in text] for part in (slice(n), slice(n, None)))
    states = [decoder.read(*before, tokens) for decoder in decoders]
    sizes = [
        sum(x.numel() * x.element_size() for x in decoder.kept(state))
        for decoder, state in zip(decoders, states, strict=True)
    ]
    times: list[list[float]] = [[] for _ in decoders]
    for decoder, state in zip(decoders, states, strict=True):
        _write(decoder, state, new)
    load = [os.getloadavg()[0]]
    for turn in range(repeats):
        for place in range(len(decoders)):
            place = (place + turn) % len(decoders)
            start = time.perf_counter()
            _write(decoders[place], states[place], new)
            times[place].append(1e3 * (time.perf_counter() - start) / tokens)
    load.append(os.getloadavg()[0])
    kept = steady_rounds([times[0]])
    rows = []
    for decoder, size, took in zip(decoders, sizes, times, strict=True):
        low, middle, high = quartiles([ms for ms, counts in zip(took, kept, strict=True) if counts])
        row = {"decoder": decoder.name, "n": n, "ms": middle, "ms_quartiles": [low, high]}
        row |= {"times_ms": took, "kept": kept, "load": load}
        rows.append({**row, "state_bytes": size, "read_bytes": decoder.read_bytes(n)})
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
        "is kept and read of them; the figures are written to benchmarks/results/decoding.json.",
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
            words = f"{1e3 * row['ms']:8,.0f} µs a token, {row['state_bytes']:12,} bytes kept"
            print(f"n = {n:6,} {row['decoder']:24} {words}", file=sys.stderr, flush=True)
        counted = f"{sum(row['kept'])} of {args.repeats} rounds count"
        print(f"n = {n:6,} {counted}, load {row['load']}", file=sys.stderr, flush=True)
    document = {
        "schema_version": 2,
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
            "options": {decoder.name: dict(decoder.options) for decoder in DECODERS},
        },
        "errors": errors,
        "absent": [{"decoder": name, "reason": why} for name, why in ABSENT.items()],
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
