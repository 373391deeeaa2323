"""Each check refuses its named wrong solutions with the reason, accepts right ones, and never raises at a learner."""

import ast
import importlib
import json
import pkgutil
import re
from pathlib import Path

import notebook_rules
import numpy as np
import pytest
import wrong_solutions

import lib.checks
from lib.checks import introduction, scaled_dot_product

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "chapters").glob("*.ipynb"))
MODULES = [importlib.import_module(f"lib.checks.{module.name}") for module in pkgutil.iter_modules(lib.checks.__path__)]
CHECKS = {name: check for module in MODULES for name, check in vars(module).items() if name.startswith("check_")}
WRITTEN = [
    importlib.import_module(f"wrong_solutions.{module.name}")
    for module in pkgutil.iter_modules(wrong_solutions.__path__)
]
WRONG = {check: found for module in WRITTEN for check, found in module.WRONG.items()}
RIGHT = {check: found for module in WRITTEN for check, found in module.RIGHT.items()}


def chinese_letters(line):
    return len(re.findall(r"[\u4e00-\u9fff]", line))


def solutions(table):
    return [
        pytest.param(CHECKS[check], one, id=f"{check}-{one.__name__}")
        for check, found in table.items()
        for one in found
    ]


def test_every_check_has_wrong_and_right_solutions():
    assert CHECKS.keys() == WRONG.keys() == RIGHT.keys()
    assert all(len(found) >= 8 for found in WRONG.values())


@pytest.mark.parametrize(("check", "wrong"), solutions(WRONG))
def test_wrong_solution_is_refused_with_its_reason(check, wrong, capsys):
    assert check(wrong) is False
    english, chinese = capsys.readouterr().out.strip().splitlines()
    assert WRONG[check.__name__][wrong] in english
    assert not chinese_letters(english)
    assert chinese_letters(chinese) >= 4


@pytest.mark.parametrize(("check", "right"), solutions(RIGHT))
def test_right_solution_is_accepted(check, right, capsys):
    assert check(right) is True, capsys.readouterr().out
    english, chinese = capsys.readouterr().out.strip().splitlines()
    assert "right" in english
    assert chinese_letters(chinese) >= 4


def unwritten(*_):
    raise NotImplementedError


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("stub", [unwritten, lambda *_: None, lambda *_: ...], ids=["raises", "None", "..."])
def test_stub_gets_one_fixed_line(check, stub, capsys):
    assert check(stub) is False
    assert re.fullmatch(
        r"my_\w+: not written yet, or without a return · 还没写，或缺少 return\n", capsys.readouterr().out
    )


def crash(*_):
    raise RuntimeError("first line\nsecond line")


def endless(*arguments):
    return endless(*arguments)


STRANGE = {
    "crash": crash,
    "endless": endless,
    "not a function": 3,
    "wrong signature": lambda: 0,
    "text": lambda *_: "text",
    "number": lambda *_: 1.0,
    "objects": lambda *_: np.array([None, "x"], dtype=object),
    "empty": lambda *_: np.array([]),
    "complex": lambda *_: np.zeros((3, 4), dtype=complex),
    "masked": lambda *_: np.ma.masked_all((3, 4)),
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_nothing_a_learner_writes_raises(check, strange, capsys):
    assert check(strange) is False
    assert len(capsys.readouterr().out.strip().splitlines()) == 2


def test_an_interrupt_passes_through():
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        introduction.check_softmax(interrupted)


def test_right_only_on_the_learners_own_example_is_refused():
    """With all sizes equal many mistakes agree with the right answer: the check must not use such sizes alone."""
    seen = np.array([[0.0, 1.0], [1.0, 0.0]])

    def remembered(query, key, value, mask=None):
        return wrong_solutions.scaled_dot_product.right_plain(seen, seen, seen)

    assert not scaled_dot_product.check_scaled_dot_product_attention(remembered)


# The chapters: each check is used, and each folded solution passes it.


def used(notebook):
    """The calls check_x(my_y) of a notebook's code cells, as pairs of names."""
    trees = [ast.parse(notebook_rules.source(cell)) for cell in notebook_rules.code_cells(notebook)]
    return [
        (node.func.id, node.args[0].id)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("check_")
    ]


def folded_solution(notebook, name):
    """The fenced code inside <details> that defines `name`, or None."""
    for fold in re.findall(r"<details>.*?</details>", notebook_rules.markdown(notebook), re.S):
        for solution in re.findall(r"```python\n(.*?)```", fold, re.S):
            if re.search(rf"^def {name}\(", solution, re.M):
                return solution
    return None


def names_taught(notebook):
    """What a solution may use: what the notebook imports and the functions that it defines."""
    trees = [ast.parse(notebook_rules.source(cell)) for cell in notebook_rules.code_cells(notebook)]
    taught = [node for tree in trees for node in tree.body if isinstance(node, TAUGHT)]
    names = {}
    exec(compile(ast.Module(taught, []), "chapter", "exec"), names)
    return names


TAUGHT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
CHAPTERS = [json.loads(path.read_text(encoding="utf-8")) for path in NOTEBOOKS]
USED = [
    pytest.param(chapter, check, name, id=check) for chapter in CHAPTERS for check, name in dict.fromkeys(used(chapter))
]


def test_every_check_is_used_by_a_chapter_and_every_chapter_uses_one():
    assert {check for chapter in CHAPTERS for check, _ in used(chapter)} == CHECKS.keys()
    assert all(used(chapter) for chapter in CHAPTERS)


@pytest.mark.parametrize(("chapter", "check", "name"), USED)
def test_the_folded_solution_passes_its_check(chapter, check, name, capsys):
    solution = folded_solution(chapter, name)
    assert solution, f"no folded solution defines {name}"
    names = names_taught(chapter)
    exec(solution, names)
    assert CHECKS[check](names[name]), capsys.readouterr().out


MADE_UP = {
    "cells": [
        {"cell_type": "code", "source": "import numpy as np\ndef shared(x):\n    return np.exp(x)\nwrong = 1 / 0"},
        {"cell_type": "code", "source": "def my_softmax(scores): ...\n\ncheck_softmax(my_softmax)  # check_no(my_no)"},
        {
            "cell_type": "markdown",
            "source": "```python\ndef my_softmax(s): return 0\n```\n<details><summary>Solution · 解答</summary>\n\n"
            "```python\ndef my_softmax(s):\n    return shared(s)\n```\n\n</details>",
        },
    ]
}


def test_solutions_are_found_in_their_fold():
    assert used(MADE_UP) == [("check_softmax", "my_softmax")]
    assert folded_solution(MADE_UP, "my_softmax") == "def my_softmax(s):\n    return shared(s)\n"
    assert folded_solution(MADE_UP, "my_pooling") is None
    assert names_taught(MADE_UP)["shared"](0) == 1
