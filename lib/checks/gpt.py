"""Checks of chapter 07: the loss of the next token, and cutting a distribution's tail."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine


def check_next_token_loss(my_next_token_loss: Callable) -> bool:
    """Check `my_next_token_loss(logits, tokens)`: the mean of -ln p(next token), a number.

    logits (B, T, V), those at place t for the token at place t + 1; tokens (B, T) integers. The last place predicts
    nothing that is known.
    """
    draw = np.random.default_rng(7)
    logits, tokens = 2 * draw.standard_normal((2, 5, 7)), draw.integers(0, 7, (2, 5))
    cases = [
        Case((logits, tokens), "This was B = 2, T = 5, V = 7.", "这里 B = 2、T = 5、V = 7。"),
        Case(
            (logits[:1, :3], np.array([[3, 3, 6]])),
            "This was one sequence of 3 tokens: 2 predictions.",
            "这里只有一条 3 个词元的序列：2 次预测。",
        ),
        Case(
            (logits * [[[400.0]], [[1.0]]], tokens),
            "The logits went to 1000, where exp overflows and log gives -inf: subtract each row's largest, and take"
            " logits - log(sum(exp(logits))).",
            "这里的 logits 大到 1000，exp 会溢出，log 会给出 -inf：请先减去每行的最大值，再减 log(sum(exp(logits)))。",
        ),
    ]
    return examine("my_next_token_loss", my_next_token_loss, _loss, cases, _LOSS_MISTAKES)


def check_top_p(my_top_p: Callable) -> bool:
    """Check `my_top_p(probabilities, p)`: keep the fewest likeliest tokens that together reach p, and sum to 1 again.

    probabilities (V,) in any order, returned (V,) in the same order with zeros for what is cut.
    """
    mixed = np.array([0.04, 0.18, 0.02, 0.12, 0.22, 0.03, 0.1, 0.15, 0.06, 0.08])
    cases = [
        Case(
            (mixed, 0.7),
            "There were 10 probabilities and p = 0.7: five stay, 0.22 + 0.18 + 0.15 + 0.12 + 0.1.",
            "这里有 10 个概率，p = 0.7：应留下五个，0.22 + 0.18 + 0.15 + 0.12 + 0.1。",
        ),
        Case(
            (mixed, 0.3),
            "With p = 0.3 two stay: 0.22 is not enough, 0.22 + 0.18 is.",
            "p = 0.3 时留下两个：0.22 还不够，0.22 + 0.18 才够。",
        ),
        Case(
            (mixed, 0.2),
            "With p = 0.2 the likeliest alone is enough, and it has to stay: never cut everything.",
            "p = 0.2 时光是最大的那个就够了，而且它必须留下：不能全部切掉。",
        ),
        Case((mixed, 1.0), "With p = 1 everything stays.", "p = 1 时全部留下。"),
        Case(
            (np.array([0.125, 0.5, 0.25, 0.125]), 0.75),
            "Here 0.5 + 0.25 reached p = 0.75 exactly: that is enough, nothing more stays.",
            "这里 0.5 + 0.25 恰好等于 p = 0.75：这就够了，不再多留。",
        ),
        Case(
            (np.array([0.9, 0.06, 0.04]), 0.95),
            "Of 0.9 0.06 0.04 with p = 0.95 the first two stay.",
            "对 0.9 0.06 0.04 和 p = 0.95，应留下前两个。",
        ),
        Case(
            (np.array([0.1, 0.3, 0.4, 0.2]), 0.9),
            "Here 0.4 + 0.3 + 0.2 reached p = 0.9, although the computer's sum is 0.8999999999999999: allow 1e-9.",
            "这里 0.4 + 0.3 + 0.2 达到了 p = 0.9，尽管计算机算出的和是 0.8999999999999999：请留 1e-9 的余地。",
        ),
    ]
    return examine("my_top_p", my_top_p, _top_p, cases, _TOP_P_MISTAKES)


def _log_softmax(logits, axis=-1):
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _picked(logs, tokens):
    return np.take_along_axis(logs, tokens[..., None], axis=-1)[..., 0]


def _loss(logits, tokens):
    return -_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:]).mean()


_LOSS_MISTAKES = [
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits), tokens).mean(),
        "each place is scored on its own token: the logits at place t predict the token at t + 1.",
        "每个位置考的是它自己的词元：位置 t 的 logits 预测的是 t + 1 处的词元。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits[:, 1:]), tokens[:, :-1]).mean(),
        "it is shifted the wrong way: pair logits[:, :-1] with tokens[:, 1:].",
        "错位的方向反了：应让 logits[:, :-1] 对上 tokens[:, 1:]。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits), np.roll(tokens, -1, axis=1)).mean(),
        "the last place is asked for the first token: np.roll brings it round. Leave the last place out.",
        "最后一个位置被要求预测第一个词元：np.roll 把它绕了过来。请去掉最后一个位置。",
    ),
    Mistake(
        lambda logits, tokens: _picked(_log_softmax(logits[:, :-1]), tokens[:, 1:]).mean(),
        "the sign is wrong: a loss is -ln p, and never negative here.",
        "符号反了：损失是 -ln p，在这里不会是负数。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:]).sum(),
        "it adds the predictions up: take their mean.",
        "把各次预测加了起来：请取平均。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:]).sum() / tokens.size,
        "it divides by all B * T places, but only B * (T - 1) of them predict something.",
        "除以了全部 B * T 个位置，但其中只有 B * (T - 1) 个在预测。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:]).sum(axis=1).mean(),
        "it adds up along each sequence: take the mean over all predictions.",
        "沿着每条序列求了和：应对所有预测取平均。",
    ),
    Mistake(
        lambda logits, tokens: _loss(logits, tokens) / np.log(2),
        "these are bits: use the natural logarithm, np.log.",
        "这是以比特计的：请用自然对数 np.log。",
    ),
    Mistake(
        lambda logits, tokens: np.exp(_loss(logits, tokens)),
        "this is the perplexity: leave out the last exp.",
        "这是困惑度：请去掉最后的 exp。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(logits[:, :-1], tokens[:, 1:]).mean(),
        "it takes the logit itself: turn the logits into log-probabilities first, by log softmax.",
        "直接用了 logit：请先用 log softmax 把 logits 变成对数概率。",
    ),
    Mistake(
        lambda logits, tokens: -np.exp(_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:])).mean(),
        "it averages the probability: average -ln p.",
        "平均的是概率：应当平均 -ln p。",
    ),
    Mistake(
        lambda logits, tokens: 1 - np.exp(_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:])).mean(),
        "it averages the probability: average -ln p.",
        "平均的是概率：应当平均 -ln p。",
    ),
    Mistake(
        lambda logits, tokens: -np.log(np.exp(_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:])).mean()),
        "it takes the logarithm of the mean: take the mean of the logarithms.",
        "先平均、后取对数了：应先取对数，再平均。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits[:, :-1], axis=1), tokens[:, 1:]).mean(),
        "the softmax runs over the places: it runs over the vocabulary, the last axis.",
        "softmax 沿着位置做了：应当沿着词表，也就是最后一个轴。",
    ),
    Mistake(
        lambda logits, tokens: -_log_softmax(logits[:, :-1]).mean(),
        "it averages over the whole vocabulary: take the log-probability of the true next token only.",
        "对整个词表取了平均：只取真正的下一个词元的对数概率。",
    ),
    Mistake(
        lambda logits, tokens: -_picked(_log_softmax(logits[:, :-1]), tokens[:, 1:]),
        "it returns one loss a prediction: return their mean, one number.",
        "返回的是每次预测各自的损失：请返回平均，一个数。",
    ),
]


def _top_p(probabilities, p):
    order = np.argsort(-probabilities, kind="stable")
    total = np.cumsum(probabilities[order])
    kept = np.zeros_like(probabilities)
    first = order[: np.searchsorted(total, p - 1e-9) + 1]
    kept[first] = probabilities[first]
    return kept / kept.sum()


def _cut(keep, *, normalise=True):
    """Keep a slice of the likeliest: `keep(total, p)` says how many, from their running sums."""

    def cut(probabilities, p):
        order = np.argsort(-probabilities, kind="stable")
        first = order[: keep(np.cumsum(probabilities[order]), p)]
        kept = np.zeros_like(probabilities)
        kept[first] = probabilities[first]
        return kept / kept.sum() if normalise else kept

    return cut


def _exactly(total, p):
    return int(np.searchsorted(total, p - 1e-9)) + 1


def _in_given_order(probabilities, p):
    kept = np.where(np.cumsum(probabilities) - probabilities < p - 1e-9, probabilities, 0)
    return kept / kept.sum()


def _sorted(probabilities, p):
    return np.sort(_top_p(probabilities, p))[::-1]


def _least_likely_first(probabilities, p):
    order = np.argsort(probabilities, kind="stable")
    kept = np.zeros_like(probabilities)
    first = order[: _exactly(np.cumsum(probabilities[order]), p)]
    kept[first] = probabilities[first]
    return kept / kept.sum()


def _threshold(limit):
    def cut(probabilities, p):
        kept = np.where(probabilities >= limit(probabilities, p), probabilities, 0)
        return kept / kept.sum()

    return cut


_TOP_P_MISTAKES = [
    Mistake(
        _cut(_exactly, normalise=False),
        "what is left does not sum to 1: divide by its sum.",
        "留下的加起来不是 1：请除以它们的和。",
    ),
    Mistake(
        _cut(lambda total, p: int((total <= p + 1e-9).sum())),
        "it stops before p is reached: the token that crosses p stays too.",
        "还没达到 p 就停了：跨过 p 的那个词元也要留下。",
    ),
    Mistake(
        _cut(lambda total, p: max(1, int((total <= p + 1e-9).sum()))),
        "it stops before p is reached: the token that crosses p stays too.",
        "还没达到 p 就停了：跨过 p 的那个词元也要留下。",
    ),
    Mistake(
        _cut(lambda total, p: _exactly(total, p) + 1),
        "it keeps one token too many: stop as soon as p is reached.",
        "多留了一个词元：一达到 p 就停。",
    ),
    Mistake(
        _sorted,
        "the result is sorted: put each probability back in its own place.",
        "结果被排了序：请把每个概率放回它自己的位置。",
    ),
    Mistake(
        _in_given_order,
        "it goes through the tokens in the order given: begin with the likeliest.",
        "按给定的次序逐个取了：应从概率最大的开始。",
    ),
    Mistake(
        _least_likely_first,
        "it begins with the least likely tokens: sort from large to small.",
        "从概率最小的开始了：应从大到小排序。",
    ),
    Mistake(
        _threshold(lambda probabilities, p: 1 - p),
        "it compares single probabilities with 1 - p: p is about their sum, the likeliest first.",
        "拿单个概率与 1 - p 比较了：p 说的是从大到小累加的和。",
    ),
    Mistake(
        _threshold(lambda probabilities, p: p * probabilities.max()),
        "it compares with p times the largest (that is called min-p): p is about the sum, the likeliest first.",
        "拿来比较的是 p 乘最大的概率（那叫 min-p）：p 说的是从大到小累加的和。",
    ),
    Mistake(
        _cut(lambda total, p: max(1, round(p * len(total)))),
        "it keeps a share p of the tokens: p is a share of the probability.",
        "留下的是 p 这么多比例的词元：p 说的是概率的比例。",
    ),
    Mistake(
        lambda probabilities, p: probabilities / probabilities.sum(),
        "nothing is cut.",
        "什么也没有切掉。",
    ),
    Mistake(
        lambda probabilities, p: np.exp(_top_p(probabilities, p)) / np.exp(_top_p(probabilities, p)).sum(),
        "the cut tokens come back: a softmax of probabilities gives exp(0) = 1 to each of them. Divide by the sum.",
        "切掉的词元又回来了：对概率再做 softmax，它们每个都得到 exp(0) = 1。请除以和。",
    ),
]
