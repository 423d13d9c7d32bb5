"""Dress matplotlib's SVG for a page: its words in the page's language, ink and fonts.

Matplotlib leaves words as text (``svg.fonttype: none``), each held at its start, its middle or its
end, so that a word in another font or language stays in its place. Here they are translated,
formulas are set again as text that flows, the grey ink becomes the page's own, names inside the
figure get a prefix, and all that a page does not need goes.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from html import escape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from figure_mathematics import baseline, flow, parsed, width_of
from figure_words import SVG, Words, is_element, name_of, parse, words_in
from lighten_images import webp

__all__ = ["CLASS", "dress"]

CLASS = "drawn-figure"
"""Of every dressed figure; the book's style sheet gives it the page's ink and font."""

INKS = frozenset({"#7b7b7b", "#808080", "#000000"})
"""Greys of words, ticks and spines; a page has an ink of its own."""

HREF = "{http://www.w3.org/1999/xlink}href"
PNG = "data:image/png;base64,"
SCALE = 100 / 72  # CSS pixels a point: matplotlib's own size of a figure on a screen
ASCENT, DESCENT = 0.95, 0.25  # of a line of text, in its size
MARGIN = 2.0
FINE = 5  # decimals of a factor, which multiplies an image's size; of a place two are plenty


def dress(
    svg: str, *, prefix: str, translate: Callable[[str], str], label: str | None = None
) -> str:
    """Return matplotlib's SVG as an element for a page.

    Parameters
    ----------
    svg : str
        As matplotlib writes it with ``svg.fonttype: none``.
    prefix : str
        Begins every id in the figure; no other figure on the page may have it.
    translate : callable
        From a message (`figure_words.messages`), with numbered holes for its numbers, to its
        translation; a message without one stays as it is.
    label : str, optional
        What a screen reader says, in the page's language; by default the figure's own titles, axis
        labels and legends.
    """
    root = parse(svg)
    label = name_of(root, translate) if label is None else label
    boxes = [_set_words(words, translate) for words in list(words_in(root))]
    left, top, width, height = map(float, root.get("viewBox", "").split())
    left, top, right, bottom = _around([(left, top, left + width, top + height), *boxes])
    _rename(root, prefix)
    content = "".join(_written(child) for child in _tidy(root))
    size = f'width="{(right - left) * SCALE:.0f}" height="{(bottom - top) * SCALE:.0f}"'
    box = " ".join(_number(value) for value in (left, top, right - left, bottom - top))
    # What matplotlib says of all elements in a style of its own would speak to the whole page.
    joins = 'stroke-linejoin="round" stroke-linecap="butt"'
    return (
        f'<svg class="{CLASS}" role="img" aria-label="{escape(label)}" {size} viewBox="{box}"'
        f" {joins}>{content}</svg>"
    )


Box = tuple[float, float, float, float]


def _around(boxes: list[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


# Words


def _style(node: Element) -> dict[str, str]:
    pairs = (pair.partition(":") for pair in node.get("style", "").split(";") if pair.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _set_words(words: Words, translate: Callable[[str], str]) -> Box:
    """Put a text in the page's language; return the box that it needs at most."""
    said = words.said(translate)
    if not words.is_math:
        lines = said.split("\n", len(words.elements) - 1)
        for node, line in zip(words.elements, lines + [""] * len(words.elements), strict=False):
            node.text = line
        return _around([_box(node, width_of(node.text or "")) for node in words.elements])
    (group,) = words.elements
    spans = [span for span in group.iter() if is_element(span, "tspan")]
    size = max(float(_style(span)["font-size"].removesuffix("px")) for span in spans)
    if any(is_element(child, "rect") for child in group):
        for span in spans:
            _dress_span(span)
        width = parsed(words.text, size).width
        place = {"style": f"font-size: {size}px", "transform": group.get("transform", "")}
        return _box(Element("text", place), width / size)
    node = _flowing(words, said, size)
    words.parent[list(words.parent).index(group)] = node
    width = sum(run.gap + width_of(run.text) * run.size for run in flow(said, size))
    return _box(node, width / size)


def _dress_span(span: Element) -> None:
    style = _style(span)
    kept = ("font-size", "font-style", "font-weight")
    span.set("style", "; ".join(f"{name}: {style[name]}" for name in kept if name in style))


def _flowing(words: Words, said: str, size: float) -> Element:
    """Return the element that says what a group of glyphs says, held as matplotlib holds it."""
    (group,) = words.elements
    anchor, share = "middle", 0.5  # where nothing tells, the middle is never far off
    if words.is_in("legend"):
        anchor, share = "start", 0.0
    elif words.is_in("ytick"):
        anchor, share = "end", 1.0
    style = {**_style(group), "font-size": f"{size}px", "text-anchor": anchor}
    node = Element(SVG + "text")
    node.set("style", "; ".join(f"{name}: {value}" for name, value in style.items()))
    node.set("x", str(share * parsed(words.text, size).width))
    node.set("y", str(-baseline(words.text, size)))
    node.set("transform", group.get("transform", ""))
    y = 0.0
    for run in flow(said, size):
        span = ElementTree.SubElement(node, SVG + "tspan")
        span.text = run.text
        wanted = {
            "dx": run.gap,
            "dy": run.y - y,
            "font-size": run.size if run.size != size else 0,
            "font-style": "italic" if run.italic else 0,
            "font-weight": "700" if run.bold else 0,
        }
        for name, value in wanted.items():
            if value:
                span.set(name, str(value))
        y = run.y
    return node


def _box(node: Element, ems: float) -> Box:
    """Return the upright box around a line of text, so many of its sizes long."""
    style = _style(node)
    size = float(style.get("font-size", "10px").removesuffix("px"))
    x, y = float(node.get("x", "0")), float(node.get("y", "0"))
    transform = dict(re.findall(r"(translate|rotate)\(([^)]*)\)", node.get("transform", "")))
    moved = [float(number) for number in transform.get("translate", "0 0").split()]
    angle, *centre = (float(number) for number in transform.get("rotate", "0").split())
    centre = centre or [0.0, 0.0]
    start = x - ems * size * {"middle": 0.5, "end": 1.0}.get(style.get("text-anchor", ""), 0.0)
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    corners = []
    for across in (start - centre[0], start + ems * size - centre[0]):
        for down in (y - ASCENT * size - centre[1], y + DESCENT * size - centre[1]):
            right = across * cosine - down * sine + centre[0] + moved[0]
            below = across * sine + down * cosine + centre[1] + moved[1]
            corners += [(right, below)]
    xs, ys = zip(*corners, strict=True)
    if ems == 0:
        return xs[0], ys[0], xs[0], ys[0]
    return min(xs) - MARGIN, min(ys), max(xs) + MARGIN, max(ys)


# Names, colours and numbers


def _rename(root: Element, prefix: str) -> None:
    """Give each id that something refers to the prefix, and take all others away."""
    used: dict[str, str] = {}

    def renamed(name: str) -> str:
        return used.setdefault(name, f"{prefix}{len(used)}")

    def reference(match: re.Match[str]) -> str:
        return f"url(#{renamed(match[1])})"

    for node in root.iter():
        for key, value in node.items():
            if key == HREF and value.startswith("#"):
                node.set(key, f"#{renamed(value[1:])}")
            elif "url(#" in value:
                node.set(key, re.sub(r"url\(#([^)]+)\)", reference, value))
    for node in root.iter():
        name = node.attrib.pop("id", None)
        if name in used:
            node.set("id", used[name])


def _tidy(node: Element) -> list[Element]:
    """Return the children that show something; a group that says nothing gives way to its own."""
    left = []
    for child in node:
        if not isinstance(child.tag, str) or is_element(child, "metadata", "style", "title"):
            continue
        child[:] = _tidy(child)
        style = _style(child)
        unseen = is_element(child, "path") and style.get("fill") == "none" and "stroke" not in style
        if unseen or (is_element(child, "g", "defs") and len(child) == 0):
            continue
        bare = is_element(child, "g") and not child.attrib
        left += list(child) if bare else [child]
    return left


def _number(value: float, decimals: int = 2) -> str:
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return re.sub(r"^(-?)0(?=\.)", r"\1", text).replace("-0", "0")


def _numbers(text: str) -> str:
    decimals = FINE if "matrix" in text or "scale" in text else 2

    return re.sub(r"-?\d+\.\d+", lambda match: _number(float(match[0]), decimals), text)


def _path(data: str) -> str:
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", _numbers(" ".join(data.split())))


def _attributes(node: Element) -> dict[str, str]:
    found = {**node.attrib}
    style = _style(node)
    for key in ("fill", "stroke"):
        if style.get(key) in INKS:
            style[key] = "currentColor"
    if is_element(node, "text"):
        style.setdefault("fill", "currentColor")
    style.pop("font-family", None)
    if style.get("font-style") == "oblique":
        style["font-style"] = "italic"
    if style.get("text-anchor") == "start":
        del style["text-anchor"]
    if "transform" in found:
        found["transform"] = re.sub(r" ?rotate\(-?0(?: [^)]*)?\)", "", found["transform"]).strip()
    found["style"] = ";".join(f"{name}:{value}" for name, value in style.items())
    for key, value in found.items():
        if key == "d":
            found[key] = _path(value)
        elif key not in {HREF, "id", "clip-path"}:
            found[key] = _numbers(value)
    if found.get(HREF, "").startswith(PNG):
        picture = webp(base64.b64decode(found[HREF].removeprefix(PNG)))
        found[HREF] = "data:image/webp;base64," + base64.b64encode(picture).decode()
        found["preserveAspectRatio"] = "none"
    return {key: value for key, value in found.items() if value}


def _written(node: Element) -> str:
    """Return an element as HTML has it: no namespaces."""
    name = str(node.tag).removeprefix(SVG)
    pairs = _attributes(node).items()
    head = name + "".join(f' {k.replace(HREF, "href")}="{escape(v)}"' for k, v in pairs)
    inner = escape(node.text or "", quote=False) if is_element(node, "text", "tspan") else ""
    inner += "".join(_written(child) for child in node)
    return f"<{head}>{inner}</{name}>" if inner else f"<{head}/>"
