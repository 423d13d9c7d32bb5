"""The explorers of hashing and of buckets in a real browser: controls, pointing, keys and words."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib.explorers import LSHBuckets, LSHCircle
from attn_lib.explorers._explorer import Explorer
from attn_lib.explorers.lsh_buckets import LENGTH
from attn_lib.explorers.lsh_circle import ANGLES

from .test_explorers import (
    READ_CELLS,
    cell_at,
    colours_of,
    digests_of,
    move_by_keyboard,
    move_by_mouse,
    open_page,
    settle,
    state_of,
    write_page,
)
from .waiting import until

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
CIRCLE, BUCKETS = LSHCircle.words, LSHBuckets.words
NEAR = 8


def check_digests(root: Locator, explorer: type[Explorer]) -> dict[str, np.ndarray]:
    frame = explorer.compute(**state_of(root))
    assert root.get_attribute("data-digest") == digests_of(explorer, frame)
    return frame


# Points


def check_points(root: Locator, i: int) -> str:
    """Hold points, ring and curve to Python's arrays; return what must be said of point i."""
    state = state_of(root)
    frame = check_digests(root, LSHCircle)
    rounds, last = state["rounds"], state["rounds"] - 1
    found = (frame["bucket"][:rounds] == frame["bucket"][:rounds, i : i + 1]).any(axis=0)
    now = frame["bucket"][last] == frame["bucket"][last, i]
    n = len(found)
    wanted = [
        "ax-chosen" if k == i else "ax-now" if now[k] else "ax-before" if found[k] else "ax-apart"
        for k in range(n)
    ]
    points = root.locator(".ax-disc g").nth(1).locator("circle")
    assert points.evaluate_all("els => els.map(el => el.getAttribute('class'))") == wanted
    ring = frame["ring"][last]
    runs = [k for k in range(len(ring)) if k == 0 or ring[k] != ring[k - 1]]
    arcs = root.locator(".ax-disc g").nth(0).locator("path")
    drawn = arcs.evaluate_all("els => els.map(el => el.classList.contains('ax-own'))")
    assert drawn == [ring[k] == frame["bucket"][last, i] for k in runs]
    dots = root.locator(".ax-chart-dots circle").count()
    assert dots == (np.float16(frame["measured"][last]) >= 0).sum()
    nearest = sorted((k for k in range(n) if k != i), key=lambda k: (frame["degrees"][i, k], k))
    near = found[nearest[:NEAR]].sum()
    far = found[nearest[NEAR:]].sum()
    expect(root.locator(".ax-readout").first).to_have_text(f"{near} of {NEAR}")
    angle = 5 * round(float(frame["degrees"][i, nearest[NEAR - 1]]) / 5 + 1e-9)
    chance = float(np.float16(frame["theory"][last, list(ANGLES).index(angle)]))
    expect(root.locator(".ax-chart-note")).to_contain_text(f"at {angle}°: probability {chance:.2f}")
    tokens = LSHCircle.spec()["facts"]["tokens"]
    counts = {"near": near, "near_all": NEAR, "far": far, "far_all": n - 1 - NEAR}
    if state["points"] == "circle":
        return CIRCLE["say_circle"].format(at=10 * i, r=rounds, **counts)
    return CIRCLE["say_key"].format(token=tokens[i], i=i, r=rounds, **counts)


@pytest.mark.parametrize("move", [move_by_mouse, move_by_keyboard], ids=["mouse", "keyboard"])
def test_moved_controls_draw_the_points(
    offline_page: MakePage, write_page: Callable[..., str], move: Callable[..., None]
) -> None:
    page = offline_page(dark=move is move_by_keyboard)
    open_page(page, write_page(LSHCircle()))
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    for name in ("turn", "rounds", "buckets", "points"):
        before = state_of(root)
        move(root, LSHCircle.controls()[name], name)
        after = settle(root, name, before[name])
        assert {**after, name: None} == {**before, name: None}
        expect(status).to_have_text(check_points(root, 4))


@pytest.mark.parametrize("points", ["circle", "2.8"])
def test_points_can_be_pointed_at_and_walked(
    offline_page: MakePage, write_page: Callable[..., str], points: str
) -> None:
    page = offline_page()
    where = f"#lsh-circle.points={points}&lsh-circle.rounds=3&lsh-circle.at=7"
    open_page(page, write_page(LSHCircle()) + where)
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    expect(status).to_have_text(check_points(root, 7))
    disc = root.locator(".ax-disc")
    box = disc.bounding_box()
    xy = LSHCircle.compute(points=points)["xy"].astype(np.float16).astype(float)
    for i in (20, 33):
        x, y = 160 + 120 * xy[i, 0], 160 - 120 * xy[i, 1]
        disc.hover(position={"x": x * box["width"] / 320, "y": y * box["height"] / 320})
        expect(status).to_have_text(check_points(root, i))
    disc.focus()
    for key, i in [("ArrowRight", 34), ("ArrowDown", 33), ("ArrowUp", 34), ("ArrowLeft", 33)]:
        page.keyboard.press(key)
        expect(status).to_have_text(check_points(root, i))
    until(page, "location.hash.endsWith('lsh-circle.at=33')")


def test_the_points_fit_a_phone(offline_page: MakePage, write_page: Callable[..., str]) -> None:
    page = offline_page(width=390, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(LSHCircle(), LSHBuckets()))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    disc = page.locator(".ax-disc")
    assert disc.bounding_box()["width"] > 290
    disc.tap(position={"x": 160, "y": 290})
    said = check_points(page.locator(".attn-explorer").first, 27)
    expect(page.locator(".ax-status").first).to_have_text(said)


@pytest.fixture
def swipe() -> Callable[..., None]:
    """Return what a finger does that goes from the middle of an element, by steps, and lifts."""

    def go(target: Locator, dx: int, dy: int, steps: int = 8) -> None:
        box = target.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch = target.page.context.new_cdp_session(target.page)

        def send(kind: str, *points: tuple[float, float]) -> None:
            at = [{"x": left, "y": top} for left, top in points]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

        send("touchStart", (x, y))
        for step in range(1, steps + 1):
            send("touchMove", (x + dx * step / steps, y + dy * step / steps))
        send("touchEnd")
        touch.detach()

    return go


def test_a_finger_that_scrolls_passes_over_the_points(
    offline_page: MakePage, write_page: Callable[..., str], swipe: Callable[..., None]
) -> None:
    page = offline_page(width=360, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(LSHCircle()) + "#lsh-circle.at=7")
    page.evaluate("document.body.style.paddingBottom = '2000px'")
    root, disc = page.locator(".attn-explorer"), page.locator(".ax-disc")
    for dx in (0, 20):
        page.evaluate("scrollTo(0, 0)")
        disc.scroll_into_view_if_needed()
        start = page.evaluate("scrollY")
        swipe(disc, dx, -200)
        until(page, "start => scrollY > start + 100", arg=start)
        assert json.loads(root.get_attribute("data-pick")) == [7]
        expect(page.locator(".ax-status")).to_have_text(check_points(root, 7))
    assert page.evaluate("location.hash") == "#lsh-circle.at=7"


def test_a_finger_that_goes_across_takes_the_points_along(
    offline_page: MakePage, write_page: Callable[..., str], swipe: Callable[..., None]
) -> None:
    page = offline_page(width=360, device_scale_factor=2, has_touch=True, is_mobile=True)
    open_page(page, write_page(LSHCircle()) + "#lsh-circle.at=7")
    page.evaluate("document.body.style.paddingBottom = '2000px'")
    root, disc = page.locator(".attn-explorer"), page.locator(".ax-disc")
    disc.scroll_into_view_if_needed()
    start = page.evaluate("scrollY")
    for dx, i in ((120, 0), (-120, 18)):
        swipe(disc, dx, 0)
        expect(root).to_have_attribute("data-pick", f"[{i}]")
        expect(page.locator(".ax-status")).to_have_text(check_points(root, i))
        until(page, f"location.hash.endsWith('lsh-circle.at={i}')")
    assert page.evaluate("scrollY") == start


# Buckets


def pairs_of(frame: dict[str, np.ndarray], state: dict[str, Any]) -> np.ndarray:
    """Which pairs a picture lets through, (query, key)."""
    r = state["rounds"]
    if state["picture"] == "full":
        return np.ones((LENGTH, LENGTH), dtype=bool)
    if state["picture"] == "sorted":
        return frame["bucket"][r - 1][:, None] == frame["bucket"][r - 1]
    back = frame["chunk"][:r, :, None].astype(int) - frame["chunk"][:r, None, :]
    seen = ((back == 0) | (back == 1)) & ~np.eye(LENGTH, dtype=bool)
    return seen[-1] if state["picture"] == "chunked" else seen.any(axis=0)


def check_cells(root: Locator) -> dict[str, Any]:
    """Hold every cell to `compute` and the style sheet; return the state."""
    state = state_of(root)
    frame = check_digests(root, LSHBuckets)
    codes = np.rint(255 * np.sqrt(frame["weights"])) / 255

    def blend(*names: str) -> np.ndarray:
        stops = np.array(colours_of(root, list(names)))
        along = np.linspace(0, 1, len(names))
        return np.stack([np.interp(codes, along, stops[:, c]) for c in range(3)], axis=-1)

    cells = blend("ramp-0", "ramp-1", "ramp-2", "ramp-3")
    outside = ~pairs_of(frame, state)
    cells[outside] = blend("reached", "lost", "lost-edge")[outside]
    if state["picture"] in ("sorted", "chunked"):
        order = frame["place"][state["rounds"] - 1].argsort()
        cells = cells[np.ix_(order, order)]
    drawn = np.array(root.evaluate(READ_CELLS, LENGTH)).reshape(LENGTH, LENGTH, 3)
    assert np.abs(drawn - cells).max() <= 1
    faint = root.locator(".ax-token").evaluate_all(
        "els => els.map(el => el.classList.contains('ax-faint'))"
    )
    i = json.loads(root.get_attribute("data-pick"))[0]
    seen = pairs_of(frame, state)[i]
    seen[i] = True
    assert faint == (~seen).tolist()
    return state


def sentence(state: dict[str, Any], i: int, j: int | None = None) -> str:
    """What the status line must say, from Python's arrays."""
    frame, r = LSHBuckets.compute(**state), state["rounds"]
    tokens = [text for text, _ in LSHBuckets.spec()["facts"]["tokens"]]
    back = frame["chunk"][:r, i, None].astype(int) - frame["chunk"][:r]
    met = ((back == 0) | (back == 1)).sum(axis=0)
    met[i] = 0
    weight = (np.rint(255 * np.sqrt(frame["weights"][i])) / 255) ** 2
    query = {"token": tokens[i], "i": i, "r": r}
    if j is None:
        mass = min(100, 100 * weight[met > 0].sum())
        home = {"bucket": frame["bucket"][r - 1, i], "chunk": frame["chunk"][r - 1, i]}
        return BUCKETS["row"].format(**query, **home, count=(met > 0).sum(), mass=f"{mass:.0f}")
    if j == i:
        return BUCKETS["itself"].format(**query)
    kind = "pair_never" if met[j] == 0 else "pair_once" if met[j] == 1 else "pair"
    pair = {"key": tokens[j], "j": j, "weight": f"{weight[j]:.2f}"}
    pair |= {name: frame["bucket"][r - 1, k] for name, k in zip("ab", (i, j), strict=True)}
    pair |= {name: frame["chunk"][r - 1, k] for name, k in zip("cd", (i, j), strict=True)}
    return BUCKETS[kind].format(**query, **pair, times=met[j])


@pytest.mark.parametrize("move", [move_by_mouse, move_by_keyboard], ids=["mouse", "keyboard"])
def test_moved_controls_draw_the_pairs(
    offline_page: MakePage, write_page: Callable[..., str], move: Callable[..., None]
) -> None:
    page = offline_page(dark=move is move_by_mouse)
    open_page(page, write_page(LSHBuckets()) + "#lsh-buckets.picture=sorted")
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    for name in ("rounds", "head", "bucket_size", "picture"):
        before = state_of(root)
        move(root, LSHBuckets.controls()[name], name)
        after = settle(root, name, before[name])
        assert {**after, name: None} == {**before, name: None}
        assert check_cells(root) == after
        expect(status).to_have_text(sentence(after, 41))


@pytest.mark.parametrize("picture", ["full", "chunked", "computed"])
def test_a_pair_is_said_in_words(
    offline_page: MakePage, write_page: Callable[..., str], picture: str
) -> None:
    page = offline_page()
    where = f"#lsh-buckets.picture={picture}&lsh-buckets.rounds=4&lsh-buckets.at=41,17"
    open_page(page, write_page(LSHBuckets()) + where)
    root, status = page.locator(".attn-explorer"), page.locator(".ax-status")
    state = check_cells(root)
    expect(status).to_have_text(sentence(state, 41, 17))
    order = np.arange(LENGTH)
    if picture == "chunked":
        order = LSHBuckets.compute(**state)["place"][3].argsort()
    marks = root.locator("canvas.ax-marks")
    for a, b in [(5, 0), (10, 33), (62, 62)]:
        marks.hover(position=cell_at(root, LENGTH, a, b))
        expect(status).to_have_text(sentence(state, order[a], order[b]))
    marks.focus()
    page.keyboard.press("ArrowUp")
    expect(status).to_have_text(sentence(state, order[61], order[62]))
    root.locator(".ax-token").nth(20).click()
    expect(status).to_have_text(sentence(state, 20))
    kind = {"chunked": 1, "computed": 2}.get(picture)
    frame = LSHBuckets.compute(**state)
    caught = 100.0 if kind is None else float(np.float16(frame["caught"][kind, 3]))
    expect(root.locator(".ax-readout").nth(1)).to_have_text(f"{caught:.0f} %")
    error = 0.0 if kind is None else float(np.float16(frame["errors"][kind, 3]))
    for place, value in ((3, error), (4, float(np.float16(frame["mean"][0])))):
        expect(root.locator(".ax-readout").nth(place)).to_have_text(f"{value:.2f}")
