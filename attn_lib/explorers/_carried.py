"""What a page carries of an explorer: the frames of its whole grid, and what each state comes to.

No word of any language is among it. A word that fills a hole of a summary travels as the place
where a page has it, in its own language: ``{"word": name}``, or ``{"option": [control, place]}``.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from attn_lib.explorers._pack import Coding, encode, pack
from attn_lib.explorers.words import Rounded

if TYPE_CHECKING:
    from attn_lib.explorers._controls import Value
    from attn_lib.explorers._explorer import Explorer, Said

__all__ = ["is_summary", "packed", "told"]


def is_summary(name: str) -> bool:
    """Tell whether a message is of a summary; with a kernel it comes with what fills it."""
    return name == "change" or name.startswith("alt")


def _places(explorer: type["Explorer"]) -> dict[str, Any]:
    """Return where a page has the words of an explorer: by name, or among a control's options."""
    found: dict[str, Any] = {}
    for name, control in explorer.controls().items():
        for k, label in enumerate(getattr(control, "options", {}).values()):
            found[str(label)] = {"option": [name, k]}
    for name, message in explorer.words.items():
        if isinstance(message, str) and not name.startswith("still"):
            found[message] = {"word": name}
    return found


def told(
    explorer: type["Explorer"], frame: dict[str, NDArray[Any]], state: Mapping[str, "Value"]
) -> tuple[str, dict[str, Any]]:
    """Return the summary of a state as it travels: its message, and what fills it, rounded."""
    return _wordless(explorer._summary(frame, **state), _places(explorer))


def _wordless(said: "Said", places: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a sentence with its words as the places where a page has them."""

    def filling(value: str | int | Rounded) -> Any:
        if isinstance(value, Rounded):
            return [round(value.value, value.digits), value.digits]
        return places.get(value, value) if isinstance(value, str) else value

    name, values = said
    return name, {hole: filling(value) for hole, value in values.items()}


@functools.cache
def packed(explorer: type["Explorer"]) -> bytes:
    """Return the frames of the whole grid in one deflate stream, equal arrays once."""
    arrays: dict[tuple[Coding, tuple[int, ...], bytes], int] = {}
    states: list[list[Any]] = []
    sentences: dict[tuple[str, ...], int] = {}
    summaries = []
    words = _places(explorer)
    for state in explorer.grid():
        frame = explorer.compute(**state)
        places = []
        for name, coding in explorer.codings.items():
            array = frame[name]
            key = (coding, array.shape, encode(array, coding))
            places.append(arrays.setdefault(key, len(arrays)))
        name, values = _wordless(explorer._summary(frame, **state), words)
        sentence = sentences.setdefault((name, *values), len(sentences))
        states.append([list(state.values()), places])
        summaries.append([sentence, *values.values()])
    header = {
        "spec": explorer.spec(),
        "names": list(explorer.codings),
        "states": states,
        "sentences": list(sentences),
        "told": summaries,
    }
    return pack(header, list(arrays))
