"""Answers to chapter 10: features whose products fall with the square of a cosine."""

import torch

from exercises.answers import accepted, refused


def angles(x, M):
    return torch.pi / 2 * torch.arange(x.shape[-2], dtype=x.dtype)[:, None] / M


def of_double_angle(x, twice):
    x = x / 2**0.5
    return torch.cat([x, x * twice.cos(), x * twice.sin()], dim=-1)


@accepted
def one_number_after_another(x, M):
    one, twice = torch.ones_like(angles(x, M)), 2 * angles(x, M)
    three = torch.cat([one, twice.cos(), twice.sin()], dim=-1) / 2**0.5
    return (x.relu()[..., None] * three[:, None]).flatten(-2)


@accepted
def products_of_the_cosines_features(x, M):
    cos, sin = angles(x, M).cos(), angles(x, M).sin()
    return torch.cat([x.relu() * a for a in (cos * cos, cos * sin, sin * cos, sin * sin)], dim=-1)


@refused(r"M = 7: at \(\d, \d\) it gives")
def M_written_in(x, M):
    return of_double_angle(x.relu(), 2 * angles(x, 60))


@refused(r"M = 7: at \(\d, \d\) it gives")
def the_length_for_M(x, M):
    return of_double_angle(x.relu(), 2 * angles(x, x.shape[-2] * 1.2))


@refused(r"your function stops: RuntimeError: The size of tensor a \(7\)")
def the_length_written_in(x, M):
    twice = torch.pi * torch.arange(50, dtype=x.dtype)[:, None] / M
    return of_double_angle(x.relu(), twice)


@refused(r"your function stops: RuntimeError")
def the_first_axis_for_the_length(x, M):
    twice = torch.pi * torch.arange(len(x), dtype=x.dtype)[:, None] / M
    return torch.cat([x.relu() / 2**0.5 * f for f in (1, twice.cos(), twice.sin())], dim=-1)


@refused(r"x of shape \(50, 6\), M = 60: at \(0, 0\)")
def no_relu(x, M):
    return of_double_angle(x, 2 * angles(x, M))


@refused(r"x of shape \(50, 6\), M = 60: at \(\d, \d\) it gives")
def the_cosine_itself(x, M):
    cos, sin = angles(x, M).cos(), angles(x, M).sin()
    return torch.cat([x.relu() * cos, x.relu() * sin], dim=-1)


@refused(r"x of shape \(50, 6\), M = 60: at \(\d, \d\) it gives")
def squares_of_both_features(x, M):
    cos, sin = angles(x, M).cos(), angles(x, M).sin()
    return torch.cat([x.relu() * cos**2, x.relu() * sin**2], dim=-1)


@refused(r"x of shape \(50, 6\), M = 60: at \(\d, \d\) it gives")
def the_angle_not_doubled(x, M):
    return of_double_angle(x.relu(), angles(x, M))


@refused(r"x of shape \(50, 6\), M = 60: at \(0, 0\) it gives")
def no_one_half(x, M):
    return of_double_angle(x.relu() * 2**0.5, 2 * angles(x, M))


@refused(r"x of shape \(50, 6\), M = 60: at \(\d+, \d+\) it gives")
def angles_in_float32(x, M):
    return of_double_angle(x.relu(), (2 * angles(x, M).float()).to(x))


@refused(r"x of shape \(50, 6\), M = 60: at \(1, 1\) it gives")
def the_sine_forgotten(x, M):
    twice = 2 * angles(x, M)
    return torch.cat([x.relu(), x.relu() * twice.cos()], dim=-1) / 2**0.5
