"""Measure attention mechanisms beside their peers: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # the profiler tells the terminal when it starts

import torch

from benchmarks import record
from benchmarks.rows import ROWS
from benchmarks.session import Options, Session
from benchmarks.spec import BATCH, HEAD_DIM, HEADS, Row
from benchmarks.table import render

__all__ = ["main"]

SIZES = (1024, 2048, 4096, 8192, 16384, 32768)
QUICK_SIZES = (96, 192)
RESULTS = Path(__file__).resolve().parent / "results"
DEVICE = "cpu"


def _threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted({int(size) for size in _names(text)}))
    if not sizes or sizes[0] < 1:
        raise argparse.ArgumentTypeError(f"sizes must be positive, got {text}")
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time and weigh each mechanism beside full attention and its peers.",
        epilog="A run over every row and length is written to benchmarks/results/ under today's "
        "date. A part of it is only shown, unless --merge, --resume or --output is given.",
    )
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    parser.add_argument("--only", type=_names, metavar="A,B", help="mechanisms to measure")
    parser.add_argument("--sizes", type=_sizes, metavar="N,N", help="lengths to measure")
    parser.add_argument("--repeats", type=int, help="rounds at most (9)")
    parser.add_argument("--limit", type=float, default=20, help="seconds a run may take (20)")
    parser.add_argument(
        "--budget",
        type=float,
        default=60,
        help="seconds of timing a row and length, if three rounds fit (60)",
    )
    parser.add_argument("--threads", type=int, default=_threads(), help="threads (all)")
    memory = parser.add_mutually_exclusive_group()
    memory.add_argument("--no-memory", action="store_true", help="skip peak memory")
    memory.add_argument(
        "--memory-only",
        action="store_true",
        help="weigh again what was timed; goes with --merge or --resume, and beside other work",
    )
    parser.add_argument("--flex", action="store_true", help="also FlexAttention (slow to compile)")
    parser.add_argument("--no-peers", action="store_true", help="ours and full SDPA alone")
    parser.add_argument("--quick", action="store_true", help="tiny lengths, to try the harness")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="go on with today's file")
    how.add_argument(
        "--merge", action="store_true", help="start from the newest file; replace what is measured"
    )
    parser.add_argument("--output", type=Path, help="file to write instead of today's")
    return parser


def _chosen(only: tuple[str, ...] | None) -> tuple[Row, ...]:
    known = [row.mechanism for row in ROWS]
    if unknown := [name for name in only or () if name not in known]:
        raise SystemExit(f"--only must name some of: {', '.join(known)}; got {', '.join(unknown)}")
    return tuple(row for row in ROWS if only is None or row.mechanism in only)


def _command(arguments: Sequence[str]) -> str:
    """Return the command as typed, without the place it writes to."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and not argument.startswith("--output"):
            kept.append(argument)
        skip = argument == "--output"
    return shlex.join(["python", "-m", "benchmarks", *kept])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 when one of ours is missing or any fails its check."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.no_peers and (args.merge or args.resume):
        parser.error(
            "--no-peers would drop the peers' rows from the file: not with --merge, --resume"
        )
    if args.memory_only and not (args.merge or args.resume):
        parser.error("--memory-only must come with --merge or --resume")
    rows = _chosen(args.only)
    if args.list:
        for row in rows:
            print(f"{row.mechanism}: {', '.join(one.name for one in row.implementations)}")
        return 0

    sizes = args.sizes or (QUICK_SIZES if args.quick else SIZES)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    repeats = args.repeats or (2 if args.quick else 9)
    whole = args.only is None and sizes == SIZES and not (args.no_memory or args.no_peers)
    recorded = whole or args.merge or args.resume or args.output is not None
    path = args.output or RESULTS / f"{today}-{DEVICE}.json"
    source = None
    if args.resume or args.merge:
        source = path if path.exists() else None
        if args.merge and source is None:
            source = record.newest(path.parent, DEVICE)
    elif recorded and args.output is None and path.exists():
        raise SystemExit(
            f"{path.name} exists: add --resume to go on with it, --merge to replace "
            "what is measured now, or --output FILE"
        )

    torch.set_num_threads(args.threads)
    document = record.read(source) if source else record.new_document(DEVICE)
    document["settings"] = {
        "batch": BATCH,
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "dtype": "float32",
        "baseline": "torch SDPA, bidirectional, same process and length",
        "units": "ms: median over rounds; MB: 10^6 bytes",
    }
    machine = record.machine(args.threads)
    if document["machine"] not in (None, machine):
        print("note: earlier rows were measured on another machine", file=sys.stderr)
    packages = ["numpy", *(one.package for row in ROWS for one in row.implementations)]
    run = record.add_run(
        document,
        {
            "date": today,
            "machine": machine,
            "versions": record.versions(packages),
            "command": _command(arguments),
            "repeats": repeats,
            "limit_s": args.limit,
        },
    )
    options = Options(
        sizes=sizes,
        repeats=repeats,
        memory=not args.no_memory,
        limit=args.limit,
        budget=args.budget,
        threads=args.threads,
        peers=not args.no_peers,
        flags=frozenset({"flex"} if args.flex else ()),
    )

    def save() -> None:
        if recorded:
            record.write(document, path)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    session = Session(document, run, options, save=save, say=say)
    try:
        if args.memory_only:
            session.weigh(rows)
        else:
            session.measure(rows, skip_done=args.resume)
    except KeyboardInterrupt:
        say("interrupted; what was measured is kept, --resume goes on" if recorded else "stopped")
        return 130
    save()
    print(render(document, [row.mechanism for row in rows]))
    if recorded:
        print(f"written to {path}")
    else:
        print("a partial run is not written: add --merge or --output FILE for that")
    if session.wrong:
        say("an implementation is missing or failed its check, see above")
    return int(session.wrong)


if __name__ == "__main__":
    raise SystemExit(main())
