"""Choosing tokens and searching with beams, against counting and against every sequence there is."""

import itertools

import pytest
import torch

from lib.models.generation import beam_search, choose, filter_logits


def test_the_tail_is_cut_as_transformers_cuts_it():
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    torch.manual_seed(0)
    logits = torch.randn(50, 40) * 3
    for temperature, top_k, top_p in itertools.product([0.5, 1.0, 2.0], [1, 5, 100], [0.1, 0.6, 0.95]):
        expected = logits
        for warp in (TemperatureLogitsWarper(temperature), TopKLogitsWarper(top_k), TopPLogitsWarper(top_p)):
            expected = warp(None, expected)
        torch.testing.assert_close(filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p), expected)


def test_draws_follow_the_distribution_and_a_generator_repeats_them():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(20_000, 3)
    drawn = choose(logits, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, choose(logits, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(
        drawn.bincount(minlength=3) / len(drawn), torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0
    )
    kept = choose(logits, top_k=2, generator=torch.Generator().manual_seed(1))
    assert set(kept.tolist()) == {0, 1}
    assert set(choose(logits, top_p=0.5).tolist()) == {0}
    assert set(choose(logits, temperature=0).tolist()) == {0}


def table(seed, vocab=4):
    """A model of second order: the next token's logits depend on the last two."""
    logits = torch.randn(vocab, vocab, vocab, generator=torch.Generator().manual_seed(seed)) * 2
    return lambda tokens, rows: logits[tokens[:, -2], tokens[:, -1]]


def every_sequence(step, start, end, max_length, length_penalty):
    """All finished or cut sequences with their scores, likeliest first."""
    found, open_ones = [], [(start, 0.0)]
    for length in range(1, max_length + 1):
        longer = []
        for tokens, total in open_ones:
            logs = step(torch.tensor([tokens]), None).log_softmax(-1)[0]
            for token, log in enumerate(logs.tolist()):
                one = ([*tokens, token], total + log)
                done = token == end or length == max_length
                (found if done else longer).append((one[0], one[1] / length**length_penalty) if done else one)
        open_ones = longer
    return sorted(found, key=lambda one: -one[1])


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_with_enough_beams_the_search_finds_the_best_sequence_there_is(seed, length_penalty):
    step, start = table(seed), [[1, 2], [2, 1], [0, 0]]
    found = beam_search(step, torch.tensor(start), end=3, beams=300, max_length=4, length_penalty=length_penalty)
    for row, prompt in enumerate(start):
        best, score = every_sequence(step, prompt, 3, 4, length_penalty)[0]
        assert found.tokens[row, 0].tolist()[: len(best)] == best
        assert found.scores[row, 0].item() == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_one_beam_is_greedy_and_more_beams_are_never_worse_here(seed):
    step, start = table(seed), torch.tensor([[1, 2], [2, 1]])
    greedy = start
    for _ in range(5):
        token = step(greedy, None).argmax(-1)
        token = torch.where((greedy[:, 2:] == 3).any(1), 3, token)
        greedy = torch.cat([greedy, token[:, None]], dim=1)
    one = beam_search(step, start, end=3, beams=1, max_length=5, length_penalty=0)
    assert torch.equal(one.tokens[:, 0], greedy[:, : one.tokens.shape[2]])


def test_rows_lead_from_each_beam_to_the_one_it_goes_on_from():
    model, seen = table(1), {}

    def step(tokens, rows):
        if rows is not None:
            assert torch.equal(seen["tokens"][rows], tokens[:, :-1])
        seen["tokens"] = tokens
        return model(tokens, rows)

    found = beam_search(step, torch.tensor([[1, 2], [0, 1]]), end=3, beams=3, max_length=6)
    assert found.tokens.shape[:2] == (2, 3)
    assert (found.scores.diff(dim=1) <= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be above 0 but is -1.0"),
        ({"top_k": 0}, "top_k must be an integer of at least 1"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1 but is 1.5"),
    ],
)
def test_a_mistake_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        choose(torch.zeros(1, 3), **options)
    if "temperature" not in options:  # what greedy search does not need is refused as well
        with pytest.raises(ValueError, match=message):
            choose(torch.zeros(1, 3), temperature=0, **options)
