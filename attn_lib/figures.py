"""Arrays in, matplotlib Axes out: the book's still pictures.

Numpy arrays and CPU tensors are welcome. Grey words and a transparent background read as well on a
dark page as on a light one; the colours are those of Okabe and Ito, which colour-blind readers
can tell apart. Text that is data, as the tokens of a passage, has the gid "data", so that nobody
translates it. Words of any script are in an installed font, or else boxes that name the script.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import (
    Colormap,
    FuncNorm,
    LinearSegmentedColormap,
    Normalize,
    PowerNorm,
)
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "PALETTE",
    "band",
    "curves",
    "mask",
    "matrix",
    "point",
    "signed_matrix",
]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7B7B7B")
"""Colours of the curves, in their order."""

_INK = "#7B7B7B"
# One hue whose opacity grows, so that more weight is further from the page, light or dark.
_WEIGHTS = LinearSegmentedColormap.from_list("attn_weights", ["#1480B400", "#1480B4"])
_BELOW = LinearSegmentedColormap.from_list("attn_below_zero", ["#D55E0000", "#D55E00"])
# Dropped weights lie on the other side of zero, and show earlier.
_KEPT = LinearSegmentedColormap.from_list(
    "attn_kept",
    [(0, "#CC79A7"), (0.4, "#CC79A799"), (0.5, "#CC79A700"), (0.5, "#1480B400"), (1, "#1480B4")],
)
_CELLS = LinearSegmentedColormap.from_list("attn_cells", ["#0072B200", "#0072B2"])


def _array(name: str, value: ArrayLike, ndim: int) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got {array.dtype}")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")
    return array


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    if ax is None:
        figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
    return _dressed(ax)


def _dressed(ax: Axes) -> Axes:
    ax.patch.set_alpha(0)
    ax.tick_params(which="both", colors=_INK)
    for spine in ax.spines.values():
        spine.set_color(_INK)
    return ax


def _titled(ax: Axes, title: str | None) -> Axes:
    if title is not None:
        ax.set_title(title, color=_INK, fontsize="medium")
    ax.xaxis.label.set_color(_INK)
    ax.yaxis.label.set_color(_INK)
    legend = ax.get_legend()
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *(legend.texts if legend else ())):
        text.set(**_font([text.get_text()]))
    return ax


# Tried first, as the list of all fonts may be long.
_CHINESE = ("Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "SimHei")
_BOXES = "Last Resort High-Efficiency"


def _font(words: Sequence[str]) -> dict[str, Any]:
    """Return the font families that words need, as options of a text; none for the usual ones."""
    missing = {ord(c) for c in "".join(words)} - _characters(findfont(FontProperties())) - {9, 10}
    families = _families(frozenset(missing))
    return {"fontfamily": [*plt.rcParams["font.family"], *families]} if families else {}


@lru_cache
def _families(missing: frozenset[int]) -> tuple[str, ...]:
    """Return installed families that together have the characters, boxes last."""
    found: list[str] = []
    # Fonts of coloured pictures cannot be drawn at any size.
    fonts = [font for font in fontManager.ttflist if "Color" not in font.name]
    first = {name: place for place, name in enumerate(_CHINESE)}
    fonts.sort(key=lambda font: (font.name == _BOXES, first.get(font.name, len(first))))
    for font in fonts:
        if missing and font.name not in found and (has := missing & _characters(font.fname)):
            found.append(font.name)
            missing -= has
    return tuple(found)


@lru_cache(maxsize=4)
def _characters(path: str) -> frozenset[int]:
    with suppress(OSError, RuntimeError):  # a font that Matplotlib cannot read
        return frozenset(FT2Font(path).get_charmap())
    return frozenset()


def matrix(
    weights: ArrayLike,
    *,
    tokens: Sequence[str] | None = None,
    title: str | None = None,
    xlabel: str = "key",
    ylabel: str = "query",
    per_cell: int = 1,
    dropped: ArrayLike | None = None,
    top: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw attention weights, a row a query, with their square root as the depth of the colour.

    Parameters
    ----------
    weights : array, shape (q_len, kv_len)
        At least 0; the root keeps small weights visible.
    tokens : sequence of str, optional
        Labels of the keys, and of the queries too where q_len == kv_len.
    title : str, optional
    xlabel, ylabel : str
        What the columns and the rows are.
    per_cell : int
        How many positions a cell stands for in both directions; the axes count positions.
    dropped : array of bool, shape (q_len, kv_len), optional
        Weights to draw in pink.
    top : float
        The weight with the full colour, or the largest one where that is larger.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        When `weights` does not hold numbers.
    ValueError
        When it is not a matrix, holds a negative number, `tokens` or `dropped` has another size,
        `per_cell` is below 1, or `top` is not above 0.
    """
    array = _array("weights", weights, 2).astype(float)
    if array.size and not array.min() >= 0:
        raise ValueError(f"weights must be at least 0, got {array.min()}")
    rows, cols = array.shape
    if tokens is not None and len(tokens) != cols:
        raise ValueError(f"tokens must have one label a key, {cols}, got {len(tokens)}")
    if per_cell < 1:
        raise ValueError(f"per_cell must be at least 1, got {per_cell}")
    if not top > 0:
        raise ValueError(f"top must be above 0, got {top}")
    lost = np.zeros(array.shape, dtype=bool) if dropped is None else _array("dropped", dropped, 2)
    if lost.shape != array.shape:
        raise ValueError(f"dropped must have the shape of weights, got {lost.shape}")
    ax = _axes(ax, 4.6, 4.6 * rows / max(cols, 1) if rows < 2 * cols else 9.2)
    top = max(top, float(array.max(initial=0)))
    if dropped is None:
        _cells(ax, array, _WEIGHTS, per_cell, PowerNorm(0.5, vmin=0, vmax=top))
    else:
        _cells(ax, np.where(lost, -array, array), _KEPT, per_cell, _both_ways(top))
    if tokens is not None:
        size = float(np.clip(330 / cols, 3.5, 9))
        # A "$" in a token is a dollar, not mathematics.
        labels = [token.replace("$", r"\$") for token in tokens]
        # Held at its end, so that a word in another font still ends at its column.
        held: dict[str, Any] = {
            "rotation": 90,
            "rotation_mode": "anchor",
            "ha": "right",
            "va": "center",
        }
        font = _font(tokens)
        ax.set_xticks(range(cols), labels, fontsize=size, gid="data", **held, **font)
        if rows == cols:
            ax.set_yticks(range(rows), labels, fontsize=size, gid="data", **font)
        ax.tick_params(length=0)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return _titled(ax, title)


def _both_ways(top: float) -> Normalize:
    """Return what takes the root of a number's size, with its sign."""

    def root(x: Any) -> Any:
        return np.sign(x) * np.sqrt(np.abs(x))

    def square(x: Any) -> Any:
        return np.sign(x) * np.square(x)

    return FuncNorm((root, square), vmin=-top, vmax=top)


def _cells(
    ax: Axes, array: NDArray[Any], colours: Colormap, per_cell: int, norm: Normalize
) -> None:
    rows, cols = array.shape
    extent = (-0.5, per_cell * cols - 0.5, per_cell * rows - 0.5, -0.5)
    ax.imshow(array, cmap=colours, norm=norm, interpolation="none", aspect="equal", extent=extent)


def signed_matrix(
    values: ArrayLike,
    *,
    title: str | None = None,
    xlabel: str = "key",
    ylabel: str = "query",
    per_cell: int = 1,
    top: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a matrix as `matrix` does, with what lies below zero in orange.

    Parameters
    ----------
    values : array, shape (q_len, kv_len)
    title : str, optional
    xlabel, ylabel : str
        What the columns and the rows are.
    per_cell : int
        How many positions a cell stands for in both directions; the axes count positions.
    top : float
        The size of a number with the full colour, or the largest size where that is larger.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        When `values` does not hold numbers.
    ValueError
        When it is not a matrix, or `per_cell` is below 1.
    """
    array = _array("values", values, 2).astype(float)
    top = max(top, float(np.abs(array).max(initial=0)))
    names: dict[str, Any] = {"title": title, "xlabel": xlabel, "ylabel": ylabel}
    ax = matrix(array.clip(min=0), **names, per_cell=per_cell, top=top, ax=ax)
    _cells(ax, (-array).clip(min=0), _BELOW, per_cell, PowerNorm(0.5, vmin=0, vmax=top))
    return ax


def point(ax: Axes, row: float, column: float | None = None, *, per_cell: int = 1) -> Axes:
    """Mark a row of a matrix, and a cell of it: what a picture's words speak of.

    Parameters
    ----------
    ax : Axes
        With a matrix in it.
    row, column : float
        The places of the cell, counted in cells; `column` may be left out.
    per_cell : int
        That of the matrix.

    Returns
    -------
    Axes
    """
    left, right = ax.get_xlim()
    look: dict[str, Any] = {"fill": False, "edgecolor": PALETTE[1]}
    top = per_cell * row - 0.5
    ax.add_patch(Rectangle((left, top), right - left, per_cell, linewidth=0.8, **look))
    if column is not None:
        corner = (per_cell * column - 0.5, top)
        ax.add_patch(Rectangle(corner, per_cell, per_cell, linewidth=2, **look))
    return ax


def mask(mask: ArrayLike, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw who may attend to whom: a filled cell is an allowed pair.

    Parameters
    ----------
    mask : array of bool, shape (q_len, kv_len)
        For instance ``dense(causal(), 8, 8)[0, 0]``.
    title : str, optional
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        When `mask` is not bool.
    ValueError
        When it is not a matrix.
    """
    array = _array("mask", mask, 2)
    if array.dtype != np.bool_:
        raise TypeError(f"mask must be bool, got {array.dtype}")
    rows, cols = array.shape
    ax = _axes(ax, 3.6, 3.6 * rows / max(cols, 1) if rows < 2 * cols else 7.2)
    ax.imshow(array, cmap=_CELLS, vmin=0, vmax=1, interpolation="none", aspect="equal")
    ax.set_xlabel("key")
    ax.set_ylabel("query")
    return _titled(ax, title)


def band(ax: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, *, label: str) -> Axes:
    """Draw a band behind curves, from `low` to `high`, with a label in the legend.

    Parameters
    ----------
    ax : Axes
        With curves in it.
    x, low, high : array, shape (points,)
    label : str

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        When an array does not hold numbers.
    """
    places, bottom, top = (_array(n, a, 1) for n, a in (("x", x), ("low", low), ("high", high)))
    ax.fill_between(places, bottom, top, color=PALETTE[0], alpha=0.2, linewidth=0, label=label)
    ax.legend(frameon=False, labelcolor=_INK, fontsize="small")
    return ax


def curves(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    dashed: Collection[str] = (),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one line or more over a common x, told apart by colour and marker.

    Parameters
    ----------
    x : array, shape (points,)
    lines : mapping of str to array of shape (points,)
        The label and the values of every line; NaN leaves a gap.
    xlabel, ylabel : str
    logx, logy : bool
        Logarithmic axes.
    dashed : collection of str
        Labels of lines that would hide others.
    title : str, optional
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        When `x` or a line does not hold numbers.
    ValueError
        When a line is not as long as `x`.
    """
    places = _array("x", x, 1)
    ax = _axes(ax, 5.6, 3.4)
    for k, (label, values) in enumerate(lines.items()):
        heights = _array("lines", values, 1)
        if heights.shape != places.shape:
            raise ValueError(f"lines must have {len(places)} values each, got {len(heights)}")
        ax.plot(
            places,
            heights,
            label=label,
            color=PALETTE[k % len(PALETTE)],
            marker="osD^vPX"[k % 7] if len(places) <= 16 else "",
            markersize=5,
            linewidth=1.8,
            linestyle=(0, (3, 3)) if label in dashed else "-",
        )
    if logx:
        ax.set_xscale("log", base=2)
    if logy:
        ax.set_yscale("log")
    ax.grid(color=_INK, alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if lines:
        ax.legend(frameon=False, labelcolor=_INK)
    return _titled(ax, title)
