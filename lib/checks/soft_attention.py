"""Checks of chapter 15: sparsemax, and the additive score."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import additive_score, softmax, sparsemax


def check_sparsemax(my_sparsemax: Callable) -> bool:
    """Check `my_sparsemax(scores)`: an array of any rank, weights along its last axis."""
    draw = np.random.default_rng(15).standard_normal
    table = np.array([[0.1, 1.0, -1.2, 0.7], [2.0, -0.5, 0.3, 0.2], [-0.4, -0.3, -0.2, -0.1]])
    cases = [
        Case((table,), "This was a table of 3 rows and 4 columns.", "这里用的是 3 行 4 列的表。"),
        Case(
            (table[0],),
            "This was a single row: axis=-1 means the last axis of any array, axis=1 needs a second one.",
            "这里只有一行：axis=-1 对任何数组都指最后一个轴，axis=1 则要求有第二个轴。",
        ),
        Case(
            (0.6 * draw((2, 3, 7)),),
            "This array had three axes, (2, 3, 7): use axis=-1 and keepdims=True.",
            "这里的数组有三个轴 (2, 3, 7)：请用 axis=-1 和 keepdims=True。",
        ),
        Case(
            (np.array([[1.0, 1.0, 1.0, 0.2], [0.5, 0.5, -3.0, 0.5]]),),
            "Several scores were equal: they get equal weights.",
            "这里有几个分数相等：它们的权重也应相等。",
        ),
        Case(
            (np.array([[4000.0, 4000.5, 3999.8], [-4000.0, -4000.5, -3999.8]]),),
            "The scores were thousands: only their differences count, so subtract the largest of each row first.",
            "这里的分数有几千：只有差才算数，可以先减去每行的最大值。",
        ),
        Case((np.array([[-3.0], [8.0]]),), "There was a single element in each row.", "这里每行只有一个元素。"),
    ]
    return examine("my_sparsemax", my_sparsemax, sparsemax, cases, _SPARSEMAX_MISTAKES)


def check_additive_score(my_additive_score: Callable) -> bool:
    """Check `my_additive_score(query, key, w_query, w_key, v)`.

    Shapes: query (..., T, d_q), key (..., S, d_k), w_query (d_q, h), w_key (d_k, h), v (h,), and (..., T, S) returned.
    """
    draw = np.random.default_rng(16).standard_normal
    weights = draw((4, 3)), draw((6, 3)), draw(3)
    cases = [
        Case(
            (draw((2, 4)), draw((5, 6)), *weights),
            "There were T = 2 queries of width 4, S = 5 keys of width 6 and 3 hidden units.",
            "这里有 T = 2 个宽度为 4 的查询、S = 5 个宽度为 6 的键、3 个隐藏单元。",
        ),
        Case(
            (draw((5, 4)), draw((5, 6)), *weights),
            "There were as many queries as keys: each query still meets every key.",
            "这里查询与键一样多：每个查询仍要遇上每一个键。",
        ),
        Case((draw((1, 4)), draw((1, 6)), *weights), "There was one query and one key.", "这里只有一个查询和一个键。"),
        Case(
            (draw((2, 7, 3, 4)), draw((2, 7, 5, 6)), *weights),
            "There were two batch axes in front, (2, 7): put the new axes in last place but one or two, "
            "a[..., :, None, :] + b[..., None, :, :].",
            "前面有两个批量轴 (2, 7)：新的轴要加在靠后的位置，即 a[..., :, None, :] + b[..., None, :, :]。",
        ),
    ]
    return examine("my_additive_score", my_additive_score, additive_score, cases, _ADDITIVE_MISTAKES)


def _threshold(scores, kept):
    """Where the threshold lies when the `kept` highest scores are to have weight."""
    ordered = -np.sort(-scores, axis=-1)
    total = np.take_along_axis(ordered.cumsum(axis=-1), kept - 1, axis=-1)
    return (total - 1) / kept


def _kept(scores, fits):
    """How many of the highest scores pass `fits(rank, score, sum so far)`."""
    ordered = -np.sort(-scores, axis=-1)
    ranks = np.arange(1, scores.shape[-1] + 1)
    return np.maximum(fits(ranks, ordered, ordered.cumsum(axis=-1)).sum(axis=-1, keepdims=True), 1)


def _right_count(scores):
    return _kept(scores, lambda rank, score, total: 1 + rank * score > total)


def _over_axis(axis):
    return lambda s: np.moveaxis(sparsemax(np.moveaxis(s, axis, -1)), -1, axis)


def _shares(positive):
    return positive / positive.sum(axis=-1, keepdims=True)


_SPARSEMAX_MISTAKES = [
    Mistake(
        _over_axis(0),
        "the weights sum to 1 over the wrong axis: each row should, so use axis=-1, not axis=0.",
        "权重在错误的轴上归一化了：应该每一行之和为 1，请用 axis=-1，而不是 axis=0。",
    ),
    Mistake(
        _over_axis(1),
        "the weights sum to 1 over axis 1: take the last axis, axis=-1, whatever the rank.",
        "权重在轴 1 上归一化了：不论数组有几个轴，都应取最后一个轴 axis=-1。",
    ),
    Mistake(
        lambda s: sparsemax(s.reshape(-1)).reshape(s.shape),
        "all weights together sum to 1: each row should, so give every step axis=-1.",
        "所有权重合起来才等于 1：应该每一行之和为 1，每一步都要写 axis=-1。",
    ),
    Mistake(
        softmax,
        "this is softmax, which leaves no weight at 0: subtract a threshold and clip at 0 instead of taking exp.",
        "这是 softmax，没有一个权重会是 0：这里不取 exp，而是减去阈值，再把负数截成 0。",
    ),
    Mistake(
        lambda s: np.where(softmax(s) > 1 / s.shape[-1], softmax(s), 0),
        "this is softmax with its small weights cut off, and what is left does not sum to 1.",
        "这是把小权重砍掉的 softmax，剩下的加起来不是 1。",
    ),
    Mistake(
        lambda s: _shares(np.where(softmax(s) > 1 / s.shape[-1], softmax(s), 0)),
        "this is softmax with its small weights cut off and the rest scaled up: sparsemax takes no exp at all.",
        "这是砍掉小权重、再把其余放大的 softmax：sparsemax 根本不取 exp。",
    ),
    Mistake(
        lambda s: np.clip(s, 0, 1),
        "the scores are clipped to 0 ... 1 as they are: subtract the threshold first, so that the row sums to 1.",
        "这里把分数直接截到 0 与 1 之间：应先减去阈值，这样每行之和才是 1。",
    ),
    Mistake(
        lambda s: _shares(np.maximum(s, 0)),
        "positive scores are divided by their sum: subtract a threshold instead; only differences of scores count.",
        "这里用正的分数除以它们的和：应该减去阈值，起作用的只有分数之差。",
    ),
    Mistake(
        lambda s: np.maximum(s - _threshold(s, np.full((*s.shape[:-1], 1), s.shape[-1])), 0),
        "the threshold is the one that fits when all S scores have weight, and after clipping the row sums to more "
        "than 1: divide by the number of scores kept, counted from the highest down, -np.sort(-scores, axis=-1).",
        "这个阈值只有当全部 S 个分数都有权重时才对，截断之后每行之和大于 1：应除以留下的分数的个数，"
        "而且要从最高的数起，即 -np.sort(-scores, axis=-1)。",
    ),
    Mistake(
        lambda s: s - _threshold(s, np.full((*s.shape[:-1], 1), s.shape[-1])),
        "the same is subtracted from all S scores and nothing is clipped, so some weights are negative.",
        "所有 S 个分数都减去了同一个数，却没有截断，于是有的权重是负数。",
    ),
    Mistake(
        lambda s: s - _threshold(s, _right_count(s)),
        "the threshold is right, but weights below 0 are left: take np.maximum(..., 0).",
        "阈值对了，但还留着负的权重：请取 np.maximum(..., 0)。",
    ),
    Mistake(
        lambda s: np.maximum(s - _threshold(s, _right_count(s)) - 1 / _right_count(s), 0),
        "the 1 is missing in the threshold: it is (sum of the kept scores - 1) / k.",
        "阈值里少了 1：应该是（留下的分数之和 - 1）/ k。",
    ),
    Mistake(
        lambda s: np.maximum(s - _threshold(s, np.minimum(_right_count(s) + 1, s.shape[-1])), 0),
        "one score too many is counted as kept: ranks begin at 1, and 1 + k * score must exceed the sum so far.",
        "留下的个数多数了一个：名次从 1 数起，而且 1 + k * 分数 必须大于到此为止的和。",
    ),
    Mistake(
        lambda s: np.maximum(s - _threshold(s, np.maximum(_right_count(s) - 1, 1)), 0),
        "one score too few is counted as kept: k is a number of scores, not the index of the last one.",
        "留下的个数少数了一个：k 是个数，不是最后一个的下标。",
    ),
    Mistake(
        lambda s: np.maximum(s - _threshold(s, _kept(s, lambda rank, score, total: 1 + score > total)), 0),
        "the test for being kept lacks the rank: it is 1 + k * score > sum so far, with k = 1, 2, 3, ...",
        "判断是否留下时少了名次：应为 1 + k * 分数 > 到此为止的和，k = 1, 2, 3, ……",
    ),
    Mistake(
        lambda s: -np.sort(-sparsemax(s), axis=-1),
        "the weights come out in sorted order: subtract the threshold from the scores as they were given.",
        "权重按大小排了序：应从原来次序的分数里减去阈值。",
    ),
    Mistake(
        lambda s: (s == s.max(axis=-1, keepdims=True)).astype(float),
        "all the weight goes to the largest score: that is arg max; scores less than 1 below may share.",
        "全部权重都给了最大的分数：那是 arg max；比它低不到 1 的分数也可能分到一份。",
    ),
    Mistake(
        lambda s: 1 / (1 + np.exp(-s)),
        "this is a sigmoid of each score by itself: the row has to sum to 1.",
        "这是对每个分数单独取 sigmoid：应该每一行之和为 1。",
    ),
]


def _hidden(query, key, w_query, w_key, join=np.add):
    return join((query @ w_query)[..., :, None, :], (key @ w_key)[..., None, :, :])  # (..., T, S, h)


def _scored(change, join=np.add):
    """An additive score whose hidden layer is joined or finished in another way."""
    return lambda query, key, w_query, w_key, v: change(_hidden(query, key, w_query, w_key, join), v)


_ADDITIVE_MISTAKES = [
    Mistake(
        _scored(lambda hidden, v: hidden @ v),
        "tanh is missing: without it the query adds the same to all keys, and softmax ignores it.",
        "少了 tanh：没有它，查询只是给所有键加上同一个数，softmax 不予理会。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden @ v)),
        "tanh comes too late: take it of each hidden unit, then multiply by v.",
        "tanh 取得太晚：应先对每个隐藏单元取 tanh，再乘 v。",
    ),
    Mistake(
        lambda q, k, wq, wk, v: (np.tanh(q @ wq)[..., :, None, :] + np.tanh(k @ wk)[..., None, :, :]) @ v,
        "tanh is taken of query and key apart: add the two first, otherwise they never meet.",
        "对查询和键各自取了 tanh：应先把两者相加，否则它们从未相遇。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden) @ v, np.multiply),
        "query and key are multiplied: this score adds them.",
        "查询与键相乘了：这种分数是把两者相加。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden) @ v, np.subtract),
        "the key is subtracted from the query: add the two; the weights learn the sign.",
        "这里从查询里减去了键：应把两者相加，正负号由权重去学。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.maximum(hidden, 0) @ v),
        "the hidden layer uses ReLU: Bahdanau et al. use tanh.",
        "隐藏层用了 ReLU：Bahdanau 等人用的是 tanh。",
    ),
    Mistake(
        _scored(lambda hidden, v: (1 / (1 + np.exp(-hidden))) @ v),
        "the hidden layer uses the sigmoid: Bahdanau et al. use tanh.",
        "隐藏层用了 sigmoid：Bahdanau 等人用的是 tanh。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden).sum(axis=-1)),
        "v is not used: multiply each hidden unit by its entry of v, then sum.",
        "没有用到 v：每个隐藏单元要先乘上 v 里对应的一项，再求和。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden).mean(axis=-1)),
        "the hidden units are averaged and v is not used: multiply them by v and sum.",
        "隐藏单元取了平均，没有用到 v：应乘上 v 再求和。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden) @ v / np.sqrt(v.shape[0])),
        "the score is divided by the square root of the number of hidden units: only the dot product is scaled so.",
        "分数除以了隐藏单元数的平方根：只有点积才这样缩放。",
    ),
    Mistake(
        _scored(lambda hidden, v: softmax(np.tanh(hidden) @ v)),
        "softmax is already taken: return the scores; normalising is the next step.",
        "这里已经取了 softmax：应返回分数，归一化是下一步。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.swapaxes(np.tanh(hidden) @ v, -1, -2)),
        "rows and columns are swapped: the shape is (T, S), a row for each query.",
        "行和列弄反了：形状应为 (T, S)，每个查询一行。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden)),
        "it returns the hidden layer: multiply by v, so that each pair has one number.",
        "返回的是隐藏层：还要乘 v，让每一对只有一个数。",
    ),
    Mistake(
        lambda q, k, wq, wk, v: np.tanh(q @ wq + k @ wk) @ v,
        "each query meets the one key in its own row: let it meet every key, a[..., :, None, :] + b[..., None, :, :].",
        "每个查询只遇上同一行的那个键：应让它遇上每一个键，即 a[..., :, None, :] + b[..., None, :, :]。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden) @ v, lambda query, key: 0 * query + key),
        "the query has no effect: add its hidden units to those of the key.",
        "查询没有起作用：应把它的隐藏单元与键的隐藏单元相加。",
    ),
    Mistake(
        _scored(lambda hidden, v: np.tanh(hidden) @ v, lambda query, key: query + 0 * key),
        "the key has no effect: add its hidden units to those of the query.",
        "键没有起作用：应把它的隐藏单元与查询的隐藏单元相加。",
    ),
]
