"""What explorers say to those who don't see them: states, changes, rows, and a table of rows."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from attn_lib import explorers
from attn_lib.explorers import (
    AttentionOnText,
    CosineReweighting,
    EstimatedAttention,
    FeatureTemplates,
    GrowingState,
    LongformerWindow,
    LowRankAttention,
    LSHBuckets,
    LunaPacking,
    OneHeadTenAnswers,
    RecallAgainstState,
    SparsePatterns,
    TopKSelection,
)
from attn_lib.explorers._explorer import Explorer
from attn_lib.explorers.words import Rounded, fill, in_english

from .test_explorers import control, open_page, settle, state_of, write_page

__all__ = ["write_page"]

pytestmark = pytest.mark.browser

MakePage = Callable[..., Page]
ALL = [getattr(explorers, name) for name in explorers.__all__]
WITH_ROWS = [explorer for explorer in ALL if "table" in explorer.words]
MOST = 8
LENGTH_OF_STATE = len(GrowingState.spec()["facts"]["tokens"])


def number(x: Rounded) -> str:
    return f"{x.value:,.{x.digits}f}".replace("-", "−")


def summary_of(explorer: type[Explorer], state: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, values = explorer._summary(explorer.compute(**state), **state)
    return name, dict(values)


def in_words(explorer: type[Explorer], name: str, values: dict[str, Any]) -> str:
    return fill(in_english(explorer.words[name]), values, number=number)


def change(explorer: type[Explorer], old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return what is said once a control has come to rest."""
    before, (name, now) = summary_of(explorer, old), summary_of(explorer, new)
    if before == (name, now):
        return "No number of the summary has changed."
    told = {**now, **{f"was_{hole}": value for hole, value in before[1].items()}}
    holes = set(re.findall(r"\{(\w+)\}", explorer.words["change"]))
    olds = {hole: told[hole] for hole in holes if hole in now and hole in before[1]}
    has_news = any(value != before[1][hole] for hole, value in olds.items())
    if not holes <= set(told) or not has_news:
        return in_words(explorer, name, now)
    return in_words(explorer, "change", told)


@pytest.mark.parametrize("explorer", ALL)
def test_a_state_is_told_and_what_a_control_has_changed(
    offline_page: MakePage,
    write_page: Callable[..., str],
    explorer: type[Explorer],
) -> None:
    page = offline_page()
    open_page(page, write_page(explorer()))
    root = page.locator(".attn-explorer")
    summary, live = root.locator(".ax-summary"), root.get_by_role("status")
    expect(summary).to_have_text(in_words(explorer, *summary_of(explorer, state_of(root))))
    assert live.inner_text() == ""
    for name, item in explorer.controls().items():
        if item.kind in ("positions", "members") or control(root, name).is_disabled():
            continue
        old, target = state_of(root), control(root, name)
        if item.kind == "choice":
            at = target.evaluate("el => el.selectedIndex")
            last = target.locator("option").count() - 1
            target.select_option(index=at - 1 if at == last else at + 1)
        elif item.kind == "toggle":
            target.click()
        else:
            target.focus()
            at = int(target.input_value())
            page.keyboard.press("ArrowRight" if at < int(target.get_attribute("max")) else "Home")
        settle(root, name, old[name])
        new = state_of(root)
        expect(summary).to_have_text(in_words(explorer, *summary_of(explorer, new)))
        expect(live).to_have_text(change(explorer, old, new))
        page.wait_for_timeout(500)
        expect(live).to_have_text(change(explorer, old, new))


def test_the_summary_counts_what_a_reader_has_chosen(
    offline_page: MakePage,
    write_page: Callable[..., str],
) -> None:
    page = offline_page()
    open_page(page, write_page(LongformerWindow(), RecallAgainstState()))
    window, recall = page.locator(".attn-explorer").all()
    window.locator(".ax-token").nth(5).click()
    settle(window, "global_tokens", ())
    chosen = state_of(window)
    assert chosen["global_tokens"] == (5,)
    expect(window.locator(".ax-summary")).to_have_text(
        in_words(LongformerWindow, *summary_of(LongformerWindow, chosen))
    )
    for name in ("Softmax", "Reformer", "Luna"):
        recall.get_by_role("button", name=name, exact=True).click()
        chosen = state_of(recall)
        expect(recall.locator(".ax-summary")).to_have_text(
            in_words(RecallAgainstState, *summary_of(RecallAgainstState, chosen))
        )
    shown = recall.locator(".ax-switch[aria-pressed=true]")
    for count in (2, 1):
        while shown.count() > count:
            old = state_of(recall)["mechanisms"]
            shown.last.click()
            settle(recall, "mechanisms", old)
        expect(recall.locator(".ax-summary")).to_have_text(
            in_words(RecallAgainstState, *summary_of(RecallAgainstState, state_of(recall)))
        )


# Rows in a table


def table_of(root: Locator) -> list[list[str]]:
    root.get_by_role("button", name="Table", exact=True).click()
    return root.locator(".ax-table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )


STRETCH = re.compile(
    r"(?P<first>\d+)(?: to (?P<last>\d+)(?: in steps of (?P<step>\d+)"
    r"|, again every (?P<every>\d+) up to (?P<end>\d+))?)?(?:, |$)"
)


def keys_in(text: str) -> set[int]:
    """Return the places that stretches in words stand for."""
    found: set[int] = set()
    if text == "none":
        return found
    assert STRETCH.sub("", text) == ""
    for one in STRETCH.finditer(text):
        first, last, step, every, end = (int(x or 0) for x in one.groups())
        last = last or first
        starts = range(first, end - last + first + 1, every) if every else [first]
        for start in starts:
            found |= set(range(start, start + last - first + 1, step or 1))
    return found


def weights_in(text: str) -> list[float]:
    if text == "none":
        return []
    found = re.findall(r"” \(\d+\) (−?\d+\.\d\d)(?=, |$)", text)
    return [float(x.replace("−", "-")) for x in found]


def largest(row: np.ndarray) -> np.ndarray:
    order = np.argsort(-np.abs(row), kind="stable")[:MOST]
    return row[order][np.abs(row[order]) >= 0.005]


def check_weights(text: str, row: np.ndarray, error: float = 0.011) -> None:
    """Codes of a byte round a weight to 1 part in 128 of its root, and the text to 2 decimals."""
    shown, wanted = np.array(weights_in(text)), largest(row)
    assert abs(len(shown) - len(wanted)) <= (np.abs(np.abs(row) - 0.005) < 0.001).sum()
    both = min(len(shown), len(wanted))
    np.testing.assert_allclose(np.abs(shown[:both]), np.abs(wanted[:both]), atol=error)


def columns(explorer: type[Explorer], frame: Any, state: dict[str, Any]) -> list[Any]:
    """Return what each column of a row holds: a function from a row to keys, or weights."""
    arrays = {name: np.asarray(x, dtype=float) for name, x in frame.items()}

    def weights(name: str) -> Callable[[int], np.ndarray]:
        return lambda i: arrays[name].reshape(-1, arrays[name].shape[-1])[i]

    if explorer is SparsePatterns:
        mask = frame["local"] | frame["summary"]
        return [lambda i: int(mask[i].sum()), lambda i: set(np.flatnonzero(mask[i]).tolist())]
    if explorer is LongformerWindow:
        return [
            lambda i, most=most: set(np.flatnonzero(frame["steps"][i] <= most).tolist())
            for most in (1, state["layers"])
        ]
    if explorer is TopKSelection:
        kept = [set(row[: state["topk"]].tolist()) for row in frame["order"]]
        return [
            lambda i: kept[i],
            lambda i: np.where(np.isin(np.arange(len(kept)), [*kept[i]]), arrays["weights"][i], 0),
        ]
    if explorer is LSHBuckets:
        chunk = frame["chunk"][: state["rounds"]].astype(int)

        def met(i: int) -> set[int]:
            back = chunk[:, i, None] - chunk
            return set(np.flatnonzero(((back == 0) | (back == 1)).any(0)).tolist()) - {i}

        return [met, weights("weights")]
    names = {
        AttentionOnText: ["weights"],
        LunaPacking: ["full", "luna", "linformer"],
        FeatureTemplates: ["weights", "full"],
        GrowingState: ["weights", "full"],
        CosineReweighting: ["full", "weights"],
        EstimatedAttention: ["full", "estimate"],
        OneHeadTenAnswers: ["full", "near"],
        LowRankAttention: ["full", "rebuilt"],
    }[explorer]
    if explorer in (CosineReweighting, EstimatedAttention, OneHeadTenAnswers, LowRankAttention):
        facts = explorer.spec()["facts"]

        def unsigned(name: str) -> Callable[[int], np.ndarray]:
            away = arrays[name] - facts["zero"]
            return lambda i: (np.sign(away) * (away / facts["top"]) ** 2)[i]

        return [unsigned(name) for name in names]
    return [weights(name) for name in names]


@pytest.mark.parametrize("explorer", WITH_ROWS)
def test_the_table_holds_what_compute_says(
    offline_page: MakePage,
    write_page: Callable[..., str],
    explorer: type[Explorer],
) -> None:
    page = offline_page()
    open_page(page, write_page(explorer()))
    root = page.locator(".attn-explorer")
    rows = table_of(root)
    for _ in range(2):
        state = state_of(root)
        read = columns(explorer, explorer.compute(**state), state)
        assert len(rows) > 20
        for i, (label, *cells) in enumerate(rows):
            assert re.match(r"\d+", label)
            assert len(cells) == len(read)
            for text, wanted in zip(cells, (one(i) for one in read), strict=True):
                if isinstance(wanted, set):
                    assert keys_in(text) == wanted
                elif isinstance(wanted, int):
                    assert int(text) == wanted
                else:
                    check_weights(text, wanted)
        # It follows a control that moves.
        name = next(n for n, x in explorer.controls().items() if x.kind == "range" and x.in_frame)
        target = control(root, name)
        target.focus()
        page.keyboard.press("ArrowRight" if target.input_value() == "0" else "ArrowLeft")
        settle(root, name, state[name])
        rows = root.locator(".ax-table tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
        )


@pytest.mark.parametrize("explorer", WITH_ROWS)
def test_the_field_goes_to_a_row(
    offline_page: MakePage,
    write_page: Callable[..., str],
    explorer: type[Explorer],
) -> None:
    page = offline_page()
    open_page(page, write_page(explorer()))
    root = page.locator(".attn-explorer")
    field = root.get_by_label("Row", exact=True)
    rows = len(table_of(root)) if explorer is not GrowingState else LENGTH_OF_STATE
    size = (int(field.get_attribute("max")) + 1) // rows
    assert size in (1, 2)
    for asked, there in (("7", 7), ("99999", None), ("-3", 0)):
        field.fill(asked)
        field.press("Enter")
        last = int(field.get_attribute("max"))
        there = last if there is None else there
        if explorer is GrowingState:
            page.wait_for_timeout(50)
            assert state_of(root)["time"] == there + 1
        else:
            assert json.loads(root.get_attribute("data-pick"))[0] == there // size


# Stepping by stretches


def seen_by(state: dict[str, Any], i: int) -> list[int]:
    frame = SparsePatterns.compute(**state)
    return np.flatnonzero((frame["local"] | frame["summary"])[i]).tolist()


@pytest.mark.parametrize(
    "controls", [{"stride": 16}, {"pattern": "fixed", "stride": 16, "summary": 4}, {"stride": 128}]
)
def test_a_row_is_told_and_stepped_by_its_stretches(
    offline_page: MakePage,
    write_page: Callable[..., str],
    controls: dict[str, Any],
) -> None:
    page = offline_page()
    open_page(page, write_page(SparsePatterns(**controls)))
    root = page.locator(".attn-explorer")
    status, live = root.locator(".ax-status"), root.get_by_role("status")
    root.locator("canvas.ax-marks").focus()
    page.keyboard.press("ArrowDown")
    state = state_of(root)
    assert json.loads(root.get_attribute("data-pick")) == [101, None]
    told = re.fullmatch(r"Row 101 sees (\d+) keys: (.*)\.", status.inner_text())
    assert told
    assert int(told[1]) == len(seen_by(state, 101))
    assert keys_in(told[2]) == set(seen_by(state, 101))
    expect(live).to_have_text(status.inner_text())
    assert "sparse-patterns.at=101" in page.url
    # From the left edge on, arrows meet every beginning of a stretch, in their order.
    page.keyboard.press("Home")
    assert json.loads(root.get_attribute("data-pick")) == [101, 0]
    keys = seen_by(state, 101)
    met = [0] if 0 in keys else []
    for _ in range(40):
        page.keyboard.press("ArrowRight")
        place = json.loads(root.get_attribute("data-pick"))[1]
        if met and place == met[-1]:
            break
        met.append(place)
        assert place in keys
        assert re.match(
            r"(The only stretch of|Stretch \d+ of \d+ in) this row: ", status.inner_text()
        )
    assert met == sorted(set(met))
    # Those not met lie inside of a stretch: their neighbour is seen, too.
    assert all(k - 1 in keys for k in set(keys) - set(met))
    page.keyboard.press("PageUp")
    assert json.loads(root.get_attribute("data-pick")) == [93, None]


def test_a_row_in_the_address_is_restored(
    offline_page: MakePage,
    write_page: Callable[..., str],
) -> None:
    page = offline_page()
    open_page(page, write_page(SparsePatterns()) + "#sparse-patterns.at=40")
    root = page.locator(".attn-explorer")
    expect(root.locator(".ax-status")).to_contain_text("Row 40 sees")


@pytest.mark.parametrize(
    ("count", "text"), [(1, "Row 0 sees one key: 0."), (2, "Row 0 sees 2 keys: 0.")]
)
def test_a_row_with_one_key_is_told_in_the_singular(count: int, text: str) -> None:
    values = {"i": 0, "count": count, "keys": "0"}
    assert fill(in_english(SparsePatterns.words["row_sees"]), values) == text
