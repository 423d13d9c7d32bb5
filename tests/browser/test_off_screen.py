"""Explorers that begin out of sight, go out of sight, or are shown twice.

A tab or a folded answer hides what is in it; JupyterLab makes a view before it is on the page; a
cell that runs again shows its widget again. Each must end as one that was in sight all along.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from attn_lib import explorers
from attn_lib.explorers import SparsePatterns
from attn_lib.explorers._explorer import Explorer

from .test_explorers import (
    DRAWN,
    FAKE_MODEL,
    check_drawn,
    control,
    live,
    open_page,
    settle,
    write_page,
)
from .waiting import until

__all__ = ["live", "write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
every_explorer = pytest.mark.parametrize(
    "explorer", [getattr(explorers, name) for name in explorers.__all__]
)
# Three frames: in the first sizes are seen, in the second things are laid out, and then painted.
PAINTED = """new Promise((done) => {
  const after = (frames) => frames ? requestAnimationFrame(() => after(frames - 1)) : done();
  after(3);
})"""


def look(root: Locator) -> np.ndarray:
    """Return a picture of an explorer, when all is painted."""
    root.page.evaluate(PAINTED)
    # What sticks to the screen is painted apart, to a part of a pixel that its past decides.
    plain = ".ax-status, .ax-controls { position: static !important }"
    shot = root.screenshot(animations="disabled", style=plain)
    with Image.open(io.BytesIO(shot)) as picture:
        return np.array(picture.convert("RGB"))


def same(first: np.ndarray, second: np.ndarray) -> None:
    """Hold two pictures to each other; edges may be smoothed a little otherwise."""
    assert first.shape == second.shape
    farthest = int(np.abs(first.astype(int) - second).max())
    assert farthest <= 16


def hide(page: Page, hidden: bool) -> None:
    page.evaluate("hidden => { document.body.style.display = hidden ? 'none' : '' }", hidden)


@every_explorer
def test_what_begins_hidden_is_whole_when_shown(
    offline_page: MakePage, write_page: Callable[..., str], explorer: type[Explorer]
) -> None:
    page = offline_page()
    open_page(page, write_page(explorer()))
    root = page.locator(".attn-explorer")
    before = look(root)
    hide(page, True)
    page.evaluate(PAINTED)
    hide(page, False)
    same(look(root), before)

    page = offline_page()
    open_page(page, write_page(explorer(), html=' style="display: none"'))
    root = page.locator(".attn-explorer")
    assert root.bounding_box() is None
    page.evaluate("document.documentElement.style.display = ''")
    same(look(root), before)


def test_what_changes_while_hidden_is_drawn_when_shown(live: Callable[..., Page]) -> None:
    page = live(SparsePatterns())
    root = page.locator(".attn-explorer")
    hide(page, True)
    page.evaluate("model.set('stride', 29)")
    settle(root, "stride", 12)
    page.set_viewport_size({"width": 500, "height": 900})
    hide(page, False)
    page.evaluate(PAINTED)
    assert check_drawn(root, SparsePatterns)["stride"] == 29
    assert root.locator("canvas.ax-cells").bounding_box()["width"] > 350


RENDER = """(where) => {
  const el = document.createElement("div");
  el.style.maxWidth = "736px";
  if (where === "page") document.body.append(el);
  (window.made ??= []).push({ el, close: window.explorer.render({ model, el }) });
}"""


@every_explorer
def test_a_view_made_off_the_page_is_whole_on_it(
    live: Callable[..., Page], explorer: type[Explorer]
) -> None:
    page = live(explorer())
    root = page.locator(".attn-explorer")
    before = look(root)
    page.evaluate(RENDER, "nowhere")
    until(page, "made[0].el.firstChild.dataset.digest")
    page.evaluate("close_(); document.querySelector('#cell').replaceWith(made[0].el)")
    same(look(root), before)


def test_a_widget_shown_twice_lives_twice(live: Callable[..., Page]) -> None:
    page = live(SparsePatterns())
    page.evaluate(RENDER, "page")
    first, second = page.locator(".attn-explorer").all()
    expect(second).to_have_attribute("data-digest", DRAWN)
    control(second, "stride").focus()
    page.keyboard.press("ArrowRight")
    for root in (first, second):
        settle(root, "stride", 12)
        assert check_drawn(root, SparsePatterns)["stride"] == 13
    control(first, "pattern").select_option("fixed")
    for root in (first, second):
        settle(root, "pattern", "strided")
        check_drawn(root, SparsePatterns)
    page.evaluate("close_()")
    page.evaluate("model.set('stride', 29)")
    settle(second, "stride", 13)
    check_drawn(second, SparsePatterns)


def test_a_cell_run_again_shows_its_widget_again(live: Callable[..., Page]) -> None:
    def run(page: Page, widget: Explorer) -> None:
        state: dict[str, Any] = {**widget._state(), "_spec": widget._speaking()}
        page.evaluate(FAKE_MODEL, {"state": state, "delay": 0})

    page = live(SparsePatterns())
    root = page.locator(".attn-explorer")
    before = look(root)
    for _ in range(2):
        run(page, SparsePatterns())
        expect(root).to_have_attribute("data-digest", DRAWN)
        same(look(root), before)
        check_drawn(root, SparsePatterns)
        control(root, "stride").focus()
        page.keyboard.press("ArrowRight")
        settle(root, "stride", 12)
        assert check_drawn(root, SparsePatterns)["stride"] == 13
