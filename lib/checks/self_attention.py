"""Checks of chapter 03: self-attention of one head, and sinusoidal positions added to a batch."""

from collections.abc import Callable

import numpy as np

from lib.checks.attention_mistakes import MISTAKES as ATTENTION_MISTAKES
from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import scaled_dot_product_attention as attend
from lib.reference.positional import sinusoidal_positions


def check_self_attention(my_self_attention: Callable) -> bool:
    """Check `my_self_attention(x, w_query, w_key, w_value, mask=None)`.

    x is (..., T, d_model), w_query and w_key are (d_model, d_k), w_value is (d_model, d_v); the mask is boolean, True =
    may attend, and broadcasts to (..., T, T). In the first trial no two sizes are equal, so that no mistake hides.
    """
    return examine("my_self_attention", my_self_attention, _self_attention, _attention_cases(), _MISTAKES)


def check_add_positions(my_add_positions: Callable) -> bool:
    """Check `my_add_positions(x)`: x (B, T, d_model) plus a sinusoidal vector for each place t, the same in all B."""
    draw = np.random.default_rng(3).standard_normal
    cases = [
        Case(
            (draw((2, 6, 4)),),
            "This was x (2, 6, 4): batch, place, width.",
            "这里 x 是 (2, 6, 4)：批量、位置、宽度。",
        ),
        Case((draw((6, 6, 6)),), "This was x (6, 6, 6): all axes equally long.", "这里 x 是 (6, 6, 6)：三个轴一样长。"),
        Case((draw((1, 40, 8)),), "This was a long sequence, x (1, 40, 8).", "这里的序列很长，x 是 (1, 40, 8)。"),
    ]
    return examine("my_add_positions", my_add_positions, lambda x: x + _at(x), cases, _POSITION_MISTAKES)


def _self_attention(x, w_query, w_key, w_value, mask=None):
    return attend(x @ w_query, x @ w_key, x @ w_value, mask)


def _attention_cases() -> list[Case]:
    draw = np.random.default_rng(3).standard_normal
    x, weights = draw((4, 5)), (draw((5, 3)), draw((5, 3)), draw((5, 6)))
    square = tuple(draw((5, 5)) for _ in range(3))
    mask = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 0]], dtype=bool)
    return [
        Case(
            (x, *weights),
            "This was x (4, 5), w_query and w_key (5, 3), w_value (5, 6): project with x @ w_query and so on.",
            "这里 x 是 (4, 5)，w_query 和 w_key 是 (5, 3)，w_value 是 (5, 6)：用 x @ w_query 等来投影。",
        ),
        Case(
            (x, *square),
            "All three projections were square, (5, 5), where a transposed or forgotten one makes no noise.",
            "这里三个投影都是方阵 (5, 5)，转置错了或漏乘了也不会报错。",
        ),
        Case(
            (x, *weights, mask),
            "This was a (4, 4) mask, True = may attend: set the other scores to -inf before softmax.",
            "这里有 (4, 4) 的掩码，True 表示可以关注：请在 softmax 之前把其余分数设为 -inf。",
        ),
        Case(
            (draw((2, 4, 5)), *weights),
            "There was a batch axis in front, (2, 4, 5): swap only the last two axes, and keep axis=-1.",
            "前面多了一个批量轴 (2, 4, 5)：只交换最后两个轴，softmax 用 axis=-1。",
        ),
        Case(
            (x, *weights, mask & np.array([[True], [False], [True], [True]])),
            "Token 1 may attend to nothing: its output is zeros.",
            "词元 1 没有任何可以关注的对象：它的输出应为零。",
        ),
    ]


def _projected(choose):
    """Self-attention that takes its query, key and value from what `choose(x, w_query, w_key, w_value)` gives."""
    return lambda x, w_query, w_key, w_value, mask=None: attend(*choose(x, w_query, w_key, w_value), mask)


def _after(change):
    """Self-attention whose output is what `change(output, x, weights of projection)` makes of it."""
    return lambda x, *w: change(_self_attention(x, *w), x, w)


def _with_scores_divided(divisor):
    def function(x, w_query, w_key, w_value, mask=None):
        factor = np.sqrt(w_query.shape[1]) / divisor(x, w_query, w_value)
        return attend(factor * (x @ w_query), x @ w_key, x @ w_value, mask)

    return function


def _with_mask(make):
    def function(x, w_query, w_key, w_value, mask=None):
        own = make(x.shape[-2])
        return _self_attention(x, w_query, w_key, w_value, own if mask is None else own & mask)

    return function


def _projection_mistakes() -> list[Mistake]:
    three = "three projections of the same x: x @ w_query, x @ w_key, x @ w_value."
    three_zh = "同一个 x 要做三个投影：x @ w_query、x @ w_key、x @ w_value。"
    choices = [
        (
            lambda x, q, k, v: (x @ k, x @ q, x @ v),
            "queries and keys are swapped, so that each token's row asks as it should be asked",
            "查询和键对调了，每个词元问的成了它该被问的",
        ),
        (lambda x, q, k, v: (x @ q, x @ k, x), "the values are x itself, not projected", "值直接用了 x，没有投影"),
        (lambda x, q, k, v: (x, x @ k, x @ v), "the queries are x itself, not projected", "查询直接用了 x，没有投影"),
        (lambda x, q, k, v: (x @ q, x, x @ v), "the keys are x itself, not projected", "键直接用了 x，没有投影"),
        (lambda x, q, k, v: (x, x, x), "nothing is projected", "一个投影也没有做"),
        (lambda x, q, k, v: (x, x, x @ v), "queries and keys are both x itself", "查询和键都直接用了 x"),
        (lambda x, q, k, v: (x @ q, x @ q, x @ v), "w_query makes the keys too", "键也是用 w_query 投影出来的"),
        (lambda x, q, k, v: (x @ k, x @ k, x @ v), "w_key makes the queries too", "查询也是用 w_key 投影出来的"),
        (lambda x, q, k, v: (x @ q, x @ k, x @ k), "w_key makes the values too", "值也是用 w_key 投影出来的"),
        (lambda x, q, k, v: (x @ q, x @ k, x @ q), "w_query makes the values too", "值也是用 w_query 投影出来的"),
        (
            lambda x, q, k, v: (x @ q.T, x @ k.T, x @ v.T),
            "the projections are transposed; here x @ w, without .T",
            "投影矩阵被转置了；这里是 x @ w，不要 .T",
        ),
    ]
    return [Mistake(_projected(choose), f"{en}. It takes {three}", f"{zh}。{three_zh}") for choose, en, zh in choices]


def _own_mistakes() -> list[Mistake]:
    divide = "divide by the square root of d_k, the width of the queries and keys."
    divide_zh = "应除以 d_k 的平方根，d_k 是查询和键的宽度。"
    return [
        Mistake(
            _with_scores_divided(lambda x, q, v: np.sqrt(x.shape[-1])),
            f"the scores are divided by the square root of d_model, the width of x: {divide}",
            f"分数除以了 d_model（x 的宽度）的平方根：{divide_zh}",
        ),
        Mistake(
            _with_scores_divided(lambda x, q, v: x.shape[-1]),
            f"the scores are divided by d_model, the width of x: {divide}",
            f"分数除以了 d_model（x 的宽度）：{divide_zh}",
        ),
        Mistake(
            _with_mask(lambda T: ~np.eye(T, dtype=bool)),
            "no token looks at itself: in self-attention it may, unless the mask says no.",
            "词元都不看自己：自注意力里可以看自己，除非掩码不许。",
        ),
        Mistake(
            _with_mask(lambda T: np.eye(T, dtype=bool)),
            "each token looks at itself alone: self-attention is about all tokens of the sequence.",
            "每个词元只看自己：自注意力看的是同一个序列里的所有词元。",
        ),
        Mistake(
            _with_mask(lambda T: np.tri(T, dtype=bool)),
            "the future is hidden although no mask was given: hide only what the mask hides.",
            "没有给掩码，未来却被遮住了：只遮掩码要遮的。",
        ),
        Mistake(
            _after(lambda output, x, w: output + x if output.shape == x.shape else output),
            "x is added to the output: that is a residual connection, which belongs outside.",
            "输出加上了 x：那是残差连接，应放在函数外面。",
        ),
        Mistake(
            _after(lambda output, x, w: output.mean(axis=-2)),
            "the tokens are averaged at the end: return one row for each token.",
            "最后对词元取了平均：应每个词元返回一行。",
        ),
    ]


def _projecting(mistake: Mistake) -> Mistake:
    """A mistake of chapter 04, made behind the right projections."""

    def function(x, w_query, w_key, w_value, mask=None):
        return mistake.function(x @ w_query, x @ w_key, x @ w_value, mask)

    return mistake._replace(function=function)


_MISTAKES = [*_projection_mistakes(), *_own_mistakes(), *(_projecting(mistake) for mistake in ATTENTION_MISTAKES)]


def _at(x, length_axis=-2) -> np.ndarray:
    """The positions for the length of an axis of x."""
    return sinusoidal_positions(x.shape[length_axis], x.shape[-1])


def _waves(angles) -> np.ndarray:
    """Sines and cosines in turns, from the angles (T, d_model / 2)."""
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), -1)


def _angles(x, *, first=0, base=10000.0, step=2) -> np.ndarray:
    T, D = x.shape[-2:]
    return (first + np.arange(T))[:, None] / base ** (step * np.arange(D // 2) / D)


_POSITION_MISTAKES = [
    Mistake(
        lambda x: x + _at(x, 0)[:, None],
        "the positions run along the batch axis: all words of a sentence got the same one. Axis 1 is the place.",
        "位置加到了批量轴上：同一句话里的词得到的都一样。位置是轴 1。",
    ),
    Mistake(
        lambda x: x + np.swapaxes(sinusoidal_positions(x.shape[2], x.shape[1]), 0, 1),
        "the positions run along the width: axis 1 is the place, axis 2 the width.",
        "位置沿着宽度的轴走了：轴 1 才是位置，轴 2 是宽度。",
    ),
    Mistake(
        lambda x: np.broadcast_to(_at(x), x.shape),
        "it returns the positions alone: add them to x.",
        "返回的只是位置：还要加到 x 上。",
    ),
    Mistake(lambda x: x * _at(x), "x is multiplied by the positions: add them.", "x 乘上了位置：应该相加。"),
    Mistake(
        lambda x: np.concatenate([x, np.broadcast_to(_at(x), x.shape)], axis=-1),
        "the positions stand beside x: add them, the width stays.",
        "位置拼在了 x 旁边：应该相加，宽度不变。",
    ),
    Mistake(
        lambda x: x + _waves(_angles(x, first=1)),
        "the first place has number 1: places are counted from 0.",
        "第一个位置编成了 1：位置要从 0 数起。",
    ),
    Mistake(
        lambda x: x + _waves(_angles(x, step=1)),
        "the exponent lacks its factor 2: pair i has the speed 10000 ** (-2 * i / d_model).",
        "指数里漏了因子 2：第 i 对的速度是 10000 ** (-2 * i / d_model)。",
    ),
    Mistake(
        lambda x: x + _waves(_angles(x, step=4)),
        "the exponent is twice what it should be: pair i has the speed 10000 ** (-2 * i / d_model).",
        "指数大了一倍：第 i 对的速度是 10000 ** (-2 * i / d_model)。",
    ),
    Mistake(
        lambda x: x + _waves(_angles(x))[:, np.arange(x.shape[-1]) ^ 1],
        "sines and cosines are swapped: the even columns are sines.",
        "正弦和余弦对调了：偶数列应是正弦。",
    ),
    Mistake(
        lambda x: x + np.concatenate([np.sin(_angles(x)), np.cos(_angles(x))], axis=-1),
        "all sines come first and then all cosines (some published code does so): here they take turns.",
        "先排了所有正弦，再排所有余弦（有些公开代码这样写）：这里要交替排列。",
    ),
    Mistake(
        lambda x: x + _waves(np.arange(x.shape[1])[:, None] * np.ones(x.shape[2] // 2)),
        "all columns turn at the same speed: pair i has the speed 10000 ** (-2 * i / d_model).",
        "所有列转得一样快：第 i 对的速度是 10000 ** (-2 * i / d_model)。",
    ),
    Mistake(
        lambda x: x + np.arange(x.shape[1])[:, None],
        "the bare number of the place is added: take sines and cosines of it.",
        "加上的只是位置的编号：要取它的正弦和余弦。",
    ),
    Mistake(lambda x: x.copy(), "nothing is added to x.", "x 上什么也没加。"),
]
