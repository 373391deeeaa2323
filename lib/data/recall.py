"""Tasks of remembering over a distance, generated from a seed. Licence: ours, MIT."""

from typing import NamedTuple

import torch
from torch import Tensor


class Recall(NamedTuple):
    """A batch of sequences, each of named contents among fillers, closed by a question for one of the names.

    Attributes:
        names: (B, length + 1) int64; 0 ... num_names - 1 are names, num_names is a filler, the last is the name asked.
        contents: (B, length + 1) int64; 0 ... num_contents - 1, fillers too have one; the last, num_contents, asks.
        place: (B,) int64, where the asked name stands.
        label: (B,) int64, the content that stands there.
    """

    names: Tensor
    contents: Tensor
    place: Tensor
    label: Tensor


class FirstMention(NamedTuple):
    """A batch of sequences that mention two names among other words, closed by a question mark.

    Attributes:
        tokens: (B, length + 1) int64; 0 ... num_names - 1 are names, then num_words other words, then the question.
        label: (B,) int64, the name that is mentioned first.
    """

    tokens: Tensor
    label: Tensor


def recall(
    batch: int,
    length: int,
    *,
    pairs: int,
    num_names: int,
    num_contents: int,
    distance: int | None = None,
    generator: torch.Generator | None = None,
) -> Recall:
    """Hide a few named contents among fillers and ask for one of them at the end.

    Every element carries a name and a content. The names of the pairs are distinct and their places random; all
    contents are uniform, so that a filler cannot be told from a pair by its content, nor the answer guessed.

    Args:
        batch: Number of sequences B.
        length: Number of elements before the question; at least `pairs`.
        pairs: Number of elements with a name of their own, at most `num_names`; the others are fillers.
        num_names: Number of names.
        num_contents: Number of contents.
        distance: How many steps before the question the asked pair stands, 1 ... length; anywhere when left out.
        generator: Source of randomness; torch's own when left out.

    Returns:
        The batch, a `Recall`.

    Raises:
        ValueError: When `batch`, `pairs` or `distance` is below 1, `num_contents` is below 2, there are more pairs than
            names or elements, or the distance is greater than the length.

    Example:
        >>> data = recall(2, 6, pairs=3, num_names=5, num_contents=4, generator=torch.Generator().manual_seed(0))
        >>> data.names.shape, [int((row < 5).sum()) for row in data.names[:, :-1]]
        (torch.Size([2, 7]), [3, 3])
        >>> [int(row[place]) for row, place in zip(data.contents, data.place)] == data.label.tolist()
        True
    """
    least = [("batch", batch, 1), ("pairs", pairs, 1), ("num_contents", num_contents, 2)]
    _check_least(least + ([("distance", distance, 1)] if distance is not None else []))
    for name, number in (("num_names", num_names), ("length", length)):
        if number < pairs:
            raise ValueError(f"pairs={pairs} is more than {name}={number}")
    if distance is not None and distance > length:
        raise ValueError(f"distance={distance} is more than length={length}")
    lot = torch.rand(batch, length, generator=generator)
    if distance is not None:
        lot[:, length - distance] = -1  # drawn first, so this is the asked one
    places = lot.argsort(dim=1)[:, :pairs]  # (B, pairs), the asked one first
    chosen = torch.rand(batch, num_names, generator=generator).argsort(dim=1)[:, :pairs]  # (B, pairs)
    names = torch.full((batch, length), num_names).scatter(1, places, chosen)
    contents = torch.randint(num_contents, (batch, length), generator=generator)
    place = places[:, 0]
    question = chosen[:, :1], torch.full((batch, 1), num_contents)
    names, asked = torch.cat([names, question[0]], dim=1), torch.cat([contents, question[1]], dim=1)
    return Recall(names, asked, place, contents.gather(1, place[:, None])[:, 0])


def first_mention(
    batch: int, length: int, *, num_names: int, num_words: int, generator: torch.Generator | None = None
) -> FirstMention:
    """Mention two different names at random places of a sentence and ask which came first.

    Both names are equally likely to be first, and nothing but their order tells: whoever sees the words without their
    order is right at best every other time.

    Args:
        batch: Number of sentences B.
        length: Number of words before the question; two of them are the names.
        num_names: Number of names.
        num_words: Number of other words.
        generator: Source of randomness; torch's own when left out.

    Returns:
        The batch, a `FirstMention`.

    Raises:
        ValueError: When `batch` or `num_words` is below 1, or `length` or `num_names` below 2.

    Example:
        >>> data = first_mention(2, 5, num_names=4, num_words=3, generator=torch.Generator().manual_seed(0))
        >>> [[int(token) for token in row if token < 4][0] for row in data.tokens] == data.label.tolist()
        True
    """
    _check_least([("batch", batch, 1), ("length", length, 2), ("num_names", num_names, 2), ("num_words", num_words, 1)])
    tokens = num_names + torch.randint(num_words, (batch, length), generator=generator)
    places = torch.rand(batch, length, generator=generator).argsort(dim=1)[:, :2].sort(dim=1).values  # (B, 2)
    named = torch.rand(batch, num_names, generator=generator).argsort(dim=1)[:, :2]  # (B, 2)
    question = torch.full((batch, 1), num_names + num_words)
    return FirstMention(torch.cat([tokens.scatter(1, places, named), question], dim=1), named[:, 0])


def _check_least(numbers: list[tuple[str, int, int]]) -> None:
    for name, number, least in numbers:
        if number < least:
            raise ValueError(f"{name} must be at least {least} but is {number}")
