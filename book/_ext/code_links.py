"""Lead from the names of ``attn_lib`` in a chapter's code to their pages of reference.

A name links once on a page in its cells, where a reader first meets it in use, and once in its
prose. More would make a hundred stops for those who walk a page by the tabulator key. In a cell the
link has the look of the code around it; copied code is the same as before.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from docutils import nodes
from reference import PACKAGE, is_reference
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

CELL = re.compile(
    r'(<div class="cell_input docutils container">\s*<div class="highlight-ipython3[^>]*>'
    r'<div class="highlight"><pre>)(.*?)(?=</pre>)',
    re.S,
)
PIECE = re.compile(r"<[^>]*>|&[#\w]+;|.", re.S)
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


class Known(Protocol):
    """The full names that have a place of their own."""

    def __contains__(self, name: object, /) -> bool:
        """Say whether a name has."""


@dataclass(frozen=True)
class Use:
    """A name of the library in the code of a cell: which, from where to where, and how."""

    name: str
    start: int
    end: int
    imported: bool


@dataclass
class Reader:
    """Reads the cells of a page in their order, and remembers what they import."""

    known: Known
    names: dict[str, str] = field(default_factory=dict)
    """The full name behind each name that stands for something of the library now."""

    def read(self, code: str) -> list[Use]:
        """Return the uses of the library's names in a cell; none where it is no plain Python."""
        try:
            tree = ast.parse(code)
        except SyntaxError:
            return []
        starts = [0]
        for line in code.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        lines = code.splitlines()

        def place(line: int, column: int) -> int:
            return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

        uses = []
        for name, node, imported in self._walk(tree):
            start = place(node.lineno, node.col_offset)
            end = place(node.end_lineno or node.lineno, node.end_col_offset or 0)
            if isinstance(node, ast.alias):
                end = start + len(node.name)
            uses.append(Use(name, start, end, imported))
        return sorted(uses, key=lambda use: use.start)

    def _walk(self, node: ast.AST) -> Iterator[tuple[str, Any, bool]]:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                self.names.pop(alias.asname or alias.name, None)
                if full.startswith(f"{PACKAGE}.") and full in self.known:
                    self.names[alias.asname or alias.name] = full
                    yield full, alias, True
            return
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            dotted = ast.unparse(node)
            full = self.full_name(dotted) if DOTTED.fullmatch(dotted) else None
            if full is not None:
                yield full, node, False
                return
        for child in ast.iter_child_nodes(node):
            yield from self._walk(child)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self.names.pop(node.id, None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.names.pop(node.name, None)

    def full_name(self, dotted: str) -> str | None:
        """Return what a dotted name stands for, None where it is nothing of the library."""
        first, dot, rest = dotted.partition(".")
        full = self.names.get(first, "") + dot + rest
        return full if first in self.names and full in self.known else None


def chosen(cells: Iterable[tuple[bool, list[Use]]]) -> list[list[Use]]:
    """Return for each cell the uses to link, one of each name on the page.

    A use in sight comes before a hidden one, one in action before an import, an earlier before a
    later.

    Parameters
    ----------
    cells : iterable of (bool, list of Use)
        Whether a cell is hidden at first, and its uses.
    """
    best: dict[str, tuple[bool, bool, int, int]] = {}
    cells = list(cells)
    for at, (hidden, uses) in enumerate(cells):
        for use in uses:
            rank = (hidden, use.imported, at, use.start)
            best[use.name] = min(best.get(use.name, rank), rank)
    return [
        [use for use in uses if best[use.name][2:] == (at, use.start)]
        for at, (_, uses) in enumerate(cells)
    ]


def plain(markup: str) -> str:
    """Return the code in a cell's markup."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def link(markup: str, uses: Iterable[Use], addresses: dict[str, str]) -> str:
    """Return a cell's markup with links around the given uses.

    Parameters
    ----------
    markup : str
        As Pygments writes it: one element a token, none within another.
    uses : iterable of Use
    addresses : dict
        From full names to where their links lead.
    """
    opened: dict[int, int] = {}  # place in the code -> where the element that begins there begins
    closed: dict[int, int] = {}  # place behind a character -> behind the element that ends there
    place, tag = 0, None
    for piece in PIECE.finditer(markup):
        if piece[0].startswith("</"):
            closed[place] = piece.end()
        elif piece[0].startswith("<"):
            tag = piece.start()
        else:
            opened[place] = piece.start() if tag is None else tag
            place, tag = place + 1, None
            closed[place] = piece.end()
    for use in sorted(uses, key=lambda use: -use.start):
        start, end = opened[use.start], closed[use.end]
        inner = markup[start:end]
        anchor = f'<a class="in-code" href="{html.escape(addresses[use.name])}">{inner}</a>'
        markup = markup[:start] + anchor + markup[end:]
    return markup


def objects(app: Sphinx) -> dict[str, Any]:
    """Return all that has a place in the reference, by its full name."""
    return app.env.get_domain("py").objects  # type: ignore[attr-defined,no-any-return]


def link_cells(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Link names in the cells of a page."""
    body = context.get("body", "")
    found = list(CELL.finditer(body))
    if not found or is_reference(app, pagename):
        return
    places = objects(app)
    reader = Reader(places)
    cells = []
    for cell in found:
        before = body[: cell.start()]
        hidden = before.count("<details") > before.count("</details>")
        cells.append((hidden, reader.read(plain(cell[2]))))
    addresses = {
        use.name: f"{app.builder.get_relative_uri(pagename, places[use.name].docname)}"
        f"#{places[use.name].node_id}"
        for _, uses in cells
        for use in uses
    }
    marked = iter(chosen(cells))
    context["body"] = CELL.sub(lambda cell: cell[1] + link(cell[2], next(marked), addresses), body)


def link_prose(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link each name the first time that a page's prose says it."""
    if app.builder.format != "html" or is_reference(app, docname):
        return
    places = objects(app)
    reader = Reader(places)
    for cell in doctree.findall(nodes.literal_block):
        if "cell_input" in cell.parent.get("classes", ()):
            reader.read(cell.astext())
    done = set()
    for node in list(doctree.findall(nodes.literal)):
        said = node.astext().removesuffix("()")
        name = reader.full_name(said)
        if name is None and DOTTED.fullmatch(said):
            name = f"{PACKAGE}.{said.removeprefix(f'{PACKAGE}.')}"
        entry = places.get(name)
        if entry is None or name in done or _in_link_or_title(node):
            continue
        if entry.objtype == "module" and said != name:
            continue  # a word that is a module's name, too
        done.add(name)
        reference = make_refnode(
            app.builder, docname, entry.docname, entry.node_id, node.deepcopy(), None
        )
        node.replace_self(reference)


def _in_link_or_title(node: nodes.Node) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.reference | nodes.title):
            return True
    return False


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("doctree-resolved", link_prose)
    app.connect("html-page-context", link_cells)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
