"""Offer the book on paper, and as one file to carry, where they have been made.

The role holds the words that lead to them::

    {downloads}`To print it or to carry it:`

When a page is built there is neither file yet, and the sentence says how to make them. What makes
one (``make pdf``, ``make zip``) puts it beside the pages and calls `offer`, which writes links with
sizes into the built page. A later build that writes any page takes both away again: they would tell
of yesterday's book. On paper and in the file to carry the sentence is left out.
"""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole
from sphinx.writers.html5 import HTML5Translator

__all__ = ["FILES", "NAME", "offer", "put", "without"]

NAME = "inside-the-transformer"
FILES = {"pdf": f"{NAME}.pdf", "zip": f"{NAME}.zip"}
MARK = re.compile(
    r'<span class="downloads" data-lead="(?P<lead>[^"]*)" data-root="(?P<root>[^"]*)"'
    r' data-language="(?P<language>[^"]*)">.*?</span>',
    re.DOTALL,
)
WORDS = {
    "en": {
        "pdf": "the whole book as one PDF",
        "zip": "these pages as one zip file",
        "or": " or ",
        "size": "{link} ({size})",
        "end": ".",
        "make": "<code>make pdf</code> prints the whole book as one PDF,"
        " <code>make zip</code> packs these pages into one file.",
    },
    "zh": {
        "pdf": "全书PDF",
        "zip": "全部网页的zip文件",
        "or": "，或",
        "size": "{link}（{size}）",
        "end": "。",
        "make": "<code>make pdf</code>把全书印成一个PDF，<code>make zip</code>把网页装进一个文件。",
    },
}


class downloads(nodes.Inline, nodes.Element):
    """The sentence; `lead` holds its first words."""


class Downloads(SphinxRole):
    """The role."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the sentence."""
        return [downloads(lead=self.text)], []


def size(path: Path) -> str:
    """Return the size of a file as a reader needs it: "19 MB", "0.4 MB"."""
    megabytes = path.stat().st_size / 1e6
    return f"{megabytes:.0f} MB" if megabytes >= 1 else f"{max(megabytes, 0.1):.1f} MB"


def sentence(lead: str, root: str, language: str, sizes: dict[str, str]) -> str:
    """Return the sentence as HTML.

    Parameters
    ----------
    lead : str
        Its first words.
    root : str
        The way from the page to the folder of the files, with a slash at its end.
    language : str
        The page's.
    sizes : dict of str to str
        The sizes of those files that there are.
    """
    words = WORDS.get(language[:2], WORDS["en"])
    links = [
        words["size"].format(link=f'<a href="{root}{FILES[kind]}">{words[kind]}</a>', size=given)
        for kind, given in sizes.items()
    ]
    said = words["or"].join(links) + words["end"] if links else words["make"]
    values = (html.escape(value) for value in (lead, root, language))
    opening = '<span class="downloads" data-lead="{}" data-root="{}" data-language="{}">'
    return f"{opening.format(*values)}{html.escape(lead)} {said}</span>"


def offer(folder: Path) -> None:
    """Let every page below `folder` that has the sentence offer the files that lie there."""
    sizes = {kind: size(folder / name) for kind, name in FILES.items() if (folder / name).exists()}
    for path in sorted(folder.rglob("*.html")):
        page = path.read_text(encoding="utf-8")
        offered = MARK.sub(
            lambda mark: sentence(
                html.unescape(mark["lead"]), mark["root"], mark["language"], sizes
            ),
            page,
        )
        if offered != page:
            path.write_text(offered, encoding="utf-8")


def put(file: Path, folder: Path, kind: str) -> None:
    """Put a file beside the pages in `folder`, and offer it there."""
    shutil.copyfile(file, folder / FILES[kind])
    offer(folder)


def without(page: str) -> str:
    """Return a page without the sentence."""
    return MARK.sub("", page)


def _visit(translator: HTML5Translator, node: downloads) -> None:
    language = translator.builder.config.language or "en"
    # The files lie beside the English pages.
    root = "../" * (translator.builder.current_docname.count("/") + (language != "en"))
    translator.body.append(sentence(node["lead"], root, language, {}))
    raise nodes.SkipNode


def _read(translator: Any, node: nodes.Element) -> None:
    """Leave the sentence out."""
    raise nodes.SkipNode


def _written(app: Sphinx, *page: Any) -> None:
    app.env.temp_data["pages were written"] = True


def _take_away(app: Sphinx, exception: Exception | None) -> None:
    if app.builder.format == "html" and app.env.temp_data.get("pages were written"):
        folder = Path(app.outdir)
        for name in FILES.values():
            (folder / name).unlink(missing_ok=True)
        offer(folder)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role."""
    plain = (_read, None)
    app.add_node(downloads, html=(_visit, None), latex=plain, text=plain, man=plain)
    app.add_role("downloads", Downloads())
    app.connect("html-page-context", _written)
    app.connect("build-finished", _take_away)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
