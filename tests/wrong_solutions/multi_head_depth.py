"""What learners write for chapter 17: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch

# my_head_overlap(weights)


def pairs(weights):
    return weights[:, :, None], weights[:, None]  # (B, H, 1, T, S), (B, 1, H, T, S)


def mean_over_keys(weights):
    return np.minimum(*pairs(weights)).mean(axis=(0, 3, 4))


def larger_weight(weights):
    return np.maximum(*pairs(weights)).sum(axis=-1).mean(axis=(0, 3))


def products(weights):
    return np.einsum("bits,bjts->ij", weights, weights) / (weights.shape[0] * weights.shape[2])


def cosines(weights):
    unit = weights / np.sqrt((weights**2).sum(axis=-1, keepdims=True))
    return np.einsum("bits,bjts->ij", unit, unit) / (weights.shape[0] * weights.shape[2])


def distances(weights):
    a, b = pairs(weights)
    return 0.5 * abs(a - b).sum(axis=-1).mean(axis=(0, 3))


def not_halved(weights):
    a, b = pairs(weights)
    return abs(a - b).sum(axis=-1).mean(axis=(0, 3))


def one_minus_not_halved(weights):
    return 1 - not_halved(weights)


def same_favourite(weights):
    best = weights.argmax(axis=-1)  # (B, H, T)
    return (best[:, :, None] == best[:, None]).mean(axis=(0, 3))


def keeps_batch(weights):
    return np.minimum(*pairs(weights)).sum(axis=-1).mean(axis=-1)


def sums_queries(weights):
    return np.minimum(*pairs(weights)).sum(axis=-1).sum(axis=-1).sum(axis=0)


def averages_batch_first(weights):
    average = weights.mean(axis=0)
    return np.minimum(average[:, None], average[None]).sum(axis=-1).mean(axis=-1)


def averages_queries_first(weights):
    average = weights.mean(axis=2)  # (B, H, S)
    return np.minimum(average[:, :, None], average[:, None]).sum(axis=-1).mean(axis=0)


def no_diagonal(weights):
    table = overlap_plain(weights)
    np.fill_diagonal(table, 0)
    return table


def sums_over_queries_means_over_keys(weights):
    return np.minimum(*pairs(weights)).sum(axis=3).mean(axis=-1).mean(axis=0)


def counts_empty_rows(weights):
    return np.minimum(*pairs(weights)).sum(axis=-1).mean(axis=(0, 3))


def first_sequence_only(weights):
    return overlap_plain(weights[:1])


def batch_against_batch(weights):
    return np.minimum(weights[:, None], weights[None]).sum(axis=-1).mean(axis=(2, 3))


def one_number(weights):
    return overlap_plain(weights).mean()


def a_list(weights):
    return overlap_plain(weights).tolist()


def changes_weights(weights):
    table = overlap_plain(weights)
    weights /= 2
    return table


def overlap_plain(weights):
    shared = np.minimum(*pairs(weights)).sum(axis=-1)  # (B, H, H, T)
    busy = weights.sum(axis=(1, 3)) > 0  # (B, T)
    return np.moveaxis(shared, 3, 1)[busy].mean(axis=0)


def overlap_in_loops(weights):
    B, H, T, _ = weights.shape
    rows = [(b, t) for b in range(B) for t in range(T) if weights[b, :, t].any()]
    return np.array(
        [
            [np.mean([np.minimum(weights[b, i, t], weights[b, j, t]).sum() for b, t in rows]) for j in range(H)]
            for i in range(H)
        ]
    )


def overlap_by_distance(weights):
    a, b = pairs(weights)
    busy = weights.any(axis=-1).any(axis=1)
    distance = abs(a - b).sum(axis=-1) / 2
    return 1 - (distance * busy[:, None, None]).sum(axis=(0, 3)) / busy.sum()


def overlap_with_torch(weights):
    rows = torch.tensor(weights).permute(0, 2, 1, 3).flatten(0, 1)  # (B T, H, S)
    rows = rows[rows.sum((1, 2)) > 0]
    return torch.minimum(rows[:, :, None], rows[:, None]).sum(-1).mean(0).numpy()


# my_head_contributions(heads, w_output)


def block(w_output, head, num_heads):
    size = len(w_output) // num_heads
    return w_output[head * size : (head + 1) * size]


def one_by_one(heads, use):
    return np.stack([heads[:, i] @ use(i) for i in range(heads.shape[1])], axis=1)


def summed(heads, w_output):
    return contributions_plain(heads, w_output).sum(axis=1)


def averaged(heads, w_output):
    return contributions_plain(heads, w_output) / heads.shape[1]


def dealt_in_turn(heads, w_output):
    return one_by_one(heads, lambda i: w_output[i :: heads.shape[1]])


def always_first(heads, w_output):
    return one_by_one(heads, lambda i: block(w_output, 0, heads.shape[1]))


def average_block(heads, w_output):
    H = heads.shape[1]
    return heads @ (sum(block(w_output, i, H) for i in range(H)) / H)


def backwards(heads, w_output):
    H = heads.shape[1]
    return one_by_one(heads, lambda i: block(w_output, H - 1 - i, H))


def transposed(heads, w_output):
    return contributions_plain(heads, w_output.T)


def swapped_axes(heads, w_output):
    return np.moveaxis(contributions_plain(heads, w_output), 1, 2)


def unprojected(heads, w_output):
    return heads.copy()


def running_sum(heads, w_output):
    return contributions_plain(heads, w_output).cumsum(axis=1)


def whole_projection(heads, w_output):
    return heads @ w_output


def first_sequence(heads, w_output):
    return contributions_plain(heads[:1], w_output)


def without_batch(heads, w_output):
    return np.einsum("htv,hvm->htm", heads[0], w_output.reshape(heads.shape[1], heads.shape[3], -1))


def scales_in_place(heads, w_output):
    heads *= 1.5
    return contributions_plain(heads, w_output)


def contributions_plain(heads, w_output):
    return one_by_one(heads, lambda i: block(w_output, i, heads.shape[1]))


def contributions_einsum(heads, w_output):
    H, d_v = heads.shape[1], heads.shape[3]
    return np.einsum("bhtv,hvm->bhtm", heads, w_output.reshape(H, d_v, -1))


def contributions_broadcast(heads, w_output):
    return heads @ w_output.reshape(heads.shape[1], heads.shape[3], -1)


def contributions_by_silencing(heads, w_output):
    B, H, T, d_v = heads.shape
    parts = []
    for i in range(H):
        alone = np.zeros_like(heads)
        alone[:, i] = heads[:, i]
        parts.append(alone.transpose(0, 2, 1, 3).reshape(B, T, H * d_v) @ w_output)
    return np.stack(parts, axis=1)


WRONG = {
    "check_head_overlap": {
        mean_over_keys: "averages over the keys",
        larger_weight: "larger of the two",
        products: "multiplies the weights",
        cosines: "cosine",
        distances: "1 minus it",
        not_halved: "twice the distance of the heads",
        one_minus_not_halved: "halve them",
        same_favourite: "largest weights stand at the same key",
        keeps_batch: "batch axis is still there",
        sums_queries: "adds up over the queries: average",
        averages_batch_first: "over the batch first",
        averages_queries_first: "over the queries first",
        no_diagonal: "the diagonal is 0",
        sums_over_queries_means_over_keys: "averages over the keys",
        counts_empty_rows: "attends to nothing",
        first_sequence_only: "is 0.",
        batch_against_batch: "the shape is (2, 2), not (3, 3)",
        one_number: "the shape is (), not (3, 3)",
        a_list: "returns list",
        changes_weights: "changes its arguments",
    },
    "check_head_contributions": {
        summed: "sum of all heads",
        averaged: "divides by the number of heads",
        dealt_in_turn: "dealt out in turn",
        always_first: "rows of head 0",
        average_block: "average of all blocks",
        backwards: "reverse order",
        transposed: "ValueError",
        swapped_axes: "axes of heads and queries",
        unprojected: "unprojected",
        running_sum: "carries the sum",
        whole_projection: "ValueError",
        first_sequence: "the shape is (1, 3, 4, 7), not (2, 3, 4, 7)",
        without_batch: "the shape is (3, 4, 7), not (2, 3, 4, 7)",
        scales_in_place: "changes its arguments",
    },
}

RIGHT = {
    "check_head_overlap": [overlap_plain, overlap_in_loops, overlap_by_distance, overlap_with_torch],
    "check_head_contributions": [
        contributions_plain,
        contributions_einsum,
        contributions_broadcast,
        contributions_by_silencing,
    ],
}
