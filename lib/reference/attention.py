"""Attention in NumPy, float64, functions only: the equation and nothing else.

Shapes: query (..., T, d_k), key (..., S, d_k), value (..., S, d_v), with equal leading axes. A mask is boolean, True
means *may attend*, and broadcasts to (..., T, S). A query that may attend to nothing gets zeros.
"""

import numpy as np

from lib.reference.contracts import (
    check_attention,
    check_bias,
    check_floats,
    check_mask,
    check_multi_head,
    check_query_key,
    check_rank,
    check_same_width,
    check_shape,
    mask_for_heads,
)


def _float64(*arrays: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(array, dtype=np.float64) for array in arrays]


def softmax(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    r"""Turn scores into weights that are positive and sum to 1 over the last axis.

    $$w_j = \frac{e^{s_j}}{\sum_i e^{s_i}}$$

    The largest score is subtracted first, which changes nothing but keeps the exponentials finite.

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S), float64; 0 where the mask is False, and a row of zeros where all of it is False.

    Raises:
        ValueError: When the scores are not floating point or are empty, or the mask is not boolean or does not
            broadcast.

    Example:
        >>> softmax(np.log([1.0, 2.0, 5.0]))
        array([0.125, 0.25 , 0.625])
        >>> softmax(np.array([1e4, 0.0]), np.array([False, False]))
        array([0., 0.])
    """
    scores = np.asarray(scores)
    mask = None if mask is None else np.asarray(mask)
    check_floats(1, scores=scores)
    check_mask(mask, scores.shape)
    (scores,) = _float64(scores)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    highest = scores.max(axis=-1, keepdims=True)
    exponentials = np.exp(scores - np.where(np.isneginf(highest), 0.0, highest))
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total == 0, 1.0, total)


def sigmoid(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    r"""Turn each score into a weight between 0 and 1 by itself, whatever the other scores are.

    $$w_j = \frac{1}{1 + e^{-s_j}}$$

    The weights of a row add up to anything from 0 to S: they are not a distribution.

    Source: Ramapuram et al. 2024, arXiv:2409.04431. Differs: nothing is subtracted from the scores.

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S), float64; 0 where the mask is False.

    Raises:
        ValueError: As `softmax`.

    Example:
        >>> sigmoid(np.log([1.0, 3.0, 9.0]))
        array([0.5 , 0.75, 0.9 ])
    """
    scores, mask = _checked_scores(scores, mask)
    weights = np.exp(-np.logaddexp(0.0, -scores))
    return weights if mask is None else np.where(mask, weights, 0.0)


def sparsemax(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    r"""Turn scores into the nearest weights that sum to 1; scores that are too low get exactly 0.

    $$w = \arg\min_{p \in \Delta} \lVert p - s \rVert^2, \quad w_j = \max(s_j - \tau, 0)$$

    The threshold $\tau$ is what makes the weights sum to 1. Only scores less than 1 below the highest can have weight.

    Source: Martins and Astudillo 2016, algorithm 1, arXiv:1602.02068.

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S), float64; 0 where the mask is False, and a row of zeros where all of it is False.

    Raises:
        ValueError: As `softmax`.

    Example:
        >>> sparsemax(np.array([1.0, 0.5, -1.0]))
        array([0.75, 0.25, 0.  ])
    """
    scores, mask = _checked_scores(scores, mask)
    if mask is not None:
        attendable = mask.any(axis=-1, keepdims=True)
        scores = np.where(mask | ~attendable, scores, -np.inf)
    scores = scores - scores.max(axis=-1, keepdims=True)
    ordered = -np.sort(-scores, axis=-1)
    total = ordered.cumsum(axis=-1)
    ranks = np.arange(1, scores.shape[-1] + 1)
    kept = (1 + ranks * ordered > total).sum(axis=-1, keepdims=True)  # (..., 1): scores above the threshold
    threshold = (np.take_along_axis(total, kept - 1, axis=-1) - 1) / kept  # (..., 1)
    weights = np.maximum(scores - threshold, 0.0)
    return weights if mask is None else np.where(attendable, weights, 0.0)


def _checked_scores(scores: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    scores, mask = np.asarray(scores), None if mask is None else np.asarray(mask)
    check_floats(1, scores=scores)
    check_mask(mask, scores.shape)
    return scores.astype(np.float64), mask


def _checked(query: np.ndarray, key: np.ndarray, **more: np.ndarray) -> list[np.ndarray]:
    arrays = {name: np.asarray(array) for name, array in {"query": query, "key": key, **more}.items()}
    check_query_key(**arrays)
    return _float64(*arrays.values())


def dot_score(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    r"""Score each key for each query by their dot product, $q^\top k$.

    Source: Luong et al. 2015, section 3.1 ("dot"), arXiv:1508.04025.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).

    Returns:
        Scores (..., T, S), float64.

    Raises:
        ValueError: When widths or leading axes differ, or an input is not floating point, too low in rank or empty.

    Example:
        >>> dot_score(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
        array([[11.,  2.]])
    """
    query, key = _checked(query, key)
    check_same_width(query, key)
    return np.einsum("...td,...sd->...ts", query, key)


def scaled_dot_score(query: np.ndarray, key: np.ndarray, *, scale: float | None = None) -> np.ndarray:
    r"""Score each key by $q^\top k / \sqrt{d_k}$, so that the noise stays as loud at any width.

    Source: Vaswani et al. 2017, section 3.2.1, arXiv:1706.03762.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.

    Returns:
        Scores (..., T, S), float64.

    Raises:
        ValueError: As `dot_score`.

    Example:
        >>> scaled_dot_score(np.ones((1, 4)), np.ones((2, 4)))
        array([[2., 2.]])
    """
    scores = dot_score(query, key)
    return scores * (np.shape(query)[-1] ** -0.5 if scale is None else scale)


def bilinear_score(query: np.ndarray, key: np.ndarray, weight: np.ndarray) -> np.ndarray:
    r"""Score each key by $q^\top W k$: a learned dot product between different spaces.

    Source: Luong et al. 2015, section 3.1 ("general"), arXiv:1508.04025.

    Args:
        query: (..., T, d_q).
        key: (..., S, d_k).
        weight: (d_q, d_k).

    Returns:
        Scores (..., T, S), float64.

    Raises:
        ValueError: When `weight` is not (d_q, d_k), leading axes differ, or an input is not floating point, too low in
            rank or empty.

    Example:
        >>> bilinear_score(np.array([[1.0, 2.0]]), np.array([[3.0]]), np.array([[1.0], [10.0]]))
        array([[63.]])
    """
    query, key, weight = _checked(query, key, weight=weight)
    check_shape("weight", weight, (query.shape[-1], key.shape[-1]))
    return np.einsum("...tq,qk,...sk->...ts", query, weight, key)


def additive_score(
    query: np.ndarray, key: np.ndarray, w_query: np.ndarray, w_key: np.ndarray, v: np.ndarray
) -> np.ndarray:
    r"""Score each key by a small network with one hidden layer, $v^\top \tanh(q W_q + k W_k)$.

    Source: Bahdanau et al. 2014, appendix A.1.2, arXiv:1409.0473.

    Args:
        query: (..., T, d_q).
        key: (..., S, d_k).
        w_query: (d_q, d_hidden).
        w_key: (d_k, d_hidden).
        v: (d_hidden,).

    Returns:
        Scores (..., T, S), float64.

    Raises:
        ValueError: When a weight does not have the shape above, leading axes differ, or an input is not floating
            point, too low in rank or empty.

    Example:
        >>> one = np.ones((1, 1))
        >>> additive_score(one, 2 * one, one, one, np.ones(1)).round(3)
        array([[0.995]])
    """
    query, key, w_query, w_key, v = _checked(query, key, w_query=w_query, w_key=w_key, v=v)
    check_rank(1, v=v)
    check_shape("w_query", w_query, (query.shape[-1], v.shape[0]))
    check_shape("w_key", w_key, (key.shape[-1], v.shape[0]))
    hidden = np.tanh((query @ w_query)[..., :, None, :] + (key @ w_key)[..., None, :, :])  # (..., T, S, d_hidden)
    return hidden @ v


def attention_weights(
    query: np.ndarray,
    key: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    scale: float | None = None,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    r"""Share each query's attention among the keys: $\mathrm{softmax}(q^\top k / \sqrt{d_k})$.

    Source: Vaswani et al. 2017, equation 1, arXiv:1706.03762.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        mask: Boolean, broadcastable to (..., T, S); True = may attend.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.
        bias: Floating point, broadcastable to (..., T, S); added to the scaled scores, before the mask.

    Returns:
        Weights (..., T, S), float64; each row sums to 1, or to 0 where the mask leaves nothing.

    Raises:
        ValueError: As `dot_score`, and when the mask is not boolean, the bias is not of the query's dtype, or one of
            them does not broadcast.

    Example:
        >>> attention_weights(np.zeros((1, 4)), np.ones((2, 4)))
        array([[0.5, 0.5]])
    """
    scores = scaled_dot_score(query, key, scale=scale)
    if bias is not None:
        bias = np.asarray(bias)
        check_bias(bias, np.asarray(query), scores.shape)
        scores = scores + bias
    return softmax(scores, mask)


def scaled_dot_product_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    scale: float | None = None,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    r"""Answer each query by the average of the values, weighted by how well their keys match it.

    $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V$$

    Source: Vaswani et al. 2017, equation 1, arXiv:1706.03762.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        mask: Boolean, broadcastable to (..., T, S); True = may attend.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.
        bias: Floating point, broadcastable to (..., T, S); added to the scaled scores, before the mask.

    Returns:
        Output (..., T, d_v), float64; zeros for a query that may attend to nothing.

    Raises:
        ValueError: When widths, lengths or leading axes differ, an input is not floating point, too low in rank or
            empty, the mask is not boolean, the bias is not of the query's dtype, or one of them does not broadcast.

    Example:
        >>> scaled_dot_product_attention(np.zeros((1, 4)), np.ones((2, 4)), np.array([[1.0], [3.0]]))
        array([[2.]])
    """
    check_attention(np.asarray(query), np.asarray(key), np.asarray(value))
    (value,) = _float64(value)
    return attention_weights(query, key, mask, scale=scale, bias=bias) @ value


def multi_head_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    w_query: np.ndarray,
    w_key: np.ndarray,
    w_value: np.ndarray,
    w_output: np.ndarray,
    num_heads: int,
    mask: np.ndarray | None = None,
    *,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    r"""Attend in several narrow heads at once, put their outputs side by side and mix them.

    $$\mathrm{head}_i = \mathrm{Attention}(QW^Q_i, KW^K_i, VW^V_i), \quad
    \mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(\mathrm{head}_1, \ldots, \mathrm{head}_h)W^O$$

    Source: Vaswani et al. 2017, section 3.2.2, arXiv:1706.03762. Head i owns columns i * d_model / num_heads onwards.

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
        Output (B, T, d_model), float64.

    Raises:
        ValueError: When d_model is not divisible by `num_heads`, a weight does not have the shape above, lengths or
            batches differ, an input is not floating point, of another rank or empty, the mask is not boolean, the
            bias is not of the query's dtype, or one of them does not broadcast.

    Example:
        >>> x, eye = np.ones((1, 3, 4)), np.eye(4)
        >>> multi_head_attention(x, x, x, eye, eye, eye, eye, num_heads=2).shape
        (1, 3, 4)
    """
    inputs = {"query": query, "key": key, "value": value}
    weights = {"w_query": w_query, "w_key": w_key, "w_value": w_value, "w_output": w_output}
    inputs, weights = ({name: np.asarray(a) for name, a in group.items()} for group in (inputs, weights))
    mask = None if mask is None else np.asarray(mask)
    check_multi_head(inputs, weights, num_heads)
    scores_shape = (len(query), num_heads, inputs["query"].shape[1], inputs["key"].shape[1])
    if bias is not None:
        bias = np.asarray(bias)
        check_bias(bias, inputs["query"], scores_shape)
        (bias,) = _float64(bias)
    mask = mask_for_heads(mask, scores_shape)
    query, key, value, w_query, w_key, w_value, w_output = _float64(*inputs.values(), *weights.values())
    heads = scaled_dot_product_attention(
        _split_heads(query @ w_query, num_heads),  # (B, H, T, d_k)
        _split_heads(key @ w_key, num_heads),  # (B, H, S, d_k)
        _split_heads(value @ w_value, num_heads),  # (B, H, S, d_v)
        mask,
        bias=bias,
    )  # (B, H, T, d_v)
    B, _, T, _ = heads.shape
    return heads.swapaxes(1, 2).reshape(B, T, -1) @ w_output  # (B, T, d_model)


def _split_heads(x: np.ndarray, num_heads: int) -> np.ndarray:
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).swapaxes(1, 2)  # (B, H, T, D / H)
