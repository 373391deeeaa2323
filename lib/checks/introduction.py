"""Checks of chapter 01: softmax, and attention as a soft look-up among neighbours."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import softmax


def check_softmax(my_softmax: Callable) -> bool:
    """Check `my_softmax(scores)`: an array of any rank, weights along its last axis."""
    draw = np.random.default_rng(1).standard_normal
    table = 2 * draw((3, 4))
    cases = [
        Case((table,), "This was a table of 3 rows and 4 columns.", "这里用的是 3 行 4 列的表。"),
        Case(
            (table[0],),
            "This was a single row: axis=-1 means the last axis of any array, axis=1 needs a second one.",
            "这里只有一行：axis=-1 对任何数组都指最后一个轴，axis=1 则要求有第二个轴。",
        ),
        Case(
            (draw((2, 3, 5)),),
            "This array had three axes, (2, 3, 5): use axis=-1 and keepdims=True.",
            "这里的数组有三个轴 (2, 3, 5)：请用 axis=-1 和 keepdims=True。",
        ),
        Case(
            (np.array([[1000.0, 999.0, 0.0]]),),
            "The scores went up to 1000, where exp overflows: subtract the largest score of the row first.",
            "这里的分数大到 1000，exp 会溢出：请先减去这一行的最大分数。",
        ),
        Case(
            (np.array([[3000.0, 0.0, 0.0, 0.0]]),),
            "One score stood 3000 above the others: subtract the largest score of the row, not its mean.",
            "这里有一个分数比其余的高出 3000：要减去这一行的最大分数，而不是平均值。",
        ),
        Case(
            (np.array([[0.0, 1.0, 2.0], [5000.0, 5001.0, 5002.0]]),),
            "One row was thousands above the other: subtract each row's own maximum, max(axis=-1, keepdims=True).",
            "这里两行相差几千：每一行应减去它自己的最大值，即 max(axis=-1, keepdims=True)。",
        ),
    ]
    return examine("my_softmax", my_softmax, softmax, cases, _SOFTMAX_MISTAKES)


def check_attention_pooling(my_pooling: Callable) -> bool:
    r"""Check `my_pooling(query, keys, values, width)`: Nadaraya-Watson regression with a Gaussian kernel.

    $$f(q) = \sum_j \frac{e^{-(q - k_j)^2 / 2 w^2}}{\sum_i e^{-(q - k_i)^2 / 2 w^2}} v_j$$

    with query (T,), keys (S,), values (S,), width w a number, and (T,) returned.
    """
    rng = np.random.default_rng(2)
    keys, values = rng.uniform(0, 5, 6), rng.standard_normal(6)
    query = np.array([0.5, 1.7, 3.1, 4.4])
    cases = [
        Case(
            (query, keys, values, 0.6),
            "There were 4 queries, 6 keys and a width of 0.6.",
            "这里有 4 个查询、6 个键，宽度为 0.6。",
        ),
        Case(
            (query[:3], keys[:5], values[:5], 2.5),
            "There were 3 queries, 5 keys and a width of 2.5.",
            "这里有 3 个查询、5 个键，宽度为 2.5。",
        ),
        Case((query, keys[:1], values[:1], 0.6), "There was a single key.", "这里只有一个键。"),
        Case(
            (np.array([1.0, 100.0]), keys, values, 0.5),
            "One query was far from all keys, where every exp is 0: use softmax, which subtracts the maximum first.",
            "这里有一个查询离所有键都很远，每个 exp 都成了 0：请用会先减去最大值的 softmax。",
        ),
    ]
    return examine("my_pooling", my_pooling, _pooling, cases, _POOLING_MISTAKES)


def _shares(positive, axis=-1):
    return positive / positive.sum(axis=axis, keepdims=True)


def _with_exp(scores, axis):
    return _shares(np.exp(scores - scores.max(axis=axis, keepdims=True)), axis)


_SOFTMAX_MISTAKES = [
    Mistake(
        lambda s: _with_exp(s, 0),
        "the weights sum to 1 over the wrong axis: each row should, so use axis=-1, not axis=0.",
        "权重在错误的轴上归一化了：应该每一行之和为 1，请用 axis=-1，而不是 axis=0。",
    ),
    Mistake(
        lambda s: _with_exp(s, 1),
        "the weights sum to 1 over axis 1: take the last axis, axis=-1, whatever the rank.",
        "权重在轴 1 上归一化了：不论数组有几个轴，都应取最后一个轴 axis=-1。",
    ),
    Mistake(
        lambda s: _with_exp(s, None).reshape(s.shape),
        "all weights together sum to 1: each row should, so sum with axis=-1 and keepdims=True.",
        "所有权重合起来才等于 1：应该每一行之和为 1，求和时请写 axis=-1 和 keepdims=True。",
    ),
    Mistake(np.exp, "the weights do not sum to 1: divide by their sum.", "权重之和不是 1：还要除以它们的和。"),
    Mistake(
        lambda s: np.exp(s - s.max(axis=-1, keepdims=True)),
        "each row is divided by its largest exponential: divide by their sum instead.",
        "每一行除以的是最大的指数值：应该除以它们的和。",
    ),
    Mistake(
        lambda s: s / s.max(axis=-1, keepdims=True),
        "the scores are divided by the largest one: take exp of each, then divide by the sum.",
        "这里用分数除以最大分数：应该先逐个取 exp，再除以总和。",
    ),
    Mistake(
        lambda s: _shares(s**2),
        "the scores are squared, so -2 counts as much as 2: take exp.",
        "这里对分数取了平方，于是 -2 与 2 同样重要：应该取 exp。",
    ),
    Mistake(
        lambda s: _shares(np.abs(s)),
        "the scores' signs are lost in the absolute value: take exp.",
        "取绝对值丢掉了分数的正负号：应该取 exp。",
    ),
    Mistake(
        _shares,
        "the scores themselves are divided by their sum, which can give negative weights: take exp first.",
        "这里直接用分数除以总和，权重可能是负数：请先取 exp。",
    ),
    Mistake(lambda s: _shares(2**s), "the base is 2: use e, np.exp.", "这里以 2 为底：应以 e 为底，用 np.exp。"),
    Mistake(
        lambda s: _with_exp(-s, -1),
        "the sign is turned round: the largest score should get the largest weight.",
        "符号反了：分数最大的应该得到最大的权重。",
    ),
    Mistake(
        lambda s: (s == s.max(axis=-1, keepdims=True)).astype(float),
        "all the weight goes to the largest score: that is a hard arg max, softmax leaves every score a share.",
        "全部权重都给了最大的分数：这是硬性的 arg max，而 softmax 会给每个分数留一份。",
    ),
    Mistake(
        lambda s: 1 / (1 + np.exp(-s)),
        "this is a sigmoid of each score by itself: softmax divides exp by the sum of the row.",
        "这是对每个分数单独取 sigmoid：softmax 要用 exp 除以整行之和。",
    ),
    Mistake(
        lambda s: np.log(_with_exp(s, -1)),
        "this is the logarithm of softmax: return the weights themselves.",
        "这是 softmax 的对数：应返回权重本身。",
    ),
]


def _pooling(query, keys, values, width):
    return softmax(-((query[:, None] - keys) ** 2) / (2 * width**2)) @ values


def _pooled_by(kernel, divide=_shares):
    """A pooling function of another kernel(distance, width) or another way to divide."""
    return lambda query, keys, values, width: divide(kernel(query[:, None] - keys, width)) @ values


def _gauss(distance, width):
    return np.exp(-(distance**2) / (2 * width**2))


_POOLING_MISTAKES = [
    Mistake(
        _pooled_by(_gauss, divide=lambda kernel: kernel),
        "the weights do not sum to 1: divide each query's weights by their sum.",
        "权重之和不是 1：每个查询的权重都要除以它们的和。",
    ),
    Mistake(
        _pooled_by(_gauss, divide=lambda kernel: kernel / kernel.shape[-1]),
        "the weights are divided by the number of keys: divide by their sum.",
        "权重除以的是键的个数：应该除以权重之和。",
    ),
    Mistake(
        _pooled_by(_gauss, divide=lambda kernel: _shares(kernel, 0)),
        "the weights sum to 1 over the queries: each query's weights over the keys should (the last axis).",
        "权重在查询的轴上归一化了：应让每个查询对所有键的权重之和为 1（最后一个轴）。",
    ),
    Mistake(
        _pooled_by(_gauss, divide=lambda kernel: kernel / kernel.sum()),
        "all weights together sum to 1: each query's weights should, so sum with axis=-1 and keepdims=True.",
        "所有权重合起来才等于 1：每个查询的权重之和应为 1，求和时请写 axis=-1 和 keepdims=True。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.exp(-(d**2) / (2 * w))),
        "the width is not squared: divide by 2 * width**2.",
        "宽度没有平方：应除以 2 * width**2。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.exp(-(d**2) / w**2)),
        "the factor 2 is missing: divide by 2 * width**2.",
        "少了因子 2：应除以 2 * width**2。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.exp(-(d**2) / 2 * w**2)),
        "it multiplies by width**2: a / 2 * b is (a / 2) * b, so write a / (2 * b).",
        "这里乘上了 width**2：a / 2 * b 等于 (a / 2) * b，请写成 a / (2 * b)。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.exp(-(d**2) / 2)),
        "the width has no effect: divide the squared distance by 2 * width**2.",
        "宽度没有起作用：距离的平方应除以 2 * width**2。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.exp(-np.abs(d) / (2 * w**2))),
        "the distance is not squared: use (query - key)**2.",
        "距离没有平方：应使用 (query - key)**2。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.exp(-d / (2 * w**2))),
        "the difference keeps its sign: square it, (query - key)**2, so that both sides count alike.",
        "差值还带着正负号：请取平方 (query - key)**2，让左右两侧同等对待。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.exp(d**2 / (2 * w**2))),
        "the minus sign is missing: far keys should weigh less.",
        "少了负号：越远的键权重应该越小。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.abs(d) == np.abs(d).min(axis=-1, keepdims=True)),
        "it takes the value of the nearest key alone: let every key have its share.",
        "这里只取了最近的键所对应的值：应该让每个键都占一份。",
    ),
    Mistake(
        _pooled_by(lambda d, w: np.ones_like(d)),
        "every query gets the plain mean of the values: weigh them by how near their keys are.",
        "每个查询得到的都是值的简单平均：应按键的远近加权。",
    ),
    Mistake(
        lambda q, k, v, w: _pooling(q, k, k, w),
        "the weighted sum runs over the keys: sum the values.",
        "加权求和用的是键：应该对值求和。",
    ),
    Mistake(
        lambda q, k, v, w: _shares(_gauss(q[:, None] - k, w)),
        "it returns the weights: multiply by the values and sum, weights @ values.",
        "返回的是权重：还要乘以值并求和，即 weights @ values。",
    ),
]
