"""The same numbers from four places: the reference, lib, torch's kernel and torch's own multi-head layer."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import FAST, LIBRARIES, problems, tensors
from hypothesis import given
from torch import nn

import lib.reference.attention as reference
from lib import attention, masks, positional
from lib.attention import MultiHeadAttention, watch
from lib.reference import masks as reference_masks
from lib.reference import positional as reference_positional

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}


def close(ours, theirs, tolerance=1e-10):
    ours, theirs = (x.detach().double().numpy() if isinstance(x, torch.Tensor) else x for x in (ours, theirs))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def by_hand(problem):
    """Attention as sums over single numbers, to check the reference itself."""
    query, key, value, _, scale = problem
    scale = 1 / np.sqrt(query.shape[-1]) if scale is None else scale
    output = np.zeros((*query.shape[:-1], value.shape[-1]))
    for row in np.ndindex(query.shape[:-1]):
        lead = row[:-1]
        allowed = [s for s in range(key.shape[-2]) if problem.full_mask[(*row, s)]]
        scores = [scale * sum(query[row][d] * key[(*lead, s, d)] for d in range(key.shape[-1])) for s in allowed]
        powers = [np.exp(score - max(scores)) for score in scores]
        for power, s in zip(powers, allowed, strict=True):
            output[row] += power / sum(powers) * value[(*lead, s)]
    return output


@FAST
@given(problems())
def test_the_reference_is_the_equation(problem):
    close(reference.scaled_dot_product_attention(*problem[:4], scale=problem.scale), by_hand(problem))


@FAST
@given(problems(), st.sampled_from(list(TOLERANCE)))
def test_attention_is_equal_in_the_reference_in_lib_and_in_torch(problem, dtype):
    query, key, value, mask = tensors(problem, dtype)
    rounded = [x.double().numpy() for x in (query, key, value)]
    exact = reference.scaled_dot_product_attention(*rounded, problem.mask, scale=problem.scale)
    ours = attention.scaled_dot_product_attention(query, key, value, mask, scale=problem.scale)
    wide = None if mask is None else mask.expand(problem.full_mask.shape)
    assert ours.dtype == dtype
    close(ours, exact, TOLERANCE[dtype])
    close(ours, F.scaled_dot_product_attention(query, key, value, wide, scale=problem.scale), TOLERANCE[dtype])
    weights = attention.attention_weights(query, key, mask, scale=problem.scale)
    assert weights.dtype == dtype
    close(weights, reference.attention_weights(*rounded[:2], problem.mask, scale=problem.scale), TOLERANCE[dtype])
    close(weights.double() @ value.double(), exact, TOLERANCE[dtype])


@FAST
@given(problems())
def test_memory_layout_changes_nothing(problem):
    query, key, value, mask = tensors(problem)
    turned = [x.mT.contiguous().mT for x in (query, key, value)]
    turned_mask = None if mask is None or mask.dim() < 2 else mask.mT.contiguous().mT
    usual = attention.scaled_dot_product_attention(query, key, value, mask)
    close(attention.scaled_dot_product_attention(*turned, mask if turned_mask is None else turned_mask), usual)
    spaced = [torch.stack([x, x + 1], dim=-1)[..., 0] for x in (query, key, value)]
    close(attention.scaled_dot_product_attention(*spaced, mask), usual)


@FAST
@given(problems())
def test_scores_are_equal_in_the_reference_and_in_lib(problem):
    rng = np.random.default_rng(0)
    query, key = problem.query, problem.value  # two widths
    weight, w_query, w_key = (
        rng.standard_normal(shape)
        for shape in ((query.shape[-1], key.shape[-1]), (query.shape[-1], 3), (key.shape[-1], 3))
    )
    v = rng.standard_normal(3)
    calls = {
        "dot_score": (query, problem.key),
        "scaled_dot_score": (query, problem.key),
        "bilinear_score": (query, key, weight),
        "additive_score": (query, key, w_query, w_key, v),
    }
    for name, arguments in calls.items():
        numpy, torched = (library.call(name, *arguments) for library in LIBRARIES.values())
        assert numpy.shape == (*query.shape[:-1], problem.key.shape[-2])
        close(torched, numpy)
    # and each score is its formula, for one pair
    q, k = query.reshape(-1, query.shape[-1])[0], key.reshape(-1, key.shape[-1])[0]
    first = (0,) * (query.ndim)
    close(reference.bilinear_score(query, key, weight)[first], q @ weight @ k)
    close(reference.additive_score(query, key, w_query, w_key, v)[first], v @ np.tanh(q @ w_query + k @ w_key))


def projected(scores, allowed):
    """The nearest distribution, found by halving the interval that its threshold lies in: no sorting."""
    nearest = np.zeros_like(scores)
    for row in np.ndindex(scores.shape[:-1]):
        if allowed[row].any():
            seen = scores[row][allowed[row]]
            low, high = seen.max() - 1, seen.max()
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if np.maximum(seen - middle, 0).sum() > 1 else (low, middle)
            nearest[row][allowed[row]] = np.maximum(seen - high, 0)
    return nearest


@FAST
@given(problems(), st.sampled_from(list(TOLERANCE)))
def test_sigmoid_and_sparsemax_are_equal_in_the_reference_in_lib_and_by_other_means(problem, dtype):
    drawn = torch.tensor(problem.query @ np.swapaxes(problem.key, -1, -2), dtype=dtype)
    scores, allowed = drawn.double().numpy(), problem.full_mask
    mask = None if problem.mask is None else torch.tensor(problem.mask)
    expected = {"sigmoid": (1 + np.tanh(scores / 2)) / 2 * allowed, "sparsemax": projected(scores, allowed)}
    for name, by_other_means in expected.items():
        close(getattr(reference, name)(scores, problem.mask), by_other_means)
        ours = getattr(attention, name)(drawn, mask)
        assert ours.dtype == dtype
        close(ours, by_other_means, TOLERANCE[dtype])


@pytest.mark.parametrize(("T", "S"), [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3), (4, None)])
def test_masks_are_equal_and_say_what_they_should(T, S):
    mask = reference_masks.causal_mask(T, S)
    assert np.array_equal(masks.causal_mask(T, S).numpy(), mask)
    S = S or T
    assert mask.dtype == bool
    assert mask.tolist() == [[s <= S - T + t for s in range(S)] for t in range(T)]
    lengths = np.array([0, 1, S])
    padding = reference_masks.padding_mask(lengths, S)
    assert padding.dtype == bool
    assert padding.tolist() == [[[s < length for s in range(S)]] for length in (0, 1, S)]
    for given_as in (torch.tensor(lengths), lengths.tolist(), lengths):
        assert np.array_equal(masks.padding_mask(given_as, S).numpy(), padding)
    assert (padding & mask).shape == (3, T, S)


@pytest.mark.parametrize(("length", "d_model"), [(1, 2), (7, 4), (300, 64)])
def test_positions_are_equal_and_follow_the_formula(length, d_model):
    exact = reference_positional.sinusoidal_positions(length, d_model)
    ours = positional.sinusoidal_positions(length, d_model)
    assert ours.dtype == torch.float32
    close(ours, exact, 1e-6)
    for t, i in [(length - 1, 0), (length - 1, d_model // 2 - 1), (length // 2, d_model // 4)]:
        angle = t / 10000 ** (2 * i / d_model)
        close(exact[t, 2 * i : 2 * i + 2], np.array([np.sin(angle), np.cos(angle)]))


def twins(d_model, num_heads, key_width, value_width, bias, seed):
    """Our layer and torch's, with the same weights, biases included."""
    torch.manual_seed(seed)
    ours = MultiHeadAttention(d_model, num_heads, key_width=key_width, value_width=value_width, bias=bias).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn_like(parameter))
    theirs = nn.MultiheadAttention(
        d_model, num_heads, kdim=key_width, vdim=value_width, bias=bias, batch_first=True, dtype=torch.float64
    )
    projections = [ours.w_query, ours.w_key, ours.w_value]
    with torch.no_grad():
        if theirs.in_proj_weight is not None:
            theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        else:
            own = (theirs.q_proj_weight, theirs.k_proj_weight, theirs.v_proj_weight)
            for weight, projection in zip(own, projections, strict=True):
                weight.copy_(projection.weight)
        theirs.out_proj.weight.copy_(ours.w_output.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
            theirs.out_proj.bias.copy_(ours.w_output.bias)
    return ours, theirs


def weight_gradients(ours, theirs):
    """Pairs of gradients of weights that mean the same."""
    own = torch.cat([p.weight.grad.flatten() for p in (ours.w_query, ours.w_key, ours.w_value)])
    if theirs.in_proj_weight is not None:
        other = theirs.in_proj_weight.grad.flatten()
    else:
        other = torch.cat(
            [w.grad.flatten() for w in (theirs.q_proj_weight, theirs.k_proj_weight, theirs.v_proj_weight)]
        )
    return [(own, other), (ours.w_output.weight.grad, theirs.out_proj.weight.grad)]


@FAST
@given(
    seed=st.integers(0, 2**32 - 1),
    heads=st.sampled_from([(4, 1), (6, 2), (6, 3), (8, 4)]),
    widths=st.sampled_from([(None, None), (5, 3), (7, 7)]),
    lengths=st.tuples(*[st.integers(1, 5)] * 3),
    masking=st.sampled_from(["none", "causal", "padding", "both", "per head"]),
    bias=st.booleans(),
)
def test_multi_head_attention_is_equal_to_torchs_layer(seed, heads, widths, lengths, masking, bias):
    (d_model, num_heads), (B, T, S) = heads, lengths
    ours, theirs = twins(d_model, num_heads, *widths, bias, seed)
    query = torch.randn(B, T, d_model, dtype=torch.float64, requires_grad=True)
    key = torch.randn(B, S, ours.key_width, dtype=torch.float64, requires_grad=True)
    value = torch.randn(B, S, ours.value_width, dtype=torch.float64, requires_grad=True)
    mask = {
        "none": None,
        "causal": masks.causal_mask(T, max(S, T))[:, -S:],
        "padding": masks.padding_mask(torch.randint(1, S + 1, (B,)), S),
        "both": masks.padding_mask(torch.randint(1, S + 1, (B,)), S) & masks.causal_mask(T, max(S, T))[:, -S:],
        "per head": torch.rand(B, num_heads, T, S) < 0.7,
    }[masking]
    if mask is not None:
        mask = mask.clone()
        mask[..., 0] = True  # torch's layer gives NaN for a row that may attend to nothing
        four = mask if mask.dim() != 3 else mask[:, None]
        forbidden = ~four.expand(B, num_heads, T, S).reshape(B * num_heads, T, S)
    with watch(ours) as weights:
        output = ours(query, key, value, mask)
    expected, expected_weights = theirs(
        query, key, value, attn_mask=None if mask is None else forbidden, average_attn_weights=False
    )
    close(output, expected)
    close(weights[""][0], expected_weights)
    probe = torch.randn_like(output)
    inputs = (query, key, value)
    for mine, its in zip(
        torch.autograd.grad((output * probe).sum(), inputs, retain_graph=True),
        torch.autograd.grad((expected * probe).sum(), inputs, retain_graph=True),
        strict=True,
    ):
        close(mine, its)
    (output * probe).sum().backward()
    (expected * probe).sum().backward()
    for mine, its in weight_gradients(ours, theirs):
        close(mine, its)
    if not bias:
        weights = [p.weight.detach().T for p in (ours.w_query, ours.w_key, ours.w_value, ours.w_output)]
        arrays = [x.detach() for x in (query, key, value)]
        close(attention.multi_head_attention(*arrays, *weights, num_heads, mask), output)
        numpy = [x.numpy() for x in (*arrays, *weights)]
        close(reference.multi_head_attention(*numpy, num_heads, None if mask is None else mask.numpy()), output)


def test_key_padding_is_the_mask_of_torchs_layer():
    ours, theirs = twins(8, 2, None, None, True, seed=0)
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    lengths = torch.tensor([5, 1, 3])
    expected, _ = theirs(x, x, x, key_padding_mask=torch.arange(5) >= lengths[:, None])
    close(ours(x, mask=masks.padding_mask(lengths, 5)), expected)


def test_self_attention_needs_one_argument_and_values_default_to_keys():
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, 2)
    x, memory = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    assert torch.equal(layer(x), layer(x, x, x))
    assert torch.equal(layer(x, memory), layer(x, memory, memory))


def test_watched_weights_are_those_that_made_the_output():
    torch.manual_seed(0)
    layer = MultiHeadAttention(6, 3, key_width=4)
    query, memory = torch.randn(2, 5, 6), torch.randn(2, 7, 4)
    mask = torch.rand(2, 1, 5, 7) < 0.5
    with watch(layer) as weights:
        output = layer(query, memory, mask=mask)
    value = layer.w_value(memory).view(2, 7, 3, 2).transpose(1, 2)  # (B, H, S, d_v)
    heads = (weights[""][0] @ value).transpose(1, 2).reshape(2, 5, 6)
    close(layer.w_output(heads), output, 1e-5)
