"""What every explorer is: a pure function, a grid of control values, and a view.

An explorer's class declares its controls as traits, computes its arrays in `_frame`, and passes
its words to the view of the same name in ``explorer.mjs``. The rest is here: validation, the
answer to a moved control where there is a kernel, and the frames of the whole grid where there is
none.

A new explorer is one Python file beside this one, with a subclass of `Explorer` that has

- its controls as class attributes (`Range`, `Choice`, `Toggle`), whose product is the book's grid;
- ``codings``: its arrays' names, and how each travels;
- ``words``: every word that its view shows, so that a translation finds them here;
- ``_frame``, a pure function of the controls; ``_facts``, what no control changes;
- ``_figure`` and ``_alt``, the picture for readers without scripts, and that picture in words;

and a view of the same name in ``VIEWS`` of ``explorer.mjs``, made of the primitives there. Its name
in ``attn_lib.explorers.__all__`` puts it under the tests that all explorers share.
"""

import base64
import functools
import html
import io
import itertools
import json
import numbers
import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from attn_lib.explorers._pack import Coding, encode, pack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Choice", "Control", "Explorer", "Positions", "Range", "Toggle", "in_book"]

_FOLDER = Path(__file__).parent

Value = bool | int | float | str | tuple[int, ...]

COMMON_WORDS: Mapping[str, str] = {
    "play_label": "Play {label}",
    "pause_label": "Pause {label}",
    "reset": "Reset",
    "waiting": "Waiting for the kernel …",
    "controls": "Controls",
    "none": "none",
}


def in_book() -> bool:
    """Tell whether the book is being built: then explorers show data, and open no comm."""
    return os.environ.get("ATTN_LIB_BOOK") == "1"


class Control(traitlets.TraitType[Any, Any]):
    """A control of an explorer, and the synced trait that holds its value.

    Parameters
    ----------
    default : bool, int, float or str
        The value at the start.
    label : str
        What the reader sees beside it.
    grid : sequence
        The values that the book carries; with a kernel, others work too.
    when : mapping of str to sequence, optional
        The values of other controls that this one needs to have an effect. Elsewhere it is
        greyed out, and the frame is that of its default.
    help : str, optional
        One line for a reader who rests the pointer on it.
    """

    kind: ClassVar[str]
    in_frame: ClassVar[bool] = True  # whether the arrays depend on it

    def __init__(
        self,
        default: Value,
        *,
        label: str,
        grid: Sequence[Value],
        when: Mapping[str, Sequence[Value]] | None = None,
        help: str = "",
    ) -> None:
        super().__init__(default)
        self.label = label
        self.grid = tuple(grid)
        self.when = {name: tuple(values) for name, values in (when or {}).items()}
        self.hint = help
        self.tag(sync=True)

    def check(self, name: str, value: object) -> Value:
        """Return a valid value in its canonical type, or raise TypeError or ValueError."""
        raise NotImplementedError

    def validate(self, obj: Any, value: object) -> Value:
        """Refuse a bad value the way traits do, in the words of `check`."""
        try:
            return self.check(str(self.name), value)
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from error

    def spec(self) -> dict[str, Any]:
        """Return what the view needs to know of this control."""
        spec: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "label": self.label,
            "default": self.default_value,
            "grid": list(self.grid),
        }
        if self.when:
            spec["when"] = {name: list(values) for name, values in self.when.items()}
        if self.hint:
            spec["help"] = self.hint
        return spec


class Range(Control):
    """A number on a slider: an int if its step is one, else a float.

    With a kernel the slider runs from `low` to `high` in steps; `play` adds a button that sweeps
    it.
    """

    kind = "range"

    def __init__(
        self,
        default: int | float,
        *,
        low: int | float,
        high: int | float,
        step: int | float,
        play: bool = False,
        **declaration: Any,
    ) -> None:
        super().__init__(default, **declaration)
        self.low, self.high, self.step, self.play = low, high, step, play

    def check(self, name: str, value: object) -> int | float:
        """Return the number, or say what it must be."""
        number: int | float
        if isinstance(self.step, int):
            if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
                raise TypeError(f"{name} must be an int, got {type(value).__name__}")
            number = operator.index(value)
        else:
            if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
                raise TypeError(f"{name} must be a number, got {type(value).__name__}")
            number = float(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"{name} must be from {self.low} to {self.high}, got {value}")
        return number

    def spec(self) -> dict[str, Any]:
        """Return what the view needs to know of this slider."""
        return {
            **super().spec(),
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "play": self.play,
        }


class Choice(Control):
    """One of a few values, with a label each; `grid` may hold only some of them."""

    kind = "choice"

    def __init__(
        self,
        default: Value,
        *,
        options: Mapping[Any, str],
        grid: Sequence[Value] | None = None,
        **declaration: Any,
    ) -> None:
        super().__init__(default, grid=tuple(options) if grid is None else grid, **declaration)
        self.options = dict(options)

    def check(self, name: str, value: object) -> Value:
        """Return the option, or say which there are."""
        if isinstance(self.default_value, int):
            if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
                raise TypeError(f"{name} must be an int, got {type(value).__name__}")
            value = operator.index(value)
        elif not isinstance(value, str):
            raise TypeError(f"{name} must be a str, got {type(value).__name__}")
        if value not in self.options:
            known = ", ".join(repr(option) for option in self.options)
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
        return value

    def spec(self) -> dict[str, Any]:
        """Return what the view needs to know of this choice."""
        return {**super().spec(), "options": [[key, text] for key, text in self.options.items()]}


class Toggle(Control):
    """On or off."""

    kind = "toggle"

    def __init__(self, default: bool, **declaration: Any) -> None:
        super().__init__(default, **{"grid": (False, True), **declaration})

    def check(self, name: str, value: object) -> bool:
        """Return the bool, or say that it must be one."""
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be a bool, got {type(value).__name__}")
        return bool(value)


class Positions(Control):
    """A set of positions, chosen in the picture itself or typed with commas between them.

    The arrays of a frame do not depend on it, since a page cannot carry every set; the view looks
    the chosen positions up in them.
    """

    kind = "positions"
    in_frame = False

    def __init__(self, default: tuple[int, ...] = (), *, count: int, **declaration: Any) -> None:
        super().__init__(default, grid=(default,), **declaration)
        self.count = count

    def check(self, name: str, value: object) -> tuple[int, ...]:
        """Return the positions in rising order, each once, or say what they must be."""
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"{name} must be a sequence of ints, got {value!r}")
        chosen = set()
        for position in value:
            if isinstance(position, bool | np.bool_) or not hasattr(position, "__index__"):
                raise TypeError(f"{name} must hold ints, got {type(position).__name__}")
            if not 0 <= position < self.count:
                raise ValueError(f"{name} must be from 0 to {self.count - 1}, got {position}")
            chosen.add(operator.index(position))
        return tuple(sorted(chosen))

    def spec(self) -> dict[str, Any]:
        """Return what the view needs to know of this set."""
        default = list(self.default_value)
        return {**super().spec(), "default": default, "grid": [default], "count": self.count}


class Explorer(anywidget.AnyWidget):
    """A live picture: arrays from Python, pixels from ``explorer.mjs``.

    A subclass declares its controls as class attributes, and gives `_frame`, `codings`, `words`,
    `_facts` and `_figure`. The name of its class is the name of its view.

    With a kernel it is a widget: every control is a synced trait, so that ``observe``, ``jslink``
    and ``HBox`` work, and a moved control asks for its frame in a custom message. While the book
    is built (`in_book`) it opens no comm, and is shown as data for the page's script together
    with a picture for readers without one.
    """

    _esm = _FOLDER / "explorer.mjs"
    _css = _FOLDER / "explorer.css"
    _spec = traitlets.Dict().tag(sync=True)

    codings: ClassVar[Mapping[str, Coding]]
    words: ClassVar[Mapping[str, str]]

    def __init__(self, **controls: Any) -> None:
        self._refuse_unknown(name for name in controls if not self.has_trait(name))
        super().__init__(**controls)
        if not in_book():
            self.on_msg(self._answer)

    def open(self) -> None:
        """Open the comm to the front end, unless the book is being built."""
        if not in_book():
            self._spec = self.spec()
            super().open()

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
            states[tuple(state.values())] = state
        return list(states.values())

    @classmethod
    def _frame(cls, *args: Any, **controls: Any) -> dict[str, NDArray[Any]]:
        """Return the arrays of a state whose values have been checked."""
        raise NotImplementedError

    @classmethod
    def _facts(cls) -> dict[str, Any]:
        """Return what the view needs and no control changes, as JSON has it."""
        return {}

    @classmethod
    def _figure(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> "Figure":
        """Return the picture of a state for a page that cannot run scripts."""
        raise NotImplementedError

    @classmethod
    def _alt(cls, frame: dict[str, NDArray[Any]], **controls: Any) -> str:
        """Return that picture in words."""
        raise NotImplementedError

    @classmethod
    def spec(cls) -> dict[str, Any]:
        """Return what a view needs besides frames: the controls, words and facts."""
        return {
            "name": cls.__name__,
            "controls": [control.spec() for control in cls.controls().values()],
            "words": {**COMMON_WORDS, **cls.words},
            "facts": cls._facts(),
        }

    @classmethod
    def packed(cls) -> bytes:
        """Return the frames of the whole grid in one deflate stream, equal arrays once."""
        # anywidget gives every instance a class of its own; the frames are its parent's.
        return _packed(
            next(parent for parent in cls.__mro__ if "_anywidget_id" not in vars(parent))
        )

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
        alt = self._alt(frame, **state)
        png = base64.b64encode(_png(self._figure(frame, **state))).decode()
        data = base64.b64encode(self.packed()).decode()
        start = html.escape(json.dumps(state, ensure_ascii=False))
        name = html.escape(type(self).__name__)
        return {
            "text/html": (
                f'<div class="attn-explorer" data-explorer="{name}" data-start="{start}">'
                f'<img class="ax-fallback" src="data:image/png;base64,{png}"'
                f' alt="{html.escape(alt)}">'
                f'<script type="application/octet-stream">{data}</script></div>'
            ),
            "image/png": png,
            "text/plain": alt,
        }

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if in_book():
            return self._book_bundle()
        return super()._repr_mimebundle_(**kwargs)

    if hasattr(anywidget.AnyWidget, "_ipython_display_"):

        def _ipython_display_(self, **kwargs: Any) -> None:
            """Show the widget under ipywidgets 7, whose method outranks the MIME bundle."""
            if in_book():
                raise NotImplementedError
            super()._ipython_display_(**kwargs)


def _png(figure: "Figure") -> bytes:
    """Return a figure as a small picture: 64 colours are plenty for one hue and grey words."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110, transparent=True)
    picture = Image.open(drawn).quantize(64, method=Image.Quantize.FASTOCTREE)
    small = io.BytesIO()
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


@functools.cache
def _packed(explorer: type[Explorer]) -> bytes:
    arrays: dict[tuple[Coding, tuple[int, ...], bytes], int] = {}
    states = []
    for state in explorer.grid():
        frame = explorer.compute(**state)
        places = []
        for name, coding in explorer.codings.items():
            array = frame[name]
            key = (coding, array.shape, encode(array, coding))
            places.append(arrays.setdefault(key, len(arrays)))
        states.append([list(state.values()), places])
    header = {"spec": explorer.spec(), "names": list(explorer.codings), "states": states}
    return pack(header, list(arrays))
