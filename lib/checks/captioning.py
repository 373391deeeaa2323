"""Checks of chapter 11: how often the gaze falls on the digit named, and mixing soft looks with drawn ones."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine


def check_pointing_accuracy(my_pointing_accuracy: Callable) -> bool:
    """Check `my_pointing_accuracy(weights, target)`: a share; weights (B, T, S), target (B, T), -1 where none."""
    draw = np.random.default_rng(11)
    weights = draw.dirichlet(np.full(9, 0.4), size=(4, 6))  # (B, T, S)
    best = weights.argmax(axis=-1)
    target = np.where(draw.random((4, 6)) < 0.5, best, draw.integers(1, 9, (4, 6)))
    target[0] = best[0]
    some = np.where(draw.random((4, 6)) < 0.4, -1, target)
    weights[1, 2], some[1, 2] = np.eye(9)[8], -1
    uneven = np.array([[best[0, 0], -1, -1, -1, -1, -1], *((target[1:] + 1) % 9)])
    at_zero, last = np.full((2, 4, 3), 0.2), np.full((1, 5, 4), 0.1)
    at_zero[..., 0], last[..., 3] = 0.6, 0.7
    cases = [
        Case((weights, target), "All 24 words name a digit here.", "这里 24 个词全都指名一个数字。"),
        Case(
            (weights, some),
            "Where the target is -1 the word names no digit: such words do not count at all.",
            "目标为 -1 的词不指名任何数字：这样的词根本不计入。",
        ),
        Case(
            (at_zero, np.array([[0, 1, 0, -1], [2, 0, -1, 0]])),
            "Cell 0 is a cell like the others: only -1 means that there is no target.",
            "第 0 格和别的格一样：只有 -1 才表示没有目标。",
        ),
        Case(
            (last, np.array([[3, -1, 3, 0, -1]])),
            "The gaze was on the last cell: as an index -1 means the last one, but here it means no target.",
            "这里目光落在最后一格：作下标时 -1 是最后一个，在这里却表示没有目标。",
        ),
        Case(
            (weights, uneven),
            "The captions name 1, 6, 6 and 6 digits: every word has the same say, not every caption.",
            "几条字幕分别指名 1、6、6、6 个数字：每个词一票，而不是每条字幕一票。",
        ),
        Case(
            (np.full((1, 2, 4), [0.1, 0.3, 0.3, 0.3]), np.array([[2, 3]])),
            "Three regions have the largest weight: the first of them is where it looks, as arg max says.",
            "有三个区域的权重同为最大：按 arg max 的规矩，看的是前一个。",
        ),
    ]
    return examine("my_pointing_accuracy", my_pointing_accuracy, _pointing, cases, _POINTING_MISTAKES)


def check_mixed_weights(my_mixed_weights: Callable) -> bool:
    """Check `my_mixed_weights(shares, choice, soft)`: shares (B, T, S), choice (B, T), soft (B,) Boolean; (B, T, S)."""
    draw = np.random.default_rng(1502)

    def made(*shape):
        B, T, S = shape
        return draw.dirichlet(np.ones(S), size=(B, T)), draw.integers(0, S, (B, T))

    cases = [
        Case((*made(5, 3, 4), np.array([1, 0, 0, 1, 0], dtype=bool)), "B = 5, T = 3, S = 4.", "B = 5、T = 3、S = 4。"),
        Case(
            (*made(3, 3, 3), np.array([0, 1, 1], dtype=bool)),
            "B, T and S were all 3: `soft` belongs to the captions, the first axis.",
            "B、T、S 都是 3：`soft` 属于各条字幕，即第一个轴。",
        ),
        Case(
            (*made(2, 4, 5), np.array([0, 0], dtype=bool)),
            "No caption was soft: all weights are 0 or 1.",
            "没有一条是软的：权重全是 0 或 1。",
        ),
        Case(
            (*made(2, 4, 5), np.array([1, 1], dtype=bool)),
            "All captions were soft: the shares come back as they are.",
            "每一条都是软的：份额原样返回。",
        ),
    ]
    return examine("my_mixed_weights", my_mixed_weights, _mixed, cases, _MIXED_MISTAKES)


def _pointing(weights, target):
    named = target >= 0
    return np.mean((weights.argmax(axis=-1) == target)[named])


def _one_hot(shares, choice):
    return np.eye(shares.shape[-1])[choice]


def _mixed(shares, choice, soft):
    return np.where(soft[:, None, None], shares, _one_hot(shares, choice))


def _mixed_along(axis, shares, choice, soft):
    """Run `soft` along another axis where its length allows that, as a missing `[:, None, None]` does."""
    if len(soft) != shares.shape[axis]:
        return _mixed(shares, choice, soft)
    return np.where(soft.reshape([-1 if one == axis else 1 for one in range(3)]), shares, _one_hot(shares, choice))


def _on_target(weights, target):
    return np.take_along_axis(weights, target.clip(min=0)[..., None], axis=-1)[..., 0]


_POINTING_MISTAKES = [
    Mistake(
        lambda w, t: np.mean(w.argmax(axis=-1) == t),
        "words without a target count as misses: leave out those with -1, above and below the line.",
        "没有目标的词被算成了没指中：目标为 -1 的词，分子分母里都要去掉。",
    ),
    Mistake(
        lambda w, t: np.mean((w.argmax(axis=-1) == t) | (t < 0)),
        "words without a target count as hits: leave out those with -1.",
        "没有目标的词被算成了指中：目标为 -1 的词应去掉。",
    ),
    Mistake(
        lambda w, t: np.mean(w.argmax(axis=-1) == t % w.shape[-1]),
        "-1 is taken as the last region: it means that the word has no target.",
        "-1 被当成了最后一个区域：它表示这个词没有目标。",
    ),
    Mistake(
        lambda w, t: np.mean(_on_target(w, t)[t >= 0]),
        "this is the mean weight on the target: count how often the largest weight falls on it.",
        "这是落在目标上的平均权重：要数的是最大的权重有多少次落在目标上。",
    ),
    Mistake(
        lambda w, t: np.mean((w.argmin(axis=-1) == t)[t >= 0]),
        "the smallest weight is taken: take the largest.",
        "取的是最小的权重：应取最大的。",
    ),
    Mistake(
        lambda w, t: np.mean((w.argmax(axis=-1) == t)[t > 0]),
        "targets in cell 0 are left out: only -1 means that there is none.",
        "目标在第 0 格的词也被去掉了：只有 -1 才表示没有目标。",
    ),
    Mistake(
        lambda w, t: np.mean([np.mean(h[n]) for h, n in zip(w.argmax(-1) == t, t >= 0, strict=True)]),
        "each caption has the same say: average over all words that name a digit.",
        "每条字幕各占一票：应对所有指名数字的词取平均。",
    ),
    Mistake(
        lambda w, t: np.sum((w.argmax(axis=-1) == t)[t >= 0]),
        "this is a count: divide by the number of words that name a digit.",
        "这是个数：还要除以指名数字的词数。",
    ),
    Mistake(
        lambda w, t: 1 - _pointing(w, t),
        "this is the share of misses: count the hits.",
        "这是没指中的比例：要数的是指中的。",
    ),
    Mistake(
        lambda w, t: np.mean((_on_target(w, t) >= w.max(axis=-1))[t >= 0]),
        "where several weights are largest it counts as a hit: it looks at the first of them only, as arg max says.",
        "几个权重同为最大时也算指中：按 arg max 的规矩，看的只是其中第一个。",
    ),
    Mistake(
        lambda w, t: np.mean((_on_target(w, t) > 0.5)[t >= 0]),
        "only weights above one half count: the largest one points, however large it is.",
        "超过一半的权重才算：其实最大的那个就是所指，不论它有多大。",
    ),
    Mistake(
        lambda w, t: np.mean((w.argmax(axis=-1) == t).all(axis=-1)),
        "this is the share of captions without any miss: count words.",
        "这是一次也没指错的字幕的比例：要数的是词。",
    ),
]

_MIXED_MISTAKES = [
    Mistake(
        lambda p, c, s: _mixed(p, c, ~s),
        "it is the wrong way round: True means that the caption looks softly.",
        "弄反了：True 表示这条字幕用软的目光。",
    ),
    Mistake(
        lambda p, c, s: _one_hot(p, c),
        "every caption is hard: those with soft = True keep their shares.",
        "每条字幕都成了硬的：soft 为 True 的应保留份额。",
    ),
    Mistake(
        lambda p, c, s: p.copy(),
        "every caption is soft: the others get a 1 at the region drawn and 0 elsewhere.",
        "每条字幕都成了软的：其余的应在抽中的区域为 1，别处为 0。",
    ),
    Mistake(
        lambda p, c, s: (p + _one_hot(p, c)) / 2,
        "every caption gets half of each: a caption is either soft or hard.",
        "每条字幕都各取了一半：一条字幕要么软，要么硬。",
    ),
    Mistake(
        lambda p, c, s: np.where(s[:, None, None], p, _one_hot(p, p.argmax(axis=-1))),
        "the region with the largest share is taken: take the one that was drawn, `choice`.",
        "取的是份额最大的区域：应取抽中的那个，即 `choice`。",
    ),
    Mistake(
        lambda p, c, s: np.where(s[:, None, None], _one_hot(p, p.argmax(axis=-1)), _one_hot(p, c)),
        "the soft captions get the region with the largest share: soft means the shares themselves, the expectation.",
        "软的字幕取了份额最大的区域：软，指的是份额本身，也就是期望。",
    ),
    Mistake(
        lambda p, c, s: np.where(s[:, None, None], p, p * _one_hot(p, c)),
        "the region drawn keeps its share: a hard look gives it all the weight, 1.",
        "抽中的区域只保留了份额：硬看一眼，权重应全给它，即 1。",
    ),
    Mistake(
        lambda p, c, s: np.where(s[:, None, None], 1 / p.shape[-1], _one_hot(p, c)),
        "the soft captions look at all regions equally: they keep their shares.",
        "软的字幕平均地看所有区域：应保留各自的份额。",
    ),
    Mistake(
        lambda p, c, s: _mixed_along(1, p, c, s),
        "`soft` runs along the words: it belongs to the captions, soft[:, None, None].",
        "`soft` 沿着词的方向用了：它属于各条字幕，应写 soft[:, None, None]。",
    ),
    Mistake(
        lambda p, c, s: _mixed_along(2, p, c, s),
        "`soft` runs along the regions: it belongs to the captions, soft[:, None, None].",
        "`soft` 沿着区域的方向用了：它属于各条字幕，应写 soft[:, None, None]。",
    ),
    Mistake(
        lambda p, c, s: p * s[:, None, None],
        "the hard captions see nothing: give them a 1 at the region drawn.",
        "硬的字幕什么也没看到：应在抽中的区域给 1。",
    ),
]
