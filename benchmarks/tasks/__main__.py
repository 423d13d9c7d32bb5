"""Train every mechanism on every task: ``python -m benchmarks.tasks --help``."""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from attn_lib.data._tasks import SCHEMA_VERSION
from benchmarks import record
from benchmarks.tasks.plan import FULL, KNOBS, QUICK, Grid, Job, absent, key_of
from benchmarks.tasks.run import run

__all__ = ["main"]

RESULT = Path(__file__).resolve().parents[1] / "results" / "tasks.json"
Row = dict[str, Any]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tasks",
        description="Train every mechanism, at three sizes of its own knob, on small tasks, and "
        "write what was measured to benchmarks/results/tasks.json after every model.",
    )
    parser.add_argument("--only", type=_names, metavar="A,B", help="mechanisms (all)")
    parser.add_argument("--tasks", type=_names, metavar="A,B", help="tasks (all)")
    parser.add_argument("--seeds", type=int, help="models of each setting (3)")
    parser.add_argument("--jobs", type=int, default=1, help="models to train at a time (1)")
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows that the file has; train the others"
    )
    parser.add_argument("--device", default="cpu", help="of the models (cpu)")
    parser.add_argument("--output", type=Path, default=RESULT, help="file to write instead")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything")
    parser.add_argument("--count", action="store_true", help="say how much is left, and do nothing")
    return parser


def _grid(args: argparse.Namespace) -> Grid:
    """Return what the arguments ask for."""
    grid = QUICK if args.quick else FULL
    known = tuple(dict.fromkeys(task.name for task in grid.tasks))
    for option, names, allowed in (("--only", args.only, KNOBS), ("--tasks", args.tasks, known)):
        for name in names or ():
            if name not in allowed:
                raise SystemExit(f"{option} must name some of {', '.join(allowed)}, got {name!r}")
    return replace(
        grid,
        tasks=tuple(task for task in grid.tasks if task.name in (args.tasks or known)),
        mechanisms=args.only or grid.mechanisms,
        seeds=args.seeds or grid.seeds,
    )


def _head(args: argparse.Namespace) -> Row:
    """Return what stands in the file in front of its rows: of the grid that they are a part of."""
    grid = _grid(argparse.Namespace(**{**vars(args), "only": None, "tasks": None}))
    typed = ["--quick"] if args.quick else []
    typed += ["--seeds", str(args.seeds)] if args.seeds else []
    typed += ["--device", args.device] if args.device != "cpu" else []
    return {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "benchmarks.tasks", *typed]),
        "device": args.device,
        "machine": record.machine(1),
        "versions": record.versions([]),
        "settings": grid.described(),
        "absent": absent(grid),
    }


def _write(path: Path, head: Row, rows: list[Row]) -> None:
    """Replace the file in one step, so that an interruption leaves a whole one."""
    tasks = [task["name"] for task in head["settings"]["tasks"]]
    names = list(KNOBS)

    def place(row: Row) -> tuple[Any, ...]:
        task, causal, size, mechanism, *rest = key_of(row)
        return (tasks.index(task), causal, size, names.index(mechanism), *rest)

    rows.sort(key=place)
    lines = [json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows]
    text = json.dumps(head, indent=1)[:-2] + ',\n "rows": [\n' + ",\n".join(lines) + "\n]\n}\n"
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _words(row: Row) -> str:
    direction = "causal" if row["causal"] else "both ways"
    return (
        f"{row['task']} {row['size']} {direction}: {row['mechanism']} {row['knob']} "
        f"{row['value']}, rate {row['rate']:g}, seed {row['seed']}: test {row['test_accuracy']:.3f}"
    )


def _train_all(pool: Executor, jobs: Sequence[Job], stage: str, device: str) -> Iterator[Row]:
    """Train the jobs, and give each row as it comes."""
    with tqdm(total=len(jobs), desc=stage, unit="model") as bar:
        for done in as_completed([pool.submit(run, job, device) for job in jobs]):
            row = done.result()
            bar.update()
            bar.write(_words(row), file=sys.stderr)
            yield row


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = _parser().parse_args(arguments)
    grid = _grid(args)
    path: Path = args.output
    head = _head(args)
    rows: list[Row] = []
    if args.resume and path.exists():
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    if args.count:
        stage, jobs = grid.missing(rows)
        print(f"{len(rows)} rows are there; {stage or 'nothing'}: {len(jobs)} models are left")
        return 0
    context = multiprocessing.get_context("spawn")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
        try:
            while (left := grid.missing(rows))[1]:
                for row in _train_all(pool, left[1], left[0], args.device):
                    rows.append(row)
                    _write(path, head, rows)
        except BaseException:
            pool.shutdown(
                cancel_futures=True
            )  # the models that are being trained come to their end
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
    _write(path, head, rows)
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
