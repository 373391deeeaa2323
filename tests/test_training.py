"""The training loop: it learns, says what it did, repeats itself, and stops where a number breaks."""

import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lib import training
from lib.data.lookup import planted_signal
from lib.training import Muon, count_parameters, fit, muon, seed_everything, shows_progress


def squares(parameter):
    return lambda step: (parameter**2).sum()


def rates(monkeypatch, **options):
    """The learning rate of every step."""
    seen = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self: (seen.append(self.param_groups[0]["lr"]), step(self))[1]
    )
    weight = nn.Parameter(torch.ones(2))
    fit(squares(weight), [weight], **options)
    return seen


def test_fit_learns_a_small_task_to_the_end():
    seed_everything(0)
    generator = torch.Generator().manual_seed(0)
    data = planted_signal(64, 4, num_classes=3, d_cue=8, generator=generator)
    x, model = data.query, nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))
    losses = fit(
        lambda step: nn.functional.cross_entropy(model(x), data.label),
        model.parameters(),
        steps=200,
        learning_rate=0.01,
    )
    assert len(losses) == 200
    assert losses[0] == pytest.approx(math.log(3), abs=0.2)
    assert losses[-1] < 0.05


def test_the_loss_is_told_the_step_and_returned_from_before_the_update():
    steps, weight = [], nn.Parameter(torch.tensor(3.0))

    def loss(step):
        steps.append(step)
        return weight**2

    losses = fit(loss, iter([weight]), steps=5, learning_rate=0.1)
    assert steps == [0, 1, 2, 3, 4]
    assert losses[0] == 9.0
    assert losses == sorted(losses, reverse=True)


def test_the_same_seed_gives_the_same_numbers():
    def once(seed):
        seed_everything(seed)
        model = nn.Linear(4, 1)
        return fit(
            lambda step: model(torch.randn(8, 4)).pow(2).mean(), model.parameters(), steps=20, learning_rate=0.01
        )

    assert once(1) == once(1)
    assert once(1) != once(2)


def test_the_learning_rate_rises_and_falls_as_said(monkeypatch):
    seen = rates(monkeypatch, steps=100, learning_rate=0.5, warmup=9)
    np.testing.assert_allclose(seen[:9], 0.05 * np.arange(1, 10))
    assert seen[9] == 0.5 == max(seen)
    assert seen[9:] == sorted(seen[9:], reverse=True)
    assert 0 < seen[-1] < 0.001


def test_the_learning_rate_can_stay_or_stop_higher(monkeypatch):
    assert rates(monkeypatch, steps=10, learning_rate=0.5, final=1.0) == [0.5] * 10
    assert rates(monkeypatch, steps=1000, learning_rate=0.5, final=0.1)[-1] == pytest.approx(0.05, abs=1e-4)


def test_the_gradient_is_cut_to_the_length_asked_for(monkeypatch):
    norms = []
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: norms.append(weight.grad.norm().item()))
    weight = nn.Parameter(torch.full((4,), 100.0))
    fit(squares(weight), [weight], steps=1, learning_rate=0.1)
    fit(squares(weight), [weight], steps=1, learning_rate=0.1, clip=2.0)
    assert norms == pytest.approx([400.0, 2.0])


def test_weight_decay_pulls_towards_zero():
    weight = nn.Parameter(torch.ones(1))
    fit(lambda step: (weight * 0).sum(), [weight], steps=10, learning_rate=0.1, final=1.0, weight_decay=0.5)
    assert weight.item() == pytest.approx(0.95**10, rel=1e-5)


def test_muon_adjusts_the_chosen_matrices_and_adamw_the_rest(monkeypatch):
    seen = {}
    for kind in (Muon, torch.optim.AdamW):

        def step(self, inner=kind.step, name=kind.__name__):
            (group,) = self.param_groups
            seen.setdefault(name, []).append((len(group["params"]), group["lr"]))
            inner(self)

        monkeypatch.setattr(kind, "step", step)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    before = [parameter.clone() for parameter in model.parameters()]
    fit(
        lambda step: model(torch.ones(1, 4)).pow(2).sum(),
        model.parameters(),
        steps=2,
        learning_rate=0.1,
        optimizers=muon(model[0].parameters()),
    )
    assert seen == {"Muon": [(1, 0.1), (1, 0.05)], "AdamW": [(3, 0.1), (3, 0.05)]}
    assert all((a != b).any() for a, b in zip(before, model.parameters(), strict=True))


def test_muon_turns_a_matrix_by_an_almost_orthogonal_step_of_adamws_size():
    generator = torch.Generator().manual_seed(0)
    slopes, weight = torch.randn(6, 4, generator=generator), nn.Parameter(torch.zeros(6, 4))
    fit(lambda step: (weight * slopes).sum(), [weight], steps=1, learning_rate=0.1, optimizers=muon([weight]))
    sizes = torch.linalg.svdvals(-weight.detach()) / (0.1 * 0.2 * 6**0.5)
    assert sizes.tolist() == pytest.approx([1] * 4, abs=0.35)
    assert torch.linalg.svdvals(slopes).max() / torch.linalg.svdvals(slopes).min() > 2
    assert ((weight * slopes).sum() < 0).item()


def test_muon_does_what_torchs_own_does():
    """Torch's works in bfloat16, so only nearly."""
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(6, 4, generator=generator), torch.randn(3, 8, generator=generator)]
    slopes = [[torch.randn(start.shape, generator=generator) for start in starts] for _ in range(3)]
    reached = []
    for make in (Muon, partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")):
        weights = [nn.Parameter(start.clone()) for start in starts]
        optimizer = make(weights, lr=0.1, weight_decay=0.5)
        for step in slopes:
            for weight, slope in zip(weights, step, strict=True):
                weight.grad = slope
            optimizer.step()
        reached.append(weights)
    for ours, torchs in zip(*reached, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=0, atol=0.01)


def test_muon_refuses_what_is_no_matrix_and_skips_what_has_no_gradient():
    with pytest.raises(ValueError, match=r"^Muon adjusts matrices, with 2 axes, but got a parameter with 1$"):
        Muon([nn.Parameter(torch.ones(3))], lr=0.1)
    weight = nn.Parameter(torch.ones(2, 2))
    Muon([weight], lr=0.1).step()
    assert torch.equal(weight, torch.ones(2, 2))


def test_with_no_matrix_to_choose_muon_is_adamw():
    def once(**options):
        weight = nn.Parameter(torch.ones(3))
        return fit(squares(weight), [weight], steps=5, learning_rate=0.1, **options)

    assert once() == once(optimizers=muon([]))


@pytest.mark.parametrize(("bad", "word"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_loss_that_is_not_finite_stops_at_its_step(bad, word):
    weight = nn.Parameter(torch.ones(1))
    before = []

    def loss(step):
        before.append(weight.item())
        return weight.sum() * (bad if step == 3 else 1.0)

    with pytest.raises(FloatingPointError, match=rf"^the loss is {word} at step 3 of 10: "):
        fit(loss, [weight], steps=10, learning_rate=0.1)
    assert weight.item() == before[-1]  # nothing was adjusted by it


@pytest.mark.parametrize(
    ("parameters", "options", "message"),
    [
        (0, {"steps": 5}, "fit got no parameters"),
        (1, {"steps": 0}, "steps must be at least 1 but is 0"),
        (1, {"steps": 5, "warmup": 5}, "warmup=5 must be at least 0 and below steps=5"),
        (1, {"steps": 5, "warmup": -1}, "warmup=-1 must be at least 0 and below steps=5"),
    ],
)
def test_what_cannot_be_trained_is_refused(parameters, options, message):
    weights = [nn.Parameter(torch.ones(1))] * parameters
    with pytest.raises(ValueError, match=f"^{message}"):
        fit(lambda step: weights[0].sum(), weights, learning_rate=0.1, **options)


def test_a_loss_must_be_one_number():
    weight = nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match=r"^the loss must be one number but has shape \(3,\): take its mean$"):
        fit(lambda step: weight**2, [weight], steps=2, learning_rate=0.1)


def test_a_seed_repeats_every_source_of_chance():
    def draw():
        rng = seed_everything(7)
        return [rng.random(), np.random.rand(), random.random(), torch.rand(1).item()]

    assert draw() == draw()
    seed_everything(8)
    assert torch.rand(1).item() != draw()[-1]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match=f"^seed must be between 0 and 4294967295 but is {seed}$"):
        seed_everything(seed)


def test_parameters_are_counted_once_and_only_if_they_learn():
    shared = nn.Linear(3, 3, bias=False)
    frozen = nn.Linear(5, 5).requires_grad_(False)
    assert count_parameters(nn.Sequential(shared, shared, frozen)) == 9


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, True),
        ({"BOOK_PROGRESS": "1"}, True),
        ({"BOOK_PROGRESS": "0"}, False),
        ({"CI": "true"}, False),
        ({"CI": "false"}, True),
        ({"CI": ""}, True),
    ],
)
def test_progress_shows_for_a_person_only(monkeypatch, capsys, environment, shown):
    for name in ("BOOK_PROGRESS", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert shows_progress() == shown
    weight = nn.Parameter(torch.ones(1))
    fit(squares(weight), [weight], steps=3, learning_rate=0.1, label="looking")
    output = capsys.readouterr()
    assert output.out == ""
    assert ("looking" in output.err) == shown
    assert (output.err == "") != shown


def test_plain_tqdm_is_used_since_the_other_warns():
    assert training.tqdm.__module__ == "tqdm.std"
