"""The notebooks of this book: fresh, free of MyST, clean and valid."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from book._ext.make_notebooks.book import read_book
from book._ext.make_notebooks.notebook import notebooks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY_LANGUAGE = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def read(path):
    """Return a notebook as plain data."""
    return json.loads(path.read_text(encoding="utf-8"))


def named(path):
    """Return what tells a notebook from those of other chapters and languages."""
    return path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()


def test_notebooks_are_fresh():
    files = notebooks(read_book(ROOT))
    assert {path.name for path in NOTEBOOKS} == set(files), "run `make notebooks`"
    for path in NOTEBOOKS:
        fresh = path.read_text(encoding="utf-8") == files[path.name]
        assert fresh, f"{path.name} is stale: run `make notebooks`"


def prose(cell):
    """Return a Markdown cell's text without its code, formulas and embedded images."""
    text = "".join(cell["source"])
    text = re.sub(r"(?ms)^([> ]*)(`{3,}|~{3,})(?!\{).*?^\1\2$", "", text)
    text = re.sub(r"\(data:[^)]*\)", "()", text)
    text = re.sub(r"(?s)\$\$.*?\$\$|(?<!\\)\$[^$]+\$", "", text)
    return re.sub(r"(?s)(?<!`)(?<!\})(`+)(?!`).*?(?<!`)\1(?!`)", "", text)


MYST = [
    r"^[>\s]*(?:```+|~~~+|:::+)\s*\{",
    r"^[>\s]*:::",
    r"\{[A-Za-z][\w:+-]*\}`",
    r"^[>\s]*\([^)\s]+\)=\s*$",
    r"\[\^[^\]]+\]",
    r"\{\{.*?\}\}",
    r"^\+\+\+",
    r"^% ",
    r"\]\([^)]*\.md[)#]",
    r"\]\(\)",
    r"attachment:",
    r"\]\{[.#]",
    # Links to a place inside a notebook: each editor follows others.
    r"\]\([^):]*#",
    r"<a\s",
]


@pytest.mark.parametrize("path", EVERY_LANGUAGE, ids=named)
def test_no_myst_is_left(path):
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "markdown":
            text = prose(cell)
            left = [m[0] for rule in MYST for m in re.finditer(rule, text, re.MULTILINE)]
            left = [found for found in left if "blob/main" not in found]
            assert not left, (cell["id"], left)


@pytest.mark.parametrize(
    "text",
    [
        ":::{note}",
        "{ref}`x`",
        "(a)=",
        "[^1]",
        "{{ x }}",
        "> ```{tip}",
        "[](a.md)",
        "+++",
        "[a](#b)",
        "[a](b.ipynb#c)",
    ],
)
def test_the_search_for_myst_finds_it(text):
    text = prose({"source": [f"Before `code` and\n{text}\nafter."]})
    assert any(re.search(rule, text, re.MULTILINE) for rule in MYST)


def formulas_in_html(text):
    """Return the lines of HTML that hold a formula, which VS Code would show as it is written."""
    tokens = MarkdownIt("commonmark").use(dollarmath_plugin).parse(text)
    inner = [child for token in tokens for child in token.children or []]
    html = [token.content for token in [*tokens, *inner] if token.type.startswith("html_")]
    return [line for block in html for line in block.split("\n") if "$" in line]


@pytest.mark.parametrize("path", EVERY_LANGUAGE, ids=named)
def test_formulas_stand_in_markdown_also_where_it_is_folded(path):
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "markdown":
            assert not formulas_in_html("".join(cell["source"])), cell["id"]


def test_the_search_for_formulas_in_html_finds_them():
    text = "<details>\n<summary>Title $a$</summary>\n\nText $b$.\n\n<p>$c$\n\n</details>"
    assert formulas_in_html(text) == ["<summary>Title $a$</summary>", "<p>$c$"]


@pytest.mark.parametrize("path", EVERY_LANGUAGE, ids=named)
def test_notebook_is_clean_and_valid(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.book
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_equations_have_the_numbers_of_the_built_page(path):
    page = (ROOT / "_build" / "html" / "book" / f"{path.stem}.html").read_text(encoding="utf-8")
    cells = read(path)["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    mine = re.findall(r"\\tag\{(\d+)\}", text)
    assert mine == re.findall(r'<span class="eqno">\((\d+)\)', page)
