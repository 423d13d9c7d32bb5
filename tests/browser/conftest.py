"""A real Chromium for the tests, cut off from every other host, and the built book."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright
from prerequisites import built_book, missing

from browser import chromium

# The address bar's own pages, which a headless Chromium loads into every window, too: half a second
# of processor each. The browser heeds the last list alone, so that Playwright's is said again.
FEATURES = (
    *("WebUIOmniboxPopup", "WebUIOmniboxFullPopup", "WebUIOmniboxAimPopup"),
    *("AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync"),
    *("DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades"),
    *("LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints"),
    *("PaintHolding", "PreconnectToSearch", "ThirdPartyStoragePartitioning"),
)
ARGUMENTS = [
    f"--disable-features={','.join(FEATURES)}",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line of log for each."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start one Chromium for all tests."""
    path = chromium.find()
    if path is None:
        missing("no Chromium found: run `make browser`")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def book() -> Path:
    """Return the folder of the built book."""
    return built_book()


@pytest.fixture(scope="session")
def book_address(book: Path) -> Iterator[str]:
    """Serve the built book on this machine and return its address."""
    handler = partial(QuietHandler, directory=str(book))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def offline_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a factory of pages that reach files alone; complaints of a page fail its test.

    The factory takes ``width``, ``dark``, ``allow`` (the start of addresses that may be asked for,
    beside files) and any further option of a Playwright context.
    """
    contexts = []
    complaints: list[str] = []

    def make(width: int = 1280, dark: bool = False, allow: str = "file:", **options: Any) -> Page:
        def gate(route: Route, request: Request) -> None:
            if request.url.startswith(("file:", "data:", "blob:", allow)):
                route.continue_()
            else:
                complaints.append(f"asked for {request.url}")
                route.abort()

        context = browser.new_context(
            viewport={"width": width, "height": 900 if width > 600 else 844},
            color_scheme="dark" if dark else "light",
            **options,
        )
        contexts.append(context)
        context.route("**/*", gate)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                complaints.append(f"console {message.type}: {message.text}")
                if message.type in {"error", "warning"}
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
        page.on(
            "requestfailed",
            # What a page gives up as it closes (its icon, say) is not missing.
            lambda request: (
                complaints.append(f"failed: {request.url} {request.failure}")
                if request.failure != "net::ERR_ABORTED"
                else None
            ),
        )
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
