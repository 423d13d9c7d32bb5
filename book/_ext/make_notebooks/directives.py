"""Directives as plain Markdown: boxes become quotations, folded parts ``<details>``, and so on."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from markdown_it import MarkdownIt

from . import tables
from .book import Place
from .definitions import Markdown, glossary
from .directive import Directive
from .files import embedded, selected
from .formulas import display
from .inline import text
from .lines import blank_ends_removed, fenced

__all__ = ["translated"]

LONG = 60  # lines of an included file from which on the notebook folds it


def translated(directive: Directive, place: Place, markdown: Markdown) -> list[str]:
    """Return the translation of a directive.

    Parameters
    ----------
    directive : Directive
        One that `directive` knows, apart from those that become cells of their own.
    place : Place
        Where it stands.
    markdown : callable
        Translates the text that it holds.

    Raises
    ------
    SourceError
        If what it holds has no translation.
    """
    name = directive.name
    if name == "dropdown" or "dropdown" in directive.options.get("class", "").split():
        return _details(directive, place, markdown)
    if name in place.book.words.admonitions or name in ("admonition", "margin", "sidebar"):
        return _quotation(directive, place, markdown)
    return TRANSLATIONS[name](directive, place, markdown)


def _title(directive: Directive, place: Place) -> str:
    words = place.book.words
    named = words.admonitions.get(directive.name, "")
    title = directive.argument or named or (words.details if directive.name == "dropdown" else "")
    if directive.name == "admonition" and not title:
        raise place.error("an admonition needs a title")
    return text(title, place)


def _quotation(directive: Directive, place: Place, markdown: Markdown) -> list[str]:
    quoted = place.behind("> ")
    title = _title(directive, quoted)
    inner = markdown(directive.body, quoted.at(directive.body_line))
    heading = [place.book.words.strong.format(text=title), ""] if title else []
    return [f"> {line}".rstrip() for line in blank_ends_removed([*heading, *inner])]


def _details(directive: Directive, place: Place, markdown: Markdown) -> list[str]:
    title = _title(directive, place)
    inner = markdown(directive.body, place.at(directive.body_line))
    return _folded(title, inner, place, is_open="open" in directive.options)


def _folded(title: str, lines: list[str], place: Place, *, is_open: bool = False) -> list[str]:
    """Return lines that are seen once their title is clicked.

    VS Code sets no formula in HTML. A blank line ends the HTML, and Markdown begins again.
    """
    opening = f"<details{' open' if is_open else ''}>"
    if "$" in title:
        bold = place.book.words.strong.format(text=title)
        summary = ["<summary>", "", bold, "", "</summary>"]
    else:
        bold = MarkdownIt("commonmark").renderInline(title)
        summary = [f"<summary><b>{bold}</b></summary>"]
    return [opening, *summary, "", *lines, "", "</details>"]


def _label(kind: str, directive: Directive, place: Place) -> str:
    words, number = place.book.words, place.number(directive.line)
    label = words.label.format(numbered=words.numbered[kind].format(number=number))
    return f"{words.strong.format(text=label)} " if number else ""


def _figure(directive: Directive, place: Place, markdown: Markdown) -> list[str]:
    alt = directive.options.get("alt", "")
    source = embedded(directive.argument, place)
    width = directive.options.get("width", "").removesuffix("px")
    if width.isdigit():
        picture = f'<img src="{source}" alt="{html.escape(alt)}" width="{width}">'
    else:
        alt = re.sub(r"([\[\]])", r"\\\1", alt)
        picture = f"![{alt}]({source})"
    if not directive.body.strip():
        return [picture]
    body = markdown(directive.body, place.at(directive.body_line))
    body[0] = _label("figure", directive, place) + body[0]
    return [picture, "", *body]


def _code_block(directive: Directive, place: Place, _: Markdown) -> list[str]:
    lines = fenced(directive.body, directive.argument)
    if caption := directive.options.get("caption"):
        return [_label("listing", directive, place) + text(caption, place), "", *lines]
    return lines


def _included(directive: Directive, place: Place, _: Markdown) -> list[str]:
    book, options = place.book, directive.options
    file = place.existing(directive.argument)
    name = place.from_root(file)
    code = selected(file, options, place)
    lines = fenced(code, options.get("language", "python" if file.suffix == ".py" else ""))
    caption = text(options.get("caption", ""), place)
    if caption and not caption.endswith((".", "?", "!")):
        caption += "."
    link = book.words.included_from.format(file=f"[`{name}`]({book.addresses.blob(name)})")
    label = _label("listing", directive, place).strip()
    if len(lines) > LONG - 2:
        summary = book.words.show_source.format(count=code.count("\n") + 1)
        lines = _folded(summary, lines, place)
    return [" ".join(filter(None, [label, caption, link])), "", *lines]


def _math(directive: Directive, place: Place, _: Markdown) -> list[str]:
    body = "\n".join(filter(None, [directive.argument, directive.body]))
    return display(body, place.number(directive.line), place)


def _table(directive: Directive, place: Place, markdown: Markdown) -> list[str]:
    body = markdown(directive.body, place.at(directive.body_line))
    return _with_caption(directive, body, place)


ANSWER = re.compile(r"- \[(x?)\s*([^\]]*)\]\s*(.*)$")


def _question(directive: Directive, place: Place, markdown: Markdown) -> list[str]:
    """Keep the question and what can be chosen; the replies need a page that replies."""
    lines = directive.body.split("\n")
    answers = [found for line in lines if (found := ANSWER.match(line))]
    is_typed = any(found[2] for found in answers)  # a number is typed and not chosen
    kept, in_reply = [], False
    for line in lines:
        if found := ANSWER.match(line):
            in_reply = is_typed
            kept.append("" if is_typed else f"- {found[3]}")
        else:
            in_reply = in_reply or (bool(answers) and not line.strip() and kept[-1][:2] == "- ")
            kept.append("" if in_reply else line)
    kept = [line for k, line in enumerate(kept) if line or k == 0 or kept[k - 1]]
    return blank_ends_removed(markdown("\n".join(kept), place.at(directive.body_line)))


def _left_out(*_: object) -> list[str]:
    """Leave out what only a page can show."""
    return []


def _list_table(directive: Directive, place: Place, _: Markdown) -> list[str]:
    return _with_caption(directive, tables.list_table(directive, place), place)


def _with_caption(directive: Directive, lines: list[str], place: Place) -> list[str]:
    if not directive.argument:
        return lines
    return [_label("table", directive, place) + text(directive.argument, place), "", *lines]


TRANSLATIONS: dict[str, Callable[[Directive, Place, Markdown], list[str]]] = {
    "code": _code_block,
    "code-block": _code_block,
    "figure": _figure,
    "gallery": _left_out,
    "live": _left_out,
    "glossary": glossary,
    "image": _figure,
    "list-table": _list_table,
    "literalinclude": _included,
    "math": _math,
    "question": _question,
    "table": _table,
}
