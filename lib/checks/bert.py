"""Checks of chapter 06: hiding tokens as BERT does, and one vector of a text from those of its tokens."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine

MASK = 103


def check_hide_tokens(my_hide_tokens: Callable) -> bool:
    """Check `my_hide_tokens(tokens, special, choice, fate, drawn)`: what BERT gets to see of a text.

    All (T,). A token is chosen when it is not special and choice < 0.15. Of the chosen ones, fate < 0.8 makes it 103,
    0.8 <= fate < 0.9 makes it what was drawn, and from 0.9 on it stays. Returns the tokens seen (T,).
    """
    rng = np.random.default_rng(6)
    plain = np.arange(20, 32)
    none = np.zeros(12, dtype=bool)
    ends = np.array([True] + [False] * 10 + [True])
    low, late = np.full(12, 0.01), np.linspace(0.81, 0.89, 12)
    cases = [
        Case(
            (plain, none, np.array([0.1, 0.5, 0.14, 0.9, 0.01, 0.7] * 2), np.full(12, 0.3), plain + 900),
            "Every fate was 0.3, so each token with choice < 0.15 becomes 103 and no other changes.",
            "这里每个 fate 都是 0.3，所以凡是 choice < 0.15 的词元都变成 103，其余不变。",
        ),
        Case(
            (plain, none, low, np.array([0.1, 0.85, 0.95] * 4), plain + 900),
            "Here all were chosen and fate was 0.1, 0.85, 0.95 in turn: hidden, replaced by drawn, kept.",
            "这里全都选中了，fate 依次是 0.1、0.85、0.95：遮住、换成 drawn 里的、保持原样。",
        ),
        Case(
            (plain, ends, low, np.full(12, 0.5), plain + 900),
            "The first and the last token were special: they are never chosen.",
            "第一个和最后一个词元是特殊词元：它们永远不会被选中。",
        ),
        Case(
            (plain, none, np.array([0.1, 0.5, 0.14, 0.9, 0.01, 0.7] * 2), late, plain + 900),
            "Every fate lay between 0.8 and 0.9: a chosen token becomes what was drawn for its own place.",
            "这里每个 fate 都在 0.8 与 0.9 之间：选中的词元换成为它自己那个位置抽到的词元。",
        ),
        Case(
            (plain, none, np.array([0.15, 0.01, 0.01] * 4), np.array([0.3, 0.8, 0.9] * 4), plain + 900),
            "These stood on the borders: choice 0.15 is not chosen, fate 0.8 is replaced by drawn, fate 0.9 is kept.",
            "这里的数都在边界上：choice 为 0.15 不选，fate 为 0.8 换成 drawn 里的，fate 为 0.9 保持原样。",
        ),
        Case(
            (plain, ends, low, late, plain + 900),
            "The first and the last token were special, and every fate was between 0.8 and 0.9: they still stay.",
            "第一个和最后一个词元是特殊词元，每个 fate 都在 0.8 与 0.9 之间：它们照样不变。",
        ),
        Case(
            (rng.integers(200, 999, 60), rng.random(60) < 0.2, rng.random(60) * 0.3, rng.random(60), np.arange(60)),
            "These were 60 tokens with random draws.",
            "这里有 60 个词元，随机数都是抽来的。",
        ),
    ]
    return examine("my_hide_tokens", my_hide_tokens, _hide, cases, _HIDE_MISTAKES)


def check_mean_pooled(my_mean_pooled: Callable) -> bool:
    """Check `my_mean_pooled(hidden, lengths)`: the mean over each text's real tokens, made 1 long.

    hidden (B, T, d_model), lengths (B,); returns (B, d_model).
    """
    rng = np.random.default_rng(6)
    cases = [
        Case(
            (rng.standard_normal((2, 4, 3)), np.array([4, 4])),
            "Both texts filled all 4 places: take the mean over these and divide it by its length.",
            "两段文字都占满 4 个位置：对它们取平均，再除以它的长度。",
        ),
        Case(
            (rng.standard_normal((3, 5, 4)), np.array([5, 2, 1])),
            "The lengths were 5, 2 and 1: what stands behind is padding and does not count.",
            "长度是 5、2、1：后面的都是填充，不算数。",
        ),
        Case(
            (rng.standard_normal((1, 6, 2)) * 50, np.array([3])),
            "This was a single text with large numbers; the result still has length 1.",
            "这里只有一段文字，数值很大；结果的长度仍然是 1。",
        ),
    ]
    return examine("my_mean_pooled", my_mean_pooled, _pooled, cases, _POOL_MISTAKES)


def _hide(tokens, special, choice, fate, drawn, share=0.15, split=(0.8, 0.9), mask=MASK):
    chosen = (choice < share) & ~special
    seen = np.where(chosen & (fate < split[0]), mask, tokens)
    return np.where(chosen & (fate >= split[0]) & (fate < split[1]), drawn, seen)


def _real(hidden, lengths):
    return (np.arange(hidden.shape[1]) < lengths[:, None])[..., None]  # (B, T, 1)


def _unit(x, axis=-1, order=2):
    return x / np.linalg.norm(x, ord=order, axis=axis, keepdims=True)


def _mean(hidden, lengths):
    return (hidden * _real(hidden, lengths)).sum(axis=1) / lengths[:, None]


def _pooled(hidden, lengths):
    return _unit(_mean(hidden, lengths))


_HIDE_MISTAKES = [
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special & False, choice, fate, drawn),
        "special tokens are hidden too: choose only where special is False.",
        "特殊词元也被遮住了：只在 special 为 False 的地方选。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice, fate * 0, drawn),
        "every chosen token becomes 103: fate decides, and only 80 % are hidden.",
        "选中的词元全变成了 103：要看 fate，只有 80 % 遮住。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice, fate, drawn, split=(0.8, 0.8)),
        "no chosen token is replaced at random: between 0.8 and 0.9 it becomes what was drawn.",
        "没有一个选中的词元被随机替换：fate 在 0.8 与 0.9 之间时，应换成 drawn 里的。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice, fate, drawn, split=(0.8, 2)),
        "no chosen token stays as it is: from 0.9 on it should.",
        "没有一个选中的词元保持原样：fate 从 0.9 起应当不变。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, 1 - choice, fate, drawn, share=0.85),
        "the tokens with choice >= 0.15 are chosen: it is those below 0.15.",
        "选中的是 choice >= 0.15 的词元：应当是小于 0.15 的那些。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice * 0, fate, drawn),
        "every token is chosen: only those with choice < 0.15.",
        "每个词元都被选中了：只选 choice < 0.15 的。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice, fate, np.roll(drawn, 1)),
        "the drawn tokens are shifted: each place takes the one drawn for it.",
        "抽到的词元错位了：每个位置用为它自己抽到的那一个。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice, fate, drawn, mask=0),
        "hidden tokens become 0: the mask's id is 103.",
        "遮住的词元变成了 0：掩码的编号是 103。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice, choice, drawn),
        "choice decides twice: whether a token is hidden, replaced or kept is up to fate.",
        "choice 用了两次：遮住、替换还是保留，应由 fate 决定。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: _hide(tokens, special, choice, 1 - fate, drawn),
        "the shares are the wrong way round: it is a low fate, below 0.8, that hides.",
        "比例反了：fate 小于 0.8 才是遮住。",
    ),
    Mistake(
        lambda tokens, special, choice, fate, drawn: (choice < 0.15) & ~special,
        "it returns which tokens are chosen: return the tokens that are seen.",
        "返回的是哪些词元被选中：应当返回看到的词元。",
    ),
]

_POOL_MISTAKES = [
    Mistake(
        lambda hidden, lengths: _mean(hidden, lengths),
        "the vectors are not made 1 long: divide each by its norm, axis=-1, keepdims=True.",
        "向量的长度没有变成 1：每个都除以自己的范数，即 axis=-1、keepdims=True。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(hidden.mean(axis=1)),
        "the padding is averaged as well: only the first lengths[b] places count.",
        "填充也被平均进去了：只有前 lengths[b] 个位置算数。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(hidden[:, 0]),
        "this is the vector of the first token: take the mean over all real ones.",
        "这是第一个词元的向量：应当对所有真实的词元取平均。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(np.where(_real(hidden, lengths), hidden, -np.inf).max(axis=1)),
        "it takes the maximum over the tokens: take the mean.",
        "对词元取了最大值：应当取平均。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(hidden[np.arange(len(lengths)), lengths - 1]),
        "this is the vector of the last real token: take the mean over all real ones.",
        "这是最后一个真实词元的向量：应当对所有真实的词元取平均。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(_mean(_unit(hidden), lengths)),
        "each token is made 1 long before the mean: normalise only the mean.",
        "在平均之前，每个词元先变成了长度 1：只归一化平均之后的向量。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(_mean(hidden, lengths), order=1),
        "it is divided by the sum of the absolute values: the length is the root of the sum of squares.",
        "除以的是绝对值之和：长度是平方和的平方根。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(_mean(hidden, lengths), axis=0),
        "the norm runs over the texts: each text has its own, axis=-1.",
        "范数沿着文本算了：每段文字有自己的范数，即 axis=-1。",
    ),
    Mistake(
        lambda hidden, lengths: _mean(hidden, lengths) / np.linalg.norm(_mean(hidden, lengths)),
        "one norm is used for the whole batch: each text has its own, axis=-1, keepdims=True.",
        "整个批次只用了一个范数：每段文字有自己的范数，即 axis=-1、keepdims=True。",
    ),
    Mistake(
        lambda hidden, lengths: _mean(hidden, lengths) / (_mean(hidden, lengths) ** 2).sum(-1, keepdims=True),
        "it is divided by the square of the length: take the root.",
        "除以的是长度的平方：还要开方。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(_mean(hidden, np.maximum(lengths - 1, 1))),
        "the last real token is left out: there are lengths[b] of them, the first is number 0.",
        "漏掉了最后一个真实的词元：一共有 lengths[b] 个，从 0 数起。",
    ),
    Mistake(
        lambda hidden, lengths: _unit(hidden.mean(axis=0)),
        "the mean runs over the texts: average over the tokens, axis 1.",
        "平均沿着文本做了：应当对词元取平均，即轴 1。",
    ),
]
