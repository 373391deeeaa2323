"""Chapter 09's models: nothing later leaks in, the formulas are as said, and ranks are honest."""

import numpy as np
import pytest
import torch

from lib.attention import scaled_dot_product_attention, watch
from lib.data.movielens import Histories
from lib.experiments import recommenders as task
from lib.experiments import recommenders_long as longer
from lib.experiments.recommenders_plain import EqualWeights
from lib.models.neighbours import ItemNeighbours, Markov, Popularity, co_occurrence, popularity, transitions
from lib.models.recommender import (
    AveragePooling,
    RecommenderConfig,
    SASRec,
    TargetAttention,
    recent,
    start_from_popularity,
)
from lib.training import count_parameters

MODELS = [AveragePooling, TargetAttention, SASRec]
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
CONFIG = RecommenderConfig(num_items=30, d_model=8, d_ff=8, max_length=12, window=3, start=0.5)
HISTORY = torch.tensor([[3, 17, 5, 30, 1, 9, 22], [4, 2, 8, 6, 11, 0, 0]])


def built(model, config=CONFIG):
    torch.manual_seed(0)
    return model(config).eval()


@models
def test_no_item_is_never_recommended_and_every_item_can_be(model):
    logits = built(model)(HISTORY)
    assert logits.shape == (2, 7, 31)
    assert (logits[..., 0] == -torch.inf).all()
    assert logits[..., 1:].isfinite().all()


@models
def test_later_items_change_nothing(model):
    model, changed = built(model), HISTORY.clone()
    changed[:, 4:] = torch.tensor([[7, 7, 8], [12, 13, 14]])
    before, after = model(HISTORY), model(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4], after[:, 4])


@models
def test_what_stands_behind_a_shorter_history_changes_nothing(model):
    model = built(model)
    torch.testing.assert_close(model(HISTORY)[1, :5], model(HISTORY[1:, :5])[0])


@models
def test_every_parameter_learns(model):
    model = built(model).train()
    torch.nn.functional.cross_entropy(
        model(HISTORY).flatten(0, 1), HISTORY.roll(-1, 1).flatten(), ignore_index=0
    ).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None and (parameter.grad != 0).any()) or name.endswith("w_key.bias"), name


@models
def test_one_batch_can_be_learnt_by_heart(model):
    model = built(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    for _ in range(150):
        logits = model(HISTORY[:1, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), HISTORY[:1, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3


def test_average_pooling_is_the_mean_and_nothing_else():
    model = built(AveragePooling)
    for last in (1, 2, 3, 6):
        mean = model.embedding.weight[HISTORY[0, max(0, last - 2) : last + 1]].mean(dim=0)
        torch.testing.assert_close(model(HISTORY)[0, last, 1:], model.output(model.tower(mean))[1:])
    shuffled = HISTORY[:1, [0, 1, 2, 3, 6, 4, 5]]
    torch.testing.assert_close(model(shuffled)[0, -1], model(HISTORY)[0, -1])


def test_target_attention_is_cross_attention_with_the_candidates_as_queries():
    model = built(TargetAttention)
    for row, last in ((0, 0), (0, 4), (0, 6), (1, 4)):
        seen = model.embedding.weight[HISTORY[row, max(0, last - 2) : last + 1]]
        candidates = model.output.weight
        gathered = scaled_dot_product_attention(model.w_query(candidates), model.w_key(seen), model.w_value(seen))
        expected = (gathered * candidates).sum(dim=-1) + model.output.bias
        torch.testing.assert_close(model(HISTORY)[row, last, 1:], expected[1:])


def test_target_attention_with_equal_keys_is_an_average_of_all_it_sees():
    model = built(TargetAttention)
    with torch.no_grad():
        model.w_key.weight.zero_()
    mean = model.w_value(model.embedding.weight[HISTORY[0, 4:]]).mean(dim=0)
    expected = model.output.weight @ mean + model.output.bias
    torch.testing.assert_close(model(HISTORY)[0, -1, 1:], expected[1:])


def test_huge_scores_stay_finite():
    model = built(TargetAttention)
    with torch.no_grad():
        model.w_key.weight *= 1e4
    assert model(HISTORY)[..., 1:].isfinite().all()


def test_sasrec_attends_to_the_past_only():
    model = built(SASRec)
    with watch(model) as weights:
        model(HISTORY)
    for layer in weights.values():
        assert (layer[0].triu(1) == 0).all()
        torch.testing.assert_close(layer[0].sum(dim=-1), torch.ones(2, 1, 7))


def test_recent_places():
    assert torch.equal(recent(4, 9), torch.ones(4, 4).tril().bool())
    assert recent(5, 2).sum(dim=-1).tolist() == [1, 2, 2, 2, 2]
    with pytest.raises(ValueError, match=r"window must be .*0"):
        recent(3, 0)


@models
def test_wrong_histories_are_named(model):
    model = built(model)
    with pytest.raises(ValueError, match="history holds the id 31 but vocab_size=31"):
        model(torch.tensor([[31]]))
    with pytest.raises(ValueError, match="history holds the id -1"):
        model(torch.tensor([[-1]]))
    with pytest.raises(ValueError, match="history is empty"):
        model(torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(ValueError, match="rank 1"):
        model(torch.tensor([1]))


def test_other_mistakes_are_named():
    with pytest.raises(ValueError, match="history is 13 long but there are 12 positions"):
        built(SASRec)(torch.ones(1, 13, dtype=torch.int64))
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1 but is 1"):
        RecommenderConfig(5, dropout=1)
    with pytest.raises(ValueError, match=r"num_items must be .*0"):
        RecommenderConfig(0)
    with pytest.raises(ValueError, match="3 shares for 31 ids"):
        start_from_popularity(built(SASRec), [0, 1, 2])


def test_training_begins_at_popularity():
    share = torch.rand(31)
    for model in MODELS:
        model = built(model, RecommenderConfig(30, start=1e-6))
        start_from_popularity(model, share)
        expected = (share[1:] / share[1:].sum()).expand(2, 5, 30)
        torch.testing.assert_close(model(HISTORY[:, :5]).softmax(dim=-1)[..., 1:], expected, rtol=1e-3, atol=1e-5)


# The neighbours.

LEARNT = [np.array([1, 2, 3, 4]), np.array([2, 1]), np.array([], dtype=np.int64), np.array([4, 2])]


def test_popularity_and_transitions_count():
    np.testing.assert_allclose(popularity(LEARNT, 4), np.array([0, 2, 3, 1, 2]) / 8)
    counts = transitions(LEARNT, 4)
    assert counts.sum() == 5
    assert (counts[1, 2], counts[2, 1], counts[4, 2], counts[4, 3]) == (1, 1, 1, 0)


@pytest.mark.parametrize("window", [1, 2, None])
def test_co_occurrence_counts_pairs(window):
    expected = np.zeros((5, 5))
    for items in LEARNT:
        for i, a in enumerate(items):
            for j, b in enumerate(items):
                expected[a, b] += i != j and abs(i - j) <= (window or 99)
    assert np.array_equal(co_occurrence(LEARNT, 4, window=window), expected)


def test_markov_breaks_ties_by_popularity():
    scores = Markov(LEARNT, 4)(np.array([3, 2]))
    assert scores[1] > 1
    assert scores[3] > 1
    assert scores[1] > scores[3] > scores[4]
    np.testing.assert_allclose(Markov(LEARNT, 4)(np.array([], dtype=np.int64)), popularity(LEARNT, 4))


def test_neighbours_score_by_the_formula():
    history = np.array([3, 1])
    model = ItemNeighbours(LEARNT, 4, decay=0.5)
    together, counts = co_occurrence(LEARNT, 4), np.array([1, 2, 3, 1, 2])
    for c in range(1, 5):
        expected = sum(
            w * together[h, c] / np.sqrt(counts[h] * counts[c]) for h, w in zip(history, (0.5, 1), strict=True)
        )
        assert model(history)[c] == pytest.approx(expected)
    np.testing.assert_allclose(ItemNeighbours(LEARNT, 4, longest=1)(history), ItemNeighbours(LEARNT, 4)(history[1:]))


def test_what_the_neighbours_refuse():
    with pytest.raises(ValueError, match="holds the id 5 but num_items=4"):
        co_occurrence([np.array([5])], 4)
    with pytest.raises(ValueError, match="holds the id 0"):
        Popularity([np.array([0])], 4)
    with pytest.raises(ValueError, match="no event in 1 histories"):
        popularity([np.array([], dtype=np.int64)], 4)
    with pytest.raises(ValueError, match="decay must be above 0 and at most 1 but is 0"):
        ItemNeighbours(LEARNT, 4, decay=0)
    with pytest.raises(ValueError, match=r"longest must be .*0"):
        ItemNeighbours(LEARNT, 4, longest=0)
    with pytest.raises(ValueError, match=r"window must be .*0"):
        co_occurrence(LEARNT, 4, window=0)


# The experiment.


def small(films, held_out):
    films = tuple(np.array(one) for one in films)
    counts = np.bincount(np.concatenate([f[: len(f) - n] for f, n in zip(films, held_out, strict=True)]), minlength=7)
    return Histories(films, films, np.array(held_out), counts, ("",) * 7, ("",) * 7, tuple(range(len(films))))


def test_ranks_leave_out_the_seen_and_count_ties_against():
    everyone = small([[1, 2, 3, 4], [5, 6], [2]], [2, 0, 1])
    scores = np.array([9.0, 8, 7, 1, 3, 5, 3])
    found = task.ranks(everyone, task.each_prefix(lambda history: scores))
    assert [places.tolist() for places in found] == [[4, 3], [], []]
    assert task.ranks(everyone, task.each_prefix(lambda history: np.zeros(7)))[0].tolist() == [4, 3]


def test_the_scorer_sees_only_what_came_before():
    everyone, shown = small([[1, 2, 3, 4]], [2]), []

    def score(history):
        shown.append(history.tolist())
        return np.arange(7.0)

    task.ranks(everyone, task.each_prefix(score))
    assert shown == [[1, 2], [1, 2, 3]]


def test_a_network_ranks_as_from_each_prefix_by_itself():
    everyone = small([[1, 2, 3, 4, 6], [5, 6, 1]], [2, 1])
    model = built(SASRec, RecommenderConfig(6, d_model=8, start=0.5))

    @torch.no_grad()
    def alone(history):
        return model(torch.from_numpy(history)[None])[0, -1].numpy()

    for one, other in zip(
        task.ranks(everyone, task.network(model)), task.ranks(everyone, task.each_prefix(alone)), strict=True
    ):
        assert np.array_equal(one, other)


def test_hit_rate_and_ndcg():
    found = [np.array([1, 11]), np.array([], dtype=np.int64), np.array([2])]
    assert task.hit_rate(found).tolist() == [0.5, 1]
    np.testing.assert_allclose(task.ndcg(found), [0.5, 1 / np.log2(3)])


def test_the_interval_covers_the_mean_and_shrinks():
    values = np.random.default_rng(0).random(400)
    low, high = task.interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_a_stranger_is_somebody_else_with_enough_films():
    everyone = small([[1, 2, 3], [4, 5, 6, 1], [2, 3]], [1, 2, 1])
    shown = task.stranger(everyone)
    assert [shown(user).tolist() for user in range(3)] == [[4, 5, 6, 1], [1, 2, 3], [1, 2, 3]]


def test_the_networks_are_of_one_size_and_each_arm_can_be_built():
    sizes = [count_parameters(task.build(arm, 1217)) for arm in task.NETWORKS]
    assert max(sizes) / min(sizes) < 1.25
    assert set(task.ARMS) == task.NETWORKS.keys() == task.CHOSEN.keys()


def test_batches_are_pieces_of_training_histories():
    learnt = [np.arange(1, 80), np.array([5]), np.array([3, 4])]
    draw = task.batches(learnt, np.random.default_rng(0))
    for row in torch.cat([draw() for _ in range(5)]).tolist():
        films = [film for film in row if film]
        assert films == [3, 4] or (
            len(films) == task.LENGTH + 1 and films == list(range(films[0], films[0] + len(films)))
        )


def test_counting_methods_are_made_from_training_events():
    everyone = small([[1, 2, 3, 1], [4, 5, 6]], [1, 2])
    for arm in task.COUNTING:
        assert task.counted(arm, everyone)(np.array([1, 2])).shape == (7,)
    assert task.counted("popularity", everyone)(np.array([1]))[5] == 0


def test_equal_weights_are_target_attention_that_compares_nothing():
    config = RecommenderConfig(30, d_model=8, window=3, start=0.5)
    attentive, plain = built(TargetAttention, config), built(EqualWeights, config)
    with torch.no_grad():
        attentive.w_key.weight.zero_()
    plain.load_state_dict({name: t for name, t in attentive.state_dict().items() if name in plain.state_dict()})
    torch.testing.assert_close(plain(HISTORY), attentive(HISTORY))


def test_levelled_target_attention_weighs_all_films_alike_and_leaves_the_trained_one_as_it_was():
    model = built(TargetAttention)
    level = longer.levelled(model)
    assert not level.scores(HISTORY).any()
    assert model.scores(HISTORY).any()


def test_longer_training_takes_networks_of_the_contest_for_more_steps():
    assert {name for name, _, _ in longer.RECIPES.values()} == {*task.ARMS, "DIN, equal weights"}
    assert {steps for arm, (_, steps, _) in longer.RECIPES.items() if "steps" not in arm} == {3 * task.STEPS}
