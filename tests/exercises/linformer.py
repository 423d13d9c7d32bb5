"""Answers to chapter 05: the slots that hold nothing of what comes after a query."""

import torch

from exercises.answers import accepted, refused


def last_of(held):
    """Return the last position that each slot holds something of, -1 where there is none."""
    return torch.where(held, torch.arange(held.shape[1]), -1).amax(dim=1)


def seen_from(last, n):
    return torch.arange(n)[:, None] >= last


@accepted
def what_is_left_behind_each_query(e, f):
    rows = [((e[:, i + 1 :] == 0) & (f[:, i + 1 :] == 0)).all(dim=1) for i in range(e.shape[1])]
    return torch.stack(rows)


@accepted
def sums_from_the_end(e, f):
    size = e.abs() + f.abs()
    later = size.flip(1).cumsum(dim=1).flip(1) - size
    return later.T.abs() < 1e-5


@refused(r"query 0 of 12 sees a slot that holds something later")
def e_ignored(e, f):
    return what_is_left_behind_each_query(f, f)


@refused(r"query \d of 12 sees a slot that holds something later")
def f_ignored(e, f):
    return what_is_left_behind_each_query(e, e)


@refused(r"query 2 of 12 sees a slot that holds something later")
def slots_in_reverse(e, f):
    return what_is_left_behind_each_query(e, f).flip(1)


@refused(r"query 0 of 12 sees a slot that holds something later")
def e_and_f_cancel(e, f):
    return seen_from(last_of(e + f != 0), e.shape[1])


@refused(r"query \d of 12 sees a slot that holds something later")
def negative_entries_overlooked(e, f):
    return seen_from(last_of((e > 0) | (f > 0)), e.shape[1])


@refused(r"query \d of 12 sees a slot that holds something later")
def only_where_both_hold_something(e, f):
    return seen_from(last_of((e != 0) & (f != 0)), e.shape[1])


@refused(r"query 0 of 12 sees a slot that holds something later")
def a_triangle(e, f):
    slots, n = e.shape
    return torch.arange(n)[:, None] >= torch.arange(slots)


@refused(r"query 2 of 12 could see one more slot")
def strictly_before_the_query(e, f):
    return torch.arange(e.shape[1])[:, None] > last_of((e != 0) | (f != 0))


@refused(r"query 0 of 12 sees a slot that holds something later")
def the_first_position_of_a_slot(e, f):
    n = e.shape[1]
    first = torch.where((e != 0) | (f != 0), torch.arange(n), n).amin(dim=1)
    return seen_from(first, n)


@refused(r"query 0 of 12 could see one more slot")
def an_empty_slot_for_nobody(e, f):
    held = (e != 0) | (f != 0)
    return what_is_left_behind_each_query(e, f) & held.any(dim=1)


@refused(r"12 queries and 4 slots give torch.bool \(4, 12\)")
def slots_by_queries(e, f):
    return what_is_left_behind_each_query(e, f).T


@refused(r"12 queries and 4 slots give torch.float32 \(12, 4\)")
def numbers_for_truths(e, f):
    return what_is_left_behind_each_query(e, f).float()
