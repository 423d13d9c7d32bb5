"""Explorers on a reader's own text in a real browser: short and long ones, and hostile tokens."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from attn_lib import explorers
from attn_lib.data import Passage, load_passage, read
from attn_lib.explorers import AttentionOnText, FeatureTemplates
from attn_lib.explorers._text import TextExplorer, shown_tokens

from .test_explorers import live, state_of

__all__ = ["live"]

pytestmark = pytest.mark.browser

TEXT = [
    getattr(explorers, name)
    for name in explorers.__all__
    if issubclass(getattr(explorers, name), TextExplorer)
]
WRONG = re.compile(r"undefined|NaN|null|Infinity|[{}]")


def passage_of(length: int) -> Passage:
    words = [word for word in load_passage(512).tokens if word.isalpha()]
    return read(" ".join((words * 2)[: length - 2]))


def check_words(page: Page) -> None:
    """Hold everything that is written, and every number of the drawings, to be well-formed."""
    root = page.locator(".attn-explorer")
    assert not WRONG.search(root.inner_text()), root.inner_text()
    drawn = root.evaluate(
        "el => [...el.querySelectorAll('svg *')].flatMap(x => [...x.attributes].map(a => a.value))"
    )
    assert not [value for value in drawn if "NaN" in value or "Infinity" in value]


def walk(page: Page) -> None:
    """Go by keys to the ends of everything that can be pointed at."""
    for target in page.locator(".attn-explorer [tabindex='0']").all():
        target.focus()
        for key in ("End", "Home", "ArrowRight", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowUp"):
            page.keyboard.press(key)
        check_words(page)


@pytest.mark.parametrize("explorer", TEXT)
@pytest.mark.parametrize("length", [3, 17, 100])
def test_every_state_of_a_text_is_drawn(
    live: Callable[..., Page], explorer: Any, length: int
) -> None:
    made = explorer(passage=passage_of(length))
    page = live(made)
    walk(page)
    for name, control in made.controls().items():
        for value in (control.grid[0], control.grid[-1], control.default_value):
            page.evaluate("([name, value]) => model.set(name, value)", [name, value])
            page.wait_for_timeout(60)
            check_words(page)
            assert state_of(page.locator(".attn-explorer"))[name] == value
    walk(page)
    assert page.locator(".attn-explorer").evaluate("el => el.scrollWidth <= el.clientWidth + 1")


def test_pictures_of_a_short_text_keep_to_their_room(live: Callable[..., Page]) -> None:
    page = live(FeatureTemplates(passage=passage_of(3)))
    for box in (one.bounding_box() for one in page.locator(".ax-canvases").all()):
        assert box is not None
        assert box["height"] <= 400
        assert box["width"] <= 400


HOSTILE = (
    "[CLS]",
    "<img src=x onerror='window.hacked = 1'>",
    '"><script>window.hacked = 2</script>',
    "'\"`${window.hacked = 3}",
    "{top}",
    "\u202eabc",
    "שלום",
    "注意力",
    "&lt;",
    "[SEP]",
)


@pytest.mark.parametrize("explorer", TEXT)
def test_hostile_tokens_of_a_text_are_shown_and_not_run(
    live: Callable[..., Page], explorer: Any
) -> None:
    passage = passage_of(len(HOSTILE))
    page = live(explorer(passage=replace(passage, tokens=HOSTILE)))
    root = page.locator(".attn-explorer")
    wanted = [text for text, _ in shown_tokens(HOSTILE)]
    if root.locator(".ax-token").count():
        assert root.locator(".ax-token").all_text_contents()[: len(wanted)] == wanted
    for target in root.locator("[tabindex='0']").all():
        target.focus()
        for _ in wanted:
            page.keyboard.press("ArrowRight")
    assert page.evaluate("window.hacked") is None
    assert root.locator("img, script, b, .ax-token *").count() == 0


def test_tokens_stand_in_their_order_in_every_script(live: Callable[..., Page]) -> None:
    """A word from right to left leaves the places of the others as they are."""
    page = live(AttentionOnText(passage=read("one سلام two 你 three")))
    root = page.locator(".attn-explorer")
    boxes = [token.bounding_box() for token in root.locator(".ax-token").all()]
    places = [box["x"] for box in boxes if box]
    assert places == sorted(places)
    root.locator(".ax-token").nth(2).click()
    expect(root.locator(".ax-status")).to_contain_text("(2)")
