"""One mechanism in a file of its own: it runs where torch is alone, and gives the same numbers."""

import ast
import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

import attn_lib
from attn_lib.catalog import MECHANISMS
from attn_lib.copy import _main, single_file

NAMES = [mechanism.name for mechanism in MECHANISMS]
every_mechanism = pytest.mark.parametrize("name", NAMES)
OPTIONS = {
    "sparse_transformer": {"stride": 4},
    "explicit_sparse": {"topk": 3},
    "longformer": {"window": 3, "global_tokens": [0, 9], "dilation": [1, 2]},
    "reformer": {"bucket_size": 4, "num_hashes": 2},
    "linformer": {"key_projection": torch.eye(5, 20), "value_projection": torch.eye(5, 20)},
    "performer": {"features": 7},
}
ALONE = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("attn_lib", "matplotlib", "IPython", "anywidget", "ipywidgets"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import alone
print(sorted(alone.__all__))
"""


@pytest.fixture(scope="module")
def copies() -> dict[str, ModuleType]:
    found = {}
    for name in NAMES:
        spec = importlib.util.spec_from_loader(f"copied_{name}", loader=None)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module  # dataclasses look their module up
        exec(compile(single_file(name), f"{name}.py", "exec"), module.__dict__)
        found[name] = module
    return found


def _run(module: ModuleType, name: str) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    q, k, v, p = torch.randn(4, 2, 2, 20, 8, generator=generator)
    key_mask = torch.arange(20) < torch.tensor([[20], [13]])
    tensors = {"reformer": (q, v), "luna": (q, p[:, :, :3], k, v)}.get(name, (q, k, v))
    leaves = [x.clone().requires_grad_() for x in tensors]
    torch.manual_seed(3)
    attend = getattr(module, f"{name}_attention")
    out = attend(*leaves, key_mask=key_mask, **OPTIONS.get(name, {}))
    return out.detach(), *torch.autograd.grad(out.sin().sum(), leaves)


@every_mechanism
def test_numbers_and_gradients_are_the_library_s(copies: dict[str, ModuleType], name: str) -> None:
    for one, other in zip(_run(copies[name], name), _run(attn_lib, name), strict=True):
        assert one.equal(other)


@every_mechanism
def test_all_that_is_public_is_there(copies: dict[str, ModuleType], name: str) -> None:
    module = importlib.import_module(f"attn_lib.mechanisms.{name}")
    assert copies[name].__all__ == module.__all__
    for one in module.__all__:
        assert getattr(copies[name], one).__doc__ == getattr(module, one).__doc__


@every_mechanism
def test_it_imports_torch_and_the_standard_library(name: str) -> None:
    roots = set()
    for node in ast.walk(ast.parse(single_file(name))):
        if isinstance(node, ast.Import):
            roots |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add(str(node.module).split(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"torch"}


@every_mechanism
def test_every_name_is_defined_and_every_import_used(name: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "-"]
    done = subprocess.run(
        command, input=single_file(name), capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout


@every_mechanism
def test_it_says_whose_it_is(name: str) -> None:
    head = ast.get_docstring(ast.parse(single_file(name)))
    assert "arXiv" in head
    assert "MIT licence" in head


def test_it_runs_where_the_library_is_not(tmp_path) -> None:
    _main(["performer", "-o", str(tmp_path / "alone.py")])
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "performer_attention" in done.stdout


def test_nothing_is_overwritten(tmp_path, capsys) -> None:
    target = tmp_path / "mine.py"
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit):
        _main(["luna", "-o", str(target)])
    assert "exists already" in capsys.readouterr().err
    assert target.read_text(encoding="utf-8") == "mine"


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^name must be one of .*got 'flash'$"):
        single_file("flash")


def test_it_can_be_printed(capsys) -> None:
    assert _main(["softmax", "-o", "-"]) == 0
    assert capsys.readouterr().out == single_file("softmax")
