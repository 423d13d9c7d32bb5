"""What a cell prints stands on its page as one text, however the kernel cut it into pieces."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbformat.v4 import new_output

sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))

import whole_streams
from myst_nb.core import render

TEXT = "128 of 8,256 pairs\nlast line\n"


def stream(text, name="stdout"):
    """Return what a kernel sends of a stream."""
    return new_output("stream", name=name, text=text)


@pytest.fixture
def merge():
    """Return myst-nb's function as a build has it, and put its own back after."""
    ends = {}
    own = render.coalesce_streams
    whole_streams.setup(SimpleNamespace(connect=ends.__setitem__))
    assert render.coalesce_streams is not own
    yield render.coalesce_streams
    ends["build-finished"](None, None)
    assert render.coalesce_streams is own


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_a_cut_anywhere_changes_nothing(merge, cut):
    pieces = [stream(TEXT[:cut]), stream(TEXT[cut:])]
    assert [output.text for output in merge(pieces)] == [TEXT]
    assert [output.text for output in pieces] == [TEXT[:cut], TEXT[cut:]], "the cache's are kept"


def test_streams_stay_apart_and_pictures_in_place(merge):
    picture = new_output("display_data", {"image/png": ""})
    sent = [stream("a"), stream("w\n", "stderr"), picture, stream("b\n")]
    found = [(output.get("name"), output.get("text")) for output in merge(sent)]
    assert found == [("stdout", "ab\n"), ("stderr", "w\n"), (None, None)]


def test_nothing_is_nothing(merge):
    assert merge([]) == []
