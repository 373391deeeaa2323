"""Masks in PyTorch: boolean, True means *may attend*. Combine them with `&`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lib.reference.contracts import check_count, check_lengths


def causal_mask(T: int, S: int | None = None, *, device: torch.device | str | None = None) -> Tensor:
    """Let each query see the keys up to its own place, and no later one.

    When there are more keys than queries (S > T), the ends are aligned: the queries are the last T of the S places, so
    query t sees the keys 0 ... S - T + t. When there are fewer (S < T), the first T - S queries see nothing.

    Source: Vaswani et al. 2017, section 3.2.3, arXiv:1706.03762.

    Args:
        T: Number of queries.
        S: Number of keys; T when left out.
        device: Where the mask is made.

    Returns:
        Boolean tensor (T, S).

    Raises:
        ValueError: When T or S is not an integer of at least 1.

    Example:
        >>> causal_mask(2, 3).int()
        tensor([[1, 1, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    S = T if S is None else S
    check_count("T", T)
    check_count("S", S)
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)  # (T, S)


def padding_mask(lengths: Tensor | Sequence[int], S: int) -> Tensor:
    """Hide the padding behind the end of each sequence of a batch.

    The middle axis has length 1, so that the mask holds for every query: it broadcasts to (B, T, S), and
    `padding_mask(lengths, S) & causal_mask(T, S)` is (B, T, S). Sequences of length 0 may be attended nowhere.

    Args:
        lengths: (B,) integers, the true length of each sequence.
        S: Length to which the sequences are padded.

    Returns:
        Boolean tensor (B, 1, S), on the device of `lengths`.

    Raises:
        ValueError: When S is not an integer of at least 1, or `lengths` is not one row of integers between 0 and S.

    Example:
        >>> padding_mask([1, 3], 3).int()
        tensor([[[1, 0, 0]],
                [[1, 1, 1]]], dtype=torch.int32)
    """
    lengths = torch.as_tensor(lengths)
    check_count("S", S)
    check_lengths(lengths, S)
    return torch.arange(S, device=lengths.device) < lengths[:, None, None]  # (B, 1, S)
