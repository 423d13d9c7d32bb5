"""Mathematics that the mechanisms stand on, a module an idea.

`masked`: a softmax that gives zeros, not NaN, where there is nothing to choose from. `parts`: exact
softmax attention over a set of pairs made of rectangles; `rounds`: over neighbours in sorted
orders. `causal_sums`: products of features summed over the past; `features`: attention by them;
`levels`: by features that are exponentials, kept in range. `elu`: the feature map elu(x) + 1.
`decoding`: what a state's sums are. `portions` and `heads`: so little at a time that it stays in
cache. `padding`: lengths that nothing divides. `first_calls`: kernels chosen once.
"""

from attn_lib.numerics.causal_sums import causal_product
from attn_lib.numerics.elu import elu_plus_one
from attn_lib.numerics.first_calls import settle
from attn_lib.numerics.masked import hide_keys, masked_softmax
from attn_lib.numerics.padding import pad_length
from attn_lib.numerics.parts import Pairs, Part, attend_over_parts, parts_operator, stretch

__all__ = [
    "Pairs",
    "Part",
    "attend_over_parts",
    "causal_product",
    "elu_plus_one",
    "hide_keys",
    "masked_softmax",
    "pad_length",
    "parts_operator",
    "settle",
    "stretch",
]

settle()
