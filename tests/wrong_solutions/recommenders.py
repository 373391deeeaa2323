"""Wrong and right solutions of chapter 09's exercises, with words that the English finding must contain."""

import math

import numpy as np


def seen_compete(scores, targets, seen):
    own = np.take_along_axis(scores, targets[:, None], 1)
    return (scores >= own).sum(1)


def ties_behind(scores, targets, seen):
    own = np.take_along_axis(scores, targets[:, None], 1)
    return ((scores > own) & ~seen).sum(1) + 1


def from_zero(scores, targets, seen):
    own = np.take_along_axis(scores, targets[:, None], 1)
    return ((scores >= own) & ~seen).sum(1) - 1


def turned_round(scores, targets, seen):
    own = np.take_along_axis(scores, targets[:, None], 1)
    return ((scores <= own) & ~seen).sum(1)


def seen_get_zero(scores, targets, seen):
    scores = np.where(seen, 0, scores)
    own = np.take_along_axis(scores, targets[:, None], 1)
    return (scores >= own).sum(1)


def argsort_once(scores, targets, seen):
    order = np.argsort(-scores, axis=1)
    return order[np.arange(len(targets)), targets] + 1


def seen_in_place(scores, targets, seen):
    scores[seen] = -np.inf
    own = np.take_along_axis(scores, targets[:, None], 1)
    return (scores >= own).sum(1)


def only_seen(scores, targets, seen):
    own = np.take_along_axis(scores, targets[:, None], 1)
    return ((scores >= own) & seen).sum(1) + 1


def argsort_twice_ties_by_number(scores, targets, seen):
    scores = np.where(seen, -np.inf, scores)
    places = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return places[np.arange(len(targets)), targets] + 1


def a_hit_instead(scores, targets, seen):
    own = np.take_along_axis(scores, targets[:, None], 1)
    return (((scores >= own) & ~seen).sum(1) <= 10).astype(float)


def ranked_in_loop(scores, targets, seen):
    found = []
    for row, target, known in zip(scores, targets, seen, strict=True):
        found.append(sum(1 for film in range(len(row)) if not known[film] and row[film] >= row[target]))
    return np.array(found)


def ranked_by_counting(scores, targets, seen):
    own = scores[np.arange(len(targets)), targets]
    return np.count_nonzero((scores >= own[:, None]) & ~seen, axis=1)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def averaged(history, candidates):
    return candidates @ history.mean(axis=0)


def unscaled(history, candidates):
    return ((softmax(candidates @ history.T) @ history) * candidates).sum(-1)


def divided_by_width(history, candidates):
    return ((softmax(candidates @ history.T / history.shape[1]) @ history) * candidates).sum(-1)


def over_candidates(history, candidates):
    scores = candidates @ history.T / np.sqrt(history.shape[1])
    return ((softmax(scores, axis=0) @ history) * candidates).sum(-1)


def no_softmax(history, candidates):
    scores = candidates @ history.T / np.sqrt(history.shape[1])
    return ((scores @ history) * candidates).sum(-1)


def vectors_returned(history, candidates):
    return softmax(candidates @ history.T / np.sqrt(history.shape[1])) @ history


def all_pairs(history, candidates):
    return softmax(candidates @ history.T / np.sqrt(history.shape[1])) @ history @ candidates.T


def best_alone(history, candidates):
    return (candidates @ history.T / np.sqrt(history.shape[1])).max(axis=1)


def summed_up(history, candidates):
    return (candidates @ history.T).sum(axis=1)


def overflows(history, candidates):
    weights = np.exp(candidates @ history.T / np.sqrt(history.shape[1]))
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights @ history * candidates).sum(axis=1)


def no_kept_axis(history, candidates):
    weights = np.exp(candidates @ history.T / np.sqrt(history.shape[1]))
    weights = weights / weights.sum(axis=1)
    return (weights @ history * candidates).sum(axis=1)


def attended_in_loop(history, candidates):
    found = []
    for candidate in candidates:
        scores = np.array([candidate @ film for film in history]) / math.sqrt(len(candidate))
        weights = softmax(scores)
        found.append(candidate @ sum(w * film for w, film in zip(weights, history, strict=True)))
    return np.array(found)


def attended_by_products(history, candidates):
    products = candidates @ history.T
    return (softmax(products / np.sqrt(history.shape[1])) * products).sum(axis=1)


def binomial(p, n, j):
    return math.comb(n, j) * p**j * (1 - p) ** (n - j)


def full_ranking(ranks, num_films, negatives, k):
    return np.mean(ranks <= k)


def one_too_many(ranks, num_films, negatives, k):
    return np.mean([sum(binomial(r / (num_films - 1), negatives, j) for j in range(k)) for r in ranks])


def against_itself(ranks, num_films, negatives, k):
    return np.mean([sum(binomial((r - 1) / num_films, negatives, j) for j in range(k)) for r in ranks])


def k_before_it(ranks, num_films, negatives, k):
    return np.mean([sum(binomial((r - 1) / (num_films - 1), negatives, j) for j in range(k + 1)) for r in ranks])


def misses(ranks, num_films, negatives, k):
    return 1 - np.mean([sum(binomial((r - 1) / (num_films - 1), negatives, j) for j in range(k)) for r in ranks])


def by_expected_rank(ranks, num_films, negatives, k):
    return np.mean(1 + negatives * (ranks - 1) / (num_films - 1) <= k)


def nobody_before(ranks, num_films, negatives, k):
    return np.mean((1 - (ranks - 1) / (num_films - 1)) ** negatives)


def one_number_a_rank(ranks, num_films, negatives, k):
    return np.array([sum(binomial((r - 1) / (num_films - 1), negatives, j) for j in range(k)) for r in ranks])


def drawn(ranks, num_films, negatives, k):
    rng = np.random.default_rng(0)
    before = rng.binomial(negatives, (ranks - 1) / (num_films - 1), size=(50, len(ranks)))
    return (before < k).mean()


def without_replacement(ranks, num_films, negatives, k):
    total = math.comb(num_films - 1, negatives)
    shares = [
        sum(
            math.comb(int(r) - 1, j) * math.comb(num_films - int(r), negatives - j)
            for j in range(min(k, negatives + 1))
        )
        for r in ranks
    ]
    return np.mean([share / total for share in shares])


def sampled_in_loop(ranks, num_films, negatives, k):
    total = 0.0
    for r in ranks:
        p = (r - 1) / (num_films - 1)
        for j in range(k):
            total += math.comb(negatives, j) * p**j * (1 - p) ** max(negatives - j, 0)
    return total / len(ranks)


def sampled_by_complement(ranks, num_films, negatives, k):
    p = (ranks - 1) / (num_films - 1)
    missed = np.zeros(len(ranks))
    for j in range(k, negatives + 1):
        missed += math.comb(negatives, j) * p**j * (1 - p) ** (negatives - j)
    return (1 - missed).mean()


WRONG = {
    "check_ranks": {
        seen_compete: "still compete",
        ties_behind: "scores everything alike",
        from_zero: "starts from 0",
        turned_round: "turned round",
        seen_get_zero: "use -inf",
        argsort_once: "place of each film",
        seen_in_place: "changes its arguments",
        only_seen: "nothing seen before",
        argsort_twice_ties_by_number: "must come out last",
        a_hit_instead: "nothing seen before",
    },
    "check_target_attention": {
        averaged: "average pooling",
        unscaled: "square root of D",
        divided_by_width: "not by its square root",
        over_candidates: "over the candidates",
        no_softmax: "softmax is missing",
        vectors_returned: "dot product of each",
        all_pairs: "its own candidate only",
        best_alone: "best film alone",
        summed_up: "no weights",
        overflows: "subtract the highest score",
        no_kept_axis: "keepdims",
    },
    "check_sampled_hit_rate": {
        full_ranking: "full ranking",
        one_too_many: "r - 1 films before it",
        against_itself: "with itself",
        k_before_it: "fewer than k before it",
        misses: "share of misses",
        by_expected_rank: "*expected* rank",
        nobody_before: "no opponent at all",
        one_number_a_rank: "the shape is",
        drawn: "10 opponents",
        without_replacement: "10 opponents",
    },
}

RIGHT = {
    "check_ranks": [ranked_in_loop, ranked_by_counting],
    "check_target_attention": [attended_in_loop, attended_by_products],
    "check_sampled_hit_rate": [sampled_in_loop, sampled_by_complement],
}
