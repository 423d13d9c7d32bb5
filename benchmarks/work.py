"""The least that a mechanism must do: its matrix products, and the numbers that go in and out.

A new row of `benchmarks.rows` adds its products to `WORK`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress

from attn_lib import costs
from benchmarks.settings import (
    BATCH,
    BUCKET_SIZE,
    FEATURES,
    HEAD_DIM,
    HEADS,
    NUM_HASHES,
    P_LEN,
    RANK,
    STRIDE,
    SUMMARY,
    TOPK,
    WINDOW,
)

__all__ = ["WORK", "Product", "Work", "moved_bytes", "of_pass"]

PLACES = 64
"""Positions in a chunk of a causal sum, whose pairs are multiplied out."""
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Product:
    """So many multiply-adds, done in products (rows × inner) @ (inner × columns) of this shape.

    `learned` says which of the two factors have gradients.
    """

    multiply_adds: float
    rows: int
    inner: int
    columns: int
    learned: tuple[bool, bool] = (True, True)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, inner, columns."""
        return self.rows, self.inner, self.columns

    def gradients(self) -> list[Product]:
        """Return the products of the backward pass: one for each factor that learns."""
        of_left = Product(self.multiply_adds, self.rows, self.columns, self.inner)
        of_right = Product(self.multiply_adds, self.inner, self.rows, self.columns)
        return list(compress([of_left, of_right], self.learned))


Work = Callable[[int], Sequence[Product]]
"""The products of the forward pass at a length, those of all heads together."""


def of_pass(products: Sequence[Product], pass_: str) -> list[Product]:
    """Return all products of a pass.

    What is multiplied a second time in the backward pass, to save memory, is not among them.
    """
    found = list(products)
    if pass_ == "forward_backward":
        found += [gradient for one in products for gradient in one.gradients()]
    return found


def moved_bytes(given: int, made: int, pass_: str) -> int:
    """Return the bytes read and written at least, from the numbers of the inputs and the output.

    The backward pass also reads the output's gradient, and writes one for each input.
    """
    return FLOAT_BYTES * (given + made) * (2 if pass_ == "forward_backward" else 1)


def _by_pairs(scores: Callable[[int], int], rows: int, columns: int) -> Work:
    """Scores and weighted values of so many pairs a head, in rectangles of rows × columns."""

    def work(n: int) -> list[Product]:
        count = BATCH * HEADS * scores(n) * HEAD_DIM
        return [Product(count, rows, HEAD_DIM, columns), Product(count, rows, columns, HEAD_DIM)]

    return work


def _by_features(features: int, *, causal: bool = False, drawn: bool = False) -> Work:
    """Sums over the keys and over the features; `drawn` features are products themselves."""

    def work(n: int) -> list[Product]:
        tokens = BATCH * HEADS * n
        count, long = tokens * features * HEAD_DIM, PLACES if causal else n
        products = [
            Product(count, features, long, HEAD_DIM),
            Product(count, long, features, HEAD_DIM),
        ]
        if drawn:
            products.append(Product(2 * count, n, HEAD_DIM, features, learned=(True, False)))
        if causal:
            products.append(Product(tokens * PLACES * features, PLACES, features, PLACES))
            products.append(Product(tokens * PLACES * HEAD_DIM, PLACES, PLACES, HEAD_DIM))
        return products

    return work


def _by_best_keys(n: int) -> list[Product]:
    """All scores, and the values of the keys that are kept."""
    scores, kept = (BATCH * HEADS * n * keys * HEAD_DIM for keys in (n, min(TOPK, n)))
    return [Product(scores, 256, HEAD_DIM, 512), Product(kept, 1, TOPK, HEAD_DIM)]


def _by_buckets(n: int) -> list[Product]:
    """Rotations of the vectors that are hashed, and the pairs of every round."""
    options = {"bucket_size": BUCKET_SIZE, "num_hashes": NUM_HASHES}
    flops = BATCH * HEADS * costs.reformer_hash_flops(n, HEAD_DIM, **options)
    halves = max(1, n // BUCKET_SIZE // 2)
    scores = partial(costs.reformer_scores, **options)
    return [
        Product(flops / 2, n, HEAD_DIM, halves, learned=(False, False)),
        *_by_pairs(scores, BUCKET_SIZE, 2 * BUCKET_SIZE)(n),
    ]


def _by_slots(learned: bool) -> Work:
    """Keys and values mixed by E and F, which may be learned, then attention to the slots."""

    def work(n: int) -> list[Product]:
        count = BATCH * HEADS * n * RANK * HEAD_DIM
        return [
            Product(2 * count, RANK, n, HEAD_DIM, learned=(learned, True)),
            Product(count, 256, HEAD_DIM, RANK),
            Product(count, 256, RANK, HEAD_DIM),
        ]

    return work


def _by_causal_slots(n: int) -> list[Product]:
    """Packing, two sums over the past in chunks, and the pairs inside a chunk."""
    tokens = BATCH * HEADS * n
    count = tokens * P_LEN * HEAD_DIM
    return [
        Product(count, n, HEAD_DIM, P_LEN),
        Product(2 * count, P_LEN, PLACES, HEAD_DIM),
        Product(2 * count, PLACES, HEAD_DIM, P_LEN),
        Product(2 * tokens * PLACES * HEAD_DIM, PLACES, HEAD_DIM, PLACES),
        Product(2 * tokens * PLACES * P_LEN, PLACES, PLACES, P_LEN),
    ]


def _strided(n: int) -> int:
    return costs.sparse_transformer_scores(n, pattern="strided", stride=STRIDE)


def _fixed(n: int) -> int:
    return costs.sparse_transformer_scores(n, pattern="fixed", stride=STRIDE, summary=SUMMARY)


_window = partial(costs.longformer_scores, window=WINDOW)

WORK: Mapping[str, Work] = {
    "full": _by_pairs(costs.softmax_scores, 256, 512),
    "full causal": _by_pairs(partial(costs.softmax_scores, causal=True), 256, 512),
    "strided": _by_pairs(_strided, STRIDE, 2 * STRIDE),
    "fixed": _by_pairs(_fixed, STRIDE, 2 * STRIDE),
    "explicit_sparse": _by_best_keys,
    "longformer": _by_pairs(_window, WINDOW, 2 * WINDOW),
    "longformer causal": _by_pairs(partial(_window, causal=True), WINDOW, 2 * WINDOW),
    "reformer": _by_buckets,
    "linformer": _by_slots(learned=False),
    "linformer learning": _by_slots(learned=True),
    "luna": _by_pairs(lambda n: 2 * n * P_LEN, P_LEN, 256),
    "luna causal": _by_causal_slots,
    "performer": _by_features(FEATURES, drawn=True),
    "performer causal": _by_features(FEATURES, drawn=True, causal=True),
    "efficient": _by_features(HEAD_DIM),
    "efficient scaling": _by_features(HEAD_DIM),
    "linear_transformer": _by_features(HEAD_DIM),
    "linear_transformer causal": _by_features(HEAD_DIM, causal=True),
    "cosformer": _by_features(2 * HEAD_DIM),
    "cosformer causal": _by_features(2 * HEAD_DIM, causal=True),
}
"""The products that no implementation of a row's mechanism can do without."""
