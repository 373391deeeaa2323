"""Positions in PyTorch: the names and shapes of `lib.reference.positional`."""

import torch
from torch import Tensor

from lib.reference.contracts import check_count, check_even


def sinusoidal_positions(length: int, d_model: int, *, device: torch.device | str | None = None) -> Tensor:
    r"""Give every place in a sequence a vector of sines and cosines, from fast to slow.

    $$P_{t, 2i} = \sin\left(t / 10000^{2i / d_{model}}\right), \quad
    P_{t, 2i + 1} = \cos\left(t / 10000^{2i / d_{model}}\right)$$

    Source: Vaswani et al. 2017, section 3.5, arXiv:1706.03762.

    Args:
        length: Number of places.
        d_model: Width of the vectors; even, since sines and cosines come in pairs.
        device: Where the tensor is made.

    Returns:
        Tensor (length, d_model) in torch's default dtype, worked out in float64.

    Raises:
        ValueError: When `length` or `d_model` is not an integer of at least 1, or `d_model` is odd.

    Example:
        >>> sinusoidal_positions(2, 4)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    check_count("length", length)
    check_even("d_model", d_model)
    divisors = 10000 ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (D / 2,)
    angles = torch.arange(length)[:, None] / divisors  # (length, D / 2)
    positions = torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(length, d_model)
    return positions.to(device=device, dtype=torch.get_default_dtype())
