"""What must hold for attention whatever the numbers: in the reference and in torch alike."""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from cases import FAST, LIBRARIES, problems
from hypothesis import given
from torch import nn

import lib.reference.attention as reference
from lib import attention, masks
from lib.attention import MultiHeadAttention, watch

everywhere = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def attend(library, query, key, value, mask=None, scale=None):
    return library.call("scaled_dot_product_attention", query, key, value, mask, scale=scale)


@everywhere
@FAST
@given(problem=problems())
def test_rows_sum_to_one_or_are_zero(library, problem):
    weights = library.call("attention_weights", problem.query, problem.key, problem.mask, scale=problem.scale)
    allowed = problem.full_mask
    assert weights.shape == allowed.shape
    assert (weights >= 0).all()
    assert (weights[~allowed] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), allowed.any(-1).astype(float), atol=1e-12)


@everywhere
@FAST
@given(problem=problems(masked=True))
def test_a_row_that_may_attend_to_nothing_gives_zeros(library, problem):
    lonely = ~problem.full_mask.any(-1)
    output = attend(library, *problem)
    assert np.isfinite(output).all()
    assert (output[lonely] == 0).all()


@everywhere
@FAST
@given(problem=problems())
def test_the_output_lies_within_the_values(library, problem):
    output, value = attend(library, *problem), problem.value
    allowed = problem.full_mask[..., None]  # (..., T, S, 1)
    seen = value[..., None, :, :]  # (..., 1, S, d_v)
    some = problem.full_mask.any(-1)[..., None]
    low = np.where(some, np.where(allowed, seen, np.inf).min(-2), 0)
    high = np.where(some, np.where(allowed, seen, -np.inf).max(-2), 0)
    assert (output >= low - 1e-12).all()
    assert (output <= high + 1e-12).all()


@everywhere
@FAST
@given(problem=problems(rank=3), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_keys_does_not_matter_and_that_of_queries_carries_over(library, problem, seed):
    query, key, value, _, scale = problem
    mask, rng = problem.full_mask, np.random.default_rng(seed)
    keys, queries = rng.permutation(key.shape[1]), rng.permutation(query.shape[1])
    usual = attend(library, query, key, value, mask, scale)
    np.testing.assert_allclose(
        attend(library, query, key[:, keys], value[:, keys], mask[:, :, keys], scale), usual, atol=1e-12
    )
    moved = attend(library, query[:, queries], key, value, mask[:, queries], scale)
    np.testing.assert_allclose(moved, usual[:, queries], atol=1e-12)


@everywhere
@FAST
@given(problem=problems(rank=3), seed=st.integers(0, 2**32 - 1))
def test_the_future_changes_nothing(library, problem, seed):
    rng, T = np.random.default_rng(seed), problem.query.shape[1]
    now = rng.integers(T)
    x = problem.query
    later = x.copy()
    later[:, now + 1 :] += rng.standard_normal(later[:, now + 1 :].shape)
    mask = np.asarray(library.masks.causal_mask(T))
    before, after = (attend(library, y, y, y, mask) for y in (x, later))
    np.testing.assert_array_equal(before[:, : now + 1], after[:, : now + 1])


@everywhere
def test_the_past_changes_the_last_output(library):
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    past = x.copy()
    past[:, 0] += 1.0
    mask = np.asarray(library.masks.causal_mask(4))
    before, after = (attend(library, y, y, y, mask)[:, -1] for y in (x, past))
    assert np.abs(before - after).min() > 1e-3


@everywhere
def test_the_last_queries_see_what_they_would_see_in_the_whole_sequence(library):
    x = np.random.default_rng(0).standard_normal((2, 6, 4))
    whole = attend(library, x, x, x, np.asarray(library.masks.causal_mask(6)))
    last = attend(library, x[:, 4:], x, x, np.asarray(library.masks.causal_mask(2, 6)))
    np.testing.assert_allclose(last, whole[:, 4:], atol=1e-12)


@everywhere
@FAST
@given(problem=problems())
def test_padding_changes_nothing(library, problem):
    query, key, value, _, scale = problem
    S = key.shape[-2]
    longer = [np.concatenate([x, np.full_like(x, 9.0)], axis=-2) for x in (key, value)]
    mask = np.asarray(library.masks.padding_mask(np.array([S]), 2 * S))[0]
    np.testing.assert_allclose(
        attend(library, query, *longer, mask, scale), attend(library, query, key, value, None, scale), atol=1e-12
    )


@everywhere
@FAST
@given(problem=problems())
def test_arguments_stay_as_they_were(library, problem):
    made = [None if x is None else library.array(x.copy()) for x in problem[:4]]
    kept = copy.deepcopy(made)
    library.attention.scaled_dot_product_attention(*made)
    library.attention.attention_weights(*made[:2], made[3])
    for now, before in zip(made, kept, strict=True):
        assert now is before is None or np.array_equal(np.asarray(now), np.asarray(before))


@everywhere
def test_adding_the_same_to_every_score_changes_nothing(library):
    scores = np.random.default_rng(0).standard_normal((3, 5))
    for name in ("softmax", "sparsemax"):
        np.testing.assert_allclose(library.call(name, scores + 1e4), library.call(name, scores), atol=1e-11)


@everywhere
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_huge_scores_choose_the_best_key(library, size):
    best = np.array([2, 0, 1, 2])
    scores = size * np.eye(3)[best]
    np.testing.assert_allclose(library.call("softmax", scores), np.eye(3)[best], atol=1e-12)
    np.testing.assert_allclose(library.call("softmax", -scores).max(-1), 0.5, atol=1e-12)


@everywhere
def test_a_masked_key_stays_masked_however_loud_it_is(library):
    scores, mask = np.array([-1e5, 1e5, -1e5]), np.array([True, False, True])
    for name, weight in (("softmax", 0.5), ("sparsemax", 0.5), ("sigmoid", 0.0)):
        np.testing.assert_array_equal(library.call(name, scores, mask), [weight, 0.0, weight])


@everywhere
@FAST
@given(problem=problems())
def test_sparsemax_gives_a_distribution_with_zeros_and_sigmoid_does_not(library, problem):
    scores, allowed = problem.query @ np.swapaxes(problem.key, -1, -2), problem.full_mask
    sparse, loose = (library.call(name, scores, problem.mask) for name in ("sparsemax", "sigmoid"))
    for weights in (sparse, loose):
        assert weights.shape == allowed.shape
        assert ((weights >= 0) & (weights <= 1)).all()
        assert (weights[~allowed] == 0).all()
    np.testing.assert_allclose(sparse.sum(-1), allowed.any(-1).astype(float), atol=1e-12)
    highest = np.where(allowed, scores, -np.inf).max(-1, keepdims=True)
    assert (sparse[allowed & (scores <= highest - 1)] == 0).all()
    assert (loose[allowed & (scores > -700)] > 0).all()  # below, a float64 ends


@pytest.mark.parametrize("dtype", [torch.float64, *DTYPES])
@pytest.mark.parametrize("name", ["softmax", "sigmoid", "sparsemax"])
def test_the_largest_scores_there_are_stay_finite(dtype, name):
    most = torch.finfo(dtype).max
    scores = torch.tensor([[most, -most, 0.0], [-most, -most, -most]], dtype=dtype, requires_grad=True)
    weights = getattr(attention, name)(scores, torch.tensor([[True, True, True], [True, True, False]]))
    share = 0.0 if name == "sigmoid" else 0.5
    expected = [[1.0, 0.0, 0.5 if name == "sigmoid" else 0.0], [share, share, 0.0]]
    assert torch.equal(weights, torch.tensor(expected, dtype=dtype))
    assert torch.autograd.grad(weights.square().sum(), scores)[0].isfinite().all()


def test_a_score_that_is_not_a_number_is_not_swept_under_the_carpet():
    scores = torch.tensor([[float("nan"), 0.0], [1.0, 0.0]])
    for name in ("softmax", "sigmoid", "sparsemax"):
        weights = getattr(attention, name)(scores)
        assert weights[0].isnan().any()
        assert weights[1].isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("d_k", [1, 64])
def test_scores_of_ten_thousand_stay_finite_and_right_in_any_precision(dtype, masked, d_k):
    # The query meets key 3 with a score of 1e4 after scaling (8e4 before, for d_k = 64: too much for float16).
    key = torch.zeros(5, d_k)
    key[3] = 100.0
    query = torch.full((2, d_k), 100.0 / d_k**0.5)
    value = torch.arange(10.0).view(5, 2)
    mask = torch.tensor([[True] * 5, [True, True, True, False, True]]) if masked else None
    query, key, value = (x.to(dtype).requires_grad_() for x in (query, key, value))
    exact = reference.scaled_dot_product_attention(
        *(x.detach().double().numpy() for x in (query, key, value)), None if mask is None else mask.numpy()
    )
    weights = attention.attention_weights(query, key, mask)
    for output in (attention.scaled_dot_product_attention(query, key, value, mask), weights @ value):
        np.testing.assert_allclose(output.detach().double().numpy(), exact, rtol=1e-2)
        for gradient in torch.autograd.grad(output.sum(), (query, key, value), retain_graph=True):
            assert gradient.isfinite().all()
    np.testing.assert_allclose(weights[0].detach().float().numpy(), [0, 0, 0, 1, 0], atol=1e-6)
    assert attention.scaled_dot_score(query, key)[0, 3].item() == pytest.approx(1e4, rel=1e-2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_half_precision_stays_close_to_the_reference(dtype):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 4, 200, 64, generator=generator).to(dtype) for _ in range(3))
    mask = masks.causal_mask(200)
    exact = reference.scaled_dot_product_attention(*(x.double().numpy() for x in (query, key, value)), mask.numpy())
    ours = attention.scaled_dot_product_attention(query, key, value, mask)
    assert ours.dtype == dtype
    assert np.abs(ours.double().numpy() - exact).max() < 16 * torch.finfo(dtype).eps
    query = (10 * query.float()).to(dtype)  # scores so loud that half precision could not hold them
    weights = attention.attention_weights(query, key, mask).double().numpy()
    exact = reference.attention_weights(query.double().numpy(), key.double().numpy(), mask.numpy())
    assert np.abs(weights - exact).max() < max(torch.finfo(dtype).eps, 1e-5)


def test_attention_runs_on_the_fused_kernel():
    for shape in [(3, 8), (2, 3, 8), (2, 2, 3, 8)]:
        x = torch.randn(shape, requires_grad=True)
        whole = (*x.shape[:-1], 3)
        for size in (None, (), (3,), (1, 3), (3, 1), (3, 3), whole, (1,) * x.dim()):
            mask = None if size is None else torch.ones(size, dtype=torch.bool)
            names, waiting = set(), [attention.scaled_dot_product_attention(x, x, x, mask).grad_fn]
            while waiting:
                node = waiting.pop()
                names.add(node.name())
                waiting += [following for following, _ in node.next_functions if following is not None]
            assert any("FlashAttention" in name for name in names), (shape, size, names)


class Twice(nn.Module):
    """Uses one layer twice and another once, deeper inside."""

    def __init__(self):
        super().__init__()
        self.shared = MultiHeadAttention(4, 2)
        self.inner = nn.ModuleList([MultiHeadAttention(4, 4)])

    def forward(self, x, broken=False):
        x = self.shared(self.shared(x), mask=masks.causal_mask(x.shape[1]))
        if broken:
            raise RuntimeError("half-way")
        return self.inner[0](x, x[:, :2])


def hooks(model):
    return [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]


def test_watching_names_every_module_and_keeps_every_call():
    torch.manual_seed(0)
    model, x = Twice(), torch.randn(2, 3, 4, requires_grad=True)
    quiet = model(x)
    with watch(model) as weights:
        watched = model(x)
        assert {name: [tuple(w.shape) for w in calls] for name, calls in weights.items()} == {
            "shared": [(2, 2, 3, 3), (2, 2, 3, 3)],
            "inner.0": [(2, 4, 3, 2)],
        }
        model(x)
    assert [len(calls) for calls in weights.values()] == [4, 2]
    assert torch.equal(quiet, watched)
    first, second = weights["shared"][:2]
    assert not first.requires_grad
    assert first.triu(1).any()
    assert not second.triu(1).any()
    assert torch.equal(first, weights["shared"][2])


def test_watching_leaves_no_trace_also_after_an_error():
    model, x = Twice(), torch.randn(2, 3, 4)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    with watch(model) as weights:
        assert sum(hooks(model)) == 2
        with watch(model.inner) as inside:
            model(x)
    assert torch.equal(inside["0"][0], weights["inner.0"][0])
    with pytest.raises(RuntimeError, match="half-way"), watch(model) as weights:
        model(x, broken=True)
    assert [len(calls) for calls in weights.values()] == [2, 0]
    assert sum(hooks(model)) == 0
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


def test_weights_are_computed_only_when_asked(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the weights were computed although nobody asked")

    monkeypatch.setattr(MultiHeadAttention, "attention_weights", refuse)
    monkeypatch.setattr(attention, "attention_weights", refuse)
    monkeypatch.setattr(attention, "softmax", refuse)
    Twice()(torch.randn(2, 3, 4))


def test_a_module_of_one_head_is_attention_between_projections():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(4, 1), torch.randn(2, 3, 4)
    expected = layer.w_output(
        attention.scaled_dot_product_attention(layer.w_query(x), layer.w_key(x), layer.w_value(x))
    )
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize("num_heads", [1, 2, 8])
def test_the_number_of_heads_does_not_change_the_number_of_parameters(num_heads):
    layer = MultiHeadAttention(16, num_heads, key_width=6, value_width=5)
    assert sum(p.numel() for p in layer.parameters()) == 16 * (16 + 6 + 5 + 16) + 4 * 16
    assert all((p == 0).all() for name, p in layer.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fully_masked_rows_leave_only_the_output_bias_of_the_layer(dtype):
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(8, 2).to(dtype), torch.randn(2, 3, 8, dtype=dtype, requires_grad=True)
    nn.init.ones_(layer.w_output.bias)
    output = layer(x, mask=masks.padding_mask([3, 0], 3))
    assert (output[1] == 1).all()
    (output**2).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert (x.grad[1] == 0).all()
    assert x.grad[0].any()
