"""Answers to chapter 03: how many layers it takes from one token to another."""

import math

from exercises.answers import accepted, refused


def by_window(i, j, w, step):
    """Return the layers that the window alone takes; infinitely many where it never arrives."""
    distance = abs(i - j)
    if distance == 0:
        return 0
    return math.ceil(distance / (w * step)) if w and distance % step == 0 else math.inf


def by_hub(i, j, hubs):
    return (2 - (i in hubs or j in hubs)) if hubs else math.inf


def least(*ways):
    return min(ways) if min(ways) < math.inf else -1


@accepted
def the_smaller_of_two_ways(i, j, w, step, hubs):
    return least(by_window(i, j, w, step), by_hub(i, j, hubs))


@accepted
def case_by_case(i, j, w, step, hubs):
    if i == j:
        return 0
    near, rest = divmod(abs(i - j), step)
    if (rest == 0 and near <= w) or {i, j} & set(hubs):
        return 1
    if hubs:
        return 2
    return (near + w - 1) // w if rest == 0 and w else -1


@refused(r"layers\(0, 1, 3, 1, \[\]\) gives 0, not 1")
def rounded_down(i, j, w, step, hubs):
    window = abs(i - j) // (w * step) if w and (i - j) % step == 0 else math.inf
    return least(window, by_hub(i, j, hubs))


@refused(r"layers\(0, 3, 3, 1, \[\]\) gives 2, not 1")
def one_layer_more(i, j, w, step, hubs):
    window = abs(i - j) // (w * step) + 1 if w and (i - j) % step == 0 else math.inf
    return least(0 if i == j else window, by_hub(i, j, hubs))


@refused(r"layers\(0, 1, 2, 3, \[\]\) gives 1, not -1")
def gaps_that_a_dilated_window_cannot_leave(i, j, w, step, hubs):
    window = math.ceil(abs(i - j) / (w * step)) if w else math.inf
    return least(0 if i == j else window, by_hub(i, j, hubs))


@refused(r"layers\(0, 3, 2, 3, \[\]\) gives 2, not 1")
def the_step_forgotten(i, j, w, step, hubs):
    window = math.ceil(abs(i - j) / w) if w and (i - j) % step == 0 else math.inf
    return least(0 if i == j else window, by_hub(i, j, hubs))


@refused(r"layers\(0, 2, 3, 1, \[\]\) gives 2, not 1")
def half_of_the_window_on_each_side(i, j, w, step, hubs):
    return the_smaller_of_two_ways(i, j, w // 2 or w, step, hubs)


@refused(r"layers\(0, 7, 1, 2, \[7\]\) gives 2, not 1")
def two_layers_by_any_hub(i, j, w, step, hubs):
    return least(by_window(i, j, w, step), 2 if hubs else math.inf)


@refused(r"layers\(7, 0, 1, 2, \[7\]\) gives 2, not 1")
def a_hub_that_is_read_and_does_not_read(i, j, w, step, hubs):
    hub = (1 if j in hubs else 2) if hubs else math.inf
    return least(by_window(i, j, w, step), hub)


@refused(r"layers\(0, 1, 1, 2, \[7\]\) gives -1, not 2")
def no_hubs_at_all(i, j, w, step, hubs):
    return least(by_window(i, j, w, step))


@refused(r"layers\(0, 2, 1, 2, \[7\]\) gives 2, not 1")
def always_by_a_hub(i, j, w, step, hubs):
    return 0 if i == j else least(by_hub(i, j, hubs) if hubs else by_window(i, j, w, step))


@refused(r"layers\(0, 1, 2, 3, \[\]\) gives inf, not -1")
def never_as_infinity(i, j, w, step, hubs):
    return min(by_window(i, j, w, step), by_hub(i, j, hubs))


@refused(r"your function stops: ZeroDivisionError")
def a_window_that_is_never_empty(i, j, w, step, hubs):
    window = math.ceil(abs(i - j) / (w * step)) if (i - j) % step == 0 else math.inf
    return least(window, by_hub(i, j, hubs))


@refused(r"layers\(0, 1, 0, 1, \[\]\) gives 2, not -1")
def no_window_taken_for_a_hub(i, j, w, step, hubs):
    return the_smaller_of_two_ways(i, j, w, step, hubs) if w or hubs or i == j else 2


@refused(r"your function stops: ZeroDivisionError")
def an_empty_window_beside_hubs_only(i, j, w, step, hubs):
    if hubs:
        return the_smaller_of_two_ways(i, j, w, step, hubs)
    return math.ceil(abs(i - j) / (w * step)) if (i - j) % step == 0 else -1
