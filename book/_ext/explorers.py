"""Bring the explorers to life in the built book, in the language of each page.

A chapter's cell leaves its explorer's frames on the page, and no word of any language
(`attn_lib.explorers`): so one execution serves every language. Here each page gets the words beside
the frames, in its own language; the picture for readers without scripts, and what a screen reader
says of it, get theirs. Pages with an explorer load the one script and the one style sheet that all
explorers share.
"""

from __future__ import annotations

import base64
import gettext
import html
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import catalogues
from babel import Locale
from babel.numbers import format_decimal
from docutils import nodes
from figure_dress import dress
from figure_messages import WORD, message_of, translated
from sphinx.application import Sphinx

from attn_lib import explorers
from attn_lib.explorers._pack import digest
from attn_lib.explorers.words import (
    COMMON_WORDS,
    Form,
    Message,
    Plural,
    Rounded,
    Translate,
    fill,
)

BUILT = Path(explorers.__file__).parent / "built"
DOMAIN = "explorers"
MARK = 'class="attn-explorer"'
SCRIPT = "explorers.js"
STYLE = "explorers.css"
OUTPUT = re.compile(
    r'<div class="attn-explorer" data-explorer="(?P<name>\w+)" data-start="(?P<start>[^"]*)"'
    r' data-alt="(?P<alt>[^"]*)"><img class="ax-fallback" alt="" src="data:image/svg\+xml;base64,'
    r'(?P<picture>[^"]*)">'
    r'(?P<frames><script type="application/octet-stream">(?P<packed>[^<]*)</script>)</div>'
)
HOLE = re.compile(r"\{(\w+)\}")
JOINED = re.compile(r"[.,:]?\s|[()]")  # what stands between holes is said otherwise elsewhere
MOST = 200  # no language has a plural category that comes later first


def write_assets(folder: Path) -> None:
    """Write the script and the style sheet into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(BUILT / "book.js", folder / SCRIPT)
    shutil.copyfile(BUILT / "explorer.css", folder / STYLE)


def translate_by(catalogue: gettext.NullTranslations, locale: Locale) -> Translate:
    """Return what turns an explorer's messages into the language of a catalogue."""
    examples: dict[str, int] = {}
    for number in range(MOST):
        examples.setdefault(locale.plural_form(number), number)

    def translate(message: Message) -> Form:
        if isinstance(message, str):
            # Labels that are written by the dozen, as "layer 2, head 9", are one message.
            found = catalogue.gettext(message)
            return found if found != message else translated(message, catalogue.gettext)
        forms = {
            category: catalogue.ngettext(message.one, message.other, number)
            for category, number in examples.items()
        }
        return {"by": message.by, "other": message.other, **forms}

    return translate


def numbered(message: str, names: list[str]) -> str:
    """Return a message with its holes numbered by the order of their names.

    Raises
    ------
    ValueError
        If it has a hole that is none of them, as a mistaken translation may.
    """
    if strange := set(HOLE.findall(message)) - set(names):
        raise ValueError(f"message must have holes of {names}, got {strange} in {message!r}")
    return HOLE.sub(lambda hole: f"{{{names.index(hole[1])}}}", message)


def translate_picture(explorer: Any, catalogue: gettext.NullTranslations) -> Callable[[str], str]:
    """Return what translates the texts of an explorer's still picture: words with numbers in."""
    found = {}
    for message in explorer.messages():
        if isinstance(message, str):
            names = list(dict.fromkeys(HOLE.findall(message)))
            found[numbered(message, names)] = numbered(catalogue.gettext(message), names)
    return lambda text: found.get(text) or catalogue.gettext(text)


def speak(
    output: re.Match[str], catalogue: gettext.NullTranslations, locale: Locale, prefix: str
) -> str:
    """Return an explorer's output with its words beside the frames, in a language."""
    explorer = getattr(explorers, output["name"])
    translate = translate_by(catalogue, locale)
    wording = explorer.wording(str(locale).replace("_", "-"), translate)
    name, values = json.loads(html.unescape(output["alt"]))

    def number(rounded: Rounded) -> str:
        places = "." + "0" * rounded.digits if rounded.digits else ""
        return format_decimal(rounded.value, format=f"#,##0{places}", locale=locale)

    # A name that fills a hole may be a message, too.
    said = {
        hole: catalogue.gettext(value) if isinstance(value, str) and value else value
        for hole, value in values.items()
    }
    alt = fill(translate(explorer.words[name]), said, number=number, category=locale.plural_form)
    picture = dress(
        base64.b64decode(output["picture"]).decode(),
        prefix=prefix,
        translate=translate_picture(explorer, catalogue),
        label=alt,
    )
    words = json.dumps(wording, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    why = html.escape(str(translate(COMMON_WORDS["why_still"])))
    return (
        f'<div class="attn-explorer" data-explorer="{output["name"]}"'
        f' data-start="{output["start"]}" data-sum="{digest(output["packed"].encode())}">'
        f'<div class="ax-fallback">{picture}</div><p class="ax-why">{why}</p>'
        f'<script type="application/json">{words}</script>{output["frames"]}</div>'
    )


def give_words(
    page: str,
    catalogue: gettext.NullTranslations,
    language: str,
    numbers: Iterator[int] | None = None,
) -> str:
    """Return HTML with every explorer's output in it given its words.

    `numbers` tells the explorers of a page apart where the page comes in pieces.
    """
    locale = Locale.parse(language, sep="-" if "-" in language else "_")
    numbers = count() if numbers is None else numbers
    return OUTPUT.sub(
        lambda output: speak(output, catalogue, locale, f"explorer-{next(numbers)}-"), page
    )


def give_words_to_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give every explorer on a page its words."""
    if app.builder.format != "html":
        return
    catalogue, numbers = catalogues.of_page(app, DOMAIN, docname), count()
    language = catalogues.language_of(app, docname)
    for node in doctree.findall(nodes.raw):
        if MARK in node.astext():
            page = give_words(node.astext(), catalogue, language, numbers)
            node.children = [nodes.Text(page)]


def entries() -> Iterator[catalogues.Entry]:
    """Yield every message of every explorer, with the file where it stands."""
    for name in explorers.__all__:
        explorer = getattr(explorers, name)
        places = (("/".join(("attn_lib", "explorers", f"{explorer.spec()['module']}.py")), 1),)
        for message in explorer.messages():
            if isinstance(message, Plural):
                yield catalogues.Entry(message.one, message.other, places)
            elif HOLE.search(message):
                if WORD.search(HOLE.sub("", message)) or JOINED.search(message):
                    yield catalogues.Entry(message, places=places)
            elif JOINED.fullmatch(message):
                yield catalogues.Entry(message, places=places)
            elif (found := message_of(message)) is not None:
                yield catalogues.Entry(found[0], places=places)


def write_template(app: Sphinx, exception: Exception | None) -> None:
    """Write ``explorers.pot`` beside the templates of the prose."""
    if exception is None and app.builder.name == "gettext":
        catalogues.write_template(Path(app.outdir) / f"{DOMAIN}.pot", entries())


def _write_into_build(app: Sphinx) -> None:
    if app.builder.format == "html":
        write_assets(Path(app.outdir) / "_static")


def _add_to_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    if MARK in context.get("body", ""):
        app.add_js_file(SCRIPT, loading_method="defer")
        app.add_css_file(STYLE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, and tell the kernels, which inherit it, that a book is being built."""
    os.environ["ATTN_LIB_BOOK"] = "1"
    app.connect("builder-inited", _write_into_build)
    app.connect("doctree-resolved", give_words_to_page)
    app.connect("html-page-context", _add_to_page)
    app.connect("build-finished", write_template)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
