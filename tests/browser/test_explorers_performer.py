"""The Performer's explorers in a real browser: pointing, keys, words and curves."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from attn_lib.explorers import EstimatedAttention, KernelFeatures

from .test_explorers import open_page, state_of, write_page

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]


def test_a_curve_is_walked_with_keys_and_mouse(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    where = "#kernel-features.kernel=softmax_trig&kernel-features.features=16"
    open_page(page, write_page(KernelFeatures()) + where)
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    assert state_of(root)["kernel"] == "softmax_trig"
    chart = root.locator("svg.ax-curves")
    chart.focus()
    expect(status).to_contain_text("At 120°: exp(x·y) = 0.14")
    for key, angle in (("ArrowRight", 125), ("ArrowLeft", 120), ("Shift+ArrowRight", 140)):
        page.keyboard.press(key)
        expect(status).to_contain_text(f"At {angle}°:")
    expect(status).to_contain_text("between below 0 and")
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 46 / 320 + 1, box["y"] + box["height"] / 2)
    expect(status).to_contain_text("At 0°: exp(x·y) = 55; this draw of 16 features says 55")
    assert root.locator(".ax-chart-band").get_attribute("d").startswith("M")


def test_an_estimate_changes_and_the_head_stays(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(EstimatedAttention()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    marks = root.locator("canvas.ax-marks").first
    box = marks.bounding_box()
    marks.hover(position={"x": 0.5 / 64 * box["width"], "y": 5.5 / 64 * box["height"]})
    expect(status).to_contain_text("Queries 10 and 11")
    expect(status).to_contain_text("256 features")
    root.get_by_role("slider", name="Features m").focus()
    page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("1024 features")
    assert state_of(root)["features"] == 1024
    assert root.locator("svg.ax-curves .ax-chart-lines path").count() == 3
