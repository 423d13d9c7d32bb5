"""The Chinese edition says what the English says, in its terms and set as Chinese: without a model.

Whether a sentence means the same, readers say. What is counted or compared is held here.
"""

import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup, Tag
from docutils import nodes
from prerequisites import ROOT, built_book
from sphinx import addnodes
from sphinx.util.nodes import extract_messages

sys.path.append(str(ROOT / "book" / "_ext"))

import editions
import translation_rules as rules

FOLDER = rules.LOCALE / rules.LANGUAGE / "LC_MESSAGES"
FINISHED = sorted(
    path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.po")
)
HAN = re.compile(rf"[{rules.HAN}]")


def messages_of(page: str) -> list[str]:
    """Return what a built page has to be translated, as Sphinx lists it."""
    built_book()
    path = ROOT / "_build" / ".doctrees" / f"{page}.doctree"
    document: nodes.document = pickle.loads(path.read_bytes())
    contents = [
        node["caption"] for node in document.findall(addnodes.toctree) if node.get("caption")
    ]
    return list(dict.fromkeys([*contents, *(text for _, text in extract_messages(document))]))


def test_the_pages_that_are_translated() -> None:
    assert {"book/intro", "book/00-softmax-attention", "book/04-reformer"} <= set(FINISHED)


@pytest.mark.parametrize("domain", [*FINISHED, *editions.SHARED])
def test_every_message_keeps_to_the_rules(domain: str) -> None:
    assert list(rules.of_domain(domain)) == []


@pytest.mark.book
@pytest.mark.parametrize("page", FINISHED)
def test_what_is_translated_is_what_the_page_says(page: str) -> None:
    assert list(rules.drift(page, messages_of(page))) == []


def catalogue(pairs: dict[str, str]) -> Catalog:
    found = Catalog(locale=rules.LANGUAGE)
    for english, chinese in pairs.items():
        found.add(english, chinese)
    return found


PAGE = {
    "Sort and cut": "排序与切分",
    "A query reads $2m$ keys, not 16.": "一个查询读$2m$个键，不是16个。",
    "Cut the order into {term}`chunks <chunk>`.": "把次序切成{term}`分块 <chunk>`（chunk）。",
}


def test_changes_of_a_number_a_formula_and_a_heading_are_named() -> None:
    changed = [
        "Sort and paste",
        "A query reads $3m$ keys, not 17.",
        "Cut the order into {term}`chunks <chunk>`.",
    ]
    found = list(rules.drift("book/x", changed, catalogue(PAGE)))
    assert found == [
        "book/x: “Sort and paste” is new; it was “Sort and cut”",
        "book/x: “A query reads $3m$ keys, not 17.” is new;"
        " it was “A query reads $2m$ keys, not 16.”",
    ]
    assert list(rules.drift("book/x", PAGE, catalogue(PAGE))) == []
    fewer = rules.drift("book/x", list(PAGE)[:2], catalogue(PAGE))
    assert [fault.endswith("is said no more") for fault in fewer] == [True]


def test_a_not_that_is_added_in_english_takes_the_translation_away(tmp_path: Path) -> None:
    path, template = tmp_path / "x.po", tmp_path / "x.pot"
    editions.write(template, catalogue({"Rows are never empty.": ""}), rules.LANGUAGE)
    editions.merge(path, template, rules.LANGUAGE)
    translated = editions._read(path, rules.LANGUAGE)
    translated["Rows are never empty."].string = "行从不为空。"
    editions.write(path, translated, rules.LANGUAGE)
    editions.write(template, catalogue({"Rows are not never empty.": ""}), rules.LANGUAGE)
    editions.merge(path, template, rules.LANGUAGE)
    with path.open("rb") as file:
        message = read_po(file, locale=rules.LANGUAGE)["Rows are not never empty."]
    assert message.fuzzy
    assert '#| msgid "Rows are never empty."' in path.read_text(encoding="utf-8")
    faults = list(rules.of_message(message, {}, {}))
    assert any("fuzzy" in fault for fault in faults)


@pytest.mark.parametrize(
    ("english", "chinese", "fault"),
    [
        ("Take $n$ keys.", "取$m$个键。", "lacks the formula $n$"),
        ("Take $n$ keys.", "取$n$个键，$n$个。", "has a formula that the English has not: $n$"),
        ("Call `f`.", "调用`g`。", "lacks the code f"),
        ("See {eq}`merge`.", "见{eq}`piece`。", "lacks the role eq merge"),
        ("As {cite:t}`a` say.", "如{cite:p}`a`所说。", "lacks the role cite:t a"),
        ("[Here](a.md).", "[这里](b.md)。", "lacks the link a.md"),
        ("In 2020, 1,024 keys.", "2020年，1024个键。", "lacks the number 1,024"),
        ("Up to 16.5 %.", "不超过15.5%。", "lacks the number 16.5"),
        ("**Sort.** Then cut.", "排序。再切。", "has 0 bold parts, not 1"),
        ("Take keys.", "取 键。", "a space beside Chinese: '取 键。'"),
        ("Take $n$ keys.", "取 $n$个键。", "a space beside Chinese: '取 \ufffc个键。'"),
        ("Take keys.", "取键.", "a half-width mark after Chinese: '取键.'"),
        ("A *key*.", "一个*键*。", "Chinese in italics: '*键*'"),
        ("Tokens.", "令牌。", "'令牌', where the term base has '词元'"),
        (
            "A {term}`chunk`.",
            "一个{term}`块 <chunk>`。",
            "the term 'chunk' is said '块', not '分块'",
        ),
        ("Keep it.", "", "has no translation"),
        ("Keep it.", "Keep it.", "is its English; where that is right, `# stays` says so"),
        ("{rounds} rounds", "{round}轮", "has other holes: ['{round}'], not ['{rounds}']"),
    ],
)
def test_what_a_rule_is_broken_by(english: str, chinese: str, fault: str) -> None:
    message = catalogue({english: chinese})[english]
    assert fault in list(rules.of_message(message, rules.terms(), rules.forbidden()))


@pytest.mark.parametrize("english", list(PAGE))
def test_what_no_rule_is_broken_by(english: str) -> None:
    message = catalogue(PAGE)[english]
    assert list(rules.of_message(message, rules.terms(), rules.forbidden())) == []


def test_a_term_comes_first_with_its_english() -> None:
    base = {"chunk": rules.Term("分块", True), "head": rules.Term("头", False)}
    bare, said = "切成{term}`分块 <chunk>`。", "{term}`分块 <chunk>`（chunk）和{term}`头 <head>`。"
    assert len(list(rules.without_english([bare, said], base))) == 1
    assert list(rules.without_english([said, bare], base)) == []


def test_the_term_base_and_the_glossary_say_the_same() -> None:
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    listed = re.findall(r"(?m)^(\S[^\n]*)\n  ([^\n.]+)\.", glossary.split("```{glossary}")[1])
    assert len(listed) > 80
    base = rules.terms()
    differ = {
        name: (chinese, base[name.lower()].chinese)
        for name, chinese in listed
        if name.lower() in base and base[name.lower()].chinese.split("（")[0] not in chinese
    }
    assert differ == {}
    assert {name for name, _ in listed if name.lower() not in base} == set()


Read = Callable[[str, str], BeautifulSoup]


@pytest.fixture(scope="module")
def read() -> Read:
    """Return what reads a page of an edition, ``""`` or ``"zh"``."""
    html = built_book()

    def soup(folder: str, page: str) -> BeautifulSoup:
        text = (html / folder / f"{page}.html").read_text(encoding="utf-8")
        return BeautifulSoup(text, "html.parser")

    return soup


ALL_PAGES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix()
    for path in (ROOT / "book").rglob("*.md")
    if "_" not in path.parts[1][:1] and "locale" not in path.parts
)


@pytest.mark.book
@pytest.mark.parametrize("page", ALL_PAGES)
def test_both_editions_of_a_page_have_the_same_ids_and_lead_to_each_other(
    read: Read, page: str
) -> None:
    english, chinese = read("", page), read("zh", page)
    assert english.html is not None
    assert chinese.html is not None
    assert (english.html["lang"], chinese.html["lang"]) == ("en", "zh-Hans")
    ids = [
        [str(each["id"]) for each in soup.select(".bd-article [id]") if not each.find_parent("svg")]
        for soup in (english, chinese)
    ]
    assert ids[0] == ids[1]
    for soup, folder in ((english, ""), (chinese, "zh")):
        link = soup.select_one(".article-header-buttons .language-switch")
        assert link is not None
        here = built_book() / folder / f"{page}.html"
        there = (here.parent / str(link["href"])).resolve()
        assert there == (built_book() / ("" if folder else "zh") / f"{page}.html").resolve()
    (note,) = chinese.select(".translation-note")
    assert english.select(".translation-note") == []
    is_own = page in FINISHED
    assert ("尚未" in note.get_text()) is not is_own
    assert bool(chinese.select("article > div[lang=en]")) is not is_own


def text_of(read: Read, page: str, *others: str) -> Tag:
    """Return what is read on a Chinese page, less code and what `others` select."""
    (article,) = read("zh", page).select(".bd-article")
    for unread in article.select(", ".join(("pre, code, script, style, math", *others))):
        unread.decompose()
    return article


@pytest.mark.book
@pytest.mark.parametrize("page", FINISHED)
def test_no_markup_is_left_and_no_space_shows_between_chinese(read: Read, page: str) -> None:
    article = text_of(read, page, "svg", ".attn-explorer")
    text = article.get_text()
    assert HAN.search(text)
    assert re.findall(r"\*\*|\{[a-z:]+\}`|\[[x ][^\]]*\] ", text) == []
    spaces = re.compile(rf"[{rules.HAN}，。]\s+[{rules.HAN}]")
    blocks = article.select("p, li, td, h1, h2, h3, summary")
    strings = [str(part) for block in blocks for part in block.find_all(string=True)]
    assert [found for text in strings for found in spaces.findall(text)] == []


@pytest.mark.book
@pytest.mark.parametrize("page", FINISHED)
def test_no_english_sentence_is_left_on_a_translated_page(read: Read, page: str) -> None:
    # What stays English: code and its output, quotations, references, words in italics.
    article = text_of(read, page, "em", "cite", ".bibliography", "a")
    blocks = [block for block in article.select("p, li, td, h2, h3") if not block.select("p, li")]
    for block in blocks:
        text = "".join(block.find_all(string=True))
        run = re.search(r"(?:\b[a-z]{2,}\b[ ,]+){5,}", text)
        assert run is None or HAN.search(text), text


@pytest.mark.book
def test_frames_are_the_same_and_words_are_chinese(read: Read) -> None:
    for page in FINISHED:
        both = [read(folder, page).select("[data-explorer]") for folder in ("", "zh")]
        for english, chinese in zip(*both, strict=True):
            kinds = "script[type='application/octet-stream']"
            assert [part.string for part in english.select(kinds)] == [
                part.string for part in chinese.select(kinds)
            ]
            words = chinese.select_one("script[type='application/json']")
            assert words is not None
            assert '"language":"zh' in str(words.string)
            assert HAN.search(str(words.string))


def test_the_chinese_readme_has_what_the_english_one_has() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")]
    blocks = [re.findall(r"(?s)```.*?```", text) for text in texts]
    assert blocks[0] == blocks[1]
    plain = [re.sub(r"(?s)```.*?```", "", text) for text in texts]
    each_other = {"README.md", "README.zh.md"}
    targets = [set(re.findall(r"\]\(([^)]+)\)", text)) - each_other for text in plain]
    assert targets[0] == targets[1]
    assert [text.count("\n## ") for text in plain] == [4, 4]
    assert list(rules.badly_set(" ".join(plain[1].replace(" · ", "").split("\n\n")[2:3]))) == []
