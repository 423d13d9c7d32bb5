"""Mark a function as an answer to an exercise, right or wrong."""

from collections.abc import Callable
from types import ModuleType

__all__ = ["accepted", "answers_of", "refused"]

Answer = Callable[..., object]


def accepted(answer: Answer) -> Answer:
    """Mark an answer that is right, and not the page's own."""
    answer.refusal = None
    return answer


def refused(word: str) -> Callable[[Answer], Answer]:
    """Mark a wrong answer, with a pattern of what the check must say to it."""

    def mark(answer: Answer) -> Answer:
        answer.refusal = word
        return answer

    return mark


def answers_of(module: ModuleType) -> dict[str, Answer]:
    """Return the marked functions of a module, by name, in their order."""
    return {name: value for name, value in vars(module).items() if hasattr(value, "refusal")}
