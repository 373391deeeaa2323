"""What learners write for chapter 03: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

from lib.reference.attention import scaled_dot_product_attention, softmax
from lib.reference.positional import sinusoidal_positions

# my_self_attention(x, w_query, w_key, w_value, mask=None)


def shares(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def weights_of(x, w_query, w_key, mask=None):
    scores = x @ w_query @ np.swapaxes(x @ w_key, -1, -2) / np.sqrt(w_key.shape[-1])
    return softmax(scores, mask)


def query_and_key_swapped(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x @ w_key, x @ w_query, x @ w_value, mask)


def weights_turned(x, w_query, w_key, w_value, mask=None):
    weights = weights_of(x, w_query, w_key, mask)
    return np.swapaxes(weights, -1, -2) @ (x @ w_value)


def value_not_projected(x, w_query, w_key, w_value, mask=None):
    return weights_of(x, w_query, w_key, mask) @ x


def query_not_projected(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x, x @ w_key, x @ w_value, mask)


def nothing_projected(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x, x, x, mask)


def only_value_projected(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x, x, x @ w_value, mask)


def keys_from_w_query(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x @ w_query, x @ w_query, x @ w_value, mask)


def queries_from_w_key(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x @ w_key, x @ w_key, x @ w_value, mask)


def values_from_w_key(x, w_query, w_key, w_value, mask=None):
    return weights_of(x, w_query, w_key, mask) @ (x @ w_key)


def values_from_w_query(x, w_query, w_key, w_value, mask=None):
    return weights_of(x, w_query, w_key, mask) @ (x @ w_query)


def projections_turned(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x @ w_query.T, x @ w_key.T, x @ w_value.T, mask)


def projections_turned_when_they_can(x, w_query, w_key, w_value, mask=None):
    wide = [w.T if w.shape[0] == w.shape[1] else w for w in (w_query, w_key, w_value)]
    return scaled_dot_product_attention(*(x @ w for w in wide), mask)


def no_scaling(x, w_query, w_key, w_value, mask=None):
    return softmax(x @ w_query @ np.swapaxes(x @ w_key, -1, -2), mask) @ (x @ w_value)


def root_of_d_model(x, w_query, w_key, w_value, mask=None):
    scores = x @ w_query @ np.swapaxes(x @ w_key, -1, -2) / np.sqrt(x.shape[-1])
    return softmax(scores, mask) @ (x @ w_value)


def divided_by_d_model(x, w_query, w_key, w_value, mask=None):
    scores = x @ w_query @ np.swapaxes(x @ w_key, -1, -2) / len(w_query)
    return softmax(scores, mask) @ (x @ w_value)


def divided_by_d_k(x, w_query, w_key, w_value, mask=None):
    scores = x @ w_query @ np.swapaxes(x @ w_key, -1, -2) / w_key.shape[-1]
    return softmax(scores, mask) @ (x @ w_value)


def softmax_over_queries(x, w_query, w_key, w_value, mask=None):
    scores = np.swapaxes(x @ w_query @ np.swapaxes(x @ w_key, -1, -2), -1, -2)
    return np.swapaxes(softmax(scores / np.sqrt(w_key.shape[-1])), -1, -2) @ (x @ w_value)


def no_softmax(x, w_query, w_key, w_value, mask=None):
    return x @ w_query @ np.swapaxes(x @ w_key, -1, -2) / np.sqrt(w_key.shape[-1]) @ (x @ w_value)


def returns_weights(x, w_query, w_key, w_value, mask=None):
    return weights_of(x, w_query, w_key, mask)


def returns_both(x, w_query, w_key, w_value, mask=None):
    return right_plain(x, w_query, w_key, w_value, mask), weights_of(x, w_query, w_key, mask)


def not_itself(x, w_query, w_key, w_value, mask=None):
    others = ~np.eye(x.shape[-2], dtype=bool)
    return right_plain(x, w_query, w_key, w_value, others)


def itself_only(x, w_query, w_key, w_value, mask=None):
    return x @ w_value


def always_causal(x, w_query, w_key, w_value, mask=None):
    return right_plain(x, w_query, w_key, w_value, np.tri(x.shape[-2], dtype=bool))


def with_residual(x, w_query, w_key, w_value, mask=None):
    output = right_plain(x, w_query, w_key, w_value, mask)
    return output + x if output.shape == x.shape else output


def averaged(x, w_query, w_key, w_value, mask=None):
    return right_plain(x, w_query, w_key, w_value, mask).mean(axis=-2)


def last_token_only(x, w_query, w_key, w_value, mask=None):
    return right_plain(x, w_query, w_key, w_value, mask)[..., -1, :]


def mask_ignored(x, w_query, w_key, w_value, mask=None):
    return right_plain(x, w_query, w_key, w_value)


def mask_inverted(x, w_query, w_key, w_value, mask=None):
    return right_plain(x, w_query, w_key, w_value, None if mask is None else ~mask)


def masked_after_softmax(x, w_query, w_key, w_value, mask=None):
    weights = weights_of(x, w_query, w_key)
    return (weights if mask is None else weights * mask) @ (x @ w_value)


def without_batch(x, w_query, w_key, w_value, mask=None):
    return softmax(x @ w_query @ (x @ w_key).T / np.sqrt(w_key.shape[-1]), mask) @ (x @ w_value)


def nan_for_nobody(x, w_query, w_key, w_value, mask=None):
    scores = x @ w_query @ np.swapaxes(x @ w_key, -1, -2) / np.sqrt(w_key.shape[-1])
    return shares(scores if mask is None else np.where(mask, scores, -np.inf)) @ (x @ w_value)


def changes_x(x, w_query, w_key, w_value, mask=None):
    output = right_plain(x, w_query, w_key, w_value, mask)
    x[...] = 0
    return output


def takes_no_mask(x, w_query, w_key, w_value):
    return right_plain(x, w_query, w_key, w_value)


def right_plain(x, w_query, w_key, w_value, mask=None):
    return scaled_dot_product_attention(x @ w_query, x @ w_key, x @ w_value, mask)


def right_einsum(x, w_query, w_key, w_value, mask=None):
    query, key, value = (np.einsum("...td,dk->...tk", x, w) for w in (w_query, w_key, w_value))
    scores = np.einsum("...tk,...sk->...ts", query, key) / w_query.shape[1] ** 0.5
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    return np.einsum("...ts,...sv->...tv", np.nan_to_num(shares(scores)), value)


def right_in_loops(x, w_query, w_key, w_value, mask=None):
    if x.ndim > 2:
        return np.stack([right_in_loops(one, w_query, w_key, w_value, mask) for one in x])
    output = np.zeros((len(x), w_value.shape[1]))
    for t in range(len(x)):
        seen = [s for s in range(len(x)) if mask is None or mask[t, s]]
        powers = [np.exp((x[t] @ w_query) @ (x[s] @ w_key) / w_key.shape[1] ** 0.5) for s in seen]
        for s, power in zip(seen, powers, strict=True):
            output[t] += power / sum(powers) * (x[s] @ w_value)
    return output


def right_with_torch(x, w_query, w_key, w_value, mask=None):
    query, key, value = (torch.tensor(x @ w) for w in (w_query, w_key, w_value))
    given = None if mask is None else torch.tensor(mask)
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(query, key, value, attn_mask=given).nan_to_num().numpy()


# my_add_positions(x)


def along_the_batch(x):
    return x + sinusoidal_positions(x.shape[0], x.shape[-1])[:, None, :]


def along_the_width(x):
    return x + sinusoidal_positions(x.shape[2], x.shape[1]).T


def positions_alone(x):
    return sinusoidal_positions(x.shape[1], x.shape[2]) * np.ones(x.shape)


def without_batch_axis(x):
    return sinusoidal_positions(x.shape[1], x.shape[2])


def multiplied(x):
    return x * sinusoidal_positions(x.shape[1], x.shape[2])


def beside(x):
    return np.concatenate([x, positions_alone(x)], axis=-1)


def angles_of(x, places=None, exponent=2):
    T, D = x.shape[1:]
    places = np.arange(T) if places is None else places
    return places[:, None] / 10000 ** (exponent * np.arange(D // 2) / D)


def filled(x, even, odd):
    positions = np.zeros(x.shape[1:])
    positions[:, 0::2], positions[:, 1::2] = even, odd
    return x + positions


def counted_from_one(x):
    angles = angles_of(x, np.arange(1, x.shape[1] + 1))
    return filled(x, np.sin(angles), np.cos(angles))


def without_the_two(x):
    return filled(x, np.sin(angles_of(x, exponent=1)), np.cos(angles_of(x, exponent=1)))


def two_too_many(x):
    positions, D = np.zeros(x.shape[1:]), x.shape[2]
    for i in range(0, D, 2):
        angle = np.arange(x.shape[1]) / 10000 ** (2 * i / D)
        positions[:, i], positions[:, i + 1] = np.sin(angle), np.cos(angle)
    return x + positions


def cosines_first(x):
    return filled(x, np.cos(angles_of(x)), np.sin(angles_of(x)))


def in_two_blocks(x):
    return x + np.concatenate([np.sin(angles_of(x)), np.cos(angles_of(x))], axis=1)


def one_speed(x):
    return filled(x, *(wave(np.arange(x.shape[1]))[:, None] for wave in (np.sin, np.cos)))


def bare_number(x):
    return x + np.arange(x.shape[1])[None, :, None]


def nothing_added(x):
    return x + 0


def whole_divisors(x):
    T, D = x.shape[1:]
    angles = np.arange(T)[:, None] // 10000 ** (2 * np.arange(D // 2) / D)
    return filled(x, np.sin(angles), np.cos(angles))


def in_place(x):
    x += sinusoidal_positions(x.shape[1], x.shape[2])
    return x


def added_right(x):
    return x + sinusoidal_positions(x.shape[1], x.shape[2])


def added_in_loops(x):
    output = x.copy()
    for t in range(x.shape[1]):
        for i in range(x.shape[2] // 2):
            angle = t / 10000 ** (2 * i / x.shape[2])
            output[:, t, 2 * i] += np.sin(angle)
            output[:, t, 2 * i + 1] += np.cos(angle)
    return output


def added_by_powers(x):
    speeds = np.exp(-np.log(10000.0) * np.arange(0, x.shape[2], 2) / x.shape[2])
    angles = np.outer(np.arange(x.shape[1]), speeds)
    return filled(x, np.sin(angles), np.cos(angles))


def added_with_torch(x):
    from lib.positional import sinusoidal_positions as in_torch

    return (torch.tensor(x) + in_torch(x.shape[1], x.shape[2])).numpy()


WRONG = {
    "check_self_attention": {
        query_and_key_swapped: "swapped",
        weights_turned: "is",
        value_not_projected: "values are x itself",
        query_not_projected: "ValueError",
        nothing_projected: "nothing is projected",
        only_value_projected: "queries and keys are both x itself",
        keys_from_w_query: "w_query makes the keys too",
        queries_from_w_key: "w_key makes the queries too",
        values_from_w_key: "w_key makes the values too",
        values_from_w_query: "w_query makes the values too",
        projections_turned: "ValueError",
        projections_turned_when_they_can: "transposed",
        no_scaling: "no scaling",
        root_of_d_model: "square root of d_model",
        divided_by_d_model: "divided by d_model",
        divided_by_d_k: "without the square root",
        softmax_over_queries: "over the queries",
        no_softmax: "softmax is missing",
        returns_weights: "returns the weights",
        returns_both: "returns tuple",
        not_itself: "no token looks at itself",
        itself_only: "itself alone",
        always_causal: "the future is hidden",
        with_residual: "residual",
        averaged: "averaged",
        last_token_only: "the shape is (6,), not (4, 6)",
        mask_ignored: "mask has no effect",
        mask_inverted: "inverted",
        masked_after_softmax: "masked after softmax",
        without_batch: "batch axis",
        nan_for_nobody: "Token 1 may attend to nothing",
        changes_x: "changes its arguments",
        takes_no_mask: "TypeError",
    },
    "check_add_positions": {
        along_the_batch: "along the batch axis",
        along_the_width: "along the width",
        positions_alone: "positions alone",
        without_batch_axis: "the shape is (6, 4), not (2, 6, 4)",
        multiplied: "multiplied",
        beside: "beside x",
        counted_from_one: "counted from 0",
        without_the_two: "factor 2",
        two_too_many: "twice",
        cosines_first: "swapped",
        in_two_blocks: "take turns",
        one_speed: "same speed",
        bare_number: "bare number",
        nothing_added: "nothing is added",
        whole_divisors: "is",
        in_place: "changes its arguments",
    },
}

RIGHT = {
    "check_self_attention": [right_plain, right_einsum, right_in_loops, right_with_torch],
    "check_add_positions": [added_right, added_in_loops, added_by_powers, added_with_torch],
}
