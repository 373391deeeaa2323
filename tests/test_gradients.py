"""Gradients: autograd against numerical differences, in float64, and against the Jacobian of softmax by hand."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from cases import FAST, problems, tensors
from hypothesis import given, settings

import lib.reference.attention as reference
from lib import attention, masks
from lib.attention import MultiHeadAttention

FEW = settings(FAST, max_examples=15)


def numerical_jacobian(function, x, step=1e-6):
    """Central differences: (n, m) for n outputs and m inputs."""
    columns = []
    for i in range(x.size):
        move = np.zeros(x.size)
        move[i] = step
        move = move.reshape(x.shape)
        columns.append((function(x + move) - function(x - move)).ravel() / (2 * step))
    return np.stack(columns, axis=-1)


@FAST
@given(seed=st.integers(0, 2**32 - 1), S=st.integers(1, 6), masked=st.booleans())
def test_the_jacobian_of_softmax_is_diagonal_minus_outer_product(seed, S, masked):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(S)
    mask = rng.random(S) < 0.6 if masked else None
    weights = reference.softmax(scores, mask)
    by_hand = np.diag(weights) - np.outer(weights, weights)
    np.testing.assert_allclose(numerical_jacobian(lambda s: reference.softmax(s, mask), scores), by_hand, atol=1e-8)
    torch_mask = None if mask is None else torch.tensor(mask)
    ours = torch.autograd.functional.jacobian(lambda s: attention.softmax(s, torch_mask), torch.tensor(scores))
    np.testing.assert_allclose(ours.numpy(), by_hand, atol=1e-12)


@FAST
@given(seed=st.integers(0, 2**32 - 1), S=st.integers(1, 6), masked=st.booleans())
def test_the_jacobian_of_sparsemax_takes_from_what_has_weight_its_mean(seed, S, masked):
    rng = np.random.default_rng(seed)
    scores, mask = rng.standard_normal(S), (rng.random(S) < 0.6 if masked else None)
    kept = (reference.sparsemax(scores, mask) > 0).astype(float)
    by_hand = np.diag(kept) - np.outer(kept, kept) / max(kept.sum(), 1)
    np.testing.assert_allclose(numerical_jacobian(lambda s: reference.sparsemax(s, mask), scores), by_hand, atol=1e-8)
    torch_mask = None if mask is None else torch.tensor(mask)
    ours = torch.autograd.functional.jacobian(lambda s: attention.sparsemax(s, torch_mask), torch.tensor(scores))
    np.testing.assert_allclose(ours.numpy(), by_hand, atol=1e-12)
    assert (ours[:, kept == 0] == 0).all()  # exactly


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "sparsemax"])
@pytest.mark.parametrize("masked", [False, True])
def test_first_and_second_derivatives_of_the_normalisers(name, masked):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    mask = torch.rand(3, 5, generator=generator) < 0.6 if masked else None
    if masked:
        mask[1] = False
    normaliser = getattr(attention, name)
    assert torch.autograd.gradcheck(lambda s: normaliser(s, mask), scores)
    assert torch.autograd.gradgradcheck(lambda s: normaliser(s, mask), scores)


@FEW
@given(problems())
def test_gradients_of_attention_are_the_slopes_of_the_reference(problem):
    query, key, value, mask = tensors(problem._replace(query=np.tanh(problem.query)), requires_grad=True)
    output = attention.scaled_dot_product_attention(query, key, value, mask, scale=problem.scale)
    probe = np.random.default_rng(0).standard_normal(output.shape)
    gradients = torch.autograd.grad((output * torch.tensor(probe)).sum(), (query, key, value))
    numpy = [x.detach().numpy() for x in (query, key, value)]
    for place, gradient in enumerate(gradients):

        def answer(x, place=place):
            inputs = [x if i == place else a for i, a in enumerate(numpy)]
            return (reference.scaled_dot_product_attention(*inputs, problem.mask, scale=problem.scale) * probe).sum()

        slopes = numerical_jacobian(lambda x: np.asarray(answer(x)), numpy[place]).reshape(gradient.shape)
        np.testing.assert_allclose(gradient.numpy(), slopes, rtol=1e-5, atol=1e-6)


@FEW
@given(problems())
def test_attention_passes_gradcheck(problem):
    query, key, value, mask = tensors(problem._replace(query=np.tanh(problem.query)), requires_grad=True)
    inputs = (query, key, value)
    assert torch.autograd.gradcheck(lambda *x: attention.scaled_dot_product_attention(*x, mask), inputs)
    assert torch.autograd.gradcheck(lambda q, k: attention.attention_weights(q, k, mask), inputs[:2])


@pytest.mark.parametrize("name", ["dot_score", "scaled_dot_score", "bilinear_score", "additive_score"])
def test_scores_pass_gradcheck(name):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    weights = {"bilinear_score": [(4, 4)], "additive_score": [(4, 3), (4, 3), (3,)]}.get(name, [])
    inputs = [draw(2, 3, 4), draw(2, 5, 4), *(draw(*shape) for shape in weights)]
    assert torch.autograd.gradcheck(getattr(attention, name), inputs)


@pytest.mark.parametrize(
    "mask", [None, masks.causal_mask(3), masks.padding_mask([3, 0], 3)], ids=["all", "causal", "padding"]
)
def test_the_layer_passes_gradcheck_with_its_weights(mask):
    torch.manual_seed(0)
    layer = MultiHeadAttention(4, 2).double()
    names = [name for name, _ in layer.named_parameters()]
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def call(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,), {"mask": mask})

    assert torch.autograd.gradcheck(call, (x, *layer.parameters()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@FEW
@given(problem=problems(masked=True))
def test_what_is_masked_gets_no_gradient_and_none_is_nan(dtype, problem):
    query, key, value, mask = tensors(problem, dtype, requires_grad=True)
    outputs = [
        attention.scaled_dot_product_attention(query, key, value, mask),
        attention.attention_weights(query, key, mask) @ value,
    ]
    for output in outputs:
        gradients = torch.autograd.grad(output.sum(), (query, key, value))
        assert all(gradient.isfinite().all() for gradient in gradients)
        lonely, unseen = ~problem.full_mask.any(-1), ~problem.full_mask.any(-2)
        assert (gradients[0][torch.tensor(lonely)] == 0).all()
        assert (gradients[1][torch.tensor(unseen)] == 0).all()
        assert (gradients[2][torch.tensor(unseen)] == 0).all()


@pytest.mark.parametrize("name", ["softmax", "sparsemax", "attention_weights"])
def test_a_blank_row_beside_a_huge_score_gives_a_finite_gradient(name):
    query = torch.tensor([[1e4], [1.0]], requires_grad=True)
    mask = torch.tensor([[True, True], [False, False]])
    key = torch.tensor([[1.0], [2.0]])
    if name == "attention_weights":
        weights = attention.attention_weights(query, key, mask)
    else:
        weights = getattr(attention, name)(query * key.T, mask)
    assert torch.equal(weights, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    with torch.autograd.set_detect_anomaly(True):  # refuses NaN also where a later step would hide it
        weights[:, 0].sum().backward()
    assert torch.equal(query.grad, torch.zeros(2, 1))
