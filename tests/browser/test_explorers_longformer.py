"""The explorer of windows and global tokens in a real browser: clicks, keys, words, the cone."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import LongformerWindow
from attn_lib.explorers.longformer_window import LENGTH, NEVER, steps_to_reach

from .test_explorers import (
    cell_at,
    check_drawn,
    colours_of,
    control,
    open_page,
    state_of,
    write_page,
)
from .waiting import until

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
WORDS = LongformerWindow.words


def tokens() -> list[str]:
    return [text for text, _ in LongformerWindow.spec()["facts"]["tokens"]]


def steps_of(state: dict[str, Any]) -> np.ndarray:
    return steps_to_reach(LongformerWindow._mask(**state))


def row_sentence(state: dict[str, Any], i: int) -> str:
    """What the status line must say of a token, from Python's masks."""
    steps = steps_of(state)[i]
    field = np.flatnonzero(steps <= state["layers"])
    gaps = int(field[-1] - field[0] + 1 - len(field))
    return WORDS["say_row_gaps" if gaps else "say_row"].format(
        token=tokens()[i],
        i=i,
        row=int((steps <= 1).sum()),
        layers=state["layers"],
        field=len(field),
        first=int(field[0]),
        last=int(field[-1]),
        gaps=gaps,
    )


def check_words(root: Locator, i: int) -> None:
    state = state_of(root)
    expect(root.locator(".ax-status")).to_have_text(row_sentence(state, i))
    mask, field = LongformerWindow._mask(**state), steps_of(state)[i] <= state["layers"]
    texts = root.locator(".ax-readout").all_inner_texts()
    assert texts[0] == f"{mask.sum():,} ({100 * mask.sum() / LENGTH**2:.1f} %)"
    assert texts[1] == f"{mask[i].sum()} of {LENGTH}"
    assert texts[2] == f"{field.sum()} of {LENGTH}"


def test_clicks_and_keys_make_tokens_global_and_ordinary_again(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(LongformerWindow()))
    root = page.locator(".attn-explorer")
    strip = root.locator(".ax-token")
    field = control(root, "global_tokens")
    strip.nth(20).click()
    assert check_drawn(root, LongformerWindow)["global_tokens"] == (20,)
    expect(field).to_have_value("20")
    check_words(root, 20)
    page.keyboard.press("Tab")  # from wherever the click left the focus
    root.get_by_role("listbox").focus()
    for key in ["Home", "Enter", "ArrowRight", "ArrowRight", " "]:
        page.keyboard.press(key)
    assert check_drawn(root, LongformerWindow)["global_tokens"] == (0, 2, 20)
    assert strip.evaluate_all(
        "els => els.flatMap((el, k) => el.matches('.ax-hub') ? [k] : [])"
    ) == [*(0, 2, 20)]
    check_words(root, 2)
    strip.nth(20).click()
    assert check_drawn(root, LongformerWindow)["global_tokens"] == (0, 2)
    field.fill("7, 7,63; 900 x")
    field.press("Enter")
    assert check_drawn(root, LongformerWindow)["global_tokens"] == (7, 63)
    expect(field).to_have_value("7, 63")
    until(page, "location.hash.includes('global_tokens=7%2C63')")
    again = offline_page()
    open_page(again, page.url)
    other = again.locator(".attn-explorer")
    assert check_drawn(other, LongformerWindow)["global_tokens"] == (7, 63)
    other.get_by_role("button", name="Reset").click()
    assert check_drawn(other, LongformerWindow) == LongformerWindow.check()


def test_a_tap_makes_a_token_global_on_a_phone(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(LongformerWindow()))
    root = page.locator(".attn-explorer")
    root.locator(".ax-token").nth(0).tap()
    assert check_drawn(root, LongformerWindow)["global_tokens"] == (0,)
    root.locator("canvas.ax-marks").tap(position=cell_at(root, LENGTH, 50, 3))
    assert json.loads(root.get_attribute("data-pick")) == [50, 3]
    assert check_drawn(root, LongformerWindow)["global_tokens"] == (0,)


@pytest.mark.parametrize(
    "fragment",
    [
        "",
        "dilation=4&window=2",
        "causal=true&layers=5",
        "global_tokens=0,33&window=1&layers=1",
        "global_tokens=12&causal=true&window=2&dilation=3",
        "window=0&global_tokens=9",
    ],
)
def test_pairs_are_said_in_words(
    offline_page: MakePage, write_page: Callable[..., str], fragment: str
) -> None:
    page = offline_page()
    entries = "&".join(f"longformer-window.{part}" for part in fragment.split("&") if part)
    open_page(page, write_page(LongformerWindow()) + (f"#{entries}" if entries else ""))
    root = page.locator(".attn-explorer")
    state = check_drawn(root, LongformerWindow)
    check_words(root, LongformerWindow.spec()["facts"]["start"])
    steps, alone = steps_of(state), steps_of({**state, "global_tokens": ()})
    hubs, names = state["global_tokens"], tokens()
    for i, j in [(41, 40), (41, 17), (41, 1), (9, 50), (50, 9), (33, 0), (12, 12), (63, 0)]:
        root.locator("canvas.ax-marks").hover(position=cell_at(root, LENGTH, i, j))
        said = root.locator(".ax-status").inner_text()
        assert f"“{names[i]}” ({i})" in said
        assert f"“{names[j]}” ({j})" in said
        count = int(steps[i, j])
        by_hub = count < alone[i, j]
        if state["causal"] and j > i:
            assert said.endswith("a causal model may not see it.")
        elif count == NEVER:
            assert "never reaches" in said
        elif count > state["layers"]:
            assert "would need two layers" in said if by_hub else f"need {count} layers" in said
        elif count <= 1:
            assert "directly" in said
            assert ("is global" in said) == by_hub
        elif by_hub:
            assert "in two layers, through the global token" in said
            assert any(f"({g})" in said for g in hubs)
        else:
            assert f"in {count} layers, from window to window" in said


READ_DOTS = """(el, [n, layers]) => {
  const canvas = el.querySelector(".ax-cone canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const ratio = devicePixelRatio;
  const width = canvas.width / ratio, height = canvas.height / ratio;
  const out = [];
  for (let t = 0; t <= layers; t++) for (let j = 0; j < n; j++) {
    const x = 46 + (j + 0.5) * (width - 72) / n, y = 10 + t * (height - 20) / layers;
    const at = [x, y].map((place) => Math.round(place * ratio - 0.5));
    out.push([...context.getImageData(...at, 1, 1).data].slice(0, 3));
  }
  return out;
}"""


@pytest.mark.parametrize(
    "fragment", ["layers=4", "dilation=3&window=2", "global_tokens=5&causal=true&layers=2"]
)
def test_the_cone_holds_what_has_gone_into_a_token(
    offline_page: MakePage, write_page: Callable[..., str], fragment: str
) -> None:
    page = offline_page(dark=False)
    entries = "&".join(f"longformer-window.{part}" for part in fragment.split("&"))
    open_page(page, write_page(LongformerWindow()) + f"#{entries}")
    root = page.locator(".attn-explorer")
    state = state_of(root)
    i, layers = LongformerWindow.spec()["facts"]["start"], state["layers"]
    shape = (layers + 1, LENGTH, 3)
    pixels = np.array(root.evaluate(READ_DOTS, [LENGTH, layers])).reshape(shape)
    dark = np.abs(pixels - colours_of(root, ["ink"])[0]).max(-1) < 60
    for t in range(layers + 1):
        np.testing.assert_array_equal(dark[t], steps_of(state)[i] <= t)
    label = root.locator(".ax-cone canvas").get_attribute("aria-label")
    assert label == WORDS["cone"].format(token="mouse", i=i)
