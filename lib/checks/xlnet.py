"""Checks of chapter 12: masks from an order, the relative shift, what guessing independently costs."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine


def check_permutation_masks(my_permutation_masks: Callable) -> bool:
    """Check `my_permutation_masks(order)`: who may read whom, for both streams.

    order (T,) holds the places 0 ... T - 1 in the order of prediction. The result is boolean, (2, T, T), True = may
    attend: first the content stream's mask, then the query stream's; a row is the place that reads.
    """
    cases = [
        Case(
            (np.array([3, 0, 4, 1, 2]),),
            "The order was 3 0 4 1 2: place 3 is predicted first and place 2 last.",
            "次序是 3 0 4 1 2：最先预测位置 3，最后预测位置 2。",
        ),
        Case(
            (np.arange(3),),
            "The order was 0 1 2, plain left to right: the content mask is the causal mask.",
            "次序是 0 1 2，就是从左到右：内容流的掩码就是因果掩码。",
        ),
        Case(
            (np.array([4, 1, 5, 0, 2, 3]),),
            "The order was 4 1 5 0 2 3, over six places.",
            "次序是 4 1 5 0 2 3，一共六个位置。",
        ),
    ]
    return examine("my_permutation_masks", my_permutation_masks, _masks, cases, _MASK_MISTAKES)


def check_relative_shift(my_relative_shift: Callable) -> bool:
    """Check `my_relative_shift(scores)`: scores by distance become scores by key.

    scores (T, 2 T): column c holds the score of the distance T - c, for each query. The result is (T, T): row i, column
    j holds the score of query i for the distance i - j.
    """
    draw = np.random.default_rng(12).standard_normal
    cases = [
        Case(
            (draw((4, 8)),),
            "This was T = 4: the columns stand for the distances 4, 3, 2, 1, 0, -1, -2, -3.",
            "这里 T = 4：各列依次是距离 4、3、2、1、0、-1、-2、-3。",
        ),
        Case((draw((3, 6)),), "This was T = 3.", "这里 T = 3。"),
        Case(
            (draw((1, 2)),),
            "This was T = 1: one query, one key, distance 0.",
            "这里 T = 1：一个查询、一个键，距离为 0。",
        ),
    ]
    return examine("my_relative_shift", my_relative_shift, _shift, cases, _SHIFT_MISTAKES)


def check_cost_of_independence(my_cost_of_independence: Callable) -> bool:
    """Check `my_cost_of_independence(joint)`: what the best independent guess loses against the joint one, in nats.

    joint (X, Y) holds the probabilities of pairs and sums to 1; some may be 0. The result is one number.
    """
    cases = [
        Case(
            (np.array([[0.3, 0.1, 0.1], [0.05, 0.15, 0.3]]),),
            "The table had 2 x 3 entries, none of them 0.",
            "这张表有 2 x 3 个数，没有一个是 0。",
        ),
        Case(
            (np.array([[0.5, 0, 0], [0, 0.25, 0.25]]),),
            "Some pairs had the probability 0: they never occur and contribute nothing, so leave them out.",
            "有些词对的概率是 0：它们从不出现，对结果没有贡献，请把它们略去。",
        ),
        Case(
            (np.outer([0.2, 0.8], [0.5, 0.4, 0.1]),),
            "Here the two words were independent already: the cost is 0.",
            "这里两个词本来就互相独立：代价为 0。",
        ),
    ]
    return examine("my_cost_of_independence", my_cost_of_independence, _cost, cases, _COST_MISTAKES)


def _steps(order):
    return np.argsort(order)[:, None], np.argsort(order)[None, :]


def _masks(order):
    reader, read = _steps(order)
    return np.stack([reader >= read, reader > read])


def _order_as_step(order):
    return np.stack([order[:, None] >= order, order[:, None] > order])


def _by_step(order):
    step = np.arange(len(order))
    return np.stack([step[:, None] >= step, step[:, None] > step])


def _both(order, content, query):
    reader, read = _steps(order)
    return np.stack([content(reader, read), query(reader, read)])


_MASK_MISTAKES = [
    Mistake(
        lambda order: _masks(order)[::-1],
        "the two masks are swapped: the content stream, which may read its own place, comes first.",
        "两个掩码放反了：内容流可以读自己的位置，它排在前面。",
    ),
    Mistake(
        lambda order: _both(order, np.greater_equal, np.greater_equal),
        "the query stream reads its own place, so it sees the very token that it has to predict: use > there.",
        "查询流读到了自己的位置，也就看见了它要预测的词元：这里应当用 >。",
    ),
    Mistake(
        lambda order: _both(order, np.greater, np.greater),
        "the content stream does not read its own place; later predictions then never learn what stands there.",
        "内容流没有读自己的位置，后面的预测就永远不知道那里是什么。",
    ),
    Mistake(
        lambda order: _masks(order).swapaxes(1, 2),
        "rows and columns are swapped: a row is the place that reads, and it reads what comes earlier in the order.",
        "行列颠倒了：一行是读的位置，读的是次序中靠前的。",
    ),
    Mistake(
        _order_as_step,
        "order[t] is the place that is predicted at step t; you need the step of each place: np.argsort(order).",
        "order[t] 是第 t 步预测的位置；你需要的是每个位置排在第几步：np.argsort(order)。",
    ),
    Mistake(
        _by_step,
        "the order plays no part, or rows and columns stand for steps: they stand for places.",
        "次序没有起作用，或者行列按步骤排了：行列表示的是位置。",
    ),
    Mistake(
        lambda order: ~_masks(order),
        "this is the opposite: True means may attend, not may not.",
        "正好相反：True 表示可以关注，而不是不可以。",
    ),
    Mistake(
        lambda order: _both(order, lambda a, b: a == a + 0 * b, np.not_equal),
        "every place reads all the others, also those that come later in the order.",
        "每个位置都读了所有其他位置，连次序中靠后的也读了。",
    ),
    Mistake(
        lambda order: _both(order, np.greater_equal, lambda a, b: a - 1 == b),
        "the query stream reads only the place right before it in the order: it may read all the earlier ones.",
        "查询流只读了次序中紧挨在前面的那个位置：更早的都可以读。",
    ),
    Mistake(
        lambda order: _masks(order)[0],
        "there is only the content mask: give both, np.stack([content, query]).",
        "只有内容流的掩码：两个都要，np.stack([content, query])。",
    ),
    Mistake(
        lambda order: _masks(order).astype(int),
        "the masks hold numbers: give booleans.",
        "掩码里是数字：请返回布尔值。",
    ),
]


def _at(scores, column):
    T = len(scores)
    i, j = np.indices((T, T))
    return scores[i, column(i, j, T) % (2 * T)]


def _shift(scores):
    return _at(scores, lambda i, j, T: T - i + j)


_SHIFT_MISTAKES = [
    Mistake(
        lambda scores: scores[:, : len(scores)],
        "nothing has moved: these are the first T columns; row i has to start at column T - i.",
        "什么也没有移动：这就是前 T 列；第 i 行应当从第 T - i 列开始。",
    ),
    Mistake(
        lambda scores: scores[:, len(scores) :],
        "these are the last T columns for every row: only row 0 starts at column T, row i at T - i.",
        "每一行都取了后 T 列：只有第 0 行从第 T 列开始，第 i 行从第 T - i 列开始。",
    ),
    Mistake(
        lambda scores: _at(scores, lambda i, j, T: T + i - j),
        "the sign is turned round: the distance is query minus key, i - j, not j - i.",
        "正负号反了：距离是查询减去键，即 i - j，而不是 j - i。",
    ),
    Mistake(
        lambda scores: _at(scores, lambda i, j, T: T - np.abs(i - j)),
        "keys on both sides get the same score: the distance has a sign, since left and right differ.",
        "两侧的键得到了同样的分数：距离有正负，左和右不一样。",
    ),
    Mistake(
        lambda scores: _at(scores, lambda i, j, T: T - 1 - i + j),
        "it is one column off: the distance i - j stands in column T - (i - j).",
        "错了一列：距离 i - j 在第 T - (i - j) 列。",
    ),
    Mistake(
        lambda scores: _at(scores, lambda i, j, T: T + 1 - i + j),
        "it is one column too far: the distance i - j stands in column T - (i - j).",
        "多移了一列：距离 i - j 在第 T - (i - j) 列。",
    ),
    Mistake(
        lambda scores: _shift(scores).T,
        "rows and columns are swapped: a row is a query, a column a key.",
        "行列颠倒了：一行是一个查询，一列是一个键。",
    ),
    Mistake(
        lambda scores: _at(scores, lambda i, j, T: i - j),
        "the distance itself is used as the column: column c holds the distance T - c.",
        "把距离直接当成列号了：第 c 列是距离 T - c。",
    ),
    Mistake(
        lambda scores: _at(scores, lambda i, j, T: i + j),
        "the rows move the wrong way: each row starts one column earlier than the row above.",
        "各行移动的方向错了：每一行的起点比上一行早一列。",
    ),
    Mistake(
        lambda scores: _at(scores, lambda i, j, T: T - np.maximum(i - j, 0)),
        "later keys all got the score of distance 0: negative distances have scores of their own.",
        "靠后的键都得到了距离 0 的分数：负的距离有自己的分数。",
    ),
    Mistake(
        lambda scores: scores.reshape(-1, len(scores))[1:].reshape(len(scores), -1),
        "the rows have moved, but all 2 T - 1 columns are still there: keep the first T.",
        "各行移动了，但 2 T - 1 列都还在：只留前 T 列。",
    ),
]


def _terms(joint):
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return joint[there], independent[there]


def _cost(joint):
    p, q = _terms(joint)
    return np.sum(p * np.log(p / q))


def _entropy(p):
    p = p[p > 0]
    return -np.sum(p * np.log(p))


_COST_MISTAKES = [
    Mistake(
        lambda joint: _cost(joint) / np.log(2),
        "this is in bits: use the natural logarithm, np.log.",
        "这是以比特为单位：请用自然对数 np.log。",
    ),
    Mistake(
        lambda joint: -_cost(joint),
        "the sign is turned round: it is a loss, never below 0.",
        "正负号反了：它是一项损失，不会小于 0。",
    ),
    Mistake(
        _entropy,
        "this is the entropy of the joint table, what even the best model pays; subtract it from both words' own.",
        "这是联合分布的熵，再好的模型也要付出；应当从两个词各自的熵之和里减去它。",
    ),
    Mistake(
        lambda joint: _entropy(joint.sum(1)) + _entropy(joint.sum(0)),
        "this is all that the independent guess pays; the joint guess pays the joint entropy: take the difference.",
        "这是独立猜测付出的全部；联合猜测付出联合熵：请取两者之差。",
    ),
    Mistake(
        lambda joint: _entropy(joint) - _entropy(joint.sum(1)),
        "this is the entropy of the second word when the first is known.",
        "这是已知第一个词时，第二个词的熵。",
    ),
    Mistake(
        lambda joint: _entropy(joint) - _entropy(joint.sum(0)),
        "this is the entropy of the first word when the second is known.",
        "这是已知第二个词时，第一个词的熵。",
    ),
    Mistake(
        lambda joint: np.sum(np.log(np.divide(*_terms(joint)))),
        "the pairs are not weighted by how often they occur: multiply each logarithm by the joint probability.",
        "没有按出现的机会给词对加权：每个对数都要乘上联合概率。",
    ),
    Mistake(
        lambda joint: np.mean(np.log(np.divide(*_terms(joint)))),
        "the pairs are averaged as if all were alike: weight them by the joint probability.",
        "把词对当成同样常见来平均了：应当按联合概率加权。",
    ),
    Mistake(
        lambda joint: np.sum(np.log(np.divide(*_terms(joint))) * _terms(joint)[1]),
        "the weights are the independent probabilities: pairs occur as the joint table says.",
        "用独立概率加权了：词对按联合分布出现。",
    ),
    Mistake(
        lambda joint: np.sum(np.abs(np.subtract(*_terms(joint)))),
        "this adds up differences of probabilities: compare their logarithms.",
        "这是把概率之差加了起来：要比较的是它们的对数。",
    ),
    Mistake(
        lambda joint: np.sum(joint * np.log(joint * joint.size)),
        "the comparison is with an even table: compare with the product of the two words' own probabilities.",
        "拿来比的是均匀分布：应当与两个词各自概率的乘积相比。",
    ),
]
