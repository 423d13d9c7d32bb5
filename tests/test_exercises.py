"""What a check says: right answers in its own words, all others in a sentence, none as an error."""

import pytest
import torch

from attn_lib.exercises import NotYet, agree, kindly, numbers_made


@kindly
def check(double):
    """The check of an exercise: write a function that doubles."""
    for size in (3, 5):
        x = torch.ones(size)
        agree(double(x), 2 * x, f"with {size} numbers")
        assert x.sum() == size, "an answer that writes into its tensors spoils the next line"
    return "right"


def doubled_in_place(x):
    x *= 2
    return x


def test_a_right_answer_gets_the_checks_own_word():
    assert check(lambda x: x + x) == "right"
    assert check.__doc__ == "The check of an exercise: write a function that doubles."


def test_an_answer_may_write_into_its_tensors():
    assert check(doubled_in_place) == "right"


def test_an_empty_answer_waits():
    assert check(lambda x: None) == "nothing to check yet: your function gives None"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda x: x, "with 3 numbers: at (0,) it gives 1, not 2"),
        (lambda x: 2 * x[:3], "with 5 numbers: its shape is (3,), not (5,)"),
        (lambda x: 2 * x if len(x) == 3 else None, "it gives None for some inputs"),
        (lambda x: [2.0] * len(x), "with 3 numbers: it gives a list, not a tensor"),
        (lambda x: x / 0, "with 3 numbers: at (0,) it gives inf, not 2"),
        (lambda x: 0 * x / 0, "with 3 numbers: at (0,) it gives nan, not 2"),
        (lambda x: x == 1, "with 3 numbers: at (0,) it gives 1, not 2"),
        (lambda x: {}[0], "your function stops: KeyError: 0"),
        (lambda: 2, "your function stops: TypeError: <lambda>() takes 0 positional arguments but"),
    ],
)
def test_a_wrong_answer_gets_a_sentence(answer, word):
    assert check(answer).startswith(f"not yet: {word}")


@pytest.mark.parametrize("error", [ValueError("bad\nlines"), AssertionError(), RecursionError("x")])
def test_an_error_in_the_answer_becomes_a_line(error):
    def answer(x):
        raise error

    word = check(answer)
    assert word.startswith(f"not yet: your function stops: {type(error).__name__}")
    assert "\n" not in word


def test_what_a_check_cannot_use_becomes_a_sentence():
    @kindly
    def first_is_one(answer):
        if answer()[0] != 1:
            raise NotYet("the first is not 1")
        return "right"

    assert first_is_one(lambda: [1]) == "right"
    assert first_is_one(lambda: [2]) == "not yet: the first is not 1"
    word = "not yet: the check cannot use what your function gives: TypeError"
    assert first_is_one(lambda: 1).startswith(word)


def test_agreeing_forgives_a_step_in_float32_and_no_more():
    wanted = torch.linspace(0.1, 3, 50, dtype=torch.float64)
    agree(wanted.float(), wanted, "rounded")
    with pytest.raises(NotYet, match=r"^rounded: at \(0,\) it gives 0\.1000000014\d*, not 0\.1$"):
        agree(wanted.float(), wanted, "rounded", tolerance=1e-12)
    with pytest.raises(NotYet, match=r"^moved: at \(0,\)"):
        agree(wanted + 1e-5, wanted, "moved")


def test_a_single_number_has_no_place():
    with pytest.raises(NotYet, match=r"^the sum: it gives 3, not 4$"):
        agree(torch.tensor(3), torch.tensor(4), "the sum")


def test_work_for_each_token_doubles_with_the_tokens_and_reading_the_past_quadruples():
    def once(x):
        return [row + 1 for row in x]

    def again(x):
        return [x[: i + 1].exp() for i in range(len(x))]

    few, many = torch.zeros(50, 4), torch.zeros(100, 4)
    assert numbers_made(once, many) == 2 * numbers_made(once, few)
    assert numbers_made(again, many) == pytest.approx(4 * numbers_made(again, few), rel=0.02)
