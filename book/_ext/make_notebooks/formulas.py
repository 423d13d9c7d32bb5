r"""Formulas: what Sphinx adds to them is written out, and lines are joined where they must be.

Sphinx sets bare rows (``\\`` outside every environment) as ``aligned``, and parts between blank
lines one below the other.
"""

from __future__ import annotations

import re

from .book import Place
from .lines import one_line

__all__ = ["display", "environment", "inline_formula"]


def display(content: str, number: int, place: Place) -> list[str]:
    """Return a formula set apart, with its number unless that is 0."""
    parts = [part.strip("\n") for part in re.split(r"\n\s*\n", content.strip())]
    parts = [_wrapped("aligned", part) if _has_bare_rows(part) else part for part in parts]
    body = parts[0] if len(parts) == 1 else _wrapped("gathered", " \\\\\n".join(parts))
    lines = [line.rstrip() for line in body.split("\n") if line.strip()]
    tag = [rf"\tag{{{number}}}"] if number else []
    if place.quoted:
        # On one line a comment would swallow what follows.
        bare = [re.sub(r"(?<!\\)((?:\\\\)*)%.*$", r"\1", line).strip() for line in [*lines, *tag]]
        return [f"$${' '.join(filter(None, bare))}$$"]
    return ["$$", *lines, *tag, "$$"]


def environment(content: str, place: Place) -> list[str]:
    r"""Return a bare ``\begin{…} … \end{…}`` as a formula set apart.

    Raises
    ------
    SourceError
        If it is none of those that stand without a number.
    """
    match = re.match(r"\\begin\{(\w+)\*\}(.*)\\end\{\1\*\}$", content.strip(), re.DOTALL)
    inner = {"align": "aligned", "gather": "gathered", "equation": ""}
    if not match or match[1] not in inner:
        raise place.error(
            "of the bare environments only equation*, align* and gather* have a "
            "translation; a numbered formula is written $$ … $$ (label)"
        )
    name, body = inner[match[1]], match[2].strip("\n")
    return display(_wrapped(name, body) if name else body, 0, place)


def inline_formula(content: str, place: Place, *, double: bool = False) -> str:
    """Return a formula in a line of text; ``double`` if it stood between two dollars a side."""
    content = content.strip()
    if double and _has_bare_rows(content):
        content = _wrapped("aligned", content)
    if place.quoted or place.cell:
        content = one_line(content)
    if place.cell:
        content = content.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    mark = "$$" if double else "$"
    return f"{mark}{content}{mark}"


def _wrapped(name: str, latex: str) -> str:
    return f"\\begin{{{name}}}\n{latex}\n\\end{{{name}}}"


def _has_bare_rows(latex: str) -> bool:
    """Return whether rows or columns stand outside every environment; Sphinx aligns those."""
    depth = 0
    for match in re.finditer(r"\\begin\b|\\end\b|\\\\|\\&|&", latex):
        depth += {r"\begin": 1, r"\end": -1}.get(match[0], 0)
        if not depth and match[0] in ("\\\\", "&"):
            return True
    return False
