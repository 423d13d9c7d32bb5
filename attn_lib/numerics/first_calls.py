"""Call PyTorch's vector functions once, on one number, before several threads can.

For exp, log and others PyTorch asks Intel's vector library (oneMKL's VML), which chooses a kernel
in the first call of each function. Where several threads make this first call together, one of them
may be given a kernel that is right to about four digits, for that one call:
https://github.com/pytorch/pytorch/issues/188792, open in 2026. A call by one thread settles the
choice.
"""

import torch

__all__ = ["SETTLED", "settle"]

SETTLED = ("cos", "erf", "exp", "expm1", "log", "log1p", "log2", "sin", "sqrt", "tan", "tanh")


def settle() -> None:
    """Let oneMKL choose its kernels for float32 and float64. `import attn_lib` does it."""
    for dtype in (torch.float32, torch.float64):
        number = torch.full((1,), 0.5, dtype=dtype, device="cpu")
        for name in SETTLED:
            getattr(torch, name)(number)
