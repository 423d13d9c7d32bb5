"""The tool that compares what chapters print: what it reads of an output, and what it reports."""

import pytest
from stability import ROOT, VARIANTS, _check_where, _lines, differences, main

CHAPTERS = sorted(path.stem for path in (ROOT / "book").glob("[0-9][0-9]-*.md"))


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def test_printed_parts_are_one_text():
    assert _lines([stream("a"), stream("b\nc"), stream("\n")]) == ["ab", "c"]


def test_of_a_picture_the_words_are_read():
    svg = '<svg><path d="M 0.123"/><text x="1">rows &amp; <tspan>keys</tspan></text></svg>'
    picture = {"output_type": "display_data", "data": {"image/svg+xml": svg, "text/plain": "<Fig>"}}
    page = '<img alt="[&quot;alt&quot;, [2.3776, 1]]">'
    shown = {"output_type": "display_data", "data": {"text/html": page}}
    result = {"output_type": "execute_result", "data": {"text/plain": "3\n4"}}
    assert _lines([picture, shown, result]) == ["rows & keys", '["alt", 2.4]', "3", "4"]


def test_each_line_that_differs_is_reported():
    runs = {"two": [["a", "b"], ["c"]], "one": [["a", "x"], ["c"]], "old": [["a", "b"], ["c", "d"]]}
    assert differences(runs) == [
        "cell 1, two and one:",
        "  - b\n  + x",
        "cell 2, two and old:",
        "  1 lines and 2",
    ]
    assert differences({"two": [["a"]], "one": [["a"]]}) == []


def test_a_variant_that_did_not_take_effect_stops_it():
    for name, (threads, variables) in VARIANTS.items():
        _check_where(name, f"{threads} {'AVX2' if variables else 'AVX512'}")
        with pytest.raises(SystemExit, match=rf"^{name}: the kernel ran with 3 threads"):
            _check_where(name, "3 AVX2")
    with pytest.raises(SystemExit, match=r"^AVX2: the kernel ran with 2 threads and AVX512"):
        _check_where("AVX2", "2 AVX512")


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_prints_the_same_on_other_processors(chapter):
    assert main([chapter]) == 0


def test_where_no_chapter_is_meant_nothing_runs(capsys):
    assert main(["99"]) == 0
    assert capsys.readouterr().out == ""
