"""Attention in PyTorch: the names, shapes and masks of `lib.reference.attention`, on torch's fused kernel.

Shapes: query (..., T, d_k), key (..., S, d_k), value (..., S, d_v), with equal leading axes. A mask is boolean, True
means *may attend*, and broadcasts to (..., T, S). A query that may attend to nothing gets zeros.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.cache import KeyValueCache
from lib.reference.contracts import (
    check_attention,
    check_bias,
    check_count,
    check_floats,
    check_heads,
    check_inputs,
    check_mask,
    check_multi_head,
    check_query_key,
    check_rank,
    check_same_width,
    check_shape,
    mask_for_heads,
)


def softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Turn scores into weights that are positive and sum to 1 over the last axis.

    $$w_j = \frac{e^{s_j}}{\sum_i e^{s_i}}$$

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S); 0 where the mask is False, and a row of zeros where all of it is False.

    Raises:
        ValueError: When the scores are not floating point or are empty, or the mask is not boolean or does not
            broadcast.

    Example:
        >>> softmax(torch.tensor([1.0, 2.0, 5.0]).log())
        tensor([0.1250, 0.2500, 0.6250])
        >>> softmax(torch.tensor([1e4, 0.0]), torch.tensor([False, False]))
        tensor([0., 0.])
    """
    check_floats(1, scores=scores)
    check_mask(mask, scores.shape)
    if mask is None:
        return torch.softmax(scores, dim=-1)
    # A row of nothing but -inf would give NaN, also in the gradient: leave such a row alone, then blank its weights.
    attendable = mask.any(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(~mask & attendable, float("-inf")), dim=-1)
    return weights.masked_fill(~attendable, 0.0)


def sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Turn each score into a weight between 0 and 1 by itself, whatever the other scores are.

    $$w_j = \frac{1}{1 + e^{-s_j}}$$

    The weights of a row add up to anything from 0 to S: they are not a distribution.

    Source: Ramapuram et al. 2024, arXiv:2409.04431. Differs: nothing is subtracted from the scores.

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S); 0 where the mask is False.

    Raises:
        ValueError: As `softmax`.

    Example:
        >>> sigmoid(torch.tensor([1.0, 3.0, 9.0]).log())
        tensor([0.5000, 0.7500, 0.9000])
    """
    check_floats(1, scores=scores)
    check_mask(mask, scores.shape)
    weights = torch.sigmoid(scores)
    return weights if mask is None else weights.masked_fill(~mask, 0.0)


def sparsemax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Turn scores into the nearest weights that sum to 1; scores that are too low get exactly 0.

    $$w = \arg\min_{p \in \Delta} \lVert p - s \rVert^2, \quad w_j = \max(s_j - \tau, 0)$$

    The threshold $\tau$ is what makes the weights sum to 1. Only scores less than 1 below the highest can have weight.
    The gradient, too, is exactly 0 for every score without weight.

    Source: Martins and Astudillo 2016, algorithm 1, arXiv:1602.02068.

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S); 0 where the mask is False, and a row of zeros where all of it is False.

    Raises:
        ValueError: As `softmax`.

    Example:
        >>> sparsemax(torch.tensor([1.0, 0.5, -1.0]))
        tensor([0.7500, 0.2500, 0.0000])
    """
    check_floats(1, scores=scores)
    check_mask(mask, scores.shape)
    precise = scores.to(torch.promote_types(scores.dtype, torch.float32))  # sums of half precision lose too much
    if mask is not None:  # as in `softmax`: a row of nothing but -inf would give NaN
        attendable = mask.any(dim=-1, keepdim=True)
        precise = precise.masked_fill(~mask & attendable, float("-inf"))
    precise = precise - precise.detach().amax(dim=-1, keepdim=True)
    ordered = precise.sort(dim=-1, descending=True).values
    total = ordered.cumsum(dim=-1)
    ranks = torch.arange(1, scores.shape[-1] + 1, dtype=precise.dtype, device=scores.device)
    kept = (1 + ranks * ordered > total).sum(dim=-1, keepdim=True).clamp(min=1)  # (..., 1); NaN would keep none
    threshold = (total.gather(-1, kept - 1) - 1) / kept  # (..., 1)
    weights = F.relu(precise - threshold).to(scores.dtype)
    return weights if mask is None else weights.masked_fill(~attendable, 0.0)


def dot_score(query: Tensor, key: Tensor) -> Tensor:
    r"""Score each key for each query by their dot product, $q^\top k$.

    Source: Luong et al. 2015, section 3.1 ("dot"), arXiv:1508.04025.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).

    Returns:
        Scores (..., T, S).

    Raises:
        ValueError: When widths or leading axes differ, or an input is not floating point, too low in rank or empty.

    Example:
        >>> dot_score(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
        tensor([[11.,  2.]])
    """
    check_query_key(query, key)
    check_same_width(query, key)
    return torch.einsum("...td,...sd->...ts", query, key)


def scaled_dot_score(query: Tensor, key: Tensor, *, scale: float | None = None) -> Tensor:
    r"""Score each key by $q^\top k / \sqrt{d_k}$, so that the noise stays as loud at any width.

    Source: Vaswani et al. 2017, section 3.2.1, arXiv:1706.03762.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.

    Returns:
        Scores (..., T, S).

    Raises:
        ValueError: As `dot_score`.

    Example:
        >>> scaled_dot_score(torch.ones(1, 4), torch.ones(2, 4))
        tensor([[2., 2.]])
    """
    check_query_key(query, key)
    # Scaled before the product, which could overflow in float16.
    return dot_score(query * (query.shape[-1] ** -0.5 if scale is None else scale), key)


def bilinear_score(query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
    r"""Score each key by $q^\top W k$: a learned dot product between different spaces.

    Source: Luong et al. 2015, section 3.1 ("general"), arXiv:1508.04025.

    Args:
        query: (..., T, d_q).
        key: (..., S, d_k).
        weight: (d_q, d_k).

    Returns:
        Scores (..., T, S).

    Raises:
        ValueError: When `weight` is not (d_q, d_k), leading axes differ, or an input is not floating point, too low in
            rank or empty.

    Example:
        >>> bilinear_score(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]]), torch.tensor([[1.0], [10.0]]))
        tensor([[63.]])
    """
    check_query_key(query, key, weight=weight)
    check_shape("weight", weight, (query.shape[-1], key.shape[-1]))
    return torch.einsum("...tk,...sk->...ts", query @ weight, key)


def additive_score(query: Tensor, key: Tensor, w_query: Tensor, w_key: Tensor, v: Tensor) -> Tensor:
    r"""Score each key by a small network with one hidden layer, $v^\top \tanh(q W_q + k W_k)$.

    Source: Bahdanau et al. 2014, appendix A.1.2, arXiv:1409.0473.

    Args:
        query: (..., T, d_q).
        key: (..., S, d_k).
        w_query: (d_q, d_hidden).
        w_key: (d_k, d_hidden).
        v: (d_hidden,).

    Returns:
        Scores (..., T, S).

    Raises:
        ValueError: When a weight does not have the shape above, leading axes differ, or an input is not floating
            point, too low in rank or empty.

    Example:
        >>> one = torch.ones(1, 1)
        >>> additive_score(one, 2 * one, one, one, torch.ones(1))
        tensor([[0.9951]])
    """
    check_query_key(query, key, w_query=w_query, w_key=w_key, v=v)
    check_rank(1, v=v)
    check_shape("w_query", w_query, (query.shape[-1], v.shape[0]))
    check_shape("w_key", w_key, (key.shape[-1], v.shape[0]))
    hidden = torch.tanh((query @ w_query)[..., :, None, :] + (key @ w_key)[..., None, :, :])  # (..., T, S, d_hidden)
    return hidden @ v


def attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    r"""Share each query's attention among the keys: $\mathrm{softmax}(q^\top k / \sqrt{d_k})$.

    Source: Vaswani et al. 2017, equation 1, arXiv:1706.03762. Scores are kept in float32 for half precision, as the
    fused kernel keeps them.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        mask: Boolean, broadcastable to (..., T, S); True = may attend.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.
        bias: Floating point, broadcastable to (..., T, S); added to the scaled scores, before the mask.

    Returns:
        Weights (..., T, S); each row sums to 1, or to 0 where the mask leaves nothing.

    Raises:
        ValueError: As `dot_score`, and when the mask is not boolean, the bias is not of the query's dtype, or one of
            them does not broadcast.

    Example:
        >>> attention_weights(torch.zeros(1, 4), torch.ones(2, 4))
        tensor([[0.5000, 0.5000]])
    """
    check_query_key(query, key)
    precise = torch.promote_types(query.dtype, torch.float32)
    scores = scaled_dot_score(query.to(precise), key.to(precise), scale=scale)
    check_bias(bias, query, scores.shape)
    return softmax(scores if bias is None else scores + bias, mask).to(query.dtype)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    r"""Answer each query by the average of the values, weighted by how well their keys match it.

    $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V$$

    Source: Vaswani et al. 2017, equation 1, arXiv:1706.03762. The weights are never stored: torch's fused kernel works
    through the keys block by block (Dao et al. 2022, arXiv:2205.14135). Only for a bias that is being learned do they
    pass through memory.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        mask: Boolean, broadcastable to (..., T, S); True = may attend.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.
        bias: Floating point, broadcastable to (..., T, S); added to the scaled scores, before the mask.

    Returns:
        Output (..., T, d_v); zeros for a query that may attend to nothing.

    Raises:
        ValueError: When widths, lengths or leading axes differ, an input is not floating point, too low in rank or
            empty, the mask is not boolean, the bias is not of the query's dtype, or one of them does not broadcast.

    Example:
        >>> scaled_dot_product_attention(torch.zeros(1, 4), torch.ones(2, 4), torch.tensor([[1.0], [3.0]]))
        tensor([[2.]])
    """
    check_attention(query, key, value)
    scores_shape = (*query.shape[:-1], key.shape[-2])
    check_mask(mask, scores_shape)
    check_bias(bias, query, scores_shape)
    if bias is not None:  # the fused kernel has one argument for both
        mask = bias if mask is None else torch.where(mask, bias, float("-inf"))
    fill = (None,) * (4 - query.dim())  # the fused kernel wants four axes
    if mask is not None:
        mask = mask[(None,) * (4 - mask.dim())]
    output = F.scaled_dot_product_attention(query[fill], key[fill], value[fill], attn_mask=mask, scale=scale)
    return output.reshape(*query.shape[:-1], value.shape[-1])  # (..., T, d_v)


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    w_query: Tensor,
    w_key: Tensor,
    w_value: Tensor,
    w_output: Tensor,
    num_heads: int,
    mask: Tensor | None = None,
    *,
    bias: Tensor | None = None,
) -> Tensor:
    r"""Attend in several narrow heads at once, put their outputs side by side and mix them.

    $$\mathrm{head}_i = \mathrm{Attention}(QW^Q_i, KW^K_i, VW^V_i), \quad
    \mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(\mathrm{head}_1, \ldots, \mathrm{head}_h)W^O$$

    Source: Vaswani et al. 2017, section 3.2.2, arXiv:1706.03762. Head i owns columns i * d_model / num_heads onwards.
    `MultiHeadAttention` is the same with learned weights; `nn.Linear` holds them transposed.

    Args:
        query: (B, T, d_model).
        key: (B, S, key_width).
        value: (B, S, value_width).
        w_query: (d_model, d_model).
        w_key: (key_width, d_model).
        w_value: (value_width, d_model).
        w_output: (d_model, d_model).
        num_heads: Number of heads H; divides d_model.
        mask: Boolean, True = may attend: (T, S), (B, T, S) for all heads, or (B, H, T, S); any axis may be 1.
        bias: Floating point, (T, S), (H, T, S) for every sequence or (B, H, T, S); added to the scaled scores.

    Returns:
        Output (B, T, d_model).

    Raises:
        ValueError: When d_model is not divisible by `num_heads`, a weight does not have the shape above, lengths or
            batches differ, an input is not floating point, of another rank or empty, the mask is not boolean, the
            bias is not of the query's dtype, or one of them does not broadcast.

    Example:
        >>> x, eye = torch.ones(1, 3, 4), torch.eye(4)
        >>> multi_head_attention(x, x, x, eye, eye, eye, eye, num_heads=2).shape
        torch.Size([1, 3, 4])
    """
    inputs = {"query": query, "key": key, "value": value}
    weights = {"w_query": w_query, "w_key": w_key, "w_value": w_value, "w_output": w_output}
    check_multi_head(inputs, weights, num_heads)
    query, key, value = (
        _split_heads(x @ w, num_heads) for x, w in ((query, w_query), (key, w_key), (value, w_value))
    )  # (B, H, T or S, d_k)
    return _attend_in_heads(query, key, value, mask, bias) @ w_output


def _split_heads(x: Tensor, num_heads: int) -> Tensor:
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).transpose(1, 2)  # (B, H, T, D / H)


def _attend_in_heads(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None, scale: float | None = None
) -> Tensor:
    B, H, T, _ = query.shape
    mask = mask_for_heads(mask, (B, H, T, key.shape[2]))
    heads = scaled_dot_product_attention(query, key, value, mask, scale=scale, bias=bias)  # (B, H, T, d_v)
    return heads.transpose(1, 2).reshape(B, T, -1)  # (B, T, D)


class MultiHeadAttention(nn.Module):
    r"""Multi-head attention with learned projections, for self-attention and cross-attention alike.

    $$\mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(\mathrm{head}_1, \ldots, \mathrm{head}_h)W^O, \quad
    \mathrm{head}_i = \mathrm{Attention}(QW^Q_i, KW^K_i, VW^V_i)$$

    Source: Vaswani et al. 2017, section 3.2.2, arXiv:1706.03762.
    Differs: the projections have biases by default, as in most published models. Weights start as Glorot and Bengio
    (2010) propose, biases at 0.

    Args:
        d_model: Width of query and output.
        num_heads: Number of heads H; divides d_model, and each head is d_model / H wide.
        key_width: Width of the key; d_model when left out.
        value_width: Width of the value; `key_width` when left out.
        bias: Whether the projections have biases.
        positions: Tells queries and keys, each (B, H, T or S, d_k), their places before they meet, both counted from
            the same first place: for instance `lib.positional.rotate`. With a cache it is told the `offset` of the
            first place.
        scale: Factor of the dot product; 1 / sqrt(d_model / H) when left out.

    Raises:
        ValueError: When d_model is not divisible by `num_heads`, or a width is not an integer of at least 1.

    Example:
        >>> attention = MultiHeadAttention(d_model=8, num_heads=2)
        >>> attention(torch.ones(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        key_width: int | None = None,
        value_width: int | None = None,
        bias: bool = True,
        positions: Callable[..., Tensor] | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        self.d_model, self.num_heads, self.positions, self.scale = d_model, num_heads, positions, scale
        self.key_width = d_model if key_width is None else key_width
        self.value_width = self.key_width if value_width is None else value_width
        check_count("key_width", self.key_width)
        check_count("value_width", self.value_width)
        self.w_query = nn.Linear(d_model, d_model, bias=bias)
        self.w_key = nn.Linear(self.key_width, d_model, bias=bias)
        self.w_value = nn.Linear(self.value_width, d_model, bias=bias)
        self.w_output = nn.Linear(d_model, d_model, bias=bias)
        for linear in (self.w_query, self.w_key, self.w_value, self.w_output):
            nn.init.xavier_uniform_(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        bias: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Let each query gather from the values what it needs.

        Args:
            query: (B, T, d_model).
            key: (B, S, key_width); the query when left out (self-attention).
            value: (B, S, value_width); the key when left out.
            mask: Boolean, True = may attend: (T, S), (B, T, S) for all heads, or (B, H, T, S); any axis may be 1.
            bias: Floating point, (T, S), (H, T, S) for every sequence or (B, H, T, S); added to the scaled scores.
            cache: Keys and values of earlier calls. Those of this call are appended (`KeyValueCache`) or, once there,
                taken from it (`MemoryCache`); S counts all of them, also in `mask` and `bias`.

        Returns:
            Output (B, T, d_model).

        Raises:
            ValueError: When widths, lengths or batches differ, an input is not floating point, of another rank or
                empty, the mask is not boolean, the bias is not of the query's dtype, or one of them does not broadcast.

        Example:
            >>> attention = MultiHeadAttention(d_model=8, num_heads=2, key_width=5)
            >>> attention(torch.ones(1, 3, 8), torch.ones(1, 4, 5)).shape
            torch.Size([1, 3, 8])
        """
        query, key, value = self._projected(query, key, value, cache)
        return self.w_output(_attend_in_heads(query, key, value, mask, bias, self.scale))  # (B, T, d_model)

    def attention_weights(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        bias: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Compute the weights that `forward` uses for the same arguments: who attends to what, head by head.

        Args:
            query: As for `forward`.
            key: As for `forward`.
            value: As for `forward`; the weights do not depend on it.
            mask: As for `forward`.
            bias: As for `forward`.
            cache: As for `forward`, before that call; it stays as it is.

        Returns:
            Weights (B, H, T, S).

        Raises:
            ValueError: As `forward`.

        Example:
            >>> MultiHeadAttention(d_model=8, num_heads=2).attention_weights(torch.ones(1, 3, 8)).shape
            torch.Size([1, 2, 3, 3])
        """
        query, key, _ = self._projected(query, key, value, copy.copy(cache))
        mask = mask_for_heads(mask, (*query.shape[:3], key.shape[2]))
        return attention_weights(query, key, mask, scale=self.scale, bias=bias)  # (B, H, T, S)

    def _projected(
        self, query: Tensor, key: Tensor | None, value: Tensor | None, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Project query, key and value, split them into heads and tell queries and keys their places."""
        key, value = self._defaults(query, key, value)
        placed = self.positions or (lambda x: x)
        if self.positions is not None and cache is not None:
            placed = partial(self.positions, offset=len(cache))

        def project() -> tuple[Tensor, Tensor]:
            keys = placed(_split_heads(self.w_key(key), self.num_heads))
            return keys, _split_heads(self.w_value(value), self.num_heads)

        queries = placed(_split_heads(self.w_query(query), self.num_heads))
        return queries, *(project() if cache is None else cache.extended(project))  # each (B, H, T or S, d_k)

    def _defaults(self, query: Tensor, key: Tensor | None, value: Tensor | None) -> tuple[Tensor, Tensor]:
        key = query if key is None else key
        value = key if value is None else value
        inputs = {"query": query, "key": key, "value": value}
        check_inputs(inputs, {"d_model": self.d_model, "key_width": self.key_width, "value_width": self.value_width})
        return key, value


@contextmanager
def watch(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Look at a model's attention weights from outside, while it runs as always.

    Every module inside that has a method `attention_weights` with the arguments of its `forward` is watched. Its
    weights are computed once more before each call, without gradient; the output stays the fused kernel's. Nothing is
    remembered on a module, and on leaving the block the hooks are gone, also after an error.

    Args:
        model: A `MultiHeadAttention`, or any module that holds some.

    Yields:
        A dict from each watched module's name in the model (`""` for the model itself) to the list of its weights
        (B, H, T, S), one entry a call, in the order of the calls. A module shared by several layers has one entry a
        layer, under its first name.

    Raises:
        ValueError: When the model holds nothing to watch.

    Example:
        >>> model = nn.Sequential(MultiHeadAttention(8, 2), MultiHeadAttention(8, 4))
        >>> with watch(model) as weights:
        ...     output = model(torch.ones(1, 3, 8))
        >>> {name: [tuple(w.shape) for w in calls] for name, calls in weights.items()}
        {'0': [(1, 2, 3, 3)], '1': [(1, 4, 3, 3)]}
    """
    watched = {name: module for name, module in model.named_modules() if hasattr(module, "attention_weights")}
    if not watched:
        raise ValueError(f"{type(model).__name__} holds no module with attention weights to watch")
    weights: dict[str, list[Tensor]] = {name: [] for name in watched}

    def recorder(name: str):
        def record(module, args, kwargs):  # before the call, which may extend a cache
            with torch.no_grad():
                weights[name].append(module.attention_weights(*args, **kwargs))

        return record

    handles = [module.register_forward_pre_hook(recorder(name), with_kwargs=True) for name, module in watched.items()]
    try:
        yield weights
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def gate_heads(model: nn.Module, gates: Mapping[str, Tensor]) -> Iterator[None]:
    r"""Turn single heads up or down from outside, while the model runs as always.

    $$\mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(\xi_1 \mathrm{head}_1, \ldots, \xi_h \mathrm{head}_h)W^O$$

    Source: Michel et al. 2019, section 2.3, arXiv:1905.10650. The gates take part in the gradient: its absolute value
    at gates of 1, averaged over data, is the importance of a head (their section 4.1). On leaving the block the gates
    are gone, also after an error.

    Args:
        model: A `MultiHeadAttention`, or any module that holds some.
        gates: For each name of a `MultiHeadAttention` in the model, as `watch` names them, the gates (H,) of its
            heads: 1 leaves a head as it is, 0 removes what it says.

    Raises:
        ValueError: When a name stands for no `MultiHeadAttention`, or there is not one gate for each head.

    Example:
        >>> model, x = MultiHeadAttention(8, 2), torch.ones(1, 3, 8)
        >>> with gate_heads(model, {"": torch.ones(2)}):
        ...     gated = model(x)
        >>> torch.equal(gated, model(x))
        True
    """
    modules = dict(model.named_modules())
    for name, gate in gates.items():
        module = modules.get(name)
        if not isinstance(module, MultiHeadAttention):
            known = [repr(known) for known, module in modules.items() if isinstance(module, MultiHeadAttention)]
            raise ValueError(f"{name!r} is no MultiHeadAttention of the model; there are {', '.join(known) or 'none'}")
        if tuple(gate.shape) != (module.num_heads,):
            raise ValueError(f"{name!r} has {module.num_heads} heads but its gates have shape {tuple(gate.shape)}")

    def gated(gate: Tensor):
        return lambda module, args: (args[0] * gate.repeat_interleave(args[0].shape[-1] // len(gate)),)

    handles = [modules[name].w_output.register_forward_pre_hook(gated(gate)) for name, gate in gates.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def without_heads(model: nn.Module, heads: Mapping[str, Iterable[int]]) -> Iterator[None]:
    """Silence single heads from outside, while the model runs as always: what they say is replaced by zeros.

    Source: Michel et al. 2019, section 3.2, arXiv:1905.10650. Nothing is trained anew and no bias is changed.

    Args:
        model: A `MultiHeadAttention`, or any module that holds some.
        heads: For each name of a `MultiHeadAttention` in the model, as `watch` names them, which heads to silence.

    Raises:
        ValueError: When a name stands for no `MultiHeadAttention`, or it has no head of that number.

    Example:
        >>> model, x = MultiHeadAttention(8, 2, bias=False), torch.ones(1, 3, 8)
        >>> with without_heads(model, {"": [0, 1]}):
        ...     model(x).abs().max().item()
        0.0
    """
    modules, gates = dict(model.named_modules()), {}
    for name, silenced in heads.items():
        num_heads = getattr(modules.get(name), "num_heads", 0)
        gates[name] = torch.ones(num_heads)
        for head in silenced if num_heads else ():
            if not 0 <= head < num_heads:
                raise ValueError(f"there is no head {head} in {name!r}: it has heads 0 to {num_heads - 1}")
            gates[name][head] = 0.0
    with gate_heads(model, gates):
        yield
