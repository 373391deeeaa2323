"""What every model refuses: impossible configs, tokens that do not exist, sequences that are too long."""

from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lib.reference.contracts import check_count, check_heads, check_rank


def check_sizes(config: Any, **least: int) -> None:
    """Refuse a config whose sizes are not integers of at least 1, or whose d_model does not divide among its heads.

    Args:
        config: A dataclass with `d_model` and `num_heads`.
        **least: The smallest value of each further field that is a size.

    Raises:
        ValueError: Naming the field and its value.
    """
    check_heads(config.d_model, config.num_heads)
    for name, smallest in least.items():
        check_count(name, getattr(config, name), smallest)


def check_share(name: str, value: Any) -> None:
    """Refuse a share, such as a dropout, that is no number or outside 0 to 1 (1 itself excluded)."""
    if not isinstance(value, Real) or not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1 but is {value!r}")


def check_epsilon(name: str, value: Any) -> None:
    """Refuse what cannot be added to a variance: all but a number above 0 and below 1."""
    if not isinstance(value, Real) or not 0 < value < 1:
        raise ValueError(f"{name} must be above 0 and below 1 but is {value!r}")


def check_integers(name: str, array: Tensor) -> None:
    """Refuse what is no table (B, T) of integers."""
    if not isinstance(array, Tensor):
        raise ValueError(f"{name} must be a tensor of integers (B, T) but is {array!r}")
    check_rank(2, **{name: array})
    if array.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{name} must hold integers (int64 or int32) but has dtype {str(array.dtype)[6:]}")


def check_tokens(tokens: Tensor, vocab_size: int, *, longest: int | None = None, name: str = "tokens") -> None:
    """Refuse token ids (B, T) that are no integers, outside the vocabulary, empty, or more than a model has places.

    Raises:
        ValueError: Naming the id or the length, and the limit.

    Example:
        >>> check_tokens(torch.tensor([[3, 90]]), 65)
        Traceback (most recent call last):
        ...
        ValueError: tokens holds the id 90 but vocab_size=65: ids run from 0 to 64
    """
    check_integers(name, tokens)
    if 0 in tokens.shape:
        raise ValueError(f"{name} is empty: shape {tuple(tokens.shape)}, but every axis needs a length of at least 1")
    for outside in (int(tokens.min()), int(tokens.max())):
        if not 0 <= outside < vocab_size:
            raise ValueError(
                f"{name} holds the id {outside} but vocab_size={vocab_size}: ids run from 0 to {vocab_size - 1}"
            )
    if longest is not None and tokens.shape[1] > longest:
        raise ValueError(f"{name} is {tokens.shape[1]} long but there are {longest} positions")
