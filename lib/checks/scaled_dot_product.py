"""Checks of chapter 04: scaled dot-product attention and the causal mask."""

from collections.abc import Callable

import numpy as np

from lib.checks.attention_mistakes import MISTAKES
from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import scaled_dot_product_attention
from lib.reference.masks import causal_mask


def check_scaled_dot_product_attention(my_attention: Callable) -> bool:
    """Check `my_attention(query, key, value, mask=None)`.

    Shapes as everywhere: query (..., T, d_k), key (..., S, d_k), value (..., S, d_v), a boolean mask that broadcasts to
    (..., T, S) with True = may attend, and zeros for a query that may attend to nothing. No two sizes are equal, so
    that no mistake hides.
    """
    return examine("my_attention", my_attention, scaled_dot_product_attention, _attention_cases(), MISTAKES)


def check_causal_mask(my_causal_mask: Callable) -> bool:
    """Check `my_causal_mask(T, S)`: a boolean (T, S), True = may attend, the ends aligned when S > T."""
    cases = [
        Case(
            (3, 5),
            "This was T = 3 and S = 5: the last query sits at the last key, so query i sees j <= i + S - T.",
            "这里 T = 3、S = 5：最后一个查询对齐最后一个键，所以查询 i 能看到 j <= i + S - T。",
        ),
        Case((4, 4), "This was T = S = 4.", "这里 T = S = 4。"),
        Case((1, 6), "This was T = 1 query behind S = 6 keys.", "这里只有 T = 1 个查询，位于 S = 6 个键的末尾。"),
    ]
    return examine("my_causal_mask", my_causal_mask, causal_mask, cases, _CAUSAL_MISTAKES)


def _attention_cases() -> list[Case]:
    draw = np.random.default_rng(4).standard_normal
    query, key, value = draw((3, 4)), draw((5, 4)), draw((5, 6))
    mask = np.array([[1, 0, 0, 1, 0], [1, 1, 0, 0, 1], [0, 1, 1, 1, 1]], dtype=bool)
    far = np.array([[-1.0], [-0.002], [0.0], [-1.2], [-0.001]]) * [1, 0, 0, 0]
    return [
        Case(
            (query, key, value),
            "This was query (3, 4), key (5, 4), value (5, 6), no mask.",
            "这里 query 是 (3, 4)，key 是 (5, 4)，value 是 (5, 6)，没有掩码。",
        ),
        Case(
            (query, key, value, mask),
            "This was a (3, 5) mask, True = may attend: set the other scores to -inf before softmax.",
            "这里有 (3, 5) 的掩码，True 表示可以关注：请在 softmax 之前把其余分数设为 -inf。",
        ),
        Case(
            (draw((2, 3, 4, 6)), draw((2, 3, 5, 6)), draw((2, 3, 5, 8))),
            "There were two batch axes in front, (2, 3): swap only the last two axes, np.swapaxes(key, -1, -2).",
            "前面有两个批量轴 (2, 3)：只交换最后两个轴，即 np.swapaxes(key, -1, -2)。",
        ),
        Case(
            (
                draw((2, 3, 4, 6)),
                draw((2, 3, 5, 6)),
                draw((2, 3, 5, 8)),
                np.arange(5) < np.array([3, 5])[:, None, None, None],
            ),
            "The mask (2, 1, 1, 5) has to broadcast over heads and queries: np.where(mask, scores, -np.inf) does it.",
            "掩码 (2, 1, 1, 5) 要广播到各个头和各个查询：np.where(mask, scores, -np.inf) 就能做到。",
        ),
        Case(
            (200 * query, 200 * key, value),
            "The scores were tens of thousands, where exp overflows: subtract the largest score of each row first.",
            "这里的分数有几万，exp 会溢出：请先减去每行的最大分数。",
        ),
        Case(
            (np.array([[4e5], [3e5], [2e5]]) * [1, 0, 0, 0], far, value, mask[:1]),
            "A hidden key had by far the largest score, and it leaked: hide it with -inf, not with a large number.",
            "被掩盖的键分数远高于其他键，结果泄漏了：请用 -inf 掩盖，而不是用一个很大的数。",
        ),
        Case(
            (query, key, value, mask & np.array([[True], [False], [True]])),
            "Query 1 may attend to nothing: its output is zeros, so guard the division 0 / 0.",
            "查询 1 没有任何可以关注的键：它的输出应为零，请防止 0 / 0。",
        ),
    ]


def _mask_with(change):
    """The causal mask as `change(allowed)` makes it."""
    return lambda T, S: change(causal_mask(T, S))


_CAUSAL_MISTAKES = [
    Mistake(
        _mask_with(np.logical_not),
        "the mask is inverted: True means may attend, that is the past and the present.",
        "掩码反了：True 表示可以关注，也就是过去和现在。",
    ),
    Mistake(
        lambda T, S: np.tri(T, S, S - T - 1, dtype=bool),
        "a query does not see its own place: use <=, not <.",
        "查询看不到自己所在的位置：请用 <=，而不是 <。",
    ),
    Mistake(
        lambda T, S: np.tri(T, S, S - T + 1, dtype=bool),
        "a query sees one place into the future: it may see up to its own place only.",
        "查询多看到了未来的一个位置：最多只能看到自己所在的位置。",
    ),
    Mistake(
        lambda T, S: ~np.tri(T, S, S - T - 1, dtype=bool),
        "each query sees the present and the future: it should see the past, the lower triangle.",
        "每个查询看到的是现在和未来：应该看到过去，即下三角。",
    ),
    Mistake(
        lambda T, S: np.tri(T, S, dtype=bool),
        "the starts are aligned: the last query sits at the last key, so query i sees j <= i + S - T.",
        "这里对齐的是开头：最后一个查询应对齐最后一个键，所以查询 i 能看到 j <= i + S - T。",
    ),
    Mistake(
        lambda T, S: np.ones((T, S), dtype=bool),
        "every query sees every key: hide the future.",
        "每个查询都能看到所有的键：应掩盖未来。",
    ),
    Mistake(
        lambda T, S: np.eye(T, S, S - T, dtype=bool),
        "each query sees itself alone: the past may be seen too.",
        "每个查询只看到自己：过去的位置也可以看。",
    ),
    Mistake(
        _mask_with(lambda allowed: np.where(allowed, 0, -np.inf)),
        "it returns numbers to add to the scores: return booleans, True = may attend.",
        "返回的是要加到分数上的数：应返回布尔值，True 表示可以关注。",
    ),
    Mistake(
        _mask_with(lambda allowed: allowed.astype(float)),
        "it returns the numbers 0 and 1: return booleans, such as a comparison gives or dtype=bool.",
        "返回的是数字 0 和 1：应返回布尔值，例如用比较运算，或写 dtype=bool。",
    ),
    Mistake(
        lambda T, S: causal_mask(T, S).T,
        "rows and columns are swapped: the shape is (T, S), a row for each query.",
        "行和列弄反了：形状应为 (T, S)，每个查询一行。",
    ),
]
