"""Find the Chromium of the browser tests; run as a script, install one where none is found.

As root on Debian the script installs WebKitGTK, too, for the tests that run in both; and, since the
book on paper holds Chinese, a font with Chinese where there is none. With ``--soak`` it installs
faketime, which lets a book be built on another day.
"""

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


def _is_root_on_debian() -> bool:
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return bool(as_root and Path("/etc/debian_version").exists() and shutil.which("apt-get"))


def _install_packages(*packages: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=quiet)
    command = ["apt-get", "install", "-qy", *packages]
    subprocess.run(command, check=True, env=quiet)


def install() -> None:
    """Install a Chromium: Debian's where this is root on Debian, else Playwright's."""
    if _is_root_on_debian():
        _install_packages("chromium", "fonts-dejavu-core")
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def has_chinese() -> bool:
    """Tell whether a font here has Chinese; where fontconfig does not say, the system has one."""
    if shutil.which("fc-list") is None:
        return sys.platform in {"darwin", "win32"}
    command = ["fc-list", ":lang=zh-cn", "family"]
    return bool(subprocess.run(command, check=True, capture_output=True).stdout.strip())


if __name__ == "__main__":
    if find() is None:
        print("== No Chromium found: installing one for the browser tests", flush=True)
        install()
    # Beside this script.
    import webkit

    if not webkit.is_there() and _is_root_on_debian():
        print("== No WebKitGTK found: installing it for the browser tests", flush=True)
        _install_packages(*webkit.PACKAGES)
    if not has_chinese() and _is_root_on_debian():
        print("== No font with Chinese found: installing one for the book on paper", flush=True)
        _install_packages("fonts-noto-cjk")
    if "--soak" in sys.argv[1:] and not shutil.which("faketime") and _is_root_on_debian():
        print("== No faketime found: installing it for the soak", flush=True)
        _install_packages("faketime")
    print(f"Browser tests use {find()}")
