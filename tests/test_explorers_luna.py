"""The explorer of Luna's packing: what its numbers and pictures are."""

import numpy as np
import pytest
import torch

from attn_lib import linformer_weights, luna_pack, softmax_attention, softmax_weights
from attn_lib.data import load_passage
from attn_lib.explorers import LunaPacking
from attn_lib.explorers.luna_packing import LENGTH, METHODS, centres


def _head(layer, head):
    return (x[:, :, :LENGTH] for x in load_passage(128).head(layer, head))


def _error(out, q, k, v):
    exact = softmax_attention(q, k, v)
    return float((out - exact).norm() / exact.norm())


@pytest.mark.parametrize(("layer", "head"), [(2, 9), (0, 2), (3, 10)])
@pytest.mark.parametrize(("slots", "sharpness"), [(1, 1.0), (8, 4.0), (48, 2.5)])
def test_the_slots_are_the_librarys_luna_on_keys_and_values(layer, head, slots, sharpness):
    q, k, v = _head(layer, head)
    frame = LunaPacking.compute(head=f"{layer}.{head}", slots=slots, sharpness=sharpness)
    p = sharpness * centres(k[0, 0], slots)[None, None]
    packed_k, packed_v = luna_pack(p, k, torch.cat([k, v], dim=-1)).split(32, dim=-1)
    pack, unpack = softmax_weights(p, k)[0, 0], softmax_weights(q, packed_k)[0, 0]
    shade = 0.51 / 39  # of the square root
    for name, exact in (("pack", pack), ("unpack", unpack), ("luna", unpack @ pack)):
        assert frame[name].shape == exact.shape
        assert np.abs(np.sqrt(frame[name]) - exact.sqrt().numpy()).max() <= shade
    error = _error(softmax_attention(q, packed_k, packed_v), q, k, v)
    assert frame["errors"][0, slots - 1] == pytest.approx(error, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("slots", [1, 7, 16])
def test_linformer_averages_as_many_blocks(slots):
    q, k, v = _head(4, 5)
    blocks = np.array_split(np.arange(LENGTH), slots)
    mean = torch.zeros(slots, LENGTH)
    for row, block in enumerate(blocks):
        mean[row, block] = 1 / len(block)
    frame = LunaPacking.compute(head="4.5", slots=slots)
    exact = linformer_weights(q, k, key_projection=mean, value_projection=mean)[0, 0]
    if LENGTH % slots == 0:
        assert np.abs(np.sqrt(frame["linformer"]) - exact.sqrt().numpy()).max() <= 0.51 / 39
        error = _error(exact @ v, q, k, v)
        assert frame["errors"][1, slots - 1] == pytest.approx(error, rel=1e-3)
    assert frame["linformer"].sum(-1).mean() == pytest.approx(1, abs=0.2)


def test_the_last_line_is_the_nearest_matrix_of_the_rank():
    q, k, v = _head(5, 5)
    a = softmax_weights(q, k)[0, 0].double()
    left, values, right = torch.linalg.svd(a)
    near = (left[:, :3] * values[:3] @ right[:3]).float()
    frame = LunaPacking.compute(head="5.5", slots=3)
    assert frame["errors"].shape == (len(METHODS), LENGTH)
    assert frame["errors"][2, 2] == pytest.approx(_error(near @ v, q, k, v), rel=1e-2)


def test_sharp_slots_give_a_head_back_where_no_key_outshouts_another():
    for name in ("0.2", "1.8"):
        frame = LunaPacking.compute(head=name, slots=LENGTH, sharpness=16.0)
        assert frame["errors"][0, -1] < 1e-3
    # Elsewhere a longer key fits some slots better than the key that they were made of.
    _, k, _ = _head(3, 7)
    best = (k[0, 0] @ k[0, 0].T).argmax(dim=-1)
    assert (best != torch.arange(LENGTH)).any()
    assert LunaPacking.compute(head="3.7", slots=LENGTH, sharpness=16.0)["errors"][0, -1] > 0.1


def test_one_slot_gives_every_word_the_same():
    luna = LunaPacking.compute(slots=1)["luna"]
    assert (luna == luna[:1]).all()


# The centres


def test_centres_of_plain_clusters_are_their_means():
    near = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 4.0], [10.0, 2.0]])
    found = centres(near, 2)
    assert sorted(found.tolist()) == [[0.0, 1.0], [10.0, 2.0]]
    assert centres(near, 1).tolist() == [near.mean(dim=0).tolist()]
    assert sorted(centres(near, 5).tolist()) == sorted(near.tolist())


def test_centres_are_where_no_key_would_rather_belong_elsewhere():
    _, k, _ = _head(2, 9)
    keys = k[0, 0].double()
    found = centres(keys, 6)
    owner = torch.cdist(keys, found).argmin(dim=1)
    for c in range(6):
        torch.testing.assert_close(found[c], keys[owner == c].mean(dim=0))
    assert torch.equal(centres(keys, 6), found)


def test_equal_keys_make_no_trouble():
    same = torch.ones(4, 3)
    assert torch.equal(centres(same, 2), torch.ones(2, 3))


# On the page


def test_the_frames_are_light_and_their_grid_is_whole():
    assert len(LunaPacking.packed()) < 110_000
    grid = LunaPacking.grid()
    assert len(grid) == 6 * 7 * 2


def test_the_start_and_the_alternative_text_speak_of_the_words():
    facts = LunaPacking.spec()["facts"]
    assert [facts["tokens"][k][0] for k in facts["start"]] == ["mouse", "mice"]
    assert len(facts["tokens"]) == LENGTH
    text = LunaPacking.describe()
    assert "8 slots" in text


@pytest.mark.parametrize(
    ("controls", "error"),
    [
        ({"slots": 0}, ValueError),
        ({"slots": 49}, ValueError),
        ({"slots": 2.0}, TypeError),
        ({"sharpness": 0.1}, ValueError),
        ({"head": "6.0"}, ValueError),
        ({"length": 3}, TypeError),
    ],
)
def test_bad_controls_are_refused(controls, error):
    with pytest.raises(error):
        LunaPacking.compute(**controls)
