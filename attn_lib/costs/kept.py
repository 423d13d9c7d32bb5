"""What a head keeps of the tokens, and how much of that a query reads: numbers, not bytes."""

from collections.abc import Mapping

from attn_lib._checks import check_choice, check_flag, check_positive_int, check_sizes, check_stride
from attn_lib.costs.sums import (
    cosformer_state_numbers,
    linear_transformer_state_numbers,
    luna_state_numbers,
    performer_state_numbers,
)

__all__ = ["kept_numbers", "read_numbers"]

_OPTIONS: dict[str, tuple[str, ...]] = {
    "softmax": (),
    "sparse_transformer": ("pattern", "stride", "summary"),
    "explicit_sparse": ("topk",),
    "longformer": ("window", "dilation"),
    "reformer": ("bucket_size", "num_hashes"),
    "linformer": ("rank",),
    "performer": ("features",),
    "luna": ("p_len",),
    "efficient": (),
    "linear_transformer": (),
    "cosformer": (),
}
"""The options that a mechanism's numbers depend on."""
_DEFAULTS = {"summary": 1, "dilation": 1, "num_hashes": 1}
_READ_WHOLE = ("linformer", "efficient")


def kept_numbers(
    mechanism: str,
    n: int,
    head_dim: int,
    value_dim: int,
    *,
    causal: bool = False,
    **options: int | str,
) -> int:
    """Numbers that one head keeps of n tokens, for the query of the last one and all later ones.

    Parameters
    ----------
    mechanism : str
        A name in `attn_lib.catalog.MECHANISMS`.
    n : int
        Tokens so far.
    head_dim, value_dim : int
        Widths of a key and of a value, in numbers.
    causal : bool
        Whether a query is that of a token and sees no later ones. If not, all n tokens are read
        before the first query, and any query may come.
    **options
        The mechanism's own: `pattern` ("strided" if not given), `stride`, `summary`; `topk`;
        `window`, `dilation`; `bucket_size`, `num_hashes`; `rank`; `features`; `p_len`.

    Returns
    -------
    int
        With d for `head_dim` and e for `value_dim`:

        ============================== ======================================
        mechanism                      numbers
        ============================== ======================================
        softmax, explicit_sparse,      n (d + e)
        reformer, sparse_transformer,
        longformer
        causal longformer              min(n, window · dilation + 1) (d + e)
        causal fixed pattern           (d + e) for every token of the last
                                       block, and every earlier summary
        linformer                      rank (d + e)
        luna                           p_len e
        causal luna                    p_len (d + e) + 1
        performer                      features (e + 1)
        efficient                      d e
        linear_transformer             d (e + 1)
        cosformer                      2 d (e + 1)
        ============================== ======================================

    Raises
    ------
    TypeError
        For an option of a wrong type, or one that the mechanism does not have.
    ValueError
        For an unknown mechanism, an option out of range or missing, and for `causal` where there is
        no causal form.

    Notes
    -----
    It is this number that Arora et al. 2024 (arXiv:2402.18668) call a model's state size, and set
    against its recall. Parameters do not count: Linformer's maps, the Performer's random vectors,
    Luna's P; nor do the levels, one a feature, that keep the Performer's exponentials in range.
    Keys and values are counted apart also where a layer lets them share one projection.

    Examples
    --------
    >>> kept_numbers("softmax", 1024, 64, 64), kept_numbers("linear_transformer", 1024, 64, 64)
    (131072, 4160)
    """
    n, d, e = check_sizes(n=n, head_dim=head_dim, value_dim=value_dim)
    own = _checked(mechanism, causal, options)
    state = _state_numbers(mechanism, d, e, causal, own)
    return _keys_kept(mechanism, n, causal, own) * (d + e) if state is None else state


def read_numbers(
    mechanism: str,
    n: int,
    head_dim: int,
    value_dim: int,
    *,
    causal: bool = False,
    **options: int | str,
) -> int:
    """Numbers that one query of one head reads of what is kept: the query that reads most.

    Parameters
    ----------
    mechanism, n, head_dim, value_dim, causal, options
        As in `kept_numbers`; the query is that of one of the n tokens, whose own key and value
        count too.

    Returns
    -------
    int
        For each key that the query sees a key and a value, d + e. Top-k reads all keys before it
        can choose, and the values of the chosen ones: n d + topk · e. For Reformer it is an upper
        bound, since the chunks of two rounds may share keys, and a causal query does not see all of
        a chunk. The other mechanisms read all that they keep.

    Raises
    ------
    TypeError, ValueError
        As `kept_numbers`.

    Examples
    --------
    A window of 16 keys on each side, in a long text:

    >>> read_numbers("longformer", 1024, 64, 64, window=16) // (64 + 64)
    33
    """
    n, d, e = check_sizes(n=n, head_dim=head_dim, value_dim=value_dim)
    own = _checked(mechanism, causal, options)
    if mechanism == "explicit_sparse":
        return n * d + min(n, own["topk"]) * e
    state = _state_numbers(mechanism, d, e, causal, own)
    return _keys_read(mechanism, n, causal, own) * (d + e) if state is None else state


def _checked(mechanism: str, causal: bool, given: Mapping[str, int | str]) -> dict[str, int]:
    """Return the options with their defaults; the fixed pattern is told by a summary above 0."""
    check_choice("mechanism", mechanism, tuple(_OPTIONS))
    check_flag("causal", causal)
    if causal and mechanism in _READ_WHOLE:
        raise ValueError(f"causal must be False for {mechanism}, which has no such form, got True")
    known = _OPTIONS[mechanism]
    for name in given:
        if name not in known:
            raise TypeError(f"options of {mechanism} must be among {known}, got {name!r}")
    found = {}
    for name in known:
        if name != "pattern":
            value = given.get(name, _DEFAULTS.get(name))
            if value is None:
                raise ValueError(f"{name} must be given for {mechanism}, got none")
            found[name] = check_positive_int(name, value, at_least=name != "window")
    if mechanism == "sparse_transformer":
        pattern = given.get("pattern", "strided")
        check_choice("pattern", pattern, ("strided", "fixed"))
        check_stride(found["stride"], found["summary"])
        found["summary"] *= pattern == "fixed"
    return found


def _state_numbers(
    mechanism: str, d: int, e: int, causal: bool, options: Mapping[str, int]
) -> int | None:
    """Return the size of a state that does not depend on the length, or None."""
    match mechanism:
        case "linformer":
            return options["rank"] * (d + e)
        case "luna":
            p_len = options["p_len"]
            return luna_state_numbers(d, e, p_len=p_len) if causal else p_len * e
        case "performer":
            return performer_state_numbers(e, features=options["features"])
        case "efficient":
            return d * e
        case "linear_transformer":
            return linear_transformer_state_numbers(e, features=d)
        case "cosformer":
            return cosformer_state_numbers(d, e)
    return None


def _keys_kept(mechanism: str, n: int, causal: bool, options: Mapping[str, int]) -> int:
    if causal and mechanism == "longformer":
        return min(n, options["window"] * options["dilation"] + 1)
    if causal and mechanism == "sparse_transformer" and options["summary"]:
        blocks, place = divmod(n - 1, options["stride"])
        return blocks * options["summary"] + place + 1
    return n


def _keys_read(mechanism: str, n: int, causal: bool, options: Mapping[str, int]) -> int:
    if mechanism == "longformer":
        sides = 1 if causal else 2
        return 1 + min(sides * options["window"], (n - 1) // options["dilation"])
    if mechanism == "reformer":
        found = 2 * options["bucket_size"] * options["num_hashes"]
        return n if options["bucket_size"] >= n else min(n, found)
    if mechanism == "sparse_transformer":
        keys = _fixed_keys if options["summary"] else _strided_keys
        return keys(n, causal, options["stride"], options["summary"])
    return n


def _strided_keys(n: int, causal: bool, stride: int, _: int) -> int:
    def one_side(distance: int) -> int:
        """Keys up to this distance: the window, and every stride-th behind it."""
        return min(distance, stride) + max(0, distance // stride - 1)

    if causal:
        return 1 + one_side(n - 1)
    # One stride more to the one side and less to the other changes nothing behind the windows.
    return 1 + max(one_side(i) + one_side(n - 1 - i) for i in range(min(n, 2 * stride)))


def _fixed_keys(n: int, causal: bool, stride: int, summary: int) -> int:
    blocks, rest = divmod(n, stride)
    in_last = rest + blocks * summary if rest else 0
    if not blocks:
        return in_last
    beyond = 0 if causal else max(0, rest - (stride - summary))
    return max(in_last, stride + (blocks - 1) * summary + beyond)
