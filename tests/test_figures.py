"""The still pictures: what they draw, and what they refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch

mpl.use("agg")

from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from attn_lib import figures


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    yield
    plt.close("all")


def drawn(ax: Any) -> np.ndarray:
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())


def test_matrix_draws_the_weights_and_labels_both_axes() -> None:
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    ax = figures.matrix(weights, tokens=["a$b$", "<猫>"], title="two tokens")
    np.testing.assert_allclose(ax.images[0].get_array(), weights)
    labels = [r"a\$b\$", "<猫>"]
    assert [text.get_text() for text in ax.get_xticklabels()] == labels
    assert [text.get_text() for text in ax.get_yticklabels()] == labels
    assert ax.get_title() == "two tokens"


def test_words_in_any_script_are_drawn_without_a_warning() -> None:
    """Warnings are errors here: a missing glyph would be one."""
    words = ["注意", "力", "ქ", "a"]
    ax = figures.matrix(np.eye(4), tokens=words, title="低秩", xlabel="键", ylabel="查询")
    assert drawn(ax).any()
    ax = figures.curves([1, 2], {"余弦": [3, 5]}, xlabel="长度", ylabel="数")
    assert drawn(ax).any()
    plain = figures.matrix(np.eye(2), tokens=["a", "é"], title="two")
    assert plain.title.get_fontfamily() == plt.rcParams["font.family"]


def test_an_installed_font_is_preferred_to_boxes(tmp_path: Path) -> None:
    builder = pytest.importorskip("fontTools.fontBuilder")
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    pen, code = pens.TTGlyphPen(None), 0x2B73A  # a rare character, that no font at hand has
    for corner in ((0, 0), (500, 0), (500, 500)):
        pen.lineTo(corner) if corner != (0, 0) else pen.moveTo(corner)
    pen.closePath()
    glyphs = {".notdef": pen.glyph(), "rare": pen.glyph()}
    font = builder.FontBuilder(1000)
    font.setupGlyphOrder(list(glyphs))
    font.setupCharacterMap({code: "rare"})
    font.setupGlyf(glyphs)
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Rare Words", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "rare.ttf")
    before = list(font_manager.fontManager.ttflist)
    try:
        font_manager.fontManager.addfont(tmp_path / "rare.ttf")
        figures._families.cache_clear()
        ax = figures.matrix(np.eye(2), tokens=[chr(code), "b"])
        assert ax.get_xticklabels()[0].get_fontfamily()[-1] == "Rare Words"
        assert drawn(ax).any()
    finally:
        font_manager.fontManager.ttflist[:] = before
        figures._families.cache_clear()


def test_small_weights_are_visible() -> None:
    norm = figures.matrix(np.array([[0.01, 0.99]])).images[0].norm
    assert float(norm(0.01)) == pytest.approx(0.1)
    assert (norm.vmin, norm.vmax) == (0, 1)


@pytest.mark.parametrize("page", [1.0, 0.07], ids=["light", "dark"])
def test_more_weight_is_further_from_the_page(page: float) -> None:
    image = figures.matrix(np.linspace(0, 1, 17)[None]).images[0]
    colours = image.cmap(image.norm(image.get_array()))[0]
    shown = colours[:, 3:] * colours[:, :3] + (1 - colours[:, 3:]) * page
    distance = np.abs(shown - page).sum(-1)
    assert (np.diff(distance) > 0).all()


def test_a_wide_matrix_labels_its_keys_only() -> None:
    ax = figures.matrix(np.ones((2, 3)) / 3, tokens=["a", "b", "c"])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c"]
    assert "a" not in [text.get_text() for text in ax.get_yticklabels()]


def test_mask_draws_what_is_allowed() -> None:
    mask = torch.ones(5, 7, dtype=torch.bool).tril()
    ax = figures.mask(mask, title="causal")
    np.testing.assert_array_equal(ax.images[0].get_array(), mask)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("key", "query", "causal")


def test_curves_draw_a_line_each() -> None:
    x = [1, 2, 4]
    ax = figures.curves(
        x, {"dense": [1, 4, 16], "sparse": torch.tensor([1.0, 2.8, 8.0])},
        xlabel="n", ylabel="pairs", logx=True, logy=True,
    )  # fmt: skip
    assert [line.get_label() for line in ax.lines] == ["dense", "sparse"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [1.0, 2.8, 8.0], rtol=1e-6)
    assert len({line.get_color() for line in ax.lines}) == 2
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["dense", "sparse"]


def test_given_axes_are_drawn_in() -> None:
    ax = Figure().subplots()
    assert figures.mask(np.eye(3, dtype=bool), ax=ax) is ax
    assert figures.matrix(np.eye(3), ax=ax) is ax
    assert figures.curves([1, 2], {"a": [3, 5]}, xlabel="x", ylabel="y", ax=ax) is ax
    assert plt.get_fignums() == []


@pytest.mark.parametrize("page", [255, 18], ids=["light", "dark"])
def test_words_and_colours_stand_out_on_light_and_dark(page: int) -> None:
    def luminance(colour: str) -> float:
        channels = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in mpl.colors.to_rgb(colour)
        ]
        return float(np.dot(channels, [0.2126, 0.7152, 0.0722]))

    behind = luminance(f"#{page:02x}{page:02x}{page:02x}")
    ax = figures.mask(np.eye(3, dtype=bool), title="words")
    assert ax.figure.patch.get_alpha() == ax.patch.get_alpha() == 0
    for colour, least in [(ax.title.get_color(), 4.0), *((c, 2.0) for c in figures.PALETTE)]:
        high, low = sorted([luminance(colour), behind], reverse=True)
        assert (high + 0.05) / (low + 0.05) >= least


def test_drawing_twice_gives_the_same_picture() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(11), size=11)
    np.testing.assert_array_equal(drawn(figures.matrix(weights)), drawn(figures.matrix(weights)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: figures.matrix(np.ones(3)), ValueError, "weights must have 2 axes, got shape"),
        (lambda: figures.matrix([[-1.0]]), ValueError, "weights must be at least 0, got -1"),
        (lambda: figures.matrix([["a"]]), TypeError, "weights must hold numbers, got <U1"),
        (
            lambda: figures.matrix(np.eye(3), tokens=["a"]),
            ValueError,
            "tokens must have one label a key, 3, got 1",
        ),
        (lambda: figures.mask(np.eye(3)), TypeError, "mask must be bool, got float64"),
        (lambda: figures.mask(np.array(True)), ValueError, "mask must have 2 axes"),
        (
            lambda: figures.curves([1, 2], {"a": [1]}, xlabel="x", ylabel="y"),
            ValueError,
            "lines must have 2 values each, got 1",
        ),
    ],
)
def test_bad_arrays_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
