import itertools

import pytest
import torch
import torch.nn.functional as F

from lib.experiments import answers_tuned as task
from lib.experiments.answers import known_questions
from lib.experiments.text_classes import minilm
from lib.models.bert import BERT, BERTConfig
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


# The experiment of chapter 10 that fine-tunes everything.


def tiny_reader(arm=None):
    return task.Reader(BERT(BERTConfig.tiny(vocab_size=30522, num_segments=2), pooler=False))


@pytest.mark.parametrize("part", ["labelled", "same wordings", "other wordings"])
def test_the_tokens_of_an_answer_are_its_characters(part):
    asked = known_questions()[part]
    batch = task.batch_of(asked)
    places = task.answer_places(batch, asked)
    assert batch.inside.gather(1, places).all()
    for one, (first, last), characters in zip(asked, places.tolist(), batch.characters.tolist(), strict=True):
        assert one.passage[characters[first][0] : characters[last][1]] == one.answer
        assert 0 <= last - first < 8  # the longest span that is read


def test_a_reader_that_points_rightly_answers_rightly():
    asked = known_questions()["other wordings"][:45]  # three batches

    def pointing(batch):
        row = next(i for i in (0, 20, 40) if torch.equal(task.batch_of(asked[i : i + 20]).tokens, batch.tokens))
        places = task.answer_places(batch, asked[row : row + 20])
        scores = torch.zeros(*batch.tokens.shape, 2)
        return scores.scatter(1, places[:, None], 9.0)

    assert task.read(pointing, asked) == [one.answer for one in asked]
    assert task.scored(task.read(pointing, asked), asked) == (1.0, 1.0)
    assert task.scored(["the San Francisco."] * 2, [one for one in asked if len(one.answer.split()) == 1][:2]) == (0, 0)


def test_each_arm_starts_as_its_name_says_and_leaves_the_checkpoint_alone():
    published = minilm().encoder.state_dict()
    readers = [task.build(arm) for arm in task.ARMS]
    tuned, scratch = (reader.bert for reader in readers)
    assert all(torch.equal(one, published[name]) for name, one in tuned.encoder.state_dict().items())
    weights = [name for name, one in published.items() if one.dim() == 2]
    assert not any(torch.equal(scratch.encoder.state_dict()[name], published[name]) for name in weights)
    assert torch.equal(tuned.embeddings.tokens.weight, minilm().embeddings.tokens.weight)
    assert {one.data_ptr() for one in tuned.parameters()}.isdisjoint(one.data_ptr() for one in minilm().parameters())
    assert all(reader.training for reader in readers)
    with pytest.raises(ValueError, match="no arm 'frozen'"):
        task.run("frozen", 0)


def test_everything_is_trained_and_what_was_labelled_is_learnt(monkeypatch):
    made = []
    monkeypatch.setattr(task, "build", lambda arm: made.append(tiny_reader()) or made[-1])
    labelled = known_questions()["labelled"][:4]
    before = None

    def watched(loss, parameters, **settings):
        nonlocal before
        parameters = list(parameters)
        before = [one.detach().clone() for one in parameters]
        return task_fit(loss, parameters, **settings)

    task_fit = task.fit
    monkeypatch.setattr(task, "fit", watched)
    reader = task.train("from scratch", 0, labelled, 60, learning_rate=3e-3)
    assert reader is made[0]
    assert not reader.training
    assert len(before) == len(list(reader.parameters()))
    assert not any(torch.equal(old, new) for old, new in zip(before, reader.parameters(), strict=True))
    assert task.scored(task.read(reader, labelled), labelled) == (1.0, 1.0)
