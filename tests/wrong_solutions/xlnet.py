"""What learners write for chapter 12: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

from lib.models.xlnet import permutation_mask, relative_shift

# my_permutation_masks(order)


def steps(order):
    step = np.empty(len(order), dtype=int)
    step[order] = np.arange(len(order))
    return step


def query_first(order):
    step = steps(order)
    return np.array([step[:, None] > step, step[:, None] >= step])


def query_reads_itself(order):
    step = steps(order)
    mask = step[:, None] >= step
    return np.array([mask, mask])


def content_without_itself(order):
    step = steps(order)
    mask = step[:, None] > step
    return np.array([mask, mask])


def read_by_column(order):
    step = steps(order)
    return np.array([step >= step[:, None], step > step[:, None]])


def order_itself(order):
    return np.array([order[:, None] >= order, order[:, None] > order])


def causal_always(order):
    T = len(order)
    return np.array([np.tri(T), np.tri(T, k=-1)]).astype(bool)


def hidden_not_allowed(order):
    step = steps(order)
    return np.array([step[:, None] < step, step[:, None] <= step])


def all_but_itself(order):
    T = len(order)
    return np.array([np.ones((T, T)), 1 - np.eye(T)]).astype(bool)


def only_the_last_step(order):
    step = steps(order)
    return np.array([step[:, None] >= step, step[:, None] == step + 1])


def one_mask(order):
    step = steps(order)
    return step[:, None] >= step


def as_numbers(order):
    step = steps(order)
    return np.array([step[:, None] >= step, step[:, None] > step]).astype(float)


def sorts_in_place(order):
    step = steps(order)
    order.sort()
    return np.array([step[:, None] >= step, step[:, None] > step])


def masks_in_loops(order):
    T = len(order)
    masks = np.zeros((2, T, T), dtype=bool)
    for t in range(T):
        masks[0, order[t], order[: t + 1]] = True
        masks[1, order[t], order[:t]] = True
    return masks


def masks_of_lib(order):
    return torch.stack(permutation_mask(torch.tensor(order))).numpy()


# my_relative_shift(scores)


def first_columns(scores):
    return scores[:, : scores.shape[0]].copy()


def last_columns(scores):
    return scores[:, scores.shape[0] :].copy()


def picked(scores, column):
    T = len(scores)
    return np.array([[scores[i, column(i, j, T) % (2 * T)] for j in range(T)] for i in range(T)])


def key_minus_query(scores):
    return picked(scores, lambda i, j, T: T - (j - i))


def without_sign(scores):
    return picked(scores, lambda i, j, T: T - abs(i - j))


def one_early(scores):
    return picked(scores, lambda i, j, T: T - 1 - (i - j))


def one_late(scores):
    return picked(scores, lambda i, j, T: T + 1 - (i - j))


def by_columns(scores):
    return picked(scores, lambda i, j, T: T - (i - j)).T


def distance_as_column(scores):
    return picked(scores, lambda i, j, T: i - j)


def rolls_right(scores):
    return np.array([np.roll(row, -i)[: len(scores)] for i, row in enumerate(scores)])


def no_negative_distance(scores):
    return picked(scores, lambda i, j, T: T - max(i - j, 0))


def all_columns_kept(scores):
    T = len(scores)
    return scores.reshape(2 * T, T)[1:].reshape(T, 2 * T - 1)


def shift_in_loops(scores):
    return picked(scores, lambda i, j, T: T - (i - j))


def shift_of_rows(scores):
    T = len(scores)
    return np.array([row[T - i : 2 * T - i] for i, row in enumerate(scores)])


def shift_of_lib(scores):
    return relative_shift(torch.tensor(scores)).numpy()


# my_cost_of_independence(joint)


def information(joint):
    first, second = joint.sum(1), joint.sum(0)
    total = np.float64(0)
    for x in range(len(first)):
        for y in range(len(second)):
            if joint[x, y] > 0:
                total += joint[x, y] * np.log(joint[x, y] / (first[x] * second[y]))
    return total


def entropy(p):
    return -sum(x * np.log(x) for x in np.ravel(p) if x > 0)


def in_bits(joint):
    return information(joint) / np.log(2)


def negative(joint):
    return -information(joint)


def joint_entropy(joint):
    return entropy(joint)


def both_entropies(joint):
    return entropy(joint.sum(1)) + entropy(joint.sum(0))


def second_given_first(joint):
    return entropy(joint) - entropy(joint.sum(1))


def first_given_second(joint):
    return entropy(joint) - entropy(joint.sum(0))


def logs(joint):
    product = np.outer(joint.sum(1), joint.sum(0))
    return np.log(joint[joint > 0] / product[joint > 0])


def unweighted(joint):
    return logs(joint).sum()


def evenly_averaged(joint):
    return logs(joint).mean()


def weighted_independently(joint):
    return (logs(joint) * np.outer(joint.sum(1), joint.sum(0))[joint > 0]).sum()


def differences(joint):
    return np.abs(joint - np.outer(joint.sum(1), joint.sum(0))).sum()


def against_even(joint):
    return (joint * np.log(joint * joint.size)).sum()


def nan_at_zero(joint):
    return (joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum()


def python_number(joint):
    return float(information(joint))


def three_entropies(joint):
    return entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)


WRONG = {
    "check_permutation_masks": {
        query_first: "swapped",
        query_reads_itself: "the very token that it has to predict",
        content_without_itself: "content stream does not read its own place",
        read_by_column: "rows and columns are swapped",
        order_itself: "np.argsort(order)",
        causal_always: "the order plays no part",
        hidden_not_allowed: "opposite",
        all_but_itself: "also those that come later",
        only_the_last_step: "only the place right before it",
        one_mask: "only the content mask",
        as_numbers: "give booleans",
        sorts_in_place: "changes its arguments",
    },
    "check_relative_shift": {
        first_columns: "nothing has moved",
        last_columns: "last T columns",
        key_minus_query: "the sign is turned round",
        without_sign: "keys on both sides get the same score",
        one_early: "one column off",
        one_late: "one column too far",
        by_columns: "rows and columns are swapped",
        distance_as_column: "used as the column",
        rolls_right: "move the wrong way",
        no_negative_distance: "negative distances",
        all_columns_kept: "keep the first T",
    },
    "check_cost_of_independence": {
        in_bits: "bits",
        negative: "never below 0",
        joint_entropy: "entropy of the joint table",
        both_entropies: "take the difference",
        second_given_first: "second word when the first is known",
        first_given_second: "first word when the second is known",
        unweighted: "not weighted",
        evenly_averaged: "as if all were alike",
        weighted_independently: "weights are the independent",
        differences: "compare their logarithms",
        against_even: "even table",
        nan_at_zero: "leave them out",
    },
}

RIGHT = {
    "check_permutation_masks": [masks_in_loops, masks_of_lib],
    "check_relative_shift": [shift_in_loops, shift_of_rows, shift_of_lib],
    "check_cost_of_independence": [three_entropies, python_number],
}
