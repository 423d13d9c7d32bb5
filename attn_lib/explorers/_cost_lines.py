"""What mechanisms cost, as lines over the length: measured time and memory, counted operations.

Measured are the rows of `attn_lib.data.load_measurements` and `attn_lib.data.load_decoding`;
operations are counted by `attn_lib.costs`, for the options of the benchmarks.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from attn_lib import costs
from attn_lib.catalog import MECHANISMS
from attn_lib.data import load_decoding, load_measurements

__all__ = [
    "HEAD_DIM",
    "LENGTHS",
    "NAMES",
    "WIDTHS",
    "Line",
    "axis",
    "compared",
    "crossings",
    "lengths_of",
    "lines_of",
    "threads",
]

LENGTHS = tuple(128 * 2**step for step in range(9))
WIDTHS = (16, 32, 64, 128)
NAMES = (
    "full",
    "strided",
    "fixed",
    "explicit_sparse",
    "longformer",
    "reformer",
    "linformer",
    "performer",
    "luna",
    "efficient",
    "linear_transformer",
    "cosformer",
)
_HEADS, HEAD_DIM = 8, 64
_STRIDE, _SUMMARY, _TOPK, _WINDOW, _RANK, _FEATURES, _P_LEN = 64, 8, 64, 256, 256, 256, 128
_HASHING = {"bucket_size": 64, "num_hashes": 4}

_SPARSE = ("strided", "fixed")
_SUMS = ("performer", "linear_transformer", "cosformer")
_NO_FORM = {one.name for one in MECHANISMS if not one.causal}
_BASELINES = {False: ("full", "torch SDPA"), True: ("full causal", "torch SDPA causal")}
_DECODERS = {
    "full": "KV cache",
    "strided": "sparse_transformer",
    "fixed": "sparse_transformer fixed",
}
_PASSES = {"reading": "forward", "training": "forward_backward"}


class Line(NamedTuple):
    """The values of a mechanism by length, and why there are none beyond the last, or at all.

    The reason is the name of one of the words of `MechanismCosts`.
    """

    points: Mapping[int, float]
    reason: str

    def at(self, n: int) -> float | None:
        """Return the value at a length: straight in logarithms between points, none beyond."""
        if n in self.points:
            return self.points[n]
        known = sorted(self.points)
        if not known or not known[0] < n < known[-1]:
            return None
        heights = np.log([self.points[one] for one in known])
        return float(np.exp(np.interp(np.log(n), np.log(known), heights)))

    def why(self, n: int) -> str:
        """Return why there is no value at a length."""
        is_before = self.reason == "too_slow" and n < max(self.points)
        return "outside" if is_before else self.reason


_measurements = functools.cache(load_measurements)
_decoding = functools.cache(load_decoding)


def _row_of(name: str, doing: str, causal: bool) -> tuple[str, str] | None:
    """Return mechanism and implementation as the measurements name them, if they have the form."""
    if name == "full":
        return _BASELINES[causal]
    if name in _SPARSE:
        return (name, "attn_lib") if causal else None
    row = f"{name} causal" if causal else name
    if name == "linformer" and doing == "training":
        row = "linformer learning"  # E and F take part in the training
    known = row in _measurements().mechanisms and not (causal and name in _NO_FORM)
    return (row, "attn_lib") if known else None


def _no_row(name: str, causal: bool) -> str:
    if not causal:
        return "only_causal"
    return "no_form" if name in _NO_FORM else "not_measured"


@functools.cache
def _measured(doing: str, quantity: str, causal: bool) -> dict[str, Line]:
    """Return what reading or training was measured to take, in milliseconds or megabytes.

    The machine is not equally fast at all times, so a time is the ratio to full attention, timed in
    turns with the mechanism, times the one time that stands for full attention.
    """
    rows = {
        (row.mechanism, row.implementation, row.n): row
        for row in _measurements().rows
        if row.pass_ == _PASSES[doing]
    }
    base = {row.n: row.ms for key, row in rows.items() if key[:2] == _BASELINES[False]}
    lines = {}
    for name in NAMES:
        which = _row_of(name, doing, causal)
        if which is None:
            lines[name] = Line({}, _no_row(name, causal))
            continue
        found = {key[2]: row for key, row in sorted(rows.items()) if key[:2] == which}
        points = {}
        for n, row in found.items():
            if quantity == "memory":
                value = row.peak_mb
            else:
                slowest = base.get(n)
                value = None if row.ratio is None or slowest is None else row.ratio * slowest
            if value is not None:
                points[n] = value
        beyond = [row.status for n, row in found.items() if n > max(points, default=0)]
        is_slow = bool(beyond) and beyond[0] == "over limit"
        lines[name] = Line(points, "too_slow" if is_slow else "outside")
    return lines


@functools.cache
def _written(quantity: str) -> dict[str, Line]:
    """Return what one more token was measured to take, and what is kept of those before it."""
    decoding = _decoding()
    lines = {}
    for name in NAMES:
        decoder = _DECODERS.get(name, name)
        if decoder in decoding.decoders:
            rows = decoding.select(decoder)
            is_time = quantity == "time"
            points = {row.n: row.ms if is_time else row.state_bytes / 1e6 for row in rows}
            lines[name] = Line(points, "outside")
        else:
            lines[name] = Line({}, _no_step(name))
    return lines


def _no_step(name: str) -> str:
    return "no_form" if name in _NO_FORM else "no_step"


def _read_count(name: str, n: int, d: int, causal: bool) -> int | str:
    """Return the operations of one head that reads n tokens, or why there is no count."""
    by_pairs: dict[str, Callable[[], int]] = {
        "full": lambda: costs.softmax_scores(n, causal=causal),
        "strided": lambda: costs.sparse_transformer_scores(n, pattern="strided", stride=_STRIDE),
        "fixed": lambda: costs.sparse_transformer_scores(
            n, pattern="fixed", stride=_STRIDE, summary=_SUMMARY
        ),
        "longformer": lambda: costs.longformer_scores(n, window=_WINDOW, causal=causal),
        "reformer": lambda: costs.reformer_scores(n, **_HASHING),
        "luna": lambda: costs.luna_scores(n, p_len=_P_LEN),
    }
    others: dict[str, Callable[[], int]] = {
        "explicit_sparse": lambda: costs.explicit_sparse_flops(n, d, d, topk=_TOPK, causal=causal),
        "linformer": lambda: costs.linformer_flops(n, d, d, rank=_RANK),
        "performer": lambda: costs.performer_flops(n, d, d, features=_FEATURES),
        "efficient": lambda: costs.efficient_flops(n, d, d),
        "linear_transformer": lambda: costs.linear_transformer_flops(n, d, features=d),
        "cosformer": lambda: costs.cosformer_flops(n, d, d),
    }
    if not causal and name in _SPARSE:
        return "only_causal"
    if causal and name in _NO_FORM:
        return "no_form"
    if causal and name == "luna":
        return "no_count"
    if name in others:
        return others[name]()
    hashes = costs.reformer_hash_flops(n, d, **_HASHING) if name == "reformer" else 0
    return costs.attention_flops(by_pairs[name](), d, d) + hashes


def _write_count(name: str, n: int, d: int) -> int | str:
    """Return the operations of one head that writes one more of n tokens, or why there is none.

    Of what is kept, a query multiplies each number that it reads once. Of a sum, a token's share is
    what reading one token takes: its key and value are added, and its query is answered.
    """
    options: dict[str, dict[str, Any]] = {
        "full": {},
        "strided": {"pattern": "strided", "stride": _STRIDE},
        "fixed": {"pattern": "fixed", "stride": _STRIDE, "summary": _SUMMARY},
        "explicit_sparse": {"topk": _TOPK},
        "longformer": {"window": _WINDOW},
    }
    if name in _SUMS:
        return _read_count(name, 1, d, causal=True)
    if name not in options:
        return "no_count" if name == "luna" else _no_step(name)
    mechanism = {"full": "softmax", **dict.fromkeys(_SPARSE, "sparse_transformer")}.get(name, name)
    return 2 * costs.read_numbers(mechanism, n, d, d, causal=True, **options[name])


@functools.lru_cache(maxsize=256)
def _counted(doing: str, causal: bool, head_dim: int, lengths: tuple[int, ...]) -> dict[str, Line]:
    """Return the operations of all heads: billions to read, millions to write one token."""
    lines = {}
    for name in NAMES:
        points, reason = {}, "outside"
        for n in lengths:
            if doing == "writing":
                count, unit = _write_count(name, n, head_dim), 1e6
            else:
                count, unit = _read_count(name, n, head_dim, causal), 1e9
            if isinstance(count, str):
                reason = count
            else:
                points[n] = _HEADS * count / unit
        lines[name] = Line(points, reason)
    return lines


def lines_of(
    doing: str, quantity: str, causal: bool, head_dim: int, n: int | None = None
) -> dict[str, Line]:
    """Return the lines of a picture; a count is exact at `n`, too."""
    if quantity == "operations":
        return _counted(doing, causal, head_dim, LENGTHS if n is None else (n,))
    return _written(quantity) if doing == "writing" else _measured(doing, quantity, causal)


@functools.cache
def lengths_of(doing: str, quantity: str) -> tuple[int, ...]:
    """Return the lengths at which something was measured or counted."""
    lines = [
        line
        for causal in (False, True)
        for line in lines_of(doing, quantity, causal, HEAD_DIM).values()
    ]
    return tuple(sorted({n for line in lines for n in line.points}))


@functools.cache
def axis(doing: str, quantity: str) -> tuple[float, float]:
    """Return the ends of a picture's height in powers of ten, for all forms and widths."""
    values = [
        math.log10(value)
        for causal in (False, True)
        for width in WIDTHS
        for line in lines_of(doing, quantity, causal, width).values()
        for value in line.points.values()
    ]
    return round(min(values) - 0.1, 2), round(max(values) + 0.1, 2)


def crossings(lengths: Sequence[int], logs: Sequence[float]) -> list[float]:
    """Return where a line, straight between its points in logarithms, passes zero.

    Parameters
    ----------
    lengths : sequence of int
        In rising order.
    logs : sequence of float
        The logarithm of a ratio at each of them; 0 where both are equal.

    Returns
    -------
    list of float
        Lengths between the first and the last. A line that runs along zero crosses where it leaves
        it, unless it comes back to the side that it came from; one that begins at zero, only to go
        below.

    Examples
    --------
    Twice as dear at 1,024 tokens, and half as dear at 4,096:

    >>> [round(n) for n in crossings([1024, 4096], [0.7, -0.7])]
    [2048]
    """
    found = []
    side, last = 1, -1  # the last point that is not at zero, and its side
    for k, height in enumerate(logs):
        if abs(height) < 1e-12:
            continue
        here = 1 if height > 0 else -1
        if here != side and (last >= 0 or k > 0):
            if k - last > 1:
                found.append(float(lengths[k - 1]))
            else:
                share = logs[last] / (logs[last] - height)
                found.append(lengths[last] * (lengths[k] / lengths[last]) ** share)
        side, last = here, k
    return found


def compared(full: Line, other: Line) -> tuple[str, list[float]]:
    """Return where a mechanism takes less than full attention, and where the lines cross."""
    shared = sorted(set(full.points) & set(other.points))
    logs = [math.log(other.points[n] / full.points[n]) for n in shared]
    found = crossings(shared, logs)
    if not shared:
        return "", found
    if not found:
        return ("everywhere" if logs[0] < 0 else "nowhere"), found
    if len(found) > 1:
        return "often", found
    return ("from" if logs[-1] < 0 else "up_to"), found


def threads() -> list[int]:
    """Return the processor threads that reading and writing were measured on."""
    return [source.machine["threads"] for source in (_measurements(), _decoding())]
