"""The explorer of top-k selection in a real browser: pointing, keys, words and bars."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import TopKSelection
from attn_lib.explorers.topk_selection import LENGTH

from .test_explorers import cell_at, open_page, state_of, write_page
from .waiting import until

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
WORDS = TopKSelection.words


def tokens() -> list[str]:
    return [text for text, _ in TopKSelection.spec()["facts"]["tokens"]]


def number(value: float) -> str:
    return f"{float(value):.1f}".replace("-", "−")


def percent(value: np.ndarray) -> str:
    share = float(np.float16(value))
    return f"{100 * share:.{1 if share < 0.0995 else 0}f}"


def weight(frame: dict[str, np.ndarray], i: int, j: int) -> str:
    return f"{(np.rint(255 * np.sqrt(frame['weights'][i, j])) / 255) ** 2:.2f}"


def sentence(state: dict[str, Any], i: int, j: int | None = None) -> str:
    """What the status line must say, from Python's arrays."""
    frame, names = TopKSelection.compute(**state), tokens()
    topk, order = state["topk"], frame["order"][i].tolist()
    query = {"token": names[i], "i": i}
    if j is None:
        best = order[: min(3, topk)]
        top = ", ".join(
            WORDS["top"].format(token=names[k], weight=weight(frame, i, k)) for k in best
        )
        mass = f"{float(np.float16(frame['mass'][i])):.2f}"
        moved = {name: percent(frame[name][i]) for name in ("moved", "mean")}
        return WORDS["row"].format(**query, top=top, mass=mass, **moved)
    rank = order.index(j)
    pair = {"key": names[j], "j": j, "rank": rank + 1, "weight": weight(frame, i, j)}
    pair |= {"score": number(frame["scores"][i, rank])}
    pair |= {"threshold": number(frame["scores"][i, topk - 1])}
    return WORDS["kept" if rank < topk else "lost"].format(**query, **pair)


def check_row(root: Locator, i: int) -> None:
    """Hold the faint tokens and the bars to the selection."""
    state = state_of(root)
    frame = TopKSelection.compute(**state)
    faint = root.locator(".ax-token").evaluate_all(
        "els => els.map(el => el.classList.contains('ax-faint'))"
    )
    kept = set(frame["order"][i, : state["topk"]].tolist())
    assert [k for k, dropped in enumerate(faint) if not dropped] == sorted(kept)
    assert root.locator(".ax-ranked rect.ax-kept").count() == state["topk"]
    heights = root.locator(".ax-ranked rect").evaluate_all(
        "els => els.map(el => Number(el.getAttribute('height')))"
    )
    assert heights == sorted(heights, reverse=True)
    scores = frame["scores"][i]
    slope = (heights[0] - heights[20]) / (scores[0] - scores[20])
    assert heights[5] == pytest.approx(heights[0] - slope * (scores[0] - scores[5]), abs=0.01)


def test_a_query_shows_its_keys_and_bars(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(TopKSelection()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    expect(status).to_have_text(sentence(state_of(root), tokens().index("mouse")))
    for i in (30, 63, 0):
        root.locator(".ax-token").nth(i).hover()
        expect(status).to_have_text(sentence(state_of(root), i))
        check_row(root, i)
    root.get_by_role("listbox").focus()
    for key, i in [("ArrowRight", 1), ("End", 63), ("ArrowLeft", 62)]:
        page.keyboard.press(key)
        expect(status).to_have_text(sentence(state_of(root), i))
        check_row(root, i)


def test_a_pair_is_kept_or_dropped_in_words(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    where = "#top-k-selection.layer=5&top-k-selection.topk=2&top-k-selection.at=41,20"
    open_page(page, write_page(TopKSelection()) + where)
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    state = state_of(root)
    assert state == {"topk": 2, "layer": 5, "head": 9}
    expect(status).to_have_text(sentence(state, 41, 20))
    marks = root.locator("canvas.ax-marks")
    for i, j in [(41, 0), (10, 33), (63, 62)]:
        marks.hover(position=cell_at(root, LENGTH, i, j))
        expect(status).to_have_text(sentence(state, i, j))
        check_row(root, i)
    marks.focus()
    for key in ["ArrowUp", "ArrowLeft"]:
        page.keyboard.press(f"Shift+{key}")
    expect(status).to_have_text(sentence(state, 62, 61))
    # A bar is a key too: the third one of the query.
    bars = root.locator(".ax-ranked")
    third = root.locator(".ax-ranked rect").nth(2).bounding_box()
    outer = bars.bounding_box()
    bars.click(position={"x": third["x"] - outer["x"] + 1, "y": outer["height"] - 20})
    key = int(TopKSelection.compute(**state)["order"][62, 2])
    expect(status).to_have_text(sentence(state, 62, key))
    assert json.loads(root.get_attribute("data-pick")) == [62, key]
    until(page, "location.hash.includes('at=62')")


def test_the_readouts_are_the_heads(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(TopKSelection(layer=5, head=8, topk=4)))
    root = page.locator(".attn-explorer")
    frame = TopKSelection.compute(layer=5, head=8, topk=4)
    mass = float(frame["mass"].astype(np.float16).astype(float).mean())
    shown = root.locator(".ax-readout").all_inner_texts()
    nobody = int((frame["chosen_by"] == 0).sum())
    assert shown == [
        f"{100 * mass:.0f} %",
        WORDS["moved_value"].format(moved=percent(frame["head_moved"][0])),
        WORDS["moved_value"].format(moved=percent(frame["head_mean"][0])),
        f"{nobody} of 64",
        "256",
    ]
    root.locator(".ax-token").nth(17).tap()
    expect(page.locator(".ax-status")).to_have_text(sentence(state_of(root), 17))
    check_row(root, 17)
    assert re.fullmatch(
        r"threshold .*: 4 of 64 keys reach it", root.locator(".ax-chart-note").inner_text()
    )
