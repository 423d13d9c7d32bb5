"""The book on paper: a part of it in the gate, all of it with ``--soak``."""

import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import Page
from prerequisites import HTML, ROOT, missing
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

from browser import chromium

from .waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.book]

TRIAL = ("book/01-sparse-transformer", "book/part-2")
NUMBERED = re.compile(r"(.*\S)\s+(\d+)$")


# Characters that share a glyph: Chromium writes the one with the smaller number.
TWINS = str.maketrans({"\N{CJK RADICAL C-SIMPLIFIED LONG}": "长", "\N{FIGURE DASH}": "\N{EN DASH}"})


def squeezed(text: str) -> str:
    """Return a text as it is read: a PDF has spaces as it likes, and hides dots."""
    plain = unicodedata.normalize("NFKC", text).translate(TWINS)
    return re.sub(r"\s+|·", "", plain)


class Paper:
    """A printed PDF, and what stands in it."""

    def __init__(self, path: Path, pages: tuple[str, ...]) -> None:
        self.reader = PdfReader(path)
        self.root = self.reader.trailer["/Root"]
        self.pages = pages
        # A page's own number comes first.
        self.texts = [
            page.extract_text().removeprefix(str(k)) for k, page in enumerate(self.reader.pages, 1)
        ]
        self.numbers = {
            page.indirect_reference.idnum: k for k, page in enumerate(self.reader.pages, start=1)
        }
        self.places = {
            name.removeprefix("/"): self.numbers[place.page.idnum]
            for name, place in self.reader.named_destinations.items()
        }

    def links(self) -> Iterator[Mapping[str, Any]]:
        for page in self.reader.pages:
            for annotation in page.get("/Annots") or ():
                link = annotation.get_object()
                if link["/Subtype"] == "/Link":
                    yield link

    def outline(self, entries: Any = None, depth: int = 0) -> Iterator[tuple[int, str, int]]:
        for entry in self.reader.outline if entries is None else entries:
            if isinstance(entry, list):
                yield from self.outline(entry, depth + 1)
            else:
                yield depth, entry.title, self.numbers[entry.page.idnum]

    def tags(self) -> Iterator[DictionaryObject]:
        waiting = [self.root["/StructTreeRoot"]]
        while waiting:
            tag = waiting.pop().get_object()
            if isinstance(tag, list):
                waiting += tag
            elif isinstance(tag, DictionaryObject):
                if "/S" in tag:
                    yield tag
                if "/K" in tag:
                    waiting.append(tag["/K"])


def written(name: str) -> BeautifulSoup:
    """Return the article of a built page."""
    page = (HTML / f"{name}.html").read_text(encoding="utf-8")
    return BeautifulSoup(page, "html.parser").find("article")


def print_pages(path: Path, only: tuple[str, ...]) -> Paper:
    if chromium.find() is None:
        missing("no Chromium found: run `make browser`")
    if not chromium.has_chinese():
        missing("no font with Chinese found: run `make browser`")
    command = [sys.executable, "-m", "book._ext.make_pdf", f"--output={path}"]
    done = subprocess.run(
        [*command, *(("--only", *only) if only else ())],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [
        name
        for part in toc["parts"]
        for chapter in part["chapters"]
        for name in (chapter["file"], *(one["file"] for one in chapter.get("sections", ())))
    ]
    return Paper(path, tuple(name for name in listed if not only or name in only))


@pytest.fixture(
    scope="module",
    params=[pytest.param(TRIAL, id="trial"), pytest.param((), id="all", marks=pytest.mark.soak)],
)
def paper(
    request: pytest.FixtureRequest, book: Path, tmp_path_factory: pytest.TempPathFactory
) -> Paper:
    return print_pages(tmp_path_factory.mktemp("paper") / "book.pdf", request.param)


def test_the_pdf_says_what_it_is(paper: Paper) -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert paper.reader.metadata.title == config["title"]
    assert paper.reader.metadata.author == config["author"]
    assert paper.root["/Lang"] == "en"


def test_the_pdf_is_tagged(paper: Paper) -> None:
    assert paper.root["/MarkInfo"]["/Marked"]
    kinds = Counter(str(tag["/S"]) for tag in paper.tags())
    assert {"/H1", "/H2", "/P", "/L", "/LI", "/Table", "/TR", "/TH", "/TD", "/Figure"} <= set(kinds)
    # The cover, the contents, and the pages.
    assert kinds["/H1"] == len(paper.pages) + 2
    bare = [tag for tag in paper.tags() if tag["/S"] == "/Figure" and not tag.get("/Alt")]
    assert not bare


def test_the_outline_is_whole_and_nested(paper: Paper) -> None:
    entries = list(paper.outline())
    titles = [title for depth, title, _ in entries if depth == 0]
    wanted = [written(name).find("h1") for name in paper.pages]
    for heading in wanted:
        for link in heading.select("a.headerlink"):
            link.decompose()
    assert [squeezed(title) for title in titles[2:]] == [
        squeezed(heading.get_text()) for heading in wanted
    ]
    assert max(depth for depth, _, _ in entries) >= 2
    for _, title, number in entries:
        assert squeezed(title) in squeezed(paper.texts[number - 1])


def test_the_contents_have_the_right_numbers(paper: Paper) -> None:
    begins = {title: number for depth, title, number in paper.outline() if depth == 0}
    contents = begins["Contents"]
    first = min(number for number in begins.values() if number > contents)
    lines = squeezed("\n".join(paper.texts[contents - 1 : first - 1]))
    for title, number in list(begins.items())[2:]:
        assert f"{squeezed(title)}{number}" in lines


def test_links_lead_where_they_should(paper: Paper) -> None:
    inner = 0
    for link in paper.links():
        if "/A" in link and "/URI" in link["/A"]:
            assert re.match(r"https?://|mailto:", link["/A"]["/URI"]), link["/A"]["/URI"]
        else:
            place = link.get("/Dest") or link["/A"]["/D"]
            assert str(place).removeprefix("/") in paper.places, place
            inner += 1
    assert inner > 20
    for name in paper.pages:
        assert name.removeprefix("book/").replace("/", "-") in paper.places


def test_every_explorer_has_its_picture_its_settings_and_its_address(paper: Paper) -> None:
    text = squeezed("".join(paper.texts))
    addresses = {
        link["/A"]["/URI"] for link in paper.links() if "/A" in link and "/URI" in link["/A"]
    }
    alternatives = [str(tag["/Alt"]) for tag in paper.tags() if tag.get("/Alt")]
    for name in paper.pages:
        for explorer in written(name).select(".attn-explorer"):
            picture = explorer.select_one(".ax-fallback svg")
            assert picture["aria-label"] in alternatives
            kind = re.sub(
                r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", explorer["data-explorer"]
            ).lower()
            assert any(f"{name}.html#{kind}" in address for address in addresses)
    count = sum(len(written(name).select(".attn-explorer")) for name in paper.pages)
    assert text.count("Aliveat") == text.count("Setto") == count


def test_answers_stand_at_the_end_of_their_chapter(paper: Paper) -> None:
    begins = [number for depth, _, number in paper.outline() if depth == 0]
    answers = [number for _, title, number in paper.outline() if title == "Answers and solutions"]
    asking = [
        name for name in paper.pages if written(name).select(".ask, summary.sd-summary-title")
    ]
    assert 0 < len(answers) <= len(asking)
    for number, text in enumerate(paper.texts, start=1):
        for _, said in re.findall(r"(Reply|Hint|Solution|Answers?): page (\d+)", text):
            own = max(begin for begin in begins if begin <= number)
            at = int(said)
            assert max(begin for begin in begins if begin <= at) == own
            assert any(own <= begin <= at for begin in answers)
    text = squeezed("".join(paper.texts))
    for name in paper.pages:
        for reply in written(name).select(".ask-reply > p:first-child"):
            if not reply.select("math"):
                assert squeezed(reply.get_text()) in text
    assert "codecellsource" not in text


def test_every_glyph_is_there(paper: Paper) -> None:
    whole = "".join(paper.texts)
    assert "�" not in whole
    assert re.search(r"[\u4e00-\u9fff]", whole)


def test_a_page_prints_light_whole_and_with_its_answers_last(
    book: Path, offline_page: Any, tmp_path: Path
) -> None:
    page: Page = offline_page(dark=True)
    page.goto((book / "book" / "01-sparse-transformer.html").as_uri())
    explorer = page.locator(".attn-explorer.ax-live").first
    explorer.locator("input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    until(page, "location.hash.includes('sparse-patterns.stride')")
    moved = page.evaluate("location.hash")
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    texts = [each.extract_text() for each in PdfReader(tmp_path / "page.pdf").pages]
    text = squeezed("".join(texts))
    assert squeezed(moved) in text
    assert "Stridel" in text
    assert text.index("Answersandsolutions") > text.index("References")
    assert text.index("defsolution(") > text.index("Answersandsolutions")
    assert "codecellsource" not in text
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("article > .paper-answers").count() == 0
    assert page.locator("article details[open]").count() == 0
