"""The vector functions are called once on one number, before threads can call them first."""

import subprocess
import sys

import pytest
import torch

from attn_lib.numerics import first_calls


def test_each_function_is_called_with_one_number_of_each_dtype(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called = []
    for name in first_calls.SETTLED:
        monkeypatch.setattr(
            torch, name, lambda x, name=name: called.append((name, x.dtype, len(x)))
        )
    first_calls.settle()
    wanted = [
        (name, dtype, 1) for dtype in (torch.float32, torch.float64) for name in first_calls.SETTLED
    ]
    assert called == wanted


def test_importing_the_library_settles_them() -> None:
    code = "\n".join(
        (
            "import torch",
            "called, exp = [], torch.exp",
            "torch.exp = lambda x: called.append(x.dtype) or exp(x)",
            "import attn_lib",
            "assert called == [torch.float32, torch.float64], called",
        )
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_it_draws_nothing_and_leaves_the_defaults() -> None:
    before = torch.get_rng_state()
    first_calls.settle()
    assert torch.equal(before, torch.get_rng_state())
    with torch.device("meta"):
        first_calls.settle()
