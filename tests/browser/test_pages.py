"""Every page of the built book, in a real browser with no network: it loads, fits and answers."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from .waiting import until

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"

pytestmark = [pytest.mark.browser, pytest.mark.book]

PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("book/*.html"))
"""Collected from the built book; test_there_are_pages fails where there is none."""

REFERENCE = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("book/api/*.html"))

CHAPTERS = [page for page in PAGES if re.match(r"book/\d\d-", page)]

# A ratchet: chapters keep to these; who has to raise one says why.
FIRST_VISIT = 336_000
NEXT_VISIT = 212_000
MOST_ELEMENTS = 6_000

MakePage = Callable[..., Page]


def test_there_are_pages(book: Path) -> None:
    """The parametrised tests below run on what the build left."""
    for folder, pages in [("book", PAGES), ("book/api", REFERENCE)]:
        built = (path.relative_to(book).as_posix() for path in book.glob(f"{folder}/*.html"))
        assert sorted(built) == pages
    assert len(CHAPTERS) >= 2


def look_at(page: Page, address: str) -> None:
    """Open a page, scroll it through, and hold it to what every page owes."""
    page.goto(address, wait_until="load")
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.evaluate("document.fonts.ready.then(() => null)")
    assert page.locator("article h1").count() == 1
    assert page.locator("article h1").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_page_from_a_folder(
    offline_page: MakePage, book: Path, name: str, width: int, dark: bool
) -> None:
    page = offline_page(width=width, dark=dark)
    look_at(page, (book / name).as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")


@pytest.mark.parametrize("name", [*PAGES, "index.html", "search.html"])
def test_page_from_a_server(offline_page: MakePage, book_address: str, name: str) -> None:
    page = offline_page(allow=book_address)
    page.goto(f"{book_address}/{name}", wait_until="load")
    page.wait_for_selector("h1")


@pytest.mark.parametrize("name", CHAPTERS)
def test_mathematics_is_set(offline_page: MakePage, book: Path, name: str) -> None:
    page = offline_page()
    page.goto((book / name).as_uri())
    page.evaluate("document.fonts.ready.then(() => null)")
    formulas = page.locator("article .math")
    assert formulas.count() > 0
    assert page.locator("article .math math").count() == formulas.count()
    assert page.locator(".math-error, merror").count() == 0
    assert page.evaluate("document.fonts.check('16px \"Book Mathematics\"')")
    heights = formulas.evaluate_all(
        "nodes => nodes.filter(node => !node.closest('details:not([open]), .onlyprint, [hidden]'))"
        ".map(node => node.querySelector('math').getBoundingClientRect().height)"
    )
    assert min(heights) > 4


@pytest.mark.parametrize("name", PAGES)
def test_no_raw_syntax_is_left_on_the_page(offline_page: MakePage, book: Path, name: str) -> None:
    page = offline_page()
    page.goto((book / name).as_uri())
    look_for_raw_syntax(page)


def look_for_raw_syntax(page: Page) -> None:
    """Hold a page to show no markup but in its code."""
    text = page.evaluate(
        "() => { const copy = document.querySelector('article').cloneNode(true);"
        " copy.querySelectorAll('pre, code, math').forEach(node => node.remove());"
        " return copy.textContent; }"
    )
    found = re.findall(r"\$\$|:::|```|\{(?:cite|ref|eq|doc|term|numref)[:}]|\\begin\{", text)
    assert found == []


@pytest.mark.parametrize("width", [1280, 390])
def test_theme_button_changes_the_theme(offline_page: MakePage, book: Path, width: int) -> None:
    page = offline_page(width=width)
    page.goto((book / "book" / "intro.html").as_uri())
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    seen = set()
    for _ in range(3):
        page.locator(".article-header-buttons .theme-switch-button").click()
        seen.add(page.evaluate("document.documentElement.dataset.mode"))
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            assert page.evaluate(background) != before
    assert seen == {"light", "dark", "auto"}


def test_sidebar_opens_on_a_phone(offline_page: MakePage, book: Path) -> None:
    page = offline_page(width=390)
    page.goto((book / CHAPTERS[0]).as_uri())
    sidebar = page.locator("#pst-primary-sidebar-modal .bd-links")
    assert not sidebar.is_visible()
    page.locator(".bd-header-article .primary-toggle").click()
    sidebar.wait_for(state="visible")


@pytest.mark.parametrize("name", REFERENCE)
def test_page_of_reference_from_a_folder(offline_page: MakePage, book: Path, name: str) -> None:
    for width, dark in [(1280, False), (320, True)]:
        page = offline_page(width=width, dark=dark)
        look_at(page, (book / name).as_uri())
    look_for_raw_syntax(page)


def test_a_name_in_a_cell_leads_to_its_reference(offline_page: MakePage, book: Path) -> None:
    page = offline_page()
    page.goto((book / "book" / "06-performer.html").as_uri())
    # Until all explorers are alive, keys may find more between two places than they did before.
    until(page, "() => !document.querySelector('.attn-explorer:not(.ax-live)')")
    link = page.locator(".cell_input a.in-code", has_text="performer_attention").first
    decoration = "link => getComputedStyle(link).textDecorationLine"
    assert link.evaluate(decoration) == "none"
    link.focus()
    page.keyboard.press("Shift+Tab")
    # A busy page may make another place ready for keys meanwhile.
    for _ in range(4):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    expect(link).to_have_css("text-decoration-line", "underline")
    page.keyboard.press("Enter")
    page.wait_for_url("**/book/api/performer.html#attn_lib.performer_attention")
    assert page.locator(r"#attn_lib\.performer_attention").is_visible()


@pytest.mark.parametrize("name", CHAPTERS)
def test_copied_code_is_the_notebooks(offline_page: MakePage, book: Path, name: str) -> None:
    page = offline_page()
    page.goto((book / name).as_uri())
    shown = page.locator(".cell_input pre:has(a.in-code)").evaluate_all(
        "blocks => blocks.map(block => block.innerText.trim())"
    )
    notebook = (book / "notebooks" / Path(name).name).with_suffix(".ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = {"".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"}
    assert [code for code in shown if code and code not in sources] == []


@pytest.mark.parametrize("source", ["folder", "server"])
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("softmax", "book/00-softmax-attention.html"),
        ("performer_attention", "book/api/performer.html#attn_lib.performer_attention"),
    ],
)
def test_search_finds_a_page(
    offline_page: MakePage, book: Path, book_address: str, source: str, words: str, wanted: str
) -> None:
    start = book.as_uri() if source == "folder" else book_address
    page = offline_page(allow=book_address)
    page.goto(f"{start}/book/intro.html")
    page.locator(".bd-sidebar-primary .search-button-field").click()
    page.locator("#pst-search-dialog input").fill(words)
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#search-results ul.search li a[href*="{wanted}"]')


@pytest.mark.parametrize("name", CHAPTERS)
def test_buttons_lead_to_the_chapters_notebook(
    offline_page: MakePage, book: Path, name: str
) -> None:
    page = offline_page()
    page.goto((book / name).as_uri())
    notebook = Path(name).with_suffix(".ipynb").name
    colab = page.locator(".book-button").nth(0).get_attribute("href")
    assert re.fullmatch(
        r"https://colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/[\w.-]+/notebooks/"
        + re.escape(notebook),
        colab,
    )
    download = page.locator(".book-button").nth(1).get_attribute("href")
    shipped = (book / name).parent.joinpath(download).resolve()
    assert shipped.read_bytes() == (ROOT / "notebooks" / notebook).read_bytes()
    assert json.loads(shipped.read_text(encoding="utf-8"))["nbformat"] == 4


@pytest.mark.parametrize("name", [page for page in PAGES if page not in CHAPTERS])
def test_pages_without_code_have_no_notebook_button(
    offline_page: MakePage, book: Path, name: str
) -> None:
    source = (ROOT / name).with_suffix(".md").read_text(encoding="utf-8")
    page = offline_page()
    page.goto((book / name).as_uri())
    buttons = page.locator(".book-button:not(.language-switch)")
    assert buttons.count() == (2 if "kernelspec" in source else 0)


@pytest.mark.parametrize("name", [*CHAPTERS, "book/intro.html"])
def test_a_visit_weighs_at_most_370_kb_and_the_next_220(
    offline_page: MakePage, book: Path, book_address: str, name: str, record_property: Callable
) -> None:
    """Everything that the browser asks for, compressed as a server would compress it."""
    from test_book import compressed_size

    asked: list[str] = []
    page = offline_page(allow=book_address)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{book_address}/{name}", wait_until="networkidle")
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_timeout(200)
    files = {
        url.removeprefix(book_address + "/").split("?")[0] for url in asked if "data:" not in url
    }
    sizes = {file: compressed_size(book / file) for file in files}
    for file, size in sorted(sizes.items(), key=lambda item: -item[1]):
        record_property(file, size)
    assert sum(sizes.values()) <= FIRST_VISIT, sizes
    assert sizes[name] <= NEXT_VISIT


@pytest.mark.parametrize("name", [*CHAPTERS, "book/intro.html"])
def test_a_chapter_has_few_elements(offline_page: MakePage, book: Path, name: str) -> None:
    page = offline_page(width=390)
    page.goto((book / name).as_uri())
    assert page.locator("*").count() <= MOST_ELEMENTS


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_the_narrowest_phone(
    offline_page: MakePage, book: Path, name: str
) -> None:
    page = offline_page(width=320)
    page.goto((book / name).as_uri())
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def live_explorers(page: Page) -> Iterator[Locator]:
    """Yield each explorer of a page, in sight and drawn."""
    for explorer in page.locator(".attn-explorer").all():
        explorer.scroll_into_view_if_needed()
        until(page, "one => one.classList.contains('ax-live')", arg=explorer.element_handle())
        page.wait_for_timeout(200)
        yield explorer


TALLEST = 760
"""Of an explorer, in CSS pixels: with the page's bar above it, it fits a screen of 800."""


@pytest.mark.parametrize("name", CHAPTERS)
def test_explorers_fit_a_screen(offline_page: MakePage, book: Path, name: str) -> None:
    page = offline_page(width=1280)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto((book / name).as_uri())
    assert page.locator(".attn-explorer").count() > 0
    for explorer in live_explorers(page):
        box = explorer.bounding_box()
        assert box["height"] <= TALLEST, explorer.get_attribute("data-explorer")
        assert box["x"] + box["width"] <= 1280


@pytest.mark.parametrize("name", CHAPTERS)
@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 844)])
def test_controls_stay_in_reach_on_a_phone(
    offline_page: MakePage, book: Path, name: str, width: int, height: int
) -> None:
    """Wherever one looks at a picture, the first control and the status line are on the screen."""
    page = offline_page(width=width)
    page.set_viewport_size({"width": width, "height": height})
    page.goto((book / name).as_uri())
    for explorer in live_explorers(page):
        for share in (0.1, 0.5):
            for _ in range(3):  # what comes near above it may turn out taller than was reckoned
                explorer.evaluate(
                    "(one, share) => { const box = one.getBoundingClientRect();"
                    " scrollBy(0, box.y + share * (box.height - innerHeight)); }",
                    share,
                )
                page.wait_for_timeout(50)
            hidden = explorer.evaluate(
                "one => [...one.querySelectorAll('.ax-controls :is(input, select), .ax-status')]"
                ".filter((part) => { const box = part.getBoundingClientRect();"
                " const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];"
                " const at = document.elementFromPoint(x, y);"
                " return !at || !(part.contains(at) || part.parentElement.contains(at)); })"
                ".map((part) => part.outerHTML)"
            )
            assert hidden == []


def test_paper_is_light_and_nothing_on_it_is_folded(offline_page: MakePage, book: Path) -> None:
    page = offline_page(dark=True)
    page.goto((book / "book" / "05-linformer.html").as_uri())
    page.wait_for_selector(".attn-explorer.ax-live[data-state]")
    folded = "document.querySelectorAll('article details:not([open])').length"
    theme = "document.documentElement.dataset.theme"
    before = page.evaluate(folded)
    assert (before > 0, page.evaluate(theme)) == (True, "dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert (page.evaluate(folded), page.evaluate(theme)) == (0, "light")
    assert page.locator(".attn-explorer").get_attribute("data-theme") == "light"
    said, where = page.locator(".attn-explorer .ax-print").all()
    assert said.is_visible()
    assert said.inner_text().startswith("Tokens: 128 · Layer and head: layer 2, head 9")
    assert where.inner_text().endswith("05-linformer.html#low-rank-attention.length=128")
    assert not page.locator(".attn-explorer .ax-controls").is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert (page.evaluate(folded), page.evaluate(theme)) == (before, "dark")


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_question_replies_to_the_answer_given(
    offline_page: MakePage, book: Path, name: str
) -> None:
    """Each answer gets its own reply and no other; the right ones unfold what stands below."""
    page = offline_page(width=1280)
    page.goto((book / name).as_uri())
    for question in page.locator(".ask").all():
        answers = question.locator(".ask-answer")
        shown = question.locator(".ask-reply:not([hidden])")
        assert shown.count() == 0
        for answer in answers.all():
            if question.get_attribute("data-asks") == "choice":
                answer.locator("input").check()
            else:
                value = answer.get_attribute("data-value") or "-123456"
                question.locator("input").fill(value)
                question.locator("input").press("Enter")
            assert shown.count() == 1
            assert answer.locator(".ask-reply").is_visible()
        assert question.get_attribute("data-answered") == ""
    first = page.locator(".ask ~ details").first
    if first.count():
        assert first.get_attribute("open") == ""


@pytest.mark.parametrize(
    ("typed", "right"),
    [("0.915", True), ("91.5 %", True), ("0,915", True), ("183/200", True), ("915", False)],
)
def test_a_number_may_be_typed_in_many_ways(
    offline_page: MakePage, book: Path, typed: str, right: bool
) -> None:
    page = offline_page(width=1280)
    page.goto((book / "book" / "04-reformer.html").as_uri())
    question = page.locator(".ask[data-asks=number]").first
    question.locator("input").fill(typed)
    question.locator("button").click()
    assert (question.locator("[data-right] .ask-reply").is_visible()) == right
    question.locator("input").fill("many")
    question.locator("button").click()
    assert question.locator(".ask-reply:not([hidden])").count() == 0
    assert question.locator(".ask-number [role=status]").inner_text() == "Please type a number."
