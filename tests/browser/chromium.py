"""Find the Chromium of the browser tests; run as a script, install one where none is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Return the path of a Chromium: CHROMIUM's, the system's, or the one Playwright installed."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    for command in COMMANDS:
        path = shutil.which(command)
        if path:
            return path
    return _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    """Install a Chromium: Debian's where this is root on Debian, else Playwright's."""
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if as_root and Path("/etc/debian_version").exists() and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=True, env=quiet)
        packages = ["chromium", "fonts-dejavu-core"]
        subprocess.run(["apt-get", "install", "-qy", *packages], check=True, env=quiet)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


if __name__ == "__main__":
    if find() is None:
        print("== No Chromium found: installing one for the browser tests", flush=True)
        install()
    print(f"Browser tests use {find()}")
