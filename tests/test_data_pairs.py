"""Places of two words: what the generator promises, and limits that are worked out a second time by counting."""

import math
from collections import Counter

import pytest
import torch

from lib.data.pairs import (
    DIRECTIONS,
    FIRST,
    HELD_OUT,
    LENGTH,
    MASK,
    PAIRS,
    SECOND,
    SIDES,
    VEHICLES,
    VERBS,
    WORDS,
    fitting,
    held_out_sentences,
    limits,
    sentences,
    spelled,
)


def many(number=20_000):
    return sentences(number, generator=torch.Generator().manual_seed(0))


def test_every_sentence_is_about_a_place_that_fits_both_clues():
    for sentence in torch.cat([many(500), held_out_sentences()]):
        words = spelled(sentence).split()
        assert len(words) == LENGTH
        assert (words[FIRST], words[SECOND]) in PAIRS[words[1], words[7]]
        assert (words[0], words[2] in VEHICLES, words[3], words[6] in VERBS) == ("the", True, "to", True)
        assert sentence[[FIRST, SECOND]].tolist() in fitting(sentence).tolist()


def test_each_pair_of_clues_has_eight_places_and_no_place_stands_twice():
    places = [pair for pairs in PAIRS.values() for pair in pairs]
    assert [len(pairs) for pairs in PAIRS.values()] == [8] * len(SIDES) * len(DIRECTIONS)
    assert len(set(places)) == 32
    assert len(set(WORDS)) == len(WORDS) == 62
    assert WORDS[MASK] == "[mask]"
    assert not (many(500) == MASK).any()


def test_training_never_sees_a_held_out_vehicle_and_verb_and_the_rest_is_even():
    trained = Counter((row[2], row[6]) for row in (spelled(one).split() for one in many(2000)))
    held = {(VEHICLES[v], VERBS[w]) for v, w in HELD_OUT}
    assert len(held) == 4
    assert not held & trained.keys()
    assert {(row[2], row[6]) for row in (spelled(one).split() for one in held_out_sentences())} == held
    assert len(trained) == 12
    assert len(torch.unique(held_out_sentences(), dim=0)) == len(held_out_sentences()) == 128
    shares = torch.tensor(list(trained.values())) / 2000
    assert (shares - 1 / 12).abs().max() < 0.03


def test_the_limits_are_those_of_the_sentences():
    counts = Counter(tuple(row) for row in many().tolist())
    contexts: dict[tuple, Counter] = {}
    for (_, side, _, _, first, second, _, direction), number in counts.items():
        contexts.setdefault((side, direction), Counter())[first, second] += number

    def log_likelihood(guess):
        total = sum(number * guess(context, pair) for context, c in contexts.items() for pair, number in c.items())
        return total / 20_000

    def marginal(context, place, word):
        table = contexts[context]
        return math.log(sum(n for pair, n in table.items() if pair[place] == word) / table.total())

    def given_side(context, pair):
        both = [table for (side, _), table in contexts.items() if side == context[0]]
        return math.log(sum(table[pair] for table in both) / sum(table.total() for table in both))

    def joint(context, pair):
        return math.log(contexts[context][pair] / contexts[context].total())

    def independent(context, pair):
        return marginal(context, 0, pair[0]) + marginal(context, 1, pair[1])

    reached = limits()
    assert abs(log_likelihood(joint) - reached.joint) < 0.01
    assert abs(log_likelihood(independent) - reached.independent) < 0.01
    assert abs(log_likelihood(given_side) - reached.left_only) < 0.01
    assert reached.joint == pytest.approx(-math.log(8))
    generator = torch.Generator().manual_seed(1)
    valid = 0
    for context in contexts:
        fits = {tuple(pair) for pair in contexts[context]}
        firsts, seconds = zip(*(pair for pair, n in contexts[context].items() for _ in range(n)), strict=True)
        at = torch.randint(min(len(firsts), len(seconds)), (2, 3000), generator=generator)
        valid += sum((firsts[i], seconds[j]) in fits for i, j in at.T.tolist()) / 3000 / 4
    assert abs(valid - reached.independent_valid) < 0.02


def test_the_seed_decides_and_a_batch_has_at_least_one():
    assert torch.equal(many(5), many(5))
    assert not torch.equal(sentences(50, generator=torch.Generator().manual_seed(1)), many(50))
    with pytest.raises(ValueError, match="batch must be at least 1 but is 0"):
        sentences(0)
