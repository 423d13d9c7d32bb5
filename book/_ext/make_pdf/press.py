"""Chromium as the press: nothing is cut, no glyph is missing, and pages are printed twice."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page

from .file import page_numbers

__all__ = ["ARGUMENTS", "Unprintable", "printed"]

ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--allow-file-access-from-files"]
PATIENCE = 600_000
# The width of what `paper.css` leaves of A4 between its margins, in CSS pixels, and its height.
WIDTH, HEIGHT = 658, 979
SCRIPTS = Path(__file__).with_name("paper.js")


class Unprintable(ValueError):
    """The book would not be whole on paper; the message says what is missing."""


def printed(browser: Browser, whole: Path) -> bytes:
    """Return the PDF of a page of HTML, with the numbers of its own pages in its holes.

    Raises
    ------
    Unprintable
        If something would be cut at the paper's edge, or no font here has a character.
    """
    tab = _open(browser, whole)
    if cut := tab.evaluate("paper.cut()"):
        raise Unprintable("everything must fit on the paper, got too wide: " + "; ".join(cut))
    if missing := tab.evaluate("paper.missing()"):
        signs = " ".join(f"{sign} (U+{ord(sign):04X})" for sign in missing)
        raise Unprintable(
            f"fonts must have every character, got none here for {signs}."
            " Install one: `make browser` does where it can; on Debian it is fonts-noto-cjk."
        )
    places = tab.evaluate("paper.places()")
    numbers = page_numbers(_print(tab), places)
    tab.close()
    # A page that has been printed already has some of its headings twice in the outline.
    tab = _open(browser, whole)
    tab.evaluate("numbers => paper.number(numbers)", numbers)
    pdf = _print(tab)
    tab.close()
    if page_numbers(pdf, places) != numbers:
        raise Unprintable("pages must begin where they did, but their numbers moved them")
    return pdf


def _open(browser: Browser, whole: Path) -> Page:
    """Return the page, as it will lie on the paper."""
    tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    tab.set_default_timeout(PATIENCE)
    tab.emulate_media(media="print", color_scheme="light", reduced_motion="reduce")
    tab.goto(whole.resolve().as_uri())
    tab.evaluate("document.fonts.ready.then(() => null)")
    tab.add_script_tag(path=SCRIPTS)
    tab.evaluate(f"paper.fit({HEIGHT})")
    return tab


def _print(tab: Page) -> bytes:
    return tab.pdf(print_background=True, tagged=True, outline=True, prefer_css_page_size=True)
