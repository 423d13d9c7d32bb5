"""What the still pictures of explorers share beside `attn_lib.figures`: marks, scales, legends.

A still is the explorer's state as it stands: the chosen point, the classes and their colours, what
an error is compared with. Everything here draws into axes that it is given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from attn_lib.figures import _INK, _dressed, _titled

__all__ = [
    "bars",
    "classes",
    "legend",
    "level",
    "marker",
    "note",
    "outline",
    "scale",
    "ticks",
]


def bars(
    ax: Axes,
    heights: ArrayLike,
    colours: Sequence[str],
    *,
    base: float = 0.0,
    xlabel: str,
    title: str | None = None,
) -> Axes:
    """Draw bars, a colour each, at the places 1, 2, 3 and on.

    Parameters
    ----------
    ax : Axes
    heights : array, shape (bars,)
    colours : sequence of str
    base : float
        Where they stand.
    xlabel : str
    title : str, optional

    Returns
    -------
    Axes
    """
    tops = np.asarray(heights, dtype=float)
    ax.bar(np.arange(1, len(tops) + 1), tops - base, bottom=base, color=list(colours), width=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlim(0.4, len(tops) + 0.6)
    ax.set_xlabel(xlabel)
    return _titled(_dressed(ax), title)


def classes(
    ax: Axes, codes: ArrayLike, colours: Sequence[str], *, xlabel: str, ylabel: str
) -> Axes:
    """Draw a matrix of kinds, a colour each.

    Parameters
    ----------
    ax : Axes
    codes : array of int, shape (q_len, kv_len)
        Each the place of a colour.
    colours : sequence of str
    xlabel, ylabel : str

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When a code has no colour.
    """
    array = np.asarray(codes, dtype=int)
    if not 0 <= array.min() <= array.max() < len(colours):
        raise ValueError(f"codes must be from 0 to {len(colours) - 1}, got {array.max()}")
    kinds = ListedColormap([to_rgba(colour) for colour in colours])
    options: dict[str, Any] = {"interpolation": "none", "aspect": "equal"}
    ax.imshow(array, cmap=kinds, vmin=-0.5, vmax=len(colours) - 0.5, **options)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return _titled(_dressed(ax), None)


def legend(
    ax: Axes, marks: Mapping[str, str], *, lines: bool = False, columns: int | None = None
) -> Axes:
    """Say below all axes of a figure what colours mean.

    Parameters
    ----------
    ax : Axes
        One of the figure's.
    marks : mapping of str to str
        A colour for each label, in the order of the legend; an empty colour for a remark alone.
    lines : bool
        Whether the colours are those of points and lines, not of cells.
    columns : int, optional
        All in one line by default.

    Returns
    -------
    Axes
    """
    look: dict[str, Any] = {"linestyle": "none", "marker": "o" if lines else "s", "markersize": 7}
    handles: list[Any] = [
        Line2D([], [], color=colour, **look) if colour else Patch(alpha=0)
        for colour in marks.values()
    ]
    figure: Any = ax.figure
    figure.legend(
        handles,
        list(marks),
        loc="outside lower center",
        ncols=columns or max(1, len(marks)),
        frameon=False,
        labelcolor=_INK,
        fontsize="small",
        handletextpad=0.4,
        columnspacing=1.4,
    )
    return ax


def level(ax: Axes, height: float, *, label: str) -> Axes:
    """Draw a dashed line across curves: a height to compare them with.

    Parameters
    ----------
    ax : Axes
        With curves in it.
    height : float
    label : str

    Returns
    -------
    Axes
    """
    ax.axhline(height, color=_INK, linestyle=(0, (5, 3)), linewidth=1.4, label=label)
    ax.legend(frameon=False, labelcolor=_INK, fontsize="small")
    return ax


def marker(ax: Axes, place: float) -> Axes:
    """Mark the place on the x axis that a picture's words speak of.

    Parameters
    ----------
    ax : Axes
        With curves in it.
    place : float

    Returns
    -------
    Axes
    """
    ax.axvline(place, color=_INK, linestyle=(0, (2, 2)), linewidth=1, zorder=0)
    return ax


def note(ax: Axes, text: str) -> Axes:
    """Write a sentence above all axes of a figure.

    Parameters
    ----------
    ax : Axes
        One of the figure's.
    text : str

    Returns
    -------
    Axes
    """
    figure: Any = ax.figure
    figure.suptitle(text, color=_INK, fontsize="small")
    return ax


def outline(ax: Axes, row: float, column: float, height: float, width: float) -> Axes:
    """Draw a frame around cells of a matrix.

    Parameters
    ----------
    ax : Axes
        With a matrix in it.
    row, column, height, width : float
        Counted in cells.

    Returns
    -------
    Axes
    """
    corner = (column - 0.5, row - 0.5)
    ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=_INK, linewidth=0.9))
    return ax


def scale(ax: Axes, *, label: str, beyond: bool = False) -> Axes:
    """Draw the scale of a matrix's colours beside it.

    Parameters
    ----------
    ax : Axes
        With a matrix in it.
    label : str
    beyond : bool
        Whether the last colour also stands for more than the end of the scale.

    Returns
    -------
    Axes
        Those of the scale.
    """
    image = ax.get_images()[0]
    top = image.get_clim()[1] or 1.0
    fine = (0.03,) if top < 0.3 else ()
    ticks = [tick for tick in (0, 0.01, *fine, 0.1, 0.25, 0.5) if tick <= 0.8 * top]
    labels = [f"{round(tick, 3):g}" for tick in (*ticks, top)]
    if beyond:
        labels[-1] = f"≥ {labels[-1]}"
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, aspect=24, pad=0.02)
    bar.ax.set_ylim(0, top)
    bar.set_ticks([*ticks, top], labels=labels)
    bar.minorticks_off()
    bar.outline.set_edgecolor(_INK)
    bar.ax.patch.set_alpha(0)
    bar.ax.tick_params(colors=_INK, labelsize="small")
    bar.ax.set_ylabel(label, color=_INK, fontsize="small")
    return bar.ax


def ticks(ax: Axes, places: Sequence[float]) -> Axes:
    """Mark places on the x axis as plain numbers, as far as they lie on it.

    Parameters
    ----------
    ax : Axes
        With curves in it.
    places : sequence of float

    Returns
    -------
    Axes
    """
    low, high = ax.get_xlim()
    inside = [place for place in places if low <= place <= high]
    ax.set_xticks(inside, [f"{place:g}" for place in inside])
    ax.minorticks_off()
    return ax
