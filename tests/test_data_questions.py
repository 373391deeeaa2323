import pytest

from lib.data.questions import RELATIONS, WORDS, questions


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("otherwise", [False, True])
def test_the_answer_stands_where_it_is_said_to_stand(test, otherwise):
    for one in questions(60, seed=3, test=test, otherwise=otherwise):
        assert one.passage[one.start : one.end] == one.answer
        assert one.passage.count(".") == 4
        assert one.answer not in one.question
        assert one.relation in RELATIONS


def test_training_and_test_share_no_word_of_the_lists():
    for training, test in WORDS.values():
        assert not set(training.split(",")) & set(test.split(","))
    known, asked = ({w for q in questions(200, seed=0, test=t) for w in [q.answer]} for t in (False, True))
    assert not known & asked


def test_both_wordings_ask_for_the_same_in_the_same_passages():
    same, other = (questions(40, seed=5, test=True, otherwise=o) for o in (False, True))
    for one, two in zip(same, other, strict=True):
        assert one.question != two.question
        assert one._replace(question="") == two._replace(question="")


def test_the_same_seed_draws_the_same_and_another_does_not():
    assert questions(5, seed=1) == questions(5, seed=1) != questions(5, seed=2)


def test_refuses_no_questions():
    with pytest.raises(ValueError, match="at least 1 but is 0"):
        questions(0, seed=0)
