"""What explorers of a text share: the text is the library's passage, or a reader's own.

``MyPicture(passage=attn_lib.data.read("…"))`` is an explorer of a class that is made for this
passage, with controls that fit it. So `compute` and the rest stay pure functions of a class, and
two texts on one page never meet. What a module keeps of a passage (`remembered`) goes with it.
"""

import functools
import unicodedata
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from attn_lib.data import Passage
from attn_lib.explorers import _heads
from attn_lib.explorers._controls import Choice, Control
from attn_lib.explorers._explorer import Explorer, in_book
from attn_lib.explorers.words import Message

__all__ = [
    "SHORTEST",
    "TextExplorer",
    "in_cells",
    "of_head",
    "of_layer_and_head",
    "plain_tokens",
    "remembered",
    "shown_tokens",
]

SHORTEST = 3
"""Tokens of the shortest passage, [CLS] and [SEP] among them."""

T = TypeVar("T")

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_LEFTWARDS = ("R", "AL")
_ISOLATE, _END = "\u2068", "\u2069"


def remembered(most: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Keep the latest results of a function of a passage and more, for as long as it lives."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        caches: weakref.WeakKeyDictionary[Passage, Callable[..., T]] = weakref.WeakKeyDictionary()

        @functools.wraps(function)
        def call(passage: Passage, *args: Any) -> T:
            if passage not in caches:
                weak = weakref.ref(passage)  # else the cache would keep its own key

                @functools.lru_cache(most)
                def once(*rest: Any) -> T:
                    there: Any = weak()
                    return function(there, *rest)

                caches[passage] = once
            return caches[passage](*args)

        return call

    return decorate


def plain_tokens(pieces: Sequence[str]) -> list[str]:
    """Return the texts of word pieces; of characters that nobody can see, the codes."""
    texts = [x[2:] if _joins(x) else x for x in pieces]
    return ["".join(map(_visible, text)) for text in texts]


def shown_tokens(pieces: Sequence[str]) -> list[list[str | bool]]:
    """Return word pieces as a page shows them, each with whether it goes on the last one.

    A word that is written from right to left is isolated, so that it turns nothing beside it.
    """
    found: list[list[str | bool]] = []
    for piece, text in zip(pieces, plain_tokens(pieces), strict=True):
        turns = any(unicodedata.bidirectional(c) in _LEFTWARDS for c in text)
        found.append([f"{_ISOLATE}{text}{_END}" if turns else text, _joins(piece)])
    return found


def in_cells(length: int, most: int) -> tuple[int, int]:
    """Return how many of so many tokens fill whole cells, and how many tokens a cell stands for.

    There are at most `most` cells in a row, and fewer tokens are left out than a cell has.
    """
    while length % (size := -(-length // most)):
        length -= 1
    return length, size


def _joins(piece: str) -> bool:
    return len(piece) > 2 and piece.startswith("##")


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return ascii(character)[1:-1]


class TextExplorer(Explorer):
    """An explorer of a text.

    A subclass reads `_passage`, of which it shows the first `longest` tokens, and says in `_fitted`
    which of its controls depend on the passage.

    Parameters
    ----------
    passage : Passage, optional
        The text to work on, from `attn_lib.data.read`; the library's own if not given.
    language : str
        As for every explorer.
    **controls
        Values of the controls; those that are not given have their defaults.
    """

    longest: ClassVar[int] = 64
    own_words: ClassVar[Mapping[str, Message]] = {}
    """What replaces words that are true of the library's passage alone."""

    _own: ClassVar[Passage | None] = None

    def __new__(cls, *args: Any, passage: Passage | None = None, **controls: Any) -> Any:
        """Make an explorer of this class, or of one for the passage."""
        make: Any = super().__new__
        return make(cls if passage is None else cls._of(passage), *args, **controls)

    def __init__(self, *, passage: Passage | None = None, **controls: Any) -> None:
        super().__init__(**controls)

    @classmethod
    def _of(cls, passage: Passage) -> type:
        """Return a class like this one that works on a passage."""
        if not isinstance(passage, Passage):
            raise TypeError(f"passage must be a Passage, got {type(passage).__name__}")
        if len(passage.tokens) < SHORTEST:
            raise ValueError(
                f"passage must have at least {SHORTEST} tokens, got {len(passage.tokens)}"
            )
        named = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
        # As text, since anywidget holds on for ever to widgets whose files may change.
        named |= {name: str(getattr(cls, name)) for name in ("_esm", "_css")}
        make: Any = type(cls)
        own: type = make(cls.__name__, (cls,), {**named, "_own": passage, **cls._fitted(passage)})
        return own

    @classmethod
    def _fitted(cls, passage: Passage) -> dict[str, Any]:
        """Return the controls, and other attributes, that are different for a passage."""
        return {}

    @classmethod
    def _passage(cls) -> Passage:
        return _heads.passage() if cls._own is None else cls._own

    @classmethod
    def _count(cls, passage: Passage | None = None) -> int:
        """Return how many tokens are shown, of a passage or of this class's."""
        return min(cls.longest, len((passage or cls._passage()).tokens))

    @classmethod
    def _pieces(cls) -> tuple[str, ...]:
        """Return the word pieces that are shown."""
        return cls._passage().tokens[: cls._count()]

    @classmethod
    def _start(cls, *words: str) -> list[int]:
        """Return where some words stand; in a reader's text its middle, and what is before it."""
        if cls._own is None:
            return [cls._pieces().index(word) for word in words]
        return [cls._count() // 2 - back for back in range(len(words))]

    @classmethod
    def messages(cls) -> list[Message]:
        """Return every message of the explorer, for those who translate it."""
        return [*super().messages(), *cls.own_words.values()]

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if in_book() and self._own is not None:
            raise ValueError("passage must be the library's on a page of the book, got another")
        return super()._repr_mimebundle_(**kwargs)

    def __repr__(self) -> str:
        name, arguments = super().__repr__().split("(", 1)
        own = "" if self._own is None else f"passage=<{len(self._own.tokens)} tokens>, "
        return f"{name}({own}{arguments}"


def of_layer_and_head(layer: Choice, head: Choice, passage: Passage) -> dict[str, Control]:
    """Return the two controls with the layers and the heads that a passage has."""
    wanted = (layer.default_value, head.default_value)
    start = wanted if wanted in passage.heads else passage.heads[0]
    layers, heads = (sorted(set(column)) for column in zip(*passage.heads, strict=True))
    return {
        "layer": layer.among({k: str(k) for k in layers}, start[0]),
        "head": head.among({k: str(k) for k in heads}, start[1]),
    }


def of_head(head: Choice, passage: Passage) -> Choice:
    """Return the control of a layer and head, as "2.9", with those that a passage has.

    What a head is known for, it is known for on the library's passage.
    """
    names = {f"{a}.{b}": f"layer {a}, head {b}" for a, b in passage.heads}
    start = head.default_value
    return head.among(names, start if start in names else next(iter(names)))
