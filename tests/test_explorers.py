"""The explorers without a browser: packing, grids, pure computation, traits, and MIME bundles."""

import base64
import gettext
import gzip
import html
import importlib
import inspect
import io
import itertools
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import ipywidgets
import matplotlib
import numpy as np
import pytest
import traitlets
from babel import Locale
from PIL import Image

from attn_lib import explorers
from attn_lib.data import load_passage
from attn_lib.explorers import AttentionOnText, SparsePatterns, _carried, words
from attn_lib.explorers._explorer import Explorer
from attn_lib.explorers._pack import decode, digest, encode, pack, unpack
from attn_lib.explorers.sparse_patterns import DIRECT, LENGTH, LOST, two_hops
from attn_lib.explorers.words import COMMON_WORDS, STRIDE_WORDS, Plural, fill, in_english

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "attn_lib" / "explorers"
BUILT = FOLDER / "built"
FRONT = {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "front").glob("*.mjs")}
ALL = [getattr(explorers, name) for name in explorers.__all__]

NONE = gettext.NullTranslations()

every_explorer = pytest.mark.parametrize("explorer", ALL)


def load_extension() -> ModuleType:
    sys.path.append(str(ROOT / "book" / "_ext"))
    return importlib.import_module("explorers")


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
    states = [explorer.canonical(dict(zip(names, values, strict=True))) for values in declared]
    wanted = {json.dumps(state) for state in states if explorer._carries(state)}
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
def test_a_page_knows_what_every_state_comes_to(explorer: type[Explorer]) -> None:
    """The summary travels without a word of any language; a page's words make it whole again."""
    header, _ = unpack(explorer.packed())
    words = explorer.wording("en", in_english)
    names = list(explorer.controls())

    def filling(value: Any) -> Any:
        if isinstance(value, dict) and "word" in value:
            return words["words"][value["word"]]
        if isinstance(value, dict):
            control, place = value["option"]
            return words["labels"][control]["options"][place]
        if isinstance(value, str):
            assert re.fullmatch(r"[\d.]*", value), f"{value} is a word of a language"
        return value

    assert len(header["told"]) == len(header["states"])
    chosen = range(0, len(header["told"]), max(1, len(header["told"]) // 40))
    for k in chosen:
        sentence, *values = header["told"][k]
        name, *holes = header["sentences"][sentence]
        filled = {hole: filling(value) for hole, value in zip(holes, values, strict=True)}
        state = dict(zip(names, header["states"][k][0], strict=True))
        assert fill(words["words"][name], filled) == explorer.summarize(**state)


@every_explorer
def test_what_changed_is_told_with_numbers_of_both_states(explorer: type[Explorer]) -> None:
    change = explorer.words["change"]
    assert isinstance(change, str)
    name, values = explorer._summary(explorer.compute(), **explorer.check())
    holes = set(re.findall(r"\{(\w+)\}", change))
    assert any(hole.startswith("was_") for hole in holes)
    assert {hole.removeprefix("was_") for hole in holes} <= set(values)
    assert set(re.findall(r"\{(\w+)\}", str(explorer.words[name]))) == set(values)


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


def module_of(explorer: type[Explorer]) -> str:
    return explorer.__module__.rpartition(".")[2]


def view_of(explorer: type[Explorer]) -> str:
    return (FOLDER / f"{module_of(explorer)}.mjs").read_text(encoding="utf-8")


def shared_by(source: str) -> set[str]:
    """Return the shared modules that a module needs, directly or not."""
    found = set(re.findall(r'from "\./(?:front/)?(\w+\.mjs)"', source))
    return found.union(*(shared_by(FRONT[name]) for name in found))


def literals(source: str) -> set[str]:
    """Return all short strings in a source, among them the names of the words that it speaks."""
    return set(re.findall(r'"([a-z]\w*)"', source))


@every_explorer
def test_views_and_words_agree(explorer: type[Explorer]) -> None:
    view = view_of(explorer)
    spoken = set(re.findall(r'\bwords\(\s*"(\w+)"', view))
    spoken |= set(re.findall(r'"(\w+)"', " ".join(re.findall(r"words\.labelled\([^)]*\)", view))))
    if "rampLegend(" in view:
        spoken.add("ramp")
    assert spoken <= {*COMMON_WORDS, *explorer.words}
    options = {
        str(value)
        for control in explorer.controls().values()
        for value in control.spec().get("options", ())
    }
    said = explorer._alt(explorer.compute(), **explorer.check())[0]
    assert said.startswith("alt")
    alternatives = {name for name in explorer.words if name.startswith("alt")}
    alternatives.add("change")
    figure = literals(inspect.getsource(explorer._figure))
    named = literals(view).union(*(literals(FRONT[front]) for front in shared_by(view)))
    assert set(explorer.words) <= spoken | named | options | alternatives | figure


@every_explorer
def test_no_word_of_a_language_stands_in_a_view(explorer: type[Explorer]) -> None:
    view = re.sub(r"//.*|/\*.*?\*/", "", view_of(explorer), flags=re.S)
    texts = re.findall(r'"([^"]*)"|`([^`]*)`', view)
    for text in (quoted or template for quoted, template in texts):
        assert not re.search(r"[a-z]{2,} [a-z]{2,}", text) or text.startswith("M"), text


@every_explorer
def test_every_message_can_be_filled(explorer: type[Explorer]) -> None:
    wording = explorer.wording("en", in_english)
    assert wording == json.loads(json.dumps(wording))
    shown = {name for name in explorer.words if not name.startswith("still")}
    assert set(wording["words"]) == {*COMMON_WORDS, *shown}
    assert set(wording["labels"]) == set(explorer.controls())
    for message in explorer.messages():
        forms = [message] if isinstance(message, str) else [message.one, message.other]
        for form in forms:
            assert not re.search(r"[{}]", re.sub(r"\{\w+\}", "", form))
        if isinstance(message, Plural):
            assert "{" + message.by + "}" in message.other
            assert message.one != message.other


@every_explorer
def test_the_picture_in_words_is_true_to_its_state(explorer: type[Explorer]) -> None:
    for state in explorer.grid()[:: max(1, len(explorer.grid()) // 12)]:
        name, values = explorer._alt(explorer.compute(**state), **state)
        said = fill(in_english(explorer.words[name]), values)
        assert not re.search(r"[{}]|nan|inf\b", said)
        assert (name, [*values]) == (name, [*json.loads(json.dumps([name, values]))[1]])


def test_common_words_are_used() -> None:
    sources = " ".join(FRONT.values())
    # Where no explorer comes to life, the page itself says why.
    page = (ROOT / "book" / "_ext" / "explorers.py").read_text(encoding="utf-8")
    assert all(f'"{name}"' in sources + page for name in COMMON_WORDS)
    spoken = set(re.findall(r'\b(?:words|speak)\(\s*"(\w+)"', sources))
    assert spoken <= {*COMMON_WORDS, *STRIDE_WORDS, "ramp", "change"}


@pytest.mark.parametrize("name", sorted(path.name for path in BUILT.glob("*js")))
def test_a_bundle_needs_nothing_from_outside(name: str) -> None:
    bundle = (BUILT / name).read_text(encoding="utf-8")
    assert not re.search(r"\bimport\b|\bfetch\(|XMLHttpRequest|\beval\(", bundle)
    assert set(re.findall(r"https?://[^\"'`]+", bundle)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", bundle)
    assert "attachShadow" not in bundle


def test_the_book_has_one_script_and_it_exports_nothing() -> None:
    script = (BUILT / "book.js").read_text(encoding="utf-8")
    assert not re.search(r"\bexport\b", script)
    assert script.startswith("(")
    for explorer in ALL:
        assert f"{module_of(explorer)}:" in script
    with_export = [path for path in BUILT.glob("*.mjs") if "as default}" in path.read_text("utf-8")]
    assert {path.stem for path in with_export} == {module_of(explorer) for explorer in ALL}


def test_an_explorer_is_two_files_of_one_name() -> None:
    modules = {module_of(explorer) for explorer in ALL}
    drawn = {path.stem for path in FOLDER.glob("[a-z]*.mjs")}
    assert drawn == modules
    assert all((FOLDER / f"{name}.py").exists() for name in modules)


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
    assert set(bundle) == {"text/html", "image/svg+xml", "text/plain"}
    page = bundle["text/html"]
    scripts = re.findall(r"<script([^>]*)>([^<]*)</script>", page)
    assert len(scripts) == page.count("<script") == 1
    assert scripts[0][0] == ' type="application/octet-stream"'
    assert base64.b64decode(scripts[0][1], validate=True) == explorer.packed()
    assert re.search(r"\son\w+=|javascript:", re.sub(r'"[^"]*"', "", page)) is None
    picture = bundle["image/svg+xml"]
    assert picture.startswith("<?xml")
    assert len(gzip.compress(picture.encode(), mtime=0)) < 25_000
    code = base64.b64encode(picture.encode()).decode()
    assert f'src="data:image/svg+xml;base64,{code}"' in page
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
    assert "stride=16" in shown["text/plain"]
    with pytest.raises(ValueError, match=r"controls must be on the book's grid, got .*13"):
        SparsePatterns(stride=13)._repr_mimebundle_()


def test_frames_and_outputs_carry_no_language(book: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def output() -> str:
        """Return what the cell leaves, less the picture, whose words the build translates."""
        page = SparsePatterns()._repr_mimebundle_()["text/html"]
        return re.sub(r'src="data:image/svg\+xml;base64,[^"]*"', "", page)

    before, frames = output(), SparsePatterns.packed()
    other = dict.fromkeys(SparsePatterns.words, "ξ")
    monkeypatch.setattr(SparsePatterns, "words", other)
    monkeypatch.setattr(SparsePatterns.pattern, "label", "ξ")
    monkeypatch.setattr(SparsePatterns.pattern, "options", {"strided": "ξ", "fixed": "ξξ"})
    _carried.packed.cache_clear()
    assert SparsePatterns.packed() == frames
    assert output() == before


def test_hostile_words_stay_words(book: None, monkeypatch: pytest.MonkeyPatch) -> None:
    words = '"><script>alert(1)</script>'
    monkeypatch.setattr(SparsePatterns, "words", dict.fromkeys(SparsePatterns.words, words))
    page = load_extension().give_words(
        SparsePatterns()._repr_mimebundle_()["text/html"], NONE, "en"
    )
    assert "alert(1)" in page
    assert "<script>" not in page
    assert page.count("<script ") == page.count("</script>") == 2


class Shouting(gettext.NullTranslations):
    """A language with two kinds of plural beside the one: 2 to 4, and the rest."""

    def gettext(self, message: str) -> str:
        return re.sub(r"(?<!\{)\b\w+\b(?!\})", lambda word: word[0].upper(), message)

    def ngettext(self, one: str, other: str, n: int) -> str:
        return {1: "ONE", 2: "FEW {r}", 3: "FEW {r}", 4: "FEW {r}"}.get(n, "MANY {r}")


def test_a_translation_with_a_strange_hole_is_named() -> None:
    numbered = load_extension().numbered
    assert numbered("{b} of {a}", ["a", "b"]) == "{1} of {0}"
    with pytest.raises(ValueError, match=r"message must have holes of \['a'\], got \{'c'\}"):
        numbered("{c} of {a}", ["a"])


def test_a_page_gets_its_own_words_and_plurals(book: None) -> None:
    extension = load_extension()
    output = SparsePatterns()._repr_mimebundle_()["text/html"]
    page = extension.give_words(output, Shouting(), "cs")
    (wording,) = re.findall(r'<script type="application/json">(.*?)</script>', page)
    found = json.loads(wording)
    assert found["language"] == "cs"
    assert found["words"]["reset"] == "RESET"
    assert found["labels"]["pattern"]["options"] == ["STRIDED", "FIXED"]
    translate = extension.translate_by(Shouting(), Locale("cs"))
    forms = translate(Plural("r", "1 round", "{r} rounds"))
    assert (forms["one"], forms["few"], forms["other"]) == ("ONE", "FEW {r}", "MANY {r}")
    assert fill(forms, {"r": 3}, category=Locale("cs").plural_form) == "FEW 3"
    english = extension.give_words(output, NONE, "en")
    frames = r'<script type="application/octet-stream">.*?</script>'
    assert re.findall(frames, page) == re.findall(frames, english) == re.findall(frames, output)


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
    assert len(json.dumps(small, default=str)) < 7_400
    assert state["_esm"] == (BUILT / f"{module_of(explorer)}.mjs").read_text(encoding="utf-8")
    assert len(state["_esm"]) < 33_500
    assert json.loads(json.dumps(state["_spec"]))["spec"]["name"] == explorer.__name__
    # The words of a summary come with the frame that they sum up.
    wording = explorer.wording("en", in_english)
    with_frames = {name for name in explorer.words if name == "change" or name.startswith("alt")}
    spoken = {name: form for name, form in wording["words"].items() if name not in with_frames}
    assert state["_spec"]["wording"] == {**wording, "words": spoken}


def test_a_widget_speaks_the_language_that_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "_LOCALE", tmp_path)
    catalogue = {"Reset": "Nullstellen", "1 round": {"one": "1 Runde", "other": "{r} Runden"}}
    (tmp_path / "de.json").write_text(json.dumps(catalogue), encoding="utf-8")
    assert words.languages() == ("en", "de")
    made = explorers.LSHBuckets(language="de", rounds=2)
    wording = made._spec["wording"]
    assert wording["language"] == "de"
    assert wording["words"]["reset"] == "Nullstellen"
    rounds = wording["words"]["shown_computed"]
    assert rounds == {"by": "r", "one": "1 Runde", "other": "{r} Runden"}
    assert wording["words"]["caught"] == explorers.LSHBuckets.words["caught"]
    made.language = "en"
    assert made._spec["wording"]["words"]["reset"] == "Reset"
    with pytest.raises(traitlets.TraitError, match="language must be one of 'en', 'de', got 'xx'"):
        made.language = "xx"
    assert made.language == "en"


WIDGET = "application/vnd.jupyter.widget-view+json"


@every_explorer
def test_a_saved_notebook_keeps_a_picture_and_its_words(explorer: type[Explorer]) -> None:
    made = explorer()
    data, metadata = made._repr_mimebundle_(include=None, exclude=None)
    assert set(data) == {WIDGET, "text/html", "image/png", "text/plain"}
    assert data[WIDGET]["model_id"] == made.model_id
    assert set(metadata) <= {WIDGET}
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"], validate=True))) as picture:
        picture.load()
    assert picture.format == "PNG"
    assert picture.width >= 500
    alt, code = re.fullmatch(
        '<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', data["text/html"]
    ).groups()
    assert html.unescape(alt) == explorer.describe()
    assert code == data["image/png"]
    name, said, live = data["text/plain"].splitlines()
    assert name == repr(made)
    assert said == explorer.describe()
    assert "Jupyter" in live
    assert len(json.dumps(data)) < 60 * 1024


@pytest.mark.parametrize(
    ("explorer", "controls"),
    [
        (SparsePatterns, {"stride": 13, "pattern": "fixed"}),
        (AttentionOnText, {"temperature": 0.37}),
    ],
)
def test_a_saved_picture_is_of_the_present_state(
    explorer: type[Explorer], controls: dict[str, Any]
) -> None:
    made = explorer()
    before, _ = made._repr_mimebundle_()
    for name, value in controls.items():
        setattr(made, name, value)
    after, _ = made._repr_mimebundle_()
    assert after["image/png"] != before["image/png"]
    assert html.escape(explorer.describe(**controls)) in after["text/html"]
    for name, value in controls.items():
        assert f"{name}={value!r}" in after["text/plain"]
    assert after == explorer(**controls)._repr_mimebundle_()[0] | {WIDGET: after[WIDGET]}


def test_controls_that_do_not_go_together_are_shown_without_a_picture() -> None:
    made = explorers.LowRankAttention(length=512, head="0.4")
    data, _ = made._repr_mimebundle_()
    assert set(data) == {WIDGET, "text/plain"}
    with pytest.raises(ValueError, match="must be one of this passage's heads") as refused:
        made.compute(**made._state())
    assert data["text/plain"] == f"{made!r}\n{refused.value}"


def test_a_saved_picture_fears_no_style_and_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SparsePatterns()
    plain, _ = made._repr_mimebundle_()
    with matplotlib.rc_context({"font.size": 30, "text.color": "red", "savefig.dpi": 9}):
        assert made._repr_mimebundle_()[0] == plain
    hostile = '"><script>alert(1)</script>'
    monkeypatch.setattr(SparsePatterns, "words", dict.fromkeys(SparsePatterns.words, hostile))
    page = made._repr_mimebundle_()[0]["text/html"]
    assert f'alt="{html.escape(hostile)}"' in page
    assert page.count("<") == 1


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
