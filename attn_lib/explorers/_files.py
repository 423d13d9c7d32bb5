"""Still pictures as files: SVG in the book, PNG in a saved notebook."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["png", "svg"]

_MOST = 22_500  # bytes of a PNG; a notebook keeps two, in base64, in less than 60 KB
_QUALITIES = ((100, 96), (90, 64), (80, 64), (70, 48), (60, 32))  # dots an inch, and colours


def svg(figure: "Figure") -> str:
    """Return a figure as SVG with its texts as texts; the same bytes for the same figure.

    Parameters
    ----------
    figure : Figure

    Returns
    -------
    str
    """
    from matplotlib import rc_context

    drawn = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "explorer"}):
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()


def png(figure: "Figure") -> bytes:
    """Return a figure as PNG, as fine as 22,500 bytes allow.

    Parameters
    ----------
    figure : Figure

    Returns
    -------
    bytes
    """
    from PIL import Image

    for dpi, colours in _QUALITIES:
        drawn, small = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi, facecolor="white")
        with Image.open(drawn) as image:
            few = image.convert("RGB").quantize(colours, method=Image.Quantize.MAXCOVERAGE)
        few.save(small, format="png", optimize=True)
        if small.tell() <= _MOST:
            break
    return small.getvalue()
