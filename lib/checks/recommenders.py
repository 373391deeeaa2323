"""Checks of chapter 09: an honest rank, target attention, and what sampled opponents do to a hit rate."""

from collections.abc import Callable
from math import comb

import numpy as np

from lib.checks.report import Case, Mistake, examine


def check_ranks(my_ranks: Callable) -> bool:
    """Check `my_ranks(scores, targets, seen)`: at which place the film stands that was really next.

    scores (N, I): a row an event, a column a film; targets (N,): the film that came; seen (N, I): True where the user
    had rated the film before, so that it does not compete. The result (N,) counts from 1; films with the same score as
    the target stand before it.
    """
    rng = np.random.default_rng(9)
    plain = rng.permutation(24).reshape(4, 6).astype(float)
    seen = np.zeros((4, 6), dtype=bool)
    some = np.array([[0, 1, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 1, 1]], dtype=bool)
    cases = [
        Case(
            (plain, np.array([2, 0, 5, 3]), seen),
            "Four events, six films, nothing seen before, all scores different.",
            "四个事件，六部影片，事先什么也没看过，分数各不相同。",
        ),
        Case(
            (
                np.array([[9, 8, 7, 3, 2, 1], [9, 5, 4, 3, 8, 1], [1, 2, 9, 6, 8, 7]], dtype=float),
                np.array([3, 1, 3]),
                some,
            ),
            "Here users had seen some films before, among them the highest scored: these do not compete.",
            "这里用户事先看过几部影片，得分最高的也在其中：它们不参加排名。",
        ),
        Case(
            (np.zeros((2, 5)), np.array([0, 4]), np.zeros((2, 5), dtype=bool)),
            "All five films had the score 0: a method that knows nothing must come out last, not first.",
            "五部影片全是 0 分：什么也不知道的方法应当排在最后，而不是最前。",
        ),
        Case(
            (
                np.array([[2.0, 2, 1, 3], [-1, -1, -2, -1]]),
                np.array([0, 2]),
                np.array([[0, 1, 0, 0], [0, 0, 0, 1]], bool),
            ),
            "Ties, seen films and negative scores together.",
            "同分、看过的影片和负分数凑在一起。",
        ),
    ]
    return examine("my_ranks", my_ranks, _ranks, cases, _RANK_MISTAKES)


def check_target_attention(my_target_attention: Callable) -> bool:
    """Check `my_target_attention(history, candidates)`: each candidate looks at the history for itself.

    history (T, D): the vectors of the films seen; candidates (C, D). Each candidate's query is its own vector, keys and
    values are the history's. Scores are scaled by the square root of D, softmax runs over the history, and the result
    (C,) is the dot product of each candidate with the vector that it has gathered.
    """
    rng = np.random.default_rng(9)
    two_tastes = np.array([[4.0, 0, 0, 0], [4, 0, 0, 0], [0, 4, 0, 0]])
    cases = [
        Case(
            (rng.standard_normal((3, 4)), rng.standard_normal((5, 4))),
            "A history of 3 films, 5 candidates, width 4.",
            "历史里有 3 部影片，5 个候选，宽度为 4。",
        ),
        Case(
            (two_tastes, np.array([[3.0, 0, 0, 0], [0, 3, 0, 0]])),
            "Two tastes, one film in three of the second: a candidate of that taste finds it, an average does not.",
            "两种口味，三部里只有一部属于第二种：属于第二种的候选能找到它，取平均则找不到。",
        ),
        Case(
            (rng.standard_normal((6, 9)) * 60, rng.standard_normal((6, 9)) * 60),
            "Vectors sixty times as long, width 9: subtract the highest score before exp.",
            "向量长了六十倍，宽度为 9：先减去最高的分数，再取 exp。",
        ),
        Case(
            (rng.standard_normal((1, 3)), rng.standard_normal((2, 3))),
            "A history of a single film: its weight is 1 for every candidate.",
            "历史里只有一部影片：对每个候选，它的权重都是 1。",
        ),
    ]
    return examine("my_target_attention", my_target_attention, _target_attention, cases, _TARGET_MISTAKES)


def check_sampled_hit_rate(my_sampled_hit_rate: Callable) -> bool:
    """Check `my_sampled_hit_rate(ranks, num_films, negatives, k)`: the hit rate against a few sampled opponents.

    ranks (N,), each from 1 to num_films, come from a full ranking. Instead, `negatives` opponents are drawn with
    replacement from the num_films - 1 others, and the film is a hit when fewer than k of them stand before it. The
    result is the expected share of hits, one number.
    """
    cases = [
        Case(
            (np.array([1, 8, 101]), 101, 10, 2),
            "Ranks 1, 8 and 101 of 101 films, 10 opponents, k = 2: a hit has at most one of them before it.",
            "101 部影片中排在第 1、8、101，抽 10 个对手，k = 2：最多有一个排在前面，才算命中。",
        ),
        Case(
            (np.array([11, 51, 100]), 1001, 100, 10),
            "Ranks 11, 51 and 100 of 1001 films, 100 opponents, k = 10.",
            "1001 部影片中排在第 11、51、100，抽 100 个对手，k = 10。",
        ),
        Case(
            (np.array([3]), 6, 4, 2),
            "Rank 3 of 6 films, 4 opponents, k = 2: two of the five others stand before the film.",
            "6 部影片中排在第 3，抽 4 个对手，k = 2：另外五部里有两部排在它前面。",
        ),
        Case(
            (np.array([5, 9]), 10, 3, 4),
            "Three opponents and k = 4: everything is a hit.",
            "只有 3 个对手而 k = 4：怎么都命中。",
        ),
    ]
    return examine("my_sampled_hit_rate", my_sampled_hit_rate, _sampled, cases, _SAMPLED_MISTAKES)


def _ranks(scores, targets, seen, *, ties=np.greater_equal, first=0, lowest=-np.inf):
    own = scores[np.arange(len(scores)), targets][:, None]
    return (ties(np.where(seen, lowest, scores), own)).sum(axis=1) + first


def _softmax(scores, axis=-1):
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def _target_attention(history, candidates, *, scale=None, axis=-1, read=None):
    scores = candidates @ history.T / (np.sqrt(history.shape[1]) if scale is None else scale(history))
    gathered = _softmax(scores, axis) @ history
    return (gathered * candidates).sum(axis=1) if read is None else read(gathered, candidates)


def _sampled(ranks, num_films, negatives, k, *, before=lambda r: r - 1, others=lambda n: n - 1, enough=lambda k: k):
    p = np.array([before(int(r)) / others(num_films) for r in ranks])
    hits = [comb(negatives, j) * p**j * (1 - p) ** (negatives - j) for j in range(min(enough(k), negatives + 1))]
    return np.sum(hits, axis=0).mean()


_RANK_MISTAKES = [
    Mistake(
        lambda scores, targets, seen: _ranks(scores, targets, np.zeros_like(seen)),
        "films that the user has seen still compete: leave them out before you count.",
        "用户看过的影片还在参加排名：计数之前先把它们去掉。",
    ),
    Mistake(
        lambda scores, targets, seen: _ranks(scores, targets, seen, ties=np.greater, first=1),
        "films with the same score are put behind the target: a method that scores everything alike would win.",
        "与目标同分的影片被排到了后面：这样，给所有影片打同样分数的方法反而会赢。",
    ),
    Mistake(
        lambda scores, targets, seen: _ranks(scores, targets, seen, first=-1),
        "the count starts from 0: the best film has rank 1, and the target counts itself.",
        "是从 0 数起的：最好的影片名次是 1，目标自己也要算进去。",
    ),
    Mistake(
        lambda scores, targets, seen: _ranks(-scores, targets, seen),
        "the order is turned round: a high score is good and belongs in front.",
        "次序颠倒了：分数高的好，应当排在前面。",
    ),
    Mistake(
        lambda scores, targets, seen: _ranks(scores, targets, seen, lowest=0.0),
        "seen films get the score 0, which may still beat others: use -inf.",
        "看过的影片被记为 0 分，仍可能排在别的影片前面：应当用 -inf。",
    ),
    Mistake(
        lambda scores, targets, seen: np.argsort(-scores, axis=1)[np.arange(len(scores)), targets] + 1,
        "argsort gives the film at each place, not the place of each film: apply it twice, or count.",
        "argsort 给出的是每个名次上的影片，不是每部影片的名次：再用一次，或者直接计数。",
    ),
]

_TARGET_MISTAKES = [
    Mistake(
        lambda history, candidates: candidates @ history.mean(axis=0),
        "this is average pooling: every film has the same weight, whatever the candidate.",
        "这是平均池化：不管候选是什么，每部影片的权重都一样。",
    ),
    Mistake(
        lambda history, candidates: _target_attention(history, candidates, scale=lambda h: 1.0),
        "the scores are not divided by the square root of D.",
        "分数没有除以 D 的平方根。",
    ),
    Mistake(
        lambda history, candidates: _target_attention(history, candidates, scale=lambda h: h.shape[1]),
        "the scores are divided by D, not by its square root.",
        "分数除以的是 D，而不是它的平方根。",
    ),
    Mistake(
        lambda history, candidates: _target_attention(history, candidates, axis=0),
        "softmax runs over the candidates: each candidate shares its weight among the films of the history.",
        "softmax 沿候选的轴做了：每个候选要把权重分给历史里的影片。",
    ),
    Mistake(
        lambda history, candidates: (candidates @ history.T / np.sqrt(history.shape[1]) @ history * candidates).sum(1),
        "the softmax is missing: the raw scores serve as weights.",
        "缺了 softmax：直接把分数当成了权重。",
    ),
    Mistake(
        lambda history, candidates: _target_attention(history, candidates, read=lambda g, c: g),
        "it returns the gathered vectors: take the dot product of each with its own candidate.",
        "返回的是汇总出来的向量：还要与各自的候选做点积。",
    ),
    Mistake(
        lambda history, candidates: _target_attention(history, candidates, read=lambda g, c: g @ c.T),
        "every gathered vector meets every candidate: each belongs to its own candidate only.",
        "每个汇总向量都与每个候选相乘了：它只属于自己那个候选。",
    ),
    Mistake(
        lambda history, candidates: (candidates @ history.T / np.sqrt(history.shape[1])).max(axis=1),
        "it takes the best film alone: all films count, by their weights.",
        "只取了最像的那一部：每部影片都要按权重算进去。",
    ),
    Mistake(
        lambda history, candidates: (candidates @ history.T).sum(axis=1),
        "it adds up all dot products: there are no weights.",
        "把所有点积加了起来：没有权重。",
    ),
]

_SAMPLED_MISTAKES = [
    Mistake(
        lambda ranks, num_films, negatives, k: (ranks <= k).mean(),
        "this is the hit rate of the full ranking: only the sampled opponents compete.",
        "这是完整排名下的命中率：参加比较的只有抽到的对手。",
    ),
    Mistake(
        lambda ranks, num_films, negatives, k: _sampled(ranks, num_films, negatives, k, before=lambda r: r),
        "a film at rank r has r - 1 films before it, not r.",
        "排在第 r 的影片，前面有 r - 1 部，而不是 r 部。",
    ),
    Mistake(
        lambda ranks, num_films, negatives, k: _sampled(ranks, num_films, negatives, k, others=lambda n: n),
        "opponents are drawn from the num_films - 1 others: the film does not compete with itself.",
        "对手是从另外 num_films - 1 部里抽的：影片不与自己比。",
    ),
    Mistake(
        lambda ranks, num_films, negatives, k: _sampled(ranks, num_films, negatives, k, enough=lambda k: k + 1),
        "with k opponents before it a film stands at place k + 1: a hit has fewer than k before it.",
        "前面有 k 个对手，就排在第 k + 1 位了：少于 k 个才算命中。",
    ),
    Mistake(
        lambda ranks, num_films, negatives, k: 1 - _sampled(ranks, num_films, negatives, k),
        "this is the share of misses.",
        "这是没有命中的比例。",
    ),
    Mistake(
        lambda ranks, num_films, negatives, k: np.mean(1 + (ranks - 1) / (num_films - 1) * negatives <= k),
        "it asks whether the *expected* rank is good enough: the expected share of hits needs the probability.",
        "这里问的是*期望名次*够不够好：要的是命中的概率，再取平均。",
    ),
    Mistake(
        lambda ranks, num_films, negatives, k: np.mean((1 - (ranks - 1) / (num_films - 1)) ** negatives),
        "it asks for no opponent at all before the film: up to k - 1 are allowed.",
        "这里要求前面一个对手也没有：其实允许有 k - 1 个。",
    ),
]
