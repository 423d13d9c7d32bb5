"""Exercises: a check that answers in words, whatever it is given.

A check of the book calls the reader's function and asserts what must be true of it. `kindly` makes
a sentence of what fails, so that no answer can stop a page; `agree` compares tensors and says where
they part; `numbers_made` counts, so that a check can see what an answer keeps.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["NotYet", "agree", "kindly", "numbers_made"]

_Answer = Callable[..., Any]


class NotYet(Exception):
    """What is still wrong with an answer, in words."""


def kindly(check: Callable[[_Answer], str]) -> Callable[[_Answer], str]:
    """Make a check say in a sentence what fails in it.

    Parameters
    ----------
    check : callable
        It is given the reader's function, calls it, asserts, and returns what it says to a right
        answer. The message of each assertion is a word to the reader.

    Returns
    -------
    callable
        The same check, which never raises. It says "nothing to check yet" to a function that gives
        None, and else "not yet" with the message of the assertion that failed, or with the error
        that stopped the answer.

    Notes
    -----
    The answer is given copies of its tensors, so that one that writes into them spoils nothing.

    Examples
    --------
    >>> @kindly
    ... def check(double):
    ...     assert double(3) == 6, f"twice 3 is not {double(3)}"
    ...     return "right"
    >>> check(lambda x: 2 * x)
    'right'
    >>> check(lambda x: x)
    'not yet: twice 3 is not 3'
    >>> check(lambda x: x.double())
    "not yet: your function stops: AttributeError: 'int' object has no attribute 'double'"
    >>> check(lambda x: None)
    'nothing to check yet: your function gives None'
    """

    @functools.wraps(check)
    def say(answer: _Answer) -> str:
        try:
            return check(_asked(answer))
        except _Empty:
            return "nothing to check yet: your function gives None"
        except (NotYet, AssertionError) as word:
            return f"not yet: {word}"
        except Exception as error:
            return f"not yet: the check cannot use what your function gives: {_in_a_line(error)}"

    return say


def agree(found: object, wanted: Tensor, where: str, *, tolerance: float = 1e-6) -> None:
    """Refuse an answer that is not the wanted tensor, and say at which place it is not.

    Parameters
    ----------
    found : object
        What the answer gave.
    wanted : Tensor
        What is right.
    where : str
        The case, which begins the sentence: "with block = 7".
    tolerance : float
        How far two numbers may be apart, relative to their size or as such. The default forgives a
        step in float32 on the way, and no other formula.

    Raises
    ------
    NotYet
        If the answer is no tensor, or its shape or its numbers are others.

    Examples
    --------
    >>> agree(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]), "for two tokens")
    Traceback (most recent call last):
    attn_lib.exercises.NotYet: for two tokens: at (1,) it gives 2, not 2.5
    """
    if not isinstance(found, Tensor):
        raise NotYet(f"{where}: it gives a {type(found).__name__}, not a tensor")
    if found.shape != wanted.shape:
        raise NotYet(f"{where}: its shape is {tuple(found.shape)}, not {tuple(wanted.shape)}")
    mine, right = found.detach().double(), wanted.detach().double()
    wrong = ~torch.isclose(mine, right, rtol=tolerance, atol=tolerance)
    if wrong.any():
        at = tuple(wrong.nonzero()[0].tolist())
        digits = 4 if f"{mine[at]:.4g}" != f"{right[at]:.4g}" else 15
        pair = f"{mine[at]:.{digits}g}, not {right[at]:.{digits}g}"
        place = f"at {at} it" if at else "it"
        raise NotYet(f"{where}: {place} gives {pair}")


def numbers_made(call: _Answer, *inputs: Tensor) -> int:
    """Count the numbers of all tensors that a call makes or looks at a part of.

    Parameters
    ----------
    call : callable
        What is run.
    *inputs : Tensor
        What it is run on.

    Returns
    -------
    int
        The numbers of the results of all operators together. A call that takes as much work for
        each token makes twice as many for twice as many tokens; one that reads all tokens before
        it once more for each makes four times as many.

    Examples
    --------
    >>> numbers_made(lambda x: (2 * x).sum(), torch.ones(10))
    11
    """
    made = _Made()  # type: ignore[no-untyped-call]  # torch's own is untyped
    with made:
        call(*inputs)
    return made.numbers


class _Empty(Exception):
    """The function has not been written."""


def _asked(answer: _Answer) -> _Answer:
    """Return the answer, made to say in words why it cannot be used."""
    has_answered = False

    def ask(*inputs: object, **options: object) -> object:
        nonlocal has_answered
        inputs, options = tree_map(_copied, (inputs, options))
        try:
            found = answer(*inputs, **options)
        except Exception as error:
            raise NotYet(f"your function stops: {_in_a_line(error)}") from error
        if found is None:
            raise NotYet("it gives None for some inputs") if has_answered else _Empty
        has_answered = True
        return found

    return ask


def _copied(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value


def _in_a_line(error: Exception) -> str:
    first, *_ = [*str(error).splitlines(), ""]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


class _Made(TorchDispatchMode):
    """Add up the numbers of each tensor that an operator returns."""

    numbers: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.numbers += sum(x.numel() for x in tree_leaves(result) if isinstance(x, Tensor))
        return result
