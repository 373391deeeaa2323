"""Checks of chapter 16: attention among the k highest scores, and the gradient of REINFORCE."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import softmax
from lib.reference.hard import top_k_attention


def check_top_k_weights(my_top_k_weights: Callable) -> bool:
    """Check `my_top_k_weights(scores, k, mask)`: scores (..., S), a boolean mask of that shape, weights (..., S)."""
    draw = np.random.default_rng(16).standard_normal
    table = 2 * draw((3, 5))
    every = np.ones((3, 5), dtype=bool)
    some = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1], [1, 1, 1, 0, 0]], dtype=bool)
    few = np.array([[0, 0, 0, 1, 0], [1, 0, 0, 0, 1], [1, 1, 1, 1, 0]], dtype=bool)
    none = np.array([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=bool)
    loud = np.where(some, table - 3000, 3000.0)
    tied = np.random.default_rng(18).integers(0, 4, (2, 60)).astype(float)
    cases = [
        Case(
            (table, 2, every), "This was (3, 5) scores, k = 2, nothing hidden.", "这里分数是 (3, 5)，k = 2，没有掩盖。"
        ),
        Case((table, 1, every), "With k = 1 the highest score gets 1.", "k = 1 时，最高的分数得 1。"),
        Case(
            (table, 2, some),
            "Two of the three allowed elements of each row are kept: hide before you choose.",
            "每行允许三个，保留其中两个：请先掩盖，再挑选。",
        ),
        Case(
            (draw((2, 3, 6)), 3, np.ones((2, 3, 6), dtype=bool)),
            "There were three axes, (2, 3, 6): the elements are always the last, axis=-1.",
            "这里有三个轴 (2, 3, 6)：元素永远在最后一个轴，axis=-1。",
        ),
        Case(
            (np.array([[1.0, 3.0, 3.0, 3.0, 0.0]]), 2, np.ones((1, 5), dtype=bool)),
            "Three scores were equal and k was 2: exactly k are kept, the first ones. A stable sort does it.",
            "有三个分数相等而 k 是 2：只保留 k 个，取前面的。用稳定排序即可。",
        ),
        Case(
            (table, 2, few),
            "A row allowed one element only: with fewer than k, keep those that there are and no hidden one.",
            "有一行只允许一个元素：不足 k 个时，有几个保留几个，被掩盖的一个也不能要。",
        ),
        Case(
            (table, 2, none),
            "Row 1 may attend to nothing: its weights are zeros. Hide with -inf, not -1e9, and guard 0 / 0.",
            "第 1 行什么都不许看：权重应全为零。请用 -inf 而不是 -1e9 来掩盖，并防止 0 / 0。",
        ),
        Case(
            (loud, 2, some),
            "The scores were around -3000, where exp underflows, hidden ones +3000: subtract the largest kept score.",
            "这里分数在 -3000 左右，exp 会下溢，被掩盖的是 +3000：请先减去保留下来的最大分数。",
        ),
        Case(
            (tied, 7, np.ones((2, 60), dtype=bool)),
            "Many of 60 scores were equal: argsort is stable only with kind='stable', argpartition never.",
            "60 个分数里有许多相等：argsort 要写 kind='stable' 才稳定，argpartition 则从不稳定。",
        ),
    ]
    return examine("my_top_k_weights", my_top_k_weights, top_k_attention, cases, _TOP_K_MISTAKES)


def check_reinforce_gradient(my_reinforce_gradient: Callable) -> bool:
    r"""Check `my_reinforce_gradient(probabilities, choice, reward, baseline)`: (B, S), (B,), (B,), a number or (B,).

    $$\hat g = (r - b)(e_j - p)$$
    """
    rng = np.random.default_rng(17)
    p = softmax(rng.standard_normal((3, 4)))
    choice, reward = np.array([2, 0, 3]), np.array([1.5, -0.5, 2.0])
    square = softmax(rng.standard_normal((3, 3)))
    cases = [
        Case((p, choice, reward, 0.7), "B = 3, S = 4, and the baseline was 0.7.", "B = 3，S = 4，基线是 0.7。"),
        Case(
            (p, choice, reward, np.array([0.2, 1.0, -3.0])),
            "The baseline was an array (B,): each example has its own.",
            "这里基线是数组 (B,)：每个例子有自己的基线。",
        ),
        Case(
            (square, np.array([1, 1, 0]), reward, np.array([0.2, 1.0, -3.0])),
            "B and S were both 3: the reward belongs to the rows, so give it an axis, (reward - baseline)[:, None].",
            "这里 B 和 S 都是 3：奖励是属于行的，请给它添一个轴，即 (reward - baseline)[:, None]。",
        ),
        Case(
            (p[:1], choice[:1], reward[:1], 0.7),
            "There was a single example, B = 1.",
            "这里只有一个例子，B = 1。",
        ),
    ]
    return examine("my_reinforce_gradient", my_reinforce_gradient, _reinforce, cases, _REINFORCE_MISTAKES)


def _reinforce(p, choice, reward, baseline):
    return (reward - baseline)[:, None] * (_one_hot(p, choice) - p)


def _one_hot(p, choice):
    return (np.arange(p.shape[-1]) == choice[:, None]).astype(float)


def _kept(scores, k, mask):
    return top_k_attention(scores, k, mask) > 0


def _mass(scores, k, mask):
    return (np.exp(scores) * _kept(scores, k, mask)).sum(axis=-1, keepdims=True)


def _renormalised(weights):
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1, total)


def _at_least_kth(scores, k, mask):
    visible = np.where(mask, scores, -np.inf)
    return softmax(scores, mask & (visible >= np.sort(visible, axis=-1)[..., -k, None]))


_TOP_K_MISTAKES = [
    Mistake(
        lambda s, k, m: softmax(s, m),
        "every element keeps a weight: only the k highest do, the others get exactly 0.",
        "每个元素都有权重：只该最高的 k 个有，其余恰好为 0。",
    ),
    Mistake(
        lambda s, k, m: softmax(s, m) * _kept(s, k, m),
        "the weights do not sum to 1: hide what is not kept before the softmax, or divide by their sum.",
        "权重之和不是 1：没保留的要在 softmax 之前掩盖，或者再除以它们的和。",
    ),
    Mistake(
        lambda s, k, m: _kept(s, k, m).astype(float),
        "each kept element gets 1: they share the weight by softmax and sum to 1.",
        "每个保留的元素都得 1：应该用 softmax 分配权重，加起来等于 1。",
    ),
    Mistake(
        lambda s, k, m: _renormalised(_kept(s, k, m).astype(float)),
        "the kept elements share equally: share by softmax of their scores.",
        "保留的元素平分了权重：应按分数的 softmax 来分。",
    ),
    Mistake(
        lambda s, k, m: softmax(s * _kept(s, k, m)),
        "scores that are not kept become 0, and exp(0) = 1 is still a weight: set them to -inf.",
        "没保留的分数成了 0，而 exp(0) = 1 仍有权重：应设为 -inf。",
    ),
    Mistake(
        lambda s, k, m: softmax(s, _kept(-s, k, m)),
        "the k lowest scores are kept: sort the other way round.",
        "保留的是最低的 k 个分数：排序方向反了。",
    ),
    Mistake(
        lambda s, k, m: softmax(s, np.swapaxes(top_k_attention(np.swapaxes(s, -1, -2), k) > 0, -1, -2) & m),
        "the k highest are sought over the rows: each row chooses among its own elements, axis=-1.",
        "最高的 k 个是沿着各行之间找的：每一行应在自己的元素里挑，即 axis=-1。",
    ),
    Mistake(
        lambda s, k, m: softmax(s, np.isin(s, np.sort(s, axis=None)[-k:])),
        "the k highest of the whole array are kept: each row keeps its own k.",
        "保留的是整个数组里最高的 k 个：应每行各保留 k 个。",
    ),
    Mistake(
        lambda s, k, m: top_k_attention(s, 1, m),
        "only one element is kept: that is arg max, keep k.",
        "只保留了一个元素：那是 arg max，应保留 k 个。",
    ),
    Mistake(
        lambda s, k, m: top_k_attention(s, k + 1, m),
        "one element too many is kept: the slice [..., :k] gives k of them.",
        "多保留了一个元素：切片 [..., :k] 给出的才是 k 个。",
    ),
    Mistake(
        lambda s, k, m: top_k_attention(s, k, m) * _mass(s, k, m) / _mass(s, k, m).sum(),
        "all rows together sum to 1: every row shares its own weight, axis=-1, keepdims=True.",
        "所有行加在一起才等于 1：应每行各自归一化，即 axis=-1, keepdims=True。",
    ),
    Mistake(
        lambda s, k, m: top_k_attention(s, k),
        "the mask has no effect: set the scores where it is False to -inf before you choose.",
        "掩码没有起作用：请在挑选之前把掩码为 False 处的分数设为 -inf。",
    ),
    Mistake(
        lambda s, k, m: softmax(s, _kept(s, k, np.ones_like(m)) & m),
        "hidden elements took places among the k: mask first, then choose the k highest of what is left.",
        "被掩盖的元素占了 k 个名额：应先掩盖，再从剩下的里面挑最高的 k 个。",
    ),
    Mistake(
        lambda s, k, m: top_k_attention(s, k) * m,
        "hidden elements took places among the k, and the rows no longer sum to 1: mask first, then choose.",
        "被掩盖的元素占了名额，权重之和也不再是 1：应先掩盖，再挑选。",
    ),
    Mistake(
        lambda s, k, m: top_k_attention(s, k, ~m),
        "the mask is inverted: True means may attend.",
        "掩码用反了：True 表示可以关注。",
    ),
    Mistake(
        _at_least_kth,
        "equal scores are all kept, so there are more than k: keep exactly k, the first of equal ones.",
        "相等的分数全被保留，多于 k 个：只保留 k 个，相等时取前面的。",
    ),
    Mistake(
        lambda s, k, m: top_k_attention(s[..., ::-1], k, m[..., ::-1])[..., ::-1],
        "of equal scores the last are kept: keep the first, for instance by a stable sort of -scores.",
        "分数相等时保留了后面的：应保留前面的，例如对 -scores 用稳定排序。",
    ),
]

_REINFORCE_MISTAKES = [
    Mistake(
        lambda p, j, r, b: -_reinforce(p, j, r, b),
        "the sign is wrong: this is the gradient of the expected reward, which is to be raised; one-hot minus p.",
        "符号反了：这里要的是期望奖励的梯度，奖励是要提高的，应为 one-hot 减去 p。",
    ),
    Mistake(
        lambda p, j, r, b: _reinforce(p, j, r, -b),
        "the baseline is added: subtract it from the reward.",
        "基线是加上去的：应从奖励里减去。",
    ),
    Mistake(
        lambda p, j, r, b: _reinforce(p, j, r, 0 * b),
        "the baseline has no effect: subtract it from the reward.",
        "基线没有起作用：应从奖励里减去。",
    ),
    Mistake(
        lambda p, j, r, b: (r - b)[:, None] * -p,
        "the one-hot vector of the choice is missing: the gradient of log p_j is one-hot minus p.",
        "缺少所选项的 one-hot 向量：log p_j 的梯度是 one-hot 减去 p。",
    ),
    Mistake(
        lambda p, j, r, b: (r - b)[:, None] * _one_hot(p, j),
        "the probabilities are missing: raising one score lowers all shares, so it is one-hot minus p.",
        "缺少概率：一个分数提高，别的份额都会下降，所以是 one-hot 减去 p。",
    ),
    Mistake(
        lambda p, j, r, b: _reinforce(p, j, r, b) * _one_hot(p, j),
        "only the chosen score gets an entry: the others are lowered by their own probabilities, one-hot minus p.",
        "只有选中的分数有值：其余的分数也要按各自的概率下降，即 one-hot 减去 p。",
    ),
    Mistake(
        lambda p, j, r, b: (r - b)[:, None] * (_one_hot(p, j) - softmax(p)),
        "softmax is taken twice: the argument holds probabilities already.",
        "softmax 做了两遍：传进来的已经是概率。",
    ),
    Mistake(
        lambda p, j, r, b: _reinforce(p, j, r, b) / len(p),
        "everything is divided by B: each example has its own estimate, no mean over the batch.",
        "全都除以了 B：每个例子有自己的估计，不要对整批取平均。",
    ),
    Mistake(
        lambda p, j, r, b: (r - b)[:, None] * (p * _one_hot(p, j)).sum(-1, keepdims=True) * (_one_hot(p, j) - p),
        "this is the gradient of p_j, not of log p_j: do not multiply by p_j, being chosen has done that already.",
        "这是 p_j 的梯度，而不是 log p_j 的：不要再乘 p_j，“被选中”这件事已经乘过它了。",
    ),
    Mistake(
        lambda p, j, r, b: (r - b)[:, None] * _one_hot(p, j) / p,
        "this is the gradient with respect to the probabilities: go on to the scores behind softmax, one-hot minus p.",
        "这是对概率的梯度：还要继续求到 softmax 之前的分数，即 one-hot 减去 p。",
    ),
    Mistake(
        lambda p, j, r, b: _reinforce(p, p.argmax(axis=-1), r, b),
        "the one-hot vector is that of the most probable element: take the one that was chosen.",
        "one-hot 取的是概率最大的元素：应取实际选中的那个。",
    ),
    Mistake(
        lambda p, j, r, b: r[:, None] * (_one_hot(p, j) - p) - np.reshape(b, (-1, 1)),
        "the baseline is subtracted from the gradient: subtract it from the reward, before multiplying.",
        "基线从梯度里减掉了：应在相乘之前，从奖励里减去。",
    ),
    Mistake(
        lambda p, j, r, b: r[:, None] * _one_hot(p, j) - np.reshape(b, (-1, 1)) * p,
        "reward and baseline multiply different parts: (reward - baseline) multiplies all of one-hot minus p.",
        "奖励和基线乘在了不同的部分上：(reward - baseline) 应乘以整个 one-hot 减去 p。",
    ),
    Mistake(
        lambda p, j, r, b: _reinforce(p, j, r, b).mean(axis=0),
        "the batch is averaged: return one row for each example, (B, S).",
        "对整批取了平均：应每个例子返回一行，形状 (B, S)。",
    ),
    Mistake(
        lambda p, j, r, b: np.mean(r - b) * (_one_hot(p, j) - p),
        "every row gets the mean reward: each choice answers for its own reward.",
        "每一行用的都是平均奖励：每个选择只对自己的奖励负责。",
    ),
    Mistake(
        lambda p, j, r, b: (r - b) * (_one_hot(p, j) - p),
        "the rewards run along the wrong axis: they belong to the rows, (reward - baseline)[:, None].",
        "奖励沿错了轴：它属于各行，应写 (reward - baseline)[:, None]。",
    ),
]
