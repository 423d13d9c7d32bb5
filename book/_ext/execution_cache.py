"""Key the cache of executed notebooks by everything that the cells import.

Jupyter Book's cache looks at a notebook's cells alone, so that after an edit of ``attn_lib`` it
would serve the outputs of yesterday's code. Here the cache's folder is named by a hash of the
library, of the measured results, of the kernels' settings and of the packages that draw the
pictures. The folder is part of Sphinx's environment, so that a new one makes Sphinx read every page
again. After a build with a warning or a failure the environment is thrown away: an incremental
build skips unchanged pages, and would skip their warnings, too.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import kernel_settings
from sphinx.application import Sphinx
from sphinx.config import Config

# What draws in the browser changes no output of a cell.
SUFFIXES = frozenset({".py", ".npz", ".json", ".csv", ".txt"})
PACKAGES = ("anywidget", "ipywidgets", "ipykernel", "matplotlib", "numpy", "torch")
KEPT = 4


def fingerprint(folders: Iterable[Path], versions: Iterable[str] = ()) -> str:
    """Return 16 hex digits that change with any source or data file below `folders`.

    Parameters
    ----------
    folders : iterable of Path
        Folders to read; one that does not exist counts as empty.
    versions : iterable of str
        Further words that the key depends on.
    """
    digest = hashlib.sha256()
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
        for path in files:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
        digest.update(b"--\n")
    for version in versions:
        digest.update(f"{version}\n".encode())
    return digest.hexdigest()[:16]


def installed_versions() -> list[str]:
    """Return the versions of Python and of the packages whose output the pages show."""
    return [
        f"python {platform.python_version()}",
        *(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
    ]


def library_folder(root: Path) -> Path:
    """Return the folder of the ``attn_lib`` that a kernel imports, the checkout's by default."""
    spec = importlib.util.find_spec("attn_lib")
    if spec is None or not spec.submodule_search_locations:
        return root / "attn_lib"
    return Path(next(iter(spec.submodule_search_locations)))


def prune(caches: Path, current: str, kept: int = KEPT) -> None:
    """Remove the oldest folders below `caches`, so that `kept` stay, `current` among them."""
    if not caches.is_dir():
        return
    others = [path for path in caches.iterdir() if path.is_dir() and path.name != current]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[kept - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def key(root: Path) -> str:
    """Return the name of the cache's folder for the book whose root is given."""
    folders = (library_folder(root), root / "benchmarks" / "results")
    return fingerprint(folders, [*installed_versions(), *kernel_settings.settings()])


def choose_cache(app: Sphinx, config: Config) -> None:
    """Set myst-nb's cache folder, and the variable that tells kernels of the book's build."""
    os.environ["ATTN_LIB_BOOK"] = "1"
    # Editions in other languages are built from the same executed cells.
    caches = Path(config["execution_caches"] or Path(app.outdir).parent / ".jupyter_cache")
    current = key(Path(app.srcdir))
    prune(caches, current)
    config["nb_execution_cache_path"] = str(caches / current)


def build_font_cache(app: Sphinx) -> None:
    """Import matplotlib's font list once, so that no cell reports on building it."""
    import matplotlib.font_manager  # noqa: F401


def remove_reports(app: Sphinx) -> None:
    """Remove what an earlier build reported of cells that failed: it is no part of the book."""
    shutil.rmtree(Path(app.outdir) / "reports", ignore_errors=True)


def forget_after_warnings(app: Sphinx, exception: Exception | None) -> None:
    """Throw the environment away after a build that failed or warned."""
    if exception is not None or app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_config_value("execution_caches", None, "env", types=[str])
    app.connect("config-inited", choose_cache)
    app.connect("builder-inited", build_font_cache)
    app.connect("builder-inited", remove_reports)
    app.connect("build-finished", forget_after_warnings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
