"""The checks of the book's exercises, run as they are printed, on answers that readers may give."""

import ast
import contextlib
import functools
import importlib
import io
import re
from pathlib import Path

import pytest
import torch

from benchmarks.cells import ROOT, code_cells, needed, run
from exercises.answers import answers_of

HERE = Path(__file__).parent
PAGES = {
    path.stem: path
    for path in sorted((ROOT / "book").glob("[0-9][0-9]-*.md"))
    if "\n## Exercises\n" in path.read_text(encoding="utf-8")
}
LONGEST_CHECK = 25


def module_of(stem):
    """Return the module that holds a page's answers."""
    name = stem.split("-", 1)[1].replace("-", "_")
    return importlib.import_module(f"exercises.{name}")


ANSWERS = [
    pytest.param(stem, answer, id=f"{stem}-{name}")
    for stem in PAGES
    for name, answer in answers_of(module_of(stem)).items()
]
RIGHT = [case for case in ANSWERS if case.values[1].refusal is None]
WRONG = [case for case in ANSWERS if case.values[1].refusal is not None]
every_page = pytest.mark.parametrize("stem", PAGES)


def stops(*inputs, **options):
    raise ValueError("no idea")


NONSENSE = {
    "stops": stops,
    "takes_nothing": lambda: 1,
    "a_word": lambda *inputs, **options: "an answer",
    "no_number": lambda *inputs, **options: torch.zeros(0),
    "its_first_argument": lambda first, *inputs, **options: first,
    "true": lambda *inputs, **options: True,
    "nan": lambda *inputs, **options: torch.full((2, 3), torch.nan),
}


@functools.cache
def exercise(stem):
    """Return the names that a page's check needs, and the empty answer."""
    cells = code_cells(PAGES[stem])
    (empty,) = [name for cell in cells for name in cell.empty]
    with contextlib.redirect_stdout(io.StringIO()):
        names = run(needed(cells, empty, "check", "solution"))
    return names, names[empty]


def said(stem, answer):
    """Return what a page's check says to an answer."""
    names, _ = exercise(stem)
    word = names["check"](answer)
    assert isinstance(word, str)
    assert "\n" not in word
    return word


@every_page
def test_the_check_passes_the_solution(stem):
    names, _ = exercise(stem)
    assert said(stem, names["solution"]).startswith("right")


@pytest.mark.parametrize(("stem", "answer"), RIGHT)
def test_the_check_passes_another_right_answer(stem, answer):
    assert said(stem, answer).startswith("right")


@every_page
def test_the_check_waits_for_an_answer(stem):
    _, empty = exercise(stem)
    assert said(stem, empty).startswith("nothing to check yet")


@pytest.mark.parametrize(("stem", "answer"), WRONG)
def test_the_check_refuses_what_students_get_wrong(stem, answer):
    word = said(stem, answer)
    assert re.match(r"not yet: \S", word), word
    assert re.search(answer.refusal, word), word


@every_page
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_the_check_never_raises(stem, nonsense):
    word = said(stem, NONSENSE[nonsense])
    assert re.match(r"not yet: \S", word), word


@every_page
def test_a_check_is_short_and_kind(stem):
    for cell in code_cells(PAGES[stem]):
        if "check" in cell.binds:
            check = ast.parse(cell.source)
            (found,) = [n for n in check.body if getattr(n, "name", "") == "check"]
            assert [ast.unparse(name) for name in found.decorator_list] == ["kindly"]
            assert found.end_lineno - found.lineno < LONGEST_CHECK
            for node in ast.walk(found):
                assert not isinstance(node, ast.Assert) or node.msg, "an assertion without a word"


@every_page
def test_each_page_has_wrong_answers_and_no_file_is_left_over(stem):
    assert sum(case.values[0] == stem for case in WRONG) >= 3
    assert sum(case.values[0] == stem for case in RIGHT) >= 1
    files = {path.stem for path in HERE.glob("*.py")}
    files -= {"__init__", "answers", "page", "test_page", "test_checks"}
    assert files == {name.split("-", 1)[1].replace("-", "_") for name in PAGES}
