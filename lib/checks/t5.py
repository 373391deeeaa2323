"""Checks of chapter 13: a text put together again, and a bias that depends on the distance."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from lib.checks.report import Case, Mistake, examine

SENTINELS = (99, 98, 97, 96)


def check_restore(my_restore: Callable) -> bool:
    """Check `my_restore(source, target, sentinels)`: fill the holes of a corrupted text with what the target says.

    source (S,) and target (T,) integers, sentinels a tuple of ids. Each sentinel of the source stands for the tokens
    that follow it in the target, up to the next sentinel there. Gives the whole text, one row of integers.
    """
    cases = [
        _holes(
            [[1, 2], [3, 4]],
            [[5, 6, 7]],
            "The text was 1 2 _ 3 4 with 5 6 7 in its one hole.",
            "原文是 1 2 _ 3 4，唯一的空缺里是 5 6 7。",
        ),
        _holes(
            [[1], [2, 3], [4]],
            [[5, 6], [7]],
            "There were two holes: 1 _ 2 3 _ 4, with 5 6 in the first and 7 in the second.",
            "有两处空缺：1 _ 2 3 _ 4，第一处是 5 6，第二处是 7。",
        ),
        _holes(
            [[1], [2], [3, 1], []],
            [[1], [2, 2], [3]],
            "The text ended in a hole, and some of its tokens came more than once.",
            "原文以空缺结尾，有些词元出现不止一次。",
        ),
        _holes(
            [[], [8], [9, 9]],
            [[4, 4], [5]],
            "The text began with a hole.",
            "原文以空缺开头。",
        ),
        Case(
            (np.array([1, 98, 2, 99, 3]), np.array([99, 7, 98, 5, 6, 97]), SENTINELS),
            "Here the target named its spans in another order than the source: a sentinel says which hole is meant.",
            "这里目标中各片段的顺序与源文不同：说的是哪一处空缺，要看哨兵。",
        ),
        Case(
            (np.array([1, 98, 2, 99, 3]), np.array([98, 5, 6, 99, 7, 97]), SENTINELS),
            "Here the target named 98 before 99: a span ends at whichever sentinel comes next, not at a certain one.",
            "这里目标先说 98、后说 99：片段到下一个哨兵为止，不管那是哪一个。",
        ),
        Case(
            (np.array([99, 40, 98]), np.array([40, 97, 96, 42]), (40, 41, 42)),
            "Here the sentinels were 40, 41 and 42, and 96 to 99 were ordinary tokens: go by the argument.",
            "这里的哨兵是 40、41、42，而 96 到 99 是普通的词元：哪些是哨兵，要看传入的参数。",
        ),
    ]
    return examine("my_restore", my_restore, _restore, cases, _RESTORE_MISTAKES)


def check_clipped_bias(my_clipped_bias: Callable) -> bool:
    """Check `my_clipped_bias(table, T)`: the bias of every query and key, read from a table of distances.

    table (2k + 1, H): its middle row k is for the query's own place, row k + 1 for the key one place later, row k - 1
    for the key one place before; keys further away than k places take the first or the last row. Gives (H, T, T), a row
    a query.
    """
    rng = np.random.default_rng(13)
    cases = [
        Case(
            (rng.standard_normal((3, 3)).round(2), 2),
            "There were 3 heads, k = 1 and T = 2: output[:, 0, 1], for the next place, is the last row of the table.",
            "这里有 3 个头，k = 1，T = 2：output[:, 0, 1] 对应后一个位置，应取表的最后一行。",
        ),
        Case(
            (rng.standard_normal((9, 2)).round(2), 4),
            "There were 2 heads and T = 4; no distance was beyond k = 4.",
            "这里有 2 个头，T = 4；没有超过 k = 4 的距离。",
        ),
        Case(
            (rng.standard_normal((5, 3)).round(2), 6),
            "With k = 2 and T = 6 most keys are further away than 2 places: they take the first or the last row.",
            "k = 2、T = 6 时，多数键都在 2 个位置之外：它们取第一行或最后一行。",
        ),
        Case(
            (rng.standard_normal((1, 2)).round(2), 3),
            "With k = 0 the table has one row, for all distances.",
            "k = 0 时表只有一行，所有距离都用它。",
        ),
    ]
    return examine("my_clipped_bias", my_clipped_bias, _clipped_bias, cases, _BIAS_MISTAKES)


def _holes(kept, hidden, en, zh) -> Case:
    source, target = [], []
    for number, stretch in enumerate(kept):
        source += stretch
        if number < len(hidden):
            source.append(SENTINELS[number])
            target += [SENTINELS[number], *hidden[number]]
    return Case((np.array(source), np.array([*target, SENTINELS[len(hidden)]]), SENTINELS), en, zh)


def _spans(target, sentinels) -> dict[int, list[int]]:
    spans, current = {}, None
    for token in target.tolist():
        if token in sentinels:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return spans


def _restore(source, target, sentinels, *, keep=False, change=lambda span: span, spans=_spans):
    filled = spans(target, sentinels)
    text = []
    for token in source.tolist():
        if token in sentinels:
            text += [token] * keep + change(filled.get(token, []))
        else:
            text.append(token)
    return np.array(text)


def _in_order(source, target, sentinels):
    spans = iter(_spans(target, sentinels).values())
    return np.array([back for token in source.tolist() for back in (next(spans) if token in sentinels else [token])])


def _one_too_far(target, sentinels):
    found = list(_spans(target, sentinels).items())
    return {name: span for (name, _), (_, span) in pairwise(found)}


def _up_to_the_last_hole(source, target, sentinels):
    last = max(place for place, token in enumerate(source.tolist()) if token in sentinels)
    return _restore(source[: last + 1], target, sentinels)


def _everywhere_first(target, sentinels):
    spans = _spans(target, sentinels)
    return dict.fromkeys(sentinels, next(iter(spans.values())))


def _clipped_bias(table, T, *, distance=None, clip=np.clip):
    k = len(table) // 2
    place = np.arange(T)
    apart = place - place[:, None] if distance is None else distance(place[:, None], place)
    return table[k + clip(apart, -k, k)].transpose(2, 0, 1)


_RESTORE_MISTAKES = [
    Mistake(
        lambda source, target, sentinels: source,
        "nothing is filled in: replace each sentinel of the source by its span.",
        "什么也没填：请把源文里的每个哨兵换成它的片段。",
    ),
    Mistake(
        lambda source, target, sentinels: _restore(source, target, sentinels, keep=True),
        "the sentinels are still there: a span takes the place of its sentinel.",
        "哨兵还留在里面：片段应当取代哨兵。",
    ),
    Mistake(
        lambda source, target, sentinels: _restore(source, target, sentinels, change=lambda span: []),
        "the holes are closed but not filled: look up each sentinel's span in the target.",
        "空缺合上了却没有填：请到目标里查每个哨兵的片段。",
    ),
    Mistake(
        lambda source, target, sentinels: np.array(
            [token for token in [*source.tolist(), *target.tolist()] if token not in sentinels]
        ),
        "the spans are put behind the text: each belongs where its sentinel stands.",
        "片段都接到了正文后面：每一段应放在自己的哨兵所在之处。",
    ),
    Mistake(
        lambda source, target, sentinels: _restore(source, target, sentinels, change=lambda span: span[:1]),
        "only the first token of a span is filled in: a span runs up to the next sentinel.",
        "只填了片段的第一个词元：片段一直延续到下一个哨兵。",
    ),
    Mistake(
        lambda source, target, sentinels: _restore(source, target, sentinels, change=lambda span: span[:-1]),
        "the last token of each span is lost: a span runs up to the next sentinel, which itself does not belong to it.",
        "每个片段都少了最后一个词元：片段到下一个哨兵为止，只有哨兵本身不算。",
    ),
    Mistake(
        lambda source, target, sentinels: _restore(source, target, sentinels, change=lambda span: span[::-1]),
        "the spans are reversed.",
        "片段的次序倒过来了。",
    ),
    Mistake(
        lambda source, target, sentinels: _restore(source, target, sentinels, spans=_one_too_far),
        "a span is taken from before its sentinel's successor: what belongs to a sentinel follows it in the target.",
        "取错了片段：目标里跟在某个哨兵后面的，才是它的片段。",
    ),
    Mistake(
        lambda source, target, sentinels: _restore(source, target, sentinels, spans=_everywhere_first),
        "every hole gets the first span: each sentinel has its own.",
        "每处空缺都填了第一个片段：每个哨兵有自己的片段。",
    ),
    Mistake(
        _up_to_the_last_hole,
        "what stands behind the last hole is lost.",
        "最后一处空缺后面的内容丢了。",
    ),
    Mistake(
        _in_order,
        "spans are taken by their order in the target: go by the sentinel that stands before each.",
        "片段是按目标里的先后取的：应当看它前面是哪个哨兵。",
    ),
]

_BIAS_MISTAKES = [
    Mistake(
        lambda table, T: _clipped_bias(table, T, distance=lambda t, s: t - s),
        "the sign is turned round: the distance is the key's place minus the query's, s - t.",
        "正负号反了：距离是键的位置减去查询的位置，即 s - t。",
    ),
    Mistake(
        lambda table, T: _clipped_bias(table, T, distance=lambda t, s: np.abs(s - t)),
        "before and after are treated alike: do not take the absolute value.",
        "前面和后面被同样对待了：不要取绝对值。",
    ),
    Mistake(
        lambda table, T: _clipped_bias(table, T).transpose(1, 2, 0),
        "the heads are on the last axis: the shape is (H, T, T).",
        "头在最后一个轴上：形状应为 (H, T, T)。",
    ),
    Mistake(
        lambda table, T: _clipped_bias(table, T)[0],
        "only one head is left: give the table of every head, (H, T, T).",
        "只剩一个头：每个头都要给出，即 (H, T, T)。",
    ),
    Mistake(
        lambda table, T: _clipped_bias(table, T).mean(axis=0),
        "the heads are averaged: each head has a bias of its own.",
        "把各个头平均了：每个头有自己的偏置。",
    ),
    Mistake(
        lambda table, T: table[np.clip(np.arange(T) - np.arange(T)[:, None], 0, len(table) - 1)].transpose(2, 0, 1),
        "the distance 0 takes the table's first row: add k, so that it takes the middle one.",
        "距离 0 取了表的第一行：请加上 k，让它取中间那一行。",
    ),
    Mistake(
        lambda table, T: _clipped_bias(table, T, clip=lambda x, low, high: np.where((x < low) | (x > high), 0, x)),
        "keys too far away take the middle row: they take the first or the last one.",
        "太远的键取了中间那一行：应取第一行或最后一行。",
    ),
    Mistake(
        lambda table, T: np.where(
            np.abs(np.arange(T) - np.arange(T)[:, None]) > len(table) // 2, 0, _clipped_bias(table, T)
        ),
        "keys too far away get 0: they take the first or the last row of the table.",
        "太远的键得到 0：应取表的第一行或最后一行。",
    ),
    Mistake(
        lambda table, T: _clipped_bias(table, T, clip=lambda x, low, high: (x - low) % (high - low + 1) + low),
        "distances beyond k wrap round to the other end of the table: clip them to -k ... k.",
        "超过 k 的距离绕到了表的另一头：请截到 -k ... k。",
    ),
    Mistake(
        lambda table, T: np.broadcast_to(
            table[np.clip(np.arange(T), 0, len(table) - 1)].T[:, None], (table.shape[1], T, T)
        ).copy(),
        "the bias depends on the key's place alone: it depends on the distance from the query.",
        "偏置只看键的位置：它应当看键离查询有多远。",
    ),
]
