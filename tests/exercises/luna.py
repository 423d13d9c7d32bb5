"""Answers to chapter 07: pack and unpack one token after another."""

import torch

from attn_lib import luna_attention
from exercises.answers import accepted, refused


def unpack(q, packed):
    return (q @ packed.T * len(q) ** -0.5).softmax(dim=-1) @ packed


@accepted
def averages_and_their_logarithms(q, p, k, v):
    z, packed, rows = torch.full_like(p[:, :1], -torch.inf), torch.zeros_like(p), []
    for query, key, value in zip(q, k, v, strict=True):
        score = (p @ key)[:, None] / len(key) ** 0.5
        new = torch.logaddexp(z, score)
        packed = (z - new).exp() * packed + (score - new).exp() * value
        z = new
        rows.append(unpack(query, packed))
    return torch.stack(rows)


@accepted
def rows_joined_as_they_come(q, p, k, v):
    out, state = q[:0], [torch.full((len(p),), -torch.inf).to(q), 0, 0]
    for i in range(len(q)):
        top, total, sums = state
        score = p @ k[i] * k.shape[1] ** -0.5
        new = top.maximum(score)
        fade, power = (top - new).exp(), (score - new).exp()
        state = [new, fade * total + power, fade[:, None] * sums + power[:, None] * v[i]]
        out = torch.cat([out, unpack(q[i], state[2] / state[1][:, None])[None]])
    return out


@refused(r"twice the tokens take 3.\d times the work: is the past read again\?")
def the_whole_past_kept(q, p, k, v):
    rows = []
    for i in range(len(q)):
        now = (q[i : i + 1], p, k[: i + 1], v[: i + 1])
        rows.append(luna_attention(*(x[None, None] for x in now))[0, 0])
    return torch.cat(rows)


@refused(r"twice the tokens take 3.\d times the work")
def all_scores_in_a_list(q, p, k, v):
    scores, rows = [], []
    for i in range(len(q)):
        scores.append(p @ k[i] * k.shape[1] ** -0.5)
        pack = torch.stack(scores, dim=1).softmax(dim=1)
        rows.append(unpack(q[i], pack @ v[: i + 1]))
    return torch.stack(rows)


@refused(r"keys × 10000: at .* gives nan")
def bare_exponentials(q, p, k, v):
    total, sums, rows = 0, 0, []
    for i in range(len(q)):
        e = (p @ k[i] * k.shape[1] ** -0.5).exp()
        total, sums = total + e, sums + e[:, None] * v[i]
        rows.append(unpack(q[i], sums / total[:, None]))
    return torch.stack(rows)


@refused(r"keys × 1: at \(\d+, 0\)")
def sums_that_do_not_shrink(q, p, k, v):
    top, total, sums, rows = torch.full((len(p),), -torch.inf).to(q), 0, 0, []
    for i in range(len(q)):
        score = p @ k[i] * k.shape[1] ** -0.5
        top = top.maximum(score)
        e = (score - top).exp()
        total, sums = total + e, sums + e[:, None] * v[i]
        rows.append(unpack(q[i], sums / total[:, None]))
    return torch.stack(rows)


@refused(r"keys × 10000: at .* gives nan")
def the_largest_score_of_the_whole_text(q, p, k, v):
    top = (p @ k.T * k.shape[1] ** -0.5).amax(dim=1)
    total, sums, rows = 0, 0, []
    for i in range(len(q)):
        e = (p @ k[i] * k.shape[1] ** -0.5 - top).exp()
        total, sums = total + e, sums + e[:, None] * v[i]
        rows.append(unpack(q[i], sums / total[:, None]))
    return torch.stack(rows)


@refused(r"keys × 1: at \(0, 0\)")
def no_mask(q, p, k, v):
    return luna_attention(*(x[None, None] for x in (q, p, k, v)))[0, 0]


@refused(r"keys × 1: at \(0, 0\)")
def a_mean_for_the_softmax(q, p, k, v):
    sums, rows = 0, []
    for i in range(len(q)):
        sums = sums + (p @ k[i] * k.shape[1] ** -0.5).softmax(dim=0)[:, None] * v[i]
        rows.append(unpack(q[i], sums / (i + 1)))
    return torch.stack(rows)


@refused(r"keys × 1: at \(0, 0\)")
def the_papers_causal_form(q, p, k, v):
    out = luna_attention(*(x[None, None] for x in (q, p, k, v)), causal=True)
    return out[0, 0]


@refused(r"keys × 1: at \(1, 0\)")
def scores_that_are_not_scaled(q, p, k, v):
    return averages_and_their_logarithms(q, p, k * k.shape[1] ** 0.5, v)


@refused(r"keys × 1: its shape is \(6,\), not \(20, 6\)")
def the_last_row_alone(q, p, k, v):
    return averages_and_their_logarithms(q, p, k, v)[-1]
