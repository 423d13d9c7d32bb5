"""The explorer of low-rank attention in a real browser: two matrices, words and charts."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import LowRankAttention
from attn_lib.explorers.low_rank_attention import CELLS, METHODS

from .test_explorers import (
    READ_CELLS,
    control,
    open_page,
    settle,
    signed_cells,
    state_of,
    write_page,
)

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
WORDS = LowRankAttention.words


def cell_at(marks: Locator, i: int, j: int) -> dict[str, float]:
    box = marks.bounding_box()
    return {"x": (j + 0.5) * box["width"] / CELLS, "y": (i + 0.5) * box["height"] / CELLS}


def number(code: int) -> str:
    value = np.sign(int(code) - 128) * ((int(code) - 128) / 127) ** 2
    return f"{value:.2f}".replace("-", "−")


def sentence(state: dict[str, Any], i: int, j: int) -> str:
    """What the status line must say of a cell, from Python's arrays."""
    frame = LowRankAttention.compute(**state)
    stretches = LowRankAttention.spec()["facts"]["stretches"][str(state["length"])]
    size = state["length"] // CELLS

    def places(at: int) -> str:
        return f"{at * size}–{at * size + size - 1}"

    def text(at: int) -> str:
        return WORDS["more"].format(first=stretches[at][0], last=stretches[at][1])

    return WORDS["cell"].format(
        i=places(i),
        query=text(i),
        j=places(j),
        key=text(j),
        full=number(frame["full"][i, j]),
        rebuilt=number(frame["rebuilt"][i, j]),
        rank=min(state["rank"], state["length"]),
    )


def check_both(root: Locator) -> None:
    """Hold both pictures to Python's codes."""
    frame = LowRankAttention.compute(**state_of(root))
    for place, name in enumerate(("full", "rebuilt")):
        matrix = root.locator(".ax-matrix").nth(place)
        drawn = np.array(matrix.evaluate(READ_CELLS, CELLS)).reshape(CELLS, CELLS, 3)
        assert np.abs(drawn - signed_cells(root, frame[name])).max() <= 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_both_matrices_are_drawn_for_every_method(
    offline_page: MakePage, write_page: Callable[..., str], dark: bool
) -> None:
    page = offline_page(dark=dark)
    open_page(page, write_page(LowRankAttention()))
    root = page.locator(".attn-explorer")
    check_both(root)
    for method in METHODS[1:]:
        before = state_of(root)["method"]
        control(root, "method").select_option(method)
        settle(root, "method", before)
        check_both(root)


def test_a_cell_of_either_matrix_is_said_in_words(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    start = "low-rank-attention"
    address = f"#{start}.length=512&{start}.method=random&{start}.head=0.2"
    open_page(page, write_page(LowRankAttention()) + address)
    root = page.locator(".attn-explorer")
    state = state_of(root)
    assert (state["length"], state["method"], state["head"]) == (512, "random", "0.2")
    status = root.locator(".ax-status")
    for place in (0, 1):
        marks = root.locator("canvas.ax-marks").nth(place)
        for i, j in [(40, 39), (3, 60), (63, 0)]:
            marks.hover(position=cell_at(marks, i, j))
            expect(status).to_have_text(sentence(state, i, j))
            assert json.loads(root.get_attribute("data-pick")) == [i, j]


def test_a_cell_is_reached_by_keys_and_by_tapping(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(LowRankAttention()))
    root = page.locator(".attn-explorer")
    marks = root.locator("canvas.ax-marks").nth(1)
    marks.tap(position=cell_at(marks, 30, 12))
    assert json.loads(root.get_attribute("data-pick")) == [30, 12]
    marks.focus()
    for key in ["ArrowUp", "ArrowLeft", "Shift+ArrowDown"]:
        page.keyboard.press(key)
    assert json.loads(root.get_attribute("data-pick")) == [37, 11]
    expect(root.locator(".ax-status")).to_have_text(sentence(state_of(root), 37, 11))


def test_the_charts_mark_the_rank_and_its_numbers(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(LowRankAttention()))
    root = page.locator(".attn-explorer")
    slider = control(root, "rank")
    slider.focus()
    heights = []
    for _ in range(3):
        state = state_of(root)
        frame = LowRankAttention.compute(**state)
        shown = root.locator(".ax-readout").all_inner_texts()
        wanted = [frame["spectrum"][:, state["rank"] - 1]]
        wanted += [[number] for number in (*frame["facts"][1:], *frame["mean"])]
        for text, numbers in zip(shown, wanted, strict=True):
            found = [float(part) for part in re.findall(r"[\d.]+", text)]
            assert found == pytest.approx(list(numbers), rel=0.02, abs=0.6)
        dots = root.locator(".ax-chart").nth(1).locator("circle")
        assert dots.count() == len(METHODS)
        heights.append([float(dot.get_attribute("cy")) for dot in dots.all()])
        page.keyboard.press("ArrowRight")
        settle(root, "rank", state["rank"])
    best, random, linformer = heights[0]
    assert random < linformer < best  # higher up is a larger error
    assert [row[0] for row in heights] == sorted(row[0] for row in heights)


def test_play_raises_the_rank(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page()
    open_page(page, write_page(LowRankAttention()))
    root = page.locator(".attn-explorer")
    root.get_by_role("button", name="Play Rank r").click()
    assert settle(root, "rank", 16)["rank"] == 32
    assert settle(root, "rank", 32)["rank"] == 64
