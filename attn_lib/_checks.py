"""Argument checks that every mechanism shares: they only say no, there is no mathematics here.

Every message reads "`{argument} must {rule}, got {what came}`". A wrong type is a TypeError, a
wrong shape, dtype, device or option a ValueError.
"""

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real
from typing import cast

import torch
from torch import Tensor

__all__ = [
    "check_choice",
    "check_finite_number",
    "check_flag",
    "check_generator",
    "check_key_mask",
    "check_like",
    "check_mask",
    "check_positive_int",
    "check_qk",
    "check_qkv",
    "check_redraws",
    "check_sizes",
    "check_state",
    "check_step",
    "check_stride",
    "check_tensor",
    "check_tokens",
    "is_autocast_on",
    "is_repeated",
    "restored",
]

_CAST = {torch.float16, torch.bfloat16, torch.float32}
"""The dtypes that autocast turns into one."""
_RESTORED: ContextVar[frozenset[int] | None] = ContextVar("_RESTORED", default=None)
"""The generators, by their ids, that are in the state of the run that is now repeated."""


def check_tensor(name: str, value: object, axes: Sequence[str] | None = None) -> Tensor:
    """Refuse what is no floating-point tensor with the given axes, or with any."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {value.dtype}")
    if axes is not None and value.dim() != len(axes):
        raise ValueError(f"{name} must have shape ({', '.join(axes)}), got {tuple(value.shape)}")
    return value


def check_qk(
    q: Tensor, k: Tensor, *, causal: bool = False, key_mask: Tensor | None = None, query: str = "q"
) -> None:
    """Refuse queries and keys that do not fit together.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    causal : bool
        Whether position i is to see positions j ≤ i only; needs q_len == kv_len.
    key_mask : Tensor of bool, shape (batch, kv_len), optional
    query : str
        What the caller's signature calls `q`.
    """
    check_tensor(query, q, ("batch", "heads", "q_len", "head_dim"))
    check_tensor("k", k, ("batch", "heads", "kv_len", "head_dim"))
    check_like("k", k, query, q)
    batch, heads, q_len, head_dim = q.shape
    if head_dim == 0:
        raise ValueError(f"{query} must have head_dim of at least 1, got {tuple(q.shape)}")
    if (k.shape[0], k.shape[1], k.shape[3]) != (batch, heads, head_dim):
        raise ValueError(
            f"k must have shape ({batch}, {heads}, kv_len, {head_dim}) to fit {query}, "
            f"got {tuple(k.shape)}"
        )
    if not isinstance(causal, bool):
        raise TypeError(f"causal must be a bool, got {type(causal).__name__}")
    if causal and q_len != k.shape[2]:
        raise ValueError(
            f"causal must be False unless q_len equals kv_len, "
            f"got q_len {q_len} and kv_len {k.shape[2]}"
        )
    check_key_mask(key_mask, k)


def check_qkv(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,
    query: str = "q",
    key: str = "k",
) -> None:
    """Refuse queries, keys and values that do not fit together; see `check_qk`.

    Parameters
    ----------
    q : Tensor, shape (batch, heads, q_len, head_dim)
    k : Tensor, shape (batch, heads, kv_len, head_dim)
    v : Tensor, shape (batch, heads, kv_len, value_dim)
    causal, key_mask, query
        As in `check_qk`.
    key : str
        What the caller's signature calls `k`.
    """
    check_qk(q, k, causal=causal, key_mask=key_mask, query=query)
    check_tensor("v", v, ("batch", "heads", "kv_len", "value_dim"))
    check_like("v", v, query, q)
    if v.shape[:3] != k.shape[:3]:
        expected = ", ".join(str(size) for size in k.shape[:3])
        raise ValueError(
            f"v must have shape ({expected}, value_dim) to fit {key}, got {tuple(v.shape)}"
        )


def check_state(state: object, kind: type) -> None:
    """Refuse a `state` that is not of this kind."""
    if not isinstance(state, kind):
        raise TypeError(f"state must be a {kind.__name__}, got {type(state).__name__}")


def check_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    batch: int,
    heads: int,
    head_dim: int,
    value_dim: int,
    prompt: bool = False,
) -> None:
    """Refuse one token's query, key and value that do not fit a state of the given sizes.

    A `prompt` may have any number of tokens but none.
    """
    check_qkv(q, k, v, causal=prompt)
    for name, x, width in (("q", q, head_dim), ("k", k, head_dim), ("v", v, value_dim)):
        tokens = max(1, x.shape[2]) if prompt else 1
        if x.shape != (batch, heads, tokens, width):
            rule = "tokens of at least 1" if prompt else "1"
            raise ValueError(
                f"{name} must have shape ({batch}, {heads}, {rule}, {width}) to fit state, "
                f"got {tuple(x.shape)}"
            )


def check_key_mask(key_mask: object, k: Tensor) -> None:
    """Refuse a `key_mask` that is not None and not bool of shape (batch, kv_len)."""
    if key_mask is None:
        return
    if not isinstance(key_mask, Tensor):
        raise TypeError(f"key_mask must be a torch.Tensor, got {type(key_mask).__name__}")
    if key_mask.dtype != torch.bool:
        raise TypeError(
            f"key_mask must be of dtype torch.bool (True = real token), got {key_mask.dtype}"
        )
    expected = (k.shape[0], k.shape[2])
    if tuple(key_mask.shape) != expected:
        raise ValueError(
            f"key_mask must have shape (batch, kv_len) = {expected}, got {tuple(key_mask.shape)}"
        )
    if key_mask.device != k.device:
        raise ValueError(f"key_mask must be on k's device {k.device}, got {key_mask.device}")


def check_positive_int(name: str, value: object, *, at_least: int = 1) -> int:
    """Return `value` as an int if it is an integer (not a bool) of at least `at_least`.

    NumPy's integers are welcome; a size that a trace keeps open comes back as it is.
    """
    if isinstance(value, bool) or not isinstance(value, (Integral, torch.SymInt)):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    # A traced size is never looked at: that would fix it.
    return cast(int, value) if isinstance(value, (int, torch.SymInt)) else operator.index(value)


def check_sizes(**sizes: object) -> tuple[int, ...]:
    """Return sizes, given by their names, if they are ints (no bools) of at least 1."""
    return tuple(check_positive_int(name, size) for name, size in sizes.items())


def check_flag(name: str, value: object) -> None:
    """Refuse a `value` that is not a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")


def check_generator(generator: object) -> None:
    """Refuse a `generator` that is neither None nor a torch.Generator, or draws something new.

    A call that is repeated in a backward pass must draw what it drew the first time. Checkpointing
    restores torch's own generators and no others.
    """
    if generator is None:
        return
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator or None, got {type(generator).__name__}"
        )
    if is_repeated() and id(generator) not in (_RESTORED.get() or ()):
        raise ValueError(
            "generator must be None, torch's own, or known to the ReversibleBlock, where a call is "
            "repeated in the backward pass, as under torch.utils.checkpoint, "
            "got one whose state nobody restored"
        )


def check_redraws(redraw_every: int | None) -> None:
    """Refuse redraws in the course of training where nobody knows which run is repeated."""
    if redraw_every is not None and is_repeated() and _RESTORED.get() is None:
        raise ValueError(
            "redraw_every must be None where a layer is repeated in the backward pass, as under "
            "torch.utils.checkpoint (call redraw_projection between two steps instead), "
            f"got {redraw_every}"
        )


def is_repeated() -> bool:
    """Return whether a backward pass is under way, so that a call repeats an earlier one."""
    return torch._C._current_graph_task_id() != -1


@contextmanager
def restored(generators: Iterable[object]) -> Iterator[None]:
    """Let repeated calls draw from generators that are in the state of the first calls."""
    token = _RESTORED.set(frozenset(map(id, generators)))
    try:
        yield
    finally:
        _RESTORED.reset(token)


def check_finite_number(name: str, value: object, *, at_least: float = -math.inf) -> float:
    """Return `value` as a float if it is a finite number (not a bool) of at least `at_least`.

    NumPy's numbers are welcome.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return float(value)


def check_mask(name: str, value: object, shape: tuple[int, ...], device: torch.device) -> None:
    """Refuse a mask that is no bool tensor broadcasting to `shape` on `device`."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a mask function or a tensor, got {type(value).__name__}")
    if value.dtype != torch.bool:
        raise TypeError(f"{name} must be of dtype torch.bool (True = attend), got {value.dtype}")
    if value.dim() > len(shape) or any(
        size not in (1, full)
        for size, full in zip(reversed(value.shape), reversed(shape), strict=False)
    ):
        raise ValueError(f"{name} must broadcast to shape {shape}, got {tuple(value.shape)}")
    if value.device != device:
        raise ValueError(f"{name} must be on q's device {device}, got {value.device}")


def check_stride(stride: object, summary: object) -> tuple[int, int]:
    """Return both as ints if no block has fewer columns than its summary, which has one or more."""
    length, columns = check_positive_int("stride", stride), check_positive_int("summary", summary)
    if columns > length:
        raise ValueError(f"summary must be at most stride = {length}, got {columns}")
    return length, columns


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a `value` that is not one of `choices`."""
    if value not in choices:
        rule = " or ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be {rule}, got {value!r}")


def check_tokens(
    name: str, x: object, owner: str, weight: Tensor, *, length: str = "length"
) -> None:
    """Refuse what is no (batch, length, embed_dim) for the `owner` of a weight (embed_dim, …).

    Under autocast, which gives tokens and weights one dtype before they meet, theirs may differ.
    """
    x = check_tensor(name, x, ("batch", length, "embed_dim"))
    if x.shape[-1] != len(weight):
        raise ValueError(f"{name} must have embed_dim {len(weight)}, got shape {tuple(x.shape)}")
    if not (is_autocast_on(x.device) and {x.dtype, weight.dtype} <= _CAST):
        _check_dtype(name, x, owner, weight)
    _check_device(name, x, owner, weight)


def check_like(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse a `value` whose dtype or device is not that of `other`."""
    _check_dtype(name, value, other_name, other)
    _check_device(name, value, other_name, other)


def is_autocast_on(device: torch.device) -> bool:
    """Return whether ``torch.autocast`` is on for tensors on `device`.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    bool
        False on devices that know no autocast, such as ``meta``.
    """
    try:
        return torch.is_autocast_enabled(device.type)
    except RuntimeError:
        return False


def _check_dtype(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.dtype != other.dtype:
        raise ValueError(f"{name} must have {other_name}'s dtype {other.dtype}, got {value.dtype}")


def _check_device(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    if value.device != other.device:
        raise ValueError(
            f"{name} must be on {other_name}'s device {other.device}, got {value.device}"
        )
