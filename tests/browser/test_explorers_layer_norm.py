"""The explorers of layer normalization in a real browser: pointing, keys, words and curves."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from attn_lib.explorers import GradientLadder, ResidualStream, WarmUp

from .test_explorers import open_page, settle, state_of, write_page

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]


def test_the_ladder_is_walked_and_grows(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(GradientLadder()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    ladder, last = root.locator("svg.ax-curves").all()
    expect(status).to_contain_text("Block 16 of 16, Post-LN")
    ladder.focus()
    page.keyboard.press("ArrowLeft")
    expect(status).to_contain_text("Block 15 of 16")
    assert ladder.locator(".ax-chart-lines path").count() == 4
    assert ladder.locator(".ax-chart-band").get_attribute("d").startswith("M")
    root.get_by_role("slider", name="Blocks L").focus()
    page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("Block 15 of 32")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(status).to_contain_text("Block 2 of 2")
    flat = last.locator(".ax-chart-lines path").last.get_attribute("d")
    root.get_by_role("combobox", name="Layer norm").select_option(label="Pre-LN")
    expect(status).to_contain_text("Block 2 of 2, Pre-LN")
    assert last.locator(".ax-chart-lines path").last.get_attribute("d") != flat
    expect(root.locator(".ax-readouts")).to_contain_text("−0.5")
    box = ladder.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 48 / 320, box["y"] + box["height"] / 2)
    expect(status).to_contain_text("Block 1 of 2, Pre-LN")


def test_streams_at_the_start_and_after_training(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(ResidualStream()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    sizes, cosines, costs = root.locator("svg.ax-curves").all()
    expect(status).to_contain_text("Block 16 of 16, mean of 24 draws")
    expect(costs).to_be_hidden()
    cosines.focus()
    page.keyboard.press("Shift+ArrowLeft")
    expect(status).to_contain_text("Block 12 of 16")
    root.get_by_role("combobox", name="The stacks").select_option(label="after training")
    settle(root, "model", "start")
    expect(costs).to_be_visible()
    expect(status).to_contain_text("Block 6 of 6, after training")
    expect(root.get_by_role("slider", name="Blocks L")).to_be_disabled()
    sizes.focus()
    page.keyboard.press("ArrowLeft")
    expect(status).to_contain_text("Block 5 of 6")
    assert sizes.locator(".ax-chart-lines path").count() == 3


def test_a_warm_up_rescues_post_ln(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page()
    open_page(page, write_page(WarmUp()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    curves = root.locator("svg.ax-curves").first
    assert curves.locator(".ax-chart-lines path").count() == 6
    expect(status).to_contain_text("Learning rate 0.01, no warm-up")
    expect(root.locator(".ax-readouts")).to_contain_text("3.20")
    root.get_by_role("combobox", name="Warm-up").select_option(label="200 steps")
    expect(status).to_contain_text("200 steps of warm-up")
    expect(root.locator(".ax-readouts")).not_to_contain_text("3.20")
    root.get_by_role("combobox", name="Post-LN against").select_option(label="DeepNorm")
    expect(root.locator(".ax-readouts")).to_contain_text("DeepNorm, held out")
    curves.focus()
    page.keyboard.press("ArrowLeft")
    expect(status).to_contain_text("DeepNorm’s")
    assert state_of(root) == {"rate": "0.01", "warmup": 200, "other": "deep"}
