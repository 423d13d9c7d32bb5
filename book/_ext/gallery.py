"""The landing page's gallery: a small live picture a chapter, each with one knob.

A page says what is written beside a picture, its author's words with holes for the numbers::

    ::::{gallery}
    :::{live} 01-sparse-transformer
    Stride

    Stride {stride}: the last word reads {read} of the {words} words.
    :::
    ::::

The first paragraph names the knob, the second is the sentence below the picture. What a picture
shows and the numbers in the holes are computed when the page is built (`gallery_pictures`). All
frames travel with the page in one deflated stream; the script (``gallery.js``) draws them, and the
first of them stands on the page without it.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import zlib
from collections.abc import Sequence
from html import escape
from typing import Any, ClassVar

import gallery_pictures
import numpy as np
from babel import Locale
from babel.numbers import format_decimal
from docutils import nodes
from docutils.parsers.rst import Directive
from gallery_pictures import ABSENT, CARDS, HEIGHT, Card, Chapter, Frame, Picture, Said, picture
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

__all__ = ["draw", "filled", "gallery", "live", "pack", "unpack"]

SCRIPT = "gallery.js"
MARGIN = 6
"""Around a chart, in its own units."""
MARK = 'class="live-gallery"'


# How frames travel


def pack(pictures: Sequence[Picture]) -> bytes:
    """Return all frames in one raw deflate stream, each as what differs from the one before."""
    changed = []
    for one in pictures:
        before = np.zeros(0, np.uint8)
        for frame in one.frames:
            flat = frame.reshape(-1)
            changed.append((flat ^ before if len(before) == len(flat) else flat).tobytes())
            before = flat
    stream = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return stream.compress(b"".join(changed)) + stream.flush()


def unpack(data: bytes, sizes: Sequence[Sequence[int]]) -> list[list[Frame]]:
    """Return what `pack` was given, flat, from the sizes of the frames of each picture."""
    raw = np.frombuffer(zlib.decompress(data, -15), np.uint8)
    pictures, at = [], 0
    for each in sizes:
        frames: list[Frame] = []
        for size in each:
            frame = raw[at : at + size]
            if frames and len(frames[-1]) == size:
                frame = frame ^ frames[-1]
            frames.append(frame)
            at += size
        pictures.append(frames)
    return pictures


# What stands on the page before the script draws, and without it; gallery.js says the same.


def _round(x: float) -> str:
    return f"{math.floor(10 * x + 0.5) / 10:g}"


def _cells(frame: Frame) -> str:
    rows, columns = frame.shape
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(frame):
        edges = [0, *(np.flatnonzero(np.diff(row.astype(int))) + 1).tolist(), columns]
        for start, end in itertools.pairwise(edges):
            if row[start]:
                paths.setdefault(int(row[start]), []).append(f"M{start} {y}h{end - start}")
    drawn = "".join(f'<path class="c{code}" d="{"".join(paths[code])}"/>' for code in sorted(paths))
    # A picture is as high as it is broad, whatever its number of rows.
    return (
        f'<svg viewBox="0 0 {columns} {columns}">'
        f'<g transform="scale(1 {columns / rows:g}) translate(0 .5)">{drawn}</g></svg>'
    )


def _dots(frame: Frame) -> str:
    x, y, code = (column.tolist() for column in frame.T)
    chosen = code.index(2)
    places = [(a, HEIGHT - b) for a, b in zip(x, y, strict=True)]
    lines = "".join(
        f"M{places[chosen][0]} {places[chosen][1]}L{a} {b}"
        for (a, b), one in zip(places, code, strict=True)
        if one == 1
    )
    drawn = "".join(
        f'<circle class="d{one}" cx="{a}" cy="{b}" r="{8 if one == 2 else 5}"/>'
        for (a, b), one in zip(places, code, strict=True)
    )
    return f'<svg viewBox="-12 -12 224 224"><path class="spokes" d="{lines}"/>{drawn}</svg>'


def _lines(frame: Frame, layers: Sequence[tuple[str, int]]) -> str:
    drawn, at = [], 0
    for kind, count in layers:
        part = frame[at : at + count].tolist()
        at += count
        if kind == "bars":
            width = HEIGHT / count
            d = "".join(
                f"M{_round((k + 0.5) * width)} {HEIGHT}v{-height}" for k, height in enumerate(part)
            )
            drawn.append(f'<path class="bars" stroke-width="{_round(0.8 * width)}" d="{d}"/>')
        elif kind == "mark":
            drawn.append(f'<path class="mark" d="M{part[0]} 0v{HEIGHT}"/>')
        else:
            style, *heights = part
            step = HEIGHT / (len(heights) - 1)
            places = [
                f"{_round(k * step)} {HEIGHT - height}"
                for k, height in enumerate(heights)
                if height != ABSENT
            ]
            drawn.append(f'<path class="s{style}" d="M{"L".join(places)}"/>')
    side = HEIGHT + 2 * MARGIN
    return f'<svg viewBox="-{MARGIN} -{MARGIN} {side} {side}">{"".join(drawn)}</svg>'


def _words(frame: Frame, texts: Sequence[str]) -> str:
    *shades, query = frame.tolist()
    drawn, is_open = [], False
    for place, text in enumerate(texts):
        closes = text in ",.?!’”" or text.startswith("##") or is_open
        drawn.append("" if closes or place == 0 else " ")
        is_open = text in "“’"
        here = ' class="query"' if place == query else ""
        shown = escape(text.removeprefix("##"))
        drawn.append(f'<span{here} data-shade="{shades[place]}">{shown}</span>')
    return f"<div>{''.join(drawn)}</div>"


def draw(card: Card, shown: Picture, place: int) -> str:
    """Return one frame as markup."""
    frame = shown.frames[place]
    if card.kind == "cells":
        return _cells(frame)
    if card.kind == "dots":
        return _dots(frame)
    if card.kind == "lines":
        return _lines(frame, shown.layers)
    return _words(frame, shown.texts)


# The directives


class gallery(nodes.General, nodes.Element):
    """All pictures."""


class live(nodes.General, nodes.Element):
    """One picture; `chapter` names it. Its two paragraphs are the knob's name and the sentence."""


class Gallery(Directive):
    """The directive around all pictures."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Return the gallery, with its pictures."""
        node = gallery()
        self.state.nested_parse(self.content, self.content_offset, node)
        if any(not isinstance(child, live) for child in node.children):
            raise self.error("a gallery must hold nothing but {live} pictures")
        environment = getattr(self.state.document.settings, "env", None)
        if environment is not None:
            for module in (__file__, gallery_pictures.__file__):
                environment.note_dependency(module)
        return [node]


class Live(Directive):
    """The directive of one picture."""

    required_arguments: ClassVar[int] = 1
    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Return the picture, with what is written beside it."""
        name = self.arguments[0]
        if name not in {card.chapter for card in CARDS}:
            raise self.error(f"a picture must be one of the gallery's cards, got {name!r}")
        node = live(chapter=name)
        self.state.nested_parse(self.content, self.content_offset, node)
        if [type(child) for child in node.children] != [nodes.paragraph] * 2:
            raise self.error("a picture must have two paragraphs: its knob's name and a sentence")
        return [node]


def _title(translator: HTML5Translator, docname: str) -> str:
    """Return a chapter's title in the language of the page: its Chinese half stands last."""
    title = translator.builder.env.titles[docname]
    halves = [child.astext() for child in title.children]
    chinese = (translator.builder.config.language or "en").startswith("zh")
    return halves[-1] if chinese else halves[0]


def _docname(translator: HTML5Translator, chapter: str) -> str:
    folder = translator.builder.current_docname.rpartition("/")[0]
    docname = f"{folder}/{chapter}" if folder else chapter
    if docname not in translator.builder.env.titles:
        raise ValueError(f"a picture must lead to a chapter, got {docname!r}")
    return docname


def _say(translator: HTML5Translator, value: Said) -> str:
    if isinstance(value, Chapter):
        return _title(translator, _docname(translator, value.name))
    if isinstance(value, str):
        return value
    locale = Locale.parse((translator.builder.config.language or "en").replace("-", "_"))
    places = "." + "0" * value.digits if value.digits else ""
    return format_decimal(value.value, format=f"#,##0{places}", locale=locale)


def filled(sentence: str, values: dict[str, str]) -> str:
    """Return a sentence as markup, with an element for each hole.

    Raises
    ------
    ValueError
        If it has a hole that the picture does not fill.
    """
    parts = sentence.replace("}", "{").split("{")
    if strange := set(parts[1::2]) - set(values):
        raise ValueError(f"a sentence must have holes of {sorted(values)}, got {sorted(strange)}")
    return "".join(
        f'<b data-hole="{part}">{escape(values[part])}</b>' if k % 2 else escape(part)
        for k, part in enumerate(parts)
    )


def _write_live(translator: HTML5Translator, node: live) -> None:
    card = next(card for card in CARDS if card.chapter == node["chapter"])
    shown = picture(card.chapter)
    knob, sentence = (child.astext() for child in node.children)
    docname = _docname(translator, card.chapter)
    address = translator.builder.get_relative_uri(translator.builder.current_docname, docname)
    values = {hole: _say(translator, value) for hole, value in shown.said[card.start].items()}
    said = f"live-{card.chapter[:2]}"
    title = escape(_title(translator, docname))
    translator.body.append(
        f'<li class="live" data-kind="{card.kind}">'
        f'<a class="live-name" href="{escape(address)}">'
        f"<span>{int(card.chapter[:2])}</span> {title}</a>"
        f'<div class="live-picture" role="img" aria-labelledby="{said}">'
        f"{draw(card, shown, card.start)}</div>"
        f'<label class="live-knob pst-js-only"><span>{escape(knob)}</span>'
        f' <input type="range" aria-label="{title}: {escape(knob)}"'
        f' min="0" max="{len(shown.frames) - 1}" value="{card.start}"></label>'
        f'<p class="live-said" id="{said}">{filled(sentence, values)}</p></li>\n'
    )
    raise nodes.SkipNode


def _open_gallery(translator: HTML5Translator, node: gallery) -> None:
    translator.body.append('<div class="live-gallery"><ul>\n')


def _close_gallery(translator: HTML5Translator, node: gallery) -> None:
    shown = [picture(one["chapter"]) for one in node.children]
    data = [
        {
            "sizes": [frame.size for frame in one.frames],
            "columns": one.frames[0].shape[-1],
            "layers": one.layers,
            "said": {
                hole: [_say(translator, said[hole]) for said in one.said] for hole in one.said[0]
            },
        }
        for one in shown
    ]
    words = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    translator.body.append(
        f'</ul><script type="application/json">{words}</script>'
        f'<script type="application/octet-stream">{base64.b64encode(pack(shown)).decode()}</script>'
        "</div>\n"
    )


def _read(translator: Any, node: nodes.Element) -> None:
    """Let other writers read what is written beside the pictures."""


def _add_to_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    if MARK in context.get("body", ""):
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and their nodes."""
    plain = (_read, _read)
    app.add_node(gallery, html=(_open_gallery, _close_gallery), latex=plain, text=plain, man=plain)
    app.add_node(live, html=(_write_live, None), latex=plain, text=plain, man=plain)
    app.add_directive("gallery", Gallery)
    app.add_directive("live", Live)
    app.connect("html-page-context", _add_to_page)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
