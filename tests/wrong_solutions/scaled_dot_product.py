"""What learners write for chapter 04: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch
import torch.nn.functional as F

from lib.reference.attention import scaled_dot_product_attention

# my_attention(query, key, value, mask=None)


def shares(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def swapped(key):
    return np.swapaxes(key, -1, -2)


def finish(scores, value, mask, hidden=-np.inf):
    if mask is not None:
        scores = np.where(mask, scores, hidden)
    return np.nan_to_num(shares(scores)) @ value


def no_scaling(query, key, value, mask=None):
    return finish(query @ swapped(key), value, mask)


def divided_by_d(query, key, value, mask=None):
    return finish(query @ swapped(key) / query.shape[-1], value, mask)


def multiplied_by_root(query, key, value, mask=None):
    return finish(query @ swapped(key) * np.sqrt(query.shape[-1]), value, mask)


def root_of_value_width(query, key, value, mask=None):
    return finish(query @ swapped(key) / np.sqrt(value.shape[-1]), value, mask)


def root_of_keys(query, key, value, mask=None):
    return finish(query @ swapped(key) / np.sqrt(key.shape[-2]), value, mask)


def root_of_queries(query, key, value, mask=None):
    return finish(query @ swapped(key) / np.sqrt(len(query)), value, mask)


def scaled_too_late(query, key, value, mask=None):
    return finish(query @ swapped(key), value, mask) / np.sqrt(query.shape[-1])


def softmax_over_queries(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    return swapped(shares(swapped(scores))) @ value


def softmax_over_axis_1(query, key, value, mask=None):
    scores = np.exp(query @ swapped(key) / np.sqrt(query.shape[-1]))
    if mask is not None:
        scores = scores * mask
    return scores / scores.sum(axis=1, keepdims=True) @ value


def softmax_over_everything(query, key, value, mask=None):
    scores = np.exp(query @ swapped(key) / np.sqrt(query.shape[-1]))
    return scores / scores.sum() @ value


def no_softmax(query, key, value, mask=None):
    return query @ swapped(key) / np.sqrt(query.shape[-1]) @ value


def not_normalised(query, key, value, mask=None):
    return np.exp(query @ swapped(key) / np.sqrt(query.shape[-1])) @ value


def hard(query, key, value, mask=None):
    return value[(query @ swapped(key)).argmax(axis=-1)]


def no_mask(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, value)


def inverted_mask(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, value, None if mask is None else ~mask)


def masked_after_softmax(query, key, value, mask=None):
    weights = shares(query @ swapped(key) / np.sqrt(query.shape[-1]))
    return (weights if mask is None else weights * mask) @ value


def scores_to_zero(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    return shares(scores if mask is None else scores * mask) @ value


def mask_added(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    return shares(scores if mask is None else scores + mask) @ value


def small_additive_mask(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    return shares(scores if mask is None else scores - 1e4 * ~mask) @ value


def small_mask_value(query, key, value, mask=None):
    return finish(query @ swapped(key) / np.sqrt(query.shape[-1]), value, mask, hidden=-1e4)


def large_additive_mask(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    return shares(scores if mask is None else scores + np.where(mask, 0, -1e9)) @ value


def large_mask_value(query, key, value, mask=None):
    return finish(query @ swapped(key) / np.sqrt(query.shape[-1]), value, mask, hidden=-1e9)


def largest_mask_value(query, key, value, mask=None):
    return finish(query @ swapped(key) / np.sqrt(query.shape[-1]), value, mask, hidden=np.finfo(float).min)


def nan_in_empty_row(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    return shares(scores if mask is None else np.where(mask, scores, -np.inf)) @ value


def overflowing(query, key, value, mask=None):
    weights = np.exp(query @ swapped(key) / np.sqrt(query.shape[-1]))
    if mask is not None:
        weights = np.where(mask, weights, 0)
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300) @ value


def global_maximum(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max())
    if mask is not None:
        weights = weights * mask
    return np.nan_to_num(weights / weights.sum(axis=-1, keepdims=True)) @ value


def not_transposed(query, key, value, mask=None):
    return finish(query @ key / np.sqrt(query.shape[-1]), value, mask)


def reshaped(query, key, value, mask=None):
    turned = key.reshape(*key.shape[:-2], key.shape[-1], key.shape[-2])
    return finish(query @ turned / np.sqrt(query.shape[-1]), value, mask)


def sums_keys(query, key, value, mask=None):
    return scaled_dot_product_attention(query, key, key, mask)


def value_as_key(query, key, value, mask=None):
    return scaled_dot_product_attention(query, value, value, mask)


def returns_weights(query, key, value, mask=None):
    return shares(query @ swapped(key) / np.sqrt(query.shape[-1]))


def returns_both(query, key, value, mask=None):
    return right_plain(query, key, value, mask), returns_weights(query, key, value)


def without_batch(query, key, value, mask=None):
    return finish(query @ key.T / np.sqrt(query.shape[-1]), value, mask)


def mask_not_broadcast(query, key, value, mask=None):
    scores = query @ swapped(key) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores[~mask] = -np.inf
    return np.nan_to_num(shares(scores)) @ value


def changes_query(query, key, value, mask=None):
    query /= np.sqrt(query.shape[-1])
    return finish(query @ swapped(key), value, mask)


def changes_mask(query, key, value, mask=None):
    output = right_plain(query, key, value, mask)
    if mask is not None:
        mask[...] = ~mask
    return output


def takes_no_mask(query, key, value):
    return scaled_dot_product_attention(query, key, value)


def right_plain(query, key, value, mask=None):
    return finish(query @ swapped(key) / np.sqrt(query.shape[-1]), value, mask)


def right_einsum(query, key, value, mask=None):
    scores = np.einsum("...td,...sd->...ts", query * query.shape[-1] ** -0.5, key)
    allowed = np.ones_like(scores, dtype=bool) if mask is None else np.broadcast_to(mask, scores.shape)
    scores = np.where(allowed, scores, -np.inf)
    highest = scores.max(axis=-1, keepdims=True)
    weights = np.where(allowed, np.exp(scores - np.where(np.isfinite(highest), highest, 0)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    return np.einsum("...ts,...sv->...tv", np.divide(weights, total, where=total > 0, out=weights), value)


def right_in_loops(query, key, value, mask=None):
    if query.ndim > 2:
        masks = [None] * len(query) if mask is None else np.broadcast_to(mask, (len(query), *mask.shape[1:]))
        return np.stack([right_in_loops(*one) for one in zip(query, key, value, masks, strict=True)])
    output = np.zeros((len(query), value.shape[1]))
    for i, q in enumerate(query):
        seen = [j for j in range(len(key)) if mask is None or np.broadcast_to(mask, (len(query), len(key)))[i, j]]
        scores = [float(q @ key[j]) / len(q) ** 0.5 for j in seen]
        powers = [np.exp(score - max(scores)) for score in scores]
        for j, power in zip(seen, powers, strict=True):
            output[i] += power / sum(powers) * value[j]
    return output


def right_with_torch(query, key, value, mask=None):
    tensors = (torch.tensor(array) for array in (query, key, value))
    given = None if mask is None else torch.tensor(mask)
    return F.scaled_dot_product_attention(*tensors, attn_mask=given).nan_to_num().numpy()


# my_causal_mask(T, S)


def inverted(T, S):
    return np.triu(np.ones((T, S), dtype=bool), k=S - T + 1)


def excludes_itself(T, S):
    return np.arange(S) < np.arange(T)[:, None] + S - T


def sees_next(T, S):
    return np.arange(S) <= np.arange(T)[:, None] + S - T + 1


def future(T, S):
    return np.triu(np.ones((T, S), dtype=bool), k=S - T)


def starts_aligned(T, S):
    return np.tril(np.ones((T, S), dtype=bool))


def everything(T, S):
    return np.ones((T, S), dtype=bool)


def itself_only(T, S):
    return np.eye(T, S, k=S - T) == 1


def additive(T, S):
    return np.triu(np.full((T, S), -np.inf), k=S - T + 1)


def zeros_and_ones(T, S):
    return np.tril(np.ones((T, S)), k=S - T)


def whole_numbers(T, S):
    return np.tril(np.ones((T, S), dtype=int), k=S - T)


def turned(T, S):
    return causal_plain(T, S).T


def square(T, S):
    return causal_plain(S, S)


def causal_plain(T, S):
    return np.arange(S)[None, :] <= np.arange(T)[:, None] + (S - T)


def causal_tril(T, S):
    return np.tril(np.ones((T, S), dtype=bool), k=S - T)


def causal_in_loops(T, S):
    return np.array([[j - i <= S - T for j in range(S)] for i in range(T)])


def causal_with_torch(T, S):
    return torch.ones(T, S, dtype=torch.bool).tril(S - T).numpy()


WRONG = {
    "check_scaled_dot_product_attention": {
        no_scaling: "no scaling",
        divided_by_d: "without the square root",
        multiplied_by_root: "multiplied by the square root",
        root_of_value_width: "width d_v",
        root_of_keys: "number of keys",
        root_of_queries: "number of queries",
        scaled_too_late: "after softmax",
        softmax_over_queries: "over the queries",
        softmax_over_axis_1: "batch axes",
        softmax_over_everything: "all weights together",
        no_softmax: "softmax is missing",
        not_normalised: "do not sum to 1",
        hard: "arg max",
        no_mask: "mask has no effect",
        inverted_mask: "inverted",
        masked_after_softmax: "masked after softmax",
        scores_to_zero: "exp(0) = 1",
        mask_added: "added to the scores as 0 and 1",
        small_additive_mask: "adds -1e4",
        small_mask_value: "such as -1e4",
        large_additive_mask: "adds -1e9",
        large_mask_value: "such as -1e9",
        largest_mask_value: "such as -1e9",
        nan_in_empty_row: "is nan, not 0. Query 1 may attend to nothing",
        overflowing: "exp overflows",
        global_maximum: "exp overflows",
        not_transposed: "ValueError",
        reshaped: "reshape",
        sums_keys: "over the keys",
        value_as_key: "ValueError",
        returns_weights: "returns the weights",
        returns_both: "returns tuple",
        without_batch: "batch axes",
        mask_not_broadcast: "broadcast",
        changes_query: "changes its arguments",
        changes_mask: "changes its arguments",
        takes_no_mask: "TypeError",
    },
    "check_causal_mask": {
        inverted: "inverted",
        excludes_itself: "own place",
        sees_next: "into the future",
        future: "present and the future",
        starts_aligned: "starts are aligned",
        everything: "hide the future",
        itself_only: "itself alone",
        additive: "to add to the scores",
        zeros_and_ones: "0 and 1",
        whole_numbers: "0 and 1",
        turned: "rows and columns",
        square: "the shape is (5, 5), not (3, 5)",
    },
}

RIGHT = {
    "check_scaled_dot_product_attention": [right_plain, right_einsum, right_in_loops, right_with_torch],
    "check_causal_mask": [causal_plain, causal_tril, causal_in_loops, causal_with_torch],
}
