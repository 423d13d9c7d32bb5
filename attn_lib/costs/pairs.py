"""Mechanisms that score pairs: all of them, or chosen ones; and what softmax attention keeps."""

from collections.abc import Sequence

from attn_lib._checks import check_choice, check_positive_int, check_sizes, check_stride

__all__ = [
    "attention_flops",
    "explicit_sparse_flops",
    "kv_cache_bytes",
    "longformer_scores",
    "reformer_hash_flops",
    "reformer_scores",
    "softmax_scores",
    "sparse_transformer_scores",
    "weight_matrix_bytes",
]


def softmax_scores(n: int, *, causal: bool = False) -> int:
    """Pairs that softmax attention scores.

    Parameters
    ----------
    n : int
        Length, in tokens.
    causal : bool
        Count pairs with j ≤ i only.

    Returns
    -------
    int
        n², or n (n + 1) / 2 if causal.

    Examples
    --------
    >>> softmax_scores(512), softmax_scores(512, causal=True)
    (262144, 131328)
    """
    n = check_positive_int("n", n)
    return n * (n + 1) // 2 if causal else n * n


def sparse_transformer_scores(n: int, *, pattern: str, stride: int, summary: int = 1) -> int:
    """Pairs in the Sparse Transformer's causal sets, both sets merged in one head.

    Parameters
    ----------
    n : int
        Length, in tokens.
    pattern : "strided" or "fixed"
    stride : int
        The paper's l.
    summary : int
        The paper's c, from 1 to `stride`; `fixed` only.

    Returns
    -------
    int
        A pair that lies in both sets counts once. Child et al. 2019 (arXiv:1904.10509), section
        4.3.

    Examples
    --------
    >>> sparse_transformer_scores(4096, pattern="strided", stride=64) / 4096
    95.0078125
    """
    n = check_positive_int("n", n)
    check_choice("pattern", pattern, ("strided", "fixed"))
    stride, summary = check_stride(stride, summary)
    blocks, rest = divmod(n, stride)
    earlier_blocks = stride * blocks * (blocks - 1) // 2 + rest * blocks  # sum of ⌊i / stride⌋
    if pattern == "fixed":
        own = blocks * stride * (stride + 1) // 2 + rest * (rest + 1) // 2
        return own + summary * earlier_blocks
    growing = min(n, stride + 1)  # rows whose window still reaches the first token
    window = growing * (growing + 1) // 2 + (n - growing) * (stride + 1)
    return window + earlier_blocks - max(0, n - stride)  # the window holds the nearest one


def reformer_scores(n: int, *, bucket_size: int, num_hashes: int = 1) -> int:
    """Pairs that Reformer attention scores: in each round a chunk beside itself and the one before.

    Parameters
    ----------
    n : int
        Length, in tokens.
    bucket_size : int
        Tokens in a chunk, the paper's m.
    num_hashes : int
        Rounds.

    Returns
    -------
    int
        n · 2m a round, with n rounded up to whole chunks; n² where one chunk holds everything,
        whatever the rounds. Kitaev et al. 2020 (arXiv:2001.04451), section 2.

    Examples
    --------
    >>> reformer_scores(8192, bucket_size=64, num_hashes=4) / 8192
    512.0
    """
    n = check_positive_int("n", n)
    bucket_size = check_positive_int("bucket_size", bucket_size)
    num_hashes = check_positive_int("num_hashes", num_hashes)
    if bucket_size >= n:
        return n * n
    return num_hashes * 2 * bucket_size * bucket_size * -(-n // bucket_size)


def reformer_hash_flops(n: int, head_dim: int, *, bucket_size: int, num_hashes: int = 1) -> int:
    """Floating-point operations of the rotations that Reformer's hashes are made of.

    Parameters
    ----------
    n : int
        Length, in tokens.
    head_dim : int
        Width of a query, in numbers.
    bucket_size : int
        Tokens in a chunk; there are about n / bucket_size buckets.
    num_hashes : int
        Rounds.

    Returns
    -------
    int
        2 · n · head_dim · b / 2 a round for b buckets, up to 128; more buckets are the product of
        two or more hashes, each into the smallest even number of buckets that is enough.
    """
    n, head_dim, bucket_size, num_hashes = check_sizes(
        n=n, head_dim=head_dim, bucket_size=bucket_size, num_hashes=num_hashes
    )
    chunks = -(-n // bucket_size)
    if chunks == 1:
        return 0
    pieces = 1
    while 128**pieces < chunks:
        pieces += 1
    half = 1
    while (2 * half) ** pieces < chunks:
        half += 1
    return 2 * n * head_dim * half * pieces * num_hashes


def longformer_scores(
    n: int,
    *,
    window: int,
    dilation: int = 1,
    global_tokens: Sequence[int] = (),
    causal: bool = False,
) -> int:
    """Pairs in the Longformer's window, together with those of its global tokens.

    Parameters
    ----------
    n : int
        Length, in tokens.
    window : int
        Keys seen on each side, at least 0; half of the paper's w.
    dilation : int
        Distance between neighbouring keys of the window.
    global_tokens : sequence of int
        Positions below n that see and are seen by all.
    causal : bool
        Count pairs with j ≤ i only.

    Returns
    -------
    int
        A pair that is allowed twice counts once. Beltagy et al. 2020 (arXiv:2004.05150), section
        3.1.

    Examples
    --------
    >>> longformer_scores(4096, window=256) / 4096
    496.9375
    >>> longformer_scores(4096, window=256, global_tokens=[0]) / 4096
    498.81201171875
    """
    n = check_positive_int("n", n)
    window = check_positive_int("window", window, at_least=0)
    dilation = check_positive_int("dilation", dilation)
    hubs = sorted({check_positive_int("global_tokens", p, at_least=0) for p in global_tokens})
    if hubs and hubs[-1] >= n:
        raise ValueError(f"global_tokens must be positions below n = {n}, got {hubs[-1]}")
    steps = min(window, (n - 1) // dilation)
    earlier = steps * n - dilation * steps * (steps + 1) // 2  # of the window, on one side
    hub_pairs, hub_pairs_in_window = len(hubs) * n, 0  # on one side, the hub itself included
    for place, hub in enumerate(hubs):
        before, behind = hub // dilation, (n - 1 - hub) // dilation
        hub_pairs -= place  # two hubs share a pair
        hub_pairs_in_window += 1 + min(window, before) + min(window, behind)
        hub_pairs_in_window -= sum(
            (hub - other) % dilation == 0 and hub - other <= window * dilation
            for other in hubs[:place]
        )
    one_side = earlier + n + hub_pairs - hub_pairs_in_window
    return one_side if causal else 2 * one_side - n


def attention_flops(scores: int, head_dim: int, value_dim: int) -> int:
    """Floating-point operations of the two products, queries with keys and weights with values.

    Parameters
    ----------
    scores : int
        Pairs, as counted by the functions of this module.
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.

    Returns
    -------
    int
        2 · scores · (head_dim + value_dim). The softmax itself, a few operations a score, is left
        out.
    """
    scores, head_dim, value_dim = check_sizes(scores=scores, head_dim=head_dim, value_dim=value_dim)
    return 2 * scores * (head_dim + value_dim)


def explicit_sparse_flops(
    n: int, head_dim: int, value_dim: int, *, topk: int, causal: bool = False
) -> int:
    """Operations of top-k attention: all scores, and the values of the keys that are kept.

    Parameters
    ----------
    n : int
        Length, in tokens.
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.
    topk : int
        Keys kept for each query; where fewer are visible, all of them.
    causal : bool
        Count pairs with j ≤ i only.

    Returns
    -------
    int
        2 · (scores · head_dim + kept pairs · value_dim). The search for the largest scores and the
        softmax are left out. Zhao et al. 2019 (arXiv:1912.11637).

    Examples
    --------
    >>> explicit_sparse_flops(4096, 64, 64, topk=64) / attention_flops(4096**2, 64, 64)
    0.5078125
    """
    head_dim, value_dim, topk = check_sizes(head_dim=head_dim, value_dim=value_dim, topk=topk)
    scores = softmax_scores(n, causal=causal)
    most = min(topk, n)
    kept = most * (most + 1) // 2 + (n - most) * most if causal else n * most
    return 2 * (scores * head_dim + kept * value_dim)


def weight_matrix_bytes(n: int, *, itemsize: int = 4) -> int:
    """Memory of one n × n weight matrix.

    Parameters
    ----------
    n : int
        Length, in tokens.
    itemsize : int
        Bytes a number; 4 is float32.

    Returns
    -------
    int
        Bytes, for one head.
    """
    n = check_positive_int("n", n)
    itemsize = check_positive_int("itemsize", itemsize)
    return n * n * itemsize


def kv_cache_bytes(n: int, head_dim: int, value_dim: int, *, itemsize: int = 4) -> int:
    """Memory of the keys and values that decoding keeps, so as not to compute them again.

    Parameters
    ----------
    n : int
        Tokens seen so far.
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.
    itemsize : int
        Bytes a number; 4 is float32.

    Returns
    -------
    int
        Bytes, for one head of one layer.
    """
    n, head_dim, value_dim = check_sizes(n=n, head_dim=head_dim, value_dim=value_dim)
    itemsize = check_positive_int("itemsize", itemsize)
    return n * (head_dim + value_dim) * itemsize
