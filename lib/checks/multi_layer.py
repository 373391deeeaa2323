"""Checks of chapter 18: a layer with residual connections, the induction score, the mean attention distance."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine

EPSILON = 1e-5


def check_residual_layer(my_layer: Callable) -> bool:
    """Check `my_layer(x, attend, transform)`: a pre-norm layer around two functions.

    x (T, d_model); each function maps (T, d_model) to (T, d_model). Each is given the normalised input, and its answer
    is added to the input: y = x + attend(norm(x)), then y + transform(norm(y)), where norm gives each row mean 0 and
    variance 1 (1e-5 is added to the variance).
    """
    draw = np.random.default_rng(18).standard_normal
    mix, turn = draw((4, 4)), draw((6, 6))

    def attend(x):
        return mix @ x

    def transform(x):
        return np.maximum(x @ turn, 0)

    def nothing(x):
        return np.zeros_like(x)

    x = draw((4, 6)) * [[20], [40], [60], [10]] + [[20], [0], [-40], [60]]  # 1e-5 does not matter yet
    cases = [
        Case(
            (x, attend, transform),
            "Here both functions did something: the second one starts from y, what came out of the first half.",
            "这里两个函数都起作用：第二个从 y 开始，也就是前一半的结果。",
        ),
        Case(
            (x, attend, nothing),
            "Here transform returned zeros, so the layer should give x + attend(norm(x)).",
            "这里 transform 返回零，所以这一层应当给出 x + attend(norm(x))。",
        ),
        Case(
            (x, nothing, nothing),
            "Here both functions returned zeros: the layer has to hand x on unchanged.",
            "这里两个函数都返回零：这一层应当把 x 原样交出去。",
        ),
        Case(
            (
                np.array([[2.0, 2, 2, 2, 2, 2], [1, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5], [5, 5, 0, 0, 5, 5]]),
                attend,
                nothing,
            ),
            "Here a row had six equal entries, of variance 0: add 1e-5 to the variance before you take the root.",
            "这里有一行六个分量全相等，方差为 0：开方之前请给方差加上 1e-5。",
        ),
    ]
    return examine("my_layer", my_layer, _layer, cases, _LAYER_MISTAKES)


def check_induction_score(my_induction_score: Callable) -> bool:
    """Check `my_induction_score(weights, tokens)`: how much weight goes to the place behind the last same token.

    weights (T, T), a row a query; tokens (T,). For every place t whose token stood somewhere before, take the weight
    from t to the place behind its latest earlier appearance; return the mean of these weights.
    """
    rng = np.random.default_rng(18)
    cases = [
        Case(
            (_random_weights(rng, 6), np.array([7, 3, 5, 7, 3, 5])),
            "The tokens were 7 3 5 7 3 5, so the places 3, 4 and 5 count, and they should look at 1, 2 and 3.",
            "词元是 7 3 5 7 3 5，所以位置 3、4、5 算数，它们应当看的是 1、2、3。",
        ),
        Case(
            (_random_weights(rng, 8), np.array([4, 1, 9, 2, 1, 6, 4, 8])),
            "The tokens were 4 1 9 2 1 6 4 8: only the places 4 and 6 repeat a token, so the mean is over these two.",
            "词元是 4 1 9 2 1 6 4 8：只有位置 4 和 6 的词元出现过，所以只对这两个取平均。",
        ),
        Case(
            (_random_weights(rng, 7), np.array([5, 2, 5, 3, 5, 1, 2])),
            "The tokens were 5 2 5 3 5 1 2: for the last 5, the latest earlier 5 stands at place 2.",
            "词元是 5 2 5 3 5 1 2：最后一个 5 之前，离它最近的 5 在位置 2。",
        ),
        Case(
            (_random_weights(rng, 4), np.array([6, 6, 1, 1])),
            "The tokens were 6 6 1 1: right behind the first 6 stands the second, which then looks at itself.",
            "词元是 6 6 1 1：紧跟在第一个 6 后面的就是第二个 6，这时它应当看自己。",
        ),
    ]
    return examine("my_induction_score", my_induction_score, _induction_score, cases, _SCORE_MISTAKES)


def check_attention_distance(my_attention_distance: Callable) -> bool:
    """Check `my_attention_distance(weights)`: how far each head looks on average.

    weights (H, T, T), a row a query; the distance between query t and key s is |t - s|. Average over the keys by their
    weights, then over the queries: (H,).
    """
    rng = np.random.default_rng(18)
    causal = np.tri(5) / np.arange(1, 6)[:, None]
    cases = [
        Case(
            (np.stack([_random_weights(rng, 4) for _ in range(3)]),),
            "These were 3 heads over 4 places.",
            "这里有 3 个头、4 个位置。",
        ),
        Case(
            (np.stack([causal, np.eye(5)]),),
            "The first head shared its weights evenly over the past, the second looked only at itself: distance 0.",
            "第一个头把权重平均分给过去，第二个头只看自己：距离为 0。",
        ),
        Case(
            (np.stack([causal[::-1, ::-1], np.eye(5)[::-1]]),),
            "Keys stood on both sides of the query: a distance has no sign.",
            "查询的两侧都有键：距离没有正负。",
        ),
    ]
    return examine("my_attention_distance", my_attention_distance, _attention_distance, cases, _DISTANCE_MISTAKES)


def _random_weights(rng, T) -> np.ndarray:
    weights = rng.random((T, T)) ** 2
    return weights / weights.sum(axis=-1, keepdims=True)


def _norm(x, axis=-1, epsilon=EPSILON, **variance):
    centred = x - x.mean(axis=axis, keepdims=True)
    return centred / np.sqrt(x.var(axis=axis, keepdims=True, **variance) + epsilon)


def _layer(x, attend, transform, norm=_norm):
    y = x + attend(norm(x))
    return y + transform(norm(y))


def _post_norm(x, attend, transform):
    y = _norm(x + attend(x))
    return _norm(y + transform(y))


def _parallel(x, attend, transform):
    return x + attend(_norm(x)) + transform(_norm(x))


def _second_not_normalised(x, attend, transform):
    y = x + attend(_norm(x))
    return y + transform(y)


def _normalised_path(x, attend, transform):
    y = _norm(x) + attend(_norm(x))
    return _norm(y) + transform(_norm(y))


def _only_first_path(x, attend, transform):
    return transform(_norm(x + attend(_norm(x))))


def _back_to_x(x, attend, transform):
    return x + transform(_norm(x + attend(_norm(x))))


def _second_path_only(x, attend, transform):
    y = attend(_norm(x))
    return y + transform(_norm(y))


def _swapped(x, attend, transform):
    return _layer(x, transform, attend)


def _induction_places(tokens, latest=True):
    """Pairs (t, place behind the earlier appearance of the token at t)."""
    pairs = []
    for t, token in enumerate(tokens):
        before = [s for s in range(t) if tokens[s] == token]
        if before:
            pairs.append((t, before[-1 if latest else 0] + 1))
    return pairs


def _mean_at(weights, pairs):
    return np.mean([weights[t, s] for t, s in pairs])


def _induction_score(weights, tokens):
    return _mean_at(weights, _induction_places(tokens))


def _attention_distance(weights):
    T = weights.shape[-1]
    apart = np.abs(np.arange(T)[:, None] - np.arange(T))
    return (weights * apart).sum(axis=-1).mean(axis=-1)


def _apart(T, change=np.abs):
    return change(np.arange(T)[:, None] - np.arange(T))


_LAYER_MISTAKES = [
    Mistake(
        lambda x, attend, transform: transform(_norm(attend(_norm(x)))),
        "there is no residual path: add the input to what each function returns.",
        "没有残差连接：请把输入加到每个函数的返回值上。",
    ),
    Mistake(
        _only_first_path,
        "the second half has no residual path: add y to what transform returns.",
        "后一半没有残差连接：请把 y 加到 transform 的返回值上。",
    ),
    Mistake(
        _second_path_only,
        "the first half has no residual path: add x to what attend returns.",
        "前一半没有残差连接：请把 x 加到 attend 的返回值上。",
    ),
    Mistake(
        _post_norm,
        "this is post-norm: normalise what goes into a function, not the sum that comes out.",
        "这是后置归一化：应当归一化送进函数的东西，而不是加出来的和。",
    ),
    Mistake(
        lambda x, attend, transform: _layer(x, attend, transform, norm=lambda y: y),
        "nothing is normalised: each function should see norm(input).",
        "没有归一化：每个函数看到的应当是 norm(输入)。",
    ),
    Mistake(
        _normalised_path,
        "the residual path is normalised too: add x itself, so that it passes unchanged.",
        "残差那一路也被归一化了：请加上 x 本身，让它原样通过。",
    ),
    Mistake(
        _second_not_normalised,
        "transform sees y as it is: give it norm(y).",
        "transform 看到的是未归一化的 y：请给它 norm(y)。",
    ),
    Mistake(
        _parallel,
        "transform starts from x: it should start from y, the result of the first half.",
        "transform 是从 x 开始的：应当从前一半的结果 y 开始。",
    ),
    Mistake(
        _back_to_x,
        "the second half adds x again instead of y, so what attend found is lost on the way.",
        "后一半加的又是 x 而不是 y，attend 找到的东西就在半路丢了。",
    ),
    Mistake(
        _swapped, "transform comes before attend: attend is first.", "transform 排在了 attend 前面：应当先 attend。"
    ),
    Mistake(
        lambda x, attend, transform: _layer(x, attend, transform, norm=lambda y: _norm(y, axis=0)),
        "the normalisation runs over the places: each row is normalised over its own entries, axis=-1.",
        "归一化沿着位置做了：每一行应当在自己的分量上归一化，即 axis=-1。",
    ),
    Mistake(
        lambda x, attend, transform: _layer(x, attend, transform, norm=lambda y: _norm(y, axis=None)),
        "the normalisation runs over the whole array: each row has its own mean and variance, axis=-1, keepdims=True.",
        "归一化用了整个数组：每一行有自己的均值和方差，即 axis=-1、keepdims=True。",
    ),
    Mistake(
        lambda x, attend, transform: _layer(x, attend, transform, norm=lambda y: y - y.mean(axis=-1, keepdims=True)),
        "the mean is removed, but the variance is not made 1.",
        "只减去了均值，没有把方差变成 1。",
    ),
    Mistake(
        lambda x, attend, transform: _layer(x, attend, transform, norm=lambda y: _norm(y, ddof=1)),
        "the variance is divided by d - 1: layer normalisation divides by d, as x.var does by itself.",
        "方差除的是 d - 1：层归一化除以 d，x.var 默认就是这样。",
    ),
    Mistake(
        lambda x, attend, transform: _layer(
            x,
            attend,
            transform,
            norm=lambda y: (y - y.mean(axis=-1, keepdims=True)) / (y.var(axis=-1, keepdims=True) + EPSILON),
        ),
        "it divides by the variance: divide by its square root.",
        "除的是方差：应当除以它的平方根。",
    ),
]

_SCORE_MISTAKES = [
    Mistake(
        lambda weights, tokens: _mean_at(weights, [(t, s - 1) for t, s in _induction_places(tokens)]),
        "it looks at the earlier appearance itself: the answer stands one place behind it.",
        "看的是前一次出现的那个位置：答案在它后面一个位置。",
    ),
    Mistake(
        lambda weights, tokens: _mean_at(weights, [(t, max(s - 2, 0)) for t, s in _induction_places(tokens)]),
        "it looks one place before the earlier appearance: the answer stands one place behind it.",
        "看的是前一次出现之前的位置：答案在它后面一个位置。",
    ),
    Mistake(
        lambda weights, tokens: _mean_at(weights, _induction_places(tokens, latest=False)),
        "it takes the first appearance: take the latest one before t.",
        "取的是第一次出现：应当取 t 之前最近的一次。",
    ),
    Mistake(
        lambda weights, tokens: _mean_at(weights.T, _induction_places(tokens)),
        "queries and keys are swapped: a row of the weights is a query, weights[t, s].",
        "查询和键弄反了：权重的一行是一个查询，即 weights[t, s]。",
    ),
    Mistake(
        lambda weights, tokens: np.sum([weights[t, s] for t, s in _induction_places(tokens)]),
        "it is the sum: divide by the number of places that repeat a token.",
        "这是总和：应当除以词元重复出现的位置个数。",
    ),
    Mistake(
        lambda weights, tokens: np.sum([weights[t, s] for t, s in _induction_places(tokens)]) / len(tokens),
        "it is averaged over all places: only places whose token stood before have anything to look for.",
        "对所有位置取了平均：只有词元以前出现过的位置才有东西可找。",
    ),
    Mistake(
        lambda weights, tokens: np.mean(np.diagonal(weights, -1)),
        "this is the previous-token score: look at the place behind the earlier same token.",
        "这是前一词元的得分：应当看前面那个相同词元之后的位置。",
    ),
    Mistake(
        lambda weights, tokens: np.mean([weights[t, s] == weights[t].max() for t, s in _induction_places(tokens)]),
        "it counts how often the place gets the most weight: take the weight itself.",
        "数的是这个位置有多少次权重最大：应当取权重本身。",
    ),
]

_DISTANCE_MISTAKES = [
    Mistake(
        lambda weights: (weights * _apart(weights.shape[-1], lambda d: d)).sum(axis=-1).mean(axis=-1),
        "distances are negative for keys behind the query: take np.abs(t - s).",
        "键在查询之后时，距离成了负的：请取 np.abs(t - s)。",
    ),
    Mistake(
        lambda weights: (weights * _apart(weights.shape[-1], np.square)).sum(axis=-1).mean(axis=-1),
        "distances are squared: take np.abs(t - s).",
        "距离被平方了：请取 np.abs(t - s)。",
    ),
    Mistake(
        lambda weights: (weights * _apart(weights.shape[-1])).mean(axis=(-1, -2)),
        "the mean is over the keys as well: weights already sum to 1 over them, so add up.",
        "对键也取了平均：权重在键上加起来已经是 1，所以应当求和。",
    ),
    Mistake(
        lambda weights: (weights * _apart(weights.shape[-1])).sum(axis=(-1, -2)),
        "the queries are added up: take their mean.",
        "把各个查询加起来了：应当取平均。",
    ),
    Mistake(
        lambda weights: np.broadcast_to(_apart(weights.shape[-1]).mean(), weights.shape[:1]).copy(),
        "the weights play no part: a key counts as much as its weight.",
        "权重没有起作用：一个键的分量就是它的权重。",
    ),
    Mistake(
        lambda weights: np.take_along_axis(
            np.broadcast_to(_apart(weights.shape[-1]), weights.shape), weights.argmax(-1)[..., None], -1
        ).mean(axis=(-1, -2)),
        "only the key with the most weight is counted: weigh all keys.",
        "只数了权重最大的那个键：所有的键都要按权重算进去。",
    ),
    Mistake(
        lambda weights: (weights * _apart(weights.shape[-1])).sum(axis=-1),
        "one number per query is left: take the mean over the queries too.",
        "每个查询还各剩一个数：对查询也要取平均。",
    ),
    Mistake(
        lambda weights: (weights * _apart(weights.shape[-1])).sum(axis=-1).mean(),
        "the heads are averaged: give one number for each head.",
        "把各个头也平均了：应当每个头给一个数。",
    ),
    Mistake(
        lambda weights: np.abs(
            (weights * np.arange(weights.shape[-1])).sum(axis=-1) - np.arange(weights.shape[-1])
        ).mean(-1),
        "it is the distance to the mean place: two keys left and right of the query must not cancel.",
        "这是到平均位置的距离：查询左右两侧的键不该互相抵消。",
    ),
    Mistake(
        lambda weights: np.swapaxes(weights * _apart(weights.shape[-1]), -1, -2).sum(axis=-1).max(axis=-1),
        "it is the largest distance: take the mean over the queries.",
        "取的是最大的距离：应当对查询取平均。",
    ),
]
