"""Efficient forms of attention in NumPy, float64: the equations, and the plainest way to compute each.

Shapes: query (..., T, d_k), key (..., S, d_k), value (..., S, d_v), with equal leading axes. A mask is boolean, True
means *may attend*, and broadcasts to (..., T, S). A query that may attend to nothing gets zeros.
"""

import numpy as np

from lib.reference.attention import scaled_dot_product_attention
from lib.reference.contracts import check_attention, check_count, check_floats, check_groups, check_mask


def window_mask(T: int, S: int | None = None, *, window: int, causal: bool = False) -> np.ndarray:
    """Let each query see only keys less than `window` places away; with `causal` only itself and earlier ones.

    When S differs from T the ends are aligned, as in `lib.reference.masks.causal_mask`.

    Source: Beltagy et al. 2020, section 3.1, arXiv:2004.05150. Differs: their window w has w / 2 keys on either side.

    Args:
        T: Number of queries.
        S: Number of keys; T when left out.
        window: How many keys a query sees on each side, itself counted.
        causal: Whether later keys are hidden.

    Returns:
        Boolean array (T, S).

    Raises:
        ValueError: When T, S or `window` is not an integer of at least 1.

    Example:
        >>> window_mask(3, window=2, causal=True).astype(int)
        array([[1, 0, 0],
               [1, 1, 0],
               [0, 1, 1]])
    """
    S = T if S is None else S
    for name, number in (("T", T), ("S", S), ("window", window)):
        check_count(name, number)
    back = np.arange(T)[:, None] + S - T - np.arange(S)  # (T, S): how far behind the query a key lies
    return (back < window) & (back >= 0 if causal else back > -window)


def blockwise_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
    block_size: int = 256,
) -> np.ndarray:
    r"""Compute exact attention block by block of the keys, keeping only a maximum, a sum and an output for each query.

    $$m' = \max(m, \max_j s_j), \quad \ell' = e^{m - m'} \ell + \sum_j e^{s_j - m'}, \quad
    o' = e^{m - m'} o + \sum_j e^{s_j - m'} v_j$$

    At the end the output is $o / \ell$.

    Source: Milakov and Gimelshein 2018, section 3, arXiv:1805.02867 (maximum and sum in one pass); Dao et al. 2022,
    section 3.1, arXiv:2205.14135 (the output too). Differs: here the mask is whole and only the keys are cut.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        mask: Boolean, broadcastable to (..., T, S); True = may attend.
        causal: Whether later keys are hidden, ends aligned.
        window: Only keys less than this many places away are seen; all when left out.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.
        block_size: Number of keys taken at a time.

    Returns:
        Output (..., T, d_v), float64: that of `scaled_dot_product_attention` with these masks together.

    Raises:
        ValueError: As `scaled_dot_product_attention`, and when `block_size` or `window` is not an integer
            of at least 1.

    Example:
        >>> blockwise_attention(np.zeros((1, 4)), np.ones((2, 4)), np.array([[1.0], [3.0]]), block_size=1)
        array([[2.]])
    """
    query, key, value, allowed = _checked(query, key, value, mask, causal, window)
    check_count("block_size", block_size)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    highest = np.full((*query.shape[:-1], 1), -np.inf)
    total = np.zeros_like(highest)
    output = np.zeros((*query.shape[:-1], value.shape[-1]))
    for start in range(0, key.shape[-2], block_size):
        block = slice(start, start + block_size)
        scores = query @ key[..., block, :].swapaxes(-1, -2) * scale
        scores = np.where(allowed[..., block], scores, -np.inf)
        risen = np.maximum(highest, scores.max(axis=-1, keepdims=True))
        level = np.where(np.isneginf(risen), 0.0, risen)
        powers, shrink = np.exp(scores - level), np.exp(highest - level)
        total = shrink * total + powers.sum(axis=-1, keepdims=True)
        output = shrink * output + powers @ value[..., block, :]
        highest = risen
    return output / np.where(total == 0, 1.0, total)


def _checked(query, key, value, mask, causal, window):
    """Check the inputs and put the three masks together: (..., T, S)."""
    query, key, value = (np.asarray(array) for array in (query, key, value))
    check_attention(query, key, value)
    T, S = query.shape[-2], key.shape[-2]
    mask = None if mask is None else np.asarray(mask)
    check_mask(mask, (*query.shape[:-1], S))
    allowed = np.ones((T, S), dtype=bool) if mask is None else mask
    if causal or window is not None:
        allowed = allowed & window_mask(T, S, window=T + S if window is None else window, causal=causal)
    allowed = np.broadcast_to(allowed, (*query.shape[:-1], S))
    return *(array.astype(np.float64) for array in (query, key, value)), allowed


def sliding_window_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    window: int,
    *,
    causal: bool = True,
    scale: float | None = None,
) -> np.ndarray:
    """Attend only to keys less than `window` places away: ordinary attention with `window_mask`.

    Source: Beltagy et al. 2020, section 3.1, arXiv:2004.05150.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        window: As in `window_mask`.
        causal: Whether later keys are hidden.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.

    Returns:
        Output (..., T, d_v), float64.

    Raises:
        ValueError: As `scaled_dot_product_attention` and `window_mask`.

    Example:
        >>> sliding_window_attention(np.zeros((3, 4)), np.ones((3, 4)), np.array([[1.0], [3.0], [5.0]]), 2)[:, 0]
        array([1., 2., 4.])
    """
    query, key, value = (np.asarray(array) for array in (query, key, value))
    check_attention(query, key, value)
    mask = window_mask(query.shape[-2], key.shape[-2], window=window, causal=causal)
    return scaled_dot_product_attention(query, key, value, mask, scale=scale)


def positive_features(x: np.ndarray) -> np.ndarray:
    r"""Make every number positive: $\mathrm{elu}(x) + 1$, which is $x + 1$ above 0 and $e^x$ below.

    Source: Katharopoulos et al. 2020, equation 7, arXiv:2006.16236.

    Args:
        x: Floating-point numbers of any shape.

    Returns:
        The same shape, float64.

    Raises:
        ValueError: When x is not floating point.

    Example:
        >>> positive_features(np.array([-np.log(2.0), 0.0, 2.0]))
        array([0.5, 1. , 3. ])
    """
    check_floats(x=np.asarray(x))
    x = np.asarray(x, dtype=np.float64)
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def linear_attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, *, causal: bool = False) -> np.ndarray:
    r"""Weigh by a product of features instead of an exponential, here with all T x S weights written out.

    $$w_{tj} = \frac{\phi(q_t)^\top \phi(k_j)}{\sum_i \phi(q_t)^\top \phi(k_i)}, \quad \phi(x) = \mathrm{elu}(x) + 1$$

    Source: Katharopoulos et al. 2020, equations 4 and 7, arXiv:2006.16236. This is another attention than softmax's.

    Args:
        query: (..., T, d_k).
        key: (..., S, d_k).
        value: (..., S, d_v).
        causal: Whether later keys are hidden, ends aligned.

    Returns:
        Output (..., T, d_v), float64.

    Raises:
        ValueError: As `scaled_dot_product_attention`.

    Example:
        >>> linear_attention(np.zeros((1, 4)), np.ones((2, 4)), np.array([[1.0], [3.0]]))
        array([[2.]])
    """
    query, key, value, allowed = _checked(query, key, value, None, causal, None)
    products = positive_features(query) @ positive_features(key).swapaxes(-1, -2) * allowed  # (..., T, S)
    total = products.sum(axis=-1, keepdims=True)
    return products @ value / np.where(total == 0, 1.0, total)


def grouped_query_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    scale: float | None = None,
) -> np.ndarray:
    """Let groups of query heads share the keys and values of one head.

    With as many key heads as query heads this is ordinary attention; with a single one it is multi-query attention.

    Source: Ainslie et al. 2023, section 2.2, arXiv:2305.13245; Shazeer 2019, section 3, arXiv:1911.02150 (one head).

    Args:
        query: (B, H, T, d_k).
        key: (B, G, S, d_k); G divides H, and query head h reads key head h // (H / G).
        value: (B, G, S, d_v).
        mask: Boolean, broadcastable to (B, H, T, S); True = may attend.
        scale: Factor of the dot product; 1 / sqrt(d_k) when left out.

    Returns:
        Output (B, H, T, d_v), float64.

    Raises:
        ValueError: When G does not divide H, and as `scaled_dot_product_attention`.

    Example:
        >>> grouped_query_attention(np.ones((1, 4, 3, 2)), np.ones((1, 2, 5, 2)), np.ones((1, 2, 5, 2))).shape
        (1, 4, 3, 2)
    """
    query, key, value = (np.asarray(array) for array in (query, key, value))
    check_groups(query, key, value)
    each = query.shape[1] // key.shape[1]
    return scaled_dot_product_attention(query, key.repeat(each, axis=1), value.repeat(each, axis=1), mask, scale=scale)
