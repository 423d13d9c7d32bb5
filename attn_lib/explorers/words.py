"""What explorers say, in any language.

An explorer's words stand in English in one place, its class (`Explorer.words` and its controls).
Here they become what a view is given: plain templates, or a template for each plural category of
the language. A hole in a template, as ``{stride}``, is filled by the view with text or a number.

A language beside English is one JSON file in ``locale/``: from an English message to its
translation, or to its translations by plural category (those of ``Intl.PluralRules``). A message
that has none stays English.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "COMMON_WORDS",
    "FIGURE_WORDS",
    "MATRIX_WORDS",
    "STRETCH_WORDS",
    "STRIDE_WORDS",
    "Form",
    "Message",
    "Plural",
    "Rounded",
    "Translate",
    "fill",
    "in_english",
    "languages",
    "translator",
    "two_figures",
]

_LOCALE = Path(__file__).parent / "locale"


@dataclass(frozen=True)
class Plural:
    """A message whose form depends on a number.

    Attributes
    ----------
    by : str
        The hole that holds the number.
    one, other : str
        The English forms: for 1, and for every other number.
    """

    by: str
    one: str
    other: str

    def format(self, **values: Any) -> str:
        """Return the English form for these values, filled."""
        return (self.one if values[self.by] == 1 else self.other).format(**values)


class Rounded(NamedTuple):
    """A number and the decimals that are shown of it."""

    value: float
    digits: int


Message = str | Plural
Form = str | Mapping[str, str]
"""What a view is given of a message: a template, or one a plural category, and ``by``."""

Translate = Callable[[Message], Form]

COMMON_WORDS: Mapping[str, Message] = {
    "play_label": "Play {label}",
    "pause_label": "Pause {label}",
    "reset": "Reset",
    "waiting": "Waiting for the kernel …",
    "controls": "Controls",
    "none": "none",
    "comma": ", ",
    "labelled": "{label}. {help}",
    "picture": "Picture with controls",
    "named": "{label}: picture with controls",
    "why_still": "A still picture: its controls need JavaScript, and data that could be read.",
    "unchanged": "No number of the summary has changed.",
}
"""Words of every explorer; ``comma`` stands between the items of a list."""

MATRIX_WORDS: Mapping[str, Message] = {
    "table": "Table",
    "go": "Row",
    "row_head": "Row",
    "weight_of": "“{key}” ({j}) {weight}",
}
"""Words of explorers with a matrix, whose rows stand in a table, too."""

STRETCH_WORDS: Mapping[str, Message] = {
    **MATRIX_WORDS,
    "stretch": "{from} to {to}",
    "stretch_steps": "{from} to {to} in steps of {step}",
    "stretch_again": "{from} to {until}, again every {step} up to {to}",
}
"""Words of explorers with a matrix of who sees whom, whose rows are told by stretches of keys."""

STRIDE_WORDS: Mapping[str, Message] = {
    **STRETCH_WORDS,
    "stretch_at": Plural(
        "count",
        "The only stretch of this row: {keys}.",
        "Stretch {place} of {count} in this row: {keys}.",
    ),
    "sentences": "{first} {second}",
    "stride_help": "Up and down lead from row to row; left and right from stretch to stretch of"
    " the keys that a row sees; with Shift, from cell to cell.",
}
"""Words of those whose rows are stepped by stretches, too."""


FIGURE_WORDS = ("query", "key")
"""What `attn_lib.figures` writes beside the matrices of still pictures."""


def in_english(message: Message) -> Form:
    """Return a message as a view is given it, in English."""
    if isinstance(message, str):
        return message
    return {"by": message.by, "one": message.one, "other": message.other}


def languages() -> tuple[str, ...]:
    """Return the languages that explorers speak, English first."""
    return ("en", *sorted(path.stem for path in _LOCALE.glob("*.json")))


def translator(language: str) -> Translate:
    """Return what turns messages into a language.

    Raises
    ------
    ValueError
        If explorers do not speak it.
    """
    if language not in languages():
        known = ", ".join(repr(name) for name in languages())
        raise ValueError(f"language must be one of {known}, got {language!r}")
    if language == "en":
        return in_english
    catalogue = json.loads((_LOCALE / f"{language}.json").read_text(encoding="utf-8"))

    def translate(message: Message) -> Form:
        if isinstance(message, str):
            found: Form = catalogue.get(message, message)
            return found
        forms = catalogue.get(message.one)
        return {"by": message.by, **forms} if forms else in_english(message)

    return translate


def _english_number(number: Rounded) -> str:
    return f"{number.value:,.{number.digits}f}"


def _english_category(number: float) -> str:
    return "one" if number == 1 else "other"


def fill(
    form: Form,
    values: Mapping[str, Any],
    *,
    number: Callable[[Rounded], str] = _english_number,
    category: Callable[[float], str] = _english_category,
) -> str:
    """Return a form with its holes filled, as the views' ``words`` do.

    Parameters
    ----------
    form : str or mapping
        What `Translate` returned.
    values : mapping
        Text, an int, or a `Rounded` (a pair will do) for each hole.
    number, category : callable, optional
        How the language writes a number, and which plural category it has; English by default.
    """
    if not isinstance(form, str):
        form = form.get(category(values[form["by"]]), form["other"])

    def text(hole: re.Match[str]) -> str:
        value = values.get(hole[1], hole[0])
        if isinstance(value, str):
            return value
        return number(Rounded(value, 0) if isinstance(value, int) else Rounded(*value))

    return re.sub(r"\{(\w+)\}", text, form)


def two_figures(value: float) -> Rounded:
    """Return `value` with the decimals that show two of its figures, or its whole part."""
    if value == 0:
        return Rounded(value, 0)
    return Rounded(value, max(0, 1 - math.floor(math.log10(abs(value)))))
