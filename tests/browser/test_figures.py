"""Figures that cells draw, on pages in a real browser: legible, named, and inside their frames."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from lookalike import in_lookalikes
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))

import book_style  # noqa: E402
import execution_cache  # noqa: E402
import kernel_settings  # noqa: E402
from figure_dress import dress  # noqa: E402
from figure_words import parse, words_in  # noqa: E402

from attn_lib import figures  # noqa: E402

pytestmark = pytest.mark.browser

CHAPTERS = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("book/[0-9][0-9]-*.html"))
MakePage = Callable[..., Page]

LOOK = """
async figures => {
  const look = figure => {
    const channels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const light = colour => channels(colour).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
    let ground = figure;
    while (/^(rgba\\(0, 0, 0, 0\\)|transparent)$/.test(getComputedStyle(ground).backgroundColor)) {
      ground = ground.parentElement;
    }
    const behind = light(getComputedStyle(ground).backgroundColor);
    const box = figure.getBoundingClientRect();
    return {
      name: figure.getAttribute("aria-label"),
      role: figure.getAttribute("role"),
      ids: [...figure.querySelectorAll("[id]")].map(node => node.id),
      box: {left: box.left, right: box.right, width: box.width, height: box.height},
      texts: [...figure.querySelectorAll("text")].filter(text => text.textContent).map(text => {
        const at = text.getBoundingClientRect();
        const ink = getComputedStyle(text).fill;
        const [low, high] = [light(ink), behind].sort((a, b) => a - b);
        return {
          text: text.textContent,
          out: Math.max(box.left - at.left, box.top - at.top, at.right - box.right,
                        at.bottom - box.bottom),
          contrast: ink === "rgb(255, 255, 255)" ? null : (high + 0.05) / (low + 0.05),
          font: getComputedStyle(text).fontFamily,
        };
      }),
    };
  };
  const found = [];
  for (const figure of figures) {
    // What is far from the screen has neither its style nor its layout before it comes near.
    figure.scrollIntoView({block: "center"});
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    found.push(look(figure));
  }
  return found;
}
"""


def seen(page: Page) -> list[dict[str, Any]]:
    """Return what a reader sees of each figure on a page, in dropdowns and hidden cells, too."""
    page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
    return page.locator("svg.drawn-figure").evaluate_all(LOOK)


def hold_to_what_figures_owe(found: list[dict[str, Any]], width: int) -> None:
    ids = [name for figure in found for name in figure["ids"]]
    assert len(ids) == len(set(ids))
    for figure in found:
        assert figure["role"] == "img"
        assert figure["name"]
        assert 0 <= figure["box"]["left"] < figure["box"]["right"] <= width
        assert figure["box"]["height"] > 50
        assert [text for text in figure["texts"] if text["out"] > 0.5] == []
        assert [text for text in figure["texts"] if (text["contrast"] or 9) < 4.5] == []


# Figures drawn here


def drawn_here() -> Iterator[str]:
    mpl.use("agg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(fname=kernel_settings.SETTINGS / kernel_settings.STYLE):
        weights = np.random.default_rng(2).dirichlet(np.ones(7), size=7)
        tokens = ["the", "mouse", "$b", "<i>", "“", "…", "&"]
        drawings: list[Callable[[], Any]] = [
            lambda: figures.matrix(weights, tokens=tokens, title="Layer 1, head 11: who reads"),
            lambda: figures.curves(
                [1, 32, 1024], {"stride 16": [1, 30, 400], "full attention": [2, 20, 4e5]},
                xlabel="tokens n", ylabel="size of $x_i^2$, in megabytes", logx=True, logy=True,
            ),
            lambda: plt.title("two lines\nof text, turned at will", rotation=30),
        ]  # fmt: skip
        for draw in drawings:
            draw()
            written = io.StringIO()
            plt.savefig(written, format="svg", bbox_inches="tight")
            plt.close("all")
            yield written.getvalue()


def page_of(figures_: list[str], translate: Callable[[str], str]) -> str:
    style = book_style.style_sheet()
    body = "".join(
        f"<p>{dress(svg, prefix=f'f-{number}-', translate=translate)}</p>"
        for number, svg in enumerate(figures_)
    )
    return (
        '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">'
        f'<link rel="icon" href="data:,"><style>{style}</style>'
        f'<body style="background: #fffefb; margin: 1rem">{body}</body></html>'
    )


@pytest.fixture
def open_page(offline_page: MakePage, tmp_path: Path) -> Callable[..., Page]:
    def make(content: str, **options: Any) -> Page:
        (tmp_path / "page.html").write_text(content, encoding="utf-8")
        page = offline_page(**options)
        page.goto((tmp_path / "page.html").as_uri())
        return page

    return make


@pytest.mark.parametrize("translate", [str, in_lookalikes, lambda message: message * 3])
@pytest.mark.parametrize("width", [1280, 390])
def test_figures_are_legible_and_inside_their_frames(
    open_page: Callable[..., Page], width: int, translate: Callable[[str], str]
) -> None:
    found = seen(open_page(page_of(list(drawn_here()), translate), width=width))
    assert len(found) == 3
    hold_to_what_figures_owe(found, width)
    assert all("DejaVu" not in text["font"] for figure in found for text in figure["texts"])


def test_powers_stand_beside_their_base(open_page: Callable[..., Page]) -> None:
    page = open_page(page_of(list(drawn_here()), str))
    power = page.locator("text", has_text=re.compile(r"^210$")).first
    base, raised = power.locator("tspan").evaluate_all(
        "spans => spans.map(span => { const {left, right, top, bottom} = "
        "span.getBoundingClientRect(); return {left, right, top, bottom}; })"
    )
    assert -1 < raised["left"] - base["right"] < 2
    assert raised["bottom"] < base["bottom"]
    tick = power.bounding_box()
    assert abs(tick["x"] + tick["width"] / 2 - base["left"]) < tick["width"]


# The book's figures


def figures_of_book() -> dict[str, list[str]]:
    """Return the figures that the book's cells left, by the file of the executed notebook."""
    build = ROOT / "_build" / ".jupyter_cache"
    found = {}
    for path in sorted(build.glob(f"{execution_cache.key(ROOT)}/executed/*/base.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        bundles = [output.get("data", {}) for output in outputs]
        found[path.parent.name] = [
            bundle["image/svg+xml"]
            for bundle in bundles
            if "image/svg+xml" in bundle and "text/html" not in bundle
        ]
    return found


@pytest.mark.book
@pytest.mark.parametrize("width", [1280, 390])
def test_no_figure_of_the_book_speaks_english_in_a_made_up_language(
    open_page: Callable[..., Page], book: Path, width: int
) -> None:
    svgs = [svg for notebook in figures_of_book().values() for svg in notebook]
    assert len(svgs) > 20
    drawn = (words for svg in svgs for words in words_in(parse(svg)))
    data = {re.sub(r"\\[a-zA-Z]+", "", words.text) for words in drawn if words.is_data()}
    found = seen(open_page(page_of(svgs, in_lookalikes), width=width))
    assert len(found) == len(svgs)
    hold_to_what_figures_owe(found, width)
    said = {text["text"] for figure in found for text in figure["texts"]}
    said |= {figure["name"] for figure in found}
    # Digits may touch letters in a name: "L6" is one, and "2D".
    written, known = ({w for x in xs for w in re.findall("[a-zA-Z]{2,}", x)} for xs in (said, data))
    assert written - known == set()


@pytest.mark.book
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_of_a_chapter(
    offline_page: MakePage, book: Path, name: str, width: int, dark: bool
) -> None:
    page = offline_page(width=width, dark=dark)
    # Without their script, explorers leave their stills where they are.
    page.route(
        "**/explorers.js*", lambda route: route.fulfill(body="", content_type="text/javascript")
    )
    page.goto((book / name).as_uri())
    hold_to_what_figures_owe(seen(page), width)
    ids = page.locator("[id]").evaluate_all("nodes => nodes.map(node => node.id)")
    drawn = page.locator("svg.drawn-figure [id]").evaluate_all("nodes => nodes.map(n => n.id)")
    assert all(ids.count(one) == 1 for one in drawn)


@pytest.mark.book
def test_cells_left_no_picture_file_but_rasters(book: Path) -> None:
    assert list((book / "_images").glob("*.svg")) == []
    for name in CHAPTERS:
        assert "<dc:date>" not in (book / name).read_text(encoding="utf-8")
