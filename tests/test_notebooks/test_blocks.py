"""Blocks: boxes, pictures, code, tables and terms, put back among the lines they came from."""

import re
from dataclasses import replace

import pytest

from book._ext.make_notebooks.blocks import blocks, markdown
from book._ext.make_notebooks.book import SourceError
from book._ext.make_notebooks.directive import Directive
from book._ext.make_notebooks.directives import translated
from book._ext.make_notebooks.edits import Code, Cut, Edit, Heading, Works, rewritten, spliced
from book._ext.make_notebooks.files import embedded, selected
from book._ext.make_notebooks.lines import blank_ends_removed, fenced, head_of, one_line, tight
from book._ext.make_notebooks.tables import list_table


@pytest.mark.parametrize(
    ("line", "mark", "level", "head"),
    [
        ("  text", None, 0, "  "),
        ("> - text", None, 2, "> - "),
        ("10. > text", None, 2, "10. > "),
        ("- 2 * 3", None, 1, "- "),
        ("> * $$", "$$", 2, "> * "),
        ("  ```{note}", "```", 0, "  "),
    ],
)
def test_what_stands_before_a_block(line, mark, level, head):
    assert head_of(line, mark, level) == head


def test_lines_and_their_blanks():
    assert blank_ends_removed(["", "a", "", "b", ""]) == ["a", "", "b"]
    assert blank_ends_removed(["", " "]) == []
    assert tight(["", "a", "", "", "b"]) == ["a", "", "b"]
    assert one_line(" a\n   b ") == "a b"
    assert fenced("a\n````\n", "text") == ["`````text", "a", "````", "`````"]


def test_edits_leave_all_other_lines_as_they_are():
    lines = ["a", "b", "> c", "d  ", "", "e"]
    edits = [Edit(3, 4, None, Cut()), Edit(2, 3, ["x", "y"], head="> "), Edit(0, 1, [])]
    assert spliced(lines, edits) == ["b\n>\n> x\n> y\n>\n", Cut(), "\ne\n"]


def test_a_rewritten_paragraph_keeps_what_stands_around_it():
    lines = ["- > ab ##", "  > cd", "e"]
    edit = rewritten(lines, 0, 2, "ab ##\ncd", "x ##\ny\nz")
    assert edit.lines == ["- > x ##", "  > y", "  > z"]
    assert rewritten(["## ab ##"], 0, 1, "ab", "x").lines == ["## x ##"]
    with pytest.raises(ValueError, match="cannot find this paragraph's text in its source line"):
        rewritten(["a"], 0, 1, "b", "c")


def test_a_page_is_cut_into_pieces(place):
    at = place(
        """\
        a

        +++

        ## *B*

        ```{code-cell}
        :tags: x y

        1
        ```

        ```{bibliography}
        ```
        """
    )
    first, *pieces = blocks(at.page.text, replace(at, top=True))
    assert first == Heading(1, "Page")
    assert [piece for piece in pieces if not isinstance(piece, str)] == [
        Cut(),
        Heading(2, "*B*"),
        Code("1", ("x", "y")),
        Works(),
    ]
    assert pieces[0].startswith("# Page\n\nFrom [*T*](https://github.com/o/r)")
    assert pieces[0].endswith("\n\na\n\n")
    assert pieces[4] == "## *B*\n\n"


def test_text_inside_something_has_no_pieces(place):
    assert markdown("\n# T\n\n{sub}`a`\n\n", place()) == ["# T", "", "<sub>a</sub>"]


def test_what_has_no_translation_is_kept_as_an_error_and_the_rest_goes_on(place):
    at = place().at(5)
    assert markdown("a {x}`y`\n\n{sub}`b`\n\n{z}`y`", at)[2:3] == ["<sub>b</sub>"]
    assert at.book.errors == [
        "book/00-page.md:5: no translation for the role {x}",
        "book/00-page.md:9: no translation for the role {z}",
    ]


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
        "<details open>\n<summary>\n\n**Solution with `x` & $a_b$**\n\n</summary>\n\n"
    )
    assert '```python\ndef f(x):\n\n    return "</details>" * x\n```' in new
    assert "$$\n\\begin{aligned}\na_1 \\\\\nb_1\n\\end{aligned}\n$$\n\n</details>" in new


def test_admonition_with_class_dropdown_becomes_details(body):
    assert body("```{admonition} Hint\n:class: dropdown\nText.\n```").startswith("<details>")


def directive(name, argument="", body="", **options):
    """Return a directive on line 20."""
    options = {key.replace("_", "-"): value for key, value in options.items()}
    return Directive(name, argument, options, body, 20, 21)


def shouted(text, place):
    """Translate a text in a way that shows."""
    return [f"{place.line}: {text.upper()}"]


def test_a_box_leaves_its_text_to_others(place):
    quoted = ["> **See also**", ">", "> 21: A"]
    assert translated(directive("seealso", body="a"), place(), shouted) == quoted
    assert translated(directive("margin", body="a"), place(), shouted) == ["> 21: A"]
    folded = translated(directive("dropdown", body="a"), place(), shouted)
    summary = "<summary><b>Details</b></summary>"
    assert folded == ["<details>", summary, "", "21: A", "", "</details>"]
    with pytest.raises(SourceError, match="an admonition needs a title"):
        translated(directive("admonition", body="a"), place(), shouted)


def test_starred_environments_are_wrapped_and_numbered_ones_refused(write, body):
    assert body("\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}") == (
        "$$\n\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}\n$$"
    )
    with pytest.raises(SourceError, match=r"00-page\.md:9: of the bare environments"):
        write("\\begin{align}\na\n\\end{align}")


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
        r"Figure 1, fig\. 1, Figure 1, !\[alt\]\(data:",
        new,
    )


def test_only_images_are_embedded(place):
    at = place()
    assert embedded("https://a.b/c.png", at) == "https://a.b/c.png"
    assert embedded("pixel.png", at) == embedded("/book/pixel.png", at)
    with pytest.raises(SourceError, match=r"'code\.py' is not an image"):
        embedded("code.py", at)


def test_a_figure_of_a_given_width_is_html(place):
    picture = directive("image", "pixel.png", width="20px", alt='a "b"')
    (line,) = translated(picture, place(), shouted)
    assert re.fullmatch(r'<img src="data:[^"]+" alt="a &quot;b&quot;" width="20">', line)


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


SOURCE = """\
A = 1


class C:
    @property
    def f(self):
        # begin
        return A

    B = 2
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, SOURCE.strip("\n")),
        ({"pyobject": "C.f", "dedent": "4"}, "@property\ndef f(self):\n    # begin\n    return A"),
        ({"lines": "1,8-"}, "A = 1\n        return A\n\n    B = 2"),
        ({"start-at": "begin", "end-at": "return"}, "        # begin\n        return A"),
        ({"start-after": "begin", "end-before": "B =", "dedent": ""}, "return A"),
    ],
)
def test_the_part_of_a_file_that_is_asked_for(place, tmp_path, options, expected):
    file = tmp_path / "source.py"
    file.write_text(SOURCE, encoding="utf-8")
    assert selected(file, options, place()) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pyobject": "g"}, "the included file has no 'g'"),
        ({"start-at": "zz"}, "no line of the included file holds 'zz'"),
        ({"end-before": "zz"}, "no line of the included file holds 'zz'"),
        ({"start-at": "return", "end-before": "A = 1"}, "end-before pattern not found: A = 1"),
    ],
)
def test_a_part_that_a_file_does_not_have(place, tmp_path, options, message):
    at = place().at(9)
    with pytest.raises(SourceError, match=rf"^book/00-page\.md:9: {message}$"):
        selected(tmp_path / "book" / "code.py", options, at)


def test_long_included_code_is_folded(place, tmp_path):
    at = place()
    (tmp_path / "long.py").write_text("a = 1\n" * 57, encoding="utf-8")
    lines = translated(directive("literalinclude", "/long.py"), at, shouted)
    assert "<details>" in lines
    assert "<summary><b>Show 57 lines of source</b></summary>" in lines
    (tmp_path / "long.py").write_text("a = 1\n" * 56, encoding="utf-8")
    assert "<details>" not in translated(directive("literalinclude", "/long.py"), at, shouted)


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
        "|  | x |\n\nTable 1"
    )


def test_tables_with_pipes_and_roles(body):
    text = "| a | b |\n|:--|--:|\n| `x \\| y` | $p \\| q$ {math}`z` |\n"
    assert body(text) == "| a | b |\n| :--- | ---: |\n| `x \\| y` | $p \\vert  q$ $z$ |"


def test_a_list_table_without_header_or_with_stubs(place):
    listed = directive("list-table", body="* - a\n  - b\n* - c\n", stub_columns="1")
    assert list_table(listed, place()) == [
        "|  |  |",
        "| --- | --- |",
        "| **a** | b |",
        "| **c** |  |",
    ]


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        ("", "0", r":20: an empty list-table"),
        ("* - a\n* - b\n", "2", r":20: a list-table may have one header row at most"),
        ("* - a\n  - > b\n", "0", r":22: a list-table is a list of lists whose items hold para"),
    ],
)
def test_a_list_table_that_is_none(place, body, headers, message):
    with pytest.raises(SourceError, match=message):
        list_table(directive("list-table", body=body, header_rows=headers), place().at(20))


def test_definition_list_becomes_bold_terms(body):
    text = "Term $t$\n: First line\n  goes on.\n\n  More.\n\n: Second.\n\nOther\n: Text.\n\nAfter."
    assert body(text) == (
        "- **Term $t$**\n\n  First line\n  goes on.\n\n  More.\n\n  Second.\n\n"
        "- **Other**\n\n  Text.\n\nAfter."
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
        "1. see (1)\n   and <sub>more</sub>"
    )
