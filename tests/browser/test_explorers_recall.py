"""Recall against state in a real browser: pointing, keys, switches, and an address."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect
from test_explorers_recall import invented, recorded

from attn_lib.explorers import RecallAgainstState

from .test_explorers import open_page, settle, state_of, write_page
from .waiting import until

__all__ = ["recorded", "write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
NAMES = RecallAgainstState.mechanisms.options


@pytest.fixture(autouse=True)
def whole(recorded: Callable[..., None]) -> None:
    """Put a whole file in the place of the recorded one, which is whole only after hours."""
    recorded(invented())


def drawn(root: Locator) -> int:
    return root.locator("svg.ax-scatter .ax-mark").count()


def there(*off: str, **controls: object) -> int:
    known = RecallAgainstState.compute(**controls)["drawn"][0] >= 0
    on = [name not in off for name in NAMES]
    return int(known[on].sum())


def test_names_are_switches(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page()
    open_page(page, write_page(RecallAgainstState()))
    root = page.locator(".attn-explorer")
    assert drawn(root) == there()
    softmax = root.get_by_role("button", name="Softmax")
    expect(softmax).to_have_attribute("aria-pressed", "true")
    softmax.focus()
    page.keyboard.press("Enter")
    expect(softmax).to_have_attribute("aria-pressed", "false")
    assert settle(root, "mechanisms", list(NAMES))["mechanisms"] == tuple(NAMES)[1:]
    assert drawn(root) == there("softmax")
    family = root.get_by_role("button", name="Mixed positions")
    root.get_by_role("button", name="Luna").click()
    expect(family).to_have_attribute("aria-pressed", "mixed")
    family.click()
    expect(family).to_have_attribute("aria-pressed", "true")
    family.click()
    expect(family).to_have_attribute("aria-pressed", "false")
    assert drawn(root) == there("softmax", "linformer", "luna")
    until(page, "location.hash.includes('mechanisms=') && !location.hash.includes('luna')")
    page.reload()
    expect(root).to_have_attribute("data-digest", re.compile("."))
    assert drawn(root) == there("softmax", "linformer", "luna")
    root.get_by_role("button", name="Reset").click()
    expect(softmax).to_have_attribute("aria-pressed", "true")
    assert drawn(root) == there()


def test_a_chart_is_walked(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page()
    open_page(page, write_page(RecallAgainstState()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    chart = root.locator("svg.ax-scatter")
    chart.focus()
    for _ in range(11):
        page.keyboard.press("ArrowUp")
    expect(status).to_contain_text("Softmax, ")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    frame = RecallAgainstState.compute()
    heads, value = frame["knobs"][:, 0, 0]
    expect(status).to_contain_text(f"Softmax, {heads} heads of width {value}")
    expect(status).to_contain_text(f"{frame['numbers'][0, 0, 0]:,} numbers kept")
    page.keyboard.press("ArrowDown")
    expect(status).to_contain_text("Sparse Transformer, stride")
    expect(status).to_contain_text("% at most")
    mark = root.locator('[data-series="0"][data-place="2"] .ax-mark').bounding_box()
    page.mouse.click(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    expect(status).to_contain_text("Softmax, ")
    root.get_by_role("button", name="Softmax").click()
    expect(status).to_have_text("Softmax is switched off.")


def test_tasks_have_sizes_of_their_own(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(RecallAgainstState()))
    root = page.locator(".attn-explorer")
    pairs, distance = (root.get_by_label(name, exact=True) for name in ("Pairs", "Distance"))
    expect(pairs).to_be_enabled()
    expect(distance).to_be_disabled()
    expect(root.locator(".ax-bound")).to_have_attribute("d", re.compile("^M"))
    root.get_by_label("Against").select_option(label="numbers read")
    settle(root, "axis", "kept")
    expect(root.locator(".ax-bound")).to_have_attribute("d", "")
    root.get_by_label("Task").select_option(label="copying, causal")
    settle(root, "task", "recall")
    expect(pairs).to_be_disabled()
    distance.select_option(label="8 blanks")
    assert settle(root, "distance", 40) == {
        **{"task": "copying", "pairs": 64, "distance": 8, "axis": "read"},
        "mechanisms": tuple(NAMES),
    }
    assert drawn(root) == there(task="copying", distance=8)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits(offline_page: MakePage, write_page: Callable[..., str], width: int) -> None:
    page = offline_page(width=width)
    open_page(page, write_page(RecallAgainstState()))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator(".attn-explorer").bounding_box()
    assert width < 1280 or box["height"] <= 760
    for text in page.locator("svg.ax-scatter text").all():
        if text.inner_html():
            inner, frame = text.bounding_box(), page.locator("svg.ax-scatter").bounding_box()
            assert inner["x"] >= frame["x"] - 0.5
            assert inner["x"] + inner["width"] <= frame["x"] + frame["width"] + 0.5
    assert state_of(page.locator(".attn-explorer"))["task"] == "recall"
