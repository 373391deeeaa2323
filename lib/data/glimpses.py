"""Digits hidden among clutter, to learn where to look.

Origin: the 1,797 images of scikit-learn's `load_digits`, 8 by 8 pixels; they are the test set of Optical Recognition of
Handwritten Digits (E. Alpaydin and C. Kaynak 1998, UCI Machine Learning Repository, doi:10.24432/C50P49). Licence: the
data CC BY 4.0, scikit-learn BSD-3-Clause. The clutter is cut from the same images, from a seed: ours, MIT.
"""

from functools import cache
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor

SIZES = {"train": 1197, "validation": 300, "test": 300}  # digits of each split; no digit is in two of them


class Glimpses(NamedTuple):
    """A batch of examples, each a row of cells, of which one shows a digit.

    Attributes:
        cells: (B, S, 8, 8) float32 from 0 to 1, what each cell shows.
        target_index: (B,) int64, the cell that shows a digit.
        label: (B,) int64, which digit it is, 0 to 9.
    """

    cells: Tensor
    target_index: Tensor
    label: Tensor


def cluttered_digits(
    batch: int, items: int, *, split: str = "train", generator: torch.Generator | None = None
) -> Glimpses:
    """Hide one handwritten digit among cells of clutter.

    A cell of clutter is put together from four quarters, each of any digit of the split and from any of its corners: it
    has the strokes and the brightness of digits but shows none. The place of the digit is uniform.

    Args:
        batch: Number of examples B.
        items: Number of cells S in each.
        split: `train`, `validation` or `test`: which digits are shown and cut up.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        The batch, a `Glimpses`.

    Raises:
        ValueError: When `batch` or `items` is below 1, or there is no such split.

    Example:
        >>> data = cluttered_digits(2, 9, generator=torch.Generator().manual_seed(0))
        >>> data.cells.shape, data.label.shape
        (torch.Size([2, 9, 8, 8]), torch.Size([2]))
    """
    for name, number in (("batch", batch), ("items", items)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1 but is {number}")
    if split not in SIZES:
        raise ValueError(f"no split {split!r}; there are {', '.join(SIZES)}")
    images, labels, quarters = _digits(split)
    which = torch.randint(len(quarters), (batch, items, 2, 2), generator=generator)
    cells = quarters[which].transpose(3, 4).reshape(batch, items, 8, 8)
    target_index = torch.randint(items, (batch,), generator=generator)  # (B,)
    shown = torch.randint(len(images), (batch,), generator=generator)  # (B,)
    cells[torch.arange(batch), target_index] = images[shown]
    return Glimpses(cells, target_index, labels[shown])


@cache
def _digits(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Give the images (N, 8, 8) of a split, their labels (N,) and all their quarters (4 N, 4, 4)."""
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    part = order.split(list(SIZES.values()))[list(SIZES).index(split)]
    quarters = images[part].reshape(-1, 2, 4, 2, 4).transpose(2, 3).reshape(-1, 4, 4)
    return images[part], labels[part], quarters
