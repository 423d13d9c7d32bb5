"""Measure how the built pages load, as on a phone: ``python -m benchmarks.loading --help``.

Chromium opens each chapter from its file, its processor slowed, and says when it first painted,
when the first explorer answered, how long the longest task took, and, not slowed, how long script
and layout take when a slider moves. Machines are compared by a fixed piece of script that runs in
the same page, slowed alike.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, sync_playwright

from benchmarks import record
from benchmarks.cells import ROOT
from tests.browser import chromium

__all__ = ["SCHEMA_VERSION", "measure", "sliders", "visit"]

SCHEMA_VERSION = 1
HTML = ROOT / "_build" / "html"
WIDTH, HEIGHT = 390, 844
PATIENCE = 30_000
SETTLED = 1500
SEEN = """(patience) => new Promise((done, fail) => {
  const end = performance.now() + patience;
  const look = () => {
    if (seen.explorer !== null) done();
    else if (performance.now() > end) fail(new Error("no explorer is there"));
    else setTimeout(look, 100);
  };
  look();
})"""

WATCH = """
window.seen = {paint: null, explorer: null, tasks: [], shift: 0};
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) seen.tasks.push(task.duration);
}).observe({type: "longtask", buffered: true});
new PerformanceObserver((list) => {
  for (const paint of list.getEntries())
    if (paint.name === "first-contentful-paint") seen.paint = paint.startTime;
}).observe({type: "paint", buffered: true});
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) if (!shift.hadRecentInput) seen.shift += shift.value;
}).observe({type: "layout-shift", buffered: true});
new MutationObserver((_, watcher) => {
  if (!document.querySelector(".ax-live")) return;
  seen.explorer = performance.now();
  watcher.disconnect();
}).observe(document, {subtree: true, childList: true, attributeFilter: ["class"]});
"""
MOVES = """() => {
  window.moves = [];
  let begun = 0;
  addEventListener("input", () => { begun = performance.now(); }, true);
  addEventListener("input", () => {
    void document.documentElement.offsetHeight;
    moves.push(performance.now() - begun);
  });
}"""
PRESSES = 40
SQUARE_ROOTS = """() => {
  const begin = performance.now();
  let sum = 0;
  for (let k = 0; k < 6e6; k++) sum += Math.sqrt(k);
  return sum ? performance.now() - begin : 0;
}"""


def _weight(address: str) -> int:
    """Return the bytes of a file as a server would send it: text by gzip."""
    raw = Path(unquote(urlsplit(address).path)).read_bytes()
    return min(len(raw), len(gzip.compress(raw, 6, mtime=0)))


def visit(browser: Browser, page: Path, slowed: float) -> dict[str, Any]:
    """Open a page in a fresh context and return what was seen.

    Returns
    -------
    dict
        ``paint_ms``, ``explorer_ms`` (None where the page has none), ``longest_task_ms``,
        ``shift`` (the sum of layout shifts), ``elements``, ``script_ms`` of the fixed script, and
        ``kb``: gzipped kilobytes by file.
    """
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2, offline=True
    )
    tab = context.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.add_init_script(WATCH)
    session = context.new_cdp_session(tab)
    # A window of its own loads pages of the browser's at first; no question is put to the page
    # while it loads: either would count as its work.
    tab.wait_for_timeout(SETTLED)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    tab.goto(page.as_uri(), wait_until="load")
    tab.wait_for_timeout(2 * SETTLED)
    if tab.locator(".attn-explorer").count():
        tab.evaluate(SEEN, PATIENCE)
    seen = tab.evaluate("seen")
    elements = tab.locator("*").count()
    script = tab.evaluate(SQUARE_ROOTS)
    context.close()
    files = {Path(urlsplit(url).path).name: _weight(url) for url in asked if url[:5] == "file:"}
    return {
        "paint_ms": seen["paint"],
        "explorer_ms": seen["explorer"],
        "longest_task_ms": max(seen["tasks"], default=0),
        "shift": seen["shift"],
        "elements": elements,
        "script_ms": script,
        "kb": {name: round(size / 1024, 1) for name, size in files.items()},
    }


def sliders(browser: Browser, page: Path) -> dict[str, float]:
    """Return, for every slider of a page, what 95 % of its moves stay below: script and layout.

    The processor is not slowed, and the screen is a desk's.
    """
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.goto(page.as_uri(), wait_until="load")
    tab.wait_for_timeout(SETTLED)
    tab.evaluate(MOVES)
    found = {}
    for slider in tab.locator(".attn-explorer.ax-live input[type=range]").all():
        if slider.is_disabled():
            continue
        slider.scroll_into_view_if_needed()
        slider.focus()
        tab.evaluate("moves.length = 0")
        for k in range(PRESSES):
            tab.keyboard.press("ArrowRight" if (k // 5) % 2 == 0 else "ArrowLeft")
            tab.wait_for_timeout(12)
        moves = tab.evaluate("moves")
        name = slider.evaluate("one => one.closest('.attn-explorer').dataset.explorer")
        if len(moves) > 4:
            p95 = statistics.quantiles(moves, n=20)[-1]
            found[f"{name}.{slider.get_attribute('data-control')}"] = round(p95, 2)
    tab.close()
    return found


def measure(browser: Browser, page: Path, slowed: float, loads: int) -> dict[str, Any]:
    """Visit a page several times; return medians, and the kilobytes of a first and a next visit."""
    visits = [visit(browser, page, slowed) for _ in range(loads)]
    found: dict[str, Any] = {"page": page.stem}
    for name in ("paint_ms", "explorer_ms", "longest_task_ms", "shift", "elements", "script_ms"):
        values = [each[name] for each in visits if each[name] is not None]
        found[name] = round(statistics.median(values), 3 if name == "shift" else 0)
    files = visits[0]["kb"]
    found["first_kb"] = round(sum(files.values()), 1)
    found["next_kb"] = files[page.name]
    found["sliders_ms_p95"] = sliders(browser, page)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument(
        "pages", nargs="*", metavar="PAGE", help="as 04-reformer; else all chapters"
    )
    parser.add_argument("--slowed", type=float, default=4, metavar="TIMES")
    parser.add_argument("--loads", type=int, default=3)
    parser.add_argument("--html", type=Path, default=HTML, metavar="FOLDER")
    parser.add_argument("--output", type=Path, metavar="FILE", help="a JSON file for the results")
    args = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    pages = sorted((args.html / "book").resolve().glob("[0-9][0-9]-*.html"))
    pages = [page for page in pages if not args.pages or page.stem in args.pages]
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        version = browser.version
        for page in pages:
            rows.append(measure(browser, page, args.slowed, args.loads))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
        browser.close()
    if args.output:
        document = {
            "schema_version": SCHEMA_VERSION,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "command": "python -m benchmarks.loading",
            "machine": record.machine(1),
            "chromium": version,
            "viewport": [WIDTH, HEIGHT],
            "slowed": args.slowed,
            "loads": args.loads,
            "rows": rows,
        }
        args.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"written to {args.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
