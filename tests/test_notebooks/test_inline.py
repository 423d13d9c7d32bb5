"""Inline markup: roles, links, references, citations and formulas."""

import re
from dataclasses import replace

import pytest

from book._ext.make_notebooks.bibliography import citation, works
from book._ext.make_notebooks.book import SourceError
from book._ext.make_notebooks.formulas import display, inline_formula
from book._ext.make_notebooks.inline import text
from book._ext.make_notebooks.references import check_html, check_scheme, link, reference
from book._ext.make_notebooks.roles import role
from book._ext.make_notebooks.words import ENGLISH

HEADER = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n\n"


def as_it_is(source, place):
    """Translate nothing."""
    return source


def test_what_needs_no_translation_is_copied_to_the_letter(place):
    source = r"a *b*  __c__ `` {ref}`d` `` \* &amp; <b>e</b> $f_g$ ~~h~~ <https://i.org/>"
    assert text(source, place()) == source
    assert text("", place()) == ""


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("math", " a_b ", "$a_b$"),
        ("sub", "a<b", "<sub>a&lt;b</sub>"),
        ("sup", "2", "<sup>2</sup>"),
        ("kbd", "Ctrl", "<kbd>Ctrl</kbd>"),
        ("abbr", 'LN ("norm")', '<abbr title="&quot;norm&quot;">LN</abbr>'),
        ("code", "x", "`x`"),
        ("py:func", "~a.b", "`a.b`"),
        ("func", "a`b", "``a`b``"),
        ("ref", "there <here>", "there"),
        ("eq", "here", "(1)"),
        ("doc", "01-other", "[Other](01-other.ipynb)"),
        ("doc", "that </book/01-other>", "[that](01-other.ipynb)"),
        ("minutes", "01-other", "0 + 0"),
    ],
)
def test_roles(place, name, content, expected):
    at = place("$$\na\n$$ (here)\n", others={"book/01-other": HEADER + "# Other\n"})
    assert role(name, content, at, as_it_is) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("unknown", "x", r"no translation for the role \{unknown\}"),
        ("ref", "x", "there is no label 'x'"),
        ("numref", "here", "'here' has no number"),
        ("eq", "book/00-page", "'book/00-page' is not an equation"),
        ("doc", "x", "there is no page 'x'"),
        ("term", "x", "the glossary has no term 'x'"),
        ("minutes", "x", "there is no file 'x.md'"),
    ],
)
def test_roles_that_name_nothing(place, name, content, message):
    with pytest.raises(SourceError, match=rf"^book/00-page\.md:7: {message}$"):
        role(name, content, place("$$\na\n$$ (here)\n").at(7), as_it_is)


def test_substitutions_say_themselves(body):
    config = "  myst_substitutions: {name: 'a {math}`b`'}\n"
    assert body("{{ name }} here", config=config) == "a $b$ here"


def test_what_markdown_understands_is_copied(body):
    text = (
        "A *word*, **another** and `code {ref}` — 中文，标点。\n"
        "Second line with $a_i * b_i$ and $c_j * d_j$.\n\n"
        "- one\n- two\n  1. three\n\n> quoted\n\n```python\n:::{note}\n(label)=\n```\n\n"
        '[outside](https://example.org/a_b "t") and <https://example.org>'
    )
    assert body(text) == text


def test_references_inside_a_page_name_the_section(body):
    text = """\
        See {ref}`there <far>`, [here](#the--problem), {ref}`far` and [](#far). By {eq}`e`:

        (far)=
        ## The $n^2$ problem

        Text, {ref}`there <far>`.

        $$
        a
        $$ (e)

        By {eq}`e`.

        ## Later

        :::{note}
        By {eq}`e` and {eq}`e`, {ref}`up <far>`, see {ref}`the top <top>`.
        :::
        """
    text = text.replace("See", "(top)=\n        See", 1)
    assert body(text).split("\n\n") == [
        "See there (section *The $n^2$ problem*), here (section *The $n^2$ problem*), "
        "*The $n^2$ problem* and *The $n^2$ problem*. By (1, in *The $n^2$ problem*):",
        "## The $n^2$ problem",
        "Text, there.",
        "$$\na\n\\tag{1}\n$$",
        "By (1).",
        "## Later",
        "> **Note**\n>\n> By (1, in *The $n^2$ problem*) and (1), up "
        "(section *The $n^2$ problem*), see the top.",
    ]


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
        "[t](01-other.ipynb) (section *Far away*) [Far away](01-other.ipynb) "
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


def test_a_reference_uses_the_words_it_is_given(place):
    others = {"book/01-other": HEADER + "# Other\n\n$$\nz\n$$ (z)\n"}
    words = replace(ENGLISH, equation_elsewhere="《{page}》的{equation}")
    at = place(others=others, words=words)
    new = reference(at.book.targets["z"], "", at, as_it_is)
    assert new == "[《Other》的(1)](01-other.ipynb)"


def test_links_with_a_scheme_stay(place):
    at = place()
    assert link("https://a.b/c", "t", "x", at, as_it_is) == '[x](https://a.b/c "t")'
    for scheme in ("project", "path", "inv", "myst"):
        with pytest.raises(SourceError, match=f"no translation for links with {scheme}:"):
            check_scheme(f"{scheme}:a", at)


def test_html_may_only_point_to_the_web(place):
    check_html('<a href="https://a.b"> <img src=data:x> <a href="mailto:c">', place())
    with pytest.raises(SourceError, match=r"the HTML address 'a\.png' is no use in a notebook"):
        check_html("<img alt='' src='a.png'>", place())


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


def test_citations_are_noted_once_and_in_order(place):
    at = place()
    both = "lee2021two, child2019sparse"
    assert citation("t", both, at).startswith("[Lee-Thorp and Reé (2021)](")
    citation("p", both, at)
    assert at.page.cited == ["lee2021two", "child2019sparse"]
    assert [line[:9] for line in works(at.page.cited, at.book.entries, ENGLISH)] == [
        "- Rewon C",
        "- James L",
    ]


def test_authors_are_joined_by_the_words_given(place):
    words = replace(ENGLISH, two_authors="{first}和{last}", more_authors="{first}等")
    at = place(words=words)
    new = citation("t", "lee2021two, child2019sparse", at)
    assert "[Lee-Thorp和Reé (2021)]" in new
    assert "[Child等 (2019)]" in new
    assert works(["lee2021two"], at.book.entries, words)[0].startswith(
        "- James Lee-Thorp和Ann Reé."
    )


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        ("a", ["$$", "a", "$$"]),
        ("a & b", ["$$", "\\begin{aligned}", "a & b", "\\end{aligned}", "$$"]),
        (r"\&", ["$$", r"\&", "$$"]),
        (
            "\\begin{cases} a \\\\ b \\end{cases}",
            ["$$", "\\begin{cases} a \\\\ b \\end{cases}", "$$"],
        ),
        ("a\n\nb", ["$$", "\\begin{gathered}", "a \\\\", "b", "\\end{gathered}", "$$"]),
    ],
)
def test_rows_of_a_formula_stand_in_an_environment(place, latex, expected):
    assert display(latex, 0, place()) == expected


def test_a_formula_in_a_quotation_or_a_cell_stays_on_its_line(place):
    at = place()
    assert display("a % why\n\\% b", 3, at.behind("> ")) == [r"$$a \% b \tag{3}$$"]
    assert inline_formula("a\nb", at) == "$a\nb$"
    assert inline_formula("a\nb", at.behind("- > ")) == "$a b$"
    assert inline_formula(r"|a| \| b", at.in_cell(1)) == r"$\vert a\vert  \Vert  b$"
    double = inline_formula(r"a \\ b", at.behind(">"), double=True)
    assert double == r"$$\begin{aligned} a \\ b \end{aligned}$$"


def test_formula_in_a_quotation_stands_on_one_line(body):
    text = ":::{note}\n$$\na \\\\% why\nb\n$$ (eq-a)\n\nSee {eq}`eq-a` and $x\ny$.\n:::"
    assert body(text) == (
        "> **Note**\n>\n> $$\\begin{aligned} a \\\\ b \\end{aligned} \\tag{1}$$\n>\n"
        "> See (1) and $x y$."
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
    assert new.endswith("By (2) and (1), (2).")


def test_numbers_count_through_the_pages(body):
    other = HEADER + "# Other\n\n$$\nz\n$$ (z)\n"
    new = body("$$\na\n$$ (a)\n\n{eq}`z`", others={"book/01-other": other})
    assert new.endswith("[(2) of Other](01-other.ipynb)")


def test_comments_targets_and_attributes_leave_no_trace(body):
    text = "% a comment\n\n(label)=\n\nText [span]{.class} and ![a](pixel.png){width=20px}.\n"
    assert re.fullmatch(r"Text span and !\[a\]\(data:[^)]+\)\.", body(text))
