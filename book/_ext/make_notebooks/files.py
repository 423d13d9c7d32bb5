"""What comes from other files: pictures become data addresses, included code stands in full.

Sphinx's own reader of included files selects the code, so a notebook shows what the page shows.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sphinx.directives.code import LiteralIncludeReader
from sphinx.pycode import ModuleAnalyzer

from .book import Place

__all__ = ["embedded", "selected"]

MARKS = ("start-at", "start-after", "end-at", "end-before")
SELECTING = {"pyobject", "lines", *MARKS}


def embedded(path: str, place: Place) -> str:
    """Return the address of an image: what is not on the web becomes part of the address.

    Raises
    ------
    SourceError
        If there is no such file, or it is no image.
    """
    if re.match(r"(https?|data):", path):
        return path
    file = place.existing(path)
    mime = mimetypes.guess_type(file.name)[0]
    if mime is None or not mime.startswith("image/"):
        raise place.error(f"{path!r} is not an image")
    return f"data:{mime};base64,{base64.b64encode(file.read_bytes()).decode()}"


def selected(file: Path, options: Mapping[str, str], place: Place) -> str:
    """Return the part of a file that a ``literalinclude`` asks for.

    Raises
    ------
    SourceError
        If the file has no such part.
    """
    text = file.read_text(encoding="utf-8")
    for name in MARKS:
        if options.get(name, "") not in text:
            raise place.error(f"no line of the included file holds {options[name]!r}")
    if (name := options.get("pyobject", "")) and name not in ModuleAnalyzer.for_string(
        text, ""
    ).find_tags():
        raise place.error(f"the included file has no {name!r}")
    asked: dict[str, Any] = {key: options[key] for key in options.keys() & SELECTING}
    if "dedent" in options:
        asked["dedent"] = int(options["dedent"]) if options["dedent"] else None
    config: Any = SimpleNamespace(source_encoding="utf-8")
    try:
        code, _ = LiteralIncludeReader(str(file), asked, config).read()
    except ValueError as error:
        raise place.error(str(error)) from error
    return code.strip("\n")
