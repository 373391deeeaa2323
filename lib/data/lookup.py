"""Look-up tasks, generated from a seed. Licence: ours, MIT."""

from typing import NamedTuple

import torch
from torch import Tensor


class PlantedSignal(NamedTuple):
    """A batch of examples, each a query and a set of items, of which one answers the query.

    Attributes:
        query: (B, d_cue) float32, what is looked for.
        cues: (B, S, d_cue) float32, what each item can be found by.
        contents: (B, S) int64, what each item says: a class.
        target_index: (B,) int64, the item whose cue equals the query.
        label: (B,) int64, what that item says.
    """

    query: Tensor
    cues: Tensor
    contents: Tensor
    target_index: Tensor
    label: Tensor


def planted_signal(
    batch: int, items: int, *, num_classes: int, d_cue: int, generator: torch.Generator | None = None
) -> PlantedSignal:
    """Hide one item that matters among items that do not.

    Every cue is a random direction of length sqrt(d_cue), so its entries have variance 1, and the query's dot product
    with its own item's cue, d_cue, is higher than with any other. Contents and the place of the target are uniform.

    Args:
        batch: Number of examples B.
        items: Number of items S in each; one is the target, the others distract.
        num_classes: Number of classes that an item's content is drawn from.
        d_cue: Width of a cue; at least 2, since on a line there are only two directions.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        The batch, a `PlantedSignal`.

    Raises:
        ValueError: When `batch` or `items` is below 1, or `num_classes` or `d_cue` below 2.

    Example:
        >>> data = planted_signal(2, 3, num_classes=4, d_cue=8, generator=torch.Generator().manual_seed(0))
        >>> data.cues.shape, data.contents.shape
        (torch.Size([2, 3, 8]), torch.Size([2, 3]))
        >>> bool((data.cues[0, data.target_index[0]] == data.query[0]).all())
        True
    """
    _check_sizes(batch=(batch, 1), items=(items, 1), num_classes=(num_classes, 2), d_cue=(d_cue, 2))
    cues = _random_cues(batch, items, d_cue, generator)
    contents = torch.randint(num_classes, (batch, items), generator=generator)  # (B, S)
    target_index = torch.randint(items, (batch,), generator=generator)  # (B,)
    rows = torch.arange(batch)
    return PlantedSignal(cues[rows, target_index], cues, contents, target_index, contents[rows, target_index])


class SimultaneousLookups(NamedTuple):
    """A batch of examples, each a set of items and several queries that are asked of it at the same time.

    Attributes:
        queries: (B, N, d_cue) float32, what is looked for, in the order in which it is to be answered.
        cues: (B, S, d_cue) float32, what each item can be found by.
        contents: (B, S) int64, what each item says: a class.
        target_index: (B, N) int64, the items whose cues equal the queries; no item is asked for twice.
        labels: (B, N) int64, what those items say.
    """

    queries: Tensor
    cues: Tensor
    contents: Tensor
    target_index: Tensor
    labels: Tensor


def simultaneous_lookups(
    batch: int, items: int, *, lookups: int, num_classes: int, d_cue: int, generator: torch.Generator | None = None
) -> SimultaneousLookups:
    """Ask for several items of a set at once; the answer is what they say, in the order asked.

    Cues are random directions of length sqrt(d_cue) and contents are uniform, as in `planted_signal`; which items are
    asked for, and in which order, is uniform too. Two of the items asked for may well say the same.

    Args:
        batch: Number of examples B.
        items: Number of items S in each.
        lookups: Number of items N asked for; at most `items`.
        num_classes: Number of classes that an item's content is drawn from.
        d_cue: Width of a cue; at least 2, since on a line there are only two directions.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        The batch, a `SimultaneousLookups`.

    Raises:
        ValueError: When `batch`, `items` or `lookups` is below 1, `num_classes` or `d_cue` below 2, or there are more
            look-ups than items.

    Example:
        >>> rng = torch.Generator().manual_seed(0)
        >>> data = simultaneous_lookups(2, 5, lookups=3, num_classes=4, d_cue=8, generator=rng)
        >>> data.queries.shape, data.labels.shape
        (torch.Size([2, 3, 8]), torch.Size([2, 3]))
    """
    _check_sizes(batch=(batch, 1), items=(items, 1), lookups=(lookups, 1))
    _check_sizes(num_classes=(num_classes, 2), d_cue=(d_cue, 2))
    if lookups > items:
        raise ValueError(f"lookups must be at most items={items} but is {lookups}")
    cues = _random_cues(batch, items, d_cue, generator)
    contents = torch.randint(num_classes, (batch, items), generator=generator)  # (B, S)
    target_index = torch.rand(batch, items, generator=generator).argsort(dim=-1)[:, :lookups]  # (B, N)
    queries = cues.gather(1, target_index[:, :, None].expand(-1, -1, d_cue))  # (B, N, d_cue)
    return SimultaneousLookups(queries, cues, contents, target_index, contents.gather(1, target_index))


def _check_sizes(**sizes: tuple[int, int]) -> None:
    for name, (number, least) in sizes.items():
        if number < least:
            raise ValueError(f"{name} must be at least {least} but is {number}")


def _random_cues(batch: int, items: int, d_cue: int, generator: torch.Generator | None) -> Tensor:
    """Draw directions of length sqrt(d_cue): (B, S, d_cue)."""
    directions = torch.randn(batch, items, d_cue, generator=generator)
    return d_cue**0.5 * torch.nn.functional.normalize(directions, dim=-1)
