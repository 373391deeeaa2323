"""The n-gram model: its probabilities sum to 1, follow the formula counted by hand, and use the context they may."""

import itertools

import pytest
import torch

from lib.baselines import NGram


def by_hand(text, context, token, vocab_size):
    """The recursion as it is written, with lists and loops."""
    if context is None:
        return 1 / vocab_size
    shorter = by_hand(text, context[1:] if context else None, token, vocab_size)
    behind = [text[i + len(context)] for i in range(len(text) - len(context)) if text[i : i + len(context)] == context]
    if not behind:
        return shorter
    kinds = len(set(behind))
    return (behind.count(token) + kinds * shorter) / (len(behind) + kinds)


def test_the_probabilities_are_those_counted_by_hand():
    text = torch.randint(4, (60,), generator=torch.Generator().manual_seed(0))
    model = NGram(text, order=3, vocab_size=4)
    pieces = torch.randint(4, (20, 6), generator=torch.Generator().manual_seed(1))
    given = model.probabilities(pieces)
    assert given.shape == (3, 20, 5)
    for order, row, place in itertools.product((1, 2, 3), range(20), range(5)):
        context = pieces[row, max(0, place + 2 - order) : place + 1].tolist()
        expected = by_hand(text.tolist(), context if order > 1 else [], int(pieces[row, place + 1]), 4)
        assert given[order - 1, row, place].item() == pytest.approx(expected)


def test_over_all_next_tokens_they_sum_to_1_also_behind_an_unseen_context():
    text = torch.tensor([0, 1, 2, 0, 1, 1, 2, 0])  # 3 never occurs
    model = NGram(text, order=4, vocab_size=4)
    pieces = torch.cartesian_prod(*[torch.arange(4)] * 4)
    total = model.probabilities(pieces)[:, :, 2].reshape(4, 64, 4).sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_counting_longer_contexts_pays_where_the_text_has_them():
    text = torch.arange(5).repeat(200)
    losses = -NGram(text, order=2, vocab_size=5).probabilities(text[None, :50]).log().mean(dim=(1, 2))
    assert losses[0] > 1.5
    assert losses[1] < 0.05
    assert len(NGram(text, order=2, vocab_size=5)) == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 0}, "order must be an integer of at least 1 but is 0"),
        ({"vocab_size": 0}, "vocab_size must be an integer of at least 1 but is 0"),
        ({"order": 11}, "the text has 10 tokens but order=11"),
        ({"order": 10, "vocab_size": 100}, "100 tokens have too many sequences of 10"),
        ({"vocab_size": 9}, "text holds ids from 0 to 9 but vocab_size=9"),
    ],
)
def test_what_cannot_be_counted_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        NGram(torch.arange(10), **{"order": 2, "vocab_size": 10} | changes)
