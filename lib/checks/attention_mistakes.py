"""What goes wrong in scaled dot-product attention: each mistake as a function, with what to tell the learner."""

import numpy as np

from lib.checks.report import Mistake
from lib.reference.attention import scaled_dot_product_attention


def _root(query, key, value):
    return np.sqrt(query.shape[-1])


def _raw(query, key):
    return query @ np.swapaxes(key, -1, -2)


def _hidden(scores, mask):
    return scores if mask is None else np.where(mask, scores, -np.inf)


def _shares(scores, axis=-1):
    highest = scores.max(axis=axis, keepdims=True)
    exponentials = np.exp(scores - np.where(np.isneginf(highest), 0, highest))
    total = exponentials.sum(axis=axis, keepdims=True)
    return exponentials / np.where(total == 0, 1, total)


def _attend(*, raw=_raw, divisor=_root, hide=_hidden, shares=_shares, after=lambda weights, mask, root: weights):
    """Attention with one of its steps replaced."""

    def attention(query, key, value, mask=None):
        scores = raw(query, key) / divisor(query, key, value)
        weights = shares(hide(scores, mask))
        return after(weights, mask, _root(query, key, value)) @ value

    return attention


def _masked_by(change):
    return _attend(hide=lambda scores, mask: scores if mask is None else change(scores, mask))


def _scaling_mistakes() -> list[Mistake]:
    divide = "divide the scores by np.sqrt(d_k), with d_k = query.shape[-1]."
    divide_zh = "请把分数除以 np.sqrt(d_k)，其中 d_k = query.shape[-1]。"
    return [
        Mistake(_attend(divisor=lambda q, k, v: 1), f"no scaling: {divide}", f"没有缩放：{divide_zh}"),
        Mistake(
            _attend(divisor=lambda q, k, v: q.shape[-1]),
            f"the scores are divided by d_k, without the square root: {divide}",
            f"分数除以了 d_k，少了平方根：{divide_zh}",
        ),
        Mistake(
            _attend(divisor=lambda q, k, v: 1 / np.sqrt(q.shape[-1])),
            f"the scores are multiplied by the square root: {divide}",
            f"分数乘上了平方根：{divide_zh}",
        ),
        Mistake(
            _attend(divisor=lambda q, k, v: np.sqrt(v.shape[-1])),
            f"the scores are divided by the root of the value's width d_v: {divide}",
            f"分数除以了值的宽度 d_v 的平方根：{divide_zh}",
        ),
        Mistake(
            _attend(divisor=lambda q, k, v: np.sqrt(k.shape[-2])),
            f"the scores are divided by the root of the number of keys: {divide}",
            f"分数除以了键的个数的平方根：{divide_zh}",
        ),
        Mistake(
            _attend(divisor=lambda q, k, v: np.sqrt(q.shape[-2])),
            f"the scores are divided by the root of the number of queries: {divide}",
            f"分数除以了查询的个数的平方根：{divide_zh}",
        ),
        Mistake(
            _attend(divisor=lambda q, k, v: 1, after=lambda weights, mask, root: weights / root),
            "the weights are scaled after softmax and no longer sum to 1: divide the scores before softmax.",
            "缩放放在了 softmax 之后，权重之和不再是 1：应在 softmax 之前除分数。",
        ),
    ]


def _softmax_mistakes() -> list[Mistake]:
    return [
        Mistake(
            _attend(shares=lambda scores: _shares(scores, -2)),
            "softmax runs over the queries: each query's weights over the keys sum to 1, which is axis=-1.",
            "softmax 沿着查询的轴做了：应让每个查询对所有键的权重之和为 1，即 axis=-1。",
        ),
        Mistake(
            _attend(shares=lambda scores: _shares(scores, 1)),
            "softmax runs over axis 1: the keys are the last axis, axis=-1, however many batch axes there are.",
            "softmax 沿轴 1 做了：不论有几个批量轴，键都在最后一个轴 axis=-1。",
        ),
        Mistake(
            _attend(shares=lambda scores: _shares(scores, 0)),
            "softmax runs over axis 0: the keys are the last axis, axis=-1.",
            "softmax 沿轴 0 做了：键在最后一个轴，即 axis=-1。",
        ),
        Mistake(
            _attend(shares=lambda scores: _shares(scores, None)),
            "all weights together sum to 1: each query's weights should, so use axis=-1.",
            "所有权重合起来才等于 1：应让每个查询的权重之和为 1，请用 axis=-1。",
        ),
        Mistake(
            _attend(shares=lambda scores: scores),
            "the values are weighed by the scores themselves: softmax is missing.",
            "这里直接用分数加权：缺少 softmax。",
        ),
        Mistake(
            _attend(shares=np.exp),
            "the weights do not sum to 1: divide exp by the sum of each row.",
            "权重之和不是 1：exp 之后还要除以每行之和。",
        ),
        Mistake(
            _attend(shares=lambda scores: (scores == scores.max(axis=-1, keepdims=True)).astype(float)),
            "each query takes the one key with the largest score: that is a hard arg max, use softmax.",
            "每个查询只取分数最大的那个键：这是硬性的 arg max，请用 softmax。",
        ),
    ]


def _mask_mistakes() -> list[Mistake]:
    leak = "and a hidden key leaks when the scores are as large as that, or a fully masked row turns uniform: use -inf."
    leak_zh = "当分数也这么大时，被掩盖的键会泄漏，整行被掩盖时权重会变成均匀分布：请用 -inf。"
    mistakes = [
        Mistake(
            _masked_by(lambda scores, mask: scores),
            "the mask has no effect: set the scores where it is False to -inf before softmax.",
            "掩码没有起作用：请在 softmax 之前把掩码为 False 处的分数设为 -inf。",
        ),
        Mistake(
            _masked_by(lambda scores, mask: np.where(mask, -np.inf, scores)),
            "the mask is inverted: True means may attend, so hide where it is False.",
            "掩码用反了：True 表示可以关注，应掩盖为 False 的位置。",
        ),
        Mistake(
            _attend(hide=lambda scores, mask: scores, after=lambda w, mask, root: w if mask is None else w * mask),
            "the weights are masked after softmax and no longer sum to 1: hide the scores before softmax.",
            "掩码乘在了 softmax 之后，权重之和不再是 1：应在 softmax 之前掩盖分数。",
        ),
        Mistake(
            _masked_by(lambda scores, mask: scores * mask),
            "hidden scores become 0, and exp(0) = 1 is still a weight: set them to -inf.",
            "被掩盖的分数成了 0，而 exp(0) = 1 仍有权重：应设为 -inf。",
        ),
        Mistake(
            _masked_by(lambda scores, mask: scores + mask),
            "the mask is added to the scores as 0 and 1: set the scores where it is False to -inf.",
            "掩码被当作 0 和 1 加到了分数上：应把掩码为 False 处的分数设为 -inf。",
        ),
    ]
    for size in ("1e4", "1e9"):
        large = float(size)
        mistakes += [
            Mistake(
                _masked_by(lambda scores, mask, large=large: np.where(mask, scores, scores - large)),
                f"the mask adds -{size} to the scores, {leak}",
                f"掩码给分数加上了 -{size}：{leak_zh}",
            ),
            Mistake(
                _masked_by(lambda scores, mask, large=large: np.where(mask, scores, -large)),
                f"the mask sets hidden scores to a number such as -{size}, {leak}",
                f"掩码把分数设成了 -{size} 这样的数：{leak_zh}",
            ),
        ]
    return mistakes


def _output_mistakes() -> list[Mistake]:
    right = scaled_dot_product_attention
    return [
        Mistake(
            lambda q, k, v, mask=None: right(q, k, k, mask),
            "the weighted sum runs over the keys: sum the values, weights @ value.",
            "加权求和用的是键：应该对值求和，即 weights @ value。",
        ),
        Mistake(
            _attend(raw=lambda q, k: q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])),
            "reshape scrambles the keys: transpose them, np.swapaxes(key, -1, -2).",
            "reshape 会打乱键的元素：应该转置，即 np.swapaxes(key, -1, -2)。",
        ),
        Mistake(
            lambda q, k, v, mask=None: _shares(_hidden(_raw(q, k) / _root(q, k, v), mask)),
            "it returns the weights: multiply them by the values, weights @ value.",
            "返回的是权重：还要乘以值，即 weights @ value。",
        ),
    ]


MISTAKES = [*_scaling_mistakes(), *_softmax_mistakes(), *_mask_mistakes(), *_output_mistakes()]
