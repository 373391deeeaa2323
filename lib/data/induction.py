"""Sequences in which what followed once answers what follows again, generated from a seed. Licence: ours, MIT."""

from typing import NamedTuple

import torch
from torch import Tensor

NO_LABEL = -100  # what torch's cross-entropy leaves out


class Induction(NamedTuple):
    """A batch of sequences in which every token appears exactly twice.

    Attributes:
        tokens: (B, T) int64.
        labels: (B, T) int64, where a token appears for the second time the token that followed it the first time;
            `NO_LABEL` elsewhere.
        source: (B, T) int64, the place where that label stands in the sequence; 0 where there is none.
    """

    tokens: Tensor
    labels: Tensor
    source: Tensor


def twice_each(batch: int, pairs: int, *, vocab_size: int, generator: torch.Generator | None = None) -> Induction:
    """Shuffle tokens that appear twice each; at the second appearance ask what followed the first (... a b ... a -> b).

    Which tokens take part, and in which order, is drawn anew for every sequence: neither a token nor a place says
    anything about the answer by itself. It is the induction task of Sanford et al. 2024, arXiv:2408.14332, with one
    earlier appearance instead of the latest of several.

    Args:
        batch: Number of sequences B.
        pairs: Number of different tokens in a sequence; T = 2 * pairs.
        vocab_size: Number of tokens to choose them from.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        The batch, an `Induction`.

    Raises:
        ValueError: When `batch` or `pairs` is below 1, or `pairs` is above `vocab_size`.

    Example:
        >>> data = twice_each(1, 3, vocab_size=9, generator=torch.Generator().manual_seed(0))
        >>> data.tokens.tolist(), data.labels.tolist()
        ([[2, 3, 4, 3, 4, 2]], [[-100, -100, -100, 4, 3, 3]])
    """
    for name, number in (("batch", batch), ("pairs", pairs)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1 but is {number}")
    if pairs > vocab_size:
        raise ValueError(f"pairs={pairs} different tokens need a vocab_size of as many but it is {vocab_size}")
    T = 2 * pairs
    chosen = torch.rand(batch, vocab_size, generator=generator).argsort(dim=-1)[:, :pairs]  # (B, pairs)
    order = torch.rand(batch, T, generator=generator).argsort(dim=-1)  # (B, T)
    tokens = chosen.repeat(1, 2).gather(1, order)  # (B, T)
    earlier = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)  # (B, T, T): same token, strictly before
    second = earlier.any(dim=-1)  # (B, T)
    source = torch.where(second, earlier.int().argmax(dim=-1) + 1, 0)  # (B, T)
    labels = torch.where(second, tokens.gather(1, source), NO_LABEL)
    return Induction(tokens, labels, source)
