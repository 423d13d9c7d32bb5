"""The notebooks run from an empty folder where only the library is installed.

In the gate all run as in Colab. By this project's own versions, with which the book's build runs
all cells, one runs there, and the others in the soak.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import builds
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUNNER = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
try:
    NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
finally:
    nbformat.write(notebook, sys.argv[2])
"""
COLAB = ["ipython==7.34.0", "ipykernel==6.17.1", "ipywidgets==7.7.1", "anywidget==0.9.21"]
SHORTEST = "03-longformer"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def read(path):
    """Return a notebook as plain data."""
    return json.loads(path.read_text(encoding="utf-8"))


def pip(*arguments, python=sys.executable):
    """Run pip for an environment and fail with what it says."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--python", str(python), *arguments], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """Return the wheel and the source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    builds.run(["python", "-m", "hatchling", "build", "--directory", folder], ROOT)
    return {
        "colab": next(folder.glob("attn_lib-*.whl")),
        "pinned": next(folder.glob("attn_lib-*.tar.gz")),
    }


@pytest.fixture(scope="session")
def environment(request, distributions):
    """Return a function that gives a clean environment's Python, made once and kept."""

    def make(name):
        library = distributions[name]
        pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
        if name == "colab":
            # Colab has its own versions of all others; these are heavy and must not vary.
            lines = re.findall(r"(?m)^(?:torch|numpy|matplotlib|transformers)==\S+", pins)
            lines += re.findall(r"(?m)^--\S.*", pins)
            pins = "\n".join([*lines, *COLAB]) + "\n"
        key = hashlib.sha256(f"{sys.version}\n{pins}".encode()).hexdigest()[:12]
        cache = Path(sys.prefix) / "notebooks"
        if sys.prefix == sys.base_prefix:
            cache = Path(request.config.cache.mkdir("notebooks"))
        folder = cache / f"{name}-{key}"
        python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        if not (folder / "made").exists():
            for old in cache.glob(f"{name}-*"):
                shutil.rmtree(old)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
            constraints = folder / "constraints.txt"
            constraints.write_text(pins, encoding="utf-8")
            packages = COLAB if name == "colab" else ["ipykernel"]
            pip(
                *("install", "--quiet", "--no-compile", "--constraint", str(constraints)),
                *(f"attn_lib[huggingface] @ {library.as_uri()}", "nbclient", *packages),
                python=python,
            )
            (folder / "made").touch()
        pip("install", "--quiet", "--no-deps", "--force-reinstall", str(library), python=python)
        pip("check", python=python)
        return python

    made = {}
    return lambda name: made[name] if name in made else made.setdefault(name, make(name))


@pytest.mark.notebooks
def test_wheel_carries_what_is_not_python(distributions):
    names = set(zipfile.ZipFile(distributions["colab"]).namelist())
    explorers = ROOT / "attn_lib" / "explorers"
    sources = {*explorers.glob("*.mjs"), *(explorers / "front").iterdir()}
    for file in (ROOT / "attn_lib").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert (file.relative_to(ROOT).as_posix() in names) == (file not in sources)
    results = ROOT / "benchmarks" / "results"
    for file in results.rglob("*.json"):
        assert f"attn_lib/data/measured/{file.relative_to(results).as_posix()}" in names
    assert {f"attn_lib/explorers/built/{file}" for file in ("book.js", "explorer.css")} <= names
    assert not any(name.split("/")[0] in ("tests", "benchmarks", "book") for name in names)


def cases():
    """Yield every notebook with every environment; those that prove little again, for the soak."""
    for path in NOTEBOOKS:
        yield pytest.param(path, "colab", id=f"{path.stem}-colab")
        late = () if path.stem == SHORTEST else (pytest.mark.soak,)
        yield pytest.param(path, "pinned", id=f"{path.stem}-pinned", marks=late)


@pytest.mark.notebooks
@pytest.mark.parametrize(("path", "name"), [*cases()])
def test_notebook_runs_from_an_empty_folder(path, name, environment, tmp_path):
    """No error, nothing on stderr (so no warning), and every explorer shows its widget."""
    python = environment(name)
    folder, out = tmp_path / "empty", tmp_path / "out.ipynb"
    folder.mkdir()
    hidden = {"ATTN_LIB_BOOK", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONWARNINGS"}
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    # Tests run side by side: threads of one would wait for those of another.
    variables["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(
        [str(python), "-I", "-c", RUNNER, str(path), str(out)],
        cwd=folder,
        env=variables | {"IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    cells = [cell for cell in read(out)["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    imports = re.findall(r"(?m)^from attn_lib\.explorers import (.+)$", "\n".join(sources))
    explorers = re.findall(r"\w+", " ".join(imports))
    shown = set()
    for cell, source in zip(cells, sources, strict=True):
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            assert output.get("name") != "stderr", (cell["id"], "".join(output["text"]))
        last = source.rstrip().rsplit("\n", 1)[-1]
        if last.partition("(")[0] in explorers:
            assert any(WIDGET_VIEW in output.get("data", {}) for output in cell["outputs"])
            shown.add(last.partition("(")[0])
    assert shown == set(explorers)
