import itertools

import pytest
import torch
import torch.nn.functional as F

from lib.models.spans import SpanHead, best_spans, span_loss


def test_the_best_span_is_the_one_that_a_search_finds():
    generator = torch.Generator().manual_seed(0)
    for longest in (1, 3, 7):
        scores = torch.randn(20, 7, 2, generator=generator)
        allowed = torch.rand(20, 7, generator=generator) < 0.6
        allowed[:, 3] = True
        found = best_spans(scores, allowed, longest=longest).tolist()
        for row in range(20):
            places = [p for p in range(7) if allowed[row, p]]
            pairs = [(i, j) for i, j in itertools.product(places, places) if 0 <= j - i < longest]
            assert tuple(found[row]) == max(pairs, key=lambda p: (scores[row, p[0], 0] + scores[row, p[1], 1]).item())


def test_the_loss_is_the_mean_of_two_cross_entropies_over_allowed_places():
    scores = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(1))
    allowed = torch.tensor([[False, True, True, True, False], [True, True, False, True, True]])
    spans = torch.tensor([[1, 2], [0, 4]])
    by_hand = []
    for row in range(2):
        for side in range(2):
            logits = scores[row, allowed[row], side]
            place = allowed[row, : spans[row, side]].sum()
            by_hand.append(F.cross_entropy(logits, place))
    torch.testing.assert_close(span_loss(scores, spans, allowed), torch.stack(by_hand).mean())


def test_refuses_answers_that_are_not_allowed():
    with pytest.raises(ValueError, match=r"\(0, 1\) of row 1"):
        span_loss(torch.zeros(2, 3, 2), torch.tensor([[1, 2], [0, 1]]), torch.tensor([[True] * 3, [False, True, True]]))
    with pytest.raises(ValueError, match="at least 1 but is 0"):
        best_spans(torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.bool), longest=0)


def test_the_head_scores_each_place_by_itself():
    head = SpanHead(6)
    hidden = torch.randn(1, 4, 6)
    changed = hidden.clone()
    changed[0, 2] = 0
    same = (head(hidden) == head(changed)).all(dim=-1)[0]
    assert same.tolist() == [True, True, False, True]
