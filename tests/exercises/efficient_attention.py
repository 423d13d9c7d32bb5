"""Answers to chapter 08: templates over the tokens so far."""

import torch

from attn_lib import efficient_attention
from exercises.answers import accepted, refused


def row(q, values, norm):
    return q.softmax(dim=-1) @ (values / norm[:, None])


@accepted
def averages_and_their_logarithms(q, k, v):
    z, context, rows = torch.full_like(k[0], -torch.inf), k.new_zeros(k.shape[1], v.shape[1]), []
    for query, key, value in zip(q.softmax(dim=-1), k, v, strict=True):
        new = torch.logaddexp(z, key)
        old, fresh = (z - new).exp(), (key - new).exp()
        context = old[:, None] * context + torch.outer(fresh, value)
        z = new
        rows.append(query @ context)
    return torch.stack(rows)


@accepted
def rows_joined_as_they_come(q, k, v):
    top, norm, values, out = k[0], torch.ones_like(k[0]), v[0].expand(k.shape[1], -1), v[:1]
    for i in range(1, len(q)):
        new = top.maximum(k[i])
        fade, power = (top - new).exp(), (k[i] - new).exp()
        values = fade[:, None] * values + power[:, None] * v[i]
        norm, top = fade * norm + power, new
        out = torch.cat([out, row(q[i], values, norm)[None]])
    return out


@refused(r"ordinary keys: at \(1, 0\)")
def reads_neither_query_nor_key(q, k, v):
    return torch.stack([v[0] if i == 0 else v[min(i, 5)] for i in range(len(q))])


@refused(r"ordinary keys: at \(\d, 0\)")
def sums_thrown_away_when_the_maximum_rises(q, k, v):
    values, norm, top, rows = 0, 0, torch.full_like(k[0], -torch.inf), []
    for i in range(len(q)):
        new = torch.maximum(top, k[i])
        kept, power = (new == top).to(k), (k[i] - new).exp()
        values = kept[:, None] * values + power[:, None] * v[i]
        norm, top = kept * norm + power, new
        rows.append(row(q[i], values, norm))
    return torch.stack(rows)


@refused(r"ordinary keys: at \(\d, 0\)")
def sums_that_do_not_shrink(q, k, v):
    values, norm, top, rows = 0, 0, torch.full_like(k[0], -torch.inf), []
    for i in range(len(q)):
        top = torch.maximum(top, k[i])
        power = (k[i] - top).exp()
        values, norm = values + power[:, None] * v[i], norm + power
        rows.append(row(q[i], values, norm))
    return torch.stack(rows)


@refused(r"twice the tokens take 3.\d times the work: is the past read again\?")
def the_whole_past_kept(q, k, v):
    steps = range(1, len(q) + 1)
    rows = [q[n - 1].softmax(dim=-1) @ k[:n].softmax(dim=0).T @ v[:n] for n in steps]
    return torch.stack(rows)


@refused(r"all keys very low: at \(0, 0\) it gives nan")
def bare_exponentials(q, k, v):
    values, norm, rows = 0, 0, []
    for i in range(len(q)):
        power = k[i].exp()
        values, norm = values + torch.outer(power, v[i]), norm + power
        rows.append(row(q[i], values, norm))
    return torch.stack(rows)


@refused(r"key 5 very high: at \(\d, 0\) it gives nan")
def the_largest_value_of_the_whole_text(q, k, v):
    return bare_exponentials(q, k - k.amax(dim=0), v)


@refused(r"key \d+ very high: at .* it gives nan")
def one_maximum_for_all_features(q, k, v):
    values, norm, top, rows = 0, 0, k[0].max(), []
    for i in range(len(q)):
        new = torch.maximum(top, k[i].max())
        fade, power = (top - new).exp(), (k[i] - new).exp()
        values, norm, top = fade * values + torch.outer(power, v[i]), fade * norm + power, new
        rows.append(row(q[i], values, norm))
    return torch.stack(rows)


@refused(r"ordinary keys: at \(0, 0\)")
def no_mask(q, k, v):
    return efficient_attention(*(x[None, None] for x in (q, k, v)))[0, 0]


@refused(r"ordinary keys: at \(0, 0\)")
def templates_of_the_whole_text_cut_off(q, k, v):
    weights = (q.softmax(dim=-1) @ k.softmax(dim=0).T).tril()
    return weights @ v


@refused(r"ordinary keys: at \(1, 0\)")
def keys_over_features(q, k, v):
    return averages_and_their_logarithms(q, k.softmax(dim=-1), v)


@refused(r"ordinary keys: at \(1, 0\)")
def queries_divided_by_root_d(q, k, v):
    return averages_and_their_logarithms(q / q.shape[1] ** 0.5, k, v)
