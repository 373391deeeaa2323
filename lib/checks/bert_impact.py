"""Checks of chapter 10: SQuAD's F1 with several right answers, and the best span that start and end allow."""

import re
import string
from collections import Counter
from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine


def check_f1(my_f1: Callable) -> bool:
    """Check `my_f1(prediction, answers)`: the words that a prediction shares with the best fitting right answer.

    prediction is a text, answers a list of texts, each of them right. The result is one number from 0 to 1.
    """
    cases = [
        Case(
            ("nurse in cairo", ["nurse from cairo egypt here"]),
            "The prediction was 'nurse in cairo', the right answer 'nurse from cairo egypt here'.",
            "预测是 'nurse in cairo'，正确答案是 'nurse from cairo egypt here'。",
        ),
        Case(
            ("bank clerk", ["clerk"]),
            "The prediction was 'bank clerk', the right answer 'clerk': precision 1/2, recall 1.",
            "预测是 'bank clerk'，正确答案是 'clerk'：精确率 1/2，召回率 1。",
        ),
        Case(
            ("New York", ["new york"]),
            "The prediction was 'New York', the right answer 'new york': capitals do not count.",
            "预测是 'New York'，正确答案是 'new york'：大小写不算。",
        ),
        Case(
            ("harp!", ["harp"]),
            "The prediction was 'harp!', the right answer 'harp': punctuation does not count.",
            "预测是 'harp!'，正确答案是 'harp'：标点不算。",
        ),
        Case(
            ("U.S.", ["US"]),
            "The prediction was 'U.S.', the right answer 'US': punctuation is deleted, no blank takes its place.",
            "预测是 'U.S.'，正确答案是 'US'：标点直接删掉，不换成空格。",
        ),
        Case(
            ("the harp", ["harp"]),
            "The prediction was 'the harp', the right answer 'harp': articles do not count.",
            "预测是 'the harp'，正确答案是 'harp'：冠词不算。",
        ),
        Case(
            ("new new york", ["new york"]),
            "The prediction was 'new new york', the right answer 'new york': the second 'new' matches nothing.",
            "预测是 'new new york'，正确答案是 'new york'：第二个 'new' 没有可配对的词。",
        ),
        Case(
            ("tokyo", ["in tokyo japan", "tokyo", "the city of tokyo"]),
            "There were three right answers, and the prediction is one of them: the best counts.",
            "有三个正确答案，预测正是其中之一：以最好的为准。",
        ),
        Case(
            ("Havana", ["Cairo"]),
            "The prediction was 'Havana', the right answer 'Cairo': no word is shared, so F1 is 0.",
            "预测是 'Havana'，正确答案是 'Cairo'：没有相同的词，F1 为 0。",
        ),
        Case(
            ("banana boat", ["an ananas boat"]),
            "Articles are whole words: the a of 'banana' and of 'ananas' stays.",
            "冠词是整个的词：'banana' 和 'ananas' 里的 a 要保留。",
        ),
    ]
    return examine("my_f1", my_f1, _f1, cases, _F1_MISTAKES)


def check_best_span(my_best_span: Callable) -> bool:
    """Check `my_best_span(start, end, longest)`: first and last place of the span with the highest sum of scores.

    start and end are (T,), longest is the most places that a span may have. The result is an array of two integers.
    """
    cases = [
        Case(
            (np.array([1.0, 4.0, 0.0, 2.0]), np.array([0.5, 0.0, 3.0, 1.0]), 4),
            "The best start was 1 and the best end 2: together they are a span.",
            "最好的起点是 1，最好的终点是 2：两者恰好构成一个片段。",
        ),
        Case(
            (np.array([0.0, 1.0, 5.0, 0.5]), np.array([4.0, 3.5, 0.0, 1.0]), 2),
            "The best start was 2 and the best end 0: an end before the start is no span.",
            "最好的起点是 2，最好的终点是 0：终点在起点之前，不成片段。",
        ),
        Case(
            (np.array([0.0, 5.0, 0.0]), np.array([0.0, 5.0, 1.0]), 2),
            "The best start and the best end were the same place: that is a span of one place.",
            "最好的起点和最好的终点是同一个位置：这就是只有一个位置的片段。",
        ),
        Case(
            (np.array([5.0, 0.0, 1.0, 4.5, 0.0]), np.array([0.0, 1.0, 0.5, 1.5, 5.0]), 2),
            "At most two places were allowed.",
            "最多只允许两个位置。",
        ),
        Case(
            (np.array([-5.0, -3.0, -9.0]), np.array([-4.0, -5.0, -2.0]), 1),
            "All scores were below 0 and a span had exactly one place.",
            "所有分数都小于 0，片段恰好一个位置。",
        ),
        Case(
            (np.array([3.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0]), 3),
            "The best span ran from the first place to the last: three places, as many as allowed.",
            "最好的片段从第一个位置一直到最后一个：三个位置，刚好不超过限度。",
        ),
    ]
    return examine("my_best_span", my_best_span, _span, cases, _SPAN_MISTAKES)


def _normal(text, *, lower=True, punctuation=True, articles=True):
    text = text.lower() if lower else text
    text = "".join(c for c in text if c not in string.punctuation) if punctuation else text
    return (re.sub(r"\b(a|an|the)\b", " ", text) if articles else text).split()


def _parts(prediction, answer, shared=None, normal=_normal):
    said, right = normal(prediction), normal(answer)
    common = sum((Counter(said) & Counter(right)).values()) if shared is None else shared(said, right)
    return common, len(said), len(right)


def _mean(common, said, right):
    return 2 * common / (said + right) if common else 0.0


def _f1(prediction, answers):
    return np.float64(max(_mean(*_parts(prediction, answer)) for answer in answers))


def _with(combine=max, score=_mean, **parts):
    return lambda prediction, answers: np.float64(
        combine([score(*_parts(prediction, one, **parts)) for one in answers])
    )


def _without(**rule):
    return _with(normal=lambda text: _normal(text, **rule))


_F1_MISTAKES = [
    Mistake(
        _with(score=lambda common, said, right: common / said),
        "this is precision: the share of the prediction that is right. F1 also asks how much of the answer was found.",
        "这是精确率：预测里有多少是对的。F1 还要看答案被找到了多少。",
    ),
    Mistake(
        _with(score=lambda common, said, right: common / right),
        "this is recall: the share of the answer that was found. F1 also punishes words that were too many.",
        "这是召回率：答案被找到了多少。F1 还要惩罚多余的词。",
    ),
    Mistake(
        _with(score=lambda common, said, right: (common / said + common / right) / 2),
        "this is the plain average of precision and recall: F1 is their harmonic mean, 2 p r / (p + r).",
        "这是精确率与召回率的算术平均：F1 是调和平均，2 p r / (p + r)。",
    ),
    Mistake(
        _with(score=lambda common, said, right: common / (said + right - common)),
        "this is shared words over all words (Jaccard): F1 is twice the shared words over the sum of both lengths.",
        "这是相同的词除以全部的词（Jaccard）：F1 是相同词数的两倍除以两边长度之和。",
    ),
    Mistake(
        _with(score=lambda common, said, right: float(common == said == right)),
        "this is exact match: F1 gives part of the credit for part of the words.",
        "这是完全匹配：只对一部分词时，F1 也给一部分分数。",
    ),
    Mistake(
        _with(score=lambda common, said, right: common / (said + right)),
        "the factor 2 is missing: even a perfect answer would get one half.",
        "少了系数 2：答得完全正确也只能得一半。",
    ),
    Mistake(
        _without(lower=False),
        "capitals count: make both texts lower-case first.",
        "大小写被算进去了：请先把两边都变成小写。",
    ),
    Mistake(
        _without(punctuation=False),
        "punctuation counts: take it away before you cut the text into words.",
        "标点被算进去了：切成词之前请先去掉。",
    ),
    Mistake(
        _without(articles=False),
        "articles count: leave out a, an and the.",
        "冠词被算进去了：请去掉 a、an 和 the。",
    ),
    Mistake(
        lambda prediction, answers: _f1(re.sub("the|an|a", " ", prediction.lower()), answers),
        "articles are cut out of the middle of words: leave out whole words only.",
        "把词中间的字母也当成冠词去掉了：只能去掉整个的词。",
    ),
    Mistake(
        _with(shared=lambda said, right: sum(word in right for word in said)),
        "a word said twice is matched twice: a word may be matched only as often as it stands in the answer.",
        "重复说的词被重复配对了：一个词在答案里出现几次，最多配对几次。",
    ),
    Mistake(
        _with(shared=lambda said, right: len({*said} & {*right}), normal=lambda text: sorted({*_normal(text)})),
        "repeated words have vanished: the texts are multisets of words, not sets; use Counter.",
        "重复的词不见了：文本是词的多重集，不是集合；请用 Counter。",
    ),
    Mistake(
        lambda prediction, answers: _f1(prediction, answers[:1]),
        "only the first right answer is looked at: take the best over all of them.",
        "只看了第一个正确答案：应当对所有答案取最好的。",
    ),
    Mistake(
        _with(combine=np.mean),
        "the right answers are averaged: each of them is right by itself, so the best counts.",
        "对各个正确答案取了平均：它们每一个单独都算对，应取最好的。",
    ),
    Mistake(
        lambda prediction, answers: _f1(prediction, [" ".join(answers)]),
        "the right answers are joined into one long text: compare with each by itself, and take the best.",
        "把几个正确答案连成了一长串：应当逐个比较，取最好的。",
    ),
]


def _sums(start, end):
    return start[:, None] + end[None, :]


def _best(sums, allowed):
    T = len(sums)
    return np.array(divmod(int(np.where(allowed, sums, -np.inf).argmax()), T))


def _lengths(start):
    place = np.arange(len(start))
    return place[None, :] - place[:, None] + 1


def _span(start, end, longest):
    length = _lengths(start)
    return _best(_sums(start, end), (length >= 1) & (length <= longest))


def _greedy(start, end, longest):
    first = int(start.argmax())
    return np.array([first, first + int(end[first : first + longest].argmax())])


def _greedy_end(start, end, longest):
    last = int(end.argmax())
    low = max(last - longest + 1, 0)
    return np.array([low + int(start[low : last + 1].argmax()), last])


_SPAN_MISTAKES = [
    Mistake(
        lambda start, end, longest: np.array([start.argmax(), end.argmax()]),
        "start and end are chosen each by itself, so the end may come before the start: compare sums of allowed pairs.",
        "起点和终点各选各的，终点就可能跑到起点之前：应当比较允许的各对之和。",
    ),
    Mistake(
        lambda start, end, longest: np.sort([start.argmax(), end.argmax()]),
        "start and end are swapped when they cross: that span may have a low score; search all allowed pairs.",
        "起点终点交叉时只是把它们对调：那个片段的分数可能很低；应当在所有允许的对里找。",
    ),
    Mistake(
        _greedy,
        "the best start is taken first and the end has to follow: a lower start with a better end may win.",
        "先定下最好的起点，再去配终点：起点稍差、终点更好的一对可能胜出。",
    ),
    Mistake(
        _greedy_end,
        "the best end is taken first and the start has to follow: a lower end with a better start may win.",
        "先定下最好的终点，再去配起点：终点稍差、起点更好的一对可能胜出。",
    ),
    Mistake(
        lambda start, end, longest: _best(_sums(start, end), _lengths(start) >= 1),
        "longest is ignored: a span may have at most that many places.",
        "没有理会 longest：片段最多只能有这么多个位置。",
    ),
    Mistake(
        lambda start, end, longest: _best(_sums(start, end), np.abs(_lengths(start) - 1) < longest),
        "ends before the start are allowed: the last place must not come before the first.",
        "允许了终点在起点之前：最后的位置不能早于最先的位置。",
    ),
    Mistake(
        lambda start, end, longest: _span(start, end, longest - 1) if longest > 1 else 1 / 0,
        "a span is one place too short: from i to i + longest - 1 there are longest places.",
        "片段少允许了一个位置：从 i 到 i + longest - 1 一共是 longest 个位置。",
    ),
    Mistake(
        lambda start, end, longest: _span(start, end, longest + 1),
        "a span is one place too long: from i to j there are j - i + 1 places, not j - i.",
        "片段多允许了一个位置：从 i 到 j 一共是 j - i + 1 个位置，不是 j - i 个。",
    ),
    Mistake(
        lambda start, end, longest: _best(_sums(start, end), (_lengths(start) >= 2) & (_lengths(start) <= longest)),
        "a span of a single place is not allowed in yours: start and end may be the same.",
        "你的写法不允许只有一个位置的片段：起点和终点可以相同。",
    ),
    Mistake(
        lambda start, end, longest: _span(end, start, longest),
        "start and end scores are swapped.",
        "起点分数和终点分数弄反了。",
    ),
    Mistake(
        lambda start, end, longest: _span(start, end, longest) + np.array([0, 1]),
        "the last place is one too far: it belongs to the span, unlike the end of a Python slice.",
        "最后的位置多了一格：它属于片段本身，不像 Python 切片的终点。",
    ),
    Mistake(
        lambda start, end, longest: _span(start, end, longest)[::-1],
        "first and last place are swapped.",
        "最先和最后的位置放反了。",
    ),
    Mistake(
        lambda start, end, longest: _best(np.outer(start, end), (_lengths(start) >= 1) & (_lengths(start) <= longest)),
        "the scores are multiplied: they are logarithms of probabilities up to a constant, so add them.",
        "把分数相乘了：它们是概率的对数（只差一个常数），应当相加。",
    ),
]
