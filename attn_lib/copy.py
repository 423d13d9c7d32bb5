"""Write one mechanism, with all that it needs, as a single file that asks for torch alone.

    python -m attn_lib.copy performer

writes ``performer.py``, to lie beside a model of your own. The file is put together from this
package's own source: the mechanism's module whole, and of the others what it uses.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

__all__ = ["single_file"]

_PACKAGE = "attn_lib"
_ROOT = Path(__file__).parent
_LICENCE = "MIT licence; keep this line and the text of the licence with copies."


def single_file(name: str) -> str:
    """Return the source of one mechanism as a module of its own.

    Parameters
    ----------
    name : str
        Of a module in `attn_lib.mechanisms`, for instance "performer".

    Returns
    -------
    str
        Python source that imports torch and the standard library alone.

    Raises
    ------
    ValueError
        If there is no such mechanism.
    """
    if name not in _mechanisms():
        known = ", ".join(_mechanisms())
        raise ValueError(f"name must be one of {known}, got {name!r}")
    return _Collection(f"{_PACKAGE}.mechanisms.{name}").text()


def _mechanisms() -> list[str]:
    return sorted(path.stem for path in (_ROOT / "mechanisms").glob("[!_]*.py"))


@dataclass
class _Module:
    """One module of the package: its source, and what it defines."""

    name: str
    chosen: set[str] = field(default_factory=set)
    """Which of its definitions the file takes."""

    @cached_property
    def path(self) -> Path:
        place = _ROOT.joinpath(*self.name.split(".")[1:])
        return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Top-level names and the statement that defines each; imports set aside."""
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {one.id: node for one in targets if isinstance(one, ast.Name)}
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[str, str | None]]:
        """Imported names: the module each comes from, and its name there (None: the module)."""
        found: dict[str, tuple[str, str | None]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for one in node.names:
                    found[one.asname or one.name.split(".")[0]] = (one.name, None)
            elif isinstance(node, ast.ImportFrom) and node.module not in (None, "__future__"):
                for one in node.names:
                    place: tuple[str, str | None] = (str(node.module), one.name)
                    if _is_module(f"{node.module}.{one.name}"):
                        place = (f"{node.module}.{one.name}", None)
                    found[one.asname or one.name] = place
        return found


def _is_module(name: str) -> bool:
    if name.split(".")[0] != _PACKAGE:
        return False
    place = _ROOT.joinpath(*name.split(".")[1:])
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


class _Globals(ast.NodeVisitor):
    """Collect the uses of a module's global names in a statement: no parameters, no locals."""

    def __init__(self) -> None:
        self.names: list[ast.Name] = []
        self.attributes: list[ast.Attribute] = []
        self.scopes: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        if not any(node.id in scope for scope in self.scopes):
            self.names.append(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name):
            self.attributes.append(node)
        self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.Lambda) -> None:
        outside: list[ast.AST] = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += filter(None, (node.args.vararg, node.args.kwarg))
        outside += [one.annotation for one in arguments if one.annotation is not None]
        body = node.body if isinstance(node.body, list) else [node.body]
        if isinstance(node, ast.FunctionDef):
            outside += node.decorator_list
            outside += [node.returns] if node.returns is not None else []
        for one in outside:
            self.visit(one)
        self.scopes.append({one.arg for one in arguments} | set(_stored(body)))
        for one in body:
            self.visit(one)
        self.scopes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)


def _stored(body: Sequence[ast.AST]) -> Iterator[str]:
    """Yield what a function's own statements bind, nested functions set aside."""
    queue: list[ast.AST] = list(body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        queue.extend(ast.iter_child_nodes(node))


def _globals(node: ast.AST) -> _Globals:
    found = _Globals()
    found.visit(node)
    return found


class _Collection:
    """All that one mechanism needs, found from its module on."""

    def __init__(self, start: str) -> None:
        self.start = start
        self.modules: dict[str, _Module] = {}
        self.by_attribute: set[tuple[str, str]] = set()
        for name in self._module(start).definitions:
            self._take(start, name)

    def _module(self, name: str) -> _Module:
        return self.modules.setdefault(name, _Module(name))

    def _home(self, module: str, name: str) -> tuple[str, str]:
        """Return where a name is defined that a module of the package may only hand on."""
        while name not in self._module(module).definitions:
            module, original = self._module(module).imports[name]
            name = name if original is None else original
        return module, name

    def _take(self, module: str, name: str) -> None:
        home = self._module(module)
        if name in home.chosen or (name == "__all__" and module != self.start):
            return
        home.chosen.add(name)
        for target, wanted in self._uses(home, home.definitions[name]):
            self._take(target, wanted)

    def _uses(self, module: _Module, node: ast.stmt) -> Iterator[tuple[str, str]]:
        """Yield the package's definitions that a statement uses."""
        found = _globals(node)
        for use in found.names:
            if use.id in module.definitions:
                yield module.name, use.id
            elif use.id in module.imports:
                source, original = module.imports[use.id]
                if original is not None and source.split(".")[0] == _PACKAGE:
                    yield self._home(source, original)
        for attribute in found.attributes:
            home = self._by_attribute(module, attribute)
            if home is not None:
                self.by_attribute.add(home)
                yield home

    def _by_attribute(self, module: _Module, node: ast.Attribute) -> tuple[str, str] | None:
        """Return what ``masks.dense`` stands for, where `masks` is a module of the package."""
        if not isinstance(node.value, ast.Name) or node.value.id not in module.imports:
            return None
        source, original = module.imports[node.value.id]
        if original is not None or not _is_module(source):
            return None
        return self._home(source, node.attr)

    @cached_property
    def renamed(self) -> dict[tuple[str, str], str]:
        """New names: of what modules define alike, and of what was called by its module."""
        owners: dict[str, list[str]] = {}
        for module in self.modules.values():
            for name in module.chosen:
                owners.setdefault(name, []).append(module.name)
        found = {}
        for name, homes in owners.items():
            for home in homes:
                stem = home.split(".")[-1].strip("_")
                if (home, name) in self.by_attribute:
                    found[home, name] = f"{stem}_{name}"
                elif len(homes) > 1 and home != self.start:
                    found[home, name] = f"_{stem}_{name.strip('_')}"
        return found

    def _order(self) -> list[_Module]:
        """Return the modules, each after those that it uses."""
        done: dict[str, _Module] = {}

        def add(module: _Module) -> None:
            if module.name in done:
                return
            for name in module.chosen:
                for target, _ in self._uses(module, module.definitions[name]):
                    if target != module.name:
                        add(self.modules[target])
            done[module.name] = module

        for module in list(self.modules.values()):
            if module.chosen:
                add(module)
        return list(done.values())

    def text(self) -> str:
        """Return the file."""
        order = self._order()
        start = self._module(self.start)
        title = (ast.get_docstring(start.tree, clean=False) or "").rstrip()
        version = _version()
        note = f"Written by ``python -m attn_lib.copy`` from attn_lib {version}. {_LICENCE}"
        parts = [f'r"""{title}\n\n{note}\n"""', *self._imports(order)]
        for module in order:
            parts.append(f"# From {'/'.join(module.name.split('.'))}.py")
            parts += self._statements(module)
        return (
            "\n\n\n".join(parts).replace(
                f'Library("{_PACKAGE}"', f'Library("{self.start.split(".")[-1]}_copy"'
            )
            + "\n"
        )

    def _imports(self, order: list[_Module]) -> list[str]:
        lines: dict[str, set[str]] = {}
        plain: set[str] = set()
        for module in order:
            for name in module.chosen:
                for use in _globals(module.definitions[name]).names:
                    if use.id in module.definitions or use.id not in module.imports:
                        continue
                    source, original = module.imports[use.id]
                    if source.split(".")[0] == _PACKAGE:
                        continue
                    if original is not None:
                        alias = original if original == use.id else f"{original} as {use.id}"
                        lines.setdefault(source, set()).add(alias)
                    else:
                        whole = source.split(".")[0] == use.id
                        plain.add(source if whole else f"{source} as {use.id}")
        every = [f"import {one}" for one in sorted(plain)]
        every += [f"from {one} import {', '.join(sorted(lines[one]))}" for one in sorted(lines)]
        own = [line for line in every if line.split()[1].split(".")[0] != "torch"]
        torchs = [line for line in every if line not in own]
        return ["\n".join(own) + "\n\n" + "\n".join(torchs)]

    def _statements(self, module: _Module) -> Iterator[str]:
        """Yield the chosen statements of a module, in its order, under the file's names."""
        nodes = {id(module.definitions[name]): name for name in module.chosen}
        body = module.tree.body
        for place, node in enumerate(body):
            if id(node) not in nodes:
                continue
            text = self._rewritten(module, node)
            following = body[place + 1] if place + 1 < len(body) else None
            if isinstance(following, ast.Expr) and isinstance(node, ast.Assign | ast.AnnAssign):
                text += "\n" + (ast.get_source_segment(module.source, following) or "")
            yield text

    def _rewritten(self, module: _Module, node: ast.stmt) -> str:
        lines = module.source.splitlines()
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)])
        changes: list[tuple[int, int, int, str]] = []
        found = _globals(node)
        for use in found.names:
            new = self._new_name(module, use.id)
            if new is not None:
                changes.append((use.lineno, use.col_offset, len(use.id), new))
        for part in found.attributes:
            home = self._by_attribute(module, part)
            if home is not None and isinstance(part.value, ast.Name):
                length = len(f"{part.value.id}.{part.attr}")
                changes.append((part.lineno, part.value.col_offset, length, self.renamed[home]))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            new = self.renamed.get((module.name, node.name))
            if new is not None:
                offset = lines[node.lineno - 1].index(node.name)
                changes.append((node.lineno, offset, len(node.name), new))
        for line, offset, length, new in sorted(changes, reverse=True):
            raw = lines[line - 1].encode()
            raw = raw[:offset] + new.encode() + raw[offset + length :]
            lines[line - 1] = raw.decode()
        comments = first - 1
        while comments and lines[comments - 1].startswith("#"):
            comments -= 1
        return "\n".join(lines[comments : node.end_lineno])

    def _new_name(self, module: _Module, name: str) -> str | None:
        """Return what the file calls a global name of a module, where it is another."""
        if name in module.definitions:
            return self.renamed.get((module.name, name))
        if name not in module.imports:
            return None
        source, original = module.imports[name]
        if original is None or source.split(".")[0] != _PACKAGE:
            return None
        home = self._home(source, original)
        return self.renamed.get(home, home[1] if home[1] != name else None)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"


def _main(arguments: list[str] | None = None) -> int:
    """Write a file, and say where."""
    parser = argparse.ArgumentParser(
        prog="python -m attn_lib.copy",
        description="Write one mechanism, with all that it needs, as a single file.",
    )
    parser.add_argument("name", choices=_mechanisms())
    parser.add_argument("-o", "--output", type=Path, help="file to write; - prints it")
    given = parser.parse_args(arguments)
    target = given.output or Path(f"{given.name}.py")
    text = single_file(given.name)
    if str(target) == "-":
        sys.stdout.write(text)
        return 0
    if target.exists():
        parser.error(f"{target} exists already; name another file with -o")
    target.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{target}: {len(text.splitlines())} lines, {given.name}_attention in it\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
