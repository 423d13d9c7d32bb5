"""Answers to chapter 09: the weights that a fading state implies."""

import torch

from attn_lib.numerics import elu_plus_one as phi
from exercises.answers import accepted, refused


def faded(q, k, gamma):
    """Return the similarities of each query to the keys so far, faded."""
    place = torch.arange(len(q))
    past = (place[:, None] - place).clamp(min=0)
    return (phi(q) @ phi(k).T * gamma**past).tril()


def normalised(similar):
    return similar / similar.sum(dim=-1, keepdim=True)


@accepted
def row_after_row(q, k, gamma):
    weights = torch.zeros(len(q), len(k), dtype=q.dtype)
    for i in range(len(q)):
        if i:
            weights[i] = gamma * weights[i - 1]
        weights[i, i] = 1
    return normalised(weights * (phi(q) @ phi(k).T))


@accepted
def in_logarithms(q, k, gamma):
    age = torch.arange(len(q))[:, None] - torch.arange(len(q))
    fade = age * torch.tensor(gamma, dtype=q.dtype).log()
    score = (phi(q) @ phi(k).T).log() + fade
    return score.masked_fill(age < 0, -torch.inf).softmax(dim=-1)


@refused(r"7 tokens, gamma = 0.5: at \(1, 0\)")
def gamma_written_in(q, k, gamma):
    return normalised(faded(q, k, 0.9))


@refused(r"20 tokens, gamma = 0.9: at \(1, 0\)")
def gamma_ignored(q, k, gamma):
    return normalised((phi(q) @ phi(k).T).tril())


@refused(r"20 tokens, gamma = 0.9: at \(1, 0\)")
def the_denominator_does_not_fade(q, k, gamma):
    return faded(q, k, gamma) / (phi(q) @ phi(k).T).tril().sum(dim=-1, keepdim=True)


@refused(r"20 tokens, gamma = 0.9: at \(0, 0\)")
def not_divided(q, k, gamma):
    return faded(q, k, gamma)


@refused(r"20 tokens, gamma = 0.9: at \(0, 0\)")
def the_future_is_read(q, k, gamma):
    place = torch.arange(len(q))
    return normalised(phi(q) @ phi(k).T * gamma ** (place[:, None] - place).abs())


@refused(r"20 tokens, gamma = 0.9: at \(1, 0\)")
def the_oldest_key_weighs_most(q, k, gamma):
    place = torch.arange(len(q))
    return normalised((phi(q) @ phi(k).T * gamma**place).tril())


@refused(r"20 tokens, gamma = 0.9: at \(0, 0\)")
def columns_that_sum_to_one(q, k, gamma):
    similar = faded(q, k, gamma)
    return similar / similar.sum(dim=0, keepdim=True)


@refused(r"20 tokens, gamma = 0.9: at \(1, 0\)")
def a_softmax_of_the_scores(q, k, gamma):
    age = torch.arange(len(q))[:, None] - torch.arange(len(q))
    fade = torch.where(age < 0, 0, gamma ** age.clamp(min=0))
    return normalised((q @ k.T).exp() * fade)


@refused(r"20 tokens, gamma = 0.9: at \(1, 0\)")
def exactly_one_step_too_old(q, k, gamma):
    age = torch.arange(len(q))[:, None] - torch.arange(len(q))
    fade = torch.where(age == 0, 1, gamma ** (age + 1).clamp(min=0))
    return normalised((phi(q) @ phi(k).T * fade).tril())


@refused(r"400 tokens, gamma = 0.1: at .* gives (nan|0)")
def a_power_for_each_side(q, k, gamma):
    place = torch.arange(len(q), dtype=q.dtype)[:, None]
    return normalised(((phi(q) * gamma**place) @ (phi(k) * gamma**-place).T).tril())
