"""Operators of our own with a gradient by hand, which every transform of torch can handle.

A loop over blocks, or a branch on what a tensor holds, is hidden in an operator: for
`torch.compile` and `torch.export` it is one call with known shapes, whatever the length.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from attn_lib.numerics.autocast import is_autocast_on

__all__ = ["Operator"]

_LIBRARY = torch.library.Library("attn_lib", "FRAGMENT")


class Operator:
    """A function of tensors and plain options, with its gradient.

    Parameters
    ----------
    name : str
        Of the operator, as in ``torch.ops.attn_lib.<name>``.
    forward : callable
        ``(*tensors, *options) -> (out, *kept)`` with annotations: tensors are ``Tensor`` or
        ``Tensor | None``, options bool, int, float, str or sequences of int. `out` is the result;
        what is kept is for the gradient alone. No two of the results, and no result and argument,
        may share memory.
    backward : callable
        ``(grad_out, *tensors, *options, out, *kept) -> gradients`` of the first `inputs` tensors,
        contiguous and of their shapes.
    shapes : callable
        ``(*tensors, *options) -> (out, *kept)``, empty tensors like those of `forward`.
    inputs : int
        How many of the first tensors have a gradient.
    instead : str
        What to use for second derivatives; an error names it.
    shared : bool
        Whether some tensors do not begin with the axis of items (or of slices); those of one call
        under `vmap` are then computed one after the other.

    Notes
    -----
    Under ``torch.autocast`` it computes in the dtype it is given. Works with ``torch.func.grad``,
    ``vmap`` and ``jacrev``, ``torch.compile``, ``torch.export``, on fake and on meta tensors. First
    derivatives in reverse mode only: a second one raises NotImplementedError, and so does forward
    mode (``jvp``), in torch's own words.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., tuple[Tensor, ...]],
        backward: Callable[..., tuple[Tensor, ...]],
        *,
        shapes: Callable[..., tuple[Tensor, ...]],
        inputs: int,
        instead: str,
        shared: bool = False,
    ) -> None:
        schema = torch.library.infer_schema(forward, mutates_args=())
        arguments, results = schema[1:].rsplit(") -> ", 1)
        count = arguments.count(",") + 1
        back_arguments = f"Tensor grad_out, {arguments}" + "".join(
            f", Tensor result_{i}" for i in range(results.count("Tensor"))
        )
        back_results = ", ".join(["Tensor"] * inputs)
        back_schema = f"({back_arguments}) -> ({back_results})"

        def back_shapes(grad_out: Tensor, *given: Any) -> tuple[Tensor, ...]:
            return tuple(_like(x) for x in given[:inputs])

        run = _registered(name, forward, schema, shapes, folds=not shared)
        run_back = _registered(
            f"{name}_backward", backward, back_schema, back_shapes, folds=not shared
        )
        self._function = _function_of(name, run, run_back, inputs, count, instead)

    def __call__(self, *arguments: Any) -> Tensor:
        """Compute `out` from all tensors and options, in their order."""
        out: Tensor = self._function.apply(*arguments)[0]  # type: ignore[no-untyped-call]
        return out


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _registered(
    name: str,
    function: Callable[..., tuple[Tensor, ...]],
    schema: str,
    shapes: Callable[..., tuple[Tensor, ...]],
    *,
    folds: bool,
) -> Callable[..., tuple[Tensor, ...]]:
    """Make a function an operator that torch knows by its shapes."""

    def compute(*arguments: Any) -> tuple[Tensor, ...]:
        device = next(x.device for x in arguments if isinstance(x, Tensor))
        if not is_autocast_on(device):
            return tuple(function(*arguments))
        with torch.autocast(device.type, enabled=False):
            return tuple(function(*arguments))

    # Not `torch.library.custom_op`: in its body nothing can be differentiated.
    qualified = f"{_LIBRARY.ns}::{name}"
    _LIBRARY.define(name + schema)
    _LIBRARY.impl(name, compute, "CompositeExplicitAutograd")
    torch.library.register_fake(qualified, shapes, lib=_LIBRARY)
    operator: Callable[..., tuple[Tensor, ...]] = getattr(torch.ops.attn_lib, name)

    def over_batch(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> Any:
        lead = _folded if folds else _one_by_one
        return lead(operator, info.batch_size, in_dims, arguments)

    torch.library.register_vmap(qualified, over_batch, lib=_LIBRARY)
    return operator


def _folded(
    operator: Callable[..., tuple[Tensor, ...]],
    size: int,
    in_dims: Sequence[int | None],
    arguments: Sequence[Any],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Count the mapped axis as more items."""
    folded = []
    for x, dim in zip(arguments, in_dims, strict=True):
        if isinstance(x, Tensor):
            x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
            x = x.flatten(0, 1)
        folded.append(x)
    found = operator(*folded)
    return tuple(x.unflatten(0, (size, len(x) // size)) for x in found), (0,) * len(found)


def _one_by_one(
    operator: Callable[..., tuple[Tensor, ...]],
    size: int,
    in_dims: Sequence[int | None],
    arguments: Sequence[Any],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    each = [
        operator(
            *(
                x.select(dim, i) if isinstance(x, Tensor) and dim is not None else x
                for x, dim in zip(arguments, in_dims, strict=True)
            )
        )
        for i in range(size)
    ]
    found = tuple(torch.stack(parts) for parts in zip(*each, strict=True))
    return found, (0,) * len(found)


def _function_of(
    name: str,
    run: Callable[..., tuple[Tensor, ...]],
    run_back: Callable[..., tuple[Tensor, ...]],
    inputs: int,
    count: int,
    instead: str,
) -> type[torch.autograd.Function]:
    """Return the function of `run` whose gradient is `run_back`."""

    class Gradient(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*arguments: Any) -> tuple[Tensor, ...]:
            return run_back(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> None:
            raise NotImplementedError(
                f"{name} has first derivatives only; for second ones use {instead}"
            )

    class Function(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*arguments: Any) -> tuple[Tensor, ...]:
            return run(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            tensors = [x for x in inputs if isinstance(x, Tensor)]
            ctx.options = [None if isinstance(x, Tensor) else (x,) for x in inputs]
            ctx.mark_non_differentiable(*output[1:])
            ctx.save_for_backward(*tensors, *output)

        @staticmethod
        def backward(ctx: Any, grad_out: Tensor, *_: Any) -> Any:
            saved = iter(ctx.saved_tensors)
            arguments = [next(saved) if x is None else x[0] for x in ctx.options]
            # What is compiled has no second derivatives, whatever its operators have.
            back = run_back if torch.compiler.is_compiling() else Gradient.apply
            found = back(grad_out, *arguments, *saved)
            return (*found, *[None] * (count - inputs))

    return Function
