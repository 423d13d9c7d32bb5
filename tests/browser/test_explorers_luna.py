"""The explorer of Luna's packing in a real browser: five matrices, words, bars and a chart."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import LunaPacking
from attn_lib.explorers.luna_packing import LENGTH, METHODS

from .test_explorers import (
    READ_CELLS,
    colours_of,
    control,
    open_page,
    settle,
    state_of,
    write_page,
)

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
WORDS = LunaPacking.words
PLACES = {"full": 0, "luna": 1, "linformer": 2, "unpack": 3, "pack": 4}


def tokens() -> list[str]:
    return [text for text, _ in LunaPacking.spec()["facts"]["tokens"]]


def cell_at(marks: Locator, i: int, j: int) -> dict[str, float]:
    box = marks.bounding_box()
    return {"x": (j + 0.5) * box["width"] / LENGTH, "y": (i + 0.5) * box["height"] / LENGTH}


def number(weight: float) -> str:
    return f"{(np.rint(255 * np.sqrt(weight)) / 255) ** 2:.2f}"


def sentence(state: dict[str, Any], i: int, j: int) -> str:
    """What the status line must say of a cell, from Python's arrays."""
    frame, names = LunaPacking.compute(**state), tokens()
    slot = int(frame["unpack"][i].argmax())
    return WORDS["cell"].format(
        query=names[i],
        i=i,
        key=names[j],
        j=j,
        slot=slot,
        share=number(frame["unpack"][i, slot]),
        **{name: number(frame[name][i, j]) for name in ("full", "luna", "linformer")},
    )


def check_matrices(root: Locator) -> None:
    """Hold all five pictures to Python's weights; a slot is a band of cells."""
    state = state_of(root)
    frame = LunaPacking.compute(**state)
    band = np.arange(LENGTH) * state["slots"] // LENGTH
    cells = {**frame, "pack": frame["pack"][band], "unpack": frame["unpack"][:, band]}
    stops = np.array(colours_of(root, ["ramp-0", "ramp-1", "ramp-2", "ramp-3"]))
    for name, place in PLACES.items():
        places = np.rint(255 * np.sqrt(cells[name])) / 255
        along = np.linspace(0, 1, 4)
        wanted = np.stack([np.interp(places, along, stops[:, c]) for c in range(3)], axis=-1)
        matrix = root.locator(".ax-matrix").nth(place)
        drawn = np.array(matrix.evaluate(READ_CELLS, LENGTH)).reshape(LENGTH, LENGTH, 3)
        assert np.abs(drawn - wanted).max() <= 1, name


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_five_matrices_are_drawn_for_any_number_of_slots(
    offline_page: MakePage, write_page: Callable[..., str], dark: bool
) -> None:
    page = offline_page(dark=dark)
    open_page(page, write_page(LunaPacking()))
    root = page.locator(".attn-explorer")
    check_matrices(root)
    control(root, "slots").focus()
    for key, slots in (("ArrowRight", 8), ("ArrowRight", 16), ("End", 32)):
        page.keyboard.press(key)
        settle(root, "slots", slots)
        check_matrices(root)
    control(root, "head").select_option("0.2")
    settle(root, "head", "2.9")
    check_matrices(root)
    expect(root.locator(".ax-matrix").nth(2)).to_contain_text("Linformer, 48 blocks")


def test_a_cell_of_any_matrix_is_said_in_words(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    address = "#luna-packing.slots=4&luna-packing.sharpness=4"
    open_page(page, write_page(LunaPacking()) + address)
    root = page.locator(".attn-explorer")
    state = state_of(root)
    assert (state["slots"], state["sharpness"]) == (4, 4)
    status = root.locator(".ax-status")
    for name in ("full", "luna", "linformer"):
        marks = root.locator("canvas.ax-marks").nth(PLACES[name])
        marks.hover(position=cell_at(marks, 32, 17))
        expect(status).to_have_text(sentence(state, 32, 17))
        marks.hover(position=cell_at(marks, 5, 9))
        expect(status).to_have_text(sentence(state, 5, 9))
    # A row of the unpack is a query, a column of the pack is a key.
    marks = root.locator("canvas.ax-marks").nth(PLACES["unpack"])
    marks.hover(position=cell_at(marks, 20, 40))
    expect(status).to_have_text(sentence(state, 20, 9))
    marks = root.locator("canvas.ax-marks").nth(PLACES["pack"])
    marks.hover(position=cell_at(marks, 2, 41))
    expect(status).to_have_text(sentence(state, 20, 41))
    assert json.loads(root.get_attribute("data-pick")) == [20, 41]


def test_the_bars_name_what_is_in_the_slots(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(LunaPacking()))
    root = page.locator(".attn-explorer")
    frame, names = LunaPacking.compute(), tokens()
    word = names.index("bat")
    root.locator(".ax-token").nth(word).click()
    bars = [bar for bar in root.locator(".ax-bar").all() if bar.is_visible()]
    slots = sorted(range(8), key=lambda s: -frame["unpack"][word, s])
    read = [s for s in slots[:6] if frame["unpack"][word, s] >= 0.005]
    assert len(bars) == len(read)
    for bar, slot in zip(bars, read, strict=True):
        label, value = (bar.locator(f".ax-bar-{part}").inner_text() for part in ("label", "value"))
        heaviest = names[int(frame["pack"][slot].argmax())]
        assert label.startswith(f"{slot}: {heaviest}")
        assert value == number(frame["unpack"][word, slot])
    assert "mice" in root.locator(".ax-bars").inner_text()


def test_the_chart_and_the_readouts_give_the_errors(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(LunaPacking()))
    root = page.locator(".attn-explorer")
    root.get_by_role("button", name="Play Slots r").click()
    settle(root, "slots", 8)
    root.get_by_role("button", name="Pause Slots r").click()
    state = state_of(root)
    frame = LunaPacking.compute(**state)
    wanted = frame["errors"][:, state["slots"] - 1]
    shown = [float(text) for text in root.locator(".ax-readout").all_inner_texts()]
    assert shown == pytest.approx([*wanted, *frame["mean"]], abs=0.01)
    dots = root.locator(".ax-chart circle")
    assert dots.count() == len(METHODS)
    heights = [float(dot.get_attribute("cy")) for dot in dots.all()]
    assert np.argsort(heights).tolist() == np.argsort(-wanted).tolist()


def test_it_works_with_a_finger(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(LunaPacking()))
    root = page.locator(".attn-explorer")
    marks = root.locator("canvas.ax-marks").nth(PLACES["luna"])
    marks.tap(position=cell_at(marks, 30, 12))
    assert json.loads(root.get_attribute("data-pick")) == [30, 12]
    marks.focus()
    for key in ["ArrowUp", "ArrowLeft", "Shift+ArrowDown"]:
        page.keyboard.press(key)
    assert json.loads(root.get_attribute("data-pick")) == [37, 11]
    expect(root.locator(".ax-status")).to_have_text(sentence(state_of(root), 37, 11))
    root.get_by_role("button", name="Reset").click()
    assert json.loads(root.get_attribute("data-pick")) == LunaPacking.spec()["facts"]["start"]
