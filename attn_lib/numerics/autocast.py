"""Functions that keep to their own precision where mixed precision is switched on."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from attn_lib._checks import is_autocast_on

__all__ = ["outside_autocast"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def outside_autocast(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let a function compute in float32 at least, whatever autocast is on.

    Autocast would run products in half precision, and sums over a long text pass the largest
    number of float16 (65,504).

    Parameters
    ----------
    function : callable
        Its first tensor is the one whose dtype its result has.

    Returns
    -------
    callable
        Of the same signature. Under autocast it takes tensors of several dtypes, as
        ``torch.nn.functional.scaled_dot_product_attention`` does there, casts all to float32, and
        gives back tensors of the dtype of the first. Float64 stays as it is.
    """

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        given = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        if not given or not is_autocast_on(given[0].device):
            return function(*args, **kwargs)
        with torch.autocast(given[0].device.type, enabled=False):
            if any(x.dtype == torch.float64 for x in given):
                return function(*args, **kwargs)
            raised: Any = function
            out = raised(*map(_raise, args), **{name: _raise(x) for name, x in kwargs.items()})
            first = next((x for x in given if x.is_floating_point()), None)
            if first is None:
                return out  # type: ignore[no-any-return]
            if isinstance(out, tuple):
                return tuple(_lower(x, first) for x in out)  # type: ignore[return-value]
            return _lower(out, first)  # type: ignore[no-any-return]

    return run


def _raise(x: Any) -> Any:
    return x.float() if isinstance(x, Tensor) and x.is_floating_point() else x


def _lower(x: Any, like: Tensor) -> Any:
    return x.to(like.dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
