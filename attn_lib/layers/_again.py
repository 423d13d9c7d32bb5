"""Run a module a second time as it ran the first time, or say why that cannot be."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import get_device_states, set_device_states

from attn_lib._checks import restored

__all__ = ["Run", "first_run", "foreign_leaf", "once", "second_run", "sources_of"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Choice = Callable[[], bool]
_ALWAYS = ("cpu", "meta")
"""Devices whose generator is kept in any case, or that have none."""


def _untraced(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Keep what is no mathematics out of the graphs of torch.compile."""
    untraced: Callable[_P, _R] = torch.compiler.disable(function)
    return untraced


class _Source(Protocol):
    """What numbers are drawn from."""

    def get_state(self) -> Tensor: ...

    def set_state(self, new_state: Tensor) -> object: ...


class _DeviceSource:
    """Torch's own generator on a device that is not the CPU, given by a tensor there."""

    def __init__(self, there: Tensor) -> None:
        self.there = there

    def get_state(self) -> Tensor:
        _, (state,) = get_device_states(self.there)
        return state

    def set_state(self, new_state: Tensor) -> None:
        kind = self.there.device.type
        set_device_states([self.there.get_device()], [new_state], device_type=kind)


@dataclass(frozen=True)
class Run:
    """A module's first run: what a second one must find as that one found it.

    Attributes
    ----------
    name : str
        The argument that the module was.
    module : nn.Module
    draws : list of pairs of _Source and Tensor
        What it drew from, and in which state that was before.
    known : list of _Source
        All that it could have drawn from.
    modes : list of pairs of nn.Module and bool
        Which of its modules were in training.
    autocast : list of torch.autocast
        The state of mixed precision, for each kind of device.
    held : list of pairs of Tensor and int
        Its parameters and buffers, and their versions after the run.
    choices : list of bool
        What `once` returned, in order.
    """

    name: str
    module: nn.Module
    draws: list[tuple[_Source, Tensor]]
    known: Sequence[_Source]
    modes: list[tuple[nn.Module, bool]]
    autocast: list[torch.autocast]
    held: list[tuple[Tensor, int]]
    choices: list[bool]


_DECIDE: ContextVar[Callable[[_Choice], bool]] = ContextVar("_DECIDE")


def once(choice: _Choice) -> bool:
    """Make a choice that depends on earlier calls; a second run gets the one of the first."""
    decide = _DECIDE.get(None)
    return choice() if decide is None else decide(choice)


@contextmanager
def _deciding(decide: Callable[[_Choice], bool]) -> Iterator[None]:
    token = _DECIDE.set(decide)
    try:
        yield
    finally:
        _DECIDE.reset(token)


@_untraced
def sources_of(
    module: nn.Module, inputs: Iterable[Tensor | None], generator: torch.Generator | None
) -> list[_Source]:
    """Return all that a module may draw from.

    Torch's own generators on the CPU and on every device of inputs, parameters and buffers; the
    given one; and those which the module, one inside it, or a ``functools.partial`` there holds.
    """
    found: dict[object, _Source] = {id(torch.default_generator): torch.default_generator}
    tensors = (*(x for x in inputs if x is not None), *module.parameters(), *module.buffers())
    for x in tensors:
        if x.device.type not in _ALWAYS and x.device not in found:
            only = x.device.type == "mps"  # there is one, and no function takes its number
            own = torch.mps._get_default_mps_generator() if only else _DeviceSource(x.detach())
            found[x.device] = own
    held = [
        value
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, (torch.Generator, partial))
    ]
    for value in (generator, *held):
        for own in _generators(value):
            found[id(own)] = own
    return list(found.values())


def _generators(value: object) -> Iterator[torch.Generator]:
    if isinstance(value, torch.Generator):
        yield value
    elif isinstance(value, partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            yield from _generators(part)


def first_run(
    name: str, module: nn.Module, inputs: tuple[Tensor, ...], sources: Sequence[_Source]
) -> tuple[Tensor, Run]:
    """Run a module, and note what a second run needs.

    Raises
    ------
    ValueError
        When the run changes one of the module's buffers, as batch normalisation does in training:
        a second one would change it again.
    """
    states = [source.get_state() for source in sources]
    buffers = _buffers(module)
    modes = [(part, part.training) for part in module.modules()]
    choices: list[bool] = []
    outer = _DECIDE.get(None)

    def note(choice: _Choice) -> bool:
        choices.append(choice() if outer is None else outer(choice))
        return choices[-1]

    with _deciding(note):
        out: Tensor = module(*inputs)
    changed = _changed(buffers)
    if changed is not None:
        raise ValueError(
            f"{name} must leave its buffers as they are, for it runs again in the backward pass, "
            f"got one that changes {changed!r} (put it in eval mode, or use a layer that keeps no "
            "running statistics)"
        )
    draws = [
        (source, state)
        for source, state in zip(sources, states, strict=True)
        if not state.equal(source.get_state())
    ]
    kinds = {"cpu", inputs[0].device.type}
    autocast = [
        torch.autocast(
            kind,
            enabled=torch.is_autocast_enabled(kind),
            dtype=torch.get_autocast_dtype(kind),
            cache_enabled=torch.is_autocast_cache_enabled(),
        )
        for kind in kinds
        if torch.amp.is_autocast_available(kind)
    ]
    return out, Run(name, module, draws, sources, modes, autocast, _held(module), choices)


def second_run(run: Run, inputs: tuple[Tensor, ...]) -> Tensor:
    """Run a module again, with gradients: it draws what it drew, and finds what it found.

    Whatever it draws from is left as it is now.

    Raises
    ------
    ValueError
        When parameters or buffers were changed since the first run.
    """
    held = _held(run.module)
    if len(held) != len(run.held) or any(
        now is not then or version != old
        for (now, version), (then, old) in zip(held, run.held, strict=True)
    ):
        raise ValueError(
            f"{run.name} must keep its parameters and buffers until the backward pass, which runs "
            "it again, got changed ones"
        )
    with ExitStack() as around:
        around.enter_context(_rewound(run.draws))
        around.enter_context(_in_modes(run.modes))
        for autocast in run.autocast:
            around.enter_context(autocast)
        around.enter_context(restored(run.known))
        choices = iter(run.choices)
        around.enter_context(_deciding(lambda _: next(choices, False)))
        around.enter_context(torch.enable_grad())
        out: Tensor = run.module(*inputs)
    return out


def foreign_leaf(out: Tensor, known: Iterable[Tensor]) -> Tensor | None:
    """Return a tensor that `out` has a gradient for and that is not among the known, if any."""
    wanted = set(map(id, known))
    left, seen = [out.grad_fn], set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, Tensor) and id(leaf) not in wanted:
            return leaf
        left.extend(step for step, _ in node.next_functions)
    return None


@contextmanager
def _rewound(draws: list[tuple[_Source, Tensor]]) -> Iterator[None]:
    kept = [(source, source.get_state()) for source, _ in draws]
    for source, state in draws:
        source.set_state(state)
    try:
        yield
    finally:
        for source, state in kept:
            source.set_state(state)


@contextmanager
def _in_modes(modes: list[tuple[nn.Module, bool]]) -> Iterator[None]:
    changed = [(part, part.training) for part, mode in modes if part.training != mode]
    for part, mode in changed:
        part.training = not mode
    try:
        yield
    finally:
        for part, mode in changed:
            part.training = mode


@_untraced
def _held(module: nn.Module) -> list[tuple[Tensor, int]]:
    return [(x, _version(x)) for x in (*module.parameters(), *module.buffers())]


@_untraced
def _buffers(module: nn.Module) -> list[tuple[str, Tensor, int]]:
    return [(name, x, _version(x)) for name, x in module.named_buffers()]


@_untraced
def _changed(buffers: list[tuple[str, Tensor, int]]) -> str | None:
    return next((name for name, x, version in buffers if _version(x) != version), None)


def _version(x: Tensor) -> int:
    return 0 if x.is_inference() else x._version
