"""The generated notebooks: fresh, free of MyST, and running where only the wheel is installed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from book._ext.make_notebooks.book import SourceError
from book._ext.make_notebooks.command import main
from book._ext.make_notebooks.notebook import notebooks

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
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


def read(path):
    """Return a notebook as plain data."""
    return json.loads(path.read_text(encoding="utf-8"))


# A small book of one's own


@pytest.fixture
def write(tmp_path):
    """Return a function that translates a page and gives its cells, sources joined."""

    def translate(text, *, others=None, config=""):
        pages = {"book/00-page": HEADER + "# Page\n\n" + textwrap.dedent(text), **(others or {})}
        for name, content in pages.items():
            file = tmp_path / f"{name}.md"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        files = "".join(f"  - file: {name}\n" for name in list(pages)[1:])
        (tmp_path / "_toc.yml").write_text(
            f"format: jb-book\nroot: book/00-page\nchapters:\n{files}"
            if files
            else "format: jb-book\nroot: book/00-page\n"
        )
        (tmp_path / "_config.yml").write_text(
            "title: T\nrepository: {url: https://github.com/o/r, branch: main}\n"
            "bibtex_bibfiles: [book/references.bib]\n"
            "parse:\n  myst_enable_extensions: [amsmath, attrs_inline, colon_fence, deflist, "
            f"dollarmath, substitution]\n{config}"
        )
        (tmp_path / "book" / "references.bib").write_text(BIBLIOGRAPHY)
        (tmp_path / "book" / "pixel.png").write_bytes(PIXEL)
        (tmp_path / "book" / "code.py").write_text("A = 1\n\n\ndef f():\n    return '```'\n")
        notebook = notebooks(tmp_path)["00-page.ipynb"]
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


def test_first_cell_installs_the_library_from_the_configured_address(write):
    first = write("Text.")[0]
    assert first["cell_type"] == "code"
    source = "".join(first["source"])
    assert '%pip install -q "attn_lib @ git+https://github.com/o/r"' in source
    assert source.index("except ImportError") < source.index("%pip")


@pytest.mark.parametrize("missing", [True, False])
def test_first_cell_installs_only_what_is_missing(write, monkeypatch, missing):
    code = TransformerManager().transform_cell("".join(write("Text.")[0]["source"]))
    calls = []
    shell = SimpleNamespace(run_line_magic=lambda *call: calls.append(call))
    monkeypatch.setitem(sys.modules, "attn_lib", None if missing else SimpleNamespace())
    exec(code, {"get_ipython": lambda: shell})
    install = ("pip", 'install -q "attn_lib @ git+https://github.com/o/r"')
    assert calls == ([install] if missing else [])


def test_title_line_leads_to_colab_and_source(write):
    text = "".join(write("Text.")[1]["source"])
    assert "https://colab.research.google.com/github/o/r/blob/main/notebooks/00-page.ipynb" in text
    assert "https://github.com/o/r/blob/main/book/00-page.md" in text


def test_what_markdown_understands_is_copied(body):
    text = (
        "A *word*, **another** and `code {ref}` — 中文，标点。\n"
        "Second line with $a_i * b_i$ and $c_j * d_j$.\n\n"
        "- one\n- two\n  1. three\n\n> quoted\n\n```python\n:::{note}\n(label)=\n```\n\n"
        '[outside](https://example.org/a_b "t") and <https://example.org>'
    )
    assert body(text) == text


def test_admonition_becomes_a_quotation(body):
    assert body(":::{note}\nBe *careful*.\n:::") == "> **Note**\n>\n> Be *careful*."
    assert body("```{admonition} On $n^2$\n:class: tip\nText.\n```") == (
        "> **On $n^2$**\n>\n> Text."
    )
    assert body("```{tip} Starts here\nand goes on.\n```") == (
        "> **Tip**\n>\n> Starts here\n> and goes on."
    )


def test_admonitions_nest(body):
    text = """\
        ::::{warning}
        Outer.

        :::{tip}
        Inner.
        :::

        After.
        ::::
        """
    assert body(text) == (
        "> **Warning**\n>\n> Outer.\n>\n> > **Tip**\n> >\n> > Inner.\n>\n> After."
    )


def test_text_on_an_admonitions_first_line_is_read_with_the_rest(write, body):
    assert body(":::{tip} A\n:class: x\n\nB {bad}`x`\n:::".replace("{bad}", "{sub}")) == (
        "> **Tip**\n>\n> A\n> B <sub>x</sub>"
    )
    # As in the book, a formula cannot interrupt a paragraph, so this label is none.
    with pytest.raises(SourceError, match=r"00-page\.md:14: there is no label 'q'"):
        write(":::{tip} A\n$$\na\n$$ (q)\n:::\n{eq}`q`")
    assert body(":::{tip} A\n$$\na \\\\ b\n$$\n:::").endswith(
        "$$\\begin{aligned} a \\\\ b \\end{aligned}$$"
    )


def test_blocks_are_kept_apart_from_the_text_around_them(body):
    assert body("Before.\n:::{note}\nIn.\n:::\nAfter.") == (
        "Before.\n\n> **Note**\n>\n> In.\n\nAfter."
    )


def test_dropdown_keeps_code_and_formula(body):
    text = """\
        :::{dropdown} Solution with `x` & $a_b$
        :open:

        Do this:

        ```python
        def f(x):

            return "</details>" * x
        ```

        $$
        a_1 \\\\
        b_1
        $$
        :::
        """
    new = body(text)
    assert new.startswith(
        "<details open>\n<summary><b>Solution with <code>x</code> &amp; $a_b$</b></summary>\n\n"
    )
    assert '```python\ndef f(x):\n\n    return "</details>" * x\n```' in new
    assert "$$\n\\begin{aligned}\na_1 \\\\\nb_1\n\\end{aligned}\n$$\n\n</details>" in new


def test_admonition_with_class_dropdown_becomes_details(body):
    assert body("```{admonition} Hint\n:class: dropdown\nText.\n```").startswith("<details>")


def test_formula_in_a_quotation_stands_on_one_line(body):
    text = ":::{note}\n$$\na \\\\% why\nb\n$$ (eq-a)\n\nSee {eq}`eq-a` and $x\ny$.\n:::"
    assert body(text) == (
        "> **Note**\n>\n> $$\\begin{aligned} a \\\\ b \\end{aligned} \\tag{1}$$\n>\n"
        "> See [(1)](#Page) and $x y$."
    )
    assert body("> $$\n> a\n> $$") == "> $$a$$"


def test_equation_numbers_match_references(body):
    text = """\
        $$
        a
        $$

        $$
        b
        $$ (b)

        ```{math}
        :label: c
        c
        ```

        By {eq}`c` and {eq}`b`, [](#c).
        """
    new = body(text)
    assert "$$\na\n$$" in new
    assert "$$\nb\n\\tag{1}\n$$" in new
    assert "$$\nc\n\\tag{2}\n$$" in new
    assert new.endswith("By [(2)](#Page) and [(1)](#Page), [(2)](#Page).")


def test_numbers_count_through_the_pages(body):
    other = HEADER + "# Other\n\n$$\nz\n$$ (z)\n"
    new = body("$$\na\n$$ (a)\n\n{eq}`z`", others={"book/01-other": other})
    assert new.endswith("[(2) of Other](01-other.ipynb#Other)")


def test_starred_environments_are_wrapped_and_numbered_ones_refused(write, body):
    assert body("\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}") == (
        "$$\n\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}\n$$"
    )
    with pytest.raises(SourceError, match=r"00-page\.md:9: of the bare environments"):
        write("\\begin{align}\na\n\\end{align}")


def test_citations_and_works_cited(write):
    cells = write("As {cite:t}`child2019sparse` say {cite:p}`lee2021two, child2019sparse`.")
    text = "".join(cells[1]["source"])
    assert (
        "As [Child et al. (2019)](https://arxiv.org/abs/1904.10509) say "
        "([Lee-Thorp and Reé, 2021](https://doi.org/10.1000/x); "
        "[Child et al., 2019](https://arxiv.org/abs/1904.10509))."
    ) in text
    works = "".join(cells[-2]["source"])
    assert works == (
        "## Works cited\n\n"
        "- Rewon Child, Scott Gray, Alec Radford and Ilya Sutskever. *Generating Long Sequences*. "
        "2019. [arXiv:1904.10509](https://arxiv.org/abs/1904.10509).\n"
        "- James Lee-Thorp and Ann Reé. *Two FFTs*. A Journal, 2021. "
        "[https://doi.org/10.1000/x](https://doi.org/10.1000/x)."
    )


def test_bibliography_directive_holds_the_works_cited_there(write):
    cells = write("{cite:t}`lee2021two`\n\n## References\n\n```{bibliography}\n:filter: cited\n```")
    assert not any("Works cited" in "".join(c["source"]) for c in cells)
    assert "".join(cells[2]["source"]).startswith("## References\n\n- James Lee-Thorp")


def test_references_inside_a_page_lead_to_headings(body):
    text = """\
        See {ref}`far`, {ref}`there <far>`, [](#far), [here](#the--problem) and [x](far).

        (far)=
        ## The $n^2$ problem

        Text.
        """
    anchor = "The-n2-problem"
    assert body(text) == (
        f"See [The $n^2$ problem](#{anchor}), [there](#{anchor}), [The $n^2$ problem](#{anchor}), "
        f"[here](#{anchor}) and [x](#{anchor}).\n\n"
        '<a id="The-n2-problem"></a>\n\n## The $n^2$ problem\n\nText.'
    )


def test_references_to_other_pages(body):
    others = {
        "book/01-other": HEADER + "# Other · 别的\n\n(there)=\n## Far away\n",
        "book/prose": "# Prose\n\n## A part\n",
    }
    text = (
        "{doc}`01-other` {doc}`this <01-other>` [](01-other.md) [t](01-other.md#far-away) "
        "{ref}`there` [p](prose.md#a-part) [c](code.py)"
    )
    assert body(text, others=others) == (
        "[Other · 别的](01-other.ipynb) [this](01-other.ipynb) [Other · 别的](01-other.ipynb) "
        "[t](01-other.ipynb#Far-away) [Far away](01-other.ipynb#Far-away) "
        "[p](https://github.com/o/r/blob/main/book/prose.md#a-part) "
        "[c](https://github.com/o/r/blob/main/book/code.py)"
    )


def test_prose_pages_lead_to_the_published_book_when_it_has_an_address(body):
    new = body(
        "[p](prose.md#a-part)",
        others={"book/prose": "# Prose\n\n## A part\n"},
        config="html: {baseurl: 'https://o.github.io/r/'}\n",
    )
    assert new == "[p](https://o.github.io/r/book/prose.html#a-part)"


def test_figure_is_embedded_and_numbered(body):
    text = """\
        ```{figure} pixel.png
        :name: dot
        :alt: a [dot]

        A dot, as in $x$.
        ```

        {numref}`dot`, {numref}`fig. %s <dot>`, {ref}`dot`, ![alt](pixel.png).
        """
    new = body(text)
    assert re.match(
        r"!\[a \\\[dot\\\]\]\(data:image/png;base64,[A-Za-z0-9+/=]+\)\n\n"
        r"\*\*Figure 1\.\*\* A dot, as in \$x\$\.\n\n"
        r"\[Figure 1\]\(#Page\), \[fig\. 1\]\(#Page\), \[Figure 1\]\(#Page\), !\[alt\]\(data:",
        new,
    )


def test_list_table_becomes_a_table(body):
    text = """\
        :::{list-table} Costs of *all*
        :header-rows: 1
        :name: costs
        :widths: 10 20

        * - What
          - $|A|$ or $\\|A\\|$
        * - `a | b`
          - one {cite:t}`child2019sparse`

            two
        * -
          - x
        :::

        {numref}`costs`
        """
    new = body(text)
    assert new.startswith(
        "**Table 1.** Costs of *all*\n\n"
        "| What | $\\vert A\\vert $ or $\\Vert A\\Vert $ |\n| --- | --- |\n"
        "| `a \\| b` | one [Child et al. (2019)](https://arxiv.org/abs/1904.10509)<br>two |\n"
        "|  | x |\n\n[Table 1](#Page)"
    )


def test_tables_with_pipes_and_roles(body):
    text = "| a | b |\n|:--|--:|\n| `x \\| y` | $p \\| q$ {math}`z` |\n"
    assert body(text) == "| a | b |\n| :--- | ---: |\n| `x \\| y` | $p \\vert  q$ $z$ |"


def test_definition_list_becomes_bold_terms(body):
    text = "Term $t$\n: First line\n  goes on.\n\n  More.\n\n: Second.\n\nOther\n: Text.\n\nAfter."
    assert body(text) == (
        "- **Term $t$**\n\n  First line\n  goes on.\n\n  More.\n\n  Second.\n\n"
        "- **Other**\n\n  Text.\n\nAfter."
    )


def test_terms_are_explained_at_the_end(write):
    glossary = (
        "# G\n\n```{glossary}\nhead\n  注意力头. One of $h$\n  attentions.\n\nkey\n  K.\n```\n"
    )
    cells = write("Many {term}`heads <head>`.", others={"book/glossary": glossary})
    assert "Many heads." in "".join(cells[1]["source"])
    assert "".join(cells[-2]["source"]) == (
        "## Terms used here\n\n- **head** — 注意力头. One of $h$ attentions."
    )


def test_included_code_is_exact(body):
    text = "```{literalinclude} code.py\n:pyobject: f\n:caption: The function\n:name: f\n```"
    assert body(text) == (
        "**Listing 1.** The function. From [`book/code.py`]"
        "(https://github.com/o/r/blob/main/book/code.py):\n\n"
        "````python\ndef f():\n    return '```'\n````"
    )
    assert body("```{literalinclude} /book/code.py\n:lines: 1\n```").endswith(
        "```python\nA = 1\n```"
    )


def test_blocks_inside_lists_keep_their_indentation(body):
    text = """\
        - first

          :::{tip}
          In a list, {math}`x`.
          :::

          $$
          a
          $$ (in-list)

        1. see {eq}`in-list`
           and {sub}`more`
        """
    assert body(text) == (
        "- first\n\n  > **Tip**\n  >\n  > In a list, $x$.\n\n  $$\n  a\n  \\tag{1}\n  $$\n\n"
        "1. see [(1)](#Page)\n   and <sub>more</sub>"
    )


def test_comments_targets_and_attributes_leave_no_trace(body):
    text = "% a comment\n\n(label)=\n\nText [span]{.class} and ![a](pixel.png){width=20px}.\n"
    assert re.fullmatch(r"Text span and !\[a\]\(data:[^)]+\)\.", body(text))


def test_footnotes_are_collected(write):
    cells = write("One[^a], two[^b].\n\n[^b]: Note *b*.\n[^a]: Note $a$.\n")
    assert "One<sup>1</sup>, two<sup>2</sup>." in "".join(cells[1]["source"])
    assert "".join(cells[-2]["source"]) == "## Notes\n\n1. Note $a$.\n2. Note *b*."


def test_substitutions(body):
    config = "  myst_substitutions: {name: 'a {math}`b`'}\n"
    assert body("{{ name }} here", config=config) == "a $b$ here"


def test_cells_keep_tags_and_fold(write):
    text = """\
        ```{code-cell} ipython3
        :tags: [hide-input]

        a = "{ref}`x`"


        b = 2
        ```
        ```{code-cell}
        ---
        tags: [remove-cell, skip-execution]
        ---
        c = 3
        ```
        """
    first, second = [c for c in write(text) if c["cell_type"] == "code"][1:]
    assert "".join(first["source"]) == 'a = "{ref}`x`"\n\n\nb = 2'
    assert first["metadata"] == {
        "cellView": "form",
        "jupyter": {"source_hidden": True},
        "tags": ["hide-input"],
    }
    assert second["metadata"] == {"tags": ["remove-cell"]}
    assert first["outputs"] == []
    assert first["execution_count"] is None


def test_cell_ids_do_not_move_when_another_section_grows(write):
    before = write("## A\n\nText.\n\n## 乙\n\n```{code-cell}\n1\n```\n")
    after = write("## A\n\nText.\n\n+++\n\nMore.\n\n## 乙\n\n```{code-cell}\n2\n```\n")
    old, new = ([c["id"] for c in cells] for cells in (before, after))
    assert set(old) < set(new)
    assert len(new) == len(set(new)) == len(old) + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Text.\n\n{unknown}`x`", r"book/00-page\.md:11: no translation for the role \{unknown\}"),
        (
            "```{note}\nText\nand {bad}`x`\n```",
            r"book/00-page\.md:11: no translation for the role \{bad\}",
        ),
        ("```{tab-set}\n```", r"book/00-page\.md:9: no translation for the directive \{tab-set\}"),
        ("- a\n\n  ```{raw} html\n  ```", r":11: no translation for the directive \{raw\}"),
        ("```{note}\n:wrong: x\n```", r":9: no translation for the option 'wrong' of \{note\}"),
        (":::note\n:::", r":9: ':::' needs a directive in braces"),
        ("{cite:p}`nobody`", r":9: the bibliography has no 'nobody'"),
        ("{cite:year}`child2019sparse`", r":9: no translation for the role \{cite:year\}"),
        ("{ref}`nowhere`", r":9: there is no label 'nowhere'"),
        ("{term}`nothing`", r":9: the glossary has no term 'nothing'"),
        ("[x](missing.md)", r":9: there is no page 'missing\.md'"),
        ("[x](#missing)", r":9: book/00-page\.md has no anchor 'missing'"),
        ("![x](missing.png)", r":9: there is no file 'missing\.png'"),
        ('<img src="a.png">', r":9: the HTML address 'a\.png' is no use in a notebook"),
        ("{{ nothing }}", r":9: there is no substitution 'nothing'"),
        (":::{note}\n```{code-cell}\n1\n```\n:::", r":10: a code-cell must stand at the top level"),
    ],
)
def test_what_has_no_translation_is_an_error_with_file_and_line(write, text, message):
    with pytest.raises(SourceError, match=message):
        write(text)


def test_all_errors_are_reported_at_once(write):
    with pytest.raises(SourceError, match=r"(?s):9: .*:11: ") as error:
        write("{a}`x`\n\n{b}`x`")
    assert len(str(error.value).splitlines()) == 2


def test_command_writes_checks_and_removes(write, tmp_path, capsys):
    write("Text.")
    run = [*("--root", str(tmp_path))]
    assert main([*run, "--check"]) == 1
    assert main(run) == 0
    assert main([*run, "--check"]) == 0
    stale = tmp_path / "notebooks" / "gone.ipynb"
    stale.write_text("{}")
    assert main([*run, "--check"]) == 1
    assert "gone.ipynb is stale" in capsys.readouterr().err
    assert main(run) == 0
    assert not stale.exists()


# The notebooks of this book


def test_notebooks_are_fresh():
    files = notebooks(ROOT)
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
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_myst_is_left(path):
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "markdown":
            text = prose(cell)
            left = [m[0] for rule in MYST for m in re.finditer(rule, text, re.MULTILINE)]
            left = [found for found in left if "blob/main" not in found]
            assert not left, (cell["id"], left)


@pytest.mark.parametrize(
    "text", [":::{note}", "{ref}`x`", "(a)=", "[^1]", "{{ x }}", "> ```{tip}", "[](a.md)", "+++"]
)
def test_the_search_for_myst_finds_it(text):
    text = prose({"source": [f"Before `code` and\n{text}\nafter."]})
    assert any(re.search(rule, text, re.MULTILINE) for rule in MYST)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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


# Running them from the wheel


RUNNER = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
try:
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
finally:
    nbformat.write(notebook, sys.argv[2])
"""
COLAB = ["ipython==7.34.0", "ipykernel==6.17.1", "ipywidgets==7.7.1", "anywidget==0.9.21"]
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def pip(*arguments, python=sys.executable):
    """Run pip for an environment and fail with what it says."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--python", str(python), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Return a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("attn_lib-*.whl"))


@pytest.fixture(scope="session")
def environment(request, wheel):
    """Return a function that gives a clean environment's Python, made once and kept."""

    def make(name):
        pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
        if name == "colab":
            # Colab has its own versions of all others; these three are heavy and must not vary.
            lines = re.findall(r"(?m)^(?:torch|numpy|matplotlib)==\S+", pins)
            lines += re.findall(r"(?m)^--\S.*", pins)
            pins = "\n".join([*lines, *COLAB]) + "\n"
        key = hashlib.sha256(f"{sys.version}\n{pins}".encode()).hexdigest()[:12]
        cache = Path(sys.prefix) / "notebooks"
        if sys.prefix == sys.base_prefix:
            cache = Path(request.config.cache.mkdir("notebooks"))
        folder = cache / f"{name}-{key}"
        python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        if not (folder / "made").exists():
            for old in cache.glob(f"{name}-*"):
                shutil.rmtree(old)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
            constraints = folder / "constraints.txt"
            constraints.write_text(pins, encoding="utf-8")
            packages = COLAB if name == "colab" else ["ipykernel"]
            pip(
                *("install", "--quiet", "--no-compile", "--constraint", str(constraints)),
                *(str(wheel), "nbclient", *packages),
                python=python,
            )
            (folder / "made").touch()
        pip("install", "--quiet", "--no-deps", "--force-reinstall", str(wheel), python=python)
        pip("check", python=python)
        return python

    made = {}
    return lambda name: made[name] if name in made else made.setdefault(name, make(name))


@pytest.mark.notebooks
def test_wheel_carries_what_is_not_python(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (ROOT / "attn_lib").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert file.relative_to(ROOT).as_posix() in names
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert f"attn_lib/data/measured/{file.name}" in names
    assert {"attn_lib/explorers/explorer.mjs", "attn_lib/explorers/explorer.css"} <= names
    assert not any(name.split("/")[0] in ("tests", "benchmarks", "book") for name in names)


@pytest.mark.notebooks
@pytest.mark.parametrize("name", ["pinned", "colab"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_from_an_empty_folder(path, name, environment, tmp_path):
    """No error, nothing on stderr (so no warning), and every explorer shows its widget."""
    python = environment(name)
    folder, out = tmp_path / "empty", tmp_path / "out.ipynb"
    folder.mkdir()
    hidden = {"ATTN_LIB_BOOK", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONWARNINGS"}
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        [str(python), "-I", "-c", RUNNER, str(path), str(out)],
        cwd=folder,
        env=variables | {"ATTN_LIB_QUICK": "1", "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cells = [cell for cell in read(out)["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    imports = re.findall(r"(?m)^from attn_lib\.explorers import (.+)$", "\n".join(sources))
    explorers = re.findall(r"\w+", " ".join(imports))
    shown = set()
    for cell, source in zip(cells, sources, strict=True):
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            assert output.get("name") != "stderr", (cell["id"], "".join(output["text"]))
        last = source.rstrip().rsplit("\n", 1)[-1]
        if last.partition("(")[0] in explorers:
            assert any(WIDGET_VIEW in output.get("data", {}) for output in cell["outputs"])
            shown.add(last.partition("(")[0])
    assert shown == set(explorers)
