"""Questions that reply: what a page says, and what it refuses to build."""

import re
import sys
from pathlib import Path

import pytest
from docutils.core import publish_doctree
from docutils.parsers.rst import directives
from docutils.utils import SystemMessage

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
sys.path.append(str(ROOT / "book" / "_ext"))

import questions  # noqa: E402

CHAPTERS = sorted(ROOT.glob("book/[0-9][0-9]-*.md"))
QUESTION = re.compile(r"^:::\{question\}\n(.*?)^:::$", re.M | re.S)


def read(body: str) -> questions.question:
    """Return the node that a directive with this body makes."""
    directives.register_directive("question", questions.Question)
    indented = "".join(f"   {line}\n" for line in body.splitlines())
    settings = {"halt_level": 3, "report_level": 5}
    (node,) = publish_doctree(f".. question::\n\n{indented}", settings_overrides=settings).findall(
        questions.question
    )
    return node


def test_choices_have_replies() -> None:
    node = read("How many?\n\n- [ ] One.\n\n  Too few.\n- [x] Two.\n\n  Yes.")
    assert node["asks"] == "choice"
    one, two = node.findall(questions.choice)
    assert (one["right"], two["right"]) == (False, True)
    assert [child.astext() for child in two.children] == ["Two.", "Yes."]


def test_a_number_is_near_enough() -> None:
    node = read("How many?\n\n- [x 0.5 ± 0.01] Yes.\n- [ -1 ± 2] No.\n- [ ] Other.")
    assert node["asks"] == "number"
    found = [(one.get("value"), one.get("within")) for one in node.findall(questions.choice)]
    assert found == [("0.5", "0.01"), ("-1", "2"), (None, None)]


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("- [x] Two.\n\n  Yes.", "must be text and end in a list"),
        ("How many?", "must be text and end in a list"),
        ("How many?\n\n- Two.\n- [x] Three.\n\n  Yes.", r"must begin with \[x\] or \[ \]"),
        ("How many?\n\n- [ ] One.\n\n  No.\n- [ ] Two.\n\n  No.", "must have one right answer"),
        ("How many?\n\n- [x] One.\n\n  Yes.\n- [x] Two.\n\n  Yes.", "must have one right answer"),
        ("How many?\n\n- [x] One.\n\n  Yes.", "must have one right answer"),
        ("How many?\n\n- [x] One.\n\n  Yes.\n- [ ] Two.", "must have a reply"),
        ("How many?\n\n- [ ] Other.\n- [x 2 ± 0] Yes.", "only the last answer"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(body: str, rule: str) -> None:
    with pytest.raises(SystemMessage, match=rule):
        read(body)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_asks_three_times_and_once_at_its_end(chapter: Path) -> None:
    text = chapter.read_text(encoding="utf-8")
    assert len(QUESTION.findall(text)) >= 3
    summary = re.search(r"^## Summary\n(.*?)(?=^## )", text, re.M | re.S)
    assert summary is not None
    assert QUESTION.search(summary[1])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_an_answer_of_a_number_gets_one_reply(chapter: Path) -> None:
    """The right number gets the right reply: those of other answers do not reach it."""
    for body in QUESTION.findall(chapter.read_text(encoding="utf-8")):
        numbers = re.findall(r"^- \[(x?)\s*(-?[\d.]+)\s*±\s*([\d.]+)\]", body, re.M)
        taken = [(float(value), float(within)) for _, value, within in numbers]
        for k, (value, within) in enumerate(taken):
            for other, reach in taken[k + 1 :]:
                assert abs(value - other) > within + reach, f"{value} and {other} overlap"
