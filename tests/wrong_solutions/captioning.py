"""What learners write for chapter 11: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

# my_pointing_accuracy(weights, target)


def counts_words_without_target(weights, target):
    return (weights.argmax(axis=2) == target).sum() / target.size


def no_target_is_a_hit(weights, target):
    return np.mean(np.logical_or(weights.argmax(axis=-1) == target, target == -1))


def minus_one_is_the_last(weights, target):
    one_hot = np.eye(weights.shape[-1])[target]
    return np.mean((one_hot * np.eye(weights.shape[-1])[weights.argmax(-1)]).sum(-1))


def mean_weight(weights, target):
    named = target >= 0
    return np.mean(np.take_along_axis(weights, np.maximum(target, 0)[..., None], axis=-1)[..., 0][named])


def smallest_weight(weights, target):
    return np.mean((weights.argmin(axis=-1) == target)[target >= 0])


def drops_cell_zero(weights, target):
    return np.mean((weights.argmax(axis=-1) == target)[target > 0])


def mean_of_captions(weights, target):
    hits = weights.argmax(axis=-1) == target
    return np.mean([hits[b][target[b] >= 0].mean() for b in range(len(target))])


def a_count(weights, target):
    return ((weights.argmax(axis=-1) == target) & (target >= 0)).sum()


def misses(weights, target):
    return np.mean((weights.argmax(axis=-1) != target)[target >= 0])


def ties_are_hits(weights, target):
    named = target >= 0
    mine = np.take_along_axis(weights, np.maximum(target, 0)[..., None], axis=-1)[..., 0]
    return np.mean((mine == weights.max(axis=-1))[named])


def above_one_half(weights, target):
    named = target >= 0
    mine = np.take_along_axis(weights, np.maximum(target, 0)[..., None], axis=-1)[..., 0]
    return np.mean((mine > 0.5)[named])


def whole_captions(weights, target):
    return np.mean((weights.argmax(axis=-1) == target).all(axis=1))


def wrong_axis(weights, target):
    return np.mean((weights.argmax(axis=1) == target)[target >= 0])


def last_of_equals(weights, target):
    best = weights.shape[-1] - 1 - weights[..., ::-1].argmax(axis=-1)
    return np.mean((best == target)[target >= 0])


def one_an_element(weights, target):
    return (weights.argmax(axis=-1) == target)[target >= 0].astype(float)


def right_pointing(weights, target):
    named = target >= 0
    return ((weights.argmax(axis=-1) == target) & named).sum() / named.sum()


def right_by_loops(weights, target):
    hits = [np.argmax(weights[place]) == cell for place, cell in np.ndenumerate(target) if cell != -1]
    return sum(hits) / len(hits)


def right_pointing_in_torch(weights, target):
    weights, target = torch.tensor(weights), torch.tensor(target)
    return (weights.argmax(-1) == target)[target >= 0].double().mean().item()


# my_mixed_weights(shares, choice, soft)


def hard(shares, choice):
    return (choice[..., None] == np.arange(shares.shape[-1])).astype(float)


def inverted(shares, choice, soft):
    return np.where(soft[:, None, None], hard(shares, choice), shares)


def all_hard(shares, choice, soft):
    return hard(shares, choice)


def all_soft(shares, choice, soft):
    return shares


def half_of_each(shares, choice, soft):
    return 0.5 * shares + 0.5 * hard(shares, choice)


def largest_share(shares, choice, soft):
    return np.where(soft[:, None, None], shares, hard(shares, shares.argmax(-1)))


def soft_is_arg_max(shares, choice, soft):
    return hard(shares, np.where(soft[:, None], shares.argmax(-1), choice))


def keeps_the_share(shares, choice, soft):
    return np.where(soft[:, None, None], shares, shares * hard(shares, choice))


def uniform(shares, choice, soft):
    return np.where(soft[:, None, None], np.full(shares.shape, 1 / shares.shape[-1]), hard(shares, choice))


def along_the_words(shares, choice, soft):
    if len(soft) != shares.shape[1]:
        return right_mixed(shares, choice, soft)
    return np.where(soft[:, None], shares, hard(shares, choice))


def along_the_regions(shares, choice, soft):
    if len(soft) != shares.shape[2]:
        return right_mixed(shares, choice, soft)
    return np.where(soft, shares, hard(shares, choice))


def sees_nothing(shares, choice, soft):
    return shares * soft[:, None, None]


def broadcast_fails(shares, choice, soft):
    return np.where(soft, shares, hard(shares, choice))


def changes_its_arguments(shares, choice, soft):
    shares[~soft] = hard(shares, choice)[~soft]
    return shares


def right_mixed(shares, choice, soft):
    weights = hard(shares, choice)
    weights[soft] = shares[soft]
    return weights


def right_by_arithmetic(shares, choice, soft):
    share = soft[:, None, None].astype(float)
    return share * shares + (1 - share) * hard(shares, choice)


def right_word_by_word(shares, choice, soft):
    weights = shares.copy()
    for b, t in np.ndindex(choice.shape):
        if not soft[b]:
            weights[b, t] = 0
            weights[b, t, choice[b, t]] = 1
    return weights


WRONG = {
    "check_pointing_accuracy": {
        counts_words_without_target: "count as misses",
        no_target_is_a_hit: "count as hits",
        minus_one_is_the_last: "the last region",
        mean_weight: "the mean weight",
        smallest_weight: "the smallest weight",
        drops_cell_zero: "cell 0",
        mean_of_captions: "each caption",
        a_count: "this is a count",
        misses: "share of misses",
        ties_are_hits: "the first of them only",
        above_one_half: "above one half",
        whole_captions: "without any miss",
        wrong_axis: "broadcast",
        last_of_equals: "the first of them is where it looks",
        one_an_element: "the shape is",
    },
    "check_mixed_weights": {
        inverted: "the wrong way round",
        all_hard: "every caption is hard",
        all_soft: "every caption is soft",
        half_of_each: "half of each",
        largest_share: "the one that was drawn",
        soft_is_arg_max: "the expectation",
        keeps_the_share: "keeps its share",
        uniform: "all regions equally",
        along_the_words: "along the words",
        along_the_regions: "along the regions",
        sees_nothing: "see nothing",
        broadcast_fails: "broadcast",
        changes_its_arguments: "changes its arguments",
    },
}
RIGHT = {
    "check_pointing_accuracy": [right_pointing, right_by_loops, right_pointing_in_torch],
    "check_mixed_weights": [right_mixed, right_by_arithmetic, right_word_by_word],
}
