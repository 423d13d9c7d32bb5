"""What every explorer is: a pure function, a grid of control values, and words for a view.

An explorer is two files of one name side by side: ``lsh_circle.py`` computes, ``lsh_circle.mjs``
draws. The Python file holds a subclass of `Explorer` that has

- its controls as class attributes (`Range`, `Choice`, `Toggle`), whose product is the book's grid;
- ``codings``: its arrays' names, and how each travels;
- ``words``: every word that its view shows, so that a translation finds them here;
- ``_frame``, a pure function of the controls; ``_facts``, what no control changes;
- ``_figure`` and ``_alt``, the picture for readers without scripts, and that picture in words.

The module beside it exports ``view``, made of the modules in ``front/``; ``make front`` bundles it
into ``built/``. The class's name in ``attn_lib.explorers.__all__`` puts it under the tests that all
explorers share. The rest is here: validation, the answer to a moved control where there is a
kernel, and the frames of the whole grid where there is none.

Frames and specifications carry no word of any language. With a kernel the words travel beside them,
in the explorer's ``language``; the book's build writes them on each page in the page's.
"""

import base64
import html
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets
from numpy.typing import NDArray

from attn_lib.explorers._carried import is_summary, packed, told
from attn_lib.explorers._controls import Control, Value
from attn_lib.explorers._files import png, svg
from attn_lib.explorers._pack import Coding, encode
from attn_lib.explorers.words import (
    COMMON_WORDS,
    FIGURE_WORDS,
    Message,
    Rounded,
    Translate,
    fill,
    in_english,
    translator,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explorer", "Said", "in_book"]

_BUILT = Path(__file__).parent / "built"

_LIVE = (
    "Run this cell in Jupyter, Colab or VS Code to move its controls; the book has it alive, too."
)

Said = tuple[str, Mapping[str, str | int | Rounded]]
"""The name of a message, and what fills its holes."""


def in_book() -> bool:
    """Tell whether the book is being built: then explorers show data, and open no comm."""
    return os.environ.get("ATTN_LIB_BOOK") == "1"


def _module(explorer: type) -> str:
    """Return the name of an explorer's two files."""
    return explorer.__module__.rpartition(".")[2]


class Explorer(anywidget.AnyWidget):
    """A live picture: arrays from Python, pixels from the ES module of the same name.

    A subclass declares its controls as class attributes, and gives `_frame`, `codings`, `words`,
    `_facts`, `_figure` and `_alt`.

    Parameters
    ----------
    language : str
        What it speaks: "en", or another of `attn_lib.explorers.words.languages`.
    **controls
        Values of the controls; those that are not given have their defaults.

    With a kernel it is a widget: every control is a synced trait, so that ``observe``, ``jslink``
    and ``HBox`` work, and a moved control asks for its frame in a custom message. While the book
    is built (`in_book`) it opens no comm, and is shown as data for the page's script together
    with a picture for readers without one. What a notebook saves of it is its still picture, in
    words, too, beside the widget, which a front end with a kernel prefers.
    """

    _css = _BUILT / "explorer.css"
    _spec = traitlets.Dict().tag(sync=True)
    language = traitlets.Unicode("en")

    codings: ClassVar[Mapping[str, Coding]]
    words: ClassVar[Mapping[str, Message]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        module = _BUILT / f"{_module(cls)}.mjs"
        # anywidget makes a class of its own for every instance, with the text as a trait.
        if module.exists() and "_esm" not in vars(cls):
            cls._esm = module
        super().__init_subclass__(**kwargs)

    def __init__(self, **controls: Any) -> None:
        self._refuse_unknown(name for name in controls if not self.has_trait(name))
        super().__init__(**controls)
        if not in_book():
            self.on_msg(self._answer)

    def open(self) -> None:
        """Open the comm to the front end, unless the book is being built."""
        if not in_book():
            self._spec = self._speaking()
            super().open()

    @traitlets.validate("language")
    def _check_language(self, proposal: Any) -> str:
        try:
            translator(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from error
        language: str = proposal["value"]
        return language

    @traitlets.observe("language")
    def _change_language(self, _change: object) -> None:
        if not in_book():
            self._spec = self._speaking()

    def _speaking(self) -> dict[str, Any]:
        wording = self.wording(self.language, translator(self.language))
        # The words of a summary travel with what fills them (`_answer`).
        spoken = {name: x for name, x in wording["words"].items() if not is_summary(name)}
        return {"spec": self.spec(), "wording": {**wording, "words": spoken}}

    @classmethod
    def controls(cls) -> dict[str, Control]:
        """Return the controls by name, in the order of their declaration."""
        return {
            name: value
            for parent in reversed(cls.__mro__)
            for name, value in vars(parent).items()
            if isinstance(value, Control)
        }

    @classmethod
    def check(cls, **controls: object) -> dict[str, Value]:
        """Return a value for every control, checked, with defaults for those not given.

        Raises
        ------
        TypeError
            When there is no such control, or a value has the wrong type.
        ValueError
            When a value is out of range.
        """
        cls._refuse_unknown(controls)
        return {
            name: control.check(name, controls.get(name, control.default_value))
            for name, control in cls.controls().items()
        }

    @classmethod
    def _refuse_unknown(cls, names: Iterable[str]) -> None:
        known = cls.controls()
        for name in names:
            if name not in known:
                raise TypeError(f"controls must be of {', '.join(known)}, got {name}")

    @classmethod
    def canonical(cls, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return checked values with those that have no effect here at their defaults."""
        result = dict(values)
        for name, control in cls.controls().items():
            active = all(result[other] in allowed for other, allowed in control.when.items())
            if not (active and control.in_frame):
                result[name] = control.default_value
        return result

    @classmethod
    def compute(cls, **controls: object) -> dict[str, NDArray[Any]]:
        """Return the arrays of one state of the controls.

        It is pure and takes any valid values, on the book's grid or off it; controls that are not
        given have their defaults. Raises what `check` raises.
        """
        return cls._frame(**cls.canonical(cls.check(**controls)))

    @classmethod
    def grid(cls) -> list[dict[str, Value]]:
        """Return the states that the book carries, each once."""
        known = cls.controls()
        states = {}
        for values in itertools.product(*(control.grid for control in known.values())):
            state = cls.canonical(dict(zip(known, values, strict=True)))
            if cls._carries(state):
                states[tuple(state.values())] = state
        return list(states.values())

    @classmethod
    def _carries(cls, state: Mapping[str, Value]) -> bool:
        """Tell whether the book carries a state of the grid; one with nothing to see may stay out.

        A control offers the values for which some state is carried, given those of the controls
        that are declared before it.
        """
        return True

    @classmethod
    def _frame(cls, *args: Any, **controls: Any) -> dict[str, NDArray[Any]]:
        """Return the arrays of a state whose values have been checked."""
        raise NotImplementedError

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        """Return what the view needs and no control changes, as JSON has it."""
        return {}

    @classmethod
    def _word(cls, name: str) -> str:
        """Return one of the words for a text of `_figure`: the message without plural forms."""
        message = cls.words[name]
        if not isinstance(message, str):
            raise TypeError(f"name must be that of a message without plural forms, got {name}")
        return message

    @classmethod
    def _said(cls, name: str, **values: str | int | Rounded) -> str:
        """Return such a word with its holes filled, each a number once, for a text of `_figure`."""
        return fill(cls._word(name), values)

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        """Return the picture of a state for a page that cannot run scripts.

        Its texts are words of the explorer, numbers and symbols, so that the book's build can
        replace them where a page speaks another language.
        """
        raise NotImplementedError

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        """Return that picture in words: the name of a message, ``alt…``, and what fills it."""
        raise NotImplementedError

    @classmethod
    def _summary(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> Said:
        """Return what the state comes to, in a sentence for whoever doesn't see the picture.

        The name of a message, ``alt…``, and what fills it; by default those of the still picture.
        The same fills ``change``, where what filled it in the state before is ``was_…``.
        """
        return cls._alt(frame, **controls)

    @classmethod
    def summarize(cls, **controls: object) -> str:
        """Return what a state comes to, in English. Raises what `check` raises."""
        state = cls.check(**controls)
        name, values = cls._summary(cls.compute(**state), **state)
        return fill(in_english(cls.words[name]), values)

    @classmethod
    def describe(cls, **controls: object) -> str:
        """Return the picture of a state in words, in English. Raises what `check` raises."""
        state = cls.check(**controls)
        return cls._described(cls.compute(**state), state)

    @classmethod
    def _described(cls, frame: dict[str, NDArray[Any]], state: Mapping[str, Value]) -> str:
        name, values = cls._alt(frame, **state)
        return fill(in_english(cls.words[name]), values)

    @classmethod
    def spec(cls) -> dict[str, Any]:
        """Return what a view needs besides frames and words: the controls and facts."""
        return {
            "name": cls.__name__,
            "module": _module(cls),
            "controls": [control.spec() for control in cls.controls().values()],
            "facts": cls._facts(),
        }

    @classmethod
    def wording(cls, language: str, translate: Translate) -> dict[str, Any]:
        """Return every word that the explorer's view shows, by way of a translation.

        Parameters
        ----------
        language : str
            A language tag, by which the view writes numbers and chooses plural forms.
        translate : callable
            From a message to what the view is given of it; `words.translator` makes one.

        Returns
        -------
        dict
            ``language``; ``words``, a template each; ``labels``, the words of the controls.
        """
        shown = {name: text for name, text in cls.words.items() if not name.startswith("still")}
        words = {**COMMON_WORDS, **shown}
        return {
            "language": language,
            "words": {name: translate(message) for name, message in words.items()},
            "labels": {name: item.wording(translate) for name, item in cls.controls().items()},
        }

    @classmethod
    def messages(cls) -> list[Message]:
        """Return every message of the explorer, for those who translate it."""
        labels = (item.messages() for item in cls.controls().values())
        texts = [*COMMON_WORDS.values(), *FIGURE_WORDS, *cls.words.values()]
        return [*texts, *itertools.chain(*labels)]

    @classmethod
    def packed(cls) -> bytes:
        """Return the frames of the whole grid in one deflate stream, equal arrays once."""
        # anywidget gives every instance a class of its own; the frames are its parent's.
        return packed(next(parent for parent in cls.__mro__ if "_anywidget_id" not in vars(parent)))

    def _state(self) -> dict[str, Value]:
        return {name: getattr(self, name) for name in self.controls()}

    def _answer(self, _widget: object, content: object, _buffers: object) -> None:
        """Answer a view's request for a frame; the view knows it by its id."""
        if not isinstance(content, dict) or content.get("type") != "frame":
            return
        reply: dict[str, Any] = {"type": "frame", "id": content.get("id")}
        try:
            frame = self.compute(**content.get("controls", {}))
        except (TypeError, ValueError) as error:
            self.send({**reply, "error": str(error)})
            return
        state = self.check(**content.get("controls", {}))
        name, values = told(type(self), frame, state)
        translate = translator(self.language)
        reply["told"] = [name, values]
        reply["words"] = {one: translate(self.words[one]) for one in (name, "change")}
        reply["arrays"] = [
            [name, coding, list(frame[name].shape)] for name, coding in self.codings.items()
        ]
        self.send(
            reply, buffers=[encode(frame[name], coding) for name, coding in self.codings.items()]
        )

    def _book_bundle(self) -> dict[str, str]:
        state = self._state()
        if self.canonical(state) not in self.grid():
            raise ValueError(f"controls must be on the book's grid, got {state}")
        frame = self.compute(**state)
        picture = svg(self._figure(frame, **state))
        data = base64.b64encode(self.packed()).decode()
        attributes = {
            "data-explorer": type(self).__name__,
            "data-start": json.dumps(state, ensure_ascii=False),
            "data-alt": json.dumps(self._alt(frame, **state), ensure_ascii=False),
        }
        written = "".join(f' {name}="{html.escape(text)}"' for name, text in attributes.items())
        code = base64.b64encode(picture.encode()).decode()
        return {
            "text/html": (
                f'<div class="attn-explorer"{written}>'
                f'<img class="ax-fallback" alt="" src="data:image/svg+xml;base64,{code}">'
                f'<script type="application/octet-stream">{data}</script></div>'
            ),
            "image/svg+xml": picture,
            "text/plain": repr(self),
        }

    def _saved(self) -> dict[str, str]:
        """Return what a notebook shows of the present state where there is no widget.

        PNG, which GitHub shows and LaTeX takes without Inkscape; and in HTML, for its words.
        """
        from matplotlib import style

        state = self._state()
        try:
            frame = self.compute(**state)
        except (TypeError, ValueError) as error:  # the view says it, too
            return {"text/plain": f"{self!r}\n{error}"}
        with style.context("default"):
            code = base64.b64encode(png(self._figure(frame, **state))).decode()
        said = self._described(frame, state)
        return {
            "text/html": (f'<img alt="{html.escape(said)}" src="data:image/png;base64,{code}">'),
            "image/png": code,
            "text/plain": f"{self!r}\n{said}\n{_LIVE}",
        }

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._state().items())
        return f"{type(self).__name__}({arguments})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if in_book():
            return self._book_bundle()
        widget: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = widget
        return {**data, **self._saved()}, metadata

    if hasattr(anywidget.AnyWidget, "_ipython_display_"):

        def _ipython_display_(self, **kwargs: Any) -> None:
            """Show the widget under ipywidgets 7, whose method outranks the MIME bundle."""
            if in_book():
                raise NotImplementedError
            from IPython.display import publish_display_data

            publish: Any = publish_display_data
            publish(*self._repr_mimebundle_())
            self._handle_displayed(**kwargs)
