"""What learners write for chapter 07: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch
import torch.nn.functional as F

# my_next_token_loss(logits, tokens)


def log_shares(logits, axis=-1):
    high = logits.max(axis=axis, keepdims=True)
    return logits - high - np.log(np.exp(logits - high).sum(axis=axis, keepdims=True))


def taken(logs, tokens):
    B, T = tokens.shape
    return logs[np.arange(B)[:, None], np.arange(T), tokens]


def not_shifted(logits, tokens):
    return -taken(log_shares(logits), tokens).mean()


def shifted_back(logits, tokens):
    return -taken(log_shares(logits[:, 1:]), tokens[:, :-1]).mean()


def rolled(logits, tokens):
    return -taken(log_shares(logits), np.roll(tokens, -1, axis=1)).mean()


def rolled_over_everything(logits, tokens):
    return -taken(log_shares(logits), np.roll(tokens, -1)).mean()


def negative(logits, tokens):
    return taken(log_shares(logits[:, :-1]), tokens[:, 1:]).mean()


def summed(logits, tokens):
    return -taken(log_shares(logits[:, :-1]), tokens[:, 1:]).sum()


def divided_by_all(logits, tokens):
    return -taken(log_shares(logits[:, :-1]), tokens[:, 1:]).sum() / tokens.size


def divided_by_batch(logits, tokens):
    return -taken(log_shares(logits[:, :-1]), tokens[:, 1:]).sum() / len(tokens)


def in_bits(logits, tokens):
    return right_loss(logits, tokens) / np.log(2)


def perplexity(logits, tokens):
    return np.exp(right_loss(logits, tokens))


def raw_logits(logits, tokens):
    return -taken(logits[:, :-1], tokens[:, 1:]).mean()


def mean_probability(logits, tokens):
    return 1 - np.exp(taken(log_shares(logits[:, :-1]), tokens[:, 1:])).mean()


def logarithm_of_mean(logits, tokens):
    return -np.log(np.exp(taken(log_shares(logits[:, :-1]), tokens[:, 1:])).mean())


def over_places(logits, tokens):
    return -taken(log_shares(logits[:, :-1], axis=1), tokens[:, 1:]).mean()


def over_vocabulary(logits, tokens):
    return -log_shares(logits[:, :-1]).mean()


def one_each(logits, tokens):
    return -taken(log_shares(logits[:, :-1]), tokens[:, 1:])


def overflowing_loss(logits, tokens):
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return -np.log(taken(shares[:, :-1], tokens[:, 1:])).mean()


def logarithm_of_shares(logits, tokens):
    return -np.log(taken(np.exp(log_shares(logits))[:, :-1], tokens[:, 1:])).mean()


def never_quite_zero(logits, tokens):
    shares = np.exp(log_shares(logits[:, :-1]))
    return -np.log(taken(shares, tokens[:, 1:]) + 1e-9).mean()


def one_largest_for_all(logits, tokens):
    shifted = logits[:, :-1] - logits.max()
    return -taken(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), tokens[:, 1:]).mean()


def two_ahead(logits, tokens):
    return -taken(log_shares(logits[:, :-2]), tokens[:, 2:]).mean()


def last_place_only(logits, tokens):
    return -taken(log_shares(logits[:, -2:-1]), tokens[:, -1:]).mean()


def over_the_batch(logits, tokens):
    return -taken(log_shares(logits[:-1]), tokens[1:]).mean()


def share_of_misses(logits, tokens):
    return (logits[:, :-1].argmax(-1) != tokens[:, 1:]).mean()


def squared_error(logits, tokens):
    wanted = np.eye(logits.shape[-1])[tokens[:, 1:]]
    return ((np.exp(log_shares(logits[:, :-1])) - wanted) ** 2).mean()


def entropy(logits, tokens):
    logs = log_shares(logits[:, :-1])
    return -(np.exp(logs) * logs).sum(-1).mean()


def softmax_twice(logits, tokens):
    return -taken(log_shares(np.exp(log_shares(logits[:, :-1]))), tokens[:, 1:]).mean()


def across_the_seam(logits, tokens):
    """Flattens first and shifts then: the end of one sequence predicts the beginning of the next."""
    logs = log_shares(logits).reshape(-1, logits.shape[-1])[:-1]
    return -logs[np.arange(len(logs)), tokens.ravel()[1:]].mean()


def first_prediction_left_out(logits, tokens):
    return -taken(log_shares(logits[:, 1:-1]), tokens[:, 2:]).mean()


def loss_by_one_hot(logits, tokens):
    return -(log_shares(logits[:, :-1]) * np.eye(logits.shape[-1])[tokens[:, 1:]]).sum() / tokens[:, 1:].size


def loss_by_logaddexp(logits, tokens):
    return (np.logaddexp.reduce(logits[:, :-1], axis=-1) - taken(logits[:, :-1], tokens[:, 1:])).mean()


def plain_number(logits, tokens):
    return float(right_loss(logits, tokens))


def shifts_in_place(logits, tokens):
    logits -= logits.max(axis=-1, keepdims=True)
    return right_loss(logits, tokens)


def right_loss(logits, tokens):
    return -taken(log_shares(logits[:, :-1]), tokens[:, 1:]).mean()


def right_loss_in_loops(logits, tokens):
    losses = []
    for row, said in zip(logits, tokens, strict=True):
        for place in range(len(said) - 1):
            scores = row[place] - row[place].max()
            losses.append(np.log(np.exp(scores).sum()) - scores[said[place + 1]])
    return np.mean(losses)


def right_loss_with_torch(logits, tokens):
    predicted, wanted = torch.tensor(logits)[:, :-1].flatten(0, 1), torch.tensor(tokens)[:, 1:].flatten()
    return F.cross_entropy(predicted, wanted).numpy()


# my_top_p(probabilities, p)


def cut_after(probabilities, number):
    kept = np.zeros(len(probabilities))
    for token in sorted(range(len(kept)), key=lambda token: -probabilities[token])[:number]:
        kept[token] = probabilities[token]
    return kept


def needed(probabilities, p):
    total = 0.0
    for number, probability in enumerate(sorted(probabilities, reverse=True), start=1):
        total += probability
        if total >= p - 1e-9:
            return number
    return len(probabilities)


def not_renormalised(probabilities, p):
    return cut_after(probabilities, needed(probabilities, p))


def stops_before(probabilities, p):
    kept = cut_after(probabilities, sum(np.cumsum(np.sort(probabilities)[::-1]) <= p + 1e-9))
    return kept / kept.sum()


def one_too_many(probabilities, p):
    kept = cut_after(probabilities, needed(probabilities, p) + 1)
    return kept / kept.sum()


def beyond_p(probabilities, p):
    """Goes on until the sum exceeds p, also where it equals p."""
    running = np.cumsum(np.sort(probabilities)[::-1])
    kept = cut_after(probabilities, sum(running - np.sort(probabilities)[::-1] <= p + 1e-9))
    return kept / kept.sum()


def left_sorted(probabilities, p):
    first = np.sort(probabilities)[::-1].copy()
    first[needed(probabilities, p) :] = 0
    return first / first.sum()


def as_given(probabilities, p):
    kept = np.where(np.cumsum(probabilities) - probabilities < p - 1e-9, probabilities, 0)
    return kept / kept.sum()


def smallest_first(probabilities, p):
    order = np.argsort(probabilities)
    kept = probabilities.copy()
    kept[order[np.cumsum(probabilities[order]) - probabilities[order] >= p - 1e-9]] = 0
    return kept / kept.sum()


def above_threshold(probabilities, p):
    kept = probabilities * (probabilities >= 1 - p)
    return kept / kept.sum()


def min_p(probabilities, p):
    kept = probabilities * (probabilities >= p * probabilities.max())
    return kept / kept.sum()


def share_of_tokens(probabilities, p):
    kept = cut_after(probabilities, max(1, round(p * len(probabilities))))
    return kept / kept.sum()


def uncut(probabilities, p):
    return probabilities.copy()


def softmax_again(probabilities, p):
    kept = np.exp(right_top_p(probabilities, p))
    return kept / kept.sum()


def changes_probabilities(probabilities, p):
    probabilities[right_top_p(probabilities, p) == 0] = 0
    return probabilities / probabilities.sum()


def returns_kept(probabilities, p):
    return right_top_p(probabilities, p) > 0


def without_tolerance(probabilities, p):
    order = np.argsort(-probabilities)
    kept = probabilities.copy()
    kept[order[np.cumsum(probabilities[order]) - probabilities[order] >= p]] = 0
    return kept / kept.sum()


def all_alike(probabilities, p):
    kept = right_top_p(probabilities, p) > 0
    return kept / kept.sum()


def divided_by_p(probabilities, p):
    return not_renormalised(probabilities, p) / p


def softmax_of_the_kept(probabilities, p):
    kept = np.where(right_top_p(probabilities, p) > 0, np.exp(probabilities), 0)
    return kept / kept.sum()


def first_so_many(probabilities, p):
    kept = np.where(np.arange(len(probabilities)) < needed(probabilities, p), probabilities, 0)
    return kept / kept.sum()


def only_the_likeliest(probabilities, p):
    kept = cut_after(probabilities, 1)
    return kept / kept.sum()


def left_over_only(probabilities, p):
    kept = np.where(right_top_p(probabilities, p) > 0, 0, probabilities)
    return kept / kept.sum()


def shorter(probabilities, p):
    kept = right_top_p(probabilities, p)
    return kept[kept > 0]


def mask_in_sorted_order(probabilities, p):
    running = np.cumsum(np.sort(probabilities)[::-1])
    kept = np.where(running - np.sort(probabilities)[::-1] < p - 1e-9, probabilities, 0)
    return kept / kept.sum()


def rest_to_the_likeliest(probabilities, p):
    kept = not_renormalised(probabilities, p)
    kept[kept.argmax()] += 1 - kept.sum()
    return kept


def right_from_the_tail(probabilities, p):
    order = np.argsort(probabilities)
    kept = probabilities.copy()
    kept[order[np.cumsum(probabilities[order]) <= 1 - p + 1e-9]] = 0
    return kept / kept.sum()


def right_top_p(probabilities, p):
    kept = cut_after(probabilities, needed(probabilities, p))
    return kept / kept.sum()


def right_by_running_sum(probabilities, p):
    order = np.argsort(-probabilities)
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = probabilities.copy()
    kept[order[before >= p - 1e-9]] = 0
    return kept / kept.sum()


def right_by_counting_likelier(probabilities, p):
    ahead = np.array(
        [
            sum(q for other, q in enumerate(probabilities) if (q, -other) > (probability, -token))
            for token, probability in enumerate(probabilities)
        ]
    )
    kept = np.where(ahead < p - 1e-9, probabilities, 0)
    return kept / kept.sum()


WRONG = {
    "check_next_token_loss": {
        not_shifted: "its own token",
        shifted_back: "the wrong way",
        rolled: "np.roll brings it round",
        rolled_over_everything: "the output is",
        negative: "the sign",
        summed: "adds the predictions up",
        divided_by_all: "only B * (T - 1)",
        divided_by_batch: "along each sequence",
        in_bits: "bits",
        perplexity: "perplexity",
        raw_logits: "logit itself",
        mean_probability: "averages the probability",
        logarithm_of_mean: "logarithm of the mean",
        over_places: "over the places",
        over_vocabulary: "whole vocabulary",
        one_each: "one loss a prediction",
        overflowing_loss: "exp overflows",
        logarithm_of_shares: "log gives -inf",
        shifts_in_place: "changes its arguments",
        never_quite_zero: "log gives -inf",
        one_largest_for_all: "subtract each row's largest",
        two_ahead: "B = 2, T = 5",
        last_place_only: "B = 2, T = 5",
        over_the_batch: "B = 2, T = 5",
        share_of_misses: "B = 2, T = 5",
        squared_error: "B = 2, T = 5",
        entropy: "B = 2, T = 5",
        softmax_twice: "B = 2, T = 5",
        across_the_seam: "B = 2, T = 5",
        first_prediction_left_out: "B = 2, T = 5",
    },
    "check_top_p": {
        not_renormalised: "does not sum to 1",
        stops_before: "before p is reached",
        one_too_many: "one token too many",
        beyond_p: "reached p = 0.75 exactly",
        left_sorted: "sorted",
        as_given: "in the order given",
        smallest_first: "least likely",
        above_threshold: "single probabilities",
        min_p: "min-p",
        share_of_tokens: "share p of the tokens",
        uncut: "nothing is cut",
        softmax_again: "come back",
        changes_probabilities: "changes its arguments",
        returns_kept: "dtype is bool",
        without_tolerance: "allow 1e-9",
        all_alike: "five stay",
        divided_by_p: "five stay",
        softmax_of_the_kept: "five stay",
        first_so_many: "five stay",
        only_the_likeliest: "five stay",
        left_over_only: "five stay",
        shorter: "the shape is (5,), not (10,)",
        mask_in_sorted_order: "five stay",
        rest_to_the_likeliest: "five stay",
    },
}

RIGHT = {
    "check_next_token_loss": [
        right_loss,
        right_loss_in_loops,
        right_loss_with_torch,
        plain_number,
        loss_by_one_hot,
        loss_by_logaddexp,
    ],
    "check_top_p": [right_top_p, right_by_running_sum, right_by_counting_likelier, right_from_the_tail],
}
