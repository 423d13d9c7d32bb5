"""Answers to chapter 12: a state in which a key that comes again is overwritten."""

import torch

from exercises.answers import accepted, refused


@accepted
def the_delta_rule(state, key, value):
    return state + torch.outer(key, value - key @ state)


@accepted
def take_away_and_add(state, key, value):
    return state - torch.outer(key, key @ state) + torch.outer(key, value)


@accepted
def a_projection_first(state, key, value):
    rest = torch.eye(len(key), dtype=key.dtype) - torch.outer(key, key)
    return rest @ state + torch.outer(key, value)


@accepted
def in_place(state, key, value):
    state += key[:, None] * (value - key @ state)
    return state


@refused(r"the key just written: at \(0,\)")
def the_plain_sum(state, key, value):
    return state + torch.outer(key, value)


@refused(r"the key just written: at \(0,\)")
def half_a_step(state, key, value):
    return state + 0.5 * torch.outer(key, value - key @ state)


@refused(r"keys at right angles to those: at \(\d, \d\)|keys that came again: at")
def only_the_latest(state, key, value):
    return torch.outer(key, value)


@refused(r"the key just written: at \(0,\)")
def nothing_is_written(state, key, value):
    return state


@refused(r"the key just written: at \(0,\)")
def the_state_fades(state, key, value):
    return 0.9 * (state + torch.outer(key, value - key @ state))


@refused(r"your function stops")
def the_other_way_round(state, key, value):
    return state + torch.outer(value, key)
