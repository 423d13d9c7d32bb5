"""A small book of one's own, written to a folder, read and translated."""

import json
import re
import textwrap

import nbformat
import pytest

from book._ext.make_notebooks.book import Place, read_book
from book._ext.make_notebooks.labels import collect
from book._ext.make_notebooks.notebook import notebooks

HEADER = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n\n"
BIBLIOGRAPHY = r"""
@misc{child2019sparse,
  author = {Child, Rewon and Gray, Scott and Radford, Alec and Sutskever, Ilya},
  title = {{Generating Long Sequences}}, year = {2019}, eprint = {1904.10509}}
@article{lee2021two,
  author = {Lee-Thorp, James and Re{\'e}, Ann}, title = {Two {FFT}s}, year = {2021},
  journal = {A Journal}, doi = {10.1000/x}}
"""
# The smallest PNG: one transparent pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fcff"
    "1f0002fe01fd5c7f2b9f0000000049454e44ae426082"
)


@pytest.fixture
def small_book(tmp_path):
    """Return a function that writes a book of a few pages and reads it."""

    def make(text, *, others=None, config="", **options):
        pages = {"book/00-page": HEADER + "# Page\n\n" + textwrap.dedent(text), **(others or {})}
        for name, content in pages.items():
            file = tmp_path / f"{name}.md"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        files = "".join(f"  - file: {name}\n" for name in list(pages)[1:])
        (tmp_path / "_toc.yml").write_text(
            f"format: jb-book\nroot: book/00-page\nchapters:\n{files}"
            if files
            else "format: jb-book\nroot: book/00-page\n",
            encoding="utf-8",
        )
        (tmp_path / "_config.yml").write_text(
            "title: T\nrepository: {url: https://github.com/o/r, branch: main}\n"
            "bibtex_bibfiles: [book/references.bib]\n"
            "parse:\n  myst_enable_extensions: [amsmath, attrs_inline, colon_fence, deflist, "
            f"dollarmath, substitution]\n{config}",
            encoding="utf-8",
        )
        (tmp_path / "book" / "references.bib").write_text(BIBLIOGRAPHY, encoding="utf-8")
        (tmp_path / "book" / "pixel.png").write_bytes(PIXEL)
        (tmp_path / "book" / "code.py").write_text(
            "A = 1\n\n\ndef f():\n    return '```'\n", encoding="utf-8"
        )
        return read_book(tmp_path, **options)

    return make


@pytest.fixture
def place(small_book):
    """Return a function that gives the place of a text on the small book's first page."""

    def make(text="", **options):
        book = small_book(text, **options)
        collect(book)
        return Place(book, book.pages["book/00-page"])

    return make


@pytest.fixture
def write(small_book):
    """Return a function that translates a page and gives its cells, sources joined."""

    def translate(text, **options):
        notebook = notebooks(small_book(text, **options))["00-page.ipynb"]
        nbformat.validate(json.loads(notebook))
        return json.loads(notebook)["cells"]

    return translate


@pytest.fixture
def body(write):
    """Return a function that translates a page and gives what stands between head and tail."""

    def translate(text, **options):
        cells = write(text, **options)
        source = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        source = re.sub(r"\A.*?\n\nFrom \[[^\n]*\n*", "", source, flags=re.DOTALL)
        return source[: source.index("## Other chapters")].strip()

    return translate
