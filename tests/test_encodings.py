"""No file is read or written, and no program listened to, in whatever encoding a machine has.

A rule of ruff's for this, PLW1514, is a preview, and does not look at programs.
"""

import ast
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("attn_lib", "benchmarks", "book", "tests")
# Where the encoding stands if it has no name, counted from 0; where the mode stands.
TEXT = {"read_text": 0, "write_text": 1}
OPEN = {"open": 1, "fdopen": 1, "NamedTemporaryFile": 0, "TemporaryFile": 0}
PROGRAM = {"run", "Popen", "check_output"}
# Classes whose `open` takes no encoding.
OTHERS = {"Image", "os", "super()", "tarfile", "webbrowser", "zipfile", "self"}


def without_encoding(source):
    """Return the calls in a source that take the machine's encoding, as (line, call)."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        name = call.func.attr if owner else getattr(call.func, "id", "")
        named = {word.arg: word.value for word in call.keywords}
        if name in TEXT:
            missing = len(call.args) <= TEXT[name]
        elif name in OPEN and owner not in OTHERS:
            # A path's own `open` has no path before the mode.
            at = OPEN[name] - (name == "open" and owner not in ("", "gzip", "io"))
            mode = named.get("mode", call.args[at] if len(call.args) > at else None)
            default = "w+b" if "Temporary" in name else "r"
            missing = "b" not in (ast.unparse(mode) if mode else default)
        else:
            missing = name in PROGRAM and bool({"text", "universal_newlines"} & named.keys())
        if missing and "encoding" not in named:
            found.append((call.lineno, ast.unparse(call)))
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_text_has_an_encoding(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        found = without_encoding(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_the_search_finds_what_it_looks_for():
    calls = """\
        p.read_text()
        p.write_text("a")
        open(p)
        p.open("w")
        subprocess.run(command, text=True)
        NamedTemporaryFile("w")
        """
    assert [line for line, _ in without_encoding(textwrap.dedent(calls))] == [1, 2, 3, 4, 5, 6]
    calls = """\
        p.read_text("utf-8")
        p.write_text("a", encoding="utf-8")
        open(p, "rb")
        p.open(mode="wb")
        Image.open(p)
        subprocess.run(command, capture_output=True)
        NamedTemporaryFile()
        """
    assert without_encoding(textwrap.dedent(calls)) == []
