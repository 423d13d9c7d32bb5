"""Mechanisms that sum up the keys before a query comes: into slots, or by features."""

from attn_lib._checks import check_choice, check_positive_int, check_sizes
from attn_lib.costs.pairs import attention_flops

__all__ = [
    "cosformer_flops",
    "cosformer_state_numbers",
    "efficient_flops",
    "linear_transformer_flops",
    "linear_transformer_state_numbers",
    "linformer_flops",
    "linformer_parameters",
    "linformer_scores",
    "luna_scores",
    "luna_state_numbers",
    "performer_flops",
    "performer_state_numbers",
]


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
    n = check_positive_int("n", n)
    rank = check_positive_int("rank", rank)
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
    >>> from attn_lib.costs import softmax_scores
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
    n, rank, layers, heads = check_sizes(n=n, rank=rank, layers=layers, heads=heads)
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
    >>> from attn_lib.costs import softmax_scores
    >>> softmax_scores(4096) / luna_scores(4096, p_len=16)
    128.0
    """
    n = check_positive_int("n", n)
    p_len = check_positive_int("p_len", p_len)
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

    >>> from attn_lib.costs import kv_cache_bytes
    >>> luna_state_numbers(64, 64, p_len=16), kv_cache_bytes(16, 64, 64, itemsize=1)
    (2049, 2048)
    """
    head_dim, value_dim, p_len = check_sizes(head_dim=head_dim, value_dim=value_dim, p_len=p_len)
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
    n, head_dim, value_dim = check_sizes(n=n, head_dim=head_dim, value_dim=value_dim)
    features = check_positive_int("features", features)
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
    value_dim = check_positive_int("value_dim", value_dim)
    features = check_positive_int("features", features)
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
        (arXiv:1812.01243).

    Examples
    --------
    With widths of 64 it is as dear as full attention at 64 tokens:

    >>> efficient_flops(64, 64, 64) == attention_flops(64**2, 64, 64)
    True
    """
    n, head_dim, value_dim = check_sizes(n=n, head_dim=head_dim, value_dim=value_dim)
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
    n = check_positive_int("n", n)
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

    >>> from attn_lib.costs import kv_cache_bytes
    >>> linear_transformer_state_numbers(64, features=64), kv_cache_bytes(32, 64, 64, itemsize=1)
    (4160, 4096)
    """
    value_dim = check_positive_int("value_dim", value_dim)
    features = check_positive_int("features", features)
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
    n = check_positive_int("n", n)
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
    head_dim = check_positive_int("head_dim", head_dim)
    value_dim = check_positive_int("value_dim", value_dim)
    return 2 * head_dim * (value_dim + 1)
