"""Sentences about places of two words that only make sense together, generated from a seed. Licence: ours, MIT.

"the eastern bus to new york goes north": a word on the left tells the side of the country, one on the right the
direction, and the two together leave eight places. The words of a place depend on each other: "new angeles" is none.
All probabilities are known exactly.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

SIDES, VEHICLES = ("eastern", "western"), ("bus", "train", "plane", "car")
VERBS, DIRECTIONS = ("goes", "heads", "turns", "drives"), ("north", "south")
PLACES = {
    ("eastern", "north"): (
        "new york, new haven, fall river, long branch, atlantic city, niagara falls, white plains, saratoga springs"
    ),
    ("eastern", "south"): (
        "palm beach, key west, fort myers, cape coral, coral springs, myrtle beach, new bern, panama city"
    ),
    ("western", "north"): (
        "idaho falls, twin falls, great falls, walla walla, coos bay, grants pass, lincoln city, port angeles"
    ),
    ("western", "south"): (
        "los angeles, las vegas, san diego, santa fe, el paso, long beach, palm springs, carson city"
    ),
}
PAIRS = {clues: tuple(tuple(place.split()) for place in names.split(", ")) for clues, names in PLACES.items()}
MASK = 0  # the token that hides another one
WORDS = (
    "[mask]",
    *dict.fromkeys(
        ("the", "to", *SIDES, *VEHICLES, *VERBS, *DIRECTIONS, *(w for p in PAIRS.values() for pair in p for w in pair))
    ),
)
LENGTH, FIRST, SECOND = 8, 4, 5  # words of a sentence, and where the two words of the place stand
HELD_OUT = {
    (v, (v + 1) % len(VERBS)) for v in range(len(VEHICLES))
}  # vehicle and verb that training never sees together


class Limits(NamedTuple):
    """What the best possible model of a kind reaches: mean log-probability of the two words, in nats.

    Attributes:
        joint: Knowing both clues, the second word from the first: minus the entropy of the pair.
        independent: Knowing both clues, each word without the other: minus the sum of the two words' entropies.
        left_only: Knowing what stands on the left only, the second word from the first.
        independent_valid: How often two words that are drawn independently make a place that fits both clues.
    """

    joint: float
    independent: float
    left_only: float
    independent_valid: float


def sentences(batch: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw sentences for training: every part evenly, without the held-out pairs of vehicle and verb.

    Args:
        batch: Number of sentences B.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.

    Returns:
        Tokens (B, 8) int64, places in `WORDS`.

    Raises:
        ValueError: When `batch` is below 1.

    Example:
        >>> tokens = sentences(1, generator=torch.Generator().manual_seed(1))
        >>> spelled(tokens[0])
        'the eastern train to niagara falls heads north'
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1 but is {batch}")
    known = _TOKENS[~_IS_HELD_OUT]
    return known[torch.randint(len(known), (batch,), generator=generator)]


def held_out_sentences() -> Tensor:
    """Give all sentences that training never sees, (128, 8): each is as likely as the others."""
    return _TOKENS[_IS_HELD_OUT]


def fitting(sentence: Tensor) -> Tensor:
    """Give the pairs of tokens (8, 2) that fit the clues of a sentence (8,)."""
    pairs = PAIRS[WORDS[sentence[1]], WORDS[sentence[7]]]
    return torch.tensor([[WORDS.index(word) for word in pair] for pair in pairs])


def spelled(sentence: Tensor) -> str:
    """Write a sentence of tokens in words."""
    return " ".join(WORDS[token] for token in sentence)


def limits() -> Limits:
    """Work out, from the list of places alone, what can be reached.

    Example:
        >>> [round(limit, 3) for limit in limits()]
        [-2.079, -3.969, -2.773, 0.164]
    """
    entropies = {clues: _entropies(pairs) for clues, pairs in PAIRS.items()}
    joint, first, second = (sum(values) / len(PAIRS) for values in zip(*entropies.values(), strict=True))
    sides = [_entropies([pair for clues in PAIRS if clues[0] == side for pair in PAIRS[clues]])[0] for side in SIDES]
    valid = [_fits(pairs) for pairs in PAIRS.values()]
    return Limits(-joint, -(first + second), -sum(sides) / len(sides), sum(valid) / len(valid))


def _entropies(pairs) -> tuple[float, float, float]:
    """Entropy of the pair, of its first word and of its second, in nats, all pairs being alike."""
    return tuple(_entropy(words) for words in (list(pairs), *zip(*pairs, strict=True)))


def _entropy(things) -> float:
    shares = [things.count(thing) / len(things) for thing in set(things)]
    return -sum(share * math.log(share) for share in shares)


def _fits(pairs) -> float:
    firsts, seconds = zip(*pairs, strict=True)
    return sum(firsts.count(first) * seconds.count(second) for first, second in set(pairs)) / len(pairs) ** 2


def _all() -> tuple[Tensor, Tensor]:
    """Make every sentence there is, and tell which are held out."""
    rows, out = [], []
    for (side, direction), pairs in PAIRS.items():
        for v, vehicle in enumerate(VEHICLES):
            for w, verb in enumerate(VERBS):
                for first, second in pairs:
                    rows.append(["the", side, vehicle, "to", first, second, verb, direction])
                    out.append((v, w) in HELD_OUT)
    return torch.tensor([[WORDS.index(word) for word in row] for row in rows]), torch.tensor(out)


_TOKENS, _IS_HELD_OUT = _all()
