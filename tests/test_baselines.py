"""What attention is compared with: it has to be what its docstring says, or the comparison is worth nothing."""

import pytest
import torch

from lib.baselines import GRUSequence, PooledSet, SmallCNN, max_pool, mean_pool
from lib.training import count_parameters


def sequence(B=2, T=5, D=3, seed=0):
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(seed))


def by_hand(model, x):
    """The recurrence of the docstring, a loop over the elements, with the gates as torch stacks them."""
    gru, outputs = model.gru, []
    h = torch.zeros(x.shape[0], gru.hidden_size)
    for t in range(x.shape[1]):
        of_x = (x[:, t] @ gru.weight_ih_l0.T + gru.bias_ih_l0).chunk(3, dim=-1)
        of_h = (h @ gru.weight_hh_l0.T + gru.bias_hh_l0).chunk(3, dim=-1)
        r, z = (torch.sigmoid(a + b) for a, b in zip(of_x[:2], of_h[:2], strict=True))
        n = torch.tanh(of_x[2] + r * of_h[2])
        h = z * h + (1 - z) * n
        outputs.append(h)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("keep", [0.0, 3.0])
def test_a_gru_is_its_recurrence_and_counts_three_gates(keep):
    torch.manual_seed(0)
    model = GRUSequence(3, 4, keep=keep)
    assert torch.allclose(model(sequence()), by_hand(model, sequence()), atol=1e-6)
    assert count_parameters(model) == 3 * (3 * 4 + 4 * 4 + 2 * 4)


def test_a_gru_does_not_see_the_future_and_remembers_the_past():
    torch.manual_seed(0)
    model, x = GRUSequence(3, 4), sequence()
    changed = x.clone()
    changed[:, 3] += 1
    assert torch.equal(model(changed)[:, :3], model(x)[:, :3])
    assert (model(changed)[:, 3:] - model(x)[:, 3:]).abs().amin() > 1e-6


def test_keep_is_added_to_the_update_gate_alone_and_makes_the_memory_last():
    plain, closed = (torch.manual_seed(0) and GRUSequence(3, 4, keep=keep) for keep in (0.0, 3.0))
    for (name, before), after in zip(plain.named_parameters(), closed.parameters(), strict=True):
        difference = (after - before).reshape(3, -1).sum(dim=-1)
        assert torch.allclose(difference, torch.tensor([0.0, 12.0 * (name == "gru.bias_ih_l0"), 0.0]), atol=1e-5), name
    first = sequence(T=40)
    other = first.clone()
    other[:, 0] = -other[:, 0]
    left = [(model(first) - model(other))[:, -1].norm() for model in (plain, closed)]
    assert left[1] > 100 * left[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GRUSequence(0, 4), "d_model must be an integer of at least 1 but is 0"),
        (lambda: GRUSequence(3, 0), "hidden must be an integer of at least 1 but is 0"),
        (lambda: GRUSequence(3, 4)(torch.ones(2, 5, 7)), "x has width 7 but d_model=3"),
        (lambda: GRUSequence(3, 4)(torch.ones(5, 3)), r"x has rank 2, shape \(5, 3\), but needs rank 3"),
        (lambda: GRUSequence(3, 4)(torch.ones(2, 0, 3)), r"x is empty: shape \(2, 0, 3\), but every axis.*"),
        (lambda: GRUSequence(3, 4)(torch.ones(2, 5, 3, dtype=int)), "x must hold floating-point numbers.*int64"),
    ],
)
def test_a_gru_refuses(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


@pytest.mark.parametrize("pool", [mean_pool, max_pool])
def test_a_pooled_set_hears_its_items_but_not_their_order(pool):
    torch.manual_seed(0)
    model = PooledSet(d_item=3, d_query=2, d_model=8, num_classes=4, pool=pool)
    query, items = torch.ones(2, 2), sequence()
    assert torch.allclose(model(query, items.flip(1)), model(query, items), atol=1e-6)
    assert not torch.allclose(model(query, items + 1), model(query, items), atol=1e-3)
    with pytest.raises(ValueError, match=r"^3 queries for 2 sets"):
        model(torch.ones(3, 2), items)


def test_a_cnn_is_its_convolutions_and_counts_them():
    torch.manual_seed(0)
    model, images = SmallCNN(2, [3, 4, 5], 6).eval(), torch.randn(2, 2, 8, 8)
    x, fresh = images, (1 + 1e-5) ** 0.5  # batch normalisation in its first state divides by this
    for conv in (model.layers[0], model.layers[3]):
        x = (torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=1) / fresh).relu()
    x = torch.nn.functional.max_pool2d(x, 2)
    x = (torch.nn.functional.conv2d(x, model.layers[7].weight, model.layers[7].bias, padding=1) / fresh).relu()
    expected = x.mean(dim=(2, 3)) @ model.answer.weight.T + model.answer.bias
    assert torch.allclose(model(images), expected, atol=1e-5)
    by_hand_count = (9 * 2 * 3 + 3) + (9 * 3 * 4 + 4) + (9 * 4 * 5 + 5) + 2 * (3 + 4 + 5) + (5 * 6 + 6)
    assert count_parameters(model) == by_hand_count


def test_a_cnn_says_the_same_of_an_image_that_has_moved_by_two_pixels_on_empty_paper():
    torch.manual_seed(0)
    model, image = SmallCNN(1, [4, 4], 3).eval(), torch.zeros(1, 1, 12, 12)
    image[..., 4:7, 4:7] = torch.randn(3, 3)
    assert torch.allclose(model(image.roll(2, dims=3)), model(image), atol=1e-5)
    assert not torch.allclose(model(image.flip(3)), model(image), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SmallCNN(0, [4, 4], 3), "channels must be an integer of at least 1 but is 0"),
        (lambda: SmallCNN(1, [4, 0], 3), "a width must be an integer of at least 1 but is 0"),
        (lambda: SmallCNN(1, [4], 3), r"widths must name at least 2 layers but is \[4\]"),
        (lambda: SmallCNN(1, [4, 4], 3)(torch.ones(2, 3, 8, 8)), "images have 3 channels but the model reads 1"),
        (
            lambda: SmallCNN(1, [4, 4], 3)(torch.ones(1, 8, 8)),
            r"images has rank 3, shape \(1, 8, 8\), but needs rank 4",
        ),
    ],
)
def test_a_cnn_refuses(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()
