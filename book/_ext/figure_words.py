"""Find the words in matplotlib's SVG: its messages, and a name for those who do not see it.

Text below an element whose id begins with ``data`` (matplotlib's ``gid="data"``) is data, as the
tokens of a passage, and no message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import figure_mathematics
from figure_messages import MATH, Translate, fill, message_of, translated

SVG = "{http://www.w3.org/2000/svg}"
DATA = re.compile(r"data(?![a-z])")
LETTER = re.compile(r"[^\W\d_]")
PHRASES = ("{0} against {1}", "; ", ". ", "Figure")
"""Messages that a figure's name is put together with."""


@dataclass(frozen=True)
class Words:
    """A text of a figure, and the elements that draw it.

    Attributes
    ----------
    text : str
        As matplotlib was given it, formulas between dollars.
    elements : list of Element
        One a line; for text with formulas, the one group of its glyphs.
    parent : Element
        What holds the elements.
    ids : tuple of str
        Ids of the elements around it, the outermost first.
    is_math : bool
        Whether it has formulas.
    """

    text: str
    elements: list[Element]
    parent: Element
    ids: tuple[str, ...]
    is_math: bool = False

    def is_in(self, name: str) -> bool:
        """Return whether it stands in one of matplotlib's groups of this name."""
        return any(one.startswith(name) for one in self.ids)

    def is_data(self) -> bool:
        """Return whether it is data, which no language changes."""
        return any(DATA.match(one) for one in self.ids)

    def is_message(self) -> bool:
        """Return whether it is a message."""
        if self.is_data() or message_of(self.text) is None:
            return False
        return not self.is_math or figure_mathematics.flows(self.text)

    def said(self, translate: Translate) -> str:
        """Return the text in another language."""
        return translated(self.text, translate) if self.is_message() else self.text


def parse(svg: str) -> Element:
    """Return an SVG document's root; its comments, which hold formulas' source, are kept."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    return ElementTree.fromstring(svg, ElementTree.XMLParser(target=builder))


def is_element(node: Element, *names: str) -> bool:
    """Return whether `node` is an SVG element of one of these names, and no comment."""
    return isinstance(node.tag, str) and node.tag.removeprefix(SVG) in names


def words_in(node: Element, ids: tuple[str, ...] = ()) -> Iterator[Words]:
    """Yield the texts below `node` in the order in which they are drawn."""
    ids = (*ids, node.get("id", ""))
    lines = [child for child in node if is_element(child, "text") and len(child) == 0]
    if lines:
        yield Words("\n".join(line.text or "" for line in lines), lines, node, ids)
    source = None
    for child in list(node):
        if child.tag is ElementTree.Comment:
            source = (child.text or "").strip()
        elif is_element(child, "g"):
            if source is not None and any(is_element(inner, "text") for inner in child):
                yield Words(source, [child], node, ids, is_math=True)
            else:
                yield from words_in(child, ids)
            source = None


def messages(svg: str) -> list[str]:
    """Return a figure's messages, with holes for their numbers, in the order of drawing."""
    found = [message_of(words.text) for words in words_in(parse(svg)) if words.is_message()]
    return list(dict.fromkeys(message for message, _ in filter(None, found)))


def _aloud(text: str) -> str:
    plain = MATH.sub(lambda match: re.sub(r"\\math\w+|[$\\{}]", " ", match[0]), text)
    return " ".join(plain.split())


def name_of(root: Element, translate: Translate) -> str:
    """Return a name for a figure, put together from its titles, axes and legends.

    For instance "Layer 1, head 2. query against key". What all panels have in common is said once.
    """
    parts: dict[str, None] = {}
    panels: dict[str, dict[str, list[str]]] = {}
    for words in words_in(root):
        if words.is_data() or words.is_in("xtick") or words.is_in("ytick"):
            continue
        if LETTER.search(words.text) is None:
            continue
        place = "legend" if words.is_in("legend") else "title"
        for number in (int(one[16:]) for one in words.ids if one.startswith("matplotlib.axis_")):
            place = "x" if number % 2 else "y"
        panel = next((one for one in words.ids if one.startswith("axes_")), "")
        said = _aloud(words.said(translate))
        panels.setdefault(panel, {}).setdefault(place, []).append(said)
    against, semicolon, stop, figure = map(translate, PHRASES)
    known: set[str] = set()
    for panel in panels.values():
        axes = panel.get("y", []) + panel.get("x", [])
        new = [label for label in axes if label not in known]
        known |= set(axes)
        if new and len(axes) == 2:
            new = [fill(against, axes)]
        legend = [semicolon.join(panel["legend"])] if "legend" in panel else []
        parts |= dict.fromkeys([*panel.get("title", []), *new, *legend])
    return stop.join(parts) or figure
