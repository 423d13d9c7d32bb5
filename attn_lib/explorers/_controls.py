"""Controls: what a reader moves, checked, with the grid of values that a page carries."""

import copy
import numbers
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import traitlets

from attn_lib.explorers.words import Message, Translate

__all__ = ["Choice", "Control", "Members", "Positions", "Range", "Toggle", "Value"]

_OFF_AND_ON = ("off", "on")

Value = bool | int | float | str | tuple[int, ...] | tuple[str, ...]


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
        """Return what the view needs to know of this control, in no language."""
        spec: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "default": self.default_value,
            "grid": list(self.grid),
        }
        if self.when:
            spec["when"] = {name: list(values) for name, values in self.when.items()}
        return spec

    def messages(self) -> list[Message]:
        """Return every word that it shows, in English."""
        return [self.label, *([self.hint] if self.hint else [])]

    def wording(self, translate: Translate) -> dict[str, Any]:
        """Return its words for a view: ``label``, and ``help`` where it has one."""
        words: dict[str, Any] = {"label": translate(self.label)}
        if self.hint:
            words["help"] = translate(self.hint)
        return words

    def _but(self, **attributes: Any) -> Self:
        """Return a control like this one but for some attributes."""
        other = copy.copy(self)
        vars(other).update(attributes)
        return other


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

    def up_to(self, high: int) -> Self:
        """Return a slider like this one that ends there, as its grid does."""
        grid: Any = self.grid
        if max(grid) > high:
            grid = sorted({high, *(value for value in grid if value < high)})
        return self._but(high=high, grid=tuple(grid), default_value=min(self.default_value, high))

    def starting(self, default: int, *, help: str) -> Self:
        """Return a slider like this one that starts elsewhere, as near as it can, and says so."""
        start = min(max(default, self.low), self.high)
        grid: Any = {*self.grid, start}
        return self._but(default_value=start, grid=tuple(sorted(grid)), hint=help)

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

    def among(self, options: Mapping[Any, str], default: Value) -> Self:
        """Return a choice like this one among other options."""
        grid = tuple(value for value in self.grid if value in options)
        if default not in grid:
            grid = (default, *grid)
        return self._but(options=dict(options), grid=grid, default_value=default)

    def spec(self) -> dict[str, Any]:
        """Return what the view needs to know of this choice."""
        return {**super().spec(), "options": list(self.options)}

    def messages(self) -> list[Message]:
        """Return every word that it shows, its options' among them."""
        return [*super().messages(), *self.options.values()]

    def wording(self, translate: Translate) -> dict[str, Any]:
        """Return its words for a view: also ``options``, a text each, in their order."""
        options = [translate(text) for text in self.options.values()]
        return {**super().wording(translate), "options": options}


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

    def messages(self) -> list[Message]:
        """Return every word that it shows, and what its two values are called on paper."""
        return [*super().messages(), *_OFF_AND_ON]

    def wording(self, translate: Translate) -> dict[str, Any]:
        """Return its words for a view: also ``options``, what off and on are called."""
        return {**super().wording(translate), "options": [translate(text) for text in _OFF_AND_ON]}


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

    def below(self, count: int) -> Self:
        """Return a set like this one of fewer positions."""
        default = tuple(k for k in self.default_value if k < count)
        return self._but(count=count, grid=(default,), default_value=default)

    def spec(self) -> dict[str, Any]:
        """Return what the view needs to know of this set."""
        default = list(self.default_value)
        return {**super().spec(), "default": default, "grid": [default], "count": self.count}


class Members(Choice):
    """Any of a few named things: the view has a switch for each, which is its legend, too.

    At the start all are on. The arrays of a frame hold all of them, and the view draws those that
    are on.
    """

    kind = "members"
    in_frame = False

    def __init__(self, *, options: Mapping[str, str], **declaration: Any) -> None:
        everything = tuple(options)
        super().__init__(everything, options=options, grid=(everything,), **declaration)

    def check(self, name: str, value: object) -> tuple[str, ...]:
        """Return the names in the order of the options, each once, or say what they must be."""
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"{name} must be a sequence of str, got {value!r}")
        chosen = set()
        for member in value:
            if not isinstance(member, str):
                raise TypeError(f"{name} must hold str, got {type(member).__name__}")
            if member not in self.options:
                known = ", ".join(repr(option) for option in self.options)
                raise ValueError(f"{name} must be of {known}, got {member!r}")
            chosen.add(member)
        return tuple(option for option in self.options if option in chosen)

    def spec(self) -> dict[str, Any]:
        """Return what the view needs to know of these."""
        default = list(self.options)
        return {**super().spec(), "default": default, "grid": [default]}
