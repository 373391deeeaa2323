"""Heads turned down from outside, and the planted relations that show what heads do."""

import pytest
import torch
from torch import nn

from lib.attention import MultiHeadAttention, gate_heads, watch, without_heads
from lib.data.relations import planted_relations
from lib.experiments import heads as task
from lib.experiments.heads_joined import SHAPES, JoinedHeads, build
from lib.masks import causal_mask
from lib.training import count_parameters
from lib.transformer import Encoder, EncoderLayer

B, T, D, H = 2, 5, 12, 3


def attention_and_input(seed=0):
    torch.manual_seed(seed)
    return MultiHeadAttention(D, H), torch.randn(B, T, D)


def what_each_head_adds(attention, x, mask=None):
    """Written out anew: weights times values, times the head's own rows of the output projection."""
    weights = attention.attention_weights(x, mask=mask)  # (B, H, T, T)
    values = attention.w_value(x).reshape(B, T, H, D // H)
    heads = torch.einsum("bhts,bshd->bhtd", weights, values)
    rows = attention.w_output.weight.T.reshape(H, D // H, D)
    return torch.einsum("bhtd,hdm->bhtm", heads, rows)  # (B, H, T, D)


@pytest.mark.parametrize("silenced", [[], [0], [2], [0, 2], [0, 1, 2]])
def test_a_silenced_head_no_longer_adds_its_part(silenced):
    attention, x = attention_and_input()
    parts = what_each_head_adds(attention, x, causal_mask(T))
    kept = [head for head in range(H) if head not in silenced]
    with without_heads(attention, {"": silenced}):
        output = attention(x, mask=causal_mask(T))
    torch.testing.assert_close(output, parts[:, kept].sum(1) + attention.w_output.bias)


def test_gates_scale_what_each_head_adds():
    attention, x = attention_and_input()
    gates = torch.tensor([0.5, 2.0, -1.0])
    with gate_heads(attention, {"": gates}):
        output = attention(x)
    expected = (gates[:, None, None] * what_each_head_adds(attention, x)).sum(1) + attention.w_output.bias
    torch.testing.assert_close(output, expected)


def test_the_gradient_of_a_gate_is_that_of_its_head():
    attention, x = attention_and_input()
    gates = torch.ones(H, requires_grad=True)
    with gate_heads(attention, {"": gates}):
        (attention(x) ** 2).sum().backward()
    total = what_each_head_adds(attention, x).sum(1) + attention.w_output.bias
    expected = (2 * total[:, None] * what_each_head_adds(attention, x)).sum((0, 2, 3))
    torch.testing.assert_close(gates.grad, expected, rtol=1e-4, atol=1e-4)


def test_only_the_named_layer_changes_and_the_weights_of_the_others_there_stay():
    torch.manual_seed(0)
    model, x = Encoder([EncoderLayer(D, H, 8) for _ in range(2)]), torch.randn(B, T, D)
    with watch(model) as plain:
        output = model(x)
    with watch(model) as weights, without_heads(model, {"layers.0.attention": [1]}):
        changed = model(x)
    assert not torch.allclose(output, changed)
    assert torch.equal(plain["layers.0.attention"][0], weights["layers.0.attention"][0])
    assert not torch.allclose(plain["layers.1.attention"][0], weights["layers.1.attention"][0])


def test_nothing_stays_behind_also_after_an_error():
    attention, x = attention_and_input()
    before = attention(x)
    with pytest.raises(RuntimeError, match="half-way"), without_heads(attention, {"": [0]}):
        raise RuntimeError("half-way")
    assert not attention.w_output._forward_pre_hooks
    assert torch.equal(before, attention(x))


def test_a_shared_layer_is_silenced_wherever_it_runs():
    attention, x = attention_and_input()
    twice = nn.Sequential(attention, attention)
    with without_heads(twice, {"0": [0]}):
        output = twice(x)
    with without_heads(attention, {"": [0]}):
        torch.testing.assert_close(output, attention(attention(x)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: without_heads(model, {"": [3]}), r"no head 3 in '': it has heads 0 to 2"),
        (lambda model: without_heads(model, {"": [-1]}), r"no head -1 in '': it has heads 0 to 2"),
        (lambda model: without_heads(model, {"elsewhere": [0]}), r"'elsewhere' is no MultiHeadAttention.*there are ''"),
        (lambda model: gate_heads(model, {"w_query": torch.ones(3)}), r"'w_query' is no MultiHeadAttention"),
        (lambda model: gate_heads(model, {"": torch.ones(2)}), r"has 3 heads but its gates have shape \(2,\)"),
        (lambda model: gate_heads(nn.ReLU(), {"": torch.ones(2)}), r"there are none"),
    ],
)
def test_a_mistake_is_named_by_its_numbers(call, words):
    with pytest.raises(ValueError, match=words), call(attention_and_input()[0]):
        pass


# The planted relations.


def draw_relations(batch=500, items=6, num_names=8, num_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return planted_relations(batch, items, num_names=num_names, num_classes=num_classes, generator=generator)


@pytest.mark.parametrize(("items", "num_names"), [(2, 1), (6, 3), (10, 16)])
def test_planted_relations_point_where_they_say(items, num_names):
    data = draw_relations(batch=200, items=items, num_names=num_names)
    for names, contents, marks, target_index, label in zip(*(x.tolist() for x in data), strict=True):
        assert sorted(names.count(name) for name in set(names)) == [2] * (items // 2)
        assert marks.count(1) == 1
        previous, first, marked, partner = target_index
        assert previous == [0, *range(items - 1)]
        assert first == [0] * items
        assert marked == [marks.index(1)] * items
        assert all(names[i] == names[j] and i != j for i, j in enumerate(partner))
        assert label == [[contents[place] for place in related] for related in target_index]


def test_planted_relations_favour_no_place_and_no_class_and_follow_the_seed():
    data = draw_relations(batch=20_000, items=6, num_names=8, num_classes=4)
    for column, classes in ((data.contents, 4), (data.marks.argmax(1), 6), (data.target_index[:, 3, 0] - 1, 5)):
        shares = torch.bincount(column.flatten(), minlength=classes) / column.numel()
        assert (shares - 1 / classes).abs().max() < 0.015
    assert all(torch.equal(a, b) for a, b in zip(data, draw_relations(batch=20_000), strict=True))
    assert not torch.equal(data.names, draw_relations(batch=20_000, seed=1).names)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch": 0}, "at least 1 but is 0"),
        ({"items": 5}, "even and at least 2 but is 5"),
        ({"items": 0}, "even and at least 2 but is 0"),
        ({"num_names": 2}, "at least 3 for 6 items but is 2"),
        ({"num_classes": 1}, "at least 2 but is 1"),
    ],
)
def test_planted_relations_name_what_does_not_fit(wrong, words):
    with pytest.raises(ValueError, match=words):
        draw_relations(**wrong)


# What the experiments measure and vary.


def joined_with_parameters_of(attention, **shape):
    joined = JoinedHeads(D, H, width=D // H, value_width=D // H, **shape)
    joined.load_state_dict(attention.state_dict(), strict=False)
    return joined


def test_own_projections_concatenated_are_multi_head_attention():
    attention, x = attention_and_input()
    joined = joined_with_parameters_of(attention)
    torch.testing.assert_close(joined(x, causal_mask(T)), attention(x, mask=causal_mask(T)))
    torch.testing.assert_close(joined.attention_weights(x), attention.attention_weights(x))


def test_an_average_is_a_concatenation_with_tied_blocks():
    torch.manual_seed(0)
    averaged, x = JoinedHeads(D, H, width=2, value_width=5, average=True), torch.randn(B, T, D)
    concatenated = JoinedHeads(D, H, width=2, value_width=5)
    state = averaged.state_dict()
    state["w_output.weight"] = state["w_output.weight"].repeat(1, H) / H
    concatenated.load_state_dict(state)
    torch.testing.assert_close(averaged(x), concatenated(x))


@pytest.mark.parametrize("sets", [1, 3, 6])
def test_heads_of_one_group_share_their_keys_and_values(sets):
    torch.manual_seed(0)
    joined, x = JoinedHeads(D, 6, width=4, value_width=4, key_sets=sets), torch.randn(B, T, D)
    assert joined.w_key.weight.shape == (4 * sets, D)
    separate = JoinedHeads(D, 6, width=4, value_width=4)
    state = joined.state_dict()
    for name in ("w_key.weight", "w_key.bias", "w_value.weight", "w_value.bias"):
        blocks = state[name].unflatten(0, (sets, 4))
        state[name] = blocks.repeat_interleave(6 // sets, dim=0).flatten(0, 1)
    separate.load_state_dict(state)
    torch.testing.assert_close(joined(x), separate(x))


def test_tied_heads_overlap_fully_and_every_arm_but_one_has_the_standard_number_of_parameters():
    sizes = {arm: count_parameters(build(arm).encoder.layers[0].attention) for arm in SHAPES}
    standard = count_parameters(MultiHeadAttention(task.D_MODEL, 8))
    assert sizes["concatenated"] == standard
    assert all(abs(size / standard - 1) < 0.07 for arm, size in sizes.items() if arm != "averaged, full width")
    weights = task.attention_of(build("tied"), task.draw_for_test(0))
    torch.testing.assert_close(task.head_overlaps(weights, weights), torch.ones(8, 8))


def test_overlap_is_one_minus_the_total_variation_distance():
    torch.manual_seed(0)
    weights, others = torch.rand(B, H, T, 7).softmax(-1), torch.rand(B, 2, T, 7).softmax(-1)
    overlaps = task.head_overlaps(weights, others)
    distance = (weights[:, :, None] - others[:, None]).abs().sum(-1).mean((0, 3)) / 2
    torch.testing.assert_close(overlaps, 1 - distance)
    own = task.head_overlaps(weights, weights)
    assert task.between_heads(own) == pytest.approx(own[~torch.eye(H, dtype=torch.bool)].mean().item())


def test_role_scores_are_the_attention_at_the_place_meant():
    data = draw_relations(batch=3, items=6)
    sharp = torch.nn.functional.one_hot(data.target_index, 6).float()  # (B, R, T, T): head r reads relation r
    torch.testing.assert_close(task.role_scores(sharp, data).diag(), torch.ones(4))
    even = torch.full((3, 2, 6, 6), 1 / 6)
    torch.testing.assert_close(task.role_scores(even, data), torch.full((2, 4), 1 / 6))


def test_an_injected_scale_replaces_the_square_root_in_output_and_weights():
    torch.manual_seed(0)
    unscaled, usual, x = MultiHeadAttention(8, 2, scale=1.0), MultiHeadAttention(8, 2), torch.randn(2, 5, 8)
    usual.load_state_dict(unscaled.state_dict())
    with torch.no_grad():
        usual.w_query.weight *= 2.0  # sqrt(d_k): undoes the division
    torch.testing.assert_close(unscaled(x), usual(x))
    torch.testing.assert_close(unscaled.attention_weights(x), usual.attention_weights(x))
