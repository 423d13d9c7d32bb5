"""The landing page's small pictures: their numbers, what travels with the page, what is refused."""

import base64
import gzip
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from docutils.core import publish_doctree
from docutils.parsers.rst import directives
from docutils.utils import SystemMessage
from prerequisites import HTML, built_book
from torch.testing import assert_close

import attn_lib
from attn_lib import explorers
from attn_lib.data import load_measurements, load_passage

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))

import gallery  # noqa: E402
import gallery_pictures as pictures  # noqa: E402

N = 56
HEAVIEST = 45_000
"""Bytes of all pictures and their script, as a server sends them. A ratchet."""


def head(layer: int, number: int) -> tuple[torch.Tensor, ...]:
    """Return a head at the words of the pictures: from “but do cats eat bats” on."""
    return tuple(x[:, :, 46 : 46 + N].double() for x in load_passage(128).head(layer, number))


def tokens() -> tuple[str, ...]:
    return load_passage(128).tokens[46 : 46 + N]


def said(chapter: str, hole: str) -> list[Any]:
    values = (each[hole] for each in pictures.picture(chapter).said)
    return [one.value if isinstance(one, pictures.Number) else one for one in values]


def frames(chapter: str) -> list[np.ndarray]:
    return [frame.astype(int) for frame in pictures.picture(chapter).frames]


def error(out: torch.Tensor, exact: torch.Tensor) -> float:
    return 100 * float(torch.linalg.norm(out - exact) / torch.linalg.norm(exact))


def softmax(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return ((q @ k.mT)[0, 0] / math.sqrt(q.shape[-1])).softmax(dim=-1)


def test_every_chapter_has_a_picture_and_no_number_is_missing() -> None:
    chapters = sorted(path.stem for path in (ROOT / "book").glob("[0-9][0-9]-*.md"))
    assert [card.chapter for card in pictures.CARDS] == chapters
    for card in pictures.CARDS:
        shown = pictures.picture(card.chapter)
        assert 0 < card.start < len(shown.frames) == len(shown.said)
        assert len({frame.tobytes() for frame in shown.frames}) == len(shown.frames)
        assert len({tuple(each) for each in shown.said}) == 1
        assert all(frame.dtype == np.uint8 for frame in shown.frames)
        for each in shown.said:
            values = [one.value for one in each.values() if isinstance(one, pictures.Number)]
            assert np.isfinite(values).all()


def test_words_are_shaded_by_what_the_query_reads() -> None:
    q, k, _ = head(2, 9)
    weights = softmax(q, k)
    shown = pictures.picture("00-softmax-attention")
    assert shown.texts == tokens()
    for *shades, query in frames("00-softmax-attention"):
        assert_close(
            torch.tensor(shades) / 6,
            weights[query].sqrt(),
            atol=1 / 12 + 1e-9,
            rtol=0,
            check_dtype=False,
        )
    queries = [frame[-1] for frame in frames("00-softmax-attention")]
    assert said("00-softmax-attention", "query") == [tokens()[i] for i in queries]
    best, place = weights[queries].max(dim=-1)
    assert said("00-softmax-attention", "key") == [tokens()[j] for j in place]
    assert_close(said("00-softmax-attention", "share"), (100 * best).tolist())


def test_strides_are_the_papers_sets() -> None:
    i, j = np.indices((N, N))
    for stride, read, frame in zip(
        said("01-sparse-transformer", "stride"),
        said("01-sparse-transformer", "read"),
        frames("01-sparse-transformer"),
        strict=True,
    ):
        past = j <= i
        local = past & (i - j <= stride)
        far = past & ((i - j) % stride == 0)
        assert np.array_equal(frame == 6, local)
        assert np.array_equal(frame == 9, far & ~local)
        assert np.array_equal(frame == 10, past & ~far & ~local)
        assert read == (local | far)[-1].sum()


def test_kept_keys_are_the_largest_and_hold_their_weight() -> None:
    q, k, _ = head(3, 1)
    weights = softmax(q, k)
    order = weights.sort(dim=-1, descending=True).values
    for kept, share, frame in zip(
        said("02-explicit-sparse", "kept"),
        said("02-explicit-sparse", "share"),
        frames("02-explicit-sparse"),
        strict=True,
    ):
        survives = (frame > 0) & (frame < 10)
        assert np.array_equal(survives.sum(axis=1), [kept] * N)
        assert np.array_equal(survives, (weights >= order[:, kept - 1 : kept]).numpy())
        assert share == pytest.approx(100 * float(order[:, :kept].sum()) / N)


def test_a_window_has_neighbours_on_both_sides() -> None:
    i, j = np.indices((N, N))
    seers = [tokens().index("cats"), tokens().index("alice")]
    everywhere = np.isin(i, seers) | np.isin(j, seers)
    for window, share, frame in zip(
        said("03-longformer", "window"),
        said("03-longformer", "share"),
        frames("03-longformer"),
        strict=True,
    ):
        near = abs(i - j) <= window
        assert np.array_equal(frame == 6, near)
        assert np.array_equal(frame == 9, everywhere & ~near)
        assert share == pytest.approx(100 * (near | everywhere).mean())


def test_rounds_of_hashing_find_who_shared_a_bucket() -> None:
    qk = head(2, 9)[0]
    chosen = tokens().index("cats")
    buckets = attn_lib.reformer_buckets(
        qk, bucket_size=7, num_hashes=8, generator=torch.Generator()
    )[0, 0].numpy()
    unit = (qk / qk.norm(dim=-1, keepdim=True))[0, 0]
    near = np.argsort(-(unit @ unit[chosen]).numpy())[1:9]
    for last, frame in enumerate(frames("04-reformer")):
        shared = (buckets[: last + 1] == buckets[: last + 1, [chosen]]).any(axis=0)
        assert np.array_equal(frame[:, 2] > 0, shared)
        assert frame[chosen, 2] == 2
        assert said("04-reformer", "near")[last] == shared[near].sum()
        assert said("04-reformer", "far")[last] == shared.sum() - 1 - shared[near].sum()
    assert {*said("04-reformer", "nearest")} == {8}
    assert {*said("04-reformer", "others")} == {N - 9}


def test_a_rank_is_so_many_means_of_neighbours() -> None:
    q, k, v = head(3, 2)
    exact = softmax(q, k) @ v[0, 0]
    for rank, off in zip(said("05-linformer", "rank"), said("05-linformer", "error"), strict=True):
        owner = np.arange(N) * rank // N
        keys, values = (
            torch.stack([x[0, 0][owner == slot].mean(dim=0) for slot in range(rank)])
            for x in (k, v)
        )
        assert off == pytest.approx(error(softmax(q, keys[None, None]) @ values, exact), abs=1e-9)
    assert said("05-linformer", "rank")[-1] == N
    assert len(np.unique(frames("05-linformer")[0])) == 1  # one slot: all words get the same


def test_features_estimate_the_weights() -> None:
    q, k, v = head(4, 0)
    exact = softmax(q, k) @ v[0, 0]
    for features, off, frame in zip(
        said("06-performer", "features"),
        said("06-performer", "error"),
        frames("06-performer"),
        strict=True,
    ):
        w = attn_lib.draw_projection(features, 32, generator=torch.Generator(), dtype=torch.float64)
        weights = attn_lib.performer_weights(q, k, projection=w)[0, 0]
        assert off == pytest.approx(error(weights @ v[0, 0], exact))
        top = float(softmax(q, k).quantile(0.998))
        shares = (weights / top).clamp(0, 1).sqrt()
        assert_close(
            torch.from_numpy(frame) / 6, shares, atol=1 / 6 + 1e-9, rtol=0, check_dtype=False
        )
    assert said("06-performer", "error")[-1] < said("06-performer", "error")[0] / 2


def test_slots_are_packed_and_unpacked() -> None:
    q, k, v = head(2, 9)
    exact = softmax(q, k) @ v[0, 0]
    for slots, off, frame in zip(
        said("07-luna", "slots"), said("07-luna", "error"), frames("07-luna"), strict=True
    ):
        assert frame.shape == (slots, N)
        p = 4 * explorers.luna_packing.centres(k[0, 0], slots)[None, None]
        packing = softmax(p, k)
        unpacking = softmax(q, (packing @ k[0, 0])[None, None])
        assert off == pytest.approx(error(unpacking @ packing @ v[0, 0], exact), abs=1e-9)


def test_a_template_is_a_softmax_over_the_words() -> None:
    _, k, _ = head(2, 9)
    maps = k[0, 0].softmax(dim=0).T
    assert said("08-efficient-attention", "feature") == list(range(1, 33))
    for row, word, frame in zip(
        maps, said("08-efficient-attention", "word"), frames("08-efficient-attention"), strict=True
    ):
        assert word == tokens()[int(row.argmax())]
        assert np.array_equal(frame, np.rint(200 * (row / row.max()).numpy()))


def test_the_state_is_one_sum_whatever_was_read() -> None:
    _, k, v = head(2, 9)
    phi = torch.nn.functional.elu(k[0, 0]) + 1
    top = float((phi.T @ v[0, 0]).abs().max())
    for read, frame in zip(
        said("09-linear-transformer", "read"), frames("09-linear-transformer"), strict=True
    ):
        entries = (phi[:read].T @ v[0, 0, :read] / top).numpy()
        root = np.sqrt(abs(entries))
        below = (frame > 6) & (frame < 10)
        assert (entries[below] < 0).all()
        assert abs(np.where(below, (frame - 6) / 3, frame / 6) - root).max() <= 1 / 3
        assert abs(frame / 6 - root)[entries > 0].max() <= 1 / 12 + 1e-6
    assert {*said("09-linear-transformer", "state")} == {32 * 33}
    assert said("09-linear-transformer", "cache") == [
        64 * read for read in said("09-linear-transformer", "read")
    ]


def test_the_cosine_falls_with_the_distance() -> None:
    q, k, _ = head(0, 4)
    i, j = np.indices((N, N))
    cosine = np.cos(np.pi / 2 * (i - j) / N)
    products = (q.relu() @ k.relu().mT)[0, 0].numpy() * cosine
    weights = products / products.sum(axis=1, keepdims=True)
    places = [place for place, token in enumerate(tokens()) if token.strip("#").isalpha()]
    assert len(places) == len(frames("10-cosformer")) > 40
    for row, away, factor, frame in zip(
        places,
        said("10-cosformer", "away"),
        said("10-cosformer", "factor"),
        frames("10-cosformer"),
        strict=True,
    ):
        assert abs(frame[:N] - 200 * weights[row] / weights.max()).max() < 0.6
        assert abs(frame[N + 1 : -1] - 200 * cosine[row]).max() < 0.6
        assert away == max(row, N - 1 - row)
        assert factor == pytest.approx(math.cos(math.pi / 2 * away / N))
        assert frame[-1] == round(200 * row / (N - 1))


def test_gradients_are_those_of_the_chapters_explorer() -> None:
    depths = said("11-layer-norm", "depth")
    for place in (0, len(depths) - 1):
        for norm, at in (("post", 0), ("pre", 25)):
            found = explorers.GradientLadder.compute(norm=norm, depth=depths[place])
            ladder = found["ladder"][-1]
            drawn = frames("11-layer-norm")[place][at + 1 : at + 1 + depths[place]]
            assert abs(drawn - 200 * (ladder + 0.1) / 1.1).max() < 0.6
            assert said("11-layer-norm", norm)[place] == pytest.approx(10 ** ladder[-1])


def test_the_fastest_was_measured_as_the_fastest() -> None:
    measured = load_measurements()
    for length, fastest, times in zip(
        said("12-which-one", "length"),
        said("12-which-one", "fastest"),
        said("12-which-one", "times"),
        strict=True,
    ):
        ratios = {
            name: dict(zip(*measured.series(name), strict=True)).get(length)
            for name in pictures.CHAPTERS
            if name in measured.mechanisms and name not in ("strided", "fixed")
        }
        best = min((ratio, name) for name, ratio in ratios.items() if ratio is not None)
        assert pictures.CHAPTERS[best[1]] == fastest.name
        assert times == pytest.approx(1 / best[0], rel=0.06)  # two figures


# On the page


def test_frames_travel_whole() -> None:
    shown = [pictures.picture(card.chapter) for card in pictures.CARDS]
    sizes = [[frame.size for frame in one.frames] for one in shown]
    for one, unpacked in zip(shown, gallery.unpack(gallery.pack(shown), sizes), strict=True):
        for frame, other in zip(one.frames, unpacked, strict=True):
            assert np.array_equal(frame.reshape(-1), other)


@pytest.mark.parametrize(
    ("frame", "paths"),
    [
        ([[0, 1, 1], [2, 1, 0], [0, 0, 0]], {"c1": "M1 0h2M1 1h1", "c2": "M0 1h1"}),
        ([[3, 3, 3]], {"c3": "M0 0h3"}),
    ],
)
def test_cells_of_one_code_are_one_stroke(frame: list, paths: dict[str, str]) -> None:
    card = gallery.Card("01-sparse-transformer", "cells", 0, lambda: None)
    drawn = gallery.draw(card, pictures.Picture((np.array(frame, np.uint8),), ({},)), 0)
    assert dict(re.findall(r'<path class="(\w+)" d="([^"]*)"', drawn)) == paths
    assert f"scale(1 {3 / len(frame):g})" in drawn


def test_a_hole_must_be_one_of_the_pictures() -> None:
    assert gallery.filled("a {b} c", {"b": "<1"}) == 'a <b data-hole="b">&lt;1</b> c'
    with pytest.raises(ValueError, match=r"must have holes of \['b'\], got \['d'\]"):
        gallery.filled("a {d}", {"b": "1"})


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("Words.", "nothing but {live} pictures"),
        (".. live:: 99-none\n\n   A\n\n   B", "one of the gallery's cards, got '99-none'"),
        (".. live:: 07-luna\n\n   A", "must have two paragraphs"),
        (".. live:: 07-luna\n\n   A\n\n   - B", "must have two paragraphs"),
    ],
)
def test_a_gallery_that_cannot_be_shown_is_refused(body: str, rule: str) -> None:
    directives.register_directive("gallery", gallery.Gallery)
    directives.register_directive("live", gallery.Live)
    indented = "".join(f"   {line}\n" for line in body.splitlines())
    settings = {"halt_level": 3, "report_level": 5}
    with pytest.raises(SystemMessage, match=rule):
        publish_doctree(f".. gallery::\n\n{indented}", settings_overrides=settings)


@pytest.fixture(scope="module")
def page() -> str:
    return (built_book() / "book" / "intro.html").read_text(encoding="utf-8")


def built(page: str) -> str:
    """Return the gallery's part of the page."""
    return page[
        page.index('<div class="live-gallery">') : page.index('<section id="who-it-is-for"')
    ]


@pytest.mark.book
def test_the_page_carries_what_was_computed(page: str) -> None:
    texts, packed = re.findall(r"<script[^>]*>(.*?)</script>", built(page), re.S)
    data = json.loads(texts)
    unpacked = gallery.unpack(base64.b64decode(packed), [one["sizes"] for one in data])
    for card, one, found in zip(pictures.CARDS, data, unpacked, strict=True):
        shown = pictures.picture(card.chapter)
        for frame, other in zip(shown.frames, found, strict=True):
            assert np.array_equal(frame.reshape(-1), other), card.chapter
        for hole, values in one["said"].items():
            for text, value in zip(values, said(card.chapter, hole), strict=True):
                if isinstance(value, int | float):
                    digits = len(text.partition(".")[2])
                    assert float(text.replace(",", "")) == pytest.approx(
                        value, abs=0.5 * 10**-digits + 1e-9
                    )
                else:
                    assert text
        assert gallery.draw(card, shown, card.start) in page


class _Texts(HTMLParser):
    """Collects the sentences."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "p" and ("class", "live-said") in attrs:
            self.inside = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1] += data


@pytest.mark.book
def test_sentences_have_their_numbers(page: str) -> None:
    found = _Texts(page).found
    assert len(found) == len(pictures.CARDS)
    assert all(not set("{}") & set(sentence) for sentence in found)
    strided = pictures.CARDS[1]
    read = said(strided.chapter, "read")[strided.start]
    assert found[1] == f"Stride {strided.start + 1}: the last word reads {read} of the {N} words."


@pytest.mark.book
def test_the_gallery_weighs_little(page: str) -> None:
    script = HTML / "_static" / "gallery.js"
    parts = [built(page).encode(), script.read_bytes()]
    assert sum(len(gzip.compress(part, 9)) for part in parts) <= HEAVIEST
