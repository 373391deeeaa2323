"""Checks of chapter 14: two halves of a softmax put together, linear attention as a recurrence, rollout."""

import functools
import tracemalloc
from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import scaled_dot_product_attention
from lib.reference.efficient import positive_features


def check_merge(my_merge: Callable) -> bool:
    """Check `my_merge(m1, l1, o1, m2, l2, o2)`: the output of attention from what two blocks of keys have left.

    For each of T queries a block leaves its highest score m (T,), the sum l (T,) of exp(score - m), and the sum o
    (T, d_v) of exp(score - m) times value. A block in which a query sees nothing leaves -inf, 0 and zeros. The result
    is (T, d_v): the attention over both blocks together, zeros where there is nothing to see.
    """
    draw = np.random.default_rng(14).standard_normal
    plain = (*_block(draw((3, 4)), draw((4, 2))), *_block(draw((3, 5)) + 1, draw((5, 2))))
    apart = np.array([[900.0], [-900.0], [0.0]])  # each query has a level of its own, and another block is the higher
    loud = (*_block(draw((3, 3)) + apart, draw((3, 4))), *_block(draw((3, 2)) - apart, draw((2, 4))))
    close = (*_block(draw((2, 3)) + 900, draw((3, 4))), *_block(draw((2, 2)) + 901, draw((2, 4))))
    unseen = np.full((3, 4), -np.inf)
    half = unseen.copy()
    half[0] = draw(4)
    cases = [
        Case(
            plain, "This was T = 3, blocks of 4 and 5 keys, d_v = 2.", "这里 T = 3，两块各有 4 个和 5 个键，d_v = 2。"
        ),
        Case(
            close,
            "Here the scores were near 900, where exp overflows: take the exponential of m minus the higher m.",
            "这里分数在 900 上下，exp 会溢出：只对 m 减去较大的那个 m 取指数，不要对 m 本身取指数。",
        ),
        Case(
            loud,
            "Here the scores of the blocks lay more than a thousand apart, now one the higher and now the other.",
            "这里两块的分数相差一千以上，有的查询前一块高，有的查询后一块高。",
        ),
        Case(
            (*_block(half, draw((4, 2))), *_block(draw((3, 4)), draw((4, 2)))),
            "Here some queries saw nothing in the first block: m is -inf there, l and o are 0.",
            "这里有的查询在第一块里什么也看不见：那里 m 是 -inf，l 和 o 都是 0。",
        ),
        Case(
            (*_block(half, draw((4, 2))), *_block(unseen, draw((4, 2)))),
            "Here some queries saw nothing in either block: their output is zeros, and -inf minus -inf is NaN.",
            "这里有的查询在两块里都什么也看不见：它们的输出是零，而 -inf 减 -inf 是 NaN。",
        ),
    ]
    return examine("my_merge", my_merge, _merge, cases, _MERGE_MISTAKES)


def check_causal_linear(my_causal_linear: Callable) -> bool:
    """Check `my_causal_linear(query, key, value)`: causal linear attention with the features elu(x) + 1.

    query and key are (T, d_k), value is (T, d_v). The result is (T, d_v).
    """
    draw = np.random.default_rng(15).standard_normal
    cases = [
        Case(
            (draw((5, 3)), draw((5, 3)), draw((5, 2))),
            "This was T = 5, d_k = 3, d_v = 2.",
            "这里 T = 5、d_k = 3、d_v = 2。",
        ),
        Case(
            (draw((1, 2)), draw((1, 2)), draw((1, 4))),
            "With one token the output is its value.",
            "只有一个词元时，输出就是它的值。",
        ),
        Case(
            (3 * draw((6, 2)), 3 * draw((6, 2)), draw((6, 3))),
            "This was T = 6, with larger numbers.",
            "这里 T = 6，数值更大。",
        ),
        Case(
            (draw((600, 3)), draw((600, 3)), draw((600, 2))),
            "This was T = 600: no table of 600 x 600 weights, a state of d_k x d_v numbers is enough.",
            "这里 T = 600：不要列 600 × 600 的权重表，一个 d_k × d_v 的状态就够了。",
        ),
    ]
    return examine("my_causal_linear", _watched(my_causal_linear), _causal_linear, cases, _LINEAR_MISTAKES)


def _watched(function):
    """Stop a function that holds half a table of weights (T, T) at once; short ones may."""

    @functools.wraps(function)
    def watched(query, key, value):
        tracemalloc.start()
        try:
            answer = function(query, key, value)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if len(query) > 100 and peak > len(query) ** 2 * query.itemsize / 2:
            raise MemoryError(f"{peak:,} bytes at once")
        return answer

    return watched


def check_rollout(my_rollout: Callable) -> bool:
    """Check `my_rollout(weights)`: how much of each input is left at each place after several layers.

    weights (L, T, T) holds a layer's attention weights each, the first layer first; a row is the place that reads. Half
    of every layer is the residual connection. The result is (T, T).
    """
    rng = np.random.default_rng(16)
    cases = [
        Case((rng.dirichlet(np.ones(4), (2, 4)),), "This was L = 2 layers, T = 4.", "这里 L = 2 层，T = 4。"),
        Case((rng.dirichlet(np.ones(3), (1, 3)),), "This was a single layer.", "这里只有一层。"),
        Case((rng.dirichlet(np.ones(3), (4, 3)),), "This was L = 4 layers, T = 3.", "这里 L = 4 层，T = 3。"),
    ]
    return examine("my_rollout", my_rollout, _rollout, cases, _ROLLOUT_MISTAKES)


def _block(scores, values):
    """What a block of keys leaves for each query."""
    highest = scores.max(axis=1)
    powers = np.exp(scores - np.where(np.isneginf(highest), 0.0, highest)[:, None])
    return highest, powers.sum(axis=1), powers @ values


def _merge(m1, l1, o1, m2, l2, o2):
    return _merged(m1, l1, o1, m2, l2, o2)


def _merged(m1, l1, o1, m2, l2, o2, *, of_sum=True, of_output=True, sign=1):
    highest = np.maximum(m1, m2)
    level = np.where(np.isneginf(highest), 0.0, highest)
    first, second = np.exp(sign * (m1 - level)), np.exp(sign * (m2 - level))
    total = first * l1 + second * l2 if of_sum else l1 + l2
    output = first[:, None] * o1 + second[:, None] * o2 if of_output else o1 + o2
    return output / np.where(total == 0, 1.0, total)[:, None]


def _against(level):
    def merge(m1, l1, o1, m2, l2, o2):
        highest = level(m1, m2)
        highest = np.where(np.isneginf(highest), 0.0, highest)
        first, second = np.exp(m1 - highest), np.exp(m2 - highest)
        total = first * l1 + second * l2
        return (first[:, None] * o1 + second[:, None] * o2) / np.where(total == 0, 1.0, total)[:, None]

    return merge


def _undivided(m1, l1, o1, m2, l2, o2):
    level = np.maximum(m1, m2)
    return np.exp(m1 - level)[:, None] * o1 + np.exp(m2 - level)[:, None] * o2


def _maxima_unsubtracted(m1, l1, o1, m2, l2, o2):
    first, second = np.exp(m1), np.exp(m2)
    return (first[:, None] * o1 + second[:, None] * o2) / (first * l1 + second * l2)[:, None]


def _nan_where_nothing(m1, l1, o1, m2, l2, o2):
    level = np.maximum(m1, m2)
    first, second = np.exp(m1 - level), np.exp(m2 - level)
    return (first[:, None] * o1 + second[:, None] * o2) / (first * l1 + second * l2)[:, None]


_MERGE_MISTAKES = [
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: (o1 / l1[:, None] + o2 / l2[:, None]) / 2,
        "it averages two finished outputs as if both blocks weighed the same; the block with more weight counts more.",
        "它把两块各自的输出平均了，好像两块一样重；权重大的那一块应当多算。",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: o1 / l1[:, None] + o2 / l2[:, None],
        "it adds two finished outputs: each was already divided by its own sum. Divide once, by the joint sum.",
        "它把两个已经除过的输出相加：各自除过各自的和了。只除一次，除以合起来的和。",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: _merged(m1, l1, o1, m2, l2, o2, of_sum=False, of_output=False),
        "it adds sums that were taken against different maxima: bring both to the higher maximum first.",
        "两块的和是以不同的最大值为准算的，不能直接相加：先都换算到较大的那个最大值。",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: _merged(m1, l1, o1, m2, l2, o2, of_sum=False),
        "the outputs are rescaled but the sums l are not: both carry the factor exp(m - highest).",
        "输出换算了，和 l 却没有换算：两者都带有因子 exp(m - highest)。",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: _merged(m1, l1, o1, m2, l2, o2, of_output=False),
        "the sums are rescaled but the outputs o are not: both carry the factor exp(m - highest).",
        "和换算了，输出 o 却没有换算：两者都带有因子 exp(m - highest)。",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: _merged(m1, l1, o1, m2, l2, o2, sign=-1),
        "the factor is turned round: a block with the lower maximum must shrink, exp(m - highest) is at most 1.",
        "因子反了：最大值较低的那块应当缩小，exp(m - highest) 不超过 1。",
    ),
    Mistake(
        _undivided,
        "the division by the joint sum is missing at the end.",
        "最后没有除以合起来的和。",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: o1 / l1[:, None],
        "the second block plays no part.",
        "第二块没有起作用。",
    ),
    Mistake(
        lambda m1, l1, o1, m2, l2, o2: o2 / l2[:, None],
        "the first block plays no part: what it has left must be rescaled, not forgotten.",
        "第一块没有起作用：它留下的东西要换算，而不是丢掉。",
    ),
    Mistake(
        _maxima_unsubtracted,
        "exp overflows: take the exponential of m minus the higher m, never of m itself.",
        "exp 溢出了：只对 m 减去较大的那个 m 取指数，不要对 m 本身取指数。",
    ),
    Mistake(
        _against(lambda m1, m2: m1),
        "it takes the first block's maximum for both: exp(m2 - m1) overflows where the second is far higher.",
        "它对两块都用第一块的最大值：第二块高出很多时，exp(m2 - m1) 会溢出。",
    ),
    Mistake(
        _against(lambda m1, m2: np.full_like(m1, max(m1.max(), m2.max()))),
        "it takes one maximum for all queries: whoever lies far below it is lost. Each query has its own.",
        "它对所有查询只用了一个最大值：远低于它的查询就全丢了。每个查询要用自己的最大值。",
    ),
    Mistake(
        _nan_where_nothing,
        "a query that sees nothing gets NaN: -inf minus -inf. Put 0 for a maximum of -inf, and divide by 1 where the "
        "sum is 0.",
        "什么也看不见的查询得到了 NaN：那是 -inf 减 -inf。最大值为 -inf 时用 0 代替，和为 0 时除以 1。",
    ),
]


def _causal_linear(query, key, value):
    return _weighted(query, key, value, positive_features)


def _weighted(query, key, value, features, *, offset=0, normal=True):
    weights = np.tril(features(query) @ features(key).T, offset)
    total = weights.sum(axis=1, keepdims=True)
    return weights @ value / (np.where(total == 0, 1.0, total) if normal else 1.0)


def _elu(x):
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def _not_causal(query, key, value):
    weights = positive_features(query) @ positive_features(key).T
    return weights @ value / weights.sum(axis=1, keepdims=True)


def _whole_sum(query, key, value):
    weights = positive_features(query) @ positive_features(key).T
    return np.tril(weights) @ value / weights.sum(axis=1, keepdims=True)


def _by_count(query, key, value):
    return _weighted(query, key, value, positive_features, normal=False) / np.arange(1, len(query) + 1)[:, None]


def _softmax_instead(query, key, value):
    return scaled_dot_product_attention(query, key, value, np.tri(len(query), dtype=bool))


_LINEAR_MISTAKES = [
    Mistake(
        lambda query, key, value: _weighted(query, key, value, lambda x: x),
        "the features are missing: query and key each pass through elu(x) + 1 first.",
        "缺了特征函数：查询和键都要先经过 elu(x) + 1。",
    ),
    Mistake(
        lambda query, key, value: _weighted(query, key, value, lambda x: np.maximum(x, 0)),
        "this is relu: elu(x) + 1 is x + 1 above 0 and exp(x) below, never 0.",
        "这是 relu：elu(x) + 1 在 0 以上是 x + 1，在 0 以下是 exp(x)，永远不为 0。",
    ),
    Mistake(
        lambda query, key, value: _weighted(query, key, value, _elu),
        "this is elu without the + 1, so that weights may be negative.",
        "这是没有加 1 的 elu，权重会变成负数。",
    ),
    Mistake(
        lambda query, key, value: _weighted(query, key, value, np.exp),
        "the features are exp(x): above 0 they should be x + 1.",
        "特征用成了 exp(x)：在 0 以上应当是 x + 1。",
    ),
    Mistake(
        _not_causal,
        "it is not causal: a place may only read itself and what comes before.",
        "它不是因果的：一个位置只能读自己和前面的。",
    ),
    Mistake(
        lambda query, key, value: _weighted(query, key, value, positive_features, offset=-1),
        "a place does not read itself: add its key and value to the state first, then ask.",
        "一个位置没有读到自己：先把它的键和值加进状态，再去查询。",
    ),
    Mistake(
        lambda query, key, value: _weighted(query, key, value, positive_features, normal=False),
        "the weights do not sum to 1: divide by the query's features times the sum of the keys' features.",
        "权重之和不是 1：要除以查询的特征与各键特征之和的乘积。",
    ),
    Mistake(
        _by_count,
        "it divides by the number of places, not by the sum of the weights.",
        "它除以了位置的个数，而不是权重之和。",
    ),
    Mistake(
        _whole_sum,
        "the sum below the line runs over later keys too: it has to grow step by step like the state.",
        "分母把后面的键也算进去了：它要像状态一样，一步一步地累加。",
    ),
    Mistake(
        _softmax_instead,
        "this is softmax attention: here the weight is a product of features, without an exponential of the score.",
        "这是 softmax 注意力：这里的权重是特征的乘积，不对分数取指数。",
    ),
]


def _rollout(weights):
    return _chained(_with_residual(weights))


def _with_residual(weights, half=0.5):
    return half * weights + (1 - half) * np.eye(weights.shape[1])


def _chained(layers):
    result = np.eye(layers.shape[1])
    for layer in layers:
        result = layer @ result
    return result


_ROLLOUT_MISTAKES = [
    Mistake(
        _chained,
        "the residual connection is missing: each layer is half its weights and half the identity.",
        "缺了残差连接：每一层是一半权重、一半单位矩阵。",
    ),
    Mistake(
        lambda weights: _chained(_with_residual(weights)[::-1]),
        "the layers are multiplied in the wrong order: later layers stand on the left.",
        "各层相乘的次序反了：后面的层乘在左边。",
    ),
    Mistake(
        lambda weights: _chained(weights + np.eye(weights.shape[1])),
        "the rows do not sum to 1: halve the sum of weights and identity.",
        "各行之和不是 1：权重与单位矩阵相加之后要减半。",
    ),
    Mistake(
        lambda weights: _with_residual(weights).mean(axis=0),
        "it averages the layers: information passes through one layer after the other, so multiply.",
        "它把各层平均了：信息是一层接一层地传的，应当相乘。",
    ),
    Mistake(
        lambda weights: weights.mean(axis=0),
        "it averages the weights of the layers: information passes through one after the other, so multiply, with half "
        "the identity in each.",
        "它把各层的权重平均了：信息是一层接一层地传的，应当相乘，并且每层有一半是单位矩阵。",
    ),
    Mistake(
        lambda weights: weights[-1],
        "it takes the last layer alone, whose rows point at places and not at inputs.",
        "它只取了最后一层，而最后一层指向的是位置，不是输入。",
    ),
    Mistake(
        lambda weights: _with_residual(weights)[-1],
        "only the last layer takes part.",
        "只有最后一层参与了计算。",
    ),
    Mistake(
        lambda weights: _with_residual(weights).prod(axis=0),
        "it multiplies entry by entry: use the matrix product @.",
        "它是逐元素相乘：应当用矩阵乘法 @。",
    ),
    Mistake(
        lambda weights: _rollout(weights).T,
        "rows and columns are swapped: a row is the place that reads.",
        "行列颠倒了：一行是读的位置。",
    ),
    Mistake(
        lambda weights: _with_residual(_chained(weights)),
        "the residual connection is added once at the end: it belongs into every layer.",
        "残差连接只在最后加了一次：每一层都要有。",
    ),
]
