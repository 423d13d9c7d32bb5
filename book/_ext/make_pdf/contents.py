"""Which pages the book has, and in what order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Page", "key", "pages_of", "part_of"]


@dataclass(frozen=True)
class Page:
    """One page of the book.

    Attributes
    ----------
    name : str
        Its file without the ending, as ``_toc.yml`` has it.
    part : str
        The part that it opens, or nothing.
    is_section : bool
        Whether it stands below another page.
    """

    name: str
    part: str = ""
    is_section: bool = False


def pages_of(toc: Mapping[str, Any]) -> Iterator[Page]:
    """Yield the pages of a table of contents in their order."""
    yield Page(toc["root"])
    for part in toc["parts"]:
        caption = part["caption"]
        for chapter in part["chapters"]:
            yield Page(chapter["file"], caption)
            caption = ""
            for section in chapter.get("sections", ()):
                yield Page(section["file"], is_section=True)


def part_of(toc: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a table of contents with the cover and those chapters alone that are named.

    Raises
    ------
    LookupError
        If there is no chapter of such a name.
    """
    parts = [
        {**part, "chapters": [one for one in part["chapters"] if one["file"] in names]}
        for part in toc["parts"]
    ]
    found = {one["file"] for part in parts for one in part["chapters"]}
    if strange := set(names) - found:
        raise LookupError(f"names must be chapters of _toc.yml, got {sorted(strange)}")
    return {"root": toc["root"], "parts": [part for part in parts if part["chapters"]]}


def key(name: str) -> str:
    """Return what stands before the ids of a page: book/05-linformer → 05-linformer."""
    return name.removeprefix("book/").replace("/", "-")
