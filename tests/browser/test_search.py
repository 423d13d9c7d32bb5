"""Excerpts below what a search has found, from a folder and from a server."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page

from .waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.book]

MakePage = Callable[..., Page]
PHRASE = "slots are averages of neighbours"


def search(page: Page, start: str, words: str) -> Locator:
    """Search for some words and return what was found."""
    page.goto(f"{start}/search.html?q={quote(words)}")
    page.wait_for_selector("#search-results ul.search li")
    until(page, "() => /\\d/.test(document.querySelector('.search-summary').textContent)")
    return page.locator("#search-results ul.search > li")


@pytest.mark.parametrize("source", ["folder", "server"])
def test_each_result_has_an_excerpt_with_the_word(
    offline_page: MakePage, book: Path, book_address: str, source: str
) -> None:
    page = offline_page(allow=book_address)
    found = search(page, book.as_uri() if source == "folder" else book_address, "hashing")
    assert found.count() > 5
    for item in found.all():
        text = item.locator(".search-excerpt").inner_text()
        assert 20 < len(text) < 300
        assert "hash" in item.inner_text().lower()
    marks = page.locator(".search-excerpt mark").all_inner_texts()
    assert len(marks) >= found.count() / 2
    assert all(mark.lower().startswith("hash") for mark in marks)


def test_a_phrase_is_shown_where_it_stands(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    found = search(page, book.as_uri(), PHRASE)
    item = found.filter(has=page.locator('a[href*="05-linformer.html"]')).first
    assert PHRASE in item.locator(".search-excerpt").inner_text()
    item.locator("a").click()
    page.wait_for_url("**/book/05-linformer.html*")


def test_chinese_words_are_found_and_marked(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    search(page, book.as_uri(), "注意力")
    marks = page.locator(".search-excerpt mark").all_inner_texts()
    assert marks
    assert set(marks) == {"注意力"}


def test_a_text_is_never_read_as_markup(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    page.add_init_script(
        "window.addEventListener('DOMContentLoaded', () => {}, { once: true });"
        "Object.defineProperty(window, 'SEARCH_TEXTS', { get: () => new Proxy({}, {"
        " get: () => [['', 'hashing <img src=x onerror=document.title=1> <b>bold</b>']] }),"
        " set: () => {} });"
    )
    found = search(page, book.as_uri(), "hashing")
    excerpt = found.first.locator(".search-excerpt")
    assert "<b>bold</b>" in excerpt.inner_text()
    assert excerpt.locator("img, b").count() == 0


@pytest.mark.parametrize("width", [390, 320])
def test_results_fit_a_phone(offline_page: MakePage, book: Path, width: int) -> None:
    page = offline_page(width=width)
    search(page, book.as_uri(), "performer_attention")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_only_the_search_page_loads_the_texts(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    for name, count in [("book/intro", 0), ("book/05-linformer", 0), ("search", 2)]:
        page.goto((book / f"{name}.html").as_uri())
        assert page.locator('script[src*="search-texts"], script[src*="excerpts"]').count() == count
