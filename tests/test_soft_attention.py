"""The experiments of chapter 15: the draws are as said, nothing leaks, and the proofs hold for the models."""

import pytest
import torch

from lib.experiments import soft_normalisers, soft_scores, soft_sequence
from lib.training import count_parameters


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_right_key_is_the_nearest_or_the_one_that_was_turned():
    query, key, target = soft_scores.draw("nearest", 50, generator())
    distance = torch.cdist(query, key)[:, 0]
    assert torch.equal(distance.argmin(-1), target)
    query, key, target = soft_scores.draw("rotated", 5000, generator())
    assert torch.allclose(key.norm(dim=-1), torch.tensor(8**0.5))
    noise = query[:, 0] @ soft_scores.rotation().T - key[torch.arange(5000), target]
    assert abs(noise.std().item() - soft_scores.NOISE) < 0.02
    assert torch.allclose(soft_scores.rotation() @ soft_scores.rotation().T, torch.eye(8), atol=1e-6)


@pytest.mark.parametrize("d_hidden", [None, 16])
def test_a_score_that_is_linear_in_the_key_never_puts_the_middle_first(d_hidden):
    torch.manual_seed(0)
    model = soft_scores.Bilinear(2, d_hidden).double()
    query, ends = torch.randn(200, 1, 2).double(), torch.randn(200, 2, 2).double()
    scores = model(query, torch.cat([ends, ends.mean(1, keepdim=True)], dim=1))[:, 0]  # (200, 3)
    torch.testing.assert_close(scores[:, 2], scores[:, :2].mean(1))


def test_counts_are_uniform_and_said_by_the_items():
    wanted, kinds, says, answer = soft_normalisers.draw("count", 3000, 6, generator())
    assert torch.equal((kinds == wanted[:, None]).sum(-1), answer)
    assert torch.equal((kinds == wanted[:, None]).long(), says)
    assert torch.bincount(answer, minlength=7).min() > 350
    assert all(len(row.unique()) <= 2 for row in kinds)
    assert soft_normalisers.draw("count", 3000, 20, generator())[3].max() == soft_normalisers.MOST


def test_exactly_one_item_is_to_be_picked():
    wanted, kinds, says, answer = soft_normalisers.draw("pick", 500, 9, generator())
    matching = kinds == wanted[:, None]
    assert torch.equal(matching.sum(-1), torch.ones(500).long())
    assert torch.equal(says[matching], answer)


@pytest.mark.parametrize(
    ("normaliser", "unmoved"),
    [("softmax", True), ("softmax and a sink", False), ("sigmoid", False), ("sparsemax", False)],
)
def test_only_softmax_without_a_sink_is_blind_to_a_doubled_set(normaliser, unmoved):
    torch.manual_seed(0)
    model = soft_normalisers.Reader("count", normaliser)
    wanted, kinds, says, _ = soft_normalisers.draw("count", 20, 6, generator())
    once, twice = model(wanted, kinds, says), model(wanted, kinds.repeat(1, 2), says.repeat(1, 2))
    assert torch.allclose(once, twice, atol=1e-5) == unmoved


@pytest.mark.parametrize("arm", soft_sequence.ARMS)
def test_what_is_written_later_changes_nothing_before(arm):
    torch.manual_seed(0)
    model = soft_sequence.Translator(arm, soft_sequence.WIDTHS[arm])
    source = soft_sequence.draw(4, 7, generator())
    written = source.flip(1)[:, :-1]
    changed = written.clone()
    changed[:, 3:] = (changed[:, 3:] + 1) % soft_sequence.SYMBOLS
    before, after = model(source, written), model(source, changed)
    assert before.shape == (4, 7, soft_sequence.SYMBOLS)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_attention_has_the_fewest_parameters():
    sizes = {arm: count_parameters(soft_sequence.Translator(arm, width)) for arm, width in soft_sequence.WIDTHS.items()}
    assert min(sizes, key=sizes.get) == "attention"
    assert max(sizes.values()) < 1.2 * sizes["attention"]
