"""Replies, hints, answers and solutions: they stand at the end of their chapter."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bs4 import BeautifulSoup, PageElement, Tag

from .words import UNFOLDED_LAST

__all__ = ["answers_last", "numbered"]

SOLVES = re.compile(r"^\s*def solution\(", re.MULTILINE)
CHECKS = re.compile(r"^\s*check\(solution\)", re.MULTILINE)
LEADS = re.compile(r"[:：]\s*$")
SHORT = 100


def numbered(soup: BeautifulSoup, place: str, label: str) -> Tag:
    """Return a link to a place whose page number will be filled in."""
    link = soup.new_tag("a", href=f"#{place}")
    link.string = label
    number = soup.new_tag("span", attrs={"class": "paper-number-of", "data-of": place})
    number.string = "000"
    link.append(number)
    return link


@dataclass
class _Chapter:
    soup: BeautifulSoup
    own: str
    words: Mapping[str, str]
    entries: list[Tag] = field(default_factory=list)

    def gather(self, title: str, label: str, found: list[PageElement]) -> Tag:
        """Keep what was found for the end of the chapter, and return the note that leads there."""
        place = f"{self.own}--answer-{len(self.entries) + 1}"
        entry = self.soup.new_tag("section", attrs={"class": "paper-answer", "id": place})
        heading = self.soup.new_tag("h3")
        heading.string = title
        entry.extend([heading, *found])
        self.entries.append(entry)
        note = self.soup.new_tag("p", attrs={"class": "paper-see"})
        note.append(numbered(self.soup, place, f"{label}: {self.words['page']} "))
        return note


def answers_last(soup: BeautifulSoup, article: Tag, own: str, words: Mapping[str, str]) -> None:
    """Move what answers to the end of the chapter, and unfold the rest where it stands."""
    chapter = _Chapter(soup, own, words)
    questions = 0
    for tag in article.select("div.ask, details, div.cell"):
        if "ask" in tag.get("class", ()):
            questions += 1
            _reply(chapter, tag, questions)
        elif tag.name == "details":
            _unfold(chapter, tag)
        elif SOLVES.search(_code(tag)):
            _solution(chapter, tag)
    if chapter.entries:
        section = soup.new_tag("section", attrs={"class": "paper-answers"})
        heading = soup.new_tag("h2")
        heading.string = words["answers"]
        section.extend([heading, *chapter.entries])
        article.append(section)


def _reply(chapter: _Chapter, ask: Tag, number: int) -> None:
    """Number a question, and gather its replies."""
    soup, words = chapter.soup, chapter.words
    title = words["question"].format(number=number)
    label = soup.new_tag("p", attrs={"class": "paper-ask"})
    label.string = title
    ask.insert(0, label)
    found: list[PageElement] = []
    for answer in ask.select(".ask-answer"):
        box = soup.new_tag("div", attrs={"class": "paper-choice"})
        line = soup.new_tag("p", attrs={"class": "paper-chosen"})
        choice = answer.select_one(".ask-choice > span")
        if choice:
            line.extend([copy.copy(child) for child in choice.contents])
        elif answer.get("data-value"):
            line.append(str(answer["data-value"]))
        else:
            line.append(words["other"])
        if answer.has_attr("data-right"):
            mark = soup.new_tag("strong")
            mark.string = f" ✓ {words['right']}"
            line.append(mark)
        reply = answer.select_one(".ask-reply").extract()
        box.extend([line, *list(reply.contents)])
        found.append(box)
        if choice is None:
            answer.decompose()
    note = chapter.gather(title, words["reply"], found)
    ask.append(note)


def _unfold(chapter: _Chapter, details: Tag) -> None:
    summary = details.find("summary")
    title = summary.get_text(" ", strip=True) if summary else ""
    if summary:
        summary.extract()
    if "hide" in details.get("class", ()):  # a cell's source
        details.unwrap()
    elif title.startswith(UNFOLDED_LAST):
        about = _about(details)
        if not title.startswith(("Answer", "Solution", "答案", "解答")):
            about = f"{about} · {title}" if about else title
        details.replace_with(chapter.gather(about, title, list(details.contents)))
    else:
        details.name = "div"
        details.attrs = {"class": "paper-unfolded"}
        named = chapter.soup.new_tag("p", attrs={"class": "paper-fold"})
        named.string = title
        details.insert(0, named)


def _about(tag: Tag) -> str:
    """Return what an answer is about: an exercise's own title, or else its section's."""
    for before in tag.find_previous_siblings("p"):
        first = next((child for child in before.children if str(child).strip()), None)
        if isinstance(first, Tag) and first.name == "strong":
            return first.get_text().strip().rstrip(".。")
    section = tag.find_parent("section")
    heading = section.find(re.compile("^h[1-6]$")) if section else None
    return heading.get_text().strip() if heading else ""


def _code(tag: Tag) -> str:
    return "\n".join(block.get_text() for block in tag.select("pre"))


def _solution(chapter: _Chapter, cell: Tag) -> None:
    """Gather a solution in code, with the cell that checks it."""
    about = _about(cell)
    found: list[PageElement] = [cell]
    after = cell.find_next_sibling()
    if after is not None and CHECKS.search(_code(after)):
        found.append(after)
    before = cell.find_previous_sibling()
    if before is not None and before.name == "p":
        text = before.get_text()
        if LEADS.search(text) and len(text) < SHORT:
            before.decompose()
    place = chapter.soup.new_tag("span")
    cell.insert_before(place)
    note = chapter.gather(about, chapter.words["solution"], [one.extract() for one in found])
    place.replace_with(note)
