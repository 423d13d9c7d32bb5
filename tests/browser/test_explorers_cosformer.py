"""cosFormer's explorer in a real browser: two matrices, switches, M beyond reach, words."""

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import CosineReweighting
from attn_lib.explorers.cosine_reweighting import LENGTH

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
WORDS = CosineReweighting.words


def signed(code: int) -> str:
    value = np.sign(int(code) - 128) * ((int(code) - 128) / 127) ** 2
    return f"{value:.2f}".replace("-", "−")


def sentence(root: Locator, i: int, j: int) -> str:
    """What the status line must say of a cell, from Python's arrays."""
    frame = CosineReweighting.compute(**state_of(root))
    tokens = CosineReweighting.spec()["facts"]["tokens"]
    factor = f"{np.float16(frame['factor'][abs(i - j)]):.2f}".replace("-", "−")
    return WORDS["cell"].format(
        query=tokens[i],
        i=i,
        key=tokens[j],
        j=j,
        apart=abs(i - j),
        full=signed(frame["full"][i, j]),
        weight=signed(frame["weights"][i, j]),
        factor=factor,
    )


def check_both(root: Locator) -> None:
    frame = CosineReweighting.compute(**state_of(root))
    for place, name in enumerate(("full", "weights")):
        matrix = root.locator(".ax-matrix").nth(place)
        drawn = np.array(matrix.evaluate(READ_CELLS, LENGTH)).reshape(LENGTH, LENGTH, 3)
        top = int(np.abs(frame[name].astype(int) - 128).max())
        assert np.abs(drawn - signed_cells(root, frame[name], top)).max() <= 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_switches_change_one_matrix_and_the_curve(
    offline_page: MakePage, write_page: Callable[..., str], dark: bool
) -> None:
    page = offline_page(dark=dark)
    open_page(page, write_page(CosineReweighting()))
    root = page.locator(".attn-explorer")
    check_both(root)
    values = root.locator(".ax-readout")
    expect(values.first).to_have_text("0 %")
    line = root.locator("svg.ax-curves .ax-chart-lines path").nth(1)
    before = line.get_attribute("d")
    control(root, "relu").uncheck()
    settle(root, "relu", True)
    check_both(root)
    expect(values.first).to_have_text("15 %")
    expect(values.nth(1)).to_have_text("64 of 64")
    expect(values.nth(3)).to_have_text("none: not an average (5.8)")
    error, mean = CosineReweighting.compute(relu=False)["errors"]
    expect(values.nth(4)).to_have_text(f"{error:.2f} ({mean:.2f})")
    assert line.get_attribute("d") != before
    control(root, "cosine").uncheck()
    settle(root, "cosine", True)
    check_both(root)
    expect(control(root, "max_len")).to_be_disabled()


def test_a_cell_is_said_in_words_also_beyond_m(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(CosineReweighting()) + "#cosine-reweighting.max_len=32")
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    assert state_of(root)["max_len"] == 32
    marks = root.locator("canvas.ax-marks").nth(1)
    box = marks.bounding_box()
    for i, j in ((50, 3), (12, 11)):
        where = {"x": (j + 0.5) * box["width"] / LENGTH, "y": (i + 0.5) * box["height"] / LENGTH}
        marks.hover(position=where)
        expect(status).to_have_text(sentence(root, i, j))
    marks.click(position={"x": 2, "y": box["height"] - 2})
    expect(status).to_contain_text("63 apart")
    expect(status).to_contain_text("Factor of the distance: −")
    page.keyboard.press("ArrowUp")
    expect(status).to_have_text(sentence(root, LENGTH - 2, 0))
    slider = control(root, "max_len")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert settle(root, "max_len", 32)["max_len"] == 48
    check_both(root)


def test_it_fits_a_phone(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(CosineReweighting()))
    root = page.locator(".attn-explorer")
    marks = root.locator("canvas.ax-marks").first
    marks.tap(position={"x": 100, "y": 100})
    expect(page.locator(".ax-status")).to_contain_text("apart: softmax gives")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
