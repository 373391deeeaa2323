"""What learners write for chapter 15: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

from lib import attention

# my_sparsemax(scores)


def kept_and_threshold(scores, keeps=lambda rank, score, total: 1 + rank * score > total):
    ordered = np.sort(scores, axis=-1)[..., ::-1]
    ranks = np.arange(scores.shape[-1]) + 1
    total = np.cumsum(ordered, axis=-1)
    kept = np.maximum(keeps(ranks, ordered, total).sum(axis=-1, keepdims=True), 1)
    return kept, (np.take_along_axis(total, kept - 1, axis=-1) - 1) / kept


def right_by_sorting(scores):
    _, threshold = kept_and_threshold(scores)
    return np.clip(scores - threshold, 0, None)


def right_by_halving(scores):
    low, high = scores.max(axis=-1, keepdims=True) - 1, scores.max(axis=-1, keepdims=True)
    for _ in range(100):
        middle = (low + high) / 2
        too_low = np.maximum(scores - middle, 0).sum(axis=-1, keepdims=True) > 1
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return np.maximum(scores - high, 0)


def right_in_loops(scores):
    weights = np.zeros_like(scores)
    for row in np.ndindex(scores.shape[:-1]):
        kept = list(scores[row])
        while min(kept) <= (sum(kept) - 1) / len(kept):
            kept.remove(min(kept))
        weights[row] = np.maximum(scores[row] - (sum(kept) - 1) / len(kept), 0)
    return weights


def right_with_torch(scores):
    return attention.sparsemax(torch.tensor(scores)).numpy()


def over_columns(scores):
    return right_by_sorting(scores.T).T


def over_axis_1(scores):
    return np.moveaxis(right_by_sorting(np.moveaxis(scores, 1, -1)), -1, 1)


def over_everything(scores):
    return right_by_sorting(scores.ravel()).reshape(scores.shape)


def softmax_instead(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cut_softmax(scores):
    weights = softmax_instead(scores)
    return weights * (weights > 1 / scores.shape[-1])


def cut_softmax_scaled_up(scores):
    weights = cut_softmax(scores)
    return weights / weights.sum(axis=-1, keepdims=True)


def clipped(scores):
    return np.minimum(np.maximum(scores, 0), 1)


def positive_shares(scores):
    positive = np.maximum(scores, 0)
    return positive / positive.sum(axis=-1, keepdims=True)


def all_kept(scores):
    return np.maximum(scores - (scores.sum(axis=-1, keepdims=True) - 1) / scores.shape[-1], 0)


def shifted_only(scores):
    return scores - (scores.sum(axis=-1, keepdims=True) - 1) / scores.shape[-1]


def not_clipped(scores):
    return scores - kept_and_threshold(scores)[1]


def without_the_one(scores):
    kept, threshold = kept_and_threshold(scores)
    return np.maximum(scores - threshold - 1 / kept, 0)


def ranks_from_zero(scores):
    ordered = -np.sort(-scores, axis=-1)
    total = ordered.cumsum(axis=-1)
    last = (1 + np.arange(1, scores.shape[-1] + 1) * ordered > total).sum(axis=-1, keepdims=True) - 1
    k = np.maximum(last, 1)  # the index of the last one taken for a number
    return np.maximum(scores - (np.take_along_axis(total, k - 1, axis=-1) - 1) / k, 0)


def one_too_many(scores):
    kept, _ = kept_and_threshold(scores)
    kept = np.minimum(kept + 1, scores.shape[-1])
    total = np.sort(scores, axis=-1)[..., ::-1].cumsum(axis=-1)
    return np.maximum(scores - (np.take_along_axis(total, kept - 1, axis=-1) - 1) / kept, 0)


def rank_forgotten(scores):
    return np.maximum(scores - kept_and_threshold(scores, lambda rank, score, total: 1 + score > total)[1], 0)


def ascending(scores):
    ordered = np.sort(scores, axis=-1)
    total = ordered.cumsum(axis=-1)
    kept = (1 + np.arange(1, scores.shape[-1] + 1) * ordered > total).sum(axis=-1, keepdims=True)
    return np.maximum(scores - (np.take_along_axis(total, kept - 1, axis=-1) - 1) / kept, 0)


def left_sorted(scores):
    ordered = np.sort(scores, axis=-1)[..., ::-1]
    return np.maximum(ordered - kept_and_threshold(scores)[1], 0)


def arg_max(scores):
    return np.eye(scores.shape[-1])[scores.argmax(axis=-1)]


def sigmoid_instead(scores):
    return 1 / (1 + np.exp(-scores))


def single_axis(scores):
    ordered = np.sort(scores, axis=1)[:, ::-1]
    total = ordered.cumsum(axis=1)
    kept = (1 + np.arange(1, scores.shape[1] + 1) * ordered > total).sum(axis=1)
    return np.maximum(scores - ((total[np.arange(len(scores)), kept - 1] - 1) / kept)[:, None], 0)


def ties_broken(scores):
    weights = right_by_sorting(scores)
    best = scores == scores.max(axis=-1, keepdims=True)
    tied = best.sum(axis=-1, keepdims=True) > 1
    return np.where(tied, np.eye(scores.shape[-1])[scores.argmax(axis=-1)], weights)


def in_place(scores):
    scores -= kept_and_threshold(scores)[1]
    scores[scores < 0] = 0
    return scores


# my_additive_score(query, key, w_query, w_key, v)


def hidden(query, key, w_query, w_key):
    return np.expand_dims(query @ w_query, -2) + np.expand_dims(key @ w_key, -3)


def additive_plain(query, key, w_query, w_key, v):
    return np.tanh(hidden(query, key, w_query, w_key)) @ v


def additive_in_loops(query, key, w_query, w_key, v):
    scores = np.empty((*query.shape[:-1], key.shape[-2]))
    for *lead, t, s in np.ndindex(scores.shape):
        unit = np.tanh(w_query.T @ query[(*lead, t)] + w_key.T @ key[(*lead, s)])
        scores[(*lead, t, s)] = sum(v * unit)
    return scores


def additive_with_einsum(query, key, w_query, w_key, v):
    return np.einsum("...tsh,h->...ts", np.tanh(hidden(query, key, w_query, w_key)), v)


def additive_concatenated(query, key, w_query, w_key, v):
    T, S = query.shape[-2], key.shape[-2]
    pairs = np.concatenate(
        [np.repeat(query[..., :, None, :], S, axis=-2), np.repeat(key[..., None, :, :], T, axis=-3)], axis=-1
    )
    return np.tanh(pairs @ np.concatenate([w_query, w_key])) @ v


def no_tanh(query, key, w_query, w_key, v):
    return hidden(query, key, w_query, w_key) @ v


def tanh_last(query, key, w_query, w_key, v):
    return np.tanh(hidden(query, key, w_query, w_key) @ v)


def tanh_apart(query, key, w_query, w_key, v):
    return hidden(np.tanh(query @ w_query), np.tanh(key @ w_key), np.eye(len(v)), np.eye(len(v))) @ v


def multiplied(query, key, w_query, w_key, v):
    return np.tanh((query @ w_query)[..., :, None, :] * (key @ w_key)[..., None, :, :]) @ v


def subtracted(query, key, w_query, w_key, v):
    return np.tanh(hidden(query, key, w_query, -w_key)) @ v


def with_relu(query, key, w_query, w_key, v):
    return np.maximum(hidden(query, key, w_query, w_key), 0) @ v


def with_sigmoid(query, key, w_query, w_key, v):
    return (1 / (1 + np.exp(-hidden(query, key, w_query, w_key)))) @ v


def without_v(query, key, w_query, w_key, v):
    return np.tanh(hidden(query, key, w_query, w_key)).sum(axis=-1)


def averaged(query, key, w_query, w_key, v):
    return np.tanh(hidden(query, key, w_query, w_key)).mean(axis=-1)


def scaled(query, key, w_query, w_key, v):
    return additive_plain(query, key, w_query, w_key, v) / len(v) ** 0.5


def normalised(query, key, w_query, w_key, v):
    return softmax_instead(additive_plain(query, key, w_query, w_key, v))


def turned(query, key, w_query, w_key, v):
    return np.swapaxes(additive_plain(query, key, w_query, w_key, v), -1, -2)


def hidden_layer(query, key, w_query, w_key, v):
    return np.tanh(hidden(query, key, w_query, w_key))


def row_by_row(query, key, w_query, w_key, v):
    S = key.shape[-2]
    if query.shape[-2] != S:  # repeats what is missing, as a learner does who must make the shapes fit
        return additive_plain(query, key, w_query, w_key, v)
    return np.tanh(query @ w_query + key @ w_key) @ v


def element_by_element(query, key, w_query, w_key, v):
    return np.tanh(query @ w_query + key @ w_key) @ v


def key_only(query, key, w_query, w_key, v):
    return additive_plain(0 * query, key, w_query, w_key, v)


def query_only(query, key, w_query, w_key, v):
    return additive_plain(query, 0 * key, w_query, w_key, v)


def no_batches(query, key, w_query, w_key, v):
    return np.tanh((query @ w_query)[:, None] + (key @ w_key)[None, :]) @ v


def one_weight(query, key, w_query, w_key, v):
    return np.tanh((query @ w_query)[..., :, None, :] + (key @ w_query)[..., None, :, :]) @ v


WRONG = {
    "check_sparsemax": {
        over_columns: "wrong axis",
        over_axis_1: "axis 1",
        over_everything: "all weights together",
        softmax_instead: "this is softmax",
        cut_softmax: "does not sum to 1",
        cut_softmax_scaled_up: "the rest scaled up",
        clipped: "clipped to 0 ... 1",
        positive_shares: "divided by their sum",
        all_kept: "all S scores have weight",
        shifted_only: "nothing is clipped",
        not_clipped: "weights below 0",
        without_the_one: "the 1 is missing",
        ranks_from_zero: "one score too few",
        one_too_many: "one score too many",
        rank_forgotten: "lacks the rank",
        ascending: "from the highest down",
        left_sorted: "sorted order",
        arg_max: "arg max",
        sigmoid_instead: "sigmoid",
        single_axis: "single row",
        ties_broken: "equal weights",
        in_place: "changes its arguments",
    },
    "check_additive_score": {
        no_tanh: "tanh is missing",
        tanh_last: "tanh comes too late",
        tanh_apart: "apart",
        multiplied: "multiplied",
        subtracted: "subtracted",
        with_relu: "ReLU",
        with_sigmoid: "sigmoid",
        without_v: "v is not used",
        averaged: "averaged",
        scaled: "square root",
        normalised: "softmax is already taken",
        turned: "rows and columns",
        hidden_layer: "returns the hidden layer",
        row_by_row: "as many queries as keys",
        element_by_element: "broadcast",
        key_only: "query has no effect",
        query_only: "key has no effect",
        no_batches: "batch axes",
        one_weight: "stopped with ValueError",
    },
}

RIGHT = {
    "check_sparsemax": [right_by_sorting, right_by_halving, right_in_loops, right_with_torch],
    "check_additive_score": [additive_plain, additive_in_loops, additive_with_einsum, additive_concatenated],
}
