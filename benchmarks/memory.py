"""Peak memory of one call, measured in a process of its own.

``python -m benchmarks.memory MECHANISM IMPLEMENTATION N PASS THREADS`` prints one line of JSON. The
figure is the peak resident set during the call over the resident set just before it, so it
includes the output and the gradients but neither the inputs nor what was built beforehand.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Case, run_once

__all__ = ["OutOfMemory", "measure_peak", "peak_during"]


class OutOfMemory(Exception):
    """The measuring process was killed or could not allocate."""


def _status_bytes(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return False
    now, peak = _status_bytes("VmRSS"), _status_bytes("VmHWM")
    return now is not None and peak is not None and peak - now < 2**20


def _lifetime_peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _sample_peak(call: Callable[[], Any]) -> int | None:
    done = threading.Event()
    seen: list[int] = []

    def watch() -> None:
        while not done.wait(0.001):
            if (now := _status_bytes("VmRSS")) is not None:
                seen.append(now)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        call()
    finally:
        done.set()
        thread.join()
    return max(seen, default=None)


def peak_during(call: Callable[[], Any]) -> tuple[int, str]:
    """Return the bytes that ``call`` added at its peak, and how they were measured.

    ``VmHWM``: Linux's high-water mark, reset just before the call. ``sampled``: where it cannot be
    reset, the resident set read every millisecond. ``ru_maxrss``: elsewhere, the rise of the
    process's lifetime peak, which is too low when setting up took more than the call.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    if _reset_peak():
        before = _status_bytes("VmRSS")
        call()
        peak, method = _status_bytes("VmHWM"), "VmHWM"
    elif (before := _status_bytes("VmRSS")) is not None:
        peak, method = _sample_peak(call), "sampled"
    else:
        before = _lifetime_peak()
        call()
        peak, method = _lifetime_peak(), "ru_maxrss"
    return max((peak or 0) - (before or 0), 0), method


def measure_peak(
    mechanism: str, implementation: str, n: int, pass_: str, *, threads: int, timeout: float
) -> dict[str, Any]:
    """Measure in a fresh process; return ``{"peak_bytes": ..., "method": ...}``."""
    command = [sys.executable, "-m", "benchmarks.memory"]
    command += [mechanism, implementation, str(n), pass_, str(threads)]
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, encoding="utf-8", timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"the memory measurement took over {timeout:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if done.returncode == -9 or "allocate memory" in last or "MemoryError" in last:
            raise OutOfMemory("out of memory")
        raise RuntimeError(last)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(arguments: list[str]) -> None:
    from benchmarks.rows import ROWS

    mechanism, name, n, pass_, threads = arguments
    torch.set_num_threads(int(threads))
    row = next(row for row in ROWS if row.mechanism == mechanism)
    implementation = next(one for one in row.implementations if one.name == name)
    # The first call starts threads and loads kernels; a small one does that outside the figure.
    run_once(Case.of(row, implementation, row.check_n), pass_)
    case = Case.of(row, implementation, int(n))
    peak, method = peak_during(lambda: run_once(case, pass_))
    print(json.dumps({"peak_bytes": peak, "method": method}))


if __name__ == "__main__":
    main(sys.argv[1:])
