"""The Chinese edition in a browser: the way between the languages, the search, the setting."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from prerequisites import ROOT
from pypdf import PdfReader

from .test_paper import squeezed
from .test_search import search
from .waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.book]

MakePage = Callable[..., Page]
ALIVE = "() => !document.querySelector('[data-explorer]:not([data-digest])')"
GLOSSARY = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"(?m)^  ([\u4e00-\u9fff]{1,12})\. ", GLOSSARY)
LINE = 80


def switch(page: Page) -> Locator:
    """Return the link at the top of a page to the other language."""
    return page.locator(".article-header-buttons .language-switch")


def reach(page: Page, address: str) -> None:
    page.goto(address)
    until(page, ALIVE)


@pytest.mark.parametrize("start", ["", "zh/"])
def test_the_switch_keeps_an_explorers_state_at_once(
    offline_page: MakePage, book: Path, start: str
) -> None:
    page = offline_page()
    there = "" if start else "zh/"
    reach(page, f"{book.as_uri()}/{start}book/04-reformer.html#lsh-buckets")
    explorer = page.locator("[data-explorer=LSHBuckets]")
    explorer.locator("input[type=range]:not(:disabled)").first.press("ArrowRight")
    matrix = explorer.locator("canvas.ax-marks[tabindex]").first
    matrix.press("ArrowDown")
    page.wait_for_timeout(150)
    before = [explorer.get_attribute(f"data-{name}") for name in ("state", "pick", "digest")]
    switch(page).click()  # before the address is written by itself
    page.wait_for_url(f"**/{there}book/04-reformer.html#*")
    until(page, ALIVE)
    after = page.locator("[data-explorer=LSHBuckets]")
    expect(after).to_have_attribute("data-state", str(before[0]))
    assert [after.get_attribute(f"data-{name}") for name in ("pick", "digest")] == before[1:]
    page.wait_for_timeout(900)
    box = after.bounding_box()
    assert box is not None
    assert -box["height"] < box["y"] < 900
    assert "place=" not in page.url


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("wanted", ["share-a-bucket", "reversible", "exercises"])
def test_the_switch_leads_to_the_same_place_and_back(
    offline_page: MakePage, book: Path, width: int, wanted: str
) -> None:
    page = offline_page(width=width)
    reach(page, f"{book.as_uri()}/book/04-reformer.html#{wanted}")
    page.wait_for_timeout(900)
    page.mouse.wheel(0, 330)
    page.wait_for_timeout(300)
    for language in ("zh", "en"):
        read = page.evaluate(READ, LINE)
        switch(page).click()
        page.wait_for_load_state("load")
        page.wait_for_timeout(1200)
        until(page, ALIVE)
        assert page.evaluate("document.documentElement.lang").startswith(language)
        assert page.url.endswith(f"#{wanted}")
        now = page.evaluate(READ, LINE)
        assert now["block"] == read["block"]
        assert abs(now["part"] - read["part"]) < 0.12


# The block at a line of the window, by its place among all, and the part of it that is above.
READ = """
line => {
  const all = [...document.querySelectorAll(
    "article :is(h1, h2, h3, h4, p, li, pre, table, .attn-explorer)")]
    .filter(each => !each.matches(".translation-note, .attn-explorer *"));
  const above = each => each.checkVisibility() && each.getBoundingClientRect().top <= line + 1;
  const block = all.findLastIndex(above);
  const { top, height } = all[block].getBoundingClientRect();
  return { block, part: Math.min(1, (line - top) / Math.max(height, 1)) };
}
"""


def test_the_switch_of_the_first_page_and_of_the_search(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    page.goto(f"{book.as_uri()}/index.html")
    page.wait_for_url("**/book/intro.html")
    switch(page).click()
    page.wait_for_url("**/zh/book/intro.html")
    page.goto(f"{book.as_uri()}/zh/index.html")
    page.wait_for_url("**/zh/book/intro.html")
    page.goto(f"{book.as_uri()}/zh/search.html?q=mask")
    switch(page).click()
    page.wait_for_url(f"{book.as_uri()}/search.html?q=mask")


def test_without_scripts_the_switch_leads_to_the_page(offline_page: MakePage, book: Path) -> None:
    page = offline_page(java_script_enabled=False)
    page.goto(f"{book.as_uri()}/zh/book/04-reformer.html")
    switch(page).click()
    page.wait_for_url(f"{book.as_uri()}/book/04-reformer.html")


def test_every_term_of_the_glossary_is_found_in_both_editions(
    offline_page: MakePage, book: Path
) -> None:
    assert len(TERMS) > 70
    page = offline_page()
    for edition in (book.as_uri(), f"{book.as_uri()}/zh"):
        search(page, edition, "哈希")
        found = page.evaluate(
            """words => words.filter(word => {
              const [, terms, excluded, highlighted, objects] = Search._parseQuery(word);
              const results = Search.performTermsSearch(terms, excluded);
              return !results.some(result => result[0].includes("glossary"));
            })""",
            TERMS,
        )
        assert found == []


@pytest.mark.parametrize("edition", ["", "zh/"])
def test_each_chapter_is_found_by_its_chinese_name(
    offline_page: MakePage, book: Path, edition: str
) -> None:
    page = offline_page()
    for word, chapter in [("哈希", "04"), ("余弦", "10"), ("局部敏感哈希", "04"), ("低秩", "05")]:
        found = search(page, f"{book.as_uri()}/{edition}".rstrip("/"), word)
        addresses = found.locator("a").evaluate_all("links => links.map(link => link.href)")
        assert any(f"/{edition}book/{chapter}-" in address for address in addresses)
        assert page.locator(".search-excerpt mark").first.inner_text() == word


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("name", ["intro", "00-softmax-attention", "04-reformer"])
def test_a_page_is_set_as_chinese(
    offline_page: MakePage, book: Path, name: str, width: int, dark: bool
) -> None:
    page = offline_page(width=width, dark=dark)
    page.goto(f"{book.as_uri()}/zh/book/{name}.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    style = (
        "names => names.map(name => getComputedStyle(document.querySelector('article p'))[name])"
    )
    assert page.evaluate(style, ["textAutospace", "lineBreak"]) == ["normal", "strict"]
    height, size = page.evaluate(style, ["lineHeight", "fontSize"])
    assert float(height[:-2]) / float(size[:-2]) >= 1.75


def test_bold_ends_beside_chinese(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    page.goto(f"{book.as_uri()}/zh/book/intro.html")
    lead = page.locator("article p strong").first
    assert lead.inner_text().endswith("。")
    assert page.locator("article").inner_text().count("**") == 0


def test_the_chinese_pages_print_with_every_glyph(book: Path, tmp_path: Path) -> None:
    out = tmp_path / "zh.pdf"
    command = [sys.executable, "-m", "book._ext.make_pdf", "--html", str(book / "zh")]
    chosen = ["--output", str(out), "--only", "book/04-reformer"]
    done = subprocess.run([*command, *chosen], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    text = "".join(page.extract_text() for page in PdfReader(out).pages)
    assert "局部敏感哈希" in squeezed(text)
    assert "\ufffd" not in text
