"""What a decoder keeps of the places that it has already seen, so that each new token costs one step and not all."""

from collections.abc import Callable

import torch
from torch import Tensor

from lib.reference.contracts import check_leading_axes, check_rank, check_same_length

Projected = tuple[Tensor, Tensor]


class KeyValueCache:
    """Keep the projected keys and values of one layer's self-attention and append those of each new place.

    It is handed to `MultiHeadAttention.forward` as an argument and is all that is remembered between two calls.

    Source: Shazeer 2019, section 2.4, arXiv:1911.02150 (incremental multi-head attention).

    Example:
        >>> cache = KeyValueCache()
        >>> key, value = cache.extended(lambda: (torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4)))
        >>> key, value = cache.extended(lambda: (torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4)))
        >>> len(cache), key.shape, cache.bytes
        (4, torch.Size([1, 2, 4, 4]), 256)
    """

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def __len__(self) -> int:
        """Give the number of places kept."""
        return 0 if self.key is None else self.key.shape[-2]

    @property
    def bytes(self) -> int:
        """Memory that the kept keys and values take."""
        return 0 if self.key is None else self.key.nbytes + self.value.nbytes

    def extended(self, project: Callable[[], Projected]) -> Projected:
        """Append the new keys and values (B, H, T, d) that `project` makes, and give all of them (B, H, S, d).

        Raises:
            ValueError: When the new ones do not fit those that are kept, or each other.
        """
        key, value = project()
        check_rank(4, key=key, value=value)
        check_same_length(key, value)
        if self.key is not None:
            check_leading_axes(**{"cached key": self.key, "new key": key})
            key, value = torch.cat([self.key, key], dim=-2), torch.cat([self.value, value], dim=-2)
        self.key, self.value = key, value
        return key, value

    def select(self, rows: Tensor) -> None:
        """Keep these sequences of the batch, in this order, also several times: beams that go on.

        Args:
            rows: (B',) integers.
        """
        if self.key is not None:
            self.key, self.value = self.key[rows], self.value[rows]


class MemoryCache(KeyValueCache):
    """Keep the projected keys and values of a memory that stays the same: cross-attention projects it only once.

    Example:
        >>> cache = MemoryCache()
        >>> memory = torch.ones(1, 2, 3, 4)
        >>> for step in range(2):
        ...     key, value = cache.extended(lambda: (memory, memory))
        >>> len(cache)
        3
    """

    def extended(self, project: Callable[[], Projected]) -> Projected:
        """Give the kept keys and values (B, H, S, d); only the first call asks `project` for them."""
        return super().extended(project) if self.key is None else (self.key, self.value)
