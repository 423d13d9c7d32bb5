"""An explorer on paper: its still picture, its controls' values in words, and its address."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag

from attn_lib import explorers

__all__ = ["addressed", "settings", "stills"]

WORD_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _active(explorer: Tag) -> dict[str, Any]:
    """Return the start values of those controls that have an effect there."""
    start = json.loads(str(explorer["data-start"]))
    controls = getattr(explorers, str(explorer["data-explorer"])).controls()
    return {
        name: start.get(name, control.default_value)
        for name, control in controls.items()
        if all(start.get(other) in allowed for other, allowed in control.when.items())
    }


def settings(explorer: Tag) -> str:
    """Return the values of an explorer's controls, in the words of its page."""
    wording = json.loads(explorer.find("script", type="application/json").string or "{}")
    controls = getattr(explorers, str(explorer["data-explorer"])).controls()
    words, said = wording["words"], []
    for name, value in _active(explorer).items():
        label = wording["labels"][name]
        shown = _in_words(controls[name], value, label.get("options"), words)
        said.append(f"{label['label']}: {shown}")
    return " · ".join(said)


def _in_words(control: Any, value: Any, options: list[str] | None, words: Mapping[str, str]) -> str:
    if options is not None and control.kind == "toggle":
        return options[value]
    if options is not None:
        names = dict(zip(map(str, control.options), options, strict=True))
        chosen = value if isinstance(value, list | tuple) else [value]
        return words["comma"].join(names[str(one)] for one in chosen) or words["none"]
    if isinstance(value, list | tuple):
        return words["comma"].join(map(str, value)) or words["none"]
    if isinstance(value, str):
        return value
    shown = f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return shown.replace("-", "−")


def addressed(explorer: Tag, page: str, number: int) -> str:
    """Return the address that opens an explorer as its page has it.

    Parameters
    ----------
    explorer : Tag
    page : str
        The page's address.
    number : int
        Which of its name it is on the page, counted from 1.
    """
    name = WORD_BREAK.sub("-", str(explorer["data-explorer"])).lower()
    # The page has the other values already; one of them leads to the picture.
    control, value = next(iter(_active(explorer).items()))
    said = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{page}#{name}{f'-{number}' if number > 1 else ''}.{control}={quote(said)}"


def stills(soup: BeautifulSoup, article: Tag, page: str, words: Mapping[str, str]) -> None:
    """Leave of each explorer its picture; below it stands how it is set, and where it is alive."""
    seen: dict[str, int] = {}
    for explorer in article.select(".attn-explorer"):
        name = str(explorer["data-explorer"])
        seen[name] = seen.get(name, 0) + 1
        # No <figure>: it would be tagged as a picture that has no words, around the one that has.
        figure = soup.new_tag("div", attrs={"class": "paper-explorer", "data-explorer": name})
        caption = soup.new_tag("p", attrs={"class": "paper-caption"})
        caption.append(f"{words['set to']} {settings(explorer)}. ")
        if page:
            address = addressed(explorer, page, seen[name])
            link = soup.new_tag("a", href=address)
            link.string = address.removeprefix("https://")
            caption.extend([f"{words['here']} ", link])
        picture = explorer.select_one(".ax-fallback")
        figure.extend([*list(picture.contents), caption])
        explorer.replace_with(figure)
