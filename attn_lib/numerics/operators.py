"""Operators of our own with a gradient by hand, which every transform of torch can handle.

A loop over blocks, or a branch on what a tensor holds, is hidden in an operator: for
`torch.compile` and `torch.export` it is one call with known shapes, whatever the length.
"""

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any, NoReturn, get_args, get_type_hints

import torch
from torch import Tensor, library, nn

from attn_lib._checks import is_autocast_on

__all__ = ["Operator", "first_derivatives_only", "map_over_batch", "register"]

_LIBRARY = library.Library("attn_lib", "FRAGMENT")

# How the language of torch's operators writes a type. `torch.library` reads annotations, too, but
# older versions take none of Python's own sequences.
_WRITTEN = {
    Tensor: "Tensor",
    Tensor | None: "Tensor?",
    bool: "bool",
    int: "SymInt",
    float: "float",
    str: "str",
    Sequence[int]: "SymInt[]",
}


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
        schema = _schema(forward)
        arguments, results = schema[1:].rsplit(") -> ", 1)
        count = arguments.count(",") + 1
        back_arguments = f"Tensor grad_out, {arguments}" + "".join(
            f", Tensor result_{i}" for i in range(results.count("Tensor"))
        )
        back_results = ", ".join(["Tensor"] * inputs)
        back_schema = f"({back_arguments}) -> ({back_results})"

        def back_shapes(grad_out: Tensor, *given: Any) -> tuple[Tensor, ...]:
            return tuple(_like(x) for x in given[:inputs])

        run = register(name, forward, shapes)
        run_back = register(f"{name}_backward", backward, back_shapes, schema=back_schema)
        over_batch = _one_by_one if shared else map_over_batch
        self._function = _function_of(name, run, run_back, over_batch, inputs, count, instead)

    def __call__(self, *arguments: Any) -> Tensor:
        """Compute `out` from all tensors and options, in their order."""
        out: Tensor = self._function.apply(*arguments)[0]
        return out


def first_derivatives_only(name: str, instead: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Let second derivatives through `tensors` raise an error of our own.

    Parameters
    ----------
    name : str
        Of the function that is given the tensors next, a kernel of torch without second
        derivatives.
    instead : str
        What to use for them; the error names it.
    *tensors : Tensor

    Returns
    -------
    tuple of Tensor
        The same numbers.
    """
    if torch.compiler.is_compiling():  # what is compiled has none, whatever stands here
        return tensors
    found: tuple[Tensor, ...] = _Once.apply(  # type: ignore[no-untyped-call]
        name, instead, *tensors
    )
    return found


def _refuse(name: str, instead: str) -> NoReturn:
    raise NotImplementedError(f"{name} has first derivatives only; for second ones use {instead}")


class _Passing(torch.autograd.Function):
    """Passes tensors on, and knows what `_refuse` is to say."""

    generate_vmap_rule = True

    @staticmethod
    def forward(name: str, instead: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.view_as(x) for x in tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.said = inputs[:2]


class _Once(_Passing):
    """Passes gradients back through `_Stop`."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        if not torch.compiler.is_compiling():
            grads = _Stop.apply(*ctx.said, *grads)  # type: ignore[no-untyped-call]
        return None, None, *grads


class _Stop(_Passing):
    """Lets nothing back."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> NoReturn:
        _refuse(*ctx.said)


def _schema(function: Callable[..., tuple[Tensor, ...]]) -> str:
    """Return what a function takes and returns in the language of torch's operators."""
    types = get_type_hints(function)
    results = ", ".join(["Tensor"] * len(get_args(types.pop("return"))))
    arguments = ", ".join(f"{_WRITTEN[kind]} {name}" for name, kind in types.items())
    return f"({arguments}) -> ({results})"


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def register(
    name: str,
    function: Callable[..., tuple[Tensor, ...]],
    shapes: Callable[..., tuple[Tensor, ...]],
    *,
    schema: str | None = None,
    draws: bool = False,
) -> Callable[..., tuple[Tensor, ...]]:
    """Make a function an operator that torch knows by its shapes; it has no gradient.

    Parameters
    ----------
    name, function, shapes
        As `name`, `forward` and `shapes` of `Operator`.
    schema : str, optional
        In the language of torch's operators; read from the annotations of `function` if not given.
    draws : bool
        Whether it draws random numbers.

    Returns
    -------
    callable
        Of the same arguments, in their order.
    """
    if schema is None:
        schema = _schema(function)
    arguments, results = schema.rsplit(" -> ", 1)
    alone = results.count("Tensor") == 1  # torch fixes the lengths in a tuple of one

    def packed(found: tuple[Tensor, ...]) -> Any:
        # The code that a compiler writes relies on the strides of what `shapes` returns.
        laid_out = tuple(x.contiguous() for x in found)
        return laid_out[0] if alone else laid_out

    def compute(*given: Any) -> tuple[Tensor, ...]:
        device = next(x.device for x in given if isinstance(x, Tensor))
        if not is_autocast_on(device):
            return function(*given)
        with torch.autocast(device.type, enabled=False):
            return function(*given)

    def run(*given: Any) -> tuple[Tensor, ...]:
        if _is_eager(given):
            return compute(*given)
        found: Any = operator(*given)
        return (found,) if alone else found

    # Not `custom_op`: in its body nothing can be differentiated.
    tags = [torch.Tag.nondeterministic_seeded] if draws else []
    _LIBRARY.define(f"{name}{arguments} -> {'Tensor' if alone else results}", tags=tags)
    _LIBRARY.impl(name, lambda *given: packed(compute(*given)), "CompositeExplicitAutograd")
    qualified = f"{_LIBRARY.ns}::{name}"
    library.register_fake(qualified, lambda *given: packed(shapes(*given)), lib=_LIBRARY)
    operator = getattr(getattr(torch.ops, _LIBRARY.ns), name)
    return run


def _is_eager(given: Sequence[Any]) -> bool:
    """Whether the numbers are there, and nothing looks on that needs one operator in their place.

    Where they are, the function is called as it is: what counts operations or memory sees inside.
    """
    tensors = (x for x in given if isinstance(x, Tensor))
    plain = all(type(x) in (Tensor, nn.Parameter) and not x.is_meta for x in tensors)
    return plain and not torch.compiler.is_compiling()


def map_over_batch(
    function: Callable[..., Any], size: int, in_dims: Sequence[int | None], given: Sequence[Any]
) -> tuple[Any, Any]:
    """Count an axis that `vmap` maps as more items of a function whose tensors begin with items.

    Parameters
    ----------
    function : callable
        Of tensors and options; returns a tensor or a tuple of tensors.
    size : int
        Of the mapped axis.
    in_dims : sequence of int or None
        Where each argument has it.
    given : sequence
        The arguments.

    Returns
    -------
    found, out_dims
        As a ``vmap`` static method of ``torch.autograd.Function`` is to return them.
    """
    folded = []
    for x, dim in zip(given, in_dims, strict=True):
        if isinstance(x, Tensor):
            x = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
            x = x.flatten(0, 1)
        folded.append(x)
    found = function(*folded)
    if isinstance(found, Tensor):
        return found.unflatten(0, (size, len(found) // size)), 0
    return tuple(x.unflatten(0, (size, len(x) // size)) for x in found), (0,) * len(found)


def _one_by_one(
    function: Callable[..., Any], size: int, in_dims: Sequence[int | None], given: Sequence[Any]
) -> tuple[Any, Any]:
    each = [
        function(
            *(
                x.select(dim, i) if isinstance(x, Tensor) and dim is not None else x
                for x, dim in zip(given, in_dims, strict=True)
            )
        )
        for i in range(size)
    ]
    return tuple(map(torch.stack, zip(*each, strict=True))), (0,) * len(each[0])


def _function_of(
    name: str,
    run: Callable[..., tuple[Tensor, ...]],
    run_back: Callable[..., tuple[Tensor, ...]],
    over_batch: Callable[..., tuple[Any, Any]],
    inputs: int,
    count: int,
    instead: str,
) -> type[torch.autograd.Function]:
    """Return the function of `run` whose gradient is `run_back`."""

    class Gradient(torch.autograd.Function):
        @staticmethod
        def forward(*arguments: Any) -> tuple[Tensor, ...]:
            return run_back(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> NoReturn:
            _refuse(name, instead)

        @staticmethod
        def vmap(info: Any, in_dims: Any, *given: Any) -> Any:
            return over_batch(Gradient.apply, info.batch_size, in_dims, given)

    class Function(torch.autograd.Function):
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

        @staticmethod
        def vmap(info: Any, in_dims: Any, *given: Any) -> Any:
            return over_batch(Function.apply, info.batch_size, in_dims, given)

    # Where nothing needs a gradient, `torch.compile` counts them to see whether one is a context.
    parameters = [Parameter(f"argument_{i}", Parameter.POSITIONAL_ONLY) for i in range(count)]
    Function.forward.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return Function
