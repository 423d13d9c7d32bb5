"""The first cell finds the library or lets pip fetch it, where nothing of ours is installed."""

import json
import os
import subprocess
import sys

import pytest

ADDRESS = "attn_lib @ https://github.com/o/r/archive/refs/heads/main.zip"
# A folder's name in Chinese, as Python holds it also where a locale knows no Chinese.
BOOK = os.fsdecode("书".encode())
KEPT = ["torch==2.11.0+cu128", "numpy==2.0.2"]
# Stands in for pip: it notes what it is asked for, then makes it, or fails.
PIP = """
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["PYTHONPATH"])
(folder / "asked.json").write_text(json.dumps(sys.argv[1:]), encoding="utf-8")
if os.environ["PIP_FAILS"]:
    sys.stderr.buffer.write("ERROR: no route to 主机".encode())
    sys.exit(1)
(folder / "missing.py").touch()
if any("attn_lib @" in word for word in sys.argv):
    (folder / "attn_lib").mkdir()
    for name in ("__init__", "explorers", "figures"):
        (folder / "attn_lib" / f"{name}.py").touch()
"""
PROJECT = '[project]\ndescription = "注意力"\ndependencies = ["numpy>=1.26", "missing>=2"]\n'


def fill(folder, files):
    """Write files, by their paths in a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def shown(path):
    """Return a path as it is printed."""
    return os.fsencode(path).decode()


def library(needs=""):
    """Return the files of a package that stands in for the library."""
    files = {f"attn_lib/{name}.py": "" for name in ("__init__", "catalog", "figures")}
    return files | {"attn_lib/explorers.py": needs}


@pytest.fixture
def packages(tmp_path):
    """Return a folder of installed packages: pip, torch and NumPy, or what stands in for them."""
    folder = tmp_path / "packages"
    fill(folder, {"pip/__init__.py": "", "pip/__main__.py": PIP})
    for name, version in (kept.split("==") for kept in KEPT):
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        fill(folder, {f"{name}.py": "", f"{name}-{version}.dist-info/METADATA": metadata})
    return folder


@pytest.fixture
def clone(tmp_path):
    """Return a clone in small, at a path with spaces and Chinese characters."""
    folder = tmp_path / f"my {BOOK} folder"
    fill(folder, library("import missing") | {"pyproject.toml": PROJECT, "notebooks/zh/x": ""})
    return folder


@pytest.fixture
def run(write, packages, tmp_path):
    """Return a function that runs the cell in a folder and gives what it did and asked of pip."""
    cell = tmp_path / "cell.py"
    cell.write_text("".join(write("Text.")[0]["source"]), encoding="utf-8")

    def start(folder, *, pip_fails=""):
        settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        settings |= {"PYTHONIOENCODING": "utf-8:surrogateescape"}  # as in a kernel
        settings |= {"PYTHONPATH": str(packages), "PIP_FAILS": pip_fails}
        # -S: not even this environment's packages are there.
        command = [sys.executable, "-S", "-X", "warn_default_encoding", "-W", "error", str(cell)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | settings,
            capture_output=True,
            encoding="utf-8",
        )
        asked = packages / "asked.json"
        words = json.loads(asked.read_text(encoding="utf-8")) if asked.exists() else None
        return done, words

    return start


@pytest.mark.parametrize("where", [".", "notebooks", "notebooks/zh"])
def test_the_clone_around_the_notebook_comes_first(run, clone, packages, where):
    fill(packages, library() | {"missing.py": ""})
    done, asked = run(clone / where)
    assert (done.stderr, done.returncode, asked) == ("", 0, None)
    assert done.stdout == f"The library is in {shown(clone / 'attn_lib')}\n"


def test_what_a_clone_needs_is_installed_and_nothing_replaced(run, clone):
    done, asked = run(clone / "notebooks")
    assert (done.stderr, done.returncode) == ("", 0)
    assert asked == ["install", "--quiet", "numpy>=1.26", "missing>=2", *KEPT]
    first, last = done.stdout.splitlines()
    assert first.startswith("Installing what is missing.")
    assert last == f"The library is in {shown(clone / 'attn_lib')}"


def test_an_installed_library_is_kept(run, packages, tmp_path):
    fill(packages, library())
    done, asked = run(tmp_path)
    assert (done.stderr, done.returncode, asked) == ("", 0, None)
    assert done.stdout == f"The library is in {packages / 'attn_lib'}\n"


def test_an_empty_folder_gets_the_repositorys(run, packages, tmp_path):
    (tmp_path / BOOK).mkdir()
    done, asked = run(tmp_path / BOOK)
    assert (done.stderr, done.returncode) == ("", 0)
    assert asked == ["install", "--quiet", ADDRESS, *KEPT]
    assert done.stdout.splitlines()[1] == f"The library is in {packages / 'attn_lib'}"


def test_nothing_is_pinned_where_there_is_neither_torch_nor_numpy(run, packages, tmp_path):
    for name in ("torch", "numpy"):
        (packages / f"{name}.py").unlink()
    assert run(tmp_path)[1] == ["install", "--quiet", ADDRESS]


@pytest.mark.parametrize("lies_in", ["clone", "nothing"])
def test_without_a_network_it_says_why_and_what_to_do(run, clone, tmp_path, lies_in):
    done, _ = run(clone if lies_in == "clone" else tmp_path, pip_fails="yes")
    assert done.returncode == 1
    message = done.stderr.split("ImportError: ")[1]
    assert message.splitlines() == [
        "ERROR: no route to 主机",
        f'No network? Run on a like machine that has one: pip wheel -w wheels "{ADDRESS}"',
        "Then bring the folder wheels here: pip install --no-index --find-links wheels attn_lib",
    ]
