"""Answers to chapter 06: positive features that use each direction twice."""

import torch

from exercises.answers import accepted, refused


def half(x):
    return x.square().sum() / 2


@accepted
def side_by_side(x, omega):
    pairs = torch.stack([omega @ x, omega @ -x], dim=1)
    return (pairs.flatten() - half(x)).exp() / (2 * omega.shape[0]) ** 0.5


@accepted
def twice_the_directions(x, omega):
    both = torch.cat([omega, -omega])
    return torch.exp(both @ x - half(x) - torch.tensor(float(len(both))).log() / 2)


@refused(r"m = 7: a feature is nan or below 0")
def sines_and_cosines(x, omega):
    waves = torch.cat([(omega @ x).sin(), (omega @ x).cos()])
    return half(x).exp() * waves / len(omega) ** 0.5


@refused(r"m = 7: a feature is nan or below 0")
def cosh_and_sinh(x, omega):
    waves = torch.cat([(omega @ x).cosh(), (omega @ x).sinh()])
    return (-half(x)).exp() * waves / len(omega) ** 0.5


@refused(r"m = 7, the product of features: it gives")
def divided_by_root_two_alone(x, omega):
    return torch.cat([(omega @ x - half(x)).exp(), (-omega @ x - half(x)).exp()]) / 2**0.5


@refused(r"m = 7, the product of features: it gives")
def divided_by_root_m(x, omega):
    return side_by_side(x, omega) * 2**0.5


@refused(r"m = 7: features of shape \(7,\)")
def the_positive_features(x, omega):
    return (omega @ x - half(x)).exp() / len(omega) ** 0.5


@refused(r"m = 7, the product of features: it gives")
def the_negative_exponent_for_all(x, omega):
    power = omega @ x - half(x)
    return torch.cat([power.exp(), (-power).exp()]) / (2 * len(omega)) ** 0.5


@refused(r"m = 7, the product of features: it gives")
def the_length_for_its_square(x, omega):
    signs = torch.cat([omega @ x, -(omega @ x)])
    return torch.exp(signs - x.norm() / 2) / (2 * len(omega)) ** 0.5


@refused(r"m = 7, the product of features: it gives")
def no_length_at_all(x, omega):
    return side_by_side(x, omega) * half(x).exp()


@refused(r"m = 7, the product of features: it gives")
def scaled_once_more(x, omega):
    return side_by_side(x / len(x) ** 0.25, omega)


@refused(r"m = 7: a feature is nan or below 0")
def a_factor_in_place_of_a_difference(x, omega):
    signs = torch.cat([omega @ x, -(omega @ x)])
    return signs.exp() * (-half(x)).exp() / (2 * len(omega)) ** 0.5
