"""Run of a page only what a name needs: the cells that bind the names used, and no others."""

import ast
import builtins
import hashlib
import symtable
from dataclasses import dataclass, field
from pathlib import Path

from myst_nb.core.read import read_myst_markdown_notebook

__all__ = ["ROOT", "Cell", "apart", "code_cells", "fingerprint", "needed", "run"]

ROOT = Path(__file__).resolve().parents[1]
ALWAYS_THERE = {*dir(builtins), "__name__"}


@dataclass
class Cell:
    """A code cell as it is printed, and the names by which it depends on others."""

    source: str
    binds: set[str] = field(default_factory=set)
    # What must be bound before the cell runs, and what before its functions are called.
    needs: set[str] = field(default_factory=set)
    needs_when_called: set[str] = field(default_factory=set)
    # Functions that still wait for their body.
    empty: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for statement in ast.parse(self.source).body:
            bound, read, read_inside = _names(statement)
            # A loop binds what it reads; `x = x + 1` reads what was bound before.
            is_plain = isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign)
            self.needs |= read - self.binds - (set() if is_plain else bound)
            self.needs_when_called |= read_inside
            self.binds |= bound
            if isinstance(statement, ast.FunctionDef) and ast.unparse(statement.body) == "...":
                self.empty.append(statement.name)
        self.needs_when_called -= self.binds


def code_cells(page: Path) -> list[Cell]:
    """Return the code cells of a page, in order."""
    notebook = read_myst_markdown_notebook(page.read_text(encoding="utf-8"), path=page)
    return [Cell(cell.source) for cell in notebook.cells if cell.cell_type == "code"]


def needed(cells: list[Cell], *wanted: str) -> list[Cell]:
    """Return the cells by which the wanted names come to be, in the order of the page.

    A cell finds a name in the last cell before it that binds it; a function that is called in a
    wanted cell finds it in the last one before that.
    """
    chosen: set[int] = set()

    def choose(name: str, before: int, called: int | None = None) -> None:
        index = next((i for i in reversed(range(before)) if name in cells[i].binds), None)
        if index is None:
            raise NameError(f"no cell before the page's cell {before + 1} binds {name!r}")
        if index in chosen:
            return
        chosen.add(index)
        called = index if called is None else called
        for other in sorted(cells[index].needs):
            choose(other, index, called)
        for other in sorted(cells[index].needs_when_called):
            choose(other, called, called)

    for name in wanted:
        choose(name, len(cells))
    return [cells[index] for index in sorted(chosen)]


def run(cells: list[Cell]) -> dict[str, object]:
    """Run cells one after another and return the names that they bind."""
    names: dict[str, object] = {"__name__": "page"}
    for cell in cells:
        exec(compile(cell.source, "<a cell of the page>", "exec"), names)
    return names


def apart(cells: list[Cell]) -> list[Cell]:
    """Take cells to pieces, in their order: the imports, each function and class, and the rest.

    So a function can be had without what its cell does besides.
    """
    found = []
    for cell in cells:
        lines = cell.source.splitlines()
        imports: list[str] = []
        pieces: list[list[str]] = [[]]
        end = 0
        for statement in ast.parse(cell.source).body:
            decorators = getattr(statement, "decorator_list", [])
            first = min([statement.lineno, *(one.lineno for one in decorators)]) - 1
            pieces[-1] += lines[end:first]
            end = statement.end_lineno or first + 1
            if isinstance(statement, ast.Import | ast.ImportFrom):
                imports += lines[first:end]
            elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
                pieces += [lines[first:end], []]
            else:
                pieces[-1] += lines[first:end]
        pieces[-1] += lines[end:]
        sources = ["\n".join(piece).strip("\n") for piece in (imports, *pieces)]
        found += [Cell(source) for source in sources if source.strip()]
    return found


def fingerprint(cells: list[Cell]) -> str:
    """Return the SHA-256 of the cells' source, but for spaces at the ends of lines."""
    lines = [line.rstrip() for cell in cells for line in [*cell.source.splitlines(), "# %%"]]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _names(statement: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Return the names that a statement binds, reads, and reads when its functions are called."""
    table = symtable.symtable(ast.unparse(statement), "<cell>", "exec")
    symbols = table.get_symbols()
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    read = {s.get_name() for s in symbols if s.is_referenced()}
    inside, at_once = set(), set()
    for child in table.get_children():
        # A comprehension runs where it stands, and a class's bases and body do too.
        later = child.get_type() == "function" and isinstance(statement, ast.FunctionDef)
        (inside if later else at_once).update(_taken_from_outside(child))
    return bound, (read | at_once) - ALWAYS_THERE, inside - ALWAYS_THERE


def _taken_from_outside(table: symtable.SymbolTable) -> set[str]:
    names = {s.get_name() for s in table.get_symbols() if s.is_global()}
    return names.union(*map(_taken_from_outside, table.get_children()))
