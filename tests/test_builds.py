"""The same book from every build: in another folder, on another day, and without Jupyter Book."""

import os
import re
import shutil
from pathlib import Path

import builds
import pytest

# What a builder may have set otherwise, and a book must not show.
HERE = {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C.UTF-8"}
THERE = {"PYTHONHASHSEED": "2", "TZ": "Asia/Shanghai", "LANG": "C", "COLUMNS": "60"}
LATER = 40 * 24 * 3600
REMOVE = """
import os, pathlib, sys, types
sys.path.append("book/_ext")
import execution_cache
out = pathlib.Path(os.environ["OUT"])
(out / "reports" / "book").mkdir(parents=True)
hooks = []
app = types.SimpleNamespace(outdir=out, add_config_value=lambda *_, **__: None,
                            connect=lambda event, hook: hooks.append((event, hook)))
execution_cache.setup(app)
for event, hook in hooks:
    if event == "builder-inited":
        hook(app)
"""


def unlike(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Return the files that two books have not in common."""
    return sorted(name for name in first | second if first.get(name) != second.get(name))


def test_a_chapter_built_twice_has_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "an other" / "书"
    builds.copy(one)
    builds.copy(other, builds.SOME_DAY + LATER)
    for folder in (one, other):
        builds.keep_pages(folder, "notation", "02-explicit-sparse")
    first = builds.sums(builds.build(one, more=HERE))
    assert len(first) > 20
    assert unlike(first, builds.sums(builds.build(other, more=THERE))) == []
    page = one / "book" / "notation.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    again = builds.sums(builds.build(one, more=HERE))
    assert unlike(first, again) == [], "also where only one page is read anew"
    still = builds.sums(builds.build(one, more=HERE))
    assert unlike(first, still) == [], "also where nothing is left to do"


def test_reports_of_a_failed_build_are_gone_in_the_next(tmp_path: Path) -> None:
    builds.run(["python", "-c", REMOVE], builds.ROOT, {"OUT": str(tmp_path)})
    assert not (tmp_path / "reports").exists()


@pytest.mark.soak
@pytest.mark.alone
def test_the_book_built_on_two_days_has_the_same_bytes(tmp_path: Path) -> None:
    tool = shutil.which("faketime")
    assert tool, "no faketime found: `make soak` installs it on Debian, as root"
    one, other = builds.copy(tmp_path / "one"), builds.copy(tmp_path / "other" / "书")
    strict = ("-W", "--keep-going")
    builds.build(one, *strict, more=HERE)
    first = builds.sums(builds.build_editions(one, HERE))
    # A library that a process loads first moves its clock, and that of all that it starts.
    day = builds.run([tool, "-f", "+40d", "env"], other).stdout
    moved = dict(re.findall(r"(?m)^(LD_PRELOAD|FAKETIME)=(.*)$", day))
    assert set(moved) == {"LD_PRELOAD", "FAKETIME"}, "the clock is not moved"
    # All clocks are: where that of waiting is not, a kernel waits for ever.
    more = THERE | moved
    builds.build(other, *strict, more=more)
    second = builds.sums(builds.build_editions(other, more))
    assert len(first) > 120
    assert "zh/book/04-reformer.html" in first
    assert unlike(first, second) == []


@pytest.mark.soak
@pytest.mark.alone
def test_sphinx_alone_builds_the_same_pages(tmp_path: Path) -> None:
    """Jupyter Book 1 is no longer developed; the book does not hang on it."""
    folder = builds.copy(tmp_path / "plain")
    caches = builds.ROOT / "_build" / ".jupyter_cache"
    shutil.copytree(caches, folder / "_build" / ".jupyter_cache")
    wanted = builds.sums(builds.build(folder, "-W", "--keep-going"))
    builds.run(["jupyter-book", "config", "sphinx", "."], folder)
    html = folder / "_build" / "plain"
    # Jupyter Book itself finds the extensions of `_config.yml`; its conf.py does not say where.
    there = {"PYTHONPATH": os.pathsep.join([str(folder), str(folder / "book" / "_ext")])}
    builds.run(["sphinx-build", "-b", "html", "-W", "--keep-going", ".", html], folder, there)
    found = builds.sums(html)
    # Sphinx keeps what it needs for the next build among the pages.
    kept = {name for name in found if name.startswith(".doctrees/")}
    differing = [name for name in unlike(wanted, found) if name not in kept]
    assert differing == []
