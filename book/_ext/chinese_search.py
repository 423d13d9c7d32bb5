"""Let the search find Chinese words, which no space sets apart.

Sphinx cuts Chinese into words by a dictionary when it writes the index, and not at all when it
reads a query, so that it does not find its own words. Here both sides cut a run of Chinese
characters into all its pairs of neighbours; the index holds each character, too. A word is found
where all its pairs stand on a page. English words are stemmed as before, in both languages.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from sphinx import search
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
WORD = re.compile(r"\w+")
RUN = re.compile(rf"[{HAN}]+|[^{HAN}]+")
SPLITTER = """
function splitQuery(query) {
  const words = query.split(/[^\\p{Letter}\\p{Number}_\\p{Emoji_Presentation}]+/gu);
  const runs = words.flatMap((word) => word.match(/[HAN]+|[^HAN]+/gu) ?? []);
  return runs.flatMap((run) =>
    run.length < 3 || !/[HAN]/u.test(run)
      ? [run]
      : [...run].slice(1).map((second, k) => run[k] + second),
  );
}
""".replace("HAN", HAN)


def pairs(run: str) -> list[str]:
    """Return all pairs of neighbours in a run of characters."""
    return [first + second for first, second in itertools.pairwise(run)]


class SearchBoth(SearchEnglish):
    """English words and Chinese characters."""

    lang = "zh"
    language_name = "Chinese"
    js_splitter_code = SPLITTER

    def split(self, input: str) -> list[str]:
        """Return what the index holds of a text."""
        runs = [run for word in WORD.findall(input) for run in RUN.findall(word)]
        chinese = {run for run in runs if re.match(rf"[{HAN}]", run)}
        return [part for run in runs for part in ([*run, *pairs(run)] if run in chinese else [run])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Use it in both languages."""
    for language in ("en", "zh"):
        search.languages[language] = SearchBoth
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
