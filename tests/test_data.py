"""The captured passages: what is stored, what is loaded, and what the README says about it."""

import csv
import hashlib
import re
from importlib.resources import files

import numpy as np
import pytest
import torch

from attn_lib.data import Passage, load_book, load_passage, load_portrait

FOLDER = files("attn_lib.data")
EVERY_HEAD = tuple((layer, head) for layer in range(6) for head in range(12))
CHOSEN_HEADS = (
    *((0, 2), (0, 5), (0, 11), (1, 1), (1, 2), (1, 8)),
    *((1, 11), (2, 9), (3, 7), (4, 5), (5, 5), (5, 11)),
)
HEADS = {128: EVERY_HEAD, 512: CHOSEN_HEADS}


@pytest.fixture(params=[128, 512])
def length(request):
    return request.param


def weights(q, k):
    scores = q.double().numpy() @ np.swapaxes(k.double().numpy(), -1, -2) / np.sqrt(q.shape[-1])
    grown = np.exp(scores - scores.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


def table(name):
    return {
        (int(row["length"]), int(row["layer"]), int(row["head"])): row
        for row in csv.DictReader((FOLDER / name).read_text(encoding="utf-8").splitlines())
    }


def test_a_passage_has_the_promised_shapes_and_dtypes(length):
    passage = load_passage(length)
    assert isinstance(passage, Passage)
    assert passage.heads == HEADS[length]
    assert len(passage.tokens) == length
    assert all(type(token) is str for token in passage.tokens)
    for part in (passage.q, passage.k, passage.v):
        assert part.shape == (len(HEADS[length]), length, 32)
        assert part.dtype == torch.float32
        assert torch.isfinite(part).all()


def test_the_stored_arrays_are_float16_and_hold_no_pickle(length):
    with (
        (FOLDER / f"alice_{length}.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        assert set(stored.files) == {"tokens", "heads", "q", "k", "v"}
        assert stored["tokens"].dtype.kind == "U"
        assert {stored[name].dtype for name in "qkv"} == {np.dtype(np.float16)}
        passage = load_passage(length)
        for name in "qkv":
            np.testing.assert_array_equal(getattr(passage, name).half().numpy(), stored[name])


def test_checksums_hold():
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    assert set(sums) == {
        *("alice_128.npz", "alice_128.txt", "alice_512.npz", "alice_512.txt"),
        *("alice_book.txt", "heads.csv", "portrait.npz"),
    }
    for name, expected in sums.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == expected, name


def test_the_passages_stay_small():
    sizes = [len((FOLDER / f"alice_{length}.npz").read_bytes()) for length in (128, 512)]
    assert sum(sizes) < 3_200_000


def test_the_tokens_spell_the_passage(length):
    tokens = load_passage(length).tokens
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert "[UNK]" not in tokens
    text = (FOLDER / f"alice_{length}.txt").read_text(encoding="utf-8").lower()
    spelled = "".join(token.removeprefix("##") for token in tokens[1:-1])
    assert spelled == re.sub(r"\s", "", text)


def test_the_first_64_tokens_end_with_a_clause():
    assert (
        " ".join(load_passage(128).tokens[55:64]) == "and here alice began to get rather sleepy ,"
    )


def test_the_book_is_whole_and_plain():
    book = load_book()
    assert (len(book), len(set(book))) == (143_170, 70)
    assert book.isascii()
    assert re.findall(r"^CHAPTER ([IVX]+)$", book, re.M) == [
        *("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"),
    ]
    assert book.startswith("CHAPTER I\n")
    assert book.endswith("\nTHE END\n")
    for length in (128, 512):
        passage = (FOLDER / f"alice_{length}.txt").read_text(encoding="utf-8")
        words = re.findall(r"\w+", passage.lower())[:9]
        assert " ".join(words) in " ".join(re.findall(r"\w+", book.lower()))


def test_the_portrait_is_a_small_photograph():
    portrait = load_portrait()
    assert (portrait.shape, portrait.dtype) == ((64, 64, 3), torch.float32)
    assert tuple(portrait.aminmax()) == (0, 254 / 255)
    face, suit, helmet = portrait[18, 27], portrait[30, 15], portrait[50, 44]
    assert face.min() > 0.5, "the skin is light"
    assert suit[0] > suit[1] > suit[2], "the suit is orange"
    assert helmet.max() < 0.1, "the visor is black"
    portrait.zero_()
    assert load_portrait().any(), "each caller has a tensor of its own"


def test_head_gives_one_head_with_batch_and_heads_in_front(length):
    passage = load_passage(length)
    at = len(passage.heads) - 2
    for part, whole in zip(passage.head(*passage.heads[at]), "qkv", strict=True):
        assert part.shape == (1, 1, length, 32)
        torch.testing.assert_close(part[0, 0], getattr(passage, whole)[at], rtol=0, atol=0)


@pytest.mark.parametrize("wrong", [64, 127, 0, -128, 512.5, "128", None, (128,)])
def test_other_lengths_are_refused(wrong):
    rule = re.escape(f"length must be 128 or 512, got {wrong!r}")
    with pytest.raises(ValueError, match=rule):
        load_passage(wrong)


@pytest.mark.parametrize("wrong", [(0, 0), (6, 0), (-1, 2), (0, 12)])
def test_a_head_that_was_not_captured_is_refused(wrong):
    rule = re.escape(f"(layer, head) must be one of this passage's heads, got {wrong}")
    with pytest.raises(ValueError, match=rule):
        load_passage(512).head(*wrong)


def test_what_one_caller_does_to_a_passage_reaches_no_other(length):
    before = load_passage(length)
    kept = before.k.clone()
    for part in (before.q, before.k, before.v):
        part.zero_()
    torch.testing.assert_close(load_passage(length).k, kept, rtol=0, atol=0)


def test_a_passage_is_frozen_and_prints_no_numbers():
    passage = load_passage(128)
    with pytest.raises(AttributeError, match="cannot assign to field 'q'"):
        passage.q = passage.k
    assert "tensor" not in repr(passage)


def test_rows_of_the_attention_weights_sum_to_one(length):
    passage = load_passage(length)
    rows = weights(passage.q, passage.k).sum(-1)
    np.testing.assert_allclose(rows, 1, rtol=0, atol=1e-12)


def test_heads_do_what_the_readme_says():
    passage = load_passage(128)
    w = {pair: weights(*(x[0, 0] for x in passage.head(*pair)[:2])) for pair in EVERY_HEAD}
    assert np.diagonal(w[0, 2], -1).mean() > 0.98
    assert np.diagonal(w[1, 8], 1).mean() > 0.6
    assert w[1, 11][:, 0].mean() > 0.6
    tokens = passage.tokens
    assert tokens[int(w[2, 9][tokens.index("mouse"), 1:].argmax()) + 1] == "mice"


@pytest.mark.parametrize("size", [64, 128, 512])
def test_the_table_of_heads_agrees_with_the_stored_passages(size):
    passage = load_passage(512 if size == 512 else 128)
    tokens = np.array(passage.tokens[:size])
    rows = table("heads.csv")
    assert [(layer, head) for n, layer, head in rows if n == size] == list(EVERY_HEAD)
    for at, (layer, head) in enumerate(passage.heads):
        w = weights(passage.q[at, :size], passage.k[at, :size])
        same = (tokens[:, None] == tokens) & ~np.eye(size, dtype=bool)
        apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        singular = np.linalg.svd(w, compute_uv=False)
        expected = {
            "entropy": -(w * np.log(np.maximum(w, 1e-300))).sum(-1).mean(),
            "previous": np.diagonal(w, -1).mean(),
            "next": np.diagonal(w, 1).mean(),
            "cls": w[:, 0].mean(),
            "same_token": np.where(same, w, 0).sum(-1)[same.any(-1)].mean(),
            "near4": w[apart <= 4].sum() / size,
            "top8": np.sort(w, -1)[:, -8:].sum(-1).mean(),
            "spectrum16": singular[:16].sum() / singular.sum(),
        }
        for name, value in expected.items():
            assert float(rows[size, layer, head][name]) == pytest.approx(value, abs=2e-3), name


def test_the_tables_in_the_readme_come_from_the_table_of_heads():
    rows, readme = table("heads.csv"), (FOLDER / "README.md").read_text(encoding="utf-8")
    columns = re.search(r"^\| layer \| head \| (.+) \| why it is here \|$", readme, re.M)
    names = columns.group(1).split(" | ")
    at_512, at_64 = readme.split("### A grid for 64 tokens")
    for size, text, heads in ((512, at_512, CHOSEN_HEADS), (64, at_64, None)):
        found = re.findall(r"^\| (\d) \| (\d+) \| ([\d. |]+) \|", text, re.M)
        pairs = tuple((int(layer), int(head)) for layer, head, _ in found)
        assert pairs == (heads or tuple((a, b) for a in (0, 1, 2, 5) for b in (2, 8, 9)))
        for layer, head, figures in found:
            row = rows[size, int(layer), int(head)]
            assert figures.split(" | ") == [f"{float(row[name]):.2f}" for name in names]


def test_every_checksummed_file_and_the_readme_name_each_other():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for line in (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        assert f"`{line.split()[1]}`" in readme
