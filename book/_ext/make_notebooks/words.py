"""The words that a notebook adds to its page's own, in one place and in one language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ENGLISH", "Words"]


@dataclass(frozen=True)
class Words:
    """Every word and sentence that does not come from the page; ``{…}`` is filled in."""

    admonitions: Mapping[str, str]
    details: str
    numbered: Mapping[str, str]
    equation: str
    equation_in: str
    equation_elsewhere: str
    section: str
    text_in: str
    included_from: str
    show_source: str
    two_authors: str
    more_authors: str
    all_authors: str
    under_title: str
    clone_or_else: str
    adding: str
    offline: str
    library: str
    own_text: str
    own_text_needs: str
    own_text_sentence: str
    notes: str
    works_cited: str
    terms: str
    other_chapters: str
    other_chapter: str
    whole_book: str


ENGLISH = Words(
    admonitions={
        "attention": "Attention",
        "caution": "Caution",
        "danger": "Danger",
        "error": "Error",
        "hint": "Hint",
        "important": "Important",
        "note": "Note",
        "seealso": "See also",
        "tip": "Tip",
        "warning": "Warning",
    },
    details="Details",
    numbered={"figure": "Figure", "table": "Table", "listing": "Listing"},
    equation="({number})",
    equation_in="({number}, in *{section}*)",
    equation_elsewhere="{equation} of {page}",
    section="*{section}*",
    text_in="{text} (section *{section}*)",
    included_from="From {file}:",
    show_source="Show {count} lines of source",
    two_authors="{first} and {last}",
    more_authors="{first} et al.",
    all_authors="{most} et al",
    under_title="From [*{title}*]({book}) · [open in Colab]({colab}) · [text of this page]({text})",
    clone_or_else="The library: of the clone this lies in, else as installed, else from GitHub.",
    adding="Installing what is missing. An installed torch or NumPy stays as it is.",
    offline="No network? Run on a like machine that has one: {command}\n"
    "Then bring the folder wheels here: pip install --no-index --find-links wheels attn_lib",
    library="The library is in",
    own_text="Your own text: type another sentence below, then run this cell. The model knows"
    " English best.",
    own_text_needs="The first time, delete the # before %pip: it brings the model (84 MB) and"
    " changes nothing else.",
    own_text_sentence="The dog slept until the old clock woke the dog.",
    notes="Notes",
    works_cited="Works cited",
    terms="Terms used here",
    other_chapters="Other chapters",
    other_chapter="{title}: [in Colab]({colab}), [beside this file]({file})",
    whole_book="The book and its library",
)
