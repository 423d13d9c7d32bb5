"""The explorers without a browser: packing, grids, pure computation, traits, and MIME bundles."""

import base64
import importlib.util
import itertools
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import ipywidgets
import numpy as np
import pytest
import traitlets

from attn_lib import explorers
from attn_lib.data import load_passage
from attn_lib.explorers import AttentionOnText, SparsePatterns
from attn_lib.explorers._base import COMMON_WORDS, Explorer
from attn_lib.explorers._pack import decode, digest, encode, pack, unpack
from attn_lib.explorers.sparse_patterns import DIRECT, LENGTH, LOST, two_hops

ROOT = Path(__file__).parents[1]
MODULE = (ROOT / "attn_lib" / "explorers" / "explorer.mjs").read_text(encoding="utf-8")
ALL = [getattr(explorers, name) for name in explorers.__all__]

every_explorer = pytest.mark.parametrize("explorer", ALL)


def load_extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "book_explorers", ROOT / "book" / "_ext" / "explorers.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTN_LIB_BOOK", "1")


@pytest.fixture(autouse=True)
def no_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTN_LIB_BOOK", raising=False)


# Packing


@hypothesis.given(
    arrays.arrays(bool, st.tuples(st.integers(0, 5), st.integers(0, 11))),
)
def test_bits_survive_the_trip(array: np.ndarray) -> None:
    data = encode(array, "bits")
    assert len(data) == -(-array.size // 8)
    np.testing.assert_array_equal(decode(data, "bits", array.shape), array)


@hypothesis.given(arrays.arrays(np.float64, 13, elements=st.floats(0, 1)))
def test_roots_lose_at_most_half_a_step(array: np.ndarray) -> None:
    got = decode(encode(array, "sqrt8"), "sqrt8", array.shape)
    assert np.abs(np.sqrt(got) - np.sqrt(array)).max() <= 0.5 / 255 + 1e-6
    assert np.abs(got - array).max() <= 1 / 255


def test_roots_keep_small_weights_apart() -> None:
    got = decode(encode(np.array([0.0, 0.0005, 0.001, 0.01]), "sqrt8"), "sqrt8", (4,))
    assert len(set(got.tolist())) == 4


@pytest.mark.parametrize(
    ("coding", "array"),
    [
        ("uint8", np.array([[0, 7], [254, 255]])),
        ("int32", np.array([-(2**31), 0, 3, 2**31 - 1])),
        ("float16", np.array([0.5, -3.25, 65504.0])),
    ],
)
def test_exact_codings_are_exact(coding: Any, array: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(array, coding), coding, array.shape), array)


@pytest.mark.parametrize(
    ("coding", "array", "message"),
    [
        ("bits", np.array([1, 0]), "array must be bool"),
        ("sqrt8", np.array([0.5, 1.5]), r"array must lie in \[0, 1\]"),
        ("sqrt8", np.array([np.nan]), r"array must lie in \[0, 1\]"),
        ("uint8", np.array([256]), "array must hold integers that fit uint8"),
        ("uint8", np.array([1.0]), "array must hold integers that fit uint8"),
        ("int32", np.array([2**31]), "array must hold integers that fit int32"),
        ("float16", np.array([1e6]), "array must be finite in float16"),
        ("base64", np.array([1]), "coding must be a known one, got 'base64'"),
    ],
)
def test_what_does_not_fit_a_coding_is_refused(coding: Any, array: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(array, coding)


def test_a_stream_holds_header_and_arrays() -> None:
    mask = np.eye(3, dtype=bool)
    counts = np.array([[2, 3, 5]], dtype=np.int32)
    data = pack(
        {"words": "猫 “</script>”"},
        [
            ("bits", mask.shape, encode(mask, "bits")),
            ("int32", counts.shape, encode(counts, "int32")),
        ],
    )
    header, found = unpack(data)
    assert header["words"] == "猫 “</script>”"
    assert all(offset % 4 == 0 for _, _, offset, _ in header["arrays"])
    np.testing.assert_array_equal(found[0], mask)
    np.testing.assert_array_equal(found[1], counts)


def test_the_digest_is_fnv_1a() -> None:
    assert digest(b"") == "811c9dc5"
    assert digest(b"a") == "e40c292c"
    assert digest(b"foobar") == "bf9cf968"


# Every explorer


@every_explorer
def test_the_grid_is_complete_and_packed_truly(explorer: type[Explorer]) -> None:
    header, found = unpack(explorer.packed())
    names = list(explorer.controls())
    carried = {
        json.dumps(dict(zip(names, values, strict=True))): places
        for values, places in header["states"]
    }
    declared = itertools.product(*(control.grid for control in explorer.controls().values()))
    wanted = {
        json.dumps(explorer.canonical(dict(zip(names, values, strict=True)))) for values in declared
    }
    assert set(carried) == wanted
    assert json.dumps(explorer.check()) in carried
    for state, places in carried.items():
        frame = explorer.compute(**json.loads(state))
        assert set(frame) == set(explorer.codings)
        for name, place in zip(header["names"], places, strict=True):
            coding = explorer.codings[name]
            expected = decode(encode(frame[name], coding), coding, frame[name].shape)
            np.testing.assert_array_equal(found[place], expected)
            if coding in ("bits", "uint8", "int32"):
                np.testing.assert_array_equal(found[place], frame[name])


@every_explorer
def test_the_frames_stay_under_200_kb(explorer: type[Explorer]) -> None:
    assert len(explorer.packed()) < 200_000


@every_explorer
def test_equal_arrays_are_stored_once(explorer: type[Explorer]) -> None:
    header, found = unpack(explorer.packed())
    described = [
        (coding, array.shape, array.tobytes())
        for (coding, *_), array in zip(header["arrays"], found, strict=True)
    ]
    assert len(set(described)) == len(described)


@every_explorer
def test_compute_is_pure(explorer: type[Explorer]) -> None:
    first = explorer.compute()
    kept = {name: array.copy() for name, array in first.items()}
    for array in first.values():
        array[...] = 0
    for state in explorer.grid()[::17]:
        explorer.compute(**state)
    for name, array in explorer.compute().items():
        np.testing.assert_array_equal(array, kept[name])
        assert array.dtype == kept[name].dtype


@every_explorer
def test_a_control_without_effect_has_none(explorer: type[Explorer]) -> None:
    for name, control in explorer.controls().items():
        for other, allowed in control.when.items():
            for off in set(explorer.controls()[other].grid) - set(allowed):
                plain = explorer.compute(**{other: off})
                for value in control.grid:
                    frame = explorer.compute(**{other: off, name: value})
                    for key, array in frame.items():
                        np.testing.assert_array_equal(array, plain[key])


@every_explorer
def test_views_and_words_agree(explorer: type[Explorer]) -> None:
    start = MODULE.index(f"\n  {explorer.__name__}(")
    view = MODULE[start : MODULE.index("\n  },\n", start)]
    used = set(re.findall(r"\bwords\.(\w+)", view)) | set(re.findall(r'"(set_\w+)"', view))
    shared = set(re.findall(r"\bwords\.(\w+)", MODULE[MODULE.index("function rampLegend") :]))
    assert used - set(COMMON_WORDS) <= set(explorer.words)
    by_name = {name for name in explorer.words if f'"{name}"' in view}  # words["name"]
    prefixes = tuple(re.findall(r"\bwords\[`(\w+)\$\{", view))  # words[`prefix${...}`]
    by_name |= {name for name in explorer.words if prefixes and name.startswith(prefixes)}
    assert set(explorer.words) <= used | shared | by_name


def test_common_words_are_used() -> None:
    assert all(re.search(rf"\bwords\.{name}\b", MODULE) for name in COMMON_WORDS)


def test_the_module_needs_nothing_from_outside() -> None:
    assert not re.search(r"^\s*import\b|\bimport\(|\bfetch\(|XMLHttpRequest|\beval\(", MODULE, re.M)
    assert re.findall(r"https?://[^\"]+", MODULE) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", MODULE)
    assert "attachShadow" not in MODULE


def test_the_classic_script_has_no_export() -> None:
    extension = load_extension()
    script = extension.classic_script(MODULE)
    assert "export" not in re.sub(r"//.*", "", script)
    assert "hydrate(document);" in script
    with pytest.raises(ValueError, match=r"module must hold .* once, got 0 of it"):
        extension.classic_script("")


def test_the_extension_serves_only_pages_with_an_explorer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    extension = load_extension()
    monkeypatch.setenv("ATTN_LIB_BOOK", "")
    added: list[str] = []

    class App:
        def connect(self, event: str, handler: object) -> None:
            setattr(self, event.replace("-", "_"), handler)

        def add_js_file(self, name: str, **options: object) -> None:
            added.append(name)

        def add_css_file(self, name: str, **options: object) -> None:
            added.append(name)

    app = App()
    extension.setup(app)
    assert os.environ["ATTN_LIB_BOOK"] == "1"
    bundle = SparsePatterns()._repr_mimebundle_()
    app.html_page_context(app, "a", "page.html", {"body": "<p>no explorer</p>"}, None)
    assert added == []
    app.html_page_context(app, "b", "page.html", {"body": bundle["text/html"]}, None)
    assert added == ["explorers.js", "explorers.css"]


# In the book


@every_explorer
def test_in_the_book_an_explorer_is_data_and_a_picture(
    explorer: type[Explorer], book: None
) -> None:
    bundle = explorer()._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    page = bundle["text/html"]
    scripts = re.findall(r"<script([^>]*)>([^<]*)</script>", page)
    assert len(scripts) == page.count("<script") == 1
    assert scripts[0][0] == ' type="application/octet-stream"'
    assert base64.b64decode(scripts[0][1], validate=True) == explorer.packed()
    assert re.search(r"\son\w+=|javascript:", re.sub(r'"[^"]*"', "", page)) is None
    picture = base64.b64decode(bundle["image/png"], validate=True)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 30_000
    assert f"data:image/png;base64,{bundle['image/png']}" in page
    assert 'alt="' in page
    assert page == explorer()._repr_mimebundle_()["text/html"]


@every_explorer
def test_in_the_book_no_comm_is_opened(explorer: type[Explorer], book: None) -> None:
    from ipywidgets.widgets import widget as module

    registry = getattr(module, "_instances", None)
    before = dict(registry if registry is not None else ipywidgets.Widget.widgets)
    made = explorer()
    made._repr_mimebundle_()
    after = registry if registry is not None else ipywidgets.Widget.widgets
    assert made.comm is None
    assert dict(after) == before


def test_in_the_book_the_start_must_be_on_the_grid(book: None) -> None:
    shown = SparsePatterns(stride=16, pattern="fixed")._repr_mimebundle_()
    assert "&quot;stride&quot;: 16" in shown["text/html"]
    assert "stride 16" in shown["text/plain"]
    with pytest.raises(ValueError, match=r"controls must be on the book's grid, got .*13"):
        SparsePatterns(stride=13)._repr_mimebundle_()


def test_hostile_words_stay_words(book: None, monkeypatch: pytest.MonkeyPatch) -> None:
    words = '"><script>alert(1)</script>'
    monkeypatch.setattr(SparsePatterns, "_alt", classmethod(lambda cls, frame, **controls: words))
    page = SparsePatterns()._repr_mimebundle_()["text/html"]
    assert "alert(1)" in page
    assert "<script>" not in page


# As widgets


@every_explorer
def test_a_widget_has_its_controls_as_traits(explorer: type[Explorer]) -> None:
    made = explorer()
    for name, control in explorer.controls().items():
        assert getattr(made, name) == control.default_value
        assert made.traits()[name].metadata["sync"] is True
    state = made.get_state()
    assert set(explorer.controls()) <= set(state)
    small = {name: value for name, value in state.items() if name not in ("_esm", "_css")}
    assert len(json.dumps(small, default=str)) < 7_000
    assert state["_esm"] == MODULE
    assert json.loads(json.dumps(state["_spec"]))["name"] == explorer.__name__


def test_a_widget_takes_observers_links_and_boxes() -> None:
    first, second, slider = SparsePatterns(), SparsePatterns(), ipywidgets.IntSlider(12, 1, 128)
    seen: list[int] = []
    first.observe(lambda change: seen.append(change["new"]), "stride")
    ipywidgets.link((slider, "value"), (first, "stride"))
    ipywidgets.jslink((first, "stride"), (second, "stride"))
    slider.value = 13
    assert (first.stride, seen) == (13, [13])
    assert ipywidgets.HBox([first, second]).children == (first, second)


def test_a_widget_refuses_bad_values_and_keeps_its_own() -> None:
    made = SparsePatterns(stride=9)
    with pytest.raises(traitlets.TraitError, match="stride must be from 1 to 128, got 0"):
        made.stride = 0
    with pytest.raises(traitlets.TraitError, match="pattern must be one of 'strided', 'fixed'"):
        made.pattern = "spiral"
    with pytest.raises(traitlets.TraitError, match="residual must be a bool, got int"):
        made.residual = 1
    with pytest.raises(TypeError, match=r"controls must be of pattern, .*, got strid"):
        SparsePatterns(strid=3)
    assert (made.stride, made.pattern, made.residual) == (9, "strided", True)


@every_explorer
def test_a_widget_answers_a_request(
    explorer: type[Explorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = explorer()
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    monkeypatch.setattr(
        type(made), "send", lambda self, content, buffers=None: sent.append((content, buffers))
    )
    state = explorer.grid()[1]
    made._handle_custom_msg({"type": "frame", "id": "x:1", "controls": state}, [])
    made._handle_custom_msg({"type": "something else"}, [])
    [(content, buffers)] = sent
    assert content["id"] == "x:1"
    frame = explorer.compute(**state)
    for (name, coding, shape), data in zip(content["arrays"], buffers, strict=True):
        assert data == encode(frame[name], coding)
        assert tuple(shape) == frame[name].shape


def test_a_widget_answers_a_bad_request_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SparsePatterns()
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(type(made), "send", lambda self, content: sent.append(content))
    made._handle_custom_msg({"type": "frame", "id": 7, "controls": {"stride": 129}}, [])
    assert sent == [{"type": "frame", "id": 7, "error": "stride must be from 1 to 128, got 129"}]


# Sparse patterns


def sets_by_hand(pattern: str, stride: int, summary: int) -> tuple[np.ndarray, np.ndarray]:
    """Child et al. 2019, section 4.3, pair by pair."""
    local = np.zeros((LENGTH, LENGTH), dtype=bool)
    far = np.zeros((LENGTH, LENGTH), dtype=bool)
    for i in range(LENGTH):
        for j in range(i + 1):
            if pattern == "strided":
                local[i, j] = i - stride <= j
                far[i, j] = (i - j) % stride == 0
            else:
                local[i, j] = i // stride == j // stride
                far[i, j] = j % stride in range(stride - summary, stride)
    return local, far


@pytest.mark.parametrize(
    ("pattern", "stride", "summary"),
    [
        ("strided", 12, 1),
        ("strided", 13, 1),
        ("strided", 1, 1),
        ("strided", 128, 1),
        ("fixed", 8, 1),
        ("fixed", 37, 3),
        ("fixed", 1, 1),
        ("fixed", 2, 5),
        ("fixed", 128, 32),
    ],
)
def test_sets_are_the_papers(pattern: str, stride: int, summary: int) -> None:
    frame = SparsePatterns.compute(pattern=pattern, stride=stride, summary=summary)
    local, far = sets_by_hand(pattern, stride, summary)
    np.testing.assert_array_equal(frame["local"], local)
    np.testing.assert_array_equal(frame["summary"], far)
    assert frame["edges"].tolist() == [(local | far).sum()]
    assert frame["largest_row"].tolist() == [(local | far).sum(1).max()]
    assert frame["edges_by_stride"][0, stride - 1] == frame["edges"][0]
    apart = SparsePatterns.compute(pattern=pattern, stride=stride, summary=summary, heads="split")
    assert apart["edges"].tolist() == [local.sum(), far.sum()]
    assert apart["edges_by_stride"][:, stride - 1].tolist() == [local.sum(), far.sum()]
    np.testing.assert_array_equal(apart["via"], frame["via"])


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_the_count_is_u_shaped_in_the_stride(pattern: str) -> None:
    curve = SparsePatterns.compute(pattern=pattern)["edges_by_stride"][0]
    assert curve[0] == curve[-1] == LENGTH * (LENGTH + 1) // 2
    best = int(curve.argmin()) + 1
    assert 6 <= best <= 16
    assert curve[best - 1] < 0.3 * curve[0]


@pytest.mark.parametrize("route", ["any", "local-summary", "summary-local"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("pattern", "stride", "summary"), [("strided", 11, 1), ("fixed", 13, 1), ("fixed", 16, 3)]
)
def test_paths_are_real_and_none_is_missed(
    pattern: str, stride: int, summary: int, route: str, residual: bool
) -> None:
    frame = SparsePatterns.compute(
        pattern=pattern, stride=stride, summary=summary, route=route, residual=residual
    )
    local, far = sets_by_hand(pattern, stride, summary)
    first, second = {
        "any": (local | far, local | far),
        "local-summary": (local, far),
        "summary-local": (far, local),
    }[route]
    stay = np.eye(LENGTH, dtype=bool) & (residual or route == "any")
    reach = ((second | stay).astype(int) @ (first | stay).astype(int)) > 0
    via = frame["via"].astype(int)
    np.testing.assert_array_equal(via != LOST, reach)
    assert frame["unreachable"].tolist() == [(~reach & np.tri(LENGTH, dtype=bool)).sum()]
    i, j = np.nonzero(via < DIRECT)
    m = via[i, j]
    assert ((j < m) & (m < i)).all()
    assert first[m, j].all()
    assert second[i, m].all()
    i, j = np.nonzero(via == DIRECT)
    assert (first | second | stay)[i, j].all()


def test_the_order_of_interleaved_layers_matters_at_64() -> None:
    """The shared fact sheet's figures: 2080 pairs, of which 224 need the residual connection."""
    n, stride = 64, 8
    i, j = np.indices((n, n))
    past = j <= i
    own = past & (i // stride == j // stride)
    last = past & (j % stride == stride - 1)
    window = past & (i - j <= stride)
    every = past & ((i - j) % stride == 0)

    def missed(first: np.ndarray, second: np.ndarray, residual: bool) -> int:
        return int((two_hops(first, second, residual=residual)[past] == LOST).sum())

    assert past.sum() == 2080
    assert missed(own, last, True) == 0
    assert missed(own, last, False) == 224
    assert missed(last, own, True) > 2080 / 2
    assert missed(own | last, own | last, False) == 0
    for first, second in [(window, every), (every, window)]:
        assert missed(first, second, False) == 0


@pytest.mark.parametrize(
    ("controls", "error", "message"),
    [
        ({"stride": 0}, ValueError, "stride must be from 1 to 128, got 0"),
        ({"stride": 129}, ValueError, "stride must be from 1 to 128, got 129"),
        ({"stride": 8.0}, TypeError, "stride must be an int, got float"),
        ({"stride": True}, TypeError, "stride must be an int, got bool"),
        ({"summary": 0}, ValueError, "summary must be from 1 to 32, got 0"),
        ({"pattern": "dense"}, ValueError, "pattern must be one of 'strided', 'fixed', got 'dense"),
        ({"pattern": 1}, TypeError, "pattern must be a str, got int"),
        ({"residual": "yes"}, TypeError, "residual must be a bool, got str"),
        ({"width": 3}, TypeError, "controls must be of .*, got width"),
    ],
)
def test_bad_controls_of_patterns_are_refused(
    controls: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SparsePatterns.compute(**controls)


# Attention on text


@pytest.mark.parametrize(
    ("layer", "head", "temperature", "causal"),
    [(0, 2, 1.0, False), (1, 9, 0.5, True), (3, 11, 0.37, False), (5, 0, 10, True)],
)
def test_weights_are_softmax_of_the_captured_head(
    layer: int, head: int, temperature: float, causal: bool
) -> None:
    frame = AttentionOnText.compute(layer=layer, head=head, temperature=temperature, causal=causal)
    q, k, _ = (tensor[0, 0, :64].double().numpy() for tensor in load_passage(128).head(layer, head))
    scores = q @ k.T / np.sqrt(q.shape[-1]) / temperature
    if causal:
        scores[~np.tri(64, dtype=bool)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(frame["weights"], weights, atol=2e-6)
    assert (frame["weights"][scores == -np.inf] == 0).all()
    entropy = -np.sum(weights * np.log(np.where(weights > 0, weights, 1)), -1)
    np.testing.assert_allclose(frame["effective"], np.exp(entropy), rtol=1e-4)


@pytest.mark.parametrize(
    ("controls", "error", "message"),
    [
        ({"layer": 6}, ValueError, "layer must be one of 0, 1, 2, 3, 4, 5, got 6"),
        ({"layer": True}, TypeError, "layer must be an int, got bool"),
        ({"head": "2"}, TypeError, "head must be an int, got str"),
        ({"temperature": 0}, ValueError, r"temperature must be from 0\.1 to 10\.0, got 0"),
        ({"temperature": float("nan")}, ValueError, "temperature must be from .*, got nan"),
        ({"temperature": "warm"}, TypeError, "temperature must be a number, got str"),
        ({"causal": 0}, TypeError, "causal must be a bool, got int"),
    ],
)
def test_bad_controls_of_text_are_refused(
    controls: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        AttentionOnText.compute(**controls)


def test_numpy_numbers_are_numbers() -> None:
    a = AttentionOnText.compute(layer=np.int64(1), temperature=np.float32(2), causal=np.True_)
    b = AttentionOnText.compute(layer=1, temperature=2, causal=True)
    np.testing.assert_array_equal(a["weights"], b["weights"])
