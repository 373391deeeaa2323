"""What learners write for chapter 05: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

# my_split_heads(x, num_heads)


def split_plain(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).transpose(0, 2, 1, 3)


def split_in_loops(x, num_heads):
    width = x.shape[-1] // num_heads
    return np.stack([x[:, :, h * width : (h + 1) * width] for h in range(num_heads)], axis=1)


def split_with_numpy(x, num_heads):
    return np.stack(np.split(x, num_heads, axis=-1), axis=1)


def split_with_torch(x, num_heads):
    return torch.tensor(x).unflatten(-1, (num_heads, -1)).transpose(1, 2).numpy()


def viewed(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, num_heads, T, D // num_heads)


def interleaved(x, num_heads):
    return np.stack([x[:, :, h::num_heads] for h in range(num_heads)], axis=1)


def not_swapped(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads)


def heads_first(x, num_heads):
    return np.stack(np.split(x, num_heads, axis=-1))


def width_before_tokens(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).transpose(0, 2, 3, 1)


def batch_and_heads_merged(x, num_heads):
    B, T, D = x.shape
    return split_plain(x, num_heads).reshape(B * num_heads, T, D // num_heads)


def copied(x, num_heads):
    return np.stack([x] * num_heads, axis=1)


def sizes_swapped(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, T, D // num_heads, num_heads).transpose(0, 2, 1, 3)


def reversed_heads(x, num_heads):
    return split_plain(x, num_heads)[:, ::-1]


def tokens_split(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, num_heads, T // num_heads, D)


def a_list(x, num_heads):
    return np.split(x, num_heads, axis=-1)


def first_head_only(x, num_heads):
    return split_plain(x, num_heads)[:, 0]


# my_multi_head_attention(query, key, value, w_query, w_key, w_value, w_output, num_heads)


def shares(scores, axis=-1):
    exponentials = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def merged(heads):
    B, H, T, width = heads.shape
    return heads.transpose(0, 2, 1, 3).reshape(B, T, H * width)


def attend(q, k, v, axis=-1, divisor=None):
    return shares(q @ k.swapaxes(-1, -2) / (divisor or np.sqrt(q.shape[-1])), axis) @ v


def right_plain(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v)) @ w_output


def right_in_loops(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    width, outputs = w_query.shape[1] // num_heads, []
    for h in range(num_heads):
        own = slice(h * width, (h + 1) * width)
        outputs.append(attend(query @ w_query[:, own], key @ w_key[:, own], value @ w_value[:, own]))
    return np.concatenate(outputs, axis=-1) @ w_output


def right_as_a_sum(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    width, output = w_query.shape[1] // num_heads, 0
    for h in range(num_heads):
        own = slice(h * width, (h + 1) * width)
        output += attend(query @ w_query[:, own], key @ w_key[:, own], value @ w_value[:, own]) @ w_output[own]
    return output


def right_with_einsum(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    w_q, w_k, w_v = (w.reshape(len(w), num_heads, -1) for w in (w_query, w_key, w_value))
    q, k, v = (np.einsum("btm,mhd->bhtd", x, w) for x, w in ((query, w_q), (key, w_k), (value, w_v)))
    weights = shares(np.einsum("bhtd,bhsd->bhts", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("bhts,bhsd,hdm->btm", weights, v, w_output.reshape(num_heads, q.shape[-1], -1))


def with_split(split, merge=merged):
    def attention(query, key, value, w_query, w_key, w_value, w_output, num_heads):
        q, k, v = (split(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
        return merge(attend(q, k, v)) @ w_output

    return attention


def named(name, function):
    function.__name__ = name
    return function


def reshaped(heads):
    B, H, T, width = heads.shape
    return heads.reshape(B, T, H * width)


def forgot_to_swap(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (not_swapped(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return attend(q, k, v).reshape(*query.shape[:2], -1) @ w_output


def scaled_by_model(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v, divisor=np.sqrt(query.shape[-1]))) @ w_output


def no_scaling(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v, divisor=1.0)) @ w_output


def divided_by_width(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v, divisor=q.shape[-1])) @ w_output


def divided_by_heads(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v, divisor=np.sqrt(num_heads))) @ w_output


def no_softmax(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) @ v) @ w_output


def keys_averaged(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key))
    return merged(attend(q, k, k)) @ w_output


def one_maximum_for_all(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    exponentials = np.exp(scores - scores.max())
    return merged(exponentials / exponentials.sum(-1, keepdims=True) @ v) @ w_output


def right_query_by_query(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    width, output = w_query.shape[1] // num_heads, np.zeros((*query.shape[:2], w_output.shape[1]))
    for b, t in np.ndindex(*query.shape[:2]):
        heads = []
        for own in (slice(h * width, (h + 1) * width) for h in range(num_heads)):
            scores = (key[b] @ w_key[:, own]) @ (query[b, t] @ w_query[:, own]) / width**0.5
            heads.append(shares(scores) @ (value[b] @ w_value[:, own]))
        output[b, t] = np.hstack(heads) @ w_output
    return output


def softmax_over_heads(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v, axis=1)) @ w_output


def softmax_over_queries(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v, axis=2)) @ w_output


def one_row_for_all(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return merged(shares(scores.mean(1, keepdims=True)) @ v) @ w_output


def no_output_projection(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return merged(attend(q, k, v))


def output_transposed(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    return no_output_projection(query, key, value, w_query, w_key, w_value, w_output, num_heads) @ w_output.T


def query_transposed(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    return right_plain(query, key, value, w_query.T, w_key, w_value, w_output, num_heads)


def averaged(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return attend(q, k, v).mean(axis=1)


def averaged_and_projected(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    mean = averaged(query, key, value, w_query, w_key, w_value, w_output, num_heads)
    return mean @ w_output[: mean.shape[-1]]


def averaged_then_stuck(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    return averaged(query, key, value, w_query, w_key, w_value, w_output, num_heads) @ w_output


def ignores_heads(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    return attend(query @ w_query, key @ w_key, value @ w_value) @ w_output


def first_columns_for_all(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    own = slice(0, w_query.shape[1] // num_heads)
    head = attend(query @ w_query[:, own], key @ w_key[:, own], value @ w_value[:, own])
    return np.concatenate([head] * num_heads, axis=-1) @ w_output


def query_projection_for_all(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    return right_plain(query, key, value, w_query, w_query, w_query, w_output, num_heads)


def columns_interleaved(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return attend(q, k, v).transpose(0, 2, 3, 1).reshape(*query.shape[:2], -1) @ w_output


def overflowing(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    weights = np.exp(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    return merged(weights / weights.sum(-1, keepdims=True) @ v) @ w_output


def returns_heads(query, key, value, w_query, w_key, w_value, w_output, num_heads):
    q, k, v = (split_plain(x, num_heads) for x in (query @ w_query, key @ w_key, value @ w_value))
    return attend(q, k, v)


WRONG = {
    "check_split_heads": {
        viewed: "cuts across the tokens",
        interleaved: "interleaved",
        not_swapped: "swap axes 1 and 2",
        heads_first: "before the batch",
        width_before_tokens: "tokens and width are swapped",
        batch_and_heads_merged: "merged into one axis",
        copied: "every head got all columns",
        sizes_swapped: "number of heads and their width",
        reversed_heads: "reverse order",
        tokens_split: "ValueError",
        a_list: "returns list",
        first_head_only: "the shape is (2, 5, 3), not (2, 4, 5, 3)",
    },
    "check_multi_head_attention": {
        named("view_both_ways", with_split(viewed, reshaped)): "both only reshape",
        named("view_when_splitting", with_split(viewed)): "the split only reshapes",
        named("merge_without_swapping", with_split(split_plain, reshaped)): "without swapping the axes back",
        named("heads_interleaved", with_split(interleaved)): "interleaved",
        forgot_to_swap: "ValueError",
        scaled_by_model: "root of d_model",
        no_scaling: "no scaling",
        divided_by_width: "without the square root",
        divided_by_heads: "root of the number of heads",
        no_softmax: "the softmax is missing",
        keys_averaged: "the keys are averaged",
        one_maximum_for_all: "largest score of each row",
        softmax_over_heads: "over the heads",
        softmax_over_queries: "over the queries",
        one_row_for_all: "share one row",
        no_output_projection: "output projection is missing",
        output_transposed: "w_output is transposed",
        query_transposed: "w_query is transposed",
        averaged: "averaged",
        averaged_and_projected: "averaged",
        averaged_then_stuck: "ValueError",
        ignores_heads: "only one head",
        first_columns_for_all: "columns of the first",
        query_projection_for_all: "ValueError",
        columns_interleaved: "interleaved when merged",
        overflowing: "exp overflows",
        returns_heads: "the shape is (2, 2, 3, 4), not (2, 3, 8)",
    },
}

RIGHT = {
    "check_split_heads": [split_plain, split_in_loops, split_with_numpy, split_with_torch],
    "check_multi_head_attention": [
        right_plain,
        right_in_loops,
        right_as_a_sum,
        right_with_einsum,
        right_query_by_query,
    ],
}
