"""How long a chapter takes: what is counted, and what the landing page says of it."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "_build" / "html" / "book" / "intro.html"
sys.path.append(str(ROOT / "book" / "_ext"))

import reading_time  # noqa: E402

CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]-*.md"))
INTRO = ROOT / "book" / "intro.md"

SMALL = """---
title: not counted
---

# One two

Three $a + b$ five {cite:p}`six2020` seven, {ref}`eight <x>` nine.

:::{admonition} ten
:class: not-counted
eleven
:::

```{code-cell} ipython3
from attn_lib.explorers import LunaPacking, WarmUp
code = "is not counted in words"
```

```{code-cell} ipython3
:tags: [hide-input]
folded = 1
```

$$
x = y
$$ (label)

## The library's source

not counted

## Exercises

**1. First.** Not counted.

**2. Second.** Not counted.

## Where next

twelve thirteen

## References

not counted
"""


def test_words_code_explorers_and_exercises_are_counted() -> None:
    # The admonition's marker is no word; headings are.
    found = reading_time.length(SMALL)
    assert found == reading_time.Length(words=14, cells=1, explorers=2, exercises=2)


@pytest.mark.parametrize(
    ("found", "reading", "exercising"),
    [
        (reading_time.Length(3000, 20, 2, 3), 40, 30),
        (reading_time.Length(150, 0, 0, 0), 0, 0),
        (reading_time.Length(1500, 2, 0, 1), 10, 10),
        (reading_time.Length(1500, 6, 0, 1), 15, 10),
    ],
)
def test_minutes_are_to_the_nearest_five(
    found: reading_time.Length, reading: int, exercising: int
) -> None:
    assert (found.reading, found.exercising) == (reading, exercising)


def test_the_page_says_the_rule() -> None:
    text = " ".join(INTRO.read_text(encoding="utf-8").split())
    assert (
        f"to the nearest {reading_time.NEAREST} minutes: {reading_time.WORDS_A_MINUTE} words a"
        " minute, half a minute for each cell of code in view,"
        f" {reading_time.MINUTES_AN_EXPLORER} minutes for each explorer,"
        f" {reading_time.MINUTES_AN_EXERCISE} minutes for each exercise"
    ) in text
    assert reading_time.MINUTES_A_CELL == 0.5


def test_each_chapter_is_in_the_map_with_its_minutes() -> None:
    text = INTRO.read_text(encoding="utf-8")
    assert re.findall(r"\{minutes\}`([^`]*)`", text) == [path.stem for path in CHAPTERS]


@pytest.mark.book
def test_built_minutes_are_those_of_the_text() -> None:
    if not PAGE.exists():
        pytest.skip("the book is not built: run `make book` first")
    page = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"<td><p>(\d+) \+ (\d+)</p></td>", page)
    lengths = [reading_time.length(path.read_text(encoding="utf-8")) for path in CHAPTERS]
    assert found == [(str(one.reading), str(one.exercising)) for one in lengths]
