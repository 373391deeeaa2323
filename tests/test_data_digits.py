"""The digits of chapter 08: splits that share no image, the same test images in every draw, shifts that only move."""

import pytest
import torch
from sklearn.datasets import load_digits

from lib.data.digits import SIZES, handwritten_digits, shifted, warped


def image_set(images):
    return [tuple(image.flatten().tolist()) for image in images]


def test_the_splits_together_are_all_images_with_their_labels():
    parts = [handwritten_digits(split, draw=3) for split in SIZES]
    assert [len(part.labels) for part in parts] == [1000, 300, 497]
    digits = load_digits()
    expected = zip(map(tuple, (digits.images / 16).reshape(-1, 64).tolist()), digits.target.tolist(), strict=True)
    found = [pair for part in parts for pair in zip(image_set(part.images), part.labels.tolist(), strict=True)]
    assert sorted(found) == sorted(expected)  # sixteenths are exact in float32


def test_no_image_of_the_test_set_is_in_another_split_whatever_the_draw():
    test = set(image_set(handwritten_digits("test").images))
    for draw in range(3):
        others = [set(image_set(handwritten_digits(split, draw=draw).images)) for split in ("train", "validation")]
        assert not test & (others[0] | others[1])
        assert not others[0] & others[1]


def test_the_test_set_stays_and_a_draw_deals_out_the_rest():
    again, other = handwritten_digits("train"), handwritten_digits("train", draw=1)
    assert torch.equal(handwritten_digits("test").images, handwritten_digits("test", draw=1).images)
    assert torch.equal(handwritten_digits("train").images, again.images)
    assert not torch.equal(again.images, other.images)


def test_images_are_grey_squares_from_0_to_1_and_a_copy():
    images, labels = handwritten_digits("test")
    assert images.shape[1:] == (1, 8, 8)
    assert (images.min(), images.max()) == (0, 1)
    assert set(labels.tolist()) == set(range(10))
    images.zero_()
    assert handwritten_digits("test").images.max() == 1


def test_every_shift_occurs_and_moves_without_turning():
    image = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    padded = torch.nn.functional.pad(image[0, 0], (1, 1, 1, 1))
    possible = {tuple(padded[r : r + 3, c : c + 3].flatten().tolist()) for r in range(3) for c in range(3)}
    found = shifted(image.expand(400, 1, 3, 3), generator=torch.Generator().manual_seed(0))
    assert set(image_set(found)) == possible


def test_each_channel_moves_alike_and_most_0_leaves_everything():
    images = torch.rand(5, 1, 6, 4).expand(5, 3, 6, 4)
    moved = shifted(images, most=2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert torch.equal(shifted(images, most=0), images)


def test_a_warp_moves_turns_and_stretches_each_image_on_its_own_and_not_far():
    bars = torch.zeros(400, 3, 9, 9)
    bars[:, 0, :, 4] = bars[:, 2, :, 4] = 1.0  # upright, through the middle
    bars[:, 1, 4] = 1.0  # level
    upright, level, again = warped(bars, generator=torch.Generator().manual_seed(0)).unbind(dim=1)
    assert torch.equal(upright, again)  # the channels of an image go together
    steps = torch.arange(-4.0, 5)
    columns = (upright * steps).sum(dim=-1) / upright.sum(dim=-1)  # where each row has its ink
    rows = (level * steps[:, None]).sum(dim=-2) / level.sum(dim=-2)  # where each column has its ink
    lean, tilt = columns[:, 6] - columns[:, 2], rows[:, 6] - rows[:, 2]
    # A slant moves no ink up or down, so only a turn tilts the level bar; what the upright one leans beyond is slant.
    right, down = columns[:, 4], rows[:, 4]
    together = torch.corrcoef(torch.stack([right, down, tilt, lean + tilt]))
    assert (together - torch.eye(4)).abs().max() < 0.25  # each drawn by itself
    for moved, low, high in (
        (right, 0.9, 1.5),
        (down, 0.9, 1.5),
        (tilt, 0.7, 0.95),  # four columns, at most 12 degrees, and the raster
        (lean + tilt, 0.4, 0.65),  # four rows, at most 0.12 each in an image that may be 12 % larger, and the raster
    ):
        assert low < moved.max() < high
        assert low < -moved.min() < high
        assert abs(moved.mean()) < 0.1
        assert len(set(moved.tolist())) > 350  # each image anew
    thickness = upright.sum(dim=(1, 2)) / 9
    assert thickness.min() < 0.95 < 1.05 < thickness.max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: handwritten_digits("exam"), "no split 'exam'; there are train, validation, test"),
        (lambda: handwritten_digits("test", draw=-1), "draw must be at least 0 but is -1"),
        (lambda: warped(torch.ones(2, 8, 8)), r"4 axes .* have shape \(2, 8, 8\)"),
        (
            lambda: warped(torch.ones(2, 1, 8, 8, dtype=torch.int64)),
            "images must hold floating-point numbers but have dtype int64",
        ),
        (lambda: shifted(torch.ones(2, 8, 8)), r"4 axes .* have shape \(2, 8, 8\)"),
        (lambda: shifted(torch.ones(2, 1, 8, 8), most=8), "below the images' side of 8 but is 8"),
        (lambda: shifted(torch.ones(2, 1, 8, 8), most=-1), "but is -1"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
