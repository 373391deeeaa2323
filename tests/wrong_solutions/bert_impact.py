"""What learners write for chapter 10: wrong, with the words that the check must find, and right in other ways."""

import re
import string
from collections import Counter

import numpy as np
import torch

from lib.models.spans import best_spans

# my_f1(prediction, answers)


def cut(text):
    return re.sub(r"\b(a|an|the)\b", " ", re.sub(f"[{re.escape(string.punctuation)}]", "", text.lower())).split()


def against(prediction, answer, cut=cut):
    p, r = Counter(cut(prediction)), Counter(cut(answer))
    same = sum((p & r).values())
    return (same / sum(p.values()), same / sum(r.values())) if same else (0.0, 0.0)


def harmonic(p, r):
    return 2 * p * r / (p + r) if p + r else 0.0


def precision(prediction, answers):
    return max(against(prediction, a)[0] for a in answers)


def recall(prediction, answers):
    return max(against(prediction, a)[1] for a in answers)


def arithmetic(prediction, answers):
    return max(sum(against(prediction, a)) / 2 for a in answers)


def jaccard(prediction, answers):
    def one(a):
        p, r = Counter(cut(prediction)), Counter(cut(a))
        return sum((p & r).values()) / sum((p | r).values())

    return max(map(one, answers))


def exact(prediction, answers):
    return float(any(cut(prediction) == cut(a) for a in answers))


def no_factor(prediction, answers):
    return max(harmonic(*against(prediction, a)) for a in answers) / 2


def with_cut(cut):
    return lambda prediction, answers: max(harmonic(*against(prediction, a, cut)) for a in answers)


def keeps_capitals(prediction, answers):
    return with_cut(lambda t: re.sub(r"\b(a|an|the)\b", " ", re.sub(r"[^\w\s]", "", t)).split())(prediction, answers)


def keeps_punctuation(prediction, answers):
    return with_cut(lambda t: re.sub(r"\b(a|an|the)\b", " ", t.lower()).split())(prediction, answers)


def blanks_for_punctuation(prediction, answers):
    return with_cut(lambda t: re.sub(r"\b(a|an|the)\b", " ", re.sub(r"[^\w\s]", " ", t.lower())).split())(
        prediction, answers
    )


def keeps_articles(prediction, answers):
    return with_cut(lambda t: re.sub(r"[^\w\s]", "", t.lower()).split())(prediction, answers)


def counts_twice(prediction, answers):
    def one(a):
        said, right = cut(prediction), cut(a)
        same = sum(word in right for word in said)
        return 2 * same / (len(said) + len(right))

    return max(map(one, answers))


def sets(prediction, answers):
    def one(a):
        said, right = set(cut(prediction)), set(cut(a))
        return 2 * len(said & right) / (len(said) + len(right))

    return max(map(one, answers))


def first_answer(prediction, answers):
    return right_f1(prediction, answers[:1])


def average_answer(prediction, answers):
    return float(np.mean([right_f1(prediction, [a]) for a in answers]))


def joined_answers(prediction, answers):
    return right_f1(prediction, [" ".join(answers)])


def divides_by_zero(prediction, answers):
    def one(a):
        p, r = against(prediction, a)
        return 2 * p * r / (p + r)

    return max(map(one, answers))


def right_f1(prediction, answers):
    return max(harmonic(*against(prediction, a)) for a in answers)


def right_f1_in_loops(prediction, answers):
    best = 0
    for answer in answers:
        said, left, same = cut(prediction), cut(answer), 0
        total = len(said) + len(left)
        for word in said:
            if word in left:
                left.remove(word)
                same += 1
        best = max(best, 2 * same / total)
    return np.float64(best)


# my_best_span(start, end, longest)


def apart(start, end, longest):
    return np.array([np.argmax(start), np.argmax(end)])


def sorted_apart(start, end, longest):
    return np.array(sorted([np.argmax(start), np.argmax(end)]))


def searched(start, end, fits, score=lambda s, e: s + e):
    T = len(start)
    pairs = [(score(start[i], end[j]), -i, -j) for i in range(T) for j in range(T) if fits(i, j)]
    _, i, j = max(pairs)
    return np.array([-i, -j])


def start_first(start, end, longest):
    i = int(np.argmax(start))
    return np.array([i, i + int(np.argmax(end[i : i + longest]))])


def end_first(start, end, longest):
    j = int(np.argmax(end))
    low = max(0, j - longest + 1)
    return np.array([low + int(np.argmax(start[low : j + 1])), j])


def any_length(start, end, longest):
    return searched(start, end, lambda i, j: j >= i)


def both_directions(start, end, longest):
    return searched(start, end, lambda i, j: abs(i - j) < longest)


def one_short(start, end, longest):
    return searched(start, end, lambda i, j: 0 <= j - i < max(longest - 1, 1))


def one_long(start, end, longest):
    return searched(start, end, lambda i, j: 0 <= j - i <= longest)


def two_at_least(start, end, longest):
    return searched(start, end, lambda i, j: 0 < j - i < longest)


def swapped_scores(start, end, longest):
    return searched(end, start, lambda i, j: 0 <= j - i < longest)


def as_a_slice(start, end, longest):
    return right_span(start, end, longest) + np.array([0, 1])


def last_first(start, end, longest):
    return right_span(start, end, longest)[::-1].copy()


def multiplied(start, end, longest):
    return searched(start, end, lambda i, j: 0 <= j - i < longest, lambda s, e: s * e)


def a_tuple(start, end, longest):
    return tuple(right_span(start, end, longest))


def right_span(start, end, longest):
    return searched(start, end, lambda i, j: 0 <= j - i < longest)


def right_span_by_mask(start, end, longest):
    T = len(start)
    fits = np.triu(np.ones((T, T))) * np.tril(np.ones((T, T)), longest - 1)
    sums = np.where(fits > 0, start[:, None] + end, -np.inf)
    return np.array(np.unravel_index(sums.argmax(), sums.shape))


def right_span_of_lib(start, end, longest):
    scores = torch.tensor(np.stack([start, end], axis=-1))[None]
    return best_spans(scores, torch.ones(1, len(start), dtype=torch.bool), longest=longest)[0].numpy()


WRONG = {
    "check_f1": {
        precision: "this is precision",
        recall: "this is recall",
        arithmetic: "harmonic mean",
        jaccard: "Jaccard",
        exact: "this is exact match",
        no_factor: "factor 2 is missing",
        keeps_capitals: "capitals count",
        keeps_punctuation: "punctuation counts",
        blanks_for_punctuation: "no blank takes its place",
        keeps_articles: "articles count",
        counts_twice: "matched twice",
        sets: "repeated words have vanished",
        first_answer: "only the first right answer",
        average_answer: "are averaged",
        joined_answers: "joined into one long text",
        divides_by_zero: "no word is shared",
    },
    "check_best_span": {
        apart: "each by itself",
        sorted_apart: "swapped when they cross",
        start_first: "the best start is taken first",
        end_first: "the best end is taken first",
        any_length: "longest is ignored",
        both_directions: "ends before the start are allowed",
        one_short: "one place too short",
        one_long: "one place too long",
        two_at_least: "single place",
        swapped_scores: "start and end scores are swapped",
        as_a_slice: "one too far",
        last_first: "first and last place are swapped",
        multiplied: "multiplied",
        a_tuple: "not a NumPy array",
    },
}

RIGHT = {
    "check_f1": [right_f1, right_f1_in_loops],
    "check_best_span": [right_span, right_span_by_mask, right_span_of_lib],
}
