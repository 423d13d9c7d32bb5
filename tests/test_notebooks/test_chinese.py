"""The Chinese notebooks: text translated block by block, code and structure as in English."""

import json
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from markdown_it import MarkdownIt

from book._ext.make_notebooks.book import SourceError
from book._ext.make_notebooks.chinese import CATALOGUES, chinese_book, chinese_notebooks
from book._ext.make_notebooks.command import main
from book._ext.make_notebooks.notebook import notebooks
from book._ext.make_notebooks.translation import Messages, translation
from book._ext.make_notebooks.words import CHINESE, ENGLISH
from tests.test_notebooks import test_running

ROOT = Path(__file__).resolve().parents[2]
HEADER = "---\njupytext:\n  text_representation:\n    format_name: myst\n---\n\n"
TRANSLATED = sorted((ROOT / "notebooks" / "zh").glob("*.ipynb"))
WORDS_IN_CODE = (
    *("clone_or_else", "adding", "offline", "library"),
    *("own_text", "own_text_needs", "own_text_sentence"),
)


def read(path):
    """Return the cells of a notebook, each with its source joined."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


@pytest.fixture
def catalogue(tmp_path):
    """Return a function that writes the small book's catalogue of a page."""

    def write(page="book/00-page", translations=(), **fuzzy):
        made = Catalog(locale="zh_CN")
        for english, text in dict(translations).items():
            made.add(english, text)
        for english, text in fuzzy.items():
            made.add(english, text, flags=["fuzzy"])
        path = tmp_path / CATALOGUES / f"{page}.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write_po(file, made)

    return write


@pytest.fixture
def chinese(small_book, catalogue):
    """Return a function that translates a page and gives its Markdown, both ends left out."""

    def translate(text, translations, **options):
        book = small_book(text, **options)
        catalogue(translations={"Page": "页"} | translations)
        notebooks(book)
        cells = json.loads(chinese_notebooks(book)["00-page.ipynb"])["cells"]
        source = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        return source.split(".ipynb)", 1)[1].split(f"## {CHINESE.other_chapters}")[0].strip()

    return translate


@pytest.mark.parametrize(
    ("text", "translations", "wanted"),
    [
        ("## One *two*\n\nThree", {"One *two*": "一", "Three": "三"}, "## 一\n\n三"),
        # A message is a block and no part of one.
        ("Zero.\nOne\nZero.\n\nZero.", {"Zero.": "零。"}, "Zero.\nOne\nZero.\n\n零。"),
        ("One\ntwo\n  three.\n\nFour", {"One two   three.": "一。"}, "一。\n\nFour"),
        (
            "- one\n  wrapped\n- two\n  - three\n    wrapped\n\n    four\n1. five",
            {"one wrapped": "一", "three wrapped": "三", "four": "四", "five": "五"},
            "- 一\n- two\n  - 三\n\n    四\n1. 五",
        ),
        ("> one\n> two\n>\n> - three", {"one two": "一", "three": "三"}, "> 一\n>\n> - 三"),
        (
            ":::{question}\nHow\nmany?\n\n- [ ] None\n  at all.\n\n  A reply.\n- [x] One.\n:::",
            {
                "How many?": "几个？",
                "None at all.": "没有。",
                "A reply.": "答复。",
                "One.": "一个。",
            },
            ":::{question}\n几个？\n\n- [ ] 没有。\n\n  答复。\n- [x] 一个。\n:::",
        ),
        (
            "- [x 0.9 ± 0.1] Yes:\n  $a$.\n- [ ] No.",
            {"Yes: $a$.": "对：$a$。", "No.": "不对。"},
            "- [x 0.9 ± 0.1] 对：$a$。\n- [ ] 不对。",
        ),
        (
            ":::{admonition} Title\n:class: tip\n\nOne\ntwo\n:::\n\nTitle",
            {"Title": "题", "One two": "一"},
            ":::{admonition} 题\n:class: tip\n\n一\n:::\n\n题",
        ),
        ("```{note} One\ntwo\n```", {"One two": "一"}, "```{note} 一\n```"),
        (
            "- a\n\n  :::{dropdown} Title\n  One\n  two\n\n  Three\n  :::\n\n- b",
            {"Title": "题", "One two": "一", "Three": "三", "b": "乙"},
            "- a\n\n  :::{dropdown} 题\n  一\n\n  三\n  :::\n\n- 乙",
        ),
        (
            "> ```{tip}\n> One\n> two\n>\n> Three\n> ```",
            {"One two": "一", "Three": "三"},
            "> ```{tip}\n> 一\n>\n> 三\n> ```",
        ),
        (
            ":::{list-table} A caption\n:header-rows: 1\n\n* - one\n  - 1\n* - two\n    words\n"
            "  - 2\n:::",
            {"A caption": "表题", "one": "一", "two words": "二", "1": "1", "2": "2"},
            ":::{list-table} 表题\n:header-rows: 1\n\n* - 一\n  - 1\n* - 二\n  - 2\n:::",
        ),
        ("One\n```{code-cell}\nOne\n```\n```\nOne\n```", {"One": "一"}, None),
        (
            "- A:\n\n  $$\n  x,\n  \\text{for } y\n  $$ (z)\n",
            {"\n  x,\n  \\text{for } y\n  ": "\n  x,\n  \\text{对 } y\n  "},
            "- A:\n\n  $$\n  x,\n  \\text{对 } y\n  $$ (z)\n",
        ),
        ("$$\nOne\n$$\n\nOne", {"One": "一"}, "$$\nOne\n$$\n\n一"),
    ],
)
def test_each_block_is_translated_and_nothing_else_changes(text, translations, wanted, place):
    messages = Messages(translations)
    wanted = wanted or text.replace("One", "一", 1)
    assert translation(text, messages, place()) == wanted
    assert messages.left == []


def test_a_table_of_markdown_has_no_translation(place):
    with pytest.raises(SourceError, match=r"00-page\.md:3: .* write a \{list-table\}"):
        translation("A\n\n| a |\n|---|\n| b |", Messages({}), place())


def test_a_message_that_the_page_has_not_is_an_error(small_book, catalogue):
    book = small_book("Text.\n\nMore text.")
    catalogue(translations={"Text.": "文。", "text.": "文。", "Gone": "无"})
    message = r"^book/locale/.*/book/00-page\.po: book/00-page\.md has no 'text\.'\n.*'Gone'$"
    with pytest.raises(SourceError, match=message):
        chinese_book(book)


def test_a_page_that_is_no_notebook_may_have_other_messages(small_book, catalogue):
    book = small_book("See {doc}`/book/intro`.", others={"book/intro": "# Intro\n"})
    catalogue()
    catalogue("book/intro", {"Intro": "序", "In the contents": "目录"})
    notebooks(book)
    files = chinese_notebooks(book)
    assert list(files) == ["00-page.ipynb"]
    assert "See [序](https://github.com/o/r/blob/main/book/intro.md)." in files["00-page.ipynb"]


def test_what_is_not_translated_stays(chinese):
    assert chinese("One.\n\nTwo.", {"One.": "一。", "Two.": ""}) == "一。\n\nTwo."


def test_what_nobody_has_read_yet_counts_as_none(small_book, catalogue):
    book = small_book("One")
    catalogue(One="一")
    assert chinese_book(book).pages["book/00-page"].text == book.pages["book/00-page"].text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("**手算。**取$a$", "<strong>手算。</strong>取$a$"),
        ("看*“查询”*与**[键](#x)**", "看<em>“查询”</em>与<strong>键</strong>"),
        ("***都是。***又", "<em><strong>都是。</strong></em>又"),
        ("`**码**`、$a**b**c$、2 ** 3", "`**码**`、$a**b**c$、2 ** 3"),
        ("一**二*三。*四。**五", "一<strong>二<em>三。</em>四。</strong>五"),
    ],
)
def test_emphasis_is_an_element(text, wanted, chinese):
    assert chinese("One.\n\n(x)=\n", {"One.": text}) == wanted


def test_bold_that_the_notebook_adds_is_an_element(chinese):
    text = """\
        :::{note}
        One
        :::

        :::{list-table} Two
        :stub-columns: 1

        * - three
          - **four。**five
        :::

        :::{dropdown} Six $x$
        ```
        **kept**
        ```
        :::

        seven
        : eight
        """
    assert chinese(text, {"Two": "二。"}).split("\n") == [
        "> <strong>备注</strong>",
        ">",
        "> One",
        "",
        "<strong>表1</strong> 二。",
        "",
        "|  |  |",
        "| --- | --- |",
        "| <strong>three</strong> | <strong>four。</strong>five |",
        "",
        "<details>",
        "<summary>",
        "",
        "<strong>Six $x$</strong>",
        "",
        "</summary>",
        "",
        "```",
        "**kept**",
        "```",
        "",
        "</details>",
        "",
        "- <strong>seven</strong>",
        "",
        "  eight",
    ]


def test_citations_equations_and_sections_are_said_in_chinese(chinese):
    text = """\
        A {cite:p}`child2019sparse,lee2021two`, {cite:t}`lee2021two`.

        ## B

        $$x$$ (x)

        ## C

        See {eq}`x` and [there](#b).
        """
    said = chinese(text, {"B": "乙"}).replace("Reé", "Ré")
    assert "A （[Child等，2019](https://arxiv.org/abs/1904.10509)；[Lee-Thorp和Ré，2021](" in said
    assert "[Lee-Thorp和Ré（2021）](https://doi.org/10.1000/x)." in said
    assert "See （1，见“乙”一节） and there（见“乙”一节）." in said


def linked(small_book, catalogue, **options):
    """Return both languages' notebooks of three chapters, of which two are translated."""
    others = {f"book/{name}": f"{HEADER}# {name}\n" for name in ("01-both", "02-english")}
    text = "[](01-both.md), [](02-english.md), [a word](words.md#w)."
    words = {"book/words": "# Words\n\n## W\n"}
    book = small_book(text, others=others | words, **options)
    catalogue()
    catalogue("book/01-both", {"01-both": "两种"})
    return notebooks(book), chinese_notebooks(book)


def test_links_lead_to_the_chinese_notebook_where_there_is_one(small_book, catalogue):
    english, files = linked(small_book, catalogue)
    assert set(files) == {"00-page.ipynb", "01-both.ipynb"} < set(english)
    cells = [("".join(c["source"])) for c in json.loads(files["00-page.ipynb"])["cells"]]
    text = "\n".join(cells)
    colab = "https://colab.research.google.com/github/o/r/blob/main/notebooks"
    source = "https://github.com/o/r/blob/main/book"
    assert "[两种](01-both.ipynb), [02-english](../02-english.ipynb)" in text
    assert f"[a word]({source}/words.md#w)" in text
    assert f"本章译自[英文版]({source}/00-page.md)" in text
    assert f"[在Colab中打开]({colab}/zh/00-page.ipynb)\n" in text
    assert cells[-1].split("\n")[2:] == [
        f"- 两种：[在Colab中打开]({colab}/zh/01-both.ipynb)，[打开本地文件](01-both.ipynb)",
        f"- 02-english：[在Colab中打开]({colab}/02-english.ipynb)，"
        "[打开本地文件](../02-english.ipynb)",
        "- [全书和它的库](https://github.com/o/r)",
    ]
    assert "/zh/" not in "".join(english.values())


def test_a_published_book_is_linked_to_in_chinese(small_book, catalogue):
    config = "html: {baseurl: https://x.org/book}\n"
    english, files = linked(small_book, catalogue, config=config)
    assert "[本章的网页](https://x.org/book/zh/book/00-page.html)" in files["00-page.ipynb"]
    assert "[a word](https://x.org/book/zh/book/words.html#w)" in files["00-page.ipynb"]
    assert "[a word](https://x.org/book/book/words.html#w)" in english["00-page.ipynb"]


def test_ids_and_anchors_are_those_of_the_english_page(small_book, catalogue):
    text = "## One two\n\nText.\n\n```{code-cell}\n1\n```\n\n## Three\n\nSee [](#one-two)."
    book = small_book(text)
    catalogue(translations={"Page": "页", "One two": "同", "Three": "同"})
    english = json.loads(notebooks(book)["00-page.ipynb"])["cells"]
    cells = json.loads(chinese_notebooks(book)["00-page.ipynb"])["cells"]
    assert [cell["id"] for cell in cells] == [cell["id"] for cell in english]
    assert "".join(cells[-2]["source"]) == "## 同\n\nSee “同”一节."


def test_check_sees_a_stale_chinese_notebook(small_book, catalogue, tmp_path, capsys):
    small_book("One.\n\nTwo.")
    catalogue(translations={"One.": "一。"})
    run = ["--root", str(tmp_path)]
    assert main(run) == 0
    made = tmp_path / "notebooks" / "zh" / "00-page.ipynb"
    assert "一。" in made.read_text(encoding="utf-8")
    assert main([*run, "--check"]) == 0
    catalogue(translations={"One.": "一。", "Two.": "二。"})
    capsys.readouterr()
    assert main([*run, "--check"]) == 1
    said = capsys.readouterr().err
    assert said == "notebooks/zh/00-page.ipynb is stale: run `make notebooks`\n"
    assert main(run) == 0
    assert main([*run, "--check"]) == 0
    (tmp_path / CATALOGUES / "book" / "00-page.po").unlink()
    assert main([*run, "--check"]) == 1
    assert main(run) == 0
    assert not made.exists()


def test_every_translated_chapter_has_a_chinese_notebook():
    catalogues = {path.stem for path in (ROOT / CATALOGUES / "book").glob("*.po")}
    english = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.stem for path in TRANSLATED} == catalogues & english
    assert TRANSLATED


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.stem)
def test_code_and_structure_are_the_same_in_both_languages(path):
    chinese, english = read(path), read(ROOT / "notebooks" / path.name)
    assert [(c["id"], c["metadata"]) for c in chinese] == [
        (c["id"], c["metadata"]) for c in english
    ]
    for mine, theirs in zip(chinese, english, strict=True):
        source = theirs["source"]
        if mine["id"] == "install" or "own-text" in mine["metadata"].get("tags", []):
            # These two have words of the notebook's own, in comments and in what they print.
            for name in WORDS_IN_CODE:
                words = (getattr(x, name).split("{command}") for x in (ENGLISH, CHINESE))
                for old, new in zip(*words, strict=True):
                    source = source.replace(old, new)
        if mine["cell_type"] == "code":
            assert mine["source"] == source, mine["id"]


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.stem)
def test_no_marks_of_emphasis_are_left_beside_chinese(path):
    """What other editors read by CommonMark, in which these may be plain characters."""
    for cell in read(path):
        if cell["cell_type"] != "markdown":
            continue
        text = re.sub(r"(?s)\$\$.*?\$\$|(?<!\\)\$[^$]+\$", "x", cell["source"])
        for token in MarkdownIt("commonmark").parse(text):
            said = [x.content for x in token.children or [] if x.type == "text"]
            assert not [x for x in said if "**" in x], cell["id"]
            kinds = {x.type for x in token.children or []}
            assert "strong_open" not in kinds, cell["id"]


def test_no_test_runs_the_same_cells_in_chinese():
    assert test_running.NOTEBOOKS
    assert {path.parent for path in test_running.NOTEBOOKS} == {ROOT / "notebooks"}


def test_words_hold_what_the_english_ones_hold():
    def holes(words):
        for name, value in vars(words).items():
            values = value if isinstance(value, dict) else {"": value}
            for key, text in values.items():
                yield f"{name}{key}", sorted(set(re.findall(r"\{\w+\}", text)))

    free = {"under_title", "page_in_book"}  # what a translation says of where it comes from
    chinese, english = dict(holes(CHINESE)), dict(holes(ENGLISH))
    assert {k: v for k, v in chinese.items() if k not in free} == {
        k: v for k, v in english.items() if k not in free
    }
    for text in vars(CHINESE).values():
        for said in text.values() if isinstance(text, dict) else [text]:
            assert not re.search(r"[\u4e00-\u9fff] +[\w{]|[\w}] +[\u4e00-\u9fff]", said)
