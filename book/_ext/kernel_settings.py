"""Settle how the kernels that run the book's cells draw, without a word in the cells.

A cell's figure leaves a kernel as SVG whose words are text; ``figures_on_page`` puts it on the
page. The settings lie in ``kernel_profile/``. Kernels find them by two variables that they inherit:
IPython looks for its profile in a folder that lasts as long as the build, and matplotlib reads one
file. So nothing of the profile or the style of the person who builds the book is changed, or shows
in it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

SETTINGS = Path(__file__).with_name("kernel_profile")
PROFILE = "ipython_kernel_config.py"
STYLE = "matplotlibrc"


def settings() -> list[str]:
    """Return the text of every file of settings: what the cells' outputs depend on."""
    return [(SETTINGS / name).read_text(encoding="utf-8") for name in (PROFILE, STYLE)]


def prepare(folder: Path) -> dict[str, str]:
    """Write the kernels' profile below `folder` and return the variables that lead to it.

    IPython writes into its folder, too, so that it gets a copy.
    """
    profile = folder / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SETTINGS / PROFILE, profile / PROFILE)
    return {"IPYTHONDIR": str(folder.resolve()), "MATPLOTLIBRC": str(SETTINGS / STYLE)}


def settle(app: Sphinx, config: Config) -> None:
    """Let all kernels that this build starts inherit the settings."""
    folder = tempfile.TemporaryDirectory(prefix="book-kernels-", ignore_cleanup_errors=True)
    variables = prepare(Path(folder.name))
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)

    def clean_up(app: Sphinx, exception: Exception | None) -> None:
        folder.cleanup()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    app.connect("build-finished", clean_up)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", settle)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
