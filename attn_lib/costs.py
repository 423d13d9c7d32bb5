"""What attention costs, counted without running it: ints in, ints out.

A *score* is one query–key pair whose dot product is computed. One score costs head_dim
multiply-adds, and its weight another value_dim for the value it brings; a multiply-add is two
operations. Counts are for one head and one item of a batch.
"""

from collections.abc import Sequence

from attn_lib._checks import check_choice, check_positive_int, check_stride

__all__ = [
    "attention_flops",
    "cosformer_flops",
    "cosformer_state_numbers",
    "efficient_flops",
    "explicit_sparse_flops",
    "kv_cache_bytes",
    "linear_transformer_flops",
    "linear_transformer_state_numbers",
    "linformer_flops",
    "linformer_parameters",
    "linformer_scores",
    "longformer_scores",
    "luna_scores",
    "luna_state_numbers",
    "performer_flops",
    "performer_state_numbers",
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
    check_positive_int("n", n)
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
    check_positive_int("n", n)
    check_choice("pattern", pattern, ("strided", "fixed"))
    check_stride(stride, summary)
    blocks, rest = divmod(n, stride)
    earlier_blocks = stride * blocks * (blocks - 1) // 2 + rest * blocks  # sum of ⌊i / stride⌋
    if pattern == "fixed":
        own = blocks * stride * (stride + 1) // 2 + rest * (rest + 1) // 2
        return own + summary * earlier_blocks
    growing = min(n, stride + 1)  # rows whose window still reaches the first token
    window = growing * (growing + 1) // 2 + (n - growing) * (stride + 1)
    return window + earlier_blocks - max(0, n - stride)  # the window holds the nearest one


def linformer_scores(n: int, *, rank: int) -> int:
    """Query–slot pairs that Linformer scores.

    Parameters
    ----------
    n : int
        Length, in tokens.
    rank : int
        Slots that keys and values are mixed into, the paper's k.

    Returns
    -------
    int
        n · rank. Wang et al. 2020 (arXiv:2006.04768), section 4.
    """
    check_positive_int("n", n)
    check_positive_int("rank", rank)
    return n * rank


def linformer_flops(n: int, head_dim: int, value_dim: int, *, rank: int) -> int:
    """Floating-point operations of Linformer's four products.

    Parameters
    ----------
    n : int
        Length, in tokens.
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.
    rank : int
        Slots that keys and values are mixed into.

    Returns
    -------
    int
        4 · n · rank · (head_dim + value_dim): half of it mixes keys and values, half attends.

    Examples
    --------
    >>> linformer_flops(8192, 64, 64, rank=256) / attention_flops(softmax_scores(8192), 64, 64)
    0.0625
    """
    return 2 * attention_flops(linformer_scores(n, rank=rank), head_dim, value_dim)


def linformer_parameters(n: int, *, rank: int, layers: int, heads: int, sharing: str) -> int:
    """Numbers in all of Linformer's projections along the length.

    Parameters
    ----------
    n : int
        The longest length, in tokens.
    rank : int
        Slots that keys and values are mixed into.
    layers, heads : int
        Of the whole model.
    sharing : "none", "headwise", "key-value" or "layerwise"
        An E and an F for every head; for every layer; one matrix for both in every layer; one
        matrix in all.

    Returns
    -------
    int

    Examples
    --------
    The paper's count of matrices, for 12 layers of 12 heads:

    >>> for sharing in ("none", "headwise", "key-value", "layerwise"):
    ...     linformer_parameters(1, rank=1, layers=12, heads=12, sharing=sharing)
    288
    24
    12
    1
    """
    for name, value in (("n", n), ("rank", rank), ("layers", layers), ("heads", heads)):
        check_positive_int(name, value)
    matrices = {
        "none": 2 * layers * heads,
        "headwise": 2 * layers,
        "key-value": layers,
        "layerwise": 1,
    }
    check_choice("sharing", sharing, tuple(matrices))
    return n * rank * matrices[sharing]


def luna_scores(n: int, *, p_len: int) -> int:
    """Scores of Luna's two attentions: every slot with every token, every token with every slot.

    Parameters
    ----------
    n : int
        Length, in tokens.
    p_len : int
        Length of the extra sequence.

    Returns
    -------
    int
        2 · n · p_len.

    Examples
    --------
    >>> softmax_scores(4096) / luna_scores(4096, p_len=16)
    128.0
    """
    check_positive_int("n", n)
    check_positive_int("p_len", p_len)
    return 2 * n * p_len


def luna_state_numbers(head_dim: int, value_dim: int, *, p_len: int) -> int:
    """Numbers that causal Luna keeps from one token to the next, whatever the length.

    Parameters
    ----------
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.
    p_len : int
        Length of the extra sequence.

    Returns
    -------
    int
        p_len · (head_dim + value_dim) + 1, for one head: two sums and the count of tokens.

    Examples
    --------
    The keys and values of 16 tokens fill as much as 16 slots do for any number of tokens:

    >>> luna_state_numbers(64, 64, p_len=16), kv_cache_bytes(16, 64, 64, itemsize=1)
    (2049, 2048)
    """
    for name, value in (("head_dim", head_dim), ("value_dim", value_dim), ("p_len", p_len)):
        check_positive_int(name, value)
    return p_len * (head_dim + value_dim) + 1


def performer_flops(n: int, head_dim: int, value_dim: int, *, features: int) -> int:
    """Operations of the Performer's matrix products, not causal.

    Parameters
    ----------
    n : int
        Length, in tokens, of queries and of keys.
    head_dim, value_dim : int
    features : int
        The paper's m.

    Returns
    -------
    int
        4 n m head_dim for the random projections of queries and keys, and 4 n m (value_dim + 1) for
        the sums over keys and over features, numerators and denominators. Choromanski et al. 2020
        (arXiv:2009.14794), section 2.1.

    Examples
    --------
    >>> performer_flops(4096, 64, 64, features=256) / attention_flops(4096**2, 64, 64)
    0.1259765625
    """
    for name, value in (("n", n), ("head_dim", head_dim), ("value_dim", value_dim)):
        check_positive_int(name, value)
    check_positive_int("features", features)
    return 4 * n * features * (head_dim + value_dim + 1)


def performer_state_numbers(value_dim: int, *, features: int) -> int:
    """Numbers that a causal Performer keeps to decode one token after another.

    Parameters
    ----------
    value_dim : int
    features : int
        The paper's m.

    Returns
    -------
    int
        m (value_dim + 1) sums, whatever the length; the levels that keep the exponentials in range
        are another m.

    Examples
    --------
    >>> performer_state_numbers(64, features=256)
    16640
    """
    check_positive_int("value_dim", value_dim)
    check_positive_int("features", features)
    return features * (value_dim + 1)


def efficient_flops(n: int, head_dim: int, value_dim: int) -> int:
    """Operations of Efficient Attention's two products.

    Parameters
    ----------
    n : int
        Length, in tokens, of queries and of keys.
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.

    Returns
    -------
    int
        2 n · head_dim · value_dim for the context vectors, and as many for their mixtures. The
        softmaxes, a few operations for each number of q and k, are left out. Shen et al. 2018
        (arXiv:1812.01243), section 3.

    Examples
    --------
    With widths of 64 it is as dear as full attention at 64 tokens:

    >>> efficient_flops(64, 64, 64) == attention_flops(64**2, 64, 64)
    True
    """
    for name, value in (("n", n), ("head_dim", head_dim), ("value_dim", value_dim)):
        check_positive_int(name, value)
    return 4 * n * head_dim * value_dim


def linear_transformer_flops(n: int, value_dim: int, *, features: int) -> int:
    """Operations of the Linear Transformer's matrix products, not causal.

    Parameters
    ----------
    n : int
        Length, in tokens, of queries and of keys.
    value_dim : int
    features : int
        Of the feature map; elu(x) + 1 has as many as a key has numbers. The map itself is left out.

    Returns
    -------
    int
        4 n · features · (value_dim + 1): sums over keys, then over features, of numerators and of
        denominators. Katharopoulos et al. 2020 (arXiv:2006.16236), section 3.2.

    Examples
    --------
    >>> attention_flops(4096**2, 64, 64) / linear_transformer_flops(4096, 64, features=64)
    63.01538461538462
    """
    check_positive_int("n", n)
    return 4 * n * linear_transformer_state_numbers(value_dim, features=features)


def linear_transformer_state_numbers(value_dim: int, *, features: int) -> int:
    """Numbers that a Linear Transformer keeps to decode one token after another.

    Parameters
    ----------
    value_dim : int
    features : int

    Returns
    -------
    int
        features · (value_dim + 1), for one head, whatever the length.

    Examples
    --------
    Hardly more than the keys and values of 32 tokens:

    >>> linear_transformer_state_numbers(64, features=64), kv_cache_bytes(32, 64, 64, itemsize=1)
    (4160, 4096)
    """
    check_positive_int("value_dim", value_dim)
    check_positive_int("features", features)
    return features * (value_dim + 1)


def cosformer_flops(n: int, head_dim: int, value_dim: int) -> int:
    """Operations of cosFormer's matrix products, not causal.

    Parameters
    ----------
    n : int
        Length, in tokens, of queries and of keys.
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.

    Returns
    -------
    int
        4 n · 2 head_dim · (value_dim + 1): sums over keys, then over features, of numerators and of
        denominators, with two features for each number of a key. Qin et al. 2022
        (arXiv:2202.08791).

    Examples
    --------
    >>> round(attention_flops(8192**2, 64, 64) / cosformer_flops(8192, 64, 64), 2)
    63.02
    """
    check_positive_int("n", n)
    return 4 * n * cosformer_state_numbers(head_dim, value_dim)


def cosformer_state_numbers(head_dim: int, value_dim: int) -> int:
    """Numbers that cosFormer keeps to decode one token after another.

    Parameters
    ----------
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.

    Returns
    -------
    int
        2 · head_dim · (value_dim + 1), for one head, whatever the length.

    Examples
    --------
    As many as the keys and values of 65 tokens have:

    >>> cosformer_state_numbers(64, 64) // (64 + 64)
    65
    """
    check_positive_int("head_dim", head_dim)
    check_positive_int("value_dim", value_dim)
    return 2 * head_dim * (value_dim + 1)


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
    check_positive_int("n", n)
    check_positive_int("bucket_size", bucket_size)
    check_positive_int("num_hashes", num_hashes)
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
    for name, value in (
        ("n", n),
        ("head_dim", head_dim),
        ("bucket_size", bucket_size),
        ("num_hashes", num_hashes),
    ):
        check_positive_int(name, value)
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
    check_positive_int("n", n)
    check_positive_int("window", window, at_least=0)
    check_positive_int("dilation", dilation)
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
    for name, value in (("scores", scores), ("head_dim", head_dim), ("value_dim", value_dim)):
        check_positive_int(name, value)
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
    for name, value in (("head_dim", head_dim), ("value_dim", value_dim), ("topk", topk)):
        check_positive_int(name, value)
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
    check_positive_int("n", n)
    check_positive_int("itemsize", itemsize)
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
    for name, value in (("n", n), ("head_dim", head_dim), ("value_dim", value_dim)):
        check_positive_int(name, value)
    check_positive_int("itemsize", itemsize)
    return n * (head_dim + value_dim) * itemsize
