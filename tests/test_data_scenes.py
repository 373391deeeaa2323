"""Scenes and captions: worked out a second time from the cells, and splits that share no image."""

import pytest
import torch

from lib.data.digits import handwritten_digits
from lib.data.scenes import (
    BEGIN,
    CHINESE,
    END,
    ENGLISH,
    KINDS,
    PAD,
    VOCABULARY,
    caption,
    describe,
    draw_scenes,
    kind_of,
    spelled,
)


def drawn(count=300, digits=2, split="train", seed=0):
    return draw_scenes(count, digits=digits, split=split, generator=torch.Generator().manual_seed(seed))


def clause(first, second, here, there, language):
    """One clause, written from the coordinates anew."""
    (y, x), (v, u) = divmod(here, 3), divmod(there, 3)
    words = {True: ("left of", "左边"), False: ("right of", "右边")}[x < u]
    if x == u:
        words = {True: ("above", "上面"), False: ("below", "下面")}[y < v]
    if language == "en":
        return f"{ENGLISH[first]} {words[0]} {ENGLISH[second]}"
    return f"{CHINESE[first]}在{CHINESE[second]}的{words[1]}"


@pytest.mark.parametrize("digits", [2, 3])
def test_captions_say_what_stands_where(digits):
    scenes = drawn(digits=digits)
    for language, joint in (("en", " and "), ("zh", "，")):
        captions = caption(scenes, [language] * 300)
        for text, labels, cells in zip(
            spelled(captions.words[:, 1:]), scenes.labels.tolist(), scenes.cells.tolist(), strict=True
        ):
            pairs = range(digits - 1)
            parts = [clause(*labels[k : k + 2], *cells[k : k + 2], language) for k in pairs]
            assert text == joint.join(parts)
            assert labels == sorted(set(labels))
            assert len(set(cells)) == digits
        assert (captions.words[:, 0] == BEGIN[language]).all()


def test_ids_targets_pairs_and_kinds_agree_with_the_plain_description():
    scenes = drawn(40, digits=3)
    languages = ["en", "zh"] * 20
    captions = caption(scenes, languages)
    for b, language in enumerate(languages):
        cells = scenes.cells[b].tolist()
        told = [*describe(scenes.labels[b].tolist(), cells, language), ("<end>", -1, 1)]
        length = len(told)
        assert [VOCABULARY[word] for word in captions.words[b, 1 : length + 1]] == [word for word, *_ in told]
        assert captions.target[b, :length].tolist() == [cells[n] if n >= 0 else -1 for _, n, _ in told]
        assert captions.pair[b, :length].tolist() == [cells[k : k + 2] for *_, k in told]
        assert [KINDS[kind] for kind in captions.kind[b, :length]] == [kind_of(word) for word, *_ in told]
        assert (captions.words[b, length + 1 :] == PAD).all()
        assert (captions.kind[b, length:] == -1).all()
        assert (captions.pair[b, length:] == -1).all()
    assert (captions.words == END).sum() == 40


def test_images_show_the_digits_of_their_split_in_their_cells_and_nothing_else():
    known = {split: handwritten_digits(split) for split in ("train", "validation", "test")}
    for split, (images, labels) in known.items():
        scenes = drawn(60, digits=3, split=split)
        cells = scenes.images.reshape(60, 3, 8, 3, 8).transpose(2, 3).reshape(60, 9, 64)
        full = torch.zeros(60, 9, dtype=torch.bool).scatter(1, scenes.cells, True)
        assert not cells[~full].any()
        shown = cells.gather(1, scenes.cells[..., None].expand(-1, -1, 64)).reshape(-1, 64)
        same = (shown[:, None] == images.flatten(1)[None]).all(dim=-1)  # (180, N)
        assert same.any(dim=1).all()
        assert torch.equal(labels[same.int().argmax(dim=1)], scenes.labels.flatten())
    pictures = [{tuple(image.flatten().tolist()) for image in images} for images, _ in known.values()]
    assert not pictures[0] & pictures[1]
    assert not pictures[0] & pictures[2]
    assert not pictures[1] & pictures[2]


def test_scenes_come_from_the_seed_and_are_spread_evenly():
    assert torch.equal(drawn(5).images, drawn(5).images)
    assert not torch.equal(drawn(5).images, drawn(5, seed=1).images)
    many = drawn(9000)
    assert (many.cells[:, 0].bincount(minlength=9) / 9000 - 1 / 9).abs().max() < 0.015
    assert (many.labels.flatten().bincount(minlength=10) / 18_000 - 1 / 10).abs().max() < 0.01


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: draw_scenes(0), "batch must be at least 1 but is 0"),
        (lambda: draw_scenes(2, digits=4), "2 or 3 digits, not 4"),
        (lambda: draw_scenes(2, split="dev"), "no split 'dev'"),
        (lambda: describe([1, 2], [0, 1], "fr"), "no language 'fr'"),
        (lambda: describe([1, 2], [0, 4], "en"), "cells 0 and 4"),
        (lambda: caption(drawn(3), ["en"]), "1 languages for 3 scenes"),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
