"""Hands that know no rule: seeded walks over every page of explorers, in two browsers.

A walk (``walk.js``) moves controls, points, presses keys and buttons, types what no field is for,
changes theme, width and address, and goes back and forward. After each, no error has been told,
what is drawn is what `compute` gives, and a page opened anew at the same state shows the same.
In the gate a page has three seconds, in the soak a minute; ``FUZZ_SEED`` repeats a walk.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pytest
from addresses import keys
from playwright.sync_api import Page
from prerequisites import missing

from attn_lib import explorers
from browser import webkit

from .test_explorers import digests_of, values_in

pytestmark = [pytest.mark.browser, pytest.mark.book]

ROOT = Path(__file__).parents[2]
WALK = Path(__file__).with_name("walk.js").read_text(encoding="utf-8")
PAGES = sorted(
    path.stem
    for path in (ROOT / "book").glob("*.md")
    if "attn_lib.explorers import" in path.read_text(encoding="utf-8")
)
# A file for what differed, to look at.
KEEP = os.environ.get("FUZZ_KEEP")
KEYS = dict(zip(explorers.__all__, keys(explorers.__all__), strict=True))
SIZES = ((1280, 900), (390, 844), (820, 1180))
LIVE = """() => new Promise((done, fail) => {
  const roots = [...document.querySelectorAll(".attn-explorer")];
  const end = performance.now() + 20_000;
  const look = () => {
    const rest = roots.filter((el) => !el.dataset.digest);
    if (!rest.length) done(roots.length);
    else if (performance.now() < end) setTimeout(look, 50);
    else fail(new Error(`not live: ${rest.map((el) => el.dataset.explorer)}`));
  };
  look();
})"""
# Of the pictures alone: what was said of a way to a state differs with the way. What is far from
# the screen is laid out when it comes near, so all comes near.
PICTURES = """async () => {
  document.activeElement?.blur();
  const near = document.createElement("style");
  near.textContent = "* { content-visibility: visible !important; }";
  document.head.append(near);
  const frame = () => new Promise(requestAnimationFrame);
  for (let k = 0; k < 4; k++) await frame();
  const bytes = (canvas) => canvas.width && canvas.height ? canvas.toDataURL() : "";
  const plain = (svg) => {
    const copy = svg.cloneNode(true);
    for (const el of copy.querySelectorAll("[style*='display: none']")) el.remove();
    const kept = copy.outerHTML.replace(/ (id|for|href|aria-[a-z]+)="[^"]*"/g, "");
    return kept.replaceAll(' style=""', "");
  };
  return [...document.querySelectorAll(".attn-explorer")].map((root) => ({
    canvases: [...root.querySelectorAll("canvas")].map(bytes),
    drawings: [...root.querySelectorAll("svg")].map(plain),
    summary: root.querySelector(".ax-summary")?.textContent ?? "",
    values: [...root.querySelectorAll("[data-control]")].map((el) => `${el.value} ${el.checked}`),
  }));
}"""


class Seen(Protocol):
    """What a walk needs of a browser's window."""

    def visit(self, address: str) -> None: ...

    def resize(self, width: int, height: int) -> None: ...

    def evaluate(self, function: str, argument: Any = None) -> Any: ...


class ChromiumWindow:
    """A window of Chromium; what its console says fails the test that opened it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def visit(self, address: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(address)

    def resize(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def evaluate(self, function: str, argument: Any = None) -> Any:
        return self.page.evaluate(function, argument)


@pytest.fixture(scope="module")
def webkit_window() -> Iterator[webkit.Window]:
    """Return one window of WebKitGTK for all pages."""
    if not webkit.is_there():
        missing("no WebKitGTK found: run `make browser` on Debian, as root")
    with webkit.window() as opened:
        yield opened


@pytest.fixture(params=["chromium", "webkit"])
def window(request: pytest.FixtureRequest) -> Seen:
    """Return a window of either browser."""
    if request.param == "webkit":
        found: Seen = request.getfixturevalue("webkit_window")
        return found
    make: Callable[..., Page] = request.getfixturevalue("offline_page")
    return ChromiumWindow(make())


def said(value: Any) -> str:
    """Return a control's value as an address has it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, bool) else str(value)


def address_of(drawn: list[dict[str, str]]) -> str:
    """Return the part of an address that leads to what is drawn."""
    entries = []
    for one, key in zip(drawn, keys(one["explorer"] for one in drawn), strict=True):
        values = {name: said(value) for name, value in json.loads(one["state"]).items()}
        values["at"] = said([k for k in json.loads(one["pick"]) if k is not None])
        entries += [f"{key}.{name}={quote(value, safe='')}" for name, value in values.items()]
    return "#" + "&".join(entries)


def computed(one: dict[str, str]) -> str:
    """Return the digests of what `compute` gives for a state that is drawn."""
    explorer = getattr(explorers, one["explorer"])
    return digests_of(explorer, explorer.compute(**values_in(one["state"])))


def check_same(window: Seen, address: str, done: dict[str, Any], where: str) -> None:
    """Hold the page to one that is opened anew at the same state; it stays open."""
    here = window.evaluate(PICTURES)
    window.visit(address + address_of(done["drawn"]))
    window.evaluate(LIVE)
    there = window.evaluate(PICTURES)
    for before, after, one in zip(here, there, done["drawn"], strict=True):
        unlike = [kind for kind in before if before[kind] != after[kind]]
        if unlike and KEEP:
            Path(KEEP).write_text(json.dumps([unlike, one, before, after]), encoding="utf-8")
        assert not unlike, f"{unlike} of {one['explorer']}, {where}"


def walk(window: Seen, address: str, bursts: int, seconds: float, seed: int) -> int:
    """Walk over a page in bursts, hold it to `compute` and to itself; return the steps."""
    draw = random.Random(seed)
    steps = 0
    window.resize(*SIZES[0])
    window.visit(address)
    count = window.evaluate(LIVE)
    assert count
    for burst in range(bursts):
        window.resize(*SIZES[burst % len(SIZES)])
        plan = {"seed": draw.randrange(2**32), "milliseconds": 1000 * seconds, "keys": KEYS}
        done = window.evaluate(WALK, plan)
        steps += done["steps"]
        where = f"seed {seed}, burst {burst}, then {done['last']}"
        assert done["complaints"] == [], where
        assert len(done["drawn"]) == count, where
        for one in done["drawn"]:
            assert one["digest"] == computed(one), f"{one['explorer']}, {one['state']}, {where}"
        if burst == bursts - 1 or burst % 3 == 2:
            check_same(window, address, done, where)
    return steps


@pytest.mark.parametrize("name", PAGES)
def test_a_walk_breaks_nothing(window: Seen, book: Path, name: str) -> None:
    seed = int(os.environ.get("FUZZ_SEED", 20261130))
    steps = walk(window, (book / "book" / f"{name}.html").as_uri(), 3, 1.0, seed)
    print(f"{name}: seed {seed}, {steps} steps")
    assert steps >= 10


@pytest.mark.soak
@pytest.mark.parametrize("name", PAGES)
def test_a_long_walk_breaks_nothing(
    window: Seen, book: Path, name: str, record_property: Callable[[str, Any], None]
) -> None:
    seed = int(os.environ.get("FUZZ_SEED", time.strftime("%Y%m%d")))
    record_property("seed", seed)
    steps = walk(window, (book / "book" / f"{name}.html").as_uri(), 12, 5.0, seed)
    record_property("steps", steps)
    assert steps >= 200
