"""Frames that are not the build's: the still picture and a sentence, never a wrong matrix."""

import base64
import random
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from attn_lib.explorers import AttentionOnText, LSHCircle, SparsePatterns
from attn_lib.explorers.words import COMMON_WORDS

from .test_explorers import MakePage, write_page

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

FRAMES = re.compile(r'(?<=<script type="application/octet-stream">)[^<]+')
FLIPS = 40
SEED = 20261130


def another(text: str, draw: random.Random) -> str:
    """Return base64 with another letter in one place: often the last, some of whose bits idle."""
    at = draw.choice([draw.randrange(len(text)), len(text.rstrip("=")) - 1])
    letters = string.ascii_letters.replace(text[at], "")
    return text[:at] + draw.choice(letters) + text[at + 1 :]


def flipped(text: str, draw: random.Random) -> str:
    """Return base64 with one bit of its bytes turned."""
    data = bytearray(base64.b64decode(text))
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return base64.b64encode(bytes(data)).decode()


def cut(text: str, draw: random.Random) -> str:
    """Return base64 that ends too early."""
    return text[: draw.randrange(len(text))]


def mangled(text: str, draw: random.Random) -> str:
    """Return base64 with one character that may be none of its own."""
    at = draw.randrange(len(text) - 2)
    return text[:at] + draw.choice("!é{\n =") + text[at + 1 :]


def change_frames(folder: Path, change: Callable[[str], str], count: int = 0) -> None:
    """Put what `change` makes of a page's frames in their place: of all, or of the first few."""
    file = folder / "page.html"
    text = file.read_text(encoding="utf-8")
    file.write_text(FRAMES.sub(lambda block: change(block[0]), text, count), encoding="utf-8")


def check_still(page: Page, count: int) -> None:
    """Hold every explorer of a page to its still picture and the sentence."""
    roots = page.locator(".attn-explorer").all()
    assert len(roots) == count
    for root in roots:
        expect(root).to_have_class(re.compile(r"\bax-unread\b"))
        expect(root.locator(".ax-fallback svg")).to_be_visible()
        expect(root.locator(".ax-why")).to_have_text(COMMON_WORDS["why_still"])
        expect(root.locator(".ax-why")).to_be_visible()
        assert root.locator("input, select, canvas").count() == 0


@pytest.mark.parametrize("damage", [flipped, another, cut, mangled])
def test_damaged_frames_leave_the_still_and_a_sentence(
    offline_page: MakePage,
    write_page: Callable[..., str],
    tmp_path: Path,
    damage: Callable[[str, random.Random], str],
) -> None:
    draw = random.Random(SEED)
    address = write_page(*(LSHCircle() for _ in range(FLIPS)))
    change_frames(tmp_path, lambda block: damage(block, draw))
    page = offline_page()
    page.goto(address)
    check_still(page, FLIPS)


def test_frames_of_another_explorer_are_refused(
    offline_page: MakePage,
    write_page: Callable[..., str],
    tmp_path: Path,
) -> None:
    address = write_page(AttentionOnText(), SparsePatterns())
    first, second = FRAMES.findall((tmp_path / "page.html").read_text(encoding="utf-8"))
    change_frames(tmp_path, {first: second, second: first}.__getitem__)
    page = offline_page()
    page.goto(address)
    check_still(page, 2)


def test_one_damaged_explorer_stops_no_other(
    offline_page: MakePage,
    write_page: Callable[..., str],
    tmp_path: Path,
) -> None:
    address = write_page(LSHCircle(), SparsePatterns())
    draw = random.Random(SEED)
    change_frames(tmp_path, lambda block: flipped(block, draw), count=1)
    page = offline_page()
    page.goto(address)
    broken, whole = page.locator(".attn-explorer").all()
    expect(whole).to_have_class(re.compile(r"\bax-live\b"))
    expect(whole.locator(".ax-why")).to_have_count(0)
    expect(broken).to_have_class(re.compile(r"\bax-unread\b"))


def test_without_what_unpacks_frames_there_is_the_still(
    offline_page: MakePage,
    write_page: Callable[..., str],
) -> None:
    page = offline_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(write_page(LSHCircle(), SparsePatterns()))
    check_still(page, 2)


def test_without_scripts_a_page_of_the_book_says_why_its_pictures_stand_still(
    offline_page: MakePage, book: Path
) -> None:
    page = offline_page(java_script_enabled=False)
    page.goto((book / "book" / "00-softmax-attention.html").as_uri())
    expect(page.locator(".attn-explorer .ax-why")).to_be_visible()


REFUSED = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("refused", "SecurityError"); },
});"""


def test_a_page_that_may_keep_nothing_and_has_no_fonts_is_whole(
    browser: Browser, book: Path
) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.add_init_script(REFUSED)
    errors: list[Error] = []
    page.on("pageerror", lambda error: errors.append(error))
    asked: list[str] = []

    def withhold(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route(re.compile(r"\.woff2?$"), withhold)
    page.goto((book / "book" / "04-reformer.html").as_uri())
    expect(page.locator("[data-explorer=LSHCircle]")).to_have_class(re.compile(r"\bax-live\b"))
    assert len(asked) == 1
    theme = page.locator("html").get_attribute("data-theme")
    for _ in range(2):
        page.locator(".theme-switch-button").first.click()
    assert page.locator("html").get_attribute("data-theme") != theme
    formula = page.locator(".math").first
    assert formula.evaluate("el => el.getBoundingClientRect().width") > 5
    assert errors == []
    context.close()
