"""What learners write for chapter 01: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

# softmax(scores)


def wrong_axis(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum(axis=0)


def second_axis(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def whole_array(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def overflowing(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def global_maximum(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def global_maximum_with_epsilon(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / (exponentials.sum(axis=-1, keepdims=True) + 1e-9)


def mean_subtracted(scores):
    exponentials = np.exp(scores - scores.mean(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def clipped(scores):
    exponentials = np.exp(np.clip(scores, -50, 50))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def divided_by_largest_score(scores):
    return scores / scores.max(axis=-1, keepdims=True)


def divided_by_largest_exponential(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.max(axis=-1, keepdims=True)


def squared(scores):
    return scores**2 / (scores**2).sum(axis=-1, keepdims=True)


def absolute(scores):
    return np.abs(scores) / np.abs(scores).sum(axis=-1, keepdims=True)


def linear(scores):
    return scores / scores.sum(axis=-1, keepdims=True)


def base_two(scores):
    powers = 2 ** (scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def not_normalised(scores):
    return np.exp(scores)


def hard(scores):
    return np.eye(scores.shape[-1])[scores.argmax(axis=-1)]


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores))


def turned_round(scores):
    exponentials = np.exp(scores.min(axis=-1, keepdims=True) - scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def logarithm(scores):
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def in_place(scores):
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def without_keepdims(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1)


def returns_list(scores):
    return softmax_plain(scores).tolist()


def returns_tensor(scores):
    return torch.softmax(torch.tensor(scores), dim=-1)


def returns_text(scores):
    return np.array(["not", "numbers"])


def softmax_plain(scores):
    exponentials = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return exponentials / np.sum(exponentials, axis=-1, keepdims=True)


def softmax_by_rows(scores):
    if scores.ndim > 1:
        return np.stack([softmax_by_rows(row) for row in scores])
    powers = [np.e ** (score - max(scores)) for score in scores]
    return np.array([power / sum(powers) for power in powers])


def softmax_with_torch(scores):
    return torch.softmax(torch.from_numpy(scores.copy()), dim=-1).numpy()


def softmax_single_precision(scores):
    return softmax_plain(scores.astype(np.float32))


def softmax_by_logarithm(scores):
    return np.exp(logarithm(scores))


# my_pooling(query, keys, values, width)


def gauss(query, keys, width):
    return np.exp(-((query[:, None] - keys[None, :]) ** 2) / (2 * width**2))


def pooling_not_normalised(query, keys, values, width):
    return gauss(query, keys, width) @ values


def mean_of_products(query, keys, values, width):
    return (gauss(query, keys, width) * values).mean(axis=-1)


def over_queries(query, keys, values, width):
    kernel = gauss(query, keys, width)
    return (kernel / kernel.sum(axis=0)) @ values


def over_everything(query, keys, values, width):
    kernel = gauss(query, keys, width)
    return kernel / kernel.sum() @ values


def width_not_squared(query, keys, values, width):
    return softmax_plain(-((query[:, None] - keys) ** 2) / (2 * width)) @ values


def without_two(query, keys, values, width):
    return softmax_plain(-(((query[:, None] - keys) / width) ** 2)) @ values


def missing_parentheses(query, keys, values, width):
    return softmax_plain(-((query[:, None] - keys) ** 2) / 2 * width**2) @ values


def without_width(query, keys, values, width):
    return softmax_plain(-((query[:, None] - keys) ** 2) / 2) @ values


def absolute_distance(query, keys, values, width):
    return softmax_plain(-np.abs(query[:, None] - keys) / (2 * width**2)) @ values


def signed_distance(query, keys, values, width):
    return softmax_plain(-(query[:, None] - keys) / (2 * width**2)) @ values


def without_minus(query, keys, values, width):
    return softmax_plain((query[:, None] - keys) ** 2 / (2 * width**2)) @ values


def nearest(query, keys, values, width):
    return values[np.abs(query[:, None] - keys).argmin(axis=-1)]


def plain_mean(query, keys, values, width):
    return np.full(len(query), values.mean())


def sums_keys(query, keys, values, width):
    return softmax_plain(-((query[:, None] - keys) ** 2) / (2 * width**2)) @ keys


def returns_weights(query, keys, values, width):
    return softmax_plain(-((query[:, None] - keys) ** 2) / (2 * width**2))


def underflowing(query, keys, values, width):
    kernel = gauss(query, keys, width)
    return kernel @ values / kernel.sum(axis=-1)


def underflow_hidden(query, keys, values, width):
    kernel = gauss(query, keys, width)
    return kernel @ values / (kernel.sum(axis=-1) + 1e-12)


def squeezes(query, keys, values, width):
    weights = softmax_plain(-((query[:, None] - keys) ** 2) / (2 * width**2))
    return np.squeeze(weights) @ values


def sorts_keys(query, keys, values, width):
    keys.sort()
    return softmax_plain(-((query[:, None] - keys) ** 2) / (2 * width**2)) @ values


def returns_column(query, keys, values, width):
    return pooling_plain(query, keys, values, width)[:, None]


def needs_as_many_keys_as_queries(query, keys, values, width):
    return softmax_plain(-((query - keys) ** 2) / (2 * width**2)) * values


def pooling_plain(query, keys, values, width):
    return softmax_plain(-((query[:, None] - keys) ** 2) / (2 * width**2)) @ values


def pooling_in_loops(query, keys, values, width):
    output = []
    for q in query:
        scores = [-((q - k) ** 2) / (2 * width**2) for k in keys]
        weights = [np.exp(score - max(scores)) for score in scores]
        output.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return np.array(output)


def pooling_einsum(query, keys, values, width):
    distance = np.subtract.outer(query, keys) / width
    return np.einsum("ts,s->t", softmax_plain(-0.5 * distance * distance), values)


WRONG = {
    "check_softmax": {
        wrong_axis: "wrong axis",
        second_axis: "single row",
        whole_array: "all weights together",
        overflowing: "exp overflows",
        global_maximum: "each row's own maximum",
        global_maximum_with_epsilon: "each row's own maximum",
        mean_subtracted: "not its mean",
        clipped: "exp overflows",
        divided_by_largest_score: "divided by the largest one",
        divided_by_largest_exponential: "largest exponential",
        squared: "squared",
        absolute: "absolute value",
        linear: "negative weights",
        base_two: "base is 2",
        not_normalised: "do not sum to 1",
        hard: "arg max",
        sigmoid: "sigmoid",
        turned_round: "turned round",
        logarithm: "logarithm",
        in_place: "changes its arguments",
        without_keepdims: "ValueError",
        returns_list: "returns list",
        returns_tensor: "returns Tensor",
        returns_text: "the shape is (2,)",
    },
    "check_attention_pooling": {
        pooling_not_normalised: "do not sum to 1",
        mean_of_products: "number of keys",
        over_queries: "over the queries",
        over_everything: "all weights together",
        width_not_squared: "width is not squared",
        without_two: "factor 2",
        missing_parentheses: "a / (2 * b)",
        without_width: "width has no effect",
        absolute_distance: "distance is not squared",
        signed_distance: "keeps its sign",
        without_minus: "minus sign",
        nearest: "nearest key",
        plain_mean: "plain mean",
        sums_keys: "over the keys",
        returns_weights: "returns the weights",
        underflowing: "far from all keys",
        underflow_hidden: "far from all keys",
        squeezes: "There was a single key",
        sorts_keys: "changes its arguments",
        returns_column: "the shape is (4, 1), not (4,)",
        needs_as_many_keys_as_queries: "ValueError",
    },
}

RIGHT = {
    "check_softmax": [
        softmax_plain,
        softmax_by_rows,
        softmax_with_torch,
        softmax_single_precision,
        softmax_by_logarithm,
    ],
    "check_attention_pooling": [pooling_plain, pooling_in_loops, pooling_einsum],
}
