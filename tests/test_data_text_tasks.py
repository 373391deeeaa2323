"""The text-to-text tasks: what each promises, different for training and test, the same for the same seed."""

import random
import re

import pytest
import torch

from lib.data.text_tasks import ALPHABET, END, MONTHS, SENTINELS, TASKS, VOCAB_SIZE, decode, encode, examples, sentence


def plural(noun):
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(s|x|z|sh|ch)$", noun) else "s")


def agrees(text):
    subject, *_, verb = text.split()
    return subject.endswith("s") != verb.endswith("s")


def date(numbers):
    day, month, year = numbers.split("/")
    return f"{int(day)} {MONTHS[int(month) - 1]} {year}"


RULES = {
    "judge": lambda text: "good" if agrees(text) else "bad",
    "vowels": lambda word: str(len(re.findall("[aeiou]", word))),
    "date": date,
    "plural": plural,
    "sort": lambda letters: "".join(sorted(letters)),
    "back": lambda word: word[::-1],
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("test", [False, True], ids=["training", "test"])
def test_every_target_is_what_the_rule_says(task, test):
    found = examples(task, 300, seed=3, test=test)
    assert len(found) == len(set(found)) == len({one.source for one in found}) == 300
    for source, target in found:
        prefix, _, question = source.partition(": ")
        assert prefix == task
        assert target == RULES[task](question)


@pytest.mark.parametrize("task", TASKS)
def test_no_example_is_both_for_training_and_for_tests_whatever_the_seeds(task):
    train = {one.source for seed in range(3) for one in examples(task, 500, seed=seed)}
    assert not train & {one.source for seed in range(9) for one in examples(task, 100, seed=seed, test=True)}


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_draws_the_same_and_another_seed_others(task):
    random.seed(0)
    expected = random.random()
    random.seed(0)
    first = examples(task, 50, seed=1)
    assert random.random() == expected  # Python's own chance is left alone
    assert first == examples(task, 50, seed=1)
    assert first != examples(task, 50, seed=2)


def test_judgements_are_even_and_no_single_letter_gives_them_away():
    found = examples("judge", 2000, seed=0)
    good = [one.target == "good" for one in found]
    assert 0.45 < sum(good) / len(good) < 0.55
    for hint in (lambda s: s.split()[1].endswith("s"), lambda s: s.endswith("s"), lambda s: s.split()[3].endswith("s")):
        same = sum(hint(one.source) == right for one, right in zip(found, good, strict=True)) / len(found)
        assert 0.44 < same < 0.56


def test_a_sentence_agrees_or_not_as_asked():
    for seed in range(100):
        right, wrong = (sentence(random.Random(seed), agrees=one) for one in (True, False))
        assert agrees(right)
        assert not agrees(wrong)
        assert right.removesuffix("s") == wrong.removesuffix("s")


@pytest.mark.parametrize("task", TASKS)
def test_texts_come_back_from_their_ids_and_are_short(task):
    found = examples(task, 200, seed=0)
    for texts in ([one.source for one in found], [one.target for one in found]):
        tokens = encode(texts)
        assert decode(tokens) == texts
        assert ((tokens == END).sum(dim=1) == 1).all()
        assert tokens.shape[1] <= 25
        assert tokens.max() < VOCAB_SIZE - len(SENTINELS)


def test_sentinels_are_beyond_all_letters_and_are_shown():
    assert len({*encode([ALPHABET])[0].tolist(), *SENTINELS, 0}) == VOCAB_SIZE
    assert decode(torch.tensor([[SENTINELS[0], 3, SENTINELS[7], END, 5]])) == ["<0>a<7>"]


ERRORS = {
    "task": (lambda: examples("guess", 3, seed=0), "no task 'guess'; there are judge, "),
    "none": (lambda: examples("sort", 0, seed=0), "number must be at least 1 but is 0"),
    "too many": (lambda: examples("judge", 2_000, seed=0, test=True), r"only \d+ different examples .* not 2000"),
    "letter": (lambda: encode(["ab", "Ab"]), "'Ab' holds 'A', which is not in the alphabet"),
    "no texts": (lambda: encode([]), "there are no texts to encode"),
}


@pytest.mark.parametrize(("misuse", "message"), ERRORS.values(), ids=ERRORS)
def test_misuse_is_named(misuse, message):
    with pytest.raises(ValueError, match=message):
        misuse()
