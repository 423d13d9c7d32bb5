"""Copies of this checkout, and books built in them, apart from each other and from this one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOME_DAY = 1_500_000_000


def copy(folder: Path, moment: int = SOME_DAY) -> Path:
    """Copy what git knows, or would add, into a new folder; all files are of one moment."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, encoding="utf-8")
    for name in listed.stdout.split("\0"):
        source = ROOT / name
        if name and source.exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            os.utime(target, (moment, moment))
    return folder


def keep_pages(folder: Path, first: str, *others: str) -> None:
    """Let the book in a folder have these pages alone; its cover would ask for all."""
    chapters = "".join(f"  - file: book/{name}\n" for name in others)
    toc = f"format: jb-book\nroot: book/{first}\nchapters:\n{chapters}"
    (folder / "_toc.yml").write_text(toc, encoding="utf-8")


def variables(folder: Path, more: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the environment of a command that takes all code from a copy."""
    hidden = {"ATTN_LIB_BOOK", "IPYTHONDIR", "MATPLOTLIBRC", "PYTEST_CURRENT_TEST"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {"PYTHONPATH": str(folder)} | dict(more)


def run(
    command: Sequence[str | Path], folder: Path, more: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in a copy, and fail with what it says."""
    name, *rest = map(str, command)
    tool = Path(sys.executable).parent / name  # a path from the root stays as it is
    done = subprocess.run(
        [str(tool), *rest],
        cwd=folder,
        env=variables(folder, more),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return done


def build(folder: Path, *options: str, more: Mapping[str, str] = {}) -> Path:
    """Build the book in a copy, and return where its pages are."""
    run(["jupyter-book", "build", ".", *options], folder, more)
    return folder / "_build" / "html"


def build_editions(folder: Path, more: Mapping[str, str] = {}) -> Path:
    """Build the other languages of a book that is built, and return where all its pages are."""
    run(["python", "-m", "book._ext.editions", "build"], folder, more)
    return folder / "_build" / "html"


def sums(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
