"""The still picture of an explorer is its present state: axes, marks and band against the frame."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from attn_lib import explorers, figures
from attn_lib.explorers import (
    EstimatedAttention,
    FeatureTemplates,
    GradientLadder,
    KernelFeatures,
    LowRankAttention,
)
from attn_lib.explorers._signed import signed_value


def still(explorer, **controls):
    state = explorer.check(**controls)
    frame = explorer.compute(**state)
    return explorer._figure(frame, **state), frame


@pytest.mark.parametrize("length", [128, 512])
def test_axes_of_pooled_matrices_count_tokens(length):
    figure, _ = still(LowRankAttention, length=length)
    for ax in figure.axes:
        assert ax.get_xlim() == (-0.5, length - 0.5)
        assert ax.get_ylim() == (length - 0.5, -0.5)
    figure, _ = still(EstimatedAttention)
    assert {ax.get_xlim() for ax in figure.axes} == {(-0.5, 127.5)}


def test_weights_below_zero_are_drawn_in_orange():
    figure, frame = still(LowRankAttention, method="svd", rank=4)
    above, below = figure.axes[1].get_images()
    values = signed_value(frame["rebuilt"])
    np.testing.assert_allclose(above.get_array(), values.clip(min=0))
    np.testing.assert_allclose(below.get_array(), (-values).clip(min=0))
    assert (values < 0).any()
    assert to_hex(below.get_cmap()(1.0)) == figures.PALETTE[1].lower()


@pytest.mark.parametrize(("explorer", "axis"), [(KernelFeatures, 0), (GradientLadder, 0)])
def test_the_band_that_the_page_speaks_of_is_drawn(explorer, axis):
    figure, frame = still(explorer)
    (band,) = figure.axes[axis].collections
    low, high = 10.0 ** frame["band"]
    (path,) = band.get_paths()
    heights = path.vertices[:, 1]
    assert heights.min() == pytest.approx(low.min(), rel=1e-6)
    assert heights.max() == pytest.approx(high.max(), rel=1e-6)
    labels = [text.get_text() for text in figure.axes[axis].get_legend().get_texts()]
    assert explorer.words["band"] in labels


def test_rows_that_are_templates_are_called_so():
    figure, _ = still(FeatureTemplates)
    templates, weights, full = figure.axes
    assert (templates.get_xlabel(), templates.get_ylabel()) == ("word", "template")
    assert {(ax.get_xlabel(), ax.get_ylabel()) for ax in (weights, full)} == {("key", "query")}


@pytest.mark.parametrize("name", ["AttentionOnText", "TopKSelection", "LunaPacking"])
def test_what_the_words_speak_of_is_marked(name):
    explorer = getattr(explorers, name)
    figure, _ = still(explorer)
    start = explorer.spec()["facts"]["start"]
    row = start[0] if isinstance(start, list) else start
    for ax in figure.axes:
        assert ax.patches[0].get_y() == row - 0.5
        assert ax.patches[0].get_height() == 1


def test_a_point_is_counted_in_cells():
    ax = figures.matrix(np.ones((3, 3)), per_cell=4)
    figures.point(ax, 1, 2, per_cell=4)
    line, box = ax.patches
    assert (line.get_x(), line.get_y(), line.get_width(), line.get_height()) == (-0.5, 3.5, 12, 4)
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (7.5, 3.5, 4, 4)


def test_bad_pictures_are_refused():
    with pytest.raises(ValueError, match="per_cell must be at least 1, got 0"):
        figures.matrix(np.ones((2, 2)), per_cell=0)
    with pytest.raises(TypeError, match="values must hold numbers"):
        figures.signed_matrix(np.array([["a"]]))
