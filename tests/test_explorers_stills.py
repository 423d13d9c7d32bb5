"""The still picture of an explorer is its present state: axes, marks, legend and classes.

Each explorer has a test of its own, which holds what is drawn to the arrays of the frame.
"""

import gettext
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

from attn_lib import explorers, figures
from attn_lib.explorers import (
    AttentionOnText,
    CosineReweighting,
    EstimatedAttention,
    FeatureTemplates,
    GradientLadder,
    GrowingState,
    KernelFeatures,
    LongformerWindow,
    LowRankAttention,
    LSHBuckets,
    LSHCircle,
    LunaPacking,
    MechanismCosts,
    OneHeadTenAnswers,
    RecallAgainstState,
    ResidualStream,
    SparsePatterns,
    TopKSelection,
    WarmUp,
    _stills,
)
from attn_lib.explorers._files import svg
from attn_lib.explorers._signed import signed_value
from attn_lib.explorers.longformer_window import steps_to_reach
from attn_lib.explorers.lsh_circle import ANGLES
from attn_lib.explorers.sparse_patterns import DIRECT, LOST
from attn_lib.explorers.warm_up import RATES

BLUE, ORANGE, GREEN, PINK, YELLOW, _, GREY = (colour.lower() for colour in figures.PALETTE)
EXTENSIONS = str(Path(__file__).parents[1] / "book" / "_ext")
ALL = [getattr(explorers, name) for name in explorers.__all__]


def still(explorer: Any, **controls: Any) -> tuple[Figure, dict[str, np.ndarray], dict[str, str]]:
    """Return a still, its frame, and the explorer's words without plurals."""
    state = explorer.check(**controls)
    frame = explorer.compute(**state)
    words = {name: text for name, text in explorer.words.items() if isinstance(text, str)}
    return explorer._figure(frame, **state), frame, words


def names(figure: Figure) -> dict[str, str]:
    """Return the legend below a figure: a colour for each label, none for a remark."""
    (legend,) = figure.legends
    handles = legend.legend_handles
    return {
        text.get_text(): to_hex(handle.get_color()) if hasattr(handle, "get_color") else ""
        for text, handle in zip(legend.get_texts(), handles, strict=True)
    }


def said(figure: Figure) -> str:
    return figure.get_suptitle()


def rounded(frame: dict[str, np.ndarray], **places: tuple[str, Any]) -> dict[str, str]:
    return {hole: f"{float(frame[name][at]):.2f}" for hole, (name, at) in places.items()}


def squares(ax: Axes, length: int) -> None:
    assert ax.get_xlim() == (-0.5, length - 0.5)
    assert ax.get_ylim() == (length - 0.5, -0.5)


def row_of(ax: Axes) -> tuple[float, float]:
    """Return the first row and the height of what `figures.point` marks."""
    marked = next(patch for patch in ax.patches if to_hex(patch.get_edgecolor()) == ORANGE)
    return marked.get_y() + 0.5, marked.get_height()


def heights(ax: Axes) -> list[np.ndarray]:
    """Return the curves of a chart, without its markers and levels."""
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
    return [np.asarray(line.get_ydata()) for line in lines]


def marks(ax: Axes) -> list[float]:
    """Return where a chart is marked on its x axis."""
    pairs = [line.get_xdata() for line in ax.get_lines() if len(line.get_xdata()) == 2]
    return [float(x[0]) for x in pairs if x[0] == x[1]]


def levels(ax: Axes) -> list[float]:
    pairs = [line.get_ydata() for line in ax.get_lines() if len(line.get_xdata()) == 2]
    return [float(y[0]) for y in pairs if y[0] == y[1]]


def numbers(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_xticklabels()]


# An explorer each


def test_attention_on_text() -> None:
    figure, frame, words = still(AttentionOnText, layer=5, causal=True)
    ax, scale = figure.axes
    squares(ax, 64)
    np.testing.assert_allclose(ax.get_images()[0].get_array(), frame["weights"])
    assert row_of(ax) == (AttentionOnText.spec()["facts"]["start"], 1)
    assert scale.get_ylabel() == words["ramp"]
    assert (scale.get_ylim()[0], scale.get_ylim()[1]) == (0, 1)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
@pytest.mark.parametrize(
    "chosen",
    [{}, {"heads": "split"}, {"route": "summary-local"}, {"route": "summary-local", "stride": 7}],
)
def test_sparse_patterns(pattern: str, chosen: dict[str, Any]) -> None:
    figure, frame, words = still(SparsePatterns, pattern=pattern, **chosen)
    left, right = figure.axes
    squares(left, 128)
    (image,) = left.get_images()
    drawn = image.cmap(image.norm(image.get_array()))
    legend = names(figure)
    past, reached = np.tri(128, dtype=bool), frame["via"] != LOST
    sets = frame["local"] | frame["summary"]
    apart = len(frame["edges"]) > 1
    assert (drawn[~past][:, 3] == 0).all()
    kinds = {
        "local": frame["local"] & ~frame["summary"],
        "summary": frame["summary"] & ~frame["local"],
        "both": frame["local"] & frame["summary"],
    }
    for name, cells in kinds.items() if apart else [("merged", sets)]:
        colour = to_rgba(legend[words[name]])
        assert np.abs(drawn[cells & past & reached] - colour).max(initial=0) < 3e-3
    for name, cells in (("reached", past & ~sets & reached), ("lost", past & ~sets & ~reached)):
        assert (words[name] in legend) == (name == "reached" or not reached[past].all())
        if cells.any():
            colour = to_rgba(legend[words[name]])[:3]
            assert np.abs(drawn[cells][:, :3] - colour).max() < 3e-3
    assert (words["lost_edge"] in legend) == (past & sets & ~reached).any()
    i, j = SparsePatterns.spec()["facts"]["start"]
    assert row_of(left) == (i, 1)
    m = frame["via"][i, j]
    path = [tuple(point) for line in left.get_lines() for point in line.get_xydata()]
    if m < DIRECT:
        assert path == [(j, j), (j, m), (m, m), (m, i), (i, i)]
    assert (words["still_path"] in legend) == bool(path) == (m != LOST)
    for drawn_line, counts in zip(heights(right), frame["edges_by_stride"], strict=True):
        np.testing.assert_array_equal(drawn_line, counts)
    assert marks(right) == [chosen.get("stride", 12)]
    assert numbers(right) == ["1", "2", "4", "8", "16", "32", "64", "128"]


def test_top_k_selection() -> None:
    figure, frame, words = still(TopKSelection, topk=4, layer=5, head=9)
    matrix, bars, scale = figure.axes
    squares(matrix, 64)
    values = np.asarray(matrix.get_images()[0].get_array())
    np.testing.assert_allclose(np.abs(values), frame["weights"])
    ranks = frame["order"].argsort(axis=1)
    np.testing.assert_array_equal(values < 0, (ranks >= 4) & (frame["weights"] > 0))
    cells = matrix.get_images()[0]
    shown = cells.cmap(cells.norm(np.array([-1.0, 1.0])))
    assert to_hex(shown[0]) == PINK
    query = TopKSelection.spec()["facts"]["start"]
    assert row_of(matrix) == (query, 1)
    grey = [patch for patch in matrix.patches if to_hex(patch.get_facecolor()) == GREY]
    columns = {round(patch.get_x() + 0.5) for patch in grey if patch.get_fill()}
    assert columns == set(np.flatnonzero(frame["chosen_by"] == 0).tolist())
    tops = [bar.get_y() + bar.get_height() for bar in bars.patches]
    np.testing.assert_allclose(tops, frame["scores"][query], atol=1e-6)
    assert [to_hex(bar.get_facecolor()) for bar in bars.patches] == 4 * [BLUE] + 60 * [PINK]
    assert levels(bars) == [frame["scores"][query, 3]]
    assert names(figure) == {words["ramp"]: BLUE, words["dropped"]: PINK, words["unread"]: GREY}
    moved, mean = (100 * float(frame[name][0]) for name in ("head_moved", "head_mean"))
    mass = 100 * float(frame["mass"].mean())
    numbers = {"mass": f"{mass:.0f}", "moved": f"{moved:.0f}", "mean": f"{mean:.0f}"}
    assert said(figure) == words["still"].format(**numbers)
    assert scale.get_ylim() == (0, 1)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("hubs", [(), (0, 17)])
def test_longformer_window(layers: int, hubs: tuple[int, ...]) -> None:
    controls = {"layers": layers, "global_tokens": hubs, "window": 2}
    figure, frame, words = still(LongformerWindow, **controls)
    matrix, cone = figure.axes
    squares(matrix, 64)
    (image,) = matrix.get_images()
    kinds = np.asarray(image.get_array())
    window = frame["steps"] <= 1
    everywhere = np.zeros((64, 64), dtype=bool)
    everywhere[list(hubs), :] = everywhere[:, list(hubs)] = True
    mask = window | everywhere
    steps = steps_to_reach(mask)
    np.testing.assert_array_equal(kinds == 1, window)
    np.testing.assert_array_equal(kinds == 2, everywhere & ~window)
    np.testing.assert_array_equal(kinds == 3, ~mask & (steps <= layers))
    legend = names(figure)
    reached = words["reached"].format(layers=layers)
    assert set(legend) == {words["window"], reached, *([words["global"]] if hubs else [])}
    colours = image.cmap(image.norm(np.arange(3)))
    assert legend[words["window"]] == to_hex(colours[1]) == BLUE
    if hubs:
        assert legend[words["global"]] == to_hex(colours[2]) == YELLOW
    start = LongformerWindow.spec()["facts"]["start"]
    assert row_of(matrix) == (start, 1)
    dots = [x for x in cone.collections if isinstance(x, PathCollection)]
    bright = [x for x in dots if to_hex(x.get_facecolor()[0]) == BLUE]
    for t, found in enumerate(bright):
        columns = np.flatnonzero(steps[start] <= t)
        np.testing.assert_array_equal(found.get_offsets(), [(j, t) for j in columns])
    assert len(bright) == layers + 1
    labels = [text.get_text() for text in cone.get_yticklabels()]
    above = [words["cone_layer"].format(layer=layer) for layer in range(layers, 0, -1)]
    assert labels == [*above, words["cone_text"]]


@pytest.mark.parametrize("points", ["circle", "5.0"])
def test_lsh_circle(points: str) -> None:
    figure, frame, words = still(LSHCircle, points=points, rounds=3, buckets=8)
    disc, chart = figure.axes
    start = LSHCircle.spec()["facts"]["start"]
    bucket = frame["bucket"][:3]
    together = bucket == bucket[:, start, None]
    others = np.arange(len(frame["xy"])) != start
    wanted = {
        "chosen": ~others,
        "now": together[2] & others,
        "before": together[:2].any(axis=0) & ~together[2],
        "apart": ~together.any(axis=0),
    }
    legend = names(figure)
    for drawn, (name, some) in zip(disc.collections, wanted.items(), strict=True):
        assert drawn.get_label() == words[name]
        np.testing.assert_allclose(drawn.get_offsets(), frame["xy"][some], atol=1e-6)
        if some.any():
            assert to_hex(drawn.get_facecolor()[0]) == legend[words[name]]
    assert set(legend) == {words[name] for name in wanted}
    ring = frame["ring"][2]
    own = [w for w in disc.patches if to_hex(w.get_facecolor()) == BLUE]
    assert sum(w.theta2 - w.theta1 for w in own) == (ring == bucket[2, start]).sum()
    (line,) = heights(chart)
    np.testing.assert_allclose(line, frame["theory"][2])
    (dots,) = chart.collections
    measured = frame["measured"][2]
    there = measured >= 0
    wanted_dots = np.stack([ANGLES[there], measured[there]], axis=-1)
    np.testing.assert_allclose(dots.get_offsets(), wanted_dots, atol=1e-6)
    assert to_hex(dots.get_facecolor()[0]) == ORANGE
    assert numbers(chart) == ["0", "45", "90", "135", "180"]
    near = np.sort(frame["degrees"][start][others])[7]
    assert marks(chart) == [5 * round(near / 5)]
    told = [text.get_text() for text in chart.get_legend().get_texts()]
    kind = "measured_circle" if points == "circle" else "measured_keys"
    assert told == [words["theory"], words[kind]]


@pytest.mark.parametrize(("rounds", "size"), [(1, 8), (4, 16)])
def test_lsh_buckets(rounds: int, size: int) -> None:
    figure, frame, words = still(LSHBuckets, rounds=rounds, bucket_size=size)
    order = frame["place"][rounds - 1].argsort()
    bucket, chunk = frame["bucket"], frame["chunk"].astype(int)
    back = chunk[:rounds, :, None] - chunk[:rounds, None, :]
    seen = ((back == 0) | (back == 1)) & ~np.eye(64, dtype=bool)
    same = bucket[rounds - 1][:, None] == bucket[rounds - 1]
    kept = [np.ones((64, 64), dtype=bool), same, seen[-1], seen.any(axis=0)]
    query = LSHBuckets.spec()["facts"]["start"]
    for k, (ax, allowed) in enumerate(zip(figure.axes, kept, strict=True)):
        squares(ax, 64)
        is_sorted = k in (1, 2)
        weights = frame["weights"]
        if is_sorted:
            weights, allowed = (x[np.ix_(order, order)] for x in (weights, allowed))
        values = np.asarray(ax.get_images()[0].get_array())
        near = np.sqrt(np.abs(values)) - np.sqrt(weights)
        assert np.abs(near).max() <= 0.51 / 39
        assert not (values[allowed] < 0).any()
        assert not (values[~allowed] > 0).any()
        row = frame["place"][rounds - 1, query] if is_sorted else query
        assert row_of(ax) == (row, 1)
        labels = ("key_sorted", "query_sorted") if is_sorted else ("key", "query")
        assert (ax.get_xlabel(), ax.get_ylabel()) == tuple(words[name] for name in labels)

    def frames(ax: Axes) -> list[tuple[float, ...]]:
        boxes = [p for p in ax.patches if to_hex(p.get_edgecolor()) == GREY]
        return [(b.get_y() + 0.5, b.get_x() + 0.5, b.get_height(), b.get_width()) for b in boxes]

    _, counts = np.unique(bucket[rounds - 1], return_counts=True)
    ends = counts.cumsum()
    starts = ends - counts
    assert frames(figure.axes[1]) == [(a, a, c, c) for a, c in zip(starts, counts, strict=True)]
    chunks = [(a, max(0, a - size), size, size + min(a, size)) for a in range(0, 64, size)]
    assert frames(figure.axes[2]) == chunks
    wanted = [words["ramp"], words["dropped"], words["still_boxes"]]
    assert names(figure) == dict(zip(wanted, (BLUE, PINK, GREY), strict=True))
    at = rounds - 1
    numbers = rounded(frame, error=("errors", (2, at)), mean=("mean", 0))
    numbers["caught"] = f"{float(frame['caught'][2, at]):.0f}"
    numbers["share"] = f"{float(frame['curves'][1, at]):.0f}"
    assert said(figure) == words["still"].format(**numbers)


@pytest.mark.parametrize(("length", "method", "rank"), [(128, "svd", 4), (512, "random", 32)])
def test_low_rank_attention(length: int, method: str, rank: int) -> None:
    figure, frame, words = still(LowRankAttention, length=length, method=method, rank=rank)
    full, rebuilt, spectrum, errors = figure.axes
    size = length // 64
    query, key = LowRankAttention.spec()["facts"]["start"]
    for ax, name in ((full, "full"), (rebuilt, "rebuilt")):
        squares(ax, length)
        above, below = ax.get_images()
        values = signed_value(frame[name])
        np.testing.assert_allclose(above.get_array(), values.clip(min=0))
        np.testing.assert_allclose(below.get_array(), (-values).clip(min=0))
        assert to_hex(below.get_cmap()(1.0)) == ORANGE
        assert row_of(ax) == (size * query, size)
        assert ax.patches[1].get_x() == size * key - 0.5
    assert (signed_value(frame["rebuilt"]) < 0).any()
    assert rebuilt.get_title() == words["still_rebuilt_now"].format(rank=rank)
    np.testing.assert_allclose(heights(spectrum), frame["spectrum"])
    told = [text.get_text() for text in spectrum.get_legend().get_texts()]
    assert told == [words["full"], words["still_control"]]
    np.testing.assert_allclose(heights(errors), frame["errors"])
    assert levels(errors) == pytest.approx(frame["mean"].tolist())
    assert [marks(ax) for ax in (spectrum, errors)] == [[rank], [rank]]
    assert numbers(errors) == numbers(spectrum) == [str(4**k) for k in range(4 + (length > 128))]
    assert names(figure) == {words["still_below"]: ORANGE, words["control_is"]: ""}
    told = [text.get_text() for text in errors.get_legend().get_texts()]
    assert told == [words["svd"], words["random"], words["linformer"], words["mean"]]
    found = rounded(frame, error=("facts", 1), mean=("mean", 0))
    assert said(figure) == words["still"].format(**found)


def test_kernel_features() -> None:
    figure, frame, words = still(KernelFeatures, sweep="length", angle=90)
    (ax,) = figure.axes
    true, estimate = heights(ax)
    np.testing.assert_allclose(true, 10.0 ** frame["true"])
    np.testing.assert_allclose(estimate, 10.0 ** frame["estimate"])
    low, high = 10.0 ** frame["band"]
    (band,) = ax.collections
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.min() == pytest.approx(low.min(), rel=1e-6)
    assert edges.max() == pytest.approx(high.max(), rel=1e-6)
    assert ax.get_ylim() == (1e-4, 1e6)
    assert ax.get_xlabel() == words["length"]
    assert marks(ax) == [pytest.approx(3 * KernelFeatures.spec()["facts"]["start"][1] / 36)]
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told == [words["true"], words["estimate"], words["band"]]


def test_estimated_attention() -> None:
    figure, frame, words = still(EstimatedAttention, features=64, kernel="softmax_trig")
    full, estimate, chart = figure.axes
    query, key = EstimatedAttention.spec()["facts"]["start"]
    for ax, name in ((full, "full"), (estimate, "estimate")):
        squares(ax, 128)
        above, below = ax.get_images()
        values = signed_value(frame[name])
        np.testing.assert_allclose(above.get_array() - below.get_array(), values)
        assert row_of(ax) == (2 * query, 2)
        assert ax.patches[1].get_x() == 2 * key - 0.5
    assert (full.get_title(), estimate.get_title()) == (
        words["full"],
        words["still_estimate_now"].format(m=64),
    )
    np.testing.assert_allclose(heights(chart), 10.0 ** frame["errors"], rtol=1e-6)
    assert levels(chart) == pytest.approx(frame["mean"].tolist())
    assert marks(chart) == [64]
    assert numbers(chart) == [str(4 * 2**k) for k in range(10)]
    told = [text.get_text() for text in chart.get_legend().get_texts()]
    lines = ("positive", "independent", "trig", "mean_line")
    assert told == [words[name] for name in lines]
    assert names(figure) == {words["still_below"]: ORANGE, words["edge"]: ""}
    found = rounded(frame, error=("facts", 0), mean=("mean", 0))
    assert said(figure) == words["still"].format(m=64, **found)


def test_luna_packing() -> None:
    figure, frame, words = still(LunaPacking, slots=16, head="5.5")
    full, luna, linformer, unpack, pack, chart = figure.axes
    query, key = LunaPacking.spec()["facts"]["start"]
    for ax, name in ((full, "full"), (luna, "luna"), (linformer, "linformer")):
        squares(ax, 48)
        np.testing.assert_allclose(ax.get_images()[0].get_array(), frame[name])
        assert row_of(ax) == (query, 1)
        assert ax.patches[1].get_x() == key - 0.5
    assert linformer.get_title() == words["linformer"].format(slots=16)
    np.testing.assert_allclose(unpack.get_images()[0].get_array(), frame["unpack"])
    np.testing.assert_allclose(pack.get_images()[0].get_array(), frame["pack"])
    assert (unpack.get_xlim(), unpack.get_ylim()) == ((-0.5, 15.5), (47.5, -0.5))
    assert (pack.get_xlim(), pack.get_ylim()) == ((-0.5, 47.5), (15.5, -0.5))
    for ax, name in ((pack, "still_pack"), (unpack, "still_unpack")):
        assert ax.get_title() == words[name].format(slots=16, n=48)
    token, slot = words["still_token"], words["still_slot_axis"]
    assert (unpack.get_xlabel(), unpack.get_ylabel()) == (slot, token)
    assert (pack.get_xlabel(), pack.get_ylabel()) == (token, slot)
    assert row_of(unpack) == (query, 1)
    assert pack.patches[0].get_x() == key - 0.5
    np.testing.assert_allclose(heights(chart), frame["errors"])
    assert levels(chart) == pytest.approx(frame["mean"].tolist())
    assert marks(chart) == [16]
    assert numbers(chart) == ["1", "2", "4", "8", "16", "32"]
    lines = ("name_luna", "name_linformer", "name_best", "name_mean")
    colours = (BLUE, ORANGE, GREEN, GREY)
    assert names(figure) == {words[n]: c for n, c in zip(lines, colours, strict=True)}
    luna_error, linformer_error = (("errors", (k, 15)) for k in (0, 1))
    found = rounded(frame, luna=luna_error, linformer=linformer_error, mean=("mean", 0))
    assert said(figure) == words["still"].format(**found)


def test_feature_templates() -> None:
    figure, frame, words = still(FeatureTemplates, sharpness=4.0)
    shapes = {"templates": (32, 64), "mixtures": (64, 32), "weights": (64, 64), "full": (64, 64)}
    query, feature, _ = FeatureTemplates.spec()["facts"]["start"]
    rows = {"templates": feature, "mixtures": query, "weights": query, "full": query}
    labels = {
        "templates": (words["word_axis"], words["feature_axis"]),
        "mixtures": (words["feature_axis"], words["word_axis"]),
    }
    for ax, (name, (height, width)) in zip(figure.axes, shapes.items(), strict=True):
        np.testing.assert_allclose(ax.get_images()[0].get_array(), frame[name])
        assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, width - 0.5), (height - 0.5, -0.5))
        assert ax.get_title() == words[name]
        assert row_of(ax) == (rows[name], 1)
        assert (ax.get_xlabel(), ax.get_ylabel()) == labels.get(name, ("key", "query"))
    assert figure.axes[1].patches[1].get_x() == feature - 0.5
    found = rounded(frame, error=("errors", 0), mean=("errors", 1))
    assert said(figure) == words["still"].format(**found)
    here, there = (f"{float(x):.1f}" for x in frame["spread"].mean(axis=1))
    assert list(names(figure)) == [words["still_spread"].format(here=here, there=there)]


@pytest.mark.parametrize("time", [12, 48])
def test_growing_state(time: int) -> None:
    figure, frame, words = still(GrowingState, time=time, feature_map="square")
    state, weights, full, spread, memory = figure.axes
    values = signed_value(frame["state"])
    above, below = state.get_images()
    drawn = np.asarray(above.get_array()) - np.asarray(below.get_array())
    np.testing.assert_allclose(drawn[:, :32], values[:, :32])
    np.testing.assert_allclose(drawn[:, 34:], values[:, 32:].repeat(2, axis=1))
    assert (drawn[:, 32:34] == 0).all()
    assert to_hex(below.get_cmap()(1.0)) == ORANGE
    assert (state.get_xlim(), state.get_ylim()) == ((-0.5, 35.5), (31.5, -0.5))
    assert (state.get_xlabel(), state.get_ylabel()) == (
        words["still_value"],
        words["still_feature"],
    )
    for ax, name in ((weights, "weights"), (full, "full")):
        squares(ax, 48)
        shown = np.asarray(ax.get_images()[0].get_array())
        np.testing.assert_allclose(shown[:time], frame[name][:time])
        assert (shown[time:] == 0).all()
        assert row_of(ax) == (time - 1, 1)
    np.testing.assert_allclose(heights(spread), frame["spread"][::-1])
    np.testing.assert_array_equal(heights(memory), GrowingState.spec()["facts"]["kept"][::-1])
    for ax in (spread, memory):
        assert marks(ax) == [time]
        assert numbers(ax) == ["1", "2", "4", "8", "16", "32"]
    colours = {words["name_full"]: BLUE, words["name_near"]: ORANGE, words["still_below"]: ""}
    assert names(figure) == colours
    found = rounded(frame, error=("errors", (0, time - 1)), mean=("errors", (1, time - 1)))
    assert said(figure) == words["still"].format(**found)


@pytest.mark.parametrize("chosen", [{}, {"max_len": 32}, {"relu": False}])
def test_cosine_reweighting(chosen: dict[str, Any]) -> None:
    figure, frame, words = still(CosineReweighting, **chosen)
    full, weights, chart, factor, *scales = figure.axes
    for ax, name, scale in zip((full, weights), ("full", "weights"), scales, strict=True):
        squares(ax, 64)
        above, below = ax.get_images()
        values = signed_value(frame[name])
        np.testing.assert_allclose(above.get_array() - below.get_array(), values)
        # The scale is the picture's own, and ends at its largest size.
        top = np.abs(values).max()
        assert above.norm.vmax == below.norm.vmax == scale.get_ylim()[1] == pytest.approx(top)
        beyond = "≥ " if name == "weights" and frame["facts"][2] > 1 else ""
        assert scale.get_yticklabels()[-1].get_text() == f"{beyond}{round(top, 3):g}"
        assert scale.get_ylabel() == words["still_ramp"]
        query, key = CosineReweighting.spec()["facts"]["start"]
        assert row_of(ax) == (query, 1)
        assert ax.patches[1].get_x() == key - 0.5
    np.testing.assert_allclose(heights(chart), [frame["full_profile"], frame["profile"]])
    np.testing.assert_allclose(heights(factor), [frame["factor"]])
    assert factor.get_title() == words["factor"]
    assert factor.get_ylim()[0] <= frame["factor"].min()
    assert factor.get_ylim()[1] >= frame["factor"].max()
    for ax in (chart, factor):
        assert marks(ax) == [abs(query - key)]
        assert numbers(ax) == ["0", "16", "32", "48", "63"]
    assert names(figure) == {words["chart_full"]: BLUE, words["chart_weights"]: ORANGE}
    found = rounded(frame, largest=("facts", 2), error=("errors", 0), mean=("errors", 1))
    assert re.sub(",", "", said(figure)) == re.sub(",", "", words["still"].format(**found))


@pytest.mark.parametrize(("norm", "depth"), [("post", 16), ("pre", 8)])
def test_gradient_ladder(norm: str, depth: int) -> None:
    figure, frame, words = still(GradientLadder, norm=norm, depth=depth)
    ladder, last = figure.axes
    np.testing.assert_allclose(heights(ladder), 10.0 ** frame["ladder"])
    np.testing.assert_allclose(heights(last), 10.0 ** frame["last"])
    (band,) = ladder.collections
    low, high = 10.0 ** frame["band"]
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.min() == pytest.approx(low.min(), rel=1e-6)
    assert edges.max() == pytest.approx(high.max(), rel=1e-6)
    # One axis for all, so that what stays is seen to stay.
    axis = [10.0**end for end in GradientLadder.spec()["facts"]["axis"]]
    assert axis[1] / axis[0] > 10**0.5
    for ax in (ladder, last):
        assert ax.get_ylim() == pytest.approx(axis)
        assert marks(ax) == [depth]
    assert numbers(last) == ["2", "4", "8", "16", "32"]
    told = [text.get_text() for text in ladder.get_legend().get_texts()]
    assert told == [words[name] for name in ("qkv", "out", "inner", "outer", "band")]
    told = [text.get_text() for text in last.get_legend().get_texts()]
    theory = {"post": "still_level", "pre": "still_falls"}[norm]
    assert told == [words["measured"], words[theory]]
    measured, theory = last.get_lines()[:2]
    assert (measured.get_linestyle(), theory.get_linestyle()) == ("-", "--")


@pytest.mark.parametrize("model", ["start", "trained"])
def test_residual_stream(model: str) -> None:
    figure, frame, words = still(ResidualStream, model=model)
    charts = {"sizes": 10.0 ** frame["sizes"], "cosines": frame["cosines"]}
    if model == "trained":
        charts["costs"] = frame["costs"]
    depth = frame["cosines"].shape[1]
    for ax, (name, rows) in zip(figure.axes, charts.items(), strict=True):
        np.testing.assert_allclose(heights(ax), rows)
        assert ax.get_title() == words[name]
        assert marks(ax) == [min(depth, 16)]
        # DeepNorm's line leaves Post-LN's to be seen where the two are one.
        assert [line.get_linestyle() for line in ax.get_lines()[:3]] == ["-", "-", "--"]
    xs = figure.axes[0].get_lines()[0].get_xdata()
    np.testing.assert_array_equal(xs, np.arange(depth + 1))
    assert names(figure) == {words["post"]: BLUE, words["pre"]: ORANGE, words["deep"]: GREEN}


@pytest.mark.parametrize(("rate", "other"), [("0.01", "pre"), ("0.003", "deep")])
def test_warm_up(rate: str, other: str) -> None:
    figure, frame, words = still(WarmUp, rate=rate, other=other)
    curves, finals = figure.axes
    facts = WarmUp.spec()["facts"]
    for ax, name in ((curves, "curves"), (finals, "finals")):
        rows = np.concatenate([frame[name][1], frame[name][0]])  # Post-LN on top
        np.testing.assert_allclose(heights(ax), rows)
        seeds = frame[name].shape[1]
        lines = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
        assert [to_hex(line.get_color()) for line in lines] == seeds * [ORANGE] + seeds * [BLUE]
        assert ax.get_ylim() == tuple(facts["axis"])
    assert numbers(finals) == list(RATES)
    np.testing.assert_allclose(finals.get_xticks(), [float(x) for x in RATES])
    assert marks(finals) == [float(rate)]
    note = words["seeds"].format(seeds=seeds)
    assert names(figure) == {words["post"]: BLUE, words[other]: ORANGE, note: ""}
    at = RATES.index(rate)
    ends = [
        f"{float(x):.2f}" for rows in frame["finals"][:, :, at] for x in (rows.min(), rows.max())
    ]
    holes = dict(zip(("low", "high", "best", "worst"), ends, strict=True))
    assert said(figure) == words["still"].format(**holes)


@pytest.mark.parametrize(
    "chosen",
    [{}, {"causal": True, "length": 8192}, {"doing": "writing", "quantity": "memory"}],
)
def test_mechanism_costs(chosen: dict[str, Any]) -> None:
    figure, frame, words = still(MechanismCosts, **chosen)
    lines, ranks = figure.axes
    doing, quantity = chosen.get("doing", "reading"), chosen.get("quantity", "time")
    facts = MechanismCosts.spec()["facts"]
    (picked,) = facts["start"]
    drawn = [row for row, there in enumerate(frame["there"]) if there.any()]
    order = sorted(drawn, key=lambda row: (row == 0) + 2 * (row == picked))
    for curve, row in zip(heights(lines), order, strict=True):
        np.testing.assert_allclose(curve, 10.0 ** frame["curves"][row][frame["there"][row]])
    looks = [line for line in lines.get_lines() if len(line.get_xdata()) > 2]
    assert [to_hex(line.get_color()) for line in looks[-2:]] == [GREY, BLUE]
    rings = [
        float(x)
        for line in lines.get_lines()
        for x in line.get_xdata()[:1]
        if len(line.get_xdata()) == 1
    ]
    assert rings == [x for x in frame["marks"][picked] if x >= 0]
    assert marks(lines) == [chosen.get("length", 4096)]
    assert numbers(lines) == [f"{n:,}" for n in facts["lengths"][doing][quantity]]
    named = [text.get_text() for text in ranks.get_yticklabels()][::-1]
    keys = list(MechanismCosts.words)[: len(frame["order"])]
    assert named == [words[keys[row]] for row in frame["order"]]
    dots = [float(line.get_xdata()[0]) for line in ranks.get_lines()][::-1]
    present = [row for row in frame["order"] if frame["present"][row]]
    np.testing.assert_allclose(dots, 10.0 ** frame["heights"][present].astype(float))
    wanted = {words["full"]: GREY, words["performer"]: BLUE, words["still_absent"]: ""}
    assert names(figure) == wanted
    assert said(figure) == words["at"].format(n=f"{chosen.get('length', 4096):,}")


@pytest.mark.parametrize("mechanism", ["explicit_sparse", "cosformer"])
def test_one_head_ten_answers(mechanism: str) -> None:
    figure, frame, words = still(OneHeadTenAnswers, mechanism=mechanism)
    full, near, errors = figure.axes
    assert [ax.get_title() for ax in (full, near)] == [words["full"], words[mechanism]]
    facts = OneHeadTenAnswers.spec()["facts"]
    named = [text.get_text() for text in errors.get_yticklabels()]
    assert named == [words[name] for name in facts["answers"]]
    bars = errors.patches
    np.testing.assert_allclose([bar.get_width() for bar in bars], frame["errors"])
    chosen = [to_hex(bar.get_facecolor()) != BLUE for bar in bars]
    assert chosen == [name == mechanism for name in facts["answers"]]
    (line,) = errors.get_lines()
    assert line.get_xdata()[0] == pytest.approx(float(frame["mean"][0]))
    holes = {
        "budget": 16,
        "error": f"{frame['errors'][facts['answers'].index(mechanism)]:.2f}",
        "mean": f"{frame['mean'][0]:.2f}",
    }
    assert said(figure) == words["still"].format(**holes)


@pytest.mark.parametrize("axis", ["kept", "read"])
@pytest.mark.parametrize("task", ["recall", "copying", "letters"])
@pytest.mark.parametrize("off", [(), ("softmax", "longformer")])
def test_recall_against_state(task: str, axis: str, off: tuple[str, ...]) -> None:
    titles = RecallAgainstState.mechanisms.options
    on = tuple(name for name in titles if name not in off)
    figure, frame, words = still(RecallAgainstState, task=task, axis=axis, mechanisms=on)
    (ax,) = figure.axes
    recorded = (frame["drawn"][0] >= 0) & np.isin(list(titles), on)[:, None]
    unit = 10_000 if task == "letters" else 100
    numbers = frame["numbers"][("kept", "read").index(axis)]
    marks = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    marks = [line for line in marks if line.get_marker() not in ("_", "None")]
    assert [float(line.get_xdata()[0]) for line in marks] == numbers[recorded].tolist()
    for line, mean in zip(marks, frame["drawn"][0][recorded] / unit, strict=True):
        y = float(line.get_ydata()[0])
        assert y == mean or (task != "letters" and 99 < mean < y < 128)
    shapes = {line.get_marker() + str(line.get_markerfacecolor()) for line in marks}
    assert len(shapes) == recorded.any(axis=1).sum()
    has_bound = (task, axis) == ("recall", "kept")
    wanted = [titles[name] for name, there in zip(titles, recorded, strict=True) if there.any()]
    if (frame["ceiling"][1][recorded] > 0).any():
        wanted.append(words["still_bars"])
    assert list(names(figure)) == [words["beyond"]] * has_bound + wanted
    assert ax.get_xlabel() == words[f"{axis}_x"]
    assert ax.get_ylabel() == words["chart_loss" if task == "letters" else "chart"]
    assert said(figure) == RecallAgainstState.task.options[task]
    assert ax.get_title() == {"recall": "64 pairs", "copying": "40 blanks", "letters": ""}[task]


# All of them


def test_every_explorer_has_a_test_here() -> None:
    def snake(name: str) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()

    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {snake(explorer.__name__) for explorer in ALL} <= tests


@pytest.mark.parametrize("explorer", ALL)
def test_every_text_is_a_word_of_the_explorer(explorer: Any) -> None:
    figure, _, _ = still(explorer)
    messages = [text for text in explorer.messages() if isinstance(text, str)]
    told = [re.sub(r"\\\{\w+\\\}", r"[−-]?[\\d.,]+", re.escape(text)) for text in messages]
    patterns = re.compile("|".join(told))
    for text in texts(figure):
        assert patterns.fullmatch(text) or not re.search(r"[^\W\d_]{2,}", text), text


def texts(figure: Figure) -> Iterator[str]:
    yield said(figure)
    for legend in figure.legends:
        yield from (text.get_text() for text in legend.get_texts())
    for ax in figure.axes:
        yield from (ax.get_title(), ax.get_xlabel(), ax.get_ylabel())
        yield from (text.get_text() for text in ax.get_legend().get_texts()) if ax.legend_ else ()


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Return what a translator is given of all explorers."""
    if EXTENSIONS not in sys.path:
        sys.path.append(EXTENSIONS)
    return {entry.text for entry in importlib.import_module("explorers").entries()}


@pytest.mark.parametrize("explorer", ALL)
def test_every_text_can_be_translated(explorer: Any, known: set[str]) -> None:
    extension = importlib.import_module("explorers")
    drawn = importlib.import_module("figure_words")
    message_of = importlib.import_module("figure_messages").message_of

    class Catalogue(gettext.NullTranslations):
        def gettext(self, message: str) -> str:
            return f"ξ {message}" if message in known else message

    translate = extension.translate_picture(explorer, Catalogue())
    for state in (explorer.grid()[-1], explorer.check()):
        figure = explorer._figure(explorer.compute(**state), **state)
        for words in drawn.words_in(drawn.parse(svg(figure))):
            said = words.said(translate)
            is_plain = "data" in words.ids or message_of(words.text) is None
            assert is_plain or said.startswith("ξ"), said


@pytest.mark.parametrize("explorer", ALL)
def test_nothing_is_drawn_outside_of_the_picture(explorer: Any) -> None:
    figure, _, _ = still(explorer)
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    parts = [*figure.legends, *([figure._suptitle] if figure._suptitle else [])]
    for ax in figure.axes:
        parts += [ax.title, ax.xaxis.label, ax.yaxis.label]
    for part in parts:
        box = part.get_window_extent()
        if box.width * box.height > 0:
            assert -1 <= box.x0 <= box.x1 <= width + 1, part
            assert -1 <= box.y0 <= box.y1 <= height + 1, part


# What they share


def test_a_point_is_counted_in_cells() -> None:
    ax = figures.matrix(np.ones((3, 3)), per_cell=4)
    figures.point(ax, 1, 2, per_cell=4)
    line, box = ax.patches
    assert (line.get_x(), line.get_y(), line.get_width(), line.get_height()) == (-0.5, 3.5, 12, 4)
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (7.5, 3.5, 4, 4)


def test_bad_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="per_cell must be at least 1, got 0"):
        figures.matrix(np.ones((2, 2)), per_cell=0)
    with pytest.raises(ValueError, match="top must be above 0, got 0"):
        figures.matrix(np.ones((2, 2)), top=0)
    with pytest.raises(ValueError, match="dropped must have the shape of weights"):
        figures.matrix(np.ones((2, 2)), dropped=np.ones((1, 2), dtype=bool))
    with pytest.raises(TypeError, match="values must hold numbers"):
        figures.signed_matrix(np.array([["a"]]))
    ax = Figure().subplots()
    with pytest.raises(ValueError, match="codes must be from 0 to 1, got 2"):
        _stills.classes(ax, np.array([[0, 2]]), ["#000000", "#ffffff"], xlabel="", ylabel="")
