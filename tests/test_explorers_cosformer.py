"""cosFormer's explorer against plain numpy, and against the library where it may be asked."""

import math
from typing import Any

import numpy as np
import pytest

from attn_lib import cosformer_weights, softmax_weights
from attn_lib.data import load_passage
from attn_lib.explorers import CosineReweighting
from attn_lib.explorers.cosine_reweighting import LENGTH


def heads(layer: int, head: int) -> tuple[Any, Any]:
    q, k, _ = load_passage(128).head(layer, head)
    return q[:, :, :LENGTH].double(), k[:, :, :LENGTH].double()


def unsign(codes: np.ndarray) -> np.ndarray:
    codes = codes.astype(int) - 128
    return np.sign(codes) * (codes / 127) ** 2


def products(layer: int, head: int, relu: bool, cosine: bool, m: int) -> np.ndarray:
    q, k = (x[0, 0].numpy() for x in heads(layer, head))
    if relu:
        q, k = np.maximum(q, 0), np.maximum(k, 0)
    place = np.arange(LENGTH)
    factor = np.cos(math.pi / 2 * (place[:, None] - place) / m) if cosine else 1.0
    return q @ k.T * factor


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("m", [32, 64, 200])
def test_a_frame_is_the_products_over_their_sums(relu: bool, cosine: bool, m: int) -> None:
    frame = CosineReweighting.compute(head="5.5", relu=relu, cosine=cosine, max_len=m)
    similar = products(5, 5, relu, cosine, m)
    sums = similar.sum(-1)
    weights = similar / sums[:, None]
    step = (2 if relu else 10) / 127
    roots = np.sign(weights) * np.sqrt(np.abs(weights)).clip(0, 1)
    drawn = unsign(frame["weights"])
    assert np.abs(np.sign(drawn) * np.sqrt(np.abs(drawn)) - roots).max() <= 0.51 * step
    negative, rows, largest, spread, _ = frame["facts"].tolist()
    assert negative == pytest.approx(100 * (weights < 0).mean(), abs=1e-3)
    assert rows == (sums <= 0).sum()
    assert largest == pytest.approx(np.abs(weights).max(), rel=1e-5)
    if negative:
        assert spread == -1
    else:
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(-1)
        assert spread == pytest.approx(np.exp(entropy).mean(), abs=0.051)
    apart = np.abs(np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH)))
    for t in (0, 1, 20, LENGTH - 1):
        mean = weights[apart == t].mean()
        root = math.copysign(math.sqrt(abs(mean)), mean)
        assert frame["profile"][t] == pytest.approx(root, rel=1e-4, abs=1e-5)
        factor = math.cos(math.pi / 2 * t / m) if cosine else 1.0
        assert frame["factor"][t] == pytest.approx(factor, abs=1e-6)


def test_with_both_switches_on_it_is_the_library() -> None:
    for m in (64, 128):
        frame = CosineReweighting.compute(head="0.4", max_len=m)
        q, k = heads(0, 4)
        weights = cosformer_weights(q, k, max_len=m, eps=0.0)[0, 0].numpy()
        assert np.abs(np.sqrt(unsign(frame["weights"])) - np.sqrt(weights)).max() < 1.1 / 127
        full = softmax_weights(q, k)[0, 0].numpy()
        assert np.abs(np.sqrt(unsign(frame["full"])) - np.sqrt(full)).max() < 0.6 / 127


def test_each_requirement_does_what_it_says() -> None:
    both = CosineReweighting.compute()
    relu = CosineReweighting.compute(cosine=False)
    assert both["facts"][0] == relu["facts"][0] == 0
    share = both["profile"] ** 2 / np.maximum(relu["profile"] ** 2, 1e-9)
    assert share[:8].min() > 1 > share[-8:].max()
    assert CosineReweighting.compute(relu=False)["facts"][0] > 10
    beyond = CosineReweighting.compute(max_len=32)
    assert beyond["facts"][0] > 20
    assert beyond["factor"][:32].min() > 0 > beyond["factor"][33:].max()


def test_what_the_page_carries_stays_small() -> None:
    assert len(CosineReweighting.packed()) < 100_000


@pytest.mark.parametrize(
    ("controls", "error", "match"),
    [
        ({"max_len": 15}, ValueError, "max_len must be from 16 to 1024, got 15"),
        ({"max_len": 64.0}, TypeError, "max_len must be an int, got float"),
        ({"relu": 1}, TypeError, "relu must be a bool, got int"),
        ({"head": "6.0"}, ValueError, "head must be one of .*got '6.0'"),
    ],
)
def test_bad_controls_are_refused(
    controls: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        CosineReweighting.compute(**controls)
