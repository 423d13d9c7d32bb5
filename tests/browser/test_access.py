"""Every page held to axe-core's rules, in both themes, and on the narrowest phone."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page
from prerequisites import missing

from .waiting import until

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [pytest.mark.browser, pytest.mark.book]

READ = ("index", "performer", "explorers")
"""Pages of the reference that stand for all."""

PAGES = [
    "search.html",
    *(path.relative_to(HTML).as_posix() for path in sorted(HTML.glob("book/*.html"))),
    *(f"book/api/{name}.html" for name in READ),
]
MakePage = Callable[..., Page]

# What is folded away is read, too, and what is far from the screen is laid out at once.
UNFOLD = """() => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const style = document.createElement("style");
  style.textContent = "* { content-visibility: visible !important; transition: none !important; }";
  document.head.append(style);
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        missing("no axe-core found: run `make front`")
    return AXE.read_text(encoding="utf-8")


def violations(page: Page, axe: str, options: dict) -> dict[str, list[str]]:
    """Return the names of the rules that a page breaks, with the elements that do."""
    until(
        page,
        "() => [...document.querySelectorAll('.attn-explorer')]"
        ".every((one) => one.classList.contains('ax-live'))",
    )
    page.evaluate(UNFOLD)
    page.wait_for_timeout(300)
    page.evaluate(axe)
    # It would ask for the style sheets again, which a page from a folder may not.
    options = {"preload": False, **options}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return {
        each["id"]: [re.sub(r"\s+", " ", node["html"])[:160] for node in each["nodes"]]
        for each in found
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_page_breaks_no_rule(offline_page: MakePage, book: Path, axe: str, name: str) -> None:
    page = offline_page(width=1280)
    page.goto((book / name).as_uri())
    assert violations(page, axe, {}) == {}


@pytest.mark.parametrize("name", PAGES)
def test_the_dark_theme_has_contrast(
    offline_page: MakePage, book: Path, axe: str, name: str
) -> None:
    page = offline_page(width=1280, dark=True)
    page.goto((book / name).as_uri())
    assert violations(page, axe, {"runOnly": ["color-contrast"]}) == {}


@pytest.mark.parametrize("name", PAGES)
def test_fingers_hit_their_targets(offline_page: MakePage, book: Path, axe: str, name: str) -> None:
    page = offline_page(width=320)
    page.goto((book / name).as_uri())
    rules = {name: {"enabled": True} for name in ("target-size", "meta-viewport")}
    options = {"runOnly": list(rules), "rules": rules}
    assert violations(page, axe, options) == {}
