"""The efficient forms: equal to the exact result where they claim to be, and known to differ where they do not."""

import inspect

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from cases import FAST, problems, tensors
from hypothesis import given

from lib import attention, efficient
from lib.attention import MultiHeadAttention, watch
from lib.cache import KeyValueCache
from lib.efficient import (
    GroupedQueryAttention,
    blockwise_attention,
    cache_bytes,
    grouped_query_attention,
    linear_attention,
    sliding_window_attention,
    window_mask,
)
from lib.masks import causal_mask
from lib.reference import attention as exact
from lib.reference import efficient as reference


def close(ours, theirs, tolerance=1e-10):
    ours, theirs = (x.detach().double().numpy() if isinstance(x, torch.Tensor) else x for x in (ours, theirs))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def draw(*shape, seed=0, dtype=torch.float64, loud=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * loud


def three(T, S, d_k=4, d_v=3, lead=(2, 2), loud=1.0):
    shapes = ((T, d_k), (S, d_k), (S, d_v))
    return [draw(*lead, *shape, seed=seed, loud=loud) for seed, shape in enumerate(shapes)]


@FAST
@given(problems(), st.integers(1, 9))
def test_blockwise_is_exact_attention_in_the_reference_and_in_lib(problem, block_size):
    expected = exact.scaled_dot_product_attention(*problem[:4], scale=problem.scale)
    options = {"scale": problem.scale, "block_size": block_size}
    close(reference.blockwise_attention(*problem[:4], **options), expected)
    close(blockwise_attention(*tensors(problem, torch.float64), **options), expected)
    close(blockwise_attention(*tensors(problem, torch.float32), **options), expected, 5e-5)


@FAST
@given(problems(), st.integers(1, 9), st.booleans(), st.sampled_from([None, 1, 2, 3, 20]))
def test_causal_and_window_are_masks_that_are_never_made(problem, block_size, causal, window):
    query, key, value, mask = tensors(problem, torch.float64)
    T, S = query.shape[-2], key.shape[-2]
    allowed = window_mask(T, S, window=window or T + S, causal=causal)
    both = allowed if mask is None else mask & allowed
    expected = attention.scaled_dot_product_attention(query, key, value, both)
    options = {"causal": causal, "window": window, "block_size": block_size}
    close(blockwise_attention(query, key, value, mask, **options), expected)
    close(reference.blockwise_attention(*problem[:4], **options), expected.numpy())


def test_the_window_masks_agree():
    for T, S in ((5, 5), (3, 6), (6, 3)):
        for causal in (False, True):
            ours, theirs = (module.window_mask(T, S, window=2, causal=causal) for module in (efficient, reference))
            np.testing.assert_array_equal(ours.numpy(), theirs)
        assert torch.equal(window_mask(T, S, window=99, causal=True), causal_mask(T, S))
    counted = [sum(abs(t - s) < 3 for s in range(7)) for t in range(7)]
    assert window_mask(7, window=3).sum(dim=1).tolist() == counted


@pytest.mark.parametrize("block_size", [1, 3, 8])
@pytest.mark.parametrize(
    "options", [{}, {"causal": True}, {"window": 2}, {"causal": True, "window": 3}, {"scale": 0.3}], ids=str
)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_blockwise_are_right(options, masked, block_size):
    inputs = [x.requires_grad_() for x in three(4, 5, lead=(2,))]
    mask = draw(2, 4, 5, seed=9) > 0 if masked else None
    if masked:
        mask[0, 1] = False  # a query that sees nothing
    assert torch.autograd.gradcheck(lambda *x: blockwise_attention(*x, mask, block_size=block_size, **options), inputs)


def test_gradients_equal_those_of_the_exact_form_also_under_huge_scores():
    for loud in (1.0, 300.0):
        inputs = three(7, 7, loud=loud)
        given_back = draw(2, 2, 7, 3, seed=8)
        mask = causal_mask(7) & (torch.arange(7) != 0)[:, None]
        found = []
        for attend in (attention.scaled_dot_product_attention, lambda *x: blockwise_attention(*x, block_size=2)):
            leaves = [x.clone().requires_grad_() for x in inputs]
            attend(*leaves, mask).backward(given_back)
            found.append([x.grad for x in leaves])
        for ours, theirs in zip(*found, strict=True):
            assert ours.isfinite().all()
            close(ours, theirs, 1e-8)


def test_nothing_of_size_t_times_s_is_kept_for_the_gradient():
    query, key, value = (draw(512, 8, seed=s, dtype=torch.float32).requires_grad_() for s in range(3))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        blockwise_attention(query, key, value, block_size=64).sum()
    assert max(kept) <= 512 * 8


def test_a_query_that_sees_nothing_gets_zeros_and_no_gradient():
    query, key, value = (x.requires_grad_() for x in three(3, 4))
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1] = False
    output = blockwise_attention(query, key, value, mask, block_size=2)
    output.sum().backward()
    assert not output[..., 1, :].any()
    assert not query.grad[..., 1, :].any()
    assert key.grad.isfinite().all()


def test_inputs_stay_as_they_are():
    inputs = three(5, 5)
    before = [x.clone() for x in inputs]
    for attend in (blockwise_attention, linear_attention, lambda *x: sliding_window_attention(*x, 2)):
        attend(*inputs)
        assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block_size", [1, 2, 64])
def test_a_sliding_window_is_attention_with_a_window_mask(causal, block_size):
    query, key, value = three(9, 9)
    ours = sliding_window_attention(query, key, value, 3, causal=causal, block_size=block_size)
    mask = window_mask(9, window=3, causal=causal)
    close(ours, attention.scaled_dot_product_attention(query, key, value, mask))
    arrays = [x.numpy() for x in (query, key, value)]
    close(ours, reference.sliding_window_attention(*arrays, 3, causal=causal))
    assert (ours - blockwise_attention(query, key, value, causal=causal)).abs().max() > 0.01


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block_size", [1, 3, 64])
def test_linear_attention_equals_its_quadratic_form_and_not_softmax(causal, block_size):
    query, key, value = three(7, 7)
    ours = linear_attention(query, key, value, causal=causal, block_size=block_size)
    arrays = [x.numpy() for x in (query, key, value)]
    close(ours, reference.linear_attention(*arrays, causal=causal))
    assert (ours - blockwise_attention(query, key, value, causal=causal)).abs().max() > 0.05
    leaves = [x.requires_grad_() for x in (query, key, value)]
    assert torch.autograd.gradcheck(lambda *x: linear_attention(*x, causal=causal, block_size=block_size), leaves)


def test_linear_attention_stays_finite_when_all_features_vanish():
    query, key, value = three(4, 4)
    for causal in (False, True):
        assert linear_attention(query, key - 1e5, value, causal=causal).isfinite().all()


@pytest.mark.parametrize("attend", ["causal blockwise", "window", "linear"])
def test_a_later_token_changes_nothing_before_it(attend):
    function = {
        "causal blockwise": lambda *x: blockwise_attention(*x, causal=True, block_size=2),
        "window": lambda *x: sliding_window_attention(*x, 3, block_size=2),
        "linear": lambda *x: linear_attention(*x, causal=True, block_size=2),
    }[attend]
    query, key, value = three(8, 8)
    before = function(query, key, value)
    key[..., 5:, :], value[..., 5:, :] = 7.0, -7.0
    assert torch.equal(function(query, key, value)[..., :5, :], before[..., :5, :])


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_grouped_queries_are_attention_with_repeated_keys(kv_heads):
    query = draw(2, 4, 3, 5)
    key, value = (draw(2, kv_heads, 6, 5, seed=seed) for seed in (1, 2))
    mask = draw(2, 1, 3, 6, seed=3) > 0
    ours = grouped_query_attention(query, key, value, mask)
    for head in range(4):
        shared = head * kv_heads // 4
        one = attention.scaled_dot_product_attention(query[:, head], key[:, shared], value[:, shared], mask[:, 0])
        close(ours[:, head], one)
    close(ours, reference.grouped_query_attention(*(x.numpy() for x in (query, key, value, mask))))


def test_as_many_key_heads_as_heads_is_multi_head_attention():
    torch.manual_seed(0)
    usual, grouped = MultiHeadAttention(8, 4), GroupedQueryAttention(8, 4, num_kv_heads=4)
    grouped.load_state_dict(usual.state_dict())
    x, mask = draw(2, 5, 8, dtype=torch.float32), causal_mask(5)
    close(grouped(x, mask=mask), usual(x, mask=mask), 1e-6)


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_the_module_equals_multi_head_attention_with_its_key_heads_repeated(kv_heads):
    torch.manual_seed(0)
    usual, grouped = MultiHeadAttention(8, 4), GroupedQueryAttention(8, 4, num_kv_heads=kv_heads)
    tensors_of = dict(grouped.state_dict())
    for name in ("w_key.weight", "w_key.bias", "w_value.weight", "w_value.bias"):
        heads = tensors_of[name].unflatten(0, (kv_heads, 2))
        tensors_of[name] = heads.repeat_interleave(4 // kv_heads, dim=0).flatten(0, 1)
    usual.load_state_dict(tensors_of)
    x = draw(2, 5, 8, dtype=torch.float32)
    close(grouped(x, mask=causal_mask(5)), usual(x, mask=causal_mask(5)), 1e-6)
    with watch(grouped) as weights:
        grouped(x)
    close(weights[""][0], usual.attention_weights(x), 1e-6)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_the_cache_changes_nothing_and_holds_what_the_formula_says(kv_heads):
    torch.manual_seed(0)
    grouped, cache = GroupedQueryAttention(8, 4, num_kv_heads=kv_heads), KeyValueCache()
    x = draw(3, 6, 8, dtype=torch.float32)
    whole = grouped(x, mask=causal_mask(6))
    steps = torch.cat([grouped(x[:, t : t + 1], cache=cache) for t in range(6)], dim=1)
    close(steps, whole, 1e-5)
    assert cache.key.shape == (3, kv_heads, 6, 2)
    assert cache.bytes == cache_bytes(6, num_layers=1, num_kv_heads=kv_heads, d_k=2, bytes_per_number=4, batch=3)


CALLS = {
    "d_k=4 but key has d_k=5": lambda: blockwise_attention(draw(3, 4), draw(3, 5), draw(3, 2)),
    "S=3 but value has S=2": lambda: linear_attention(draw(3, 4), draw(3, 4), draw(2, 2)),
    "block_size must be an integer of at least 1 but is 0": lambda: blockwise_attention(*three(3, 3), block_size=0),
    "window must be an integer of at least 1 but is 0": lambda: sliding_window_attention(*three(3, 3), 0),
    "T must be an integer of at least 1 but is 0": lambda: window_mask(0, window=1),
    r"mask must be boolean \(True = may attend\) but has dtype float64": lambda: blockwise_attention(
        *three(3, 3), torch.ones(3, 3, dtype=torch.float64)
    ),
    "as many queries as keys but T=2 and S=3": lambda: linear_attention(*three(2, 3), causal=True),
    "num_heads=4 is not divisible by num_kv_heads=3": lambda: GroupedQueryAttention(8, 4, num_kv_heads=3),
    "num_heads=2 is not divisible by num_kv_heads=3": lambda: grouped_query_attention(
        draw(1, 2, 3, 4), draw(1, 3, 3, 4), draw(1, 3, 3, 4)
    ),
    "query has B=2 but key has B=1": lambda: grouped_query_attention(
        draw(2, 2, 3, 4), draw(1, 2, 3, 4), draw(1, 2, 3, 4)
    ),
    "x must hold floating-point numbers but has dtype int64": lambda: efficient.positive_features(torch.ones(2).long()),
    "places must be an integer of at least 1 but is 0": lambda: cache_bytes(0, num_layers=1, num_kv_heads=1, d_k=1),
}


@pytest.mark.parametrize("message", CALLS)
def test_a_mistake_is_named_with_its_numbers(message):
    with pytest.raises(ValueError, match=message):
        CALLS[message]()


def test_both_libraries_raise_the_same_words():
    for name in ("blockwise_attention", "linear_attention"):
        errors = []
        for module, make in ((efficient, lambda *s: draw(*s)), (reference, lambda *s: np.ones(s))):
            with pytest.raises(ValueError, match="d_k") as error:
                getattr(module, name)(make(3, 4), make(3, 5), make(3, 2))
            errors.append(str(error.value))
        assert errors[0] == errors[1]


def test_both_libraries_have_the_same_names_and_arguments():
    for name in ("window_mask", "blockwise_attention", "sliding_window_attention", "grouped_query_attention"):
        ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (efficient, reference))
        assert [one for one in ours if one not in ("device", "block_size")] == [x for x in theirs if x != "block_size"]
