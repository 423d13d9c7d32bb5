"""Questions that reply to the answer that a reader gives.

A question ends in a list. Each item begins with a mark and holds what is chosen, then the reply::

    :::{question}
    How likely is it that two vectors at a right angle share one of 16 buckets?

    - [ ] Never: nothing is farther apart.

      Opposite vectors are. At a right angle one bucket says nothing about the other.
    - [x] One time in 16.

      Yes: knowing the bucket of one says nothing about that of the other.
    :::

Where a number is asked for, the mark holds it, and how near is near enough; the item is the reply.
The last item may stand for all other numbers::

    - [x 0.915 ± 0.01] Yes: four misses in a row have probability 0.085.
    - [ 0.085 ± 0.01] That is the chance of four misses.
    - [ ] Begin with the chance of four misses in a row.

A page lets its reader choose (``book.js``), with no kernel and no network. Without scripts, on
paper and in a notebook the question and its choices are read as they stand, without the replies.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import catalogues
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

__all__ = ["MARK", "Question", "choice", "question"]

MARK = re.compile(r"\[(?P<right>x?)\s*(?:(?P<value>-?[\d.]+)\s*±\s*(?P<within>[\d.]+))?\s*\]\s*")
WORDS = {
    "en": {"check": "Check", "number": "Your number", "unread": "Please type a number."},
    "zh": {"check": "检查", "number": "你的数", "unread": "请输入一个数。"},
}


class question(nodes.General, nodes.Element):
    """A question; `asks` says for what: ``"choice"`` or ``"number"``."""


class choice(nodes.General, nodes.Element):
    """An answer that a reader may give, and the reply; `value` and `within` for a number."""


def _marked(item: nodes.list_item) -> re.Match[str] | None:
    """Return the mark that an item of a list begins with."""
    first = item.children[0] if item.children else None
    if not isinstance(first, nodes.paragraph) or not isinstance(first.children[0], nodes.Text):
        return None
    return MARK.match(first.children[0])


class Question(Directive):
    """The directive."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Return the question, with its choices."""
        box = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, box)
        *asked, answers = box.children or [None]
        if not asked or not isinstance(answers, nodes.bullet_list):
            raise self.error("a question must be text and end in a list of answers")
        choices, kinds = [], set()
        for item in answers.children:
            mark = _marked(item)
            if mark is None:
                raise self.error(f"an answer must begin with [x] or [ ], got {item.astext()!r}")
            first = item.children[0]
            rest = first.children[0][mark.end() :]
            first.replace(first.children[0], nodes.Text(rest))
            # What is translated takes the place of the whole paragraph.
            first.rawsource = MARK.sub("", first.rawsource, count=1)
            one = choice("", *item.children, right=bool(mark["right"]))
            if mark["value"] is not None:
                one["value"], one["within"] = mark["value"], mark["within"]
            choices.append(one)
            kinds.add(mark["value"] is not None)
        asks = "number" if True in kinds else "choice"
        wild = [one for one in choices[:-1] if asks == "number" and "value" not in one]
        if wild:
            raise self.error("only the last answer may stand for all other numbers")
        if sum(one["right"] for one in choices) != 1 or len(choices) < 2:
            raise self.error("a question must have one right answer [x], and others")
        if asks == "choice" and any(len(one.children) < 2 for one in choices):
            raise self.error("each choice must have a reply in a paragraph of its own")
        answers = nodes.container("", *choices, classes=["ask-answers"])
        return [question("", *asked, answers, asks=asks)]


def _visit_question(translator: HTML5Translator, node: question) -> None:
    builder = translator.builder
    language = catalogues.language_of(builder.app, builder.current_docname)[:2]
    words = WORDS.get(language, WORDS["en"])
    said = "".join(f' data-{name}="{word}"' for name, word in words.items())
    translator.body.append(f'<div class="ask" data-asks="{node["asks"]}"{said}>\n')


def _depart_question(translator: HTML5Translator, node: question) -> None:
    translator.body.append("</div>\n")


def _visit_choice(translator: HTML5Translator, node: choice) -> None:
    value = (
        f' data-value="{node["value"]}" data-within="{node["within"]}"' if "value" in node else ""
    )
    right = " data-right" if node["right"] else ""
    translator.body.append(f'<div class="ask-answer"{right}{value}>\n')
    replies = list(node.children)
    if node.parent.parent["asks"] == "choice":
        translator.body.append('<div class="ask-choice"><span>')
        for child in replies.pop(0).children:
            child.walkabout(translator)
        translator.body.append("</span></div>\n")
    translator.body.append('<div class="ask-reply" hidden>')
    for child in replies:
        child.walkabout(translator)
    translator.body.append("</div></div>\n")
    raise nodes.SkipNode


def _read(translator: Any, node: nodes.Element) -> None:
    """Let other writers read a question as it stands."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and its nodes."""
    plain = (_read, _read)
    app.add_node(
        question, html=(_visit_question, _depart_question), latex=plain, text=plain, man=plain
    )
    app.add_node(choice, html=(_visit_choice, None), latex=plain, text=plain, man=plain)
    app.add_directive("question", Question)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
