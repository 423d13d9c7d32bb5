"""Measured times and memory: the benchmark's results as the chapters read them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["MeasuredRow", "Measurements", "load_measurements"]

SCHEMA_VERSION = 2

Pass = Literal["forward", "forward_backward"]
Quantity = Literal["ratio", "ms", "peak_mb", "largest_tensor_mb", "limit_share"]

_PASSES = ("forward", "forward_backward")
_QUANTITIES = ("ratio", "ms", "peak_mb", "largest_tensor_mb", "limit_share")


@dataclass(frozen=True)
class MeasuredRow:
    """One implementation of one mechanism at one length.

    ``ms`` is the median of those of ``times_ms`` that ``kept_rounds`` names; ``ratio`` is ``ms``
    over the median of full ``scaled_dot_product_attention``, timed in the same process, in turns,
    at the same length. ``peak_mb`` is the peak resident set of one call over the resident set
    before it, in a process of its own; ``largest_tensor_mb`` the largest tensor that the call made.
    MB are 10^6 bytes. ``limit_ms`` is the least time that the machine allows: that of the
    mechanism's matrix products at the rate measured for their shapes, or that of a copy of what is
    read and written, whichever is longer; ``limit_share`` is ``limit_ms / ms``. ``profile`` is the
    share of the time that each kind of operator takes, measured for ours where ``limit_share`` is
    below 0.6. A figure is None where it was not measured; ``status`` and ``reason`` then say why.
    """

    mechanism: str
    implementation: str
    n: int
    pass_: Pass
    status: str
    reason: str
    ms: float | None
    ms_quartiles: tuple[float, float] | None
    times_ms: tuple[float, ...]
    kept_rounds: tuple[bool, ...]
    ratio: float | None
    ratio_quartiles: tuple[float, float] | None
    peak_mb: float | None
    largest_tensor_mb: float | None
    limit_ms: float | None
    limit_share: float | None
    profile: Mapping[str, float] | None


@dataclass(frozen=True)
class Measurements:
    """Every row of one results file, with the date and the machine of its latest run."""

    date: str
    device: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str | None]
    rows: tuple[MeasuredRow, ...]

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms measured."""
        return tuple(dict.fromkeys(row.mechanism for row in self.rows))

    def implementations(self, mechanism: str) -> tuple[str, ...]:
        """The implementations measured of one mechanism; ours is called ``"attn_lib"``.

        Raises
        ------
        ValueError
            If the mechanism was not measured.
        """
        if mechanism not in self.mechanisms:
            raise ValueError(f"mechanism must be one of {self.mechanisms}, got {mechanism!r}")
        names = (row.implementation for row in self.rows if row.mechanism == mechanism)
        return tuple(dict.fromkeys(names))

    def series(
        self,
        mechanism: str,
        implementation: str = "attn_lib",
        quantity: Quantity = "ratio",
        pass_: Pass = "forward",
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Lengths and figures, ready to be drawn; lengths without the figure are left out.

        Parameters
        ----------
        mechanism, implementation : str
            Names as in `mechanisms` and `implementations`.
        quantity : {"ratio", "ms", "peak_mb", "largest_tensor_mb", "limit_share"}
            Which figure; see `MeasuredRow`.
        pass_ : {"forward", "forward_backward"}
            The forward pass alone, or both passes together.

        Returns
        -------
        n, values : tuple of int, tuple of float
            Ascending in ``n``.

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        if quantity not in _QUANTITIES:
            raise ValueError(f"quantity must be one of {_QUANTITIES}, got {quantity!r}")
        if pass_ not in _PASSES:
            raise ValueError(f"pass_ must be one of {_PASSES}, got {pass_!r}")
        known = self.implementations(mechanism)
        if implementation not in known:
            raise ValueError(f"implementation must be one of {known}, got {implementation!r}")
        points: dict[int, float] = {}
        for row in self.rows:
            if (row.mechanism, row.implementation, row.pass_) == (mechanism, implementation, pass_):
                value: float | None = getattr(row, quantity)
                if value is not None:
                    points[row.n] = value
        sizes = tuple(sorted(points))
        return sizes, tuple(points[n] for n in sizes)


def _folder() -> Path:
    """Return the results' folder: inside the installed package, else the checkout's."""
    here = Path(__file__).resolve().parent
    installed = here / "measured"
    return installed if installed.is_dir() else here.parents[1] / "benchmarks" / "results"


def _document(path: Path, schema_version: int) -> dict[str, Any]:
    """Read a file of results, and hold it to the schema that its reader knows."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found = document["schema_version"]
    if found != schema_version:
        raise ValueError(f"schema_version must be {schema_version}, got {found} in {path.name}")
    return document


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def _row(row: Mapping[str, Any]) -> MeasuredRow:
    return MeasuredRow(
        mechanism=row["mechanism"],
        implementation=row["implementation"],
        n=row["n"],
        pass_=row["pass"],
        status=row["status"],
        reason=row["reason"],
        ms=row["ms"],
        ms_quartiles=_pair(row["ms_quartiles"]),
        times_ms=tuple(row["times_ms"]),
        kept_rounds=tuple(row["kept_rounds"]),
        ratio=row["ratio"],
        ratio_quartiles=_pair(row["ratio_quartiles"]),
        peak_mb=row["peak_mb"],
        largest_tensor_mb=row["largest_tensor_mb"],
        limit_ms=row["limit_ms"],
        limit_share=row["limit_share"],
        profile=row["profile"],
    )


def load_measurements(device: str = "cpu") -> Measurements:
    """Load the newest benchmark results for a device.

    Parameters
    ----------
    device : str
        The device that the file's name ends in, as in ``2026-01-31-cpu.json``.

    Returns
    -------
    Measurements
        Rows, date, machine and versions.

    Raises
    ------
    FileNotFoundError
        If nothing was measured for this device.
    ValueError
        If the file has another schema than this version reads.

    Notes
    -----
    The file is written by ``python -m benchmarks``. Ratios carry over to other machines better than
    milliseconds do.
    """
    folder = _folder()
    path = max(folder.glob(f"????-??-??-{device}.json"), default=None)
    if path is None:
        raise FileNotFoundError(
            f"device must have measured results, got {device!r}; python -m benchmarks makes them"
        )
    document = _document(path, SCHEMA_VERSION)
    return Measurements(
        date=document["date"],
        device=document["device"],
        machine=document["machine"],
        versions=document["versions"],
        rows=tuple(map(_row, document["rows"])),
    )
