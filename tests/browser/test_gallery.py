"""The landing page in a real browser: each small picture moves, by pointer and by keyboard."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from .waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.book]

MakePage = Callable[..., Page]
CHAPTERS = sorted(
    path.stem for path in (Path(__file__).parents[2] / "book").glob("[0-9][0-9]-*.md")
)


def cards(page: Page, book: Path) -> list[Locator]:
    """Open the landing page and return its pictures, once all are alive."""
    page.goto((book / "book" / "intro.html").as_uri())
    alive = "count => document.querySelectorAll('.live.is-live').length === count"
    until(page, alive, len(CHAPTERS))
    return page.locator(".live").all()


def state(card: Locator) -> tuple[str, str, str]:
    """Return what a card shows: its picture, its sentence, and what its slider says."""
    return (
        card.locator(".live-picture").inner_html().replace(' class=""', ""),
        card.locator(".live-said").inner_text(),
        card.locator("input").get_attribute("aria-valuetext") or "",
    )


def test_each_picture_leads_to_its_chapter(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    for chapter, card in zip(CHAPTERS, cards(page, book), strict=True):
        link = card.locator("a.live-name")
        assert link.get_attribute("href") == f"{chapter}.html"
        assert link.inner_text().startswith(f"{int(chapter[:2])}")
        assert "·" not in link.inner_text()
    page.locator("a.live-name").nth(5).click()
    page.wait_for_url("**/book/05-linformer.html")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_keys_move_each_picture(offline_page: MakePage, book: Path, dark: bool) -> None:
    page = offline_page(dark=dark)
    for card in cards(page, book):
        before = state(card)
        knob = card.locator("input")
        knob.focus()
        outline = "input => getComputedStyle(input).outlineStyle"
        page.keyboard.press("ArrowRight")
        assert knob.evaluate(outline) == "solid"
        after = state(card)
        assert all(old != new for old, new in zip(before, after, strict=True))
        assert after[2] == after[1]
        page.keyboard.press("ArrowLeft")
        assert state(card) == before
        page.keyboard.press("Home")
        seen = {card.locator(".live-said").inner_text()}
        for _ in range(int(knob.get_attribute("max") or 0)):
            page.keyboard.press("ArrowRight")
            seen.add(card.locator(".live-said").inner_text())
        assert len(seen) >= 6


@pytest.mark.parametrize("width", [1280, 390])
def test_a_pointer_moves_each_picture(offline_page: MakePage, book: Path, width: int) -> None:
    page = offline_page(width=width)
    for card in cards(page, book):
        picture = card.locator(".live-picture")
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        assert box is not None
        seen = []
        for share in (0.02, 0.3, 0.97):
            page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.1 * box["height"])
            if card.get_attribute("data-kind") == "words":
                picture.locator("span").nth(round(share * 30)).hover()
            seen.append(state(card))
        assert len({one[0] for one in seen}) == 3
        assert len({one[1] for one in seen}) == 3
        if card.get_attribute("data-kind") != "words":
            knob = card.locator("input")
            assert knob.input_value() == knob.get_attribute("max")


def test_a_finger_moves_a_picture_sideways_and_scrolls_down(
    offline_page: MakePage, book: Path
) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    card = cards(page, book)[1]
    picture = card.locator(".live-picture")
    assert picture.evaluate("one => getComputedStyle(one).touchAction") == "pan-y"
    box = picture.bounding_box()
    assert box is not None
    x, y = box["x"], box["y"]
    session = page.context.new_cdp_session(page)

    def drag(right: int, down: int) -> None:
        """Move a finger from the middle of the picture."""
        at = {"x": x + box["width"] / 2, "y": y + box["height"] / 2}
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
        for _ in range(10):
            at = {"x": at["x"] + right / 10, "y": at["y"] + down / 10}
            session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_timeout(200)

    before = state(card)
    page.touchscreen.tap(x + 0.9 * box["width"], y + 20)
    tapped = state(card)
    assert tapped != before
    drag(-60, 3)
    dragged = state(card)
    assert dragged != tapped
    assert page.evaluate("scrollY") == 0
    drag(2, -200)
    assert page.evaluate("scrollY") > 100
    assert state(card) == dragged


def test_the_script_draws_what_stood_on_the_page(offline_page: MakePage, book: Path) -> None:
    """So no picture jumps when the script starts, and both say the same numbers."""
    still = offline_page(java_script_enabled=False)
    still.goto((book / "book" / "intro.html").as_uri())
    drawn = still.locator(".live-picture")
    sentences = still.locator(".live-said")
    strokes = "one => [...one.querySelectorAll('path')].map(path => path.getAttribute('d')).join()"
    for k, card in enumerate(cards(offline_page(), book)):
        assert card.locator(".live-said").inner_text() == sentences.nth(k).inner_text()
        picture = card.locator(".live-picture")
        assert picture.inner_text() == drawn.nth(k).inner_text()
        if picture.locator("path").count():
            assert picture.evaluate(strokes) == drawn.nth(k).evaluate(strokes)


def test_without_scripts_pictures_stand_still(offline_page: MakePage, book: Path) -> None:
    page = offline_page(width=390, java_script_enabled=False)
    page.goto((book / "book" / "intro.html").as_uri())
    pictures = page.locator(".live-picture")
    assert pictures.count() == len(CHAPTERS)
    for picture in pictures.all():
        assert picture.is_visible()
        assert picture.locator("path, span").count() > 0
    assert page.locator(".live-knob:visible").count() == 0
    assert all(text for text in page.locator(".live-said").all_inner_texts())


def test_pictures_are_on_the_first_screen(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    for card in cards(page, book)[:5]:
        box = card.locator(".live-said").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 800


@pytest.mark.parametrize(("width", "columns"), [(1280, 5), (768, 4), (390, 2), (320, 1)])
def test_columns_fit_the_screen(
    offline_page: MakePage, book: Path, width: int, columns: int
) -> None:
    page = offline_page(width=width)
    boxes = [card.bounding_box() for card in cards(page, book)]
    assert len({round(box["x"]) for box in boxes if box}) == columns
    assert page.evaluate("document.documentElement.scrollWidth") == width
    sides = page.locator(".live-picture").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().width)"
    )
    assert {side % 56 for side in sides} == {0}  # whole pixels for each cell
    heights = page.locator(".live-knob, .live-name").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert min(heights) >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_keep_the_pictures(offline_page: MakePage, book: Path, scheme: str) -> None:
    page = offline_page(dark=scheme == "dark")
    page.emulate_media(forced_colors="active")
    card = cards(page, book)[1]
    ink, ground = card.locator(".c6").evaluate(
        "one => [getComputedStyle(one).stroke,"
        " getComputedStyle(one.closest('.live-picture')).backgroundColor]"
    )
    assert ink != ground
    assert {ink, ground} == {"rgb(0, 0, 0)", "rgb(255, 255, 255)"}


def test_only_the_landing_page_loads_the_gallery(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    for name, count in [("intro", 1), ("notation", 0), ("05-linformer", 0)]:
        page.goto((book / "book" / f"{name}.html").as_uri())
        assert page.locator('script[src*="gallery.js"]').count() == count
