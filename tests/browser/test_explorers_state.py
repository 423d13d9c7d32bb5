"""The explorer of the growing state in a real browser: time, sums, two matrices, words."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import GrowingState
from attn_lib.explorers.growing_state import LENGTH, WIDTH

from .test_explorers import (
    colours_of,
    control,
    open_page,
    settle,
    signed_cells,
    state_of,
    write_page,
)
from .waiting import until

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
WORDS = GrowingState.words
READ = """(el, [rows, cols]) => {
  const canvas = el.querySelector(".ax-cells"), found = [];
  const { width, height } = canvas, size = width / cols;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) {
    const at = 4 * (Math.floor((i + 0.5) * size) * width + Math.floor((j + 0.5) * size));
    found.push(...data.slice(at, at + 3));
  }
  return found;
}"""


def tokens() -> list[str]:
    return [text for text, _ in GrowingState.spec()["facts"]["tokens"]]


def number(weight: float) -> str:
    return f"{(np.rint(255 * np.sqrt(weight)) / 255) ** 2:.2f}"


def sentence(root: Locator, j: int) -> str:
    """What the status line must say of a key, from Python's arrays."""
    state = state_of(root)
    frame, i = GrowingState.compute(**state), state["time"] - 1
    what = {"time": i + 1, "query": tokens()[i], "i": i, "key": tokens()[j], "j": j}
    near, full = number(frame["weights"][i, j]), number(frame["full"][i, j])
    return WORDS["ahead" if j > i else "cell"].format(**what, near=near, full=full)


def drawn(root: Locator, place: int, rows: int, cols: int) -> np.ndarray:
    values = root.locator(".ax-matrix").nth(place).evaluate(READ, [rows, cols])
    return np.array(values).reshape(rows, cols, 3)


def check(root: Locator) -> None:
    state = state_of(root)
    frame = GrowingState.compute(**state)
    codes = np.full((WIDTH, WIDTH + 4), 128, np.uint8)
    codes[:, :WIDTH] = frame["state"][:, :WIDTH]
    codes[:, WIDTH + 2 :] = frame["state"][:, WIDTH:]
    assert np.abs(drawn(root, 0, WIDTH, WIDTH + 4) - signed_cells(root, codes)).max() <= 1
    stops = np.array(colours_of(root, ["ramp-0", "ramp-1", "ramp-2", "ramp-3"]))
    for place, name in ((1, "weights"), (2, "full")):
        seen = np.where(np.arange(LENGTH)[:, None] < state["time"], frame[name], 0)
        places = np.rint(255 * np.sqrt(seen)) / 255
        along = np.linspace(0, 1, 4)
        wanted = np.stack([np.interp(places, along, stops[:, c]) for c in range(3)], axis=-1)
        assert np.abs(drawn(root, place, LENGTH, LENGTH) - wanted).max() <= 1, name


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_time_moves_the_sums_and_the_rows(
    offline_page: MakePage, write_page: Callable[..., str], dark: bool
) -> None:
    page = offline_page(dark=dark)
    open_page(page, write_page(GrowingState()))
    root = page.locator(".attn-explorer")
    check(root)
    values = root.locator(".ax-readout")
    expect(values.nth(3)).to_have_text("1,056 (2,688)")
    if folder := os.environ.get("ATTN_LIB_PICTURES"):
        root.screenshot(path=f"{folder}/state-{'dark' if dark else 'light'}.png")
    slider = control(root, "time")
    slider.focus()
    page.keyboard.press("Home")
    assert settle(root, "time", 42)["time"] == 1
    check(root)
    expect(values.nth(0)).to_have_text("1.00 (1.00)")
    expect(values.nth(3)).to_have_text("1,056 (64)")
    expect(values.nth(4)).to_have_text("0.00 (0.00)")
    root.get_by_role("button", name="Play Tokens read").click()
    until(page, "el => JSON.parse(el.dataset.state).time > 2", arg=root.element_handle())
    root.get_by_role("button", name="Pause Tokens read").click()


def test_maps_and_keys_are_said_in_words(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(GrowingState()) + "#growing-state.time=20&growing-state.at=9")
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    assert state_of(root)["time"] == 20
    expect(status).to_have_text(sentence(root, 9))
    root.locator(".ax-token").nth(30).hover()
    expect(status).to_have_text(sentence(root, 30))
    expect(status).to_contain_text("still to come")
    for name in ("relu", "square", "exp"):
        old = state_of(root)["feature_map"]
        control(root, "feature_map").select_option(name)
        settle(root, "feature_map", old)
        check(root)
        expect(status).to_have_text(sentence(root, 30))
    root.locator(".ax-tokens").focus()
    page.keyboard.press("ArrowLeft")
    expect(status).to_have_text(sentence(root, 29))
    page.keyboard.press("Home")
    expect(status).to_have_text(sentence(root, 0))


def test_it_fits_a_phone(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(GrowingState()))
    root = page.locator(".attn-explorer")
    root.locator(".ax-token").nth(3).tap()
    expect(page.locator(".ax-status")).to_have_text(sentence(root, 3))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if folder := os.environ.get("ATTN_LIB_PICTURES"):
        root.screenshot(path=f"{folder}/state-phone.png")
