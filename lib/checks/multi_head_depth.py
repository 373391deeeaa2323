"""Checks of chapter 17: the overlap of heads, and what each head adds to the output."""

from collections.abc import Callable

import numpy as np

from lib.checks.report import Case, Mistake, examine
from lib.reference.attention import softmax


def check_head_overlap(my_head_overlap: Callable) -> bool:
    r"""Check `my_head_overlap(weights)`: weights (B, H, T, S) to a table (H, H).

    $$o_{ij} = \mathrm{mean}_{b,t} \sum_s \min(w_{bits}, w_{bjts})$$

    The mean leaves out the queries that may attend to nothing, whose weights are all 0. No two sizes are equal.
    """
    return examine("my_head_overlap", my_head_overlap, _head_overlap, _overlap_cases(), _OVERLAP_MISTAKES)


def check_head_contributions(my_head_contributions: Callable) -> bool:
    r"""Check `my_head_contributions(heads, w_output)`: heads (B, H, T, d_v), w_output (H d_v, d_model).

    The answer is (B, H, T, d_model): head by head what is added to the output, so that the sum over the heads is the
    concatenation times w_output.
    """
    draw = np.random.default_rng(17).standard_normal
    cases = [
        Case(
            (draw((2, 3, 4, 5)), draw((15, 7))),
            "This was heads (2, 3, 4, 5), that is B, H, T, d_v, and w_output (15, 7): head i owns rows 5 i to 5 i + 4.",
            "这里 heads 是 (2, 3, 4, 5)，即 B、H、T、d_v，w_output 是 (15, 7)：头 i 拥有第 5 i 到 5 i + 4 行。",
        ),
        Case((draw((2, 1, 3, 4)), draw((4, 5))), "This was a single head.", "这里只有一个头。"),
        Case(
            (draw((2, 4, 3, 4)), draw((16, 16))),
            "This was H = 4 heads of d_v = 4 and a square w_output of (16, 16).",
            "这里有 H = 4 个头，d_v = 4，w_output 是 (16, 16) 的方阵。",
        ),
    ]
    return examine("my_head_contributions", my_head_contributions, _contributions, cases, _CONTRIBUTION_MISTAKES)


def _overlap_cases() -> list[Case]:
    draw = np.random.default_rng(17).standard_normal
    plain = softmax(2 * draw((2, 3, 4, 5)))
    lengths = np.array([4, 2])[:, None, None, None]
    return [
        Case(
            (plain,),
            "This was weights of shape (2, 3, 4, 5), that is B, H, T, S; the answer is a table of 3 by 3.",
            "这里的权重是 (2, 3, 4, 5)，即 B、H、T、S；答案应是 3 行 3 列的表。",
        ),
        Case((plain[:, :1],), "This was a single head: the answer is [[1.0]].", "这里只有一个头：答案是 [[1.0]]。"),
        Case(
            (softmax(2 * draw((3, 4, 6, 6)), np.tri(6, dtype=bool)),),
            "These were causal weights: many entries are exactly 0.",
            "这里是因果的权重：很多项恰好为 0。",
        ),
        Case(
            (plain * (np.arange(4)[:, None] < lengths),),
            "Some queries attended to nothing, a row of zeros: leave them out of the mean.",
            "这里有些查询什么也没看，整行为零：求平均时请把它们排除在外。",
        ),
    ]


def _head_overlap(weights):
    shared = np.minimum(weights[:, :, None], weights[:, None]).sum(axis=-1)  # (B, H, H, T)
    attending = (weights.sum(axis=-1) > 0).any(axis=1)  # (B, T)
    return (shared * attending[:, None, None]).sum(axis=(0, 3)) / attending.sum()


def _over_pairs(compare):
    """A table whose entries are the mean of `compare` over batch and queries."""
    return lambda weights: compare(weights[:, :, None], weights[:, None]).mean(axis=(0, 3))


def _minimum(a, b):
    return np.minimum(a, b).sum(axis=-1)


def _cosine(a, b):
    return (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def _without_diagonal(weights):
    return _head_overlap(weights) * (1 - np.eye(weights.shape[1]))


def _of_averages(weights):
    return _over_pairs(_minimum)(weights.mean(axis=0, keepdims=True))


def _of_average_rows(weights):
    return _over_pairs(_minimum)(weights.mean(axis=2, keepdims=True))


_OVERLAP_MISTAKES = [
    Mistake(
        _over_pairs(lambda a, b: np.minimum(a, b).mean(axis=-1)),
        "it averages over the keys: sum over them, so that a head's overlap with itself is 1.",
        "它对键取了平均：应对键求和，这样一个头与自己的重叠度才是 1。",
    ),
    Mistake(
        _over_pairs(lambda a, b: np.maximum(a, b).sum(axis=-1)),
        "it takes the larger of the two weights: what two heads share is the smaller one, np.minimum.",
        "它取了两个权重中较大的：两个头共有的是较小的那个，即 np.minimum。",
    ),
    Mistake(
        _over_pairs(lambda a, b: (a * b).sum(axis=-1)),
        "it multiplies the weights: two equal heads would not overlap fully unless both are certain; use np.minimum.",
        "它把权重相乘：这样两个相同的头若不是毫不犹豫，重叠度就到不了 1；请用 np.minimum。",
    ),
    Mistake(
        _over_pairs(_cosine),
        "this is the cosine between the rows: add up the smaller weights instead, np.minimum.",
        "这是两行之间的余弦：请改为把较小的权重加起来，即 np.minimum。",
    ),
    Mistake(
        _over_pairs(lambda a, b: np.abs(a - b).sum(axis=-1) / 2),
        "this is the distance of the heads, 0 where they agree: the overlap is 1 minus it.",
        "这是头与头之间的距离，一致时为 0：重叠度等于 1 减去它。",
    ),
    Mistake(
        _over_pairs(lambda a, b: np.abs(a - b).sum(axis=-1)),
        "this is twice the distance of the heads, 0 where they agree: use np.minimum.",
        "这是头与头之间距离的两倍，一致时为 0：请用 np.minimum。",
    ),
    Mistake(
        _over_pairs(lambda a, b: 1 - np.abs(a - b).sum(axis=-1)),
        "the differences add up to twice the distance: halve them, or use np.minimum.",
        "差的绝对值之和是距离的两倍：要除以 2，或者用 np.minimum。",
    ),
    Mistake(
        _over_pairs(lambda a, b: (a.argmax(axis=-1) == b.argmax(axis=-1)).astype(float)),
        "it asks only whether the largest weights stand at the same key: all the weights count.",
        "它只看最大的权重是否落在同一个键上：所有权重都要算进去。",
    ),
    Mistake(
        lambda weights: np.minimum(weights[:, :, None], weights[:, None]).sum(axis=-1).mean(axis=3),
        "the batch axis is still there: average over it, too.",
        "批量轴还在：对它也要取平均。",
    ),
    Mistake(
        lambda weights: np.minimum(weights[:, :, None], weights[:, None]).sum(axis=(0, 3, 4)),
        "it adds up over the queries: average over batch and queries.",
        "它对查询求了和：对批量和查询应取平均。",
    ),
    Mistake(
        _of_averages,
        "it averages the weights over the batch first: compare within each sequence, then average.",
        "它先对批量平均了权重：应先在每个序列里比较，再取平均。",
    ),
    Mistake(
        _of_average_rows,
        "it averages the weights over the queries first: compare query by query, then average.",
        "它先对查询平均了权重：应逐个查询比较，再取平均。",
    ),
    Mistake(
        _without_diagonal,
        "the diagonal is 0: a head overlaps with itself fully, so 1 stands there.",
        "对角线是 0：一个头与自己完全重叠，那里应是 1。",
    ),
    Mistake(
        lambda weights: np.minimum(weights[:, :, None], weights[:, None]).sum(axis=3).mean(axis=(0, 3)),
        "it adds up over the queries and averages over the keys: the last axis, the keys, is the one to sum over.",
        "它对查询求和、对键取平均：要求和的是最后一个轴，也就是键。",
    ),
    Mistake(
        _over_pairs(_minimum),
        "a query that attends to nothing counts as one without overlap: leave such rows of zeros out of the mean.",
        "什么也没看的查询被当成毫无重叠：求平均时请排除这些全零的行。",
    ),
]


def _contributions(heads, w_output):
    H, d_v = heads.shape[1], heads.shape[3]
    return np.einsum("bhtv,hvm->bhtm", heads, w_output.reshape(H, d_v, -1))


def _rows(w_output, H):
    return w_output.reshape(H, len(w_output) // H, -1)


def _interleaved(heads, w_output):
    H = heads.shape[1]
    return np.einsum("bhtv,vhm->bhtm", heads, w_output.reshape(-1, H, w_output.shape[1]))


def _columns(heads, w_output):
    H, d_v = heads.shape[1], heads.shape[3]
    return np.stack([heads[:, i] @ w_output[:, i * d_v : (i + 1) * d_v].T for i in range(H)], axis=1)


_CONTRIBUTION_MISTAKES = [
    Mistake(
        lambda heads, w: _contributions(heads, w).sum(axis=1),
        "it returns the sum of all heads: return them one by one, with the heads' axis kept.",
        "它返回了所有头之和：应逐个返回，保留头所在的轴。",
    ),
    Mistake(
        lambda heads, w: _contributions(heads, w) / heads.shape[1],
        "it divides by the number of heads: concatenation gives a sum, not an average.",
        "它除以了头数：拼接得到的是和，不是平均。",
    ),
    Mistake(
        _interleaved,
        "the rows are dealt out in turn: head i owns d_v rows that stand together, from i * d_v on.",
        "行被轮流分给了各个头：头 i 拥有的是连在一起的 d_v 行，从第 i * d_v 行起。",
    ),
    Mistake(
        lambda heads, w: heads @ _rows(w, heads.shape[1])[0],
        "every head uses the rows of head 0: each has its own block of rows.",
        "每个头都用了头 0 的那些行：每个头各有自己的一块。",
    ),
    Mistake(
        lambda heads, w: heads @ _rows(w, heads.shape[1]).mean(axis=0),
        "every head uses the average of all blocks: each has its own block of rows.",
        "每个头都用了所有块的平均：每个头各有自己的一块。",
    ),
    Mistake(
        lambda heads, w: np.einsum("bhtv,hvm->bhtm", heads, _rows(w, heads.shape[1])[::-1]),
        "the blocks are in reverse order: head 0 owns the first rows.",
        "块的顺序反了：头 0 拥有最前面的行。",
    ),
    Mistake(
        _columns,
        "it takes columns of w_output: a head's outputs are multiplied with rows of it.",
        "它取的是 w_output 的列：与头的输出相乘的是它的行。",
    ),
    Mistake(
        lambda heads, w: np.swapaxes(_contributions(heads, w), 1, 2),
        "the axes of heads and queries are swapped: the shape is (B, H, T, d_model).",
        "头和查询的轴弄反了：形状应为 (B, H, T, d_model)。",
    ),
    Mistake(
        lambda heads, w: heads,
        "the heads come back unprojected: multiply each by its block of rows.",
        "返回的头没有投影：每个头都要乘上自己的那一块。",
    ),
    Mistake(
        lambda heads, w: np.cumsum(_contributions(heads, w), axis=1),
        "each head carries the sum of those before it: return each head's own part.",
        "每个头都带上了前面各头之和：应只返回它自己的那一份。",
    ),
]
