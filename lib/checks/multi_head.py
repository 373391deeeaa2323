"""Checks of chapter 05: splitting the width into heads, and multi-head attention put together."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import multi_head_attention, softmax


def check_split_heads(my_split_heads: Callable) -> bool:
    """Check `my_split_heads(x, num_heads)`: (B, T, D) becomes (B, H, T, D / H), head 0 owning the first columns."""
    number = np.arange(2.0 * 5 * 12).reshape(2, 5, 12)
    cases = [
        Case(
            (number, 4),
            "This was x (2, 5, 12) and 4 heads: answer[b, h] is x[b][:, 3 * h : 3 * h + 3], so (2, 4, 5, 3).",
            "这里 x 是 (2, 5, 12)，4 个头：答案是 (2, 4, 5, 3)，answer[b, h] 就是 x[b][:, 3 * h : 3 * h + 3]。",
        ),
        Case(
            (number, 1),
            "This was a single head: it owns all columns, and its axis is still there, (2, 1, 5, 12).",
            "这里只有一个头：所有列都归它，但头的轴仍然要有，即 (2, 1, 5, 12)。",
        ),
        Case(
            (number[:1, :3], 12),
            "This was x (1, 3, 12) and 12 heads, one column each.",
            "这里 x 是 (1, 3, 12)，12 个头，每个头一列。",
        ),
    ]
    return examine("my_split_heads", my_split_heads, _split, cases, _SPLIT_MISTAKES)


def check_multi_head_attention(my_multi_head_attention: Callable) -> bool:
    """Check `my_multi_head_attention(query, key, value, w_query, w_key, w_value, w_output, num_heads)`, without mask.

    Shapes: query (B, T, d_model), key (B, S, key_width), value (B, S, value_width). No two sizes are equal in the first
    case, so that no mistake hides.
    """
    right = multi_head_attention
    return examine("my_multi_head_attention", my_multi_head_attention, right, _attention_cases(), _mistakes())


def _split(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).swapaxes(1, 2)


def _viewed(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, num_heads, T, D // num_heads)


def _interleaved(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, T, D // num_heads, num_heads).transpose(0, 3, 1, 2)


_SPLIT_MISTAKES = [
    Mistake(
        _viewed,
        "the shape is right but the numbers are not: reshaping to (B, H, T, d) cuts across the tokens, so a "
        "head's row mixes several of them. Reshape to (B, T, H, d) first, then swap axes 1 and 2.",
        "形状对了，数却不对：直接变形成 (B, H, T, d)，头里的一行就混进了好几个词元。"
        "请先变形成 (B, T, H, d)，再交换轴 1 和轴 2。",
    ),
    Mistake(
        _interleaved,
        "the heads are interleaved: head h got columns h, h + H, h + 2H, ... It owns neighbouring columns: reshape to "
        "(B, T, H, d), with the heads before the width.",
        "各个头交错了：头 h 拿到的是第 h、h + H、h + 2H……列。"
        "它应当拥有相邻的列：变形成 (B, T, H, d)，头的轴在宽度之前。",
    ),
    Mistake(
        lambda x, H: x.reshape(*x.shape[:2], H, -1),
        "the axes are still (B, T, H, d): swap axes 1 and 2, so that the heads stand before the tokens.",
        "轴的顺序还是 (B, T, H, d)：请交换轴 1 和轴 2，让头排在词元前面。",
    ),
    Mistake(
        lambda x, H: _split(x, H).swapaxes(0, 1),
        "the heads stand before the batch: the order is (B, H, T, d).",
        "头排到了批量前面：顺序应为 (B, H, T, d)。",
    ),
    Mistake(
        lambda x, H: _split(x, H).swapaxes(2, 3),
        "tokens and width are swapped: the order is (B, H, T, d), not (B, H, d, T).",
        "词元和宽度弄反了：顺序应为 (B, H, T, d)，而不是 (B, H, d, T)。",
    ),
    Mistake(
        lambda x, H: _split(x, H).reshape(-1, x.shape[1], x.shape[2] // H),
        "batch and heads are merged into one axis: keep four axes, (B, H, T, d).",
        "批量和头合成了一个轴：请保留四个轴，即 (B, H, T, d)。",
    ),
    Mistake(
        lambda x, H: np.repeat(x[:, None], H, axis=1),
        "every head got all columns: the width is divided among the heads, D / H columns each.",
        "每个头都拿到了所有的列：宽度应当分给各个头，每个头 D / H 列。",
    ),
    Mistake(
        lambda x, H: _split(x, x.shape[-1] // H),
        "the number of heads and their width are swapped: H heads, each D / H wide.",
        "头数和头的宽度弄反了：应有 H 个头，每个宽 D / H。",
    ),
    Mistake(
        lambda x, H: _split(x, H)[:, ::-1],
        "the heads stand in reverse order: head 0 owns the first columns.",
        "头的顺序倒过来了：头 0 拥有最前面的列。",
    ),
]


def _attention_cases() -> list[Case]:
    draw = np.random.default_rng(5).standard_normal
    weights = draw((8, 8)), draw((6, 8)), draw((7, 8)), draw((8, 8))
    inputs = draw((2, 3, 8)), draw((2, 5, 6)), draw((2, 5, 7))
    tokens, square = draw((2, 4, 8)), draw((4, 8, 8))
    return [
        Case(
            (*inputs, *weights, 2),
            "This was query (2, 3, 8), key (2, 5, 6), value (2, 5, 7) and 2 heads, each 4 wide.",
            "这里 query 是 (2, 3, 8)，key 是 (2, 5, 6)，value 是 (2, 5, 7)，2 个头，每个宽 4。",
        ),
        Case(
            (*inputs, *weights, 1),
            "This was a single head, 8 wide.",
            "这里只有一个头，宽 8。",
        ),
        Case(
            (tokens, tokens, tokens, *square, 8),
            "This was self-attention with 8 heads, each one column wide.",
            "这里是自注意力，8 个头，每个只有一列宽。",
        ),
        Case(
            (100 * inputs[0], 100 * inputs[1], inputs[2], *weights, 4),
            "The scores were tens of thousands, where exp overflows: subtract the largest score of each row first.",
            "这里的分数有几万，exp 会溢出：请先减去每行的最大分数。",
        ),
    ]


def _merge(heads):
    B, H, T, d = heads.shape
    return heads.swapaxes(1, 2).reshape(B, T, H * d)


def _with(
    *,
    split=_split,
    merge=_merge,
    divisor=lambda d_k, d_model: np.sqrt(d_k),
    shares=softmax,
    finish=lambda merged, w_output: merged @ w_output,
    project=lambda x, weight: x @ weight,
):
    """Multi-head attention with one of its steps replaced."""

    def attention(query, key, value, w_query, w_key, w_value, w_output, num_heads):
        projected = project(query, w_query), project(key, w_key), project(value, w_value)
        q, k, v = (split(x, num_heads) for x in projected)  # (B, H, T or S, d_k)
        scores = q @ k.swapaxes(-1, -2) / divisor(q.shape[-1], projected[0].shape[-1])  # (B, H, T, S)
        return finish(merge(shares(scores) @ v), w_output)

    return attention


def _over(axis):
    return lambda scores: np.moveaxis(softmax(np.moveaxis(scores, axis, -1)), -1, axis)


def _mistakes() -> list[Mistake]:
    return [*_splitting_mistakes(), *_scaling_mistakes(), *_finishing_mistakes()]


def _splitting_mistakes() -> list[Mistake]:
    return [
        Mistake(
            _with(split=_viewed, merge=lambda heads: heads.reshape(len(heads), heads.shape[2], -1)),
            "splitting and merging both only reshape, so that heads mix tokens: reshape to (B, T, H, d), then swap "
            "axes 1 and 2; back again in the opposite order.",
            "拆开和合并都只做了变形，头里混进了别的词元："
            "先变形成 (B, T, H, d)，再交换轴 1 和轴 2；合并时按相反的次序做。",
        ),
        Mistake(
            _with(split=_viewed),
            "the split only reshapes, to (B, H, T, d), so that a head's row mixes several tokens: reshape to "
            "(B, T, H, d), then swap axes 1 and 2.",
            "拆开时直接变形成了 (B, H, T, d)，头里的一行混进了好几个词元：请先变形成 (B, T, H, d)，再交换轴 1 和轴 2。",
        ),
        Mistake(
            _with(merge=lambda heads: heads.reshape(len(heads), heads.shape[2], -1)),
            "the heads are merged without swapping the axes back: from (B, H, T, d) swap axes 1 and 2, then reshape.",
            "合并各头时没有把轴换回来：先从 (B, H, T, d) 交换轴 1 和轴 2，再变形。",
        ),
        Mistake(
            _with(split=_interleaved),
            "the heads are interleaved: head h got columns h, h + H, ... but it owns neighbouring columns.",
            "各个头交错了：头 h 拿到的是第 h、h + H……列，但它应当拥有相邻的列。",
        ),
        Mistake(
            _with(split=lambda x, H: _split(x, 1)),
            "there is only one head, as wide as the model: split queries, keys and values into num_heads parts.",
            "只有一个和模型一样宽的头：请把查询、键和值各拆成 num_heads 份。",
        ),
        Mistake(
            _with(split=lambda x, H: np.repeat(_split(x, H)[:, :1], H, axis=1)),
            "all heads use the columns of the first: head h owns columns h * d_k to (h + 1) * d_k.",
            "所有的头用的都是第一个头的列：头 h 拥有第 h * d_k 到 (h + 1) * d_k 列。",
        ),
        Mistake(
            lambda q, k, v, w_q, w_k, w_v, w_o, H: _with()(q, k, k, w_q, w_k, w_k, w_o, H),
            "the keys are averaged instead of the values: the weights belong in front of value @ w_value.",
            "被平均的是键，而不是值：权重要乘的是 value @ w_value。",
        ),
        Mistake(
            lambda q, k, v, w_q, w_k, w_v, w_o, H: _with()(q, k, v, w_q.T, w_k, w_v, w_o, H),
            "w_query is transposed: the rule is query @ w_query. (nn.Linear stores its weight transposed.)",
            "w_query 转置了：规则是 query @ w_query。（nn.Linear 存的权重才是转置过的。）",
        ),
    ]


def _scaling_mistakes() -> list[Mistake]:
    divide = "divide by np.sqrt(d_k) with d_k = d_model // num_heads, the width of a head."
    divide_zh = "请除以 np.sqrt(d_k)，其中 d_k = d_model // num_heads，是一个头的宽度。"
    return [
        Mistake(
            _with(divisor=lambda d_k, d_model: np.sqrt(d_model)),
            f"the scores are divided by the root of d_model: {divide}",
            f"分数除以了 d_model 的平方根：{divide_zh}",
        ),
        Mistake(_with(divisor=lambda d_k, d_model: 1), f"no scaling: {divide}", f"没有缩放：{divide_zh}"),
        Mistake(
            _with(divisor=lambda d_k, d_model: d_k),
            f"the scores are divided by d_k, without the square root: {divide}",
            f"分数除以了 d_k，少了平方根：{divide_zh}",
        ),
        Mistake(
            _with(divisor=lambda d_k, d_model: np.sqrt(d_model / d_k)),
            f"the scores are divided by the root of the number of heads: {divide}",
            f"分数除以了头数的平方根：{divide_zh}",
        ),
        Mistake(
            _with(shares=lambda scores: scores),
            "the softmax is missing: turn each row of scores into weights that sum to 1 before they meet the values.",
            "缺少 softmax：先把每一行分数变成加起来为 1 的权重，再去乘值。",
        ),
        Mistake(
            _with(shares=_over(1)),
            "softmax runs over the heads: each head shares out its own attention, over the keys, the last axis.",
            "softmax 沿头的方向做了：每个头各分各的注意力，应沿键的方向，即最后一个轴。",
        ),
        Mistake(
            _with(shares=_over(2)),
            "softmax runs over the queries: it runs over the keys, the last axis.",
            "softmax 沿查询的方向做了：应沿键的方向，即最后一个轴。",
        ),
        Mistake(
            _with(shares=lambda scores: softmax(scores.mean(axis=1, keepdims=True))),
            "all heads share one row of weights, made from their mean scores: each head needs a softmax of its own.",
            "所有的头共用一行由平均分数得来的权重：每个头都要有自己的 softmax。",
        ),
    ]


def _finishing_mistakes() -> list[Mistake]:
    def averaged(heads):
        return heads.mean(axis=1)

    return [
        Mistake(
            _with(finish=lambda merged, w_output: merged),
            "the output projection is missing: multiply the heads, side by side, by w_output.",
            "缺少输出投影：把并排放好的各头乘以 w_output。",
        ),
        Mistake(
            _with(finish=lambda merged, w_output: merged @ w_output.T),
            "w_output is transposed: the rule is heads @ w_output.",
            "w_output 转置了：规则是 heads @ w_output。",
        ),
        Mistake(
            _with(merge=averaged, finish=lambda mean, w_output: mean),
            "the heads are averaged, which blurs them again: put them side by side and multiply by w_output.",
            "各头被平均了，又糊在了一起：请把它们并排放好，再乘以 w_output。",
        ),
        Mistake(
            _with(merge=averaged, finish=lambda mean, w_output: mean @ w_output[: mean.shape[-1]]),
            "the heads are averaged, which blurs them again: put them side by side and multiply by w_output.",
            "各头被平均了，又糊在了一起：请把它们并排放好，再乘以 w_output。",
        ),
        Mistake(
            _with(merge=lambda heads: _merge(heads[:, ::-1])),
            "the heads are put together in reverse order: head 0 comes first.",
            "各头拼接的顺序倒了：头 0 排在最前。",
        ),
        Mistake(
            _with(merge=lambda heads: np.moveaxis(heads, 1, -1).reshape(len(heads), heads.shape[2], -1)),
            "the heads' columns are interleaved when merged: all columns of head 0 come first, then those of head 1.",
            "合并时各头的列交错了：先是头 0 的所有列，再是头 1 的。",
        ),
    ]
