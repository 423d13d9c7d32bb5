"""A prompt read at once, and then token by token: the rows are those of the causal form."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import attn_lib
from attn_lib.catalog import MECHANISMS

BATCH, HEADS, WIDTH, VALUES = 2, 3, 5, 4


@dataclass(frozen=True)
class Decoder:
    """One way to write with a mechanism."""

    name: str
    label: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    """Options of the state alone."""

    def __str__(self) -> str:
        return f"{self.name}{self.label and '-'}{self.label}"

    def _get(self, suffix: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(attn_lib, f"{self.name}_{suffix}")
        return found

    def start(self) -> Any:
        given = {**self.options, **self.own, "dtype": torch.float64}
        return self._get("init_state")(BATCH, HEADS, WIDTH, VALUES, **given)

    def step(self, state: Any, *token: Tensor) -> tuple[Any, Tensor]:
        found: tuple[Any, Tensor] = self._get("step")(state, *token)
        return found

    def prefill(self, state: Any, *prompt: Tensor) -> tuple[Any, Tensor]:
        found: tuple[Any, Tensor] = self._get("prefill")(state, *prompt)
        return found

    def whole(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if "p" in self.own:
            return attn_lib.luna_attention(q, self.own["p"], k, v, causal=True, **self.options)
        out: Tensor = self._get("attention")(q, k, v, causal=True, **self.options)
        return out


def _fixed(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


PERFORMER = partial(Decoder, "performer")
DECODERS = [
    Decoder("linear_transformer"),
    Decoder("linear_transformer", "relu", {"feature_map": torch.relu, "eps": 0.1}),
    Decoder("cosformer", options={"max_len": 200}),
    Decoder("luna", own={"p": _fixed(BATCH, HEADS, 6, WIDTH)}),
    Decoder("luna", "softplus", {"activation": "softplus"}, {"p": _fixed(BATCH, HEADS, 6, WIDTH)}),
    *(
        PERFORMER(kernel, {"projection": _fixed(11, WIDTH), "kernel": kernel})
        for kernel in ("softmax", "softmax_trig", "relu")
    ),
]
every_decoder = pytest.mark.parametrize("decoder", DECODERS, ids=str)


def _tokens(normal: Callable[..., Tensor], length: int) -> tuple[Tensor, Tensor, Tensor]:
    q, k = normal(2, BATCH, HEADS, length, WIDTH)
    return q, k, normal(BATCH, HEADS, length, VALUES)


def _read(decoder: Decoder, tokens: tuple[Tensor, ...], pieces: list[int]) -> Tensor:
    """Read the tokens in pieces: one by one where a piece is negative."""
    state, rows, first = decoder.start(), [], 0
    for piece in pieces:
        part = [x[:, :, first : first + abs(piece)] for x in tokens]
        first += abs(piece)
        if piece > 0:
            state, out = decoder.prefill(state, *part)
            rows.append(out)
        else:
            for token in zip(*(x.split(1, dim=2) for x in part), strict=True):
                state, out = decoder.step(state, *token)
                rows.append(out)
    return torch.cat(rows, dim=2)


def test_every_mechanism_that_takes_steps_reads_a_prompt() -> None:
    steps = {m.name for m in MECHANISMS if hasattr(attn_lib, f"{m.name}_step")}
    assert steps == {m.name for m in MECHANISMS if hasattr(attn_lib, f"{m.name}_prefill")}
    assert steps == {decoder.name for decoder in DECODERS}
    for name in steps:
        step, prefill = (getattr(attn_lib, f"{name}_{what}") for what in ("step", "prefill"))
        assert list(inspect.signature(step).parameters) == list(
            inspect.signature(prefill).parameters
        )


@every_decoder
@pytest.mark.parametrize(
    "pieces", [[1], [7], [64], [70, -3], [-3, 67, -2], [5, 1, 130, -4], [-2, 9, 9]], ids=str
)
def test_the_rows_are_those_of_the_causal_form(
    normal: Callable[..., Tensor], decoder: Decoder, pieces: list[int]
) -> None:
    tokens = _tokens(normal, sum(map(abs, pieces)))
    rows = _read(decoder, tokens, pieces)
    assert_close(rows, decoder.whole(*tokens), rtol=1e-9, atol=1e-9)


@every_decoder
def test_the_state_is_that_of_the_steps(normal: Callable[..., Tensor], decoder: Decoder) -> None:
    tokens = _tokens(normal, 75)
    at_once, _ = decoder.prefill(decoder.start(), *tokens)
    state = decoder.start()
    for token in zip(*(x.split(1, dim=2) for x in tokens), strict=True):
        state, _ = decoder.step(state, *token)
    for name, value in vars(state).items():
        other = getattr(at_once, name)
        if isinstance(value, Tensor):
            assert_close(other, value, rtol=1e-9, atol=1e-9)
        else:
            assert other == value


@every_decoder
def test_gradients_go_through_a_prompt(normal: Callable[..., Tensor], decoder: Decoder) -> None:
    tokens = [x.requires_grad_() for x in _tokens(normal, 70)]
    found = torch.autograd.grad(_read(decoder, tuple(tokens), [66, -4]).sin().sum(), tokens)
    expected = torch.autograd.grad(decoder.whole(*tokens).sin().sum(), tokens)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_long_keys_neither_overflow_nor_vanish(normal: Callable[..., Tensor]) -> None:
    decoder = DECODERS[5]
    q, k, v = _tokens(normal, 80)
    tokens = q, 60 * k, v
    rows = _read(decoder, tokens, [3, 70, -7])
    assert rows.isfinite().all()
    assert_close(rows, decoder.whole(*tokens), rtol=1e-7, atol=1e-7)


@every_decoder
def test_half_precision_is_summed_in_float32(
    normal: Callable[..., Tensor], decoder: Decoder
) -> None:
    state = decoder.start()
    tokens = [x.half() for x in _tokens(normal, 9)]
    new, out = decoder.prefill(state, *tokens)
    assert out.dtype == torch.float16
    assert all(x.dtype == torch.float64 for x in vars(new).values() if isinstance(x, Tensor))


@every_decoder
def test_what_does_not_fit_is_refused(normal: Callable[..., Tensor], decoder: Decoder) -> None:
    q, k, v = _tokens(normal, 6)
    with pytest.raises(TypeError, match=r"^state must be a "):
        decoder.prefill(None, q, k, v)
    with pytest.raises(ValueError, match=r"^q must have shape .*tokens of at least 1"):
        decoder.prefill(decoder.start(), *(x[:, :, :0] for x in (q, k, v)))
    with pytest.raises(ValueError, match=r"^q must have shape .*got \(1, 3, 6, 5\)"):
        decoder.prefill(decoder.start(), *(x[:1] for x in (q, k, v)))
    with pytest.raises(ValueError, match="q_len 4 and kv_len 6"):
        decoder.prefill(decoder.start(), q[:, :, :4], k, v)


def test_cosformer_keeps_to_its_max_len(normal: Callable[..., Tensor]) -> None:
    decoder = Decoder("cosformer", options={"max_len": 8})
    state, _ = decoder.prefill(decoder.start(), *_tokens(normal, 6))
    with pytest.raises(ValueError, match=r"^q must have at most the 2 tokens .*got 3"):
        decoder.prefill(state, *_tokens(normal, 3))
