"""The explorer of Efficient Attention's templates: what its numbers and pictures are."""

import numpy as np
import pytest
import torch

from attn_lib import efficient_attention, efficient_weights, softmax_attention, softmax_weights
from attn_lib.data import load_passage
from attn_lib.explorers import FeatureTemplates
from attn_lib.explorers.feature_templates import FEATURES, LENGTH

SHADE = 0.51 / 39  # of the square root


def _head(layer, head):
    return (x[:, :, :LENGTH] for x in load_passage(128).head(layer, head))


@pytest.mark.parametrize(("layer", "head"), [(2, 9), (0, 2), (3, 10)])
@pytest.mark.parametrize("sharpness", [1.0, 4.0, 2.5])
def test_the_pictures_are_the_librarys_weights(layer, head, sharpness):
    q, k, v = _head(layer, head)
    frame = FeatureTemplates.compute(head=f"{layer}.{head}", sharpness=sharpness)
    sharp_q, sharp_k = sharpness * q, sharpness * k
    exact = {
        "mixtures": sharp_q.softmax(dim=-1)[0, 0],
        "templates": sharp_k.softmax(dim=-2)[0, 0].mT,
        "weights": efficient_weights(sharp_q, sharp_k)[0, 0],
    }
    assert exact["templates"].shape == (FEATURES, LENGTH)
    for name, wanted in exact.items():
        assert frame[name].shape == wanted.shape
        assert np.abs(np.sqrt(frame[name]) - wanted.sqrt().numpy()).max() <= SHADE
    full = softmax_weights(q, k)[0, 0]
    np.testing.assert_allclose(frame["full"], full.numpy())
    out = softmax_attention(q, k, v)
    near = efficient_attention(sharp_q, sharp_k, v)
    mean = v.mean(dim=2, keepdim=True)
    wanted = [float((x - out).norm() / out.norm()) for x in (near, mean)]
    np.testing.assert_allclose(frame["errors"], wanted, rtol=1e-4)


def test_the_spread_counts_the_tokens_that_share_a_weight():
    frame = FeatureTemplates.compute(head="0.2")
    assert frame["spread"].shape == (2, LENGTH)
    full = torch.from_numpy(frame["full"])
    wanted = torch.exp(-torch.xlogy(full, full).sum(dim=-1))
    np.testing.assert_allclose(frame["spread"][1], wanted.numpy(), rtol=1e-5)
    assert frame["spread"][1].mean() == pytest.approx(1, abs=0.05)  # it looks at one neighbour
    assert frame["spread"][0].min() > 4


def test_sharp_factors_read_few_tokens_and_the_wrong_ones():
    soft, sharp = (FeatureTemplates.compute(head="4.5", sharpness=s) for s in (1.0, 8.0))
    assert sharp["spread"][0].mean() < soft["spread"][0].mean() / 5
    assert sharp["errors"][0] > soft["errors"][0] > 1


def test_the_frames_are_light_and_their_grid_is_whole():
    assert len(FeatureTemplates.packed()) < 100_000
    assert len(FeatureTemplates.grid()) == 6 * 4


def test_the_start_and_the_alternative_text_speak_of_the_words():
    facts = FeatureTemplates.spec()["facts"]
    query, feature, key = facts["start"]
    assert facts["tokens"][query][0] == "mouse"
    assert (feature, key) == (15, None)
    assert len(facts["tokens"]) == LENGTH
    best = FeatureTemplates.compute()["templates"][feature].argsort()[::-1]
    names = [facts["tokens"][j][0] for j in best[:12]]
    assert {"mouse", "mice", "cats", "dinah"} <= set(names)
    assert "32 templates" in FeatureTemplates.describe()


@pytest.mark.parametrize(
    ("controls", "error"),
    [
        ({"sharpness": 0.1}, ValueError),
        ({"sharpness": "1"}, TypeError),
        ({"head": "6.0"}, ValueError),
        ({"feature": 3}, TypeError),
    ],
)
def test_bad_controls_are_refused(controls, error):
    with pytest.raises(error):
        FeatureTemplates.compute(**controls)
