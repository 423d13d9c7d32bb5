"""The book's public addresses: ``python -m tests.addresses`` adds those that are new.

A reader may have kept the address of a heading, an equation, a function or an explorer's state.
``addresses.txt`` lists all that there have been. What is in it has to stay on its page: a heading
with another name keeps its old one as a label, ``(old-name)=``, on the line before it.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from bs4 import BeautifulSoup

from attn_lib import explorers

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
LIST = Path(__file__).with_suffix(".txt")
NAMED = "section[id], span[id], dt[id], div.math-block[id], figure[id], article table[id]"
# Docutils numbers what has no name of its own, in the order in which it stands.
NUMBERED = re.compile(r"id\d+")
# As `slug` of attn_lib/explorers/front/page.mjs, which names a state in an address.
WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def keys(names: Iterable[str]) -> Iterator[str]:
    """Yield what each of a page's explorers is called in an address, given their names in order."""
    seen: Counter[str] = Counter()
    for name in names:
        key = WORDS.sub("-", name).lower()
        seen[key] += 1
        yield f"{key}-{seen[key]}" if seen[key] > 1 else key


def states(key: str, explorer: type) -> Iterator[str]:
    """Yield what an address may say of an explorer: its controls, and values that have names."""
    for name, control in explorer.controls().items():
        yield f"{key}.{name}"
        for option in control.spec().get("options", ()):
            yield f"{key}.{name}={option}"


def on_page(page: Path) -> Iterator[str]:
    """Yield what may stand behind the # of a page's address."""
    tree = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    for element in tree.select(NAMED):
        if not NUMBERED.fullmatch(element["id"]) and not element.find_parent(
            class_="attn-explorer"
        ):
            yield element["id"]
    names = [root["data-explorer"] for root in tree.select("[data-explorer]")]
    for name, key in zip(names, keys(names), strict=True):
        yield from states(key, getattr(explorers, name))


def built(html: Path = HTML) -> set[str]:
    """Return every public address of the built book."""
    pages = sorted([html / "index.html", *html.glob("book/**/*.html")])
    found = set()
    for page in pages:
        name = page.relative_to(html).as_posix()
        found |= {name, *(f"{name}#{anchor}" for anchor in on_page(page))}
    return found


def listed() -> set[str]:
    """Return every address that has been public."""
    return set(LIST.read_text(encoding="utf-8").splitlines()) if LIST.exists() else set()


def main() -> int:
    """Add to the list what is new."""
    there, before = built(), listed()
    LIST.write_text("".join(f"{one}\n" for one in sorted(there | before)), encoding="utf-8")
    print(f"{len(there - before)} new addresses, {len(before - there)} that are gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
