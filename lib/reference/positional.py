"""Positions in NumPy, float64."""

import numpy as np

from lib.reference.contracts import check_buckets, check_count, check_even, check_rotation


def sinusoidal_positions(length: int, d_model: int) -> np.ndarray:
    r"""Give every place in a sequence a vector of sines and cosines, from fast to slow.

    $$P_{t, 2i} = \sin\left(t / 10000^{2i / d_{model}}\right), \quad
    P_{t, 2i + 1} = \cos\left(t / 10000^{2i / d_{model}}\right)$$

    Source: Vaswani et al. 2017, section 3.5, arXiv:1706.03762.

    Args:
        length: Number of places.
        d_model: Width of the vectors; even, since sines and cosines come in pairs.

    Returns:
        Array (length, d_model), float64.

    Raises:
        ValueError: When `length` or `d_model` is not an integer of at least 1, or `d_model` is odd.

    Example:
        >>> sinusoidal_positions(2, 4).round(2)
        array([[0.  , 1.  , 0.  , 1.  ],
               [0.84, 0.54, 0.01, 1.  ]])
    """
    check_count("length", length)
    check_even("d_model", d_model)
    divisors = 10000 ** (np.arange(0, d_model, 2) / d_model)  # (D / 2,)
    angles = np.arange(length)[:, None] / divisors  # (length, D / 2)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, d_model)


def rotate(x: np.ndarray, *, offset: int = 0, base: float = 10000.0) -> np.ndarray:
    r"""Turn each vector by angles that grow with its place, so that dot products tell how far apart two places are.

    Each pair of neighbouring numbers is a point in a plane; at place $t$ it is turned by $t \theta_i$:

    $$\begin{pmatrix} x'_{2i} \\ x'_{2i + 1} \end{pmatrix} =
    \begin{pmatrix} \cos t\theta_i & -\sin t\theta_i \\ \sin t\theta_i & \cos t\theta_i \end{pmatrix}
    \begin{pmatrix} x_{2i} \\ x_{2i + 1} \end{pmatrix}, \quad \theta_i = base^{-2i / d_k}$$

    Source: Su et al. 2021, section 3.2.2, equations 14 and 15, arXiv:2104.09864.

    Args:
        x: (..., T, d_k), queries or keys after their split into heads; d_k is even.
        offset: Place of the first vector.
        base: Sets the slowest of the speeds; they run from 1 towards 1 / base.

    Returns:
        Array (..., T, d_k), float64; each vector as long as before.

    Raises:
        ValueError: When x is not floating point, has fewer than 2 axes or is empty, d_k is odd, `offset` is not an
            integer of at least 0, or `base` is not above 0.

    Example:
        >>> rotate(np.ones((3, 2))).round(2)
        array([[ 1.  ,  1.  ],
               [-0.3 ,  1.38],
               [-1.33,  0.49]])
    """
    x = np.asarray(x)
    check_rotation(x, offset, base)
    x = x.astype(np.float64)
    T, d_k = x.shape[-2:]
    speeds = float(base) ** -(np.arange(0, d_k, 2) / d_k)  # (d_k / 2,)
    angles = np.arange(offset, offset + T)[:, None] * speeds  # (T, d_k / 2)
    cos, sin, even, odd = np.cos(angles), np.sin(angles), x[..., 0::2], x[..., 1::2]
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def relative_buckets(
    T: int,
    S: int | None = None,
    *,
    num_buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> np.ndarray:
    r"""Sort the distances between queries and keys into buckets: near ones exactly, far ones ever more coarsely.

    With $n$ buckets a direction, distance $d$ has bucket $d$ while $d < m = \lfloor n / 2 \rfloor$, and from there on

    $$\min\left(n - 1,\ m + \left\lfloor (n - m) \frac{\ln (d / m)}{\ln (max\_distance / m)} \right\rfloor\right)$$

    The ends of queries and keys are aligned as in `causal_mask`: query t stands at place S - T + t.

    Source: Raffel et al. 2019, section 2.1, arXiv:1910.10683 (the formula: their published code).

    Args:
        T: Number of queries.
        S: Number of keys; T when left out.
        num_buckets: Number of buckets in all.
        max_distance: Distance from which on everything is in the last bucket.
        bidirectional: Whether later keys have buckets of their own, the second half (encoders); else they all share
            bucket 0, and a causal mask hides them (decoders).

    Returns:
        Array (T, S) of integers from 0 to num_buckets - 1.

    Raises:
        ValueError: When T, S, `num_buckets` or `max_distance` is not an integer of at least 1, there are too few
            buckets, an odd number for two directions, or `max_distance` is not above the distances that have a bucket
            each.

    Example:
        >>> relative_buckets(2, 5, num_buckets=8, max_distance=4)
        array([[3, 2, 1, 0, 5],
               [3, 3, 2, 1, 0]])
    """
    S = T if S is None else S
    check_count("T", T)
    check_count("S", S)
    check_buckets(num_buckets, max_distance, bidirectional)
    ahead = np.arange(S) - (np.arange(T)[:, None] + S - T)  # (T, S): places from each query on to each key
    n = num_buckets // 2 if bidirectional else num_buckets
    distance = np.abs(ahead) if bidirectional else np.maximum(-ahead, 0)
    first = n * (ahead > 0) if bidirectional else 0
    m = n // 2
    coarse = (n - m) * np.log(np.maximum(distance, m) / m) / np.log(max_distance / m)
    coarse = (coarse + 1e-9).astype(np.int64)  # rounding must not push a distance below the edge on which it lies
    return first + np.where(distance < m, distance, np.minimum(m + coarse, n - 1))
