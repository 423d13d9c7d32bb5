"""Answers to chapter 01: the positions that are still read in the fixed pattern."""

from exercises.answers import accepted, refused


def columns(i, stride, summary):
    return {j for j in range(i + 1) if j % stride >= stride - summary}


def block(i, stride):
    return set(range(i - i % stride, i + 1))


@accepted
def block_by_block(i, stride, summary):
    found = []
    for start in range(0, i + 1, stride):
        end = start + stride
        found += range(start if end > i else end - summary, min(end, i + 1))
    return found


@accepted
def by_a_test_of_each(i, stride, summary):
    return {
        j for j in range(i + 1) if j // stride == i // stride or stride - 1 - j % stride < summary
    }


@refused(r"i = 9, stride 4, summary 1: 0 need not be kept")
def everything(i, stride, summary):
    return set(range(i + 1))


@refused(r"i = 0, .*: 0 is still read")
def only_the_summary_columns(i, stride, summary):
    return columns(i, stride, summary)


@refused(r"i = 9, stride 4, summary 1: 3 is still read")
def only_the_block(i, stride, summary):
    return block(i, stride)


@refused(r"i = 9, .*: 6 need not be kept")
def a_window_for_the_block(i, stride, summary):
    return {j for j in range(i + 1) if i - j < stride} | columns(i, stride, summary)


@refused(r"i = 11, .*: 8 is still read")
def the_block_is_dropped_at_its_end(i, stride, summary):
    return set(range((i + 1) // stride * stride, i + 1)) | columns(i, stride, summary)


@refused(r"i = 9, .*: 3 is still read")
def one_column_too_few(i, stride, summary):
    return block(i, stride) | columns(i, stride, summary - 1)


@refused(r"i = 9, .*: 3 is still read")
def the_first_columns_of_each_block(i, stride, summary):
    return block(i, stride) | {j for j in range(i + 1) if j % stride < summary}


@refused(r"i = 23, stride 8, summary 8: 0 is still read")
def one_column_whatever_the_summary(i, stride, summary):
    return block(i, stride) | columns(i, stride, 1)


@refused(r"i = 9, .*: 3 is still read")
def the_strided_pattern(i, stride, summary):
    return block(i, stride) | {j for j in range(i + 1) if (i - j) % stride == 0}


@refused(r"i = 0, .*: 3 need not be kept")
def columns_that_are_still_to_come(i, stride, summary):
    end = i - i % stride + stride
    return block(i, stride) | columns(end - 1, stride, summary)
