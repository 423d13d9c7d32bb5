"""Each page names the one script that stands in it, and nothing else that gets in is run."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

pytestmark = [pytest.mark.browser, pytest.mark.book]

SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.S)
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
HANDLER = re.compile(r"<[a-z][^<>]*\son[a-z]+\s*=", re.I)
HOSTILE = """
<script>document.title = "run"</script>
<img src="data:," onerror="document.title = 'run'">
<a id="hostile" href="javascript:document.title = 'run'">a</a>
"""


def pages_of(book: Path) -> list[Path]:
    """Return all pages but those that lead to the first of an edition: they have no script."""
    leading = {book / "index.html", book / "zh" / "index.html"}
    pages = sorted(set(book.glob("**/*.html")) - leading)
    assert len(pages) > 40
    return pages


def test_every_page_names_the_scripts_that_stand_in_it(book: Path) -> None:
    first = (book / "index.html").read_text(encoding="utf-8")
    assert "<script" not in first
    assert "default-src 'none'" in POLICY.findall(first)[0]
    for page in pages_of(book):
        text = page.read_text(encoding="utf-8")
        (policy,) = POLICY.findall(text)
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        assert text.index("Content-Security-Policy") < text.index("<script")
        for script in SCRIPT.finditer(text):
            if "src=" in script["attributes"]:
                assert not re.search(r'src="(https?:)?//', script["attributes"])
            elif 'type="application/' not in script["attributes"]:
                digest = hashlib.sha256(script["text"].encode()).digest()
                assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy, page
        assert not HANDLER.search(SCRIPT.sub("", text)), page


@pytest.mark.parametrize("by_host", [False, True], ids=["file", "host"])
def test_what_gets_into_a_page_is_not_run(
    browser: Browser, book: Path, book_address: str, by_host: bool
) -> None:
    name = "book/04-reformer.html"
    context = browser.new_context(offline=not by_host)
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    address = f"{book_address}/{name}" if by_host else (book / name).as_uri()
    text = (book / name).read_text(encoding="utf-8")
    body = text.replace("<h1>", HOSTILE + "<h1>", 1)
    page.route(address, lambda route: route.fulfill(body=body, content_type="text/html"))
    page.goto(address)
    expect(page.locator("[data-explorer=LSHCircle].ax-live")).to_be_visible()
    page.locator("#hostile").dispatch_event("click")
    page.wait_for_timeout(200)
    assert page.title() != "run"
    violations = [line for line in refused if "Content Security Policy" in line]
    assert len(violations) >= 2, refused
    context.close()


def test_the_first_page_leads_to_the_cover(browser: Browser, book: Path) -> None:
    page = browser.new_page()
    page.goto((book / "index.html").as_uri())
    page.wait_for_url("**/book/intro.html")
    page.close()
