"""Set matplotlib's mathematics as text that flows, in any font.

In an SVG file matplotlib places mathematics glyph by glyph, by the widths of its own font. In the
font of a page the glyphs would stand apart or run into each other. Here a formula is parsed again
and becomes runs of letters, one after the other, raised or lowered and in their sizes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
from figure_messages import pieces
from fontTools.ttLib import TTFont
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

GAP = 0.08  # of a size: less is kerning


@dataclass(frozen=True)
class Run:
    """Letters in a row that are set alike.

    Attributes
    ----------
    text : str
    gap : float
        From the end of the run before, to the right.
    y : float
        How far the letters stand below the line.
    size : float
    italic, bold : bool
    """

    text: str
    size: float
    gap: float = 0.0
    y: float = 0.0
    italic: bool = False
    bold: bool = False

    def continues(self, other: Run) -> bool:
        """Return whether `other` may stand in front of it in one run."""
        return self.gap == 0 and replace(self, text=other.text, gap=other.gap) == other


@functools.cache
def widths() -> dict[int, float]:
    """Return the width of every character of matplotlib's font, in its size.

    It is one of the widest: what fits in it, fits in a page's font.
    """
    font = TTFont(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    unit = font["head"].unitsPerEm
    return {code: font["hmtx"][name][0] / unit for code, name in font.getBestCmap().items()}


def width_of(text: str) -> float:
    """Return about how wide `text` is, in its size; a character of another script is a square."""
    return sum(widths().get(ord(char), 1.0) for char in text)


def parsed(text: str, size: float) -> mpl.mathtext.VectorParse:
    """Return the glyphs of `text` as matplotlib places them, and its width."""
    return MathTextParser("path").parse(text, 72, FontProperties(size=size))


def flows(text: str) -> bool:
    """Return whether `text` can be set as runs: whether it has no fraction's or root's line."""
    return not parsed(text, 10).rects


def baseline(text: str, size: float) -> float:
    """Return how far above the foot of its box the first line of `text` stands."""
    glyphs = parsed(text, size).glyphs
    return next((y for _, height, *_, y in glyphs if height == size), 0.0)


def formula(source: str, size: float) -> list[Run]:
    """Return one formula, dollars around it, as runs."""
    runs: list[Run] = []
    line = baseline(source, size)
    end = 0.0
    for font, height, code, *_, x, y in sorted(parsed(source, size).glyphs, key=lambda g: g[-2]):
        gap = x - end if abs(x - end) > GAP * size else 0.0
        kind = font.style_name.lower()
        italic = "oblique" in kind or "italic" in kind
        run = Run(chr(code), height, gap, line - y, italic, "bold" in kind)
        if runs and run.continues(runs[-1]):
            runs[-1] = replace(runs[-1], text=runs[-1].text + run.text)
        else:
            runs.append(run)
        end = x + width_of(run.text) * height
    return runs


def flow(text: str, size: float) -> list[Run]:
    """Return text with formulas in it as runs."""
    runs: list[Run] = []
    for is_math, piece in pieces(text):
        runs += formula(piece, size) if is_math else [Run(piece.replace(r"\$", "$"), size)]
    return runs
