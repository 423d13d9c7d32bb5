"""Inline markup: each part that only Sphinx understands gives way, the rest stays to the letter."""

from __future__ import annotations

from markdown_it.token import Token

from .book import Place
from .files import embedded
from .formulas import inline_formula
from .parsing import closing
from .references import check_html, check_scheme, link
from .roles import role

__all__ = ["inline", "substitution", "text"]

COPIED = {"softbreak", "hardbreak", "text", "code_inline", "text_special"}
COPIED_AROUND = {"em", "strong", "s"}

# What stands from one place to another of the source gives way to a text.
Change = tuple[int, int, str]


def text(source: str, place: Place) -> str:
    """Translate one run of inline text."""
    if not source:
        return ""
    tokens = place.book.md.parseInline(source, place.page.env)
    return inline(tokens[0].content, tokens[0].children or [], place)


def inline(source: str, children: list[Token], place: Place) -> str:
    """Translate inline tokens; what needs no translation is copied from ``source``.

    Parameters
    ----------
    source : str
        The text that was parsed.
    children : list of Token
        Its tokens, from the parser of `parsing`.
    place : Place
        Where the text begins.

    Raises
    ------
    SourceError
        If a part has no translation.
    """
    changes: list[Change] = []
    index = 0
    while index < len(children):
        token = children[index]
        start = token.meta.get("span", (0, 0))[0]
        changes += _attributes(token)
        if token.type in ("link_open", "span_open"):
            index = closing(children, index)
            changes += _attributes(children[index])
        changes += _changes(token, source, place.at(place.line + source.count("\n", 0, start)))
        index += 1
    out, done = [], 0
    for start, end, new in sorted(changes):
        out += [source[done:start], new]
        done = end
    return "".join([*out, source[done:]])


def _attributes(token: Token) -> list[Change]:
    return [(*token.meta["attrs"], "")] if "attrs" in token.meta else []


def _changes(token: Token, source: str, place: Place) -> list[Change]:
    """Return what gives way to the translation of a token, and of all up to its closing one."""
    kind = token.type
    label = source[slice(*token.meta.get("brackets", (0, 0)))]
    if kind == "myst_role":
        new = role(token.meta["name"], token.content, place, text)
    elif kind in ("math_inline", "math_inline_double"):
        new = inline_formula(token.content, place, double=kind == "math_inline_double")
    elif kind == "link_open" and token.markup != "autolink":
        href, title = str(token.attrs["href"]), str(token.attrs.get("title") or "")
        new = link(href, title, label, place, text)
    elif kind == "span_open":
        new = text(label, place)
    elif kind == "image":
        new = f"![{label}]({embedded(str(token.attrs['src']), place)})"
    elif kind == "footnote_ref":
        notes = place.page.notes
        new = f"<sup>{notes.setdefault(token.meta['label'], len(notes) + 1)}</sup>"
    elif kind == "substitution_inline":
        new = substitution(token.content, place)
    elif token.markup in ("*", "**") and kind.startswith(("em_", "strong_")):
        return [_emphasis(token, place)]
    else:
        _check_copied(token, place)
        return []
    return [(*token.meta["span"], new)]


def _emphasis(token: Token, place: Place) -> Change:
    """Return the change of the mark that emphasis begins or ends with."""
    words, (start, end) = place.book.words, token.meta["span"]
    strong = token.type.startswith("strong_")
    opening, _, ending = (words.strong if strong else words.em).partition("{text}")
    # The parser keeps the inner one of two markers.
    if token.nesting > 0:
        return start - strong, end, opening
    return start, end + strong, ending


def _check_copied(token: Token, place: Place) -> None:
    kind = token.type
    if kind == "link_open":
        check_scheme(str(token.attrs["href"]), place)
    elif kind == "html_inline":
        check_html(token.content, place)
    elif kind not in COPIED and kind.rsplit("_", 1)[0] not in COPIED_AROUND:
        raise place.error(f"no translation for {kind!r}")


def substitution(name: str, place: Place) -> str:
    """Return the translation of what a name in double braces stands for."""
    values = place.book.substitutions
    if name.strip() not in values:
        raise place.error(f"there is no substitution {name.strip()!r}")
    return text(str(values[name.strip()]), place)
