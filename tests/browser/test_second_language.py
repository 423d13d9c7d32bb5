"""The whole book in a made-up language, from the cells that were executed for the English one.

Every message of explorers and figures has a translation in which each letter gives way to one that
looks like it. So an English word that is left is one that no translation can reach.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from lookalike import in_lookalikes
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "book" / "_ext"))

import catalogues  # noqa: E402
import execution_cache  # noqa: E402
from explorers import HOLE, entries  # noqa: E402
from figure_words import PHRASES, messages, parse, words_in  # noqa: E402

from attn_lib import explorers  # noqa: E402
from attn_lib.data import load_passage  # noqa: E402

from .waiting import until  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.book]

MakePage = Callable[..., Page]
LANGUAGE = "eo"  # Babel, docutils and browsers know it; its plurals are those of English
CHAPTERS = sorted(path.stem for path in (ROOT / "book").glob("[0-9][0-9]-*.md"))
BLOCKS = re.compile(r'<script type="application/octet-stream">([^<]*)</script>')
WORD = re.compile(r"[A-Za-z]{2,}")
COMMAND = re.compile(r"\\[A-Za-z]+")  # of TeX

BUILD = """
import sys
from jupyter_book.sphinx import build_sphinx

root, out, locale, caches, language = sys.argv[1:]
overrides = {
    "external_toc_path": f"{root}/_toc.yml",
    "language": language,
    "locale_dirs": [locale],
    "execution_caches": caches,
    "latex_individualpages": False,
}
sys.exit(build_sphinx(
    root, f"{out}/html", path_config=f"{root}/_config.yml", noconfig=True, confoverrides=overrides,
    warningiserror=True, keep_going=True,
))
"""


def figures() -> Iterator[str]:
    """Yield the figures that the book's cells drew."""
    caches = ROOT / "_build" / ".jupyter_cache" / execution_cache.key(ROOT)
    for path in sorted(caches.glob("executed/*/base.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                bundle = output.get("data", {})
                if "image/svg+xml" in bundle and "text/html" not in bundle:
                    yield bundle["image/svg+xml"]


def figure_messages() -> Iterator[catalogues.Entry]:
    """Yield the messages of the figures that the book's cells drew."""
    for svg in figures():
        yield from map(catalogues.Entry, messages(svg))
    yield from map(catalogues.Entry, PHRASES)


def write_catalogue(path: Path, found: Iterator[catalogues.Entry]) -> None:
    """Write a catalogue in the made-up language."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import write_po

    catalogue = Catalog(locale=LANGUAGE)
    for entry in found:
        if entry.plural is None:
            catalogue.add(entry.text, in_lookalikes(entry.text))
        else:
            both = entry.text, entry.plural
            catalogue.add(both, tuple(map(in_lookalikes, both)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalogue)


@pytest.fixture(scope="session")
def edition(book: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Build the book in the made-up language; return its folder and what the build said."""
    folder = tmp_path_factory.mktemp("edition")
    target = folder / "locale" / LANGUAGE / "LC_MESSAGES"
    write_catalogue(target / "explorers.po", entries())
    write_catalogue(target / "figures.po", figure_messages())
    # A page counts as translated by its own catalogue; what the prose says is not asked here.
    for chapter in CHAPTERS:
        write_catalogue(target / "book" / f"{chapter}.po", iter(()))
    caches = ROOT / "_build" / ".jupyter_cache"
    where = [str(ROOT), str(folder), str(folder / "locale"), str(caches), LANGUAGE]
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *where], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder / "html", done.stdout + done.stderr


def soup(folder: Path, chapter: str) -> BeautifulSoup:
    page = (folder / "book" / f"{chapter}.html").read_text(encoding="utf-8")
    return BeautifulSoup(page, "html.parser")


def data() -> set[str]:
    """Return what belongs to no language of the book: the passages' words, a figure's data."""
    texts = {token for length in (128, 512) for token in load_passage(length).tokens}
    for svg in figures():
        inside = (words.text for words in words_in(parse(svg)) if words.is_data())
        texts |= {COMMAND.sub("", text) for text in inside}
    return {word for text in texts for word in WORD.findall(text)}


def left_over(texts: Iterator[str]) -> set[str]:
    """Return the English words in some texts, those that are data set aside."""
    return {word for text in texts for word in WORD.findall(text)} - data()


def test_no_cell_is_executed_again(edition: tuple[Path, str]) -> None:
    _, said = edition
    assert "Executing notebook" not in said
    assert said.count("Using cached") >= len(CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_frames_are_the_same_bytes(edition: tuple[Path, str], book: Path, chapter: str) -> None:
    folder, _ = edition
    pages = [(root / "book" / f"{chapter}.html").read_text("utf-8") for root in (book, folder)]
    english, other = (BLOCKS.findall(page) for page in pages)
    assert english == other
    assert len(english) > 0


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_english_word_is_left_on_a_page(edition: tuple[Path, str], chapter: str) -> None:
    page = soup(edition[0], chapter)
    pictures = page.select("svg.drawn-figure")
    texts = [text.get_text() for picture in pictures for text in picture.select("text")]
    texts += [str(picture["aria-label"]) for picture in pictures]
    assert len(page.select(".ax-fallback svg")) == len(page.select("[data-explorer]")) > 0
    for script in page.select("[data-explorer] script[type='application/json']"):
        wording = json.loads(script.string or "")
        assert wording["language"] == LANGUAGE
        texts += [HOLE.sub("", text) for text in strings({**wording, "language": ""})]
    assert left_over(texts) == set()


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a wording, less the names of holes and of plural categories."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name != "by":
                yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


READ = """
roots => roots.map(root => {
  const shown = [...root.querySelectorAll("*")]
    .filter(el => !el.closest("script, .ax-token, [translate=no]"))
    .flatMap(el => [...el.childNodes].filter(child => child.nodeType === Node.TEXT_NODE));
  const told = ["aria-label", "aria-valuetext", "title", "placeholder"];
  const charts = [...root.querySelectorAll("svg text")].map(text => {
    const [box, frame] = [text, text.ownerSVGElement].map(el => el.getBoundingClientRect());
    const out = Math.max(frame.left - box.left, box.right - frame.right,
                         frame.top - box.top, box.bottom - frame.bottom);
    return { text: text.textContent, out };
  });
  const named = [...root.querySelectorAll("*")]
    .flatMap(el => told.map(name => el.getAttribute(name) ?? ""));
  return {
    texts: [...shown.map(node => node.data), ...named],
    spills: charts.filter(({ out }) => out > 0.5),
  };
})
"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_live_explorers_speak_the_language_and_stay_in_their_frames(
    offline_page: MakePage, edition: tuple[Path, str], chapter: str, width: int
) -> None:
    page = offline_page(width=width)
    page.goto((edition[0] / "book" / f"{chapter}.html").as_uri())
    roots = page.locator("[data-explorer]")
    until(page, "() => !document.querySelector('[data-explorer]:not([data-digest])')")
    # A control is moved, and something is pointed at, so that other sentences come up, too.
    for root in roots.all():
        for slider in root.locator("input[type=range]:not(:disabled)").all()[:2]:
            slider.press("ArrowRight")
        pointed = root.locator("canvas.ax-marks[tabindex], svg[tabindex], table button").first
        pointed.press("ArrowRight")
        pointed.press("ArrowDown")
    page.wait_for_timeout(300)
    for found in roots.evaluate_all(READ):
        assert [text for text in found["texts"] if HOLE.search(text)] == []
        assert left_over(found["texts"]) == set()
        assert found["spills"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_explorer_stands_on_a_page() -> None:
    pages = " ".join((ROOT / "book" / f"{chapter}.md").read_text("utf-8") for chapter in CHAPTERS)
    assert all(re.search(rf"\b{name}\(", pages) for name in explorers.__all__)
