"""Answers to chapter 11: a norm first, then an addition, in each sub-layer."""

from torch.nn.functional import layer_norm

from exercises.answers import accepted, refused


def norm(x):
    return layer_norm(x, x.shape[-1:])


def post(x, attend, feed):
    x = norm(x + attend(x))
    return norm(x + feed(x))


@accepted
def a_loop_over_the_sub_layers(x, attend, feed):
    for change in (attend, feed):
        x = norm(x)
        x = x + change(x)
    return x


@accepted
def post_ln_cut_in_front_of_its_norm(x, attend, feed):
    def sub_layer(x, change):
        return norm(x) + change(norm(x))

    return sub_layer(sub_layer(x, attend), feed)


@refused(r"one block in which F\(x\) = x, twice: at \(0, 0, 0\)")
def a_norm_and_then_post_ln(x, attend, feed):
    return post(norm(x), attend, feed)


@refused(r"one block")
def post_ln(x, attend, feed):
    return post(x, attend, feed)


@refused(r"one block")
def pre_ln(x, attend, feed):
    x = x + attend(norm(x))
    return x + feed(norm(x))


@refused(r"one block")
def one_norm_for_both(x, attend, feed):
    x = norm(x)
    x = x + attend(x)
    return x + feed(x)


@refused(r"one block")
def the_norm_is_computed_and_not_kept(x, attend, feed):
    x = norm(x) + attend(x)
    return norm(x) + feed(x)


@refused(r"a stack of four, with a norm at its top: at")
def feed_forward_first(x, attend, feed):
    return a_loop_over_the_sub_layers(x, feed, attend)


@refused(r"a stack of four, with a norm at its top: at")
def attention_twice(x, attend, feed):
    return a_loop_over_the_sub_layers(x, attend, attend)


@refused(r"one block")
def no_additions(x, attend, feed):
    return feed(norm(attend(norm(x))))
