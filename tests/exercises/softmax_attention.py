"""Answers to chapter 00: softmax attention, a block of keys at a time."""

import torch

from attn_lib import softmax_attention
from exercises.answers import accepted, refused


def scores_of(q, k):
    return q @ k.mT / q.shape[-1] ** 0.5


def blocks(k, v, block):
    return zip(k.split(block, dim=2), v.split(block, dim=2), strict=True)


@accepted
def a_running_maximum(q, k, v, block=32):
    top = torch.full_like(q[..., :1], -torch.inf)
    total = out = 0
    for keys, values in blocks(k, v, block):
        s = scores_of(q, keys)
        new = torch.maximum(top, s.amax(dim=-1, keepdim=True))
        e, shrink = (s - new).exp(), (top - new).exp()
        total = shrink * total + e.sum(dim=-1, keepdim=True)
        out = shrink * out + e @ values
        top = new
    return out / total


@accepted
def the_first_block_apart(q, k, v, block=32):
    scale = q.shape[-1] ** -0.5
    keys = k.mT
    s = scale * (q @ keys[..., :block])
    z, out = s.logsumexp(dim=-1), s.softmax(dim=-1) @ v[..., :block, :]
    for start in range(block, k.shape[-2], block):
        s = scale * (q @ keys[..., start : start + block])
        part = s.softmax(dim=-1) @ v[..., start : start + block, :]
        share = torch.sigmoid(s.logsumexp(dim=-1) - z)[..., None]
        out = (1 - share) * out + share * part
        z = torch.logaddexp(z, s.logsumexp(dim=-1))
    return out


@refused(r"one tensor held 524,288 numbers, not 4,096 or fewer")
def every_score_at_once(q, k, v, block=32):
    return scores_of(q, k).softmax(dim=-1) @ v


@refused(r"one tensor held")
def the_librarys_own(q, k, v, block=32):
    return softmax_attention(q, k.expand(*q.shape[:2], -1, -1), v.expand(*q.shape[:2], -1, -1))


@refused(r"one tensor held 524,288 numbers")
def blocks_of_queries(q, k, v, block=32):
    return torch.cat([every_score_at_once(rows, k, v) for rows in q.split(block, dim=2)], dim=2)


@refused(r"one tensor held 131,072")
def one_query_after_another(q, k, v, block=32):
    return blocks_of_queries(q, k, v, 1)


@refused(r"one tensor held")
def a_block_of_its_own_choice(q, k, v, block=32):
    return a_running_maximum(q, k, v, 32)


@refused(r"one tensor held")
def all_pieces_kept(q, k, v, block=32):
    scores = [scores_of(q, keys) for keys, _ in blocks(k, v, block)]
    return torch.cat(scores, dim=-1).softmax(dim=-1) @ v


@refused(r"queries × 1000: at .* nan")
def bare_exponentials(q, k, v, block=32):
    total = out = 0
    for keys, values in blocks(k, v, block):
        e = scores_of(q, keys).exp()
        total, out = total + e.sum(dim=-1, keepdim=True), out + e @ values
    return out / total


@refused(r"64 keys, block = 32, queries × 1: at")
def the_mean_of_all_blocks(q, k, v, block=32):
    parts = [every_score_at_once(q, *pair) for pair in blocks(k, v, block)]
    return sum(parts) / len(parts)


@refused(r"64 keys, block = 32, queries × 1: at")
def the_old_output_is_not_rescaled(q, k, v, block=32):
    z, out = torch.full_like(q[..., :1], -torch.inf), 0
    for keys, values in blocks(k, v, block):
        z_part = scores_of(q, keys).logsumexp(dim=-1, keepdim=True)
        z = torch.logaddexp(z, z_part)
        out = out + (z_part - z).exp() * every_score_at_once(q, keys, values)
    return out


@refused(r"70 keys, block = 32, queries × 1: at")
def what_fills_no_block_is_left_out(q, k, v, block=32):
    whole = k.shape[2] // block * block
    return a_running_maximum(q, k[:, :, :whole], v[:, :, :whole], block)


@refused(r"64 keys, block = 32, queries × 1: at")
def scores_that_are_not_scaled(q, k, v, block=32):
    return a_running_maximum(q * q.shape[-1] ** 0.5, k, v, block)


@refused(r"your function stops: RuntimeError: ")
def an_output_as_long_as_the_values(q, k, v, block=32):
    out = torch.zeros_like(v)
    for keys, values in blocks(k, v, block):
        out = out + every_score_at_once(q, keys, values)
    return out
