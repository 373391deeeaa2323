"""Handwritten digits, 8 by 8 pixels, to be told apart from few examples.

Origin: the 1,797 images of scikit-learn's `load_digits`; they are the test set of Optical Recognition of Handwritten
Digits (E. Alpaydin and C. Kaynak 1998, UCI Machine Learning Repository, doi:10.24432/C50P49), written by 13 people.
Licence: the data CC BY 4.0, scikit-learn BSD-3-Clause.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

SIZES = {"train": 1000, "validation": 300, "test": 497}


class Digits(NamedTuple):
    """Images with their labels.

    Attributes:
        images: (N, 1, 8, 8) float32 from 0 (paper) to 1 (ink).
        labels: (N,) int64, which digit it is, 0 to 9.
    """

    images: Tensor
    labels: Tensor


def handwritten_digits(split: str, *, draw: int = 0) -> Digits:
    """Give the digits of a split. The test images are always the same; a draw deals out the others anew.

    The same people wrote the images of all three splits.

    Args:
        split: `train` (1,000 images), `validation` (300) or `test` (497).
        draw: Which of the random divisions of the other 1,300 into `train` and `validation`; at least 0.

    Returns:
        The images in random order, so that the first n are a random sample of n; a copy that may be changed.

    Raises:
        ValueError: When there is no such split, or `draw` is negative.

    Example:
        >>> images, labels = handwritten_digits("validation")
        >>> images.shape, labels.shape
        (torch.Size([300, 1, 8, 8]), torch.Size([300]))
    """
    if split not in SIZES:
        raise ValueError(f"no split {split!r}; there are {', '.join(SIZES)}")
    if draw < 0:
        raise ValueError(f"draw must be at least 0 but is {draw}")
    images, labels = _all_digits()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(8))  # chosen once, before any training
    others, test = order.split([SIZES["train"] + SIZES["validation"], SIZES["test"]])
    others = others[torch.randperm(len(others), generator=torch.Generator().manual_seed(draw))]
    train, validation = others.split([SIZES["train"], SIZES["validation"]])
    chosen = {"train": train, "validation": validation, "test": test}[split]
    return Digits(images[chosen], labels[chosen])


def shifted(images: Tensor, *, most: int = 1, generator: torch.Generator | None = None) -> Tensor:
    """Move every image by up to `most` pixels in each direction, each on its own; empty paper comes in at the edge.

    Args:
        images: (N, C, height, width).
        most: Largest shift.
        generator: Source of randomness; torch's own when left out.

    Returns:
        Images of the same shape.

    Raises:
        ValueError: When `most` is negative or not below height and width, or the images are of another rank.

    Example:
        >>> image = torch.eye(3)[None, None]
        >>> shifted(image, generator=torch.Generator().manual_seed(1)).squeeze()
        tensor([[0., 0., 0.],
                [1., 0., 0.],
                [0., 1., 0.]])
    """
    _check_four_axes(images)
    N, _, height, width = images.shape
    if not 0 <= most < min(height, width):
        raise ValueError(f"most must be at least 0 and below the images' side of {min(height, width)} but is {most}")
    padded = F.pad(images, (most,) * 4)
    down, right = torch.randint(2 * most + 1, (2, N), generator=generator)
    rows = (down[:, None] + torch.arange(height))[:, :, None]  # (N, height, 1)
    columns = (right[:, None] + torch.arange(width))[:, None, :]  # (N, 1, width)
    return padded[torch.arange(N)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)  # (N, C, height, width)


def warped(images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Turn, resize, slant and move every image a little, each on its own; pixels between others are interpolated.

    Angles are up to 12 degrees, sizes change by about 12 % at most, lines are slanted by up to 12 % of their height,
    and all moves by up to an eighth of the image, each drawn evenly.

    Args:
        images: (N, C, height, width), floating point.
        generator: Source of randomness; torch's own when left out.

    Returns:
        Images of the same shape.

    Raises:
        ValueError: When the images are of another rank or dtype.

    Example:
        >>> image = torch.ones(1, 1, 8, 8)
        >>> moved = warped(image, generator=torch.Generator().manual_seed(1))
        >>> moved.shape, bool(0 < moved.mean() < 1)
        (torch.Size([1, 1, 8, 8]), True)
    """
    _check_four_axes(images)
    if not images.is_floating_point():
        raise ValueError(f"images must hold floating-point numbers but have dtype {str(images.dtype)[6:]}")
    drawn = 2 * torch.rand(5, len(images), generator=generator) - 1  # from -1 to 1
    angle, size, slant, right, down = drawn.to(images.device).unbind()
    angle, size, slant = angle * math.radians(12), 1 + 0.12 * size, 0.12 * slant
    right, down = right / 4, down / 4  # an image is 2 wide here
    cosine, sine = angle.cos() * size, angle.sin() * size
    rows = torch.stack([cosine, slant - sine, right]), torch.stack([sine, cosine, down])
    where = F.affine_grid(torch.stack(rows).permute(2, 0, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, where.to(images.dtype), align_corners=False)


def _check_four_axes(images: Tensor) -> None:
    if images.dim() != 4:
        raise ValueError(f"images must have 4 axes (N, C, height, width) but have shape {tuple(images.shape)}")


@cache
def _all_digits() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]  # (1797, 1, 8, 8)
    return images, torch.tensor(digits.target, dtype=torch.int64)
