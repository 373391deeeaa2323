"""Checks of chapter 02: cross-attention, translating greedily, and how often a look falls on the right word."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine

BEGIN, END = 1, 2


def check_cross_attention(my_cross_attention: Callable) -> bool:
    """Check `my_cross_attention(x, memory, w_query, w_key, w_value, visible)`, one head.

    x (T, D) asks, memory (S, D) answers; w_query, w_key and w_value (D, d_k); visible (S,) boolean, False where the
    memory is only padding. Scores are divided by sqrt(d_k); the output is (T, d_k).
    """
    draw = np.random.default_rng(2).standard_normal

    def case(T, S, visible, en, zh, length=1.0):
        x, memory, *weights = draw((T, 6)), length * draw((S, 6)), *(draw((6, 4)) for _ in range(3))
        return Case((x, memory, *weights, np.array(visible, dtype=bool)), en, zh)

    cases = [
        case(
            3,
            5,
            [1, 1, 1, 1, 1],
            "Here 3 places of the decoder asked 5 places of the memory, without padding.",
            "这里解码器的 3 个位置去问记忆里的 5 个位置，没有填充。",
        ),
        case(
            4,
            4,
            [1, 1, 1, 1],
            "Here both sequences were 4 long, so that a wrong axis does not show in the shape.",
            "这里两个序列都长 4，弄错轴也不会在形状上露馅。",
        ),
        case(
            3,
            5,
            [1, 1, 1, 0, 0],
            "Here the last 2 places of the memory were padding: they get the weight 0 and the others sum to 1.",
            "这里记忆的最后 2 个位置是填充：它们的权重是 0，其余的加起来是 1。",
        ),
        case(
            2,
            3,
            [1, 1, 1],
            "Here the scores were huge: subtract the largest one of each row before exp.",
            "这里分数很大：取 exp 之前，每一行先减去最大的那个。",
            length=1e4,
        ),
        case(
            6,
            3,
            [1, 0, 0],
            "Here two places were padding, and the score of the one that may be seen was often below -1e4: such a"
            " number hides nothing then, -inf does.",
            "这里有两个位置是填充，而唯一看得见的那个位置，分数常常低于 -1e4：这样的数这时什么也遮不住，-inf 才行。",
            length=1e4,
        ),
    ]
    return examine("my_cross_attention", my_cross_attention, _cross_attention, cases, _CROSS_MISTAKES)


def check_greedy(my_greedy: Callable) -> bool:
    """Check `my_greedy(step, max_length)`: write the likeliest token again and again.

    `step(tokens)` takes all tokens so far, a list that starts with BEGIN = 1, and returns the logits of the next one.
    Return the new tokens as an array, without BEGIN; the end token 2 is the last one, unless max_length comes first.
    """
    logits = np.random.default_rng(2).standard_normal((9, 9, 9))
    logits[..., [0, END]] = -20

    def by_two(tokens, ends_at=6):
        """Depend on the last two tokens and on how many there are."""
        before = tokens[-2] if len(tokens) > 1 else 0
        answer = logits[before, tokens[-1]] + 30 * (len(tokens) == 1) * np.eye(9)[3]
        answer[END] += 60 * (len(tokens) >= ends_at)
        return answer - 30 * (tokens[0] != BEGIN) * np.eye(9)[4]

    cases = [
        Case(
            (by_two, 20),
            "Here the end was the likeliest token at the sixth place, and it belongs to the answer.",
            "这里到第六个位置，最可能的是结束词元；它也算在答案里。",
        ),
        Case(
            (by_two, 4),
            "Here max_length=4 came before the end: exactly 4 new tokens.",
            "这里 max_length=4 先到：恰好 4 个新词元。",
        ),
        Case(
            (lambda tokens: by_two(tokens, ends_at=1), 20),
            "Here the end came at once: the answer is the end token alone.",
            "这里一上来就结束：答案只有结束词元一个。",
        ),
        Case(
            (lambda tokens: by_two(tokens) + 90, 20),
            "Here all logits were positive: only which one is the largest counts.",
            "这里所有的 logit 都是正的：只看哪个最大。",
        ),
        Case(
            (_garden_path, 20),
            "Here the second likeliest start would have gone on better, and the likeliest token came three times in a"
            " row: greedy writing looks at one step only, and may repeat itself.",
            "这里第二可能的开头后面会更顺，而最可能的词元接连出现三次：贪心的写法只看眼前一步，也可以重复。",
        ),
    ]
    return examine("my_greedy", my_greedy, _greedy, cases, _GREEDY_MISTAKES)


def check_pointing(my_pointing: Callable) -> bool:
    """Check `my_pointing(weights, alignment)`: how often the largest weight falls on the right word.

    weights (T, S), a row a written character; alignment (T,), the place of the word that it translates, -1 where there
    is none. Return the share among the characters that have one.
    """
    rng = np.random.default_rng(2)

    def case(T, S, alignment, en, zh):
        weights = rng.random((T, S)) ** 3
        return Case((weights / weights.sum(-1, keepdims=True), np.array(alignment)), en, zh)

    plain = case(5, 5, [0, 1, 2, 3, 4], "Here each character had its word.", "这里每个字都有对应的词。")
    plain.arguments[0][:] = np.eye(5)[[0, 1, 4, 3, 2]] * 0.6 + plain.arguments[0] * 0.1
    some = case(
        6,
        4,
        [2, -1, 0, -1, 3, 3],
        "Here two characters had no word (-1): they do not count at all.",
        "这里有两个字没有对应的词（-1）：完全不算。",
    )
    some.arguments[0][:, :] = 0.1
    some.arguments[0][np.arange(6), [2, 3, 1, 3, 3, 0]] = 0.7
    mixed = case(
        12,
        7,
        [0, 6, -1, 3, 3, -1, 2, 1, 5, 4, -1, 6],
        "Here three of nine looks were right, each by a little: the largest weight need not be large.",
        "这里九次里看对了三次，都只多一点点：最大的权重不一定大。",
    )
    right, places = [0, 6, 7], mixed.arguments[1]
    mixed.arguments[0][:] = 0.08
    mixed.arguments[0][np.arange(12), (places + 1) % 7] = 0.3
    mixed.arguments[0][np.arange(12), places % 7] = 0.25
    mixed.arguments[0][right, places[right]] = 0.35
    cases = [plain, some, mixed]
    return examine("my_pointing", my_pointing, _pointing, cases, _POINTING_MISTAKES)


def _softmax(scores, axis=-1):
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def _cross_attention(x, memory, w_query, w_key, w_value, visible, *, scale=None, axis=-1):
    scores = (x @ w_query) @ (memory @ w_key).T / (np.sqrt(w_key.shape[1]) if scale is None else scale)
    return _softmax(np.where(visible, scores, -np.inf), axis) @ (memory @ w_value)


def _asked_by_the_memory(x, memory, w_query, w_key, w_value, visible):
    weights = _softmax((memory @ w_query) @ (x @ w_key).T / np.sqrt(w_key.shape[1]))  # (S, T)
    return weights @ (x @ w_value)


def _all_from(places, *, values=None):
    def wrong(x, memory, w_query, w_key, w_value, visible):
        same = {"x": x, "memory": memory}
        keys, read = same[places], same[values or places]
        scores = (x @ w_query) @ (keys @ w_key).T / np.sqrt(w_key.shape[1])
        return _softmax(scores if len(keys) != len(visible) else np.where(visible, scores, -np.inf)) @ (read @ w_value)

    return wrong


def _mask_afterwards(x, memory, w_query, w_key, w_value, visible):
    scores = (x @ w_query) @ (memory @ w_key).T / np.sqrt(w_key.shape[1])
    return (_softmax(scores) * visible) @ (memory @ w_value)


def _masked_scores_zero(x, memory, w_query, w_key, w_value, visible):
    scores = (x @ w_query) @ (memory @ w_key).T / np.sqrt(w_key.shape[1])
    return _softmax(scores * visible) @ (memory @ w_value)


def _causal_too(x, memory, w_query, w_key, w_value, visible):
    scores = (x @ w_query) @ (memory @ w_key).T / np.sqrt(w_key.shape[1])
    seen = np.tri(len(x), len(memory), dtype=bool) & visible
    return _softmax(np.where(seen, scores, -np.inf)) @ (memory @ w_value)


def _without_values(x, memory, w_query, w_key, w_value, visible):
    return _cross_attention(x, memory, w_query, w_key, w_key, visible)


def _everybody_visible(x, memory, w_query, w_key, w_value, visible):
    return _cross_attention(x, memory, w_query, w_key, w_value, np.ones_like(visible))


def _greedy(step, max_length, *, start=(BEGIN,), best=np.argmax, keep_end=True, show_begin=False, seen=None):
    tokens = list(start)
    while len(tokens) - len(start) < max_length:
        tokens.append(int(best(step(tokens if seen is None else tokens[-seen:]))))
        if tokens[-1] == END:
            break
    new = tokens if show_begin else tokens[len(start) :]
    return np.array(new if keep_end or new[-1] != END else new[:-1])


def _garden_path(tokens):
    """Prefer token 3 to 4 by a little; behind 3 hardly anything is preferred, behind 4 the next token is certain."""
    answer = np.full(9, -50.0)
    if len(tokens) == 1:
        answer[[3, 4]] = -40.0, -40.1
    elif tokens[-1] == 4:
        answer[5] = -20.0
    else:
        answer[3] += 0.2
    answer[END] += 60 * (len(tokens) >= 4) - 20
    return answer


def _never_stops(step, max_length):
    tokens = [BEGIN]
    for _ in range(max_length):
        tokens.append(int(np.argmax(step(tokens))))
    return np.array(tokens[1:])


def _pointing(weights, alignment):
    known = alignment >= 0
    return np.mean(weights.argmax(axis=-1)[known] == alignment[known])


def _weight_on_it(weights, alignment):
    known = alignment >= 0
    return weights[np.flatnonzero(known), alignment[known]].mean()


_CROSS_MISTAKES = [
    Mistake(
        _all_from("x"),
        "this is self-attention: keys and values come from the memory, only the query from x.",
        "这是自注意力：键和值应来自记忆，只有查询来自 x。",
    ),
    Mistake(
        _all_from("x", values="memory"),
        "the keys come from x: compare the query with the memory, from which the values come too.",
        "键来自 x 了：查询应当与记忆相比较，值也来自那里。",
    ),
    Mistake(
        _all_from("memory", values="x"),
        "the values come from x: what is gathered is what the memory says.",
        "值来自 x 了：收集来的应当是记忆里的内容。",
    ),
    Mistake(
        _asked_by_the_memory,
        "the two are swapped: x asks and the memory answers, so there is an output for each place of x.",
        "两者弄反了：x 提问，记忆回答，x 的每个位置有一个输出。",
    ),
    Mistake(
        lambda *a: _cross_attention(*a, scale=1.0),
        "the scores are not divided by the square root of d_k.",
        "分数没有除以 d_k 的平方根。",
    ),
    Mistake(
        lambda *a: _cross_attention(*a, scale=a[3].shape[1]),
        "the scores are divided by d_k: take its square root.",
        "分数除以的是 d_k：请开平方。",
    ),
    Mistake(
        lambda *a: _cross_attention(*a, scale=np.sqrt(a[0].shape[1])),
        "the scores are divided by the root of D, the width of x: a query has d_k numbers.",
        "分数除以的是 x 的宽度 D 的平方根：一个查询有 d_k 个数。",
    ),
    Mistake(
        lambda *a: _cross_attention(*a, axis=0),
        "softmax runs over the places that ask: each row, over the memory, sums to 1 (axis=-1).",
        "softmax 沿着提问的位置做了：应当是每一行、在记忆上加起来为 1（axis=-1）。",
    ),
    Mistake(
        _everybody_visible,
        "padding is seen: set its scores to -inf before softmax.",
        "填充被看到了：softmax 之前请把它的分数设为 -inf。",
    ),
    Mistake(
        lambda *a: _cross_attention(*a[:-1], ~a[-1]),
        "the mask is used the wrong way round: True means that a place may be seen.",
        "掩码用反了：True 表示那个位置可以看。",
    ),
    Mistake(
        _mask_afterwards,
        "the weights are masked behind softmax, so those that are left no longer sum to 1: mask the scores.",
        "掩码用在了 softmax 之后，剩下的权重加起来不再是 1：请对分数用掩码。",
    ),
    Mistake(
        _masked_scores_zero,
        "hidden scores become 0, which is an ordinary score: they have to become -inf.",
        "被遮住的分数变成了 0，而 0 是一个普通的分数：应当变成 -inf。",
    ),
    Mistake(
        _causal_too,
        "a causal mask is used on the memory: the whole source has been read, all of it may be seen.",
        "对记忆也用了因果掩码：原文已经全部读完，处处都可以看。",
    ),
    Mistake(
        _without_values,
        "the values are made with w_key: use w_value for what is gathered.",
        "值是用 w_key 算的：收集的内容应当用 w_value。",
    ),
]
_GREEDY_MISTAKES = [
    Mistake(_never_stops, "it goes on behind the end token: stop there.", "写到结束词元还不停：应当就此停下。"),
    Mistake(
        lambda step, n: _greedy(step, n, keep_end=False),
        "the end token is missing: it is the last token of the answer.",
        "少了结束词元：它是答案的最后一个词元。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n, show_begin=True),
        "BEGIN stands in the answer: return only the new tokens.",
        "答案里有 BEGIN：只返回新写的词元。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n, seen=1),
        "step sees only the last token: give it all tokens so far.",
        "step 只看到最后一个词元：请把到目前为止的全部词元给它。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n, start=(END,)),
        "it starts from the end token: the first token is BEGIN = 1.",
        "它从结束词元开始：第一个词元应当是 BEGIN = 1。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n, start=(0,)),
        "it starts from the token 0: the first token is BEGIN = 1.",
        "它从词元 0 开始：第一个词元应当是 BEGIN = 1。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n, best=np.argmin),
        "it takes the least likely token: arg max.",
        "它取的是最不可能的词元：应当用 arg max。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n - 1),
        "it stops one token before max_length: BEGIN does not count.",
        "离 max_length 还差一个就停了：BEGIN 不算在内。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n + 1),
        "it writes one token more than max_length.",
        "比 max_length 多写了一个词元。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n, best=lambda logits: np.abs(logits).argmax()),
        "it takes the logit of the largest size: a very negative one is very unlikely.",
        "它取的是绝对值最大的 logit：很负的 logit 表示很不可能。",
    ),
    Mistake(
        lambda step, n: _greedy(step, n, best=lambda logits: np.argsort(logits)[-2]),
        "it takes the second likeliest token: the last one of an ascending order is the largest.",
        "它取的是第二可能的词元：升序排列时，最后一个才是最大的。",
    ),
]
_POINTING_MISTAKES = [
    Mistake(
        lambda weights, alignment: np.mean(weights.argmax(-1) == alignment),
        "characters without a word count as misses: leave them out of the mean.",
        "没有对应词的字被算作看错了：求平均时应当不算它们。",
    ),
    Mistake(
        lambda weights, alignment: np.mean((weights.argmax(-1) == alignment) | (alignment < 0)),
        "characters without a word count as hits: leave them out of the mean.",
        "没有对应词的字被算作看对了：求平均时应当不算它们。",
    ),
    Mistake(
        _weight_on_it,
        "it is the mean weight on the right word: count how often that weight is the largest.",
        "这是放在正确的词上的平均权重：应当数一数它有多少次是最大的。",
    ),
    Mistake(
        lambda weights, alignment: np.sum((weights.argmax(-1) == alignment)[alignment >= 0]),
        "it is a number of hits: divide by the number of characters that have a word.",
        "这是看对的次数：请除以有对应词的字数。",
    ),
    Mistake(
        lambda weights, alignment: 1 - _pointing(weights, alignment),
        "it is the share of misses.",
        "这是看错的比例。",
    ),
    Mistake(
        lambda weights, alignment: (weights.argmax(-1) == alignment)[alignment >= 0],
        "it is an answer for each character: take the mean.",
        "这是每个字各一个答案：请取平均。",
    ),
    Mistake(
        lambda weights, alignment: np.mean((weights.argmin(-1) == alignment)[alignment >= 0]),
        "it takes the smallest weight: arg max.",
        "它取的是最小的权重：应当用 arg max。",
    ),
    Mistake(
        lambda weights, alignment: np.mean((weights.argmax(-1) == alignment)[alignment > 0]),
        "the first word, at place 0, does not count: only -1 means that there is none.",
        "位置 0 上的第一个词没有算：只有 -1 才表示没有对应的词。",
    ),
    Mistake(
        lambda weights, alignment: np.mean(np.abs(weights.argmax(-1) - alignment)[alignment >= 0] <= 1),
        "a neighbour of the right word counts as a hit.",
        "正确的词的邻居也被算作看对了。",
    ),
]
