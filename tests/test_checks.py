"""Each check refuses its named wrong solutions with the reason, accepts right ones, and never raises at a learner."""

import re

import numpy as np
import pytest
from wrong_solutions import introduction as wrong_introduction
from wrong_solutions import scaled_dot_product as wrong_scaled_dot_product

from lib.checks import introduction, scaled_dot_product

CHECKS = {
    name: check
    for module in (introduction, scaled_dot_product)
    for name, check in vars(module).items()
    if name.startswith("check_")
}
WRONG = wrong_introduction.WRONG | wrong_scaled_dot_product.WRONG
RIGHT = wrong_introduction.RIGHT | wrong_scaled_dot_product.RIGHT


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
    assert re.fullmatch(r"my_\w+: not written yet · 还没写\n", capsys.readouterr().out)


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
        return wrong_scaled_dot_product.right_plain(seen, seen, seen)

    assert not scaled_dot_product.check_scaled_dot_product_attention(remembered)
