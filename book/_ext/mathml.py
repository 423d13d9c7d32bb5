"""Turn the MathML that MathJax writes into MathML Core, which browsers draw without a script.

MathJax writes for its own renderer: it names letters' alphabets in attributes, leaves the space
around operators to TeX's classes, and aligns columns by attributes that MathML Core has dropped
(https://www.w3.org/TR/mathml-core/). Here alphabets become characters, spaces become numbers, and
alignment becomes classes, for which ``book/_style/formulas.css`` has the rules.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

__all__ = ["characters", "core"]

NAMESPACE = re.compile(r' xmlns="[^"]*"')
APPLIES = "\u2061"
THIN = "0.167em"
OPENING = frozenset("([{⟨⌊⌈")
CLOSING = frozenset(")]}⟩⌋⌉")
SIGNS = frozenset("−+±")
LARGE = frozenset("∑∏∫⋃⋂")
RADICAL = 0x221A
STRUT = {"width": "0", "height": "0.7em", "depth": "0.1em"}
"""So tall is what stands under a root at least, that its sign does not hang below the line."""
# Elements whose first child stands on the line, and the others, smaller, above or below it.
SCRIPTED = frozenset(("msub", "msup", "msubsup", "munder", "mover", "munderover"))

# The mathematical alphabets of Unicode: where A, a and 0 stand, and the letters that an older
# block holds (https://www.unicode.org/charts/PDF/U1D400.pdf).
_ALPHABETS: dict[str, tuple[int, int, int | None, dict[str, str]]] = {
    "bold": (0x1D400, 0x1D41A, 0x1D7CE, {}),
    "italic": (0x1D434, 0x1D44E, None, {"h": "ℎ"}),
    "bold-italic": (0x1D468, 0x1D482, None, {}),
    "script": (0x1D49C, 0x1D4B6, None, dict(zip("BEFHILMRego", "ℬℰℱℋℐℒℳℛℯℊℴ", strict=True))),
    "double-struck": (0x1D538, 0x1D552, 0x1D7D8, dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ", strict=True))),
    "fraktur": (0x1D504, 0x1D51E, None, dict(zip("CHIRZ", "ℭℌℑℜℨ", strict=True))),
}
_GREEK = {
    "bold": (0x1D6A8, 0x1D6C2),
    "italic": (0x1D6E2, 0x1D6FC),
    "bold-italic": (0x1D71C, 0x1D736),
}
# Greek letters that follow ω in these alphabets, in their order.
_GREEK_VARIANTS = "∂ϵϑϰϕϱϖ"


def _letter(character: str, alphabet: str) -> str:
    """Return a character in one of the mathematical alphabets, or as it is."""
    capital, small, digit, elsewhere = _ALPHABETS[alphabet]
    if character in elsewhere:
        return elsewhere[character]
    if "A" <= character <= "Z":
        return chr(capital + ord(character) - ord("A"))
    if "a" <= character <= "z":
        return chr(small + ord(character) - ord("a"))
    if "0" <= character <= "9" and digit is not None:
        return chr(digit + ord(character) - ord("0"))
    if alphabet in _GREEK:
        capital, small = _GREEK[alphabet]
        if "Α" <= character <= "Ω":
            return chr(capital + ord(character) - ord("Α"))
        if "α" <= character <= "ω":
            return chr(small + ord(character) - ord("α"))
        if character in _GREEK_VARIANTS:
            return chr(small + 25 + _GREEK_VARIANTS.index(character))
    return character


def _text(element: Element | None) -> str:
    """Return the characters of an element, or nothing where there is none."""
    return "" if element is None else "".join(element.itertext())


def _spell_alphabet(element: Element) -> None:
    """Write an element's letters in the alphabet that its attribute names."""
    alphabet = element.attrib.pop("mathvariant", None)
    text = element.text or ""
    if alphabet == "normal":
        if element.tag == "mi" and len(text) == 1:
            element.set("mathvariant", "normal")  # the one value that MathML Core keeps
    elif alphabet is not None and alphabet not in _ALPHABETS:
        raise ValueError(f"mathvariant must be one of {sorted(_ALPHABETS)}, got {alphabet!r}")
    elif alphabet is not None:
        element.text = "".join(_letter(character, alphabet) for character in text)


def _is_function(element: Element) -> bool:
    """Say whether an element is a name such as log or max, with limits or without."""
    while element.tag in SCRIPTED:
        element = element[0]
    name = element.text or ""
    return element.tag in ("mi", "mo") and len(name) > 1 and name.isalpha()


def _is_symbol(element: Element | None) -> bool:
    """Say whether TeX puts a thin space between a function's name and this neighbour."""
    text = _text(element)
    if element is None or not text or element.tag == "mspace":
        return False
    return element.tag != "mo" or len(text) > 1 or text in CLOSING


def _space_functions(row: Element) -> None:
    """Put the thin spaces of TeX around the names of functions: 2 log n, but log(n)."""
    children = [child for child in row if _text(child) != APPLIES or child.tag != "mo"]
    if len(children) < len(row) or any(map(_is_function, children)):
        spaced: list[Element] = []
        for k, child in enumerate(children):
            after = children[k + 1] if k + 1 < len(children) else None
            if _is_function(child):
                _no_space_of_its_own(child)
                if spaced and _is_symbol(spaced[-1]):
                    spaced.append(Element("mspace", width=THIN))
                spaced.append(child)
                if _is_symbol(after) and _text(after)[0] not in OPENING | CLOSING:
                    spaced.append(Element("mspace", width=THIN))
            else:
                spaced.append(child)
        row[:] = spaced


def _no_space_of_its_own(element: Element) -> None:
    """Take an operator's space away: it is a name, or one of TeX's ordinary symbols."""
    for each in element.iter("mo"):
        if len(each.text or "") > 1 or each is element:
            each.set("lspace", "0")
            each.set("rspace", "0")


def _space_row(row: Element) -> None:
    """Space dots, signs and large operators as TeX does."""
    before: Element | None = None
    for child in row:
        name = next(child.iter("mo"), child).text or ""
        if child.tag == "mo" and name in ("…", "⋯"):
            space = THIN if name == "⋯" else "0"
            child.set("lspace", space)
            child.set("rspace", space)
        elif child.tag == "mo" and name in SIGNS and before is not None and before.tag == "mo":
            if _text(before) not in CLOSING:
                child.set("form", "prefix")
        elif name in LARGE and (
            before is None or _text(before)[-1:] in OPENING or before.tag == "mo"
        ):
            next(child.iter("mo")).set("lspace", "0")
        before = child


def _align(table: Element) -> None:
    """Say by classes how a table's columns stand."""
    columns = table.attrib.pop("columnalign", "center").split()
    spacing = table.attrib.pop("columnspacing", "1em").split()
    table.attrib.pop("rowspacing", None)
    table.set("class", "aligned" if spacing[0] == "0em" else "apart")
    for row in table:
        for k, cell in enumerate(row):
            cell.set("class", columns[min(k, len(columns) - 1)])
            if 0 < k <= len(spacing) and spacing[k - 1] == "2em":
                cell.set("class", f"{cell.get('class')} far")


def _simplify(element: Element) -> None:
    """Rewrite an element and what is in it."""
    for child in element:
        _simplify(child)
    kept = []
    for child in element:
        if child.tag == "mstyle" and len(child) == 1 and child[0].tag == "mspace":
            child = child[0]
        if child.tag == "mrow" and len(child) == 1:
            only = child[0]
            if only.tag == "mo" and child.get("data-mjx-texclass") == "ORD":
                _no_space_of_its_own(only)
            child = only
        kept.append(child)
    element[:] = kept
    _spell_alphabet(element)
    if element.tag == "mo":
        if element.get("data-mjx-texclass") == "ORD" or element.get("fence") == "false":
            _no_space_of_its_own(element)
        for name in ("lspace", "rspace"):
            if element.get(name) == "thickmathspace":
                element.set(name, "0.278em")
        if "minsize" in element.attrib:
            element.set("stretchy", "true")
            element.set("symmetric", "true")
        element.attrib.pop("fence", None)
    if element.tag == "mover" and len(_text(element[1])) == 1 and element[1].tag == "mo":
        element.set("accent", "true")
    if element.tag == "msqrt":
        element.insert(0, Element("mspace", STRUT))
    if element.tag == "mtable":
        _align(element)
    if element.tag in ("math", "mrow", "mtd", "msqrt", "mstyle"):
        _space_functions(element)
        _space_row(element)
    if element.tag in SCRIPTED:
        for script in element[1:]:
            for operator in script.iter("mo"):
                operator.set("lspace", "0")
                operator.set("rspace", "0")
    for name in [name for name in element.attrib if name.startswith("data-mjx-")]:
        if name != "data-mjx-texclass" or element.tag != "mrow":
            del element.attrib[name]


def core(mathml: str) -> str:
    """Return MathJax's MathML as MathML Core.

    Parameters
    ----------
    mathml : str
        One ``<math>`` element.

    Raises
    ------
    ValueError
        If a letter stands in an alphabet that is not known here.
    """
    root = ElementTree.fromstring(NAMESPACE.sub("", re.sub(r">\s+<", "><", mathml)))
    _simplify(root)
    for element in root.iter():
        element.attrib.pop("data-mjx-texclass", None)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def characters(mathml: str) -> set[int]:
    """Return the code points that a browser draws of a formula.

    A letter alone in an ``mi`` is drawn in italics, so that its italic form is meant, and a root
    brings its sign. What ``mtext`` says is drawn in the font of the text.
    """
    points: set[int] = set()
    for element in ElementTree.fromstring(mathml).iter():
        text = "" if element.tag == "mtext" else element.text or ""
        points |= set(map(ord, text))
        if element.tag in ("msqrt", "mroot"):
            points.add(RADICAL)
        if element.tag == "mi" and len(text) == 1 and element.get("mathvariant") != "normal":
            points.add(ord(_letter(text, "italic")))
    return points
