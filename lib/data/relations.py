"""Sequences in which every item has four planted relations, so that it is known where a head should look.

Generated from a seed. Licence: ours, MIT.
"""

from typing import NamedTuple

import torch
from torch import Tensor

RELATIONS = ("previous", "first", "marked", "partner")


class PlantedRelations(NamedTuple):
    """A batch of sequences, each item with a name, a content and a mark or none.

    Attributes:
        names: (B, T) int64, what each item is called; each name occurs exactly twice.
        contents: (B, T) int64, what each item says: a class.
        marks: (B, T) int64, 1 for the one marked item, 0 for the others.
        target_index: (B, R, T) int64, where the item stands that each item is related to, in the order of `RELATIONS`.
        label: (B, R, T) int64, what that item says.
    """

    names: Tensor
    contents: Tensor
    marks: Tensor
    target_index: Tensor
    label: Tensor


def planted_relations(
    batch: int, items: int, *, num_names: int, num_classes: int, generator: torch.Generator | None = None
) -> PlantedRelations:
    """Draw sequences whose every item asks four questions at once: what do the items say that I am related to?

    The relations are the item before (the first item is its own), the first item, the one marked item, and the partner,
    that is the other item of the same name. The first two are a matter of place, the last two of what is written.

    Args:
        batch: Number of sequences B.
        items: Number of items T in each; even, since names come in pairs.
        num_names: Number of names to draw from; at least T / 2.
        num_classes: Number of classes that an item's content is drawn from.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        The batch, a `PlantedRelations`.

    Raises:
        ValueError: When `batch` is below 1, `items` odd or below 2, `num_names` below T / 2 or `num_classes` below 2.

    Example:
        >>> data = planted_relations(1, 4, num_names=8, num_classes=8, generator=torch.Generator().manual_seed(0))
        >>> data.names[0].tolist(), data.target_index[0, RELATIONS.index("partner")].tolist()
        ([2, 3, 2, 3], [2, 3, 0, 1])
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 but is {batch}")
    if items < 2 or items % 2:
        raise ValueError(f"items must be even and at least 2 but is {items}")
    if num_names < items // 2:
        raise ValueError(f"num_names must be at least {items // 2} for {items} items but is {num_names}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2 but is {num_classes}")
    chosen = torch.rand(batch, num_names, generator=generator).argsort(1)[:, : items // 2]  # (B, T / 2)
    order = torch.rand(batch, items, generator=generator).argsort(1)  # (B, T)
    names = chosen.repeat(1, 2).gather(1, order)
    contents = torch.randint(num_classes, (batch, items), generator=generator)  # (B, T)
    marked = torch.randint(items, (batch, 1), generator=generator)
    places = torch.arange(items)
    same_name = (names[:, :, None] == names[:, None, :]) & ~torch.eye(items, dtype=torch.bool)  # (B, T, T)
    target_index = torch.stack(
        [
            (places - 1).clamp(min=0).expand(batch, items),
            torch.zeros(batch, items, dtype=torch.int64),
            marked.expand(batch, items),
            same_name.int().argmax(-1),
        ],
        dim=1,
    )  # (B, R, T)
    label = contents[:, None].expand(-1, len(RELATIONS), -1).gather(2, target_index)
    return PlantedRelations(names, contents, (places == marked).long(), target_index, label)
