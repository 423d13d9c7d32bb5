"""Explorers on a text of the reader's own: any length, any characters, nobody else's numbers."""

import gc
import html
import inspect
import json
import math
import re
import weakref
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets

from attn_lib import explorers
from attn_lib.data import Passage, load_passage, read
from attn_lib.explorers import (
    AttentionOnText,
    CosineReweighting,
    EstimatedAttention,
    FeatureTemplates,
    GrowingState,
    LongformerWindow,
    LowRankAttention,
    LSHBuckets,
    LSHCircle,
    LunaPacking,
    SparsePatterns,
    TopKSelection,
)
from attn_lib.explorers._files import svg
from attn_lib.explorers._pack import encode
from attn_lib.explorers._signed import signed_code
from attn_lib.explorers._text import TextExplorer, in_cells
from attn_lib.explorers.words import in_english

TEXT = [name for name in explorers.__all__ if issubclass(getattr(explorers, name), TextExplorer)]
LENGTHS = (3, 4, 17, 33, 65, 100, 512)

every_text = pytest.mark.parametrize("explorer", [getattr(explorers, name) for name in TEXT])
every_length = pytest.mark.parametrize("length", LENGTHS)


@cache
def passage_of(length: int, skip: int = 0) -> Passage:
    """Return a reading of so many whole words of the longer passage, in another order."""
    words = [word for word in load_passage(512).tokens if word.isalpha()]
    words = (3 * words)[::-1][skip:]
    passage = read(" ".join(words[: length - 2]))
    assert len(passage.tokens) == length
    return passage


def weights(q, k, *, causal=False):
    """Softmax attention in NumPy."""
    q, k = q[0, 0].double().numpy(), k[0, 0].double().numpy()
    scores = q @ k.T / math.sqrt(q.shape[1])
    if causal:
        scores[~np.tri(len(q), dtype=bool)] = -np.inf
    grown = np.exp(scores - scores.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


def states(made):
    """Return the default state, and those with one control at an end of its grid."""
    plain = made.check()
    found = [plain]
    for name, control in made.controls().items():
        found += [plain | {name: value} for value in (control.grid[0], control.grid[-1])]
    return found


def test_these_are_all_that_show_a_text():
    for name in explorers.__all__:
        explorer = getattr(explorers, name)
        source = Path(inspect.getfile(explorer)).read_text(encoding="utf-8")
        captured = re.search(r"load_passage|_passage\(\)|\.head\(", source)
        assert (name in TEXT) == bool(captured or {"tokens"} & set(explorer.spec()["facts"])), name
    assert len(TEXT) == 12


@every_text
@every_length
def test_a_text_of_any_length_works(explorer, length):
    made = explorer(passage=passage_of(length))
    spec = made.spec()
    assert spec == json.loads(json.dumps(spec, allow_nan=False))
    assert spec["name"] == explorer.__name__
    for state in states(made):
        frame = made.compute(**state)
        assert set(frame) == set(made.codings)
        for name, coding in made.codings.items():
            assert np.isfinite(frame[name]).all()
            encode(frame[name], coding)
        said = made.describe(**state)
        assert not re.search(r"[{}]|nan|inf\b", said)
    for name, control in made.controls().items():
        assert control.default_value in control.grid
        for value in control.grid:
            assert control.check(name, value) == value


@every_text
@pytest.mark.parametrize("length", [3, 17, 100, 512])
def test_its_still_picture_is_drawn(explorer, length):
    made = explorer(passage=passage_of(length))
    data, _ = made._repr_mimebundle_()
    assert html.escape(made.describe()) in data["text/html"]
    assert f"{explorer.__name__}(passage=<{length} tokens>, " in data["text/plain"]


@every_text
@every_length
def test_it_starts_inside_the_text(explorer, length):
    facts = explorer(passage=passage_of(length)).spec()["facts"]
    start = facts["start"] if isinstance(facts["start"], list) else [facts["start"]]
    count = facts.get("most") or facts.get("cells") or len(facts["tokens"])
    if explorer is TopKSelection or explorer is LSHBuckets:
        count = facts["n"]  # their cells are pairs
    limits = {FeatureTemplates: [count, facts.get("features"), count]}.get(explorer, [count] * 2)
    assert all(0 <= at < most for at, most in zip(start, limits, strict=False) if at is not None)


# The numbers are those of the text


@every_length
def test_weights_are_the_texts_own(length):
    passage = passage_of(length)
    shown = {
        AttentionOnText: (64, "weights", False),
        TopKSelection: (64, "weights", False),
        FeatureTemplates: (64, "full", False),
        LunaPacking: (48, "full", False),
        GrowingState: (48, "full", True),
    }
    for explorer, (most, name, causal) in shown.items():
        made = explorer(passage=passage)
        n = min(most, length)
        q, k, _ = (x[:, :, :n] for x in passage.head(2, 9))
        expected = weights(q, k, causal=causal)
        np.testing.assert_allclose(made.compute()[name], expected, rtol=0, atol=2e-6)


@every_length
def test_cells_are_the_texts_own(length):
    passage = passage_of(length)
    shown = {65: (64, 1), 100: (100, 2), 512: (512, 8)}.get(length, (length, 1))
    kept = {
        LowRankAttention: shown,
        EstimatedAttention: (128, 2) if length == 512 else shown,
        CosineReweighting: (min(64, length), 1),
    }
    for explorer, (n, size) in kept.items():
        made = explorer(passage=passage)
        q, k, _ = (x[:, :, :n] for x in passage.head(2, 9))
        pooled = weights(q, k).reshape(n // size, size, n // size, size).sum(3).mean(1)
        got = made.compute()["full"].astype(int)
        assert got.shape == pooled.shape
        assert np.abs(got - signed_code(pooled).astype(int)).max() <= 1
        assert made.spec()["facts"].get("cells", n) == n // size


@every_length
def test_hashes_are_of_the_texts_own_queries(length):
    passage = passage_of(length)
    n = min(64, length)
    q = passage.head(0, 2)[0][0, 0, :n].double().numpy()
    unit = q / np.linalg.norm(q, axis=1, keepdims=True)
    frame = LSHCircle(passage=passage).compute()
    expected = np.degrees(np.arccos((unit @ unit.T).clip(-1, 1)))
    assert np.abs(frame["degrees"] - expected).max() <= 0.51
    scores = q @ unit.T
    np.fill_diagonal(scores, -np.inf)
    grown = np.exp(scores - scores.max(-1, keepdims=True))
    shared = LSHBuckets(passage=passage).compute()["weights"]
    np.testing.assert_allclose(shared, grown / grown.sum(-1, keepdims=True), rtol=0, atol=1e-6)


@pytest.mark.parametrize("buckets", [2, 4, 8, 16])
@every_length
def test_there_are_as_many_buckets_as_it_says(length, buckets):
    """Each hash has buckets 0 to b - 1; over many points all of them come up."""
    bucket = LSHCircle(passage=passage_of(length)).compute(buckets=buckets)["bucket"]
    assert bucket.shape == (8, min(64, length))
    assert bucket.max() < buckets
    if length >= 64:
        assert len(set(bucket.flat)) == buckets


@every_length
def test_steps_through_windows_are_counted_on_its_length(length):
    n = min(64, length)
    made = LongformerWindow(passage=passage_of(length))
    window = made.check()["window"]
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    np.testing.assert_array_equal(made.compute()["steps"], -(-apart // window))


@pytest.mark.parametrize("length", range(3, 513, 7))
def test_cells_leave_out_less_than_one(length):
    kept, size = in_cells(length, 64)
    assert kept % size == 0
    assert kept // size <= 64
    assert length - size < kept <= length
    assert in_cells(kept, 64) == (kept, size)


def test_the_error_with_few_keys_is_the_texts_own():
    passage = passage_of(17)
    q, k, v = passage.head(2, 9)
    full = weights(q, k)
    top = full >= np.sort(full, axis=1)[:, -3, None]
    kept = full * top / (full * top).sum(1, keepdims=True)
    values = v[0, 0].double().numpy()
    error = np.linalg.norm((kept - full) @ values) / np.linalg.norm(full @ values)
    frame = TopKSelection(passage=passage).compute(topk=3)
    assert frame["head_moved"][0] == pytest.approx(error, rel=1e-5)
    assert frame["mass"].mean() == pytest.approx((full * top).sum(1).mean(), rel=1e-5)


# Controls follow the text


def test_ranges_end_with_the_text():
    short, long = passage_of(17), passage_of(512)
    ends = {
        (TopKSelection, "topk"): (17, 64),
        (LongformerWindow, "window"): (16, 63),
        (LSHBuckets, "bucket_size"): (17, 64),
        (LunaPacking, "slots"): (17, 48),
        (GrowingState, "time"): (17, 48),
        (LowRankAttention, "rank"): (17, 512),
    }
    for (explorer, name), highs in ends.items():
        for passage, high in zip((short, long), highs, strict=True):
            made = explorer(passage=passage)
            assert made.controls()[name].high == high
            with pytest.raises(traitlets.TraitError, match=rf"to {high}, got {high + 1}"):
                setattr(made, name, high + 1)
            assert getattr(made, name) == min(explorer.controls()[name].default_value, high)
            assert max(made.controls()[name].grid) <= high
    made = LongformerWindow(passage=short, global_tokens=[0, 16])
    with pytest.raises(traitlets.TraitError, match="must be from 0 to 16, got 17"):
        made.global_tokens = [17]
    assert LowRankAttention(passage=passage_of(100)).length == 100
    assert CosineReweighting(passage=short).max_len == 17
    assert LSHCircle(passage=short).points == "0.2"


def test_the_librarys_passage_is_no_other(monkeypatch):
    for name in TEXT:
        explorer = getattr(explorers, name)
        before = {key: x.copy() for key, x in explorer.compute().items()}
        spec, wording = explorer.spec(), explorer.wording("en", in_english)
        made = explorer(passage=passage_of(17))
        made.compute()
        assert (explorer.spec(), explorer.wording("en", in_english)) == (spec, wording)
        assert explorer().spec() == spec
        assert repr(explorer()) == repr(explorer(passage=None))
        for key, array in explorer().compute().items():
            np.testing.assert_array_equal(array, before[key])


@every_text
def test_two_texts_side_by_side_do_not_mix(explorer):
    texts = passage_of(17), passage_of(17, skip=100)
    alone = [explorer(passage=replace(text)).compute() for text in texts]
    first, second = (explorer(passage=text) for text in texts)
    for _ in range(2):
        for made, expected in ((first, alone[0]), (second, alone[1]), (first, alone[0])):
            for name, array in made.compute().items():
                np.testing.assert_array_equal(array, expected[name])
    if explorer is not LongformerWindow:
        assert any((alone[0][name] != alone[1][name]).any() for name in alone[0])


@every_text
def test_a_text_goes_when_nobody_needs_it(explorer):
    passage = replace(passage_of(17))
    gone = weakref.ref(passage)
    made = explorer(passage=passage)
    made.compute()
    made.describe()
    made.close()
    del made, passage
    gc.collect()
    assert gone() is None


@every_text
def test_what_is_no_passage_is_refused(explorer):
    with pytest.raises(TypeError, match="passage must be a Passage, got str"):
        explorer(passage="A sentence.")
    two = replace(passage_of(3), tokens=("[CLS]", "[SEP]"))
    with pytest.raises(ValueError, match="passage must have at least 3 tokens, got 2"):
        explorer(passage=two)
    with pytest.raises(TypeError, match=r"controls must be of .*, got strid"):
        explorer(passage=passage_of(17), strid=3)


def test_without_a_text_there_is_no_passage_to_give():
    for name in set(explorers.__all__) - set(TEXT):
        with pytest.raises(TypeError, match=r"controls must be of .*, got passage"):
            getattr(explorers, name)(passage=passage_of(3))
    assert SparsePatterns().stride == 12


@every_text
def test_a_passage_of_a_few_heads_offers_those(explorer):
    few = load_passage(512)
    made = explorer(passage=few)
    made.compute()
    for name in ("head", "points"):
        options = getattr(made.controls().get(name), "options", {})
        named = [option for option in options if "." in str(option)]
        if named:
            assert named == [f"{a}.{b}" for a, b in few.heads]
    if explorer in (AttentionOnText, TopKSelection):
        with pytest.raises(ValueError, match=r"must be one of this passage's heads, got \(0, 9\)"):
            made.compute(layer=0, head=9)
        with pytest.raises(ValueError, match="head must be one of 1, 2, 5, 7, 8, 9, 11, got 3"):
            made.compute(head=3)
    one = replace(few, heads=((3, 7),), q=few.q[8:9], k=few.k[8:9], v=few.v[8:9])
    explorer(passage=one).compute()


def test_what_heads_are_known_for_is_not_said_of_another_text():
    for explorer in (LunaPacking, FeatureTemplates):
        labels = explorer(passage=passage_of(17)).controls()["head"].options
        assert labels["2.9"] == "layer 2, head 9"
        assert explorer.controls()["head"].options["2.9"] == "layer 2, head 9: the same word"
    for name in TEXT:
        made = getattr(explorers, name)(passage=passage_of(17))
        said = json.dumps([made.wording("en", in_english), made.describe()])
        assert not re.search(r"Alice|64 tokens|[Mm]ouse|8 nearest, found", said)


@every_text
def test_words_of_other_texts_are_there_for_translators(explorer):
    made = explorer(passage=passage_of(17))
    told = [repr(message) for message in explorer.messages()]
    assert all(repr(message) in told for message in made.words.values())


def test_on_a_page_of_the_book_there_is_no_other_text(monkeypatch):
    monkeypatch.setenv("ATTN_LIB_BOOK", "1")
    made = AttentionOnText(passage=passage_of(17))
    with pytest.raises(ValueError, match="passage must be the library's on a page of the book"):
        made._repr_mimebundle_()


@every_text
def test_a_widget_answers_with_its_own_text(explorer, monkeypatch):
    passage = passage_of(17)
    made = explorer(passage=passage)
    sent = []
    monkeypatch.setattr(
        type(made), "send", lambda self, content, buffers=None: sent.append((content, buffers))
    )
    made._handle_custom_msg({"type": "frame", "id": "x", "controls": made.check()}, [])
    [(content, buffers)] = sent
    frame = explorer(passage=passage).compute()
    for (name, coding, shape), data in zip(content["arrays"], buffers, strict=True):
        assert data == encode(frame[name], coding)
        assert tuple(shape) == frame[name].shape
    assert made._spec["spec"] == made.spec()
    made.language = "en"
    assert made._spec["spec"]["facts"] == made.spec()["facts"]


# Any characters


HOSTILE = (
    "<img src=x onerror='alert(1)'>",
    '"><script>alert(2)</script>',
    "$x^2$",
    "\\frac",
    "{top}",
    "猫",
    "##注意力",
    "םולש",
    "\u202eabc",
    "a\u200bb",
    "\0",
    "\ud800",
    "e\u0301",
    "👩\u200d👧",
    "",
    "##",
)


@pytest.fixture
def hostile():
    passage = passage_of(17)
    return replace(passage, tokens=("[CLS]", *HOSTILE))


@every_text
def test_hostile_tokens_are_shown_and_harm_nothing(explorer, hostile):
    made = explorer(passage=hostile)
    data, _ = made._repr_mimebundle_()
    page = data["text/html"]
    assert page.count("<") == 1
    json.dumps(made.spec(), ensure_ascii=False).encode()
    page.encode()
    picture = svg(made._figure(made.compute(), **made.check()))
    assert "<script" not in picture
    assert "<img" not in picture


def test_what_nobody_can_see_is_written_out(hostile):
    shown = AttentionOnText(passage=hostile).spec()["facts"]["tokens"]
    texts = [text for text, _ in shown]
    assert texts[1:3] == [*HOSTILE[:2]]
    assert texts[9:13] == [r"\u202eabc", r"a\u200bb", r"\x00", r"\ud800"]
    assert texts[8] == "\u2068םולש\u2069"
    assert texts[6:8] == ["猫", "注意力"]
    assert [joins for _, joins in shown] == [token == "##注意力" for token in hostile.tokens]


def test_chinese_and_arabic_read_from_a_reader_are_drawn():
    for text in ("注意力机制是什么？我们从头说起。", "ما هو الانتباه؟", "😀 a ✓ ∑"):
        made = AttentionOnText(passage=read(text))
        made._repr_mimebundle_()
        TopKSelection(passage=read(text))._repr_mimebundle_()
    assert torch.equal(read("A").q, read("a").q)
