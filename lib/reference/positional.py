"""Positions in NumPy, float64."""

import numpy as np

from lib.reference.contracts import check_count, check_even


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
