"""The explorer of Efficient Attention's templates in a real browser: two texts, four matrices."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import FeatureTemplates
from attn_lib.explorers.feature_templates import FEATURES, LENGTH

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
WORDS = FeatureTemplates.words
PLACES = {"templates": 0, "mixtures": 1, "weights": 2, "full": 3}


def tokens() -> list[str]:
    return [text for text, _ in FeatureTemplates.spec()["facts"]["tokens"]]


def cell_at(marks: Locator, i: int, j: int) -> dict[str, float]:
    box = marks.bounding_box()
    return {"x": (j + 0.5) * box["width"] / LENGTH, "y": (i + 0.5) * box["height"] / LENGTH}


def codes(weights: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.sqrt(weights))


def number(weight: float) -> str:
    return f"{(codes(weight) / 255) ** 2:.2f}"


def heaviest(row: np.ndarray, count: int) -> list[str]:
    """Return the words of a template's six largest weights, each once."""
    names = tokens()
    order = sorted(range(LENGTH), key=lambda j: (-codes(row[j]), j))
    return list(dict.fromkeys(names[j] for j in order[:6]))[:count]


def sentence(state: dict[str, Any], i: int, feature: int, j: int | None) -> str:
    """What the status line must say, from Python's arrays."""
    frame, names = FeatureTemplates.compute(**state), tokens()
    common = {
        "query": names[i],
        "i": i,
        "feature": feature,
        "share": number(frame["mixtures"][i, feature]),
    }
    if j is None:
        here, there = (f"{np.float16(x):.1f}" for x in frame["spread"][:, i])
        words = ", ".join(heaviest(frame["templates"][feature], 3))
        return WORDS["row"].format(**common, tokens=words, here=here, there=there)
    return WORDS["cell"].format(
        **common,
        key=names[j],
        j=j,
        weight=number(frame["weights"][i, j]),
        full=number(frame["full"][i, j]),
        template=number(frame["templates"][feature, j]),
    )


def ramp(root: Locator, weights: np.ndarray) -> np.ndarray:
    stops = np.array(colours_of(root, ["ramp-0", "ramp-1", "ramp-2", "ramp-3"]))
    places, along = codes(weights) / 255, np.linspace(0, 1, 4)
    return np.stack([np.interp(places, along, stops[:, c]) for c in range(3)], axis=-1)


def check_matrices(root: Locator) -> None:
    """Hold all four pictures to Python's weights; a feature is two rows or columns of cells."""
    frame = FeatureTemplates.compute(**state_of(root))
    band = np.arange(LENGTH) * FEATURES // LENGTH
    cells = {
        **frame,
        "templates": frame["templates"][band],
        "mixtures": frame["mixtures"][:, band],
    }
    for name, place in PLACES.items():
        matrix = root.locator(".ax-matrix").nth(place)
        drawn = np.array(matrix.evaluate(READ_CELLS, LENGTH)).reshape(LENGTH, LENGTH, 3)
        assert np.abs(drawn - ramp(root, cells[name])).max() <= 1, name


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_four_matrices_are_drawn_for_any_head_and_sharpness(
    offline_page: MakePage, write_page: Callable[..., str], dark: bool
) -> None:
    page = offline_page(dark=dark)
    open_page(page, write_page(FeatureTemplates()))
    root = page.locator(".attn-explorer")
    check_matrices(root)
    control(root, "sharpness").focus()
    for key, sharpness in (("ArrowRight", 1), ("End", 2)):
        page.keyboard.press(key)
        settle(root, "sharpness", sharpness)
        check_matrices(root)
    control(root, "head").select_option("0.2")
    settle(root, "head", "2.9")
    check_matrices(root)


def test_a_cell_of_any_matrix_is_said_in_words(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    address = "#feature-templates.sharpness=4&feature-templates.at=41,6"
    open_page(page, write_page(FeatureTemplates()) + address)
    root = page.locator(".attn-explorer")
    state = state_of(root)
    assert state["sharpness"] == 4
    assert json.loads(root.get_attribute("data-pick")) == [41, 6, None]
    status = root.locator(".ax-status")
    expect(status).to_have_text(sentence(state, 41, 6, None))
    for name in ("weights", "full"):
        marks = root.locator("canvas.ax-marks").nth(PLACES[name])
        marks.hover(position=cell_at(marks, 32, 17))
        expect(status).to_have_text(sentence(state, 32, 6, 17))
    # A band of the templates is a feature, a row of the mixtures a word.
    marks = root.locator("canvas.ax-marks").nth(PLACES["templates"])
    marks.hover(position=cell_at(marks, 2 * 22 + 1, 40))
    expect(status).to_have_text(sentence(state, 32, 22, 40))
    marks = root.locator("canvas.ax-marks").nth(PLACES["mixtures"])
    marks.hover(position=cell_at(marks, 20, 2 * 9))
    expect(status).to_have_text(sentence(state, 20, 9, None))


def test_one_text_shows_the_template_and_one_the_row(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(FeatureTemplates()))
    root = page.locator(".attn-explorer")
    names, frame = tokens(), FeatureTemplates.compute()
    marks = root.locator("canvas.ax-marks").nth(PLACES["templates"])
    marks.click(position=cell_at(marks, 2 * 22, 3))
    word = names.index("bat")
    for place in (0, 1):
        root.locator(".ax-tokens").nth(place).locator(".ax-token").nth(word).click()
        assert json.loads(root.get_attribute("data-pick")) == [word, 22, None]
    expect(root).to_contain_text(WORDS["template_text"].format(feature=22))
    expect(root).to_contain_text(WORDS["row_text"].format(query="bat"))
    shown = "els => els.map(el => getComputedStyle(el).backgroundColor.match(/\\d+/g).map(Number))"
    for place, row in ((0, frame["templates"][22]), (1, frame["weights"][word])):
        strip = root.locator(".ax-tokens").nth(place).locator(".ax-token")
        assert np.abs(np.array(strip.evaluate_all(shown)) - ramp(root, row)).max() <= 1


def test_the_bars_give_the_mixture_and_both_rows(
    offline_page: MakePage, write_page: Callable[..., str]
) -> None:
    page = offline_page()
    open_page(page, write_page(FeatureTemplates()))
    root = page.locator(".attn-explorer")
    names, frame = tokens(), FeatureTemplates.compute()
    word = names.index("bat")
    root.locator(".ax-token").nth(word).click()
    rows = [frame[name][word] for name in ("mixtures", "weights", "full")]
    for box, row in zip(root.locator(".ax-bars").all(), rows, strict=True):
        bars = [bar for bar in box.locator(".ax-bar").all() if bar.is_visible()]
        best = sorted(range(len(row)), key=lambda k: (-codes(row[k]), k))[:4]
        best = [k for k in best if (codes(row[k]) / 255) ** 2 >= 0.005]
        assert len(bars) == len(best)
        for bar, k in zip(bars, best, strict=True):
            label, value = (bar.locator(f".ax-bar-{x}").inner_text() for x in ("label", "value"))
            assert value == number(row[k])
            if len(row) == FEATURES:
                assert label == f"{k}: {', '.join(heaviest(frame['templates'][k], 3))}"
            else:
                assert label == names[k]
    numbers = [float(text) for text in root.locator(".ax-readout").all_inner_texts()]
    wanted = [*frame["errors"], *frame["spread"].mean(axis=1)]
    np.testing.assert_allclose(numbers, wanted, atol=0.06)


def test_it_works_with_a_finger(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(FeatureTemplates()))
    root = page.locator(".attn-explorer")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    marks = root.locator("canvas.ax-marks").nth(PLACES["weights"])
    marks.tap(position=cell_at(marks, 30, 12))
    assert json.loads(root.get_attribute("data-pick")) == [30, 15, 12]
    marks.focus()
    for key in ["ArrowUp", "ArrowLeft", "Shift+ArrowDown"]:
        page.keyboard.press(key)
    assert json.loads(root.get_attribute("data-pick")) == [37, 15, 11]
    expect(root.locator(".ax-status")).to_have_text(sentence(state_of(root), 37, 15, 11))
    root.get_by_role("button", name="Reset").click()
    assert json.loads(root.get_attribute("data-pick")) == FeatureTemplates.spec()["facts"]["start"]
