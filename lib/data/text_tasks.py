"""Small tasks of very different kinds, each from text to text behind a prefix, generated. Licence: ours, MIT.

They stand for kinds of task in Raffel et al. 2019, arXiv:1910.10683, figure 1: a judgement as in CoLA, a number as in
STS-B, and texts to be rewritten as in translation.
"""

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple
from zlib import crc32

import torch
from torch import Tensor

ALPHABET = " abcdefghijklmnopqrstuvwxyz0123456789:/?,"
PAD, END, FIRST = 0, 1, 2  # the ids of padding, of the end of a text, and of the first letter of the alphabet
SENTINELS = tuple(range(FIRST + len(ALPHABET), FIRST + len(ALPHABET) + 8))
VOCAB_SIZE = FIRST + len(ALPHABET) + len(SENTINELS)
_IDS = {letter: FIRST + place for place, letter in enumerate(ALPHABET)}

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NOUNS = ("cat", "dog", "boy", "cow", "hen", "pig", "owl", "bee", "ant", "cub")
VERBS = ("run", "eat", "sit", "nap", "dig", "hop", "cry", "win")
PLACES = ("by", "on", "in")
ONSETS = ("b", "br", "c", "d", "f", "g", "gr", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr", "v", "w")
ENDINGS = {"": "s", "t": "s", "n": "s", "ck": "s", "x": "es", "sh": "es", "ch": "es", "ss": "es", "z": "es"}


class Example(NamedTuple):
    """What a model reads and what it is to write."""

    source: str
    target: str


def examples(task: str, number: int, *, seed: int, test: bool = False) -> list[Example]:
    """Draw different examples of a task, the same for the same seed; none is ever both in training and in test.

    Args:
        task: One of `TASKS`.
        number: How many.
        seed: Of the draw.
        test: Whether for testing. A tenth of all possible examples is for tests only: which, its letters decide.

    Returns:
        Examples whose source begins with the task's name as a prefix, such as `date: 05/03/98`.

    Raises:
        ValueError: When there is no such task, `number` is below 1, or not so many different ones are found.

    Example:
        >>> examples("plural", 2, seed=0)
        [Example(source='plural: pu', target='pus'), Example(source='plural: gaty', target='gaties')]
    """
    if task not in TASKS:
        raise ValueError(f"no task {task!r}; there are {', '.join(TASKS)}")
    if number < 1:
        raise ValueError(f"number must be at least 1 but is {number}")
    rng, found = random.Random(f"{task} {seed} {test}"), {}
    for _ in range(100 * number + 1000):
        question, answer = TASKS[task](rng)
        source = f"{task}: {question}"
        if (crc32(source.encode()) % 10 == 0) == test:
            found[source] = answer
        if len(found) == number:
            return [Example(*one) for one in found.items()]
    raise ValueError(f"only {len(found)} different examples of {task!r} were found, not {number}")


def encode(texts: Iterable[str]) -> Tensor:
    """Turn texts into token ids (B, T), a letter a token, with an end token and then padding.

    Raises:
        ValueError: When there are no texts, or one holds a letter outside the alphabet.

    Example:
        >>> encode(["ab", "c"])
        tensor([[3, 4, 1],
                [5, 1, 0]])
    """
    texts = list(texts)
    if not texts:
        raise ValueError("there are no texts to encode")
    for text in texts:
        if strange := set(text) - set(ALPHABET):
            raise ValueError(f"{text!r} holds {sorted(strange)[0]!r}, which is not in the alphabet {ALPHABET!r}")
    longest = max(map(len, texts))
    rows = [[*(_IDS[letter] for letter in text), END] + [PAD] * (longest - len(text)) for text in texts]
    return torch.tensor(rows)


def decode(tokens: Tensor) -> list[str]:
    """Turn token ids (B, T) back into texts: up to the end token, sentinels as `<0>`, `<1>`, ...

    Example:
        >>> decode(torch.tensor([[3, 4, 1, 0], [44, 3, 1, 0]]))
        ['ab', '<1>a']
    """
    texts = []
    for row in tokens.tolist():
        row = row[: row.index(END)] if END in row else row
        texts.append("".join(_letter(token) for token in row))
    return texts


def _letter(token: int) -> str:
    if token in SENTINELS:
        return f"<{SENTINELS.index(token)}>"
    return "" if token == PAD else ALPHABET[token - FIRST]


def sentence(rng: random.Random, *, agrees: bool = True) -> str:
    """Write a sentence whose verb agrees with its subject, or not; another noun stands between the two.

    Example:
        >>> sentence(random.Random(0)), sentence(random.Random(0), agrees=False)
        ('owls on owl win', 'owls on owl wins')
    """
    subject, other = rng.choice(NOUNS), rng.choice(NOUNS)
    many, others = rng.random() < 0.5, rng.random() < 0.5
    verb = rng.choice(VERBS) + "s" * (many != agrees)
    return f"{subject}{'s' * many} {rng.choice(PLACES)} {other}{'s' * others} {verb}"


def _judge(rng: random.Random) -> Example:
    agrees = rng.random() < 0.5
    return Example(sentence(rng, agrees=agrees), "good" if agrees else "bad")


def _word(rng: random.Random) -> str:
    return rng.choice(ONSETS) + rng.choice("aeiou")


def _plural(rng: random.Random) -> Example:
    stem = "".join(_word(rng) for _ in range(rng.choice((1, 1, 2))))
    if rng.random() < 0.3:
        stem += rng.choice("bdlmnrt")
        return Example(stem + "y", stem + "ies")
    ending = rng.choice(tuple(ENDINGS))
    return Example(stem + ending, stem + ending + ENDINGS[ending])


def _date(rng: random.Random) -> Example:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(0, 99)
    return Example(f"{day:02}/{month:02}/{year:02}", f"{day} {MONTHS[month - 1]} {year:02}")


def _vowels(rng: random.Random) -> Example:
    word = "".join(rng.choice("aeiou" if rng.random() < 0.45 else "bcdfghlmnprst") for _ in range(rng.randint(3, 8)))
    return Example(word, str(sum(letter in "aeiou" for letter in word)))


def _sort(rng: random.Random) -> Example:
    letters = rng.sample("abcdefghijklmnopqrstuvwxyz", rng.randint(3, 5))
    return Example("".join(letters), "".join(sorted(letters)))


def _back(rng: random.Random) -> Example:
    word = "".join(_word(rng) for _ in range(rng.randint(1, 3)))
    return Example(word, word[::-1])


TASKS: dict[str, Callable[[random.Random], Example]] = {
    "judge": _judge,
    "vowels": _vowels,
    "date": _date,
    "plural": _plural,
    "sort": _sort,
    "back": _back,
}
