"""The explorer of costs in a real browser: the list, the lines, the keys, and what is absent."""

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from attn_lib.explorers import MechanismCosts
from attn_lib.explorers._cost_lines import NAMES

from .test_explorers import open_page, settle, state_of, write_page

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]


def shown(figures: np.ndarray) -> str:
    """Return a number as the view writes it."""
    digits, power = (int(x) for x in figures)
    return f"{digits * 10.0**power:,.0f}" if power >= 0 else f"{digits * 10.0**power:.{-power}f}"


def table_of(page: Page) -> list[list[str]]:
    rows = page.locator(".ax-ranking tbody tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td:visible").all()] for row in rows]


def check_list(page: Page, **controls: object) -> None:
    """Hold every row of the list to the arrays."""
    frame = MechanismCosts.compute(**controls)
    for row, (name, *cells) in zip(frame["order"], table_of(page), strict=True):
        assert name == MechanismCosts.words[NAMES[row]]
        if frame["present"][row]:
            ratio = shown(frame["ratios"][row]) if frame["present"][0] else ""
            assert cells[:2] == [shown(frame["values"][row]), ratio]
        else:
            assert len(cells) == 1


def test_the_list_follows_the_controls(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(MechanismCosts()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    check_list(page)
    expect(status).to_contain_text("Performer reads 4,096 tokens in")
    root.get_by_role("checkbox", name="Causal").check()
    settle(root, "causal", False)
    check_list(page, causal=True)
    root.get_by_role("combobox", name="What is done").select_option(label="writing one more token")
    settle(root, "doing", "reading")
    expect(root.get_by_role("checkbox", name="Causal")).to_be_disabled()
    expect(root.get_by_role("slider", name="Head width")).to_be_disabled()
    check_list(page, doing="writing")
    slider = root.get_by_role("slider", name="Length in tokens")
    slider.focus()
    page.keyboard.press("Home")
    settle(root, "length", 4096)
    check_list(page, doing="writing", length=128)
    # Where nothing was measured at a length, the slider goes to the nearest where something was.
    root.get_by_role("combobox", name="What it costs").select_option(label="operations")
    settle(root, "quantity", "time")
    root.get_by_role("combobox", name="What is done").select_option(label="reading (forward)")
    settle(root, "doing", "writing")
    root.get_by_role("combobox", name="What it costs").select_option(label="memory")
    settle(root, "quantity", "operations")
    assert state_of(root)["length"] == 1024
    slider.focus()
    page.keyboard.press("End")
    settle(root, "length", 1024)
    lengths = MechanismCosts.spec()["facts"]["lengths"]["reading"]["memory"]
    assert state_of(root)["length"] == lengths[-1]


def test_a_mechanism_is_picked_by_keys_and_by_its_line(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(MechanismCosts()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    picked = root.locator(".ax-ranking button[aria-pressed=true]")
    expect(picked).to_have_text("Performer")
    frame = MechanismCosts.compute()
    order = [MechanismCosts.words[NAMES[row]] for row in frame["order"]]
    picked.focus()
    page.keyboard.press("ArrowDown")
    expect(picked).to_have_text(order[order.index("Performer") + 1])
    expect(picked).to_be_focused()
    for _ in order:
        page.keyboard.press("ArrowDown")
    expect(picked).to_have_text(order[-1])
    expect(status).to_contain_text("has no value at 4,096 tokens")
    root.get_by_role("button", name="Reformer").click()
    expect(status).to_contain_text("Reformer reads 4,096 tokens")
    assert (
        root.locator(".ax-crossings circle").count()
        == (frame["marks"][NAMES.index("reformer")] >= 0).sum()
    )
    # The line of full attention is thick and dashed, and can be pointed at.
    first = root.locator(".ax-measured .ax-first path")
    assert first.evaluate("el => getComputedStyle(el).strokeDasharray") != "none"
    dot = root.locator(".ax-measured .ax-first circle").last.bounding_box()
    page.mouse.move(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    expect(status).to_contain_text("Full attention reads")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_the_screen(
    offline_page: MakePage, write_page: Callable[..., str], width: int
) -> None:
    page = offline_page(width=width)
    open_page(page, write_page(MechanismCosts(quantity="operations", causal=True)))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1280:
        assert page.locator(".attn-explorer").bounding_box()["height"] <= 760
