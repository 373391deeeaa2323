"""What learners write for chapter 14: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

from lib.efficient import linear_attention
from lib.reference.attention import scaled_dot_product_attention

# my_merge(m1, l1, o1, m2, l2, o2)


def mean_of_outputs(m1, l1, o1, m2, l2, o2):
    return 0.5 * (o1 / l1[:, None]) + 0.5 * (o2 / l2[:, None])


def sum_of_outputs(m1, l1, o1, m2, l2, o2):
    return o1 / l1[:, None] + o2 / l2[:, None]


def no_rescaling(m1, l1, o1, m2, l2, o2):
    return (o1 + o2) / (l1 + l2)[:, None]


def rescaled(m1, m2):
    m = np.maximum(m1, m2)
    return np.exp(m1 - m), np.exp(m2 - m)


def sums_as_they_are(m1, l1, o1, m2, l2, o2):
    a, b = rescaled(m1, m2)
    return (a[:, None] * o1 + b[:, None] * o2) / (l1 + l2)[:, None]


def outputs_as_they_are(m1, l1, o1, m2, l2, o2):
    a, b = rescaled(m1, m2)
    return (o1 + o2) / (a * l1 + b * l2)[:, None]


def factors_upside_down(m1, l1, o1, m2, l2, o2):
    m = np.maximum(m1, m2)
    a, b = np.exp(m - m1), np.exp(m - m2)
    return (a[:, None] * o1 + b[:, None] * o2) / (a * l1 + b * l2)[:, None]


def never_divided(m1, l1, o1, m2, l2, o2):
    a, b = rescaled(m1, m2)
    return a[:, None] * o1 + b[:, None] * o2


def second_forgotten(m1, l1, o1, m2, l2, o2):
    return o1 / l1[:, None]


def first_forgotten(m1, l1, o1, m2, l2, o2):
    return o2 / l2[:, None]


def exponential_of_the_maximum(m1, l1, o1, m2, l2, o2):
    a, b = np.exp(m1)[:, None], np.exp(m2)[:, None]
    return (a * o1 + b * o2) / (a * l1[:, None] + b * l2[:, None])


def nan_for_nothing(m1, l1, o1, m2, l2, o2):
    a, b = rescaled(m1, m2)
    return (a[:, None] * o1 + b[:, None] * o2) / (a * l1 + b * l2)[:, None]


def merged_against(m, m1, l1, o1, m2, l2, o2):
    m = np.where(m == -np.inf, 0, m)
    a, b = np.exp(m1 - m), np.exp(m2 - m)
    total = a * l1 + b * l2
    total[total == 0] = 1
    return (a[:, None] * o1 + b[:, None] * o2) / total[:, None]


def first_maximum_for_both(m1, l1, o1, m2, l2, o2):
    return merged_against(m1, m1, l1, o1, m2, l2, o2)


def one_maximum_for_all_queries(m1, l1, o1, m2, l2, o2):
    return merged_against(np.full(len(m1), max(m1.max(), m2.max())), m1, l1, o1, m2, l2, o2)


def axis_forgotten(m1, l1, o1, m2, l2, o2):
    a, b = rescaled(m1, m2)
    return (a * o1 + b * o2) / (a * l1 + b * l2)


def changes_its_arguments(m1, l1, o1, m2, l2, o2):
    a, b = rescaled(m1, m2)
    l1 *= a
    return (a[:, None] * o1 + b[:, None] * o2) / (l1 + b * l2)[:, None]


def merged_through_shares(m1, l1, o1, m2, l2, o2):
    m = np.maximum(np.maximum(m1, m2), -1e300)
    parts = [(np.exp(one - m), total, output) for one, total, output in ((m1, l1, o1), (m2, l2, o2))]
    whole = sum(factor * total for factor, total, _ in parts)
    whole[whole == 0] = 1
    return sum((factor / whole)[:, None] * output for factor, _, output in parts)


def merged_one_query_at_a_time(m1, l1, o1, m2, l2, o2):
    rows = []
    for t in range(len(m1)):
        m = max(m1[t], m2[t])
        if m == -np.inf:
            rows.append(np.zeros(o1.shape[1]))
            continue
        a, b = np.exp(m1[t] - m), np.exp(m2[t] - m)
        rows.append((a * o1[t] + b * o2[t]) / (a * l1[t] + b * l2[t]))
    return np.array(rows)


# my_causal_linear(query, key, value)


def features(x):
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def recurrent(query, key, value, phi, before=False, divide=True):
    state, sums, rows = np.zeros((key.shape[1], value.shape[1])), np.zeros(key.shape[1]), []
    for q, k, v in zip(phi(query), phi(key), value, strict=True):
        if not before:
            state, sums = state + np.outer(k, v), sums + k
        rows.append(q @ state / ((q @ sums or 1.0) if divide else 1.0))
        if before:
            state, sums = state + np.outer(k, v), sums + k
    return np.array(rows)


def without_features(query, key, value):
    return recurrent(query, key, value, lambda x: x)


def relu_features(query, key, value):
    return recurrent(query, key, value, lambda x: np.maximum(x, 0))


def elu_without_one(query, key, value):
    return recurrent(query, key, value, lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1))


def exponential_features(query, key, value):
    return recurrent(query, key, value, np.exp)


def sees_the_future(query, key, value):
    state, sums = features(key).T @ value, features(key).sum(axis=0)
    return features(query) @ state / (features(query) @ sums)[:, None]


def asks_before_it_adds(query, key, value):
    return recurrent(query, key, value, features, before=True)


def not_normalised(query, key, value):
    return recurrent(query, key, value, features, divide=False)


def divides_by_the_count(query, key, value):
    return recurrent(query, key, value, features, divide=False) / np.arange(1, len(query) + 1)[:, None]


def divides_by_the_whole(query, key, value):
    return recurrent(query, key, value, features, divide=False) / (features(query) @ features(key).sum(axis=0))[:, None]


def softmax_attention(query, key, value):
    return scaled_dot_product_attention(query, key, value, np.tri(len(query)).astype(bool))


def keys_without_features(query, key, value):
    return recurrent(query, key, value, lambda x: features(x) if x is query else x)


def linear_by_recurrence(query, key, value):
    return recurrent(query, key, value, features)


def linear_by_cumulated_sums(query, key, value):
    q, k = features(query), features(key)
    states = np.cumsum(k[:, :, None] * value[:, None, :], axis=0)
    return np.einsum("td,tdv->tv", q, states) / np.einsum("td,td->t", q, np.cumsum(k, axis=0))[:, None]


def lists_the_table(query, key, value):
    weights = np.tril(features(query) @ features(key).T)
    return weights @ value / weights.sum(axis=1, keepdims=True)


def linear_of_lib(query, key, value):
    return linear_attention(*(torch.tensor(x) for x in (query, key, value)), causal=True).numpy()


# my_rollout(weights)


def halves(weights):
    return (weights + np.eye(weights.shape[-1])) / 2


def product(layers):
    return np.linalg.multi_dot([np.eye(layers.shape[-1]), *layers[::-1]])


def no_residual(weights):
    return product(weights)


def first_layer_on_the_left(weights):
    return product(halves(weights)[::-1])


def not_halved(weights):
    return product(weights + np.eye(weights.shape[-1]))


def averaged_with_residual(weights):
    return halves(weights).mean(axis=0)


def averaged(weights):
    return weights.mean(axis=0)


def last_layer(weights):
    return weights[-1].copy()


def last_layer_with_residual(weights):
    return halves(weights)[-1]


def entry_by_entry(weights):
    return np.prod(halves(weights), axis=0)


def transposed(weights):
    return product(halves(weights)).T


def residual_at_the_end(weights):
    return halves(product(weights))


def question_only(weights):
    return product(halves(weights))[-1]


def rollout_by_multi_dot(weights):
    return product(halves(weights))


def rollout_of_vectors(weights):
    T = weights.shape[1]
    columns = np.eye(T)
    for layer in weights:
        columns = 0.5 * columns + 0.5 * np.einsum("ts,sj->tj", layer, columns)
    return columns


WRONG = {
    "check_merge": {
        mean_of_outputs: "it averages two finished outputs",
        sum_of_outputs: "it adds two finished outputs",
        no_rescaling: "taken against different maxima",
        sums_as_they_are: "the sums l are not",
        outputs_as_they_are: "the outputs o are not",
        factors_upside_down: "the factor is turned round",
        never_divided: "the division by the joint sum is missing",
        second_forgotten: "the second block plays no part",
        first_forgotten: "the first block plays no part",
        exponential_of_the_maximum: "exp overflows",
        nan_for_nothing: "-inf minus -inf",
        first_maximum_for_both: "the first block's maximum for both",
        one_maximum_for_all_queries: "one maximum for all queries",
        axis_forgotten: "it stopped with ValueError",
        changes_its_arguments: "it changes its arguments",
    },
    "check_causal_linear": {
        without_features: "the features are missing",
        relu_features: "this is relu",
        elu_without_one: "elu without the + 1",
        exponential_features: "the features are exp(x)",
        sees_the_future: "it is not causal",
        asks_before_it_adds: "does not read itself",
        not_normalised: "the weights do not sum to 1",
        divides_by_the_count: "it divides by the number of places",
        divides_by_the_whole: "runs over later keys too",
        softmax_attention: "this is softmax attention",
        keys_without_features: "output[",
        lists_the_table: "no table of 600 x 600 weights",
    },
    "check_rollout": {
        no_residual: "the residual connection is missing",
        first_layer_on_the_left: "in the wrong order",
        not_halved: "the rows do not sum to 1",
        averaged_with_residual: "it averages the layers",
        averaged: "it averages the weights",
        last_layer: "the last layer alone",
        last_layer_with_residual: "only the last layer takes part",
        entry_by_entry: "entry by entry",
        transposed: "rows and columns are swapped",
        residual_at_the_end: "added once at the end",
        question_only: "the shape is",
    },
}
RIGHT = {
    "check_merge": [merged_through_shares, merged_one_query_at_a_time],
    "check_causal_linear": [linear_by_recurrence, linear_by_cumulated_sums, linear_of_lib],
    "check_rollout": [rollout_by_multi_dot, rollout_of_vectors],
}
