"""Put the figures that cells draw into the page itself, in its language, ink and fonts.

A kernel leaves a figure as an SVG file whose words are text (``kernel_settings``). On an HTML page
it stands as an element, dressed by ``figure_dress``; its words come from the domain ``figures`` of
the catalogues. One execution thus serves every language. Other formats get the file.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogues
from docutils import nodes
from figure_dress import dress
from figure_words import PHRASES, messages
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
DOMAIN = "figures"
HEAVY = 40_000
"""Bytes of a figure, compressed, from which on its marks had better be a raster."""


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def figures_in(doctree: nodes.document) -> Iterator[nodes.image]:
    """Yield the SVG pictures that cells left, less those that stand in for something alive."""
    for image in doctree.findall(nodes.image):
        if not image["uri"].endswith(".svg"):
            continue
        around = list(_above(image))
        bundles = [node for node in around if node.get("nb_element") == "mime_bundle"]
        kinds = {kind.get("mime_type") for bundle in bundles for kind in bundle}
        in_output = any("cell_output" in node.get("classes", ()) for node in around)
        if in_output and "text/html" not in kinds:
            yield image


def weight(markup: str) -> int:
    """Return what `markup` weighs on its way to a browser."""
    return len(gzip.compress(markup.encode(), 9))


def dress_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Replace every cell's figure on an HTML page by the figure itself."""
    if app.builder.format != "html":
        return
    translate = catalogues.of_page(app, DOMAIN, docname).gettext
    for number, image in enumerate(list(figures_in(doctree))):
        svg = (Path(app.srcdir) / image["uri"]).read_text(encoding="utf-8")
        label = translate(image["alt"]) if "alt" in image else None
        markup = dress(svg, prefix=f"figure-{number}-", translate=translate, label=label)
        if weight(markup) > HEAVY:
            LOGGER.warning(
                "a figure of %d bytes: draw its marks with rasterized=True",
                weight(markup),
                location=image,
            )
        image.replace_self(nodes.raw("", markup, format="html"))


def note_catalogues(app: Sphinx, doctree: nodes.document) -> None:
    """Let Sphinx write a page with figures again after a change of their translations."""
    if any(figures_in(doctree)):
        folders = catalogues.folders(app)
        for path in catalogues.paths(DOMAIN, folders, app.config.language):
            app.env.note_dependency(str(path))


def entries(app: Sphinx) -> Iterator[catalogues.Entry]:
    """Yield the messages of the book's figures, with the places of their cells."""
    for docname in sorted(app.env.found_docs):
        page = Path(app.env.doc2path(docname)).relative_to(app.srcdir).as_posix()
        for image in figures_in(app.env.get_doctree(docname)):
            svg = (Path(app.srcdir) / image["uri"]).read_text(encoding="utf-8")
            lines = (node.line for node in (image, *_above(image)) if node.line)
            place = (page, next(lines, 1))
            texts = [image["alt"]] if "alt" in image else []
            for text in (*texts, *messages(svg)):
                yield catalogues.Entry(text, places=(place,))
    for phrase in PHRASES:
        comment = "Part of what a screen reader says of a figure."
        yield catalogues.Entry(phrase, comments=(comment,))


def write_template(app: Sphinx, exception: Exception | None) -> None:
    """Write ``figures.pot`` beside the templates of the prose."""
    if exception is None and app.builder.name == "gettext":
        catalogues.write_template(Path(app.outdir) / f"{DOMAIN}.pot", entries(app))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("doctree-read", note_catalogues)
    app.connect("doctree-resolved", dress_page)
    app.connect("build-finished", write_template)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
