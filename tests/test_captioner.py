"""The captioner: what each look hands on, that the gaze is the only way in, and that hard training reaches the gaze."""

import pytest
import torch

from lib.data.scenes import BEGIN, END, VOCABULARY, caption, draw_scenes
from lib.experiments import captioning
from lib.hard import SampledAttention
from lib.models.captioner import (
    Captioner,
    CaptionerConfig,
    FlatCaptioner,
    MeanCaptioner,
    drawn_look,
    greedy_look,
    mixed_look,
    soft_look,
    straight_through_look,
)
from lib.training import count_parameters


def made(kind=Captioner, **sizes):
    torch.manual_seed(0)
    return kind(CaptionerConfig(len(VOCABULARY), **sizes))


def some(count=4, digits=2):
    scenes = draw_scenes(count, digits=digits, generator=torch.Generator().manual_seed(1))
    return scenes, caption(scenes, ["en", "zh"] * (count // 2))


@pytest.mark.parametrize("kind", [Captioner, MeanCaptioner, FlatCaptioner])
def test_no_word_sees_a_later_one_and_writing_agrees_with_reading(kind):
    model, (scenes, _) = made(kind), some()
    written, weights = model.write(scenes.images, torch.tensor([2, 3, 2, 3]), max_length=6)
    words = torch.cat([torch.tensor([[2], [3], [2], [3]]), written], dim=1)
    said = model(scenes.images, words[:, :-1])
    before_end = (written == END).cumsum(dim=1) <= (written == END)  # up to the first end, itself included
    assert torch.equal(said.logits.argmax(-1)[before_end], written[before_end])
    torch.testing.assert_close(said.weights, weights)
    words[:, 3:] = 5
    again = model(scenes.images, words[:, :-1])
    torch.testing.assert_close(again.logits[:, :3], said.logits[:, :3])


def test_a_region_knows_its_own_cell_and_place_only():
    encoder, (scenes, _) = made().encoder, some()
    changed = scenes.images.clone()
    changed[:, :, 8:16, 16:24] = 0.5  # the cell in row 1, column 2
    moved = (encoder(changed) != encoder(scenes.images)).any(dim=-1)
    assert moved.tolist() == [[False] * 5 + [True] + [False] * 3] * 4
    blank = encoder(torch.zeros(1, 1, 24, 24))[0]
    assert len(torch.unique(blank, dim=0)) == 9


def test_what_it_does_not_look_at_changes_nothing():
    model, (scenes, captions) = made(), some()

    def at_cell_four(scores):
        return torch.eye(9)[torch.full(scores.shape[:2], 4)]

    other = torch.rand_like(scenes.images)
    other[:, :, 8:16, 8:16] = scenes.images[:, :, 8:16, 8:16]
    said = model(scenes.images, captions.words, at_cell_four)
    assert torch.equal(said.logits, model(other, captions.words, at_cell_four).logits)
    assert not torch.equal(model(scenes.images, captions.words).logits, model(other, captions.words).logits)


@pytest.mark.parametrize("look", [greedy_look, straight_through_look, lambda scores: drawn_look(scores).weights])
def test_hard_looks_take_one_region_and_soft_ones_share(look):
    scores = torch.randn(3, 5, 9, generator=torch.Generator().manual_seed(0))
    weights = look(scores)
    assert torch.equal(weights.sort(dim=-1).values, torch.eye(9)[8].expand(3, 5, 9))
    soft = soft_look(scores)
    assert (soft > 0).all()
    torch.testing.assert_close(soft.sum(dim=-1), torch.ones(3, 5))


def test_a_mixed_look_is_soft_for_whole_captions_and_gives_those_no_log_probability():
    soft = torch.tensor([True, False, False])
    scores = torch.randn(3, 5, 9, requires_grad=True)
    look = mixed_look(soft)(scores)
    assert isinstance(look, SampledAttention)
    assert torch.equal(look.weights[0], soft_look(scores)[0])
    assert (look.weights[1:].detach().max(dim=-1).values == 1).all()
    assert (look.log_probability[0] == 0).all()
    assert (look.log_probability[1:] < 0).all()


def test_each_arm_trains_what_points_and_the_reader_of_cells_stays():
    scenes, captions = some(8)
    for arm in captioning.ARMS:
        model, baseline = captioning.build(arm), captioning.RunningMean()
        for _ in range(2):  # without a difference to its baseline the first drawn batch might say nothing
            captioning.loss_of(arm, model, scenes, captions, baseline).backward()
        if arm not in ("mean", "flat"):
            assert model.w_key.weight.grad.abs().max() > 0, arm
        assert all(weight.grad is None for weight in model.encoder.read.parameters())


def test_the_arms_have_nearly_the_same_number_of_parameters():
    counts = [count_parameters(captioning.build(arm)) for arm in captioning.ARMS]
    assert max(counts) / min(counts) < 1.02, counts


def test_exact_match_asks_for_every_word_and_the_end():
    class Says(torch.nn.Module):
        def __init__(self, words):
            super().__init__()
            self.words = words

        def write(self, images, begin, look, *, max_length):
            return self.words, None

    scenes, captions = some()
    right = captions.words[:, 1:].clone()
    right[right == 0] = END  # `write` fills up with the end
    assert captioning.exact_matches(Says(right), soft_look, scenes, captions).all()
    wrong = right.clone()
    wrong[0, 0], wrong[1, 2] = 6, END
    found = captioning.exact_matches(Says(wrong), soft_look, scenes, captions)
    assert found.tolist() == [bool(right[0, 0] == 6), False, True, True]
    assert not captioning.exact_matches(Says(right[:, :2]), soft_look, scenes, captions).any()


def test_the_gaze_is_measured_against_the_digits_of_the_clause():
    class Looks(torch.nn.Module):
        def __init__(self, cells):
            super().__init__()
            self.cells = cells

        def forward(self, images, words, look):
            return type("Said", (), {"weights": torch.eye(9)[self.cells]})

    scenes, captions = some()
    at = captions.pair[..., 1].clamp(min=0)  # always on the second digit
    found = captioning.gaze(Looks(at), soft_look, scenes, captions)
    assert found["pointing"] == 0.5
    assert found["relation on the second"] == found["other on the second"] == 1
    assert found["relation on the first"] == found["other on the first"] == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: CaptionerConfig(0), "vocab_size must be an integer of at least 1 but is 0"),
        (lambda: CaptionerConfig(9, image_size=20), "image_size=20 is not divisible by 8"),
        (lambda: made()(torch.zeros(2, 1, 24, 24), torch.tensor([[2]])), "2 images but 1 captions"),
        (lambda: made()(torch.zeros(1, 1, 16, 24), torch.tensor([[2]])), r"\(1, 1, 16, 24\)"),
        (lambda: made()(torch.zeros(1, 1, 24, 24), torch.tensor([[99]])), "99"),
        (lambda: made().write(torch.zeros(1, 1, 24, 24), torch.tensor([BEGIN["en"]]), max_length=0), "max_length"),
        (lambda: captioning.build("loud"), "no arm 'loud'"),
    ],
)
def test_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
