"""Reading: the book's pages, MyST's tokens with their places, directives, labels and numbers."""

import pytest
from markdown_it.token import Token

from book._ext.make_notebooks.book import SourceError, read_book
from book._ext.make_notebooks.directive import taken_apart
from book._ext.make_notebooks.labels import collect
from book._ext.make_notebooks.parsing import closing, parser_of

HEADER = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n\n"


def test_pages_come_in_the_order_of_the_contents(small_book):
    book = small_book("Text.", others={"book/02-b": HEADER + "# B\n", "book/01-a": "# A\n"})
    assert list(book.pages) == ["book/00-page", "book/02-b", "book/01-a"]
    assert [page.is_notebook for page in book.pages.values()] == [True, True, False]
    assert book.pages["book/02-b"].stem == "02-b"


def test_a_page_without_a_file_is_an_error(small_book, tmp_path):
    small_book("Text.", others={"book/gone": "# Gone\n"})
    (tmp_path / "book" / "gone.md").unlink()
    with pytest.raises(SourceError, match=r"^_toc\.yml: book/gone has no file book/gone\.md$"):
        read_book(tmp_path)


def test_contents_that_cannot_be_read_are_an_error(small_book, tmp_path):
    small_book("Text.")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/00-page\nchapter: []\n", encoding="utf-8"
    )
    with pytest.raises(SourceError, match=r"^_toc\.yml: Unknown keys found: \{'chapter'\}"):
        read_book(tmp_path)


def test_inline_tokens_know_where_they_came_from():
    source = "a *b* [c](d){.e} {ref}`f` ![g](h) [i]{.j} $k$"
    tokens = parser_of(["attrs_inline", "dollarmath"]).parseInline(source)[0].children

    def spans(key):
        return [
            (t.type, source[slice(*t.meta[key])])
            for t in tokens
            if key in t.meta and t.type not in ("text", "em_open", "em_close")
        ]

    assert spans("span") == [
        ("link_open", "[c](d)"),
        ("link_close", "[c](d)"),
        ("myst_role", "{ref}`f`"),
        ("image", "![g](h)"),
        ("span_open", "[i]{.j}"),
        ("span_close", "[i]{.j}"),
        ("math_inline", "$k$"),
    ]
    assert ("link_open", "c") in spans("brackets")
    assert ("image", "g") in spans("brackets")
    assert ("span_open", "i") in spans("brackets")
    assert [source[slice(*t.meta["attrs"])] for t in tokens if "attrs" in t.meta] == ["{.e}"]


def test_closing_token_is_that_of_the_same_depth():
    tokens = parser_of([]).parse("> a\n>\n> > b\n\nc")
    kinds = [token.type for token in tokens]
    assert closing(tokens, 0) == len(kinds) - 4 == kinds.index("paragraph_open", 10) - 1
    assert closing(tokens, kinds.index("inline")) == kinds.index("inline")


def fence(info, content=""):
    """Return the token of a directive."""
    return Token("fence", "code", 0, info=info, content=content)


def test_a_directive_is_taken_apart(place):
    at = place().at(20)
    figure = taken_apart(fence("{figure} a.png", ":name: x\n:alt: an: image\n\n\nText\n"), at)
    assert (figure.name, figure.argument, figure.body) == ("figure", "a.png", "Text")
    assert figure.options == {"name": "x", "alt": "an: image"}
    assert (figure.line, figure.body_line) == (20, 25)
    cell = taken_apart(fence("{code-cell}", "---\ntags: [a, b]\n---\n1\n"), at)
    assert (cell.options, cell.body, cell.body_line) == ({"tags": ["a", "b"]}, "1", 24)
    note = taken_apart(fence("{note} First", ":class: y\n\nmore\n"), at)
    assert (note.argument, note.body, note.body_line) == ("", "First\nmore", 22)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (fence("{no te}"), r":20: cannot read the directive '\{no te\}'$"),
        (fence("{note}", "---\nclass: x\n"), r":20: the options of 'note' have no closing ---$"),
        (fence("{tabs}"), r":20: no translation for the directive \{tabs\}$"),
        (fence("{image} a", ":wide: 1\n"), r":20: no translation for the option 'wide' of \{image"),
    ],
)
def test_a_directive_that_cannot_be_read_is_an_error(place, token, message):
    with pytest.raises(SourceError, match=message):
        taken_apart(token, place().at(20))


def test_labels_stand_for_what_comes_behind_them(place):
    book = place(
        "(s)=\n## A $n^2$ b\n\n(p)=\nText.\n\n$$\na\n$$ (e)\n\n"
        "```{figure} pixel.png\n:name: f\nA *dot*.\n\nMore.\n```\n\n```{note}\n:name: n\n```"
    ).book
    found = {label: (t.kind, t.number, t.title) for label, t in book.targets.items()}
    assert found == {
        "s": ("heading", 0, "A $n^2$ b"),
        "p": ("heading", 0, "A $n^2$ b"),
        "e": ("equation", 1, ""),
        "f": ("figure", 1, "A *dot*."),
        "n": ("heading", 0, "A $n^2$ b"),
        "book/00-page": ("page", 0, "Page"),
    }
    equation = book.targets["e"]
    assert (equation.section, equation.slug, equation.line) == ("A $n^2$ b", "a--b", 10)


def test_equal_headings_have_anchors_of_their_own(place):
    assert list(place("## A\n\n## A\n").page.headings) == ["page", "a", "a-1"]


def test_each_kind_is_counted_through_all_pages(place):
    other = "# O\n\n$$\nz\n$$ (z)\n\n```{table} T\n:name: t\n| a |\n|---|\n```\n"
    targets = place("$$\na\n$$ (a)\n", others={"book/01-other": other}).book.targets
    assert [targets[label].number for label in ("a", "z", "t")] == [1, 2, 1]


def test_a_label_that_stands_twice_is_an_error(small_book):
    book = small_book("(a)=\n## A\n", others={"book/01-other": "# O\n\n(a)=\n## B\n"})
    collect(book)
    assert book.errors == ["book/01-other.md:3: label 'a': also in book/00-page.md"]


def test_terms_of_the_glossary_are_known_by_every_name(place):
    text = "```{glossary}\nHead\nheads : n\n  One of\n\n  many.\n\nkey\n  K.\n```"
    assert place(text).book.terms == {
        "head": "**Head** — One of\n\nmany.",
        "heads": "**Head** — One of\n\nmany.",
        "key": "**key** — K.",
    }
    with pytest.raises(SourceError, match=r":10: a glossary begins with a term"):
        place("```{glossary}\n  text\n```")
