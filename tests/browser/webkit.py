"""WebKitGTK, driven by WebDriver: find it, and start it on a screen that nobody sees."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("webkit2gtk-driver", "xvfb")
DRIVER = "WebKitWebDriver"
SCREEN = "1600x1200x24"
PATIENCE = 20.0


def browser() -> Path | None:
    """Return the path of WebKitGTK's small browser, or None."""
    folders = (Path("/usr/lib"), Path("/usr/libexec"))
    found = [path for folder in folders for path in folder.glob("**/webkit2gtk-4.*/MiniBrowser")]
    return max(found, default=None)


def is_there() -> bool:
    """Tell whether all that it needs is installed."""
    return bool(shutil.which(DRIVER) and shutil.which("Xvfb") and browser())


class Window:
    """A window of the browser, by the commands of W3C WebDriver."""

    def __init__(self, address: str) -> None:
        self.address = address
        options = {"binary": str(browser()), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        self.session = ""
        started = self.command("POST", "/session", {"capabilities": wanted})
        self.session = f"/session/{started['sessionId']}"
        self.version = str(started["capabilities"]["browserVersion"])
        self.command("POST", "/timeouts", {"script": 120_000, "pageLoad": 60_000})

    def command(self, method: str, path: str, body: Any = None) -> Any:
        """Send one command and return its answer."""
        data = None if body is None else json.dumps(body).encode()
        where = f"{self.address}{self.session}{path}"
        request = urllib.request.Request(where, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=150) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from error

    def visit(self, address: str) -> None:
        """Open a page."""
        self.command("POST", "/url", {"url": address})

    def resize(self, width: int, height: int) -> None:
        """Give the window a size, in pixels."""
        self.command("POST", "/window/rect", {"width": width, "height": height})

    def evaluate(self, function: str, argument: Any = None) -> Any:
        """Call a function that may be asynchronous, and return what it gives."""
        script = f"""const done = arguments[1];
            Promise.resolve(({function})(arguments[0])).then(
                (value) => done({{ value }}), (error) => done({{ error: String(error) }}))"""
        body = {"script": script, "args": [argument]}
        answer = self.command("POST", "/execute/async", body)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("value")

    def picture(self) -> bytes:
        """Return what is seen, as a PNG."""
        return base64.b64decode(self.command("GET", "/screenshot"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_there(port: int, driver: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while driver.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{DRIVER} does not answer")


@contextlib.contextmanager
def window() -> Iterator[Window]:
    """Open one window, and close all that it needed."""
    # The server chooses a screen that is free and writes its number.
    reading, writing = os.pipe()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp"],
        pass_fds=(writing,),
        **quiet,
    )
    os.close(writing)
    with open(reading, encoding="ascii") as answer:
        number = answer.readline().strip()
    port = _free_port()
    variables = {**os.environ, "DISPLAY": f":{number}", "NO_AT_BRIDGE": "1"}
    driver = subprocess.Popen([DRIVER, f"--port={port}"], env=variables, **quiet)
    try:
        _until_there(port, driver)
        opened = Window(f"http://127.0.0.1:{port}")
        yield opened
        opened.command("DELETE", "")
    finally:
        for process in (driver, screen):
            process.terminate()
            process.wait()
