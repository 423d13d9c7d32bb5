"""The results document: its schema, and how runs are added to it and written."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Collection, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import attn_lib

__all__ = [
    "SCHEMA_VERSION",
    "STATUSES",
    "add_run",
    "is_done",
    "machine",
    "new_document",
    "newest",
    "read",
    "replace",
    "validate",
    "versions",
    "write",
]

SCHEMA_VERSION = 2
STATUSES = ("ok", "over limit", "failed", "absent")

Document = dict[str, Any]

_ROW_KEYS = {
    "mechanism": str,
    "implementation": str,
    "n": int,
    "pass": str,
    "status": str,
    "reason": str,
    "run": int,
}
_PEAKS = ("peak_mb", "peak_method", "peak_run")
_FIGURES = (
    "ms",
    "ratio",
    "baseline_ms",
    "peak_mb",
    "largest_tensor_mb",
    "limit_ms",
    "limit_share",
)


def machine(threads: int) -> dict[str, Any]:
    """Describe the computer, without naming it."""
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    described: dict[str, Any] = {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        described["memory_gb"] = round(size / 1e9, 1)
    return described


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the installed version of Python and of each distribution; None where it is absent."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "attn-lib": attn_lib.__version__,
    }
    for package in packages:
        if package not in found:
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                found[package] = None
    return found


def new_document(device: str) -> Document:
    """Return an empty document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "device": device,
        "date": None,
        "machine": None,
        "versions": None,
        "command": None,
        "settings": {},
        "runs": [],
        "checks": [],
        "absent": [],
        "limits": [],
        "rows": [],
    }


def add_run(document: Document, run: Mapping[str, Any]) -> int:
    """Add a run (date, machine, versions, command, options) and return its number.

    Rows say which run they come from. The document's own date,
    machine, versions and command are those of its latest run.
    """
    number = 1 + max((one["id"] for one in document["runs"]), default=0)
    document["runs"].append({"id": number, **run})
    for key in ("date", "machine", "versions", "command"):
        document[key] = run[key]
    return number


def replace(
    document: Document,
    mechanism: str,
    n: int,
    rows: Iterable[Mapping[str, Any]],
) -> None:
    """Put these rows in the place of the mechanism's rows at this length; drop unused runs.

    A peak of memory that was not measured again stays: it does not depend on the machine's load. So
    does a row that is over the limit now, and was measured under a higher one.
    """
    kept, before = [], {}
    for one in document["rows"]:
        if (one["mechanism"], one["n"]) == (mechanism, n):
            before[one["implementation"], one["pass"]] = one
        else:
            kept.append(one)
    for row in map(dict, rows):
        old = before.get((row["implementation"], row["pass"]))
        if old and row["status"] == "ok" and row["peak_mb"] is None:
            row.update({name: old[name] for name in _PEAKS})
        stays = old and old["status"] == "ok" and row["status"] == "over limit"
        kept.append(old if stays else row)
    document["rows"] = kept
    document["rows"].sort(key=lambda one: (one["mechanism"], one["n"]))
    used = {one[key] for one in document["rows"] for key in ("run", "peak_run")}
    latest = max(one["id"] for one in document["runs"])
    document["runs"] = [one for one in document["runs"] if one["id"] in {*used, latest}]


def is_done(
    document: Document, mechanism: str, n: int, wanted: Collection[tuple[str, str]], *, memory: bool
) -> bool:
    """Say whether every wanted (implementation, pass) of this mechanism and length is settled."""
    done = {
        (one["implementation"], one["pass"])
        for one in document["rows"]
        if (one["mechanism"], one["n"]) == (mechanism, n)
        and (
            one["status"] == "over limit"
            or (one["status"] == "ok" and (one["peak_mb"] is not None or not memory))
        )
    }
    return set(wanted) <= done


def validate(document: Any) -> None:
    """Raise ValueError, saying where, unless the document follows the schema."""
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema_version must be {SCHEMA_VERSION}")
    missing = new_document("").keys() - document.keys()
    if missing:
        raise ValueError(f"document must have {sorted(missing)}")
    runs = {one["id"] for one in document["runs"]}
    seen = set()
    for row in document["rows"]:
        for key, kind in _ROW_KEYS.items():
            if not isinstance(row.get(key), kind):
                raise ValueError(f"{key} must be {kind.__name__}, got {row.get(key)!r} in {row}")
        for key in _FIGURES:
            value = row.get(key)
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise ValueError(f"{key} must be null or a number ≥ 0, got {value!r}")
        if row["status"] not in STATUSES:
            raise ValueError(f"status must be one of {STATUSES}, got {row['status']!r}")
        if (row["status"] == "ok") != (row["ms"] is not None):
            raise ValueError(f"ms must be given exactly where status is ok, got {row}")
        if row["run"] not in runs:
            raise ValueError(f"run must be one of {sorted(runs)}, got {row['run']}")
        name = (row["mechanism"], row["implementation"], row["n"], row["pass"])
        if name in seen:
            raise ValueError(f"row must be unique, got {name} twice")
        seen.add(name)


def newest(folder: Path, device: str) -> Path | None:
    """Return the newest dated file for the device."""
    return max(folder.glob(f"????-??-??-{device}.json"), default=None)


def read(path: Path) -> Document:
    """Read and validate a document."""
    document = json.loads(path.read_text(encoding="utf-8"))
    validate(document)
    return document


def write(document: Document, path: Path) -> None:
    """Validate, then replace the file in one step, so that an interruption leaves a whole one."""
    validate(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)
