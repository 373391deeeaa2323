"""Scenes of handwritten digits on a grid, with a caption in English and one in Chinese.

A scene is an image of 24 by 24 pixels, three by three cells, in which two or three different digits stand. The caption
goes from the smallest digit to the largest and says where each stands as seen from the next one: `three left of seven`,
三在七的左边. Neighbours in the caption share a row or a column, so that one word says it.

Origin and licence: the images of `lib.data.digits` (scikit-learn's `load_digits`: E. Alpaydin and C. Kaynak 1998, UCI
Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0), each split's scenes from its images alone. Scenes
and captions are put together from a seed: ours, MIT.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor

from lib.data.digits import handwritten_digits

SIDE, CELL = 3, 8  # cells and pixels along a side of the grid and of a cell
CELLS = SIDE * SIDE
LANGUAGES = ("en", "zh")
ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CHINESE = tuple("零一二三四五六七八九")
RELATIONS = {  # how far to go (down, right) from the one told of to the other, as a direction
    (0, 1): (("left", "of"), "左边"),
    (0, -1): (("right", "of"), "右边"),
    (1, 0): (("above",), "上面"),
    (-1, 0): (("below",), "下面"),
}
KINDS = ("digit", "relation", "other")
RELATION_WORDS = ("left", "right", "above", "below", "左边", "右边", "上面", "下面")
OTHER_WORDS = ("of", "and", *"在的，")
VOCABULARY = ("<pad>", "<end>", "<en>", "<zh>", *ENGLISH, *CHINESE, *RELATION_WORDS, *OTHER_WORDS)
PAD, END = 0, 1
BEGIN = {"en": 2, "zh": 3}  # the first word of a caption says which language follows
IDS = {word: place for place, word in enumerate(VOCABULARY)}


class Scenes(NamedTuple):
    """Images of scenes, and what stands where, in the order of the caption.

    Attributes:
        images: (B, 1, 24, 24) float32 from 0 (paper) to 1 (ink).
        labels: (B, K) int64, the digits in ascending order.
        cells: (B, K) int64, the cell of each digit, 0 to 8, row by row.
    """

    images: Tensor
    labels: Tensor
    cells: Tensor


class Captions(NamedTuple):
    """Captions as ids, and what each word is about. The first word names the language; no word is predicted there.

    Attributes:
        words: (B, 1 + T) int64: `<en>` or `<zh>`, the words, `<end>`, filled up with `<pad>`.
        target: (B, T) int64, the cell of the digit that the word names; -1 for any other word.
        pair: (B, T, 2) int64, the cells of the two digits of the clause that the word belongs to; -1 for padding.
        kind: (B, T) int64, a place in `KINDS`; -1 for padding.
    """

    words: Tensor
    target: Tensor
    pair: Tensor
    kind: Tensor


def draw_scenes(
    batch: int, *, digits: int = 2, split: str = "train", generator: torch.Generator | None = None
) -> Scenes:
    """Draw scenes: different digits in cells such that neighbours share a line.

    Args:
        batch: Number of scenes B.
        digits: How many digits K stand in each, 2 or 3.
        split: `train`, `validation` or `test`: which images are used.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        The scenes, a `Scenes`.

    Raises:
        ValueError: When `batch` is below 1, `digits` is neither 2 nor 3, or there is no such split.

    Example:
        >>> scenes = draw_scenes(2, digits=3, generator=torch.Generator().manual_seed(0))
        >>> scenes.images.shape, scenes.cells.shape
        (torch.Size([2, 1, 24, 24]), torch.Size([2, 3]))
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 but is {batch}")
    if digits not in (2, 3):
        raise ValueError(f"a scene has 2 or 3 digits, not {digits}")
    images, by_label, counts = _by_label(split)
    chains = _chains(digits)
    cells = chains[torch.randint(len(chains), (batch,), generator=generator)]  # (B, K)
    labels = torch.rand(batch, 10, generator=generator).argsort(dim=-1)[:, :digits].sort(dim=-1).values  # (B, K)
    which = (torch.rand(batch, digits, generator=generator) * counts[labels]).long()  # (B, K)
    drawn = images[by_label[labels, which], 0]  # (B, K, 8, 8)
    canvas = torch.zeros(batch, CELLS, CELL, CELL)
    canvas[torch.arange(batch)[:, None], cells] = drawn
    grid = canvas.reshape(batch, SIDE, SIDE, CELL, CELL).transpose(2, 3)  # (B, row, y, column, x)
    return Scenes(grid.reshape(batch, 1, SIDE * CELL, SIDE * CELL), labels, cells)


def describe(labels: list[int], cells: list[int], language: str) -> list[tuple[str, int, int]]:
    """Write the caption of a scene, word by word.

    Args:
        labels: The digits, as the caption names them.
        cells: The cell of each.
        language: `en` or `zh`.

    Returns:
        For each word: the word, which digit of the scene it names (0 is the first) or -1, and its clause.

    Raises:
        ValueError: When there is no such language, or two neighbours share no row or column, by their cells.

    Example:
        >>> "".join(word for word, *_ in describe([3, 7], [0, 2], "zh"))
        '三在七的左边'
    """
    if language not in LANGUAGES:
        raise ValueError(f"no language {language!r}; there are {', '.join(LANGUAGES)}")
    ways = [_direction(*pair) for pair in pairwise(cells)]
    names = ENGLISH if language == "en" else CHINESE
    told = _told(ways, language)
    return [(names[labels[named]] if named >= 0 else word, named, clause) for word, named, clause in told]


def caption(scenes: Scenes, languages: list[str]) -> Captions:
    """Write a caption for each scene.

    Args:
        scenes: The scenes.
        languages: B times `en` or `zh`, the language of each caption.

    Returns:
        The captions, as long as the longest of them needs.

    Raises:
        ValueError: When there are not B languages, or as `describe`.

    Example:
        >>> scenes = draw_scenes(2, generator=torch.Generator().manual_seed(0))
        >>> spelled(caption(scenes, ["en", "zh"]).words[:, 1:])
        ['zero right of one', '零在六的左边']
    """
    B = len(scenes.labels)
    if len(languages) != B:
        raise ValueError(f"{len(languages)} languages for {B} scenes")
    templates = _templates(scenes.labels.shape[1])
    rows, ways = range(B), [_direction(*pair) for pair in scenes.cells.unfold(1, 2, 1).reshape(-1, 2).tolist()]
    clauses = len(ways) // B
    found = [templates[languages[b], *ways[b * clauses : (b + 1) * clauses]] for b in rows]
    T = max(length for *_, length in found)
    template, clause, kind = (torch.stack(part)[:, :T] for part in list(zip(*found, strict=True))[:3])  # (B, T) each
    named = (-2 - template).clamp(min=-1)  # (B, T): which digit, or -1
    first = torch.tensor([IDS[ENGLISH[0] if language == "en" else CHINESE[0]] for language in languages])
    names = first[:, None] + scenes.labels.gather(1, named.clamp(min=0))  # (B, T)
    words = torch.where(named >= 0, names, template)
    begin = torch.tensor([BEGIN[language] for language in languages])
    target = scenes.cells.gather(1, named.clamp(min=0)).masked_fill(named < 0, -1)
    both = torch.stack([scenes.cells.gather(1, clause.clamp(min=0) + step) for step in (0, 1)], dim=-1)
    pair = both.masked_fill((clause < 0)[..., None], -1)
    return Captions(torch.cat([begin[:, None], words], dim=1), target, pair, kind)


def kind_of(word: str) -> str:
    """Say which of `KINDS` a word is; the end is `other`."""
    if word in ENGLISH or word in CHINESE:
        return "digit"
    return "relation" if word in RELATION_WORDS else "other"


def spelled(words: Tensor) -> list[str]:
    """Turn ids (B, T) into texts, up to `<end>`; English words stand apart, Chinese characters do not."""
    texts = []
    for row in words.tolist():
        row = row[: row.index(END)] if END in row else row
        found = [VOCABULARY[word] for word in row if word not in (PAD, *BEGIN.values())]
        texts.append((" " if any(word.isascii() for word in found) else "").join(found))
    return texts


def _direction(here: int, there: int) -> tuple[int, int]:
    """Give the direction from one cell to another on its row or column, such as (0, 1): to the right."""
    down, right = there // SIDE - here // SIDE, there % SIDE - here % SIDE
    if (down == 0) == (right == 0):
        raise ValueError(f"cells {here} and {there} do not share exactly one of row and column")
    return (down > 0) - (down < 0), (right > 0) - (right < 0)


def _told(ways: Sequence[tuple[int, int]], language: str) -> list[tuple[str, int, int]]:
    """Write a caption with its digits left open: words, which digit stands there or -1, and clauses."""
    told: list[tuple[str, int, int]] = []
    for clause, way in enumerate(ways):
        english, chinese = RELATIONS[way]
        subject, other = ("", clause, clause), ("", clause + 1, clause)
        if language == "en":
            joint = ["and"] if clause else []
            line = [*joint, subject, *english, other]
        else:
            joint = ["，"] if clause else []
            line = [*joint, subject, "在", other, "的", chinese]
        told += [(word, -1, clause) if isinstance(word, str) else word for word in line]
    return told


@cache
def _chains(digits: int) -> Tensor:
    """Give all rows of different cells in which neighbours share a row or column: (N, digits)."""
    chains = [[cell] for cell in range(CELLS)]
    for _ in range(digits - 1):
        chains = [
            [*chain, cell]
            for chain in chains
            for cell in range(CELLS)
            if cell not in chain and (cell // SIDE == chain[-1] // SIDE or cell % SIDE == chain[-1] % SIDE)
        ]
    return torch.tensor(chains)


@cache
def _by_label(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Give the images of a split, the numbers of those of each label (10, N), and how many there are (10,)."""
    images, labels = handwritten_digits(split)
    places = [(labels == label).nonzero()[:, 0] for label in range(10)]
    return images, torch.nn.utils.rnn.pad_sequence(places, batch_first=True), torch.tensor([len(p) for p in places])


@cache
def _templates(digits: int) -> dict[tuple, tuple[Tensor, Tensor, Tensor, int]]:
    """Give, by language and directions, a caption's ids (-2 - k where digit k is named), clauses and kinds.

    All are filled up to the same length with `<pad>` and -1; the last entry is the caption's own length.
    """
    found, longest = {}, 6 * digits
    for language in LANGUAGES:
        for ways in product(RELATIONS, repeat=digits - 1):
            told = [*_told(ways, language), ("<end>", -1, digits - 2)]
            rest = longest - len(told)
            ids = [-2 - named if named >= 0 else IDS[word] for word, named, _ in told] + [PAD] * rest
            clauses = [clause for *_, clause in told] + [-1] * rest
            kinds = [0 if named >= 0 else KINDS.index(kind_of(word)) for word, named, _ in told] + [-1] * rest
            found[language, *ways] = (torch.tensor(ids), torch.tensor(clauses), torch.tensor(kinds), len(told))
    return found
