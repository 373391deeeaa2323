"""Positions and the bias on the scores: formulas by other ways, invariants, words of refusal, gradients."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import FAST, LIBRARIES, problems, tensors
from hypothesis import given
from hypothesis import strategies as st

import lib.reference.attention as reference
from lib import attention, masks, positional
from lib.attention import MultiHeadAttention, watch
from lib.positional import LearnedPositions, RelativeBias, relative_buckets, rotate
from lib.reference import positional as reference_positional

everywhere = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
SEEDS = st.integers(0, 2**32 - 1)


def close(ours, theirs, tolerance=1e-10):
    ours, theirs = (x.detach().double().numpy() if isinstance(x, torch.Tensor) else x for x in (ours, theirs))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def random(*shape, **options):
    return torch.randn(shape, dtype=torch.float64, **options)


# Rotary positions


@everywhere
@FAST
@given(
    seed=SEEDS,
    T=st.integers(1, 9),
    half=st.integers(1, 5),
    offset=st.integers(0, 500),
    base=st.just(10000.0) | st.just(7.0),
)
def test_a_rotation_is_a_complex_multiplication(library, seed, T, half, offset, base):
    x = np.random.default_rng(seed).standard_normal((2, 3, T, 2 * half))
    turns = np.exp(1j * np.outer(np.arange(offset, offset + T), base ** (-np.arange(half) / half)))
    expected = (np.ascontiguousarray(x).view(complex) * turns).view(float)
    close(library.positional.rotate(library.array(x), offset=offset, base=base), expected)


@everywhere
def test_a_rotation_keeps_lengths_and_its_dot_products_know_only_distances(library):
    rng = np.random.default_rng(0)
    query, key = (np.broadcast_to(rng.standard_normal(8), (20, 8)).copy() for _ in range(2))  # the same at every place
    turned = [np.asarray(library.positional.rotate(library.array(x))) for x in (query, key)]
    np.testing.assert_allclose(np.linalg.norm(turned[0], axis=-1), np.linalg.norm(query, axis=-1))
    scores = turned[0] @ turned[1].T  # (T, S)
    for distance in range(-19, 20):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0])
    assert len({round(scores[0, s], 6) for s in range(20)}) == 20
    moved = [np.asarray(library.positional.rotate(library.array(x), offset=37)) for x in (query, key)]
    np.testing.assert_allclose(moved[0] @ moved[1].T, scores)
    later = np.asarray(library.positional.rotate(library.array(query[5:]), offset=5))
    np.testing.assert_allclose(later, turned[0][5:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_rotation_keeps_the_dtype_and_far_places_exact(dtype):
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    ours = rotate(x, offset=100_000)
    assert ours.dtype == dtype
    close(ours, reference_positional.rotate(x.double().numpy(), offset=100_000), 2 * torch.finfo(dtype).eps)


def test_a_layer_with_rotary_positions_knows_the_order_but_not_the_place():
    torch.manual_seed(0)
    x, order = torch.randn(2, 6, 8), torch.tensor([3, 0, 5, 1, 4, 2])
    plain = MultiHeadAttention(8, 2)
    layers = [MultiHeadAttention(8, 2, positions=p) for p in (rotate, partial(rotate, offset=50))]
    for layer in layers:
        layer.load_state_dict(plain.state_dict())
    here, there = (layer(x) for layer in layers)
    close(there, here, 1e-4)
    close(plain(x[:, order]), plain(x)[:, order], 1e-5)
    assert (layers[0](x[:, order]) - here[:, order]).abs().max() > 1e-2
    assert (here - plain(x)).abs().max() > 1e-2
    with watch(layers[0]) as weights:
        layers[0](x)
    query, key = (f(x).view(2, 6, 2, 4).transpose(1, 2).detach().numpy() for f in (plain.w_query, plain.w_key))
    turned = [reference_positional.rotate(y) for y in (query, key)]
    close(weights[""][0], reference.attention_weights(*turned), 1e-5)


# Relative positions


def bucket(query, key, num_buckets, max_distance, bidirectional):
    """The paper's rule for one pair, in whole numbers only: which powers of the ratio does the distance reach?"""
    n = num_buckets // 2 if bidirectional else num_buckets
    first = n if bidirectional and key > query else 0
    distance = abs(query - key) if bidirectional else max(query - key, 0)
    m = n // 2
    if distance < m:
        return first + distance
    k = 0
    while k < n - m - 1 and distance ** (n - m) >= max_distance ** (k + 1) * m ** (n - m - k - 1):
        k += 1
    return first + m + k


@everywhere
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 4), (4, 2), (10, 1024), (12, 20), (64, 1000)])
@pytest.mark.parametrize(("T", "S"), [(150, None), (3, 300), (6, 2), (1, 1)])
def test_buckets_follow_the_rule(library, T, S, num_buckets, max_distance, bidirectional):
    if not bidirectional:
        num_buckets //= 2
    rule = {"num_buckets": num_buckets, "max_distance": max_distance, "bidirectional": bidirectional}
    S = S or T
    expected = [[bucket(S - T + t, s, **rule) for s in range(S)] for t in range(T)]
    assert np.asarray(library.positional.relative_buckets(T, S, **rule)).tolist() == expected


@everywhere
def test_a_distance_on_an_edge_stays_on_its_side(library):
    rule = {"num_buckets": 5, "max_distance": 1024, "bidirectional": False}  # edges at 2, 16 and 128
    last = np.asarray(library.positional.relative_buckets(1, 130, **rule))[0, ::-1]
    assert last[[15, 16, 127, 128]].tolist() == [2, 3, 3, 4]


def test_a_relative_bias_is_looked_up_by_head_and_bucket():
    torch.manual_seed(0)
    bias = RelativeBias(3, num_buckets=8, max_distance=6)
    assert not bias(4).any()
    torch.nn.init.normal_(bias.weight)
    laid_out = bias(4, 7)
    assert laid_out.shape == (3, 4, 7)
    for h, t, s in np.ndindex(3, 4, 7):
        assert laid_out[h, t, s] == bias.weight[bucket(3 + t, s, 8, 6, True), h]
    assert torch.equal(bias(4, 7), bias(7)[:, 3:])  # the last queries of the whole
    causal = RelativeBias(3, num_buckets=8, max_distance=12, bidirectional=False)
    torch.nn.init.normal_(causal.weight)
    assert (causal(5).triu(1) == causal.weight[0][:, None, None].expand(3, 5, 5).triu(1)).all()


# Learned positions


def test_learned_positions_are_added_along_the_sequence():
    torch.manual_seed(0)
    positions, x = LearnedPositions(5, 4), torch.randn(3, 3, 4)
    for b, t in np.ndindex(3, 3):
        assert torch.equal(positions(x)[b, t], x[b, t] + positions.weight[t])
        assert torch.equal(positions(x, offset=2)[b, t], x[b, t] + positions.weight[t + 2])
    positions(x, offset=1).sum().backward()
    assert positions.weight.grad[:, 0].tolist() == [0, 3, 3, 3, 0]


# The bias on the scores


@FAST
@given(problem=problems(), seed=SEEDS, cut=st.integers(0, 3))
def test_a_bias_is_added_to_the_scaled_scores_in_the_reference_in_lib_and_in_torch(problem, seed, cut):
    query, key, value, _ = tensors(problem)
    shape = problem.full_mask.shape
    bias = np.random.default_rng(seed).standard_normal(shape[min(cut, len(shape) - 1) :])
    scale = query.shape[-1] ** -0.5 if problem.scale is None else problem.scale
    weights = reference.softmax(scale * (problem.query @ problem.key.swapaxes(-1, -2)) + bias, problem.mask)
    for library in LIBRARIES.values():
        options = {"scale": problem.scale, "bias": library.array(bias)}
        close(library.call("attention_weights", *problem[:2], problem.mask, **options), weights)
        close(library.call("scaled_dot_product_attention", *problem[:4], **options), weights @ problem.value)
    blocked = torch.tensor(np.where(problem.full_mask, np.broadcast_to(bias, shape), -np.inf))
    close(F.scaled_dot_product_attention(query, key, value, blocked, scale=scale), weights @ problem.value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("learned", [True, False])
def test_rows_that_may_attend_to_nothing_stay_zero_with_a_bias_and_no_gradient_is_nan(dtype, learned):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 3, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    bias = torch.randn(2, 3, 3, dtype=dtype, requires_grad=learned)
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, False]])
    leaves = [query, key, value, *([bias] if learned else [])]
    with torch.autograd.set_detect_anomaly(True):
        for output in (
            attention.scaled_dot_product_attention(query, key, value, mask, bias=bias),
            attention.attention_weights(query, key, mask, bias=bias) @ value,
        ):
            assert output.dtype == dtype
            assert (output[:, :, 1] == 0).all()
            gradients = torch.autograd.grad((output**2).sum(), leaves)
            assert all(g.isfinite().all() for g in gradients)
            assert all((g[:, ~mask] == 0).all() and (g[:, mask] != 0).any() for g in gradients[3:])


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (4, 2, 3, 5), (1, 1, 5), (4, 1, 1, 5)])
@pytest.mark.parametrize("masked", [True, False])
def test_the_layer_takes_a_bias_for_all_for_each_head_or_for_each_sequence(shape, masked):
    torch.manual_seed(0)
    layer = MultiHeadAttention(6, 2, key_width=4, bias=False).double()
    query, memory, bias = random(4, 3, 6), random(4, 5, 4), random(*shape)
    mask = masks.padding_mask([5, 0, 3, 1], 5) if masked else None
    with watch(layer) as weights:
        output = layer(query, memory, mask=mask, bias=bias)
    projections = [p.weight.detach().T for p in (layer.w_query, layer.w_key, layer.w_value, layer.w_output)]
    arguments = [query, memory, memory, *projections]
    close(attention.multi_head_attention(*arguments, 2, mask, bias=bias), output)
    numpy = [x.numpy() for x in arguments]
    numpy_mask = None if mask is None else mask.numpy()
    close(reference.multi_head_attention(*numpy, 2, numpy_mask, bias=bias.numpy()), output)
    value = layer.w_value(memory).view(4, 5, 2, 3).transpose(1, 2)  # (B, H, S, d_v)
    close(layer.w_output((weights[""][0] @ value).transpose(1, 2).reshape(4, 3, 6)), output)
    assert (output - layer(query, memory, mask=mask)).abs().max() > 1e-2
    if masked:
        assert (output[1] == 0).all()


def test_a_bias_of_three_axes_belongs_to_heads_where_a_mask_belongs_to_sequences():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(4, 2), torch.randn(2, 3, 4)  # as many heads as sequences
    bias = torch.zeros(2, 3, 3)
    bias[1, :, 0] = 1e4
    weights = layer.attention_weights(x, bias=bias)
    assert (weights[:, 1, :, 0] == 1).all()
    assert (weights[:, 0, :, 0] < 1).all()


def test_gradients_flow_into_a_bias_a_rotation_and_learned_positions():
    torch.manual_seed(0)
    query, key, value = (random(1, 2, 3, 4, requires_grad=True) for _ in range(3))
    bias, mask = random(2, 3, 3, requires_grad=True), masks.causal_mask(3)
    for m in (None, mask, mask & torch.tensor([[True], [False], [True]])):
        assert torch.autograd.gradcheck(
            lambda *x, m=m: attention.scaled_dot_product_attention(*x[:3], m, bias=x[3]), (query, key, value, bias)
        )
        assert torch.autograd.gradcheck(
            lambda *x, m=m: attention.attention_weights(*x[:2], m, bias=x[2]), (query, key, bias)
        )
    assert torch.autograd.gradcheck(lambda x: rotate(x, offset=3), (query,))
    for module, inputs in (
        (LearnedPositions(4, 4), (value[0],)),
        (RelativeBias(2, num_buckets=4, max_distance=2), (3, 5)),
    ):
        module.double()
        assert torch.autograd.gradcheck(
            lambda w, module=module, inputs=inputs: torch.func.functional_call(module, {"weight": w}, inputs),
            (module.weight,),
        )


def test_a_bias_that_is_not_learned_stays_on_the_fused_kernel():
    x = torch.randn(2, 2, 3, 8, requires_grad=True)
    for mask in (None, masks.causal_mask(3)):
        output = attention.scaled_dot_product_attention(x, x, x, mask, bias=torch.zeros(2, 3, 3))
        assert "FlashAttention" in output.grad_fn.next_functions[0][0].name() + output.grad_fn.name()


# Contracts


@everywhere
@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (np.ones((5, 3)), "bias has shape (5, 3) but the scores have shape (2, 3, 5): it does not broadcast"),
        (
            np.ones((1, 2, 3, 5)),
            "bias has shape (1, 2, 3, 5) but the scores have shape (2, 3, 5): it does not broadcast",
        ),
        (np.ones((3, 5), dtype=bool), "bias must hold floating-point numbers but has dtype bool"),
        (np.ones((3, 5), dtype="float32"), "query has dtype float64 but bias has float32"),
        (np.ones((0, 5)), "bias is empty: shape (0, 5), but every axis needs a length of at least 1"),
    ],
)
def test_a_bias_that_does_not_fit(library, bias, message):
    query, key = np.ones((2, 3, 4)), np.ones((2, 5, 4))
    eye, bias = np.eye(4), library.array(bias)
    calls = {"attention_weights": (query, key), "scaled_dot_product_attention": (query, key, key)}
    if bias.ndim < 3:
        calls["multi_head_attention"] = (query, key, key, eye, eye, eye, eye, 1)
    for function, arguments in calls.items():
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            library.call(function, *arguments, bias=bias)
        here = message.replace("(2, 3, 5):", "(2, 1, 3, 5):") if function == "multi_head_attention" else message
        assert str(caught.value) == here


FLAT = np.ones((3, 4))


@everywhere
@pytest.mark.parametrize(
    ("function", "arguments", "options", "message"),
    [
        ("rotate", (np.ones(4),), {}, "x has rank 1, shape (4,), but needs at least rank 2"),
        ("rotate", (np.ones((3, 4), dtype=int),), {}, "x must hold floating-point numbers but has dtype int64"),
        ("rotate", (np.ones((3, 5)),), {}, "d_k must be even but is 5"),
        ("rotate", (FLAT,), {"offset": -1}, "offset must be an integer of at least 0 but is -1"),
        ("rotate", (FLAT,), {"offset": 1.5}, "offset must be an integer of at least 0 but is 1.5"),
        ("rotate", (FLAT,), {"base": 0.0}, "base must be above 0 but is 0.0"),
        ("relative_buckets", (0,), {}, "T must be an integer of at least 1 but is 0"),
        ("relative_buckets", (3, 0), {}, "S must be an integer of at least 1 but is 0"),
        ("relative_buckets", (3,), {"num_buckets": 7}, "num_buckets must be even but is 7"),
        ("relative_buckets", (3,), {"num_buckets": 2}, "num_buckets must be an integer of at least 4 but is 2"),
        (
            "relative_buckets",
            (3,),
            {"num_buckets": 1, "bidirectional": False},
            "num_buckets must be an integer of at least 2 but is 1",
        ),
        (
            "relative_buckets",
            (3,),
            {"max_distance": 8},
            "max_distance=8 is not above the 8 distances that have a bucket each",
        ),
    ],
)
def test_positions_refuse(library, function, arguments, options, message):
    arguments = [library.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        getattr(library.positional, function)(*arguments, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LearnedPositions(0, 4), "max_length must be an integer of at least 1 but is 0"),
        (lambda: LearnedPositions(4, 2.0), "d_model must be an integer of at least 1 but is 2.0"),
        (lambda: LearnedPositions(8, 4)(torch.ones(1, 9, 4)), "x has T=9 places from place 0 on but max_length=8"),
        (
            lambda: LearnedPositions(8, 4)(torch.ones(1, 6, 4), offset=3),
            "x has T=6 places from place 3 on but max_length=8",
        ),
        (
            lambda: LearnedPositions(8, 4)(torch.ones(1, 6, 4), offset=-1),
            "offset must be an integer of at least 0 but is -1",
        ),
        (lambda: LearnedPositions(8, 4)(torch.ones(1, 6, 5)), "x has width 5 but d_model=4"),
        (lambda: LearnedPositions(8, 4)(torch.ones(6, 4)), "x has rank 2, shape (6, 4), but needs rank 3"),
        (lambda: RelativeBias(0), "num_heads must be an integer of at least 1 but is 0"),
        (lambda: RelativeBias(2, num_buckets=6)(0), "T must be an integer of at least 1 but is 0"),
        (
            lambda: RelativeBias(2, max_distance=8),
            "max_distance=8 is not above the 8 distances that have a bucket each",
        ),
    ],
)
def test_position_modules_refuse(call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert str(caught.value) == message


def test_places_that_fill_the_table_are_accepted():
    assert LearnedPositions(8, 4)(torch.ones(1, 5, 4), offset=3).shape == (1, 5, 4)
    assert relative_buckets(2, num_buckets=4, max_distance=2).shape == (2, 2)
    assert positional.rotate(torch.ones(1, 2)).shape == (1, 2)
