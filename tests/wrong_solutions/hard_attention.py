"""What learners write for chapter 16: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

from lib.hard import top_k_attention as torch_top_k

# my_top_k_weights(scores, k, mask)


def shares(scores):
    highest = scores.max(axis=-1, keepdims=True)
    exponentials = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total > 0, total, 1)


def highest(scores, k, axis=-1):
    kept = np.zeros(scores.shape, dtype=bool)
    order = np.argsort(-scores, axis=axis, kind="stable")
    np.put_along_axis(kept, np.take(order, range(k), axis=axis), True, axis=axis)
    return kept


def hide(scores, mask):
    return np.where(mask, scores, -np.inf)


def plain_softmax(scores, k, mask):
    return shares(hide(scores, mask))


def softmax_then_top_k(scores, k, mask):
    weights = shares(hide(scores, mask))
    return weights * highest(weights, k)


def k_ones(scores, k, mask):
    return (highest(hide(scores, mask), k) & mask).astype(float)


def equal_parts(scores, k, mask):
    kept = highest(hide(scores, mask), k) & mask
    return kept / np.maximum(kept.sum(axis=-1, keepdims=True), 1)


def zeros_instead_of_minus_infinity(scores, k, mask):
    return shares(scores * (highest(hide(scores, mask), k) & mask))


def the_lowest(scores, k, mask):
    return shares(hide(scores, highest(-hide(scores, mask), k)))


def wrong_axis(scores, k, mask):
    return shares(hide(scores, highest(scores, k, axis=-2) & mask))


def first_axis(scores, k, mask):
    return shares(hide(scores, highest(scores, k, axis=0) & mask))


def of_the_whole_array(scores, k, mask):
    return shares(hide(scores, (scores >= np.sort(scores, axis=None)[-k]) & mask))


def only_the_best(scores, k, mask):
    return (highest(hide(scores, mask), 1) & mask).astype(float)


def no_mask(scores, k, mask):
    return shares(hide(scores, highest(scores, k)))


def masked_after_choosing(scores, k, mask):
    return shares(hide(scores, highest(scores, k) & mask))


def masked_after_softmax(scores, k, mask):
    return shares(hide(scores, highest(scores, k))) * mask


def inverted_mask(scores, k, mask):
    visible = hide(scores, ~mask)
    return shares(hide(scores, highest(visible, k) & ~mask))


def all_that_tie(scores, k, mask):
    visible = hide(scores, mask)
    return shares(hide(visible, visible >= np.sort(visible, axis=-1)[..., -k, None]))


def last_of_equals(scores, k, mask):
    visible = hide(scores, mask)
    kept = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(kept, np.argsort(visible, axis=-1, kind="stable")[..., -k:], True, axis=-1)
    return shares(hide(scores, kept & mask))


def fills_up_with_hidden(scores, k, mask):
    return shares(hide(scores, highest(hide(scores, mask), k)))


def nan_in_an_empty_row(scores, k, mask):
    visible = hide(scores, highest(hide(scores, mask), k) & mask)
    exponentials = np.exp(visible - visible.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def underflows(scores, k, mask):
    exponentials = np.exp(scores) * (highest(hide(scores, mask), k) & mask)
    return exponentials / np.maximum(exponentials.sum(axis=-1, keepdims=True), 1e-300)


def one_too_many(scores, k, mask):
    return right_top_k(scores, k + 1, mask)


def all_rows_together(scores, k, mask):
    exponentials = np.exp(hide(scores, highest(hide(scores, mask), k) & mask))
    return exponentials / exponentials.sum()


def large_negative_instead_of_minus_infinity(scores, k, mask):
    visible = np.where(mask, scores, -1e9)
    return shares(np.where(highest(visible, k), visible, -1e9))


def partitioned(scores, k, mask):
    visible = hide(scores, mask)
    kept = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(kept, np.argpartition(-visible, k - 1, axis=-1)[..., :k], True, axis=-1)
    return shares(hide(scores, kept & mask))


def changes_its_arguments(scores, k, mask):
    scores[~mask] = -np.inf
    return shares(hide(scores, highest(scores, k) & mask))


def right_top_k(scores, k, mask):
    return shares(hide(scores, highest(hide(scores, mask), k) & mask))


def right_by_rows(scores, k, mask):
    weights = np.zeros(scores.shape)
    for row in np.ndindex(scores.shape[:-1]):
        kept = sorted(np.flatnonzero(mask[row]), key=lambda j, row=row: (-scores[row][j], j))[:k]
        if kept:
            chosen = scores[row][kept]
            weights[row][kept] = np.exp(chosen - chosen.max()) / np.exp(chosen - chosen.max()).sum()
    return weights


def right_by_counting(scores, k, mask):
    visible, place = hide(scores, mask), np.arange(scores.shape[-1])
    this, that = visible[..., :, None], visible[..., None, :]
    ahead = (that > this) | ((that == this) & (place < place[:, None]))
    return shares(hide(scores, (ahead.sum(axis=-1) < k) & mask))


def right_in_torch(scores, k, mask):
    return torch_top_k(torch.tensor(scores), k, torch.tensor(mask)).numpy()


# my_reinforce_gradient(probabilities, choice, reward, baseline)


def one_hot(p, choice):
    return np.eye(p.shape[-1])[choice]


def wrong_sign(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * (p - one_hot(p, choice))


def baseline_added(p, choice, reward, baseline):
    return (reward + baseline)[:, None] * (one_hot(p, choice) - p)


def no_baseline(p, choice, reward, baseline):
    return reward[:, None] * (one_hot(p, choice) - p)


def no_one_hot(p, choice, reward, baseline):
    return -(reward - baseline)[:, None] * p


def no_probabilities(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * one_hot(p, choice)


def gradient_of_p(p, choice, reward, baseline):
    chosen = p[np.arange(len(p)), choice][:, None]
    return (reward - baseline)[:, None] * chosen * (one_hot(p, choice) - p)


def by_the_probabilities(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * one_hot(p, choice) / p


def most_probable(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * (one_hot(p, p.argmax(axis=-1)) - p)


def baseline_off_the_gradient(p, choice, reward, baseline):
    return reward[:, None] * (one_hot(p, choice) - p) - np.broadcast_to(baseline, reward.shape)[:, None]


def baseline_times_probabilities(p, choice, reward, baseline):
    return reward[:, None] * one_hot(p, choice) - np.broadcast_to(baseline, reward.shape)[:, None] * p


def averaged(p, choice, reward, baseline):
    return ((reward - baseline)[:, None] * (one_hot(p, choice) - p)).mean(axis=0)


def mean_reward(p, choice, reward, baseline):
    return (reward - baseline).mean() * (one_hot(p, choice) - p)


def no_axis(p, choice, reward, baseline):
    return (reward - baseline) * (one_hot(p, choice) - p)


def square_only(p, choice, reward, baseline):
    advantage = reward - baseline
    return (advantage if len(p) == p.shape[1] else advantage[:, None]) * (one_hot(p, choice) - p)


def only_the_chosen(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * one_hot(p, choice) * (1 - p)


def softmax_twice(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * (one_hot(p, choice) - shares(p))


def divided_by_the_batch(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * (one_hot(p, choice) - p) / len(p)


def squeezed(p, choice, reward, baseline):
    return ((reward - baseline)[:, None] * (one_hot(p, choice) - p)).squeeze()


def scalar_baseline_only(p, choice, reward, baseline):
    return (reward - float(baseline))[:, None] * (one_hot(p, choice) - p)


def right_reinforce(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * (one_hot(p, choice) - p)


def right_in_place_of_a_copy(p, choice, reward, baseline):
    gradient = -p
    gradient[np.arange(len(p)), choice] += 1
    return (gradient.T * (reward - baseline)).T


def right_entry_by_entry(p, choice, reward, baseline):
    baseline = np.broadcast_to(baseline, reward.shape)
    gradient = np.empty(p.shape)
    for (i, j), share in np.ndenumerate(p):
        gradient[i, j] = (reward[i] - baseline[i]) * ((j == choice[i]) - share)
    return gradient


def right_by_autograd(p, choice, reward, baseline):
    scores = torch.tensor(np.log(p), requires_grad=True)
    chosen = scores.log_softmax(-1)[torch.arange(len(p)), torch.tensor(choice)]
    return torch.autograd.grad((torch.tensor(reward - baseline) * chosen).sum(), scores)[0].numpy()


WRONG = {
    "check_top_k_weights": {
        plain_softmax: "every element keeps a weight",
        softmax_then_top_k: "do not sum to 1",
        k_ones: "each kept element gets 1",
        equal_parts: "share equally",
        zeros_instead_of_minus_infinity: "exp(0) = 1",
        the_lowest: "the k lowest",
        wrong_axis: "over the rows",
        first_axis: "over the rows",
        of_the_whole_array: "of the whole array",
        only_the_best: "only one element",
        no_mask: "the mask has no effect",
        masked_after_choosing: "took places among the k",
        masked_after_softmax: "no longer sum to 1",
        inverted_mask: "inverted",
        all_that_tie: "more than k",
        last_of_equals: "of equal scores the last",
        fills_up_with_hidden: "fewer than k",
        nan_in_an_empty_row: "0 / 0",
        underflows: "underflows",
        one_too_many: "one element too many",
        all_rows_together: "all rows together",
        large_negative_instead_of_minus_infinity: "not -1e9",
        partitioned: "argpartition never",
        changes_its_arguments: "changes its arguments",
    },
    "check_reinforce_gradient": {
        wrong_sign: "the sign is wrong",
        baseline_added: "the baseline is added",
        no_baseline: "the baseline has no effect",
        no_one_hot: "one-hot vector of the choice is missing",
        no_probabilities: "the probabilities are missing",
        gradient_of_p: "the gradient of p_j, not of log p_j",
        by_the_probabilities: "with respect to the probabilities",
        most_probable: "the most probable element",
        baseline_off_the_gradient: "subtracted from the gradient",
        baseline_times_probabilities: "multiply different parts",
        averaged: "the batch is averaged",
        mean_reward: "the mean reward",
        only_the_chosen: "only the chosen score",
        softmax_twice: "taken twice",
        divided_by_the_batch: "divided by B",
        squeezed: "a single example",
        no_axis: "x[:, None]",
        square_only: "[:, None]",
        scalar_baseline_only: "each example has its own",
    },
}
RIGHT = {
    "check_top_k_weights": [right_top_k, right_by_rows, right_by_counting, right_in_torch],
    "check_reinforce_gradient": [right_reinforce, right_in_place_of_a_copy, right_entry_by_entry, right_by_autograd],
}
