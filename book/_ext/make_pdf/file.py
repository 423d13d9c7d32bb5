"""The PDF itself: the numbers of its pages, its author and its dates."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterable

from pypdf import PdfReader

__all__ = ["page_numbers", "with_facts"]

FACTS = re.compile(
    rb"<</Title (?P<title>.*?)\n/Creator (?P<creator>\(.*?\))\n/Producer (?P<producer>\(.*?\))\n"
    rb"/CreationDate \(.*?\)\n/ModDate \(.*?\)>>",
    re.DOTALL,
)


def page_numbers(pdf: bytes, names: Iterable[str]) -> dict[str, int]:
    """Return the page on which each place of `names` begins, counted from 1.

    Raises
    ------
    LookupError
        If the PDF has no such place.
    """
    reader = PdfReader(io.BytesIO(pdf))
    places = {name.removeprefix("/"): place for name, place in reader.named_destinations.items()}
    names = list(names)
    if missing := [name for name in names if name not in places]:
        raise LookupError(f"names must be places of the PDF, got {missing}")
    pages = {page.indirect_reference.idnum: k for k, page in enumerate(reader.pages, start=1)}
    return {name: pages[places[name].page.idnum] for name in names}


def with_facts(pdf: bytes, author: str, moment: int | None) -> bytes:
    """Return Chromium's PDF with its author, and with a date that does not change from run to run.

    The facts take the place of Chromium's own, byte for byte, so that nothing else moves.

    Parameters
    ----------
    pdf : bytes
    author : str
    moment : int or None
        The date, in seconds since 1970; None leaves dates out.

    Raises
    ------
    ValueError
        If there is no room for them.
    """
    found = FACTS.search(pdf)
    if found is None:
        raise ValueError("pdf must begin with the facts that Chromium writes")
    facts = [b"/Title " + found["title"], b"/Author " + _text(author)]
    facts.append(b"/Producer " + found["producer"])
    if moment is not None:
        date = time.strftime("(D:%Y%m%d%H%M%SZ)", time.gmtime(moment)).encode()
        facts += [b"/CreationDate " + date, b"/ModDate " + date]
    written = b"<<" + b"\n".join(facts)
    room = len(found[0]) - len(written) - 2
    if room < 0:
        raise ValueError(f"author must fit into the PDF's facts, got {author!r}")
    return pdf[: found.start()] + written + b" " * room + b">>" + pdf[found.end() :]


def _text(text: str) -> bytes:
    """Return a text as a PDF writes it."""
    if text.isascii():
        return b"(" + re.sub(r"([\\()])", r"\\\1", text).encode() + b")"
    return b"<FEFF" + text.encode("utf-16-be").hex().upper().encode() + b">"
