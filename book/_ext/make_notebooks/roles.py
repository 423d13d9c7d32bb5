"""Roles: what ``{name}`content` `` says, said in plain Markdown; one function a kind of role."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from book._ext.reading_time import said

from .bibliography import citation
from .book import Place
from .formulas import inline_formula
from .references import Translate, labelled, page_target, reference

__all__ = ["role"]


def role(name: str, content: str, place: Place, translate: Translate) -> str:
    """Return the translation of a role.

    Parameters
    ----------
    name, content : str
        What stood in the braces, and between the backticks behind them.
    place : Place
        Where the role stands.
    translate : callable
        Translates inline text that stands inside the role, or in a title that it quotes.

    Raises
    ------
    SourceError
        If the role has no translation, or names what does not exist.
    """
    if name == "cite" or name.startswith("cite:"):
        return citation(name.partition(":")[2] or "p", content, place)
    if name not in ROLES:
        raise place.error(f"no translation for the role {{{name}}}")
    return ROLES[name](content, place, translate)


def _text_and_label(content: str) -> tuple[str, str]:
    """Return both parts of ``text <label>``, the text empty where there is none."""
    match = re.match(r"(.*?)\s*<([^<>]+)>$", content, re.DOTALL)
    text, label = (match[1], match[2]) if match else ("", content)
    return text.strip(), label.strip()


def _ref(content: str, place: Place, translate: Translate) -> str:
    text, label = _text_and_label(content)
    return reference(labelled(label, place), translate(text, place), place, translate)


def _numref(content: str, place: Place, translate: Translate) -> str:
    text, label = _text_and_label(content)
    target = labelled(label, place)
    if target.kind not in place.book.words.numbered:
        raise place.error(f"{label!r} has no number")
    text = text.replace("%s", str(target.number)).replace("{number}", str(target.number))
    return reference(target, translate(text, place), place, translate)


def _eq(content: str, place: Place, translate: Translate) -> str:
    text, label = _text_and_label(content)
    target = labelled(label, place)
    if target.kind != "equation":
        raise place.error(f"{label!r} is not an equation")
    return reference(target, translate(text, place), place, translate)


def _doc(content: str, place: Place, translate: Translate) -> str:
    text, path = _text_and_label(content)
    return reference(page_target(path, place), translate(text, place), place, translate)


def _term(content: str, place: Place, translate: Translate) -> str:
    text, term = _text_and_label(content)
    if term.lower() not in place.book.terms:
        raise place.error(f"the glossary has no term {term!r}")
    if term.lower() not in place.page.terms:
        place.page.terms.append(term.lower())
    return translate(text, place) or term


def _math(content: str, place: Place, _: Translate) -> str:
    return inline_formula(content, place)


def _abbr(content: str, *_: object) -> str:
    short, _bracket, long = content.partition("(")
    return f'<abbr title="{html.escape(long.rstrip(")"))}">{html.escape(short.strip())}</abbr>'


def _element(tag: str) -> Callable[[str, Place, Translate], str]:
    return lambda content, *_: f"<{tag}>{html.escape(content)}</{tag}>"


def _code(content: str, *_: object) -> str:
    ticks = "``" if "`" in content else "`"
    return f"{ticks}{content.lstrip('~')}{ticks}"


def _minutes(content: str, place: Place, _: Translate) -> str:
    return said(place.existing(f"{content}.md").read_text(encoding="utf-8"))


ROLES: dict[str, Callable[[str, Place, Translate], str]] = {
    "ref": _ref,
    "numref": _numref,
    "eq": _eq,
    "doc": _doc,
    "term": _term,
    "math": _math,
    "abbr": _abbr,
    "minutes": _minutes,
    **{tag: _element(tag) for tag in ("sub", "sup", "kbd")},
    **dict.fromkeys(("code", "py:func", "py:class", "py:mod", "func", "class", "mod"), _code),
}
