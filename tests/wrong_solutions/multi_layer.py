"""What learners write for chapter 18: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch
import torch.nn.functional as F

# my_layer(x, attend, transform)


def norm(x):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


def norm_of_columns(x):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def norm_of_everything(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def norm_without_epsilon(x):
    return (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)


def norm_by_variance(x):
    return (x - x.mean(axis=-1, keepdims=True)) / (x.var(axis=-1, keepdims=True) + 1e-5)


def norm_by_sample_variance(x):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True, ddof=1) + 1e-5)


def centred(x):
    return x - x.mean(axis=-1, keepdims=True)


def with_norm(one):
    def layer(x, attend, transform):
        y = x + attend(one(x))
        return y + transform(one(y))

    layer.__name__ = f"layer_with_{one.__name__}"
    return layer


over_columns, over_everything, without_epsilon, by_variance, by_sample_variance, only_centred = map(
    with_norm,
    (norm_of_columns, norm_of_everything, norm_without_epsilon, norm_by_variance, norm_by_sample_variance, centred),
)


def no_residual(x, attend, transform):
    return transform(norm(attend(norm(x))))


def no_second_residual(x, attend, transform):
    x = x + attend(norm(x))
    return transform(norm(x))


def no_first_residual(x, attend, transform):
    x = attend(norm(x))
    return x + transform(norm(x))


def post_norm(x, attend, transform):
    x = norm(x + attend(x))
    return norm(x + transform(x))


def no_norm(x, attend, transform):
    x = x + attend(x)
    return x + transform(x)


def residual_normalised(x, attend, transform):
    x = norm(x)
    x = x + attend(x)
    x = norm(x)
    return x + transform(x)


def second_not_normalised(x, attend, transform):
    x = x + attend(norm(x))
    return x + transform(x)


def parallel(x, attend, transform):
    normed = norm(x)
    return x + attend(normed) + transform(normed)


def first_input_again(x, attend, transform):
    return x + transform(norm(x + attend(norm(x))))


def other_order(x, attend, transform):
    y = x + transform(norm(x))
    return y + attend(norm(y))


def in_place(x, attend, transform):
    x += attend(norm(x))
    x += transform(norm(x))
    return x


def forgets_transform(x, attend, transform):
    return x + attend(norm(x))


def layer_in_steps(x, attend, transform):
    for function in (attend, transform):
        x = x + function(norm(x))
    return x


def layer_in_loops(x, attend, transform):
    def by_rows(y):
        return np.array([(row - sum(row) / len(row)) / (np.var(row) + 1e-5) ** 0.5 for row in y])

    y = np.add(x, attend(by_rows(x)))
    return np.add(y, transform(by_rows(y)))


def layer_with_torch(x, attend, transform):
    def by_torch(y):
        return F.layer_norm(torch.tensor(y), (y.shape[-1],)).numpy()

    y = x + attend(by_torch(x))
    return y + transform(by_torch(y))


# my_induction_score(weights, tokens)


def targets(tokens):
    return [
        (t, max(s for s in range(t) if tokens[s] == tokens[t])) for t in range(len(tokens)) if tokens[t] in tokens[:t]
    ]


def onto_itself(weights, tokens):
    return np.mean([weights[t, s] for t, s in targets(tokens)])


def onto_before(weights, tokens):
    return np.mean([weights[t, max(s - 1, 0)] for t, s in targets(tokens)])


def onto_first(weights, tokens):
    firsts = [(t, list(tokens).index(tokens[t])) for t in range(len(tokens)) if tokens[t] in tokens[:t]]
    return np.mean([weights[t, s + 1] for t, s in firsts])


def score_of_columns(weights, tokens):
    return np.mean([weights[s + 1, t] for t, s in targets(tokens)])


def score_summed(weights, tokens):
    return np.sum([weights[t, s + 1] for t, s in targets(tokens)])


def score_over_all_places(weights, tokens):
    return np.sum([weights[t, s + 1] for t, s in targets(tokens)]) / len(tokens)


def previous_token_score(weights, tokens):
    return np.mean([weights[t, t - 1] for t in range(1, len(tokens))])


def hits(weights, tokens):
    return np.mean([weights[t].argmax() == s + 1 for t, s in targets(tokens)])


def all_scores(weights, tokens):
    return np.array([weights[t, s + 1] for t, s in targets(tokens)])


def fixed_period(weights, tokens):
    period = len(tokens) // 2
    return np.mean([weights[t, t - period + 1] for t in range(period, len(tokens))])


def score_in_loops(weights, tokens):
    total, count = 0.0, 0
    for t in range(len(tokens)):
        for s in range(t - 1, -1, -1):
            if tokens[s] == tokens[t]:
                total, count = total + weights[t, s + 1], count + 1
                break
    return np.float64(total / count)


def score_with_arrays(weights, tokens):
    same = np.tril(tokens[:, None] == tokens[None, :], -1)  # (T, T)
    latest = len(tokens) - 1 - same[:, ::-1].argmax(axis=-1)
    rows = np.flatnonzero(same.any(axis=-1))
    return weights[rows, latest[rows] + 1].mean()


# my_attention_distance(weights)


def apart(weights):
    place = np.arange(weights.shape[-1])
    return place[:, None] - place


def signed(weights):
    return (weights * apart(weights)).sum(-1).mean(-1)


def squared(weights):
    return (weights * apart(weights) ** 2).sum(-1).mean(-1)


def mean_over_keys(weights):
    return (weights * np.abs(apart(weights))).mean(axis=(1, 2))


def sum_over_queries(weights):
    return (weights * np.abs(apart(weights))).sum(axis=(1, 2))


def without_weights(weights):
    return np.array([np.abs(apart(one)).mean() for one in weights])


def to_the_strongest(weights):
    place = np.arange(weights.shape[-1])
    return np.abs(weights.argmax(-1) - place).mean(-1)


def of_every_query(weights):
    return (weights * np.abs(apart(weights))).sum(-1)


def of_all_heads(weights):
    return (weights * np.abs(apart(weights))).sum(-1).mean()


def to_the_mean_place(weights):
    place = np.arange(weights.shape[-1])
    return np.abs(weights @ place - place).mean(-1)


def first_head_only(weights):
    return (weights[0] * np.abs(apart(weights))).sum(-1).mean(-1)


def distance_with_einsum(weights):
    return np.einsum("hts,ts->h", weights, np.abs(apart(weights))) / weights.shape[1]


def distance_in_loops(weights):
    H, T, _ = weights.shape
    total = np.zeros(H)
    for t in range(T):
        for s in range(T):
            total += weights[:, t, s] * abs(t - s)
    return total / T


WRONG = {
    "check_residual_layer": {
        no_residual: "no residual path",
        no_second_residual: "second half has no residual",
        no_first_residual: "first half has no residual",
        post_norm: "post-norm",
        no_norm: "nothing is normalised",
        residual_normalised: "residual path is normalised",
        second_not_normalised: "give it norm(y)",
        parallel: "starts from x",
        first_input_again: "adds x again",
        other_order: "attend is first",
        over_columns: "over the places",
        over_everything: "whole array",
        without_epsilon: "add 1e-5",
        by_variance: "square root",
        by_sample_variance: "d - 1",
        only_centred: "not made 1",
        in_place: "changes its arguments",
        forgets_transform: "the second one starts from y",
    },
    "check_induction_score": {
        onto_itself: "appearance itself",
        onto_before: "before the earlier appearance",
        onto_first: "latest",
        score_of_columns: "swapped",
        score_summed: "it is the sum",
        score_over_all_places: "over all places",
        previous_token_score: "previous-token score",
        hits: "take the weight itself",
        all_scores: "the shape is (3,), not ()",
        fixed_period: "only the places 4 and 6 repeat",
    },
    "check_attention_distance": {
        signed: "negative",
        squared: "squared",
        mean_over_keys: "over the keys as well",
        sum_over_queries: "queries are added up",
        without_weights: "weights play no part",
        to_the_strongest: "only the key with the most weight",
        of_every_query: "one number per query",
        of_all_heads: "heads are averaged",
        to_the_mean_place: "mean place",
        first_head_only: "the shape is (), not (3,)",
    },
}

RIGHT = {
    "check_residual_layer": [layer_in_steps, layer_in_loops, layer_with_torch],
    "check_induction_score": [score_in_loops, score_with_arrays],
    "check_attention_distance": [distance_with_einsum, distance_in_loops],
}
