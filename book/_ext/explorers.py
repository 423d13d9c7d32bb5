"""Bring the explorers to life in the built book, in the language of each page.

A chapter's cell leaves its explorer's frames on the page, and no word of any language
(`attn_lib.explorers`): so one execution serves every language. Here each page gets the words beside
the frames, in its own language; the picture for readers without scripts, and what a screen reader
says of it, get theirs. Pages with an explorer load the one script and the one style sheet that all
explorers share.
"""

from __future__ import annotations

import gettext
import html
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from babel import Locale
from babel.numbers import format_decimal
from docutils import nodes
from sphinx.application import Sphinx

from attn_lib import explorers
from attn_lib.explorers.words import Form, Message, Rounded, Translate, fill

BUILT = Path(explorers.__file__).parent / "built"
MARK = 'class="attn-explorer"'
SCRIPT = "explorers.js"
STYLE = "explorers.css"
OUTPUT = re.compile(
    r'<div class="attn-explorer" data-explorer="(?P<name>\w+)" data-start="(?P<start>[^"]*)"'
    r' data-alt="(?P<alt>[^"]*)"><img class="ax-fallback" alt="" src="data:image/svg\+xml;base64,'
    r'(?P<picture>[^"]*)">(?P<frames><script type="application/octet-stream">[^<]*</script>)</div>'
)
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
            return catalogue.gettext(message)
        forms = {
            category: catalogue.ngettext(message.one, message.other, number)
            for category, number in examples.items()
        }
        return {"by": message.by, "other": message.other, **forms}

    return translate


def speak(output: re.Match[str], translate: Translate, locale: Locale) -> str:
    """Return an explorer's output with its words beside the frames, in a language."""
    explorer = getattr(explorers, output["name"])
    language = str(locale).replace("_", "-")
    wording = explorer.wording(language, translate)
    name, values = json.loads(html.unescape(output["alt"]))

    def number(rounded: Rounded) -> str:
        places = "." + "0" * rounded.digits if rounded.digits else ""
        return format_decimal(rounded.value, format=f"#,##0{places}", locale=locale)

    alt = fill(translate(explorer.words[name]), values, number=number, category=locale.plural_form)
    words = json.dumps(wording, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    picture = (
        f'<img class="ax-fallback" alt="{html.escape(alt)}"'
        f' src="data:image/svg+xml;base64,{output["picture"]}">'
    )
    return (
        f'<div class="attn-explorer" data-explorer="{output["name"]}"'
        f' data-start="{output["start"]}">{picture}'
        f'<script type="application/json">{words}</script>{output["frames"]}</div>'
    )


def give_words(page: str, catalogue: gettext.NullTranslations, language: str) -> str:
    """Return HTML with every explorer's output in it given its words."""
    locale = Locale.parse(language)
    translate = translate_by(catalogue, locale)
    return OUTPUT.sub(lambda output: speak(output, translate, locale), page)


def give_words_to_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give every explorer on a page its words."""
    if app.builder.format != "html":
        return
    for node in doctree.findall(nodes.raw):
        if MARK in node.astext():
            page = give_words(node.astext(), gettext.NullTranslations(), app.config.language)
            node.children = [nodes.Text(page)]


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
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
