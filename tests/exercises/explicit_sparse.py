"""Answers to chapter 02: the smallest number of keys that hold a share of a row's weight."""

from itertools import accumulate

import torch

from exercises.answers import accepted, refused


def held(weights):
    return weights.sort(dim=-1, descending=True).values.cumsum(dim=-1)


@accepted
def the_first_that_is_enough(weights, share):
    return (held(weights) >= share).float().argmax(dim=-1) + 1


@accepted
def row_by_row(weights, share):
    counts = []
    for row in weights.flatten(0, -2).tolist():
        sums = enumerate(accumulate(sorted(row, reverse=True)), start=1)
        counts.append(next(float(count) for count, total in sums if total > share - 1e-9))
    return torch.tensor(counts).view(weights.shape[:-1])


@refused(r"\(5, 40\) weights, \(40,\) numbers")
def sums_down_the_wrong_axis(weights, share):
    return (weights.sort(descending=True).values.cumsum(0) < share).sum(0) + 1


@refused(r"\d+ of a row's 40 keys for the share 0.9 are too (few|many)")
def one_number_for_all_rows(weights, share):
    mean = row_by_row(weights, share).mean(dim=-1, keepdim=True).round()
    return mean.expand(weights.shape[:-1])


@refused(r"\(5, 40\) weights, \(\) numbers")
def all_rows_as_one(weights, share):
    return (held(weights.flatten()) < share).sum() + 1


@refused(r"are too few: they hold 0\.\d\d\d")
def the_key_that_completes_it_is_forgotten(weights, share):
    return (held(weights) < share).sum(dim=-1).clamp(min=1)


@refused(r"5 of a row's 8 keys for the share 0.5 are too many: one less holds 0.500")
def more_than_the_share(weights, share):
    return (held(weights) <= share).sum(dim=-1) + 1


@refused(r"are too many")
def from_left_to_right(weights, share):
    return (weights.cumsum(dim=-1) < share).sum(dim=-1) + 1


@refused(r"are too many")
def the_smallest_first(weights, share):
    return (weights.sort(dim=-1).values.cumsum(dim=-1) < share).sum(dim=-1) + 1


@refused(r"for the share 0.3 are too many")
def a_share_written_in(weights, share):
    return the_first_that_is_enough(weights, 0.9)


@refused(r"(0 of a row's 40 keys .* cannot be|are too few)")
def keys_that_hold_the_share_alone(weights, share):
    return (weights >= share).sum(dim=-1)


@refused(r"\(2, 5, 40\) weights, \(2,\) numbers")
def only_two_dimensions(weights, share):
    return torch.tensor([int((held(row) < share).sum(dim=-1).max()) + 1 for row in weights])
