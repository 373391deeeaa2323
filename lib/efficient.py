"""Attention that costs less: exact in blocks, within a window, linear, and with fewer keys and values to keep.

Shapes and masks are those of `lib.attention`. Blockwise, windowed and grouped attention are exact; linear attention is
another function than softmax's.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lib.attention import MultiHeadAttention, scaled_dot_product_attention
from lib.cache import KeyValueCache
from lib.reference.contracts import check_attention, check_count, check_floats, check_groups, check_kv_heads, check_mask


def window_mask(
    T: int,
    S: int | None = None,
    *,
    window: int,
    causal: bool = False,
    device: torch.device | str | None = None,
) -> Tensor:
    """Let each query see only keys less than `window` places away; with `causal` only itself and earlier ones.

    When S differs from T the ends are aligned, as in `lib.masks.causal_mask`.

    Source: Beltagy et al. 2020, section 3.1, arXiv:2004.05150. Differs: their window w has w / 2 keys on either side.

    Args:
        T: Number of queries.
        S: Number of keys; T when left out.
        window: How many keys a query sees on each side, itself counted.
        causal: Whether later keys are hidden.
        device: Where the mask is made.

    Returns:
        Boolean tensor (T, S).

    Raises:
        ValueError: When T, S or `window` is not an integer of at least 1.

    Example:
        >>> window_mask(3, window=2, causal=True).int()
        tensor([[1, 0, 0],
                [1, 1, 0],
                [0, 1, 1]], dtype=torch.int32)
    """
    S = T if S is None else S
    for name, number in (("T", T), ("S", S), ("window", window)):
        check_count(name, number)
    back = torch.arange(T, device=device)[:, None] + S - T - torch.arange(S, device=device)  # (T, S)
    return (back < window) & (back >= 0 if causal else back > -window)


class _Plan(NamedTuple):
    """How the scores are cut: which keys each query may see at all, and the size of a block."""

    mask: Tensor | None  # (..., T, S), expanded without copying
    earliest: int | None  # how many places behind its own a query sees
    latest: int | None  # how many places ahead
    scale: float
    block_size: int

    def blocks(self, T: int, S: int) -> Iterator[tuple[slice, list[slice]]]:
        """Give each block of queries with the blocks of keys that any of them may see."""
        for start in range(0, T, self.block_size):
            end = min(start + self.block_size, T)
            first = 0 if self.earliest is None else max(0, start + S - T - self.earliest)
            last = S if self.latest is None else min(S, end + S - T + self.latest)
            keys = [slice(at, min(at + self.block_size, last)) for at in range(first, last, self.block_size)]
            yield slice(start, end), keys

    def scores(self, query: Tensor, key: Tensor, rows: slice, columns: slice) -> Tensor:
        """Score one block, with -inf where a query may not look: (..., rows, columns)."""
        scores = torch.matmul(query[..., rows, :] * self.scale, key[..., columns, :].mT)
        T, S = query.shape[-2], key.shape[-2]
        nearest = rows.start + S - T - (columns.stop - 1)  # least and most distance from key to query in this block
        farthest = rows.stop - 1 + S - T - columns.start
        too_far = self.earliest is not None and farthest > self.earliest
        too_late = self.latest is not None and nearest < -self.latest
        if too_far or too_late:
            places = torch.arange(rows.start, rows.stop, device=query.device)[:, None] + S - T
            back = places - torch.arange(columns.start, columns.stop, device=query.device)
            hidden = back > self.earliest if too_far else torch.zeros_like(back, dtype=torch.bool)
            scores.masked_fill_(hidden | (back < -self.latest) if too_late else hidden, float("-inf"))
        if self.mask is not None:
            scores.masked_fill_(~self.mask[..., rows, columns], float("-inf"))
        return scores


class _Blockwise(torch.autograd.Function):
    """Attention and its gradient, block by block; what is kept in between is one number a query."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, plan: _Plan) -> Tensor:
        T, S = query.shape[-2], key.shape[-2]
        output = query.new_zeros(*query.shape[:-1], value.shape[-1])
        logsumexp = query.new_full((*query.shape[:-1], 1), float("inf"))  # of a query that sees nothing: weights of 0
        for rows, columns in plan.blocks(T, S):
            highest = total = gathered = None
            for block in columns:
                scores = plan.scores(query, key, rows, block)
                risen = scores.amax(dim=-1, keepdim=True)
                risen = risen if highest is None else torch.maximum(highest, risen)
                level = risen.masked_fill(risen == float("-inf"), 0.0)
                powers = scores.sub_(level).exp_()
                added = powers.sum(dim=-1, keepdim=True), powers @ value[..., block, :]
                if highest is None:
                    total, gathered = added
                else:
                    shrink = (highest - level).exp_()
                    total, gathered = total * shrink + added[0], gathered * shrink + added[1]
                highest = risen
            if highest is not None:
                seen = total > 0
                output[..., rows, :] = gathered / total.masked_fill(~seen, 1.0)
                logsumexp[..., rows, :] = torch.where(seen, highest + total.log(), float("inf"))
        ctx.save_for_backward(query, key, value, output, logsumexp)
        ctx.plan = plan
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, d_output: Tensor):
        query, key, value, output, logsumexp = ctx.saved_tensors
        d_query, d_key, d_value = (torch.zeros_like(x) for x in (query, key, value))
        inner = (d_output * output).sum(dim=-1, keepdim=True)  # (..., T, 1)
        for rows, columns in ctx.plan.blocks(query.shape[-2], key.shape[-2]):
            asked = d_output[..., rows, :]
            for block in columns:
                weights = ctx.plan.scores(query, key, rows, block).sub_(logsumexp[..., rows, :]).exp_()
                d_value[..., block, :] += weights.mT @ asked
                d_scores = (asked @ value[..., block, :].mT).sub_(inner[..., rows, :]).mul_(weights)
                d_scores *= ctx.plan.scale
                d_query[..., rows, :] += d_scores @ key[..., block, :]
                d_key[..., block, :] += d_scores.mT @ query[..., rows, :]
        return d_query, d_key, d_value, None


def blockwise_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
    block_size: int = 512,
) -> Tensor:
    r"""Compute exact attention block by block, so that the T x S weights never exist, not even for the gradient.

    $$m' = \max(m, \max_j s_j), \quad \ell' = e^{m - m'} \ell + \sum_j e^{s_j - m'}, \quad
    o' = e^{m - m'} o + \sum_j e^{s_j - m'} v_j$$

    At the end the output is $o / \ell$. The gradient computes each block of weights once more from $m + \log \ell$.
    Blocks that `causal` and `window` hide entirely are skipped.

    Source: Milakov and Gimelshein 2018, section 3, arXiv:1805.02867; Dao et al. 2022, section 3.1, arXiv:2205.14135.
    Differs: in Python, and half precision is computed in float32; it has no second derivative.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        mask: Boolean, broadcastable to (..., T, S); True = may attend.
        causal: Whether later keys are hidden, ends aligned; costs no T x S mask.
        window: Only keys less than this many places away are seen; all when left out.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.
        block_size: Number of queries and of keys taken at a time.

    Returns:
        Output (..., T, d_v); zeros for a query that may attend to nothing.

    Raises:
        ValueError: As `scaled_dot_product_attention`, and when `block_size` or `window` is not an integer
            of at least 1.

    Example:
        >>> blockwise_attention(torch.zeros(1, 4), torch.ones(2, 4), torch.tensor([[1.0], [3.0]]), block_size=1)
        tensor([[2.]])
    """
    check_attention(query, key, value)
    shape = (*query.shape[:-1], key.shape[-2])
    check_mask(mask, shape)
    check_count("block_size", block_size)
    if window is not None:
        check_count("window", window)
    reach = None if window is None else window - 1
    plan = _Plan(
        mask=None if mask is None else mask.expand(shape),
        earliest=reach,
        latest=0 if causal else reach,
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        block_size=block_size,
    )
    precise = torch.promote_types(query.dtype, torch.float32)
    return _Blockwise.apply(query.to(precise), key.to(precise), value.to(precise), plan).to(query.dtype)


def sliding_window_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window: int,
    *,
    causal: bool = True,
    scale: float | None = None,
    block_size: int = 512,
) -> Tensor:
    """Attend only to keys less than `window` places away, and compute only the blocks that hold such pairs.

    Time and memory grow with T times (window + block_size), not with T times S.

    Source: Beltagy et al. 2020, section 3.1, arXiv:2004.05150. Differs: see `window_mask`.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        window: As in `window_mask`.
        causal: Whether later keys are hidden.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.
        block_size: As in `blockwise_attention`.

    Returns:
        Output (..., T, d_v): exactly that of `scaled_dot_product_attention` with `window_mask`.

    Raises:
        ValueError: As `blockwise_attention`.

    Example:
        >>> value = torch.tensor([[1.0], [3.0], [5.0]])
        >>> sliding_window_attention(torch.zeros(3, 4), torch.ones(3, 4), value, 2)[:, 0]
        tensor([1., 2., 4.])
    """
    return blockwise_attention(query, key, value, causal=causal, window=window, scale=scale, block_size=block_size)


def positive_features(x: Tensor) -> Tensor:
    r"""Make every number positive: $\mathrm{elu}(x) + 1$, which is $x + 1$ above 0 and $e^x$ below.

    Source: Katharopoulos et al. 2020, equation 7, arXiv:2006.16236.

    Args:
        x: Floating-point numbers of any shape.

    Returns:
        The same shape.

    Raises:
        ValueError: When x is not floating point.

    Example:
        >>> positive_features(torch.tensor([0.0, 2.0]))
        tensor([1., 3.])
    """
    check_floats(x=x)
    return F.elu(x) + 1


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool = False, block_size: int = 128
) -> Tensor:
    r"""Weigh by a product of features instead of an exponential; keys and values shrink to one matrix, read by all.

    $$o_t = \frac{\phi(q_t)^\top \sum_j \phi(k_j) v_j^\top}{\phi(q_t)^\top \sum_j \phi(k_j)}, \quad
    \phi(x) = \mathrm{elu}(x) + 1$$

    With `causal` the sums run up to the query's own place: a state of d_k x d_v + d_k numbers that grows no further.

    Source: Katharopoulos et al. 2020, equations 5 to 7 and section 3.3, arXiv:2006.16236. Differs: causal sums are
    taken a block at a time, as a state for earlier blocks and weights within the block.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        causal: Whether later keys are hidden, ends aligned.
        block_size: Number of places taken at a time when `causal`.

    Returns:
        Output (..., T, d_v). It equals `lib.reference.efficient.linear_attention`, and not softmax attention.

    Raises:
        ValueError: As `scaled_dot_product_attention`; when `block_size` is not an integer of at least 1; when `causal`
            and T and S differ.

    Example:
        >>> linear_attention(torch.zeros(1, 4), torch.ones(2, 4), torch.tensor([[1.0], [3.0]]))
        tensor([[2.]])
    """
    check_attention(query, key, value)
    check_count("block_size", block_size)
    T, S = query.shape[-2], key.shape[-2]
    query, key = positive_features(query), positive_features(key)
    value = torch.cat([value, torch.ones_like(value[..., :1])], dim=-1)  # (..., S, d_v + 1): the last sums the weights
    if not causal:
        sums = query @ (key.mT @ value)  # (..., T, d_v + 1)
        return _divided(sums)
    if T != S:
        raise ValueError(f"causal linear attention needs as many queries as keys but T={T} and S={S}")
    state, outputs = torch.zeros_like(key[..., :1, :].mT @ value[..., :1, :]), []
    for start in range(0, T, block_size):
        q, k, v = (x[..., start : start + block_size, :] for x in (query, key, value))
        sums = q @ state + (q @ k.mT).tril() @ v
        outputs.append(_divided(sums))
        state = state + k.mT @ v
    return torch.cat(outputs, dim=-2)


def _divided(sums: Tensor) -> Tensor:
    """Divide by the sum of the weights, the last number; features that have all underflowed to 0 give zeros."""
    total = sums[..., -1:]
    return sums[..., :-1] / total.masked_fill(total == 0, 1.0)


def grouped_query_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, scale: float | None = None
) -> Tensor:
    """Let groups of query heads share the keys and values of one head.

    With as many key heads as query heads this is ordinary attention; with a single one it is multi-query attention.

    Source: Ainslie et al. 2023, section 2.2, arXiv:2305.13245; Shazeer 2019, section 3, arXiv:1911.02150 (one head).
    Differs: the shared heads are repeated for the kernel, so that only what is *kept* is small.

    Args:
        query: (B, H, T, d_k).
        key: (B, G, S, d_k); G divides H, and query head h reads key head h // (H / G).
        value: (B, G, S, d_v).
        mask: Boolean, broadcastable to (B, H, T, S); True = may attend.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.

    Returns:
        Output (B, H, T, d_v).

    Raises:
        ValueError: When G does not divide H, and as `scaled_dot_product_attention`.

    Example:
        >>> grouped_query_attention(torch.ones(1, 4, 3, 2), torch.ones(1, 2, 5, 2), torch.ones(1, 2, 5, 2)).shape
        torch.Size([1, 4, 3, 2])
    """
    check_groups(query, key, value)
    each = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(each, dim=1) for x in (key, value))  # (B, H, S, d)
    return scaled_dot_product_attention(query, key, value, mask, scale=scale)


class GroupedQueryAttention(MultiHeadAttention):
    """Multi-head attention whose heads share keys and values in groups, so that a cache holds fewer of them.

    `num_kv_heads=num_heads` is `MultiHeadAttention` itself, `num_kv_heads=1` is multi-query attention.

    Source: Ainslie et al. 2023, section 2.2, arXiv:2305.13245; Shazeer 2019, section 3, arXiv:1911.02150.
    Differs: as `grouped_query_attention`; biases as in `MultiHeadAttention`.

    Args:
        d_model: Width of query and output.
        num_heads: Number of query heads H; divides d_model.
        num_kv_heads: Number of key and value heads G; divides `num_heads`.
        **options: As for `MultiHeadAttention`.

    Raises:
        ValueError: When G does not divide H, and as `MultiHeadAttention`.

    Example:
        >>> attention, cache = GroupedQueryAttention(8, 4, num_kv_heads=1), KeyValueCache()
        >>> attention(torch.ones(1, 3, 8), cache=cache).shape, cache.bytes
        (torch.Size([1, 3, 8]), 48)
    """

    def __init__(self, d_model: int, num_heads: int, *, num_kv_heads: int, **options) -> None:
        super().__init__(d_model, num_heads, **options)
        check_kv_heads(num_heads, num_kv_heads)
        self.num_kv_heads = num_kv_heads
        if num_kv_heads < num_heads:
            width, bias = num_kv_heads * d_model // num_heads, self.w_key.bias is not None
            self.w_key = nn.Linear(self.key_width, width, bias=bias)
            self.w_value = nn.Linear(self.value_width, width, bias=bias)
            for linear in (self.w_key, self.w_value):
                nn.init.xavier_uniform_(linear.weight)
                if bias:
                    nn.init.zeros_(linear.bias)

    def _projected(
        self, query: Tensor, key: Tensor | None, value: Tensor | None, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in `MultiHeadAttention`, but the cache keeps the key-value heads before they are shared out."""
        key, value = self._defaults(query, key, value)
        placed = self.positions or (lambda x: x)
        if self.positions is not None and cache is not None:
            placed = partial(self.positions, offset=len(cache))

        def project() -> tuple[Tensor, Tensor]:
            return placed(self._heads(self.w_key(key))), self._heads(self.w_value(value))  # (B, G, S, d_k)

        queries = placed(self._heads(self.w_query(query)))  # (B, H, T, d_k)
        kept = project() if cache is None else cache.extended(project)
        return queries, *(x.repeat_interleave(self.num_heads // self.num_kv_heads, dim=1) for x in kept)

    def _heads(self, x: Tensor) -> Tensor:
        d_k = self.d_model // self.num_heads
        return x.unflatten(-1, (-1, d_k)).transpose(1, 2)  # (B, heads, T, d_k)


def cache_bytes(
    places: int, *, num_layers: int, num_kv_heads: int, d_k: int, bytes_per_number: int = 2, batch: int = 1
) -> int:
    """Count what a key-value cache holds: a key and a value for each place, layer and key-value head.

    Args:
        places: Number of tokens kept.
        num_layers: Layers that keep a cache.
        num_kv_heads: Key-value heads a layer.
        d_k: Width of a head.
        bytes_per_number: 2 for half precision, 4 for float32.
        batch: Number of sequences.

    Returns:
        Bytes.

    Raises:
        ValueError: When one of them is not an integer of at least 1.

    Example:
        >>> cache_bytes(3, num_layers=1, num_kv_heads=1, d_k=2, bytes_per_number=4)
        48
    """
    sizes = {"places": places, "num_layers": num_layers, "num_kv_heads": num_kv_heads, "d_k": d_k}
    for name, number in (sizes | {"bytes_per_number": bytes_per_number, "batch": batch}).items():
        check_count(name, number)
    return 2 * batch * places * num_layers * num_kv_heads * d_k * bytes_per_number
