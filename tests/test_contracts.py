"""A user's mistake raises ValueError with both numbers, in the same words in the reference and in torch."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import LIBRARIES
from torch import nn

import lib
from lib.attention import MultiHeadAttention, watch

everywhere = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)


def ones(*shape, dtype=float):
    return np.ones(shape, dtype=dtype)


def true(*shape):
    return np.ones(shape, dtype=bool)


WRONG_PAIRS = [  # query, key: wrong for every function of the two
    (ones(4), ones(5, 4), "query has rank 1, shape (4,), but needs at least rank 2"),
    (ones(3, 4), ones(4), "key has rank 1, shape (4,), but needs at least rank 2"),
    (ones(3, 4, dtype=int), ones(5, 4), "query must hold floating-point numbers but has dtype int64"),
    (ones(3, 4), ones(5, 4, dtype=bool), "key must hold floating-point numbers but has dtype bool"),
    (ones(3, 4), ones(5, 4, dtype="complex64"), "key must hold floating-point numbers but has dtype complex64"),
    (ones(3, 4), ones(5, 4, dtype="float32"), "query has dtype float64 but key has float32"),
    (ones(0, 4), ones(5, 4), "query is empty: shape (0, 4), but every axis needs a length of at least 1"),
    (ones(3, 4), ones(0, 4), "key is empty: shape (0, 4), but every axis needs a length of at least 1"),
    (ones(3, 0), ones(5, 0), "query is empty: shape (3, 0), but every axis needs a length of at least 1"),
    (ones(2, 3, 4), ones(5, 4), "query has leading axes (2,) but key has ()"),
    (ones(2, 3, 4), ones(1, 5, 4), "query has leading axes (2,) but key has (1,)"),
]
WRONG_WIDTH = [(ones(3, 4), ones(5, 8), "query has d_k=4 but key has d_k=8")]
WRONG_MASKS = [  # for scores (2, 3, 5)
    (ones(3, 5), "mask must be boolean (True = may attend) but has dtype float64"),
    (ones(3, 5, dtype=int), "mask must be boolean (True = may attend) but has dtype int64"),
    (true(5, 3), "mask has shape (5, 3) but the scores have shape (2, 3, 5): it does not broadcast"),
    (true(3, 3, 5), "mask has shape (3, 3, 5) but the scores have shape (2, 3, 5): it does not broadcast"),
    (true(7, 2, 3, 5), "mask has shape (7, 2, 3, 5) but the scores have shape (2, 3, 5): it does not broadcast"),
    (true(1, 2, 3, 5), "mask has shape (1, 2, 3, 5) but the scores have shape (2, 3, 5): it does not broadcast"),
]


def refused(library, message, function, *arguments, **options):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared below)
        library.call(function, *(library.array(a) if isinstance(a, np.ndarray) else a for a in arguments), **options)
    assert str(caught.value) == message


@everywhere
@pytest.mark.parametrize(("query", "key", "message"), WRONG_PAIRS + WRONG_WIDTH)
@pytest.mark.parametrize("function", ["dot_score", "scaled_dot_score", "attention_weights"])
def test_a_query_and_a_key_that_do_not_fit(library, function, query, key, message):
    refused(library, message, function, query, key)


@everywhere
@pytest.mark.parametrize(("query", "key", "message"), WRONG_PAIRS)
def test_a_query_and_a_key_that_do_not_fit_learned_scores(library, query, key, message):
    refused(library, message, "bilinear_score", query, key, ones(4, 4))
    refused(library, message, "additive_score", query, key, ones(4, 3), ones(4, 3), ones(3))


@everywhere
@pytest.mark.parametrize(("query", "key", "message"), WRONG_PAIRS + WRONG_WIDTH)
def test_attention_refuses_what_its_scores_refuse(library, query, key, message):
    refused(library, message, "scaled_dot_product_attention", query, key, ones(*key.shape))


@everywhere
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ones(2, 6, 4), "key has S=5 but value has S=6"),
        (ones(2, 1, 4), "key has S=5 but value has S=1"),
        (ones(5, 4), "query has leading axes (2,) but value has ()"),
        (ones(1, 5, 4), "query has leading axes (2,) but value has (1,)"),
        (ones(4), "value has rank 1, shape (4,), but needs at least rank 2"),
        (ones(2, 5, 0), "value is empty: shape (2, 5, 0), but every axis needs a length of at least 1"),
        (ones(2, 5, 4, dtype=int), "value must hold floating-point numbers but has dtype int64"),
        (ones(2, 5, 4, dtype="float32"), "query has dtype float64 but value has float32"),
    ],
)
def test_a_value_that_does_not_fit(library, value, message):
    refused(library, message, "scaled_dot_product_attention", ones(2, 3, 4), ones(2, 5, 4), value)


@everywhere
@pytest.mark.parametrize(("mask", "message"), WRONG_MASKS)
def test_a_mask_that_does_not_fit(library, mask, message):
    for normaliser in ("softmax", "sigmoid", "sparsemax"):
        refused(library, message, normaliser, ones(2, 3, 5), mask)
    refused(library, message, "attention_weights", ones(2, 3, 4), ones(2, 5, 4), mask)
    refused(library, message, "scaled_dot_product_attention", ones(2, 3, 4), ones(2, 5, 4), ones(2, 5, 6), mask)


@everywhere
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (ones(), "scores has rank 0, shape (), but needs at least rank 1"),
        (ones(3, dtype=int), "scores must hold floating-point numbers but has dtype int64"),
        (ones(3, 0), "scores is empty: shape (3, 0), but every axis needs a length of at least 1"),
    ],
)
@pytest.mark.parametrize("normaliser", ["softmax", "sigmoid", "sparsemax"])
def test_scores_that_a_normaliser_refuses(library, normaliser, scores, message):
    refused(library, message, normaliser, scores)


@everywhere
@pytest.mark.parametrize(
    ("function", "weights", "message"),
    [
        ("bilinear_score", [ones(7, 4)], "weight must have shape (4, 7) but has (7, 4)"),
        ("bilinear_score", [ones(4, 7, dtype=int)], "weight must hold floating-point numbers but has dtype int64"),
        ("bilinear_score", [ones(4, 7, dtype="float32")], "query has dtype float64 but weight has float32"),
        ("additive_score", [ones(7, 3), ones(7, 3), ones(3)], "w_query must have shape (4, 3) but has (7, 3)"),
        ("additive_score", [ones(4, 3), ones(7, 2), ones(3)], "w_key must have shape (7, 3) but has (7, 2)"),
        ("additive_score", [ones(4, 3), ones(7, 3), ones(3, 1)], "v has rank 2, shape (3, 1), but needs rank 1"),
        ("additive_score", [ones(4, 3), ones(7, 3), ones(2)], "w_query must have shape (4, 2) but has (4, 3)"),
    ],
)
def test_weights_of_scores_that_do_not_fit(library, function, weights, message):
    refused(library, message, function, ones(3, 4), ones(5, 7), *weights)


def heads(**changes):
    """The arguments of multi-head attention, right but for the changes."""
    arguments = {
        "query": ones(2, 3, 6),
        "key": ones(2, 5, 4),
        "value": ones(2, 5, 7),
        "w_query": ones(6, 6),
        "w_key": ones(4, 6),
        "w_value": ones(7, 6),
        "w_output": ones(6, 6),
        "num_heads": 2,
        "mask": None,
    }
    return list((arguments | changes).values())


@everywhere
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 4}, "d_model=6 is not divisible by num_heads=4"),
        ({"num_heads": 0}, "num_heads must be an integer of at least 1 but is 0"),
        ({"num_heads": 2.0}, "num_heads must be an integer of at least 1 but is 2.0"),
        ({"query": ones(3, 6)}, "query has rank 2, shape (3, 6), but needs rank 3"),
        ({"key": ones(2, 1, 5, 4)}, "key has rank 4, shape (2, 1, 5, 4), but needs rank 3"),
        ({"query": ones(1, 3, 6)}, "query has leading axes (1,) but key has (2,)"),
        ({"value": ones(2, 6, 7)}, "key has S=5 but value has S=6"),
        ({"query": ones(2, 3, 6, dtype=int)}, "query must hold floating-point numbers but has dtype int64"),
        ({"key": ones(2, 0, 4)}, "key is empty: shape (2, 0, 4), but every axis needs a length of at least 1"),
        ({"w_query": ones(6, 8)}, "w_query must have shape (6, 6) but has (6, 8)"),
        ({"w_key": ones(6, 6)}, "w_key must have shape (4, 6) but has (6, 6)"),
        ({"w_value": ones(6, 7)}, "w_value must have shape (7, 6) but has (6, 7)"),
        ({"w_output": ones(6, 5)}, "w_output must have shape (6, 6) but has (6, 5)"),
        ({"w_output": ones(6, 6, dtype="float32")}, "query has dtype float64 but w_output has float32"),
        ({"mask": true(5, 3)}, "mask has shape (5, 3) but the scores have shape (2, 2, 3, 5): it does not broadcast"),
        (
            {"mask": true(3, 3, 5)},
            "mask has shape (3, 3, 5) but the scores have shape (2, 3, 5): it does not broadcast",
        ),
        ({"mask": ones(3, 5)}, "mask must be boolean (True = may attend) but has dtype float64"),
    ],
)
def test_multi_head_attention_refuses(library, changes, message):
    refused(library, message, "multi_head_attention", *heads(**changes))


@everywhere
def test_what_is_right_is_accepted(library):
    assert library.call("multi_head_attention", *heads()).shape == (2, 3, 6)
    for mask in (true(3, 5), true(1, 5), true(2, 3, 5), true(1, 1, 5), true(2, 2, 3, 5), true(2, 1, 1, 1)):
        assert library.call("multi_head_attention", *heads(mask=mask)).shape == (2, 3, 6)
    for mask in (true(), true(5), true(3, 1), true(2, 1, 5)):
        output = library.call("scaled_dot_product_attention", ones(2, 3, 4), ones(2, 5, 4), ones(2, 5, 6), mask)
        np.testing.assert_allclose(output, 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": ones(2, 3, 5)}, "query has width 5 but d_model=6"),
        ({"key": ones(2, 5, 6)}, "key has width 6 but key_width=4"),
        ({"value": ones(2, 5, 4)}, "value has width 4 but value_width=7"),
        ({"query": ones(3, 6)}, "query has rank 2, shape (3, 6), but needs rank 3"),
        ({"query": ones(2, 0, 6)}, "query is empty: shape (2, 0, 6), but every axis needs a length of at least 1"),
        ({"key": ones(1, 5, 4)}, "query has leading axes (2,) but key has (1,)"),
        ({"value": ones(2, 6, 7)}, "key has S=5 but value has S=6"),
        ({"query": ones(2, 3, 6, dtype=int)}, "query must hold floating-point numbers but has dtype int64"),
        ({"mask": true(5, 3)}, "mask has shape (5, 3) but the scores have shape (2, 2, 3, 5): it does not broadcast"),
        ({"mask": ones(3, 5)}, "mask must be boolean (True = may attend) but has dtype float64"),
    ],
)
def test_the_layer_refuses(changes, message):
    layer = MultiHeadAttention(6, 2, key_width=4, value_width=7).double()
    arguments = {"query": ones(2, 3, 6), "key": ones(2, 5, 4), "value": ones(2, 5, 7)} | changes
    arguments = {name: torch.tensor(array) for name, array in arguments.items()}
    for method in (layer, layer.attention_weights):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            method(**arguments)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((10, 4), {}, "d_model=10 is not divisible by num_heads=4"),
        ((0, 1), {}, "d_model must be an integer of at least 1 but is 0"),
        ((8, -2), {}, "num_heads must be an integer of at least 1 but is -2"),
        ((8, 2), {"key_width": 0}, "key_width must be an integer of at least 1 but is 0"),
        ((8, 2), {"value_width": 2.5}, "value_width must be an integer of at least 1 but is 2.5"),
    ],
)
def test_a_layer_that_cannot_be(arguments, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        MultiHeadAttention(*arguments, **options)
    assert str(caught.value) == message


def test_there_must_be_something_to_watch():
    with (
        pytest.raises(ValueError, match=r"^Linear holds no module with attention weights to watch$"),
        watch(nn.Linear(2, 2)),
    ):
        pass


@everywhere
@pytest.mark.parametrize(
    ("module", "function", "arguments", "message"),
    [
        ("masks", "causal_mask", (0,), "T must be an integer of at least 1 but is 0"),
        ("masks", "causal_mask", (2.5,), "T must be an integer of at least 1 but is 2.5"),
        ("masks", "causal_mask", (True,), "T must be an integer of at least 1 but is True"),
        ("masks", "causal_mask", (3, -1), "S must be an integer of at least 1 but is -1"),
        ("masks", "padding_mask", ([1], 0), "S must be an integer of at least 1 but is 0"),
        ("masks", "padding_mask", ([1, 6], 5), "lengths holds 6 but S=5"),
        ("masks", "padding_mask", ([1, -2], 5), "lengths holds -2 but a length is at least 0"),
        ("masks", "padding_mask", ([[1, 2]], 5), "lengths has rank 2, shape (1, 2), but needs rank 1"),
        ("masks", "padding_mask", ([True, False], 5), "lengths must hold integers but has dtype bool"),
        (
            "masks",
            "padding_mask",
            (ones(0, dtype=int), 5),
            "lengths is empty: shape (0,), but every axis needs a length of at least 1",
        ),
        ("positional", "sinusoidal_positions", (0, 4), "length must be an integer of at least 1 but is 0"),
        ("positional", "sinusoidal_positions", (3, 0), "d_model must be an integer of at least 1 but is 0"),
        ("positional", "sinusoidal_positions", (3, 5), "d_model must be even but is 5"),
    ],
)
def test_masks_and_positions_refuse(library, module, function, arguments, message):
    arguments = [library.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        getattr(getattr(library, module), function)(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["attention", "masks", "positional"])
def test_the_reference_and_torch_share_names_arguments_and_order(name):
    numpy, torched = (getattr(library, name) for library in LIBRARIES.values())
    own = [f for f, made in inspect.getmembers(numpy, inspect.isfunction) if made.__module__ == numpy.__name__]
    for function in (f for f in own if not f.startswith("_")):
        plain, ours = (inspect.signature(getattr(module, function)).parameters for module in (numpy, torched))
        extra = set(ours) - set(plain)
        assert extra <= {"device"}
        shared = [p for p in ours.values() if p.name not in extra]
        assert [(p.name, p.kind, p.default) for p in plain.values()] == [(p.name, p.kind, p.default) for p in shared]


LIB = Path(lib.__file__).parent
TOOLS = {"checks", "experiments", "evidence.py", "plotting.py", "recorder.py"}
PUBLIC = [
    pytest.param(node, id=f"{path.relative_to(LIB)}:{node.name}")
    for path in sorted(LIB.rglob("*.py"))
    if path.relative_to(LIB).parts[0] not in TOOLS
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
]


@pytest.mark.parametrize("node", PUBLIC)
def test_public_names_have_types_and_a_docstring_that_says_what_is_raised(node):
    docstring = ast.get_docstring(node) or ""
    assert docstring
    functions = (
        [node] if isinstance(node, ast.FunctionDef) else [n for n in node.body if isinstance(n, ast.FunctionDef)]
    )
    for function in functions:
        if function.name.startswith("_") and function.name != "__init__":
            continue
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        untyped = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        assert not untyped
        assert function.returns is not None, f"{function.name} does not say what it returns"
        said = docstring + (ast.get_docstring(function) or "")
        raised = {r.exc.func.id for r in ast.walk(function) if isinstance(r, ast.Raise) and isinstance(r.exc, ast.Call)}
        assert all(name in said or "Refuse" in said for name in raised), f"{function.name} raises {raised}"
